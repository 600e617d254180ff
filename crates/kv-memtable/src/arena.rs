//! Zeroed memory that is handed out front to back and given back all at once.
//!
//! Promises: an allocation is 8-byte aligned, zeroed, handed out once, and stays where it is
//! until the arena is dropped. Allocating is lock-free: one `fetch_add`. The arena never hands
//! out more than its capacity. It knows nothing about what lies in it.

use crate::sync::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use memmap2::{MmapOptions, MmapRaw};
use std::ops::Deref;
use std::ptr::{self, NonNull};

/// From this size on memory is mapped and asked to lie in huge pages: a search touches a dozen
/// places all over it, and each would need its own entry in the processor's page table cache.
const HUGE_PAGE: usize = 2 << 20;

/// The bytes of one allocation unit; everything is aligned to it.
pub(crate) const UNIT: usize = 8;

/// The bytes of a cache line, and how many lines are asked for ahead of the next allocation.
const LINE: usize = 64;
const AHEAD_LINES: usize = 4;

/// The most bytes that `u32` offsets in [`UNIT`]s reach.
const MAX_LEN: usize = (u32::MAX as usize).saturating_mul(UNIT);

/// Zeroed, 8-byte aligned memory whose pages are touched only when they are used.
struct Zeroed {
    base: NonNull<u8>,
    len: usize,
    owner: Owner,
}

enum Owner {
    /// Keeps the mapping alive.
    Map { _map: MmapRaw },
    /// A boxed slice, taken apart so that its pointer may be shared.
    Heap(NonNull<[u64]>),
}

// SAFETY: `Zeroed` owns its memory, which does not depend on the thread. It hands out no
// reference itself; who derives some from `base` answers for them.
unsafe impl Send for Zeroed {}
// SAFETY: as above; a shared `Zeroed` gives nothing but the address and the length.
unsafe impl Sync for Zeroed {}

impl Zeroed {
    fn new(len: usize) -> Zeroed {
        if len >= HUGE_PAGE
            && let Some(zeroed) = Zeroed::mapped(len)
        {
            return zeroed;
        }
        let words: NonNull<[u64]> =
            NonNull::from(Box::leak(vec![0u64; len.div_ceil(UNIT)].into_boxed_slice()));
        Zeroed { base: words.cast(), len, owner: Owner::Heap(words) }
    }

    /// `None` where the system gives no mapping; the allocator then has the last word.
    fn mapped(len: usize) -> Option<Zeroed> {
        let map = MmapOptions::new().len(len).map_anon().ok()?;
        // Only advice: small pages are slower, not wrong.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        let map = MmapRaw::from(map);
        let base = NonNull::new(map.as_mut_ptr())?;
        Some(Zeroed { base, len, owner: Owner::Map { _map: map } })
    }

    /// Asks the processor to load the line at an offset; nothing where it knows no such request.
    #[inline]
    fn prefetch(&self, offset: usize) {
        let address = self.base.as_ptr().wrapping_add(offset).cast_const();
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        // SAFETY: a prefetch reads nothing that the program sees and faults at no address; SSE
        // is part of x86_64.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(address.cast::<i8>());
        }
        #[cfg(not(all(target_arch = "x86_64", not(miri))))]
        let _ = address;
    }
}

impl Drop for Zeroed {
    fn drop(&mut self) {
        if let Owner::Heap(words) = self.owner {
            // SAFETY: the pointer came from `Box::leak` in `new` and is freed only here; every
            // borrow of the memory is bound to a borrow of its owner, so none is left.
            drop(unsafe { Box::from_raw(words.as_ptr()) });
        }
    }
}

/// A fixed number of atomic words, all zero at first.
pub(crate) struct Words {
    memory: Zeroed,
    /// As in [`Arena`].
    #[cfg(all(loom, test))]
    modelled: Vec<AtomicU64>,
}

