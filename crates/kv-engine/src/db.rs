//! The facade: a cheap handle whose methods delegate.

use crate::batch::WriteBatch;
use crate::changes::Changes;
use crate::engine::Engine;
use crate::error::Result;
use crate::keyspace::Keyspace;
use crate::open;
use crate::options::{Durability, Options};
use crate::read::cursor::Cursor;
use crate::read::iter::Iter;
use crate::snapshot::Snapshot;
use crate::space::{DEFAULT_ID, Space};
use crate::stats::Stats;
use crate::transaction::{self, Transaction};
use crate::verify::VerifyReport;
use bytes::Bytes;
use kv_vfs::MemFs;
use std::ops::RangeBounds;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Keeps a store open; the last one to go closes it.
pub(crate) struct Handle {
    pub(crate) engine: Arc<Engine>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Nobody is left to hear of a failure; what was acknowledged is in the log either way.
        let _ = self.engine.close();
    }
}

/// An open store: an ordered map from bytes to bytes, on disk. Cheap to clone, shared by threads.
///
/// ```
/// use kv_engine::{Db, Options};
/// let dir = tempfile::tempdir().unwrap();
/// let db = Db::open(dir.path().join("store"), Options::default())?;
/// db.put("apple", "red")?;
/// assert_eq!(db.get("apple")?.as_deref(), Some(&b"red"[..]));
/// db.close()?;
/// # Ok::<(), kv_engine::Error>(())
/// ```
#[derive(Clone)]
pub struct Db {
    handle: Arc<Handle>,
    space: Arc<Space>,
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Db").field("dir", &self.handle.engine.dir).finish_non_exhaustive()
    }
}

impl Db {
    /// Opens the store in a directory, and creates both where they are missing. Only one opener
    /// may write: a second one gets [`ErrorKind::Locked`](crate::ErrorKind::Locked). What a crash
    /// left in the logs is written to tables before the call returns.
    ///
    /// ```
    /// # use kv_engine::{Db, Options};
    /// # let dir = tempfile::tempdir().unwrap();
    /// let db = Db::open(dir.path(), Options::default().sync_on_write(false))?;
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Db> {
        Ok(Db::over(open::open(path.as_ref(), options)?))
    }

    /// A store on a memory file system: the same engine, gone when the last handle is.
    ///
    /// ```
    /// # use kv_engine::{Db, Options};
    /// let db = Db::in_memory(Options::default())?;
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn in_memory(options: Options) -> Result<Db> {
        let fs = MemFs::volatile();
        Db::open("/store", options.file_system(Arc::new(fs)))
    }

    pub(crate) fn over(engine: Arc<Engine>) -> Db {
        let space = Space::new(engine.id, DEFAULT_ID, "");
        Db { handle: Arc::new(Handle { engine }), space }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.handle.engine
    }

    /// Writes the memtable out, syncs, and releases the lock. Every clone is closed with it:
    /// later calls answer [`ErrorKind::Closed`](crate::ErrorKind::Closed). The store is closed
    /// also where this answers an error, which says that unsynced writes may not be durable.
    ///
    /// ```
    /// # use kv_engine::{Db, Options};
    /// # let db = Db::in_memory(Options::default())?;
    /// db.close()?;
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn close(self) -> Result<()> {
        self.handle.engine.close()
    }

