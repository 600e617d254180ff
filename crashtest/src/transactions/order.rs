//! The order of all commits, as the logs hold it: plain writes have no other witness.

use super::history::{KEYS, Key, Over, State, Value, bytes};
use crate::oracle::DIR;
use anyhow::{Result, anyhow, ensure};
use kv_core::{Kind, decode_batch};
use kv_vfs::{Fs, MemFs};
use kv_wal::SegmentFile;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};

/// Where logs have a second name, so that a flush does not take them away.
const KEPT: &str = "/kept";
/// The key by which a keyspace's prefix is found in a log. It is none of the others.
pub(super) const MARKER: &[u8] = b"zz";

/// Gives every log a second name.
pub(super) fn keep_logs(fs: &MemFs) -> Result<()> {
    if fs.metadata(Path::new(KEPT)).is_err() {
        fs.create_dir(Path::new(KEPT))?;
    }
    for name in logs(fs, DIR)? {
        match fs.hard_link(&Path::new(DIR).join(&name), &Path::new(KEPT).join(&name)) {
            Ok(()) => {}
            // It is kept already, or was made ahead of need and is gone.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

fn logs(fs: &MemFs, dir: &str) -> Result<Vec<PathBuf>> {
    let names = fs.list(Path::new(dir))?.into_iter().map(|entry| PathBuf::from(entry.name));
    Ok(names.filter(|name| name.extension().is_some_and(|end| end == "log")).collect())
}

/// Every version of every key, oldest first, and the first sequence number of every commit.
#[derive(Debug, Default)]
pub(super) struct Order {
    versions: BTreeMap<Key, Vec<(u64, Option<Value>)>>,
    pub(super) commits: BTreeMap<u64, BTreeMap<Key, Option<Value>>>,
}

impl Order {
    /// Reads the logs that were kept. `markers` are the values of the keyspaces' markers.
    pub(super) fn read(fs: &MemFs, markers: &[Value]) -> Result<Order> {
        let mut segments = Vec::new();
        for name in logs(fs, KEPT)? {
            let stem = name.file_stem().and_then(|stem| stem.to_str());
            let number = stem.and_then(|stem| stem.parse().ok());
            let number = number.ok_or_else(|| anyhow!("{} is no log", name.display()))?;
            segments.push(SegmentFile { number, path: Path::new(KEPT).join(&name) });
        }
        segments.sort_by_key(|segment| segment.number);
        let mut batches: Vec<(u64, Vec<Logged>)> = Vec::new();
        let replay = kv_wal::replay(fs, &segments, |first, payload| {
            let ops = decode_batch(payload)?;
            let ops = ops.map_while(Result::ok).map(|op| Logged {
                kind: op.kind,
                key: op.key.to_vec(),
                value: op.value.to_vec(),
            });
            let ops: Vec<Logged> = ops.collect();
            let count = ops.len() as u64;
            batches.push((first, ops));
            Ok::<u64, anyhow::Error>(count)
        })?;
        ensure!(replay.cut.is_none(), "the logs are not whole: {:?}", replay.cut);
        let mut keys: HashMap<Vec<u8>, Key> = HashMap::new();
        for (space, marker) in markers.iter().enumerate() {
            let mut all = batches.iter().flat_map(|(_, ops)| ops);
            let found = all.find(|op| op.key.ends_with(MARKER) && op.value == marker.to_le_bytes());
            let stored = &found.ok_or_else(|| anyhow!("a marker is not in the logs"))?.key;
            let prefix = stored.strip_suffix(MARKER);
            let prefix = prefix.ok_or_else(|| anyhow!("keys are not stored as they are"))?;
            for key in 0..KEYS {
                keys.insert([prefix, &bytes(key)].concat(), (space as u8, key));
            }
        }
        let mut order = Order::default();
        for (first, ops) in &batches {
            for (op, seq) in ops.iter().zip(*first..) {
                order.add(&keys, *first, seq, op)?;
            }
        }
        Ok(order)
    }

    /// The order of these commits, by first sequence number, over a state as of a number before
    /// them all: as whoever made them has noted it, with nothing of the store's own.
    pub(super) fn of<'a>(
        (base, state): (u64, &State),
        commits: impl IntoIterator<Item = (u64, &'a Over)>,
    ) -> Order {
        let mut order = Order::default();
        for (key, value) in state {
            order.versions.entry(*key).or_default().push((base, Some(*value)));
        }
        let commits: BTreeMap<u64, &Over> = commits.into_iter().collect();
        for (first, over) in commits {
            for (key, value) in over.writes() {
                order.versions.entry(key).or_default().push((first, value));
                order.commits.entry(first).or_default().insert(key, value);
            }
        }
        order
    }

    fn add(
        &mut self,
        keys: &HashMap<Vec<u8>, Key>,
        first: u64,
        seq: u64,
        op: &Logged,
    ) -> Result<()> {
        let hit: Vec<Key> = match op.kind {
            Kind::RangeDelete => {
                let within = |stored: &&Vec<u8>| **stored >= op.key && **stored < op.value;
                keys.keys().filter(within).filter_map(|stored| keys.get(stored)).copied().collect()
            }
            _ => keys.get(&op.key).into_iter().copied().collect(),
        };
        for key in hit {
            let value = match op.kind {
                Kind::Put => Some(u64::from_le_bytes(op.value.as_slice().try_into()?)),
                _ => None,
            };
            self.versions.entry(key).or_default().push((seq, value));
            self.commits.entry(first).or_default().insert(key, value);
        }
        Ok(())
    }

    /// The newest version of a key up to `seq`, and since when it is that.
    pub(super) fn version(&self, key: Key, seq: u64) -> (u64, Option<Value>) {
        let versions = self.versions.get(&key).map_or(&[][..], Vec::as_slice);
        let end = versions.partition_point(|(at, _)| *at <= seq);
        end.checked_sub(1).and_then(|last| versions.get(last)).copied().unwrap_or_default()
    }

    /// The state at `seq`.
    pub(super) fn state(&self, seq: u64) -> State {
        let value = |key: &Key| Some((*key, self.version(*key, seq).1?));
        self.versions.keys().filter_map(value).collect()
    }
}

#[derive(Debug)]
struct Logged {
    kind: Kind,
    key: Vec<u8>,
    value: Vec<u8>,
}
