//! A table as text, section by section in file order, for people who look into a file.

mod damaged;

pub use damaged::dump_file;

use crate::block::Block;
use crate::error::{Error, Result};
use crate::footer::{FORMAT_VERSION, Footer};
use crate::handle::Handle;
use crate::properties::Properties;
use crate::seal::{BlockType, TRAILER_LEN};
use crate::table::Table;
use kv_core::{Kind, RangeTombstones, ValuePointer};
use std::fmt::{self, Write};

/// How many damaged parts a dump has shown, or that its text was not taken.
pub type Dumped = std::result::Result<u64, fmt::Error>;

/// How deep a dump goes.
///
/// ```
/// # use kv_core::{Kind, Trailer};
/// # use kv_sstable::{BlockCache, DumpDetail, Dumped, Table, TableBuilder, TableOptions};
/// # use kv_vfs::{Fs, MemFs};
/// # let (fs, path) = (MemFs::new(), std::path::PathBuf::from("/7.sst"));
/// # let file = fs.create_new(&path)?;
/// # let mut builder = TableBuilder::new(file.clone(), path.clone(), 7, TableOptions::default());
/// # builder.add(b"apple", Trailer::new(1, Kind::Put), b"red")?;
/// # builder.finish()?;
/// # let table = Table::open_alone(file, path, 7, BlockCache::new(1 << 20))?;
/// let detail = DumpDetail { entries: true, values: true, ..DumpDetail::default() };
/// let mut text = String::new();
/// let dumped: Dumped = table.dump_with(&mut text, detail);
/// assert_eq!(dumped, Ok(0));
/// assert!(text.contains("apple") && text.contains("red"));
///
/// let mut short = String::new();
/// table.dump(&mut short)?;
/// assert!(!short.contains("red"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DumpDetail {
    /// Every data block and index partition.
    pub blocks: bool,
    /// Every entry of every block.
    pub entries: bool,
    /// Values, not only their lengths.
    pub values: bool,
}

impl Table {
    /// Writes every section with its place, form and contents, keys included and values as
    /// lengths. What is damaged is shown as its error; the rest is shown all the same. Fails
    /// only where `out` does.
    pub fn dump(&self, out: &mut dyn Write) -> fmt::Result {
        let detail = DumpDetail { blocks: true, entries: true, values: false };
        self.dump_with(out, detail).map(|_| ())
    }

    /// [`Table::dump`] as deep as asked for; answers how many damaged parts were shown.
    pub fn dump_with(&self, out: &mut dyn Write, detail: DumpDetail) -> Dumped {
        let mut dumper = Dumper { table: self, out, detail, damaged: 0 };
        dumper.run()?;
        Ok(dumper.damaged)
    }
}

/// A dump under way.
struct Dumper<'a> {
    table: &'a Table,
    out: &'a mut dyn Write,
    detail: DumpDetail,
    damaged: u64,
}

impl Dumper<'_> {
    fn run(&mut self) -> fmt::Result {
        let (table, footer) = (self.table, &self.table.footer);
        writeln!(
            self.out,
            "table {}: {} bytes, format {FORMAT_VERSION}, {} entries",
            table.number(),
            table.size(),
            footer.entries,
        )?;
        let top = table.read_block(footer.top_index(), BlockType::TopIndex);
        if let Ok(top) = &top
            && (self.detail.blocks || self.detail.entries)
        {
            for i in 0..top.count() {
                self.data_blocks(top, i)?;
            }
            for i in 0..top.count() {
                if let Ok(handle) = table.partition_handle(top, i) {
                    let partition = table.read_block(handle, BlockType::Index);
                    self.index("index partition", handle, &partition)?;
                }
            }
        }
        self.index("top index", footer.top_index(), &top)?;
        if let Some(handle) = footer.filter() {
            write!(self.out, "{}: filter, {} bytes", handle.offset, handle.len)?;
            let loaded = table.source.payload(handle, BlockType::Filter);
            self.end_line(loaded.err())?;
        }
        if let Some(handle) = footer.range_tombstones() {
            writeln!(self.out, "{}: range tombstones, {} bytes", handle.offset, handle.len)?;
            match table.read_range_tombstones() {
                Ok(set) => range_tombstones(self.out, &set)?,
                Err(error) => self.error(&error)?,
            }
        }
        if let Some(handle) = footer.properties() {
            writeln!(self.out, "{}: properties, {} bytes", handle.offset, handle.len)?;
            match table.properties() {
                Ok(found) => properties(self.out, &found)?,
                Err(error) => self.error(&error)?,
            }
        }
        self.footer(footer)
    }

    fn error(&mut self, error: &Error) -> fmt::Result {
        self.damaged += 1;
        writeln!(self.out, "    {error}")
    }

    /// Ends a line that may be that of a damaged part.
    fn end_line(&mut self, error: Option<Error>) -> fmt::Result {
        match error {
            None => writeln!(self.out),
            Some(error) => {
                self.damaged += 1;
                writeln!(self.out, ": {error}")
            }
        }
    }

    fn footer(&mut self, footer: &Footer) -> fmt::Result {
        let codec = crate::codec::codec_by_id(footer.compression).map_or("none", |c| c.name());
        let fields = [
            ("file_number", footer.file_number),
            ("entries", footer.entries),
            ("index_offset", footer.index_offset),
            ("top_index_offset", footer.top_index_offset),
            ("top_index_len", u64::from(footer.top_index_len)),
            ("filter_len", u64::from(footer.filter_len)),
            ("range_tombstones_len", u64::from(footer.range_tombstones_len)),
            ("properties_len", u64::from(footer.properties_len)),
        ];
        writeln!(self.out, "{}: footer", footer.offset().unwrap_or(self.table.size()))?;
        for (name, n) in fields {
            writeln!(self.out, "    {name} {n}")?;
        }
        writeln!(self.out, "    compression {codec}")
    }

    /// The data blocks behind entry `p` of the top index.
    fn data_blocks(&mut self, top: &Block, p: usize) -> fmt::Result {
        let table = self.table;
        let partition = table
            .partition_handle(top, p)
            .and_then(|handle| table.read_block(handle, BlockType::Index));
        let partition = match partition {
            Ok(partition) => partition,
            Err(error) => {
                self.damaged += 1;
                return writeln!(self.out, "?: index partition: {error}");
            }
        };
        for i in 0..partition.count() {
            match table.data_handle(&partition, i) {
                Ok(handle) => self.data_block(handle)?,
                Err(error) => {
                    self.damaged += 1;
                    writeln!(self.out, "?: data block: {error}")?;
                }
            }
        }
        Ok(())
    }

    fn data_block(&mut self, handle: Handle) -> fmt::Result {
        write!(self.out, "{}: data block, {} bytes", handle.offset, handle.len)?;
        match read_data_block(self.table, handle) {
            Ok((codec, block)) => show_block(self.out, codec, &block, self.detail),
            Err(error) => self.end_line(Some(error)),
        }
    }

    fn index(&mut self, name: &str, handle: Handle, index: &Result<Block>) -> fmt::Result {
        write!(self.out, "{}: {name}, {} bytes", handle.offset, handle.len)?;
        let index = match index {
            Ok(index) => index,
            Err(error) => return self.end_line(Some(error.clone())),
        };
        writeln!(self.out, ", {} entries, {}", index.count(), index.shape())?;
        for i in 0..index.count() {
            let (key, seq) = (index.key(i), index.trailer(i).seq());
            write!(self.out, "    {} seq {seq} -> ", Quoted(&key))?;
            match crate::index::handle_at(index, i) {
                Ok(to) => writeln!(self.out, "{} ({} bytes)", to.offset, to.len)?,
                Err(error) => writeln!(self.out, "{error}")?,
            }
        }
        Ok(())
    }
}

