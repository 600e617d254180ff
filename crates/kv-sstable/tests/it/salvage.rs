//! What is readable of a damaged table is read, and nothing else.

use crate::support::*;
use kv_core::{Kind, RangeTombstone, RangeTombstones, Trailer};
use kv_sstable::{Compression, Salvage, TableOptions};

fn entries() -> Vec<Entry> {
    let put = |n: u64| {
        let key = format!("some/key/{n:04}").into_bytes();
        (key, Trailer::new(n + 1, Kind::Put), vec![n as u8; n as usize % 90])
    };
    (0..400).map(put).collect()
}

fn table(compression: Compression) -> Built {
    let options = TableOptions { block_size: 300, bloom_bits: 10.0, compression };
    let over = RangeTombstone { start: "t".into(), end: "u".into(), seq: 900 };
    build(&entries(), Some(&RangeTombstones::new([over])), options)
}

/// All that can be read, and the most entries that were lost.
fn salvaged(bytes: &[u8], built: &Built, by_manifest: bool) -> Vec<Entry> {
    let known = by_manifest.then(|| (built.summary.footer.as_ref(), built.summary.size));
    let mut salvage = Salvage::open(file_with(bytes), built.path.clone(), NUMBER, known).unwrap();
    let mut found = Vec::new();
    while salvage.next().unwrap() {
        found.push((salvage.key().to_vec(), salvage.trailer(), salvage.value().to_vec()));
    }
    let lost = salvage.lost().iter().any(|lost| lost.data);
    assert!(found.len() == entries().len() || lost, "a loss is told");
    found
}

#[test]
fn a_sound_table_is_read_whole() {
    for compression in [Compression::None, Compression::Lz4] {
        let built = table(compression);
        for by_manifest in [true, false] {
            assert!(salvaged(&built.bytes(), &built, by_manifest) == entries());
        }
    }
}

#[test]
fn any_byte_costs_its_block_at_most() {
    for compression in [Compression::None, Compression::Lz4] {
        let built = table(compression);
        let bytes = built.bytes();
        for at in (0..bytes.len()).step_by(37) {
            let mut bent = bytes.clone();
            bent[at] ^= 0x5A;
            let found = salvaged(&bent, &built, true);
            let all = entries();
            assert!(found.iter().all(|entry| all.contains(entry)), "byte {at}");
            assert!(found.len() + 40 >= all.len(), "byte {at}: {} entries", found.len());
        }
    }
}

#[test]
fn without_footer_and_index_blocks_are_found_by_their_checksums() {
    for compression in [Compression::None, Compression::Lz4] {
        let built = table(compression);
        let bytes = built.bytes();
        let end = bytes.len() - 64;
        assert!(salvaged(&bytes[..end], &built, false) == entries());
        for at in (0..end).step_by(211) {
            let mut bent = bytes[..end].to_vec();
            bent[at] ^= 0x5A;
            let found = salvaged(&bent, &built, false);
            let all = entries();
            assert!(found.iter().all(|entry| all.contains(entry)), "byte {at}");
            assert!(found.len() + 80 >= all.len(), "byte {at}: {} entries", found.len());
        }
        for len in (0..end).step_by(499) {
            salvaged(&bytes[..len], &built, false);
            salvaged(&bytes[..len], &built, true);
        }
    }
}

#[test]
fn the_end_of_a_cut_file_is_not_taken_for_its_footer() {
    let built = table(Compression::None);
    let bytes = built.bytes();
    for len in 0..bytes.len() {
        let cut = file_with(&bytes[..len]);
        let mut salvage = Salvage::open(cut, built.path.clone(), NUMBER, None).unwrap();
        while salvage.next().unwrap() {}
        let whole = salvage.read() == entries().len() as u64;
        let harmless = salvage.lost().iter().find(|lost| !lost.data && lost.offset < lost.end);
        assert!(whole || harmless.is_none(), "cut at {len}: {harmless:?}");
    }
}
