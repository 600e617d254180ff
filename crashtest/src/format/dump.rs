//! Any file of a store as annotated text, for people who look into a fixture.

use super::newer::records;
use crate::image::{Image, Kind};
use anyhow::{Context, Result, bail};
use kv_manifest::FileName;
use kv_sstable::{BlockCache, DumpDetail, Table, ValueFile};
use kv_vfs::{Fs, Mode, StdFs};
use std::fmt::Write;
use std::path::Path;

/// Prints a file, or every file of a directory.
pub(crate) fn print(path: &Path) -> Result<()> {
    if !path.is_dir() {
        print!("{}", text(path)?);
        return Ok(());
    }
    let dir = if path.join("store").is_dir() { path.join("store") } else { path.to_owned() };
    for name in Image::read(&StdFs::new(), &dir)?.files.keys() {
        println!("== {name}");
        print!("{}", text(&dir.join(name))?);
    }
    Ok(())
}

fn text(path: &Path) -> Result<String> {
    let name = path.file_name().context("a file has a name")?.to_string_lossy();
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    match Kind::of(&name) {
        Kind::Manifest | Kind::Log => Ok(records_text(&bytes)),
        Kind::Table => table_text(path, &name),
        Kind::Values => values_text(path, &name),
        Kind::Current => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Kind::Beside => Ok(format!("{} bytes\n", bytes.len())),
    }
}

/// A line for each record: its place, the fields of its header, whether its checksum is right.
fn records_text(bytes: &[u8]) -> String {
    let mut out = String::new();
    let mut end = 0;
    for record in records(bytes) {
        let number = |at: usize, width: usize| {
            let field = bytes.get(record.start + at..record.start + at + width);
            field.unwrap_or_default().iter().rev().fold(0_u64, |n, byte| n << 8 | u64::from(*byte))
        };
        let kind = match number(8, 1) {
            1 => "data",
            2 => "start",
            3 => "end",
            _ => "unknown",
        };
        let right =
            number(0, 4) == u64::from(crc32fast::hash(&bytes[record.start + 4..record.end]));
        let _ = writeln!(
            out,
            "{}: {kind}, {} bytes, flags {}, file {}, index {}, synced {}, first_seq {}, checksum {}",
            record.start,
            number(4, 4),
            number(9, 1),
            number(12, 4),
            number(16, 4),
            number(20, 4),
            number(24, 8),
            if right { "right" } else { "WRONG" }
        );
        for (at, row) in bytes[record.start + 32..record.end].chunks(16).enumerate() {
            let hex: String = row.iter().map(|byte| format!("{byte:02x} ")).collect();
            let _ = writeln!(
                out,
                "    {:>8}  {hex:48} {}",
                record.start + 32 + at * 16,
                row.escape_ascii()
            );
        }
        end = record.end;
    }
    let rest = bytes.get(end..).unwrap_or_default();
    let written = rest.iter().filter(|byte| **byte != 0).count();
    let _ = writeln!(
        out,
        "{end}: {} bytes behind the last record, {written} of them not zero",
        rest.len()
    );
    out
}

fn values_text(path: &Path, name: &str) -> Result<String> {
    let Some(FileName::Values(number)) = FileName::parse(name) else {
        bail!("{name} is no name of a value file: it is read under its own number");
    };
    let file = StdFs::new().open(path, Mode::Read)?;
    let file = ValueFile::open_alone(file, path.to_owned(), number)?;
    let mut out = String::new();
    let detail = DumpDetail { blocks: true, entries: true, values: false };
    file.dump(detail, &mut out)?;
    Ok(out)
}

fn table_text(path: &Path, name: &str) -> Result<String> {
    let Some(FileName::Table(number)) = FileName::parse(name) else {
        bail!("{name} is no name of a table: a table is read under its own number");
    };
    let file = StdFs::new().open(path, Mode::Read)?;
    let size = file.len()?;
    let mut footer = [0; 64];
    let at = size.checked_sub(64).context("it is too short for a table")?;
    kv_vfs::FsFileExt::read_exact_at(&*file, &mut footer, at)?;
    let table =
        Table::open(file, path.to_owned(), number, size, &footer, BlockCache::new(1 << 20))?;
    let mut out = String::new();
    table.dump(&mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::home;
    use super::*;

    #[test]
    fn every_file_of_a_fixture_is_text() {
        let dir = home().join("killed-all-kinds/store");
        let log = text(&dir.join("000005.log")).unwrap();
        assert!(log.starts_with("0: start, 28 bytes"), "{log}");
        assert!(log.contains(": data, ") && log.contains("key~0001") && !log.contains("WRONG"));
        let table = text(&dir.join("000004.sst")).unwrap();
        assert!(table.contains("properties"), "{table}");
        let manifest = text(&dir.join("MANIFEST-000006")).unwrap();
        assert!(manifest.contains("index 0, synced 0"), "{manifest}");
    }
}
