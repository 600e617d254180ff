//! The public batch: operations over keyspaces, encoded as they come.

use crate::error::{Error, Result};
use crate::keyspace::Keyspace;
use crate::limits::{self, StoredRange};
use crate::space::Space;
use kv_core::{Batch, Kind, decode_batch};
use std::ops::RangeBounds;
use std::sync::Arc;
use std::time::Duration;

/// Operations that are written all or nothing, and become visible at once.
///
/// The later operation on a key wins. An operation that breaks a limit makes the whole
/// [`Db::write`](crate::Db::write) fail, and nothing is written. Operations go to the keyspace
/// that the batch is written to, until [`WriteBatch::within`] names another.
///
/// ```
/// use kv_engine::{Db, Options, WriteBatch};
/// let db = Db::in_memory(Options::default())?;
/// let users = db.keyspace("users")?;
/// let mut batch = WriteBatch::new();
/// batch.put("count", "1");
/// batch.within(&users).put("ada", "1815");
/// db.write(batch)?;
/// assert_eq!(users.get("ada")?.as_deref(), Some(&b"1815"[..]));
/// # Ok::<(), kv_engine::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct WriteBatch {
    pub(crate) encoded: Batch,
    /// Where expiring puts keep their expiry, and the time to live to be counted from the commit.
    pub(crate) expiries: Vec<(usize, Duration)>,
    /// Keyspaces that operations name; each must exist when the batch commits.
    pub(crate) spaces: Vec<Arc<Space>>,
    /// Where what follows goes; at first, wherever the batch will be written.
    current: Option<Arc<Space>>,
    /// How many operations from the front go to where the batch will be written. They are encoded
    /// for the default keyspace.
    home_ops: usize,
    /// The first limit that an operation broke.
    broken: Option<String>,
}

impl WriteBatch {
    /// An empty batch.
    ///
    /// ```
    /// assert!(kv_engine::WriteBatch::new().is_empty());
    /// ```
    pub fn new() -> WriteBatch {
        WriteBatch::default()
    }

    /// An empty batch with room for that many bytes of keys and values.
    ///
    /// ```
    /// let batch = kv_engine::WriteBatch::with_capacity(1 << 20);
    /// assert_eq!(batch.len(), 0);
    /// ```
    pub fn with_capacity(bytes: usize) -> WriteBatch {
        WriteBatch { encoded: Batch::with_capacity(bytes), ..WriteBatch::default() }
    }

    /// Sets a key's value. Keys have up to 65,535 bytes, values up to 1 GiB.
    ///
    /// ```
    /// let mut batch = kv_engine::WriteBatch::new();
    /// batch.put("key", "value");
    /// assert_eq!(batch.len(), 1);
    /// ```
    pub fn put(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        let (key, value) = (key.as_ref(), value.as_ref());
        if self.fits(key.len(), value.len()) {
            self.encoded.put_parts(&[Space::prefix_of(&self.current), key], value);
        }
    }

    /// Sets a key's value, hidden once `ttl` has passed since the commit.
    ///
    /// ```
    /// let mut batch = kv_engine::WriteBatch::new();
    /// batch.put_with_ttl("session", "token", std::time::Duration::from_secs(3600));
    /// ```
    pub fn put_with_ttl(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>, ttl: Duration) {
        let (key, value) = (key.as_ref(), value.as_ref());
        if self.fits(key.len(), value.len()) {
            let prefix = Space::prefix_of(&self.current);
            let at = self.encoded.put_expiring(&[prefix, key], value, 0);
            self.expiries.push((at, ttl));
        }
    }

    /// Deletes a key, whether it is there or not.
    ///
    /// ```
    /// let mut batch = kv_engine::WriteBatch::new();
    /// batch.delete("key");
    /// ```
    pub fn delete(&mut self, key: impl AsRef<[u8]>) {
        let key = key.as_ref();
        if self.fits(key.len(), 0) {
            self.encoded.delete_parts(&[Space::prefix_of(&self.current), key]);
        }
    }

    /// Deletes all keys in a range, in constant time; an empty or inverted range deletes nothing.
    ///
    /// ```
    /// let mut batch = kv_engine::WriteBatch::new();
    /// batch.delete_range("a".."b");
    /// batch.delete_range::<&str>(..); // everything
    /// ```
    pub fn delete_range<K: AsRef<[u8]>>(&mut self, range: impl RangeBounds<K>) {
        if self.fits(limits::longest_bound(&range), 0) {
            let stored = StoredRange::new(Space::prefix_of(&self.current), &range);
            self.encoded.delete_range(&stored.start, &stored.end);
        }
    }

