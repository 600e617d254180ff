//! A table as text, section by section in file order, for people who look into a file.

use crate::block::Block;
use crate::error::Result;
use crate::footer::FORMAT_VERSION;
use crate::handle::Handle;
use crate::seal::{BlockType, TRAILER_LEN};
use crate::table::Table;
use std::fmt::{self, Write};

impl Table {
    /// Writes every section with its place, form and contents, keys included and values as
    /// lengths. What is damaged is shown as its error; the rest is shown all the same. Fails
    /// only where `out` does.
    pub fn dump(&self, out: &mut dyn Write) -> fmt::Result {
        let footer = &self.footer;
        writeln!(
            out,
            "table {}: {} bytes, format {FORMAT_VERSION}, {} entries",
            self.number(),
            self.size(),
            footer.entries,
        )?;
        let top = self.read_block(footer.top_index(), BlockType::TopIndex);
        if let Ok(top) = &top {
            for i in 0..top.count() {
                self.dump_data_blocks(out, top, i)?;
            }
            for i in 0..top.count() {
                if let Ok(handle) = self.partition_handle(top, i) {
                    let partition = self.read_block(handle, BlockType::Index);
                    self.dump_index(out, "index partition", handle, &partition)?;
                }
            }
        }
        self.dump_index(out, "top index", footer.top_index(), &top)?;
        if let Some(handle) = footer.filter() {
            writeln!(out, "{}: filter, {} bytes", handle.offset, handle.len)?;
        }
        if let Some(handle) = footer.range_tombstones() {
            self.dump_range_tombstones(out, handle)?;
        }
        if let Some(handle) = footer.properties() {
            self.dump_properties(out, handle)?;
        }
        writeln!(out, "{}: footer", footer.offset().unwrap_or(self.size()))
    }

    /// The data blocks behind entry `p` of the top index.
    fn dump_data_blocks(&self, out: &mut dyn Write, top: &Block, p: usize) -> fmt::Result {
        let partition = self
            .partition_handle(top, p)
            .and_then(|handle| self.read_block(handle, BlockType::Index));
        let partition = match partition {
            Ok(partition) => partition,
            Err(e) => return writeln!(out, "?: index partition: {e}"),
        };
        for i in 0..partition.count() {
            match self.data_handle(&partition, i) {
                Ok(handle) => self.dump_data_block(out, handle)?,
                Err(e) => writeln!(out, "?: data block: {e}")?,
            }
        }
        Ok(())
    }

    fn dump_data_block(&self, out: &mut dyn Write, handle: Handle) -> fmt::Result {
        write!(out, "{}: data block, {} bytes", handle.offset, handle.len)?;
        let (codec, block) = match self.read_data_block(handle) {
            Ok(read) => read,
            Err(e) => return writeln!(out, ": {e}"),
        };
        if codec != crate::codec::NONE {
            let name = crate::codec::codec_by_id(codec).map_or("?", |codec| codec.name());
            write!(out, " of {name} for {}", block.data().len())?;
        }
        writeln!(out, ", {} entries, {}", block.count(), block.shape())?;
        for i in 0..block.count() {
            let (trailer, value) = (block.trailer(i), block.value(i));
            write!(out, "    {} seq {} ", Quoted(&block.key(i)), trailer.seq())?;
            match trailer.kind() {
                Some(kind) => write!(out, "{kind:?}")?,
                None => write!(out, "?")?,
            }
            writeln!(out, " {} bytes", value.len())?;
        }
        Ok(())
    }

    /// The codec that a data block is stored with, and the block.
    fn read_data_block(&self, handle: Handle) -> Result<(u8, Block)> {
        let sealed = self.source.sealed(handle)?;
        let codec = sealed.len().checked_sub(TRAILER_LEN).and_then(|at| sealed.get(at)).copied();
        let payload = self.source.unseal(handle, &sealed, BlockType::Data)?;
        Ok((codec.unwrap_or(crate::codec::NONE), self.source.checked(handle, payload)?))
    }

    fn dump_index(
        &self,
        out: &mut dyn Write,
        name: &str,
        handle: Handle,
        index: &Result<Block>,
    ) -> fmt::Result {
        write!(out, "{}: {name}, {} bytes", handle.offset, handle.len)?;
        let index = match index {
            Ok(index) => index,
            Err(e) => return writeln!(out, ": {e}"),
        };
        writeln!(out, ", {} entries, {}", index.count(), index.shape())?;
        for i in 0..index.count() {
            write!(out, "    {} seq {} -> ", Quoted(&index.key(i)), index.trailer(i).seq())?;
            match crate::index::handle_at(index, i) {
                Ok(to) => writeln!(out, "{} ({} bytes)", to.offset, to.len)?,
                Err(e) => writeln!(out, "{e}")?,
            }
        }
        Ok(())
    }

    fn dump_range_tombstones(&self, out: &mut dyn Write, handle: Handle) -> fmt::Result {
        writeln!(out, "{}: range tombstones, {} bytes", handle.offset, handle.len)?;
        match self.read_range_tombstones() {
            Ok(set) => {
                for tombstone in set.iter() {
                    let (start, end) = (Quoted(&tombstone.start), Quoted(&tombstone.end));
                    writeln!(out, "    [{start}, {end}) seq {}", tombstone.seq)?;
                }
                Ok(())
            }
            Err(e) => writeln!(out, "    {e}"),
        }
    }

    fn dump_properties(&self, out: &mut dyn Write, handle: Handle) -> fmt::Result {
        writeln!(out, "{}: properties, {} bytes", handle.offset, handle.len)?;
        match self.properties() {
            Ok(properties) => {
                for (name, n) in properties.named() {
                    writeln!(out, "    {name} {n}")?;
                }
                writeln!(out, "    first_key {}", Quoted(&properties.first_key))?;
                writeln!(out, "    last_key {}", Quoted(&properties.last_key))
            }
            Err(e) => writeln!(out, "    {e}"),
        }
    }
}

/// A key in quotes, with what is not ASCII escaped.
struct Quoted<'a>(&'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}
