//! The operations whose instructions `cargo xtask bench gate` counts: `gate` lists them, and
//! `gate NAME COUNT` does one COUNT times, on one thread and, but for one of them, with files in
//! memory.
//!
//! What is counted is what `measured` calls; all else is preparation.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

mod fixture;

use fixture::{
    Key, entries, key, layout, memory, options, probes, store, table, table_path, value,
};
use kv_core::{Cursor, Kind, Trailer};
use kv_engine::Db;
use kv_sstable::{Access, Filter, FilterBuilder, TableBuilder};
use kv_vfs::{Fs, StdFs};
use kv_wal::{Error, Log, LogOptions, Segment, SegmentFile, replay};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Entries of whatever is read from, and the most operations.
const COUNT: u64 = 40_000;

const SNAPSHOT: u64 = u64::MAX >> 8;

/// A name, how often it is done, and what does it that often.
type Operation = (&'static str, u64, fn(u64));

const OPERATIONS: &[Operation] = &[
    ("log append", COUNT, log_append),
    ("log replay", COUNT, log_replay),
    ("memtable insert", COUNT, memtable_insert),
    ("memtable get", COUNT, memtable_get),
    ("memtable miss", COUNT, memtable_miss),
    ("filter probe", COUNT, filter_probe),
    ("table get", COUNT, table_get),
    ("table scan", COUNT, table_scan),
    ("table build", COUNT, table_build),
    ("block search", COUNT, block_search),
    ("store put", COUNT, store_put),
    ("store get", COUNT, store_get),
    ("store miss", COUNT, store_miss),
    ("store step", COUNT, store_step),
    ("store seek", COUNT / 4, store_seek),
    ("transaction", COUNT / 4, transaction),
    ("transaction scan", COUNT, transaction_scan),
    ("put beside one", COUNT, put_beside_one),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let [name, count] = arguments.as_slice() else {
        OPERATIONS.iter().for_each(|(name, count, _)| println!("{name}\t{count}"));
        return;
    };
    let (_, most, run) = OPERATIONS.iter().find(|(known, ..)| known == name).unwrap();
    run(count.parse::<u64>().unwrap().min(*most));
}

/// What is counted.
#[inline(never)]
fn measured(count: u64, operation: &mut dyn FnMut(u64)) {
    for n in 0..count {
        operation(n);
    }
}

fn log_of(fs: &dyn Fs) -> Log {
    let segment = Segment::create(fs, Path::new("/log"), 1).unwrap();
    Log::start(segment, None, 1, LogOptions::default()).unwrap()
}

fn append(log: &Log, record: &[u8]) {
    log.append(1, &[record], |_| Ok::<_, Error>(())).unwrap();
}

fn log_append(count: u64) {
    let fs = memory();
    let log = log_of(&*fs);
    let record = [&key(7)[..], &value(7)].concat();
    measured(count, &mut |_| append(&log, &record));
}

fn log_replay(count: u64) {
    let fs = memory();
    let log = log_of(&*fs);
    let record = [&key(7)[..], &value(7)].concat();
    (0..count).for_each(|_| append(&log, &record));
    log.finish().unwrap();
    let segment = SegmentFile { number: 1, path: PathBuf::from("/log") };
    let mut bytes = 0;
    measured(1, &mut |_| {
        let visit = |_, payload: &[u8]| {
            bytes += payload.len();
            Ok::<u64, Error>(1)
        };
        replay(&*fs, std::slice::from_ref(&segment), visit).unwrap();
    });
    assert_eq!(bytes as u64, count * 116);
}

fn memtable_insert(count: u64) {
    let table = fixture::memtable(COUNT);
    let probes = probes(COUNT, 0);
    let value = value(7);
    measured(count, &mut |n| {
        let (key, hash) = &probes[n as usize];
        table.insert(key, *hash, Trailer::new(n + 1, Kind::Put), &value).unwrap();
    });
}

fn memtable_get(count: u64) {
    let table = fixture::filled_memtable(COUNT);
    let probes = probes(COUNT, 0);
    measured(count, &mut |n| {
        let (key, hash) = &probes[n as usize];
        black_box(table.get(key, *hash, SNAPSHOT)).unwrap();
    });
}

fn memtable_miss(count: u64) {
    let table = fixture::filled_memtable(COUNT);
    let probes = probes(COUNT, 1);
    measured(count, &mut |n| {
        let (key, hash) = &probes[n as usize];
        black_box(table.get(key, *hash, SNAPSHOT));
    });
}

fn filter_probe(count: u64) {
    let mut builder = FilterBuilder::new(10.0);
    probes(COUNT, 0).iter().for_each(|(_, hash)| builder.add(*hash));
    let filter = Filter::load(&builder.finish()).unwrap();
    let probes = probes(COUNT, 1);
    measured(count, &mut |n| {
        black_box(filter.may_contain(probes[n as usize].1));
    });
}

fn table_get(count: u64) {
    let table = table(COUNT);
    let probes = probes(COUNT, 0);
    let get = |(key, hash): &(Key, u64)| table.get(key, *hash, SNAPSHOT).unwrap().unwrap();
    probes.iter().for_each(|probe| drop(get(probe)));
    measured(count, &mut |n| {
        black_box(get(&probes[n as usize]));
    });
}

fn table_scan(count: u64) {
    let mut cursor = table(COUNT).cursor(Access::Cached);
    cursor.first().unwrap();
    measured(count, &mut |_| {
        black_box((cursor.key(), cursor.value()));
        cursor.next().unwrap();
    });
}

fn table_build(count: u64) {
    let entries = entries(count);
    let fs = memory();
    let file = fs.create_new(&table_path(1)).unwrap();
    let mut builder = Some(TableBuilder::new(file, table_path(1), 1, layout()));
    let trailer = Trailer::new(7, Kind::Put);
    measured(1, &mut |_| {
        let mut builder = builder.take().unwrap();
        for (key, value) in &entries {
            builder.add(key, trailer, value).unwrap();
        }
        black_box(builder.finish().unwrap());
    });
}

fn block_search(count: u64) {
    const ENTRIES: u64 = 30;
    let mut cursor = table(ENTRIES).cursor(Access::Cached);
    let probes = probes(ENTRIES, 0);
    measured(count, &mut |n| {
        let (key, _) = &probes[(n % ENTRIES) as usize];
        cursor.seek(key, Trailer::MAX).unwrap();
        black_box(cursor.value());
    });
}

/// The keys as a user of the store has them, in an order that looks random.
fn user_keys(odd: u64) -> Vec<[u8; 15]> {
    let user = |(key, _): (Key, u64)| std::array::from_fn(|i| key[i + 1]);
    probes(COUNT, odd).into_iter().map(user).collect()
}

/// On a real file: the kernel's part of a write is not counted, and a file in memory would be.
fn real_store() -> (tempfile::TempDir, Db) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let options = options(&memory()).file_system(Arc::new(StdFs::new()));
    let db = Db::open(dir.path(), options).unwrap();
    (dir, db)
}

