//! Bytes that nobody wrote, under checksums that match: no panic, no endless loop, and no
//! allocation beyond what the file's length explains.

use crate::block::{Block, BlockBuilder};
use crate::cache::BlockCache;
use crate::codec::Compression;
use crate::cursor::Access;
use crate::footer::{FOOTER_LEN, Footer};
use crate::handle::Handle;
use crate::seal::{BlockType, TRAILER_LEN};
use crate::table::Table;
use crate::writer::{TableBuilder, TableOptions};
use bytes::Bytes;
use kv_core::{Cursor, Kind, RangeTombstone, RangeTombstones, Trailer, checksum, hash64};
use kv_vfs::{Fs, FsFile, FsFileExt, MemFs};
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const NUMBER: u64 = 7;

fn file_with(bytes: &[u8]) -> Arc<dyn FsFile> {
    let file = MemFs::new().create_new(Path::new("/000007.sst")).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file
}

fn open(bytes: &[u8]) -> crate::Result<Arc<Table>> {
    let path = PathBuf::from("/000007.sst");
    Table::open_alone(file_with(bytes), path, NUMBER, BlockCache::new(1 << 16))
}

/// A small table with every section and every column.
fn small(compression: Compression) -> Vec<u8> {
    let file = file_with(&[]);
    let options = TableOptions { block_size: 150, bloom_bits: 10.0, compression };
    let mut builder = TableBuilder::new(file.clone(), PathBuf::new(), NUMBER, options);
    for n in 0..24u64 {
        let key = format!("some/key/{}", n / 2 + 10);
        let kind = if n % 5 == 0 { Kind::Delete } else { Kind::Put };
        let trailer = Trailer::new(1000 * (2 - n % 2), kind);
        builder.add(key.as_bytes(), trailer, &vec![n as u8; n as usize]).unwrap();
    }
    let over = |start: &'static str, end: &'static str, seq| RangeTombstone {
        start: start.into(),
        end: end.into(),
        seq,
    };
    builder
        .add_range_tombstones(&RangeTombstones::new([over("a", "some/l", 3), over("s", "z", 9)]));
    let size = builder.finish().unwrap().size;
    let mut bytes = vec![0; size as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// Uses everything; answers how many entries came by.
fn exercise(table: &Arc<Table>) -> usize {
    let mut seen = 0;
    for access in [Access::Cached, Access::Scan { readahead: 4096 }] {
        let mut cursor = table.cursor(access);
        let _ = cursor.first();
        while cursor.valid() {
            seen += 1;
            let _ = (cursor.key().len(), cursor.value().len(), cursor.value_bytes());
            let _ = cursor.next();
        }
        let _ = cursor.last();
        while cursor.valid() {
            seen += 1;
            let _ = cursor.prev();
        }
        for key in ["", "some/key/14", "some/key/144", "zz"] {
            let _ = cursor.seek(key.as_bytes(), Trailer::MAX);
            let _ = cursor.next();
            let _ = cursor.seek_before(key.as_bytes());
            let _ = cursor.prev();
        }
    }
    for key in ["", "some/key/14", "some/key/144", "zz"] {
        let _ = table.get(key.as_bytes(), hash64(key.as_bytes()), 1500);
        let _ = table.approximate_offset(key.as_bytes());
    }
    let _ = table.split_keys(3);
    let _ = table.range_tombstones();
    let _ = table.properties();
    let mut text = String::new();
    let _ = table.dump(&mut text);
    assert!(table.verify().len() <= 1000);
    seen
}

/// The sealed blocks of a whole table.
fn handles(bytes: &[u8]) -> Vec<Handle> {
    let table = open(bytes).unwrap();
    let footer = &table.footer;
    let mut handles: Vec<Handle> =
        [footer.filter(), footer.range_tombstones(), footer.properties()]
            .into_iter()
            .flatten()
            .chain([footer.top_index()])
            .collect();
    let top = table.read_block(footer.top_index(), BlockType::TopIndex).unwrap();
    for p in 0..top.count() {
        let handle = table.partition_handle(&top, p).unwrap();
        handles.push(handle);
        let partition = table.read_block(handle, BlockType::Index).unwrap();
        for b in 0..partition.count() {
            handles.push(table.data_handle(&partition, b).unwrap());
        }
    }
    handles
}

/// Makes the checksum of the block at `handle` match again.
fn reseal(bytes: &mut [u8], handle: Handle) {
    let start = handle.offset as usize;
    let end = start + handle.len as usize + TRAILER_LEN;
    let (covered, sum) = bytes[start..end].split_at_mut(handle.len as usize + 4);
    sum.copy_from_slice(&checksum(NUMBER, handle.offset, covered).to_le_bytes());
}

#[test]
fn forged_blocks_never_panic() {
    for compression in [Compression::None, Compression::Lz4, Compression::Snappy] {
        let whole = small(compression);
        let entries = exercise(&open(&whole).unwrap());
        for handle in handles(&whole) {
            let start = handle.offset as usize;
            for at in start..start + handle.len as usize + 4 {
                for byte in [0, 1, 0x7F, 0x80, 0xFF, whole[at] ^ 1, whole[at].wrapping_add(16)] {
                    let mut bent = whole.clone();
                    bent[at] = byte;
                    reseal(&mut bent, handle);
                    let seen = exercise(&open(&bent).unwrap());
                    assert!(seen <= 20 * entries, "{seen} entries, byte {at} = {byte}");
                }
            }
        }
    }
}

/// An index that names the same block twice, over and over, would make a scan as long as it likes.
#[test]
fn an_index_that_points_back_ends_the_scan() {
    let mut bytes = small(Compression::None);
    let table = open(&bytes).unwrap();
    let top = table.read_block(table.footer.top_index(), BlockType::TopIndex).unwrap();
    let handle = table.partition_handle(&top, 0).unwrap();
    let partition = table.read_block(handle, BlockType::Index).unwrap();
    let data = |b| table.data_handle(&partition, b).unwrap().encode();
    let from = handle.offset as usize;
    let index = bytes[from..from + handle.len as usize].to_vec();
    let second = index.windows(data(1).len()).position(|window| window == data(1)).unwrap();
    bytes[from + second..][..data(0).len()].copy_from_slice(&data(0));
    reseal(&mut bytes, handle);

    let mut cursor = open(&bytes).unwrap().cursor(Access::Cached);
    for forward in [true, false] {
        if forward { cursor.first() } else { cursor.last() }.unwrap();
        let mut steps = 0;
        let ended = loop {
            match if forward { cursor.next() } else { cursor.prev() } {
                Ok(()) if cursor.valid() => steps += 1,
                ended => break ended,
            }
        };
        assert!(ended.unwrap_err().to_string().contains("points back"), "{steps} steps");
    }
}

#[test]
fn forged_footers_never_panic() {
    let whole = small(Compression::None);
    let footer_at = whole.len() - FOOTER_LEN;
    for at in 0..FOOTER_LEN - 4 {
        for byte in 0..=255 {
            let mut bent = whole.clone();
            bent[footer_at + at] = byte;
            // Where the forged footer believes to be counts for its checksum.
            let bare = |bytes: &[u8]| {
                let word = |at: usize, len: usize| {
                    let mut word = [0; 8];
                    word[..len].copy_from_slice(&bytes[footer_at + at..footer_at + at + len]);
                    u64::from_le_bytes(word)
                };
                Footer {
                    file_number: word(12, 8),
                    top_index_offset: word(36, 8),
                    top_index_len: word(44, 4) as u32,
                    filter_len: word(48, 4) as u32,
                    range_tombstones_len: word(52, 4) as u32,
                    properties_len: word(56, 4) as u32,
                    ..Footer::default()
                }
            };
            let footer = bare(&bent);
            let offset = footer.offset().unwrap_or(0);
            let covered = &bent[footer_at..footer_at + FOOTER_LEN - 4];
            let sum = checksum(footer.file_number, offset, covered);
            bent[footer_at + FOOTER_LEN - 4..].copy_from_slice(&sum.to_le_bytes());
            if let Ok(table) = open(&bent) {
                exercise(&table);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Several fields at once, as a header of lies: whatever passes the checks can be used.
    #[test]
    fn forged_headers_never_panic(
        words in prop::collection::vec((0usize..120, any::<u8>()), 0..12),
        key in prop::collection::vec(any::<u8>(), 0..12),
    ) {
        let mut builder = BlockBuilder::default();
        for n in 0..6u64 {
            let key = format!("key{}", "x".repeat(n as usize * 3));
            let (trailer, value) = (Trailer::new(n, Kind::Put), vec![7; n as usize % 5]);
            builder.add(key.as_bytes(), trailer, &value, false);
        }
        let mut bytes = Vec::new();
        builder.finish(&mut bytes).unwrap();
        for (at, byte) in words {
            if let Some(slot) = bytes.get_mut(at) {
                *slot = byte;
            }
        }
        // A block that was not checked does not panic, either.
        if let Ok(block) = Block::parse(Bytes::from(bytes)) {
            let _ = block.check();
            for i in 0..block.count() {
                let _ = (block.key(i), block.value(i), block.trailer(i));
                let _ = (block.same_key(i), block.key_equals(i, &key));
            }
            prop_assert!(block.lower_bound(&key, Trailer::MAX) <= block.count());
            for i in 0..=block.count() {
                prop_assert!(block.lower_bound_from(i, &key) <= block.count());
                prop_assert!(block.lower_bound_before(i, &key, Trailer::MAX) <= block.count());
            }
            let _ = block.shape();
        }
    }
}
