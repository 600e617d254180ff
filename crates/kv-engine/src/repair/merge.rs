//! Joins tables into one sorted run of the newest versions.

use super::Repair;
use super::names::Spaces;
use super::report::Part;
use super::sources::{Planned, runs};
use super::values::OldValues;
use crate::error::Result;
use crate::output::{Made, Outputs, TableMaker};
use kv_core::{InternalKey, RangeTombstones, SeqNo, compare_internal};
use kv_manifest::LEVELS;
use kv_sstable::Salvage;
use std::collections::VecDeque;

/// What a merge made.
pub(super) struct Merged {
    pub(super) made: Made,
    pub(super) spaces: Spaces,
}

/// One run: disjoint tables in key order, of which one is open.
struct Run {
    tables: VecDeque<Planned>,
    open: Option<(Planned, Salvage)>,
}

impl Run {
    fn here(&self) -> Option<InternalKey<'_>> {
        let (_, salvage) = self.open.as_ref()?;
        Some(InternalKey { key: salvage.key(), trailer: salvage.trailer() })
    }
}

impl Repair<'_> {
    /// Merges the tables into new ones for the last level, and raises `last_seq`.
    pub(super) fn merge(
        &mut self,
        tables: Vec<Planned>,
        maker: &TableMaker<'_>,
        last_seq: &mut SeqNo,
    ) -> Result<Merged> {
        let runs = runs(tables, self.fs)?;
        // Each run has a file open, and the outputs have a few.
        let many = runs.len() + 8 > self.options.max_open_files;
        let deletes = runs.iter().flatten().flat_map(|table| table.tombstones.iter().cloned());
        let deletes = RangeTombstones::seen_by(deletes, &[]);
        for fragment in deletes.fragments() {
            *last_seq = fragment.seqs.iter().copied().max().unwrap_or(0).max(*last_seq);
        }
        let mut runs: Vec<Run> =
            runs.into_iter().map(|tables| Run { tables: tables.into(), open: None }).collect();
        for run in &mut runs {
            self.step(run, many)?;
        }
        let none = RangeTombstones::default();
        let mut outputs = Outputs::new(maker, LEVELS - 1, none, None, None);
        let mut spaces = Spaces::default();
        let mut values = OldValues::new(&**self.fs, self.from);
        let mut last_key: Option<Vec<u8>> = None;
        // The number of the table whose version of that key counts.
        let mut from = 0;
        while let Some(run) = newest(&mut runs) {
            if let Some((table, entry)) = &run.open {
                let (key, trailer) = (entry.key(), entry.trailer());
                *last_seq = trailer.seq().max(*last_seq);
                if last_key.as_deref() != Some(key) {
                    let hidden = deletes.covering(key, SeqNo::MAX) > trailer.seq();
                    let held = match hidden {
                        true => None,
                        false => values.held(trailer, entry.value(), self.report)?,
                    };
                    if let Some((trailer, value)) = held {
                        if outputs.current_size() >= maker.options.table_limit() {
                            outputs.cut(key)?;
                        }
                        outputs.add(key, trailer, &value)?;
                        spaces.saw(key, &value);
                        self.report.kept += 1;
                    }
                    let kept = last_key.get_or_insert_default();
                    kept.clear();
                    kept.extend_from_slice(key);
                    // What the logs say is newer than any table.
                    from = table.name.as_ref().map_or(u64::MAX, |_| table.number);
                } else if trailer.seq() == 0 && table.number > from {
                    self.report.doubtful += 1;
                    from = table.number;
                }
            }
            self.step(run, many)?;
        }
        self.report.kept -= spaces.catalog_entries();
        Ok(Merged { made: outputs.finish()?, spaces })
    }

    /// Moves a run to its next entry, and reports what a table has lost once it was read.
    fn step(&mut self, run: &mut Run, many: bool) -> Result<()> {
        loop {
            if let Some((_, salvage)) = &mut run.open
                && salvage.next()?
            {
                return Ok(());
            }
            if let Some((table, salvage)) = run.open.take() {
                self.finish_table(&table, &salvage);
            }
            let Some(table) = run.tables.pop_front() else { return Ok(()) };
            let salvage = table.open(self.fs, many)?;
            run.open = Some((table, salvage));
        }
    }

    fn finish_table(&mut self, table: &Planned, salvage: &Salvage) {
        let Some(name) = &table.name else { return };
        self.progress.done(table.size());
        if !salvage.is_foreign() {
            self.report.tables += 1;
            self.report.bytes += table.size();
        }
        for lost in salvage.lost() {
            let part = Part {
                offset: lost.offset,
                end: lost.end,
                reason: lost.reason.clone(),
                data: lost.data,
                keys: lost.keys.clone(),
            };
            self.report.lose(name, part);
        }
        let entries = match salvage.is_foreign() {
            true => table.known_entries(),
            false => salvage.entries(),
        };
        if let Some(lost) = entries.and_then(|all| all.checked_sub(salvage.read()))
            && lost > 0
        {
            self.report.lose_entries(name, lost);
        }
    }
}

/// The run whose entry comes first in internal order: of a key, the newest version.
fn newest(runs: &mut [Run]) -> Option<&mut Run> {
    let mut first: Option<usize> = None;
    for (i, run) in runs.iter().enumerate() {
        let Some(here) = run.here() else { continue };
        let before = first.and_then(|first| runs.get(first)).and_then(Run::here);
        if before.is_none_or(|before| compare_internal(here, before).is_lt()) {
            first = Some(i);
        }
    }
    runs.get_mut(first?)
}
