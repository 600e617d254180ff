//! Blocks in memory, and the slots through which a table reaches them.
//!
//! A [`Buffer`] is one piece of memory: a reference count, a few words, the bytes. A [`Slots`] has a
//! place for each block of an index partition. A reader looks into the place and reads the block
//! under a guard, without taking a lock and without writing to memory that other threads read;
//! whoever empties the place leaves the block to the readers that still look at it.
//!
//! This module is the crate's only home of unsafe code. `tests/loom.rs` compiles it against loom.
#![allow(unsafe_code)]

use arc_swap::{ArcSwapAny, Guard, RefCnt};
use std::alloc::{Layout, handle_alloc_error};
use std::fmt;
use std::ops::Deref;
use std::ptr::{self, NonNull};

#[cfg(not(all(loom, test)))]
use super::slab;
#[cfg(all(loom, test))]
use loom::alloc::{alloc_zeroed, dealloc};
#[cfg(all(loom, test))]
use loom::sync::atomic::{AtomicU8, AtomicUsize, Ordering, fence};
#[cfg(not(all(loom, test)))]
use std::alloc::{alloc_zeroed, dealloc};
#[cfg(not(all(loom, test)))]
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering, fence};

/// Reads beyond this many are not remembered, so that a hot block is not written to.
pub(crate) const MAX_READS: u8 = 3;

/// Beside the reads that a block inherited: nobody has read it yet.
const UNREAD: u8 = 0x80;

/// Immutable bytes that are shared by reference count, behind a thin pointer.
pub(crate) struct Buffer {
    /// INVARIANT: points to memory of `layout(len)`, out of region `region` of the slab or, where
    /// that is 0, out of the allocator, that begins with an initialised `Head` of this `len`,
    /// followed by `len` initialised bytes that nobody writes any more; `refs` is at least the
    /// number of `Buffer`s that point to it.
    head: NonNull<Head>,
}

/// What lies before the bytes.
#[repr(C)]
pub(crate) struct Head {
    refs: AtomicUsize,
    len: usize,
    region: u32,
    /// How often the block was read, up to [`MAX_READS`], and [`UNREAD`]: for the cache's policy.
    reads: AtomicU8,
}

/// The models have no memory but the allocator's.
#[cfg(all(loom, test))]
mod slab {
    pub(super) struct Piece {
        pub(super) at: std::ptr::NonNull<u8>,
        pub(super) region: u32,
    }

    pub(super) fn take(_: usize) -> Option<Piece> {
        None
    }

    pub(super) fn give(_: Piece) {}
}

/// The head, and header, heads and prefix of a block of 4 KiB with some 40 entries.
const FIRST_LINES: usize = 7;

/// Has the processor fetch the cache line at `at` of `bytes`.
#[inline]
pub(crate) fn prefetch(bytes: &[u8], at: usize) {
    fetch(bytes.as_ptr().wrapping_add(at));
}

