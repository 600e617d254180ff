//! Checks of lengths and places: what is asked for, and what lies on disk with a right checksum.

use super::base::{
    Pairs, Tally, collect, files, holds, key, open, options, put, read, rewrite, value,
};
use crate::oracle::DIR;
use anyhow::{Context as _, Result};
use kv_core::checksum_with;
use kv_engine::{Compression, Db, WriteBatch};
use kv_manifest::FileName;
use kv_vfs::MemFs;
use std::path::Path;

/// The longest key.
const MOST: usize = 65_535;
/// What lies behind a block: codec, type, two zeros, and the checksum.
const TRAILER: usize = 8;
/// Address space that a process may take beside what it needs: threads reserve some.
const SLACK_KIB: u64 = 1 << 20;

/// Keys and names of every length near a limit or a power of two: what is over a limit is refused
/// before anything of it is kept.
pub(super) fn limits_are_kept(tally: &mut Tally) -> Result<()> {
    let disk = MemFs::new();
    let mut model = Pairs::new();
    let db = open(disk.clone())?;
    for len in [0, 1, 255, 256, MOST - 1, MOST, MOST + 1, MOST + 2, 1 << 17, (1 << 17) - 1] {
        let long = vec![b'k'; len];
        let mut batch = WriteBatch::new();
        batch.put(&long, "in a batch");
        let delete = db.delete(&long);
        for (way, done) in
            [("put", db.put(&long, "put")), ("batch", db.write(batch)), ("delete", delete)]
        {
            tally.trial(match (done, len <= MOST) {
                (Ok(()), true) | (Err(_), false) => Ok(()),
                (Ok(()), false) => Err(format!("a {way} with a key of {len} bytes was accepted")),
                (Err(e), true) => Err(format!("a {way} with a key of {len} bytes failed: {e}")),
            });
        }
        if len <= MOST {
            model.insert(long, b"in a batch".to_vec());
        }
    }
    for (len, good) in [(255, true), (256, false), (65_536, false)] {
        let outcome = db.keyspace(&"n".repeat(len));
        tally.trial(match outcome.is_ok() == good {
            true => Ok(()),
            false => Err(format!("a name of {len} bytes: accepted is {}", !good)),
        });
    }
    tally.trial(holds(&db, &model));
    db.close()?;
    tally.trial(open(disk).map_err(|e| format!("{e:#}")).and_then(|db| holds(&db, &model)));
    Ok(())
}

/// A block of a table, found by its checksum.
struct Found {
    at: usize,
    len: usize,
}

/// The block of table `number` that begins at `at`.
fn block(bytes: &[u8], number: u64, at: usize) -> Option<Found> {
    (1..bytes.len().checked_sub(at + TRAILER)?).find_map(|len| {
        let payload = bytes.get(at..at + len)?;
        let trailer = bytes.get(at + len..at + len + TRAILER)?;
        let (meta, stored) = trailer.split_at_checked(4)?;
        let stored = u32::from_le_bytes(stored.try_into().ok()?);
        let right = meta.get(1) == Some(&1) && sum(number, at, payload, meta) == stored;
        right.then_some(Found { at, len })
    })
}

/// The checksum of a block, as the engine under test makes it.
fn sum(number: u64, at: usize, payload: &[u8], meta: &[u8]) -> u32 {
    use kv_vfs::testing::{bug, planted};
    match planted(bug::CHECKSUM_WITHOUT_PLACE) {
        true => checksum_with(0, 0, &[payload, meta]),
        false => checksum_with(number, at as u64, &[payload, meta]),
    }
}

/// A store of few tables, and the path, number and bytes of the one with the first key.
fn first_table(disk: &MemFs, compact: bool) -> Result<(Pairs, std::path::PathBuf, u64, Vec<u8>)> {
    let settings = options(disk.clone()).write_buffer(64 << 10).table_size(1 << 20);
    let db = Db::open(DIR, settings.compression(Compression::Lz4).bloom_bits(0.0))?;
    let mut model = Pairs::new();
    for n in 0..60 {
        // Long runs, so that a codec makes them shorter.
        let (key, value) = (key(n), [value(n, 0, 8), vec![b'v'; 56]].concat());
        db.put(&key, &value)?;
        model.insert(key, value);
    }
    db.flush()?;
    if compact {
        db.compact()?;
    }
    db.close()?;
    let path = files(disk, ".sst")?.into_iter().next().context("there is a table")?;
    let name = path.file_name().context("it has a name")?.to_string_lossy().into_owned();
    let number = FileName::parse(&name).and_then(FileName::number).context("and a number")?;
    let bytes = read(disk, &path)?;
    Ok((model, path, number, bytes))
}

