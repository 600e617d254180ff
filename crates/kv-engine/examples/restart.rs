//! Data stays from one start of a program to the next. Writes without a sync are fast and survive
//! the end of the process; `sync` makes all of them survive a loss of power.
//!
//! `cargo run --example restart`

use kv_engine::{Db, Options};
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    for start in 1..=3 {
        assert_eq!(count_starts(dir.path())?, start);
    }
    Ok(())
}

/// One start of the program.
fn count_starts(dir: &Path) -> kv_engine::Result<usize> {
    let db = Db::open(dir, Options::default().sync_on_write(false))?;
    let starts = db.iter().count() + 1;
    db.put(format!("start {starts}"), "was here")?;
    db.sync()?;
    println!("start {starts}");
    Ok(starts)
    // The last handle goes here, and closes the store.
}

#[test]
fn runs() -> Result<(), Box<dyn Error>> {
    main()
}
