//! Which versions of a key survive a merge, and which range tombstones.
//!
//! The live snapshots cut the sequence numbers into stripes. Nobody can tell two versions of a
//! key in one stripe apart but by the newer one, so the older one goes:
//!
//! ```text
//! snapshots           40                 70                  90
//! seq   1 ........... 40 | 41 ......... 70 | 71 ........... 90 | 91 ...
//!       oldest stripe      stripe 1           stripe 2           all of it stays
//! ```
//!
//! What is newer than the last snapshot was not yet visible when the list was made: a later
//! snapshot may lie between any two of those versions.

use kv_core::{Fragment, Kind, RangeTombstone, RangeTombstones, SeqNo, Trailer, expiry_of};
use kv_vfs::testing::{Mark, bug, mark, planted};

/// What becomes of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nobody needs it.
    Drop,
    /// It stays, with this trailer.
    Keep(Trailer),
    /// A point tombstone with this trailer takes its place.
    Tombstone(Trailer),
}

/// Judges the entries of one output stream, which come in internal order.
#[derive(Debug)]
pub(crate) struct Retention<'a> {
    snapshots: &'a [SeqNo],
    tombstones: RangeTombstones,
    cutoff_ms: u64,
    /// The first fragment that does not end before the current key.
    fragment: usize,
    key: Vec<u8>,
    started: bool,
    /// The stripe of the current key's last version that was not newer than all snapshots.
    newest: Option<usize>,
}

impl<'a> Retention<'a> {
    /// `snapshots` ascends and ends with the newest number that was visible when it was made;
    /// `tombstones` are those of all inputs. An entry whose expiry is not behind `cutoff_ms` has
    /// expired for every reader.
    pub(crate) fn new(
        snapshots: &'a [SeqNo],
        tombstones: RangeTombstones,
        cutoff_ms: u64,
    ) -> Retention<'a> {
        Retention {
            snapshots,
            tombstones,
            cutoff_ms,
            fragment: 0,
            key: Vec::new(),
            started: false,
            newest: None,
        }
    }

    /// The fate of the next entry. `bottom` says that no table below, and no older one beside,
    /// can hold the key.
    pub(crate) fn keep(
        &mut self,
        key: &[u8],
        trailer: Trailer,
        value: &[u8],
        bottom: bool,
    ) -> Verdict {
        if !self.started || key != self.key {
            self.begin(key);
        }
        let seq = trailer.seq();
        let Some((stripe, bound)) = stripe(self.snapshots, seq) else {
            return Verdict::Keep(trailer);
        };
        let before = self.newest.replace(stripe);
        let hidden = before == Some(stripe);
        let fragment = self.covering();
        let newest_at = |seq| fragment.map_or(0, |fragment| fragment.newest_at(seq));
        if hidden || newest_at(bound) > seq {
            return Verdict::Drop;
        }
        if before.is_some() {
            mark(Mark::VersionKeptForSnapshot);
        }
        let oldest = bottom && stripe == 0;
        let kind = trailer.kind();
        let expiry = kind.and_then(|kind| expiry_of(kind, value));
        let expired = expiry.is_some_and(|expiry| expiry <= self.cutoff_ms);
        match kind {
            Some(Kind::Delete) if oldest => mark(Mark::TombstoneDropped),
            Some(Kind::Delete) => mark(Mark::TombstoneKept),
            _ if expired => mark(Mark::ExpiredDropped),
            _ => {}
        }
        match kind {
            Some(Kind::Delete) if oldest => Verdict::Drop,
            Some(Kind::Delete) if planted(bug::TOMBSTONE_DROPPED_EARLY) && stripe == 0 => {
                Verdict::Drop
            }
            _ if expired && oldest => Verdict::Drop,
            _ if expired => Verdict::Tombstone(Trailer::new(seq, Kind::Delete)),
            // An older tombstone over the key may stay: under it, 0 would be hidden.
            Some(kind @ (Kind::Put | Kind::PutExpiring | Kind::ValuePointer))
                if oldest && newest_at(bound) == 0 =>
            {
                Verdict::Keep(Trailer::new(0, kind))
            }
            _ => Verdict::Keep(trailer),
        }
    }

    fn begin(&mut self, key: &[u8]) {
        self.key.clear();
        self.key.extend_from_slice(key);
        self.started = true;
        self.newest = None;
        let rest = self.tombstones.fragments().get(self.fragment..).unwrap_or_default();
        self.fragment += rest.iter().take_while(|f| f.end.as_ref() <= key).count();
    }

    fn covering(&self) -> Option<&Fragment> {
        let fragment = self.tombstones.fragments().get(self.fragment);
        fragment.filter(|fragment| fragment.start.as_ref() <= self.key.as_slice())
    }
}

/// The stripe of a sequence number and the snapshot that ends it; `None` behind the last one.
fn stripe(snapshots: &[SeqNo], seq: SeqNo) -> Option<(usize, SeqNo)> {
    let stripe = snapshots.partition_point(|&snapshot| snapshot < seq);
    snapshots.get(stripe).map(|&bound| (stripe, bound))
}

/// The range tombstones that a merge writes: of each stripe the newest, and all that are newer
/// than the last snapshot. `drop_oldest` says that no table below holds a key under them: then
/// those of the oldest stripe have nothing left to hide.
pub(crate) fn retain_tombstones(
    tombstones: &RangeTombstones,
    snapshots: &[SeqNo],
    drop_oldest: bool,
) -> RangeTombstones {
    RangeTombstones::new(tombstones.fragments().iter().flat_map(|fragment| {
        let mut newest = None;
        fragment.seqs.iter().filter_map(move |&seq| {
            let kept = match stripe(snapshots, seq) {
                None => true,
                Some((stripe, _)) => {
                    newest.replace(stripe) != Some(stripe) && !(drop_oldest && stripe == 0)
                }
            };
            kept.then(|| RangeTombstone {
                start: fragment.start.clone(),
                end: fragment.end.clone(),
                seq,
            })
        })
    }))
}
