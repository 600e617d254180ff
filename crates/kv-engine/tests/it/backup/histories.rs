//! Random histories of writes, backups, removals and restores, beside a model.

use super::{COPY, backups, clear, on};
use crate::support::*;
use kv_engine::{Db, Options};
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u16),
    Delete(u8),
    DeleteRange(u8, u8),
    Compact,
    Reopen,
    Backup,
    BackupBeside,
    Keep(u8),
    Restore(u8),
    /// Goes on in the store that a point was restored to.
    GoBack(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (any::<u8>(), 0_u16..3000).prop_map(|(k, n)| Step::Put(k, n)),
        4 => any::<u8>().prop_map(Step::Delete),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(a, b)| Step::DeleteRange(a.min(b), a.max(b))),
        1 => Just(Step::Compact),
        1 => Just(Step::Reopen),
        3 => Just(Step::Backup),
        2 => Just(Step::BackupBeside),
        1 => (1_u8..5).prop_map(Step::Keep),
        2 => any::<u8>().prop_map(Step::Restore),
        1 => any::<u8>().prop_map(Step::GoBack),
    ]
}

// long: an arm for each kind of step
fn run(steps: &[Step]) {
    let w = World::tiny();
    let backups = backups(on(&w.fs));
    let (mut dir, mut model) = (DIR.to_owned(), Model::new());
    let mut points: BTreeMap<u64, Model> = BTreeMap::new();
    let open = |dir: &str| Db::open(dir, w.options()).unwrap();
    let mut db = open(&dir);
    for (i, step) in steps.iter().enumerate() {
        let chosen = |n: u8| points.iter().nth(usize::from(n) % points.len().max(1));
        match *step {
            Step::Put(k, len) => {
                let value = vec![k ^ i as u8; usize::from(len)];
                db.put([k], &value).unwrap();
                model.insert(vec![k], value);
            }
            Step::Delete(k) => {
                db.delete([k]).unwrap();
                model.remove(&vec![k]);
            }
            Step::DeleteRange(a, b) => {
                db.delete_range([a]..[b]).unwrap();
                model.retain(|k, _| k[0] < a || k[0] >= b);
            }
            Step::Compact => db.compact().unwrap(),
            Step::Reopen => {
                drop(db);
                db = open(&dir);
            }
            Step::Backup => {
                points.insert(backups.create(&db).unwrap().number(), model.clone());
            }
            Step::BackupBeside => {
                let reader = Db::open(&dir, w.options().read_only(true)).unwrap();
                points.insert(backups.create(&reader).unwrap().number(), model.clone());
            }
            Step::Keep(n) if !points.is_empty() => {
                backups.keep(usize::from(n)).unwrap();
                while points.len() > usize::from(n) {
                    points.pop_first();
                }
            }
            Step::Restore(n) => {
                let Some((number, model)) = chosen(n) else { continue };
                clear(&w.fs, COPY);
                backups.restore(*number, COPY, w.options()).unwrap();
                let options: Options = w.options().read_only(true);
                assert_same(&Db::open(COPY, options).unwrap(), model);
            }
            Step::GoBack(n) => {
                let Some((number, then)) = chosen(n) else { continue };
                drop(db);
                dir = format!("/restored/{i}");
                backups.restore(*number, &dir, w.options()).unwrap();
                (db, model) = (open(&dir), then.clone());
            }
            Step::Keep(_) => {}
        }
        if matches!(step, Step::Backup | Step::BackupBeside | Step::Keep(_)) && !points.is_empty() {
            let listed = backups.list().unwrap();
            let listed: Vec<u64> = listed.iter().map(|point| point.number()).collect();
            assert_eq!(listed, points.keys().copied().collect::<Vec<_>>());
        }
    }
    assert_same(&db, &model);
    if !points.is_empty() {
        assert!(backups.verify().unwrap().is_ok());
    }
    for (number, model) in &points {
        clear(&w.fs, COPY);
        backups.restore(*number, COPY, w.options()).unwrap();
        assert_same(&Db::open(COPY, w.options().read_only(true)).unwrap(), model);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_point_is_what_was_written_by_then(steps in prop::collection::vec(step(), 1..80)) {
        run(&steps);
    }
}
