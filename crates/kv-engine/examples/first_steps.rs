//! Open a store, its directory included; put, get, delete.
//!
//! `cargo run --example first_steps`

use kv_engine::{Db, Options};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let temp = tempfile::tempdir()?;
    let dir = temp.path().join("not/there/yet");
    let db = Db::open(&dir, Options::default())?;
    assert!(dir.is_dir());

    db.put("apple", "red")?;
    db.put("banana", "yellow")?;
    assert_eq!(db.get("apple")?.as_deref(), Some(&b"red"[..]));

    db.put("apple", "green")?; // the newer value counts
    assert_eq!(db.get("apple")?.as_deref(), Some(&b"green"[..]));

    db.delete("apple")?;
    db.delete("apple")?; // no error: it is gone either way
    assert_eq!(db.get("apple")?, None);
    assert_eq!(db.iter().count(), 1);
    println!("{} holds one pair", dir.display());
    Ok(())
}

#[test]
fn runs() -> Result<(), Box<dyn Error>> {
    main()
}
