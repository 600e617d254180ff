//! Indexes come and go while the table is used, and whatever happens in between.

use crate::support::{Model, all, assert_same, by_both, by_group, by_mark, memory, open};
use kv_engine::{Db, ErrorKind, Options};
use kv_index::{Error, Ordered, Row, Table, Tuple, drop_index};
use kv_vfs::{Fault, FaultFs, MemFs};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

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

/// What is done once, while a build looks at a row.
type Hook = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

/// An index as `spec` says, whose columns call the hook at the row with this key.
fn hooked(spec: fn(Row<'_>, &mut Tuple) -> Option<()>, key: Vec<u8>, hook: &Hook) -> Ordered {
    let hook = Arc::clone(hook);
    Ordered::new("hooked", move |row: Row<'_>, columns: &mut Tuple| {
        // The lock is free again before it is called: what it does calls the columns too.
        let act = if row.key == key { hook.lock().unwrap().take() } else { None };
        if let Some(act) = act {
            act();
        }
        spec(row, columns)
    })
}

/// The group, then the number.
fn columns(row: Row<'_>, columns: &mut Tuple) -> Option<()> {
    let [group, number, _] = row.value else { return None };
    columns.push((*group, *number));
    Some(())
}

/// What the index shows is what the rows say.
#[track_caller]
fn assert_hooked(table: &Table, model: &Model) {
    let report = table.verify_indexes().unwrap();
    assert!(report.is_ok(), "{report}");
    let whole = model.iter().filter(|(_, row)| row.len() == 3);
    let mut wanted: Vec<_> = whole.map(|(key, row)| ((row[0], row[1]), key.clone())).collect();
    wanted.sort();
    let found = table.index("hooked").unwrap().range::<()>(..).unwrap().rows();
    let found: Vec<_> = found.map(|pair| pair.unwrap().0.to_vec()).collect();
    assert_eq!(found, wanted.into_iter().map(|(_, key)| key).collect::<Vec<_>>());
}

#[test]
fn a_transaction_that_began_before_the_build_ended_does_not_read_the_index() {
    let (db, mut model) = (memory(), Model::new());
    let table = open(&db, [by_mark()]);
    fill(&table, &mut model, 0..300);
    table.create_index(by_group()).unwrap();
    let mut before = db.transaction();
    table.build("by_group").unwrap();
    // Its snapshot sees no entry of the rows from before.
    let refused = table.within(&mut before).index("by_group").map(|_| ());
    assert!(matches!(refused, Err(Error::NotReady { .. })), "{refused:?}");
    let mut after = db.transaction();
    let index = table.within(&mut after).index("by_group").unwrap();
    assert_eq!(index.range::<()>(..).unwrap().count(), 300);
    drop((before, after));
    assert_same(&table, &model);
}

#[test]
fn an_index_that_another_handle_has_dropped_is_none() {
    let (db, mut model) = (memory(), Model::new());
    let table = open(&db, [by_mark(), by_group()]);
    fill(&table, &mut model, 0..50);
    assert!(table.index("by_group").is_ok());
    drop_index(&db, "t", "by_group").unwrap();
    let gone = table.index("by_group").map(|_| ());
    assert!(matches!(gone, Err(Error::NoIndex { .. })), "{gone:?}");
    let mut tx = db.transaction();
    let gone = table.within(&mut tx).index("by_group").map(|_| ());
    assert!(matches!(gone, Err(Error::NoIndex { .. })), "{gone:?}");
    drop(tx);
    let report = table.verify_indexes().unwrap();
    assert!(report.is_ok(), "{report}");
}

#[test]
fn an_index_on_rows_is_kept_at_once_and_read_when_it_is_built() {
    let (table, mut model) = (open(&memory(), [by_mark()]), Model::new());
    fill(&table, &mut model, 0..600);
    table.create_index(by_group()).unwrap();
    assert!(matches!(table.index("by_group"), Err(Error::NotReady { .. })));
    fill(&table, &mut model, 590..700);
    assert!(table.verify_indexes().unwrap().is_ok());
    table.build("by_group").unwrap();
    table.build("by_group").unwrap();
    assert_same(&table, &model);
}

