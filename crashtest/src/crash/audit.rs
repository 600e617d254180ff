//! The sync audit: whatever an acknowledged state depends on is durable at the moment of the
//! acknowledgement, also where no crash comes.
//!
//! The manifest as it is durable says which tables and logs there must be. These, every log above
//! the floor, `CURRENT`, and all names of them must have nothing pending. The end of the manifest
//! itself may be pending: an edit does not count before it is durable.
//!
//! Background work may be in the middle of something. A log made ahead of need holds nothing yet,
//! so its name may be pending. `CURRENT` may be on its way from one manifest to the next, where
//! either has all that it needs: then both are audited.

use crate::oracle::{DIR, Violation};
use kv_manifest::{FileName, Manifest};
use kv_vfs::{Fs, FsFileExt, MemFs, Mode, PendingOp};
use std::collections::BTreeSet;
use std::path::Path;

/// Names the first dependency that is not durable.
pub(crate) fn audit(fs: &MemFs) -> Result<(), Violation> {
    audit_state(fs, &fs.crash())?;
    let pending = fs.pending();
    let switch = pending.iter().find_map(|op| match op {
        PendingOp::Rename(from, to) if is_current(to) => Some(from),
        _ => None,
    });
    if let Some(from) = switch {
        if pending.iter().any(|op| matches!(op, PendingOp::Write(path, ..) if path == from)) {
            return Err("acknowledged while bytes of the new CURRENT are pending".to_owned());
        }
        let switches = |op: &PendingOp| matches!(op, PendingOp::Rename(_, to) if is_current(to));
        let switched = fs.crash_with(&mut |op| switches(op));
        audit_state(fs, &switched).map_err(|e| format!("with the new CURRENT: {e}"))?;
    }
    Ok(())
}

fn named(path: &Path) -> Option<FileName> {
    FileName::parse(&path.file_name()?.to_string_lossy()).filter(|_| path.starts_with(DIR))
}

fn is_current(path: &Path) -> bool {
    named(path) == Some(FileName::Current)
}

/// The manifest that counts.
fn manifest_of(fs: &MemFs) -> Option<FileName> {
    let file = fs.open(&FileName::Current.path(Path::new(DIR)), Mode::Read).ok()?;
    let mut line = vec![0; usize::try_from(file.len().ok()?).ok()?];
    file.read_exact_at(&mut line, 0).ok()?;
    FileName::parse(String::from_utf8_lossy(&line).split(' ').next()?)
}

/// The same for one state that a power cut now may leave.
fn audit_state(fs: &MemFs, durable: &MemFs) -> Result<(), Violation> {
    let dir = Path::new(DIR);
    let state = Manifest::read(durable, dir).map_err(|e| format!("the durable manifest: {e}"))?;
    let state = state.ok_or("something was acknowledged, and no manifest is durable")?;
    let mut needed: BTreeSet<FileName> = [FileName::Current].into();
    let manifest = manifest_of(durable);
    let tables = state.version.files().map(|(_, meta)| (FileName::Table(meta.number), meta.size));
    let values = state.version.values().iter().map(|held| held.meta);
    let values = values.map(|meta| (FileName::Values(meta.number), meta.size));
    for (name, size) in tables.chain(values) {
        let path = name.path(dir);
        match durable.metadata(&path) {
            Ok(found) if found.len == size => {}
            Ok(found) => {
                let len = found.len;
                return Err(format!("{}: {len} of {size} bytes are durable", path.display()));
            }
            Err(_) => return Err(format!("{}: the name is not durable", path.display())),
        }
        needed.insert(name);
    }
    for number in &state.logs {
        let path = FileName::Log(*number).path(dir);
        if durable.metadata(&path).is_err() {
            return Err(format!("{}: the name is not durable", path.display()));
        }
        needed.insert(FileName::Log(*number));
    }
    let is_begun = |name: &FileName| fs.metadata(&name.path(dir)).is_ok_and(|meta| meta.len > 0);
    let entries = fs.list(dir).map_err(|e| e.to_string())?;
    let logs = entries.iter().filter_map(|entry| FileName::parse(&entry.name));
    let logs = logs.filter(|name| matches!(name, FileName::Log(n) if *n >= state.log_floor));
    needed.extend(logs.filter(is_begun));
    for op in fs.pending() {
        let (path, contents) = match &op {
            PendingOp::Write(path, ..) => (path, true),
            PendingOp::SetLen(..) => continue,
            PendingOp::Link(path) => (path, false),
            PendingOp::Rename(_, to) if is_current(to) => continue,
            PendingOp::Rename(_, to) => (to, false),
            PendingOp::Unlink(path) if manifest.is_some() && named(path) == manifest => {
                return Err(format!("{} goes, and may count again", path.display()));
            }
            PendingOp::Unlink(path) => (path, false),
        };
        if named(path).is_some_and(|name| needed.contains(&name)) {
            let what = if contents { "bytes" } else { "the name" };
            return Err(format!("acknowledged while {what} of {} are pending", path.display()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;
    use kv_engine::Db;
    use std::sync::Arc;

    fn path(name: &str) -> std::path::PathBuf {
        Path::new(DIR).join(name)
    }

    /// A store, and beside it what is to become `CURRENT`.
    fn store() -> (MemFs, Db) {
        let fs = MemFs::new();
        let db = Db::open(DIR, Settings::quiet().options(Arc::new(fs.clone()))).unwrap();
        db.put(b"a", b"1").unwrap();
        let current = fs.open(&path("CURRENT"), Mode::Read).unwrap();
        let mut line = vec![0; current.len().unwrap() as usize];
        current.read_exact_at(&mut line, 0).unwrap();
        let file = fs.create_new(&path("current.tmp")).unwrap();
        file.write_all_at(&line, 0).unwrap();
        file.sync_data().unwrap();
        fs.sync_dir(Path::new(DIR)).unwrap();
        (fs, db)
    }

    #[test]
    fn what_background_work_has_begun_is_no_dependency() {
        let (fs, _db) = store();
        fs.create_new(&path("000077.log")).unwrap();
        assert_eq!(audit(&fs), Ok(()));
        fs.rename(&path("current.tmp"), &path("CURRENT")).unwrap();
        assert_eq!(audit(&fs), Ok(()));
    }

    #[test]
    fn a_log_in_use_and_the_manifest_that_may_count_are() {
        let (fs, _db) = store();
        fs.remove(&manifest_of(&fs).unwrap().path(Path::new(DIR))).unwrap();
        assert!(audit(&fs).is_err());

        let (fs, _db) = store();
        fs.create_new(&path("000077.log")).unwrap().write_all_at(b"x", 0).unwrap();
        assert!(audit(&fs).is_err());
    }

    #[test]
    fn a_new_current_whose_bytes_or_manifest_are_pending_is() {
        let (fs, _db) = store();
        let file = fs.open(&path("current.tmp"), Mode::ReadWrite).unwrap();
        file.write_all_at(b"MANIFEST-00009", 0).unwrap();
        fs.rename(&path("current.tmp"), &path("CURRENT")).unwrap();
        assert!(audit(&fs).is_err());
    }
}
