//! `inspect`: a file of a store as text.

use crate::failure::Failure;
use crate::output::Output;
use clap::Subcommand;
use kv_engine::Options;
use serde_json::Map;
use std::fmt;
use std::path::{Path, PathBuf};

pub(crate) const ABOUT: &str = "\
Print a file of a store as annotated text

Each part stands with its offset, its fields and their meaning. Of a damaged file the readable \
parts are shown, and the others as DAMAGED; the exit code is then 3. Keys are shown with what is \
not ASCII escaped; values only with --values.";

/// Which kind of file.
#[derive(Debug, Subcommand)]
pub(crate) enum What {
    /// A log: its records and their batches
    #[command(after_help = "\
Examples:
  kv inspect wal data/000007.log
  kv inspect wal data/000007.log --entries")]
    Wal(Inspect),
    /// A manifest: its snapshot and its edits
    #[command(after_help = "\
Example:
  kv inspect manifest data/MANIFEST-000004")]
    Manifest {
        /// The file
        file: PathBuf,
    },
    /// A table: index, filter, range tombstones, properties, footer
    #[command(after_help = "\
Examples:
  kv inspect table data/000012.sst
  kv inspect table data/000012.sst --blocks
  kv inspect table data/000012.sst --entries --values")]
    Table(Inspect),
    /// A value file: long values, apart from their keys
    #[command(after_help = "\
Examples:
  kv inspect values data/000013.val --entries
  kv inspect values data/000013.val --values")]
    Values(Inspect),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Inspect {
    /// The file
    file: PathBuf,
    /// Every block of a table, every field of a record's header
    #[arg(long)]
    blocks: bool,
    /// Every entry, with its key
    #[arg(long)]
    entries: bool,
    /// Every entry, with its key and its value
    #[arg(long)]
    values: bool,
}

pub(crate) fn inspect(args: What, out: &mut Output) -> Result<(), Failure> {
    let options = Options::default();
    let mut text = Text { json: out.json, out, line: String::new(), failure: None };
    let used = args.name();
    let (file, damaged) = match args {
        What::Wal(args) => {
            let damaged = kv_engine::inspect_wal(&args.file, &options, detail(&args), &mut text);
            (args.file, damaged)
        }
        What::Manifest { file } => {
            let damaged = kv_engine::inspect_manifest(&file, &options, &mut text);
            (file, damaged)
        }
        What::Values(args) => {
            let damaged = kv_engine::inspect_values(&args.file, &options, detail(&args), &mut text);
            (args.file, damaged)
        }
        What::Table(args) => {
            let damaged = kv_engine::inspect_table(&args.file, &options, detail(&args), &mut text);
            (args.file, damaged)
        }
    };
    // Where the output failed, that is the reason of the engine's error.
    if let Some(failure) = text.failure.take() {
        return Err(failure);
    }
    match (damaged?, kind_by_name(&file)) {
        (0, _) => Ok(()),
        (_, Some(kind)) if kind != used => Err(Failure::broken(format!(
            "{}: by its name `kv inspect {kind}` reads it, not `kv inspect {used}`",
            file.display()
        ))),
        (1, _) => Err(Failure::broken(format!("{}: a part is damaged", file.display()))),
        (n, _) => Err(Failure::broken(format!("{}: {n} parts are damaged", file.display()))),
    }
}

impl What {
    /// The command that asks for it.
    fn name(&self) -> &'static str {
        match self {
            What::Wal(_) => "wal",
            What::Manifest { .. } => "manifest",
            What::Table(_) => "table",
            What::Values(_) => "values",
        }
    }
}

/// What a file of a store with this name is.
fn kind_by_name(file: &Path) -> Option<&'static str> {
    let name = file.file_name()?.to_str()?;
    match name.rsplit_once('.') {
        Some((_, "log")) => Some("wal"),
        Some((_, "sst")) => Some("table"),
        Some((_, "val")) => Some("values"),
        _ => name.starts_with("MANIFEST-").then_some("manifest"),
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
