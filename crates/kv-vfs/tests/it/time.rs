//! Time goes on by itself, or when a test says so.

use kv_vfs::{FaultFs, Fs, ManualClock, MemFs, StdFs};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

#[test]
fn a_file_system_has_one_monotonic_clock() {
    for fs in [Arc::new(StdFs::new()) as Arc<dyn Fs>, Arc::new(MemFs::new())] {
        let earlier = fs.clock();
        earlier.sleep(Duration::from_millis(2));
        let before = earlier.monotonic();
        // Asking for the clock again does not begin time anew.
        assert!(fs.clock().monotonic() >= before);
        assert!(fs.clock().wall() > SystemTime::UNIX_EPOCH);
    }
}

#[test]
fn a_manual_clock_moves_when_it_is_told_to() {
    let clock = Arc::new(ManualClock::new());
    let mem = MemFs::with_clock(clock.clone());
    let seen = FaultFs::new(Arc::new(mem.crash())).clock();
    let (start, wall) = (seen.monotonic(), seen.wall());
    assert_eq!(seen.monotonic(), start, "it stands still");
    clock.advance(Duration::from_secs(5));
    seen.sleep(Duration::from_secs(2));
    assert_eq!(seen.monotonic() - start, Duration::from_secs(7));
    assert_eq!(seen.wall(), wall + Duration::from_secs(7));
    clock.set_wall(SystemTime::UNIX_EPOCH);
    assert_eq!(seen.wall(), SystemTime::UNIX_EPOCH, "the time of day may go back");
    assert_eq!(seen.monotonic() - start, Duration::from_secs(7), "the other never does");
    clock.advance(Duration::MAX);
    assert!(seen.monotonic() > start);
}
