//! The way back: the decision over a key falls when all of its versions have passed, or when the
//! first one met is surely the only one.

use super::{At, COVERED_BEFORE_SKIP, MAX_STEPS, Shown, Visible, shown};
use crate::error::{Error, Result};
use crate::read::merge::Skip;
use bytes::{Buf, Bytes};
use kv_core::{SeqNo, Trailer};

impl<C: Skip<Error = Error>> Visible<C> {
    /// Finds the last visible key from where the cursor below stands, which is the oldest
    /// version of a key.
    pub(super) fn backward(&mut self) -> Result<()> {
        while self.inner.valid() {
            let key = self.inner.key();
            if self.lower.as_ref().is_some_and(|lower| key < lower) {
                break;
            }
            self.key.clear();
            self.key.extend_from_slice(key);
            if self.show_alone()? {
                return Ok(());
            }
            let Some(trailer) = self.pass_versions()? else { continue };
            let cover = self.cover.over(&self.key);
            if trailer.seq() < cover {
                self.skipped += 1;
                self.skip_under(cover)?;
                continue;
            }
            self.covered = 0;
            match shown(trailer, || &self.value, self.now_ms)? {
                Some(Shown::From(at)) => {
                    self.value.advance(at);
                    self.arrive(At::Before);
                    return Ok(());
                }
                Some(Shown::Pointer) => return self.show_pointer(At::PointerBefore),
                None => {}
            }
            self.skipped += 1;
        }
        self.value = Bytes::new();
        Ok(())
    }

    /// Shows the entry that the cursor below stands on, which is the oldest one of `self.key`, if it
    /// is surely the only one too, and visible. Nothing has to be kept of it then.
    #[inline]
    fn show_alone(&mut self) -> Result<bool> {
        let trailer = self.inner.trailer();
        if trailer.seq() > self.snapshot || !self.inner.is_newest() {
            return Ok(false);
        }
        if trailer.seq() < self.cover.over(&self.key) {
            return Ok(false);
        }
        let Some(Shown::From(at)) = shown(trailer, || self.inner.value(), self.now_ms)? else {
            return Ok(false);
        };
        (self.covered, self.value_at) = (0, at);
        self.arrive(At::Plain);
        Ok(true)
    }

    /// Goes back over all versions of `self.key`. Answers the newest one that the snapshot sees
    /// and leaves its value in `self.value`.
    #[inline]
    fn pass_versions(&mut self) -> Result<Option<Trailer>> {
        let mut newest = None;
        let mut steps = 0;
        loop {
            let trailer = self.inner.trailer();
            let seen = trailer.seq() <= self.snapshot;
            if seen {
                self.value = self.inner.value_bytes();
                self.skipped += u64::from(newest.is_some());
                newest = Some(trailer);
            } else {
                self.skipped += 1;
            }
            steps += 1;
            if steps > MAX_STEPS {
                if seen {
                    // A newer one may be seen as well; this one is, so there is one to find.
                    self.inner.seek(&self.key, Trailer::upper_bound(self.snapshot))?;
                    if self.inner.valid() && self.inner.key() == self.key.as_slice() {
                        self.value = self.inner.value_bytes();
                        newest = Some(self.inner.trailer());
                    }
                }
                self.inner.seek_before(&self.key)?;
                return Ok(newest);
            }
            self.inner.prev()?;
            if !self.inner.valid() || self.inner.key() != self.key.as_slice() {
                return Ok(newest);
            }
        }
    }

    /// After a key under a range tombstone with sequence number `cover` was left backward: leaves
    /// out what else the tombstone hides, where that pays.
    #[cold]
    fn skip_under(&mut self, cover: SeqNo) -> Result<()> {
        self.covered += 1;
        if self.covered >= COVERED_BEFORE_SKIP
            && let Some(fragment) = self.cover.fragment()
        {
            let start = match &self.lower {
                Some(lower) if lower > &fragment.start => lower,
                _ => &fragment.start,
            };
            self.inner.skip_backward(start, cover)?;
        }
        Ok(())
    }
}
