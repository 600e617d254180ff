//! What lies in the store's directory, and a whole read of an open store.

use super::compare::{Check, Pairs, failed};
use super::world::World;
use kv_engine::Db;
use kv_manifest::{FileName, Manifest};
use kv_vfs::Fs;
use std::collections::{BTreeMap, BTreeSet};

/// All pairs of every keyspace, by name.
pub(super) type Dump = BTreeMap<String, Pairs>;

pub(super) fn dump(db: &Db) -> Check<Dump> {
    let mut names = db.keyspaces().map_err(failed("keyspaces"))?;
    names.push(String::new());
    let read = |name: String| {
        let keyspace = db.keyspace(&name).map_err(failed("keyspace"))?;
        let pairs = keyspace.iter().collect::<Result<_, _>>().map_err(failed("reading all"))?;
        Ok((name, pairs))
    };
    names.into_iter().map(read).collect()
}

/// The first or last key of one of the tables that the manifest names, without its keyspace.
pub(super) fn table_edge(fs: &dyn Fs, n: u8, last: bool) -> Option<Vec<u8>> {
    let state = Manifest::read(fs, World::dir()).ok()??;
    let files: Vec<_> = state.version.files().map(|(_, meta)| meta).collect();
    let meta = files.get(usize::from(n) % files.len().max(1))?;
    let stored = if last { &meta.largest } else { &meta.smallest };
    // The prefix is a LEB128 number.
    let prefix = stored.iter().position(|byte| byte & 0x80 == 0)? + 1;
    let key = stored.get(prefix..)?;
    (key.len() <= super::op::LONGEST as usize).then(|| key.to_vec())
}

/// The names in the directory that the engine knows.
fn names(fs: &dyn Fs) -> Check<Vec<FileName>> {
    let entries = fs.list(World::dir()).map_err(|e| format!("list failed: {e}"))?;
    Ok(entries.iter().filter_map(|entry| FileName::parse(&entry.name)).collect())
}

/// How many logs there are.
pub(super) fn logs(fs: &dyn Fs) -> usize {
    let names = names(fs).unwrap_or_default();
    names.iter().filter(|name| matches!(name, FileName::Log(_))).count()
}

/// After a clean close: exactly the files that the manifest names, no log, and no number that
/// could be given twice. `readers` hold tables that the manifest does not name any more.
pub(super) fn after_close(fs: &dyn Fs, readers: bool) -> Check {
    let state = Manifest::read(fs, World::dir())
        .map_err(|e| format!("the manifest cannot be read after a clean close: {e}"))?
        .ok_or("no manifest after a clean close")?;
    let names = names(fs)?;
    let mut found = BTreeSet::new();
    for name in &names {
        match name {
            FileName::Table(number) | FileName::Values(number) => {
                found.insert(*number);
            }
            FileName::Log(number) => {
                return Err(format!("log {number} is left after a clean close"));
            }
            _ => {}
        }
        if name.number().is_some_and(|number| number >= state.next_file) {
            return Err(format!("{name:?}, and the next file number is {}", state.next_file));
        }
    }
    let manifests = names.iter().filter(|name| matches!(name, FileName::Manifest(_))).count();
    if manifests != 1 {
        return Err(format!("{manifests} manifests after a clean close"));
    }
    let named: BTreeSet<u64> = state.version.numbers().collect();
    if let Some(missing) = named.difference(&found).next() {
        return Err(format!("file {missing} is named and not there"));
    }
    if let Some(orphan) = found.difference(&named).next().filter(|_| !readers) {
        return Err(format!("file {orphan} is there and not named"));
    }
    let newest = state.version.files().map(|(_, meta)| meta.max_seq).max().unwrap_or(0);
    if newest > state.last_seq {
        return Err(format!("a table holds {newest}, the last sequence is {}", state.last_seq));
    }
    Ok(())
}
