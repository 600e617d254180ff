//! An atomic batch: all of it is written or nothing. `flush` moves what is in memory to tables,
//! `close` ends the work with the store and says if that failed.
//!
//! `cargo run --example batch`

use kv_engine::{Db, ErrorKind, Options, WriteBatch};
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let db = Db::open(dir.path(), Options::default())?;
    db.put("account/ada", "100")?;

    let mut batch = WriteBatch::new();
    batch.put("account/ada", "70");
    batch.put("account/bob", "30");
    batch.delete("pending/1");
    db.write(batch)?;

    // One operation over a limit: none of the batch is written.
    let mut batch = WriteBatch::new();
    batch.put("account/ada", "0");
    batch.put(vec![b'k'; 70_000], "a key that is too long");
    assert_eq!(db.write(batch).map_err(|error| error.kind()), Err(ErrorKind::InvalidArgument));
    assert_eq!(db.get("account/ada")?.as_deref(), Some(&b"70"[..]));

    db.flush()?;
    let other = db.clone();
    db.close()?;
    assert_eq!(other.get("account/ada").map_err(|error| error.kind()), Err(ErrorKind::Closed));

    let db = Db::open(dir.path(), Options::default())?;
    assert_eq!(db.get("account/bob")?.as_deref(), Some(&b"30"[..]));
    println!("{} accounts", db.prefix("account/").count());
    Ok(())
}

#[test]
fn runs() -> Result<(), Box<dyn Error>> {
    main()
}
