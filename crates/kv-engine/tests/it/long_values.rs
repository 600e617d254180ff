//! Long values lie apart from their keys, and whoever reads them does not notice.

use crate::support::*;
use kv_engine::{Db, ErrorKind, Options};
use kv_vfs::{Clock, Fs, ManualClock, MemFs};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Lengths on both sides of where values are put apart, and some that fill blocks and files.
const LENGTHS: [usize; 7] = [0, 1023, 1024, 1025, 3000, 8 << 10, 100 << 10];

/// A value that tells its key and version, the front half of it hard to compress.
fn long(i: usize, version: usize, len: usize) -> Vec<u8> {
    let mut rng = Rng::new((i * 1000 + version) as u64);
    let mut value = format!("value {i} version {version} ").into_bytes();
    value.extend(std::iter::repeat_with(|| rng.next() as u8).take(len / 2));
    value.resize(len, b'.');
    value
}

fn fill_long(db: &Db, model: &mut Model, count: usize, version: usize, len: usize) {
    for i in 0..count {
        db.put(key(i), long(i, version, len)).unwrap();
        model.insert(key(i), long(i, version, len));
    }
}

fn gauge(db: &Db, name: &str) -> u64 {
    let text = db.stats().prometheus();
    let line = text.lines().find(|line| line.starts_with(&format!("kv_{name} "))).unwrap();
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

fn value_bytes(w: &World) -> usize {
    let files = w.files();
    files.iter().filter(|(name, _)| name.ends_with(".val")).map(|(_, bytes)| bytes.len()).sum()
}

/// Waits until a condition holds that background work brings about.
#[track_caller]
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn values_of_every_length_are_read_back_by_every_way() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        for (i, len) in LENGTHS.iter().cycle().take(40).enumerate() {
            db.put(key(i), long(i, 0, *len)).unwrap();
            model.insert(key(i), long(i, 0, *len));
        }
        assert_same(&db, &model);
        db.flush().unwrap();
        assert_same(&db, &model);
        assert!(!w.names(".val").is_empty());
        for i in (0..40).step_by(3) {
            db.put(key(i), long(i, 1, 2000)).unwrap();
            model.insert(key(i), long(i, 1, 2000));
        }
        for i in (1..40).step_by(5) {
            db.delete(key(i)).unwrap();
            model.remove(&key(i));
        }
        db.flush().unwrap();
        assert_same(&db, &model);
        db.compact().unwrap();
        assert_same(&db, &model);
        assert!(db.verify().unwrap().is_ok(), "{}", db.verify().unwrap());
        db.close().unwrap();
        let db = w.open();
        assert_same(&db, &model);
        let reader = Db::open(DIR, w.options().read_only(true)).unwrap();
        assert_same(&reader, &model);
    });
}

#[test]
fn a_store_of_short_values_has_no_value_file() {
    let w = World::tiny();
    let db = w.open();
    for i in 0..200 {
        db.put(key(i), vec![b'x'; 1023]).unwrap();
    }
    db.compact().unwrap();
    assert_eq!(w.names(".val"), [""; 0]);
}

#[test]
fn snapshots_iterators_and_cursors_keep_what_they_see() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        fill_long(&db, &mut model, 30, 0, 2000);
        db.flush().unwrap();
        let old = model.clone();
        let (snapshot, iter) = (db.snapshot(), db.iter());
        let mut cursor = db.cursor();
        cursor.first().unwrap();
        for version in 1..4 {
            fill_long(&db, &mut model, 30, version, 2000);
            db.compact().unwrap();
        }
        assert_same(&snapshot, &old);
        assert_same(&db, &model);
        assert_eq!(pairs(iter), old.clone().into_iter().collect::<Pairs>());
        for (key, value) in &old {
            assert_eq!((cursor.key(), cursor.value()), (key.as_slice(), value.as_slice()));
            cursor.next().unwrap();
        }
        drop((snapshot, cursor));
        db.compact().unwrap();
        assert_same(&db, &model);
        assert_eq!(gauge(&db, "dead_value_bytes"), 0);
    });
}

