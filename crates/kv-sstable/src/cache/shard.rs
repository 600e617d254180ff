//! One part of the cache, behind one lock, with S3-FIFO as its policy: a new block enters a small
//! queue; when it comes out unread it leaves, else it moves to the main queue, where each round
//! trip costs it one of the reads that it has had. What left the small queue is remembered for a
//! while, and enters the main queue when it comes back. A block that was made in the place of
//! others which were read enters the main queue at once.
//!
//! Promises: the weight of the entries is at most the limit given to the last `insert` or `trim`.

use super::ENTRY_OVERHEAD;
use super::slot::{Buffer, Slots};
use kv_vfs::testing::{Mark, mark};
use parking_lot::RwLock;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

/// The small queue's share of the limit.
const SMALL_SHARE: usize = 10;
/// Bytes of limit for each remembered place: about two for each block of 4 KiB.
const BYTES_PER_GHOST: usize = 2048;

/// Where a block lies, with the hash of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    hash: u64,
    table: u64,
    offset: u64,
}

impl Place {
    #[inline]
    pub(super) fn new(table: u64, offset: u64) -> Place {
        // Neither number is chosen by an adversary, and a fixed hash lets a run be replayed.
        let a = u128::from(table ^ 0x9E37_79B9_7F4A_7C15);
        let b = u128::from(offset ^ 0xD1B5_4A32_D192_ED03);
        let product =
            (a.wrapping_mul(0xBF58_476D_1CE4_E5B9)) ^ (b.wrapping_mul(0x94D0_49BB_1331_11EB));
        let folded = (product as u64) ^ ((product >> 64) as u64);
        let hash = (folded ^ (folded >> 29)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Place { hash: hash ^ (hash >> 32), table, offset }
    }

    #[inline]
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }
}

impl Hash for Place {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Hands on the hash that a [`Place`] carries.
#[derive(Debug, Default)]
struct Carried(u64);

impl Hasher for Carried {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(self.0.rotate_left(8) ^ u64::from(byte)));
    }

    #[inline]
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[derive(Debug)]
pub(super) struct Shard {
    state: RwLock<State>,
    /// Weight of the entries; written under the lock, read without it.
    used: AtomicUsize,
}

/// What a block that comes in may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// It was read: others give way, and it is on trial.
    Read,
    /// It is likely to be read soon: others give way.
    Expected,
    /// It may be read later: it comes in where there is room.
    Spare,
}

/// A block that comes in.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) data: Buffer,
    /// The slot that it is to be reached through.
    pub(super) home: Option<Home>,
    pub(super) claim: Claim,
}

#[derive(Debug)]
struct Entry {
    data: Buffer,
    /// Where a table reaches the block without asking here.
    home: Option<Home>,
}

/// A slot of an open table. The table may be gone.
#[derive(Debug)]
pub(super) struct Home {
    slots: Weak<Slots>,
    index: usize,
}

impl Home {
    pub(super) fn new(slots: &Arc<Slots>, index: usize) -> Home {
        Home { slots: Arc::downgrade(slots), index }
    }

    fn put(&self, data: Option<Buffer>) {
        if let Some(slots) = self.slots.upgrade() {
            slots.put(self.index, data);
        }
    }

    fn is(&self, other: &Home) -> bool {
        self.index == other.index && self.slots.ptr_eq(&other.slots)
    }
}

impl Entry {
    fn weight(&self) -> usize {
        weight(&self.data)
    }

    /// Makes the block reachable through another slot, and through that alone.
    fn settle(&mut self, home: Home) {
        if let Some(old) = &self.home
            && !old.is(&home)
        {
            old.put(None);
        }
        home.put(Some(self.data.clone()));
        self.home = Some(home);
    }

    /// Empties the slot.
    fn leave(self) {
        if let Some(home) = self.home {
            home.put(None);
        }
    }
}

fn weight(data: &Buffer) -> usize {
    data.len().saturating_add(ENTRY_OVERHEAD)
}

/// Each entry of the map has its place in exactly one of the queues, once.
#[derive(Debug)]
struct State {
    map: HashMap<Place, Entry, BuildHasherDefault<Carried>>,
    small: VecDeque<Place>,
    main: VecDeque<Place>,
    small_weight: usize,
    main_weight: usize,
    ghosts: Ghosts,
}

impl Shard {
    /// `capacity` is the highest limit that will be given.
    pub(super) fn new(capacity: usize) -> Shard {
        Shard {
            state: RwLock::new(State {
                map: HashMap::default(),
                small: VecDeque::new(),
                main: VecDeque::new(),
                small_weight: 0,
                main_weight: 0,
                ghosts: Ghosts::new(capacity / BYTES_PER_GHOST),
            }),
            used: AtomicUsize::new(0),
        }
    }

    /// The block, if it is here.
    #[inline]
    pub(super) fn get(&self, place: &Place) -> Option<Buffer> {
        let state = self.state.read();
        let entry = state.map.get(place)?;
        entry.data.touch();
        Some(entry.data.clone())
    }

