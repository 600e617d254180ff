//! Optimistic transactions: a snapshot, own writes over it, and a judgement at the commit.
//! Numbered invariants: docs/design/transactions.md.
//!
//! A transaction takes no lock on what it reads or writes. It notes what it read, as far as it
//! really looked, and keeps its writes to itself. Its commit is one record of the log like any
//! batch; before it gets a sequence number, under the log's lock, it is compared with what was
//! committed since its snapshot (`window`), and refused with
//! [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) where that changed anything it needs.

mod hook;
mod keys;
mod overlay;
mod pairs;
mod retry;
mod window;

pub(crate) use hook::Claim;
pub(crate) use pairs::Pairs;
pub(crate) use retry::transact;
pub(crate) use window::{Check, Clash, Window};

use crate::batch::WriteBatch;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::keyspace::Keyspace;
use crate::limits::{self, MAX_KEY_LEN, StoredRange};
use crate::options::Durability;
use crate::read::iter::Iter;
use crate::read::with_stored_key;
use crate::snapshot::Moment;
use crate::space::Space;
use bytes::Bytes;
use kv_core::{SeqNo, hash64};
use kv_vfs::sync::Mutex;
use kv_vfs::testing::{bug, planted};
use overlay::{Local, Own};
use std::ops::{Bound, RangeBounds};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

/// What a transaction promises about others that run at the same time.
///
/// ```
/// # use kv_engine::Isolation;
/// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
/// let mut tx = db.transaction().isolation(Isolation::Snapshot);
/// tx.get("may change meanwhile")?;
/// tx.put("key", "value");
/// tx.commit()?;
/// # Ok::<(), kv_engine::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Isolation {
    /// As if the transactions ran one after the other, in the order in which they commit: a commit
    /// fails where another one changed something that was read or written. The order agrees with
    /// time: what was acknowledged before a transaction began is seen by it.
    #[default]
    Serializable,
    /// All reads see one moment, and a commit fails where another one changed a key that was
    /// written. What was read may have changed: two transactions may each read what the other
    /// writes (write skew).
    Snapshot,
}

/// A moment within a [`Transaction`], to go back to.
///
/// ```
/// use kv_engine::{Db, Options};
/// let db = Db::in_memory(Options::default())?;
/// let mut tx = db.transaction();
/// tx.put("kept", "1");
/// let savepoint = tx.savepoint();
/// tx.put("taken back", "2");
/// tx.rollback_to(&savepoint)?;
/// tx.commit()?;
/// assert_eq!(db.get("kept")?.as_deref(), Some(&b"1"[..]));
/// assert_eq!(db.get("taken back")?, None);
/// # Ok::<(), kv_engine::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Savepoint {
    of: Weak<Mutex<Local>>,
    number: u64,
    moment: u64,
}

/// Reads and writes that take effect all at once, or not at all.
///
/// It sees one snapshot of the store, taken by [`Db::transaction`](crate::Db::transaction), with
/// its own writes over it. Nothing is locked: a commit that another one has overtaken answers
/// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) and writes nothing;
/// [`Db::transact`](crate::Db::transact) tries again by itself. A transaction that writes nothing
/// never conflicts. Dropping it rolls it back.
///
/// Operations go to the default keyspace until [`Transaction::within`] names another. Its writes
/// and the keys that it read are kept in memory until it ends. While it is open, compaction keeps
/// what it sees, and every commit is remembered for it: commit or drop it soon.
///
/// ```
/// use kv_engine::{Db, ErrorKind, Options};
/// let db = Db::in_memory(Options::default())?;
/// db.put("stock", "1")?;
///
/// let (mut a, mut b) = (db.transaction(), db.transaction());
/// for tx in [&mut a, &mut b] {
///     assert_eq!(tx.get("stock")?.as_deref(), Some(&b"1"[..]));
///     tx.put("stock", "0");
/// }
/// a.commit()?;
/// assert_eq!(b.commit().unwrap_err().kind(), ErrorKind::Conflict);
/// # Ok::<(), kv_engine::Error>(())
/// ```
pub struct Transaction {
    engine: Arc<Engine>,
    /// Where operations go.
    space: Arc<Space>,
    /// The other keyspaces that it has written to.
    spaces: Vec<Arc<Space>>,
    moment: Moment,
    isolation: Isolation,
    /// Something was read or written.
    begun: bool,
    /// The keys read; for [`Isolation::Serializable`] only.
    read: Check,
    local: Arc<Mutex<Local>>,
    /// The first refused write, with its number.
    broken: Option<(u64, Error)>,
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("Transaction");
        debug.field("snapshot", &self.moment.seq).field("isolation", &self.isolation);
        debug.finish_non_exhaustive()
    }
}