#[test]
fn a_cursor_turns_around_on_long_values() {
    let w = World::tiny();
    let db = w.open();
    let mut model = Model::new();
    fill_long(&db, &mut model, 20, 0, 1500);
    db.flush().unwrap();
    fill_long(&db, &mut model, 10, 1, 1100);
    let keys: Vec<_> = model.keys().cloned().collect();
    let mut cursor = db.cursor();
    let mut rng = Rng::new(5);
    cursor.seek(&keys[7]).unwrap();
    let mut at = 7;
    for _ in 0..200 {
        match rng.below(4) {
            0 if at + 1 < keys.len() => {
                cursor.next().unwrap();
                at += 1;
            }
            1 if at > 0 => {
                cursor.prev().unwrap();
                at -= 1;
            }
            2 => {
                at = rng.below(keys.len());
                cursor.seek(&keys[at]).unwrap();
            }
            _ => {
                at = rng.below(keys.len());
                cursor.seek_for_prev(&keys[at]).unwrap();
            }
        }
        assert_eq!(cursor.key(), keys[at]);
        assert_eq!(cursor.value(), model[&keys[at]]);
    }
    let mut iter = db.iter();
    for (i, key) in keys.iter().enumerate() {
        let pair = if i % 2 == 0 { iter.next() } else { iter.next_back() };
        let (found, value) = pair.unwrap().unwrap();
        assert_eq!(value, model[found.as_ref()]);
        assert!(keys.contains(&found.to_vec()), "{key:?}");
    }
    assert!(iter.next().is_none());
}

#[test]
fn a_full_compaction_leaves_no_dead_byte() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        for version in 0..4 {
            fill_long(&db, &mut model, 40 - 7 * version, version, 1200);
            db.flush().unwrap();
        }
        for i in (0..40).step_by(4) {
            db.delete(key(i)).unwrap();
            model.remove(&key(i));
        }
        db.compact().unwrap();
        assert_eq!(gauge(&db, "dead_value_bytes"), 0, "{}", db.stats());
        assert_same(&db, &model);
        let live = gauge(&db, "live_value_bytes") as usize;
        let footers = gauge(&db, "value_files") as usize * 48;
        eventually("dead value files are left", || value_bytes(w) == live + footers);
        db.delete_range(key(0)..key(99)).unwrap();
        db.compact().unwrap();
        eventually("value files without a value are left", || w.names(".val").is_empty());
    });
}

#[test]
fn an_overwritten_store_does_not_grow_without_bound() {
    let w = World::plain();
    let options = || w.options().write_buffer(64 << 10).table_size(32 << 10).sync_on_write(false);
    let db = Db::open(DIR, options()).unwrap();
    let mut model = Model::new();
    let mut rng = Rng::new(3);
    let mut written = 0;
    for round in 0..4000 {
        let i = rng.below(100);
        let value = long(i, round, 4096);
        written += value.len();
        db.put(key(i), &value).unwrap();
        model.insert(key(i), value);
    }
    db.flush().unwrap();
    let live = 100 * 4096;
    eventually("the store is not collected", || value_bytes(&w) < 3 * live);
    assert_same(&db, &model);
    assert!(db.verify().unwrap().is_ok());
    let moved = gauge(&db, "value_move_bytes_total") as usize;
    let flushed = gauge(&db, "value_flush_bytes_total") as usize;
    println!("{written} written, {flushed} flushed, {moved} moved");
    assert!(moved + flushed < 2 * written, "{written} written, {flushed} flushed, {moved} moved");
}

