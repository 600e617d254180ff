//! The model: what the store must hold behind every step of a history, at every time of day.
//!
//! For each index and each epoch there is one digest, a sum over all pairs and keyspaces, so that
//! a recovered store is found in the history by one look.

use crate::history::{ALIVE, Key, Op, SPACES, Stamp, Step, key_bytes};
use crate::rng::mix;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

/// A pair of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) stamp: Stamp,
    /// The first epoch in which it is not seen any more.
    pub(crate) gone: Option<u64>,
}

/// The pairs of each keyspace that exists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) spaces: BTreeMap<u8, BTreeMap<Key, Pair>>,
}

/// What a reader saw: for each keyspace the stamps by key.
pub(crate) type Seen = BTreeMap<u8, BTreeMap<Key, Stamp>>;

impl Model {
    pub(crate) fn new() -> Model {
        Model { spaces: BTreeMap::from([(0, BTreeMap::new())]) }
    }

    /// Takes a step that counts, with its index, in an epoch.
    pub(crate) fn apply(&mut self, step: &Step, index: u64, epoch: u64) {
        match step {
            Step::Write(ops, _) | Step::Ingest(ops) => {
                ops.iter().for_each(|op| self.apply_op(op, index, epoch));
            }
            Step::Create(space) => {
                self.spaces.entry(*space).or_default();
            }
            Step::Drop(space) => {
                self.spaces.remove(space);
            }
            _ => {}
        }
    }

    fn apply_op(&mut self, op: &Op, index: u64, epoch: u64) {
        let Some(pairs) = self.spaces.get_mut(&op.space()) else { return };
        match op {
            Op::Put(_, key, len) => {
                let stamp = Stamp { step: index, len: *len };
                pairs.insert(*key, Pair { stamp, gone: None });
            }
            Op::PutFor(_, key, len, epochs) => {
                let stamp = Stamp { step: index, len: *len };
                pairs.insert(*key, Pair { stamp, gone: Some(epoch + epochs + 1) });
            }
            Op::Delete(_, key) => {
                pairs.remove(key);
            }
            Op::DeleteRange(_, from, to) => {
                let range = key_bytes(*from)..key_bytes(*to);
                pairs.retain(|key, _| !range.contains(&key_bytes(*key)));
            }
        }
    }

    /// What a reader sees in an epoch.
    pub(crate) fn seen(&self, epoch: u64) -> Seen {
        let alive = |pair: &Pair| pair.gone.is_none_or(|gone| epoch < gone);
        let space = |pairs: &BTreeMap<Key, Pair>| {
            let pairs = pairs.iter().filter(|(_, pair)| alive(pair));
            pairs.map(|(key, pair)| (*key, pair.stamp)).collect()
        };
        self.spaces.iter().map(|(name, pairs)| (*name, space(pairs))).collect()
    }
}

/// One number for all that a reader saw.
pub(crate) fn digest(seen: &Seen) -> u64 {
    let mut sum = 0u64;
    for (space, pairs) in seen {
        sum = sum.wrapping_add(mix(u64::from(*space) + 1));
        for (key, stamp) in pairs {
            let place = mix(u64::from(*space) << 32 | u64::from(*key));
            sum = sum.wrapping_add(mix(place ^ mix(stamp.step ^ mix(u64::from(stamp.len)))));
        }
    }
    sum
}

/// A history with its models.
#[derive(Debug)]
pub(crate) struct Timeline {
    /// The model behind each index, the first of which is what was there before.
    models: Vec<Model>,
    /// The index with which the first model goes.
    first: u64,
    /// Every index whose state has this digest in this epoch, ascending.
    places: HashMap<(u64, u64), Vec<u64>>,
    /// The keys that the history uses.
    pub(crate) keys: Vec<Key>,
}

impl Timeline {
    /// The states that `steps` go through from `base`, whose index is `first`, beginning in
    /// `epoch`.
    pub(crate) fn new(base: Model, first: u64, epoch: u64, steps: &[Step]) -> Timeline {
        let mut models = vec![base];
        let (mut index, mut now) = (first, epoch);
        for step in steps {
            if *step == Step::Pass {
                now += 1;
            }
            if step.counts() {
                index += 1;
                let mut model = models.last().cloned().unwrap_or_else(Model::new);
                model.apply(step, index, now);
                models.push(model);
            }
        }
        let mut timeline = Timeline { models, first, places: HashMap::new(), keys: Vec::new() };
        for now in epoch..=now {
            timeline.add_epoch(now);
        }
        timeline.keys = timeline.used_keys(steps);
        timeline
    }

