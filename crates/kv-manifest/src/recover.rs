//! From the files of a database to its state. Nothing here writes.

use crate::apply::Replay;
use crate::edit_codec::{Record, Snapshot};
use crate::{Broken, Error, FileName, Result, State, current};
use kv_vfs::{Fs, Mode};
use kv_wal::{RecordReader, Step};
use std::io;
use std::path::Path;

/// How often a reader looks again at a manifest that does not make sense. A live writer may be
/// writing it, or may have put another in its place, between two reads; damage stays.
const LOOKS: usize = 3;

/// What a manifest file says.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) state: State,
    /// Records that change something, behind the snapshot.
    pub(crate) edits: u64,
}

/// The state of the database in `dir`; `None` where there is none.
pub(crate) fn read(fs: &dyn Fs, dir: &Path) -> Result<Option<State>> {
    let mut look = 1;
    loop {
        match read_once(fs, dir) {
            Err(Error::Corrupt { .. }) if look < LOOKS => look += 1,
            outcome => return outcome,
        }
    }
}

fn read_once(fs: &dyn Fs, dir: &Path) -> Result<Option<State>> {
    match current::read(fs, dir)? {
        Some(number) => Ok(Some(read_manifest(fs, dir, number)?.state)),
        None => {
            refuse_lost_current(fs, dir)?;
            Ok(None)
        }
    }
}

/// Reads the manifest `number`: its snapshot, then its edits up to the end or a torn tail.
pub(crate) fn read_manifest(fs: &dyn Fs, dir: &Path, number: u64) -> Result<Recovered> {
    let path = FileName::Manifest(number).path(dir);
    let file = fs.open(&path, Mode::Read).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => Error::corrupt(&path, 0, "CURRENT names it, and it is missing"),
        io::ErrorKind::InvalidInput => Error::corrupt(&path, 0, "it is not a regular file"),
        _ => Error::io(&path, "open", e),
    })?;
    let mut reader = RecordReader::new(file, &path, number)?;
    let mut replay: Option<Replay> = None;
    let mut edits = 0;
    let broken =
        |offset, rule: Broken| Error::corrupt(&path, offset, format!("it breaks the rule {rule}"));
    loop {
        let record = match reader.next()? {
            Step::Record(record) => record,
            Step::Corrupt { offset, reason } => return Err(Error::corrupt(&path, offset, reason)),
            Step::End { offset } | Step::Torn { offset, .. } => {
                // The snapshot was durable before CURRENT named the file: its absence is no
                // torn tail.
                let replay = replay
                    .ok_or_else(|| Error::corrupt(&path, offset, "it has no whole snapshot"))?;
                let mut state = replay.finish().map_err(|rule| broken(offset, rule))?;
                state.saw_number(number);
                return Ok(Recovered { state, edits });
            }
        };
        let offset = record.offset;
        let decoded = Record::decode(record.payload);
        match (decoded.map_err(|refused| Error::refused(&path, offset, refused))?, &mut replay) {
            (Record::Snapshot(snapshot), None) => {
                replay = Some(begin(&snapshot).map_err(|rule| broken(offset, rule))?);
            }
            (Record::Edit(edit), Some(replay)) => {
                replay.apply(&edit).map_err(|rule| broken(offset, rule))?;
                edits += 1;
            }
            (Record::Mark, Some(_)) => {}
            (Record::Snapshot(_), Some(_)) => {
                return Err(Error::corrupt(&path, offset, "a second snapshot lies there"));
            }
            (_, None) => {
                return Err(Error::corrupt(&path, offset, "it does not begin with a snapshot"));
            }
        }
    }
}

/// The state of a snapshot, to be finished.
pub(crate) fn begin(snapshot: &Snapshot) -> std::result::Result<Replay, Broken> {
    let mut state = State::new(snapshot.db_id);
    state.epoch = snapshot.epoch;
    state.format_version = snapshot.format_version;
    let mut replay = Replay::new(state);
    replay.apply(&snapshot.contents)?;
    Ok(replay)
}

/// Tells a creation that was cut, which leaves no `CURRENT`, from a database that lost it: only
/// the latter has tables, or a manifest that was used.
fn refuse_lost_current(fs: &dyn Fs, dir: &Path) -> Result<()> {
    let entries = match fs.list(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::io(dir, "list", e)),
    };
    for entry in entries {
        let used = match FileName::parse(&entry.name) {
            Some(FileName::Table(_) | FileName::Values(_)) => true,
            Some(FileName::Manifest(number)) => match read_manifest(fs, dir, number) {
                Ok(found) => found.edits > 0 || found.state.last_seq > 0,
                Err(error @ Error::Io { .. }) => return Err(error),
                Err(_) => false,
            },
            _ => false,
        };
        if used {
            let reason = format!(
                "it is missing, though {} is there: a checkpoint, restore or repair that was not \
                 finished, which can be removed, or a store that lost the file",
                entry.name
            );
            return Err(Error::corrupt(&FileName::Current.path(dir), 0, reason));
        }
    }
    Ok(())
}