#[inline]
fn fetch(line: *const u8) {
    // SAFETY: a prefetch is a hint: it reads nothing, and no address makes it fail.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(line.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}

const BYTES_AT: usize = size_of::<Head>();

// SAFETY: the bytes are never written after `build`, and everything else is atomic.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

/// `None` where no allocation can be that large.
fn layout(len: usize) -> Option<Layout> {
    let size = BYTES_AT.checked_add(len)?;
    Layout::from_size_align(size, align_of::<Head>()).ok()
}

impl Buffer {
    /// Gets memory for `len` bytes, which may hold anything, and lets `fill` write all of them.
    /// `None` where no allocation can be that large.
    pub(crate) fn build<E>(
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Option<Result<Buffer, E>> {
        let layout = layout(len)?;
        let (start, region) = match slab::take(layout.size()) {
            Some(piece) => (piece.at, piece.region),
            None => {
                // SAFETY: the layout's size is not zero, as a head is part of it.
                let Some(start) = NonNull::new(unsafe { alloc_zeroed(layout) }) else {
                    handle_alloc_error(layout)
                };
                (start, 0)
            }
        };
        let head: NonNull<Head> = start.cast();
        // SAFETY: the memory is ours alone, aligned for a head and at least as long as one.
        unsafe {
            head.write(Head { refs: AtomicUsize::new(1), len, region, reads: AtomicU8::new(0) });
        }
        // From here on it is freed when `buffer` is dropped, also when `fill` fails or panics.
        let buffer = Buffer { head };
        // SAFETY: behind the head lie `len` bytes, initialised by `alloc_zeroed`, or by the system
        // that zeroes the slab's pages, and written only with initialised bytes since; nobody else
        // has a pointer to them yet, and the slice ends before `buffer` is handed out.
        let bytes = unsafe { std::slice::from_raw_parts_mut(buffer.start(), len) };
        Some(fill(bytes).map(|()| buffer))
    }

    /// A copy of `bytes`.
    pub(crate) fn copy_of(bytes: &[u8]) -> Buffer {
        let copied = Buffer::build(bytes.len(), |to| {
            to.copy_from_slice(bytes);
            Ok::<(), std::convert::Infallible>(())
        });
        match copied {
            Some(Ok(buffer)) => buffer,
            Some(Err(never)) => match never {},
            None => unreachable!("bytes that exist are no longer than an allocation may be"),
        }
    }

    /// A copy of two pieces, one behind the other.
    pub(crate) fn concat([first, second]: &[&[u8]; 2]) -> Buffer {
        let built = Buffer::build(first.len().saturating_add(second.len()), |to| {
            let (a, b) = to.split_at_mut(first.len());
            a.copy_from_slice(first);
            b.copy_from_slice(second);
            Ok::<(), std::convert::Infallible>(())
        });
        match built {
            Some(Ok(buffer)) => buffer,
            Some(Err(never)) => match never {},
            None => unreachable!("two pieces that exist are no longer than the address space"),
        }
    }

    fn head(&self) -> &Head {
        // SAFETY: the invariant of `head`; the allocation lives as long as `self`.
        unsafe { self.head.as_ref() }
    }

    /// Where the bytes begin.
    fn start(&self) -> *mut u8 {
        // SAFETY: the bytes lie in the same allocation, right behind the head.
        unsafe { self.head.as_ptr().cast::<u8>().add(BYTES_AT) }
    }

    /// Has the processor fetch the first lines, where a search begins, from memory at once: the
    /// header says where in them the next thing lies, so they would come one after the other.
    #[inline]
    pub(crate) fn prefetch(&self) {
        let start = self.head.as_ptr().cast::<u8>();
        for line in 0..FIRST_LINES {
            fetch(start.wrapping_add(line * 64));
        }
    }

    /// Notes that the block was read. Two readers may count as one: it is a hint.
    #[inline]
    pub(crate) fn touch(&self) {
        let reads = &self.head().reads;
        let before = reads.load(Ordering::Relaxed);
        if before != MAX_READS {
            reads.store((before & !UNREAD).saturating_add(1).min(MAX_READS), Ordering::Relaxed);
        }
    }

    /// Gives a block, which nobody has read, so many reads to begin with.
    pub(crate) fn inherit(&self, reads: u8) {
        self.head().reads.store(reads.min(MAX_READS) | UNREAD, Ordering::Relaxed);
    }

    /// How often the block was read lately, beside the read that brought it in. `None` where nobody
    /// has read it since it was made.
    pub(crate) fn reads(&self) -> Option<u8> {
        Some(self.head().reads.load(Ordering::Relaxed)).filter(|reads| reads & UNREAD == 0)
    }

    /// How often the block was read lately; `change` says how many of the reads to keep.
    pub(crate) fn change_reads(&self, change: impl FnOnce(u8) -> u8) -> u8 {
        let reads = &self.head().reads;
        let (before, unread) = (reads.load(Ordering::Relaxed), UNREAD);
        reads.store(change(before & !unread) | (before & unread), Ordering::Relaxed);
        before & !unread
    }
}

impl Clone for Buffer {
    #[inline]
    fn clone(&self) -> Buffer {
        // A new reference is made out of an existing one, so nothing has to be ordered.
        let before = self.head().refs.fetch_add(1, Ordering::Relaxed);
        if before > isize::MAX as usize {
            // Leaked references without number would wrap the count.
            std::process::abort();
        }
        Buffer { head: self.head }
    }
}

impl Drop for Buffer {
    #[inline]
    fn drop(&mut self) {
        if self.head().refs.fetch_sub(1, Ordering::Release) == 1 {
            // Everything that others did with the block happens before it is freed.
            fence(Ordering::Acquire);
            let (len, region) = (self.head().len, self.head().region);
            // SAFETY: this was the last reference, so nobody else can reach the head, which is not
            // used any more.
            unsafe { ptr::drop_in_place(self.head.as_ptr()) };
            if region != 0 {
                slab::give(slab::Piece { at: self.head.cast(), region });
            } else if let Some(layout) = layout(len) {
                // SAFETY: as above; the memory came from the allocator with this layout.
                unsafe { dealloc(self.head.as_ptr().cast(), layout) };
            }
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: the invariant of `head`: so many bytes, initialised, never written again.
        unsafe { std::slice::from_raw_parts(self.start(), self.head().len) }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Default for Buffer {
    fn default() -> Buffer {
        Buffer::copy_of(&[])
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer of {} bytes", self.len())
    }
}

// SAFETY: a `Buffer` is a pointer to a reference count, and `into_ptr` and `from_ptr` hand one
// reference on; every pointer that `as_ptr` answers is the one that `into_ptr` would.
unsafe impl RefCnt for Buffer {
    type Base = Head;

    fn into_ptr(me: Buffer) -> *mut Head {
        let head = me.head.as_ptr();
        std::mem::forget(me);
        head
    }

    fn as_ptr(me: &Buffer) -> *mut Head {
        me.head.as_ptr()
    }

    unsafe fn from_ptr(head: *const Head) -> Buffer {
        // SAFETY: the caller passes what `into_ptr` answered, which is not null.
        Buffer { head: unsafe { NonNull::new_unchecked(head.cast_mut()) } }
    }
}

/// A look at a block that is in the cache: it stays in memory as long as this lives.
pub(crate) struct Seen(Guard<Option<Buffer>>);

impl Seen {
    /// The block.
    #[inline]
    pub(crate) fn buffer(&self) -> Option<&Buffer> {
        self.0.as_ref()
    }
}

/// A place for each block of an index partition.
///
/// INVARIANT: kept by the cache, which fills and empties a place under the lock of the block's
/// shard: what a place holds is in the cache.
pub(crate) struct Slots(Box<[ArcSwapAny<Option<Buffer>>]>);

impl Slots {
    /// `count` empty places.
    pub(crate) fn new(count: usize) -> Slots {
        Slots((0..count).map(|_| ArcSwapAny::new(None)).collect())
    }

    /// Bytes of memory for so many places.
    pub(crate) fn memory(count: usize) -> usize {
        count * size_of::<ArcSwapAny<Option<Buffer>>>()
    }

    /// A look into place `i`.
    #[inline]
    pub(crate) fn look(&self, i: usize) -> Option<Seen> {
        Some(Seen(self.0.get(i)?.load()))
    }

    pub(crate) fn put(&self, i: usize, buffer: Option<Buffer>) {
        if let Some(slot) = self.0.get(i) {
            slot.store(buffer);
        }
    }
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} slots", self.0.len())
    }
}