    /// The states of one epoch more.
    fn add_epoch(&mut self, epoch: u64) {
        for (index, model) in (self.first..).zip(&self.models) {
            self.places.entry((epoch, digest(&model.seen(epoch)))).or_default().push(index);
        }
    }

    fn used_keys(&self, steps: &[Step]) -> Vec<Key> {
        let mut keys: Vec<Key> = Vec::new();
        for step in steps {
            let (Step::Write(ops, _) | Step::Ingest(ops)) = step else { continue };
            for op in ops {
                match op {
                    Op::Put(_, key, _) | Op::PutFor(_, key, ..) | Op::Delete(_, key) => {
                        keys.push(*key);
                    }
                    Op::DeleteRange(_, from, to) => keys.extend([*from, *to]),
                }
            }
        }
        if let Some(base) = self.models.first() {
            keys.extend(base.spaces.values().flat_map(|pairs| pairs.keys().copied()));
        }
        keys.push(ALIVE);
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// The last index.
    pub(crate) fn last(&self) -> u64 {
        self.first + self.models.len().saturating_sub(1) as u64
    }

    /// The model at an index.
    pub(crate) fn model(&self, index: u64) -> Option<&Model> {
        self.models.get(usize::try_from(index.checked_sub(self.first)?).ok()?)
    }

    /// Every index at which a reader sees this.
    pub(crate) fn find(&self, seen: &Seen, epoch: u64) -> &[u64] {
        self.places.get(&(epoch, digest(seen))).map_or(&[], Vec::as_slice)
    }

    /// Says how what a reader saw differs from the state of the nearest index between two.
    pub(crate) fn explain(&self, seen: &Seen, epoch: u64, from: u64, to: u64) -> String {
        let mut best: Option<(usize, u64, String)> = None;
        for index in from..=to {
            let Some(model) = self.model(index) else { continue };
            let (count, text) = differences(&model.seen(epoch), seen);
            if best.as_ref().is_none_or(|(least, ..)| count < *least) {
                best = Some((count, index, text));
            }
        }
        match best {
            Some((count, index, text)) => {
                format!("no index fits; nearest is {index}, with {count} differences:{text}")
            }
            None => "no index fits".to_owned(),
        }
    }
}

/// How many differences, and the first few.
pub(crate) fn differences(expected: &Seen, seen: &Seen) -> (usize, String) {
    let mut count = 0;
    let mut text = String::new();
    let mut note = |line: String| {
        count += 1;
        if count <= 4 {
            let _ = write!(text, " {line};");
        }
    };
    for (place, name) in SPACES.iter().enumerate() {
        let place = place as u8;
        match (expected.get(&place), seen.get(&place)) {
            (Some(expected), Some(seen)) => {
                for (key, stamp) in expected {
                    match seen.get(key) {
                        Some(found) if found == stamp => {}
                        Some(found) => note(format!(
                            "{name:?} key {key} is of step {}, should be of {}",
                            found.step, stamp.step
                        )),
                        None => note(format!("{name:?} key {key} of step {} is lost", stamp.step)),
                    }
                }
                for (key, found) in seen.iter().filter(|(key, _)| !expected.contains_key(key)) {
                    note(format!("{name:?} key {key} of step {} should not be there", found.step));
                }
            }
            (Some(_), None) => note(format!("keyspace {name:?} is missing")),
            (None, Some(_)) => note(format!("keyspace {name:?} should not be there")),
            (None, None) => {}
        }
    }
    (count, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps() -> Vec<Step> {
        vec![
            Step::Write(vec![Op::Put(0, 7, 30)], true),
            Step::Create(1),
            Step::Write(vec![Op::PutFor(1, 7, 30, 0), Op::Delete(0, 7)], false),
            Step::Pass,
            Step::Write(vec![Op::Put(0, 8, 30)], false),
        ]
    }

    #[test]
    fn every_state_is_found_at_its_index() {
        let timeline = Timeline::new(Model::new(), 0, 0, &steps());
        assert_eq!(timeline.last(), 4);
        for index in 0..=4 {
            let seen = timeline.model(index).unwrap().seen(0);
            assert_eq!(timeline.find(&seen, 0), [index]);
        }
    }

    #[test]
    fn what_expired_is_not_seen_and_a_half_batch_fits_nowhere() {
        let timeline = Timeline::new(Model::new(), 0, 0, &steps());
        let seen = timeline.model(3).unwrap().seen(1);
        assert!(seen[&1].is_empty());
        let mut half = timeline.model(2).unwrap().seen(0);
        half.get_mut(&0).unwrap().remove(&7);
        assert!(timeline.find(&half, 0).is_empty());
        assert!(timeline.explain(&half, 0, 2, 2).contains("lost"));
    }
}
