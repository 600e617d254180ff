//! The anomalies of the Hermitage suite, each as a fixed interleaving: `Snapshot` admits write
//! skew over items and over ranges, `Serializable` nothing.
//!
//! Two rows, `x` = 10 and `y` = 20, as there. No transaction waits for another, so a step that
//! would wait there goes on here, and the commit decides.

use crate::report::Row;
use anyhow::{Result, ensure};
use kv_engine::{Db, ErrorKind, Isolation, Options, Transaction};
use std::time::Instant;

/// Name, what it is, whether `Snapshot` admits it, and the script.
type Anomaly = (&'static str, &'static str, bool, fn(&Table) -> Result<bool>);

const ALL: [Anomaly; 10] = [
    ("G0", "writes of two transactions mix", false, dirty_write),
    ("G1a", "a write that was rolled back is read", false, aborted_read),
    ("G1b", "a write that was overwritten before its commit is read", false, intermediate_read),
    ("G1c", "two transactions read each other's writes", false, circular_flow),
    ("OTV", "what was seen of a transaction vanishes", false, vanishing),
    ("PMP", "rows come or go in a range that was read", false, predicate_preceders),
    ("P4", "an update is lost", false, lost_update),
    ("G-single", "one row is read before, another after a commit", false, read_skew),
    ("G2-item", "two transactions each read the row that the other writes", true, write_skew),
    ("G2", "two transactions each read the range that the other writes to", true, range_skew),
];

pub(super) fn run() -> Row {
    let begun = Instant::now();
    let mut row = Row::new("anomalies", "scripts");
    for isolation in [Isolation::Snapshot, Isolation::Serializable] {
        for (name, what, admitted, script) in ALL {
            let due = admitted && isolation == Isolation::Snapshot;
            row.ran += 1;
            match Table::new(isolation).and_then(|table| script(&table)) {
                Ok(found) if found == due => {}
                Ok(true) => row.violations.push(format!("{name} under {isolation:?}: {what}")),
                Ok(false) => {
                    row.violations.push(format!("{name} under {isolation:?} is refused"));
                }
                Err(error) => {
                    row.violations.push(format!("{name} under {isolation:?}: {error:#}"));
                }
            }
        }
    }
    row.floor = 2 * ALL.len() as u64;
    row.elapsed = begun.elapsed();
    row
}

/// The rows, and how transactions are isolated.
struct Table {
    db: Db,
    isolation: Isolation,
}

impl Table {
    fn new(isolation: Isolation) -> Result<Table> {
        let db = Db::in_memory(Options::default())?;
        db.put("x", "10")?;
        db.put("y", "20")?;
        Ok(Table { db, isolation })
    }

    fn begin(&self) -> Transaction {
        self.db.transaction().isolation(self.isolation)
    }

    fn two(&self) -> (Transaction, Transaction) {
        (self.begin(), self.begin())
    }

    fn now(&self, key: &str) -> Result<u32> {
        number(self.db.get(key)?.as_deref().unwrap_or_default())
    }
}

fn number(value: &[u8]) -> Result<u32> {
    Ok(std::str::from_utf8(value)?.parse()?)
}

fn get(transaction: &mut Transaction, key: &str) -> Result<u32> {
    number(transaction.get(key)?.as_deref().unwrap_or_default())
}

fn set(transaction: &mut Transaction, key: &str, value: u32) {
    transaction.put(key, value.to_string());
}

/// The rows with such a value, in either direction.
fn search(
    transaction: &mut Transaction,
    back: bool,
    wanted: impl Fn(u32) -> bool,
) -> Result<Vec<String>> {
    let iter = transaction.range::<&str>(..);
    let pairs: Vec<_> =
        if back { iter.rev().collect::<Result<_, _>>() } else { iter.collect::<Result<_, _>>() }?;
    let mut found = Vec::new();
    for (key, value) in pairs {
        if wanted(number(&value)?) {
            found.push(String::from_utf8(key.to_vec())?);
        }
    }
    Ok(found)
}

/// Whether it was committed; a conflict is the one answer beside.
fn commit(transaction: Transaction) -> Result<bool> {
    match transaction.commit() {
        Ok(()) => Ok(true),
        Err(error) => {
            ensure!(error.kind() == ErrorKind::Conflict, "the commit failed: {error}");
            Ok(false)
        }
    }
}

fn dirty_write(table: &Table) -> Result<bool> {
    let (mut one, mut two) = table.two();
    set(&mut one, "x", 11);
    set(&mut two, "x", 12);
    set(&mut one, "y", 21);
    ensure!(commit(one)?, "the first commit is refused");
    set(&mut two, "y", 22);
    let both = commit(two)?;
    let rows = (table.now("x")?, table.now("y")?);
    Ok(both || rows != (11, 21))
}

