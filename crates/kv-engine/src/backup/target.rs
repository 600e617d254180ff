//! Where backups lie: a few calls that an object store has too, and a directory that answers them.

use crate::error::{Error, ErrorKind};
use crate::open::Opening;
use crate::options::Options;
use kv_vfs::{FileKind, Fs, FsFile, FsFileExt, FsLock, Mode, StdFs};
use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Held while backups are made or removed.
const LOCK: &str = "LOCK";
/// The end of the name of an object that is being written.
const UNFINISHED: &str = ".tmp";
/// How much is copied at once.
const PIECE: usize = 1 << 20;
/// The folders of a backup.
pub(super) const POINTS: &str = "points";
pub(super) const FILES: &str = "files";

/// A place for backups: objects with names, which are written whole or not at all.
///
/// [`BackupDir`] is one; an object store can be another. A name is a folder (`points` or `files`), a
/// slash, and a name of ASCII letters, digits, dots and dashes. What a call has done survives power loss
/// when it returns.
///
/// ```
/// use kv_engine::{BackupDir, BackupTarget, Backups};
/// use std::io::{self, Read};
///
/// /// Says what goes through it.
/// #[derive(Debug)]
/// struct Told(BackupDir);
///
/// impl BackupTarget for Told {
///     fn lock(&self) -> io::Result<Box<dyn Send>> {
///         self.0.lock()
///     }
///     fn put(&self, name: &str, content: &mut dyn Read) -> io::Result<()> {
///         println!("{name} is stored");
///         self.0.put(name, content)
///     }
///     fn get(&self, name: &str) -> io::Result<Box<dyn Read>> {
///         self.0.get(name)
///     }
///     fn list(&self, folder: &str) -> io::Result<Vec<(String, u64)>> {
///         self.0.list(folder)
///     }
///     fn delete(&self, name: &str) -> io::Result<()> {
///         self.0.delete(name)
///     }
/// }
///
/// # let dir = tempfile::tempdir().unwrap();
/// # let db = kv_engine::Db::in_memory(kv_engine::Options::default())?;
/// let backups = Backups::open(Told(BackupDir::new(dir.path().join("backups"))));
/// backups.create(&db)?;
/// # Ok::<(), kv_engine::Error>(())
/// ```
pub trait BackupTarget: Send + Sync + fmt::Debug + 'static {
    /// Keeps all others from changing the place until the answer is dropped, or its process ends;
    /// [`io::ErrorKind::WouldBlock`] where someone else does. Makes the place where it is missing, and
    /// clears away what a call that was cut has left.
    fn lock(&self) -> io::Result<Box<dyn Send>>;

    /// Stores an object, and replaces the one of that name. The content is read to its end; where
    /// reading it fails, nothing is stored and the answer is that error.
    fn put(&self, name: &str, content: &mut dyn Read) -> io::Result<()>;

    /// The bytes of an object; [`io::ErrorKind::NotFound`] where there is none.
    fn get(&self, name: &str) -> io::Result<Box<dyn Read>>;

    /// The objects of a folder: the names behind the slash, and lengths.
    /// [`io::ErrorKind::NotFound`] where the place is missing.
    fn list(&self, folder: &str) -> io::Result<Vec<(String, u64)>>;

    /// Removes an object. One that is not there is no error.
    fn delete(&self, name: &str) -> io::Result<()>;
}

/// Backups in a directory. Its file `LOCK` stays there for good.
///
/// ```
/// use kv_engine::{BackupDir, Backups};
/// # let dir = tempfile::tempdir().unwrap();
/// let backups = Backups::open(BackupDir::new(dir.path().join("backups")));
/// # Ok::<(), kv_engine::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct BackupDir {
    fs: Arc<dyn Fs>,
    path: PathBuf,
}

impl BackupDir {
    /// The directory `path`, which the first backup makes.
    ///
    /// ```
    /// let target = kv_engine::BackupDir::new("/mnt/backups/orders");
    /// ```
    pub fn new(path: impl AsRef<Path>) -> BackupDir {
        BackupDir::on(Arc::new(StdFs::new()), path)
    }

    /// The same on a file system of the caller's, as [`Options::file_system`].
    ///
    /// ```
    /// use std::sync::Arc;
    /// let fs = Arc::new(kv_vfs::MemFs::new());
    /// let target = kv_engine::BackupDir::on(fs, "/backups");
    /// ```
    pub fn on(file_system: Arc<dyn Fs>, path: impl AsRef<Path>) -> BackupDir {
        BackupDir { fs: file_system, path: path.as_ref().to_owned() }
    }

    fn sync(&self, dir: &Path) -> io::Result<()> {
        self.fs.sync_dir(dir).map_err(at(dir))
    }

