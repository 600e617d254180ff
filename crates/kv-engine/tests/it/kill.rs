//! A killed process loses nothing that was acknowledged, synced or not.

use crate::child::{self, WRITERS, step_key, step_value};
use crate::support::*;
use kv_engine::{Db, Options};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

/// Lets a child write for a while and kills it; answers each writer's last acknowledged step.
fn write_and_kill(role: &str, store: &Path, millis: u64) -> [Option<usize>; WRITERS] {
    let mut child = child::start(role, store);
    let output = BufReader::new(child.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        let mut last = [None; WRITERS];
        for line in output.lines() {
            let line = line.unwrap();
            let mut words = line.split(' ');
            if words.next() == Some("done") {
                let mut number = || words.next().unwrap().parse::<usize>().unwrap();
                let writer = number();
                last[writer] = Some(number());
            }
        }
        last
    });
    std::thread::sleep(Duration::from_millis(millis));
    assert!(child.try_wait().unwrap().is_none(), "the child ended by itself");
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

/// Every writer's steps are a prefix without a hole, in both keyspaces alike, and reach at least
/// to what was acknowledged and at most one step further.
fn check(store: &Path, acknowledged: [Option<usize>; WRITERS], before: &mut [usize; WRITERS]) {
    let db = Db::open(store, Options::default()).unwrap();
    let other = db.keyspace("other").unwrap();
    for writer in 0..WRITERS {
        let prefix = format!("{writer}/");
        let here = pairs(db.prefix(&prefix));
        assert!(here == pairs(other.prefix(&prefix)), "batches of writer {writer} were torn");
        for (step, (key, value)) in here.iter().enumerate() {
            assert_eq!(key, step_key(writer, step).as_bytes(), "a hole before this step");
            assert!(*value == step_value(writer, step), "step {step} of writer {writer}");
        }
        let count = here.len();
        let at_least = acknowledged[writer].map_or(before[writer], |last| last + 1);
        assert!(count >= at_least, "{at_least} steps were acknowledged and {count} are there");
        assert!(count <= at_least + 1, "{count} steps are there, {at_least} were written");
        let last = text(&db, format!("last/{writer}"));
        assert_eq!(last, count.checked_sub(1).map(|step| step.to_string()));
        before[writer] = count;
    }
    assert!(db.verify().unwrap().is_ok());
}

fn survives_kills(role: &str) {
    let temp = TempDir::new();
    let mut before = [0; WRITERS];
    for (round, millis) in [120, 40, 200, 15, 90, 300].into_iter().enumerate() {
        let acknowledged = write_and_kill(role, &temp.db(), millis);
        println!("round {round}: {acknowledged:?}");
        check(&temp.db(), acknowledged, &mut before);
    }
    assert!(before.iter().sum::<usize>() > 50, "hardly anything was written: {before:?}");
}

#[test]
fn synced_writes_survive_a_kill() {
    survives_kills("write sync");
}

#[test]
fn writes_in_the_kernels_hands_survive_a_kill() {
    survives_kills("write os");
}