fn aborted_read(table: &Table) -> Result<bool> {
    let (mut one, mut two) = table.two();
    set(&mut one, "x", 101);
    let before = get(&mut two, "x")?;
    one.rollback();
    let after = get(&mut two, "x")?;
    ensure!(commit(two)?, "a transaction that only read is refused");
    Ok((before, after, table.now("x")?) != (10, 10, 10))
}

fn intermediate_read(table: &Table) -> Result<bool> {
    let (mut one, mut two) = table.two();
    set(&mut one, "x", 101);
    let before = get(&mut two, "x")?;
    set(&mut one, "x", 11);
    ensure!(commit(one)?, "the first commit is refused");
    let after = get(&mut two, "x")?;
    ensure!(commit(two)?, "a transaction that only read is refused");
    Ok(before != 10 || after == 101 || table.now("x")? != 11)
}

fn circular_flow(table: &Table) -> Result<bool> {
    let (mut one, mut two) = table.two();
    set(&mut one, "x", 11);
    set(&mut two, "y", 22);
    let seen = (get(&mut one, "y")?, get(&mut two, "x")?);
    commit(one)?;
    commit(two)?;
    Ok(seen.0 == 22 || seen.1 == 11)
}

fn vanishing(table: &Table) -> Result<bool> {
    let (mut one, mut two) = table.two();
    set(&mut one, "x", 11);
    set(&mut one, "y", 19);
    set(&mut two, "x", 12);
    ensure!(commit(one)?, "the first commit is refused");
    let mut three = table.begin();
    let before = get(&mut three, "x")?;
    set(&mut two, "y", 18);
    let both = commit(two)?;
    let after = (get(&mut three, "x")?, get(&mut three, "y")?);
    ensure!(commit(three)?, "a transaction that only read is refused");
    Ok(both || before != 11 || after != (11, 19))
}

fn predicate_preceders(table: &Table) -> Result<bool> {
    // Of a read: a row comes into the range that was read.
    let (mut one, mut two) = table.two();
    let before = search(&mut one, false, |value| value == 30)?;
    set(&mut two, "z", 30);
    ensure!(commit(two)?, "the first commit is refused");
    let after = search(&mut one, true, |value| value % 3 == 0)?;
    ensure!(commit(one)?, "a transaction that only read is refused");
    if !before.is_empty() || !after.is_empty() {
        return Ok(true);
    }
    // Of a write: what it deletes is not what it looked for any more.
    let (mut one, mut two) = table.two();
    for key in search(&mut one, false, |_| true)? {
        let value = get(&mut one, &key)?;
        set(&mut one, &key, value + 10);
    }
    let doomed = search(&mut two, true, |value| value == 20)?;
    ensure!(doomed == ["y"], "the search found {doomed:?}");
    two.delete("y");
    ensure!(commit(one)?, "the first commit is refused");
    Ok(commit(two)? || table.now("y")? != 30)
}

fn lost_update(table: &Table) -> Result<bool> {
    let (mut one, mut two) = table.two();
    let (first, second) = (get(&mut one, "x")?, get(&mut two, "x")?);
    set(&mut one, "x", first + 1);
    set(&mut two, "x", second + 1);
    ensure!(commit(one)?, "the first commit is refused");
    commit(two)
}

fn read_skew(table: &Table) -> Result<bool> {
    let (mut one, mut two) = table.two();
    let x = get(&mut one, "x")?;
    ensure!((get(&mut two, "x")?, get(&mut two, "y")?) == (10, 20), "the rows are others");
    set(&mut two, "x", 12);
    set(&mut two, "y", 18);
    ensure!(commit(two)?, "the first commit is refused");
    let y = get(&mut one, "y")?;
    let range = search(&mut one, true, |value| value == 18)?;
    // And with a write to what was changed.
    one.delete("y");
    let both = commit(one)?;
    Ok(both || (x, y) != (10, 20) || !range.is_empty() || table.now("y")? != 18)
}

fn write_skew(table: &Table) -> Result<bool> {
    let (mut one, mut two) = table.two();
    for transaction in [&mut one, &mut two] {
        ensure!((get(transaction, "x")?, get(transaction, "y")?) == (10, 20), "other rows");
    }
    set(&mut one, "x", 11);
    set(&mut two, "y", 21);
    ensure!(commit(one)?, "the first commit is refused");
    commit(two)
}

fn range_skew(table: &Table) -> Result<bool> {
    let (mut one, mut two) = table.two();
    let none = search(&mut one, false, |value| value % 3 == 0)?;
    let neither = search(&mut two, true, |value| value % 3 == 0)?;
    ensure!(none.is_empty() && neither.is_empty(), "the rows are others");
    set(&mut one, "v", 30);
    set(&mut two, "z", 42);
    ensure!(commit(one)?, "the first commit is refused");
    commit(two)
}