impl Words {
    pub(crate) fn new(count: usize) -> Words {
        let count = count.max(1);
        Words {
            memory: Zeroed::new(count * size_of::<u64>()),
            #[cfg(all(loom, test))]
            modelled: (0..count).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Asks the processor to load the line at a byte.
    #[inline]
    pub(crate) fn prefetch(&self, byte: usize) {
        self.memory.prefetch(byte);
    }
}

impl Deref for Words {
    type Target = [AtomicU64];

    #[cfg(not(all(loom, test)))]
    #[inline]
    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: the memory is aligned, `len` bytes long, initialised (zeroed), lives as long as
        // `self`, and is reached in no other way than through these atomics.
        unsafe {
            std::slice::from_raw_parts(
                self.memory.base.as_ptr().cast::<AtomicU64>(),
                self.memory.len / size_of::<u64>(),
            )
        }
    }

    #[cfg(all(loom, test))]
    fn deref(&self) -> &[AtomicU64] {
        &self.modelled
    }
}

/// Alone in its cache line: every insert writes it, and what lies around it is only read.
#[repr(align(64))]
struct Used(AtomicUsize);

/// A bump allocator of fixed capacity. Offsets are in bytes from its start.
pub(crate) struct Arena {
    memory: Zeroed,
    capacity: usize,
    used: Used,
    /// loom's atomics are no plain words, so its models keep them beside the memory.
    #[cfg(all(loom, test))]
    modelled: (Vec<AtomicU32>, Vec<AtomicU64>),
}

impl Arena {
    /// An arena of `capacity` bytes, rounded up to whole units; offsets bound it at 32 GiB.
    pub(crate) fn new(capacity: usize) -> Arena {
        let capacity = capacity.min(MAX_LEN).next_multiple_of(UNIT);
        Arena {
            memory: Zeroed::new(capacity),
            capacity,
            used: Used(AtomicUsize::new(0)),
            #[cfg(all(loom, test))]
            modelled: (
                (0..capacity / 4).map(|_| AtomicU32::new(0)).collect(),
                (0..capacity / 8).map(|_| AtomicU64::new(0)).collect(),
            ),
        }
    }

    /// Hands out `len` zeroed bytes (a multiple of [`UNIT`]) and answers their offset, or `None`
    /// where fewer are left.
    #[inline]
    pub(crate) fn allocate(&self, len: usize) -> Option<usize> {
        debug_assert!(len.is_multiple_of(UNIT));
        // Asked first, so that an entry that is too long leaves the room to shorter ones, and so
        // that failed calls never add up.
        if len > self.capacity - self.used() {
            return None;
        }
        // Relaxed: the offset alone makes the bytes the caller's own; links publish what they hold.
        let at = self.used.0.fetch_add(len, Ordering::Relaxed);
        // What comes next will write the lines behind: they are fetched while other things are
        // done, for the first atomic operation after a write waits until it is in the cache.
        for line in 0..AHEAD_LINES {
            self.prefetch(at + len + line * LINE);
        }
        (at <= self.capacity && len <= self.capacity - at).then_some(at)
    }

    /// How many bytes are handed out.
    pub(crate) fn used(&self) -> usize {
        // Threads that meet at the end may each have added a length that did not fit.
        self.used.0.load(Ordering::Relaxed).min(self.capacity)
    }

    /// The address of an offset.
    ///
    /// # Safety
    ///
    /// `offset` lies within the arena.
    #[inline]
    pub(crate) unsafe fn at(&self, offset: usize) -> *mut u8 {
        debug_assert!(offset < self.capacity);
        // SAFETY: the caller vouches for the bound.
        unsafe { self.memory.base.as_ptr().add(offset) }
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
        // SAFETY: aligned and in bounds by the caller; initialised because the memory is zeroed;
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

    /// Asks the processor to load the line at an offset.
    #[inline]
    pub(crate) fn prefetch(&self, offset: usize) {
        self.memory.prefetch(offset);
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
        unsafe {
            ptr::copy_nonoverlapping(
                bytes.as_ptr(),
                self.memory.base.as_ptr().add(offset),
                bytes.len(),
            )
        }
    }
}
