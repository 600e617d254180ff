//! A manifest: any bytes as the file that CURRENT names.

use super::bytes::first;
use super::log::{CHECKSUMS, PLACES, write};
use super::{Outcome, records};
use kv_manifest::{Manifest, State};
use kv_vfs::{Fs, MemFs};
use std::path::Path;
use std::sync::Arc;

const NUMBER: u64 = 1;

pub(super) fn run(mut input: &[u8]) -> Outcome {
    let flags = first(&mut input);
    let mut file = input.to_vec();
    if flags & CHECKSUMS != 0 {
        records::forge(&mut file, NUMBER, flags & PLACES != 0);
    }
    let fs = MemFs::volatile();
    let dir = Path::new("/db");
    fs.create_dir(dir).map_err(|e| e.to_string())?;
    write(&fs, &dir.join("MANIFEST-000001"), &file)?;
    write(&fs, &dir.join("CURRENT"), current("MANIFEST-000001").as_bytes())?;
    match Manifest::read(&fs, dir) {
        Ok(Some(state)) => again(state, dir),
        Ok(None) => Err("a CURRENT that is there was overlooked".to_owned()),
        Err(_) => Ok(false),
    }
}

/// The line that names a manifest.
pub(super) fn current(name: &str) -> String {
    format!("{name} {:08x}\n", kv_core::checksum(0, 0, name.as_bytes()))
}

/// A state that was read is written, and read again as the same.
fn again(state: State, dir: &Path) -> Outcome {
    let number = state.next_file;
    if number >= u64::MAX - 1 {
        return Ok(true);
    }
    let fs = Arc::new(MemFs::volatile());
    fs.create_dir(dir).map_err(|e| e.to_string())?;
    let before = shape(&state);
    let made = Manifest::create(Arc::clone(&fs) as Arc<dyn Fs>, dir, state, number);
    made.map_err(|e| format!("a state that was read cannot be written: {e}"))?;
    let read = Manifest::read(&*fs, dir);
    let read = read.map_err(|e| format!("a state that was written cannot be read: {e}"))?;
    if read.map(|state| shape(&state)).as_ref() != Some(&before) {
        return Err("a state that was written is read as another".to_owned());
    }
    Ok(true)
}

/// Everything of a state but the next number, which the new manifest's own raises.
fn shape(state: &State) -> String {
    let tables: Vec<_> = state.version.files().collect();
    format!(
        "{} {} {:?} {} {} {:?} {tables:?}",
        state.last_seq, state.log_floor, state.logs, state.db_id, state.epoch, state.settings
    )
}
