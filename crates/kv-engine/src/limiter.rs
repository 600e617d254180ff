//! A limit on the bytes per second that background work writes.

use kv_vfs::sync::Mutex;
use kv_vfs::{Clock, FsFile};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Shared by all background writers of a store. Each write moves the moment at which the next
/// one may begin.
pub(crate) struct Limiter {
    bytes_per_second: u64,
    free_at: Arc<Mutex<Duration>>,
}

impl Limiter {
    /// No limit where `bytes_per_second` is the largest number.
    pub(crate) fn new(bytes_per_second: u64) -> Limiter {
        Limiter { bytes_per_second, free_at: Arc::default() }
    }

    /// `file`, held to the limit.
    pub(crate) fn over(&self, file: Arc<dyn FsFile>, clock: Arc<dyn Clock>) -> Arc<dyn FsFile> {
        if self.bytes_per_second == u64::MAX {
            return file;
        }
        let free_at = Arc::clone(&self.free_at);
        Arc::new(Limited { file, clock, bytes_per_second: self.bytes_per_second, free_at })
    }
}

#[derive(Debug)]
struct Limited {
    file: Arc<dyn FsFile>,
    clock: Arc<dyn Clock>,
    bytes_per_second: u64,
    free_at: Arc<Mutex<Duration>>,
}

impl FsFile for Limited {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let now = self.clock.monotonic();
        let cost = Duration::from_secs_f64(bytes.len() as f64 / self.bytes_per_second as f64);
        let start = {
            let mut free_at = self.free_at.lock();
            let start = now.max(*free_at);
            *free_at = start + cost;
            start
        };
        if start > now {
            self.clock.sleep(start - now);
        }
        self.file.write_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.file.allocate(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}
