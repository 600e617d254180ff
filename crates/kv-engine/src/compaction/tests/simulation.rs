//! Loads played through the choices, with sets of keys for tables: the tree comes to rest, its
//! rules hold at every step, and what is written again and again stays within bounds.

use super::{MIB, context, policy};
use crate::compaction::busy::Busy;
use crate::compaction::expand::{Compaction, Kind};
use crate::compaction::pick::pick;
use crate::compaction::policy::{Context, Policy};
use crate::compaction::score::{flush_level, level0_runs};
use crate::compaction::split::Cutter;
use bytes::Bytes;
use kv_manifest::{FileMeta, KeySpan, Version, VersionEdit};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Bytes of an entry: 16 of them are a MiB.
const ENTRY: u64 = MIB / 16;

/// A key's newest sequence number in a table, and whether that deletes it.
type Keys = BTreeMap<u32, (u64, bool)>;

struct Store {
    version: Version,
    policy: Policy,
    busy: Busy,
    context: Context,
    keys: HashMap<u64, Keys>,
    next_file: u64,
    seq: u64,
    flushed: u64,
    written: u64,
    deepest_level0: usize,
    random: u64,
}

/// A compaction that has begun and what its outputs will be.
struct Job {
    ticket: u64,
    edit: VersionEdit,
}

impl Store {
    fn new(policy: Policy) -> Store {
        Store {
            version: Version::default(),
            policy,
            busy: Busy::default(),
            context: context(),
            keys: HashMap::new(),
            next_file: 1,
            seq: 0,
            flushed: 0,
            written: 0,
            deepest_level0: 0,
            random: 0x9E37_79B9_7F4A_7C15,
        }
    }

    fn random(&mut self, below: u32) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 32) as u32 % below
    }

    fn table(&mut self, keys: Keys) -> Arc<FileMeta> {
        let key = |k: Option<&u32>| Bytes::copy_from_slice(&k.unwrap().to_be_bytes());
        let seqs = || keys.values().map(|(seq, _)| *seq);
        let number = self.next_file;
        self.next_file += 1;
        let file = FileMeta {
            number,
            size: keys.len() as u64 * ENTRY,
            entries: keys.len() as u64,
            tombstones: keys.values().filter(|(_, deleted)| *deleted).count() as u64,
            smallest: key(keys.keys().next()),
            largest: key(keys.keys().next_back()),
            min_seq: seqs().min().unwrap(),
            max_seq: seqs().max().unwrap(),
            ..FileMeta::default()
        };
        self.written += file.size;
        self.keys.insert(number, keys);
        Arc::new(file)
    }

    fn install(&mut self, edit: &VersionEdit) {
        self.version = self.version.apply(edit).unwrap();
        self.deepest_level0 = self.deepest_level0.max(level0_runs(&self.version).len());
        self.check_ages();
    }

    /// For each key, what lies above is newer (C2), and no key is on two tables of a level.
    fn check_ages(&self) {
        let mut oldest: HashMap<u32, u64> = HashMap::new();
        for (_, file) in self.version.files() {
            for (key, (seq, _)) in &self.keys[&file.number] {
                if let Some(above) = oldest.insert(*key, *seq) {
                    assert!(above > *seq, "key {key} has {seq} below {above}");
                }
            }
        }
    }

    /// Writes a memtable out.
    fn flush(&mut self, writes: impl IntoIterator<Item = (u32, bool)>) {
        let mut keys = Keys::new();
        for (key, deletes) in writes {
            self.seq += 1;
            keys.insert(key, (self.seq, deletes));
        }
        let bound = |k: Option<&u32>| Bytes::copy_from_slice(&k.unwrap().to_be_bytes());
        let span = KeySpan::closed(bound(keys.keys().next()), bound(keys.keys().next_back()));
        let level = flush_level(&self.version, &span, &self.busy);
        self.flushed += keys.len() as u64 * ENTRY;
        let file = self.table(keys);
        let added = vec![(level, file)];
        self.install(&VersionEdit { added, ..VersionEdit::default() });
    }

    fn begin(&mut self) -> Option<Job> {
        let chosen = pick(&self.version, &self.policy, &self.busy, &self.context)?;
        let ticket = self.busy.reserve(&chosen);
        let deleted = chosen.files().map(|(level, file)| (level, file.number)).collect();
        let added = match chosen.kind {
            Kind::Move => chosen.files().map(|(_, file)| Arc::clone(file)).collect(),
            Kind::Drop => Vec::new(),
            Kind::Merge => self.merge(&chosen),
        };
        let added = added.into_iter().map(|file| (chosen.output_level, file)).collect();
        Some(Job { ticket, edit: VersionEdit { added, deleted, ..VersionEdit::default() } })
    }

    fn end(&mut self, job: Job) {
        self.busy.release(job.ticket);
        self.install(&job.edit);
    }

    fn merge(&mut self, chosen: &Compaction) -> Vec<Arc<FileMeta>> {
        let mut merged = Keys::new();
        for (_, file) in chosen.files() {
            for (key, entry) in &self.keys[&file.number] {
                let newest = merged.entry(*key).or_insert(*entry);
                *newest = (*newest).max(*entry);
            }
        }
        let mut below = chosen.below();
        let mut cutter = Cutter::new(&chosen.grandparents, self.policy.table_size);
        let (mut outputs, mut current) = (Vec::new(), Keys::new());
        for (key, (seq, deleted)) in merged {
            let bytes = key.to_be_bytes();
            if cutter.cut_before(&bytes, current.len() as u64 * ENTRY) {
                outputs.push(std::mem::take(&mut current));
            }
            let seen_alike = seq <= self.context.oldest_snapshot;
            if !(deleted && seen_alike && !below.may_hold(&bytes)) {
                current.insert(key, (seq, deleted));
            }
        }
        outputs.push(current);
        outputs.retain(|keys| !keys.is_empty());
        outputs.into_iter().map(|keys| self.table(keys)).collect()
    }

    /// Compacts until nothing is left to do.
    fn settle(&mut self) {
        for _ in 0..1000 {
            match self.begin() {
                Some(job) => self.end(job),
                None => return,
            }
        }
        panic!("it does not come to rest");
    }

    fn amplification(&self) -> f64 {
        self.written as f64 / self.flushed as f64
    }

    fn report(&self, what: &str) {
        let levels: Vec<_> = (0..kv_manifest::LEVELS)
            .filter(|level| !self.version.level(*level).is_empty())
            .map(|l| {
                format!("{l}: {} in {}", self.version.size(l) / MIB, self.version.level(l).len())
            })
            .collect();
        println!(
            "{what}: writes {:.2} bytes for each; up to {} runs on level 0; MiB by level {}",
            self.amplification(),
            self.deepest_level0,
            levels.join(", ")
        );
    }
}