#[test]
fn what_was_synced_survives_a_power_cut_and_leftovers_go() {
    every_setting(|w| {
        let db = Db::open(DIR, w.options().sync_on_write(true)).unwrap();
        let mut model = Model::new();
        for round in 0..3 {
            fill_long(&db, &mut model, 12, round, 1500);
            assert_same(&w.after_power_cut().open(), &model);
            db.flush().unwrap();
            assert_same(&w.after_power_cut().open(), &model);
        }
        db.compact().unwrap();
        let cut = w.after_power_cut();
        let stray = cut.fs.create_new(&Path::new(DIR).join("000999.val")).unwrap();
        kv_vfs::FsFileExt::write_all_at(&*stray, b"half a value file", 0).unwrap();
        drop(stray);
        let db = cut.open();
        assert_same(&db, &model);
        assert!(!cut.names(".val").contains(&"000999.val".to_owned()));
        db.put("new", long(0, 0, 2000)).unwrap();
        db.flush().unwrap();
        let newest = cut.names(".val").pop().unwrap();
        assert!(newest.as_str() > "000999.val", "{newest}: the number was given again");
    });
}

#[test]
fn an_expired_value_goes_without_being_read() {
    let clock = Arc::new(ManualClock::new());
    let w = World::tiny().on(MemFs::with_clock(Arc::clone(&clock) as Arc<dyn Clock>));
    let db = w.open();
    let minute = Duration::from_secs(60);
    let values: Vec<_> = (0..20).map(|i| long(i, 0, 1500)).collect();
    for (i, value) in values.iter().enumerate() {
        db.put_with_ttl(key(i), value, minute * (1 + i as u32 % 2)).unwrap();
    }
    db.flush().unwrap();
    db.compact().unwrap();
    assert_eq!(db.get(key(0)).unwrap().unwrap(), values[0]);
    assert_eq!(pairs(db.iter()).len(), 20);
    assert!(db.verify().unwrap().is_ok());
    clock.advance(minute);
    assert_eq!(db.get(key(0)).unwrap(), None);
    assert!(!db.contains_key(key(0)).unwrap() && db.contains_key(key(1)).unwrap());
    assert_eq!(pairs(db.iter()).len(), 10);
    assert_eq!(db.iter().rev().count(), 10);
    assert_eq!(db.get(key(1)).unwrap().unwrap(), values[1]);
    db.compact().unwrap();
    assert_eq!(gauge(&db, "dead_value_bytes"), 0);
    clock.advance(minute);
    db.compact().unwrap();
    eventually("expired values are left", || w.names(".val").is_empty());
}

/// A store with one value file of ten values, closed.
fn closed() -> (World, Model) {
    let w = World::plain();
    let db = w.open();
    let mut model = Model::new();
    fill_long(&db, &mut model, 10, 0, 2000);
    db.close().unwrap();
    (w, model)
}

#[test]
fn a_damaged_value_is_told_by_file_and_offset_and_the_others_are_read() {
    let (w, model) = closed();
    let name = w.names(".val").remove(0);
    let third = 3 * w.files()[&name].len() / 10;
    w.rewrite(&name, |bytes| bytes[third] ^= 1);
    let db = w.open();
    let mut damaged = Vec::new();
    for (key, value) in &model {
        assert!(db.contains_key(key).unwrap(), "no value is read for that");
        match db.get(key) {
            Ok(read) => assert_eq!(read.as_deref(), Some(value.as_slice())),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corruption);
                assert!(error.to_string().contains(&name), "{error}");
                assert!(error.to_string().contains("at offset"), "{error}");
                damaged.push(key.clone());
            }
        }
    }
    assert_eq!(damaged.len(), 1);
    let mut iter = db.iter();
    let read: Vec<_> = iter.by_ref().take_while(Result::is_ok).collect();
    assert!(read.len() < 10 && iter.next().is_none(), "an iterator answers the error and ends");
    let mut cursor = db.cursor();
    assert!(cursor.seek(&damaged[0]).is_err() && !cursor.valid());
    cursor.first().unwrap();
    assert!(cursor.valid());
    let report = db.verify().unwrap();
    assert!(!report.is_ok() && report.to_string().contains(&name), "{report}");
    // What is damaged stays where it is, and is in nobody's way.
    for (key, value) in model.iter().filter(|(key, _)| **key != damaged[0]).take(8) {
        db.put(key, [value.as_slice(), b"!"].concat()).unwrap();
    }
    db.compact().unwrap();
    db.compact().unwrap();
    let refused = refused(db.get(&damaged[0]));
    assert!(refused.to_string().contains(&name), "{refused}");
    db.delete(&damaged[0]).unwrap();
    db.compact().unwrap();
    assert!(db.verify().unwrap().is_ok(), "{}", db.verify().unwrap());
}

