//! The check finds what it is there for.

use super::*;
use crate::torture::model::Change;
use std::sync::Mutex;

/// A store that holds what a test says.
struct Fake(Mutex<BTreeMap<Place, Vec<u8>>>);

impl Store for Fake {
    fn put(&self, place: &Place, value: &[u8], _sync: bool) -> Result<()> {
        self.0.lock().unwrap().insert(place.clone(), value.to_vec());
        Ok(())
    }

    fn delete(&self, place: &Place, _sync: bool) -> Result<()> {
        self.0.lock().unwrap().remove(place);
        Ok(())
    }

    fn batch(&self, changes: &[Change], sync: bool) -> Result<()> {
        for change in changes {
            match &change.value {
                Some(value) => self.put(&change.place, value, sync)?,
                None => self.delete(&change.place, sync)?,
            }
        }
        Ok(())
    }

    fn scan(&self, each: &mut dyn FnMut(Place, &[u8])) -> Result<()> {
        for (place, value) in self.0.lock().unwrap().iter() {
            each(place.clone(), value);
        }
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

const SEED: u64 = 5;
/// A seed whose first life syncs nothing.
const UNSYNCED: u64 = 1;
const LIFE: u32 = 1;

/// A life that wrote `plan`, as pairs of a stream and whether the store kept the write, all of it
/// acknowledged in that order; then what the check says.
fn after(seed: u64, plan: &[(u8, bool)], floor: Floor) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::new(dir.path());
    ledger.saw(LIFE, &[0; STREAMS as usize]).unwrap();
    let store = Fake(Mutex::default());
    let mut models: Vec<Model> = (0..STREAMS).map(|stream| Model::new(seed, stream)).collect();
    let mut pens: Vec<_> = (0..STREAMS).map(|s| ledger.pen(LIFE, s).unwrap()).collect();
    for (stream, kept) in plan {
        let at = usize::from(*stream);
        let write = models[at].step(LIFE).0.filled();
        pens[at].intent(write.index).unwrap();
        if *kept {
            store.batch(&write.changes, write.sync).unwrap();
        }
        pens[at].acknowledged(write.index).unwrap();
    }
    check(&store, &ledger, seed, floor).unwrap().violations
}

#[test]
fn the_unsynced_seed_syncs_nothing() {
    let mut model = Model::new(UNSYNCED, 1);
    assert!((0..100).all(|_| !model.step(LIFE).0.sync));
}

#[test]
fn a_store_that_kept_all_is_whole() {
    let plan: Vec<(u8, bool)> =
        (0..300).map(|n| (n % u64::from(STREAMS)) as u8).map(|s| (s, true)).collect();
    assert_eq!(after(SEED, &plan, Floor::Acknowledged), Vec::<String>::new());
}

#[test]
fn a_lost_tail_is_a_violation_after_a_kill() {
    let mut plan = vec![(0, true); 60];
    plan.extend([(0, false); 3]);
    let said = after(SEED, &plan, Floor::Acknowledged);
    assert!(said[0].contains("lost acknowledged writes"), "{said:?}");
}

#[test]
fn a_lost_write_in_the_middle_is_a_violation() {
    for stream in [0, BANK] {
        let mut plan = vec![(stream, true); 60];
        plan[30].1 = false;
        plan.truncate(34);
        let said = after(SEED, &plan, Floor::Synced);
        assert!(said.iter().any(|line| line.contains("in no state")), "{said:?}");
    }
}

#[test]
fn a_hole_between_streams_is_a_violation() {
    let mut plan = vec![(1, true); 20];
    plan.extend([(1, false); 5]);
    plan.extend([(2, true); 5]);
    let said = after(SEED, &plan, Floor::Acknowledged);
    assert!(said.iter().any(|line| line.contains("lost acknowledged")), "{said:?}");
    // Where nothing was synced only the order tells.
    let said = after(UNSYNCED, &plan, Floor::Synced);
    assert!(said.iter().any(|line| line.contains("a hole: 5 writes of stream 1")), "{said:?}");
}

#[test]
fn what_a_sync_of_everything_covered_is_owed() {
    for (synced, lost) in [(true, true), (false, false)] {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::new(dir.path());
        ledger.saw(LIFE, &[0; STREAMS as usize]).unwrap();
        let (mut pen, mut syncs) = (ledger.pen(LIFE, 1).unwrap(), ledger.pen(LIFE, SYNCS).unwrap());
        let mut model = Model::new(UNSYNCED, 1);
        for _ in 0..6 {
            let write = model.step(LIFE).0;
            pen.intent(write.index).unwrap();
            pen.acknowledged(write.index).unwrap();
        }
        syncs.intent(0).unwrap();
        if synced {
            syncs.acknowledged(0).unwrap();
        }
        let store = Fake(Mutex::default());
        let said = check(&store, &ledger, UNSYNCED, Floor::Synced).unwrap().violations;
        assert_eq!(said.iter().any(|line| line.contains("lost acknowledged")), lost, "{said:?}");
    }
}

#[test]
fn half_a_batch_and_a_foreign_value_are_violations() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::new(dir.path());
    ledger.saw(LIFE, &[0; STREAMS as usize]).unwrap();
    let store = Fake(Mutex::default());
    let write = Model::new(SEED, BANK).step(LIFE).0.filled();
    ledger.pen(LIFE, BANK).unwrap().intent(0).unwrap();
    store.batch(&write.changes[..1], true).unwrap();
    let said = check(&store, &ledger, SEED, Floor::Synced).unwrap().violations;
    assert!(said.iter().any(|line| line.contains("sum up to")), "{said:?}");
    assert!(said.iter().any(|line| line.contains("in no state")), "{said:?}");
    store.put(&(0, b"w0/01".to_vec()), b"what is this", true).unwrap();
    let said = check(&store, &ledger, SEED, Floor::Synced).unwrap().violations;
    assert!(said.iter().any(|line| line.contains("no write made")), "{said:?}");
}

#[test]
fn what_an_open_has_shown_must_stay() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Ledger::new(dir.path());
    let store = Fake(Mutex::default());
    let mut model = Model::new(SEED, 0);
    ledger.saw(LIFE, &[0; STREAMS as usize]).unwrap();
    let mut pen = ledger.pen(LIFE, 0).unwrap();
    for _ in 0..8 {
        let write = model.step(LIFE).0.filled();
        pen.intent(write.index).unwrap();
        if write.index < 5 {
            store.batch(&write.changes, false).unwrap();
        }
    }
    let mut from = check(&store, &ledger, SEED, Floor::Synced).unwrap().found;
    assert!(from[0] >= 5);
    from[0] = 8;
    ledger.saw(LIFE + 1, &from).unwrap();
    let said = check(&store, &ledger, SEED, Floor::Synced).unwrap().violations;
    assert!(said.iter().any(|line| line.contains("behind an earlier open")), "{said:?}");
}
