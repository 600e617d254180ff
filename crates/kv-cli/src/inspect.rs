//! `inspect`: a file of a store as text.

use crate::args::{Inspect, InspectWhat};
use crate::failure::Failure;
use crate::output::Output;
use kv_engine::Options;
use serde_json::Map;
use std::fmt;

pub(crate) fn inspect(args: InspectWhat, out: &mut Output) -> Result<(), Failure> {
    let options = Options::default();
    let mut text = Text { json: out.json, out, line: String::new(), failure: None };
    let (file, damaged) = match args {
        InspectWhat::Wal(args) => {
            let damaged = kv_engine::inspect_wal(&args.file, &options, detail(&args), &mut text);
            (args.file, damaged)
        }
        InspectWhat::Manifest { file } => {
            let damaged = kv_engine::inspect_manifest(&file, &options, &mut text);
            (file, damaged)
        }
        InspectWhat::Values(args) => {
            let damaged = kv_engine::inspect_values(&args.file, &options, detail(&args), &mut text);
            (args.file, damaged)
        }
        InspectWhat::Table(args) => {
            let damaged = kv_engine::inspect_table(&args.file, &options, detail(&args), &mut text);
            (args.file, damaged)
        }
    };
    // Where the output failed, that is the reason of the engine's error.
    if let Some(failure) = text.failure.take() {
        return Err(failure);
    }
    match damaged? {
        0 => Ok(()),
        1 => Err(Failure::broken(format!("{}: a part is damaged", file.display()))),
        n => Err(Failure::broken(format!("{}: {n} parts are damaged", file.display()))),
    }
}

fn detail(args: &Inspect) -> kv_engine::Inspect {
    kv_engine::Inspect {
        blocks: args.blocks,
        entries: args.entries || args.values,
        values: args.values,
    }
}

/// Text that goes to the output as it comes; with `--json` each line is an object.
struct Text<'a> {
    out: &'a mut Output,
    json: bool,
    line: String,
    failure: Option<Failure>,
}

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.failure.is_some() {
            return Err(fmt::Error);
        }
        let outcome = match self.json {
            false => self.out.bytes(text.as_bytes()),
            true => self.objects(text),
        };
        outcome.map_err(|failure| {
            self.failure = Some(failure);
            fmt::Error
        })
    }
}

impl Text<'_> {
    fn objects(&mut self, text: &str) -> Result<(), Failure> {
        for piece in text.split_inclusive('\n') {
            self.line.push_str(piece);
            if self.line.ends_with('\n') {
                let mut object = Map::new();
                object.insert("line".to_owned(), self.line.trim_end_matches('\n').into());
                self.line.clear();
                self.out.object(object)?;
            }
        }
        Ok(())
    }
}
