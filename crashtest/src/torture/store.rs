//! What the black box asks of an engine.

use crate::torture::model::Change;
use anyhow::Result;
use std::path::Path;

/// Where a value lies: one of the two keyspaces, 0 or 1, and a key.
pub type Place = (u8, Vec<u8>);

/// An engine that the black box can open.
pub trait Engine: Sync {
    /// Opens the store in `dir`, and makes it where there is none, in the engine's safest settings.
    /// Settings that change no promise may be drawn from `draw`.
    fn open(&self, dir: &Path, draw: u64) -> Result<Box<dyn Store>>;
}

/// An open store with two keyspaces. A write with `sync` survives a power cut once it returned;
/// one without survives what the engine says it does.
pub trait Store: Send + Sync {
    /// Sets one key.
    fn put(&self, place: &Place, value: &[u8], sync: bool) -> Result<()>;
    /// Removes one key.
    fn delete(&self, place: &Place, sync: bool) -> Result<()>;
    /// All or nothing, over both keyspaces.
    fn batch(&self, changes: &[Change], sync: bool) -> Result<()>;
    /// Everything in both keyspaces.
    fn scan(&self, each: &mut dyn FnMut(Place, &[u8])) -> Result<()>;
    /// Makes everything that was acknowledged before the call survive a power cut; `false` where
    /// there is no such call.
    fn sync(&self) -> Result<bool> {
        Ok(false)
    }
    /// Something that moves data about, such as a flush or a compaction, chosen by `draw`.
    /// Answers whether it promises what [`Store::sync`] does as well.
    fn maintain(&self, _draw: u64) -> Result<bool> {
        Ok(false)
    }
    /// The engine's own check of everything on disk, and of what lies in its directory.
    fn verify(&self, _dir: &Path) -> Result<()> {
        Ok(())
    }
    /// Closes the store in order.
    fn close(self: Box<Self>) -> Result<()>;
}
