//! All that the manifest knows.

use crate::edit_codec::{Record, Snapshot};
use crate::recover::begin;
use crate::{Error, Result, Version};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// The format that this code writes where there are value files. It reads all from 1 on.
pub const FORMAT_VERSION: u32 = 2;
/// The format that it writes where there are none: what the first release wrote.
pub(crate) const WITHOUT_VALUES: u32 = 1;

/// The database at one moment, apart from what its logs hold.
///
/// ```
/// use kv_manifest::{Error, FORMAT_VERSION, State};
/// use std::path::Path;
///
/// let mut state = State::new(42);
/// // A file with this number lies in the directory already.
/// state.saw_number(7);
/// assert_eq!(state.next_file, 8);
///
/// // A backup keeps the state in a file of its own.
/// let (bytes, path) = (state.encode(), Path::new("/backup/1"));
/// let read = State::decode(&bytes, path, 0)?;
/// assert_eq!((read.db_id, read.next_file), (42, 8));
/// assert!(read.format_version <= FORMAT_VERSION);
/// let cut = State::decode(&bytes[..bytes.len() - 1], path, 0);
/// assert!(matches!(cut, Err(Error::Corrupt { .. })));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct State {
    /// Its tables.
    pub version: Arc<Version>,
    /// The next file number to give: greater than every number ever given.
    pub next_file: u64,
    /// No table holds a greater sequence number.
    pub last_seq: u64,
    /// Log segments below this number are obsolete.
    pub log_floor: u64,
    /// Log segments from the floor on that were created: they must exist.
    pub logs: BTreeSet<u64>,
    /// Tells this database from every other.
    pub db_id: u128,
    /// Grows when ownership of the files changes.
    pub epoch: u64,
    /// The settings kept beside the data, as the engine encodes them.
    pub settings: Bytes,
    /// The format of the manifest that this state came from.
    pub format_version: u32,
}

impl State {
    /// A new, empty database.
    pub fn new(db_id: u128) -> State {
        State {
            version: Arc::default(),
            next_file: 1,
            last_seq: 0,
            log_floor: 0,
            logs: BTreeSet::new(),
            db_id,
            epoch: 1,
            settings: Bytes::new(),
            format_version: WITHOUT_VALUES,
        }
    }

    /// Makes sure that `number` is never given again; for names found in the directory.
    pub fn saw_number(&mut self, number: u64) {
        self.next_file = self.next_file.max(number.saturating_add(1));
    }

    /// The state as a record of a manifest without its frame, to be kept elsewhere.
    pub fn encode(&self) -> Vec<u8> {
        Record::Snapshot(Snapshot::of(self)).encode()
    }

    /// What [`State::encode`] wrote, with every rule checked. Errors name `path`, the file that
    /// holds it, and `offset`, its place there.
    pub fn decode(bytes: &[u8], path: &Path, offset: u64) -> Result<State> {
        let record = Record::decode(bytes);
        match record.map_err(|refused| Error::refused(path, offset, refused))? {
            Record::Snapshot(snapshot) => begin(&snapshot)
                .and_then(crate::apply::Replay::finish)
                .map_err(|rule| Error::corrupt(path, offset, format!("it breaks the rule {rule}"))),
            _ => Err(Error::corrupt(path, offset, "it holds no state")),
        }
    }
}
