//! `load`: the records of a file, sorted and stored in pieces. `ingest` is its strict form.

mod piece;
mod source;
mod strict;

pub(crate) use strict::{ABOUT as INGEST_ABOUT, ingest};

use crate::args::{Input, Load, Records};
use crate::failure::{Failure, complain};
use crate::output::Output;
use crate::{progress, records, store};
use indicatif::ProgressBar;
use piece::Piece;
use serde_json::Map;
use source::{Source, Step};
use std::io::Read;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

pub(crate) const ABOUT: &str = "\
Store the records of a file, or of standard input

The form follows from the file's name (.csv; .json, .jsonl, .ndjson; all else is tab-separated) \
unless --input tells it:

  tsv   KEY, a tab, VALUE, a line end. The value is everything up to the line end, further tabs \
and a carriage return included; nothing is an escape, except in a line that `dump` escaped.
  csv   two columns, quoted where needed.
  json  a line for each object with \"key\" and \"value\", or \"key_hex\" and \"value_hex\" for bytes \
that are not UTF-8.

Records are sorted in memory, stored straight in tables and made durable, every 64 MiB and at the \
end; of a key that comes twice the last value stays. The first bad record ends the load with its \
line number, and those before it stay. After a kill or a loss of power start again: a record that \
is loaded twice changes nothing. Sorted input leaves nothing for later merges to do.";

/// Memory that a piece takes before it is stored. There are two.
const PIECE: usize = 64 << 20;

/// Opens the input, before the store, so that a wrong name creates nothing.
fn begin(
    from: &Records,
    what: &'static str,
) -> Result<(Source<impl Read + use<>>, ProgressBar), Failure> {
    let form = from.input.unwrap_or_else(|| form_of(from.file.as_deref()));
    for (given, option, needed) in
        [(from.header, "--header", Input::Csv), (from.keys_only, "--keys-only", Input::Tsv)]
    {
        if given && form != needed {
            return Err(Failure::usage(format!(
                "{option} is for {} records, and these are {}; --input tells the form",
                needed.name(),
                form.name()
            )));
        }
    }
    let input = source::open(from.file.as_deref())?;
    let bar = progress::reading(what, input.len);
    let reader = bar.wrap_read(input.reader);
    Ok((Source::new(reader, form, from.header, from.keys_only), bar))
}

pub(crate) fn load(dir: &Path, args: Load, out: &mut Output) -> Result<(), Failure> {
    let (mut source, bar) = begin(&args.from, "loading")?;
    let db = store::for_writing(dir)?;
    let keyspace = db.keyspace(&args.from.space.name)?;
    let (mut loaded, mut skipped) = (0, 0);
    std::thread::scope(|scope| {
        let (full, pieces) = sync_channel::<Piece>(0);
        let (told, stored) = sync_channel(1);
        scope.spawn(move || {
            for mut piece in pieces {
                let outcome = piece.store(&keyspace);
                if told.send((piece, outcome)).is_err() {
                    break;
                }
            }
        });
        let (piece, spare) = (Piece::default(), Some(Piece::default()));
        let mut sink = Sink { full, told: stored, piece, spare, bar: &bar, stored: 0 };
        while let Some(bad) = sink.until_bad(&mut source)? {
            if !args.skip_bad {
                sink.end()?;
                return Err(Failure::broken(bad).after(sink.so_far()));
            }
            skipped += 1;
            bar.suspend(|| complain(&bad));
        }
        sink.end()?;
        loaded = sink.stored;
        Ok(())
    })?;
    bar.finish_and_clear();
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

/// Where records go: into one piece while another thread stores the other.
struct Sink<'a> {
    full: SyncSender<Piece>,
    told: Receiver<(Piece, kv_engine::Result<()>)>,
    piece: Piece,
    /// The other one, where it is not under way.
    spare: Option<Piece>,
    bar: &'a ProgressBar,
    /// Records in the store, durable.
    stored: u64,
}

impl Sink<'_> {
    /// Stores records until a bad one, which is told in words, or the end.
    fn until_bad(&mut self, source: &mut Source<impl Read>) -> Result<Option<String>, Failure> {
        loop {
            let step = match source.next() {
                Ok(step) => step,
                Err(failure) => {
                    self.end()?;
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
            self.piece.push(&key, &value);
            if self.piece.memory() >= PIECE {
                self.store()?;
            }
        }
    }

    /// Has the piece stored in one commit, and goes on with the other one, which is durable then.
    fn store(&mut self) -> Result<(), Failure> {
        let spare = self.settled()?;
        let full = std::mem::replace(&mut self.piece, spare);
        self.full.send(full).map_err(|_| Failure::broken("the load broke off"))
    }

    /// The piece that nothing is to be done for any more.
    fn settled(&mut self) -> Result<Piece, Failure> {
        if let Some(spare) = self.spare.take() {
            return Ok(spare);
        }
        let told = self.told.recv();
        let (mut piece, outcome) = told.map_err(|_| Failure::broken("the load broke off"))?;
        outcome.map_err(|error| Failure::from(error).after(self.so_far()))?;
        self.stored += piece.len() as u64;
        piece.clear();
        self.bar.set_message(format!("loading, {} durable", records_in_words(self.stored)));
        Ok(piece)
    }

    /// Everything is durable afterwards.
    fn end(&mut self) -> Result<(), Failure> {
        self.store()?;
        self.spare = Some(self.settled()?);
        Ok(())
    }

    fn so_far(&self) -> String {
        format!("stored before it: {}", records_in_words(self.stored))
    }
}
