//! How far those have come who read the changes: a small file for each, in the directory
//! `consumers` of the store, replaced by a rename. Document: docs/format/consumer.md.

use crate::error::{Error, ErrorKind, Result};
use kv_core::{SeqNo, checksum};
use kv_vfs::{FileKind, Fs, FsFileExt, Mode};
use std::io;
use std::path::{Path, PathBuf};

/// The directory of the files, in that of the store.
pub(crate) const DIR: &str = "consumers";
/// More than any line that [`encode`] makes.
const MAX_LEN: usize = 64;
const MAX_NAME_LEN: usize = 64;

/// The line of a consumer that needs nothing up to `seq` any more.
fn encode(seq: SeqNo) -> String {
    let digits = seq.to_string();
    let crc = checksum(0, 0, digits.as_bytes());
    format!("{digits} {crc:08x}\n")
}

/// Only what [`encode`] makes is accepted.
fn decode(bytes: &[u8]) -> Option<SeqNo> {
    let line = str::from_utf8(bytes).ok()?;
    let seq = line.split(' ').next()?.parse().ok()?;
    (encode(seq) == line).then_some(seq)
}

fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=MAX_NAME_LEN).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(plain)
}

fn path_of(store: &Path, name: &str) -> Result<PathBuf> {
    if !is_name(name) {
        return Err(Error::invalid(format!(
            "a consumer's name has 1 to {MAX_NAME_LEN} letters, digits, hyphens, underscores and \
             dots, and does not begin with a dot"
        )));
    }
    Ok(store.join(DIR).join(name))
}

/// The consumers, by name. The position of one whose file is damaged is not known.
pub(super) fn list(fs: &dyn Fs, store: &Path) -> Result<Vec<(String, Result<SeqNo>)>> {
    let dir = store.join(DIR);
    let entries = match fs.list(&dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io(format!("{}: cannot be listed", dir.display()), e)),
    };
    let files = entries.into_iter().filter(|entry| entry.kind == FileKind::File);
    let names = files.map(|entry| entry.name).filter(|name| is_name(name));
    Ok(names
        .filter_map(|name| match read(fs, store, &name) {
            // It went meanwhile.
            Ok(None) => None,
            Ok(Some(seq)) => Some((name, Ok(seq))),
            Err(error) => Some((name, Err(error))),
        })
        .collect())
}

/// Where a consumer is, if there is one of this name.
pub(super) fn read(fs: &dyn Fs, store: &Path, name: &str) -> Result<Option<SeqNo>> {
    let path = path_of(store, name)?;
    let failed = |e| Error::io(format!("{}: read failed", path.display()), e);
    let file = match fs.open(&path, Mode::Read) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(e)),
    };
    let mut buffer = [0; MAX_LEN];
    let len = file.read_full_at(&mut buffer, 0).map_err(failed)?;
    match decode(buffer.get(..len).unwrap_or_default()) {
        Some(seq) => Ok(Some(seq)),
        None => Err(Error::corrupt(format!(
            "{} is damaged at offset 0: it does not name a sequence number; acknowledge again, or \
             remove it",
            path.display()
        ))),
    }
}

/// Makes a consumer, or moves it; durable when it returns.
pub(super) fn write(fs: &dyn Fs, store: &Path, name: &str, seq: SeqNo) -> Result<()> {
    let path = path_of(store, name)?;
    let failed = |e| Error::io(format!("{}: write failed", path.display()), e);
    let dir = store.join(DIR);
    match fs.create_dir(&dir) {
        Ok(()) => fs.sync_dir(store).map_err(failed)?,
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
        Err(e) => return Err(failed(e)),
    }
    let next = dir.join(format!(".{name}.tmp"));
    match fs.remove(&next) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(e)),
        _ => {}
    }
    let file = fs.create_new(&next).map_err(failed)?;
    file.write_all_at(encode(seq).as_bytes(), 0).map_err(failed)?;
    file.sync_data().map_err(failed)?;
    fs.rename(&next, &path).map_err(failed)?;
    fs.sync_dir(&dir).map_err(failed)
}

/// Ends a consumer; `NotFound` where there is none.
pub(super) fn remove(fs: &dyn Fs, store: &Path, name: &str) -> Result<()> {
    let path = path_of(store, name)?;
    fs.remove(&path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => unknown(name),
        _ => Error::io(format!("{}: cannot be removed", path.display()), e),
    })?;
    let dir = store.join(DIR);
    fs.sync_dir(&dir).map_err(|e| Error::io(format!("{}: sync failed", dir.display()), e))
}

/// The answer to the name of nobody.
pub(super) fn unknown(name: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no consumer {name:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_written_is_read() {
        for seq in [0, 1, 4_711, u64::MAX] {
            let line = encode(seq);
            assert_eq!(decode(line.as_bytes()), Some(seq));
            for at in 0..line.len() {
                let mut bad = line.clone().into_bytes();
                bad[at] ^= 1;
                assert_eq!(decode(&bad), None, "{seq} at {at}");
                assert_eq!(decode(&line.as_bytes()[..at]), None);
            }
        }
    }

    #[test]
    fn names_are_plain_file_names() {
        for good in ["a", "replica-1", "A_b.c", &"x".repeat(64)] {
            assert!(is_name(good), "{good}");
        }
        for bad in ["", ".", "..", ".a.tmp", "a/b", "a b", "ä", &"x".repeat(65)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
