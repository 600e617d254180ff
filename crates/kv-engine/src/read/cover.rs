//! Which range tombstone lies over a key, for keys that are asked for in order.

use kv_core::{Fragment, RangeTombstones, SeqNo};
use std::sync::Arc;

/// The range tombstones of a view, as one snapshot sees them, with a place in them.
///
/// Neighbouring keys mostly lie in the same or the next fragment, so those are tried before the
/// whole list is searched.
pub(crate) struct Cover {
    set: Option<Arc<RangeTombstones>>,
    snapshot: SeqNo,
    /// The first fragment that ends behind the key asked for last.
    at: usize,
    /// The newest tombstone of that fragment that the snapshot sees.
    seq: SeqNo,
}

impl Cover {
    /// Tombstones as `snapshot` sees them.
    pub(crate) fn new(set: Option<Arc<RangeTombstones>>, snapshot: SeqNo) -> Cover {
        let set = set.filter(|set| !set.is_empty());
        let mut cover = Cover { set, snapshot, at: 0, seq: 0 };
        cover.go(0);
        cover
    }

    /// Whether there is no tombstone at all.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.set.is_none()
    }

    /// The newest tombstone over `key`, 0 where there is none.
    #[inline]
    pub(crate) fn over(&mut self, key: &[u8]) -> SeqNo {
        if self.set.is_some() { self.search(key) } else { 0 }
    }

    /// The fragment over the key asked for last, if [`Cover::over`] found one.
    pub(crate) fn fragment(&self) -> Option<&Fragment> {
        self.set.as_ref()?.fragments().get(self.at)
    }

    fn search(&mut self, key: &[u8]) -> SeqNo {
        let Some(set) = &self.set else { return 0 };
        let fragments = set.fragments();
        let is_at = |at: usize| {
            fragments.get(at).is_none_or(|f| f.end.as_ref() > key)
                && at.checked_sub(1).and_then(|i| fragments.get(i)).is_none_or(|f| f.end <= key)
        };
        if !is_at(self.at) {
            let near = [self.at + 1, self.at.saturating_sub(1)];
            let found = near.into_iter().find(|&at| at <= fragments.len() && is_at(at));
            let at = found.unwrap_or_else(|| fragments.partition_point(|f| f.end.as_ref() <= key));
            self.go(at);
        }
        match self.fragment() {
            Some(fragment) if fragment.start.as_ref() <= key => self.seq,
            _ => 0,
        }
    }

    fn go(&mut self, at: usize) {
        self.at = at;
        self.seq = self.fragment().map_or(0, |f| f.newest_at(self.snapshot));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use kv_core::RangeTombstone;

    #[test]
    fn agrees_with_a_search_from_any_place_to_any_key() {
        let tombstones = [(1u8, 3u8, 5), (2, 6, 9), (8, 9, 4), (9, 12, 7), (20, 30, 6)].map(
            |(start, end, seq)| RangeTombstone {
                start: Bytes::copy_from_slice(&[start]),
                end: Bytes::copy_from_slice(&[end]),
                seq,
            },
        );
        let set = Arc::new(RangeTombstones::new(tombstones));
        for snapshot in 3..10 {
            for from in 0..32 {
                for to in 0..32 {
                    let mut cover = Cover::new(Some(set.clone()), snapshot);
                    assert_eq!(cover.over(&[from]), set.covering(&[from], snapshot));
                    assert_eq!(cover.over(&[to]), set.covering(&[to], snapshot));
                }
            }
        }
    }
}
