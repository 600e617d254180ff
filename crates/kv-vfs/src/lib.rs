//! The seam between a storage engine and the operating system: files, directories, a lock, the
//! clock and threads, behind two object-safe traits, so that the same program runs on a real
//! disk ([`StdFs`]), on a memory file system that knows what a power cut would take ([`MemFs`]),
//! or on a wrapper that injects faults.
//!
//! ```
//! use kv_vfs::{Fs, FsFileExt, MemFs};
//! use std::path::Path;
//!
//! let fs = MemFs::new();
//! fs.create_dir(Path::new("/db"))?;
//! let file = fs.create_new(Path::new("/db/a"))?;
//! file.write_all_at(b"hello", 0)?;
//! file.sync_data()?;
//! fs.sync_dir(Path::new("/db"))?;
//! let mut back = [0; 5];
//! file.read_exact_at(&mut back, 0)?;
//! assert_eq!(&back, b"hello");
//! # Ok::<(), std::io::Error>(())
//! ```
#![deny(unsafe_code)] // the mmap module alone is allowed it

mod clock;
mod fault;
mod fs;
mod latch;
mod mem;
mod mmap;
mod os;
mod over;
#[doc(hidden)]
pub mod sync;
#[doc(hidden)]
pub mod testing;
mod trace;

pub use clock::{ManualClock, StdClock};
pub use fault::{
    CallSite, Covered, Fault, FaultError, FaultFs, FaultId, FaultKind, OpKind, Struck,
};
pub use fs::{
    Clock, DirEntry, FileKind, Fs, FsFile, FsFileExt, FsLock, FsWindow, Job, Metadata, Mode, Thread,
};
pub use latch::LatchedFs;
pub use mem::{CutFill, CutGrain, CutOrder, CutPolicy, MemFs, PendingOp};
pub use mmap::Pages;
pub use os::{StdFs, side_by_side};
pub use over::OverFs;
pub use trace::{Note, Replayer, TraceFs, TraceOp};
