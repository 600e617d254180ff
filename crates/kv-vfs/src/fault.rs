//! Faults on demand: a file system that fails where a test says so, and tells which calls of an
//! engine it let fail, and how.

mod coverage;
mod failing;

use rustix::io::Errno;
use std::io;

pub use coverage::{CallSite, Covered};
pub use failing::{FaultFs, FaultId, Struck};

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each is named after the call")]
pub enum OpKind {
    Read,
    Write,
    SetLen,
    Allocate,
    Sync,
    Len,
    Create,
    Open,
    Rename,
    Remove,
    HardLink,
    List,
    Metadata,
    CreateDir,
    RemoveDir,
    SyncDir,
    Lock,
    FreeSpace,
}

/// How a call fails.
/// ```
/// use kv_vfs::{Fault, FaultError, FaultFs, FaultKind, Fs, FsFileExt, MemFs, OpKind};
/// use std::{path::Path, sync::Arc};
/// let (disk, path) = (MemFs::new(), Path::new("/a"));
/// let fs = FaultFs::new(Arc::new(disk.clone()));
/// let file = fs.create_new(path)?;
/// file.write_all_at(b"hello", 0)?;
/// fs.sync_dir(Path::new("/"))?;
///
/// fs.arm(Fault::new(OpKind::Sync, FaultError::EIO).kind(FaultKind::LostReadable).times(1));
/// assert!(file.sync_data().is_err());
/// // The next sync succeeds, every reader sees the bytes, and a power cut takes them all the same.
/// file.sync_data()?;
/// assert_eq!(fs.metadata(path)?.len, 5);
/// assert_eq!(disk.crash().metadata(path)?.len, 0);
///
/// fs.arm(Fault::new(OpKind::Read, FaultError::EIO).kind(FaultKind::FlipBit(0)).times(1));
/// let mut read = [0; 5];
/// file.read_exact_at(&mut read, 0)?;
/// assert_eq!(&read, b"iello");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    /// It does nothing and answers the error. What a sync was to make durable is still to be.
    Fail,
    /// It does its work and answers the error all the same.
    FailButDone,
    /// A sync answers the error, and what it was to make durable stays readable and never becomes
    /// durable, whatever later sync succeeds: Linux marks pages clean that it could not write. In
    /// calls of other kinds, and over a file system that cannot do this, it is [`FaultKind::Fail`].
    LostReadable,
    /// A write takes at most this many bytes and answers so, a read gives at most so many, and at
    /// least one; no error. Calls of other kinds go well.
    Short(usize),
    /// A read goes well but for one bit, which this number picks. Calls of other kinds go well.
    FlipBit(u64),
}

/// The error that a failing call answers.
/// ```
/// use kv_vfs::FaultError;
/// use std::io;
/// let full = io::Error::from(FaultError::ENOSPC);
/// assert_eq!(full.kind(), io::ErrorKind::StorageFull);
/// assert!(full.raw_os_error().is_some(), "as the operating system gives it");
///
/// let named = FaultError::from(io::ErrorKind::StorageFull);
/// assert_eq!(named, FaultError::Kind(io::ErrorKind::StorageFull));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultError {
    /// One that Rust has a name for.
    Kind(io::ErrorKind),
    /// One by the number that the operating system gives it, such as that of an I/O error.
    Os(i32),
}

impl FaultError {
    /// The device failed.
    pub const EIO: FaultError = FaultError::Os(Errno::IO.raw_os_error());
    /// The disk is full.
    pub const ENOSPC: FaultError = FaultError::Os(Errno::NOSPC.raw_os_error());
    /// The quota is used up.
    pub const EDQUOT: FaultError = FaultError::Os(Errno::DQUOT.raw_os_error());
    /// The file system became read-only.
    pub const EROFS: FaultError = FaultError::Os(Errno::ROFS.raw_os_error());
    /// Too many files are open.
    pub const EMFILE: FaultError = FaultError::Os(Errno::MFILE.raw_os_error());
    /// A signal interrupted the call.
    pub const EINTR: FaultError = FaultError::Os(Errno::INTR.raw_os_error());
}

impl From<io::ErrorKind> for FaultError {
    fn from(kind: io::ErrorKind) -> Self {
        FaultError::Kind(kind)
    }
}

