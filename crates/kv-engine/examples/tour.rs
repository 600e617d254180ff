//! A tour in one run: opens a store, writes, reads, is killed half way and survives it.
//!
//! `cargo run --release --example tour [DIRECTORY]`

#![expect(clippy::expect_used, reason = "an example that ends where something is wrong")]
#![expect(clippy::disallowed_methods, reason = "the tour kills and starts a real process")]

use kv_engine::{Db, Options, Result, WriteBatch};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    match (args.next(), args.next()) {
        (Some(mode), Some(dir)) if mode == "--write-until-killed" => {
            write_until_killed(dir.as_ref())
        }
        (dir, _) => tour(&dir.map_or_else(default_dir, PathBuf::from)),
    }
}

fn default_dir() -> PathBuf {
    std::env::temp_dir().join(format!("kv-tour-{}", std::process::id()))
}

fn tour(dir: &Path) -> Result<()> {
    println!("1. Open a store in {}", dir.display());
    let db = Db::open(dir, Options::default())?;

    println!("2. Write: a put, a batch over two keyspaces, 100,000 more");
    db.put("apple", "red")?;
    let users = db.keyspace("users")?;
    let mut batch = WriteBatch::new();
    batch.put("banana", "yellow");
    batch.within(&users).put("ada", "1815");
    db.write(batch)?;
    let started = Instant::now();
    for chunk in 0..100 {
        let mut batch = WriteBatch::new();
        for i in 0..1000 {
            batch.put(format!("number/{:06}", chunk * 1000 + i), format!("{}", i * i));
        }
        db.write(batch)?;
    }
    println!("   100 synced batches of 1,000 in {:?}", started.elapsed());

    println!("3. Read: points, a range backwards, a snapshot beside a delete");
    println!("   apple is {:?}, ada is {:?}", db.get("apple")?, users.get("ada")?);
    let snapshot = db.snapshot();
    db.delete_range("number/0".."number/1")?;
    let last: Vec<_> =
        snapshot.range("number/".."number/~").rev().take(2).collect::<Result<_>>()?;
    println!("   the last two: {last:?}");
    println!(
        "   now {} numbers, in the snapshot {}",
        db.prefix("number/").count(),
        snapshot.prefix("number/").count()
    );
    drop((snapshot, users, db));

    println!("4. A second process writes, each write synced, and is killed with SIGKILL");
    let acknowledged = write_and_kill(dir);
    let db = Db::open(dir, Options::default())?;
    let found = db.prefix("survivor/").count();
    println!("   {acknowledged} writes were acknowledged, {found} are there");
    assert!(found >= acknowledged, "an acknowledged write was lost");

    println!("5. Verify every byte: {}", db.verify()?);
    println!("{}", db.stats());
    db.close()?;
    println!("Everything that was acknowledged is there. The store is in {}", dir.display());
    Ok(())
}

/// Starts this program as a writer, kills it, and answers how many writes it had acknowledged.
fn write_and_kill(dir: &Path) -> usize {
    let mut writer = Command::new(std::env::current_exe().expect("own path"))
        .arg("--write-until-killed")
        .arg(dir)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the writer starts");
    let lines = BufReader::new(writer.stdout.take().expect("its output")).lines();
    let started = Instant::now();
    let mut acknowledged = 0;
    let mut killed = false;
    for line in lines {
        acknowledged += usize::from(line.is_ok());
        if !killed && started.elapsed() > Duration::from_millis(300) && acknowledged > 100 {
            writer.kill().expect("kill");
            killed = true;
        }
    }
    writer.wait().expect("its end");
    acknowledged
}

fn write_until_killed(dir: &Path) -> Result<()> {
    use std::io::Write;
    let db = Db::open(dir, Options::default())?;
    let mut out = std::io::stdout();
    for i in 0u64.. {
        db.put(format!("survivor/{i:09}"), "value")?;
        // Told only after the store has acknowledged it.
        if writeln!(out, "{i}").and_then(|()| out.flush()).is_err() {
            break;
        }
    }
    Ok(())
}