impl Transaction {
    pub(crate) fn new(engine: Arc<Engine>, space: Arc<Space>) -> Transaction {
        let moment = engine.begin_transaction();
        Transaction {
            engine,
            space,
            spaces: Vec::new(),
            moment,
            isolation: Isolation::default(),
            begun: false,
            read: Check::default(),
            local: Arc::default(),
            broken: None,
        }
    }

    /// Chooses the isolation, before the first read or write; chosen later, the commit answers
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument).
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// use kv_engine::Isolation;
    /// let mut tx = db.transaction().isolation(Isolation::Snapshot);
    /// tx.put("key", "value");
    /// tx.commit()?;
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    #[must_use]
    pub fn isolation(mut self, isolation: Isolation) -> Transaction {
        if self.begun {
            // Number 0: no savepoint takes that back.
            let message = "the isolation of a transaction is chosen before its first operation";
            self.broken = Some((0, Error::invalid(message)));
        }
        self.isolation = isolation;
        self
    }

    /// Whether its isolation is [`Isolation::Serializable`]: for layers that need it.
    #[doc(hidden)]
    pub fn is_serializable(&self) -> bool {
        self.isolation == Isolation::Serializable
    }

    /// A key's value: the transaction's own, or that of its snapshot.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// let mut tx = db.transaction();
    /// tx.put("key", "value");
    /// assert_eq!(tx.get("key")?.as_deref(), Some(&b"value"[..]));
    /// assert_eq!(db.get("key")?, None);
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn get(&mut self, key: impl AsRef<[u8]>) -> Result<Option<Bytes>> {
        let key = key.as_ref();
        match self.look(key)? {
            Own::Unset => self.engine.get(&self.space, key, Some(self.moment)),
            Own::Put(value) => Ok(Some(value)),
            Own::Delete => Ok(None),
        }
    }

    /// Whether a key has a value; that counts as reading it.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// assert!(!db.transaction().contains_key("key")?);
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn contains_key(&mut self, key: impl AsRef<[u8]>) -> Result<bool> {
        let key = key.as_ref();
        match self.look(key)? {
            Own::Unset => self.engine.contains_key(&self.space, key, Some(self.moment)),
            own => Ok(own != Own::Delete),
        }
    }

    /// What the transaction has made of a key; where that is nothing, the key counts as read.
    fn look(&mut self, key: &[u8]) -> Result<Own> {
        self.engine.check_readable(&self.space, Some(self.moment))?;
        self.begun = true;
        if key.len() > MAX_KEY_LEN {
            return Ok(Own::Unset);
        }
        let (local, read) = (&self.local, &mut self.read);
        let note = self.isolation == Isolation::Serializable;
        Ok(with_stored_key(&self.space.prefix, key, |stored| {
            let own = local.lock().overlay.get(stored).clone();
            if own == Own::Unset && note {
                let hash = hash64(stored);
                if read.points.insert(hash) {
                    read.read.push(hash, stored);
                }
            }
            own
        }))
    }

    /// Sets a key's value. A key or a value over its limit is told by [`Transaction::commit`].
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// let mut tx = db.transaction();
    /// tx.put("key", "value");
    /// tx.commit()?;
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn put(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let value = value.as_ref();
        let own = || Own::Put(Bytes::copy_from_slice(value));
        self.write(key.as_ref(), value.len(), own);
    }

    /// Deletes a key, whether it is there or not.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// let mut tx = db.transaction();
    /// tx.delete("key");
    /// tx.commit()?;
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn delete(&mut self, key: impl AsRef<[u8]>) {
        self.write(key.as_ref(), 0, || Own::Delete);
    }

    fn write(&mut self, key: &[u8], value_len: usize, own: impl FnOnce() -> Own) {
        self.begun = true;
        let refused = match limits::refuse(key.len(), value_len) {
            Some(reason) => Some(Error::invalid(reason)),
            None if self.space.store != self.engine.id => Some(self.space.foreign()),
            None => None,
        };
        let mut local = self.local.lock();
        if let Some(error) = refused {
            let number = local.overlay.skip();
            self.broken.get_or_insert((number, error));
            return;
        }
        with_stored_key(&self.space.prefix, key, |stored| local.overlay.write(stored, own()));
        if !self.spaces.last().is_some_and(|last| Arc::ptr_eq(last, &self.space))
            && !self.spaces.iter().any(|known| Arc::ptr_eq(known, &self.space))
        {
            self.spaces.push(Arc::clone(&self.space));
        }
    }

    /// The pairs in a range: those of the snapshot, with what the transaction has written until
    /// now over them. What the iterator shows counts as read, and no more: a commit elsewhere
    /// behind the pair where it stopped is no conflict.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// db.put("a", "1")?;
    /// let mut tx = db.transaction();
    /// tx.put("b", "2");
    /// assert_eq!(tx.range("a"..="b").rev().count(), 2);
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn range<K: AsRef<[u8]>>(&mut self, range: impl RangeBounds<K>) -> Iter {
        let range = StoredRange::new(&self.space.prefix, &range);
        self.pairs(range)
    }

    /// The pairs whose keys begin with `prefix`, as [`Transaction::range`].
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// let mut tx = db.transaction();
    /// tx.put("user:ada", "1815");
    /// assert_eq!(tx.prefix("user:").count(), 1);
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn prefix(&mut self, prefix: impl AsRef<[u8]>) -> Iter {
        let range = StoredRange::with_prefix(&self.space.prefix, prefix.as_ref());
        self.pairs(range)
    }

    fn pairs(&mut self, range: StoredRange) -> Iter {
        self.begun = true;
        let snapshot = self.engine.pairs(&self.space, range.clone(), Some(self.moment));
        let record = self.isolation == Isolation::Serializable;
        let foreign = self.space.store != self.engine.id;
        if range.is_empty() || foreign || (!record && self.local.lock().overlay.is_empty()) {
            return snapshot;
        }
        let bounds = (range.start, range.end);
        let prefix = &self.space.prefix;
        Iter::of_transaction(Pairs::new(snapshot, prefix, bounds, &self.local, record))
    }

    /// Sends what follows to `keyspace`; `db.keyspace("")` is the default one.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// let users = db.keyspace("users")?;
    /// let mut tx = db.transaction();
    /// tx.put("count", "1");
    /// tx.within(&users).put("ada", "1815");
    /// tx.commit()?;
    /// assert_eq!(users.get("ada")?.as_deref(), Some(&b"1815"[..]));
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn within(&mut self, keyspace: &Keyspace) -> &mut Transaction {
        self.space = Arc::clone(keyspace.space());
        self
    }

    /// A moment to go back to with [`Transaction::rollback_to`].
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// let mut tx = db.transaction();
    /// let savepoint = tx.savepoint();
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn savepoint(&mut self) -> Savepoint {
        let (number, moment) = self.local.lock().overlay.save();
        Savepoint { of: Arc::downgrade(&self.local), number, moment }
    }

    /// Takes back every write since the savepoint, and forgets the savepoints made since; the
    /// savepoint itself stays. What was read meanwhile stays read. A savepoint of another
    /// transaction, or a forgotten one, is
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument), and nothing happens.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// let mut tx = db.transaction();
    /// let savepoint = tx.savepoint();
    /// tx.put("key", "value");
    /// tx.rollback_to(&savepoint)?;
    /// assert_eq!(tx.get("key")?, None);
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn rollback_to(&mut self, savepoint: &Savepoint) -> Result<()> {
        let own = std::ptr::eq(savepoint.of.as_ptr(), Arc::as_ptr(&self.local));
        if !own || !self.local.lock().overlay.go_back(savepoint.number) {
            let message = "the savepoint is of another transaction, or one before it was gone \
                 back to";
            return Err(Error::invalid(message));
        }
        self.broken.take_if(|(number, _)| *number > savepoint.moment);
        Ok(())
    }

    /// Makes the writes durable as [`Options::sync_on_write`](crate::Options::sync_on_write) says,
    /// and visible, all at once. [`ErrorKind::Conflict`](crate::ErrorKind::Conflict): another
    /// commit came first, nothing was written, try again with a new transaction.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// let mut tx = db.transaction();
    /// tx.put("key", "value");
    /// tx.commit()?;
    /// assert!(db.contains_key("key")?);
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn commit(mut self) -> Result<()> {
        self.finish().map(|_| ())
    }

    /// [`Transaction::commit`] that answers the first sequence number of the commit, `None` where
    /// there was nothing to write: for tests that replay commits in their order.
    #[doc(hidden)]
    pub fn commit_seq(mut self) -> Result<Option<u64>> {
        self.finish()
    }

    /// The newest sequence number that the snapshot sees: for the same tests.
    #[doc(hidden)]
    pub fn snapshot_seq(&self) -> u64 {
        self.moment.seq
    }

    /// Ends the transaction; nothing is written. Dropping it does the same.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// let mut tx = db.transaction();
    /// tx.put("key", "value");
    /// tx.rollback();
    /// assert!(!db.contains_key("key")?);
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn rollback(self) {}

    fn finish(&mut self) -> Result<Option<SeqNo>> {
        if let Some((_, error)) = self.broken.take() {
            return Err(error);
        }
        self.engine.health.check_open()?;
        let Some(batch) = self.batch()? else { return Ok(None) };
        let engine = &self.engine;
        engine.writer()?;
        let check = &mut self.read;
        check.checked.set(self.moment.seq);
        check.ranges = self.local.lock().ranges();
        let durability = match planted(bug::COMMIT_NOT_SYNCED) {
            true => Durability::Os,
            false => engine.default_durability(),
        };
        engine.write_bound(batch, durability, None, Some(check))?;
        engine.counters.transactions.fetch_add(1, Ordering::Relaxed);
        Ok(Some(check.assigned.get()))
    }

    /// The writes as one batch, `None` where there are none.
    fn batch(&self) -> Result<Option<WriteBatch>> {
        let local = self.local.lock();
        let sizes = local.overlay.writes().map(|(key, own)| match own {
            Own::Put(value) => 16 + key.len() + value.len(),
            Own::Delete | Own::Unset => 16 + key.len(),
        });
        let bytes = sizes.fold(0usize, usize::saturating_add);
        if bytes == 0 {
            return Ok(None);
        }
        if bytes > limits::MAX_BATCH_LEN {
            return Err(Error::invalid(format!(
                "a transaction writes {bytes} bytes; the limit is {}",
                limits::MAX_BATCH_LEN
            )));
        }
        let mut batch = WriteBatch::with_capacity(bytes);
        for (key, own) in local.overlay.writes() {
            match own {
                Own::Put(value) => batch.encoded.put(key, value),
                Own::Delete => batch.encoded.delete(key),
                Own::Unset => {}
            }
        }
        // Where everything was taken back, a keyspace need not exist any more.
        let is_written = |space: &&Arc<Space>| {
            let StoredRange { start, end } = StoredRange::with_prefix(&space.prefix, &[]);
            let (low, high) = (Bound::Included(start.as_slice()), Bound::Excluded(end.as_slice()));
            local.overlay.first(low, high, local.overlay.now()).is_some()
        };
        batch.spaces = self.spaces.iter().filter(is_written).cloned().collect();
        Ok(Some(batch))
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        self.engine.end_transaction(self.moment);
    }
}
