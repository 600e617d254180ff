//! A manifest as text, record by record, for people who look into a file.

use crate::edit_codec::Record;
use crate::{Error, FileMeta, Result, VersionEdit};
use kv_vfs::FsFile;
use kv_wal::{Found, RecordScanner};
use std::fmt::{self, Write};
use std::path::Path;
use std::sync::Arc;

/// How many damaged parts a dump has shown, or that its text was not taken.
pub type Dumped = std::result::Result<u64, fmt::Error>;

/// Writes every record of the manifest `number` with its place and meaning; keys of bounds are
/// escaped. What is damaged is shown as such, and the rest all the same. Answers how many damaged
/// parts there are. The outer error is one of the operating system, the inner comes from `out`.
///
/// ```
/// use kv_manifest::{Dumped, FileName, Manifest, State, VersionEdit, dump};
/// use kv_vfs::{Fs, MemFs, Mode};
/// # use std::{path::Path, sync::Arc};
/// # let (fs, dir) = (Arc::new(MemFs::new()), Path::new("/db"));
/// # fs.create_dir(dir)?;
/// let mut manifest = Manifest::create(fs.clone(), dir, State::new(42), 1)?;
/// manifest.apply(VersionEdit { logs_added: vec![3], ..VersionEdit::default() })?;
///
/// let path = FileName::Manifest(1).path(dir);
/// let mut text = String::new();
/// let damaged: Dumped = dump(fs.open(&path, Mode::Read)?, &path, 1, &mut text)?;
/// assert_eq!(damaged, Ok(0));
/// assert!(text.contains("edit: what changes") && text.contains("log_added 3"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn dump(
    file: Arc<dyn FsFile>,
    path: &Path,
    number: u64,
    out: &mut dyn Write,
) -> Result<Dumped> {
    let len = file.len().map_err(|e| Error::io(path, "read the length of", e))?;
    let mut scanner = RecordScanner::new(file, path, number)?;
    let mut damaged = 0;
    if writeln!(out, "manifest {number}: {len} bytes").is_err() {
        return Ok(Err(fmt::Error));
    }
    loop {
        let written = match scanner.next()? {
            Found::Record(record) => {
                let head = writeln!(
                    out,
                    "{}: record {}, {} bytes, synced {}, last_seq {}",
                    record.offset,
                    record.index,
                    record.payload.len(),
                    record.synced,
                    record.first_seq
                );
                head.and_then(|()| match Record::decode(record.payload) {
                    Ok(decoded) => dump_record(out, &decoded),
                    Err(refused) => {
                        damaged += 1;
                        let error = Error::refused(path, record.offset, refused);
                        writeln!(out, "    DAMAGED: {error}")
                    }
                })
            }
            Found::Damage { offset, end, reason } => {
                damaged += 1;
                writeln!(out, "{offset}: DAMAGED up to {end}: {reason}")
            }
            Found::End { offset } if offset < len => {
                let written = writeln!(out, "{offset}: reserved space up to {len}");
                return Ok(written.map(|()| damaged));
            }
            Found::End { offset } => {
                return Ok(writeln!(out, "{offset}: end").map(|()| damaged));
            }
        };
        if let Err(error) = written {
            return Ok(Err(error));
        }
    }
}

fn dump_record(out: &mut dyn Write, record: &Record) -> fmt::Result {
    match record {
        Record::Snapshot(snapshot) => {
            writeln!(out, "    snapshot: all of a state")?;
            writeln!(out, "    format {}", snapshot.format_version)?;
            writeln!(out, "    db_id {:032x}", snapshot.db_id)?;
            writeln!(out, "    epoch {}", snapshot.epoch)?;
            dump_edit(out, &snapshot.contents)
        }
        Record::Edit(edit) => {
            writeln!(out, "    edit: what changes")?;
            dump_edit(out, edit)
        }
        Record::Mark => writeln!(out, "    mark: what lies before was durable"),
    }
}

fn dump_edit(out: &mut dyn Write, edit: &VersionEdit) -> fmt::Result {
    let numbers =
        [("next_file", edit.next_file), ("last_seq", edit.last_seq), ("log_floor", edit.log_floor)];
    for (name, number) in numbers {
        if let Some(number) = number {
            writeln!(out, "    {name} {number}")?;
        }
    }
    for log in &edit.logs_added {
        writeln!(out, "    log_added {log}")?;
    }
    for (level, number) in &edit.deleted {
        writeln!(out, "    deleted level {level} table {number}")?;
    }
    for (level, file) in &edit.added {
        dump_table(out, *level, file)?;
    }
    for file in &edit.values_added {
        writeln!(
            out,
            "    values_added file {}: {} bytes, {} records of {} bytes, checksum {:016x}",
            file.number, file.size, file.records, file.bytes, file.checksum
        )?;
    }
    match &edit.settings {
        Some(settings) => writeln!(out, "    settings {} bytes", settings.len()),
        None => Ok(()),
    }
}

fn dump_table(out: &mut dyn Write, level: usize, file: &FileMeta) -> fmt::Result {
    let (number, size) = (file.number, file.size);
    writeln!(out, "    added level {level} table {number}: {size} bytes")?;
    let end = if file.largest_exclusive { ')' } else { ']' };
    let (first, last) = (file.smallest.escape_ascii(), file.largest.escape_ascii());
    writeln!(out, "        keys [\"{first}\", \"{last}\"{end}")?;
    writeln!(
        out,
        "        entries {} tombstones {} range_tombstones {} expiring {}",
        file.entries, file.tombstones, file.range_tombstones, file.expiring
    )?;
    writeln!(
        out,
        "        seqs {} to {}, raw_bytes {}, compression {}, checksum {:016x}",
        file.min_seq, file.max_seq, file.raw_bytes, file.compression, file.checksum
    )?;
    for reference in &file.values {
        writeln!(out, "        {} bytes of value file {}", reference.bytes, reference.file)?;
    }
    Ok(())
}
