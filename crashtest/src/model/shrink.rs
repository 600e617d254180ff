//! From a failing case to a small one: fewer operations first (delta debugging), then simpler
//! arguments, until nothing can go any more or the time is over.
//!
//! Background threads make some failures come and go, so a candidate is run several times, and is
//! taken where it fails once.

use super::op::{Case, Edge, Item, Key, Op};
use super::run::run;
use super::settings::Settings;
use crate::panics;
use std::time::{Duration, Instant};

/// How often a candidate may pass before it is given up.
const TRIES: usize = 4;

/// The smallest failing case that was found, and how it fails; `None` where not even the whole
/// case failed again.
pub(super) fn shrink(
    case: &Case,
    limit: Duration,
    progress: &dyn Fn(usize),
) -> Option<(Case, String)> {
    let deadline = Instant::now() + limit;
    let mut best = Best { why: fails(case, progress)?, case: case.clone(), deadline, progress };
    loop {
        let before = best.case.clone();
        best.fewer();
        best.simpler();
        if best.case == before || best.over() {
            return Some((best.case, best.why));
        }
    }
}

/// How a case fails, if it does.
fn fails(case: &Case, progress: &dyn Fn(usize)) -> Option<String> {
    let once = || {
        let ran = panics::catch(|| run(case, None, progress));
        match ran {
            Some(Ok(_)) => None,
            Some(Err((_, why))) => Some(why),
            None => Some("a panic".to_owned()),
        }
    };
    (0..TRIES).find_map(|_| once())
}

struct Best<'a> {
    case: Case,
    why: String,
    deadline: Instant,
    progress: &'a dyn Fn(usize),
}

impl Best<'_> {
    fn over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Takes a candidate where it fails.
    fn offer(&mut self, case: Case) -> bool {
        if self.over() || case == self.case {
            return false;
        }
        match fails(&case, self.progress) {
            Some(why) => {
                (self.case, self.why) = (case, why);
                true
            }
            None => false,
        }
    }

    /// Leaves out stretches of operations, long ones first.
    fn fewer(&mut self) {
        let mut len = self.case.ops.len() / 2;
        while len > 0 && !self.over() {
            // From the end: what comes after the failure goes at once.
            let mut to = self.case.ops.len();
            while to > 0 {
                let from = to.saturating_sub(len);
                let mut case = self.case.clone();
                case.ops.drain(from..to.min(case.ops.len()));
                self.offer(case);
                to = from;
            }
            len /= 2;
        }
    }

    /// Puts simpler arguments in place.
    fn simpler(&mut self) {
        let case = Case { settings: Settings::plain(), ..self.case.clone() };
        self.offer(case);
        for at in 0..self.case.ops.len() {
            for op in self.case.ops.get(at).map(simpler).unwrap_or_default() {
                let mut case = self.case.clone();
                if let Some(place) = case.ops.get_mut(at) {
                    *place = op;
                }
                self.offer(case);
            }
        }
    }
}

/// Operations that could stand in the place of one.
fn simpler(op: &Op) -> Vec<Op> {
    const HOT: Key = Key::Hot(1);
    match op {
        Op::Put { space, key, .. } => {
            vec![
                Op::Put { space: 0, key: *key, len: 28 },
                Op::Put { space: *space, key: HOT, len: 28 },
            ]
        }
        Op::PutTtl { space, key, len, .. } => vec![Op::Put { space: *space, key: *key, len: *len }],
        Op::Delete { key, .. } => vec![Op::Delete { space: 0, key: *key }],
        Op::DeleteRange { space, from, to } => vec![
            Op::DeleteRange { space: 0, from: *from, to: *to },
            Op::DeleteRange { space: *space, from: Edge::Open, to: *to },
            Op::DeleteRange { space: *space, from: *from, to: Edge::Open },
        ],
        Op::Batch { space, sync, items } => smaller_batches(*space, *sync, items),
        Op::Cursor { slot, moves } => (0..moves.len())
            .map(|at| {
                let mut moves = moves.clone();
                moves.remove(at);
                Op::Cursor { slot: *slot, moves }
            })
            .collect(),
        Op::Reopen { end, settings: Some(_) } => vec![Op::Reopen { end: *end, settings: None }],
        _ => Vec::new(),
    }
}

fn smaller_batches(space: u8, sync: Option<bool>, items: &[Item]) -> Vec<Op> {
    let half = items.len() / 2;
    let mut parts = vec![items.get(..half).unwrap_or_default().to_vec()];
    parts.push(items.get(half..).unwrap_or_default().to_vec());
    for at in 0..items.len().min(16) {
        let mut items = items.to_vec();
        items.remove(at);
        parts.push(items);
    }
    parts.retain(|part| part.len() < items.len());
    parts.into_iter().map(|items| Op::Batch { space, sync, items }).collect()
}
