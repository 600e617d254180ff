//! One block of any bytes in a table that is whole else: of whatever length the block is, the rest
//! is laid out anew around it.

use super::Outcome;
use super::bytes::{first, put_at};
use super::table::{self, FOOTER_LEN, NUMBER, TRAILER_LEN};
use kv_core::{Kind, RangeTombstone, RangeTombstones, Trailer};
use kv_sstable::{Compression, TableBuilder, TableOptions};
use kv_vfs::{Fs, FsFileExt, MemFs};
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// Data, partition, top index, filter, range tombstones, properties.
pub(super) const SECTIONS: usize = 6;

/// The payloads of a small table, one block of each type.
pub(super) type Payloads = [Vec<u8>; SECTIONS];

/// `section u8 | codec u8 | payload`.
pub(super) fn run(mut input: &[u8]) -> Outcome {
    let section = usize::from(first(&mut input)) % SECTIONS;
    let codec = first(&mut input);
    table::exercise(&around(section, codec, input)?)
}

/// The bytes of a table with `payload` in one of its sections.
pub(super) fn around(section: usize, codec: u8, payload: &[u8]) -> Result<Vec<u8>, String> {
    let mut payloads = template()?;
    if let Some(place) = payloads.get_mut(section) {
        *place = payload.to_vec();
    }
    let mut codecs = [0; SECTIONS];
    if let Some(place) = codecs.get_mut(section) {
        *place = codec;
    }
    Ok(lay_out(payloads, codecs, section))
}

/// Lays blocks out with a footer that fits; index entries point where the blocks are, unless
/// the index itself is the block of unknown bytes.
fn lay_out(mut payloads: Payloads, codecs: [u8; SECTIONS], foreign: usize) -> Vec<u8> {
    let [data, partition, top, filter, tombstones, properties] =
        payloads.each_ref().map(|payload| payload.len());
    let index_offset = data + TRAILER_LEN;
    let top_offset = index_offset + partition + TRAILER_LEN;
    for (index, offset, len) in [(1, 0, data), (2, index_offset, partition)] {
        if let Some(payload) = payloads.get_mut(index).filter(|_| index != foreign)
            && let Some(at) = payload.len().checked_sub(12)
        {
            put_at(payload, at, &(offset as u64).to_le_bytes());
            put_at(payload, at + 8, &(len as u32).to_le_bytes());
        }
    }
    let mut file = Vec::new();
    for (n, (payload, codec)) in payloads.iter().zip(codecs).enumerate() {
        if n > 2 && payload.is_empty() {
            continue;
        }
        file.extend_from_slice(payload);
        file.extend_from_slice(&[codec, n as u8 + 1, 0, 0, 0, 0, 0, 0]);
    }
    file.extend_from_slice(b"kv-table");
    file.extend_from_slice(&[1, 0, 1, 0]);
    for number in [NUMBER, ENTRIES, index_offset as u64, top_offset as u64] {
        file.extend_from_slice(&number.to_le_bytes());
    }
    for len in [top, filter, tombstones, properties] {
        file.extend_from_slice(&(len as u32).to_le_bytes());
    }
    file.extend_from_slice(&[0; 4]);
    table::forge(&mut file, NUMBER);
    // The partition and the data block lie where they lie, whatever the index says.
    table::seal(&mut file, NUMBER, 0, data as u32);
    table::seal(&mut file, NUMBER, index_offset as u64, partition as u32);
    file
}

const ENTRIES: u64 = 24;

/// A small table with one block of each type and every column, taken apart.
pub(super) fn template() -> Result<Payloads, String> {
    static MADE: OnceLock<Result<Payloads, String>> = OnceLock::new();
    MADE.get_or_init(|| take_apart(&small(Compression::None)?)).clone()
}

/// The bytes of a small table with every section and every column.
pub(super) fn small(compression: Compression) -> Result<Vec<u8>, String> {
    let path = Path::new("/000007.sst");
    let file = MemFs::volatile().create_new(path).map_err(|e| e.to_string())?;
    let options = TableOptions { block_size: 16 << 10, bloom_bits: 10.0, compression };
    let mut builder = TableBuilder::new(Arc::clone(&file), path.to_owned(), NUMBER, options);
    for n in 0..ENTRIES {
        let key = format!("key/{:04}{}", n / 2 + 10, "x".repeat((n / 2 % 3 * 5) as usize));
        let kind = if n % 5 == 0 { Kind::Delete } else { Kind::Put };
        let value = vec![n as u8; (n * 3) as usize];
        let trailer = Trailer::new(1000 * (2 - n % 2), kind);
        builder.add(key.as_bytes(), trailer, &value).map_err(|e| e.to_string())?;
    }
    let over = |start: &'static str, end: &'static str, seq| RangeTombstone {
        start: start.into(),
        end: end.into(),
        seq,
    };
    let set = RangeTombstones::new([over("a", "key/0014", 3), over("s", "z", 9)]);
    builder.add_range_tombstones(&set);
    let size = builder.finish().map_err(|e| e.to_string())?.size;
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    file.read_exact_at(&mut bytes, 0).map_err(|e| e.to_string())?;
    Ok(bytes)
}

fn take_apart(file: &[u8]) -> Result<Payloads, String> {
    let footer = file.get(file.len().saturating_sub(FOOTER_LEN)..).unwrap_or_default();
    let mut places = table::blocks(file);
    if places.len() != SECTIONS || footer.is_empty() {
        return Err(format!("the small table has {} blocks", places.len()));
    }
    places.sort_unstable();
    let mut payloads = Payloads::default();
    for ((offset, len), payload) in places.into_iter().zip(&mut payloads) {
        let start = usize::try_from(offset).map_err(|e| e.to_string())?;
        *payload = file.get(start..start + len as usize).unwrap_or_default().to_vec();
    }
    Ok(payloads)
}
