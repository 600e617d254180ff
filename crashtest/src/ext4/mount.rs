//! Loop devices and ext4 on them, by the system's own programs. Whatever was set up is taken down
//! when its value goes, lazily where it does not go otherwise.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs a program; what it says is part of the error.
fn call(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        let says = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {}: {}", arguments.join(" "), says.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

/// Why this machine cannot do it, if so.
pub(super) fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("it needs root, to mount".to_owned());
    }
    let device = ["/dev/fuse", "/dev/loop-control"].into_iter().find(|d| !Path::new(d).exists());
    if let Some(device) = device {
        return Some(format!("there is no {device}"));
    }
    let program = ["mkfs.ext4", "losetup", "mount"]
        .into_iter()
        .find(|name| Command::new(name).arg("--help").output().is_err());
    program.map(|name| format!("the program {name} is not there"))
}

/// A fresh, empty ext4 in a file of that size.
pub(super) fn format(file: &Path, size: u64) -> Result<()> {
    std::fs::File::create(file)?.set_len(size)?;
    call("mkfs.ext4", &["-q", "-F", "-b", "4096", "-J", "size=4", text(file)])?;
    Ok(())
}

/// A file as a block device.
struct Loop(String);

impl Loop {
    fn attach(file: &Path) -> Result<Loop> {
        call("losetup", &["--find", "--show", text(file)]).map(Loop)
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        // Nothing depends on it any more; the kernel keeps it until it is not busy.
        let _ = call("losetup", &["--detach", &self.0]);
    }
}

/// A mounted ext4.
pub(super) struct Mounted {
    dir: PathBuf,
    _device: Loop,
}

impl Mounted {
    /// Mounts the file system in `file` on `dir`, with its journal replayed.
    pub(super) fn mount(file: &Path, dir: &Path, options: &str) -> Result<Mounted> {
        let device = Loop::attach(file)?;
        call("mount", &["-t", "ext4", "-o", options, &device.0, text(dir)])?;
        Ok(Mounted { dir: dir.to_owned(), _device: device })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if call("umount", &[text(&self.dir)]).is_err() {
            let _ = call("umount", &["-l", text(&self.dir)]);
        }
    }
}