    /// Sets a key's value. Keys have up to 65,535 bytes, values up to 1 GiB; both may be empty.
    /// With [`Options::sync_on_write`] (the default) it survives power loss when it returns.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// db.put("key", "value")?;
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        self.handle.engine.put(&self.space, key.as_ref(), value.as_ref())
    }

    /// Sets a value that is hidden from every read once `ttl` has passed since the commit, and
    /// whose space comes back by compaction. A later `put` of the key ends the expiry.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// db.put_with_ttl("session", "token", std::time::Duration::from_secs(3600))?;
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn put_with_ttl(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        ttl: Duration,
    ) -> Result<()> {
        self.handle.engine.put_with_ttl(&self.space, key.as_ref(), value.as_ref(), ttl)
    }

    /// A key's value, `None` where it has none. The bytes are shared with the block cache where
    /// possible: a large value that is kept for long keeps its block in memory.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// db.put("key", "value")?;
    /// assert_eq!(db.get("key")?.as_deref(), Some(&b"value"[..]));
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Bytes>> {
        self.handle.engine.get(&self.space, key.as_ref(), None)
    }

    /// Whether a key has a value.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// assert!(!db.contains_key("key")?);
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn contains_key(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        self.handle.engine.contains_key(&self.space, key.as_ref(), None)
    }

    /// Deletes a key, whether it is there or not.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// db.delete("key")?;
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Result<()> {
        self.handle.engine.delete(&self.space, key.as_ref())
    }

    /// Deletes all keys in a range, in constant time. An empty or inverted range deletes nothing.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// db.delete_range("user:1".."user:2")?;
    /// db.delete_range::<&str>(..)?; // everything
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn delete_range<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Result<()> {
        let mut batch = WriteBatch::new();
        batch.delete_range(range);
        self.write(batch)
    }

    /// Writes a batch: all of it or nothing, also after a crash.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// let mut batch = kv_engine::WriteBatch::new();
    /// batch.put("from", "90");
    /// batch.put("to", "110");
    /// db.write(batch)?;
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn write(&self, batch: WriteBatch) -> Result<()> {
        self.write_with(batch, self.handle.engine.default_durability())
    }

    /// [`Db::write`] with a durability of its own.
    ///
    /// ```
    /// # use kv_engine::{Db, Durability, Options, WriteBatch};
    /// # let db = Db::in_memory(Options::default())?;
    /// let mut batch = WriteBatch::new();
    /// batch.put("key", "value");
    /// db.write_with(batch, Durability::Os)?;
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn write_with(&self, batch: WriteBatch, durability: Durability) -> Result<()> {
        self.handle.engine.write_batch(&self.space, batch, durability)
    }

    /// All pairs in key order, from both ends, as they are now.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// db.put("a", "1")?;
    /// for pair in db.iter() {
    ///     let (key, value) = pair?;
    ///     println!("{key:?} {value:?}");
    /// }
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn iter(&self) -> Iter {
        self.handle.engine.iter(&self.space, None)
    }

    /// The pairs in a range of keys; nothing where it is empty or inverted.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// assert_eq!(db.range("a"..="m").rev().count(), 0);
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn range<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Iter {
        self.handle.engine.range(&self.space, &range, None)
    }

    /// The pairs whose keys begin with `prefix`.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// assert_eq!(db.prefix("user:").count(), 0);
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn prefix(&self, prefix: impl AsRef<[u8]>) -> Iter {
        self.handle.engine.prefix(&self.space, prefix.as_ref(), None)
    }

    /// A cursor over what is there now: the fast way to move, on borrowed slices.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// db.put("b", "2")?;
    /// let mut cursor = db.cursor();
    /// cursor.seek("a")?;
    /// assert!(cursor.valid() && cursor.key() == b"b");
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn cursor(&self) -> Cursor {
        self.handle.engine.cursor(&self.space, None)
    }

    /// The store as it is now, for as long as the snapshot lives.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// let snapshot = db.snapshot();
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(Arc::clone(&self.handle.engine), Arc::clone(&self.space))
    }

    /// Begins a transaction: serializable and optimistic, over the store as it is now.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// let mut tx = db.transaction();
    /// if tx.get("name")?.is_none() {
    ///     tx.put("name", "taken");
    /// }
    /// tx.commit()?;
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn transaction(&self) -> Transaction {
        Transaction::new(Arc::clone(&self.handle.engine), Arc::clone(&self.space))
    }

    /// Runs `body` in a transaction and commits it. After a conflict `body` runs again, in a new
    /// transaction, up to 24 times in all and with growing, random sleeps between; then the answer
    /// is that [`ErrorKind::Conflict`](crate::ErrorKind::Conflict). Any other error of `body` or
    /// of the commit ends it at once, and nothing is written.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// let visits = db.transact(|tx| {
    ///     let visits = tx.get("visits")?.map_or(0, |text| text.len()) + 1;
    ///     tx.put("visits", "|".repeat(visits));
    ///     Ok(visits)
    /// })?;
    /// assert_eq!(visits, 1);
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn transact<T>(&self, body: impl FnMut(&mut Transaction) -> Result<T>) -> Result<T> {
        transaction::transact(&self.handle.engine, &self.space, body)
    }

    /// The keyspace with this name (1 to 255 bytes), created if need be; `""` is the default one,
    /// which `Db` itself reads and writes.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// let users = db.keyspace("users")?;
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn keyspace(&self, name: &str) -> Result<Keyspace> {
        let space = match name {
            "" => {
                self.handle.engine.health.check_open()?;
                Arc::clone(&self.space)
            }
            name => self.handle.engine.space(name)?,
        };
        Ok(Keyspace::new(Arc::clone(&self.handle), space))
    }

    /// Deletes a keyspace and all in it, in constant time. Its handles answer
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) from then on.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// db.keyspace("users")?;
    /// db.drop_keyspace("users")?;
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn drop_keyspace(&self, name: &str) -> Result<()> {
        self.handle.engine.drop_space(name)
    }

    /// The names of the keyspaces but the default one, sorted.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// assert!(db.keyspaces()?.is_empty());
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn keyspaces(&self) -> Result<Vec<String>> {
        self.handle.engine.space_names()
    }

    /// Writes everything in memory to tables, and waits.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// db.flush()?;
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn flush(&self) -> Result<()> {
        self.handle.engine.flush()
    }

    /// Makes everything written so far survive power loss.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// db.sync()?;
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn sync(&self) -> Result<()> {
        self.handle.engine.sync()
    }

    /// Merges everything down to the last level, drops what is deleted, overwritten or expired,
    /// and waits.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// db.compact()?;
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn compact(&self) -> Result<()> {
        self.handle.engine.compact_all()
    }

    /// Makes a second store in `path`, which must not exist or be an empty directory: all that was
    /// written when the call began, and maybe some of what was written during it, in the order
    /// of the writes and with batches whole. It opens as any other, and neither store knows of the
    /// other: later changes to one do not show in the other, and either may be deleted.
    ///
    /// Tables are shared by hard links, which take no space until one of the stores replaces its
    /// own; on another file system they are copied. Writes and compactions go on meanwhile.
    ///
    /// # Errors
    ///
    /// `InvalidArgument` where something is in `path`; `Unsupported` for a store in memory;
    /// `ReadOnly`; `Io` and `NoSpace`. Where it fails, nothing is left that opens; where the process
    /// ends meanwhile, a directory that does not open, which says so and may be removed. At the
    /// very beginning that directory is empty.
    ///
    /// ```no_run
    /// # let db = kv_engine::Db::open("store", kv_engine::Options::default())?;
    /// db.checkpoint("backup/2026-11-21")?;
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn checkpoint(&self, path: impl AsRef<Path>) -> Result<()> {
        self.handle.engine.checkpoint(path.as_ref())
    }

    /// Stores pairs that come in strictly ascending order of their keys, past the log: for loading
    /// much at once. All of them or none, also after a crash; durable when it returns, and newer
    /// than all that was written before. Answers how many they were.
    ///
    /// It takes little memory, however many pairs come. Until it ends it takes space on the disk and
    /// shows nothing; reads and writes go on beside it, and wait a few milliseconds at its end. A
    /// key that is not greater than the one before it, and a key or a value over its limit, is
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) with the position of the
    /// pair, counted from 0; nothing is stored then. A transaction that is open at the end, and has
    /// read or written a key between the first one and the last one, conflicts.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// let squares = (0..1000u32).map(|n| (n.to_be_bytes(), (n * n).to_string()));
    /// assert_eq!(db.ingest(squares)?, 1000);
    /// assert_eq!(db.get(12u32.to_be_bytes())?.as_deref(), Some(&b"144"[..]));
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn ingest<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        sorted: impl IntoIterator<Item = (K, V)>,
    ) -> Result<u64> {
        self.handle.engine.ingest(&self.space, sorted)
    }

    /// Reads every byte of every file and checks every checksum and invariant. Damage is in the
    /// report; an error is a check that could not be made.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// assert!(db.verify()?.is_ok());
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn verify(&self) -> Result<VerifyReport> {
        self.handle.engine.verify(&mut |_| {})
    }

    /// The batches committed since the sequence number `seq` (that of a [`Change`](crate::Change)), in commit
    /// order; 0 begins at the oldest one held. Transactions, expiries, range deletes and ingests
    /// are among them; making a keyspace is not.
    ///
    /// They are read from the log, which is held as long as its writes are in memory, and longer
    /// where a consumer is registered ([`Changes::acknowledge`]). What was written without a sync may be
    /// among them and yet not survive a power cut. A store that was opened read-only
    /// reads what is in the log beside a live writer, which may be about to make it durable.
    ///
    /// # Errors
    ///
    /// `NotFound` where a later change is not held any more; it names the oldest one that is.
    ///
    /// ```
    /// # use kv_engine::{ChangeOp, Db, Options};
    /// # let db = Db::in_memory(Options::default())?;
    /// db.put("fruit", "apple")?;
    /// let mut seq = 0;
    /// for change in db.changes_since(seq)? {
    ///     let change = change?;
    ///     for op in change.ops {
    ///         if let ChangeOp::Put { key, value, .. } = op {
    ///             println!("{key:?} is now {value:?}");
    ///         }
    ///     }
    ///     seq = change.seq;
    /// }
    /// assert_eq!(db.changes_since(seq)?.count(), 0);
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn changes_since(&self, seq: u64) -> Result<Changes> {
        self.handle.engine.changes_since(seq)
    }

    /// What the store has done and holds.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// println!("{}", db.stats());
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn stats(&self) -> Stats {
        self.handle.engine.stats()
    }
}
