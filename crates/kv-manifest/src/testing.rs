//! Tables for unit tests.

use crate::FileMeta;
use bytes::Bytes;

/// A table of one megabyte with these closed bounds; its sequence numbers are its number.
pub(crate) fn table(number: u64, smallest: &[u8], largest: &[u8]) -> FileMeta {
    FileMeta {
        number,
        size: 1 << 20,
        entries: 1000,
        smallest: Bytes::copy_from_slice(smallest),
        largest: Bytes::copy_from_slice(largest),
        min_seq: number,
        max_seq: number,
        raw_bytes: 1 << 20,
        created: number,
        ..FileMeta::default()
    }
}
