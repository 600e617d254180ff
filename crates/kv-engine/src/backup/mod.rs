//! Backups: many points in time of a store in one place, each file in it once.
//!
//! Tables and value files never change, so a backup copies those that are not there yet, told apart
//! by the store's id, their number and the checksum of the whole file. Order: files first, each
//! whole and durable, then the description of the point, which counts from then on. Removing goes the
//! other way: first descriptions, then the files that none names any more. See
//! docs/format/backup.md and decision 24.

mod content;
mod point;
mod report;
mod target;

pub use report::{BackupPoint, BackupReport, Removed};
pub use target::{BackupDir, BackupTarget};

use crate::checkpoint::Target;
use crate::db::Db;
use crate::error::{Error, ErrorKind, Result};
use crate::open::{Opening, new_db_id};
use crate::options::Options;
use crate::repair::Progress;
use content::fetch;
use kv_vfs::FsFileExt;
use point::{Point, Wanted, is_file, number_of, path_of};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use target::{FILES, POINTS};

/// No description of a point is longer.
const MAX_POINT: u64 = 1 << 30;

/// The backups in one place, of one store or of several.
///
/// ```
/// use kv_engine::{BackupDir, Backups, Db, Options};
/// # let dir = tempfile::tempdir().unwrap();
/// # let (store, copy) = (dir.path().join("store"), dir.path().join("copy"));
/// let db = Db::open(&store, Options::default())?;
/// db.put("apple", "red")?;
/// let backups = Backups::open(BackupDir::new(dir.path().join("backups")));
/// let monday = backups.create(&db)?;
/// db.put("apple", "green")?;
/// backups.create(&db)?; // copies only what is new
///
/// backups.restore(monday.number(), &copy, Options::default())?;
/// let restored = Db::open(&copy, Options::default())?;
/// assert_eq!(restored.get("apple")?.as_deref(), Some(&b"red"[..]));
/// # Ok::<(), kv_engine::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Backups {
    target: Arc<dyn BackupTarget>,
}

impl Backups {
    /// The backups in `target`. Does nothing yet; the first backup makes the place.
    ///
    /// ```
    /// use kv_engine::{BackupDir, Backups};
    /// let backups = Backups::open(BackupDir::new("/mnt/backups/orders"));
    /// ```
    pub fn open(target: impl BackupTarget) -> Backups {
        Backups { target: Arc::new(target) }
    }

    /// Makes a backup: a new point with all that was written before the call. Reads, writes and
    /// compactions go on. Only files that no earlier point has are copied, and each is compared with
    /// its checksum on the way.
    ///
    /// A store that takes writes puts what is in memory into tables first. A read-only handle does
    /// not: its backup is of the moment that it sees, also beside a live writer.
    ///
    /// Cut anywhere, also by a loss of power, the points that were there stay as they were. While another
    /// backup works in the same place the answer is [`ErrorKind::Locked`].
    ///
    /// ```
    /// # use kv_engine::{BackupDir, Backups, Db, Options};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = Db::in_memory(Options::default())?;
    /// let backups = Backups::open(BackupDir::new(dir.path().join("backups")));
    /// let point = backups.create(&db)?;
    /// println!("point {} has {} bytes, {} of them new", point.number(), point.bytes(), point.copied());
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn create(&self, db: &Db) -> Result<BackupPoint> {
        self.create_with(db, &mut |_| {})
    }

    /// [`Backups::create`] that tells how far it is, in bytes that are copied.
    ///
    /// ```
    /// # use kv_engine::{BackupDir, Backups, Db, Options};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = Db::in_memory(Options::default())?;
    /// # let backups = Backups::open(BackupDir::new(dir.path().join("backups")));
    /// backups.create_with(&db, &mut |at| println!("{} of {} bytes", at.done, at.total))?;
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn create_with(&self, db: &Db, progress: &mut dyn FnMut(Progress)) -> Result<BackupPoint> {
        let engine = db.engine();
        let _lock = self.lock()?;
        let number = self.numbers()?.last().map_or(1, |last| last.saturating_add(1));
        let there: HashMap<String, u64> = self.objects(FILES)?.into_iter().collect();
        let content = engine.backup_content()?;
        let state = content.state.clone();
        let mut point = Point { number, made_ms: engine.now_ms(), copied: 0, state };
        let missing = |file: &Wanted| there.get(&file.object) != Some(&file.size);
        let files: Vec<_> = point.files().filter(missing).collect();
        let mut at = Progress { done: 0, total: files.iter().map(|file| file.size).sum() };
        progress(at);
        for file in &files {
            let mut told = |bytes| {
                at.done += bytes;
                progress(at);
            };
            content.read(file, &mut told)?.put(&*self.target)?;
        }
        point.copied = at.total;
        let written = self.target.put(&path_of(number), &mut point.encode()?.as_slice());
        written.map_err(|e| Error::io("the backup cannot be written", e))?;
        Ok(BackupPoint::of(&point))
    }

