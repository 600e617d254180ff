//! `load`: the records of a file, in batches.

mod source;

use crate::args::{Input, Load};
use crate::failure::{Failure, complain};
use crate::output::Output;
use crate::{progress, records, store};
use indicatif::ProgressBar;
use kv_engine::{Db, Keyspace, WriteBatch};
use serde_json::Map;
use source::{Source, Step};
use std::path::Path;

/// A batch is written when it has this many records, or bytes.
const BATCH_RECORDS: usize = 1000;
const BATCH_BYTES: usize = 1 << 20;
/// Bytes after which what was written is made durable.
const SYNC_BYTES: usize = 64 << 20;

pub(crate) fn load(dir: &Path, args: Load, out: &mut Output) -> Result<(), Failure> {
    let form = args.input.unwrap_or_else(|| form_of(args.file.as_deref()));
    for (given, option, needed) in
        [(args.header, "--header", Input::Csv), (args.keys_only, "--keys-only", Input::Tsv)]
    {
        if given && form != needed {
            return Err(Failure::usage(format!("{option} does not go with this form of records")));
        }
    }
    // The input before the store, so that a wrong name creates nothing.
    let input = source::open(args.file.as_deref())?;
    let bar = progress::reading("loading", input.len);
    let mut source = Source::new(bar.wrap_read(input.reader), form, args.header, args.keys_only);

    let db = store::for_loading(dir)?;
    let keyspace = db.keyspace(&args.space.name)?;
    let mut sink = Sink {
        db: &db,
        keyspace,
        bar: &bar,
        batch: WriteBatch::new(),
        bytes: 0,
        unsynced: 0,
        written: 0,
    };
    let mut skipped = 0u64;
    loop {
        match sink.until_bad(&mut source)? {
            None => break,
            Some(bad) if args.skip_bad => {
                skipped += 1;
                bar.suspend(|| complain(&bad));
            }
            Some(bad) => {
                sink.sync()?;
                return Err(Failure::broken(bad).after(sink.so_far()));
            }
        }
    }
    sink.sync()?;
    bar.finish_and_clear();
    let loaded = sink.written;
    drop(sink);
    db.close()?;
    tell(out, loaded, skipped)
}

fn tell(out: &mut Output, loaded: u64, skipped: u64) -> Result<(), Failure> {
    if out.json {
        let counts = [("loaded".to_owned(), loaded.into()), ("skipped".to_owned(), skipped.into())];
        return out.object(Map::from_iter(counts));
    }
    let skipped = match skipped {
        0 => String::new(),
        n => format!(", {n} skipped"),
    };
    out.line(format!("{} loaded{skipped}", records_in_words(loaded)).as_bytes())
}

fn records_in_words(n: u64) -> String {
    format!("{n} {}", if n == 1 { "record" } else { "records" })
}

/// The form that a file's name promises.
fn form_of(file: Option<&Path>) -> Input {
    match file.and_then(Path::extension).and_then(|extension| extension.to_str()) {
        Some("csv") => Input::Csv,
        Some("json" | "jsonl" | "ndjson") => Input::Json,
        _ => Input::Tsv,
    }
}

/// Where records go.
struct Sink<'a> {
    db: &'a Db,
    keyspace: Keyspace,
    bar: &'a ProgressBar,
    batch: WriteBatch,
    bytes: usize,
    unsynced: usize,
    /// Records in the store.
    written: u64,
}

impl Sink<'_> {
    /// Stores records until a bad one, which is told in words, or the end.
    fn until_bad(
        &mut self,
        source: &mut Source<impl std::io::Read>,
    ) -> Result<Option<String>, Failure> {
        loop {
            let step = match source.next() {
                Ok(step) => step,
                Err(failure) => {
                    self.sync()?;
                    return Err(failure.after(self.so_far()));
                }
            };
            let (key, value) = match step {
                Step::Record(record) => record,
                Step::Bad(reason) => return Ok(Some(format!("{}: {reason}", source.place()))),
                Step::End => return Ok(None),
            };
            if let Err(reason) = records::check(&key, &value) {
                return Ok(Some(format!("{}: {reason}", source.place())));
            }
            self.batch.put(&key, &value);
            self.bytes += key.len() + value.len();
            if self.batch.len() >= BATCH_RECORDS || self.bytes >= BATCH_BYTES {
                self.write()?;
            }
        }
    }

    fn write(&mut self) -> Result<(), Failure> {
        let records = self.batch.len() as u64;
        let batch = std::mem::take(&mut self.batch);
        self.keyspace.write(batch).map_err(|error| Failure::from(error).after(self.so_far()))?;
        self.written += records;
        self.unsynced += std::mem::take(&mut self.bytes);
        if self.unsynced >= SYNC_BYTES {
            self.make_durable()?;
        }
        Ok(())
    }

    /// Everything so far survives power loss afterwards.
    fn sync(&mut self) -> Result<(), Failure> {
        self.write()?;
        self.make_durable()
    }

    fn make_durable(&mut self) -> Result<(), Failure> {
        self.db
            .sync()
            .map_err(|error| Failure::from(error).after("how much is durable is unknown"))?;
        self.unsynced = 0;
        self.bar.set_message(format!("loading, {} durable", records_in_words(self.written)));
        Ok(())
    }

    fn so_far(&self) -> String {
        format!("stored before it: {}", records_in_words(self.written))
    }
}
