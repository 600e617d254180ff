//! `verify` and `repair`: what is damaged, and what can be saved.

use crate::args::Repair;
use crate::failure::Failure;
use crate::output::Output;
use crate::{progress, store};
use kv_engine::{ErrorKind, Options, RepairReport, VerifyReport};
use serde_json::{Map, Value};
use std::path::Path;

pub(crate) fn verify(dir: &Path, out: &mut Output) -> Result<(), Failure> {
    let bar = progress::reading("verifying", Some(0));
    let report = kv_engine::verify_with(dir, Options::default(), &mut |at| {
        bar.set_length(at.total);
        bar.set_position(at.done);
    });
    bar.finish_and_clear();
    let report = report.map_err(|error| store::unopened(dir, error))?;
    show(&report, out)?;
    if report.is_ok() {
        return Ok(());
    }
    Err(Failure::broken(
        "the store is damaged; restore it from a backup, or save what is readable with kv repair",
    ))
}

fn show(report: &VerifyReport, out: &mut Output) -> Result<(), Failure> {
    let text = report.to_string();
    if !out.json {
        return out.line(text.as_bytes());
    }
    let mut lines = text.lines();
    let summary = lines.next().unwrap_or_default();
    let (mut damage, mut notes): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    for line in lines {
        match line.strip_prefix("note: ") {
            Some(note) => notes.push(note),
            None => damage.push(line),
        }
    }
    let mut object = Map::new();
    object.insert("ok".to_owned(), report.is_ok().into());
    object.insert("summary".to_owned(), summary.into());
    object.insert("damage".to_owned(), damage.into());
    if !notes.is_empty() {
        object.insert("notes".to_owned(), notes.into());
    }
    out.object(object)
}

pub(crate) fn repair(args: Repair, out: &mut Output) -> Result<(), Failure> {
    let bar = progress::reading("repairing", Some(0));
    let report = kv_engine::repair_with(&args.dir, &args.into, Options::default(), &mut |at| {
        bar.set_length(at.total);
        bar.set_position(at.done);
    });
    bar.finish_and_clear();
    let report = report.map_err(|error| match error.kind() {
        ErrorKind::Io if args.dir.is_file() => Failure::missing(format!(
            "{} is a file, and a store is a directory",
            args.dir.display()
        )),
        ErrorKind::Locked => Failure::broken(format!(
            "{}: another program has the store open; end it first",
            args.dir.display()
        )),
        _ => error.into(),
    })?;
    let text = if args.keys { report.with_keys() } else { report.to_string() };
    let file = report.file().map(|file| file.display().to_string());
    match out.json {
        true => out.object(object(&report, &text, file))?,
        false => {
            out.line(text.as_bytes())?;
            if let Some(file) = file {
                out.line(format!("the report lies in {file}").as_bytes())?;
            }
        }
    }
    match report.is_complete() {
        true => Ok(()),
        false => Err(Failure::broken("the new store is sound, and something is lost or in doubt")),
    }
}

fn object(report: &RepairReport, text: &str, file: Option<String>) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("file".to_owned(), file.into());
    object.insert("complete".to_owned(), report.is_complete().into());
    object.insert("report".to_owned(), text.lines().collect::<Vec<_>>().into());
    object
}