    /// All points, the oldest first. One whose description is damaged says so.
    ///
    /// ```
    /// # use kv_engine::{BackupDir, Backups, Db, Options};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = Db::in_memory(Options::default())?;
    /// # let backups = Backups::open(BackupDir::new(dir.path().join("backups")));
    /// backups.create(&db)?;
    /// assert_eq!(backups.list()?.len(), 1);
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn list(&self) -> Result<Vec<BackupPoint>> {
        let mut points = Vec::new();
        for number in self.numbers()? {
            match self.point(number) {
                Ok(point) => points.push(BackupPoint::of(&point)),
                // It was removed meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) if is_damage(&error) => points.push(BackupPoint::damaged(number, error)),
                Err(error) => return Err(error),
            }
        }
        Ok(points)
    }

    /// Reads every byte of every point and compares it with its checksum.
    ///
    /// ```
    /// # use kv_engine::{BackupDir, Backups, Db, Options};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = Db::in_memory(Options::default())?;
    /// # let backups = Backups::open(BackupDir::new(dir.path().join("backups")));
    /// # backups.create(&db)?;
    /// let report = backups.verify()?;
    /// assert!(report.is_ok(), "{report}");
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn verify(&self) -> Result<BackupReport> {
        self.verify_with(&mut |_| {})
    }

    /// [`Backups::verify`] that tells how far it is, in bytes that are read.
    ///
    /// ```
    /// # use kv_engine::{BackupDir, Backups, Db, Options};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = Db::in_memory(Options::default())?;
    /// # let backups = Backups::open(BackupDir::new(dir.path().join("backups")));
    /// # backups.create(&db)?;
    /// backups.verify_with(&mut |at| println!("{} of {} bytes", at.done, at.total))?;
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn verify_with(&self, progress: &mut dyn FnMut(Progress)) -> Result<BackupReport> {
        let mut report = BackupReport::default();
        // Each with the points that name it.
        let mut files: BTreeMap<String, (Wanted, Vec<u64>)> = BTreeMap::new();
        for number in self.numbers()? {
            match self.point(number) {
                Ok(point) => {
                    report.points += 1;
                    for file in point.files() {
                        let entry = files.entry(file.object.clone());
                        entry.or_insert_with(|| (file, Vec::new())).1.push(number);
                    }
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) if is_damage(&error) => report.point_damaged(number, &error),
                Err(error) => return Err(error),
            }
        }
        let total = files.values().map(|(file, _)| file.size).sum();
        let mut at = Progress { done: 0, total };
        progress(at);
        for (file, points) in files.values() {
            let before = at.done;
            let fetched = fetch(&*self.target, file, &mut |part, _| {
                at.done += part.len() as u64;
                progress(at);
                Ok(())
            });
            at.done = before + file.size;
            match fetched {
                Ok(()) => {
                    report.files += 1;
                    report.bytes += file.size;
                }
                // The points that name it were removed meanwhile, and the file behind them.
                Err(_) if self.numbers()?.is_disjoint(&points.iter().copied().collect()) => {}
                Err(error) if is_damage(&error) => {
                    let missing = self.target.get(&file.path()).is_err();
                    report.file_damaged(points, &error, missing);
                }
                Err(error) => return Err(error),
            }
        }
        let unnamed = |(object, _): &(String, u64)| !files.contains_key(object);
        report.unnamed = self.objects(FILES)?.into_iter().filter(unnamed).count();
        Ok(report)
    }

    /// Removes all points but the newest `count`, and then the files that no point names any more.
    /// Cut anywhere, the points that stay are whole. Where the description of one of them is
    /// damaged, nothing is removed: nobody knows what it names.
    ///
    /// ```
    /// # use kv_engine::{BackupDir, Backups, Db, Options};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let db = Db::in_memory(Options::default())?;
    /// # let backups = Backups::open(BackupDir::new(dir.path().join("backups")));
    /// # backups.create(&db)?;
    /// # backups.create(&db)?;
    /// let removed = backups.keep(1)?;
    /// assert_eq!(removed.points(), 1);
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn keep(&self, count: usize) -> Result<Removed> {
        if count == 0 {
            return Err(Error::invalid("at least one point must be kept"));
        }
        let _lock = self.lock()?;
        let numbers: Vec<u64> = self.numbers()?.into_iter().collect();
        let (gone, kept) = numbers.split_at(numbers.len().saturating_sub(count));
        let mut named = HashSet::new();
        for number in kept {
            named.extend(self.point(*number)?.files().map(|file| file.object));
        }
        let failed = |e| Error::io("the backup cannot be removed", e);
        let mut removed = Removed::default();
        for number in gone {
            self.target.delete(&path_of(*number)).map_err(failed)?;
            removed.points += 1;
        }
        for (object, len) in self.objects(FILES)? {
            if is_file(&object) && !named.contains(&object) {
                self.target.delete(&format!("{FILES}/{object}")).map_err(failed)?;
                removed.files += 1;
                removed.bytes += len;
            }
        }
        Ok(removed)
    }

