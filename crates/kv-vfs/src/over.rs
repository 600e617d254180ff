//! File systems over other ones.

use crate::fs::{Clock, DirEntry, Fs, FsFile, FsLock, Job, Metadata, Mode, Thread};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The trait, and the file system that whoever implements it is: each call has one line here.
macro_rules! over {
    ($(fn $name:ident(&self $(, $argument:ident: $type:ty)*) $(-> $answer:ty)?;)*) => {
        /// A file system over another one, which makes the calls that this one does not make itself.
        ///
        /// Who implements [`Fs`] itself has to hand on every call, and forgets those that have a
        /// default there. [`Fs::map`] is handed on, too: files that are mapped come from below, so a
        /// wrapper that also wraps files and is to see what is read of them implements it.
        ///
        /// ```
        /// use kv_vfs::{Fs, MemFs, OverFs};
        /// use std::{io, path::Path};
        ///
        /// #[derive(Debug)]
        /// struct Full(MemFs);
        ///
        /// impl OverFs for Full {
        ///     fn below(&self) -> &dyn Fs {
        ///         &self.0
        ///     }
        ///     fn free_space(&self, _: &Path) -> io::Result<u64> {
        ///         Ok(0)
        ///     }
        /// }
        ///
        /// let fs: &dyn Fs = &Full(MemFs::new());
        /// fs.create_new(Path::new("/a"))?;
        /// assert_eq!(fs.free_space(Path::new("/"))?, 0);
        /// # Ok::<(), io::Error>(())
        /// ```
        pub trait OverFs: Send + Sync + fmt::Debug + 'static {
            /// The file system below.
            fn below(&self) -> &dyn Fs;
            $(
                #[doc = concat!("[`Fs::", stringify!($name), "`]; of the file system below.")]
                #[track_caller]
                fn $name(&self $(, $argument: $type)*) $(-> $answer)? {
                    self.below().$name($($argument),*)
                }
            )*
        }

        impl<T: OverFs> Fs for T {
            $(
                fn $name(&self $(, $argument: $type)*) $(-> $answer)? {
                    OverFs::$name(self $(, $argument)*)
                }
            )*
        }
    };
}

over! {
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn FsFile>>;
    fn open(&self, path: &Path, mode: Mode) -> io::Result<Arc<dyn FsFile>>;
    fn map(&self, path: &Path) -> io::Result<Arc<dyn FsFile>>;
    fn is_volatile(&self) -> bool;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;
    fn metadata(&self, path: &Path) -> io::Result<Metadata>;
    fn canonical(&self, path: &Path) -> io::Result<PathBuf>;
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    fn lock(&self, path: &Path) -> io::Result<Box<dyn FsLock>>;
    fn lose_unsynced_names(&self, dir: &Path) -> io::Result<()>;
    fn free_space(&self, dir: &Path) -> io::Result<u64>;
    fn clock(&self) -> Arc<dyn Clock>;
    fn spawn(&self, name: &str, job: Job) -> io::Result<Box<dyn Thread>>;
    fn give_way(&self);
}