/// Rows that are changed while a build looks at the one in the middle: before and behind it, from
/// and to columns that others had. Covering columns too.
#[test]
fn what_is_written_while_it_is_built_counts() {
    for unique in [false, true] {
        for seed in 0..40_u32 {
            let db = memory();
            let memory = if seed % 2 == 0 { 64 << 20 } else { 300 };
            let table = Table::builder("t").build_memory(memory).open(&db).unwrap();
            let model = Arc::new(Mutex::new(Model::new()));
            let mut random = seed;
            let mut draw = move |below: u32| {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (random >> 12) % below
            };
            // One step, which never gives two rows the same group and number.
            let mut step = {
                let (table, model) = (table.clone(), Arc::clone(&model));
                move |steps: u32| {
                    let mut model = model.lock().unwrap();
                    for _ in 0..steps {
                        let key = vec![draw(40) as u8];
                        if draw(4) == 0 {
                            table.delete(&key).unwrap();
                            model.remove(&key);
                            continue;
                        }
                        let row = vec![draw(6) as u8, draw(9) as u8, draw(3) as u8];
                        let other = model.iter().any(|(k, r)| *k != key && r[..2] == row[..2]);
                        if !other {
                            table.upsert(&key, &row).unwrap();
                            model.insert(key, row);
                        }
                    }
                }
            };
            step(80);
            let middle = model.lock().unwrap().keys().nth(seed as usize % 12).unwrap().clone();
            let hook = Hook::default();
            let spec = hooked(columns, middle, &hook).covering(|row: Row<'_>, columns| {
                columns.push(row.value[2]);
                Some(())
            });
            let spec = if unique { spec.unique() } else { spec };
            table.create_index(spec).unwrap();
            step(seed % 20);
            *hook.lock().unwrap() = Some(Box::new(move || step(1 + seed)));
            table.build("hooked").unwrap();
            assert!(seed == 0 || hook.lock().unwrap().is_none() || seed % 20 > 0);
            assert_hooked(&table, &model.lock().unwrap());
            let names = db.keyspaces().unwrap();
            assert_eq!(names, ["t", "t#", "t#hooked#1"]);
            let catalog = db.keyspace("t#").unwrap();
            assert_eq!(catalog.iter().count(), 2, "no mark is left");
        }
    }
}

#[test]
fn a_writer_meets_no_duplicate_that_is_none_while_it_is_built() {
    // `a` leaves its columns while the build runs, and `b` takes them; behind the ingest the
    // entry is that of `a` until the build looks again.
    let table = open(&memory(), []);
    table.insert("a", [1, 1, 0]).unwrap();
    table.insert("b", [1, 2, 0]).unwrap();
    let hook = Hook::default();
    table.create_index(hooked(columns, b"b".to_vec(), &hook).unique()).unwrap();
    let other = table.clone();
    *hook.lock().unwrap() = Some(Box::new(move || {
        other.upsert("a", [1, 3, 0]).unwrap();
        other.upsert("b", [1, 1, 0]).unwrap();
        assert!(matches!(other.insert("c", [1, 1, 0]), Err(Error::Duplicate { .. })));
        other.insert("c", [1, 2, 0]).unwrap();
    }));
    table.build("hooked").unwrap();
    let rows = [(&b"a"[..], [1, 3, 0]), (b"b", [1, 1, 0]), (b"c", [1, 2, 0])];
    assert_hooked(&table, &rows.map(|(key, row)| (key.to_vec(), row.to_vec())).into());
}

#[test]
fn a_duplicate_that_comes_while_it_is_built_is_told() {
    let db = memory();
    let table = open(&db, []);
    table.insert("a", [1, 1, 0]).unwrap();
    table.insert("b", [1, 2, 0]).unwrap();
    let hook = Hook::default();
    table.create_index(hooked(columns, b"b".to_vec(), &hook).unique()).unwrap();
    let other = table.clone();
    *hook.lock().unwrap() = Some(Box::new(move || other.insert("c", [1, 1, 0]).unwrap()));
    assert!(matches!(table.build("hooked"), Err(Error::Duplicate { .. })));
    assert!(table.verify_indexes().unwrap().is_ok());
    assert!(matches!(table.build("hooked"), Err(Error::Duplicate { .. })));
    table.delete("a").unwrap();
    // By another handle, which does not know that the first build went that far.
    let again = open(&db, [hooked(columns, b"b".to_vec(), &hook).unique().into()]);
    again.build("hooked").unwrap();
    let rows = [(&b"b"[..], [1, 2, 0]), (b"c", [1, 1, 0])];
    let model = rows.map(|(key, row)| (key.to_vec(), row.to_vec())).into();
    assert_hooked(&again, &model);
    assert_hooked(&table, &model);
}