    /// Makes a store of a point in `path`, which must be empty or not there. Of `options` only the
    /// file system counts. The store is another one than that which was backed up, as far as backups
    /// are concerned: its own first backup copies everything.
    ///
    /// Every byte is compared with its checksum, and the directory does not open before all are
    /// right; where one is not, the answer is [`ErrorKind::Corruption`] and nothing stays behind.
    ///
    /// ```no_run
    /// # use kv_engine::{BackupDir, Backups, Options};
    /// let backups = Backups::open(BackupDir::new("/mnt/backups/orders"));
    /// if let Some(newest) = backups.list()?.last() {
    ///     backups.restore(newest.number(), "orders", Options::default())?;
    /// }
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn restore(&self, point: u64, path: impl AsRef<Path>, options: Options) -> Result<()> {
        self.restore_with(point, path, options, &mut |_| {})
    }

    /// [`Backups::restore`] that tells how far it is, in bytes that are written.
    ///
    /// ```no_run
    /// # use kv_engine::{BackupDir, Backups, Options};
    /// let backups = Backups::open(BackupDir::new("/mnt/backups/orders"));
    /// let told = &mut |at: kv_engine::Progress| println!("{} of {} bytes", at.done, at.total);
    /// backups.restore_with(12, "orders", Options::default(), told)?;
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn restore_with(
        &self,
        point: u64,
        path: impl AsRef<Path>,
        options: Options,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<()> {
        let point = self.point(point)?;
        let (path, fs) = (path.as_ref(), Arc::clone(&options.file_system));
        let opening = Opening::new(path, options);
        let target = Target::begin(&*fs, path, &opening)?;
        let mut at = Progress { done: 0, total: point.bytes() };
        progress(at);
        for wanted in point.files() {
            let path = wanted.name.path(path);
            let written = |e| Error::io(format!("{}: write failed", path.display()), e);
            let file = fs.create_new(&path).map_err(written)?;
            fetch(&*self.target, &wanted, &mut |part, offset| {
                file.write_all_at(part, offset).map_err(written)?;
                at.done += part.len() as u64;
                progress(at);
                Ok(())
            })?;
            file.sync_all().map_err(written)?;
        }
        target.sync()?;
        let mut state = point.state;
        state.db_id = new_db_id();
        target.finish(Arc::clone(&fs), state)
    }

    /// Keeps other backups out.
    fn lock(&self) -> Result<Box<dyn Send>> {
        self.target.lock().map_err(|e| match e.kind() {
            io::ErrorKind::WouldBlock => Error::new(
                ErrorKind::Locked,
                "another backup works in the same place; wait until it ends, then try again",
            ),
            io::ErrorKind::InvalidInput => Error::invalid(e.to_string()),
            _ => Error::io("the place for backups cannot be used", e),
        })
    }

    fn objects(&self, folder: &str) -> Result<Vec<(String, u64)>> {
        self.target.list(folder).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                Error::new(ErrorKind::NotFound, format!("there are no backups: {e}"))
            }
            _ => Error::io("the backups cannot be listed", e),
        })
    }

    /// The numbers of the points.
    fn numbers(&self) -> Result<BTreeSet<u64>> {
        Ok(self.objects(POINTS)?.iter().filter_map(|(object, _)| number_of(object)).collect())
    }

    fn point(&self, number: u64) -> Result<Point> {
        let path = path_of(number);
        let failed = |e: io::Error| match e.kind() {
            io::ErrorKind::NotFound => Error::new(
                ErrorKind::NotFound,
                format!("there is no point {number} in the backup; `list` tells which there are"),
            ),
            _ => Error::io(format!("{path} of the backup cannot be read"), e),
        };
        let mut bytes = Vec::new();
        let content = self.target.get(&path).map_err(failed)?;
        content.take(MAX_POINT).read_to_end(&mut bytes).map_err(failed)?;
        Point::decode(&bytes, number)
    }
}

/// Whether it is a backup that is at fault, not a call.
fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corruption | ErrorKind::IncompatibleFormat)
}
