//! What one reader sees: of every key the newest version that its snapshot knows, unless that
//! is deleted or expired.
//!
//! Forward, the versions of a key come newest first: the first one that the snapshot knows
//! decides, and the cursor below stays on the entry shown. Backward they come oldest first: the
//! decision falls when all have passed, so the value is kept here, and the cursor below stands
//! before every version of the key shown.
//!
//! Where the cursor below tells that the next entries are plain (puts that the snapshot sees, each
//! the only one of its key) and no range tombstone is near, they are shown as they come, in both
//! directions, without a look at key and trailer.

mod backward;
mod value;

use super::cover::Cover;
use super::merge::Skip;
use super::plain::Plain;
use crate::error::{Error, Result};
use crate::values::ValueFiles;
use bytes::{Buf, Bytes};
use kv_core::{RangeTombstones, SeqNo, Trailer};
use kv_manifest::Version;
use kv_vfs::testing::{bug, planted};
use std::sync::Arc;
use value::{Shown, shown};

/// So many versions of one key are passed step by step; a seek is cheaper than more. Forward, where
/// only one source has to seek, it is cheaper earlier.
const MAX_STEPS: usize = 8;
const MAX_STEPS_AHEAD: usize = 2;

/// So many keys in a row are found covered before a seek over the range tombstone is tried.
const COVERED_BEFORE_SKIP: usize = 4;

/// Sorts behind every version of its key: no kind is zero.
const BEHIND_ALL: Trailer = Trailer::from_raw(0);

/// The moment that a reader sees, and the keys that it asked for.
pub(crate) struct Sight {
    /// Versions with a larger sequence number are not seen.
    pub(crate) snapshot: SeqNo,
    /// Entries that expire at or before this moment (milliseconds since the Unix epoch) are not
    /// seen.
    pub(crate) now_ms: u64,
    /// Every range tombstone of the view.
    pub(crate) tombstones: Option<Arc<RangeTombstones>>,
    /// The first stored key to show.
    pub(crate) lower: Option<Bytes>,
    /// The first stored key not to show any more.
    pub(crate) upper: Option<Bytes>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Nowhere,
    /// The cursor below stands on the entry shown.
    Entry,
    /// The same, and the value lies in a value file and was not read yet.
    Pointer,
    /// The same, and the value was read.
    Fetched,
    /// The cursor below stands before all versions of the key shown.
    Before,
    /// The same, and `value` is what points to the value.
    PointerBefore,
    /// The cursor below stands on the entry shown, which is the only one of its key, and goes
    /// backward.
    Plain,
}

/// The visible entries of `C` in a [`Sight`], in key order, each key once.
///
/// After an error it is not valid, and repeats the error until it is positioned anew.
pub(crate) struct Visible<C> {
    inner: C,
    cover: Cover,
    snapshot: SeqNo,
    now_ms: u64,
    /// Reads what lies in value files.
    values: Option<Arc<ValueFiles>>,
    /// Held, so that no value file that it names is removed: a table that is removed stays open in
    /// its cursor, a value file is opened when a value is read.
    _version: Option<Arc<Version>>,
    /// Such a value is read when its key is shown, not when it is asked for.
    eager: bool,
    lower: Option<Bytes>,
    upper: Option<Bytes>,
    at: At,
    /// The key shown, unless it is `below`; while searching, the key that was seen last.
    key: Vec<u8>,
    /// The key shown is the one of the cursor below.
    below: bool,
    /// The plain entries that come next in the direction of travel.
    plain: Plain,
    /// The user's value where `at` is `Before` or `Fetched`.
    value: Bytes,
    /// Where the user's value begins in the stored one, where `at` is `Entry`.
    value_at: usize,
    /// How many keys in a row were found under a range tombstone.
    covered: usize,
    skipped: u64,
    error: Option<Error>,
}

impl<C: Skip<Error = Error>> Visible<C> {
    /// Shows `inner` through `sight`. Not valid until positioned.
    pub(crate) fn new(inner: C, sight: Sight) -> Visible<C> {
        Visible {
            inner,
            cover: Cover::new(sight.tombstones, sight.snapshot),
            snapshot: sight.snapshot,
            now_ms: sight.now_ms,
            values: None,
            _version: None,
            eager: false,
            lower: sight.lower,
            upper: sight.upper,
            at: At::Nowhere,
            key: Vec::new(),
            below: false,
            plain: Plain::none(),
            value: Bytes::new(),
            value_at: 0,
            covered: 0,
            skipped: 0,
            error: None,
        }
    }

    /// Goes to the first key.
    pub(crate) fn first(&mut self) -> Result<()> {
        self.reset();
        let placed = match &self.lower {
            Some(lower) => self.inner.seek(lower, Trailer::upper_bound(self.snapshot)),
            None => self.inner.first(),
        };
        let done = placed.and_then(|()| self.forward(false));
        self.latch(done)
    }

