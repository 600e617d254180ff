//! What a table holds, in numbers.

use bytes::Bytes;
use kv_core::{Kind, Malformed, SeqNo, Take, Trailer, ValuePointer, put_varint, split_expiry};

/// The counts and bounds of a table, as its builder saw them.
///
/// ```
/// # use kv_core::{Kind, Trailer};
/// # use kv_sstable::{BlockCache, Properties, Table, TableBuilder, TableOptions};
/// # use kv_vfs::{Fs, MemFs};
/// # let (fs, path) = (MemFs::new(), std::path::PathBuf::from("/7.sst"));
/// # let file = fs.create_new(&path)?;
/// # let mut builder = TableBuilder::new(file.clone(), path.clone(), 7, TableOptions::default());
/// # builder.add(b"apple", Trailer::new(1, Kind::Put), b"red")?;
/// # builder.add(b"pear", Trailer::new(2, Kind::Put), b"green")?;
/// # builder.finish()?;
/// # let table = Table::open_alone(file, path, 7, BlockCache::new(1 << 20))?;
/// let properties: Properties = table.properties()?;
/// assert_eq!((properties.entries, properties.min_seq, properties.max_seq), (2, 1, 2));
/// assert_eq!((properties.key_bytes, properties.value_bytes), (9, 8));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    /// Entries, point tombstones among them; range tombstones are not counted.
    pub entries: u64,
    /// Point tombstones.
    pub tombstones: u64,
    /// Range tombstones, as fragments and sequence numbers.
    pub range_tombstones: u64,
    /// Entries with an expiry.
    pub expiring: u64,
    /// The smallest expiry in milliseconds; `u64::MAX` where there is none.
    pub min_expiry: u64,
    /// The largest expiry in milliseconds; 0 where there is none.
    pub max_expiry: u64,
    /// The smallest sequence number of entries and range tombstones; `u64::MAX` where there is
    /// neither.
    pub min_seq: u64,
    /// The largest sequence number of entries and range tombstones; 0 where there is neither.
    pub max_seq: u64,
    /// Bytes of all keys.
    pub key_bytes: u64,
    /// Bytes of all values, as stored.
    pub value_bytes: u64,
    /// Data blocks.
    pub data_blocks: u64,
    /// Index partitions.
    pub index_partitions: u64,
    /// The key of the first entry.
    pub first_key: Bytes,
    /// The key of the last entry.
    pub last_key: Bytes,
}

impl Properties {
    /// Of a table without entries.
    pub(crate) fn new() -> Properties {
        Properties { min_expiry: u64::MAX, min_seq: u64::MAX, ..Properties::default() }
    }

    /// Counts the next entry; refuses one that no table holds, and counts nothing then.
    #[inline]
    pub(crate) fn count(
        &mut self,
        key: &[u8],
        trailer: Trailer,
        value: &[u8],
    ) -> Result<(), &'static str> {
        match trailer.kind() {
            Some(Kind::Delete) => self.tombstones += 1,
            Some(Kind::PutExpiring) => {
                let Some((expiry, _)) = split_expiry(value) else {
                    return Err("a value too short to hold its expiry");
                };
                self.count_expiry(expiry);
            }
            Some(Kind::ValuePointer) => match ValuePointer::decode(value) {
                Ok((expiry, _)) => self.count_expiry(expiry.unwrap_or(u64::MAX)),
                Err(_) => return Err("a value pointer of a wrong length"),
            },
            Some(Kind::RangeDelete) => return Err("a range tombstone among the entries"),
            Some(Kind::Put | Kind::Merge) => {}
            None => return Err("an entry of unknown kind"),
        }
        if self.entries == 0 {
            self.first_key = Bytes::copy_from_slice(key);
        }
        self.entries += 1;
        self.min_seq = self.min_seq.min(trailer.seq());
        self.max_seq = self.max_seq.max(trailer.seq());
        self.key_bytes += key.len() as u64;
        self.value_bytes += value.len() as u64;
        Ok(())
    }

    /// The largest number stands for "never".
    fn count_expiry(&mut self, expiry: u64) {
        if expiry < u64::MAX {
            self.expiring += 1;
            self.min_expiry = self.min_expiry.min(expiry);
            self.max_expiry = self.max_expiry.max(expiry);
        }
    }

    pub(crate) fn count_range_tombstone(&mut self, seq: SeqNo) {
        self.range_tombstones += 1;
        self.min_seq = self.min_seq.min(seq);
        self.max_seq = self.max_seq.max(seq);
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (_, n) in self.named() {
            out.extend_from_slice(&n.to_le_bytes());
        }
        for key in [&self.first_key, &self.last_key] {
            put_varint(&mut out, key.len() as u64);
            out.extend_from_slice(key);
        }
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Properties, Malformed> {
        let mut take = Take::new(bytes);
        let mut properties = Properties {
            entries: take.u64()?,
            tombstones: take.u64()?,
            range_tombstones: take.u64()?,
            expiring: take.u64()?,
            min_expiry: take.u64()?,
            max_expiry: take.u64()?,
            min_seq: take.u64()?,
            max_seq: take.u64()?,
            key_bytes: take.u64()?,
            value_bytes: take.u64()?,
            data_blocks: take.u64()?,
            index_partitions: take.u64()?,
            ..Properties::default()
        };
        properties.first_key = Bytes::copy_from_slice(take.length_prefixed()?);
        properties.last_key = Bytes::copy_from_slice(take.length_prefixed()?);
        if !take.is_empty() {
            return Err(take.malformed("bytes behind the properties"));
        }
        Ok(properties)
    }

    /// The numbers in the order in which they are stored.
    pub(crate) fn named(&self) -> [(&'static str, u64); 12] {
        [
            ("entries", self.entries),
            ("tombstones", self.tombstones),
            ("range_tombstones", self.range_tombstones),
            ("expiring", self.expiring),
            ("min_expiry", self.min_expiry),
            ("max_expiry", self.max_expiry),
            ("min_seq", self.min_seq),
            ("max_seq", self.max_seq),
            ("key_bytes", self.key_bytes),
            ("value_bytes", self.value_bytes),
            ("data_blocks", self.data_blocks),
            ("index_partitions", self.index_partitions),
        ]
    }
}
