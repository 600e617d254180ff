//! Tables with indexes under power cuts: wherever the power goes, each row has its entries, and
//! each entry its row, also where an index is being created, built or dropped.

use crate::report::Row;
use anyhow::{Result, ensure};
use kv_engine::{Db, Options};
use kv_index::{Error, Hash, IndexSpec, Ordered, Table, Tuple};
use kv_vfs::{Fault, FaultFs, Fs, MemFs};
use std::sync::Arc;
use std::time::Instant;

const DIR: &str = "/store";
/// The power is cut before about so many of the calls of the file system, spread over the script.
const CUTS: u64 = 400;
/// A row's columns.
const COLUMNS: u32 = 4;
/// The index that is created, built and dropped again and again.
pub(super) const LATE: &str = "late";

pub(super) fn run() -> Row {
    let begun = Instant::now();
    let mut row = Row::new("tables", "cuts");
    let uncut = FaultFs::new(Arc::new(MemFs::new()));
    if let Err(error) = script(&uncut) {
        row.violations.push(format!("without a cut: {error:#}"));
    }
    let calls: u64 = uncut.calls().values().sum();
    // Not always at the same calls of what the script does again and again.
    let step = (calls / CUTS).max(1) | 1;
    for cut in (0..calls).step_by(step as usize) {
        match one(cut) {
            Ok(()) => row.ran += 1,
            Err(error) => row.violations.push(format!("a cut at call {cut}: {error:#}")),
        }
        if row.violations.len() > 3 {
            break;
        }
    }
    row.floor = CUTS / 2;
    row.notes.push(format!("at every {step}th of {calls} calls"));
    row.elapsed = begun.elapsed();
    row
}

/// Cuts the power at a call, if there are as many.
fn one(cut: u64) -> Result<()> {
    let disk = MemFs::new();
    let fs = FaultFs::new(Arc::new(disk.clone()));
    fs.arm(Fault::nth(cut).times(u64::MAX));
    // On a thread that ends with it: what it has put off is gone with the power.
    let _ = std::thread::scope(|scope| scope.spawn(|| script(&fs)).join());
    look(&Db::open(DIR, options(Arc::new(disk.crash())))?)?;
    Ok(())
}

/// Compares all rows with all entries, as they are and once the late index is built; answers
/// whether it was built before.
pub(super) fn look(db: &Db) -> Result<bool> {
    let table = open(db)?;
    let report = table.verify_indexes()?;
    ensure!(report.is_ok(), "{report}");
    let built = match table.index(LATE) {
        Ok(_) => true,
        Err(Error::NotReady { .. }) => false,
        Err(error) => return Err(error.into()),
    };
    table.build(LATE)?;
    let report = table.verify_indexes()?;
    ensure!(report.is_ok(), "after the build: {report}");
    Ok(built)
}

fn options(fs: Arc<dyn Fs>) -> Options {
    Options::default().sync_on_write(true).write_buffer(16 << 10).file_system(fs)
}

fn column(row: kv_index::Row<'_>, columns: &mut Tuple) -> Option<()> {
    columns.push(row.value);
    Some(())
}

pub(super) fn late() -> IndexSpec {
    Ordered::new(LATE, column).into()
}

/// Opens the table; what a build sorts does not fit into memory at once.
pub(super) fn open(db: &Db) -> kv_index::Result<Table> {
    let ordered: IndexSpec = Ordered::new("ordered", column).into();
    let hash: IndexSpec = Hash::new("hash", column).into();
    let table = Table::builder("t").index(ordered).index(hash).index(late());
    table.build_memory(1 << 10).open(db)
}

/// Adds, replaces and deletes rows, each write synced, and builds the late index anew in between;
/// any step may fail.
fn script(fs: &FaultFs) -> Result<()> {
    let db = Db::open(DIR, options(Arc::new(fs.clone())))?;
    let table = open(&db)?;
    for step in 0..60_u32 {
        let key = (step * 7 % 20).to_be_bytes();
        if step % 5 == 4 {
            table.delete(key)?;
        } else {
            table.upsert(key, (step % COLUMNS).to_be_bytes())?;
        }
        match step % 20 {
            3 | 13 => db.flush()?,
            9 => {
                table.drop_index(LATE)?;
                table.create_index(late())?;
            }
            17 => table.build(LATE)?,
            _ => {}
        }
    }
    db.close()?;
    Ok(())
}
