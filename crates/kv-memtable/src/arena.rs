//! Memory that is handed out front to back and given back all at once.
//!
//! Promises: an allocation is 8-byte aligned, handed out once, lies in one piece, and stays where
//! it is until the arena is dropped. What it holds at first may be anything. Allocating takes no
//! lock but once in a chunk. The arena never hands out more than its capacity, of which the ends
//! of chunks that an allocation did not fit into are no part. It knows nothing about what lies
//! in it.

pub(crate) use crate::chunk::{UNIT, Words};

use crate::chunk::{CHUNK_LEN, Pool, Zeroed};
use crate::sync::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use parking_lot::Mutex;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::AtomicPtr;

/// The bytes of a cache line, and how many lines are asked for ahead of the next allocation.
const LINE: usize = 64;
const AHEAD_LINES: usize = 4;

/// The most bytes that `u32` offsets in [`UNIT`]s reach.
const MAX_LEN: usize = (u32::MAX as usize).saturating_mul(UNIT);

/// The longest allocation of an arena of several chunks, and the longest that is worth its place
/// there: the end of a chunk that has no room for one is lost.
const MAX_PIECE: usize = CHUNK_LEN / 16;
pub(crate) const LONG_PIECE: usize = CHUNK_LEN / 64;

/// Alone in its cache line: every insert writes it, and what lies around it is only read.
#[repr(align(64))]
struct Used(AtomicUsize);

/// A bump allocator of fixed capacity. Offsets are in bytes from its start.
pub(crate) struct Arena {
    /// Where each chunk begins; null until it is wanted.
    bases: Box<[AtomicPtr<u8>]>,
    /// The memory behind `bases`, and that of long values.
    owned: Mutex<Owned>,
    /// Where the chunks come from, if there may be several.
    pool: Option<Arc<Pool>>,
    /// Offsets end here; chunks end before it.
    end: usize,
    used: Used,
    /// Bytes of long values.
    long: AtomicUsize,
    /// loom's atomics are no plain words, so its models keep them beside the memory.
    #[cfg(all(loom, test))]
    modelled: (Vec<AtomicU32>, Vec<AtomicU64>),
}

#[derive(Default)]
struct Owned {
    chunks: Vec<Zeroed>,
    long: Vec<Box<[u8]>>,
}

impl Arena {
    /// An arena of `capacity` bytes, rounded up to whole units; offsets bound it at 32 GiB.
    pub(crate) fn new(capacity: usize, pool: Option<&Arc<Pool>>) -> Arena {
        let pool = pool.filter(|_| capacity > CHUNK_LEN);
        let end = match pool {
            // As much again as the ends of chunks that nothing fitted into.
            Some(_) => {
                let lost = capacity / (CHUNK_LEN / MAX_PIECE) + CHUNK_LEN;
                capacity.saturating_add(lost).min(MAX_LEN).next_multiple_of(UNIT)
            }
            None => capacity.min(MAX_LEN).next_multiple_of(UNIT),
        };
        let arena = Arena {
            bases: match pool {
                Some(_) => (0..end.div_ceil(CHUNK_LEN)).map(|_| AtomicPtr::default()).collect(),
                None => Box::new([AtomicPtr::default()]),
            },
            owned: Mutex::default(),
            pool: pool.cloned(),
            end,
            used: Used(AtomicUsize::new(0)),
            long: AtomicUsize::new(0),
            #[cfg(all(loom, test))]
            modelled: (
                (0..end / 4).map(|_| AtomicU32::new(0)).collect(),
                (0..end / 8).map(|_| AtomicU64::new(0)).collect(),
            ),
        };
        arena.begin(0);
        arena
    }

    /// Gets the memory of a chunk, unless another thread was faster.
    #[cold]
    fn begin(&self, chunk: usize) {
        let mut owned = self.owned.lock();
        if self.bases[chunk].load(Ordering::Relaxed).is_null() {
            let memory = match &self.pool {
                Some(pool) => pool.take(),
                None => Zeroed::new(self.end.max(UNIT)),
            };
            self.bases[chunk].store(memory.base(), Ordering::Release);
            owned.chunks.push(memory);
        }
    }

    /// Whether the chunks are shorter than the arena, so that long pieces do not fit.
    #[inline]
    fn is_cut(&self) -> bool {
        self.pool.is_some()
    }

    /// Hands out `len` bytes (a multiple of [`UNIT`]) and answers their offset, or `None` where
    /// fewer are left, or fewer than that in any chunk.
    #[inline]
    pub(crate) fn allocate(&self, len: usize) -> Option<usize> {
        debug_assert!(len.is_multiple_of(UNIT));
        if self.is_cut() && len > MAX_PIECE {
            return None;
        }
        let end = self.end.saturating_sub(self.long.load(Ordering::Relaxed));
        let mut used = self.used.0.load(Ordering::Relaxed);
        let at = loop {
            let rest = CHUNK_LEN - used % CHUNK_LEN;
            let at = if self.is_cut() && rest < len { used + rest } else { used };
            if len > end.saturating_sub(at) {
                return None;
            }
            // Relaxed: the offset alone makes the bytes the caller's own; links publish what they
            // hold.
            let next = at + len;
            match self.used.0.compare_exchange(used, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => break at,
                Err(now) => used = now,
            }
        };
        let chunk = self.chunk_of(at);
        if self.bases[chunk].load(Ordering::Acquire).is_null() {
            self.begin(chunk);
        }
        // What comes next will write the lines behind: they are fetched while other things are
        // done, for the first atomic operation after a write waits until it is in the cache.
        for line in 0..AHEAD_LINES {
            self.prefetch(at + len + line * LINE);
        }
        Some(at)
    }

