//! Named keyspaces: the catalog that maps names to numbers, and the public handle.

use crate::batch::WriteBatch;
use crate::db::Handle;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{MAX_NAME_LEN, end_of};
use crate::options::Durability;
use crate::read::cursor::Cursor;
use crate::read::iter::Iter;
use crate::space::{CATALOG_ID, FIRST_NAMED_ID, Space};
use bytes::Bytes;
use kv_core::{Batch, put_varint};
use std::collections::BTreeMap;
use std::ops::RangeBounds;
use std::sync::Arc;
use std::time::Duration;

/// The named keyspaces of one open store, and the next number.
#[derive(Default)]
pub(crate) struct Catalog {
    spaces: BTreeMap<String, Arc<Space>>,
    next_id: u64,
}

impl Catalog {
    /// How many named keyspaces.
    pub(crate) fn len(&self) -> usize {
        self.spaces.len()
    }
}

fn catalog_prefix() -> Vec<u8> {
    let mut prefix = Vec::new();
    put_varint(&mut prefix, CATALOG_ID);
    prefix
}

impl Engine {
    /// Reads the catalog; called once, by open.
    pub(crate) fn load_catalog(&self) -> Result<()> {
        let damaged = || Error::corrupt("the catalog of keyspaces holds a malformed entry");
        let mut catalog = Catalog { spaces: BTreeMap::new(), next_id: FIRST_NAMED_ID };
        let catalog_space = Space::new(self.id, CATALOG_ID, "");
        for entry in self.iter(&catalog_space, None) {
            let (name, number) = entry?;
            let number =
                number.as_ref().try_into().map(u64::from_le_bytes).map_err(|_| damaged())?;
            if name.is_empty() {
                catalog.next_id = number;
                continue;
            }
            let name = String::from_utf8(name.to_vec()).map_err(|_| damaged())?;
            let space = Space::new(self.id, number, &name);
            catalog.spaces.insert(name, space);
        }
        *self.catalog.lock() = catalog;
        Ok(())
    }

    /// The keyspace with this name, created if need be.
    pub(crate) fn space(&self, name: &str) -> Result<Arc<Space>> {
        check_name(name)?;
        self.health.check_open()?;
        let mut catalog = self.catalog.lock();
        if let Some(space) = catalog.spaces.get(name) {
            return Ok(Arc::clone(space));
        }
        let number = catalog.next_id;
        let next = number.checked_add(1).ok_or_else(|| {
            Error::corrupt("the catalog says that no number is left for a keyspace; kv repair")
        })?;
        let mut batch = WriteBatch::new();
        put_catalog(&mut batch.encoded, name, number);
        put_catalog(&mut batch.encoded, "", next);
        self.write_bound(batch, self.default_durability(), None, None)?;
        let space = Space::new(self.id, number, name);
        catalog.next_id = next;
        catalog.spaces.insert(name.to_owned(), Arc::clone(&space));
        Ok(space)
    }

    /// Deletes a keyspace and everything in it: one batch of a delete and a range delete.
    pub(crate) fn drop_space(&self, name: &str) -> Result<()> {
        check_name(name)?;
        if name.is_empty() {
            return Err(Error::invalid("the default keyspace cannot be dropped; delete its range"));
        }
        self.health.check_open()?;
        self.writer()?;
        let mut catalog = self.catalog.lock();
        let Some(space) = catalog.spaces.get(name) else {
            return Err(Error::new(ErrorKind::NotFound, format!("there is no keyspace {name:?}")));
        };
        let mut batch = WriteBatch::new();
        batch.encoded.delete_parts(&[&catalog_prefix(), name.as_bytes()]);
        batch.encoded.delete_range(&space.prefix, &end_of(&space.prefix));
        let dropped = self.write_bound(batch, self.default_durability(), Some(space), None);
        dropped.inspect_err(|_| space.unmark_dropped())?;
        catalog.spaces.remove(name);
        Ok(())
    }

    /// Shows every named keyspace.
    pub(crate) fn each_space(&self, mut show: impl FnMut(&Space)) {
        self.catalog.lock().spaces.values().for_each(|space| show(space));
    }

    /// The names of the keyspaces, sorted.
    pub(crate) fn space_names(&self) -> Result<Vec<String>> {
        self.health.check_open()?;
        Ok(self.catalog.lock().spaces.keys().cloned().collect())
    }
}

fn put_catalog(batch: &mut Batch, name: &str, number: u64) {
    batch.put_parts(&[&catalog_prefix(), name.as_bytes()], &number.to_le_bytes());
}

fn check_name(name: &str) -> Result<()> {
    if name.len() > MAX_NAME_LEN {
        return Err(Error::invalid(format!(
            "a keyspace's name has {} bytes; it must have 1 to {MAX_NAME_LEN}",
            name.len()
        )));
    }
    Ok(())
}

/// A named, separate range of keys in a store, with the data and read methods of
/// [`Db`](crate::Db). Cheap to clone; keeps the store open.
///
/// ```
/// use kv_engine::{Db, Options};
/// let db = Db::in_memory(Options::default())?;
/// let users = db.keyspace("users")?;
/// users.put("ada", "1815")?;
/// assert_eq!(users.get("ada")?.as_deref(), Some(&b"1815"[..]));
/// assert_eq!(db.get("ada")?, None);
/// # Ok::<(), kv_engine::Error>(())
/// ```
#[derive(Clone)]
pub struct Keyspace {
    handle: Arc<Handle>,
    space: Arc<Space>,
}

impl std::fmt::Debug for Keyspace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Keyspace").field(&self.space.name).finish()
    }
}

impl Keyspace {
    pub(crate) fn new(handle: Arc<Handle>, space: Arc<Space>) -> Keyspace {
        Keyspace { handle, space }
    }

