//! The log: any bytes as up to four segments.

use super::bytes::{first, part};
use super::{Outcome, records};
use kv_core::decode_batch;
use kv_vfs::{Fs, FsFile, FsFileExt, MemFs, Mode};
use kv_wal::{Error, FrameWriter, RecordKind, RecordReader, SegmentFile, Step, replay};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Forge checksums.
pub(super) const CHECKSUMS: u8 = 1;
/// Forge log number and index too.
pub(super) const PLACES: u8 = 2;
/// Forge what start records say of the segment before.
pub(super) const CHAIN: u8 = 4;

const MOST_SEGMENTS: usize = 4;
const FIRST: u64 = 3;

pub(super) fn run(mut input: &[u8]) -> Outcome {
    let flags = first(&mut input);
    let mut segments = Vec::new();
    while !input.is_empty() && segments.len() < MOST_SEGMENTS {
        segments.push((FIRST + segments.len() as u64, part(&mut input).to_vec()));
    }
    if flags & CHECKSUMS != 0 {
        for (number, file) in &mut segments {
            records::forge(file, *number, flags & PLACES != 0);
        }
        if flags & CHAIN != 0 {
            records::forge_chain(&mut segments);
        }
    }
    read(&segments)
}

fn read(segments: &[(u64, Vec<u8>)]) -> Outcome {
    let fs = MemFs::volatile();
    let mut files = Vec::new();
    let mut whole = true;
    for (number, bytes) in segments {
        let path = PathBuf::from(format!("/{number:06}.log"));
        let file = write(&fs, &path, bytes)?;
        whole &= read_records(file, &path, *number, bytes)?;
        files.push(SegmentFile { number: *number, path });
    }
    let mut visited = 0u64;
    let replayed = replay(&fs, &files, |_, payload| {
        visited += 1;
        Ok::<u64, Error>(decode_batch(payload).map_or(0, |ops| u64::from(ops.remaining())))
    });
    match replayed {
        Ok(replayed) if replayed.records != visited => {
            Err(format!("{visited} records visited, {} counted", replayed.records))
        }
        Ok(replayed) => Ok(whole && replayed.cut.is_none()),
        Err(_) => Ok(false),
    }
}

pub(super) fn write(fs: &MemFs, path: &Path, bytes: &[u8]) -> Result<Arc<dyn FsFile>, String> {
    let written = fs.create_new(path).and_then(|file| {
        file.write_all_at(bytes, 0)?;
        Ok(())
    });
    written.and_then(|()| fs.open(path, Mode::Read)).map_err(|e| format!("cannot make a file: {e}"))
}

/// Reads a file record by record; what was read and written again is the same bytes.
fn read_records(
    file: Arc<dyn FsFile>,
    path: &Path,
    number: u64,
    bytes: &[u8],
) -> Result<bool, String> {
    let Ok(mut reader) = RecordReader::new(file, path, number) else { return Ok(false) };
    let again = MemFs::volatile();
    let made = again.create_new(path).map_err(|e| e.to_string())?;
    let mut writer = FrameWriter::new(Arc::clone(&made), path.to_owned(), number);
    let mut same_shape = true;
    let mut steps = bytes.len() / records::HEADER_LEN + 2;
    let end = loop {
        steps = steps.checked_sub(1).ok_or("a reader that never ends")?;
        match reader.next() {
            Ok(Step::Record(record)) => {
                same_shape &=
                    record.kind == RecordKind::Data && record.flags == 0 && record.synced == 0;
                if same_shape {
                    let appended = writer.append(record.first_seq, &[record.payload]);
                    appended.map_err(|e| format!("a record that was read is refused: {e}"))?;
                }
            }
            Ok(Step::End { offset }) => break offset as usize,
            Ok(Step::Torn { .. } | Step::Corrupt { .. }) | Err(_) => return Ok(false),
        }
    };
    if same_shape {
        let mut copy = vec![0; end];
        made.read_exact_at(&mut copy, 0).map_err(|e| e.to_string())?;
        if bytes.get(..end) != Some(&copy[..]) {
            return Err("records that were read are framed in another way".to_owned());
        }
    }
    Ok(true)
}
