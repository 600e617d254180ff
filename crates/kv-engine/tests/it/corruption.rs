//! Damaged files: told by file and offset, never a wrong value, never a panic, and the rest is
//! readable.

use crate::support::*;
use kv_engine::{Db, Durability, ErrorKind, Options, WriteBatch};

/// A closed store with one large table of small blocks, or several small ones.
fn closed(setting: Setting, count: usize) -> (World, Model) {
    let w = World::new(setting);
    let db = w.open();
    let mut model = Model::new();
    fill(&db, &mut model, count, 0);
    db.compact().unwrap();
    db.close().unwrap();
    (w, model)
}

/// A store without compression in blocks of 256 bytes: damage can be aimed.
fn aimed() -> Setting {
    fn options() -> Options {
        Options::default().compression(kv_engine::Compression::None).block_size(256)
    }
    ("aimed", options)
}

fn position(bytes: &[u8], wanted: &[u8]) -> usize {
    bytes.windows(wanted.len()).position(|window| window == wanted).unwrap()
}

#[test]
fn a_damaged_block_is_told_and_other_keys_are_readable() {
    let (w, model) = closed(aimed(), 500);
    let table = w.names(".sst").pop().unwrap();
    let at = position(&w.files()[&table], &value(250, 0));
    w.rewrite(&table, |bytes| bytes[at] ^= 1);
    let db = w.open();
    let error = refused(db.get(key(250)));
    assert_eq!(error.kind(), ErrorKind::Corruption);
    let said = error.to_string();
    assert!(said.contains(&table), "names the file: {said}");
    let numbers = said.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse::<usize>().ok());
    let near = numbers.filter(|n| *n <= at && at - *n < 2_000).count();
    assert!(near > 0, "names the offset near {at}: {said}");
    let readable =
        model.iter().filter(|(k, v)| db.get(k).is_ok_and(|found| found.unwrap() == **v)).count();
    assert!(readable > 450, "only {readable} of 500 keys are readable");
    for (k, v) in &model {
        match db.get(k) {
            Ok(found) => assert_eq!(found.unwrap(), *v),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Corruption),
        }
    }
    db.put("new", "v").unwrap();
    assert_eq!(text(&db, "new").as_deref(), Some("v"));
}

#[test]
fn an_open_that_meets_a_damaged_catalog_changes_no_file() {
    let w = World::new(aimed());
    let db = w.open();
    db.keyspace("other").unwrap().put("a", "b").unwrap();
    db.flush().unwrap();
    db.put("in the log", "only").unwrap();
    let killed = w.on(w.fs.crash());
    db.close().unwrap();
    for table in killed.names(".sst") {
        killed.rewrite(&table, |bytes| bytes[5] ^= 1);
    }
    let before = killed.files();
    assert_eq!(refused(killed.try_open()).kind(), ErrorKind::Corruption);
    let mut after = killed.files();
    after.retain(|name, _| name != "LOCK");
    assert!(after.iter().all(|(name, bytes)| before.get(name) == Some(bytes)));
    assert!(before.keys().all(|name| name == "LOCK" || after.contains_key(name)));
}

/// What an iterator answers before it tells of damage, and ends.
fn until_damage(mut step: impl FnMut() -> Option<Pair>) -> Pairs {
    let mut found = Pairs::new();
    loop {
        match step().expect("an error comes before the end") {
            Ok((k, v)) => found.push((k.to_vec(), v.to_vec())),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corruption);
                assert!(step().is_none() && step().is_none());
                return found;
            }
        }
    }
}

#[test]
fn an_iterator_stops_at_damage_and_skips_nothing() {
    let (w, model) = closed(aimed(), 500);
    let table = w.names(".sst").pop().unwrap();
    let at = position(&w.files()[&table], &value(250, 0));
    w.rewrite(&table, |bytes| bytes[at] ^= 1);
    let db = w.open();
    let expected: Pairs = model.into_iter().collect();
    let mut iter = db.iter();
    let forward = until_damage(|| iter.next());
    assert!(forward.len() <= 250 && forward == expected[..forward.len()]);
    let mut iter = db.iter();
    let mut backward = until_damage(|| iter.next_back());
    backward.reverse();
    assert!(backward.len() < 250 && backward == expected[500 - backward.len()..]);
    let mut cursor = db.cursor();
    assert_eq!(refused(cursor.seek(key(250))).kind(), ErrorKind::Corruption);
    cursor.seek(key(10)).unwrap();
    assert_eq!(cursor.key(), key(10), "a seek elsewhere works");
}

