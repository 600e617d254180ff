//! What can still be told of a database whose manifest is damaged. Nothing here writes.

use crate::edit_codec::Record;
use crate::{Error, FileMeta, FileName, Result, State, VersionEdit, current, recover};
use kv_vfs::{Fs, Mode};
use kv_wal::{Found, RecordKind, RecordScanner};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the manifest says, as far as it can be read.
#[derive(Clone, Debug, Default)]
pub struct Examined {
    /// The state, where the whole of the manifest that counts could be read.
    pub state: Option<State>,
    /// All damage to CURRENT and to the manifest; empty where both are sound.
    pub damage: Vec<Error>,
    /// The manifest that was read.
    pub manifest: Option<u64>,
    /// Tables that some readable record added and no later one took away, with their level.
    pub tables: BTreeMap<u64, (usize, Arc<FileMeta>)>,
    /// Tables that some readable record took away and no later one added.
    pub gone: BTreeSet<u64>,
    /// Tables that may belong to edits which the manifest has lost: files that it names are gone,
    /// and these are younger than it and in no record of it. Empty where there is no doubt.
    pub unknown: BTreeSet<u64>,
    /// The greatest next file number in any readable record.
    pub next_file: u64,
    /// The greatest last sequence number in any readable record.
    pub last_seq: u64,
    /// Logs below this number are obsolete.
    pub log_floor: u64,
    /// The places of the damage.
    noted: BTreeSet<(PathBuf, u64)>,
}

/// So much damage is listed; what lies behind it in the manifest is read all the same.
const MAX_DAMAGE: usize = 1000;

/// Reads CURRENT and the manifest in `dir`, going on behind damage. Where CURRENT cannot be read
/// the newest manifest with a readable snapshot stands in: it was complete and durable before
/// CURRENT could name it. An error is one of the operating system, or a newer format.
///
/// ```
/// use kv_manifest::{Examined, FileMeta, FileName, Manifest, State, VersionEdit, examine};
/// use kv_vfs::{Fs, MemFs};
/// # use std::{path::Path, sync::Arc};
/// # let (fs, dir) = (Arc::new(MemFs::new()), Path::new("/db"));
/// # fs.create_dir(dir)?;
/// # let (smallest, largest) = ("apple".into(), "plum".into());
/// # let table = FileMeta { number: 5, entries: 2, smallest, largest, ..FileMeta::default() };
/// let mut manifest = Manifest::create(fs.clone(), dir, State::new(42), 1)?;
/// manifest.apply(VersionEdit { added: vec![(0, Arc::new(table))], ..VersionEdit::default() })?;
///
/// // Without CURRENT the database does not open, but nothing that the manifest says is lost.
/// fs.remove(&FileName::Current.path(dir))?;
/// assert!(Manifest::read(&*fs, dir).is_err());
/// let found: Examined = examine(&*fs, dir)?;
/// assert_eq!((found.manifest, found.damage.len()), (Some(1), 1));
/// assert!(found.tables.contains_key(&5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn examine(fs: &dyn Fs, dir: &Path) -> Result<Examined> {
    let mut found = Examined::default();
    match recover::read(fs, dir) {
        Ok(Some(state)) => {
            found.manifest = current::read(fs, dir)?;
            found.take_state(state);
            found.doubt_if_stale(fs, dir)?;
            return Ok(found);
        }
        Ok(None) => {}
        Err(error @ Error::Corrupt { .. }) => found.note(error)?,
        Err(error) => return Err(error),
    }
    let named = match current::read(fs, dir) {
        Ok(named) => named,
        Err(Error::Corrupt { .. }) => None,
        Err(error) => return Err(error),
    };
    let entries = fs.list(dir).map_err(|e| Error::io(dir, "list", e))?;
    let names = entries.iter().filter_map(|entry| FileName::parse(&entry.name));
    let on_disk = names.filter_map(|name| match name {
        FileName::Manifest(number) => Some(number),
        _ => None,
    });
    let mut manifests: Vec<u64> = on_disk.collect();
    manifests.sort_unstable_by(|a, b| b.cmp(a));
    if let Some(named) = named.filter(|named| manifests.contains(named)) {
        manifests = vec![named];
    }
    for number in manifests {
        // Where CURRENT is lost, what it named may not be.
        match recover::read_manifest(fs, dir, number) {
            Ok(whole) => {
                found.manifest = Some(number);
                found.take_state(whole.state);
                found.doubt_if_stale(fs, dir)?;
                break;
            }
            Err(Error::Corrupt { .. }) => {}
            Err(error) => return Err(error),
        }
        if found.read_what_is_left(fs, dir, number)? {
            found.manifest = Some(number);
            break;
        }
    }
    Ok(found)
}

