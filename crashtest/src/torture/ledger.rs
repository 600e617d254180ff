//! What was tried and what was acknowledged, in a directory outside the store.
//!
//! `history` holds one line for each life that saw the store: its number, and how many writes of
//! each stream it found. `LIFE.STREAM` holds a record for each intent, written before the call,
//! and each acknowledgement, written after it, both stamped in one order for all streams. Nothing
//! is synced: a kill of the process takes nothing from files that the kernel has.

use crate::torture::model::STREAMS;
use anyhow::{Context, Result, ensure};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The ledger of all lives of one store.
#[derive(Clone, Debug)]
pub struct Ledger {
    dir: PathBuf,
}

/// A life that looked at the store, and what it found of each stream.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) life: u32,
    pub(crate) from: Vec<u64>,
}

impl Seen {
    /// How many writes of a stream it found.
    pub(crate) fn start(&self, stream: u8) -> u64 {
        self.from.get(usize::from(stream)).copied().unwrap_or(0)
    }
}

/// What one life noted of one stream: the stamps of its writes, from the first on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes {
    /// For each write when it began, and when it was acknowledged, if it was.
    pub(crate) writes: Vec<(u64, Option<u64>)>,
}

const INTENT: u8 = b'i';
const ACKNOWLEDGED: u8 = b'a';
const RECORD: usize = 17;

impl Ledger {
    /// The ledger in `dir`, an existing directory.
    pub fn new(dir: &Path) -> Ledger {
        Ledger { dir: dir.to_owned() }
    }

    /// The lives so far that looked at the store.
    pub(crate) fn history(&self) -> Result<Vec<Seen>> {
        let path = self.dir.join("history");
        if !path.exists() {
            return Ok(Vec::new());
        }
        let text = std::fs::read_to_string(&path)?;
        // A line counts once it ended.
        let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let seen = lines.map(|line| {
            let numbers: Vec<u64> =
                line.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
            let (life, from) = numbers.split_first().context("an empty line in the history")?;
            ensure!(from.len() == usize::from(STREAMS), "a short line in the history");
            Ok(Seen { life: u32::try_from(*life)?, from: from.to_vec() })
        });
        seen.collect()
    }

    /// Notes that a life saw the store in that state.
    pub(crate) fn saw(&self, life: u32, from: &[u64]) -> Result<()> {
        let numbers: Vec<String> = from.iter().map(u64::to_string).collect();
        let line = format!("{life} {}\n", numbers.join(" "));
        let path = self.dir.join("history");
        let mut file = OpenOptions::new().append(true).create(true).open(path)?;
        Ok(file.write_all(line.as_bytes())?)
    }

    fn stream(&self, life: u32, stream: u8) -> PathBuf {
        self.dir.join(format!("{life}.{stream}"))
    }

    /// Where a life notes what it does to a stream.
    pub(crate) fn pen(&self, life: u32, stream: u8) -> Result<Pen> {
        Ok(Pen { file: File::create(self.stream(life, stream))? })
    }

    /// What a life noted of a stream whose first write then was `from`.
    pub(crate) fn notes(&self, life: u32, stream: u8, from: u64) -> Result<Notes> {
        let path = self.stream(life, stream);
        if !path.exists() {
            return Ok(Notes::default());
        }
        let mut notes = Notes::default();
        for record in std::fs::read(path)?.as_chunks::<RECORD>().0 {
            let number = |at: usize| {
                let bytes = record.get(at..at + 8).and_then(|bytes| bytes.first_chunk());
                bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
            };
            let (index, stamp) = (number(1), number(9));
            let at = usize::try_from(index.checked_sub(from).context("the ledger goes back")?)?;
            if record[0] == INTENT {
                ensure!(at == notes.writes.len(), "the ledger skips a write");
                notes.writes.push((stamp, None));
            } else if let Some(write) = notes.writes.get_mut(at) {
                write.1 = Some(stamp);
            }
        }
        Ok(notes)
    }

    /// Where a life that kills itself says where it did.
    pub(crate) fn site(&self) -> PathBuf {
        self.dir.join("site")
    }

    /// Where the last life that killed itself did so; forgets it.
    pub fn take_site(&self) -> Option<String> {
        let site = std::fs::read_to_string(self.site()).ok()?;
        std::fs::remove_file(self.site()).ok()?;
        Some(site)
    }
}

/// Notes what happens to one stream, in order.
#[derive(Debug)]
pub(crate) struct Pen {
    file: File,
}

/// The order of all notes of this life.
static STAMP: AtomicU64 = AtomicU64::new(1);

impl Pen {
    pub(crate) fn intent(&mut self, index: u64) -> Result<()> {
        self.note(INTENT, index)
    }

    pub(crate) fn acknowledged(&mut self, index: u64) -> Result<()> {
        self.note(ACKNOWLEDGED, index)
    }

    fn note(&mut self, kind: u8, index: u64) -> Result<()> {
        let stamp = STAMP.fetch_add(1, Ordering::SeqCst);
        let mut record = [kind; RECORD];
        record[1..9].copy_from_slice(&index.to_le_bytes());
        record[9..].copy_from_slice(&stamp.to_le_bytes());
        Ok(self.file.write_all(&record)?)
    }
}
