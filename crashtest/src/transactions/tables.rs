//! Tables with indexes under power cuts: wherever the power goes, each row has its entries, and
//! each entry its row.

use crate::report::Row;
use anyhow::{Result, ensure};
use kv_engine::{Db, Options};
use kv_index::{Hash, IndexSpec, Ordered, Table, Tuple};
use kv_vfs::{Fault, FaultFs, Fs, MemFs};
use std::sync::Arc;
use std::time::Instant;

const DIR: &str = "/store";
/// The power is cut at each of the first so many calls of the file system, if there are as many.
const CUTS: u64 = 400;
/// A row's columns.
const COLUMNS: u32 = 4;

pub(super) fn run() -> Row {
    let begun = Instant::now();
    let mut row = Row::new("tables", "cuts");
    for cut in 0..CUTS {
        match one(cut) {
            Ok(whole) => {
                row.ran += 1;
                if whole {
                    break;
                }
            }
            Err(error) => row.violations.push(format!("a cut at call {cut}: {error:#}")),
        }
        if row.violations.len() > 3 {
            break;
        }
    }
    row.floor = 30;
    row.elapsed = begun.elapsed();
    row
}

/// Cuts the power at a call; answers whether everything was written before it.
fn one(cut: u64) -> Result<bool> {
    let disk = MemFs::new();
    let fs = FaultFs::new(Arc::new(disk.clone()));
    fs.arm(Fault::nth(cut).times(u64::MAX));
    let whole = script(&fs).is_ok();
    let db = Db::open(DIR, options(Arc::new(disk.crash())))?;
    let report = open(&db)?.verify_indexes()?;
    ensure!(report.is_ok(), "{report}");
    Ok(whole)
}

fn options(fs: Arc<dyn Fs>) -> Options {
    Options::default().sync_on_write(true).write_buffer(16 << 10).file_system(fs)
}

fn open(db: &Db) -> kv_index::Result<Table> {
    fn column(row: kv_index::Row<'_>, columns: &mut Tuple) -> Option<()> {
        columns.push(row.value);
        Some(())
    }
    let ordered: IndexSpec = Ordered::new("ordered", column).into();
    let hash: IndexSpec = Hash::new("hash", column).into();
    Table::builder("t").index(ordered).index(hash).open(db)
}

/// Adds, replaces and deletes rows, each write synced; any step may fail.
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
        if step % 3 == 0 {
            db.flush()?;
        }
    }
    db.close()?;
    Ok(())
}
