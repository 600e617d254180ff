//! State + edit = next state. Pure, and all or nothing.

use crate::check::broken;
use crate::level::Level;
use crate::{Broken, FileMeta, LEVELS, State, ValueMeta, Version, VersionEdit};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

impl Version {
    /// The version with the tables of `edit` taken away, then those added. Levels that the edit
    /// does not name are shared with this version. Answers the rule that is broken where the edit
    /// does not fit or the outcome would not pass [`Version::check`].
    ///
    /// ```
    /// use kv_manifest::{FileMeta, Version, VersionEdit};
    /// use std::sync::Arc;
    ///
    /// let table = |number, smallest: &'static str, largest: &'static str| {
    ///     let (smallest, largest) = (smallest.into(), largest.into());
    ///     Arc::new(FileMeta { number, entries: 1, smallest, largest, ..FileMeta::default() })
    /// };
    /// let add = |table| VersionEdit { added: vec![(1, table)], ..VersionEdit::default() };
    /// let version = Version::default().apply(&add(table(4, "c", "f")))?;
    ///
    /// // A table that another of its level overlaps is refused; the version is as it was.
    /// let refused = version.apply(&add(table(5, "e", "k"))).unwrap_err();
    /// assert_eq!((refused.invariant, refused.number), ("level-sorted", 5));
    /// let next = version.apply(&add(table(5, "g", "k")))?;
    /// assert_eq!((version.level(1).len(), next.level(1).len()), (1, 2));
    /// # Ok::<(), kv_manifest::Broken>(())
    /// ```
    pub fn apply(&self, edit: &VersionEdit) -> Result<Version, Broken> {
        let deleted = edit.deleted.iter().copied();
        let added = edit.added.iter().map(|(level, file)| (*level, file.number));
        if let Some((level, number)) = deleted.chain(added).find(|(level, _)| *level >= LEVELS) {
            return Err(broken("level-exists", level, number));
        }
        let mut levels = self.levels().clone();
        for (level, slot) in levels.iter_mut().enumerate() {
            if let Some(next) = self.next_level(level, edit)? {
                *slot = Arc::new(next);
            }
        }
        let held = self.values().iter().map(|values| values.meta);
        let values = join_values(held.chain(edit.values_added.iter().copied()))?;
        let next = Version::from_levels(levels, &values);
        next.check()?;
        Ok(next)
    }

    /// One level behind `edit`, `None` where the edit does not touch it.
    fn next_level(&self, level: usize, edit: &VersionEdit) -> Result<Option<Level>, Broken> {
        let deleted = edit.deleted.iter().filter(|(l, _)| *l == level).map(|(_, number)| *number);
        let mut gone: HashSet<u64> = HashSet::new();
        for number in deleted {
            if !gone.insert(number) {
                return Err(broken("deleted-exists", level, number));
            }
        }
        let added = edit.added.iter().filter(|(l, _)| *l == level).map(|(_, file)| file);
        let mut files: Vec<_> = self.level(level).to_vec();
        files.retain(|file| !gone.remove(&file.number));
        if let Some(number) = gone.into_iter().min() {
            return Err(broken("deleted-exists", level, number));
        }
        let kept = files.len();
        files.extend(added.cloned());
        if files.len() == kept && kept == self.level(level).len() {
            return Ok(None);
        }
        Ok(Some(level_of(level, files)))
    }
}

