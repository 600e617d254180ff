//! The file `CURRENT`: one line with the name of the manifest that counts and a checksum of it.
//! Replaced by a rename, so that it names the old manifest or the new one, never none.

use crate::{Error, FileName, Result};
use kv_core::checksum;
use kv_vfs::testing::{bug, planted};
use kv_vfs::{Fs, FsFileExt, Mode};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// More than any line that [`encode`] makes.
const MAX_LEN: usize = 64;

/// The contents of `CURRENT` that name the manifest `number`.
pub(crate) fn encode(number: u64) -> String {
    let name = FileName::Manifest(number).to_string();
    let crc = checksum(0, 0, name.as_bytes());
    format!("{name} {crc:08x}\n")
}

/// The number in `bytes`. Only what [`encode`] makes is accepted, to the last bit.
fn decode(bytes: &[u8]) -> Option<u64> {
    let line = str::from_utf8(bytes).ok()?;
    let FileName::Manifest(number) = FileName::parse(line.split(' ').next()?)? else { return None };
    (encode(number) == line).then_some(number)
}

/// The number of the manifest that counts, `None` where there is no `CURRENT`.
pub(crate) fn read(fs: &dyn Fs, dir: &Path) -> Result<Option<u64>> {
    let path = FileName::Current.path(dir);
    let file = match fs.open(&path, Mode::Read) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) if e.kind() == io::ErrorKind::InvalidInput => {
            return Err(Error::corrupt(&path, 0, "it is not a regular file"));
        }
        Err(e) => return Err(Error::io(&path, "open", e)),
    };
    let mut buffer = [0; MAX_LEN];
    let len = file.read_full_at(&mut buffer, 0).map_err(|e| Error::io(&path, "read", e))?;
    match decode(buffer.get(..len).unwrap_or_default()) {
        Some(number) => Ok(Some(number)),
        None => Err(Error::corrupt(&path, 0, "it does not name a manifest")),
    }
}

/// Writes, beside `CURRENT`, the file that is to replace it, and makes its contents durable.
pub(crate) fn prepare(fs: &dyn Fs, dir: &Path, number: u64) -> Result<()> {
    let path = FileName::Temp.path(dir);
    discard(fs, dir)?;
    let file = fs.create_new(&path).map_err(|e| Error::io(&path, "create", e))?;
    let line = encode(number);
    file.write_all_at(line.as_bytes(), 0).map_err(|e| Error::io(&path, "write", e))?;
    if planted(bug::CURRENT_NOT_SYNCED) {
        return Ok(());
    }
    file.sync_data().map_err(|e| Error::io(&path, "sync", e))
}

/// Removes what a `prepare` left that nobody switched to.
pub(crate) fn discard(fs: &dyn Fs, dir: &Path) -> Result<()> {
    let path = FileName::Temp.path(dir);
    match fs.remove(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io(&path, "remove", e)),
        _ => Ok(()),
    }
}

/// Makes the prepared file `CURRENT`, for good once this has answered. After an error either may
/// count, so that even a full disk is no error that a caller may retry.
pub(crate) fn switch(fs: &dyn Fs, dir: &Path) -> Result<()> {
    let path = FileName::Current.path(dir);
    let renamed = fs.rename(&FileName::Temp.path(dir), &path);
    let outcome = match planted(bug::SWITCH_NOT_SYNCED) {
        true => renamed,
        false => renamed.and_then(|()| fs.sync_dir(dir)),
    };
    outcome.map_err(|e| Error::Io { path, op: "replace", source: Arc::new(e) })
}

pub(crate) fn sync_dir(fs: &dyn Fs, dir: &Path) -> Result<()> {
    fs.sync_dir(dir).map_err(|e| Error::io(dir, "sync the directory", e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_line_is_accepted() {
        for number in [0, 7, 1_000_000, u64::MAX] {
            let line = encode(number);
            assert!(line.len() < MAX_LEN);
            assert_eq!(decode(line.as_bytes()), Some(number));
            for i in 0..line.len() {
                assert_eq!(decode(&line.as_bytes()[..i]), None, "cut at {i}");
                for bit in 0..8 {
                    let mut bent = line.clone().into_bytes();
                    bent[i] ^= 1 << bit;
                    assert_eq!(decode(&bent), None, "bit {bit} of byte {i}");
                }
            }
            assert_eq!(decode(format!("{line} ").as_bytes()), None);
        }
    }
}
