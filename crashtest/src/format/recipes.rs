//! The stores that are kept as fixtures: small, and together one of every kind of file content.
//!
//! A recipe is run once. What it made is then kept for ever, so a change here changes nothing
//! that is there already; a new kind of content gets a new recipe with a new name.

use super::maker::{Made, Maker};
use anyhow::Result;
use kv_engine::{Compression, Durability, Options};

/// A fixture's name and how it was made.
pub(crate) struct Recipe {
    /// The directory of the format version that it is kept for.
    pub(crate) version: &'static str,
    pub(crate) name: &'static str,
    pub(crate) make: fn() -> Result<Made>,
}

const V1: &str = "v1";
/// With value files.
const V2: &str = "v2";

pub(crate) const RECIPES: &[Recipe] = &[
    Recipe { version: V1, name: "empty", make: empty },
    Recipe { version: V1, name: "plain", make: plain },
    Recipe { version: V1, name: "lz4", make: lz4 },
    Recipe { version: V1, name: "snappy", make: snappy },
    Recipe { version: V1, name: "levels", make: levels },
    Recipe { version: V1, name: "range-tombstones", make: range_tombstones },
    Recipe { version: V1, name: "expiry", make: expiry },
    Recipe { version: V1, name: "keyspaces", make: keyspaces },
    Recipe { version: V1, name: "large-values", make: large_values },
    Recipe { version: V1, name: "rolled-manifest", make: rolled_manifest },
    Recipe { version: V1, name: "killed-synced", make: killed_synced },
    Recipe { version: V1, name: "killed-unsynced", make: killed_unsynced },
    Recipe { version: V1, name: "killed-sync-at-end", make: killed_sync_at_end },
    Recipe { version: V1, name: "killed-logs", make: killed_logs },
    Recipe { version: V1, name: "killed-unsynced-logs", make: killed_unsynced_logs },
    Recipe { version: V1, name: "killed-all-kinds", make: killed_all_kinds },
    Recipe { version: V2, name: "values", make: values },
    Recipe { version: V2, name: "values-lz4", make: values_lz4 },
    Recipe { version: V2, name: "values-killed", make: values_killed },
];

/// The mark of every key and every value: no message may show it.
pub(crate) const KEY_MARK: &str = "key~";
pub(crate) const VALUE_MARK: &str = "val~";

fn key(i: usize) -> Vec<u8> {
    format!("{KEY_MARK}{i:04}").into_bytes()
}

/// A value that tells its key and its version.
fn value(i: usize, version: usize) -> Vec<u8> {
    let mut value = format!("{VALUE_MARK}{i:04}.{version} ").into_bytes();
    value.resize(16 + (i * 7 + version * 3) % 24, b'.');
    value
}

/// Bytes that no codec shortens.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (state >> 56) as u8
    };
    let mut bytes = VALUE_MARK.as_bytes().to_vec();
    bytes.extend(std::iter::repeat_with(byte).take(len));
    bytes
}

/// The small sizes that put much structure into few bytes.
fn small() -> Options {
    Options::default()
        .background_threads(1)
        .memory_budget(1 << 20)
        .write_buffer(64 << 10)
        .compression(Compression::None)
        .block_size(256)
}

fn empty() -> Result<Made> {
    Maker::unreserved("created and closed, with no key", small())?.closed()
}

fn fill(maker: &mut Maker, count: usize, version: usize) -> Result<()> {
    for i in 0..count {
        maker.put(key(i), value(i, version))?;
    }
    Ok(())
}

/// Puts, overwritten values and deletes, merged into the last level.
fn mixed(maker: &mut Maker, count: usize) -> Result<()> {
    fill(maker, count, 0)?;
    maker.remember()?;
    for i in (0..count).step_by(5) {
        maker.delete(key(i))?;
    }
    for i in (0..count).step_by(3) {
        maker.put(key(i), value(i, 1))?;
    }
    maker.compact()
}

fn plain() -> Result<Made> {
    let mut maker = Maker::new("no compression, blocks of 256 bytes, closed", small())?;
    mixed(&mut maker, 60)?;
    maker.put(Vec::new(), value(0, 9))?;
    maker.put(vec![0xFF; 3], Vec::new())?;
    maker.put(vec![0; 40], value(1, 9))?;
    maker.closed()
}

fn lz4() -> Result<Made> {
    let options = small().compression(Compression::Lz4).block_size(1 << 10);
    let mut maker = Maker::unreserved("LZ4, blocks of 1 KiB, closed", options)?;
    mixed(&mut maker, 120)?;
    maker.closed()
}

