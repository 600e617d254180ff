//! Tables with indexes under power cuts: wherever the power goes, each row has its entries, and
//! each entry its row, also where an index is being created, built or dropped, and where rows change
//! in the middle of its build.

use crate::report::Row;
use anyhow::{Context, Result, ensure};
use kv_engine::{Db, Options};
use kv_index::{Error, Hash, IndexSpec, Ordered, Table, Tuple};
use kv_vfs::{CutPolicy, Fault, FaultFs, Fs, MemFs};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

const DIR: &str = "/store";
/// The power is cut before each call of the file system, or about so many of them, if there are far
/// more.
const CUTS: u64 = 1000;
/// What a row may hold, and what it may claim.
const COLUMNS: u8 = 4;
const CLAIMS: u8 = 24;
/// The indexes that are created, built and dropped again and again.
pub(super) const LATE: [&str; 2] = ["late", "late unique"];
/// What a cut must have met at least once, of the late index.
const STATES: [&str; 6] = ["waits", "marks", "looks again", "ingested", "ready", "dropping"];

/// What the rows are, and a change that is under way.
#[derive(Clone, Default)]
struct Rows {
    now: BTreeMap<Vec<u8>, Vec<u8>>,
    flying: Option<(Vec<u8>, Option<Vec<u8>>)>,
}

type Shared = Arc<Mutex<Rows>>;

fn lock(rows: &Shared) -> std::sync::MutexGuard<'_, Rows> {
    rows.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn run() -> Row {
    let begun = Instant::now();
    let mut row = Row::new("tables", "cuts");
    let uncut = FaultFs::new(Arc::new(MemFs::new()));
    if let Err(error) = script(&uncut, &Shared::default()) {
        row.violations.push(format!("without a cut: {error:#}"));
    }
    let calls: u64 = uncut.calls().values().sum();
    // Not always at the same calls of what the script does again and again.
    let step = (calls / CUTS).max(1) | 1;
    let mut met: BTreeMap<&'static str, u64> = BTreeMap::new();
    for cut in (0..calls).step_by(step as usize) {
        match one(cut) {
            Ok(state) => {
                row.ran += 1;
                *met.entry(state).or_default() += 1;
            }
            Err(error) => row.violations.push(format!("a cut at call {cut}: {error:#}")),
        }
        if row.violations.len() > 3 {
            break;
        }
    }
    row.floor = CUTS / 2;
    let states = STATES.iter().filter(|state| met.contains_key(*state)).count() as u64;
    row.distinct = Some((states, STATES.len() as u64));
    row.notes.push(format!("at every {step}th of {calls} calls; the late index: {met:?}"));
    row.elapsed = begun.elapsed();
    row
}

/// Cuts the power at a call, if there are as many; answers how far the late index was.
fn one(cut: u64) -> Result<&'static str> {
    let disk = MemFs::new();
    let fs = FaultFs::new(Arc::new(disk.clone()));
    fs.arm(Fault::nth(cut).times(u64::MAX));
    let rows = Shared::default();
    // On a thread that ends with it: what it has put off is gone with the power.
    let _ = std::thread::scope(|scope| scope.spawn(|| script(&fs, &rows)).join());
    let policy = CutPolicy::ALL.get(cut as usize % CutPolicy::ALL.len());
    let left = policy.map_or_else(|| disk.crash(), |policy| disk.power_cut(*policy, cut));
    let db = Db::open(DIR, options(Arc::new(left)))?;
    let state = state(&db)?;
    let Rows { now, flying } = lock(&rows).clone();
    let found = db.keyspace("t")?.iter().map(|pair| {
        let (key, value) = pair?;
        Ok((key.to_vec(), value.to_vec()))
    });
    let found = found.collect::<Result<BTreeMap<_, _>>>()?;
    let mut then = now.clone();
    match flying {
        Some((key, Some(row))) => drop(then.insert(key, row)),
        Some((key, None)) => drop(then.remove(&key)),
        None => {}
    }
    ensure!(found == now || found == then, "rows are {found:?}, should be {now:?} or {then:?}");
    // Either way it must be possible to go on.
    let built = if cut.is_multiple_of(2) { look(&db, MEMORY)? } else { drop_late(&db)? };
    ensure!(built == (state == "ready") || state == "none", "it was {state}, and is read: {built}");
    Ok(state)
}