    /// Makes the directory, with a durable name; refuses one in which something else lies.
    fn make(&self) -> io::Result<()> {
        let options = Options::default().file_system(Arc::clone(&self.fs));
        let opening = Opening::new(&self.path, options);
        match self.fs.list(&self.path) {
            Ok(entries) => {
                let known = |name: &str| [LOCK, POINTS, FILES].contains(&name);
                match entries.iter().find(|entry| !known(&entry.name)) {
                    // Whoever made it may have failed before its name was durable.
                    None => opening.sync_found(&self.path).map_err(as_io),
                    Some(other) => Err(io::Error::new(
                        io::ErrorKind::InvalidInput,
                        format!(
                            "{}: {} lies there, so this is no directory of backups; name another one",
                            self.path.display(),
                            other.name
                        ),
                    )),
                }
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => opening.create_dirs().map_err(as_io),
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{}: a file is where the backups should be", self.path.display()),
            )),
            Err(e) => Err(at(&self.path)(e)),
        }
    }

    /// Makes the folders. Where their names cannot be made durable they go again: nobody is to rely
    /// on what a power cut may take though it is seen now.
    fn make_folders(&self) -> io::Result<()> {
        let mut made = Vec::new();
        let mut make = |folder| {
            let dir = self.path.join(folder);
            match self.fs.create_dir(&dir) {
                Ok(()) => made.push(dir),
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(at(&dir)(e)),
            }
            Ok(())
        };
        let outcome = make(POINTS).and_then(|()| make(FILES)).and_then(|()| self.sync(&self.path));
        if outcome.is_err() {
            for dir in made {
                let _ = self.fs.remove_dir(&dir);
            }
        }
        outcome
    }

    /// Removes what was being written in a folder. All names in it are durable then.
    fn tidy(&self, folder: &str) -> io::Result<()> {
        let dir = self.path.join(folder);
        for entry in self.fs.list(&dir).map_err(at(&dir))? {
            if entry.name.ends_with(UNFINISHED) {
                let path = dir.join(&entry.name);
                self.fs.remove(&path).map_err(at(&path))?;
            }
        }
        self.sync(&dir)
    }

    /// Writes an object under its unfinished name.
    fn write(&self, path: &Path, content: &mut dyn Read) -> io::Result<()> {
        let file = match self.fs.create_new(path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                self.fs.remove(path).map_err(at(path))?;
                self.fs.create_new(path)
            }
            made => made,
        };
        let file = file.map_err(at(path))?;
        let mut buffer = vec![0; PIECE];
        let mut offset = 0;
        loop {
            let len = read_full(content, &mut buffer)?;
            let Some(part) = buffer.get(..len).filter(|part| !part.is_empty()) else { break };
            file.write_all_at(part, offset).map_err(at(path))?;
            offset += len as u64;
        }
        file.sync_all().map_err(at(path))
    }
}

impl BackupTarget for BackupDir {
    fn lock(&self) -> io::Result<Box<dyn Send>> {
        self.make()?;
        let lock: Box<dyn FsLock> = self.fs.lock(&self.path.join(LOCK))?;
        self.make_folders()?;
        self.tidy(POINTS)?;
        self.tidy(FILES)?;
        Ok(Box::new(lock))
    }

    fn put(&self, name: &str, content: &mut dyn Read) -> io::Result<()> {
        let path = self.path.join(name);
        let unfinished = self.path.join(format!("{name}{UNFINISHED}"));
        let renamed = self
            .write(&unfinished, content)
            .and_then(|()| self.fs.rename(&unfinished, &path).map_err(at(&path)));
        if renamed.is_err() {
            let _ = self.fs.remove(&unfinished);
            return renamed;
        }
        let synced = self.sync(path.parent().unwrap_or(&self.path));
        if synced.is_err() {
            // A power cut may take the name though it is seen now: nobody is to rely on it.
            let _ = self.fs.remove(&path);
        }
        synced
    }

    fn get(&self, name: &str) -> io::Result<Box<dyn Read>> {
        let path = self.path.join(name);
        let file = self.fs.open(&path, Mode::Read).map_err(at(&path))?;
        Ok(Box::new(Reader { file, path, offset: 0 }))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<(String, u64)>> {
        let dir = self.path.join(folder);
        let mut found = Vec::new();
        for entry in self.fs.list(&dir).map_err(at(&dir))? {
            if entry.kind != FileKind::File || entry.name.ends_with(UNFINISHED) {
                continue;
            }
            let path = dir.join(&entry.name);
            match self.fs.metadata(&path) {
                Ok(metadata) => found.push((entry.name, metadata.len)),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(at(&path)(e)),
            }
        }
        Ok(found)
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        let path = self.path.join(name);
        match self.fs.remove(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(at(&path)(e)),
            Ok(()) | Err(_) => {}
        }
        self.sync(path.parent().unwrap_or(&self.path))
    }
}

/// An object in a directory, from its beginning.
struct Reader {
    file: Arc<dyn FsFile>,
    path: PathBuf,
    offset: u64,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read_at(buffer, self.offset).map_err(at(&self.path))?;
        self.offset += len as u64;
        Ok(len)
    }
}

/// Reads until the buffer is full or nothing is left.
pub(super) fn read_full(content: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match content.read(rest) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

/// Names the file in an error.
fn at(path: &Path) -> impl Fn(io::Error) -> io::Error {
    let path = path.to_owned();
    move |e| io::Error::new(e.kind(), format!("{}: {e}", path.display()))
}

fn as_io(error: Error) -> io::Error {
    let kind = match error.kind() {
        ErrorKind::NoSpace => io::ErrorKind::StorageFull,
        ErrorKind::InvalidArgument => io::ErrorKind::InvalidInput,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}