fn snappy() -> Result<Made> {
    let options = small().compression(Compression::Snappy).block_size(4 << 10);
    let mut maker =
        Maker::unreserved("Snappy, blocks of 4 KiB, no filter, closed", options.bloom_bits(0.0))?;
    mixed(&mut maker, 200)?;
    maker.closed()
}

fn levels() -> Result<Made> {
    let options = small().table_size(1 << 10).level0_runs(8);
    let mut maker =
        Maker::unreserved("tables of 1 KiB in the last level, others in level 0", options)?;
    mixed(&mut maker, 80)?;
    for version in 2..5 {
        for i in (version..80).step_by(9) {
            maker.put(key(i), value(i, version))?;
        }
        maker.delete(key(version * 10))?;
        maker.flush()?;
        maker.remember()?;
    }
    maker.closed()
}

fn range_tombstones() -> Result<Made> {
    let options = small().level0_runs(8);
    let mut maker =
        Maker::new("range deletes in tables that lie above others, and in a log", options)?;
    mixed(&mut maker, 60)?;
    maker.delete_range(key(10)..key(20))?;
    maker.delete_range(key(15)..key(30))?;
    maker.put(key(17), value(17, 5))?;
    maker.flush()?;
    maker.delete_range(key(40)..key(45))?;
    maker.flush()?;
    maker.delete_range(key(50)..key(55))?;
    maker.put(key(52), value(52, 6))?;
    maker.killed()
}

fn expiry() -> Result<Made> {
    let mut maker =
        Maker::unreserved("pairs that have expired, and pairs that last a century", small())?;
    for i in 0..20 {
        let name = key(i);
        maker.put(name.clone(), value(i, 0))?;
        maker.put_expiring(&name, &value(i, 1), i % 2 == 0)?;
    }
    maker.put(key(3), value(3, 2))?;
    maker.flush()?;
    maker.put_expiring(&key(30), &value(30, 0), true)?;
    maker.put_expiring(&key(31), &value(31, 0), false)?;
    maker.closed()
}

fn keyspaces() -> Result<Made> {
    let mut maker = Maker::unreserved("named keyspaces, one of them empty, one dropped", small())?;
    for i in 0..12 {
        for (at, space) in
            ["", "users", "gone", "a long name, with blanks and \u{e4}"].iter().enumerate()
        {
            maker.write(space, &[(key(i), Some(value(i, at)))], Durability::Sync)?;
        }
    }
    maker.write("empty", &[], Durability::Sync)?;
    maker.flush()?;
    maker.drop_space("gone")?;
    maker.write("users", &[(key(3), None)], Durability::Sync)?;
    maker.closed()
}

fn large_values() -> Result<Made> {
    let mut maker =
        Maker::unreserved("values far longer than a block, in a table and in a log", small())?;
    maker.put(key(1), noise(7_000, 1))?;
    maker.put(key(2), value(2, 0))?;
    maker.put(key(3), noise(2_000, 3))?;
    maker.flush()?;
    maker.put(key(4), noise(5_000, 4))?;
    maker.put(key(5), value(5, 0))?;
    maker.killed()
}

fn rolled_manifest() -> Result<Made> {
    let mut maker =
        Maker::unreserved("the manifest grew past its limit, and a new one goes on", small())?;
    fill(&mut maker, 10, 0)?;
    // A key this long makes edits long, so that few of them reach the limit.
    let long = [key(1000), vec![b'x'; 3_000]].concat();
    let first = maker.manifest()?;
    for i in 0.. {
        maker.put(long.clone(), value(1000, i))?;
        maker.flush()?;
        maker.compact()?;
        if maker.manifest()? != first {
            break;
        }
    }
    maker.delete(long)?;
    maker.compact()?;
    fill(&mut maker, 5, 1)?;
    maker.flush()?;
    maker.killed()
}

fn killed_synced() -> Result<Made> {
    let mut maker = Maker::new("killed with synced writes in its only log", small())?;
    fill(&mut maker, 12, 0)?;
    maker.remember()?;
    fill(&mut maker, 30, 1)?;
    maker.killed()
}

fn killed_unsynced() -> Result<Made> {
    let mut maker =
        Maker::new("killed with a table, and synced and unsynced writes behind it", small())?;
    mixed(&mut maker, 30)?;
    fill(&mut maker, 8, 2)?;
    maker.remember()?;
    for i in 20..40 {
        maker.put_unsynced(key(i), value(i, 3))?;
    }
    maker.killed()
}

