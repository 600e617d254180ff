//! What has not surfaced after a cut can be copied, and another clock does not change it.

use kv_vfs::{CutFill, CutGrain, CutOrder, CutPolicy, Fs, FsFileExt, ManualClock, MemFs};
use std::path::Path;
use std::sync::Arc;

/// A file whose name and bytes are pending.
fn pending() -> MemFs {
    let fs = MemFs::new();
    let file = fs.create_new(Path::new("/a")).unwrap();
    file.write_all_at(b"late", 0).unwrap();
    fs
}

#[test]
fn a_second_cut_keeps_late_what_is_late() {
    let policy = CutPolicy::new(CutOrder::Delayed, CutGrain::Whole, CutFill::Zero);
    let mut surfaced = 0;
    for seed in 0..50 {
        let cut = pending().power_cut(policy, seed);
        let copy = cut.cut_again();
        assert_eq!(copy.fingerprint(), cut.fingerprint());
        assert_eq!(copy.pending(), cut.pending());
        let (first, second) = (copy.crash_with(&mut |_| true), cut.crash_with(&mut |_| true));
        assert_eq!(first.fingerprint(), second.fingerprint());
        surfaced += u32::from(first.fingerprint() != cut.fingerprint());
    }
    assert!(surfaced > 0, "nothing was late");
}

#[test]
fn another_clock_is_another_time_on_the_same_files() {
    let fs = pending();
    let (print, left) = (fs.fingerprint(), fs.pending());
    let moved = fs.on_clock(Arc::new(ManualClock::new()));
    assert_eq!((moved.fingerprint(), moved.pending()), (print, left));
    use kv_vfs::Clock as _;
    assert_eq!(moved.clock().wall(), ManualClock::new().wall());
}
