//! Many threads append; one writes for all, one syncs for all.

use crate::support::{append, copy, disk, put, read, segment, start, tight};
use kv_vfs::{Fs, FsFile, FsWindow, MemFs, OverFs};
use kv_wal::{Log, LogOptions};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// Syncs stop here until they are let through.
#[derive(Debug, Default)]
struct Gate {
    /// Syncs that have come, and that may go.
    counts: Mutex<(u64, u64)>,
    changed: Condvar,
}

impl Gate {
    fn pass(&self) {
        let mut counts = self.counts.lock().unwrap();
        counts.0 += 1;
        let place = counts.0;
        self.changed.notify_all();
        drop(self.changed.wait_while(counts, |counts| counts.1 < place).unwrap());
    }

    fn wait_for(&self, syncs: u64) {
        let counts = self.counts.lock().unwrap();
        drop(self.changed.wait_while(counts, |counts| counts.0 < syncs).unwrap());
    }

    fn let_through(&self, syncs: u64) {
        self.counts.lock().unwrap().1 = syncs;
        self.changed.notify_all();
    }
}

/// A file system whose files sync through a gate; for nothing but a log.
#[derive(Debug)]
struct GatedFs {
    inner: MemFs,
    gate: Arc<Gate>,
}

#[derive(Debug)]
struct GatedFile {
    inner: Arc<dyn FsFile>,
    gate: Arc<Gate>,
}

impl FsFile for GatedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.inner.write_at(bytes, offset)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }
    fn allocate(&self, len: u64) -> io::Result<()> {
        self.inner.allocate(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.gate.pass();
        self.inner.sync_data()
    }
    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }
    fn window(&self, part: Range<u64>) -> Option<Box<dyn FsWindow>> {
        self.inner.window(part)
    }
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
}

impl OverFs for GatedFs {
    fn below(&self) -> &dyn Fs {
        &self.inner
    }
    fn create_new(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        let inner = self.inner.create_new(path)?;
        Ok(Arc::new(GatedFile { inner, gate: Arc::clone(&self.gate) }))
    }
}

#[test]
fn what_is_appended_during_a_sync_shares_the_next_one() {
    const LATE: u64 = 20;
    let gate = Arc::new(Gate::default());
    let fs = GatedFs { inner: disk(), gate: Arc::clone(&gate) };
    let log = start(&fs, 1, LogOptions::default());
    let first = append(&log, b"first").unwrap();
    thread::scope(|scope| {
        scope.spawn(|| log.sync_to(first.position).unwrap());
        gate.wait_for(1);
        // The sync is held: all of these come while it is in flight.
        let late: Vec<_> = (0..LATE)
            .map(|_| {
                let position = append(&log, b"late").unwrap().position;
                scope.spawn({
                    let log = &log;
                    move || log.sync_to(position).unwrap()
                })
            })
            .collect();
        assert!(log.synced() < first.position);
        gate.let_through(1);
        gate.wait_for(2);
        assert!(late.iter().all(|thread| !thread.is_finished()), "nothing of these is durable");
        gate.let_through(2);
    });
    assert_eq!(log.stats().syncs, 2);
    assert_eq!(log.synced(), log.end());
    assert_eq!(log.stats().appends, LATE + 1);
}

#[test]
fn appends_and_writes_go_on_while_a_sync_is_in_flight() {
    let gate = Arc::new(Gate::default());
    let fs = GatedFs { inner: disk(), gate: Arc::clone(&gate) };
    let log = start(&fs, 1, LogOptions::default());
    let first = append(&log, b"first").unwrap();
    thread::scope(|scope| {
        scope.spawn(|| log.sync_to(first.position).unwrap());
        gate.wait_for(1);
        put(&log, b"second");
        assert!(copy(&log, b"copied"), "the window of the second is open");
        log.roll(segment(&fs, 2), |_| ()).unwrap();
        put(&log, b"third");
        assert_eq!(read(&fs, [1, 2]).0, [&b"first"[..], b"second", b"copied", b"third"]);
        gate.let_through(u64::MAX);
    });
    log.sync_to(log.end()).unwrap();
    // The first segment once more, to its end, and then the second.
    assert_eq!(log.stats().syncs, 3);
}

