//! Stores that are open for transactions alone: RocksDB and fjall have a type of their own for them.

use anyhow::{Result, bail};
use kv_benches::seen::Seen;
use kv_benches::store::{Direction, Session};

/// One thread's transactions.
pub(crate) trait Update {
    /// As [`Session::update`].
    fn update(&mut self, pairs: &[(&[u8], &[u8])], seen: &mut Seen) -> Result<bool>;
}

/// A session that does nothing but transactions.
pub(crate) struct OnlyUpdates<U>(pub(crate) U);

fn refused<T>() -> Result<T> {
    bail!("a store that is open for transactions does nothing else here")
}

impl<U: Update> Session for OnlyUpdates<U> {
    fn put(&mut self, _: &[u8], _: &[u8]) -> Result<()> {
        refused()
    }

    fn put_batch(&mut self, _: &[(&[u8], &[u8])]) -> Result<()> {
        refused()
    }

    fn delete(&mut self, _: &[u8]) -> Result<()> {
        refused()
    }

    fn delete_range(&mut self, _: &[u8], _: &[u8]) -> Result<()> {
        refused()
    }

    fn get(&mut self, _: &[u8], _: &mut Seen) -> Result<bool> {
        refused()
    }

    fn scan(&mut self, _: Option<&[u8]>, _: Direction, _: u64, _: &mut Seen) -> Result<u64> {
        refused()
    }

    fn update(&mut self, pairs: &[(&[u8], &[u8])], seen: &mut Seen) -> Result<bool> {
        self.0.update(pairs, seen)
    }

    fn refresh(&mut self) -> Result<()> {
        Ok(())
    }
}
