//! A limit on the bytes per second that background work writes.
//!
//! Flushes go first: a writer may wait for a memtable, and nobody waits for a merge that much. What
//! they write counts for merges, which wait for longer then.

use kv_vfs::sync::Mutex;
use kv_vfs::sync::atomic::{AtomicBool, Ordering};
use kv_vfs::{Clock, FsFile};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// What is written at once is cut into so many pieces a second: then a flush waits for no long piece, the
/// limit holds over short times too, and a close is not kept up.
const PIECES_PER_SECOND: u64 = 20;
/// Pieces are not smaller than this.
const LEAST_PIECE: u64 = 4 << 10;
/// How long a writer sleeps before it looks whether the limit still holds.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);

/// Shared by all background writers of a store. Each write moves the moment at which the next
/// one may begin.
#[derive(Clone, Debug)]
pub(crate) struct Limiter {
    bytes_per_second: u64,
    /// Whether its writes go before those of others.
    first: bool,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    slots: Mutex<Slots>,
    /// Nobody is held to the limit any more.
    lifted: AtomicBool,
}

/// When the next write may begin, by the monotonic clock.
#[derive(Debug, Default)]
struct Slots {
    /// Of those that go first.
    first: Duration,
    /// Of all others.
    others: Duration,
}

impl Slots {
    /// Takes the next slot for a write that takes so long at the limit; answers when it begins.
    /// Who goes first waits for its own kind only, and the others wait for it too.
    fn take(&mut self, now: Duration, cost: Duration, first: bool) -> Duration {
        let start = now.max(if first { self.first } else { self.others });
        if first {
            self.first = start.saturating_add(cost);
            self.others = self.others.max(now).saturating_add(cost);
        } else {
            self.others = start.saturating_add(cost);
        }
        start
    }
}

impl Limiter {
    /// No limit where `bytes_per_second` is the largest number.
    pub(crate) fn new(bytes_per_second: u64) -> Limiter {
        Limiter { bytes_per_second, first: false, shared: Arc::default() }
    }

    /// The same limit, for writes that go first.
    pub(crate) fn first(&self) -> Limiter {
        Limiter { first: true, ..self.clone() }
    }

    /// Ends the limit, also for who waits at present.
    pub(crate) fn lift(&self) {
        self.shared.lifted.store(true, Ordering::Relaxed);
    }

    /// `file`, held to the limit.
    pub(crate) fn over(&self, file: Arc<dyn FsFile>, clock: Arc<dyn Clock>) -> Arc<dyn FsFile> {
        if self.bytes_per_second == u64::MAX {
            return file;
        }
        Arc::new(Limited { file, clock, limiter: self.clone() })
    }

    /// The most bytes that are written at once.
    fn piece(&self) -> usize {
        let piece = (self.bytes_per_second / PIECES_PER_SECOND).max(LEAST_PIECE);
        usize::try_from(piece).unwrap_or(usize::MAX)
    }

    /// Waits until so many bytes may be written.
    fn wait(&self, clock: &dyn Clock, bytes: usize) {
        let now = clock.monotonic();
        let cost = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        let start = self.shared.slots.lock().take(now, cost, self.first);
        while !self.shared.lifted.load(Ordering::Relaxed) {
            let rest = start.saturating_sub(clock.monotonic());
            if rest.is_zero() {
                break;
            }
            clock.sleep(rest.min(LONGEST_SLEEP));
        }
    }
}

#[derive(Debug)]
struct Limited {
    file: Arc<dyn FsFile>,
    clock: Arc<dyn Clock>,
    limiter: Limiter,
}

