//! How a block's bytes are made shorter, by the number that is stored with each block.

/// How data blocks are compressed.
///
/// ```
/// use kv_sstable::{Compression, TableOptions};
/// let options = TableOptions { compression: Compression::Snappy, ..TableOptions::default() };
/// assert_eq!(options.compression.id(), 2);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Stored as they are.
    None,
    /// LZ4 block format: fast, and good enough for most data.
    #[default]
    Lz4,
    /// Snappy raw format.
    Snappy,
    /// Zstandard at a level: smaller and slower.
    #[cfg(feature = "zstd")]
    Zstd(i32),
}

impl Compression {
    /// The number that is stored with a compressed block.
    pub const fn id(self) -> u8 {
        match self {
            Compression::None => 0,
            Compression::Lz4 => LZ4,
            Compression::Snappy => SNAPPY,
            #[cfg(feature = "zstd")]
            Compression::Zstd(_) => ZSTD,
        }
    }

    /// A new codec, or `None` for no compression.
    pub(crate) fn codec(self) -> Option<Box<dyn Codec>> {
        match self {
            Compression::None => None,
            Compression::Lz4 => Some(Box::<Lz4>::default()),
            Compression::Snappy => Some(Box::<Snappy>::default()),
            #[cfg(feature = "zstd")]
            Compression::Zstd(level) => Some(Box::new(Zstd { level })),
        }
    }
}

/// A block that is stored as it is.
pub(crate) const NONE: u8 = 0;
const LZ4: u8 = 1;
const SNAPPY: u8 = 2;
#[cfg(feature = "zstd")]
const ZSTD: u8 = 3;

/// A way to make bytes shorter and to get them back.
pub(crate) trait Codec: Send + Sync {
    /// The name that people know it by.
    fn name(&self) -> &'static str;
    /// How many bytes one compressed byte can stand for at most: bounds what a damaged length
    /// makes a reader allocate.
    fn max_expansion(&self) -> usize;
    /// Appends `input` compressed to `out`; `None`, with anything in `out`, where it cannot.
    fn compress(&mut self, input: &[u8], out: &mut Vec<u8>) -> Option<()>;
    /// Fills `out` exactly with what `input` was compressed from; `None` where `input` is
    /// malformed or of another length.
    fn decompress(&self, input: &[u8], out: &mut [u8]) -> Option<()>;
}

static LZ4_READER: Lz4 = Lz4 { table: None };
static SNAPPY_READER: Snappy = Snappy { encoder: None };

/// The codec with that number, for decompression, if this build has it.
pub(crate) fn codec_by_id(id: u8) -> Option<&'static dyn Codec> {
    match id {
        LZ4 => Some(&LZ4_READER),
        SNAPPY => Some(&SNAPPY_READER),
        #[cfg(feature = "zstd")]
        ZSTD => Some(&Zstd { level: 0 }),
        _ => None,
    }
}

/// Lets `fill` write behind the end of `out`, at most `most` bytes, and keeps what it wrote.
fn append(
    out: &mut Vec<u8>,
    most: usize,
    fill: impl FnOnce(&mut [u8]) -> Option<usize>,
) -> Option<()> {
    let at = out.len();
    out.resize(at + most, 0);
    let written = fill(out.get_mut(at..)?)?;
    out.truncate(at + written);
    Some(())
}

#[derive(Default)]
struct Lz4 {
    /// Kept from block to block; made at the first.
    table: Option<lz4_flex::block::CompressTable>,
}

impl Codec for Lz4 {
    fn name(&self) -> &'static str {
        "lz4"
    }

    fn max_expansion(&self) -> usize {
        255
    }

    fn compress(&mut self, input: &[u8], out: &mut Vec<u8>) -> Option<()> {
        use lz4_flex::block::{compress_into_with_table, get_maximum_output_size};
        let table = self.table.get_or_insert_default();
        append(out, get_maximum_output_size(input.len()), |space| {
            compress_into_with_table(input, space, table).ok()
        })
    }

    fn decompress(&self, input: &[u8], out: &mut [u8]) -> Option<()> {
        let written = lz4_flex::block::decompress_into(input, out).ok()?;
        (written == out.len()).then_some(())
    }
}

#[derive(Default)]
struct Snappy {
    /// Kept from block to block; made at the first.
    encoder: Option<snap::raw::Encoder>,
}

impl Codec for Snappy {
    fn name(&self) -> &'static str {
        "snappy"
    }

    fn max_expansion(&self) -> usize {
        // A copy of 64 bytes takes three.
        22
    }

    fn compress(&mut self, input: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let encoder = self.encoder.get_or_insert_with(snap::raw::Encoder::new);
        append(out, snap::raw::max_compress_len(input.len()), |space| {
            encoder.compress(input, space).ok()
        })
    }

    fn decompress(&self, input: &[u8], out: &mut [u8]) -> Option<()> {
        if snap::raw::decompress_len(input).ok()? != out.len() {
            return None;
        }
        let written = snap::raw::Decoder::new().decompress(input, out).ok()?;
        (written == out.len()).then_some(())
    }
}

#[cfg(feature = "zstd")]
struct Zstd {
    level: i32,
}

#[cfg(feature = "zstd")]
impl Codec for Zstd {
    fn name(&self) -> &'static str {
        "zstd"
    }

    fn max_expansion(&self) -> usize {
        // A block of 128 KiB can be one repeated byte in four.
        32 << 10
    }

    fn compress(&mut self, input: &[u8], out: &mut Vec<u8>) -> Option<()> {
        append(out, zstd::zstd_safe::compress_bound(input.len()), |space| {
            zstd::bulk::compress_to_buffer(input, space, self.level).ok()
        })
    }

    fn decompress(&self, input: &[u8], out: &mut [u8]) -> Option<()> {
        let written = zstd::bulk::decompress_to_buffer(input, out).ok()?;
        (written == out.len()).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Compression> {
        vec![
            Compression::Lz4,
            Compression::Snappy,
            #[cfg(feature = "zstd")]
            Compression::Zstd(3),
        ]
    }

    #[test]
    fn what_is_compressed_comes_back_at_every_size() {
        for compression in all() {
            let mut codec = compression.codec().unwrap();
            for len in [0, 1, 2, 63, 64, 1000, 70_000] {
                let input: Vec<u8> = (0..len).map(|i| (i / 7) as u8).collect();
                let mut packed = vec![9];
                codec.compress(&input, &mut packed).unwrap();
                let mut output = vec![0; len];
                let reader = codec_by_id(compression.id()).unwrap();
                reader.decompress(&packed[1..], &mut output).unwrap();
                assert_eq!(input, output, "{compression:?} {len}");
                assert!(len <= (packed.len() - 1) * codec.max_expansion(), "{compression:?} {len}");
                let mut longer = vec![0; len + 1];
                assert!(reader.decompress(&packed[1..], &mut longer).is_none());
            }
        }
    }

    #[test]
    fn the_densest_input_stays_below_the_bound() {
        for compression in all() {
            let mut codec = compression.codec().unwrap();
            let input = vec![0; 4 << 20];
            let mut packed = Vec::new();
            codec.compress(&input, &mut packed).unwrap();
            assert!(input.len() <= packed.len() * codec.max_expansion(), "{compression:?}");
        }
    }
}
