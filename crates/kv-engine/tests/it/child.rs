//! This test program started again, as another process that a test may lock out or kill.

use kv_engine::{Db, Durability, ErrorKind, Options, WriteBatch};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const ROLE: &str = "KV_ENGINE_IT_ROLE";
const STORE: &str = "KV_ENGINE_IT_STORE";

/// Starts this program as a child that plays `role` on a store.
pub(crate) fn start(role: &str, store: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child::role", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env(STORE, store)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The child's part; as a test of its own it has none.
#[test]
fn role() {
    let (Ok(role), Some(store)) = (std::env::var(ROLE), std::env::var_os(STORE)) else { return };
    let store = Path::new(&store);
    // The test harness has begun a line.
    println!();
    match role.as_str() {
        "hold" => hold(store),
        "try" => try_open(store),
        "write sync" => write(store, Durability::Sync),
        "write os" => write(store, Durability::Os),
        other => panic!("there is no role {other}"),
    }
}

/// Holds the store open until its input ends.
fn hold(store: &Path) {
    let db = Db::open(store, Options::default()).unwrap();
    db.put("held", "by the child").unwrap();
    println!("open");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    db.close().unwrap();
}

/// Says how an open goes.
fn try_open(store: &Path) {
    let kind = Db::open(store, Options::default()).map_or_else(|e| Some(e.kind()), |_| None);
    println!("{}", if kind == Some(ErrorKind::Locked) { "locked" } else { "not locked" });
}

pub(crate) const WRITERS: usize = 3;

/// The key of a writer's step; every third step has a large value.
pub(crate) fn step_key(writer: usize, step: usize) -> String {
    format!("{writer}/{step:08}")
}

pub(crate) fn step_value(writer: usize, step: usize) -> Vec<u8> {
    let mut value = format!("writer {writer} step {step} ").into_bytes();
    value.resize(if step.is_multiple_of(17) { 3_000 } else { 60 }, b'.');
    value
}

/// Writes steps until it is killed, each a batch over two keyspaces, and says each that is done.
fn write(store: &Path, durability: Durability) {
    let options = Options::default().write_buffer(16 << 10).table_size(16 << 10);
    let db = Db::open(store, options).unwrap();
    let other = db.keyspace("other").unwrap();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (db, other) = (&db, &other);
            scope.spawn(move || {
                let done = db.prefix(format!("{writer}/")).count();
                for step in done.. {
                    let (key, value) = (step_key(writer, step), step_value(writer, step));
                    let mut batch = WriteBatch::new();
                    batch.put(&key, &value);
                    batch.put(format!("last/{writer}"), step.to_string());
                    batch.within(other).put(&key, &value);
                    db.write_with(batch, durability).unwrap();
                    println!("done {writer} {step}");
                }
            });
        }
    });
}
