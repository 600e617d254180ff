//! The sync audit: whatever an acknowledged state depends on is durable at the moment of the
//! acknowledgement, also where no crash comes.
//!
//! The manifest as it is durable says which tables and logs there must be. These, every log above
//! the floor, `CURRENT`, and all names of them must have nothing pending. The end of the manifest
//! itself may be pending: an edit does not count before it is durable. So may the switch of
//! `CURRENT` to a new manifest, which a background thread does beside the acknowledgements: then
//! what the old one names and what the new one names must both be there.

use crate::oracle::{DIR, Violation};
use kv_manifest::{FileName, Manifest};
use kv_vfs::{Fs, MemFs, PendingOp};
use std::collections::BTreeSet;
use std::path::Path;

/// Names the first dependency that is not durable.
pub(crate) fn audit(fs: &MemFs) -> Result<(), Violation> {
    judge(fs, &fs.crash())?;
    match fs.pending().iter().any(switches) {
        true => judge(fs, &fs.crash_with(&mut switches)),
        false => Ok(()),
    }
}

/// Whether the operation makes `CURRENT` name another manifest.
fn switches(op: &PendingOp) -> bool {
    matches!(op, PendingOp::Rename(_, to) if *to == FileName::Current.path(Path::new(DIR)))
}

/// Compares what is pending with what the manifest of `durable`, a state that a cut may leave, names.
fn judge(fs: &MemFs, durable: &MemFs) -> Result<(), Violation> {
    let dir = Path::new(DIR);
    let state = Manifest::read(durable, dir).map_err(|e| format!("the durable manifest: {e}"))?;
    let state = state.ok_or("something was acknowledged, and no manifest is durable")?;
    let mut needed: BTreeSet<FileName> = [FileName::Current].into();
    for (_, meta) in state.version.files() {
        let path = FileName::Table(meta.number).path(dir);
        match durable.metadata(&path) {
            Ok(found) if found.len == meta.size => {}
            Ok(found) => {
                let (len, size) = (found.len, meta.size);
                return Err(format!("{}: {len} of {size} bytes are durable", path.display()));
            }
            Err(_) => return Err(format!("{}: the name is not durable", path.display())),
        }
        needed.insert(FileName::Table(meta.number));
    }
    for number in &state.logs {
        let path = FileName::Log(*number).path(dir);
        if durable.metadata(&path).is_err() {
            return Err(format!("{}: the name is not durable", path.display()));
        }
        needed.insert(FileName::Log(*number));
    }
    let entries = fs.list(dir).map_err(|e| e.to_string())?;
    let logs = entries.iter().filter_map(|entry| FileName::parse(&entry.name));
    needed.extend(
        logs.filter(|name| matches!(name, FileName::Log(number) if *number >= state.log_floor)),
    );
    for op in fs.pending().into_iter().filter(|op| !switches(op)) {
        let (path, contents) = match &op {
            PendingOp::Write(path, ..) => (path, true),
            PendingOp::SetLen(..) => continue,
            PendingOp::Link(path) | PendingOp::Unlink(path) => (path, false),
            PendingOp::Rename(_, to) => (to, false),
        };
        let name = path.file_name().and_then(|name| FileName::parse(&name.to_string_lossy()));
        if name.is_some_and(|name| needed.contains(&name)) && path.starts_with(dir) {
            let what = if contents { "bytes" } else { "the name" };
            return Err(format!("acknowledged while {what} of {} are pending", path.display()));
        }
    }
    Ok(())
}
