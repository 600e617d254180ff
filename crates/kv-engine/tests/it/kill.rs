//! A killed process loses nothing that was acknowledged, synced or not.

use crate::child::{self, WRITERS, step_key, step_value};
use crate::support::*;
use kv_engine::{Db, Options};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

/// When to kill a child, in milliseconds.
#[derive(Clone, Copy, Debug)]
enum Kill {
    /// After its start: it may be opening still.
    Started(u64),
    /// After its first acknowledged write.
    Writing(u64),
}

/// Lets a child write for a while and kills it; answers each writer's last acknowledged step.
fn write_and_kill(role: &str, store: &Path, kill: Kill) -> [Option<usize>; WRITERS] {
    let mut child = child::start(role, store);
    let output = BufReader::new(child.stdout.take().unwrap());
    let (told, first) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut last = [None; WRITERS];
        for line in output.lines() {
            let line = line.unwrap();
            let mut words = line.split(' ');
            if words.next() == Some("done") {
                let mut number = || words.next().unwrap().parse::<usize>().unwrap();
                let writer = number();
                last[writer] = Some(number());
                _ = told.send(());
            }
        }
        last
    });
    let millis = match kill {
        Kill::Started(millis) => millis,
        Kill::Writing(millis) => {
            first.recv().expect("the child ended before it wrote");
            millis
        }
    };
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
    use Kill::{Started, Writing};
    for kill in [Writing(100), Started(20), Writing(200), Writing(0), Started(5), Writing(300)] {
        let acknowledged = write_and_kill(role, &temp.db(), kill);
        println!("{kill:?}: {acknowledged:?}");
        check(&temp.db(), acknowledged, &mut before);
    }
    assert!(before.iter().sum::<usize>() >= 4, "hardly anything was written: {before:?}");
}

#[test]
fn synced_writes_survive_a_kill() {
    survives_kills("write sync");
}

#[test]
fn writes_in_the_kernels_hands_survive_a_kill() {
    survives_kills("write os");
}
