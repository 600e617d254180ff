//! Directory syncs that do not forget.

use crate::fs::Fs;
use crate::over::OverFs;
// Held over a sync, where a checker lets another thread run.
use crate::sync::Mutex;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// A file system over another one on which a directory sync that failed once fails for ever.
///
/// A failed sync may drop what it was to make durable while the names stay readable; a later sync
/// then succeeds without them, and a power cut takes files that it seemed to have saved. So the
/// first failure is the answer to all later ones: nothing that needs a durable name can go on
/// until the store is opened again. Syncs are done one at a time, because one that had begun
/// before another one failed could still succeed behind it.
///
/// A clone is the same one.
/// ```
/// use kv_vfs::{Fault, FaultFs, Fs, LatchedFs, MemFs, OpKind};
/// use std::{io, path::Path, sync::Arc};
/// let (root, disk) = (Path::new("/"), FaultFs::new(Arc::new(MemFs::new())));
/// let fs = LatchedFs::new(Arc::new(disk.clone()));
/// fs.sync_dir(root)?;
/// assert!(!fs.has_failed());
///
/// disk.arm(Fault::new(OpKind::SyncDir, io::ErrorKind::StorageFull).times(1));
/// assert!(fs.sync_dir(root).is_err());
/// // The disk would sync again, without the names that it lost.
/// assert!(disk.sync_dir(root).is_ok());
/// assert!(fs.has_failed() && fs.sync_dir(root).is_err());
/// # Ok::<(), io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct LatchedFs {
    inner: Arc<dyn Fs>,
    failed: Arc<Mutex<Option<io::ErrorKind>>>,
}

impl LatchedFs {
    /// A file system over `inner`, on which no sync has failed yet.
    pub fn new(inner: Arc<dyn Fs>) -> LatchedFs {
        LatchedFs { inner, failed: Arc::default() }
    }

    /// Whether a sync of a directory has failed.
    pub fn has_failed(&self) -> bool {
        self.failed.lock().is_some()
    }
}

impl OverFs for LatchedFs {
    fn below(&self) -> &dyn Fs {
        &*self.inner
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut failed = self.failed.lock();
        if let Some(kind) = *failed {
            let why = "an earlier sync of the directory failed; close the store and open it again";
            return Err(io::Error::new(kind, why));
        }
        let synced = self.inner.sync_dir(dir);
        if let Err(error) = &synced {
            *failed = Some(error.kind());
        }
        synced
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fault, FaultFs, MemFs, OpKind};

    #[test]
    fn a_sync_that_failed_once_fails_for_ever_and_nothing_else_does() {
        let faults = FaultFs::new(Arc::new(MemFs::new()));
        let latched = LatchedFs::new(Arc::new(faults.clone()));
        let (fs, clone): (&dyn Fs, &dyn Fs) = (&latched, &latched.clone());
        let root = Path::new("/");
        fs.sync_dir(root).unwrap();
        faults.arm(Fault::new(OpKind::SyncDir, io::ErrorKind::StorageFull).times(1));
        assert_eq!(fs.sync_dir(root).unwrap_err().kind(), io::ErrorKind::StorageFull);
        let later = clone.sync_dir(root).unwrap_err();
        assert_eq!(later.kind(), io::ErrorKind::StorageFull);
        assert!(later.to_string().contains("open it again"));
        fs.create_new(Path::new("/a")).unwrap();
        assert_eq!(faults.calls()[&OpKind::SyncDir], 2, "the third never reached the disk");
    }
}
