//! Stale bytes come back by themselves: what is overwritten is merged away once it costs more than
//! `space_amplification` allows, also in a store of a few MiB.
//!
//! `cargo run --release --example stale_bytes`

#![expect(clippy::expect_used, reason = "an example that ends where something is wrong")]
#![expect(clippy::disallowed_methods, reason = "the example waits for real work")]

use kv_engine::{Db, Options, Result};
use std::time::Duration;

fn main() -> Result<()> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let options = Options::default().sync_on_write(false).space_amplification(1.15);
    let db = Db::open(dir.path().join("store"), options)?;
    let value = |i: u32, round: u32| format!("{:032x}", scramble(u64::from(i), round)).repeat(3);

    for i in 0..30_000 {
        db.put(format!("key {i:06}"), value(i, 0))?;
    }
    db.flush()?;
    let fresh = table_bytes(&db);
    // Every third key anew: a third of what the first tables hold is stale.
    for i in (0..30_000).step_by(3) {
        db.put(format!("key {i:06}"), value(i, 1))?;
    }
    db.flush()?;
    println!("{fresh} bytes of tables, and {} behind the overwriting", table_bytes(&db));
    let mut waits = 0;
    while table_bytes(&db) > fresh * 115 / 100 {
        assert!(waits < 6_000, "a minute later the stale bytes are still there");
        waits += 1;
        std::thread::sleep(Duration::from_millis(10));
    }
    println!("{} bytes: the stale ones are gone, and nobody asked for it", table_bytes(&db));
    assert_eq!(db.get("key 000003")?.as_deref(), Some(value(3, 1).as_bytes()));
    db.close()
}

#[test]
fn runs() -> Result<()> {
    main()
}

/// Values that hardly compress.
fn scramble(i: u64, round: u32) -> u128 {
    let mixed = (u128::from(i) << 32 | u128::from(round))
        .wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
    mixed ^ (mixed >> 61)
}

fn table_bytes(db: &Db) -> u64 {
    let text = db.stats().prometheus();
    let line = text.lines().find_map(|line| line.strip_prefix("kv_table_bytes "));
    line.and_then(|number| number.parse().ok()).unwrap_or(0)
}
