//! The files of a store as a value: read from a directory, laid onto a file system, compared.

use anyhow::{Context, Result};
use kv_vfs::{FileKind, Fs, FsFileExt, MemFs, Mode};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Where a store lies on a memory file system.
pub(crate) const DIR: &str = "/store";

/// Every file of a directory by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) files: BTreeMap<String, Arc<[u8]>>,
}

impl Image {
    /// The files in `dir`; what is no regular file is passed over.
    pub(crate) fn read(fs: &dyn Fs, dir: &Path) -> Result<Image> {
        let mut image = Image::default();
        for entry in fs.list(dir).with_context(|| format!("{}: list", dir.display()))? {
            if entry.kind == FileKind::File {
                let path = dir.join(&entry.name);
                let bytes = read_file(fs, &path).with_context(|| path.display().to_string())?;
                image.files.insert(entry.name, bytes.into());
            }
        }
        Ok(image)
    }

    /// Makes `dir` with these files, all of it durable; its parent exists.
    pub(crate) fn write(&self, fs: &dyn Fs, dir: &Path) -> Result<()> {
        fs.create_dir(dir).with_context(|| format!("{}: create", dir.display()))?;
        for (name, bytes) in &self.files {
            put_file(fs, &dir.join(name), bytes).with_context(|| name.clone())?;
        }
        fs.sync_dir(dir)?;
        if let Some(parent) = dir.parent() {
            fs.sync_dir(parent)?;
        }
        Ok(())
    }

    /// A memory file system that holds these files below [`DIR`], and nothing else.
    pub(crate) fn to_memory(&self) -> Result<MemFs> {
        let fs = MemFs::new();
        self.write(&fs, Path::new(DIR))?;
        Ok(fs)
    }

    /// What is different on a memory file system: the first name, and how.
    pub(crate) fn changed(&self, fs: &dyn Fs, dir: &Path) -> Result<Option<String>> {
        let now = Image::read(fs, dir)?;
        for (name, bytes) in &self.files {
            match now.files.get(name) {
                None => return Ok(Some(format!("{name} is gone"))),
                Some(found) if found != bytes => return Ok(Some(format!("{name} was changed"))),
                Some(_) => {}
            }
        }
        let made = now.files.keys().find(|name| !self.files.contains_key(*name));
        Ok(made.map(|name| format!("{name} was made")))
    }

    /// Bytes of all files.
    pub(crate) fn len(&self) -> usize {
        self.files.values().map(|bytes| bytes.len()).sum()
    }
}

fn read_file(fs: &dyn Fs, path: &Path) -> Result<Vec<u8>> {
    let file = fs.open(path, Mode::Read)?;
    let mut bytes = vec![0; usize::try_from(file.len()?)?];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Makes a file with these bytes, which are durable; its name is not.
pub(crate) fn put_file(fs: &dyn Fs, path: &Path, bytes: &[u8]) -> Result<()> {
    let file = fs.create_new(path)?;
    file.write_all_at(bytes, 0)?;
    file.sync_all()?;
    Ok(())
}

/// What a file is for, as its name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Current,
    Manifest,
    Log,
    Table,
    Values,
    /// The lock, the kept end of a log that was cut, and names that are not the store's.
    Beside,
}

impl Kind {
    pub(crate) fn of(name: &str) -> Kind {
        match name {
            "CURRENT" => Kind::Current,
            _ if name.starts_with("MANIFEST-") => Kind::Manifest,
            _ if name.ends_with(".log") => Kind::Log,
            _ if name.ends_with(".sst") => Kind::Table,
            _ if name.ends_with(".val") => Kind::Values,
            _ => Kind::Beside,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Current => "CURRENT",
            Kind::Manifest => "manifest",
            Kind::Log => "log",
            Kind::Table => "table",
            Kind::Values => "value file",
            Kind::Beside => "beside",
        }
    }
}