/// The codec that a data block is stored with, and the block.
fn read_data_block(table: &Table, handle: Handle) -> Result<(u8, Block)> {
    let sealed = table.source.sealed(handle)?;
    let codec = sealed.len().checked_sub(TRAILER_LEN).and_then(|at| sealed.get(at)).copied();
    let payload = table.source.unseal(handle, &sealed, BlockType::Data)?;
    Ok((codec.unwrap_or(crate::codec::NONE), table.source.checked(handle, payload)?))
}

/// The rest of a data block's line, and its entries.
fn show_block(out: &mut dyn Write, codec: u8, block: &Block, detail: DumpDetail) -> fmt::Result {
    if codec != crate::codec::NONE {
        let name = crate::codec::codec_by_id(codec).map_or("?", |codec| codec.name());
        write!(out, " of {name} for {}", block.data().len())?;
    }
    writeln!(out, ", {} entries, {}", block.count(), block.shape())?;
    for i in (0..block.count()).take_while(|_| detail.entries) {
        let (trailer, value) = (block.trailer(i), block.value(i));
        write!(out, "    {} seq {} ", Quoted(&block.key(i)), trailer.seq())?;
        match trailer.kind() {
            Some(kind) => write!(out, "{kind:?}")?,
            None => write!(out, "?")?,
        }
        write!(out, " {} bytes", value.len())?;
        if trailer.kind() == Some(Kind::ValuePointer) {
            show_pointer(out, value)?;
            continue;
        }
        match detail.values {
            true => writeln!(out, " {}", Quoted(value))?,
            false => writeln!(out)?,
        }
    }
    Ok(())
}

/// The rest of a line: where a value lies that is not in the table.
fn show_pointer(out: &mut dyn Write, stored: &[u8]) -> fmt::Result {
    match ValuePointer::decode(stored) {
        Ok((expiry, p)) => {
            write!(out, " -> value file {} at {} ({} bytes)", p.file, p.offset, p.stored)?;
            write!(out, ", value of {} bytes", p.len)?;
            match expiry {
                Some(expiry) => writeln!(out, ", expires at {expiry}"),
                None => writeln!(out),
            }
        }
        Err(malformed) => writeln!(out, ": {malformed}"),
    }
}

fn range_tombstones(out: &mut dyn Write, set: &RangeTombstones) -> fmt::Result {
    for tombstone in set.iter() {
        let (start, end) = (Quoted(&tombstone.start), Quoted(&tombstone.end));
        writeln!(out, "    [{start}, {end}) seq {}", tombstone.seq)?;
    }
    Ok(())
}

fn properties(out: &mut dyn Write, properties: &Properties) -> fmt::Result {
    for (name, n) in properties.named() {
        writeln!(out, "    {name} {n}")?;
    }
    writeln!(out, "    first_key {}", Quoted(&properties.first_key))?;
    writeln!(out, "    last_key {}", Quoted(&properties.last_key))
}

/// A key in quotes, with what is not ASCII escaped.
pub(crate) struct Quoted<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}