#[test]
fn an_index_that_is_dropped_while_it_is_built_is_gone() {
    let db = memory();
    let builder = Table::builder("t").build_memory(100);
    let (table, mut model) = (builder.open(&db).unwrap(), Model::new());
    fill(&table, &mut model, 0..200);
    let hook = Hook::default();
    table.create_index(hooked(columns, row(150).0, &hook)).unwrap();
    let other = table.clone();
    *hook.lock().unwrap() = Some(Box::new(move || other.drop_index("hooked").unwrap()));
    assert!(matches!(table.build("hooked"), Err(Error::NoIndex { .. })));
    assert_eq!(db.keyspaces().unwrap(), ["t", "t#"]);
    table.create_index(by_group()).unwrap();
    table.build("by_group").unwrap();
    assert_same(&table, &model);
}

/// The build has dropped nothing yet when the power goes, and has made another piece since the drop
/// looked for them.
#[test]
fn an_index_dropped_while_it_was_built_leaves_nothing_behind_a_crash() {
    let disk = MemFs::new();
    let db = Db::open(DIR, options(Arc::new(disk.clone()))).unwrap();
    let (table, mut model) =
        (Table::builder("t").build_memory(100).open(&db).unwrap(), Model::new());
    fill(&table, &mut model, 0..200);
    let cut = Arc::new(Mutex::new(None));
    let (other, left) = (table.clone(), Arc::clone(&cut));
    let (dropped, last) = (row(150).0, row(199).0);
    let index = Ordered::new("late", move |row: Row<'_>, into: &mut Tuple| {
        if row.key == dropped {
            // By the second call another one has dropped it.
            let _ = other.drop_index("late");
        }
        if row.key == last {
            *left.lock().unwrap() = Some(disk.crash());
        }
        columns(row, into)
    });
    table.create_index(index).unwrap();
    assert!(matches!(table.build("late"), Err(Error::NoIndex { .. })));
    let left: MemFs = cut.lock().unwrap().take().unwrap();
    let db = Db::open(DIR, options(Arc::new(left))).unwrap();
    assert!(db.keyspaces().unwrap().iter().any(|name| name.starts_with("t#late#")));
    let table = open(&db, []);
    assert_eq!(db.keyspaces().unwrap(), ["t", "t#"]);
    table.create_index(by_group()).unwrap();
    table.build("by_group").unwrap();
    assert_same(&table, &model);
}

/// A keyspace whose creation may still commit is left alone.
#[test]
fn an_open_drops_no_keyspace_of_an_index_that_comes() {
    let db = memory();
    let table = open(&db, [by_mark()]);
    fill(&table, &mut Model::new(), 0..20);
    for name in ["t#by_mark#1", "t#gone#1", "t#comes#2", "u#gone#1"] {
        db.keyspace(name).unwrap();
    }
    open(&db, [by_mark()]);
    let kept = db.keyspaces().unwrap();
    assert_eq!(kept, ["t", "t#", "t#by_mark#1", "t#comes#2", "u#gone#1"]);
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

/// About so many cuts are spread over the whole script.
const CUTS: u64 = 250;

#[test]
fn a_power_cut_anywhere_leaves_what_can_be_gone_on_with() {
    let whole = FaultFs::new(Arc::new(disk()));
    script(&whole).unwrap();
    let stride = (whole.calls().values().sum::<u64>() / CUTS).max(1);
    let mut states = std::collections::BTreeMap::<Vec<String>, u32>::new();
    for cut in 0.. {
        let disk = disk();
        let fs = FaultFs::new(Arc::new(disk.clone()));
        // Not always the same ones of what repeats.
        let fault = fs.arm(Fault::nth(cut * stride + cut % stride).times(u64::MAX));
        let ended = script(&fs).is_ok() && fs.fired(fault) == 0;
        let db = Db::open(DIR, options(Arc::new(disk.crash()))).unwrap();
        go_on(&db, &mut states);
        if ended {
            break;
        }
    }
    assert!(states.len() >= 6, "{states:?}");
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
