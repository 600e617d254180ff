//! `ingest`: sorted records, all of them or none.

use super::source::{Source, Step};
use super::{begin, records_in_words};
use crate::args::Ingest;
use crate::failure::Failure;
use crate::output::Output;
use crate::records::{self, Record};
use crate::store;
use serde_json::Map;
use std::io::Read;
use std::path::Path;

pub(crate) const ABOUT: &str = "\
Store sorted records of a file, or of standard input: all of them or none

Keys must ascend, each of them once, as the bytes of `kv dump` and of `LC_ALL=C sort` do. The first \
record that does not, or that is bad, is refused with its line number, and nothing is stored; the same \
holds after a kill or a loss of power. What is stored is newer than all that was written \
before the end. Memory stays small, however many records come. The forms are those of `kv load`, \
which takes records in any order.";

pub(crate) fn ingest(dir: &Path, args: Ingest, out: &mut Output) -> Result<(), Failure> {
    let (source, bar) = begin(&args.from, "ingesting")?;
    let db = store::for_writing(dir)?;
    let space = &args.from.space;
    let made = store::existing(&db, space).is_err();
    let keyspace = db.keyspace(&space.name)?;
    let mut sorted = Sorted { source, last: None, failure: None };
    let ingested = keyspace.ingest(&mut sorted);
    bar.finish_and_clear();
    let failure = sorted.failure.or_else(|| ingested.as_ref().err().cloned().map(Failure::from));
    if let Some(failure) = failure {
        if made {
            // None of it: neither the keyspace that was made for it.
            let _ = db.drop_keyspace(&space.name);
        }
        return Err(failure.after("nothing was ingested"));
    }
    let count = ingested?;
    db.close()?;
    if out.json {
        return out.object(Map::from_iter([("ingested".to_owned(), count.into())]));
    }
    out.line(format!("{} ingested", records_in_words(count)).as_bytes())
}

/// Records in ascending order. Where one is not, or is none, the last key is given once more, which
/// ends the ingest.
struct Sorted<R> {
    source: Source<R>,
    last: Option<Vec<u8>>,
    failure: Option<Failure>,
}

impl<R: Read> Sorted<R> {
    fn step(&mut self) -> Result<Option<Record>, Failure> {
        let (key, value) = match self.source.next()? {
            Step::Record(record) => record,
            Step::Bad(reason) => return Err(self.bad(reason)),
            Step::End => return Ok(None),
        };
        records::check(&key, &value).map_err(|reason| self.bad(&reason))?;
        if self.last.as_ref().is_some_and(|last| key == *last) {
            return Err(self.bad("the key is the one before it again; keys must ascend"));
        }
        if self.last.as_ref().is_some_and(|last| key < *last) {
            let what =
                "the key is smaller than the one before it; keys must ascend, `kv load` sorts";
            return Err(self.bad(what));
        }
        Ok(Some((key, value)))
    }

    fn bad(&self, reason: &str) -> Failure {
        Failure::broken(format!("{}: {reason}", self.source.place()))
    }
}

impl<R: Read> Iterator for Sorted<R> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        if self.failure.is_some() {
            return None;
        }
        match self.step() {
            Ok(Some((key, value))) => {
                let last = self.last.get_or_insert_default();
                last.clear();
                last.extend_from_slice(&key);
                Some((key, value))
            }
            Ok(None) => None,
            Err(failure) => {
                self.failure = Some(failure);
                self.last.take().map(|last| (last, Vec::new()))
            }
        }
    }
}
