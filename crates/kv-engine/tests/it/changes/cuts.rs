//! The power goes at each call of a store with a consumer.

use super::Replica;
use crate::crash::{POLICIES, survivors};
use crate::cutting::CuttingFs;
use crate::support::*;
use kv_engine::{Change, Db, Options};
use kv_vfs::MemFs;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How far the consumer was after a step.
struct Place {
    /// Changes that it was given.
    given: usize,
    /// The number of the last one that it acknowledged; none before it was registered.
    acknowledged: Option<u64>,
}

/// What a consumer saw on its way.
#[derive(Default)]
struct Story {
    given: Vec<Change>,
    /// After each step.
    places: Vec<Place>,
    /// What it had made of the changes up to each number that it acknowledged.
    replicas: BTreeMap<u64, Replica>,
}

const STEPS: usize = 60;

fn small() -> Options {
    Options::default().write_buffer(4 << 10).background_threads(1)
}

/// Writes and takes the changes, flushes, ingests and opens again; `told` hears of each step.
fn work(options: &Options, told: &dyn Fn(usize)) -> Story {
    let mut story = Story::default();
    let mut replica = Replica::default();
    let mut acknowledged = None;
    let mut db = Db::open(DIR, options.clone()).unwrap();
    let mut changes = db.changes_since(0).unwrap();
    for i in 0..STEPS {
        match i {
            20 | 40 => {
                drop((changes, db));
                db = Db::open(DIR, options.clone()).unwrap();
                changes = db.changes_since(0).unwrap().resume("c").unwrap();
                replica = story.replicas[&changes.position()].clone();
                let left = story.given.iter().take_while(|c| c.seq <= replica.seq).count();
                story.given.truncate(left);
            }
            15 | 33 => db.flush().unwrap(),
            25 => drop(db.ingest([("a", "ingested"), ("zz", "too")]).unwrap()),
            _ if i % 7 == 3 => db.delete_range(key(i - 3)..key(i - 1)).unwrap(),
            _ => db.put(key(i), value(i, 0).repeat(4)).unwrap(),
        }
        for change in changes.by_ref() {
            let change = change.unwrap();
            replica.apply(&change, &db);
            story.given.push(change);
        }
        if i % 6 == 1 {
            story.replicas.insert(changes.position(), replica.clone());
            changes.acknowledge("c").unwrap();
            acknowledged = Some(changes.position());
        }
        story.places.push(Place { given: story.given.len(), acknowledged });
        told(story.places.len());
    }
    story
}

/// What the consumer acknowledged is in the store, what it did not is held, and all of it is the store.
fn holds(disk: &MemFs, story: &Story, steps: usize, synced: bool, what: &str) {
    let Some(Place { given, acknowledged: Some(acknowledged) }) =
        steps.checked_sub(1).map(|s| &story.places[s])
    else {
        return;
    };
    let options = || small().file_system(Arc::new(disk.clone()));
    let lives = RefCell::new(None);
    for life in 0..3 {
        let db = Db::open(DIR, options()).unwrap();
        let changes = db.changes_since(0).unwrap().resume("c");
        let mut changes = changes.unwrap_or_else(|e| panic!("{what}, life {life}: {e}"));
        let from = changes.position();
        assert!(from >= *acknowledged, "{what}: {from} was acknowledged, {acknowledged} before");
        let mut replica = story.replicas[&from].clone();
        let mut again = Vec::new();
        for change in changes.by_ref() {
            let change = change.unwrap_or_else(|e| panic!("{what}, life {life}: {e}"));
            replica.apply(&change, &db);
            again.push(change);
        }
        replica.is(&db);
        if synced {
            let known = story.given[..*given].iter().filter(|change| change.seq > from);
            let known: Vec<&Change> = known.collect();
            assert!(again.iter().take(known.len()).eq(known), "{what}");
        }
        // What a life has given the next one gives again, and what is new behind it.
        if let Some(before) = lives.replace(Some(again.clone())) {
            assert_eq!(again[..before.len()], before[..], "{what}");
            assert_eq!(again.len(), before.len() + 1, "{what}");
        }
        db.put(format!("life {life}"), "x").unwrap();
        if life == 0 {
            db.close().unwrap();
        }
    }
}

fn at_every_call(synced: bool) {
    let on = |fs: &CuttingFs| small().sync_on_write(synced).file_system(Arc::new(fs.clone()));
    let whole = CuttingFs::counting(MemFs::new());
    work(&on(&whole), &|_| {});
    let operations = whole.operations();
    assert!(operations > 100, "only {operations} operations");
    let mut rng = Rng::new(79);
    for at in 0..operations {
        let policy = rng.below(POLICIES);
        let fs = CuttingFs::new(MemFs::new(), at, survivors(policy, rng.next()));
        let story = work(&on(&fs), &|steps| fs.acknowledge(steps));
        // Background work comes in another order each time, so the last cuts may not be reached.
        let Some((disk, steps)) = fs.cut() else { continue };
        let what = format!("operation {at}, policy {policy}, synced: {synced}, {steps} steps");
        holds(&disk, &story, steps, synced, &what);
    }
}

#[test]
fn of_synced_writes() {
    at_every_call(true);
}

#[test]
fn of_unsynced_writes() {
    at_every_call(false);
}
