//! One transaction after the other against sorted maps, with others open beside them.

use super::db;
use crate::support::*;
use kv_engine::{Isolation, Savepoint, Transaction};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8),
    Delete(u8),
    Get(u8),
    /// Shows so many pairs of a range, from these ends.
    Range(u8, u8, Vec<bool>),
    Save,
    GoBack(prop::sample::Index),
    /// A plain write beside the transaction.
    Beside(u8, Option<u8>),
    BesideRange(u8, u8),
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0..24u8;
    prop_oneof![
        4 => (key.clone(), any::<u8>()).prop_map(|(k, v)| Step::Put(k, v)),
        2 => key.clone().prop_map(Step::Delete),
        2 => key.clone().prop_map(Step::Get),
        4 => (key.clone(), 0..26u8, prop::collection::vec(any::<bool>(), 0..8))
            .prop_map(|(a, b, ends)| Step::Range(a, b, ends)),
        1 => Just(Step::Save),
        1 => any::<prop::sample::Index>().prop_map(Step::GoBack),
        1 => (key.clone(), any::<Option<u8>>()).prop_map(|(k, v)| Step::Beside(k, v)),
        1 => (key, 0..26u8).prop_map(|(a, b)| Step::BesideRange(a, b)),
    ]
}

type Map = BTreeMap<u8, u8>;

fn set(map: &mut Map, key: u8, value: Option<u8>) {
    match value {
        Some(value) => _ = map.insert(key, value),
        None => _ = map.remove(&key),
    }
}

/// One transaction and what it must answer.
struct Run {
    tx: Transaction,
    sees: Map,
    saved: Vec<(Savepoint, Map, BTreeSet<u8>)>,
    /// What a commit elsewhere must not touch.
    read: BTreeSet<u8>,
    written: BTreeSet<u8>,
}

impl Run {
    fn range(&mut self, a: u8, b: u8, ends: &[bool]) {
        let mut expected: Vec<(u8, u8)> = match a < b {
            true => self.sees.range(a..b).map(|(k, v)| (*k, *v)).collect(),
            false => Vec::new(),
        };
        let mut iter = self.tx.range([a]..[b]);
        let (mut low, mut high) = (a, b);
        for front in ends {
            let (found, pair) = if *front {
                (iter.next(), if expected.is_empty() { None } else { Some(expected.remove(0)) })
            } else {
                (iter.next_back(), expected.pop())
            };
            let found = found.map(|pair| pair.unwrap()).map(|(k, v)| (k[0], v[0]));
            assert_eq!(found, pair, "{a}..{b} {ends:?}");
            match pair {
                Some((key, _)) if *front => low = key + 1,
                Some((key, _)) => high = key,
                None => (low, high) = (b, b),
            }
        }
        self.read.extend(a..low.min(b));
        self.read.extend(high.max(a)..b);
    }
}

fn check(start: &Map, steps: &[Step], isolation: Isolation) {
    let db = db();
    let mut store = start.clone();
    store.iter().for_each(|(k, v)| db.put([*k], [*v]).unwrap());
    let tx = db.transaction().isolation(isolation);
    let (read, written) = (BTreeSet::new(), BTreeSet::new());
    let mut run = Run { tx, sees: start.clone(), saved: Vec::new(), read, written };
    let mut touched = BTreeSet::new();
    for step in steps {
        match step.clone() {
            Step::Put(k, v) => {
                run.tx.put([k], [v]);
                run.sees.insert(k, v);
                run.written.insert(k);
            }
            Step::Delete(k) => {
                run.tx.delete([k]);
                run.sees.remove(&k);
                run.written.insert(k);
            }
            Step::Get(k) => {
                let found = run.tx.get([k]).unwrap().map(|v| v[0]);
                assert_eq!(found, run.sees.get(&k).copied());
                if !run.written.contains(&k) {
                    run.read.insert(k);
                }
            }
            Step::Range(a, b, ends) => run.range(a, b, &ends),
            Step::Save => {
                run.saved.push((run.tx.savepoint(), run.sees.clone(), run.written.clone()));
            }
            Step::GoBack(index) if !run.saved.is_empty() => {
                run.saved.truncate(index.index(run.saved.len()) + 1);
                let (savepoint, sees, written) = run.saved.last().unwrap();
                run.tx.rollback_to(savepoint).unwrap();
                (run.sees, run.written) = (sees.clone(), written.clone());
            }
            Step::GoBack(_) => {}
            Step::Beside(k, v) => {
                match v {
                    Some(v) => db.put([k], [v]).unwrap(),
                    None => db.delete([k]).unwrap(),
                }
                touched.insert(k);
                set(&mut store, k, v);
            }
            Step::BesideRange(a, b) => {
                db.delete_range([a]..[b]).unwrap();
                touched.extend(a..b);
                store.retain(|k, _| *k < a || *k >= b);
            }
        }
    }
    let mut needs = run.written.clone();
    if isolation == Isolation::Serializable {
        needs.extend(&run.read);
    }
    let refused = !run.written.is_empty() && !needs.is_disjoint(&touched);
    let committed = run.tx.commit();
    assert_eq!(committed.is_err(), refused, "{needs:?} {touched:?}");
    if !refused {
        for k in &run.written {
            set(&mut store, *k, run.sees.get(k).copied());
        }
    }
    let found: Map = pairs(db.iter()).iter().map(|(k, v)| (k[0], v[0])).collect();
    assert_eq!(found, store);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_transaction_equals_a_map_and_conflicts_exactly_where_it_must(
        start in prop::collection::btree_map(0..24u8, any::<u8>(), 0..20),
        steps in prop::collection::vec(step(), 0..30),
        serializable in any::<bool>(),
    ) {
        let isolation =
            if serializable { Isolation::Serializable } else { Isolation::Snapshot };
        check(&start, &steps, isolation);
    }
}
