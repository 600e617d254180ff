//! A store that another process writes, read here and caught up with.

use crate::db::Db;
use crate::error::Result;
use crate::open::{Following, follow};
use crate::options::Options;
use std::path::Path;

/// A store that is opened beside a live writer, in this process or another, and catches up with
/// it when asked. It reads only: no lock is taken, nothing in the directory changes, and the writer
/// never waits.
///
/// [`Follower::db`] is the store as of the last [`Follower::refresh`]: a read-only [`Db`] that stays
/// as it is, whatever the writer writes, merges and removes; a clone that is kept keeps its
/// moment, and the files with it. Each moment is all that was committed up to a sequence number, with
/// batches whole, and no moment is older than the one before. Writes that the writer has not yet made
/// durable may be seen.
///
/// A refresh reads the manifest, the log from where the last one ended, and opens the tables that
/// are new. What the log holds that is in no table is kept in memory, as in the writer.
///
/// ```
/// use kv_engine::{Db, Follower, Options};
///
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("store");
/// let writer = Db::open(&path, Options::default())?;
/// writer.put("fruit", "apple")?;
///
/// let mut follower = Follower::open(&path, Options::default())?;
/// assert_eq!(follower.db().get("fruit")?.as_deref(), Some(&b"apple"[..]));
///
/// writer.put("fruit", "pear")?;
/// assert!(follower.refresh()?);
/// assert_eq!(follower.db().get("fruit")?.as_deref(), Some(&b"pear"[..]));
/// # Ok::<(), kv_engine::Error>(())
/// ```
pub struct Follower {
    following: Following,
    db: Db,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").field("db", &self.db).finish_non_exhaustive()
    }
}

impl Follower {
    /// Opens the store in `path` as it is now. A missing one is
    /// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound).
    ///
    /// ```
    /// # use kv_engine::{ErrorKind, Follower, Options};
    /// let error = Follower::open("/nowhere/at/all", Options::default()).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::NotFound);
    /// ```
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Follower> {
        let (following, engine) = follow(path.as_ref(), options.read_only(true))?;
        Ok(Follower { following, db: Db::over(engine) })
    }

    /// Catches up: [`Follower::db`] shows all that is committed now. Answers whether there was
    /// anything new. After an error it shows what it did before, and may be asked again.
    ///
    /// ```
    /// # use kv_engine::{Db, Follower, Options};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let writer = Db::open(dir.path().join("store"), Options::default())?;
    /// let mut follower = Follower::open(dir.path().join("store"), Options::default())?;
    /// assert!(!follower.refresh()?);
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn refresh(&mut self) -> Result<bool> {
        let before = self.following.shown();
        if let Some(engine) = self.following.look()? {
            self.db = Db::over(engine);
        }
        Ok(self.following.shown() > before)
    }

    /// The store as of the last refresh, read-only.
    ///
    /// ```
    /// # use kv_engine::{Db, Follower, Options};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let writer = Db::open(dir.path().join("store"), Options::default())?;
    /// let follower = Follower::open(dir.path().join("store"), Options::default())?;
    /// assert_eq!(follower.db().iter().count(), 0);
    /// # Ok::<(), kv_engine::Error>(())
    /// ```
    pub fn db(&self) -> &Db {
        &self.db
    }
}
