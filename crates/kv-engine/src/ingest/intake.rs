//! The way in: pairs are checked as they come, gathered, and written in pieces, so that a close
//! waits for a piece at most and never for the source of the pairs.

use super::{Built, outputs};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::limits;
use crate::output::{Outputs, TableMaker};
use crate::space::Space;
use crate::write::limit::Coming;
use bytes::Bytes;
use kv_core::{Kind, SeqNo, Trailer};
use std::sync::atomic::Ordering;

/// Bytes of a piece.
const PIECE: usize = 256 << 10;

/// Takes the pairs of one ingest.
pub(super) struct Intake<'a> {
    engine: &'a Engine,
    outputs: Outputs<'a>,
    trailer: Trailer,
    table_size: u64,
    prefix: &'a [u8],
    /// Keys as stored, each with its value behind it, that are not written yet.
    piece: Vec<u8>,
    /// The lengths of each key and value in `piece`.
    lens: Vec<(usize, usize)>,
    /// The last key, as stored.
    last: Vec<u8>,
    first: Option<Bytes>,
    count: u64,
    /// Bytes of files that were counted.
    counted: u64,
    /// What a limit on the disk counts for it.
    coming: Coming<'a>,
}

impl<'a> Intake<'a> {
    pub(super) fn new(
        engine: &'a Engine,
        maker: &'a TableMaker<'a>,
        space: &'a Space,
        seq: SeqNo,
    ) -> Intake<'a> {
        Intake {
            engine,
            outputs: outputs(maker),
            trailer: Trailer::new(seq, Kind::Put),
            table_size: maker.options.table_limit(),
            prefix: &space.prefix,
            piece: Vec::new(),
            lens: Vec::new(),
            last: Vec::new(),
            first: None,
            count: 0,
            counted: 0,
            coming: engine.space.coming(),
        }
    }

    /// How many pairs were taken.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Takes the next pair.
    pub(super) fn take(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let at = self.count;
        if let Some(reason) = limits::refuse(key.len(), value.len()) {
            return Err(Error::invalid(format!(
                "{reason}: the pair at position {at}, counted from 0; nothing was ingested"
            )));
        }
        let before = self.last.get(self.prefix.len()..).filter(|_| at > 0);
        if let Some(before) = before.filter(|before| key <= *before) {
            let what = if key == before { "equal to" } else { "smaller than" };
            return Err(Error::invalid(format!(
                "the key at position {at}, counted from 0, is {what} the one before it; keys must \
                 ascend; nothing was ingested"
            )));
        }
        self.last.clear();
        self.last.extend_from_slice(self.prefix);
        self.last.extend_from_slice(key);
        if at == 0 {
            self.first = Some(Bytes::copy_from_slice(&self.last));
        }
        self.count += 1;
        if self.last.len() + value.len() > PIECE {
            self.write(Some(value))?;
            return Ok(());
        }
        if self.piece.len() + self.last.len() + value.len() > PIECE {
            self.write(None)?;
        }
        self.piece.extend_from_slice(&self.last);
        self.piece.extend_from_slice(value);
        self.lens.push((self.last.len(), value.len()));
        Ok(())
    }

    /// Writes what was gathered, and behind it the last key with `long`, where that is given.
    fn write(&mut self, long: Option<&[u8]>) -> Result<()> {
        let _working = self.engine.working()?;
        let waiting = self.piece.len() + long.map_or(0, <[u8]>::len);
        let bytes = self.outputs.bytes().saturating_add(waiting as u64);
        self.engine.admit_ingest(&mut self.coming, bytes)?;
        let mut rest = self.piece.as_slice();
        for (key_len, value_len) in self.lens.drain(..) {
            // The lengths were taken when the bytes were put there.
            let Some((key, behind)) = rest.split_at_checked(key_len) else { break };
            let Some((value, behind)) = behind.split_at_checked(value_len) else { break };
            add(&mut self.outputs, self.table_size, self.trailer, key, value)?;
            rest = behind;
        }
        self.piece.clear();
        if let Some(value) = long {
            add(&mut self.outputs, self.table_size, self.trailer, &self.last, value)?;
        }
        let counters = &self.engine.counters;
        counters.ingest_pairs.fetch_add(self.count - self.counted, Ordering::Relaxed);
        self.counted = self.count;
        Ok(())
    }

    /// Ends the last table. `None` where no pair came.
    pub(super) fn finish(mut self) -> Result<Option<Built>> {
        let Some(first) = self.first.take() else { return Ok(None) };
        self.write(None)?;
        let _working = self.engine.working()?;
        let made = self.outputs.finish()?;
        self.engine.counters.ingest_bytes.fetch_add(made.bytes(), Ordering::Relaxed);
        Ok(Some(Built { made, seq: self.trailer.seq(), first, last: self.last.into() }))
    }
}

/// Adds an entry; a table that is large enough ends before it.
#[inline]
fn add(
    outputs: &mut Outputs<'_>,
    table_size: u64,
    trailer: Trailer,
    key: &[u8],
    value: &[u8],
) -> Result<()> {
    if outputs.current_size() >= table_size {
        outputs.cut(key)?;
    }
    outputs.add(key, trailer, value)
}
