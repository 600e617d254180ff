//! What must hold of every version and state, each rule with a name.

use crate::{FileMeta, LiveValues, State, ValueRef, Version};
use kv_vfs::testing::{bug, planted};
use std::collections::HashSet;
use thiserror::Error;

/// An edit or a version that breaks a rule.
///
/// ```
/// use kv_manifest::{Broken, FileMeta, State, VersionEdit};
/// use std::sync::Arc;
///
/// let (smallest, largest) = ("apple".into(), "plum".into());
/// let table = FileMeta { number: 7, entries: 2, smallest, largest, ..FileMeta::default() };
/// let added = vec![(1, Arc::new(table))];
/// let mut state = State::new(42).apply(&VersionEdit { added, ..VersionEdit::default() })?;
/// assert!(state.check().is_ok());
///
/// // The number would be given once more. The version itself knows nothing of that.
/// state.next_file = 7;
/// let broken = Broken { invariant: "number-below-next", level: 1, number: 7 };
/// assert_eq!(state.check(), Err(broken));
/// assert_eq!(state.version.check(), Ok(()));
/// # Ok::<(), Broken>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{invariant}: level {level}, file {number}")]
pub struct Broken {
    /// The rule:
    ///
    /// * `level-exists` – an edit names a level that there is.
    /// * `deleted-exists` – an edit deletes a table that lies on that level.
    /// * `number-unique` – no table is there twice.
    /// * `number-below-next` – every number is below the next to be given.
    /// * `bounds-ordered` – a table's first key is not behind its last.
    /// * `visible-not-empty` – a table's visible part holds a key.
    /// * `seqs-ordered` – a table's smallest sequence number is not above its largest.
    /// * `seq-known` – no table holds a sequence number above the last one given.
    /// * `counts-agree` – tombstones and expiring entries are not more than all entries, a table
    ///   is not empty, and what expires has bounds.
    /// * `value-refs-ordered` – what a table refers to is in the order of numbers, each value file
    ///   once and with a byte at least.
    /// * `value-file-known` – each value file that a table refers to is there.
    /// * `value-bytes-agree` – tables refer to no more bytes of a value file than it holds.
    /// * `level0-newest-first` – level 0 is in the order of time, and of two tables that overlap
    ///   one is wholly newer.
    /// * `level-sorted` – the tables of any other level are in the order of keys and disjoint.
    pub invariant: &'static str,
    /// On which level.
    pub level: usize,
    /// Which table or value file.
    pub number: u64,
}

pub(crate) fn broken(invariant: &'static str, level: usize, number: u64) -> Broken {
    Broken { invariant, level, number }
}

impl Version {
    /// Whether the version keeps every rule; the first that it breaks where not.
    pub fn check(&self) -> Result<(), Broken> {
        let mut seen = HashSet::new();
        for (level, file) in self.files() {
            if !seen.insert(file.number) {
                return Err(broken("number-unique", level, file.number));
            }
            if let Some(invariant) = broken_by(file) {
                return Err(broken(invariant, level, file.number));
            }
            let known = |reference: &ValueRef| self.value_file(reference.file).is_some();
            if !file.values.iter().all(known) {
                return Err(broken("value-file-known", level, file.number));
            }
        }
        for LiveValues { meta, live } in self.values() {
            if !seen.insert(meta.number) {
                return Err(broken("number-unique", 0, meta.number));
            }
            if *live > meta.bytes || meta.bytes > meta.size {
                return Err(broken("value-bytes-agree", 0, meta.number));
            }
        }
        self.check_level0()?;
        for level in 1..crate::LEVELS {
            let files = self.level(level);
            for (left, right) in files.iter().zip(files.iter().skip(1)) {
                let split = planted(bug::KEY_SPLIT_OVER_TABLES) && left.largest == right.smallest;
                if !left.ends_before(&right.smallest) && !split {
                    return Err(broken("level-sorted", level, right.number));
                }
            }
        }
        Ok(())
    }

    fn check_level0(&self) -> Result<(), Broken> {
        let files = self.level(0);
        for (i, newer) in files.iter().enumerate() {
            for older in files.iter().skip(i + 1) {
                let in_order = (newer.max_seq, newer.number) > (older.max_seq, older.number);
                if !in_order || (newer.overlaps_file(older) && newer.min_seq <= older.max_seq) {
                    return Err(broken("level0-newest-first", 0, older.number));
                }
            }
        }
        Ok(())
    }
}

/// The rule that a table breaks by itself.
fn broken_by(file: &FileMeta) -> Option<&'static str> {
    let ordered = if file.largest_exclusive {
        file.smallest < file.largest
    } else {
        file.smallest <= file.largest
    };
    if !ordered {
        return Some("bounds-ordered");
    }
    if file.visible.as_ref().is_some_and(|range| range.is_empty()) {
        return Some("visible-not-empty");
    }
    if file.min_seq > file.max_seq {
        return Some("seqs-ordered");
    }
    let empty = file.entries == 0 && file.range_tombstones == 0;
    let expires = file.expiring > 0;
    if empty
        || file.tombstones > file.entries
        || file.expiring > file.entries
        || (expires && file.min_expiry > file.max_expiry)
    {
        return Some("counts-agree");
    }
    let refs = &file.values;
    let ascend = refs.iter().zip(refs.iter().skip(1)).all(|(a, b)| a.file < b.file);
    if !ascend || refs.iter().any(|reference| reference.bytes == 0) {
        return Some("value-refs-ordered");
    }
    None
}

impl State {
    /// Whether the state keeps every rule, its version's included.
    pub fn check(&self) -> Result<(), Broken> {
        self.check_numbers()?;
        self.version.check()
    }

    /// The rules that join the version's tables to the counters beside it.
    pub(crate) fn check_numbers(&self) -> Result<(), Broken> {
        for values in self.version.values() {
            if values.meta.number >= self.next_file {
                return Err(broken("number-below-next", 0, values.meta.number));
            }
        }
        for (level, file) in self.version.files() {
            if file.number >= self.next_file {
                return Err(broken("number-below-next", level, file.number));
            }
            if file.max_seq > self.last_seq {
                return Err(broken("seq-known", level, file.number));
            }
        }
        Ok(())
    }
}