impl From<FaultError> for io::Error {
    fn from(error: FaultError) -> Self {
        match error {
            FaultError::Kind(kind) => kind.into(),
            FaultError::Os(number) => io::Error::from_raw_os_error(number),
        }
    }
}

/// Which calls fail, and how.
/// ```
/// use kv_vfs::{Fault, FaultError, FaultFs, FaultKind, Fs, FsFileExt, MemFs, OpKind};
/// use std::{io, path::Path, sync::Arc};
/// let (root, fs) = (Path::new("/"), FaultFs::new(Arc::new(MemFs::new())));
/// let log = fs.create_new(Path::new("/7.log"))?;
///
/// // The second write to a log finds the disk full, and so does every new file from then on.
/// let full = Fault::new(OpKind::Write, FaultError::ENOSPC).on(".log").after(1);
/// fs.arm(full.then_all(&[OpKind::Create]));
/// log.write_all_at(b"fits", 0)?;
/// let error = log.write_all_at(b"does not", 4).unwrap_err();
/// assert_eq!(error.kind(), io::ErrorKind::StorageFull);
/// assert!(fs.create_new(Path::new("/8.sst")).is_err());
/// fs.disarm();
///
/// // One write that takes three bytes only.
/// fs.arm(Fault::new(OpKind::Write, FaultError::EIO).kind(FaultKind::Short(3)).times(1));
/// assert_eq!(log.write_at(b"more", 4)?, 3);
///
/// // Whatever a program does, its third call fails.
/// fs.arm(Fault::nth(2).error(FaultError::EMFILE));
/// log.sync_data()?;
/// fs.sync_dir(root)?;
/// assert!(fs.list(root).is_err());
/// assert!(fs.list(root).is_ok());
///
/// // Calls that are made in one place of the program, which a first run has shown.
/// let save = || log.sync_data();
/// fs.record();
/// save()?;
/// let (site, op) = fs.sequence()[0];
/// fs.arm(Fault::new(op, FaultError::EIO).at(site));
/// assert!(save().is_err());
/// assert!(log.sync_data().is_ok(), "this is another place");
/// # Ok::<(), io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Fault {
    /// Calls of this kind, or of every kind.
    pub op: Option<OpKind>,
    /// Only calls that are made here.
    pub site: Option<CallSite>,
    /// Only on paths that contain this text; of two paths, either. An open file goes by the path
    /// under which it was opened.
    pub path_contains: String,
    /// How many matching calls go well first.
    pub after: u64,
    /// How many calls fail then.
    pub times: u64,
    /// Once it made a call fail, calls of these kinds match too, wherever they are made.
    pub then: Vec<OpKind>,
    /// The error.
    pub error: FaultError,
    /// What happens besides.
    pub kind: FaultKind,
}

impl Fault {
    /// Every call of this kind fails with `error` from now on.
    pub fn new(op: OpKind, error: impl Into<FaultError>) -> Fault {
        Fault { op: Some(op), error: error.into(), after: 0, times: u64::MAX, ..Fault::nth(0) }
    }

    /// Of all calls from now on, whatever they do, the one after the first `n` fails, and only
    /// this one, with an I/O error.
    pub fn nth(n: u64) -> Fault {
        Fault {
            op: None,
            site: None,
            path_contains: String::new(),
            after: n,
            times: 1,
            then: Vec::new(),
            error: FaultError::EIO,
            kind: FaultKind::Fail,
        }
    }

    /// With this error.
    pub fn error(mut self, error: impl Into<FaultError>) -> Fault {
        self.error = error.into();
        self
    }

    /// Only calls that are made at this place of a program.
    pub fn at(mut self, site: CallSite) -> Fault {
        self.site = Some(site);
        self
    }

    /// Only on paths that contain `text`.
    pub fn on(mut self, text: &str) -> Fault {
        self.path_contains = text.to_owned();
        self
    }

    /// Only after `count` matching calls.
    pub fn after(mut self, count: u64) -> Fault {
        self.after = count;
        self
    }

    /// Only `count` times.
    pub fn times(mut self, count: u64) -> Fault {
        self.times = count;
        self
    }

    /// From its first failure on, for ever, and in all calls of these kinds.
    pub fn then_all(mut self, ops: &[OpKind]) -> Fault {
        self.then = ops.to_vec();
        self.times = u64::MAX;
        self
    }

    /// With this effect.
    pub fn kind(mut self, kind: FaultKind) -> Fault {
        self.kind = kind;
        self
    }
}