    /// Sends what follows to `keyspace`; `db.keyspace("")` is the default one.
    ///
    /// ```
    /// # use kv_engine::{Db, Options, WriteBatch};
    /// # let db = Db::in_memory(Options::default())?;
    /// let mut batch = WriteBatch::new();
    /// batch.within(&db.keyspace("a")?).put("k", "in a");
    /// batch.within(&db.keyspace("")?).put("k", "in the default one");
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn within(&mut self, keyspace: &Keyspace) -> &mut WriteBatch {
        let space = keyspace.space();
        if !self.spaces.iter().any(|known| Arc::ptr_eq(known, space)) {
            self.spaces.push(Arc::clone(space));
        }
        self.current = Some(Arc::clone(space));
        self
    }

    /// How many operations.
    ///
    /// ```
    /// assert_eq!(kv_engine::WriteBatch::new().len(), 0);
    /// ```
    pub fn len(&self) -> usize {
        self.encoded.len()
    }

    /// Whether there is no operation.
    ///
    /// ```
    /// assert!(kv_engine::WriteBatch::new().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.encoded.is_empty() && self.broken.is_none()
    }

    /// Forgets every operation and `within`, and keeps the memory.
    ///
    /// ```
    /// let mut batch = kv_engine::WriteBatch::new();
    /// batch.put("key", "value");
    /// batch.clear();
    /// assert!(batch.is_empty());
    /// ```
    pub fn clear(&mut self) {
        self.encoded.clear();
        self.expiries.clear();
        self.spaces.clear();
        self.current = None;
        self.home_ops = 0;
        self.broken = None;
    }

    /// Whether an operation of these lengths may be added; notes the first limit that one broke.
    fn fits(&mut self, key_len: usize, value_len: usize) -> bool {
        let total = self.encoded.as_bytes().len().saturating_add(key_len).saturating_add(value_len);
        let refusal = limits::refuse(key_len, value_len).or_else(|| {
            (total > limits::MAX_BATCH_LEN).then(|| {
                format!("a batch has over {} bytes, which is the limit", limits::MAX_BATCH_LEN)
            })
        });
        if let Some(reason) = refusal {
            self.broken.get_or_insert(reason);
            return false;
        }
        if self.current.is_none() {
            self.home_ops += 1;
        }
        true
    }

    /// The batch as it is written to the keyspace `home`, or why it may not be written.
    pub(crate) fn bound_for(mut self, home: &Arc<Space>) -> Result<WriteBatch> {
        if let Some(reason) = self.broken.take() {
            return Err(Error::invalid(reason));
        }
        if self.home_ops > 0 {
            if !home.is_default() {
                self.rehome(home)?;
            }
            self.spaces.push(Arc::clone(home));
        }
        let len = self.encoded.as_bytes().len();
        if len > limits::MAX_BATCH_LEN {
            return Err(Error::invalid(format!(
                "a batch has {len} bytes; the limit is {}",
                limits::MAX_BATCH_LEN
            )));
        }
        if let Some(foreign) = self.spaces.iter().find(|space| space.store != home.store) {
            return Err(foreign.foreign());
        }
        Ok(self)
    }

    /// Encodes the operations in front again, for the keyspace `home`.
    fn rehome(&mut self, home: &Space) -> Result<()> {
        let old = std::mem::take(&mut self.encoded);
        let mut new = Batch::with_capacity(old.as_bytes().len() + 8 * self.home_ops);
        let mut ttls = self.expiries.drain(..).map(|(_, ttl)| ttl);
        let mut expiries = Vec::new();
        let ops = decode_batch(old.as_bytes()).map_err(|e| Error::invalid(e.to_string()))?;
        for (i, op) in ops.enumerate() {
            let op = op.map_err(|e| Error::invalid(e.to_string()))?;
            let (prefix, key): (&[u8], &[u8]) = match i < self.home_ops {
                true => (&home.prefix, op.key.get(1..).unwrap_or_default()),
                false => (&[], op.key),
            };
            match op.kind {
                Kind::Delete => new.delete_parts(&[prefix, key]),
                Kind::RangeDelete => {
                    let end = match (i < self.home_ops, op.value.split_first()) {
                        (true, Some((0, rest))) => [prefix, rest].concat(),
                        (true, _) => limits::end_of(prefix),
                        (false, _) => op.value.to_vec(),
                    };
                    new.delete_range(&[prefix, key].concat(), &end);
                }
                Kind::PutExpiring => {
                    let value = op.value.get(8..).unwrap_or_default();
                    let at = new.put_expiring(&[prefix, key], value, 0);
                    expiries.extend(ttls.next().map(|ttl| (at, ttl)));
                }
                _ => new.put_parts(&[prefix, key], op.value),
            }
        }
        drop(ttls);
        self.expiries = expiries;
        self.encoded = new;
        Ok(())
    }
}