/// Entries of a flush of 64 MiB.
const FLUSH: u32 = 1024;

#[test]
fn uniform_overwrites_settle_with_bounded_write_amplification() {
    for (keys, bound) in [(2 * FLUSH, 6.0), (18 * FLUSH, 9.0), (48 * FLUSH, 12.0)] {
        let mut store = Store::new(policy());
        for _ in 0..64 {
            let writes: Vec<_> = (0..FLUSH).map(|_| (store.random(keys), false)).collect();
            store.flush(writes);
            store.settle();
        }
        store.report(&format!("{} MiB of keys", keys / 16));
        assert!(store.amplification() < bound, "{}", store.amplification());
        assert!(store.deepest_level0 <= 8, "{}", store.deepest_level0);
        assert!(store.version.total_size() < 2 * u64::from(keys) * ENTRY + 512 * MIB);
    }
}

#[test]
fn under_pressure_level_0_grows_to_what_lies_below() {
    let mut store = Store::new(policy());
    let keys = 18 * FLUSH;
    store.context.pressure = true;
    for _ in 0..96 {
        let writes: Vec<_> = (0..FLUSH).map(|_| (store.random(keys), false)).collect();
        store.flush(writes);
        store.settle();
        let below = store.version.size(6).max(4 * 64 * MIB);
        assert!(store.version.size(0) <= below + 64 * MIB);
    }
    store.report("under pressure");
    assert!(store.amplification() < 3.5, "{}", store.amplification());
    store.context.pressure = false;
    store.settle();
    assert!(level0_runs(&store.version).len() < store.policy.level0_runs);
}

#[test]
fn several_levels_keep_their_sizes() {
    let policy = Policy { base_target: 64 * MIB, ..policy() };
    let mut store = Store::new(policy);
    for _ in 0..96 {
        let writes: Vec<_> = (0..FLUSH).map(|_| (store.random(100 * FLUSH), false)).collect();
        store.flush(writes);
        store.settle();
    }
    store.report("three levels");
    assert!(store.amplification() < 14.0, "{}", store.amplification());
    let targets = crate::compaction::score::targets(&store.version, &store.policy);
    for level in 1..6 {
        let size = store.version.size(level);
        assert!(size as f64 <= 1.0 + targets.bytes[level] as f64, "level {level}: {size}");
    }
}

#[test]
fn a_sequential_load_is_written_once() {
    let mut store = Store::new(policy());
    for flush in 0..64 {
        store.flush((0..FLUSH).map(|i| (flush * FLUSH + i, false)));
        store.settle();
    }
    assert_eq!(store.written, store.flushed);
    assert_eq!(store.version.level(6).len(), 64);
}

#[test]
fn jobs_side_by_side_never_meet() {
    let policy = Policy { base_target: 64 * MIB, ..policy() };
    let mut store = Store::new(policy);
    let mut running: Vec<Job> = Vec::new();
    let mut most = 0;
    for _ in 0..96 {
        // Narrow writes, so that there is room for several jobs.
        let base = store.random(90 * FLUSH);
        let writes: Vec<_> = (0..FLUSH / 2)
            .map(|_| (base + store.random(10 * FLUSH), store.random(4) == 0))
            .collect();
        store.context.pressure = store.random(2) == 0;
        store.flush(writes);
        while running.len() < 3
            && let Some(job) = store.begin()
        {
            running.push(job);
        }
        most = most.max(running.len());
        while !running.is_empty() && store.random(3) > 0 {
            let job = running.swap_remove(store.random(running.len() as u32) as usize);
            store.end(job);
        }
    }
    for job in running {
        store.end(job);
    }
    store.settle();
    store.report("three jobs at once");
    assert!(most > 1);
}

#[test]
fn what_a_snapshot_holds_is_looked_at_when_it_has_gone() {
    let mut store = Store::new(policy());
    store.flush((0..FLUSH).map(|key| (key, false)));
    store.context.oldest_snapshot = store.seq;
    store.flush((0..FLUSH).map(|key| (key, true)));
    store.settle();
    assert!(store.version.total_size() > 0);
    let written = store.written;
    store.settle();
    assert_eq!(store.written, written, "work that cannot free anything was done again");
    store.context.oldest_snapshot = u64::MAX;
    store.settle();
    assert_eq!(store.version.total_size(), 0);
}

#[test]
fn short_sessions_do_not_leave_a_table_each() {
    let mut store = Store::new(policy());
    for session in 0..2000 {
        store.flush([(session, false)]);
        store.settle();
    }
    store.report("short sessions");
    assert!(store.version.files().count() < 64, "{}", store.version.files().count());
    assert!(store.amplification() < 12.0, "{}", store.amplification());
}
