//! The pairs of a range as a transaction sees them: its snapshot with its own writes over it.

use crate::error::Result;
use crate::read::iter::Iter;
use crate::transaction::overlay::{Local, Own};
use bytes::Bytes;
use kv_vfs::sync::Mutex;
use std::ops::Bound;
use std::sync::Arc;

type Pair = (Bytes, Bytes);

/// One end of what is left of the range.
struct Edge {
    key: Vec<u8>,
    /// The key was shown, and is not left.
    shown: bool,
}

impl Edge {
    /// The bound below what is left.
    fn low(&self) -> Bound<&[u8]> {
        if self.shown { Bound::Excluded(&self.key) } else { Bound::Included(&self.key) }
    }

    fn set(&mut self, prefix: &[u8], key: &[u8]) {
        self.key.clear();
        self.key.extend_from_slice(prefix);
        self.key.extend_from_slice(key);
        self.shown = true;
    }
}

/// Merges the snapshot's pairs with the transaction's own, from both ends, and tells the
/// transaction how far it has shown them.
pub(crate) struct Pairs {
    snapshot: Iter,
    /// Pairs of the snapshot that were taken out and not shown.
    front: Option<Pair>,
    back: Option<Pair>,
    prefix: Vec<u8>,
    low: Edge,
    high: Edge,
    local: Arc<Mutex<Local>>,
    /// The moment at which it looks at the transaction's own writes; `None` where there were none.
    moment: Option<u64>,
    /// Where it tells how far it has come; `None` where that does not matter.
    place: Option<usize>,
    ended: bool,
}

/// Where the next pair comes from.
enum Next {
    Nothing,
    Snapshot,
    Own(Pair),
    /// A key that the transaction deleted: look again.
    Hidden,
}

impl Pairs {
    /// The pairs of a range that is not empty. `snapshot` shows those of the snapshot, and
    /// `record` says whether what is shown counts as read.
    pub(crate) fn new(
        snapshot: Iter,
        prefix: &[u8],
        (start, end): (Vec<u8>, Vec<u8>),
        local: &Arc<Mutex<Local>>,
        record: bool,
    ) -> Pairs {
        let mut shared = local.lock();
        let moment = (!shared.overlay.is_empty()).then(|| shared.overlay.view());
        let place = record
            .then(|| shared.begin(Bytes::copy_from_slice(&start), Bytes::copy_from_slice(&end)));
        drop(shared);
        Pairs {
            snapshot,
            front: None,
            back: None,
            prefix: prefix.to_vec(),
            low: Edge { key: start, shown: false },
            high: Edge { key: end, shown: false },
            local: Arc::clone(local),
            moment,
            place,
            ended: false,
        }
    }

    pub(crate) fn next(&mut self) -> Option<Result<Pair>> {
        self.step(true)
    }

    pub(crate) fn next_back(&mut self) -> Option<Result<Pair>> {
        self.step(false)
    }

    fn step(&mut self, forward: bool) -> Option<Result<Pair>> {
        while !self.ended {
            if let Err(error) = self.take_out(forward) {
                self.ended = true;
                return Some(Err(error));
            }
            let pair = match self.choose(forward) {
                Next::Hidden => continue,
                Next::Nothing => {
                    self.ended = true;
                    break;
                }
                Next::Own(pair) => Some(pair),
                Next::Snapshot if forward => self.front.take(),
                Next::Snapshot => self.back.take(),
            };
            return pair.map(Ok);
        }
        None
    }

    /// Takes the snapshot's next pair out, unless it is out already.
    fn take_out(&mut self, forward: bool) -> Result<()> {
        if forward && self.front.is_none() {
            self.front = self.snapshot.next().transpose()?.or_else(|| self.back.take());
        } else if !forward && self.back.is_none() {
            self.back = self.snapshot.next_back().transpose()?.or_else(|| self.front.take());
        }
        Ok(())
    }

    /// Decides what comes next, moves the edge past it and notes it as shown.
    fn choose(&mut self, forward: bool) -> Next {
        let mut local = self.local.lock();
        let high = Bound::Excluded(self.high.key.as_slice());
        let own = self.moment.and_then(|at| match forward {
            true => local.overlay.first(self.low.low(), high, at),
            false => local.overlay.last(self.low.low(), high, at),
        });
        let taken = if forward { &self.front } else { &self.back };
        let prefix_len = self.prefix.len();
        let user = |key: &Bytes| key.slice(prefix_len.min(key.len())..);
        let own = own.map(|(key, own)| (user(key), own));
        let own = own.filter(|(key, _)| match taken {
            Some((other, _)) if forward => key <= other,
            Some((other, _)) => key >= other,
            None => true,
        });
        let (next, key) = match (own, taken) {
            (Some((key, own)), _) => {
                let next = match own {
                    Own::Put(value) => Next::Own((key.clone(), value.clone())),
                    Own::Delete | Own::Unset => Next::Hidden,
                };
                (next, Some(key))
            }
            (None, Some((key, _))) => (Next::Snapshot, Some(key.clone())),
            (None, None) => (Next::Nothing, None),
        };
        let shown = self.place.and_then(|place| local.shown(place));
        let Some(key) = key else {
            if let Some(shown) = shown {
                shown.all = true;
            }
            return next;
        };
        let edge = if forward { &mut self.low } else { &mut self.high };
        edge.set(&self.prefix, &key);
        if let (Some(shown), Next::Own(_) | Next::Snapshot) = (shown, &next) {
            let end = if forward { &mut shown.front } else { &mut shown.back };
            let end = end.get_or_insert_default();
            end.clear();
            end.extend_from_slice(&edge.key);
        }
        drop(local);
        // The snapshot's pair of the same key is hidden by the transaction's own.
        if !matches!(next, Next::Snapshot) {
            let taken = if forward { &mut self.front } else { &mut self.back };
            if taken.as_ref().is_some_and(|(other, _)| *other == key) {
                *taken = None;
            }
        }
        next
    }
}

impl Drop for Pairs {
    fn drop(&mut self) {
        let mut local = self.local.lock();
        if let Some(place) = self.place {
            local.end(place);
        }
        if self.moment.is_some() {
            local.overlay.end_view();
        }
    }
}
