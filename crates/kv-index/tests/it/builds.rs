//! Indexes come and go while the table is used, and whatever happens in between.

use crate::support::{Model, all, assert_same, by_both, by_group, by_mark, memory, open};
use kv_engine::{Db, ErrorKind, Options};
use kv_index::{Error, Table, drop_index};
use kv_vfs::{Fault, FaultFs, MemFs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn row(number: u32) -> (Vec<u8>, Vec<u8>) {
    let [.., high, low] = number.to_be_bytes();
    (number.to_be_bytes().to_vec(), vec![high, low, (number % 3) as u8])
}

fn fill(table: &Table, model: &mut Model, numbers: impl IntoIterator<Item = u32>) {
    for (key, row) in numbers.into_iter().map(row) {
        table.upsert(&key, &row).unwrap();
        model.insert(key, row);
    }
}

#[test]
fn an_index_on_rows_is_kept_at_once_and_read_when_it_is_built() {
    let (table, mut model) = (open(&memory(), [by_mark()]), Model::new());
    fill(&table, &mut model, 0..600);
    table.create_index(by_group()).unwrap();
    assert!(matches!(table.index("by_group"), Err(Error::NotReady { .. })));
    fill(&table, &mut model, 590..700);
    assert!(!table.build_step("by_group").unwrap());
    // Rows on both sides of where the build is, changed, added and deleted.
    fill(&table, &mut model, 700..720);
    for number in [3_u32, 400, 650] {
        let (key, _) = row(number);
        table.upsert(&key, [9, 9, 1]).unwrap();
        model.insert(key, vec![9, 9, 1]);
        let (key, _) = row(number + 1);
        table.delete(&key).unwrap();
        model.remove(&key);
    }
    assert!(table.verify_indexes().unwrap().is_ok());
    table.build("by_group").unwrap();
    table.build("by_group").unwrap();
    assert_same(&table, &model);
}

#[test]
fn a_build_goes_on_where_another_handle_stopped() {
    let db = memory();
    let (table, mut model) = (open(&db, []), Model::new());
    fill(&table, &mut model, 0..800);
    let table = open(&db, [by_group(), by_mark()]);
    assert!(!table.build_step("by_group").unwrap());
    drop(table);
    let table = open(&db, [by_mark(), by_group()]);
    assert!(matches!(table.index("by_group"), Err(Error::NotReady { .. })));
    let other = open(&db, [by_mark(), by_group()]);
    table.build("by_group").unwrap();
    table.build("by_mark").unwrap();
    assert_same(&table, &model);
    assert_same(&other, &model);
}

#[test]
fn duplicates_stop_a_unique_build_until_they_are_gone() {
    let (table, mut model) = (open(&memory(), []), Model::new());
    for key in ["a", "b", "c"] {
        table.insert(key, [1, 1, 0]).unwrap();
    }
    table.create_index(by_both()).unwrap();
    assert!(matches!(table.build("by_both"), Err(Error::Duplicate { .. })));
    // The rows from before are not asked: the first writer to claim the columns has them.
    table.insert("d", [1, 1, 0]).unwrap();
    assert!(matches!(table.insert("e", [1, 1, 0]), Err(Error::Duplicate { .. })));
    assert!(matches!(table.build("by_both"), Err(Error::Duplicate { .. })));
    // Taking a row away whose columns another one holds leaves the entry to that one.
    table.delete("a").unwrap();
    table.upsert("b", [1, 2, 0]).unwrap();
    table.upsert("c", [1, 0, 0]).unwrap();
    table.build("by_both").unwrap();
    model.insert(b"b".to_vec(), vec![1, 2, 0]);
    model.insert(b"c".to_vec(), vec![1, 0, 0]);
    model.insert(b"d".to_vec(), vec![1, 1, 0]);
    assert_same(&table, &model);
}

#[test]
fn other_handles_are_told_that_the_indexes_changed() {
    let db = memory();
    let (first, second) = (open(&db, [by_mark()]), open(&db, [by_mark()]));
    let clone = first.clone();
    first.create_index(by_group()).unwrap();
    clone.insert("a", [1, 1, 1]).unwrap();
    assert!(matches!(second.insert("b", [1, 1, 1]), Err(Error::Outdated)));
    assert!(matches!(second.create_index(by_both()), Err(Error::Outdated)));
    drop_index(&db, "t", "by_group").unwrap();
    assert!(matches!(clone.insert("b", [1, 1, 1]), Err(Error::Outdated)));
    let table = open(&db, [by_mark()]);
    assert_same(&table, &Model::from([(b"a".to_vec(), vec![1, 1, 1])]));
}

#[test]
fn a_transaction_from_before_a_change_cannot_commit() {
    let db = memory();
    let table = open(&db, [by_mark()]);
    let (mut before, mut idle) = (db.transaction(), db.transaction());
    table.within(&mut before).insert("a", [1, 1, 1]).unwrap();
    table.create_index(by_group()).unwrap();
    assert_eq!(before.commit().unwrap_err().kind(), ErrorKind::Conflict);
    let told = table.within(&mut idle).insert("a", [1, 1, 1]).unwrap_err();
    assert_eq!(told.kind(), ErrorKind::Conflict);
    table.insert("a", [1, 1, 1]).unwrap();
    assert_same(&table, &Model::from([(b"a".to_vec(), vec![1, 1, 1])]));
}

#[test]
fn a_dropped_index_is_gone_and_may_come_back() {
    let db = memory();
    let (table, mut model) = (open(&db, all()), Model::new());
    fill(&table, &mut model, 1..50);
    for spec in [by_group, by_group] {
        table.drop_index("by_group").unwrap();
        assert!(matches!(table.index("by_group"), Err(Error::NoIndex { .. })));
        assert!(!db.keyspaces().unwrap().iter().any(|name| name.contains("by_group")));
        fill(&table, &mut model, 40..60);
        table.create_index(spec()).unwrap();
        table.build("by_group").unwrap();
        assert_same(&table, &model);
    }
}

#[test]
fn writers_run_while_indexes_are_built_and_dropped() {
    let db = memory();
    let table = open(&db, [by_both()]);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..2_u32 {
            let (table, done) = (table.clone(), &done);
            scope.spawn(move || {
                let mut seed = writer + 1;
                while !done.load(Ordering::Relaxed) {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let key = [(seed >> 16) as u8 % 200];
                    let row = [(seed >> 8) as u8 % 16, (seed >> 20) as u8 % 16, key[0] % 3];
                    let outcome = match seed >> 30 {
                        0 => table.delete(key).map(|_| ()),
                        _ => table.upsert(key, row).map(|_| ()),
                    };
                    match outcome {
                        Ok(()) | Err(Error::Duplicate { .. }) => {}
                        // Out of tries, not out of order.
                        Err(error) if error.kind() == ErrorKind::Conflict => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        for round in 0..12 {
            let (spec, name) =
                if round % 2 == 0 { (by_group(), "by_group") } else { (by_mark(), "by_mark") };
            until_no_conflict(|| table.create_index(spec.clone()));
            until_no_conflict(|| table.build(name));
            let report = table.verify_indexes().unwrap();
            assert!(report.is_ok(), "{report}");
            if round < 10 {
                until_no_conflict(|| table.drop_index(name));
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    let model = table.rows().iter().map(|pair| pair.unwrap());
    let model = model.map(|(key, row)| (key.to_vec(), row.to_vec())).collect();
    assert_same(&table, &model);
}

fn until_no_conflict(mut act: impl FnMut() -> kv_index::Result<()>) {
    loop {
        match act() {
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            outcome => break outcome.unwrap(),
        }
    }
}

const DIR: &str = "/store";

fn options(fs: Arc<dyn kv_vfs::Fs>) -> Options {
    Options::default().write_buffer(16 << 10).file_system(fs)
}

/// Creates, builds and drops; any step may fail.
fn script(fs: &FaultFs) -> kv_index::Result<()> {
    let db = Db::open(DIR, options(Arc::new(fs.clone())))?;
    let table = Table::builder("t").index(by_mark()).open(&db)?;
    table.create_index(by_group())?;
    for number in 500..510 {
        let (key, row) = row(number);
        table.upsert(key, row)?;
    }
    table.build("by_group")?;
    table.drop_index("by_mark")?;
    table.create_index(by_both())?;
    table.build("by_both")?;
    Ok(())
}

/// A disk with rows in a table of one index.
fn disk() -> MemFs {
    let disk = MemFs::new();
    let db = Db::open(DIR, options(Arc::new(disk.clone()))).unwrap();
    fill(&open(&db, [by_mark()]), &mut Model::new(), 1..400);
    db.close().unwrap();
    disk
}

#[test]
fn a_power_cut_anywhere_leaves_what_can_be_gone_on_with() {
    let mut states = std::collections::BTreeMap::<Vec<String>, u32>::new();
    for cut in 0.. {
        let disk = disk();
        let fs = FaultFs::new(Arc::new(disk.clone()));
        fs.arm(Fault::nth(cut * 3).times(u64::MAX));
        let whole = script(&fs).is_ok();
        let db = Db::open(DIR, options(Arc::new(disk.crash()))).unwrap();
        go_on(&db, &mut states);
        if whole {
            break;
        }
    }
    assert!(states.len() >= 4, "{states:?}");
}

/// After a crash: what is stored opens when it is declared, is sound, can be built, and can be
/// dropped.
fn go_on(db: &Db, states: &mut std::collections::BTreeMap<Vec<String>, u32>) {
    let sets: [fn() -> Vec<kv_index::IndexSpec>; 5] = [
        || vec![by_mark()],
        || vec![by_group()],
        || vec![by_mark(), by_group()],
        || vec![by_group(), by_both()],
        || all().into(),
    ];
    let stored = |set: &Vec<kv_index::IndexSpec>| {
        let builder = set.iter().cloned().fold(Table::builder("t"), |b, index| b.index(index));
        builder.open(db).ok()
    };
    let table = sets.iter().find_map(|set| stored(&set())).unwrap();
    let mut names = table.indexes();
    for name in names.clone() {
        if table.index(&name).is_err() {
            names.push(format!("{name} is built"));
        }
    }
    *states.entry(names).or_default() += 1;
    let report = table.verify_indexes().unwrap();
    assert!(report.is_ok(), "{report}");
    for name in table.indexes() {
        table.build(&name).unwrap();
    }
    let model = table.rows().iter().map(|pair| pair.unwrap());
    let model: Model = model.map(|(key, row)| (key.to_vec(), row.to_vec())).collect();
    assert!(model.len() >= 399, "{}", model.len());
    assert_same(&table, &model);
    for name in table.indexes() {
        table.drop_index(&name).unwrap();
    }
    // A creation that did not commit leaves an empty keyspace.
    for name in db.keyspaces().unwrap().iter().filter(|name| name.matches('#').count() > 1) {
        assert_eq!(db.keyspace(name).unwrap().iter().count(), 0, "{name}");
    }
}
