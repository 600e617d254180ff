//! Memory from the system, and a pool in which a memtable leaves its memory to the next one.

use crate::sync::AtomicU64;
use memmap2::{MmapOptions, MmapRaw};
use parking_lot::Mutex;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;

/// From this size on memory is mapped and asked to lie in huge pages: a search touches a dozen
/// places all over it, and each would need its own entry in the processor's page table cache.
const HUGE_PAGE: usize = 2 << 20;

/// The bytes of a piece of memory that the pool keeps: one huge page.
pub(crate) const CHUNK_LEN: usize = HUGE_PAGE;

/// The bytes of one allocation unit; everything is aligned to it.
pub(crate) const UNIT: usize = 8;

/// Zeroed, 8-byte aligned memory whose pages are touched only when they are used.
pub(crate) struct Zeroed {
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
    pub(crate) fn new(len: usize) -> Zeroed {
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
}

impl Zeroed {
    /// Where it begins.
    #[inline]
    pub(crate) fn base(&self) -> *mut u8 {
        self.base.as_ptr()
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
        prefetch(self.memory.base().wrapping_add(byte));
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

/// Memory for many values for a short time. It comes from the system and goes back there at once:
/// an allocator would keep it, for each thread that ever needed some.
pub(crate) struct Brief<T> {
    memory: Zeroed,
    room: usize,
    len: usize,
    of: PhantomData<T>,
}

impl<T: Copy> Brief<T> {
    /// Room for so many values; `None` where they are so few that it is not worth it, or the
    /// system gives no memory.
    pub(crate) fn new(room: usize) -> Option<Brief<T>> {
        let bytes = room.checked_mul(size_of::<T>()).filter(|&bytes| bytes >= HUGE_PAGE)?;
        let memory = Zeroed::mapped(bytes)?;
        memory.base.cast::<T>().is_aligned().then_some(())?;
        Some(Brief { memory, room, len: 0, of: PhantomData })
    }

    /// Appends a value; gives it back where there is no room.
    #[inline]
    pub(crate) fn push(&mut self, value: T) -> Result<(), T> {
        if self.len == self.room {
            return Err(value);
        }
        // SAFETY: `new` saw that `room` values fit and are aligned; this one is among them. Nobody
        // else has the address, since all borrows go through `self`.
        unsafe { self.memory.base.cast::<T>().add(self.len).write(value) };
        self.len += 1;
        Ok(())
    }
}

impl<T> Deref for Brief<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: the first `len` values were written by `push`, aligned and in bounds; they live as
        // long as `self`, which is borrowed.
        unsafe { std::slice::from_raw_parts(self.memory.base.cast::<T>().as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Brief<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above; `self` is borrowed exclusively, and nobody else has the address.
        unsafe { std::slice::from_raw_parts_mut(self.memory.base.cast::<T>().as_ptr(), self.len) }
    }
}

/// Asks the processor to load the line at an address, which may be any; nothing where it knows no
/// such request.
#[inline]
pub(crate) fn prefetch(address: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a prefetch reads nothing that the program sees and faults at no address; SSE is
    // part of x86_64.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast::<i8>());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = address;
}

/// Memory of memtables that are gone, for those that come. A system hands out memory only after
/// it has cleared it, which costs a writer more than the entries that it puts there.
///
/// ```
/// use kv_memtable::{Memtable, Pool};
///
/// let pool = Pool::new(64 << 20);
/// drop(Memtable::with_pool(16 << 20, b"", &pool));
/// let kept = pool.memory();
/// assert!(kept > 0);
/// // The next memtable begins with memory that is there already.
/// let table = Memtable::with_pool(16 << 20, b"", &pool);
/// assert!(pool.memory() < kept);
/// // It comes back, and goes to the system while nothing is written.
/// drop(table);
/// pool.release();
/// assert_eq!(pool.memory(), 0);
/// ```
pub struct Pool {
    free: Mutex<Vec<Zeroed>>,
    most: usize,
}

impl Pool {
    /// An empty pool that keeps at most `bytes`.
    pub fn new(bytes: usize) -> Arc<Pool> {
        Arc::new(Pool { free: Mutex::default(), most: bytes / CHUNK_LEN })
    }

    /// Gives everything that no memtable uses back to the system.
    pub fn release(&self) {
        *self.free.lock() = Vec::new();
    }

    /// The bytes that no memtable uses.
    pub fn memory(&self) -> usize {
        self.free.lock().len() * CHUNK_LEN
    }

    /// A chunk, which may hold anything.
    pub(crate) fn take(&self) -> Zeroed {
        let free = self.free.lock().pop();
        free.unwrap_or_else(|| Zeroed::new(CHUNK_LEN))
    }

    /// Takes chunks back.
    pub(crate) fn keep(&self, chunks: impl Iterator<Item = Zeroed>) {
        let mut free = self.free.lock();
        let room = self.most.saturating_sub(free.len());
        free.extend(chunks.take(room));
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("memory", &self.memory()).finish()
    }
}
