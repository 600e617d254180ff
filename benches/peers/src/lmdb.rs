//! LMDB, through its C interface: the library that the crate heed builds, called directly because
//! heed cannot use a read transaction or a cursor again, which is how LMDB is fastest.

use anyhow::{Context, Result, bail};
use kv_benches::seen::Seen;
use kv_benches::store::{Direction, Engine, Session, Settings, Store};
use lmdb_master_sys as ffi;
use std::ffi::{CStr, CString, c_int, c_uint};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

pub(crate) struct Lmdb;

/// Address space, not memory.
const MAP_BYTES: usize = 64 << 30;

impl Engine for Lmdb {
    fn name(&self) -> &str {
        "lmdb"
    }

    fn version(&self) -> String {
        "0.9.70 (crate lmdb-master-sys 0.2.6, as heed 0.22 has it)".to_owned()
    }

    fn options(&self, settings: &Settings) -> String {
        let sync = if settings.sync { "default (two syncs a commit)" } else { "MDB_NOSYNC" };
        format!(
            "{sync}, no MDB_WRITEMAP, readahead on, map of {} GiB; its cache is the page cache, without \
             a limit; a read transaction and a cursor for each thread, renewed when newer writes must be \
             seen, one write transaction for each write",
            MAP_BYTES >> 30
        )
    }

    fn open(&self, dir: &Path, settings: &Settings) -> Result<Box<dyn Store>> {
        std::fs::create_dir_all(dir)?;
        let path = CString::new(dir.as_os_str().as_bytes())?;
        let flags = if settings.sync { 0 } else { ffi::MDB_NOSYNC };
        let mut env = ptr::null_mut();
        // SAFETY: the calls are made in the order that LMDB asks for, on the environment that the
        // first one makes, and from one thread.
        unsafe {
            check(ffi::mdb_env_create(&mut env))?;
            let mut store = LmdbStore { env, dbi: 0 };
            check(ffi::mdb_env_set_mapsize(env, MAP_BYTES))?;
            check(ffi::mdb_env_set_maxreaders(env, settings.threads as c_uint + 8))?;
            check(ffi::mdb_env_open(env, path.as_ptr(), flags | ffi::MDB_NOTLS, 0o600))?;
            let txn = store.begin(0)?;
            check(ffi::mdb_dbi_open(txn, ptr::null(), 0, &mut store.dbi))?;
            check(ffi::mdb_txn_commit(txn))?;
            Ok(Box::new(store))
        }
    }
}

fn check(code: c_int) -> Result<()> {
    if code == 0 {
        return Ok(());
    }
    // SAFETY: LMDB answers a text that is never freed.
    let text = unsafe { CStr::from_ptr(ffi::mdb_strerror(code)) };
    bail!("LMDB: {}", text.to_string_lossy())
}

/// Whether something was found.
fn found(code: c_int) -> Result<bool> {
    if code == ffi::MDB_NOTFOUND {
        return Ok(false);
    }
    check(code).map(|()| true)
}

fn val(bytes: &[u8]) -> ffi::MDB_val {
    ffi::MDB_val { mv_size: bytes.len(), mv_data: bytes.as_ptr().cast_mut().cast() }
}

fn empty() -> ffi::MDB_val {
    ffi::MDB_val { mv_size: 0, mv_data: ptr::null_mut() }
}

/// # Safety
///
/// LMDB filled it in, and its transaction lasts longer than the answer is used.
unsafe fn bytes<'a>(val: &ffi::MDB_val) -> &'a [u8] {
    // SAFETY: as the caller promises.
    unsafe { std::slice::from_raw_parts(val.mv_data.cast(), val.mv_size) }
}

struct LmdbStore {
    env: *mut ffi::MDB_env,
    dbi: ffi::MDB_dbi,
}

// SAFETY: an environment may be used from every thread, and with MDB_NOTLS read transactions do
// not belong to one.
unsafe impl Send for LmdbStore {}
// SAFETY: as above.
unsafe impl Sync for LmdbStore {}

impl LmdbStore {
    fn begin(&self, flags: c_uint) -> Result<*mut ffi::MDB_txn> {
        let mut txn = ptr::null_mut();
        // SAFETY: the environment is open.
        check(unsafe { ffi::mdb_txn_begin(self.env, ptr::null_mut(), flags, &mut txn) })?;
        Ok(txn)
    }

    fn sync(&self) -> Result<()> {
        // SAFETY: the environment is open.
        check(unsafe { ffi::mdb_env_sync(self.env, 1) })
    }
}

impl Drop for LmdbStore {
    fn drop(&mut self) {
        // SAFETY: sessions borrow the store, so no transaction is left.
        unsafe { ffi::mdb_env_close(self.env) };
    }
}

impl Store for LmdbStore {
    fn session(&self) -> Result<Box<dyn Session + '_>> {
        Ok(Box::new(LmdbSession { store: self, read: None, is_current: false }))
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn settle(&self) -> Result<()> {
        Ok(())
    }

    /// It never merges; pages that are free are used again.
    fn compact(&self) -> Result<()> {
        Ok(())
    }

    fn bytes_written(&self) -> Option<u64> {
        None
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.sync()
    }
}

/// A read transaction and a cursor in it.
struct Read {
    txn: *mut ffi::MDB_txn,
    cursor: *mut ffi::MDB_cursor,
}

struct LmdbSession<'a> {
    store: &'a LmdbStore,
    read: Option<Read>,
    /// Whether the transaction is in use, and not only kept for renewal.
    is_current: bool,
}

