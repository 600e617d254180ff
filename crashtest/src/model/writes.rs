//! Operations that write, and those that must be refused.

use super::compare::{self, Check, failed, show};
use super::marks::{Met, met};
use super::op::{Edge, Item, Key, LONGEST};
use super::oracle::{Effect, NAMED, NEVER, is_empty};
use super::run::{NAMES, Run};
use kv_engine::{Durability, Error, ErrorKind, WriteBatch};
use std::collections::BTreeMap;
use std::time::Duration;

/// When a value with this time to live expires.
fn expiry(now_ms: u64, ttl_ms: Option<u64>) -> u64 {
    ttl_ms.and_then(|ms| now_ms.checked_add(ms)).unwrap_or(NEVER)
}

/// A call that must be refused, and how.
fn refused<T>(what: &str, outcome: Result<T, Error>, kind: ErrorKind) -> Check {
    match outcome {
        Ok(_) => Err(format!("{what}: no error, {kind:?} is due")),
        Err(error) if error.kind() == kind => Ok(()),
        Err(error) => Err(failed(what)(error)),
    }
}

impl Run {
    pub(super) fn put(&mut self, space: u8, key: Key, len: u32, ttl: Option<u64>) -> Check {
        let space = self.existing(space);
        let (tree, key) = (self.tree(space)?, key.bytes());
        let value = self.value(&key, len);
        let store = self.store(space);
        let outcome = match ttl {
            None => store.put(&key, &value),
            Some(ms) => store.put_with_ttl(&key, &value, Duration::from_millis(ms)),
        };
        let expiry = expiry(self.oracle.now_ms, ttl);
        let write = vec![Effect::Put { tree, key, value, expiry }];
        self.settle("put", write, self.syncs(None), outcome)
    }

    pub(super) fn delete(&mut self, space: u8, key: Key) -> Check {
        let space = self.existing(space);
        let (tree, key) = (self.tree(space)?, key.bytes());
        let outcome = self.store(space).delete(&key);
        self.settle("delete", vec![Effect::Delete { tree, key }], self.syncs(None), outcome)
    }

    pub(super) fn delete_range(&mut self, space: u8, from: Edge, to: Edge) -> Check {
        let space = self.existing(space);
        let tree = self.tree(space)?;
        let (from, to) = (self.bound(from), self.bound(to));
        if is_empty(&from, &to) {
            met(Met::InvertedRange);
        }
        let outcome = self.store(space).delete_range(&from, &to);
        let write = vec![Effect::DeleteRange { tree, from, to }];
        self.settle("delete_range", write, self.syncs(None), outcome)
    }

    pub(super) fn batch(&mut self, home: u8, sync: Option<bool>, items: &[Item]) -> Check {
        let home = self.existing(home);
        let mut tree = self.tree(home)?;
        let mut batch = WriteBatch::new();
        let mut write = Vec::new();
        let mut trees = vec![tree];
        for item in items {
            match *item {
                Item::Put { key, len } | Item::PutTtl { key, len, .. } => {
                    let key = key.bytes();
                    let value = self.value(&key, len);
                    let ttl = if let Item::PutTtl { ms, .. } = *item { Some(ms) } else { None };
                    match ttl {
                        None => batch.put(&key, &value),
                        Some(ms) => batch.put_with_ttl(&key, &value, Duration::from_millis(ms)),
                    }
                    let expiry = expiry(self.oracle.now_ms, ttl);
                    write.push(Effect::Put { tree, key, value, expiry });
                }
                Item::Delete { key } => {
                    let key = key.bytes();
                    batch.delete(&key);
                    write.push(Effect::Delete { tree, key });
                }
                Item::DeleteRange { from, to } => {
                    let (from, to) = (self.bound(from), self.bound(to));
                    let borrowed = (super::oracle::as_slice(&from), super::oracle::as_slice(&to));
                    batch.delete_range::<&[u8]>(borrowed);
                    write.push(Effect::DeleteRange { tree, from, to });
                }
                Item::Within { space } => {
                    let space = self.existing(space);
                    if let Some(Some(keyspace)) = self.open.spaces.get(space) {
                        batch.within(keyspace);
                        tree = self.tree(space)?;
                        trees.push(tree);
                    }
                }
                Item::Clear => {
                    batch.clear();
                    write.clear();
                    tree = self.tree(home)?;
                }
            }
        }
        if batch.len() != write.len() || batch.is_empty() != write.is_empty() {
            return Err(format!("a batch of {} says it has {}", write.len(), batch.len()));
        }
        trees.dedup();
        if trees.len() > 1 && write.len() > 1 {
            met(Met::MultiSpaceBatch);
        }
        let durability = sync.map(|sync| if sync { Durability::Sync } else { Durability::Os });
        let outcome = self.store(home).write(batch, durability);
        if write.is_empty() {
            return outcome.or_else(|e| self.excuse("an empty batch", &e));
        }
        self.settle("write", write, self.syncs(sync), outcome)
    }

    pub(super) fn ingest(&mut self, space: u8, pairs: &[(Key, u32)]) -> Check {
        let space = self.existing(space);
        let tree = self.tree(space)?;
        let mut sorted = BTreeMap::new();
        for (key, len) in pairs {
            let key = key.bytes();
            let value = self.value(&key, *len);
            sorted.insert(key, value);
        }
        let handle = match self.open.spaces.get(space) {
            Some(Some(keyspace)) => keyspace.clone(),
            _ => self.open.db.keyspace("").map_err(failed("keyspace"))?,
        };
        let outcome = handle.ingest(sorted.iter());
        if let Ok(count) = outcome
            && count != sorted.len() as u64
        {
            return Err(format!("an ingest of {} says {count}", sorted.len()));
        }
        let put = |(key, value)| Effect::Put { tree, key, value, expiry: NEVER };
        let write: Vec<Effect> = sorted.into_iter().map(put).collect();
        if write.is_empty() {
            return outcome.map(|_| ()).or_else(|e| self.excuse("an empty ingest", &e));
        }
        self.settle("ingest", write, true, outcome.map(|_| ()))
    }

