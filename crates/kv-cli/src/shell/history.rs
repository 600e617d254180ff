//! The lines that were typed, kept from one shell to the next.
//!
//! They hold keys and values: the file is for its owner alone. Where it cannot be read or written,
//! or there is no home to have it in, nothing is kept, and that is no error.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// How many lines are kept.
pub(super) const LINES: usize = 1000;

pub(super) struct History {
    file: Option<File>,
}

impl History {
    /// The history, and the lines that it holds, the oldest first.
    pub(super) fn open() -> (History, Vec<String>) {
        let opened = place().and_then(|path| open(&path).ok());
        match opened {
            Some((file, lines)) => (History { file: Some(file) }, lines),
            None => (History { file: None }, Vec::new()),
        }
    }

    pub(super) fn add(&mut self, line: &str) {
        if let Some(file) = &mut self.file {
            // One write: shells that run at the same time take turns by lines.
            let _ = file.write_all(format!("{line}\n").as_bytes());
        }
    }
}

/// In the user's directory for state.
fn place() -> Option<PathBuf> {
    let named = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = named("XDG_STATE_HOME").or_else(|| Some(named("HOME")?.join(".local/state")))?;
    Some(state.join("kv").join("history"))
}

#[expect(clippy::disallowed_methods, reason = "the history is outside of every store")]
fn open(path: &Path) -> io::Result<(File, Vec<String>)> {
    if let Some(parent) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    }
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let kept = lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default();
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    // Whatever it was before.
    file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    if lines.len() > 2 * LINES {
        file.set_len(0)?;
        file.write_all(format!("{}\n", kept.join("\n")).as_bytes())?;
    }
    Ok((file, kept.iter().map(|&line| line.to_owned()).collect()))
}