#[test]
fn one_write_takes_all_that_is_buffered() {
    let fs = disk();
    let log = start(&fs, 1, LogOptions::default());
    for _ in 0..6 {
        append(&log, b"x").unwrap();
    }
    log.write_to(log.end()).unwrap();
    put(&log, b"y");
    let stats = log.stats();
    assert_eq!((stats.writes, stats.appends, stats.syncs), (2, 7, 0));
    // Six records and the start record, then one.
    assert_eq!(stats.groups[..4], [1, 0, 1, 0]);
    assert_eq!(stats.bytes, log.segment_len());
}

/// Threads append, write, sync and roll, all at once; what they were promised is there.
#[test]
fn every_acknowledged_record_is_there_in_order() {
    const THREADS: u64 = 8;
    const EACH: u64 = 150;
    let fs = disk();
    let log = start(&fs, 1, LogOptions::default());
    let mut acked: Vec<(u64, Vec<u8>)> = thread::scope(|scope| {
        let roller = scope.spawn(|| roll_and_sync(&fs, &log));
        let writers: Vec<_> = (0..THREADS)
            .map(|id| {
                scope.spawn({
                    let log = &log;
                    move || writer(log, id, EACH)
                })
            })
            .collect();
        let acked = writers.into_iter().flat_map(|w| w.join().unwrap()).collect();
        roller.join().unwrap();
        acked
    });
    acked.sort();
    let mut seen = Vec::new();
    let numbers = 1..=log.segment_number();
    let replayed = kv_wal::replay(&fs, &crate::support::files(numbers), |seq, payload| {
        seen.push((seq, payload.to_vec()));
        Ok::<u64, kv_wal::Error>(count_of(payload))
    })
    .unwrap();
    assert_eq!(seen.len() as u64, THREADS * EACH);
    assert!(seen == acked, "the sequence numbers are those that the writers were told");
    assert_eq!((replayed.cut, replayed.last_seq + 1), (None, log.next_seq()));
}

fn count_of(payload: &[u8]) -> u64 {
    u64::from(payload[0])
}

fn writer(log: &Log, id: u64, records: u64) -> Vec<(u64, Vec<u8>)> {
    let mut acked = Vec::new();
    for i in 0..records {
        let count = 1 + (id + i) % 3;
        let mut payload = format!("{id}/{i} {}", "x".repeat((i * 7 % 300) as usize)).into_bytes();
        payload.insert(0, count as u8);
        let admit = |_| Ok::<_, kv_wal::Error>(());
        let appended = match i % 3 {
            0 => log.append(count, &[&payload], admit).unwrap().0,
            _ => log.append_and_copy(count, &[&payload], admit).unwrap().0,
        };
        if (id + i).is_multiple_of(4) {
            log.sync_to(appended.position).unwrap();
            assert!(log.synced() >= appended.position);
        } else if !appended.written {
            log.write_to(appended.position).unwrap();
        }
        acked.push((appended.first_seq, payload));
    }
    acked
}

fn roll_and_sync(fs: &MemFs, log: &Log) {
    for number in 2..12 {
        log.roll(segment(fs, number), |_| ()).unwrap();
        if number % 2 == 0 {
            log.sync_closed().unwrap();
        }
        thread::yield_now();
    }
}

#[test]
fn appends_rolls_and_syncs_of_closed_segments_interleave() {
    let fs = disk();
    let log = start(&fs, 1, tight());
    let next = Mutex::new(2);
    thread::scope(|scope| {
        let (log, fs, next) = (&log, &fs, &next);
        scope.spawn(move || {
            for i in 0..300_u32 {
                let appended = append(log, &i.to_le_bytes()).unwrap();
                log.write_to(appended.position).unwrap();
            }
        });
        for _ in 0..2 {
            scope.spawn(move || {
                for _ in 0..20 {
                    // Numbers are given out in the order of the rolls.
                    let mut next = next.lock().unwrap();
                    log.roll(segment(fs, *next), |_| ()).unwrap();
                    *next += 1;
                    drop(next);
                    log.sync_closed().unwrap();
                }
            });
        }
    });
    let (payloads, replayed) = read(&fs, 1..=41);
    assert_eq!((payloads.len(), replayed.unwrap().cut), (300, None));
}
