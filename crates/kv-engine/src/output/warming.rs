//! Which blocks of new tables are in the cache before anybody has read them: those in whose place,
//! or beside which, blocks are there that were read.
//!
//! A merge asks the tables that it merges, a flush those that its own come to lie on: of level 0 the
//! newest that holds the key, and one table of each sorted level among them. The question is asked
//! once for each block, with its first key, and costs two searches of indexes in memory; where nobody
//! reads, the tables hold no index, and it costs next to nothing.
//!
//! What a flush makes is read at once, and next to it nothing is read as often: other blocks give
//! way to it. What a merge makes is not seen before all of the merge is done, and its inputs are
//! read until then: it comes in where there is room.

use crate::compaction::expand::Compaction;
use crate::engine::Engine;
use crate::tables::Tables;
use kv_manifest::FileMeta;
use kv_sstable::{BlockCache, Keep};
use std::sync::Arc;

/// The tables that tell how much is read near a key.
pub(crate) struct Warming {
    tables: Arc<Tables>,
    /// Of level 0, newest first.
    runs: Vec<Arc<FileMeta>>,
    /// Of sorted levels, each in order.
    levels: Vec<Vec<Arc<FileMeta>>>,
    spare: bool,
}

impl Warming {
    fn new(tables: &Arc<Tables>, spare: bool) -> Warming {
        Warming { tables: Arc::clone(tables), runs: Vec::new(), levels: Vec::new(), spare }
    }

    /// Adds tables of a level, as they stand in it.
    fn add(&mut self, level: usize, files: &[Arc<FileMeta>]) {
        if level == 0 {
            self.runs.extend_from_slice(files);
            self.runs.sort_by_key(|file| std::cmp::Reverse(file.max_seq));
        } else if !files.is_empty() {
            self.levels.push(files.to_vec());
        }
    }

    pub(crate) fn cache(&self) -> &Arc<BlockCache> {
        self.tables.cache()
    }

    /// How a block enters the cache that begins with `key`; `None` where it does not.
    pub(crate) fn keep(&self, key: &[u8]) -> Option<Keep> {
        let holds = |file: &&Arc<FileMeta>| file.smallest <= key && key <= &file.largest[..];
        let run = self.runs.iter().find(holds);
        let of_level = |files: &'_ Vec<Arc<FileMeta>>| {
            let i = files.partition_point(|file| file.largest < key);
            files.get(i).filter(holds).map(|file| file.number)
        };
        let numbers = self.levels.iter().filter_map(of_level).chain(run.map(|file| file.number));
        keep(self.spare, numbers.map(|number| self.tables.held(number)?.reads_near(key)))
    }
}

/// A block inherits the reads of the one near it that was read most. One that inherited reads and
/// was not read itself is none of these, so that warming ends where reading does.
fn keep(spare: bool, near: impl Iterator<Item = Option<u8>>) -> Option<Keep> {
    near.flatten().max().map(|reads| Keep { reads, spare })
}

impl Engine {
    /// For a flush: the tables that its own come to lie on.
    pub(crate) fn warming_beside(&self) -> Warming {
        let version = Arc::clone(&self.view.load().version);
        let mut warming = Warming::new(&self.tables, false);
        warming.add(0, version.level(0));
        if let Some(level) = version.sorted_levels().next() {
            warming.add(level, version.level(level));
        }
        warming
    }

    /// For a merge: its inputs.
    pub(crate) fn warming_from(&self, compaction: &Compaction) -> Warming {
        let mut warming = Warming::new(&self.tables, true);
        compaction.inputs.iter().for_each(|(level, files)| warming.add(*level, files));
        warming
    }
}

#[cfg(test)]
mod tests {
    use super::keep;

    fn reads(near: &[Option<u8>]) -> Option<u8> {
        keep(false, near.iter().copied()).map(|keep| keep.reads)
    }

    #[test]
    fn a_block_inherits_the_most_reads_near_it() {
        assert_eq!(reads(&[None, Some(2), Some(1)]), Some(2));
        assert_eq!(reads(&[Some(0), None]), Some(0), "the read that brought a block in counts");
    }

    #[test]
    fn where_nobody_reads_nothing_is_kept() {
        assert_eq!(reads(&[]), None);
        assert_eq!(reads(&[None, None]), None);
    }
}