/// How far the late index is, as the catalog says: nothing has opened the table yet.
fn state(db: &Db) -> Result<&'static str> {
    let catalog = db.keyspace("t#")?;
    let prefix = |what: &str| Tuple::of((what, LATE[0])).into_bytes();
    let marks = catalog.prefix(prefix("mark")).count();
    let mut state = "none";
    for pair in catalog.prefix(prefix("index")) {
        let (_, value) = pair?;
        let is = |tuple: Tuple| tuple.into_bytes() == value;
        state = match () {
            () if is(Tuple::of(0)) => "waits",
            () if is(Tuple::of((0, 0))) => "marks",
            () if is(Tuple::of((0, 1))) && marks > 0 => "looks again",
            () if is(Tuple::of((0, 1))) => "ingested",
            () if is(Tuple::of(1)) => "ready",
            () if is(Tuple::of(2)) => "dropping",
            () => anyhow::bail!("the late index has the state {value:?}"),
        };
    }
    Ok(state)
}

/// Compares all rows with all entries, as they are and once the late indexes are built; answers
/// whether the first one could be read before.
pub(super) fn look(db: &Db, memory: usize) -> Result<bool> {
    let table = open(db, memory)?;
    verified(&table).context("as it was left")?;
    let [built, _] = readable(&table)?;
    for late in LATE {
        table.build(late)?;
    }
    verified(&table).context("after the build")?;
    tidy(db, &table)?;
    ensure!(readable(&table)? == [true, true], "an index that was built cannot be read");
    Ok(built)
}

/// Drops the late indexes as they were left: nothing may be left of them, and others of their names
/// are made and built.
fn drop_late(db: &Db) -> Result<bool> {
    let table = open(db, MEMORY)?;
    let [built, _] = readable(&table)?;
    for late in LATE {
        table.drop_index(late)?;
    }
    tidy(db, &table).context("after the drop")?;
    verified(&table).context("after the drop")?;
    for spec in late() {
        table.create_index(spec)?;
    }
    look(db, MEMORY)?;
    Ok(built)
}

fn verified(table: &Table) -> Result<()> {
    let report = table.verify_indexes()?;
    ensure!(report.is_ok(), "{report}");
    Ok(())
}

fn readable(table: &Table) -> Result<[bool; 2]> {
    let [first, second] = LATE.map(|late| match table.index(late) {
        Ok(_) => Ok(true),
        Err(Error::NotReady { .. }) => Ok(false),
        Err(error) => Err(error),
    });
    Ok([first?, second?])
}

/// Whether there is one keyspace for each index, and none beside them.
fn tidy(db: &Db, table: &Table) -> Result<()> {
    let mut indexes: BTreeSet<String> = table.indexes().into_iter().collect();
    for name in db.keyspaces()? {
        let Some(rest) = name.strip_prefix("t#").filter(|rest| !rest.is_empty()) else { continue };
        let parts: Vec<&str> = rest.split('#').collect();
        let own = matches!(parts.as_slice(), [index, _] if indexes.remove(*index));
        ensure!(own, "the keyspace {name} is nobody's");
    }
    ensure!(indexes.is_empty(), "{indexes:?} have no keyspace");
    Ok(())
}

fn options(fs: Arc<dyn Fs>) -> Options {
    Options::default().sync_on_write(true).write_buffer(16 << 10).file_system(fs)
}

/// A row: its column, then what it claims, if that is not zero, and no other row may.
pub(super) fn row(column: u8, claim: u8) -> Vec<u8> {
    vec![column, claim]
}

fn column(row: kv_index::Row<'_>, columns: &mut Tuple) -> Option<()> {
    meanwhile();
    columns.push(*row.value.first()?);
    Some(())
}

fn claim(row: kv_index::Row<'_>, columns: &mut Tuple) -> Option<()> {
    meanwhile();
    let claim = *row.value.get(1).filter(|claim| **claim > 0)?;
    columns.push(claim);
    Some(())
}

