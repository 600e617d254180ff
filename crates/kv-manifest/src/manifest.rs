//! The manifest of an open database: takes edits, makes them durable, and begins a new file when
//! the old one has grown.

use crate::edit_codec::{Record, Snapshot};
use crate::{Error, FileName, Result, State, Version, VersionEdit, current, recover};
use kv_vfs::Fs;
use kv_vfs::testing::{Mark, bug, manifest_slack, mark, planted};
use kv_wal::FrameWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How much a manifest may grow beyond twice its snapshot before a new one is begun.
const SLACK: u64 = 1 << 20;
/// How much it grows before the next attempt where the disk was too full for a new one.
const PATIENCE: u64 = 64 << 10;

/// The state of a database and the file that remembers it.
///
/// An edit is durable before it counts. The first failed write or sync is final: what the disk
/// holds is unknown from then on, so every later edit answers [`Error::Poisoned`], and nothing is
/// removed any more. A full disk that is noticed before anything was written is not: the same
/// edit may be tried again.
///
/// ```
/// use kv_manifest::{Manifest, State, VersionEdit};
/// use kv_vfs::{Fs, MemFs};
/// use std::{path::Path, sync::Arc};
///
/// let (fs, dir) = (Arc::new(MemFs::new()), Path::new("/db"));
/// fs.create_dir(dir)?;
/// assert!(Manifest::read(&*fs, dir)?.is_none());
/// let mut manifest = Manifest::create(fs.clone(), dir, State::new(42), 1)?;
/// let log = manifest.new_file_number();
/// manifest.apply(VersionEdit { logs_added: vec![log], ..VersionEdit::default() })?;
/// let state = Manifest::read(&*fs, dir)?.ok_or("no database")?;
/// assert!(state.logs.contains(&log) && state.next_file > log);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Manifest {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    state: State,
    number: u64,
    writer: FrameWriter,
    /// How much it grows beyond twice what it begins with.
    slack: u64,
    /// The length at which the next edit begins a new file.
    roll_at: u64,
    failure: Option<Arc<Error>>,
}

impl Manifest {
    /// The state of the database in `dir`, and nothing is changed; `None` where there is no
    /// database, or one whose creation was cut. A torn tail is an edit that never counted;
    /// anything else that is not whole is [`Error::Corrupt`].
    pub fn read(fs: &dyn Fs, dir: &Path) -> Result<Option<State>> {
        recover::read(fs, dir)
    }

    /// Writes `state` as a new manifest `number`, makes it the one that counts, then removes the
    /// others: for a new database, and for each opening for writing. `dir` exists, `number` is
    /// above every number in it.
    ///
    /// Cut anywhere, the database is the one before or the one after.
    pub fn create(fs: Arc<dyn Fs>, dir: &Path, mut state: State, number: u64) -> Result<Manifest> {
        state.saw_number(number);
        state.check()?;
        let writer = write_snapshot(&*fs, dir, &state, number)?;
        current::switch(&*fs, dir)?;
        let slack = manifest_slack(SLACK);
        let roll_at = roll_at(&writer, slack);
        let dir = dir.to_path_buf();
        let manifest = Manifest { fs, dir, state, number, writer, slack, roll_at, failure: None };
        manifest.remove_others();
        Ok(manifest)
    }

