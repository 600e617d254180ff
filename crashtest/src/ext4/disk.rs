//! A disk that remembers every write and every flush: one file on a FUSE mount, to be put under a
//! loop device.

use anyhow::{Context, Result};
use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyWrite, Request, WriteFlags,
};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

const NAME: &str = "disk";
const FILE: INodeNo = INodeNo(2);
/// Nothing is cached by the kernel but what it must.
const TTL: Duration = Duration::ZERO;

/// What happened to the disk, in order.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Write {
        offset: usize,
        bytes: Arc<[u8]>,
    },
    /// All writes before it are durable.
    Flush,
}

/// The disk's contents and, since the last [`Recorder::start`], its history.
#[derive(Debug)]
struct Recording {
    bytes: Vec<u8>,
    events: Vec<Event>,
    recording: bool,
}

/// A handle on the disk from the harness's side. A clone is the same disk.
#[derive(Clone, Debug)]
pub(super) struct Recorder(Arc<Mutex<Recording>>);

impl Recorder {
    pub(super) fn new(bytes: Vec<u8>) -> Recorder {
        Recorder(Arc::new(Mutex::new(Recording { bytes, events: Vec::new(), recording: false })))
    }

    fn lock(&self) -> MutexGuard<'_, Recording> {
        // Whoever panicked left bytes behind, which are bytes all the same.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to remember; answers the contents as they are now.
    pub(super) fn start(&self) -> Vec<u8> {
        let mut disk = self.lock();
        disk.recording = true;
        disk.events.clear();
        disk.bytes.clone()
    }

    /// How much has happened so far.
    pub(super) fn position(&self) -> usize {
        self.lock().events.len()
    }

    /// Stops remembering; answers what happened.
    pub(super) fn stop(&self) -> Vec<Event> {
        let mut disk = self.lock();
        disk.recording = false;
        std::mem::take(&mut disk.events)
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Errno> {
        let mut disk = self.lock();
        let offset = usize::try_from(offset).map_err(|_| Errno::EFBIG)?;
        let end = offset.checked_add(data.len()).ok_or(Errno::EFBIG)?;
        disk.bytes.get_mut(offset..end).ok_or(Errno::ENOSPC)?.copy_from_slice(data);
        if disk.recording {
            disk.events.push(Event::Write { offset, bytes: data.into() });
        }
        Ok(())
    }

    fn flush(&self) {
        let mut disk = self.lock();
        if disk.recording {
            disk.events.push(Event::Flush);
        }
    }
}

/// A mounted disk; dropping it unmounts.
pub(super) struct Disk {
    pub(super) recorder: Recorder,
    pub(super) file: PathBuf,
    _session: BackgroundSession,
}

impl Disk {
    /// Mounts a disk with these contents on an empty directory.
    pub(super) fn mount(on: &Path, contents: Vec<u8>) -> Result<Disk> {
        let recorder = Recorder::new(contents);
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("kv-crashtest-disk".to_owned())];
        let session = fuser::spawn_mount(DiskFs(recorder.clone()), on, &config)
            .with_context(|| format!("cannot mount on {}", on.display()))?;
        Ok(Disk { recorder, file: on.join(NAME), _session: session })
    }
}

/// The file system: a directory with one file.
struct DiskFs(Recorder);

impl DiskFs {
    fn attributes(&self, inode: INodeNo) -> Option<FileAttr> {
        let (kind, perm, size) = match inode {
            INodeNo::ROOT => (FileType::Directory, 0o700, 0),
            FILE => (FileType::RegularFile, 0o600, self.0.lock().bytes.len() as u64),
            _ => return None,
        };
        Some(FileAttr {
            ino: inode,
            size,
            blocks: size / 512,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }
}

impl Filesystem for DiskFs {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.attributes(FILE) {
            Some(found) if parent == INodeNo::ROOT && name == NAME => {
                reply.entry(&TTL, &found, Generation(0));
            }
            _ => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(inode) {
            Some(found) => reply.attr(&TTL, &found),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let disk = self.0.lock();
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(disk.bytes.len());
        let to = from.saturating_add(size as usize).min(disk.bytes.len());
        reply.data(disk.bytes.get(from..to).unwrap_or_default());
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.0.write(offset, data) {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX)),
            Err(error) => reply.error(error),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.0.flush();
        reply.ok();
    }
}
