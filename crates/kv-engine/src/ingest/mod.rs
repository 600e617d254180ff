//! Sorted pairs straight to tables, past the log and the memtable, and one commit for all of them.
//!
//! The tables are built with a sequence number that lies ahead of the log's: the commit makes the
//! log go on behind it, so that what was written before is older and what comes later is newer.
//! See docs/design/ingest.md.

mod commit;
mod intake;

use crate::engine::{Engine, bytes_of};
use crate::error::{Error, ErrorKind, Result};
use crate::output::{Made, Outputs};
use crate::space::Space;
use bytes::Bytes;
use intake::Intake;
use kv_core::{Cursor as _, Kind, MAX_SEQ, RangeTombstones, SeqNo, Trailer};
use kv_manifest::LEVELS;
use kv_sstable::Access;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How far ahead of the log's sequence number the tables' lies: more writes than a minute brings.
/// An ingest that takes longer builds its tables again, so this costs time and never order.
const LEAD: u64 = 1 << 28;
/// How much is read at once of a table that is built again.
const READAHEAD: usize = 256 << 10;

/// Tables that are complete and synced, and named by nobody yet.
struct Built {
    made: Made,
    /// The sequence number of every entry.
    seq: SeqNo,
    /// The first key and the last one, as stored.
    first: Bytes,
    last: Bytes,
}

impl Engine {
    /// Stores `pairs`, which ascend, as one commit. Answers how many they were.
    pub(crate) fn ingest<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        space: &Arc<Space>,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result<u64> {
        let writer = self.writer()?;
        self.health.check_write()?;
        if !space.is_default() {
            space.check()?;
        }
        let seq = ahead(writer.log.next_seq(), LEAD)?;
        let maker = self.maker()?;
        let mut intake = Intake::new(self, &maker, space, seq);
        for (key, value) in pairs {
            intake.take(key.as_ref(), value.as_ref())?;
        }
        let count = intake.count();
        if let Some(mut built) = intake.finish()? {
            let committed = self.commit_or_build_again(space, &mut built);
            if committed.is_err() && self.health.fatal().is_none() {
                self.discard(&built.made);
            }
            committed?;
            self.counters.ingests.fetch_add(1, Ordering::Relaxed);
        }
        Ok(count)
    }

    /// Commits; where the log has come past the tables' sequence number meanwhile, with tables that
    /// are built again.
    fn commit_or_build_again(&self, space: &Space, built: &mut Built) -> Result<()> {
        let mut lead = LEAD;
        while !self.commit_ingest(space, built)? {
            // Twice as far as the log has come in the time that one building takes.
            let next = self.writer()?.log.next_seq();
            lead = lead.saturating_add(2 * next.saturating_sub(built.seq));
            self.build_again(built, ahead(next, lead)?)?;
        }
        Ok(())
    }

    /// Builds the tables again, with another sequence number. Their value files stay.
    fn build_again(&self, built: &mut Built, seq: SeqNo) -> Result<()> {
        let maker = self.maker()?;
        let mut outputs = outputs(&maker);
        for table in &built.made.tables {
            let _working = self.working()?;
            if outputs.current_size() > 0 {
                outputs.cut(&table.smallest)?;
            }
            let mut cursor = self.tables.get(table)?.cursor(Access::Scan { readahead: READAHEAD });
            cursor.first()?;
            while cursor.valid() {
                let kind = cursor.trailer().kind().unwrap_or(Kind::Put);
                outputs.add(cursor.key(), Trailer::new(seq, kind), cursor.value())?;
                cursor.next()?;
            }
        }
        let _working = self.working()?;
        let tables = outputs.finish()?.tables;
        let old = std::mem::replace(&mut built.made.tables, tables);
        built.seq = seq;
        self.counters.ingest_bytes.fetch_add(bytes_of(&built.made.tables), Ordering::Relaxed);
        self.discard(&Made { tables: old, values: Vec::new() });
        Ok(())
    }

    /// Lets a close wait for the caller's work until the answer is dropped.
    fn working(&self) -> Result<crate::background::Working<'_>> {
        self.health.check_write()?;
        self.background.begin().ok_or_else(Error::closed)
    }
}

/// The sequence number that lies `lead` ahead of `next`.
fn ahead(next: SeqNo, lead: u64) -> Result<SeqNo> {
    let seq = next.checked_add(lead).filter(|seq| *seq < MAX_SEQ);
    seq.ok_or_else(|| {
        Error::new(ErrorKind::Unsupported, "no sequence number is left to ingest with")
    })
}

/// Tables as they are built for the last level, where what is loaded in order mostly goes.
fn outputs<'a>(maker: &'a crate::output::TableMaker<'a>) -> Outputs<'a> {
    Outputs::new(maker, LEVELS - 1, RangeTombstones::default(), None, None)
}