#[test]
fn compaction_of_a_damaged_table_loses_nothing_else() {
    let (w, model) = closed(aimed(), 500);
    let table = w.names(".sst").pop().unwrap();
    let at = position(&w.files()[&table], &value(250, 0));
    w.rewrite(&table, |bytes| bytes[at] ^= 1);
    let db = w.open();
    for i in 0..100 {
        db.put(key(i), value(i, 1)).unwrap();
    }
    if let Err(error) = db.compact() {
        assert_eq!(error.kind(), ErrorKind::Corruption);
    }
    for (i, (k, v)) in model.iter().enumerate() {
        match db.get(k) {
            Ok(found) if i < 100 => assert_eq!(found.unwrap(), value(i, 1)),
            Ok(found) => assert_eq!(found.as_deref(), Some(v.as_slice()), "key {i} was lost"),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Corruption),
        }
    }
    drop(db);
    assert!(w.files().contains_key(&table), "the damaged file is kept");
    assert_eq!(refused(w.open().get(key(250))).kind(), ErrorKind::Corruption);
}

#[test]
fn a_missing_table_is_corruption() {
    let (w, model) = closed(SETTINGS[10], 600);
    let tables = w.names(".sst");
    w.remove(&tables[1]);
    let check = |error: kv_engine::Error| {
        assert_eq!(error.kind(), ErrorKind::Corruption, "{error}");
        assert!(error.to_string().contains(&tables[1]), "names the file: {error}");
    };
    match w.try_open() {
        Err(error) => check(error),
        Ok(db) => {
            let mut missing = 0;
            for (k, v) in &model {
                match db.get(k) {
                    Ok(found) => assert_eq!(found.unwrap(), *v),
                    Err(error) => {
                        check(error);
                        missing += 1;
                    }
                }
            }
            assert!(missing > 0);
        }
    }
}

#[test]
fn a_table_of_another_length_is_corruption() {
    let (w, model) = closed(SETTINGS[0], 300);
    let table = w.names(".sst").pop().unwrap();
    let len = w.files()[&table].len();
    for new_len in [0, 1, len / 2, len - 1, len + 1, len + 4096] {
        let copy = w.after_power_cut();
        copy.rewrite(&table, |bytes| bytes.resize(new_len, 0));
        let error = copy.try_open().and_then(|db| {
            model.keys().try_for_each(|k| db.get(k).map(|found| assert!(found.is_some())))
        });
        let error = refused(error);
        assert_eq!(error.kind(), ErrorKind::Corruption, "{new_len} bytes of {len}");
        assert!(error.to_string().contains(&table), "{error}");
    }
}

#[test]
fn swapped_tables_are_corruption() {
    let (w, model) = closed(SETTINGS[10], 600);
    let tables = w.names(".sst");
    let files = w.files();
    w.rewrite(&tables[0], |bytes| *bytes = files[&tables[1]].clone());
    w.rewrite(&tables[1], |bytes| *bytes = files[&tables[0]].clone());
    let Ok(db) = w.try_open() else { return };
    let mut failures = 0;
    for (k, v) in &model {
        match db.get(k) {
            Ok(found) => assert_eq!(found.as_deref(), Some(v.as_slice()), "a wrong answer"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corruption);
                failures += 1;
            }
        }
    }
    assert!(failures > 0);
    assert!(!db.verify().unwrap().is_ok());
}

#[test]
fn a_damaged_manifest_is_corruption_and_nothing_changes() {
    let (w, _) = closed(SETTINGS[0], 100);
    let manifest = w.files().into_keys().find(|name| name.starts_with("MANIFEST")).unwrap();
    for at in [0, 5, 20, 40, 60] {
        let copy = w.after_power_cut();
        copy.rewrite(&manifest, |bytes| bytes[at] ^= 0x40);
        let before = copy.files();
        let error = refused(copy.try_open());
        assert_eq!(error.kind(), ErrorKind::Corruption, "byte {at}: {error}");
        assert!(error.to_string().contains(&manifest), "{error}");
        assert!(before.iter().all(|(name, bytes)| copy.files().get(name) == Some(bytes)));
    }
}

#[test]
fn a_missing_manifest_is_corruption() {
    let (w, _) = closed(SETTINGS[0], 100);
    let manifest = w.files().into_keys().find(|name| name.starts_with("MANIFEST")).unwrap();
    w.remove(&manifest);
    for options in [w.options(), w.options().read_only(true)] {
        let error = refused(Db::open(DIR, options));
        assert_eq!(error.kind(), ErrorKind::Corruption, "{error}");
        assert!(error.to_string().contains(&manifest), "{error}");
    }
}

#[test]
fn a_damaged_current_is_corruption() {
    let (w, _) = closed(SETTINGS[0], 100);
    let len = w.files()["CURRENT"].len();
    for at in 0..len {
        let copy = w.after_power_cut();
        copy.rewrite("CURRENT", |bytes| bytes[at] ^= 0x04);
        let error = refused(copy.try_open());
        assert_eq!(error.kind(), ErrorKind::Corruption, "byte {at}: {error}");
        assert!(error.to_string().contains("CURRENT"), "{error}");
    }
    for short in 0..len {
        let copy = w.after_power_cut();
        copy.rewrite("CURRENT", |bytes| bytes.truncate(short));
        assert!(copy.try_open().is_err(), "{short} of {len} bytes opened");
    }
}

