//! Point reads: newest source first, the first entry found wins.
//!
//! INVARIANT: for one key, every entry in an older source has a smaller sequence number than
//! every entry in a newer one. So the search ends at the first entry, or at the first range
//! tombstone over the key.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::limits::MAX_KEY_LEN;
use crate::read::view::View;
use crate::snapshot::Moment;
use crate::space::Space;
use crate::stats::latency::Operation;
use bytes::Bytes;
use kv_core::{Kind, SeqNo, Trailer, expiry_of, hash64, split_expiry};
use kv_manifest::{FileMeta, LEVELS};

/// How many filters of level 0 are fetched before they are asked.
const AHEAD: usize = 8;

/// The bytes of an expiry in front of an expiring value.
const EXPIRY_LEN: usize = 8;

/// Calls `f` with `prefix` and `key` in one slice; short ones are joined on the stack.
pub(crate) fn with_stored_key<R>(prefix: &[u8], key: &[u8], f: impl FnOnce(&[u8]) -> R) -> R {
    let mut stack = [0u8; 256];
    let len = prefix.len() + key.len();
    if let Some(joined) = stack.get_mut(..len) {
        let (front, back) = joined.split_at_mut(prefix.len());
        front.copy_from_slice(prefix);
        back.copy_from_slice(key);
        return f(joined);
    }
    f(&[prefix, key].concat())
}

/// What a search of one source found.
enum Found {
    /// An entry, with the value as stored.
    Entry(Trailer, Bytes),
    /// A range tombstone, and no newer entry.
    Deleted,
    /// Nothing: ask the next source.
    Nothing,
}

impl Engine {
    /// The value of a key at `moment`, or now.
    pub(crate) fn get(
        &self,
        space: &Space,
        key: &[u8],
        moment: Option<Moment>,
    ) -> Result<Option<Bytes>> {
        self.look(space, key, moment, |stored| self.tables.values().get(stored))
    }

    /// The same, where `long` answers the value that a pointer names.
    fn look(
        &self,
        space: &Space,
        key: &[u8],
        moment: Option<Moment>,
        long: impl FnOnce(&[u8]) -> Result<Bytes>,
    ) -> Result<Option<Bytes>> {
        let begun = self.latencies.begin();
        self.check_readable(space, moment)?;
        if key.len() > MAX_KEY_LEN {
            return Ok(None);
        }
        let view = self.view.load();
        let seq = moment.map_or_else(|| self.publisher.visible(), |m| m.seq);
        let found = with_stored_key(&space.prefix, key, |stored| self.find(&view, stored, seq))?;
        let value = match found {
            // The view is held meanwhile: what its tables point to is there.
            Found::Entry(trailer, value) => self.visible_value(trailer, value, moment, long)?,
            _ => None,
        };
        self.latencies.end(Operation::Get, begun);
        Ok(value)
    }

    /// Whether a key has a value at `moment`, or now.
    pub(crate) fn contains_key(
        &self,
        space: &Space,
        key: &[u8],
        moment: Option<Moment>,
    ) -> Result<bool> {
        Ok(self.look(space, key, moment, |_| Ok(Bytes::new()))?.is_some())
    }

    /// Refuses reads of a closed store, and of a dropped keyspace except at a moment before.
    pub(crate) fn check_readable(&self, space: &Space, moment: Option<Moment>) -> Result<()> {
        self.health.check_open()?;
        if space.store != self.id {
            return Err(space.foreign());
        }
        if moment.is_none() && !space.is_default() {
            space.check()?;
        }
        Ok(())
    }

    fn visible_value(
        &self,
        trailer: Trailer,
        value: Bytes,
        moment: Option<Moment>,
        long: impl FnOnce(&[u8]) -> Result<Bytes>,
    ) -> Result<Option<Bytes>> {
        match trailer.kind() {
            Some(Kind::Put) => Ok(Some(value)),
            Some(Kind::Delete) => Ok(None),
            Some(Kind::PutExpiring) => {
                let Some((expiry, _)) = split_expiry(&value) else {
                    return Err(Error::corrupt("an expiring value is too short for its expiry"));
                };
                let now_ms = moment.map_or_else(|| self.now_ms(), |m| m.now_ms);
                Ok((expiry > now_ms).then(|| value.slice(EXPIRY_LEN..)))
            }
            Some(kind @ Kind::ValuePointer) => {
                let now_ms = || moment.map_or_else(|| self.now_ms(), |m| m.now_ms);
                match expiry_of(kind, &value) {
                    Some(expiry) if expiry <= now_ms() => Ok(None),
                    _ => long(&value).map(Some),
                }
            }
            _ => Err(Error::corrupt("an entry has a kind that this release does not know")),
        }
    }

    fn find(&self, view: &View, key: &[u8], seq: SeqNo) -> Result<Found> {
        let hash = hash64(key);
        let version = &*view.version;
        // The filters' lines are on their way while the memtables and each other are asked.
        let mut sorted = [None; LEVELS];
        for (level, slot) in version.sorted_levels().zip(&mut sorted) {
            *slot = version.find_place(level, key);
            if let Some((place, _)) = *slot {
                view.opened.prefetch(place, hash);
            }
        }
        for place in 0..version.level(0).len().min(AHEAD) {
            view.opened.prefetch(place, hash);
        }
        for buffer in view.buffers() {
            let table = &buffer.table;
            let cover = if table.has_range_deletes() { table.covering(key, seq) } else { 0 };
            if let Some((trailer, value)) = table.get(key, hash, seq)
                && trailer.seq() > cover
            {
                return Ok(Found::Entry(trailer, Bytes::copy_from_slice(value)));
            }
            if cover > 0 {
                return Ok(Found::Deleted);
            }
        }
        for (place, meta) in version.level(0).iter().enumerate() {
            if meta.contains(key) {
                match self.find_in(view, (place, meta), key, hash, seq)? {
                    Found::Nothing => {}
                    found => return Ok(found),
                }
            }
        }
        for (place, meta) in sorted.into_iter().flatten() {
            match self.find_in(view, (place, meta), key, hash, seq)? {
                Found::Nothing => {}
                found => return Ok(found),
            }
        }
        Ok(Found::Nothing)
    }

    fn find_in(
        &self,
        view: &View,
        (place, meta): (usize, &FileMeta),
        key: &[u8],
        hash: u64,
        seq: SeqNo,
    ) -> Result<Found> {
        if meta.min_seq > seq {
            return Ok(Found::Nothing);
        }
        view.opened.get_or(
            place,
            || self.tables.get(meta),
            |table| {
                let cover = match meta.range_tombstones {
                    0 => 0,
                    _ => table.range_tombstones()?.covering(key, seq),
                };
                if let Some((trailer, value)) = table.get(key, hash, seq)?
                    && (trailer.seq() > cover || cover == 0)
                {
                    return Ok(Found::Entry(trailer, value));
                }
                Ok(if cover > 0 { Found::Deleted } else { Found::Nothing })
            },
        )
    }
}