    /// The same, but it begins a new file when it has grown by so many bytes beyond twice what it
    /// began with, where that is less than usual: for a store that must stay small.
    ///
    /// ```
    /// use kv_manifest::{FileName, Manifest, State, VersionEdit};
    /// use kv_vfs::{Fs, MemFs};
    /// # use std::{path::Path, sync::Arc};
    /// # let (fs, dir) = (Arc::new(MemFs::new()), Path::new("/db"));
    /// # fs.create_dir(dir)?;
    /// let manifest = Manifest::create(fs.clone(), dir, State::new(42), 1)?;
    /// let mut manifest = manifest.growing(Some(4096));
    /// while manifest.number() == 1 {
    ///     assert!(manifest.file_size() < 8192);
    ///     let log = manifest.new_file_number();
    ///     let (logs_added, log_floor) = (vec![log], Some(log));
    ///     manifest.apply(VersionEdit { logs_added, log_floor, ..VersionEdit::default() })?;
    /// }
    /// // A new file begins with all that counts, and the old one is gone.
    /// assert!(manifest.file_size() < 4096);
    /// assert_eq!(manifest.state().logs.len(), 1);
    /// assert!(fs.metadata(&FileName::Manifest(1).path(dir)).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn growing(mut self, slack: Option<u64>) -> Manifest {
        self.slack = slack.map_or(self.slack, |slack| slack.min(self.slack));
        self.roll_at = roll_at(&self.writer, self.slack);
        self
    }

    /// Applies `edit` and answers the version behind it, which is durable then.
    pub fn apply(&mut self, edit: VersionEdit) -> Result<Arc<Version>> {
        if let Some(cause) = &self.failure {
            return Err(Error::Poisoned { cause: Arc::clone(cause) });
        }
        self.apply_unless_failed(edit).inspect_err(|error| {
            if !matches!(error, Error::NoSpace { .. } | Error::Broken(_)) {
                self.failure = Some(Arc::new(error.clone()));
            }
        })
    }

    fn apply_unless_failed(&mut self, mut edit: VersionEdit) -> Result<Arc<Version>> {
        // Before a roll-over takes a number: the caller has given these.
        self.state.next_file = self.state.next_file.max(edit.next_file.unwrap_or(0));
        if self.writer.offset() >= self.roll_at {
            self.roll()?;
        }
        edit.next_file = edit.next_file.max(Some(self.state.next_file));
        let next = self.state.apply(&edit)?;
        if planted(bug::MANIFEST_STOPS) && next.next_file > 12 {
            self.state = next;
            return Ok(Arc::clone(&self.state.version));
        }
        self.writer.append(next.last_seq, &[&Record::Edit(edit).encode()])?;
        self.writer.sync()?;
        match self.writer.append(next.last_seq, &[&Record::Mark.encode()]) {
            // The mark only helps to tell damage from a torn tail; the edit counts without it.
            Ok(_) | Err(kv_wal::Error::NoSpace { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        self.state = next;
        Ok(Arc::clone(&self.state.version))
    }

    /// Goes on in a new file. Where the disk is too full for one, the old file goes on.
    fn roll(&mut self) -> Result<()> {
        let number = self.new_file_number();
        match write_snapshot(&*self.fs, &self.dir, &self.state, number) {
            Ok(writer) => {
                mark(Mark::ManifestRolled);
                current::switch(&*self.fs, &self.dir)?;
                self.number = number;
                self.roll_at = roll_at(&writer, self.slack);
                self.writer = writer;
                self.remove_others();
            }
            Err(_) if planted(bug::GOOD_MANIFEST_REMOVED) => {
                self.number = number;
                self.remove_others();
            }
            Err(Error::NoSpace { .. }) => {
                self.roll_at = self.writer.offset().saturating_add(PATIENCE);
                // CURRENT does not name it, and the space is needed.
                self.remove(FileName::Manifest(number));
                self.remove(FileName::Temp);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// What counts now.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// A number that no file has had. The next edit makes that last.
    pub fn new_file_number(&mut self) -> u64 {
        let number = self.state.next_file;
        self.state.saw_number(number);
        number
    }

    /// The number of the file itself.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Bytes of the file's records.
    pub fn file_size(&self) -> u64 {
        self.writer.offset()
    }

    /// Removes the manifests that do not count; only after the switch to this one is durable.
    fn remove_others(&self) {
        let entries = self.fs.list(&self.dir).unwrap_or_default();
        let names = entries.iter().filter_map(|entry| FileName::parse(&entry.name));
        for name in names {
            if matches!(name, FileName::Manifest(number) if number != self.number) {
                self.remove(name);
            }
        }
    }

    /// Removes a file that nothing names. Left behind it does no harm, and the next manifest's
    /// beginning removes it, so an error needs no answer.
    fn remove(&self, name: FileName) {
        let _ = self.fs.remove(&name.path(&self.dir));
    }
}

fn roll_at(writer: &FrameWriter, slack: u64) -> u64 {
    writer.offset().saturating_mul(2).saturating_add(slack)
}

/// Writes manifest `number` with `state` and the file that is to become `CURRENT`, and makes
/// both, and their names, durable. What counted before still does.
fn write_snapshot(fs: &dyn Fs, dir: &Path, state: &State, number: u64) -> Result<FrameWriter> {
    let path = FileName::Manifest(number).path(dir);
    let file = fs.create_new(&path).map_err(|e| Error::io(&path, "create", e))?;
    let mut writer = FrameWriter::new(file, path, number);
    writer.append(state.last_seq, &[&Record::Snapshot(Snapshot::of(state)).encode()])?;
    if !planted(bug::SNAPSHOT_NOT_SYNCED) {
        writer.sync()?;
    }
    current::prepare(fs, dir, number)?;
    current::sync_dir(fs, dir)?;
    Ok(writer)
}
