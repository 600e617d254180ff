//! Long values of the old store: a table that can be read points to them.

use super::report::{Part, RepairReport};
use super::sources::refused;
use crate::error::{Error, ErrorKind, Result};
use kv_core::{Kind, Trailer, ValuePointer};
use kv_manifest::FileName;
use kv_sstable::ValueFile;
use kv_vfs::{Fs, Mode};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The value files of the old store. Each record vouches for itself, so neither a footer nor a
/// manifest is needed.
pub(super) struct OldValues<'a> {
    fs: &'a dyn Fs,
    from: &'a Path,
    /// None for a file that is not there.
    open: BTreeMap<u64, Option<Arc<ValueFile>>>,
}

impl<'a> OldValues<'a> {
    pub(super) fn new(fs: &'a dyn Fs, from: &'a Path) -> OldValues<'a> {
        OldValues { fs, from, open: BTreeMap::new() }
    }

    /// What an entry holds, its value in it: `None` where it holds none, or where that is damaged
    /// or missing, which goes into the report. An error is one of the operating system.
    pub(super) fn held<'v>(
        &mut self,
        trailer: Trailer,
        stored: &'v [u8],
        report: &mut RepairReport,
    ) -> Result<Option<(Trailer, Cow<'v, [u8]>)>> {
        match trailer.kind() {
            Some(Kind::Put | Kind::PutExpiring) => Ok(Some((trailer, Cow::Borrowed(stored)))),
            Some(Kind::ValuePointer) => {
                let Ok((expiry, pointer)) = ValuePointer::decode(stored) else { return Ok(None) };
                let Some(file) = self.file(pointer.file)? else {
                    lose(&pointer, "the file is missing", report);
                    return Ok(None);
                };
                match file.read(&pointer).map_err(Error::from) {
                    Ok(value) => Ok(Some(match expiry {
                        None => (Trailer::new(trailer.seq(), Kind::Put), value.to_vec().into()),
                        Some(expiry) => {
                            let joined = [&expiry.to_le_bytes()[..], &value].concat();
                            (Trailer::new(trailer.seq(), Kind::PutExpiring), joined.into())
                        }
                    })),
                    Err(error) if error.kind() == ErrorKind::Corruption => {
                        lose(&pointer, &error.to_string(), report);
                        Ok(None)
                    }
                    Err(error) => Err(error),
                }
            }
            _ => Ok(None),
        }
    }

    fn file(&mut self, number: u64) -> Result<Option<Arc<ValueFile>>> {
        if let Some(file) = self.open.get(&number) {
            return Ok(file.clone());
        }
        let path = FileName::Values(number).path(self.from);
        let file = match self.fs.open(&path, Mode::Read) {
            Ok(file) => Some(ValueFile::open_alone(file, path, number)?),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(refused(&path, "cannot be opened", e)),
        };
        self.open.insert(number, file.clone());
        Ok(file)
    }
}

fn lose(pointer: &ValuePointer, why: &str, report: &mut RepairReport) {
    let name = FileName::Values(pointer.file).to_string();
    let end = pointer.offset.saturating_add(u64::from(pointer.stored));
    let reason = format!("a value cannot be read: {why}");
    report.lose(&name, Part { offset: pointer.offset, end, reason, data: true, keys: None });
    report.lose_entries(&name, 1);
}