pub(super) fn late() -> [IndexSpec; 2] {
    let [ordered, unique] = LATE;
    [Ordered::new(ordered, column).into(), Ordered::new(unique, claim).unique().into()]
}

/// What a build sorts in memory: a third of the script's rows.
const MEMORY: usize = 160;

/// Opens the table, with so much memory for a build, in which not all that it sorts has room at once.
pub(super) fn open(db: &Db, memory: usize) -> kv_index::Result<Table> {
    let ordered: IndexSpec = Ordered::new("ordered", column).into();
    let hash: IndexSpec = Hash::new("hash", column).into();
    let unique: IndexSpec = Ordered::new("unique", claim).unique().into();
    let table = Table::builder("t").index(ordered).index(hash).index(unique);
    let table = late().into_iter().fold(table, |table, index| table.index(index));
    table.build_memory(memory).open(db)
}

/// Writes a row, or none; that another row has the claim is an answer, of the index that was there
/// first.
pub(super) fn change(table: &Table, key: &[u8], row: Option<&[u8]>) -> kv_index::Result<bool> {
    let outcome = match row {
        Some(row) => table.upsert(key, row).map(|_| ()),
        None => table.delete(key).map(|_| ()),
    };
    match outcome {
        Err(Error::Duplicate { index }) if index == "unique" => Ok(false),
        outcome => outcome.map(|()| true),
    }
}

/// How many rows are looked at before it, and what is done then.
type Meanwhile = (u32, Box<dyn FnOnce()>);

thread_local! {
    /// What is done once so many more rows have been looked at.
    static MEANWHILE: RefCell<Option<Meanwhile>> = const { RefCell::new(None) };
}

/// Comes by at each row that is looked at.
fn meanwhile() {
    let due = MEANWHILE.with_borrow_mut(|next| {
        let (left, _) = next.as_mut()?;
        *left = left.saturating_sub(1);
        if *left == 0 { next.take() } else { None }
    });
    // What it does comes by here, too.
    if let Some((_, act)) = due {
        act();
    }
}

/// [`change`], noted: what fails may have been done.
fn step(table: &Table, rows: &Shared, step: u32) -> kv_index::Result<()> {
    let key = (step * 7 % 20).to_be_bytes().to_vec();
    let fresh = (step % 5 != 4).then(|| {
        let claim = (step * 5 % u32::from(CLAIMS)) as u8;
        row((step % u32::from(COLUMNS)) as u8, claim)
    });
    lock(rows).flying = Some((key.clone(), fresh.clone()));
    let done = change(table, &key, fresh.as_deref())?;
    let mut rows = lock(rows);
    rows.flying = None;
    if done {
        match fresh {
            Some(fresh) => drop(rows.now.insert(key, fresh)),
            None => drop(rows.now.remove(&key)),
        }
    }
    Ok(())
}

/// Builds an index, and changes rows when the build has come to its middle.
fn build(table: &Table, rows: &Shared, late: &str, from: u32) -> Result<()> {
    let (other, noted) = (table.clone(), Arc::clone(rows));
    let act = move || {
        // A failure is met by the build as well.
        let _ = (from..from + 4).try_for_each(|number| step(&other, &noted, number));
    };
    MEANWHILE.set(Some((8, Box::new(act))));
    let built = table.build(late);
    MEANWHILE.set(None);
    Ok(built?)
}

/// Adds, replaces and deletes rows, each write synced, and builds the late indexes anew in between;
/// any step may fail.
fn script(fs: &FaultFs, rows: &Shared) -> Result<()> {
    let db = Db::open(DIR, options(Arc::new(fs.clone())))?;
    let table = open(&db, MEMORY)?;
    for number in 0..40_u32 {
        step(&table, rows, number)?;
        match number % 20 {
            3 | 13 => db.flush()?,
            9 => {
                LATE.into_iter().try_for_each(|late| table.drop_index(late))?;
                late().into_iter().try_for_each(|spec| table.create_index(spec))?;
            }
            17 => {
                build(&table, rows, LATE[0], number + 1)?;
                build(&table, rows, LATE[1], number + 5)?;
            }
            _ => {}
        }
    }
    db.close()?;
    Ok(())
}