    /// The block, if it is here; from now on it is reached through this slot.
    pub(super) fn attach(&self, place: &Place, home: Home) -> Option<Buffer> {
        let mut state = self.state.write();
        let entry = state.map.get_mut(place)?;
        entry.data.touch();
        entry.settle(home);
        Some(entry.data.clone())
    }

    pub(super) fn insert(&self, place: Place, arrival: Arrival, limit: impl FnOnce() -> usize) {
        let Arrival { data, home, claim } = arrival;
        let mut state = self.state.write();
        let (weight, limit) = (weight(&data), limit());
        if weight > limit || (claim == Claim::Spare && state.weight() + weight > limit) {
            return;
        }
        if state.map.contains_key(&place) {
            return;
        }
        state.shrink(limit - weight, limit);
        let mut entry = Entry { data, home: None };
        if let Some(home) = home {
            entry.settle(home);
        }
        state.admit(place, entry, claim);
        self.used.store(state.weight(), Ordering::Relaxed);
    }

    pub(super) fn trim(&self, limit: usize) {
        let mut state = self.state.write();
        state.shrink(limit, limit);
        self.used.store(state.weight(), Ordering::Relaxed);
    }

    pub(super) fn erase_table(&self, table: u64) {
        let mut state = self.state.write();
        state.erase_table(table);
        self.used.store(state.weight(), Ordering::Relaxed);
    }

    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

impl State {
    fn weight(&self) -> usize {
        self.small_weight + self.main_weight
    }

    fn admit(&mut self, place: Place, entry: Entry, claim: Claim) {
        if claim != Claim::Read || self.ghosts.take(place.hash) {
            self.main_weight += entry.weight();
            self.main.push_back(place);
        } else {
            self.small_weight += entry.weight();
            self.small.push_back(place);
        }
        self.map.insert(place, entry);
    }

    /// Evicts until the entries weigh at most `target`.
    fn shrink(&mut self, target: usize, limit: usize) {
        while self.weight() > target {
            if self.small_weight > limit / SMALL_SHARE || self.main.is_empty() {
                self.evict_small();
            } else {
                self.evict_main();
            }
        }
    }

    /// Takes the oldest entry out of the small queue: away, or into the main queue.
    fn evict_small(&mut self) {
        let Some(place) = self.small.pop_front() else { return };
        let Some(entry) = self.map.get_mut(&place) else { return };
        self.small_weight -= entry.weight();
        if entry.data.change_reads(|_| 0) > 0 {
            self.main_weight += entry.weight();
            self.main.push_back(place);
        } else {
            self.remove(&place);
            self.ghosts.put(place.hash);
            mark(Mark::CacheEviction);
        }
    }

    /// Takes the oldest entry out of the main queue: away, or to its end.
    fn evict_main(&mut self) {
        let Some(place) = self.main.pop_front() else { return };
        let Some(entry) = self.map.get_mut(&place) else { return };
        if entry.data.change_reads(|reads| reads.saturating_sub(1)) > 0 {
            self.main.push_back(place);
        } else {
            self.main_weight -= entry.weight();
            self.remove(&place);
            mark(Mark::CacheEviction);
        }
    }

    fn remove(&mut self, place: &Place) {
        if let Some(entry) = self.map.remove(place) {
            entry.leave();
        }
    }

    fn erase_table(&mut self, table: u64) {
        let State { map, small, main, small_weight, main_weight, .. } = self;
        for (queue, weight) in [(small, small_weight), (main, main_weight)] {
            queue.retain(|place| {
                if place.table != table {
                    return true;
                }
                if let Some(entry) = map.remove(place) {
                    *weight -= entry.weight();
                    entry.leave();
                }
                false
            });
        }
    }
}

/// Places that left the small queue unread: a table of hashes in which a newer one overwrites an
/// older one, so that it needs no queue. A wrong answer costs a block's detour through the main
/// queue.
#[derive(Debug)]
struct Ghosts {
    hashes: Box<[u32]>,
}

impl Ghosts {
    fn new(wanted: usize) -> Ghosts {
        Ghosts { hashes: vec![0; wanted.clamp(16, 1 << 20).next_power_of_two()].into() }
    }

    fn slot(&mut self, hash: u64) -> (&mut u32, u32) {
        // Bits that chose neither the shard nor the mark.
        let index = (hash >> 40) as usize & (self.hashes.len() - 1);
        // Zero stands for an empty slot.
        (&mut self.hashes[index], (hash as u32).max(1))
    }

    fn put(&mut self, hash: u64) {
        let (slot, mark) = self.slot(hash);
        *slot = mark;
    }

    /// Whether the place is remembered; it no longer is afterwards.
    fn take(&mut self, hash: u64) -> bool {
        let (slot, mark) = self.slot(hash);
        let found = *slot == mark;
        if found {
            *slot = 0;
        }
        found
    }
}