impl FsFile for Limited {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let piece = bytes.get(..self.limiter.piece()).unwrap_or(bytes);
        self.limiter.wait(&*self.clock, piece.len());
        self.file.write_at(piece, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.file.allocate(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kv_vfs::{Fs, FsFileExt, ManualClock, MemFs};
    use std::path::Path;

    const MIB: u64 = 1 << 20;

    /// Lines of `now who cost -> start`, in milliseconds.
    #[test]
    fn who_goes_first_waits_for_its_own_kind_and_the_others_for_all() {
        let lines = "
            0 merge 50 -> 0
            0 merge 50 -> 50
            10 merge 50 -> 100
            20 flush 50 -> 20
            20 merge 50 -> 200
            60 flush 50 -> 70
            130 flush 50 -> 130
            400 merge 50 -> 400
            400 flush 50 -> 400
            400 merge 50 -> 500
            1000 flush 100 -> 1000
            1000 merge 50 -> 1100
        ";
        let mut slots = Slots::default();
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let ms = |at: usize| Duration::from_millis(words[at].parse().unwrap());
            assert_eq!(slots.take(ms(0), ms(2), words[1] == "flush"), ms(4), "{line}");
        }
    }

    /// Two merges write all the time, and a flush comes after two seconds: it is written as if it were
    /// alone, and all together stay within the limit, but for a piece of each.
    #[test]
    fn a_flush_does_not_wait_for_merges_and_the_limit_holds() {
        let cost = Duration::from_millis(50);
        let mut slots = Slots::default();
        // When each has written what it writes, and how many pieces it writes.
        let mut merges = [Duration::ZERO; 2];
        let (mut flush, mut flushed, mut pieces) = (Duration::from_secs(2), 0, 0u32);
        loop {
            let merge = merges.iter_mut().min().unwrap();
            if flushed < 40 && flush <= *merge {
                flush = slots.take(flush, cost, true) + cost;
                flushed += 1;
            } else if *merge < Duration::from_secs(8) {
                *merge = slots.take(*merge, cost, false) + cost;
            } else {
                break;
            }
            pieces += 1;
        }
        assert_eq!(flush, Duration::from_secs(4), "40 pieces of 50 ms");
        let end = *merges.iter().max().unwrap();
        let possible = end.as_millis() / cost.as_millis();
        assert!(u128::from(pieces) <= possible + 3, "{pieces} pieces, {possible} were due");
        assert!(u128::from(pieces) + 3 >= possible, "{pieces} pieces, {possible} were due");
    }

    fn file(rate: u64) -> (Limiter, Arc<dyn FsFile>, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new());
        let limiter = Limiter::new(rate);
        let file = MemFs::new().create_new(Path::new("/f")).unwrap();
        let limited = limiter.over(file, Arc::clone(&clock) as Arc<dyn Clock>);
        (limiter, limited, clock)
    }

    #[test]
    fn long_and_short_writes_take_the_time_that_they_should() {
        for (rate, len) in [(MIB, MIB), (MIB, 100), (64 << 10, 256 << 10), (10 * MIB, 5_000)] {
            let (_, file, clock) = file(rate);
            let (bytes, mut written) = (vec![1; len as usize], 0);
            while clock.monotonic() < Duration::from_secs(3) {
                file.write_all_at(&bytes, 0).unwrap();
                written += len;
            }
            let passed = clock.monotonic().as_secs_f64();
            let (found, wanted) = (written as f64 / passed, rate as f64);
            let near = (found / wanted - 1.0).abs();
            assert!(near < 0.1, "{found:.0} bytes per second where {wanted} are allowed");
        }
    }

    #[test]
    fn time_that_was_not_used_is_not_made_up_for() {
        let (_, file, clock) = file(MIB);
        clock.advance(Duration::from_secs(100));
        file.write_all_at(&vec![1; 2 * MIB as usize], 0).unwrap();
        let took = clock.monotonic() - Duration::from_secs(100);
        assert!(took > Duration::from_millis(1_900), "{took:?}");
    }

    #[test]
    fn a_lifted_limit_is_none() {
        let (limiter, file, clock) = file(MIB);
        limiter.lift();
        file.write_all_at(&vec![1; 100 * MIB as usize], 0).unwrap();
        assert_eq!(clock.monotonic(), Duration::ZERO);
    }
}