#[test]
fn a_missing_value_file_is_told_by_name() {
    let (w, model) = closed();
    let name = w.names(".val").remove(0);
    w.remove(&name);
    let db = w.open();
    let (first, _) = model.first_key_value().unwrap();
    let error = refused(db.get(first));
    assert_eq!(error.kind(), ErrorKind::Corruption);
    assert!(error.to_string().contains(&name) && error.to_string().contains("missing"), "{error}");
    let report = db.verify().unwrap();
    assert!(report.to_string().contains(&name), "{report}");
}

#[test]
fn every_flipped_byte_of_a_value_file_is_found() {
    let (w, model) = closed();
    let name = w.names(".val").remove(0);
    let len = w.files()[&name].len();
    for at in (0..len).step_by(len / 97 + 1).chain(len - 48..len) {
        w.rewrite(&name, |bytes| bytes[at] ^= 0x10);
        let db = w.open();
        for (key, value) in &model {
            if let Ok(read) = db.get(key) {
                assert_eq!(read.as_deref(), Some(value.as_slice()), "byte {at}");
            }
        }
        let report = db.verify().unwrap();
        assert!(report.to_string().contains(&name) && !report.is_ok(), "byte {at}: {report}");
        db.close().unwrap();
        w.rewrite(&name, |bytes| bytes[at] ^= 0x10);
    }
}

#[test]
fn a_repair_keeps_the_values_that_can_be_read() {
    let (w, mut model) = closed();
    let db = Db::open(DIR, w.options().write_buffer(1 << 20)).unwrap();
    db.put_with_ttl("timed", long(99, 0, 5000), Duration::from_secs(1 << 30)).unwrap();
    model.insert(b"timed".to_vec(), long(99, 0, 5000));
    db.flush().unwrap();
    db.put("in the log", long(98, 0, 5000)).unwrap();
    model.insert(b"in the log".to_vec(), long(98, 0, 5000));
    db.sync().unwrap();
    let cut = w.after_power_cut();
    let name = cut.names(".val").remove(0);
    let third = 3 * cut.files()[&name].len() / 10;
    cut.rewrite(&name, |bytes| bytes[third] ^= 1);
    let report = kv_engine::repair(DIR, "/parent/new", cut.options()).unwrap();
    assert!(!report.is_complete() && report.to_string().contains(&name), "{report}");
    let options = Options::default().file_system(Arc::clone(&cut.fs) as Arc<dyn Fs>);
    let db = Db::open("/parent/new", options).unwrap();
    let found = pairs(db.iter());
    assert_eq!(found.len(), model.len() - 1, "{report}");
    assert!(found.iter().all(|(key, value)| model.get(key) == Some(value)));
}

/// What an open makes of a log lies in level 0, and over level 0 alone nothing but the cursor itself
/// holds the version. (An iterator holds its view.)
#[test]
fn a_cursor_over_level_0_keeps_the_value_files_that_it_has_not_read_yet() {
    let world = World::new(("level 0", Options::default));
    let db = world.open();
    for key in 0..20_u8 {
        db.put([key], vec![1; 4000]).unwrap();
    }
    let world = world.after_power_cut();
    drop(db);
    let db = world.open();
    let mut cursor = db.cursor();
    for key in 0..20_u8 {
        db.put([key], vec![9; 4000]).unwrap();
    }
    db.compact().unwrap();
    for key in 0..20_u8 {
        cursor.seek([key]).unwrap();
        assert_eq!((cursor.key(), cursor.value()), (&[key][..], &[1; 4000][..]));
    }
}
