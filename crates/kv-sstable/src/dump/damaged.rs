//! A table's file as text, also where its footer or its top index cannot be read: then blocks
//! are found by their checksums.

use super::{DumpDetail, Dumped, Quoted, properties, range_tombstones, show_block};
use crate::block::Block;
use crate::cache::BlockCache;
use crate::error::{Error, Result};
use crate::fetch::Source;
use crate::footer::FOOTER_LEN;
use crate::handle::Handle;
use crate::index::handle_at;
use crate::properties::Properties;
use crate::salvage::scan;
use crate::seal::BlockType;
use crate::table::Table;
use kv_core::Take;
use kv_vfs::FsFile;
use std::fmt::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

/// Writes the table in `file` as text, as deep as asked for, whatever is wrong with it. `number`
/// is the one that it was built with; where it is not known, the footer is asked. Answers how
/// many damaged parts were shown. The outer error is one of the operating system, the inner one
/// comes from `out`.
///
/// ```
/// # use kv_sstable::{DumpDetail, dump_file};
/// # use kv_vfs::{Fs, FsFileExt, MemFs};
/// # let (fs, path) = (MemFs::new(), std::path::PathBuf::from("/7.sst"));
/// let file = fs.create_new(&path)?;
/// file.write_all_at(b"no table at all", 0)?;
/// let mut text = String::new();
/// let damaged = dump_file(file, path, Some(7), DumpDetail::default(), &mut text)??;
/// assert!(damaged > 0 && !text.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn dump_file(
    file: Arc<dyn FsFile>,
    path: PathBuf,
    number: Option<u64>,
    detail: DumpDetail,
    out: &mut dyn Write,
) -> Result<Dumped> {
    let size = file.len().map_err(|e| Error::io(&path, 0, e))?;
    let source = Source { file: file.clone(), path: path.clone(), number: 0 };
    let number = number.or_else(|| number_in_footer(&source, size)).unwrap_or(0);
    let cache = BlockCache::new(0);
    let why = match Table::open_alone(file, path, number, cache) {
        Ok(table) => {
            let top = table.read_block(table.footer.top_index(), BlockType::TopIndex);
            let in_full = top.is_ok() || !(detail.blocks || detail.entries);
            if in_full {
                return Ok(table.dump_with(out, detail));
            }
            top.err()
        }
        Err(error @ Error::Io { .. }) => return Err(error),
        Err(error) => Some(error),
    };
    let source = Source { number, ..source };
    Ok(by_checksums(&source, size, why, detail, out))
}

fn number_in_footer(source: &Source, size: u64) -> Option<u64> {
    let at = size.checked_sub(FOOTER_LEN as u64)?;
    let footer = source.read(at, FOOTER_LEN).ok()?;
    Take::new(footer.get(12..20)?).u64().ok()
}

/// Lists what passes its checksum, and what does not.
fn by_checksums(
    source: &Source,
    size: u64,
    why: Option<Error>,
    detail: DumpDetail,
    out: &mut dyn Write,
) -> Dumped {
    writeln!(out, "table {}: {size} bytes", source.number)?;
    let mut damaged = 0;
    if let Some(error) = why {
        damaged += 1;
        writeln!(out, "DAMAGED: {error}")?;
        writeln!(out, "blocks are found by their checksums:")?;
    }
    let found = scan::blocks(source, 0, size);
    let mut gaps = found.gaps.iter().peekable();
    for (handle, kind) in &found.blocks {
        while let Some((from, to)) = gaps.next_if(|(from, _)| *from < handle.offset) {
            damaged += 1;
            writeln!(out, "{from}: DAMAGED up to {to}: no block here passes its checksum")?;
        }
        show(source, *handle, *kind, detail, out)?;
    }
    for (from, to) in gaps {
        damaged += 1;
        writeln!(out, "{from}: DAMAGED up to {to}: no block here passes its checksum")?;
    }
    if found.given_up {
        writeln!(out, "the search was given up: too much looks like blocks and is none")?;
    }
    Ok(damaged)
}

fn show(
    source: &Source,
    handle: Handle,
    kind: BlockType,
    detail: DumpDetail,
    out: &mut dyn Write,
) -> fmt::Result {
    let name = match kind {
        BlockType::Data => "data block",
        BlockType::Index => "index partition",
        BlockType::TopIndex => "top index",
        BlockType::Filter => "filter",
        BlockType::RangeTombstones => "range tombstones",
        BlockType::Properties => "properties",
    };
    if kind == BlockType::Data && !(detail.blocks || detail.entries) {
        return Ok(());
    }
    write!(out, "{}: {name}, {} bytes", handle.offset, handle.len)?;
    let payload = match source.payload(handle, kind) {
        Ok(payload) => payload,
        Err(error) => return writeln!(out, ": {error}"),
    };
    if kind == BlockType::Filter {
        return writeln!(out);
    }
    if kind == BlockType::Properties {
        writeln!(out)?;
        return match Properties::decode(&payload) {
            Ok(found) => properties(out, &found),
            Err(error) => writeln!(out, "    {error}"),
        };
    }
    match source.checked(handle, payload) {
        Ok(block) => show_columnar(&block, kind, detail, out),
        Err(error) => writeln!(out, ": {error}"),
    }
}

fn show_columnar(
    block: &Block,
    kind: BlockType,
    detail: DumpDetail,
    out: &mut dyn Write,
) -> fmt::Result {
    match kind {
        BlockType::Data => show_block(out, crate::codec::NONE, block, detail),
        BlockType::RangeTombstones => {
            writeln!(out)?;
            match crate::range_tombstones::decode(block) {
                Ok(set) => range_tombstones(out, &set),
                Err(error) => writeln!(out, "    {error}"),
            }
        }
        _ => {
            writeln!(out, ", {} entries, {}", block.count(), block.shape())?;
            for i in 0..block.count() {
                write!(out, "    {} -> ", Quoted(&block.key(i)))?;
                match handle_at(block, i) {
                    Ok(to) => writeln!(out, "{} ({} bytes)", to.offset, to.len)?,
                    Err(error) => writeln!(out, "{error}")?,
                }
            }
            Ok(())
        }
    }
}