#[test]
fn a_failed_replay_takes_back_the_tables_that_it_made() {
    // Far more in the log than a memtable of the next open holds, and the damage comes late.
    let (w, _) = killed(300);
    let (log, end) = newest_log(&w);
    w.rewrite(&log, |bytes| bytes[end / 8 * 7] ^= 0x20);
    let before = w.files();
    let error = refused(Db::open(DIR, w.options().write_buffer(4 << 10)));
    assert_eq!(error.kind(), ErrorKind::Corruption, "{error}");
    assert!(error.to_string().contains(&log), "names the file: {error}");
    assert!(w.files() == before, "{:?}", w.files().keys());
}

#[test]
fn an_open_that_meets_a_damaged_catalog_keeps_no_cut_log_aside() {
    let w = World::new(aimed());
    let db = w.open();
    db.keyspace("users").unwrap().put("a", "1").unwrap();
    db.flush().unwrap();
    db.put("b", "2").unwrap();
    // The end of the log is torn too, so that there is something to keep aside.
    db.put("c", "3").unwrap();
    let w = w.after_power_cut();
    let (log, end) = newest_log(&w);
    w.rewrite(&log, |bytes| bytes[end - 1] = 0);
    let table = w.names(".sst").pop().unwrap();
    // The first bytes of a key lie in the block as a number, the last one first.
    let at = position(&w.files()[&table], b"sresu");
    w.rewrite(&table, |bytes| bytes[at] ^= 1);
    let before = w.files();
    let error = refused(w.try_open());
    assert_eq!(error.kind(), ErrorKind::Corruption, "{error}");
    assert!(error.to_string().contains(&table), "names the file: {error}");
    assert!(w.files() == before, "{:?}", w.files().keys());
    w.rewrite(&table, |bytes| bytes[at] ^= 1);
    assert_eq!(text(&w.open(), "b").as_deref(), Some("2"), "and once mended it opens");
}

/// A store that was killed with `count` writes in its log, each synced.
fn killed(count: usize) -> (World, Model) {
    let w = World::plain();
    let db = w.open();
    let mut model = Model::new();
    fill(&db, &mut model, count, 0);
    (w.after_power_cut(), model)
}

/// The newest log and the end of what was written to it.
fn newest_log(w: &World) -> (String, usize) {
    let name = w.written_log();
    let bytes = &w.files()[&name];
    let end = bytes.iter().rposition(|b| *b != 0).unwrap() + 1;
    (name, end)
}

#[test]
fn damage_in_the_synced_part_of_a_log_is_corruption() {
    let (w, _) = killed(50);
    let (log, end) = newest_log(&w);
    for part in 0..20 {
        let at = end * part / 25;
        let copy = w.after_power_cut();
        copy.rewrite(&log, |bytes| bytes[at] ^= 0x20);
        let before = copy.files();
        for options in [copy.options(), copy.options().read_only(true)] {
            let error = refused(Db::open(DIR, options));
            assert_eq!(error.kind(), ErrorKind::Corruption, "byte {at} of {end}: {error}");
            assert!(error.to_string().contains(&log), "names the file: {error}");
        }
        let now = copy.files();
        assert!(before.iter().all(|(name, bytes)| now.get(name) == Some(bytes)), "byte {at}");
    }
}

#[test]
fn a_log_cut_short_in_its_synced_part_is_corruption() {
    let w = World::plain();
    let db = w.open();
    let mut model = Model::new();
    fill(&db, &mut model, 30, 0);
    db.close().unwrap();
    // After a clean end every byte of a log is proved; each that is left must be whole.
    for log in w.names(".log") {
        let end = w.files()[&log].iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
        for len in (0..end).step_by(5) {
            let copy = w.after_power_cut();
            copy.rewrite(&log, |bytes| bytes.truncate(len));
            if let Ok(db) = copy.try_open() {
                assert_same(&db, &model);
            }
        }
    }
}

#[test]
fn a_torn_end_of_the_log_is_cut() {
    let (w, model) = killed(40);
    let (log, end) = newest_log(&w);
    let expected: Pairs = model.into_iter().collect();
    for cut in 1..40 {
        let copy = w.after_power_cut();
        copy.rewrite(&log, |bytes| bytes[end - cut..].fill(0));
        let db = copy.open();
        let found = pairs(db.iter());
        assert!(found.len() >= 39 && found == expected[..found.len()], "{cut} bytes are gone");
        db.put("alive", "1").unwrap();
    }
    for garbage in [1, 7, 100, 5_000] {
        let copy = w.after_power_cut();
        let mut rng = Rng::new(garbage);
        copy.rewrite(&log, |bytes| {
            let needed = end + garbage as usize;
            bytes.resize(bytes.len().max(needed), 0);
            bytes[end..needed].fill_with(|| rng.next() as u8);
        });
        let db = copy.open();
        assert_eq!(pairs(db.iter()), expected, "{garbage} bytes of garbage behind the end");
        drop(db);
        assert_eq!(pairs(copy.open().iter()), expected);
    }
}