    #[inline]
    fn chunk_of(&self, offset: usize) -> usize {
        if self.is_cut() { offset / CHUNK_LEN } else { 0 }
    }

    /// Whether a piece of this length had better lie outside of the chunks.
    #[inline]
    pub(crate) fn is_long(&self, len: usize) -> bool {
        self.is_cut() && len > LONG_PIECE
    }

    /// Keeps a copy of `bytes` outside of the chunks, `None` where there is no room for it. It
    /// stays where it is until the arena is dropped.
    #[cold]
    pub(crate) fn keep_long(&self, bytes: &[u8]) -> Option<*const u8> {
        let room = || {
            let taken = self.used.0.load(Ordering::Relaxed) + self.long.load(Ordering::Relaxed);
            bytes.len() <= self.end.saturating_sub(taken)
        };
        if !room() {
            return None;
        }
        let copy: Box<[u8]> = bytes.into();
        // The heap leaves the bytes where they are when the box moves.
        let at = copy.as_ptr();
        let mut owned = self.owned.lock();
        if !room() {
            return None;
        }
        self.long.fetch_add(bytes.len(), Ordering::Relaxed);
        owned.long.push(copy);
        Some(at)
    }

    /// How many bytes are handed out or lost.
    pub(crate) fn used(&self) -> usize {
        self.used.0.load(Ordering::Relaxed) + self.long.load(Ordering::Relaxed)
    }

    /// The address of an offset.
    ///
    /// # Safety
    ///
    /// `offset` lies within an allocation.
    #[inline]
    pub(crate) unsafe fn at(&self, offset: usize) -> *mut u8 {
        if !self.is_cut() {
            // SAFETY: there is one chunk, as long as the arena; the caller vouches for the bound.
            return unsafe { self.bases.get_unchecked(0).load(Ordering::Relaxed).add(offset) };
        }
        // SAFETY: the caller vouches that the offset was handed out: so its chunk is among
        // `bases` and has its memory, which whoever got the offset knows of (`allocate` loads the
        // base with Acquire, and links are published with Release), and the rest of the offset
        // is less than the chunk's length.
        unsafe {
            let base = self.bases.get_unchecked(offset / CHUNK_LEN).load(Ordering::Relaxed);
            base.add(offset % CHUNK_LEN)
        }
    }

    /// The four atomic bytes at an offset.
    ///
    /// # Safety
    ///
    /// `offset` is a multiple of 4 within an allocation, and those bytes are reached only through
    /// this function.
    #[cfg(not(all(loom, test)))]
    #[inline]
    pub(crate) unsafe fn atomic_u32(&self, offset: usize) -> &AtomicU32 {
        debug_assert!(offset.is_multiple_of(4));
        // SAFETY: aligned and in bounds by the caller; initialised, as all memory here was zeroed or written;
        // all accesses are atomic; the memory outlives the borrow of `self`.
        unsafe { AtomicU32::from_ptr(self.at(offset).cast()) }
    }

    /// The eight atomic bytes at an offset.
    ///
    /// # Safety
    ///
    /// `offset` is a multiple of 8 within an allocation, and those bytes are reached only through
    /// this function.
    #[cfg(not(all(loom, test)))]
    #[inline]
    pub(crate) unsafe fn atomic_u64(&self, offset: usize) -> &AtomicU64 {
        debug_assert!(offset.is_multiple_of(8));
        // SAFETY: as in `atomic_u32`.
        unsafe { AtomicU64::from_ptr(self.at(offset).cast()) }
    }

    /// As above, in a model: no way is unsafe.
    #[cfg(all(loom, test))]
    pub(crate) unsafe fn atomic_u32(&self, offset: usize) -> &AtomicU32 {
        &self.modelled.0[offset / 4]
    }

    /// As above, in a model: no way is unsafe.
    #[cfg(all(loom, test))]
    pub(crate) unsafe fn atomic_u64(&self, offset: usize) -> &AtomicU64 {
        &self.modelled.1[offset / 8]
    }

    /// Asks the processor to load the line at an offset, if there is one.
    #[inline]
    pub(crate) fn prefetch(&self, offset: usize) {
        if let Some(base) = self.bases.get(self.chunk_of(offset)) {
            let inside = if self.is_cut() { offset % CHUNK_LEN } else { offset };
            crate::chunk::prefetch(base.load(Ordering::Relaxed).wrapping_add(inside));
        }
    }

    /// Copies `bytes` to an offset.
    ///
    /// # Safety
    ///
    /// The bytes from `offset` on are in an allocation that nobody else has seen yet.
    #[inline]
    pub(crate) unsafe fn write(&self, offset: usize, bytes: &[u8]) {
        // SAFETY: the target is in bounds and exclusively the caller's; `bytes` is borrowed from
        // elsewhere, since nobody has a reference into that allocation.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.at(offset), bytes.len()) }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            pool.keep(std::mem::take(&mut self.owned.get_mut().chunks).into_iter());
        }
    }
}
