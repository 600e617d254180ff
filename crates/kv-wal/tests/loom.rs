//! Every interleaving of small runs of the log itself: who does a round, who waits for it, and who
//! hears of its failure. A wake-up that is lost is a deadlock, which the checker reports.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p kv-wal --release --test loom
//! ```
#![cfg(loom)]

use kv_vfs::{Fault, FaultError, FaultFs, MemFs, OpKind};
use kv_wal::{Error, Log, LogOptions, Result, Segment};
use std::io;
use std::path::Path;
use std::sync::Arc;

struct World {
    fs: FaultFs,
    log: Log,
}

impl World {
    fn new() -> Arc<World> {
        let fs = FaultFs::new(Arc::new(MemFs::volatile()));
        let segment = Segment::create(&fs, Path::new("/000001.log"), 1).unwrap();
        let log = Log::start(segment, None, 1, LogOptions::default()).unwrap();
        Arc::new(World { fs, log })
    }

    fn write_durably(&self) -> Result<()> {
        let (appended, ()) = self.log.append(1, &[b"x"], |_| Ok::<_, Error>(()))?;
        self.log.sync_to(appended.position)
    }

    fn write(&self) -> Result<()> {
        let (appended, ()) = self.log.append(1, &[b"x"], |_| Ok::<_, Error>(()))?;
        self.log.write_to(appended.position)
    }
}

fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(run);
}

#[test]
fn a_failed_sync_is_heard_by_the_leader_and_by_every_follower() {
    model(|| {
        let world = World::new();
        world.fs.arm(Fault::new(OpKind::Sync, FaultError::from(io::ErrorKind::Other)).times(1));
        let others: Vec<_> = (0..2)
            .map(|_| {
                let world = Arc::clone(&world);
                loom::thread::spawn(move || world.write_durably())
            })
            .collect();
        assert!(world.write_durably().is_err());
        assert!(others.into_iter().all(|other| other.join().unwrap().is_err()));
        assert!(world.log.failure().is_some());
    });
}

#[test]
fn everyone_who_waits_for_a_round_is_woken() {
    model(|| {
        let world = World::new();
        let other = Arc::clone(&world);
        let other = loom::thread::spawn(move || other.write_durably());
        let third = Arc::clone(&world);
        let third = loom::thread::spawn(move || third.write());
        world.write_durably().unwrap();
        other.join().unwrap().unwrap();
        third.join().unwrap().unwrap();
        assert_eq!(world.log.next_seq(), 4);
    });
}

/// A log with windows, which a file system that injects faults does not have.
fn with_windows() -> (Arc<Log>, impl Fn(u64) -> Segment) {
    let fs = MemFs::volatile();
    let segment = move |n| Segment::create(&fs, Path::new(&format!("/{n:06}.log")), n).unwrap();
    (Arc::new(Log::start(segment(1), None, 1, LogOptions::default()).unwrap()), segment)
}

fn copy(log: &Log, payload: &[u8]) {
    let appended = log.append_and_copy(1, &[payload], |_| Ok::<_, Error>(())).unwrap().0;
    if !appended.written {
        log.write_to(appended.position).unwrap();
    }
}

#[test]
fn copies_beside_a_sync_and_a_roll_lose_nobody() {
    model(|| {
        let (log, segment) = with_windows();
        let other = Arc::clone(&log);
        let other = loom::thread::spawn(move || copy(&other, b"x"));
        let third = Arc::clone(&log);
        let third = loom::thread::spawn(move || {
            let (appended, ()) = third.append(1, &[b"y"], |_| Ok::<_, Error>(())).unwrap();
            third.sync_to(appended.position).unwrap();
        });
        copy(&log, b"z");
        log.roll(segment(2), |_| ()).unwrap();
        other.join().unwrap();
        third.join().unwrap();
        assert_eq!(log.next_seq(), 4);
    });
}

/// Who waits for the round after one for a long record is not forgotten, though a copy may have
/// done its work.
#[test]
fn a_copy_behind_a_long_record_passes_nobody_over() {
    model(|| {
        let (log, _) = with_windows();
        copy(&log, b"opens the window");
        let others: Vec<_> = (0..2)
            .map(|_| {
                let log = Arc::clone(&log);
                loom::thread::spawn(move || copy(&log, b"x"))
            })
            .collect();
        copy(&log, &[1; 2_000]);
        copy(&log, b"y");
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(log.next_seq(), 6);
    });
}

#[test]
fn a_roll_beside_a_finish_ends() {
    model(|| {
        let world = World::new();
        let writer = Arc::clone(&world);
        let writer = loom::thread::spawn(move || writer.write());
        let closer = Arc::clone(&world);
        let closer = loom::thread::spawn(move || closer.log.finish());
        let next = Segment::create(&world.fs, Path::new("/000002.log"), 2).unwrap();
        let rolled = world.log.roll(next, |_| ());
        assert!(matches!(rolled, Ok(()) | Err(Error::Finished { .. })));
        let written = writer.join().unwrap();
        assert!(matches!(written, Ok(()) | Err(Error::Finished { .. })));
        closer.join().unwrap().unwrap();
        assert_eq!(world.log.synced(), world.log.end());
    });
}
