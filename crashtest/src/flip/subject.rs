//! A store that is damaged again and again, and what must be known of it to judge the outcome.

use crate::contents::Contents;
use crate::format::fixture::Fixture;
use crate::format::newer::records;
use crate::image::{DIR, Image, Kind};
use anyhow::{Context, Result, ensure};
use kv_engine::{Db, Options};
use kv_manifest::{FileName, Manifest};
use kv_vfs::{Fs, ManualClock, MemFs};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// When the damaged stores are read: after all that expires in a fixture has.
const READ_AT: Duration = Duration::from_secs(1_767_225_600);

/// A key with the name of its keyspace.
pub(crate) type Place = (String, Vec<u8>);

/// A whole store and what is known of it.
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) image: Image,
    pub(crate) earlier: Vec<Image>,
    pub(crate) clean: bool,
    /// What it holds.
    pub(crate) contents: Contents,
    /// Digests of the contents after each record of its logs, and the index of the last one that
    /// a later record vouches for.
    pub(crate) states: Vec<u64>,
    pub(crate) proven: usize,
    /// Where each data record of a live log begins and ends, by log.
    logs: BTreeMap<String, Vec<(usize, usize)>>,
    /// For each table the keys that cannot be read without it, where its data blocks end, and
    /// how many there are.
    pub(crate) tables: BTreeMap<String, TableFacts>,
    /// The logs that the manifest names.
    pub(crate) named: BTreeSet<String>,
    base: MemFs,
}

/// What is known of a table.
pub(crate) struct TableFacts {
    pub(crate) dependents: BTreeSet<Place>,
    pub(crate) data_end: usize,
    pub(crate) has_blocks: bool,
    /// The store opens without the table, so that the keys are known.
    pub(crate) opens_without: bool,
}

impl Subject {
    pub(crate) fn new(fixture: Fixture) -> Result<Subject> {
        let Fixture { name, image, expect, earlier } = fixture;
        let clock = ManualClock::new();
        clock.set_wall(UNIX_EPOCH + READ_AT);
        let base = MemFs::with_clock(Arc::new(clock));
        image.write(&base, Path::new(DIR))?;
        let mut subject = Subject {
            name,
            image,
            earlier,
            clean: expect.clean,
            contents: Contents::default(),
            states: expect.states.clone(),
            proven: expect.proven,
            logs: BTreeMap::new(),
            tables: BTreeMap::new(),
            named: BTreeSet::new(),
            base,
        };
        let db = Db::open(DIR, options(&subject.fresh(), Flavour::default()))?;
        subject.contents = Contents::read(&db)?;
        expect.check_contents(&subject.contents)?;
        drop(db);
        subject.find_logs()?;
        subject.find_tables()?;
        Ok(subject)
    }

    /// A copy of the whole store.
    pub(crate) fn fresh(&self) -> MemFs {
        self.base.crash()
    }

    fn find_logs(&mut self) -> Result<()> {
        let state = Manifest::read(&self.base, Path::new(DIR))?.context("no manifest")?;
        self.named = state.logs.iter().map(|n| FileName::Log(*n).to_string()).collect();
        for (name, bytes) in &self.image.files {
            let live = FileName::parse(name).and_then(|name| name.number());
            if Kind::of(name) == Kind::Log && live >= Some(state.log_floor) {
                let data = records(bytes).into_iter().filter(|r| bytes[r.start + 8] == 1);
                self.logs.insert(name.clone(), data.map(|r| (r.start, r.end)).collect());
            }
        }
        let found: usize = self.logs.values().map(Vec::len).sum();
        let known = self.states.len() - 1;
        ensure!(found == known, "{}: {found} records in logs, {known} known", self.name);
        Ok(())
    }

    fn find_tables(&mut self) -> Result<()> {
        for (name, bytes) in &self.image.files {
            if Kind::of(name) != Kind::Table {
                continue;
            }
            let footer = &bytes[bytes.len().checked_sub(64).context("no footer")?..];
            let data_end = u64::from_le_bytes(footer[28..36].try_into()?) as usize;
            let fs = self.fresh();
            fs.remove(&Path::new(DIR).join(name))?;
            let mut dependents = BTreeSet::new();
            let mut opens = true;
            match Db::open(DIR, options(&fs, Flavour::default())) {
                Err(_) => opens = false,
                Ok(db) => {
                    for (space, pairs) in &self.contents.spaces {
                        let Ok(keyspace) = db.keyspace(space) else { continue };
                        for key in pairs.keys().filter(|key| keyspace.get(key).is_err()) {
                            dependents.insert((space.clone(), key.clone()));
                        }
                    }
                }
            }
            // Where the catalog of keyspaces is in it, a loss of it is a loss of everything.
            let has_blocks = opens && data_end > 600 && dependents.len() > 8;
            self.tables.insert(
                name.clone(),
                TableFacts { dependents, data_end, has_blocks, opens_without: opens },
            );
        }
        Ok(())
    }

    /// Whether a log is the last one that something was written to.
    pub(crate) fn is_last_log(&self, name: &str) -> bool {
        let written = self.image.files.iter().rev().find(|(name, bytes)| {
            Kind::of(name) == Kind::Log && bytes.iter().any(|byte| *byte != 0)
        });
        written.is_some_and(|(last, _)| last == name)
    }

    /// How many records of the live logs lie wholly before `at` in log `name`, or in older logs.
    pub(crate) fn records_before(&self, name: &str, at: usize) -> usize {
        let count = |(log, records): (&String, &Vec<(usize, usize)>)| match log.as_str() {
            log if log < name => records.len(),
            log if log == name => records.iter().filter(|(_, end)| *end <= at).count(),
            _ => 0,
        };
        self.logs.iter().map(count).sum()
    }

    pub(crate) fn is_live_log(&self, name: &str) -> bool {
        self.logs.contains_key(name)
    }
}

/// How a damaged store is opened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flavour {
    /// With the smallest memtable, so that recovery makes tables on its way.
    pub(crate) tight: bool,
    pub(crate) read_only: bool,
}

pub(crate) fn options(fs: &MemFs, flavour: Flavour) -> Options {
    Options::default()
        .background_threads(1)
        .memory_budget(1 << 20)
        .write_buffer(if flavour.tight { 4 << 10 } else { 64 << 10 })
        .level0_runs(64)
        .space_amplification(10.0)
        .read_only(flavour.read_only)
        .file_system(Arc::new(fs.clone()))
}