impl LmdbSession<'_> {
    fn read(&mut self) -> Result<&Read> {
        if self.read.is_none() {
            let txn = self.store.begin(ffi::MDB_RDONLY)?;
            let mut cursor = ptr::null_mut();
            // SAFETY: the transaction has just begun.
            check(unsafe { ffi::mdb_cursor_open(txn, self.store.dbi, &mut cursor) })?;
            self.read = Some(Read { txn, cursor });
        } else if !self.is_current
            && let Some(read) = &self.read
        {
            // SAFETY: the transaction was reset, and the cursor is its own.
            unsafe {
                check(ffi::mdb_txn_renew(read.txn))?;
                check(ffi::mdb_cursor_renew(read.txn, read.cursor))?;
            }
        }
        self.is_current = true;
        self.read.as_ref().context("there is no transaction")
    }

    /// One write transaction; an error leaves nothing behind.
    fn write(&self, work: impl FnOnce(*mut ffi::MDB_txn) -> Result<()>) -> Result<()> {
        let txn = self.store.begin(0)?;
        if let Err(error) = work(txn) {
            // SAFETY: the transaction is under way.
            unsafe { ffi::mdb_txn_abort(txn) };
            return Err(error);
        }
        // SAFETY: the transaction is under way.
        check(unsafe { ffi::mdb_txn_commit(txn) })
    }

    fn put_in(&self, txn: *mut ffi::MDB_txn, key: &[u8], value: &[u8]) -> Result<()> {
        // SAFETY: the transaction is under way, and LMDB reads both without keeping them.
        check(unsafe { ffi::mdb_put(txn, self.store.dbi, &mut val(key), &mut val(value), 0) })
    }
}

impl Drop for LmdbSession<'_> {
    fn drop(&mut self) {
        if let Some(read) = self.read.take() {
            // SAFETY: both were made by this session and nobody else has them.
            unsafe {
                ffi::mdb_cursor_close(read.cursor);
                ffi::mdb_txn_abort(read.txn);
            }
        }
    }
}

impl Session for LmdbSession<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.write(|txn| self.put_in(txn, key, value))
    }

    fn put_batch(&mut self, pairs: &[(&[u8], &[u8])]) -> Result<()> {
        self.write(|txn| pairs.iter().try_for_each(|(key, value)| self.put_in(txn, key, value)))
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.write(|txn| {
            // SAFETY: the transaction is under way.
            let code = unsafe { ffi::mdb_del(txn, self.store.dbi, &mut val(key), ptr::null_mut()) };
            found(code).map(|_| ())
        })
    }

    /// It has no range deletes: a cursor deletes one key after the other.
    fn delete_range(&mut self, start: &[u8], end: &[u8]) -> Result<()> {
        self.write(|txn| {
            let mut cursor = ptr::null_mut();
            let (mut key, mut value) = (val(start), empty());
            let mut op = ffi::MDB_SET_RANGE;
            // SAFETY: the transaction is under way, the cursor belongs to it and is closed before
            // its end, and a key is read before anything is changed.
            unsafe {
                check(ffi::mdb_cursor_open(txn, self.store.dbi, &mut cursor))?;
                while found(ffi::mdb_cursor_get(cursor, &mut key, &mut value, op))?
                    && bytes(&key) < end
                {
                    check(ffi::mdb_cursor_del(cursor, 0))?;
                    // The cursor stands on the key behind the deleted one.
                    op = ffi::MDB_GET_CURRENT;
                }
                ffi::mdb_cursor_close(cursor);
            }
            Ok(())
        })
    }

    fn get(&mut self, key: &[u8], seen: &mut Seen) -> Result<bool> {
        let dbi = self.store.dbi;
        let txn = self.read()?.txn;
        let mut value = empty();
        // SAFETY: the transaction is current, and stays so while the value is used.
        unsafe {
            let is_there = found(ffi::mdb_get(txn, dbi, &mut val(key), &mut value))?;
            if is_there {
                seen.add(key, bytes(&value));
            }
            Ok(is_there)
        }
    }

    fn scan(
        &mut self,
        from: Option<&[u8]>,
        direction: Direction,
        limit: u64,
        seen: &mut Seen,
    ) -> Result<u64> {
        let cursor = self.read()?.cursor;
        let (mut key, mut value) = (from.map_or_else(empty, val), empty());
        let step = match direction {
            Direction::Forward => ffi::MDB_NEXT,
            Direction::Backward => ffi::MDB_PREV,
        };
        // SAFETY: the cursor's transaction is current, and stays so while keys and values are used.
        unsafe {
            let go = |op, key: &mut ffi::MDB_val, value: &mut ffi::MDB_val| {
                found(ffi::mdb_cursor_get(cursor, key, value, op))
            };
            let mut more = match (from, direction) {
                (None, Direction::Forward) => go(ffi::MDB_FIRST, &mut key, &mut value)?,
                (None, Direction::Backward) => go(ffi::MDB_LAST, &mut key, &mut value)?,
                (Some(_), Direction::Forward) => go(ffi::MDB_SET_RANGE, &mut key, &mut value)?,
                (Some(from), Direction::Backward) => {
                    match go(ffi::MDB_SET_RANGE, &mut key, &mut value)? {
                        true if bytes(&key) == from => true,
                        true => go(ffi::MDB_PREV, &mut key, &mut value)?,
                        false => go(ffi::MDB_LAST, &mut key, &mut value)?,
                    }
                }
            };
            let mut count = 0;
            while more {
                seen.add(bytes(&key), bytes(&value));
                count += 1;
                if count == limit {
                    break;
                }
                more = go(step, &mut key, &mut value)?;
            }
            Ok(count)
        }
    }

    fn refresh(&mut self) -> Result<()> {
        if let Some(read) = self.read.as_ref().filter(|_| self.is_current) {
            // SAFETY: the transaction is current; from here on only renewal uses it.
            unsafe { ffi::mdb_txn_reset(read.txn) };
            self.is_current = false;
        }
        Ok(())
    }
}
