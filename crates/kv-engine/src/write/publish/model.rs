//! Every interleaving of two writers that publish and a reader that takes the newest moment:
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p kv-engine --release --lib publish::model
//! ```

use super::*;
use kv_vfs::{Fs, MemFs};
use kv_wal::{Error, Log, LogOptions, Segment};
use loom::sync::atomic::AtomicBool;
use std::path::Path;
use std::sync::Arc;

fn positions() -> [Position; 2] {
    let fs = MemFs::volatile();
    fs.create_dir(Path::new("/log")).unwrap();
    let segment = Segment::create(&fs, Path::new("/log/1"), 1).unwrap();
    let log = Log::start(segment, None, 1, LogOptions::default()).unwrap();
    [1, 2].map(|_| log.append(1, &[b"x"], |_| Ok::<_, Error>(())).unwrap().0.position)
}

fn check(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(run);
}

#[test]
fn what_is_visible_is_in_its_memtable() {
    use Durability::{Os, Sync};
    for asked in [[Sync, Sync], [Os, Os], [Os, Sync], [Sync, Os]] {
        visible_in_order(asked);
    }
}

fn visible_in_order(asked: [Durability; 2]) {
    check(move || {
        let [one, two] = positions();
        let publisher = Arc::new(Publisher::new(0));
        let applied = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
        let write = |seq: SeqNo, position| {
            let (publisher, applied) = (Arc::clone(&publisher), Arc::clone(&applied));
            loom::thread::spawn(move || {
                applied[seq as usize - 1].store(true, Ordering::Relaxed);
                let ticket = publisher.announce(seq, seq, position, asked[seq as usize - 1]);
                assert!(publisher.publish(ticket));
                assert!(publisher.visible() >= seq);
            })
        };
        let writers = [write(1, one), write(2, two)];
        let seen = publisher.visible() as usize;
        assert!(applied[..seen].iter().all(|applied| applied.load(Ordering::Relaxed)));
        assert!(publisher.visible() as usize >= seen);
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        assert_eq!(publisher.visible(), 2);
    });
}

#[test]
fn a_writer_behind_one_that_failed_is_let_go() {
    check(|| {
        let [_, two] = positions();
        let publisher = Arc::new(Publisher::new(0));
        let other = Arc::clone(&publisher);
        let behind =
            loom::thread::spawn(move || other.publish(other.announce(2, 2, two, Durability::Sync)));
        publisher.break_off();
        assert!(!behind.join().unwrap());
        assert_eq!(publisher.visible(), 0);
    });
}
