//! The contents of a file at one moment: a sparse map of shared pages.
//!
//! Pages are shared between the current image, the durable one and those of crashed copies, and
//! copied when written to; a page that is not there is zero. Bytes of a page behind the length
//! are zero, and there is no page wholly behind it.

use std::collections::BTreeMap;
use std::sync::Arc;

const PAGE_LEN: usize = 4096;
const PAGE: u64 = PAGE_LEN as u64;

#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    pages: BTreeMap<u64, Arc<[u8; PAGE_LEN]>>,
    len: u64,
}

impl Image {
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        let left = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        let mut done = 0;
        while done < wanted {
            let (page, start, take) = piece(offset + done as u64, wanted - done);
            let target = &mut buffer[done..done + take];
            match self.pages.get(&page) {
                Some(page) => target.copy_from_slice(&page[start..start + take]),
                None => target.fill(0),
            }
            done += take;
        }
        wanted
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) {
        let mut done = 0;
        while done < bytes.len() {
            let (page, start, take) = piece(offset + done as u64, bytes.len() - done);
            let page = self.pages.entry(page).or_insert_with(|| Arc::new([0; PAGE_LEN]));
            Arc::make_mut(page)[start..start + take].copy_from_slice(&bytes[done..done + take]);
            done += take;
        }
        if !bytes.is_empty() {
            self.grow(offset + bytes.len() as u64);
        }
    }

    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.len {
            self.pages.split_off(&len.div_ceil(PAGE));
            let (last, start, _) = piece(len, 0);
            if let Some(page) = self.pages.get_mut(&last) {
                Arc::make_mut(page)[start..].fill(0);
            }
        }
        self.len = len;
    }

    pub(super) fn grow(&mut self, len: u64) {
        self.len = self.len.max(len);
    }

    /// Takes over from `newer` the pages in which `len` bytes at `offset` lie.
    pub(super) fn share(&mut self, newer: &Image, offset: u64, len: u64) {
        for page in offset / PAGE..(offset + len).div_ceil(PAGE) {
            match newer.pages.get(&page) {
                Some(shared) => self.pages.insert(page, Arc::clone(shared)),
                None => self.pages.remove(&page),
            };
        }
    }
}

/// The page of `offset`, the place in it, and how much of `len` bytes lies there.
fn piece(offset: u64, len: usize) -> (u64, usize, usize) {
    let start = (offset % PAGE) as usize;
    (offset / PAGE, start, len.min(PAGE_LEN - start))
}
