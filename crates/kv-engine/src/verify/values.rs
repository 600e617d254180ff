//! Value files: each by itself, and what the tables say that they refer to.

use super::VerifyReport;
use crate::error::{Error, Result};
use crate::values::ValueFiles;
use kv_core::{Cursor as _, Kind, ValuePointer};
use kv_manifest::{FileMeta, FileName, ValueMeta, ValueRef};
use kv_sstable::{Access, Table, ValueFile};
use kv_vfs::{Fs, Mode};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// How much of a table is read at once.
const READAHEAD: usize = 1 << 20;

/// Checks a value file against itself and against the manifest.
pub(super) fn check(files: &ValueFiles, meta: &ValueMeta, report: &mut VerifyReport) -> Result<()> {
    report.value_files += 1;
    report.bytes += meta.size;
    let checked = files.open(meta).and_then(|file| {
        for error in file.verify() {
            report.take(error.into())?;
        }
        if file.checksum_of_file()? != meta.checksum {
            report.damaged(format!(
                "{} is damaged at offset 0: the checksum of the whole file is not the one in the \
                 manifest",
                file.path().display()
            ));
        }
        Ok(())
    });
    match checked {
        Ok(()) => Ok(()),
        Err(error) => report.take(error),
    }
}

/// Checks a value file of which the manifest says nothing.
pub(super) fn check_alone(
    fs: &dyn Fs,
    dir: &Path,
    number: u64,
    report: &mut VerifyReport,
) -> Result<()> {
    let path = FileName::Values(number).path(dir);
    report.value_files += 1;
    let opened = fs
        .open(&path, Mode::Read)
        .map_err(|e| Error::io(format!("{}: open failed", path.display()), e))
        .and_then(|file| Ok(ValueFile::open_alone(file, path, number)?));
    match opened {
        Ok(file) => {
            report.bytes += file.size();
            file.verify().into_iter().try_for_each(|error| report.take(error.into()))
        }
        Err(error) => report.take(error),
    }
}

/// Checks that each pointer of a table names a record, and that they add up to what the manifest
/// says: from that follows what is alive in each value file.
pub(super) fn check_pointers(
    files: &ValueFiles,
    table: &Arc<Table>,
    meta: &FileMeta,
    report: &mut VerifyReport,
) -> Result<()> {
    let mut found: BTreeMap<u64, u64> = BTreeMap::new();
    let mut open: BTreeMap<u64, Option<Arc<ValueFile>>> = BTreeMap::new();
    let mut cursor = table.cursor(Access::Scan { readahead: READAHEAD });
    cursor.first()?;
    while cursor.valid() {
        if cursor.trailer().kind() == Some(Kind::ValuePointer)
            && let Ok((_, pointer)) = ValuePointer::decode(cursor.value())
        {
            *found.entry(pointer.file).or_default() += u64::from(pointer.stored);
            let file = match open.get(&pointer.file) {
                Some(file) => file.clone(),
                None => {
                    let file = files.open_any(pointer.file);
                    let file = file.map_err(|error| report.take(error)).ok();
                    open.insert(pointer.file, file.clone());
                    file
                }
            };
            if let Some(Err(error)) = file.map(|file| file.check_pointer(&pointer)) {
                report.take(error.into())?;
            }
        }
        cursor.next()?;
    }
    let found: Vec<ValueRef> =
        found.into_iter().map(|(file, bytes)| ValueRef { file, bytes }).collect();
    match found == meta.values {
        true => Ok(()),
        false => Err(Error::corrupt(format!(
            "{}: the table refers to other values than the manifest says",
            table.path().display()
        ))),
    }
}
