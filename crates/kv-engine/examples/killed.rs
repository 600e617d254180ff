//! What `put` acknowledged is there after `kill -9`. This program starts itself again as a writer,
//! kills it in the middle of its work, and opens the store that is left.
//!
//! `cargo run --example killed`

#![expect(clippy::expect_used, reason = "an example that ends where something is wrong")]

use kv_engine::{Db, Options};
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// Set for the child: the store that it writes.
const STORE: &str = "KV_EXAMPLE_STORE";

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(dir) = std::env::var_os(STORE) {
        return write_for_ever(dir.as_ref());
    }
    let temp = tempfile::tempdir()?;
    let mut child = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(STORE, temp.path())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut acknowledged = 0;
    for line in output.lines() {
        if let Some((_, number)) = line?.rsplit_once("stored ") {
            acknowledged = number.parse().expect("a number");
        }
        if acknowledged == 100 {
            child.kill()?; // SIGKILL: no destructor runs, nothing is flushed
        }
    }
    child.wait()?;

    let db = Db::open(temp.path(), Options::default())?;
    let there = db.iter().count();
    println!("{acknowledged} puts were acknowledged, {there} are there");
    assert!(acknowledged >= 100 && there >= acknowledged);
    for number in 1..=there as u32 {
        assert_eq!(db.get(number.to_be_bytes())?.as_deref(), Some(&b"value"[..]));
    }
    Ok(())
}

/// Writes, and says what was acknowledged, until it is killed.
fn write_for_ever(dir: &Path) -> Result<(), Box<dyn Error>> {
    let db = Db::open(dir, Options::default())?; // durable by default
    for number in 1_u32.. {
        db.put(number.to_be_bytes(), "value")?;
        writeln!(std::io::stdout(), "stored {number}")?;
    }
    Ok(())
}

#[test]
fn runs() -> Result<(), Box<dyn Error>> {
    main()
}