    /// Goes to the last key.
    pub(crate) fn last(&mut self) -> Result<()> {
        self.reset();
        let placed = match &self.upper {
            Some(upper) => self.inner.seek_before(upper),
            None => self.inner.last(),
        };
        let done = placed.and_then(|()| self.backward());
        self.latch(done)
    }

    /// Goes to the first key >= `key`.
    pub(crate) fn seek(&mut self, key: &[u8]) -> Result<()> {
        if self.lower.as_ref().is_some_and(|lower| key <= lower) {
            return self.first();
        }
        self.reset();
        if self.upper.as_ref().is_some_and(|upper| key >= upper) {
            return Ok(());
        }
        let placed = self.inner.seek(key, Trailer::upper_bound(self.snapshot));
        let done = placed.and_then(|()| self.forward(false));
        self.latch(done)
    }

    /// Goes to the last key <= `key`.
    pub(crate) fn seek_for_prev(&mut self, key: &[u8]) -> Result<()> {
        if self.upper.as_ref().is_some_and(|upper| key >= upper) {
            return self.last();
        }
        self.reset();
        if self.lower.as_ref().is_some_and(|lower| key < lower) {
            return Ok(());
        }
        // The smallest key behind `key`.
        self.key.clear();
        self.key.extend_from_slice(key);
        self.key.push(0);
        let placed = self.inner.seek_before(&self.key);
        let done = placed.and_then(|()| self.backward());
        self.latch(done)
    }

