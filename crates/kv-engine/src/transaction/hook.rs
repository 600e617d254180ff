//! What a commit does with the window: judged and noted under the log's lock, so that the order of
//! judgements is the order of sequence numbers.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::transaction::keys::Keys;
use crate::transaction::window::{Check, Clash, Recent};
use kv_core::SeqNo;
use kv_vfs::sync::MutexGuard;
use kv_vfs::testing::{bug, planted};
use std::cell::OnceCell;
use std::sync::Arc;

/// What one write changes, as the window wants it, and what it must find unchanged.
pub(crate) struct Claim<'a> {
    /// The key of a write that has only one, with its hash.
    pub(crate) one: Option<(u64, &'a [u8])>,
    /// The encoded operations of any other.
    pub(crate) batch: &'a [u8],
    /// Their keys, once they are needed.
    pub(crate) keys: OnceCell<Arc<Keys>>,
    /// What must be unchanged; only a transaction's write has it.
    pub(crate) check: Option<&'a Check>,
}

impl<'a> Claim<'a> {
    /// The claim of a write of one key.
    #[inline]
    pub(crate) fn of_one(hash: u64, key: &'a [u8]) -> Claim<'a> {
        Claim { one: Some((hash, key)), batch: &[], keys: OnceCell::new(), check: None }
    }

    /// The claim of a batch.
    pub(crate) fn of_batch(batch: &'a [u8], check: Option<&'a mut Check>) -> Claim<'a> {
        let keys = OnceCell::new();
        if let Some(check) = check {
            let written = Keys::of_batch(batch);
            check.points.extend(written.hashes_from(0));
            let _ = keys.set(Arc::new(written));
            return Claim { one: None, batch, keys, check: Some(check) };
        }
        Claim { one: None, batch, keys, check: None }
    }

    fn keys(&self) -> &Arc<Keys> {
        self.keys.get_or_init(|| Arc::new(Keys::of_batch(self.batch)))
    }
}

impl Engine {
    /// Does what can be done for a claim before the log's lock is taken.
    #[inline]
    pub(crate) fn prepare_claim(&self, claim: &Claim<'_>) -> Result<()> {
        if !self.window.is_on() || claim.one.is_some() {
            return Ok(());
        }
        let written = claim.keys();
        let Some(check) = claim.check else { return Ok(()) };
        let judged = self.window.judge_sealed(check, written);
        judged.map_err(|clash| self.clash(clash))
    }

    fn clash(&self, clash: Clash) -> Error {
        self.counters.clashed(clash);
        clash.error(self.window.limit())
    }

    /// Under the log's lock: refuses a transaction whose reads or writes another commit changed.
    /// Answers the window, where the commit is to be noted in it.
    #[inline]
    pub(crate) fn judge_claim(&self, claim: &Claim<'_>) -> Result<Option<MutexGuard<'_, Recent>>> {
        // With no transaction open a write pays this branch.
        if !self.window.is_on() && claim.check.is_none() {
            return Ok(None);
        }
        self.judge_open(claim)
    }

    #[cold]
    fn judge_open(&self, claim: &Claim<'_>) -> Result<Option<MutexGuard<'_, Recent>>> {
        let recent = self.window.recent();
        if let Some(check) = claim.check {
            let judged = match &recent {
                Some(recent) => recent.judge(check, claim.keys()),
                None => Err(Clash::TooOld),
            };
            judged.map_err(|clash| self.clash(clash))?;
        }
        Ok(recent)
    }

    /// Under the log's lock: notes a commit that nothing can refuse any more.
    pub(crate) fn note_claim(
        &self,
        recent: &mut MutexGuard<'_, Recent>,
        first: SeqNo,
        claim: &Claim<'_>,
    ) {
        let now = || self.clock.monotonic();
        match claim.one {
            Some(_) if planted(bug::PLAIN_PUTS_NOT_NOTED) => {}
            Some((hash, key)) => recent.note_one(first, hash, key),
            None => recent.note_all(first, claim.keys(), now),
        }
        if let Some(check) = claim.check {
            check.assigned.set(first);
        }
        recent.tidy(self.window.limit(), now);
        self.window.turn_off_if_alone(recent);
    }

    /// Under the log's lock: notes a commit of everything from `start` to before `end`.
    pub(crate) fn note_range(&self, seq: SeqNo, start: &[u8], end: &[u8]) {
        if !self.window.is_on() {
            return;
        }
        let Some(mut recent) = self.window.recent() else { return };
        let now = || self.clock.monotonic();
        recent.note_all(seq, &Arc::new(Keys::of_range(start, end)), now);
        recent.tidy(self.window.limit(), now);
        self.window.turn_off_if_alone(&mut recent);
    }
}