#[test]
fn the_unsynced_end_may_be_lost_from_any_byte_on() {
    let w = World::plain();
    let db = Db::open(DIR, w.options().sync_on_write(false)).unwrap();
    let mut model = Model::new();
    fill(&db, &mut model, 30, 0);
    let all = w.on(w.fs.crash_with(&mut |_| true));
    let (log, end) = newest_log(&all);
    let expected: Pairs = model.into_iter().collect();
    let mut last = 0;
    for len in 0..=end {
        if len % 3 != 0 && len != end {
            continue;
        }
        let copy = all.after_power_cut();
        copy.rewrite(&log, |bytes| bytes[len..].fill(0));
        let found = pairs(copy.open().iter());
        assert!(found == expected[..found.len()], "{len} of {end} bytes");
        assert!(found.len() >= last, "fewer writes from more bytes");
        last = found.len();
    }
    assert_eq!(last, 30);
}

#[test]
fn no_flipped_byte_gives_a_wrong_answer() {
    let w = World::new(SETTINGS[3]);
    let db = w.open();
    let mut model = Model::new();
    fill(&db, &mut model, 60, 0);
    db.delete_range(key(10)..key(20)).unwrap();
    model.retain(|k, _| k < &key(10) || k >= &key(20));
    db.flush().unwrap();
    fill(&db, &mut model, 10, 1);
    let crashed = w.after_power_cut();
    drop(db);
    let files = crashed.files();
    let expected: Pairs = model.clone().into_iter().collect();
    let mut outcomes = [0; 3];
    for (name, bytes) in files.iter().filter(|(name, _)| *name != "LOCK") {
        let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
        for at in (0..end).step_by(1 + end / 400) {
            let copy = crashed.after_power_cut();
            copy.rewrite(name, |bytes| bytes[at] ^= 0x81);
            let said = match copy.try_open() {
                Err(error) => Some(error),
                Ok(db) => {
                    db.iter().collect::<kv_engine::Result<Vec<_>>>().map_or_else(Some, |all| {
                        let all: Pairs =
                            all.iter().map(|(k, v)| (k.to_vec(), v.to_vec())).collect();
                        if all != expected {
                            // Only the last, unproved write in the log may be cut.
                            let mut cut = model.clone();
                            cut.insert(key(9), value(9, 0));
                            let is_tail =
                                name.ends_with(".log") && all == cut.into_iter().collect::<Pairs>();
                            assert!(is_tail, "byte {at} of {name}: a wrong answer");
                            outcomes[2] += 1;
                        }
                        None
                    })
                }
            };
            match said {
                None => outcomes[0] += 1,
                Some(error) => {
                    let kinds = [ErrorKind::Corruption, ErrorKind::IncompatibleFormat];
                    assert!(kinds.contains(&error.kind()), "byte {at} of {name}: {error:?}");
                    outcomes[1] += 1;
                }
            }
        }
    }
    println!("harmless, told, cut: {outcomes:?}");
    assert!(outcomes[1] > 100, "hardly any damage was told: {outcomes:?}");
}

#[test]
fn what_is_told_of_damage_shows_no_key_or_value() {
    let w = World::new(aimed());
    let db = w.open();
    for i in 0..300 {
        db.put(format!("SECRET key {i:05}"), format!("SECRET value {i:05}")).unwrap();
    }
    db.compact().unwrap();
    let mut batch = WriteBatch::new();
    batch.put("SECRET in the log", "SECRET");
    db.write_with(batch, Durability::Sync).unwrap();
    let crashed = w.after_power_cut();
    for (name, bytes) in crashed.files() {
        for part in 0..10 {
            let at = bytes.len() * part / 10;
            let copy = crashed.after_power_cut();
            if bytes.is_empty() {
                continue;
            }
            copy.rewrite(&name, |bytes| bytes[at] ^= 0xFF);
            let mut said = String::new();
            match copy.try_open() {
                Err(error) => said += &format!("{error} {error:?}"),
                Ok(db) => {
                    for pair in db.iter() {
                        said += &pair.map_or_else(|e| format!("{e} {e:?}"), |_| String::new());
                    }
                    let report = db.verify().unwrap();
                    said += &format!("{report} {report:?}");
                }
            }
            assert!(!said.contains("SECRET"), "{name}: {said}");
        }
    }
}
