//! A database in memory: the same engine without a directory, for tests and for data that may go
//! with the process.
//!
//! `cargo run --example in_memory`

use kv_engine::{Db, Options, Result};

fn main() -> Result<()> {
    let db = Db::in_memory(Options::default())?;
    for (word, number) in [("one", 1_u32), ("two", 2), ("three", 3)] {
        db.put(word, number.to_be_bytes())?;
    }
    assert_eq!(db.get("two")?.as_deref(), Some(&[0, 0, 0, 2][..]));

    // In order of the keys, as on disk.
    let words: Vec<_> = db.iter().map(|pair| pair.map(|(word, _)| word)).collect::<Result<_>>()?;
    assert_eq!(words, ["one", "three", "two"]);

    // Another one shares nothing with it.
    let other = Db::in_memory(Options::default())?;
    assert_eq!(other.get("two")?, None);
    println!("{words:?}");
    Ok(())
}

#[test]
fn runs() -> Result<()> {
    main()
}