impl Examined {
    fn take_state(&mut self, state: State) {
        self.tables = state
            .version
            .files()
            .map(|(level, file)| (file.number, (level, Arc::clone(file))))
            .collect();
        self.next_file = state.next_file;
        self.last_seq = state.last_seq;
        self.log_floor = state.log_floor;
        self.state = Some(state);
    }

    /// A manifest that was cut between two edits looks whole. Where files that it names are gone
    /// while there are tables that no record of it knows, its last edits may be lost.
    fn doubt_if_stale(&mut self, fs: &dyn Fs, dir: &Path) -> Result<()> {
        let (Some(state), Some(number)) = (&self.state, self.manifest) else { return Ok(()) };
        let entries = fs.list(dir).map_err(|e| Error::io(dir, "list", e))?;
        let names: BTreeSet<FileName> =
            entries.iter().filter_map(|entry| FileName::parse(&entry.name)).collect();
        let needed = self.tables.keys().map(|number| FileName::Table(*number));
        let values = state.version.values().iter().map(|v| FileName::Values(v.meta.number));
        let logs = state.logs.iter().map(|number| FileName::Log(*number));
        let missing = needed.chain(values).chain(logs).any(|name| !names.contains(&name));
        if !missing {
            return Ok(());
        }
        let mut read = Examined::default();
        read.read_what_is_left(fs, dir, number)?;
        // Numbers are given in order: what is older than the manifest, a snapshot would name.
        let unknown = names.iter().filter_map(|name| match name {
            FileName::Table(table) if *table > number => Some(*table),
            _ => None,
        });
        self.unknown = unknown
            .filter(|table| !self.tables.contains_key(table) && !read.gone.contains(table))
            .collect();
        if !self.unknown.is_empty() {
            self.note(Error::corrupt(
                &FileName::Manifest(number).path(dir),
                0,
                "files that it names are missing, and there are tables that it does not know: \
                 either these files were removed, or its last edits are lost",
            ))?;
        }
        Ok(())
    }

    /// Takes what the readable records of a manifest say; answers whether there is any.
    fn read_what_is_left(&mut self, fs: &dyn Fs, dir: &Path, number: u64) -> Result<bool> {
        let path = FileName::Manifest(number).path(dir);
        let file = fs.open(&path, Mode::Read).map_err(|e| Error::io(&path, "open", e))?;
        let mut scanner = RecordScanner::new(file, &path, number)?;
        let mut any = false;
        loop {
            match scanner.next()? {
                Found::Record(record) if record.kind == RecordKind::Data => {
                    match Record::decode(record.payload) {
                        Ok(decoded) => {
                            any = true;
                            self.take_record(decoded);
                        }
                        Err(refused) => {
                            let offset = record.offset;
                            self.note(Error::refused(&path, offset, refused))?;
                        }
                    }
                }
                Found::Record(_) => {}
                Found::Damage { offset, reason, .. } => {
                    self.note(Error::corrupt(&path, offset, reason))?;
                }
                Found::End { .. } => return Ok(any),
            }
        }
    }

    /// Keeps damage, once for each place; a newer format is no damage.
    fn note(&mut self, error: Error) -> Result<()> {
        let Error::Corrupt { path, offset, .. } = &error else { return Err(error) };
        let new = self.noted.insert((path.clone(), *offset));
        if new && self.damage.len() < MAX_DAMAGE {
            self.damage.push(error);
        }
        Ok(())
    }

    fn take_record(&mut self, record: Record) {
        match record {
            Record::Snapshot(snapshot) => self.take_edit(&snapshot.contents),
            Record::Edit(edit) => self.take_edit(&edit),
            Record::Mark => {}
        }
    }

    fn take_edit(&mut self, edit: &VersionEdit) {
        for (_, number) in &edit.deleted {
            self.tables.remove(number);
            self.gone.insert(*number);
        }
        for (level, file) in &edit.added {
            self.gone.remove(&file.number);
            self.tables.insert(file.number, (*level, Arc::clone(file)));
            self.last_seq = self.last_seq.max(file.max_seq);
        }
        self.next_file = self.next_file.max(edit.next_file.unwrap_or(0));
        self.last_seq = self.last_seq.max(edit.last_seq.unwrap_or(0));
        self.log_floor = self.log_floor.max(edit.log_floor.unwrap_or(0));
    }
}
