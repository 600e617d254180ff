//! Cut anywhere, the database is the one before or the one after; and nothing acknowledged goes.

use crate::support::{Watched, dir, disk, open, step};
use bytes::Bytes;
use kv_manifest::{Manifest, VersionEdit};
use kv_vfs::{Fs, MemFs};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// How many steps have been acknowledged and begun.
#[derive(Default)]
struct Progress {
    acknowledged: AtomicU64,
    begun: AtomicU64,
    images: AtomicUsize,
}

impl Progress {
    /// The step that a state holds, which is between what was acknowledged and what was begun.
    fn check(&self, fs: &MemFs) -> Option<u64> {
        let (floor, ceiling) =
            (self.acknowledged.load(Ordering::Relaxed), self.begun.load(Ordering::Relaxed));
        self.images.fetch_add(1, Ordering::Relaxed);
        let state = Manifest::read(fs, dir()).unwrap_or_else(|e| {
            panic!("step {floor} to {ceiling}: {e}; {:?}", fs.list(dir()));
        });
        let Some(state) = state else {
            assert_eq!(floor, 0, "the database is gone");
            return None;
        };
        // Step 1 is the creation; each later one counts the last sequence number on.
        let found = state.last_seq + 1;
        assert!((floor..=ceiling).contains(&found), "{found} is not in {floor}..={ceiling}");
        assert_eq!(state.version.files().count() as u64, found - 1);
        Some(found)
    }
}

/// The disk after a power cut in which the pending operations in the bits of `mask` survived,
/// and how many there were.
fn cut(fs: &MemFs, mask: u64) -> (MemFs, u32) {
    let mut pending = 0;
    let after = fs.crash_with(&mut |_| {
        pending += 1;
        mask >> ((pending - 1) % 64) & 1 == 1
    });
    (after, pending)
}

/// Looks at what every subset of the pending operations leaves, or many where there are too many.
fn cut_everywhere(fs: &MemFs, mut look: impl FnMut(&MemFs, u64)) {
    let (after, pending) = cut(fs, 0);
    look(&after, 0);
    let all = u64::MAX >> (64 - pending.clamp(1, 63));
    let masks: Vec<u64> = if pending <= 7 {
        (1..=all).collect()
    } else {
        let single = (0..pending.min(63)).flat_map(|b| [1 << b, all & !(1 << b), (1 << b) - 1]);
        let mixed = (1..40_u64).map(|i| i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 7 & all);
        single.chain(mixed).chain([all]).collect()
    };
    for mask in masks {
        look(&cut(fs, mask).0, mask);
    }
}

/// A disk on which every change is preceded by power cuts, and some of these by opening what is
/// left, which is cut everywhere in turn.
fn watched(fs: MemFs, piece: usize, progress: &Arc<Progress>, depth: usize) -> Arc<dyn Fs> {
    let progress = Arc::clone(progress);
    let hook = move |fs: &MemFs| {
        let mut number = 0;
        cut_everywhere(fs, |after, _| {
            let found = progress.check(after);
            number += 1;
            if depth > 0 && number % 4 == 1 {
                open_and_cut(after, piece, found);
            }
        });
    };
    Arc::new(Watched::new(fs, piece, Arc::new(hook)))
}

/// Opens what a power cut left: it must show the same from the first to the last operation.
fn open_and_cut(left: &MemFs, piece: usize, found: Option<u64>) {
    let progress = Arc::new(Progress::default());
    progress.acknowledged.store(found.unwrap_or(0), Ordering::Relaxed);
    progress.begun.store(found.unwrap_or(1), Ordering::Relaxed);
    let manifest = open(&watched(left.clone(), piece, &progress, 0)).unwrap();
    assert_eq!(manifest.state().last_seq + 1, found.unwrap_or(1));
    progress.acknowledged.store(found.unwrap_or(1), Ordering::Relaxed);
    cut_everywhere(left, |after, _| {
        progress.check(after);
    });
}

/// Creates a database, applies edits, opens it again, and goes on.
fn history(piece: usize, depth: usize, settings: usize, steps: u64) -> usize {
    let progress = Arc::new(Progress::default());
    let fs = disk();
    let watched = watched(fs.clone(), piece, &progress, depth);
    let acknowledge = |n: u64| progress.acknowledged.store(n, Ordering::Relaxed);
    let begin = |n: u64| progress.begun.store(n, Ordering::Relaxed);
    begin(1);
    let mut manifest = open(&watched).unwrap();
    acknowledge(1);
    for n in 1..=steps {
        begin(n + 1);
        let settings = Some(Bytes::from(vec![n as u8; settings]));
        manifest.apply(VersionEdit { settings, ..step(n) }).unwrap();
        acknowledge(n + 1);
        if n == 2 {
            manifest = open(&watched).unwrap();
        }
    }
    drop(manifest);
    cut_everywhere(&fs, |after, _| {
        progress.check(after);
    });
    progress.images.load(Ordering::Relaxed)
}

#[test]
fn at_every_operation_with_torn_writes() {
    let images = history(30, 0, 10, 3);
    assert!(images > 1000, "{images}");
}

#[test]
fn at_every_operation_and_again_while_opening() {
    history(1000, 1, 10, 2);
}

#[test]
fn at_every_operation_of_a_roll_over() {
    let images = history(1 << 20, 0, 300_000, 7);
    assert!(images > 100, "{images}");
}

/// What was on its way when the power went may come to light only at the next power cut; by then
/// the manifest that it belonged to does not count.
#[test]
fn an_edit_that_was_lost_stays_lost() {
    let fs = disk();
    let shared: Arc<dyn Fs> = Arc::new(fs.clone());
    let mut manifest = open(&shared).unwrap();
    manifest.apply(step(1)).unwrap();
    // The power goes within the next edit, which was written and not synced.
    let before_sync = Arc::new(AtomicUsize::new(0));
    let images = Arc::new(std::sync::Mutex::new(Vec::new()));
    let keep = Arc::clone(&images);
    let count = Arc::clone(&before_sync);
    let hook = move |fs: &MemFs| {
        count.fetch_add(1, Ordering::Relaxed);
        keep.lock().unwrap().push((fs.crash(), fs.crash_with(&mut |_| true)));
    };
    let (left, _) = {
        let watched: Arc<dyn Fs> = Arc::new(Watched::new(fs.crash(), 1 << 20, Arc::new(hook)));
        let mut manifest = open(&watched).unwrap();
        manifest.apply(step(2)).unwrap();
        images.lock().unwrap().pop().unwrap()
    };
    let left: Arc<dyn Fs> = Arc::new(left);
    let mut manifest = open(&left).unwrap();
    let seen = manifest.state().last_seq;
    let number = manifest.new_file_number();
    assert!(number > manifest.number());
    assert_eq!(Manifest::read(&*left, dir()).unwrap().unwrap().last_seq, seen);
}