impl State {
    /// The state with `edit` applied. Counters never go back, and rise by themselves above every
    /// number and sequence number that the edit names.
    ///
    /// ```
    /// use kv_manifest::{State, VersionEdit};
    ///
    /// let logs = VersionEdit { logs_added: vec![3, 5], ..VersionEdit::default() };
    /// let state = State::new(42).apply(&logs)?;
    /// assert_eq!(state.next_file, 6);
    ///
    /// // What is below the floor is forgotten; a lower floor later does not bring it back.
    /// let floor = |log| VersionEdit { log_floor: Some(log), ..VersionEdit::default() };
    /// let state = state.apply(&floor(4))?.apply(&floor(2))?;
    /// assert_eq!((state.log_floor, state.logs.first()), (4, Some(&5)));
    /// # Ok::<(), kv_manifest::Broken>(())
    /// ```
    pub fn apply(&self, edit: &VersionEdit) -> Result<State, Broken> {
        let mut next = self.clone();
        next.version = Arc::new(self.version.apply(edit)?);
        next.advance(edit);
        next.check_numbers()?;
        Ok(next)
    }

    /// Applies what `edit` says besides its tables.
    fn advance(&mut self, edit: &VersionEdit) {
        self.next_file = self.next_file.max(edit.next_file.unwrap_or(0));
        self.last_seq = self.last_seq.max(edit.last_seq.unwrap_or(0));
        self.log_floor = self.log_floor.max(edit.log_floor.unwrap_or(0));
        for (_, file) in &edit.added {
            self.saw_number(file.number);
            self.last_seq = self.last_seq.max(file.max_seq);
        }
        for &(_, number) in &edit.deleted {
            self.saw_number(number);
        }
        for values in &edit.values_added {
            self.saw_number(values.number);
        }
        for &log in &edit.logs_added {
            self.saw_number(log);
            self.logs.insert(log);
        }
        if self.logs.first().is_some_and(|first| *first < self.log_floor) {
            self.logs = self.logs.split_off(&self.log_floor);
        }
        if let Some(settings) = &edit.settings {
            self.settings = settings.clone();
        }
    }
}

/// Applies many edits and builds one version at the end, so that a replay costs what its edits
/// hold and not their number times the tables.
#[derive(Debug)]
pub(crate) struct Replay {
    state: State,
    levels: [BTreeMap<u64, Arc<FileMeta>>; LEVELS],
    values: Vec<ValueMeta>,
}

impl Replay {
    /// Begins with a state without tables.
    pub(crate) fn new(empty: State) -> Replay {
        Replay { state: empty, levels: Default::default(), values: Vec::new() }
    }

    pub(crate) fn apply(&mut self, edit: &VersionEdit) -> Result<(), Broken> {
        for &(level, number) in &edit.deleted {
            let files = self.levels.get_mut(level).ok_or(broken("level-exists", level, number))?;
            files.remove(&number).ok_or(broken("deleted-exists", level, number))?;
        }
        for (level, file) in &edit.added {
            let (level, number) = (*level, file.number);
            let files = self.levels.get_mut(level).ok_or(broken("level-exists", level, number))?;
            if files.insert(number, Arc::clone(file)).is_some() {
                return Err(broken("number-unique", level, number));
            }
        }
        self.values.extend(&edit.values_added);
        self.state.advance(edit);
        Ok(())
    }

    /// The state behind all edits, checked.
    pub(crate) fn finish(self) -> Result<State, Broken> {
        let mut state = self.state;
        let mut levels: [Arc<Level>; LEVELS] = Default::default();
        for (level, (slot, files)) in levels.iter_mut().zip(self.levels).enumerate() {
            *slot = Arc::new(level_of(level, files.into_values().collect()));
        }
        let values = join_values(self.values.into_iter())?;
        state.version = Arc::new(Version::from_levels(levels, &values));
        state.check()?;
        Ok(state)
    }
}

/// Value files by number, each once.
fn join_values(files: impl Iterator<Item = ValueMeta>) -> Result<BTreeMap<u64, ValueMeta>, Broken> {
    let mut joined = BTreeMap::new();
    for file in files {
        if joined.insert(file.number, file).is_some() {
            return Err(broken("number-unique", 0, file.number));
        }
    }
    Ok(joined)
}

fn level_of(level: usize, files: Vec<Arc<FileMeta>>) -> Level {
    if level == 0 { Level::by_age(files) } else { Level::by_key(files) }
}