    pub(super) fn create(&mut self, space: u8) -> Check {
        let space = 1 + usize::from(space).saturating_sub(1) % NAMED;
        let made = self.open.db.keyspace(NAMES[space]);
        if self.open.spaces[space].is_some() {
            return made.map(|_| ()).map_err(failed("opening a keyspace"));
        }
        let tree = self.oracle.new_tree();
        let write = vec![Effect::Name { space, tree: Some(tree) }];
        let (keyspace, outcome) = match made {
            Ok(keyspace) => (Some(keyspace), Ok(())),
            Err(error) => (None, Err(error)),
        };
        self.open.spaces[space] = keyspace;
        if self.stale.iter().any(|stale| stale.name() == NAMES[space]) {
            met(Met::Recreated);
        }
        self.settle("creating a keyspace", write, self.syncs(None), outcome)
    }

    pub(super) fn drop_space(&mut self, space: u8) -> Check {
        let space = 1 + usize::from(space).saturating_sub(1) % NAMED;
        let outcome = self.open.db.drop_keyspace(NAMES[space]);
        let Some(handle) = self.open.spaces[space].clone() else {
            return match outcome {
                Err(error) if error.kind() == ErrorKind::ReadOnly && self.may_fail() => Ok(()),
                outcome => refused("dropping what is not there", outcome, ErrorKind::NotFound),
            };
        };
        let failed = outcome.is_err();
        let write = vec![Effect::Name { space, tree: None }];
        self.settle("dropping a keyspace", write, self.syncs(None), outcome)?;
        if failed && self.poisoned.is_some() {
            // It may be marked as dropped already: only opening again tells.
            self.world.fs.set_capacity(u64::MAX);
            drop(handle);
            return self.reopen(super::op::End::Drop, None);
        }
        if !failed {
            self.open.spaces[space] = None;
            self.stale.push(handle);
        }
        Ok(())
    }

    pub(super) fn use_stale(&mut self) -> Check {
        let Some(stale) = self.stale.last() else { return Ok(()) };
        met(Met::StaleKeyspace);
        let gone = ErrorKind::NotFound;
        refused("get in a dropped keyspace", stale.get("k"), gone)?;
        refused("an iterator in a dropped keyspace", stale.iter().next().transpose(), gone)?;
        refused("a cursor in a dropped keyspace", stale.cursor().first(), gone)?;
        if self.poisoned.is_some() || self.may_fail() {
            return Ok(());
        }
        refused("put in a dropped keyspace", stale.put("k", "v"), gone)?;
        let mut batch = WriteBatch::new();
        batch.put("k", "never");
        batch.within(stale).put("k", "never");
        refused("a batch over a dropped keyspace", self.open.db.write(batch), gone)?;
        let tree = self.tree(0)?;
        compare::point(&self.oracle, &self.open.db, tree, b"k", &self.oracle.now()).map(|_| ())
    }

    pub(super) fn names(&mut self) -> Check {
        let names = self.open.db.keyspaces().map_err(failed("keyspaces"))?;
        let due: Vec<&str> = (1..=NAMED)
            .filter(|space| self.oracle.tree(*space, self.oracle.seq).is_some())
            .map(|space| NAMES[space])
            .collect();
        if names != due {
            return Err(format!("the keyspaces are {names:?} instead of {due:?}"));
        }
        Ok(())
    }

    /// One byte over a limit is refused and changes nothing; the limit itself is legal.
    pub(super) fn limits(&mut self, space: u8) -> Check {
        if self.may_fail() || self.poisoned.is_some() {
            return Ok(());
        }
        met(Met::Limits);
        for len in [LONGEST - 1, LONGEST] {
            self.put(space, Key::Long(len), 28, None)?;
        }
        let space = self.existing(space);
        let store = self.store(space);
        let over = vec![b'L'; LONGEST as usize + 1];
        let kind = ErrorKind::InvalidArgument;
        refused("put of too long a key", store.put(&over, b"v"), kind)?;
        refused("delete of too long a key", store.delete(&over), kind)?;
        let bound = std::ops::Bound::Included(over.clone());
        let all = std::ops::Bound::Unbounded;
        refused("delete_range to too long a key", store.delete_range(&all, &bound), kind)?;
        let mut batch = WriteBatch::new();
        batch.put("k", "never");
        batch.put(&over, "never");
        refused("a batch with too long a key", store.write(batch, None), kind)?;
        if store.get(&over).map_err(failed("get of too long a key"))?.is_some() {
            return Err("too long a key was found".to_owned());
        }
        let name = "n".repeat(256);
        refused("too long a name", self.open.db.keyspace(&name), kind)?;
        refused("dropping the default keyspace", self.open.db.drop_keyspace(""), kind)?;
        let tree = self.tree(space)?;
        for key in [&b"k"[..], over.get(1..).unwrap_or_default()] {
            compare::point(&self.oracle, self.reader(space), tree, key, &self.oracle.now())
                .map_err(|e| format!("after refused writes, {}: {e}", show(key)))?;
        }
        Ok(())
    }
}
