//! What running flushes and compactions have taken, so that several run at once.

use crate::compaction::expand::{Compaction, Kind, Reason};
use bytes::Bytes;
use kv_manifest::{FileMeta, KeySpan, LEVELS};
use std::collections::HashSet;

/// Tables and stretches of keys that are taken.
///
/// INVARIANT: no table is held twice, and no two stretches of one level overlap; whoever reserves
/// has asked before.
#[derive(Debug, Default)]
pub(crate) struct Busy {
    tickets: u64,
    held: Vec<Held>,
    aside: HashSet<u64>,
    /// The bytes that the next merge may write; `None` is no bound.
    room: Option<u64>,
    /// Where the last merge of each level ended; the next one of equal worth begins behind it.
    cursors: [Bytes; LEVELS],
}

#[derive(Debug)]
struct Held {
    ticket: u64,
    files: Vec<u64>,
    /// The most bytes that it may write.
    writes: u64,
    /// The level that is written to, and between which keys.
    output: Option<(usize, KeySpan)>,
}

impl Busy {
    /// Takes the inputs of a compaction and the keys that it writes to; answers a ticket.
    pub(crate) fn reserve(&mut self, compaction: &Compaction) -> u64 {
        let files = compaction.files().map(|(_, file)| file.number).collect();
        if compaction.reason == Reason::Size
            && let Some((level, files)) = compaction.inputs.first()
            && let (Some(cursor), Some(last)) = (self.cursors.get_mut(*level), files.last())
        {
            *cursor = last.largest.clone();
        }
        let output = (compaction.kind != Kind::Drop)
            .then(|| (compaction.output_level, compaction.span.clone()));
        self.hold(files, output)
    }

    /// Takes keys of a level for a flush.
    pub(crate) fn reserve_range(&mut self, level: usize, span: KeySpan) -> u64 {
        self.hold(Vec::new(), Some((level, span)))
    }

    /// A ticket for nothing.
    pub(crate) fn reserve_nothing(&mut self) -> u64 {
        self.hold(Vec::new(), None)
    }

    fn hold(&mut self, files: Vec<u64>, output: Option<(usize, KeySpan)>) -> u64 {
        self.tickets += 1;
        // Tables of level 0 may overlap: nobody is in another's way there.
        let output = output.filter(|(level, _)| *level > 0);
        self.held.push(Held { ticket: self.tickets, files, writes: 0, output });
        self.tickets
    }

    /// Notes the most bytes that the holder of a ticket may write.
    pub(crate) fn promise(&mut self, ticket: u64, bytes: u64) {
        let held = self.held.iter_mut().filter(|held| held.ticket == ticket);
        held.for_each(|held| held.writes = bytes);
    }

    /// The bytes that all who hold a ticket may write.
    pub(crate) fn promised(&self) -> u64 {
        self.held.iter().map(|held| held.writes).fold(0, u64::saturating_add)
    }

    /// Sets what the next merge may write; `None` is no bound.
    pub(crate) fn set_room(&mut self, room: Option<u64>) {
        self.room = room;
    }

    /// Whether the next merge may write so much.
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        self.room.is_none_or(|room| bytes <= room)
    }

    /// Gives back what a ticket holds.
    pub(crate) fn release(&mut self, ticket: u64) {
        self.held.retain(|held| held.ticket != ticket);
    }

    /// Takes tables for good: they are damaged, and no merge can do better.
    pub(crate) fn set_aside(&mut self, numbers: impl IntoIterator<Item = u64>) {
        self.aside.extend(numbers);
    }

    /// Whether a table was taken for good.
    pub(crate) fn is_aside(&self, number: u64) -> bool {
        self.aside.contains(&number)
    }

    /// Whether a table is taken.
    pub(crate) fn has(&self, file: &FileMeta) -> bool {
        self.aside.contains(&file.number)
            || self.held.iter().any(|held| held.files.contains(&file.number))
    }

    /// Whether someone writes to keys of `span` on a level.
    pub(crate) fn writes(&self, level: usize, span: &KeySpan) -> bool {
        self.held.iter().any(|held| {
            held.output.as_ref().is_some_and(|(l, taken)| *l == level && taken.overlaps(span))
        })
    }

    /// Where the last merge of a level ended.
    pub(crate) fn cursor(&self, level: usize) -> &[u8] {
        self.cursors.get(level).map_or(&[], |cursor| cursor.as_ref())
    }
}