fn store_put(count: u64) {
    let (_dir, db) = real_store();
    let keys = user_keys(0);
    let value = value(7);
    measured(count, &mut |n| db.put(keys[n as usize], value).unwrap());
}

/// One that reads a key and sets it.
fn transaction(count: u64) {
    let (_dir, db) = real_store();
    let keys = user_keys(0);
    keys.iter().for_each(|key| db.put(key, value(7)).unwrap());
    let value = value(7);
    measured(count, &mut |n| {
        let mut tx = db.transaction();
        let key = keys[n as usize];
        black_box(tx.get(key).unwrap().unwrap());
        tx.put(key, value);
        tx.commit().unwrap();
    });
}

/// A pair of a range that a transaction reads, with nothing of its own in it.
fn transaction_scan(count: u64) {
    let (db, _) = warm_store();
    let mut tx = db.transaction();
    let mut pairs = tx.range::<&[u8]>(..);
    measured(count, &mut |_| {
        black_box(pairs.next().unwrap().unwrap());
    });
}

/// A put while a transaction is open.
fn put_beside_one(count: u64) {
    let (_dir, db) = real_store();
    let keys = user_keys(0);
    let value = value(7);
    let _open = db.transaction();
    measured(count, &mut |n| db.put(keys[n as usize], value).unwrap());
}

/// A store of which everything has been read once.
fn warm_store() -> (Db, Vec<[u8; 15]>) {
    let db = store(&memory(), COUNT);
    let keys = user_keys(0);
    keys.iter().for_each(|key| drop(db.get(key).unwrap().unwrap()));
    (db, keys)
}

fn store_get(count: u64) {
    let (db, keys) = warm_store();
    measured(count, &mut |n| {
        black_box(db.get(keys[n as usize]).unwrap().unwrap());
    });
}

fn store_miss(count: u64) {
    let (db, _) = warm_store();
    let keys = user_keys(1);
    measured(count, &mut |n| {
        black_box(db.get(keys[n as usize]).unwrap());
    });
}

fn store_step(count: u64) {
    let db = fixture::store_with_runs(&memory(), COUNT, 4);
    let mut cursor = db.cursor();
    cursor.first().unwrap();
    while cursor.valid() {
        cursor.next().unwrap();
    }
    cursor.first().unwrap();
    measured(count, &mut |_| {
        black_box((cursor.key(), cursor.value()));
        cursor.next().unwrap();
    });
}

fn store_seek(count: u64) {
    let (db, keys) = warm_store();
    let mut cursor = db.cursor();
    measured(count, &mut |n| {
        cursor.seek(keys[n as usize]).unwrap();
        for _ in 0..10 {
            if cursor.valid() {
                black_box((cursor.key(), cursor.value()));
                cursor.next().unwrap();
            }
        }
    });
}
