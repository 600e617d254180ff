//! Expiry: a snapshot reads with the clock of its moment, whatever is merged meanwhile.

use crate::world::{World, big, check, pass};
use shuttle::thread;
use std::time::Duration;

#[test]
fn what_a_snapshot_sees_does_not_expire_under_it() {
    check(|| {
        let world = World::new();
        let db = world.open();
        db.put_with_ttl("short", big(1), Duration::from_millis(10)).unwrap();
        db.put("long", big(2)).unwrap();
        let clock = world.clock.clone();
        let time = thread::spawn(move || {
            for _ in 0..4 {
                pass(&clock, 5);
            }
        });
        let compactor = {
            let db = db.clone();
            thread::spawn(move || {
                db.flush().unwrap();
                db.compact().unwrap();
            })
        };
        for _ in 0..2 {
            let snapshot = db.snapshot();
            let seen = snapshot.get("short").unwrap().is_some();
            for _ in 0..3 {
                assert_eq!(snapshot.get("short").unwrap().is_some(), seen, "it expired under it");
                assert_eq!(snapshot.iter().count(), 1 + usize::from(seen));
            }
        }
        time.join().unwrap();
        compactor.join().unwrap();
        assert!(db.get("short").unwrap().is_none());
        assert!(db.get("long").unwrap().is_some());
        db.close().unwrap();
    });
}