    /// Goes one key on; does nothing where not valid.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<()> {
        if self.at == At::Entry && self.take_plain_ahead() {
            self.inner.step_ahead();
            (self.below, self.value_at) = (true, 0);
            return Ok(());
        }
        self.search_on()
    }

    /// [`Visible::next`] where the next entry is not known to be plain.
    #[inline(never)]
    fn search_on(&mut self) -> Result<()> {
        let done = match self.at {
            At::Nowhere if planted(bug::ERROR_NOT_LATCHED) => self.forward(false),
            At::Nowhere => return self.nowhere(),
            At::Entry | At::Pointer | At::Fetched => {
                self.leave();
                self.inner.next().and_then(|()| self.forward(true))
            }
            At::Before | At::Plain | At::PointerBefore => {
                self.leave();
                self.value = Bytes::new();
                let placed = match planted(bug::TURN_KEEPS_PLACE) {
                    true => self.inner.next(),
                    false => self.inner.seek(&self.key, BEHIND_ALL),
                };
                placed.and_then(|()| self.forward(false))
            }
        };
        if done.is_err() { self.latch(done) } else { done }
    }

    /// Goes one key back; does nothing where not valid.
    #[inline]
    pub(crate) fn prev(&mut self) -> Result<()> {
        if self.at == At::Plain && self.take_plain_behind() {
            self.inner.step_back();
            (self.below, self.value_at) = (true, 0);
            return Ok(());
        }
        self.search_back()
    }

    /// [`Visible::prev`] where the entry before is not known to be plain.
    #[inline(never)]
    fn search_back(&mut self) -> Result<()> {
        let plain = self.at == At::Before && self.take_plain_behind();
        let done = match self.at {
            At::Nowhere => return self.nowhere(),
            At::Before if plain => {
                (self.at, self.below, self.value_at) = (At::Plain, true, 0);
                self.value = Bytes::new();
                return Ok(());
            }
            At::Plain => {
                self.leave();
                self.inner.prev().and_then(|()| self.backward())
            }
            At::Before | At::PointerBefore => {
                self.leave();
                self.backward()
            }
            At::Entry | At::Pointer | At::Fetched => {
                self.leave();
                self.inner.seek_before(&self.key).and_then(|()| self.backward())
            }
        };
        if done.is_err() { self.latch(done) } else { done }
    }

    /// Whether it stands on a key.
    #[inline]
    pub(crate) fn valid(&self) -> bool {
        self.at != At::Nowhere
    }

    /// The stored key. Of no meaning when not valid.
    #[inline]
    pub(crate) fn key(&self) -> &[u8] {
        if self.below { self.inner.key() } else { &self.key }
    }

    /// The user's value, which [`Visible::fetch`] has made sure of. Panics when not valid.
    #[inline]
    pub(crate) fn value(&self) -> &[u8] {
        match self.at {
            At::Before | At::Fetched => &self.value,
            _ => self.inner.value().get(self.value_at..).unwrap_or_default(),
        }
    }

    /// The user's value in a form that outlives the cursor; a slice of the block where it lies
    /// in one. Panics when not valid.
    pub(crate) fn value_bytes(&self) -> Bytes {
        match self.at {
            At::Before | At::Fetched => self.value.clone(),
            _ => {
                let mut value = self.inner.value_bytes();
                value.advance(self.value_at.min(value.len()));
                value
            }
        }
    }

    /// How many entries were passed that are not shown: old versions, deleted, expired.
    #[cfg(test)]
    pub(crate) fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Takes the next entry, if it is plain.
    #[inline]
    fn take_plain_ahead(&mut self) -> bool {
        self.plain.take_known() || self.plain.is_unknown() && self.ask_ahead()
    }

    /// Counts the plain entries that come next, and takes one if there is one.
    #[inline(never)]
    fn ask_ahead(&mut self) -> bool {
        let count = match self.cover.is_empty() {
            true => self.inner.plain_ahead(self.snapshot, self.upper.as_deref()),
            false => 0,
        };
        self.plain = Plain::counted(count);
        self.plain.take_known()
    }

    /// Takes the previous entry, if it is plain.
    #[inline]
    fn take_plain_behind(&mut self) -> bool {
        self.plain.take_known() || self.plain.is_unknown() && self.ask_behind()
    }

    /// Counts the plain entries that come next backward, and takes one if there is one.
    #[inline(never)]
    fn ask_behind(&mut self) -> bool {
        let count = match self.cover.is_empty() {
            true => self.inner.plain_behind(self.snapshot, self.lower.as_deref(), None),
            false => 0,
        };
        // Where the cursor below stands on the entry shown, that is one of them.
        let shown = usize::from(self.at == At::Plain);
        self.plain = Plain::counted(count.saturating_sub(shown));
        self.plain.take_known()
    }

    /// Stands nowhere, with the key that was shown in `key`.
    fn leave(&mut self) {
        if self.below {
            self.key.clear();
            self.key.extend_from_slice(self.inner.key());
        }
        (self.at, self.below, self.plain) = (At::Nowhere, false, Plain::none());
    }

    /// Stands on a key that a search has found.
    #[inline]
    fn arrive(&mut self, at: At) {
        (self.at, self.below, self.plain) = (at, false, Plain::unknown());
    }

    fn reset(&mut self) {
        (self.at, self.below, self.plain) = (At::Nowhere, false, Plain::none());
        self.error = None;
        self.value = Bytes::new();
        self.covered = 0;
    }

    fn latch(&mut self, done: Result<()>) -> Result<()> {
        if let Err(error) = &done {
            self.at = At::Nowhere;
            self.error = Some(error.clone());
        }
        done
    }

    #[cold]
    fn nowhere(&self) -> Result<()> {
        self.error.clone().map_or(Ok(()), Err)
    }

    /// Finds the first visible key from where the cursor below stands. With `decided`, versions
    /// of `self.key` are passed over.
    #[inline]
    fn forward(&mut self, mut decided: bool) -> Result<()> {
        let mut tracked = decided;
        let mut steps = 0;
        while self.inner.valid() {
            let key = self.inner.key();
            if self.upper.as_ref().is_some_and(|upper| key >= upper) {
                break;
            }
            if !(tracked && key == self.key.as_slice()) {
                self.key.clear();
                self.key.extend_from_slice(key);
                (tracked, decided, steps) = (true, false, 0);
            }
            let trailer = self.inner.trailer();
            if !decided && trailer.seq() <= self.snapshot {
                decided = true;
                let cover = self.cover.over(&self.key);
                if trailer.seq() < cover {
                    self.step_under(cover)?;
                    continue;
                }
                self.covered = 0;
                match shown(trailer, || self.inner.value(), self.now_ms)? {
                    Some(Shown::From(at)) => {
                        self.value_at = at;
                        self.arrive(At::Entry);
                        return Ok(());
                    }
                    Some(Shown::Pointer) => return self.show_pointer(At::Pointer),
                    None => {}
                }
            }
            self.skipped += 1;
            steps += 1;
            if steps <= MAX_STEPS_AHEAD {
                self.inner.next()?;
                continue;
            }
            steps = 0;
            let behind = if decided { BEHIND_ALL } else { Trailer::upper_bound(self.snapshot) };
            self.inner.pass(&self.key, behind)?;
        }
        Ok(())
    }

    /// Leaves an entry under a range tombstone with sequence number `cover`, forward.
    #[cold]
    fn step_under(&mut self, cover: SeqNo) -> Result<()> {
        self.skipped += 1;
        self.covered += 1;
        if self.covered >= COVERED_BEFORE_SKIP
            && let Some(fragment) = self.cover.fragment()
        {
            let end = match &self.upper {
                Some(upper) if upper < &fragment.end => upper,
                _ => &fragment.end,
            };
            if self.inner.skip_forward(end, cover)? {
                return Ok(());
            }
        }
        self.inner.next()
    }
}

#[cfg(test)]
mod tests;