/// A compressed block claims to be four gigabytes long, under a right checksum.
pub(super) fn a_length_takes_no_memory(tally: &mut Tally) -> Result<()> {
    let disk = MemFs::new();
    let (_, path, number, mut bytes) = first_table(&disk, true)?;
    let Found { at, len } = block(&bytes, number, 0).context("a block is found")?;
    let compressed = bytes.get(at + len) != Some(&0);
    anyhow::ensure!(compressed, "the block is not compressed");
    let sealed = bytes.get_mut(at..at + len + TRAILER).context("the block lies in the file")?;
    let (payload, trailer) = sealed.split_at_mut(len);
    payload.get_mut(..4).context("it has a length")?.copy_from_slice(&0xFFFF_FFF0u32.to_le_bytes());
    let (meta, stored) = trailer.split_at_mut(4);
    stored.copy_from_slice(&sum(number, at, payload, meta).to_le_bytes());
    rewrite(&disk, &path, &bytes)?;
    let db = open(disk)?;
    let before = peak_kib()?;
    let answer = db.get(key(0));
    let taken = peak_kib()?.saturating_sub(before);
    tally.trial(match answer {
        Err(_) if taken <= SLACK_KIB => Ok(()),
        Err(_) => Err(format!("a forged length made the process ask for {taken} KiB")),
        Ok(found) => Err(format!(
            "a block with a forged length was read, and a value found is {}",
            found.is_some()
        )),
    });
    Ok(())
}

/// The most address space that this process has had, in KiB.
fn peak_kib() -> Result<u64> {
    let status = std::fs::read_to_string(Path::new("/proc/self/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.context("the system tells the peak")?.parse()?)
}

/// Two blocks of one length lie in each other's place.
pub(super) fn a_misplaced_block_is_found(tally: &mut Tally) -> Result<()> {
    let disk = MemFs::new();
    let (model, path, number, bytes) = first_table(&disk, false)?;
    let mut blocks = Vec::new();
    while let Some(found) = block(&bytes, number, blocks.last().map_or(0, end)) {
        blocks.push(found);
    }
    for (i, a) in blocks.iter().enumerate() {
        for b in blocks.iter().skip(i + 1).filter(|b| b.len == a.len) {
            let mut swapped = bytes.clone();
            let (front, back) = swapped.split_at_mut(b.at);
            let one = front.get_mut(a.at..end(a)).context("a block lies in the file")?;
            one.swap_with_slice(back.get_mut(..b.len + TRAILER).context("and the other one")?);
            rewrite(&disk, &path, &swapped)?;
            let db = open(disk.crash())?;
            let silent = model.iter().any(|(key, value)| {
                db.get(key).is_ok_and(|found| found.as_deref() != Some(&value[..]))
            });
            tally.trial(match silent {
                true => Err("with two blocks swapped, a pair is missing in silence".to_owned()),
                false => Ok(()),
            });
        }
    }
    Ok(())
}

fn end(found: &Found) -> usize {
    found.at + found.len + TRAILER
}

/// Each byte of a log is changed in turn: the open fails, or only the last write is missing, for
/// which nothing vouches.
pub(super) fn every_byte_of_a_log_counts(tally: &mut Tally) -> Result<()> {
    let disk = MemFs::new();
    let db = open(disk.clone())?;
    let (mut model, mut before) = (Pairs::new(), Pairs::new());
    for n in 0..7 {
        before = model.clone();
        put(&db, &mut model, n, 0, 330 + n as usize)?;
    }
    let left = disk.crash();
    drop(db);
    for path in files(&left, ".log")? {
        let whole = read(&left, &path)?;
        let used = whole.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        for at in 0..used {
            for mask in [0x02, 0xFF] {
                let mut bent = whole.clone();
                bent.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= mask);
                let fs = left.crash();
                rewrite(&fs, &path, &bent)?;
                let outcome = match open(fs).and_then(|db| collect(db.iter())) {
                    Ok(found) if found != model && found != before => {
                        Err(format!("byte {at} of a log turned by {mask:#x} changes what is there"))
                    }
                    _ => Ok(()),
                };
                tally.trial(outcome);
            }
        }
    }
    Ok(())
}