    pub(crate) fn space(&self) -> &Arc<Space> {
        &self.space
    }

    /// The name; empty for the default keyspace.
    ///
    /// ```
    /// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
    /// assert_eq!(db.keyspace("users")?.name(), "users");
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn name(&self) -> &str {
        &self.space.name
    }

    /// Sets a key's value. See [`Db::put`](crate::Db::put).
    ///
    /// ```
    /// # let ks = kv_engine::Db::in_memory(kv_engine::Options::default())?.keyspace("a")?;
    /// ks.put("key", "value")?;
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        self.handle.engine.put(&self.space, key.as_ref(), value.as_ref())
    }

    /// Sets a value that is hidden once `ttl` has passed. See
    /// [`Db::put_with_ttl`](crate::Db::put_with_ttl).
    ///
    /// ```
    /// # let ks = kv_engine::Db::in_memory(kv_engine::Options::default())?.keyspace("a")?;
    /// ks.put_with_ttl("key", "value", std::time::Duration::from_secs(60))?;
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

    /// A key's value. See [`Db::get`](crate::Db::get).
    ///
    /// ```
    /// # let ks = kv_engine::Db::in_memory(kv_engine::Options::default())?.keyspace("a")?;
    /// assert_eq!(ks.get("key")?, None);
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Bytes>> {
        self.handle.engine.get(&self.space, key.as_ref(), None)
    }

    /// Whether a key has a value. See [`Db::contains_key`](crate::Db::contains_key).
    ///
    /// ```
    /// # let ks = kv_engine::Db::in_memory(kv_engine::Options::default())?.keyspace("a")?;
    /// assert!(!ks.contains_key("key")?);
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn contains_key(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        self.handle.engine.contains_key(&self.space, key.as_ref(), None)
    }

    /// Deletes a key. See [`Db::delete`](crate::Db::delete).
    ///
    /// ```
    /// # let ks = kv_engine::Db::in_memory(kv_engine::Options::default())?.keyspace("a")?;
    /// ks.delete("key")?;
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Result<()> {
        self.handle.engine.delete(&self.space, key.as_ref())
    }

    /// Deletes all keys in a range. See [`Db::delete_range`](crate::Db::delete_range).
    ///
    /// ```
    /// # let ks = kv_engine::Db::in_memory(kv_engine::Options::default())?.keyspace("a")?;
    /// ks.delete_range("a".."b")?;
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn delete_range<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Result<()> {
        let mut batch = WriteBatch::new();
        batch.delete_range(range);
        self.write(batch)
    }

    /// Writes a batch, which begins in this keyspace. See [`Db::write`](crate::Db::write).
    ///
    /// ```
    /// # let ks = kv_engine::Db::in_memory(kv_engine::Options::default())?.keyspace("a")?;
    /// let mut batch = kv_engine::WriteBatch::new();
    /// batch.put("key", "value");
    /// ks.write(batch)?;
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn write(&self, batch: WriteBatch) -> Result<()> {
        self.write_with(batch, self.handle.engine.default_durability())
    }

    /// [`Keyspace::write`] with a durability of its own.
    ///
    /// ```
    /// # use kv_engine::{Db, Durability, Options, WriteBatch};
    /// # let ks = Db::in_memory(Options::default())?.keyspace("a")?;
    /// ks.write_with(WriteBatch::new(), Durability::Os)?;
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn write_with(&self, batch: WriteBatch, durability: Durability) -> Result<()> {
        self.handle.engine.write_batch(&self.space, batch, durability)
    }

    /// All pairs in order. See [`Db::iter`](crate::Db::iter).
    ///
    /// ```
    /// # let ks = kv_engine::Db::in_memory(kv_engine::Options::default())?.keyspace("a")?;
    /// assert_eq!(ks.iter().count(), 0);
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn iter(&self) -> Iter {
        self.handle.engine.iter(&self.space, None)
    }

    /// The pairs in a range. See [`Db::range`](crate::Db::range).
    ///
    /// ```
    /// # let ks = kv_engine::Db::in_memory(kv_engine::Options::default())?.keyspace("a")?;
    /// assert_eq!(ks.range("a".."b").count(), 0);
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn range<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Iter {
        self.handle.engine.range(&self.space, &range, None)
    }

    /// The pairs whose keys begin with `prefix`. See [`Db::prefix`](crate::Db::prefix).
    ///
    /// ```
    /// # let ks = kv_engine::Db::in_memory(kv_engine::Options::default())?.keyspace("a")?;
    /// assert_eq!(ks.prefix("user:").count(), 0);
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn prefix(&self, prefix: impl AsRef<[u8]>) -> Iter {
        self.handle.engine.prefix(&self.space, prefix.as_ref(), None)
    }

    /// Stores pairs in ascending order of their keys. See [`Db::ingest`](crate::Db::ingest).
    ///
    /// ```
    /// # let ks = kv_engine::Db::in_memory(kv_engine::Options::default())?.keyspace("a")?;
    /// assert_eq!(ks.ingest([("a", "1"), ("b", "2")])?, 2);
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn ingest<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        sorted: impl IntoIterator<Item = (K, V)>,
    ) -> Result<u64> {
        self.handle.engine.ingest(&self.space, sorted)
    }

    /// A cursor over this keyspace. See [`Db::cursor`](crate::Db::cursor).
    ///
    /// ```
    /// # let ks = kv_engine::Db::in_memory(kv_engine::Options::default())?.keyspace("a")?;
    /// assert!(!ks.cursor().valid());
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn cursor(&self) -> Cursor {
        self.handle.engine.cursor(&self.space, None)
    }
}
