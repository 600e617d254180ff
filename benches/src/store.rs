//! What an engine must do to be measured: [`Engine`] opens a [`Store`], and each thread works on it
//! through a [`Session`] of its own.
//!
//! The shape lets every engine be used in its best idiomatic way, and costs each the same: one
//! virtual call for an operation, none for an entry of a scan, and no allocation. A session may keep
//! an iterator, a read transaction or a batch from one call to the next.

use crate::seen::Seen;
use anyhow::{Result, bail};
use std::path::Path;

/// What a store is opened with, the same for every engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bytes for cached data; memtables are on top.
    pub cache_bytes: u64,
    /// Bytes at which a memtable is written out.
    pub write_buffer_bytes: u64,
    /// Bytes of logs that may wait for their memtables to be written out; more than enough that the
    /// write buffer decides.
    pub log_limit_bytes: u64,
    /// Whether a write survives power loss when it returns. If not, it is in the kernel's hands.
    pub sync: bool,
    /// How many threads will have a session at the same time, at most.
    pub threads: usize,
    /// Whether every operation is a transaction ([`Session::update`]): some engines are opened
    /// in another way for them.
    pub transactions: bool,
    /// How many keys the store will hold, about.
    pub keys: u64,
    /// Bytes of a key.
    pub key_len: usize,
    /// Bytes of a value.
    pub value_len: usize,
}

/// Which way a scan goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Ascending keys.
    Forward,
    /// Descending keys.
    Backward,
}

/// An implementation of ordered keys and values.
pub trait Engine: Sync {
    /// Its name, such as `rocksdb`.
    fn name(&self) -> &str;

    /// Its version, such as `11.5.2`.
    fn version(&self) -> String;

    /// The options that [`Engine::open`] sets, as text for the report.
    fn options(&self, settings: &Settings) -> String;

    /// Opens the store in a directory; creates it where there is none.
    ///
    /// # Errors
    ///
    /// Where the engine cannot.
    fn open(&self, dir: &Path, settings: &Settings) -> Result<Box<dyn Store>>;
}

/// An open store, shared by threads.
pub trait Store: Send + Sync {
    /// A thread's own access. It is made before the clock starts, in the thread that uses it.
    ///
    /// # Errors
    ///
    /// Where the engine cannot.
    fn session(&self) -> Result<Box<dyn Session + '_>>;

    /// Writes what is in memtables to tables, and waits; nothing where there are no memtables.
    ///
    /// # Errors
    ///
    /// Where the engine cannot.
    fn flush(&self) -> Result<()>;

    /// Waits until no background work is left: the work that writes put off has been done. It
    /// does no more than the engine would do by itself.
    ///
    /// # Errors
    ///
    /// Where background work fails.
    fn settle(&self) -> Result<()>;

    /// Merges everything, and waits; what comes closest where there is no such thing.
    ///
    /// # Errors
    ///
    /// Where the engine cannot.
    fn compact(&self) -> Result<()>;

    /// Bytes that the engine says it has written to files since it was opened (log, flushes,
    /// compactions), if it counts them.
    fn bytes_written(&self) -> Option<u64>;

    /// Closes cleanly, and waits.
    ///
    /// # Errors
    ///
    /// Where the engine cannot.
    fn close(self: Box<Self>) -> Result<()>;
}

/// One thread's access to a store.
///
/// Writes are durable as [`Settings::sync`] says when they return. A read sees at least all writes
/// that had returned when the session was made or [`Session::refresh`] was last called; the driver
/// calls `refresh` before each read where writes happen at the same time, and otherwise once. So a
/// session may go on with one iterator or read transaction for as long as it is not refreshed.
pub trait Session {
    /// Sets a key's value.
    ///
    /// # Errors
    ///
    /// Where the engine cannot.
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()>;

    /// Sets many, all or nothing.
    ///
    /// # Errors
    ///
    /// Where the engine cannot.
    fn put_batch(&mut self, pairs: &[(&[u8], &[u8])]) -> Result<()>;

    /// Deletes a key, whether it is there or not.
    ///
    /// # Errors
    ///
    /// Where the engine cannot.
    fn delete(&mut self, key: &[u8]) -> Result<()>;

    /// Deletes the keys from `start` up to and without `end`, in the engine's best way.
    ///
    /// # Errors
    ///
    /// Where the engine cannot.
    fn delete_range(&mut self, start: &[u8], end: &[u8]) -> Result<()>;

    /// Looks a key up, shows what is found to `seen` (once, as it lies, without a copy that the
    /// engine does not force), and answers whether there was something.
    ///
    /// # Errors
    ///
    /// Where the engine cannot.
    fn get(&mut self, key: &[u8], seen: &mut Seen) -> Result<bool>;

    /// Shows up to `limit` entries to `seen` in the order of `direction`, and answers how many there
    /// were. It begins with the first key at or behind `from` in that direction, or with the very
    /// first (or last) key.
    ///
    /// # Errors
    ///
    /// Where the engine cannot.
    fn scan(
        &mut self,
        from: Option<&[u8]>,
        direction: Direction,
        limit: u64,
        seen: &mut Seen,
    ) -> Result<u64>;

    /// Reads each key and sets it to the value beside it, in one serializable transaction; shows
    /// what was read to `seen`, and answers whether it committed. Where another commit came first
    /// nothing is written.
    ///
    /// # Errors
    ///
    /// Where the engine cannot.
    fn update(&mut self, pairs: &[(&[u8], &[u8])], seen: &mut Seen) -> Result<bool> {
        let _ = (pairs, seen);
        bail!("this engine has no transactions here")
    }

    /// What follows sees every write that has returned by now.
    ///
    /// # Errors
    ///
    /// Where the engine cannot.
    fn refresh(&mut self) -> Result<()>;
}
