//! A volume at a place in the tree of files, for as long as this value lives.

use super::serve::{Server, lock};
use super::volume::Volume;
use anyhow::{Context, Result};
use fuser::{BackgroundSession, Config, MountOption};
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::Pid;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use tempfile::TempDir;

/// How the kernel lists a mounted volume.
const NAME: &str = "crashtest";

/// Why nothing can be mounted here, where that is so.
pub(super) fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("mounting needs root".to_owned());
    }
    if !Path::new("/dev/fuse").exists() {
        return Some("/dev/fuse is not there".to_owned());
    }
    sweep();
    let place = TempDir::with_prefix("crashtest-fuse-").ok()?;
    let trial = Mount::new(place.path(), Volume::new(kv_vfs::MemFs::new()));
    trial.err().map(|error| format!("cannot mount here: {error:#}"))
}

/// Takes away the mounts of a run that was killed: those that nobody answers for any more.
fn sweep() {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let ours = format!("{NAME} ");
    for line in mounts.lines().filter(|line| line.starts_with(&ours)) {
        let Some(place) = line.split(' ').nth(1) else { continue };
        if rustix::fs::stat(place).err() == Some(rustix::io::Errno::NOTCONN)
            && unmount(place, UnmountFlags::DETACH).is_ok()
        {
            // An empty directory at worst stays.
            let _ = std::fs::remove_dir(place);
        }
    }
}

/// A mounted volume.
#[derive(Debug)]
pub(super) struct Mount {
    place: PathBuf,
    volume: Arc<Mutex<Volume>>,
    session: Option<BackgroundSession>,
}

impl Mount {
    pub(super) fn new(place: &Path, volume: Volume) -> Result<Mount> {
        let volume = Arc::new(Mutex::new(volume));
        let mut config = Config::default();
        config.mount_options = vec![
            MountOption::FSName(NAME.to_owned()),
            MountOption::NoAtime,
            MountOption::NoDev,
            MountOption::NoSuid,
        ];
        let server = Server(Arc::clone(&volume));
        let session = fuser::spawn_mount(server, place, &config).context("mount")?;
        Ok(Mount { place: place.to_owned(), volume, session: Some(session) })
    }

    pub(super) fn volume(&self) -> MutexGuard<'_, Volume> {
        lock(&self.volume)
    }

    /// Cuts the power, and kills who writes before it can see that; answers whether it was on.
    pub(super) fn cut(&self, victim: Option<Pid>) -> bool {
        self.volume().cut(victim)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Whatever still waits for an answer gets an error, and the place is free in any case.
        let _ = unmount(&self.place, UnmountFlags::FORCE);
        let _ = unmount(&self.place, UnmountFlags::DETACH);
        if let Some(session) = self.session.take() {
            let _ = session.umount_and_join();
        }
    }
}
