//! The contents of a file at one moment: a sparse map of shared pages.
//!
//! Pages are shared between the current image, the durable one and those of crashed copies, and
//! copied when written to, as is the map itself; a page that is not there is zero. Bytes of a page
//! behind the length are zero, and there is no page wholly behind it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const PAGE_LEN: usize = 4096;
const PAGE: u64 = PAGE_LEN as u64;

#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    pages: Arc<BTreeMap<u64, Arc<Page>>>,
    len: u64,
}

/// Bytes, and their hash once someone asked for it: crashed copies share most of their pages.
#[derive(Debug)]
struct Page {
    bytes: [u8; PAGE_LEN],
    /// 0 where it is not known yet, [`ZERO_HASH`] where all is zero.
    hash: AtomicU64,
}

const ZERO_HASH: u64 = 1;

impl Page {
    fn zero() -> Page {
        Page { bytes: [0; PAGE_LEN], hash: AtomicU64::new(0) }
    }

    /// The bytes, to be changed.
    fn bytes_mut(page: &mut Arc<Page>) -> &mut [u8; PAGE_LEN] {
        let page = Arc::make_mut(page);
        *page.hash.get_mut() = 0;
        &mut page.bytes
    }

    fn hash(&self) -> u64 {
        let known = self.hash.load(Ordering::Relaxed);
        if known != 0 {
            return known;
        }
        let hash = hash_page(&self.bytes);
        self.hash.store(hash, Ordering::Relaxed);
        hash
    }
}

impl Clone for Page {
    fn clone(&self) -> Page {
        Page { bytes: self.bytes, hash: AtomicU64::new(0) }
    }
}

fn hash_page(bytes: &[u8; PAGE_LEN]) -> u64 {
    let (mut one, mut two, mut any) = (0, 0, 0);
    let (quads, _) = bytes.as_chunks::<32>();
    for quad in quads {
        let (words, _) = quad.as_chunks::<8>();
        if let [a, b, c, d] = *words {
            let [a, b, c, d] = [a, b, c, d].map(u64::from_le_bytes);
            any |= a | b | c | d;
            one = mix(one ^ a, b);
            two = mix(two ^ c, d);
        }
    }
    if any == 0 { ZERO_HASH } else { mix(one, two).max(2) }
}

/// Mixes a word into a hash.
pub(super) fn mix(hash: u64, word: u64) -> u64 {
    let product =
        u128::from(hash ^ 0x9E37_79B9_7F4A_7C15) * u128::from(word ^ 0xD6E8_FEB8_6659_FD93);
    (product as u64) ^ ((product >> 64) as u64)
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
                Some(page) => target.copy_from_slice(&page.bytes[start..start + take]),
                None => target.fill(0),
            }
            done += take;
        }
        wanted
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) {
        if bytes.is_empty() {
            return;
        }
        let pages = Arc::make_mut(&mut self.pages);
        let mut done = 0;
        while done < bytes.len() {
            let (page, start, take) = piece(offset + done as u64, bytes.len() - done);
            let page = pages.entry(page).or_insert_with(|| Arc::new(Page::zero()));
            Page::bytes_mut(page)[start..start + take].copy_from_slice(&bytes[done..done + take]);
            done += take;
        }
        self.grow(offset + bytes.len() as u64);
    }

    pub(super) fn set_len(&mut self, len: u64) {
        if len < self.len {
            let pages = Arc::make_mut(&mut self.pages);
            pages.split_off(&len.div_ceil(PAGE));
            let (last, start, _) = piece(len, 0);
            if let Some(page) = pages.get_mut(&last) {
                Page::bytes_mut(page)[start..].fill(0);
            }
        }
        self.len = len;
    }

    pub(super) fn grow(&mut self, len: u64) {
        self.len = self.len.max(len);
    }

    /// Takes over from `newer` the pages in which `len` bytes at `offset` lie.
    pub(super) fn share(&mut self, newer: &Image, offset: u64, len: u64) {
        let pages = Arc::make_mut(&mut self.pages);
        for page in offset / PAGE..(offset + len).div_ceil(PAGE) {
            match newer.pages.get(&page) {
                Some(shared) => pages.insert(page, Arc::clone(shared)),
                None => pages.remove(&page),
            };
        }
    }

    /// A hash of length and bytes, whichever of the zero pages are there.
    pub(super) fn fingerprint(&self) -> u64 {
        let pages = self.pages.iter().map(|(place, page)| (*place, page.hash()));
        let written = pages.filter(|(_, hash)| *hash != ZERO_HASH);
        written.fold(mix(0, self.len), |all, (place, hash)| mix(mix(all, place), hash))
    }
}

/// The page of `offset`, the place in it, and how much of `len` bytes lies there.
fn piece(offset: u64, len: usize) -> (u64, usize, usize) {
    let start = (offset % PAGE) as usize;
    (offset / PAGE, start, len.min(PAGE_LEN - start))
}
