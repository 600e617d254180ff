//! A moment that readers hold on to.

use crate::engine::Engine;
use crate::error::Result;
use crate::keyspace::Keyspace;
use crate::read::cursor::Cursor;
use crate::read::iter::Iter;
use crate::space::Space;
use bytes::Bytes;
use kv_core::SeqNo;
use std::ops::RangeBounds;
use std::sync::Arc;

/// What a read sees: everything up to a sequence number, at a time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) seq: SeqNo,
    pub(crate) now_ms: u64,
}

/// The store as it was when the snapshot was taken: reads on it answer the same for ever,
/// whatever is written, flushed or compacted. Cheap; while it lives, compaction keeps the
/// versions that it sees. It does not keep the store open: once that is closed, reads answer
/// [`ErrorKind::Closed`](crate::ErrorKind::Closed).
///
/// ```
/// use kv_engine::{Db, Options};
/// let db = Db::in_memory(Options::default())?;
/// db.put("key", "old")?;
/// let snapshot = db.snapshot();
/// db.put("key", "new")?;
/// assert_eq!(snapshot.get("key")?.as_deref(), Some(&b"old"[..]));
/// # Ok::<(), kv_engine::Error>(())
/// ```
pub struct Snapshot {
    engine: Arc<Engine>,
    space: Arc<Space>,
    moment: Moment,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("seq", &self.moment.seq).finish_non_exhaustive()
    }
}

impl Snapshot {
    pub(crate) fn new(engine: Arc<Engine>, space: Arc<Space>) -> Snapshot {
        let moment = engine.snapshots.acquire(&engine.publisher, || engine.now_ms());
        Snapshot { engine, space, moment }
    }

    /// The same moment in another keyspace.
    ///
    /// ```
    /// # use kv_engine::{Db, Options};
    /// # let db = Db::in_memory(Options::default())?;
    /// let users = db.keyspace("users")?;
    /// let snapshot = db.snapshot().within(&users);
    /// users.put("ada", "1815")?;
    /// assert_eq!(snapshot.get("ada")?, None);
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn within(&self, keyspace: &Keyspace) -> Snapshot {
        let Moment { seq, now_ms } = self.moment;
        self.engine.snapshots.share(seq, now_ms);
        Snapshot {
            engine: Arc::clone(&self.engine),
            space: Arc::clone(keyspace.space()),
            moment: self.moment,
        }
    }

    /// A key's value at that moment.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// assert_eq!(db.snapshot().get("key")?, None);
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Bytes>> {
        self.engine.get(&self.space, key.as_ref(), Some(self.moment))
    }

    /// Whether a key had a value at that moment.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// assert!(!db.snapshot().contains_key("key")?);
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn contains_key(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        self.engine.contains_key(&self.space, key.as_ref(), Some(self.moment))
    }

    /// All pairs of that moment in order.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// assert_eq!(db.snapshot().iter().count(), 0);
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn iter(&self) -> Iter {
        self.engine.iter(&self.space, Some(self.moment))
    }

    /// The pairs in a range at that moment.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// assert_eq!(db.snapshot().range("a".."b").count(), 0);
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn range<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Iter {
        self.engine.range(&self.space, &range, Some(self.moment))
    }

    /// The pairs whose keys begin with `prefix` at that moment.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// assert_eq!(db.snapshot().prefix("user:").count(), 0);
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn prefix(&self, prefix: impl AsRef<[u8]>) -> Iter {
        self.engine.prefix(&self.space, prefix.as_ref(), Some(self.moment))
    }

    /// A cursor over that moment.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// assert!(!db.snapshot().cursor().valid());
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn cursor(&self) -> Cursor {
        self.engine.cursor(&self.space, Some(self.moment))
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        let Moment { seq, now_ms } = self.moment;
        let engine = &self.engine;
        if engine.snapshots.release(seq, now_ms) {
            // What it held back may now be compacted away.
            engine.background.wake_all();
        }
    }
}