fn killed_sync_at_end() -> Result<Made> {
    let mut maker =
        Maker::unreserved("killed right after unsynced writes were synced at once", small())?;
    for i in 0..10 {
        maker.put_unsynced(key(i), value(i, 0))?;
    }
    maker.sync()?;
    for i in 5..15 {
        maker.put_unsynced(key(i), value(i, 1))?;
    }
    maker.sync()?;
    maker.killed()
}

/// Writes until there are three logs whose memtables wait.
fn pile_up(maker: &mut Maker, durability: Durability) -> Result<()> {
    maker.quiet()?;
    maker.hold_flushes();
    let mut i = 0;
    while maker.logs()? < 3 {
        maker.write("", &[(key(i % 50), Some(value(i % 50, 2 + i / 50)))], durability)?;
        i += 1;
    }
    for i in 0..6 {
        maker.write("", &[(key(i), Some(value(i, 9)))], durability)?;
    }
    Ok(())
}

fn killed_logs() -> Result<Made> {
    let options = small().write_buffer(4 << 10);
    let mut maker = Maker::new("killed with three logs of synced writes", options)?;
    mixed(&mut maker, 20)?;
    pile_up(&mut maker, Durability::Sync)?;
    maker.killed()
}

fn killed_unsynced_logs() -> Result<Made> {
    let options = small().write_buffer(4 << 10);
    let mut maker = Maker::new("killed with three logs of unsynced writes", options)?;
    mixed(&mut maker, 20)?;
    pile_up(&mut maker, Durability::Os)?;
    maker.killed()
}

fn killed_all_kinds() -> Result<Made> {
    let mut maker = Maker::new("killed with every kind of operation in the log", small())?;
    mixed(&mut maker, 20)?;
    maker.reopen()?;
    fill(&mut maker, 10, 2)?;
    let batch: Vec<_> =
        (0..8).map(|i| (key(i * 3), (i % 3 != 0).then(|| value(i * 3, 3)))).collect();
    maker.write("", &batch, Durability::Os)?;
    maker.delete_range(key(2)..key(5))?;
    maker.put_expiring(&key(60), &value(60, 0), true)?;
    maker.write("users", &batch, Durability::Sync)?;
    maker.drop_space("users")?;
    maker.write("others", &batch, Durability::Sync)?;
    maker.put_unsynced(key(1), value(1, 7))?;
    maker.delete(key(0))?;
    maker.killed()
}

/// Long values in value files: some dead, some that expire, some in a keyspace.
fn apart(maker: &mut Maker) -> Result<()> {
    for i in 0..8 {
        maker.put(key(i), [value(i, 0), noise(1_100, i as u64)].concat())?;
        maker.put(key(20 + i), value(20 + i, 0))?;
    }
    maker.flush()?;
    maker.remember()?;
    maker.put(key(2), [value(2, 1), vec![b'.'; 2_000]].concat())?;
    maker.put(key(3), value(3, 1))?;
    maker.delete(key(4))?;
    maker.put_expiring(&key(30), &[value(30, 0), noise(1_300, 30)].concat(), true)?;
    maker.put_expiring(&key(31), &[value(31, 0), noise(1_300, 31)].concat(), false)?;
    let long = [value(1, 5), noise(1_200, 5)].concat();
    maker.write("users", &[(key(1), Some(long))], Durability::Sync)?;
    maker.flush()
}

fn values() -> Result<Made> {
    let options = small().level0_runs(8);
    let mut maker = Maker::unreserved("value files, no compression, closed", options)?;
    apart(&mut maker)?;
    maker.closed()
}

fn values_lz4() -> Result<Made> {
    let options = small().compression(Compression::Lz4).table_size(1 << 10);
    let mut maker = Maker::unreserved("small value files with LZ4, merged, closed", options)?;
    apart(&mut maker)?;
    maker.compact()?;
    maker.put(key(6), [value(6, 2), vec![b'.'; 3_000]].concat())?;
    maker.closed()
}

fn values_killed() -> Result<Made> {
    let options = small().level0_runs(8);
    let mut maker = Maker::new("killed with value files, and long values in the log", options)?;
    apart(&mut maker)?;
    maker.put(key(9), [value(9, 0), noise(1_500, 9)].concat())?;
    maker.put(key(2), value(2, 7))?;
    maker.killed()
}
