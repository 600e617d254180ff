//! What checkpoints and backups are made of, and what both must keep.

use crate::support::*;
use kv_engine::{Db, Options, WriteBatch};
use kv_vfs::Fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// A store that was filled and compacted so many times: a few tables and a value file. `each` hears of
/// every round.
pub(crate) fn rounds(
    fs: Arc<dyn Fs>,
    count: usize,
    mut each: impl FnMut(&Db, &Model),
) -> (Db, Model) {
    let db = Db::open(DIR, Options::default().write_buffer(4 << 10).file_system(fs)).unwrap();
    let mut model = Model::new();
    for round in 0..count {
        fill(&db, &mut model, 40, round);
        db.put("long", vec![round as u8; 2000]).unwrap();
        model.insert(b"long".to_vec(), vec![round as u8; 2000]);
        db.compact().unwrap();
        each(&db, &model);
    }
    (db, model)
}

/// How many [`Counters`] there are.
const THREADS: usize = 2;

/// Threads of which each counts two keys up and adds an entry, in one batch, until they are stopped.
pub(crate) struct Counters {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// How far each thread was.
pub(crate) type Counts = [Option<u64>; THREADS];

impl Counters {
    pub(crate) fn start(db: &Db) -> Counters {
        let stop = Arc::new(AtomicBool::new(false));
        let count = |thread| {
            let (db, stop) = (db.clone(), Arc::clone(&stop));
            std::thread::spawn(move || {
                let mut i = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    i += 1;
                    let mut batch = WriteBatch::new();
                    batch.put(format!("a{thread}"), i.to_be_bytes());
                    batch.put(format!("z{thread}"), i.to_be_bytes());
                    batch.put(format!("entry{thread}/{i:08}"), [1; 40]);
                    db.write(batch).unwrap();
                }
            })
        };
        let threads = (0..THREADS).map(count).collect();
        Counters { stop, threads }
    }

    pub(crate) fn counts(db: &Db) -> Counts {
        let number = |bytes: kv_engine::Bytes| u64::from_be_bytes(bytes[..].try_into().unwrap());
        std::array::from_fn(|thread| db.get(format!("a{thread}")).unwrap().map(number))
    }

    /// A copy is of one moment, and of none before these counts.
    #[track_caller]
    pub(crate) fn assert_one_moment(copy: &Db, least: Counts) {
        for (thread, (count, least)) in Counters::counts(copy).into_iter().zip(least).enumerate() {
            let twin = copy.get(format!("z{thread}")).unwrap();
            let bytes = count.map(|count| count.to_be_bytes().to_vec());
            assert_eq!(twin.as_deref(), bytes.as_deref(), "half of a batch");
            assert!(count >= least, "what was written before the call is there");
            let entries = copy.prefix(format!("entry{thread}/")).count() as u64;
            assert_eq!(entries, count.unwrap_or(0), "a prefix of what the thread wrote");
        }
        assert!(copy.verify().unwrap().is_ok());
    }

    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}
