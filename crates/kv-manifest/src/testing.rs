//! Tables for unit tests.

use crate::FileMeta;
use bytes::Bytes;

/// A table of one megabyte with these closed bounds; its sequence numbers are its number.
pub(crate) fn table(number: u64, smallest: &[u8], largest: &[u8]) -> FileMeta {
    FileMeta {
        number,
        size: 1 << 20,
        entries: 1000,
        tombstones: 0,
        range_tombstones: 0,
        smallest: Bytes::copy_from_slice(smallest),
        largest: Bytes::copy_from_slice(largest),
        largest_exclusive: false,
        min_seq: number,
        max_seq: number,
        min_expiry: u64::MAX,
        max_expiry: 0,
        expiring: 0,
        raw_bytes: 1 << 20,
        shadow_bytes: 0,
        checksum: 0,
        footer: Bytes::new(),
        compression: 0,
        created: number,
        origin: 0,
        visible: None,
    }
}
