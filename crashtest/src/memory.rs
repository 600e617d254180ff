//! How much memory the program takes: every allocation goes through a counter.

use peak_alloc::PeakAlloc;

#[global_allocator]
static COUNTER: PeakAlloc = PeakAlloc;

/// Bytes that are allocated now.
pub(crate) fn now() -> usize {
    COUNTER.current_usage()
}

/// The most that was allocated at once since the last [`forget_peak`].
pub(crate) fn peak() -> usize {
    COUNTER.peak_usage()
}

/// Begins to look for the peak anew.
pub(crate) fn forget_peak() {
    COUNTER.reset_peak_usage();
}
