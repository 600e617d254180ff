//! A table: any bytes as its file, with the checksum of each block forged.

use super::Outcome;
use super::bytes::{first, put_at, u32_at, u64_at};
use super::log::CHECKSUMS;
use kv_core::{Cursor, Trailer, checksum, checksum_with, hash64};
use kv_sstable::{Access, BlockCache, Table, TableBuilder, TableOptions};
use kv_vfs::{Fs, FsFileExt, MemFs};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The number of every table here.
pub(super) const NUMBER: u64 = 7;
/// Bytes of a footer.
pub(super) const FOOTER_LEN: usize = 64;
/// Bytes behind each block.
pub(super) const TRAILER_LEN: usize = 8;
const HANDLE_LEN: usize = 12;
/// More blocks than this are not forged.
const MOST_BLOCKS: usize = 4096;
const CACHE: usize = 1 << 16;

type Entry = (Vec<u8>, Trailer, Vec<u8>);

pub(super) fn run(mut input: &[u8]) -> Outcome {
    let flags = first(&mut input);
    let mut file = input.to_vec();
    if flags & CHECKSUMS != 0 {
        forge(&mut file, NUMBER);
    }
    exercise(&file)
}

/// Makes the checksums of a table right, as far as its footer and its index lead.
pub(super) fn forge(file: &mut [u8], number: u64) {
    let Some(at) = file.len().checked_sub(FOOTER_LEN) else { return };
    put_at(file, at + 12, &number.to_le_bytes());
    for (offset, len) in blocks(file) {
        seal(file, number, offset, len);
    }
    let Some(footer) = file.get(at..) else { return };
    let end = sections(footer).map(|(offset, len)| end_of(offset, len)).next_back().flatten();
    let covered = footer.get(..FOOTER_LEN - 4).unwrap_or_default();
    let sum = checksum(number, end.unwrap_or(u64::MAX), covered);
    put_at(file, at + FOOTER_LEN - 4, &sum.to_le_bytes());
}

/// The sections that a footer names: top index, filter, range tombstones, properties.
pub(super) fn sections(footer: &[u8]) -> impl DoubleEndedIterator<Item = (u64, u32)> + use<> {
    let mut offset = u64_at(footer, 36).unwrap_or(0);
    let lens: Vec<u32> = (44..60).step_by(4).map(|at| u32_at(footer, at).unwrap_or(0)).collect();
    let mut found = Vec::new();
    for (n, len) in lens.into_iter().enumerate() {
        if len > 0 || n == 0 {
            found.push((offset, len));
            offset = end_of(offset, len).unwrap_or(u64::MAX);
        }
    }
    found.into_iter()
}

fn end_of(offset: u64, len: u32) -> Option<u64> {
    offset.checked_add(u64::from(len) + TRAILER_LEN as u64)
}

/// The places of all blocks that footer and index lead to.
pub(super) fn blocks(file: &[u8]) -> Vec<(u64, u32)> {
    let footer = file.get(file.len().saturating_sub(FOOTER_LEN)..).unwrap_or_default();
    let mut found: Vec<_> = sections(footer).collect();
    let top = found.first().copied();
    let partitions = top.map(|place| handles(file, place)).unwrap_or_default();
    for partition in partitions {
        found.push(partition);
        found.extend(handles(file, partition));
        if found.len() > MOST_BLOCKS {
            break;
        }
    }
    found.truncate(MOST_BLOCKS);
    found
}

/// What the index block in a place points to.
fn handles(file: &[u8], (offset, len): (u64, u32)) -> Vec<(u64, u32)> {
    let Ok(offset) = usize::try_from(offset) else { return Vec::new() };
    let block = offset.checked_add(len as usize).and_then(|end| file.get(offset..end));
    let block = block.unwrap_or_default();
    let values = u32_at(block, 24).unwrap_or(0) as usize;
    let count = u32_at(block, 0).unwrap_or(0) as usize;
    let places = (0..count.min(MOST_BLOCKS)).map_while(|i| {
        let at = values.checked_add(i * HANDLE_LEN)?;
        Some((u64_at(block, at)?, u32_at(block, at.checked_add(8)?)?))
    });
    places.collect()
}

/// Makes the checksum behind a block right.
pub(super) fn seal(file: &mut [u8], number: u64, offset: u64, len: u32) {
    let Ok(start) = usize::try_from(offset) else { return };
    let Some(end) = start.checked_add(len as usize) else { return };
    let (Some(payload), Some(meta)) = (file.get(start..end), file.get(end..end.saturating_add(4)))
    else {
        return;
    };
    let sum = checksum_with(number, offset, &[payload, meta]);
    put_at(file, end + 4, &sum.to_le_bytes());
}

/// Opens a table and uses everything.
pub(super) fn exercise(bytes: &[u8]) -> Outcome {
    let Ok(table) = open(bytes)? else { return Ok(false) };
    let findings = table.verify();
    if findings.len() > 1000 {
        return Err("more findings than promised".to_owned());
    }
    // An entry takes at least eight bytes, of which a codec may make 255 out of one.
    let most = bytes.len() * 32 + 16;
    let forward = scan(&table, Access::Cached, most)?;
    let read_ahead = scan(&table, Access::Scan { readahead: 4096 }, most)?;
    let backward = scan_back(&table, most)?;
    use_points(&table);
    if !findings.is_empty() {
        return Ok(false);
    }
    let forward = forward.ok_or("verify finds nothing, and a scan fails")?;
    if read_ahead.as_ref() != Some(&forward) || backward.as_ref() != Some(&forward) {
        return Err("verify finds nothing, and scans differ".to_owned());
    }
    if table.entries() != forward.len() as u64 {
        return Err("verify finds nothing, and the footer counts otherwise".to_owned());
    }
    find_each(&table, &forward)?;
    rebuild(&forward)?;
    Ok(true)
}

