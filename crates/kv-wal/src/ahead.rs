//! The window on what comes next in a segment: a record that is copied there is written.

use crate::segment::Space;
use crate::state::{Current, State};
use kv_vfs::sync::MutexGuard;
use kv_vfs::{FsFile, FsWindow};
use std::ops::Range;

/// The first window of a segment. Each next one is twice as big, while they are used up.
const FIRST_WINDOW: u64 = 16 << 10;
/// It takes some 100 µs to open one of this size, so it is for many small records only.
const BIGGEST_WINDOW: u64 = 512 << 10;
/// Records of more bytes on average get windows of an eighth of that.
const SMALL_RECORD: u64 = 256;
/// Longer records are written by the system: it takes them no longer than a share of a window.
const LONGEST_RECORD: u64 = 1 << 10;
/// The most that is copied at once: the log's lock is held for it.
const MOST_COPIED: usize = 32 << 10;

/// The window on the current segment, if there is one, and how big the next one will be.
#[derive(Debug)]
pub(crate) struct Ahead {
    window: Option<Box<dyn FsWindow>>,
    /// Bytes of the next window; none where there will be none.
    size: u64,
    biggest: u64,
    /// Bytes and records copied into the one that is open.
    copied: u64,
    records: u64,
}

/// A window to be opened, without the lock, while nothing is being written.
struct Plan {
    part: Range<u64>,
    /// How far space is reserved, and how far it must be.
    reserved: u64,
    needed: u64,
    /// The one before it, which is closed with it.
    _old: Option<Box<dyn FsWindow>>,
}

/// What came of a plan.
struct Opened {
    window: Option<Box<dyn FsWindow>>,
    /// How far space is reserved now.
    reserved: u64,
    /// The file has no windows.
    refused: bool,
}

impl Ahead {
    /// No window yet. None will be bigger than the biggest step by which space is reserved.
    pub(crate) fn new(biggest_step: u64) -> Ahead {
        let biggest = BIGGEST_WINDOW.min(biggest_step);
        Ahead { window: None, size: FIRST_WINDOW.min(biggest), biggest, copied: 0, records: 0 }
    }

    /// Copies `bytes`, which are so many records, to `offset` of the segment, if they are worth it
    /// and the window takes them.
    #[inline]
    pub(crate) fn copy(&mut self, bytes: &[u8], records: u64, offset: u64) -> bool {
        let copied = is_worth_it(bytes.len(), records)
            && self.window.as_mut().is_some_and(|window| window.copy(bytes, offset));
        if copied {
            self.copied += bytes.len() as u64;
            self.records += records;
        }
        copied
    }

    /// A new window that begins at `offset`. The present one ends with this.
    fn plan(&mut self, offset: u64, space: &Space) -> Option<Plan> {
        let old = self.window.take();
        if old.is_some() {
            let small = self.copied <= SMALL_RECORD * self.records;
            let most = self.biggest.min(if small { BIGGEST_WINDOW } else { BIGGEST_WINDOW / 8 });
            // Windows that long records pass by are not worth their opening.
            let used_up = 4 * self.copied > self.size;
            self.size = most.min(if used_up { 2 * self.size } else { FIRST_WINDOW });
        }
        (self.copied, self.records) = (0, 0);
        let needed = space.ahead(offset + self.size / 2)?;
        let part = offset..needed.min(offset + self.size);
        Some(Plan { part, reserved: space.reserved(), needed, _old: old })
    }

    /// Takes over what was opened.
    fn take(&mut self, opened: Opened, space: &mut Space) {
        space.reach(opened.reserved);
        self.window = opened.window;
        if opened.refused {
            self.size = 0;
        }
    }
}

/// Whether so many bytes of so many records are to be copied.
fn is_worth_it(bytes: usize, records: u64) -> bool {
    bytes <= MOST_COPIED && bytes as u64 <= LONGEST_RECORD * records
}

/// Opens the window on what is buffered and comes next; answers whether it was tried. A round of
/// writing is on, so nothing else writes there and the segment stays the current one.
pub(crate) fn open(state: &mut MutexGuard<'_, State>) -> bool {
    let (buffered, records) = (state.buffer.len(), state.records);
    let Current { segment, framer, space, ahead, .. } = &mut state.current;
    if ahead.size == 0 || !is_worth_it(buffered, records) {
        return false;
    }
    let Some(plan) = ahead.plan(framer.offset() - buffered as u64, space) else { return false };
    let segment = segment.clone();
    let opened = MutexGuard::unlocked(state, || plan.open(segment.file()));
    let Current { space, ahead, .. } = &mut state.current;
    ahead.take(opened, space);
    true
}

impl Plan {
    /// Reserves the space for the window, and opens it. A full disk is met by the append that
    /// needs the space.
    fn open(self, file: &dyn FsFile) -> Opened {
        let Plan { part, reserved, needed, _old } = self;
        if needed > reserved && file.allocate(needed).is_err() {
            return Opened { window: None, reserved, refused: false };
        }
        let window = file.window(part);
        Opened { refused: window.is_none(), window, reserved: needed }
    }
}
