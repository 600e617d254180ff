//! Space that files occupy, and what reaches the device below them.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// What `/sys` counts in, whatever the device's own sectors are.
const SECTOR: u64 = 512;

/// Bytes of the blocks that all files below a directory occupy.
///
/// # Errors
///
/// Where the directory cannot be read. A file that goes meanwhile does not count.
pub fn allocated(dir: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let Ok(meta) = entry.metadata() else { continue };
        sum += if meta.is_dir() { allocated(&entry.path())? } else { size(&meta) };
    }
    Ok(sum)
}

#[cfg(unix)]
fn size(meta: &std::fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    meta.blocks() * 512
}

#[cfg(not(unix))]
fn size(meta: &std::fs::Metadata) -> u64 {
    meta.len()
}

/// The block device below a directory.
#[derive(Debug)]
pub(crate) struct Device {
    stat: PathBuf,
    /// The directory, for the sync.
    dir: File,
}

impl Device {
    /// None where there is no such thing, as with a file system in memory.
    pub(crate) fn of(dir: &Path) -> Option<Device> {
        let dir = File::open(dir).ok()?;
        let stat = stat_file(&dir.metadata().ok()?)?;
        stat.exists().then_some(Device { stat, dir })
    }

    /// Bytes written to it since the system started, with all that is pending.
    pub(crate) fn written(&self) -> Option<u64> {
        self.sync()?;
        sectors_written(&std::fs::read_to_string(&self.stat).ok()?).map(|n| n * SECTOR)
    }

    #[cfg(target_os = "linux")]
    fn sync(&self) -> Option<()> {
        rustix::fs::syncfs(&self.dir).ok()
    }

    #[cfg(not(target_os = "linux"))]
    fn sync(&self) -> Option<()> {
        self.dir.sync_all().ok()
    }
}

#[cfg(target_os = "linux")]
fn stat_file(meta: &std::fs::Metadata) -> Option<PathBuf> {
    use std::os::unix::fs::MetadataExt;
    let (major, minor) = (rustix::fs::major(meta.dev()), rustix::fs::minor(meta.dev()));
    (major != 0).then(|| PathBuf::from(format!("/sys/dev/block/{major}:{minor}/stat")))
}

#[cfg(not(target_os = "linux"))]
fn stat_file(_: &std::fs::Metadata) -> Option<PathBuf> {
    None
}

/// The seventh figure.
fn sectors_written(stat: &str) -> Option<u64> {
    stat.split_whitespace().nth(6)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seventh_figure_is_sectors_written() {
        let stat = "  107529  28294  6149554  49599  90599  71213 18353184  72144  0 17796 125880";
        assert_eq!(sectors_written(stat), Some(18_353_184));
        assert_eq!(sectors_written("1 2 3"), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_with_holes_occupies_what_is_written() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("below")).unwrap();
        let file = File::create(dir.path().join("below/holes")).unwrap();
        file.set_len(1 << 30).unwrap();
        std::fs::write(dir.path().join("full"), vec![7u8; 64 << 10]).unwrap();
        file.sync_all().unwrap();
        let sum = allocated(dir.path()).unwrap();
        assert!((64 << 10..1 << 20).contains(&sum), "{sum}");
    }
}