fn open(bytes: &[u8]) -> Result<kv_sstable::Result<Arc<Table>>, String> {
    let path = PathBuf::from("/000007.sst");
    let file = super::log::write(&MemFs::volatile(), &path, bytes)?;
    Ok(Table::open_alone(file, path, NUMBER, BlockCache::new(CACHE)))
}

/// All entries, front to back; `None` where a read fails, an error where there is no end.
fn scan(table: &Arc<Table>, access: Access, most: usize) -> Result<Option<Vec<Entry>>, String> {
    let mut cursor = table.cursor(access);
    let mut entries = Vec::new();
    let mut outcome = cursor.first();
    let mut steps = 0;
    while outcome.is_ok() && cursor.valid() {
        steps += 1;
        if steps > most {
            return Err(format!("a scan of more than {most} entries"));
        }
        entries.push((cursor.key().to_vec(), cursor.trailer(), cursor.value().to_vec()));
        outcome = cursor.next();
    }
    Ok(outcome.ok().map(|()| entries))
}

/// All entries, read back to front and turned round.
fn scan_back(table: &Arc<Table>, most: usize) -> Result<Option<Vec<Entry>>, String> {
    let mut cursor = table.cursor(Access::Cached);
    let mut entries = Vec::new();
    let mut outcome = cursor.last();
    while outcome.is_ok() && cursor.valid() {
        if entries.len() >= most {
            return Err(format!("a backward scan of more than {most} entries"));
        }
        entries.push((cursor.key().to_vec(), cursor.trailer(), cursor.value().to_vec()));
        outcome = cursor.prev();
    }
    entries.reverse();
    Ok(outcome.ok().map(|()| entries))
}

/// Every kind of question, whatever the answers.
fn use_points(table: &Arc<Table>) {
    for access in [Access::Cached, Access::Scan { readahead: 4096 }] {
        let mut cursor = table.cursor(access);
        for key in [&b""[..], b"key/0014", b"key/00144", b"zz"] {
            let _ = cursor.seek(key, Trailer::MAX);
            let _ = cursor.next();
            let _ = cursor.prev();
            let _ = cursor.seek_before(key);
            let _ = cursor.prev();
            let _ = cursor.next();
        }
    }
    for key in [&b""[..], b"key/0014", b"key/00144", b"zz"] {
        let _ = table.may_contain(hash64(key));
        let _ = table.get(key, hash64(key), 1500);
        let _ = table.approximate_offset(key);
    }
    let _ = table.split_keys(3);
    let _ = table.range_tombstones();
    let _ = table.properties();
    let _ = table.dump(&mut String::new());
}

/// A table that verify finds whole answers for each of its entries.
fn find_each(table: &Arc<Table>, entries: &[Entry]) -> Result<(), String> {
    let mut cursor = table.cursor(Access::Cached);
    for (n, (key, trailer, value)) in entries.iter().enumerate() {
        // Of two entries of one key with one sequence number either may be found.
        let same = |other: &Entry| other.0 == *key && other.1.seq() == trailer.seq();
        if n.checked_sub(1).and_then(|before| entries.get(before)).is_some_and(same) {
            continue;
        }
        let found = table.get(key, hash64(key), trailer.seq()).map_err(|e| e.to_string())?;
        if found.as_ref().map(|(found, bytes)| (found, &bytes[..])) != Some((trailer, value)) {
            return Err("verify finds nothing, and a get misses an entry".to_owned());
        }
        cursor.seek(key, *trailer).map_err(|e| e.to_string())?;
        if !cursor.valid() || cursor.key() != &key[..] || cursor.trailer() != *trailer {
            return Err("verify finds nothing, and a seek misses an entry".to_owned());
        }
    }
    Ok(())
}

/// What was read can be written, and read again as the same.
fn rebuild(entries: &[Entry]) -> Result<(), String> {
    let bytes = build(entries, TableOptions::default())?;
    let table = open(&bytes)?.map_err(|e| format!("a table that was written: {e}"))?;
    if let Some(finding) = table.verify().first() {
        return Err(format!("a table that was written: {finding}"));
    }
    match scan(&table, Access::Cached, entries.len() + 1)? {
        Some(again) if again == entries => Ok(()),
        _ => Err("entries that were written are read as others".to_owned()),
    }
}

/// The bytes of a table of these entries.
fn build(entries: &[Entry], options: TableOptions) -> Result<Vec<u8>, String> {
    let path = Path::new("/000007.sst");
    let file = MemFs::volatile().create_new(path).map_err(|e| e.to_string())?;
    let mut builder = TableBuilder::new(Arc::clone(&file), path.to_owned(), NUMBER, options);
    for (key, trailer, value) in entries {
        let added = builder.add(key, *trailer, value);
        added.map_err(|e| format!("an entry that was read is refused: {e}"))?;
    }
    let size = builder.finish().map_err(|e| e.to_string())?.size;
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    file.read_exact_at(&mut bytes, 0).map_err(|e| e.to_string())?;
    Ok(bytes)
}
