//! `backup` and `restore`: points in time of a store in one directory.

use crate::failure::Failure;
use crate::output::Output;
use crate::{progress, store};
use kv_engine::{BackupDir, BackupPoint, Backups, Options, Progress};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

pub(crate) const ABOUT: &str = "\
Add a point in time of the store to a directory of backups

The first backup copies everything, each later one only the tables that are new: tables never \
change. Every file is compared with its checksum while it is copied. A point holds all that was written \
before the command began; where another program has the store open it is made beside it, without \
disturbing it. Cut anywhere, also by a loss of power, the earlier points stay as they were.

With --keep N all points but the newest N are removed behind it, and the files that only these had.";

pub(crate) const EXAMPLES: &str = "\
Examples:
  kv backup /mnt/backups/orders
  kv backup /mnt/backups/orders --keep 7
  kv backup list /mnt/backups/orders
  kv backup verify /mnt/backups/orders
  kv restore /mnt/backups/orders --into ./orders";

pub(crate) const RESTORE_ABOUT: &str = "\
Make a store of a point in a directory of backups

Without --point, of the newest one; `kv backup list` shows them. Every byte is compared with its \
checksum while it is written, and the new store opens only once all of them are right: of a damaged \
backup nothing is restored.";

pub(crate) const RESTORE_EXAMPLES: &str = "\
Examples:
  kv restore /mnt/backups/orders --into ./orders
  kv restore /mnt/backups/orders --point 12 --into ./orders-of-monday";

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Backup {
    /// The directory of backups; the first one makes it
    #[arg(required = true)]
    dir: Option<PathBuf>,
    /// Remove all points but the newest N behind it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,
    #[command(subcommand)]
    other: Option<Other>,
}

#[derive(Debug, clap::Subcommand)]
enum Other {
    /// List the points, the oldest first
    #[command(after_help = "\
Examples:
  kv backup list /mnt/backups/orders
  kv backup list /mnt/backups/orders --json")]
    List {
        /// The directory of backups
        dir: PathBuf,
    },
    /// Read every byte of all points and check it; damage is listed, and the exit code is then 3
    #[command(after_help = "\
Example:
  kv backup verify /mnt/backups/orders")]
    Verify {
        /// The directory of backups
        dir: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Restore {
    /// The directory of backups
    dir: PathBuf,
    /// The directory of the new store; must not exist or be empty
    #[arg(long, value_name = "NEW")]
    into: PathBuf,
    /// Which point; the newest one where it is not given
    #[arg(long, value_name = "N")]
    point: Option<u64>,
}

pub(crate) fn backup(store: &Path, args: Backup, out: &mut Output) -> Result<(), Failure> {
    match (args.other, args.dir) {
        (Some(Other::List { dir }), _) => list(&dir, out),
        (Some(Other::Verify { dir }), _) => verify(&dir, out),
        (None, Some(dir)) => create(store, &dir, args.keep, out),
        (None, None) => Err(Failure::usage("no directory of backups")),
    }
}

fn open(dir: &Path) -> Backups {
    Backups::open(BackupDir::new(dir))
}

fn create(store: &Path, dir: &Path, keep: Option<u32>, out: &mut Output) -> Result<(), Failure> {
    store::outside(dir, store, "the directory of the store")?;
    let db = store::for_backup(store)?;
    let backups = open(dir);
    let point = shown("backing up", |progress| backups.create_with(&db, progress))?;
    db.close()?;
    let removed = keep.map(|keep| backups.keep(keep as usize)).transpose();
    let removed = removed
        .map_err(|error| Failure::from(error).after(format!("point {} is made", point.number())))?;
    if out.json {
        let mut object = object(&point);
        if let Some(removed) = removed {
            object.insert("removed_points".to_owned(), removed.points().into());
            object.insert("removed_files".to_owned(), removed.files().into());
            object.insert("removed_bytes".to_owned(), removed.bytes().into());
        }
        return out.object(object);
    }
    let (number, bytes, copied) = (point.number(), point.bytes(), point.copied());
    let files = in_words(point.files(), "file");
    out.line(format!("point {number}: {files}, {bytes} bytes, {copied} of them new").as_bytes())?;
    let Some(removed) = removed.filter(|removed| removed.files() + removed.points() > 0) else {
        return Ok(());
    };
    let (points, files) = (in_words(removed.points(), "point"), in_words(removed.files(), "file"));
    out.line(format!("removed: {points}, {files}, {} bytes", removed.bytes()).as_bytes())
}

fn list(dir: &Path, out: &mut Output) -> Result<(), Failure> {
    let points = open(dir).list()?;
    let damaged = points.iter().filter(|point| point.damage().is_some()).count();
    if !out.json {
        out.line(b"point  made (UTC)            files          bytes      new bytes")?;
    }
    for point in &points {
        if out.json {
            out.object(object(point))?;
            continue;
        }
        let number = point.number();
        let line = match point.damage() {
            Some(error) => format!("{number:>5}  {error}"),
            None => {
                let (files, bytes, copied) = (point.files(), point.bytes(), point.copied());
                format!(
                    "{number:>5}  {}  {files:>5}  {bytes:>13}  {copied:>13}",
                    utc(millis(point))
                )
            }
        };
        out.line(line.as_bytes())?;
    }
    match damaged {
        0 => Ok(()),
        n => Err(Failure::broken(format!(
            "the descriptions of {} are damaged",
            in_words(n, "point")
        ))),
    }
}

fn verify(dir: &Path, out: &mut Output) -> Result<(), Failure> {
    let backups = open(dir);
    let report = shown("verifying", |progress| backups.verify_with(progress))?;
    let text = report.to_string();
    match out.json {
        true => {
            let lines: Vec<&str> = text.lines().collect();
            let members = [("ok", Value::from(report.is_ok())), ("report", lines.into())];
            out.object(
                members.map(|(name, value)| (name.to_owned(), value)).into_iter().collect(),
            )?;
        }
        false => out.line(text.as_bytes())?,
    }
    match report.is_ok() {
        true => Ok(()),
        false => Err(Failure::broken(format!(
            "backups in {} are damaged; what is named above lies there",
            dir.display()
        ))),
    }
}

pub(crate) fn restore(args: Restore, out: &mut Output) -> Result<(), Failure> {
    store::outside(&args.into, &args.dir, "the directory of backups")?;
    let backups = open(&args.dir);
    let number = match args.point {
        Some(number) => number,
        None => match backups.list()?.last() {
            Some(newest) => newest.number(),
            None => {
                return Err(Failure::missing(format!("{}: no point is there", args.dir.display())));
            }
        },
    };
    shown("restoring", |progress| {
        backups.restore_with(number, &args.into, Options::default(), progress)
    })
    .map_err(|failure| failure.after(format!("point {number} is not restored")))?;
    if out.json {
        return out.object(Map::from_iter([("point".to_owned(), number.into())]));
    }
    out.line(format!("point {number} restored into {}", args.into.display()).as_bytes())
}

/// Runs work that tells how far it is.
fn shown<T>(
    what: &'static str,
    work: impl FnOnce(&mut dyn FnMut(Progress)) -> kv_engine::Result<T>,
) -> Result<T, Failure> {
    let bar = progress::reading(what, Some(0));
    let done = work(&mut |at| {
        bar.set_length(at.total);
        bar.set_position(at.done);
    });
    bar.finish_and_clear();
    Ok(done?)
}

fn object(point: &BackupPoint) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("point".to_owned(), point.number().into());
    if let Some(error) = point.damage() {
        object.insert("damage".to_owned(), error.to_string().into());
        return object;
    }
    object.insert("made".to_owned(), utc(millis(point)).into());
    object.insert("files".to_owned(), point.files().into());
    object.insert("bytes".to_owned(), point.bytes().into());
    object.insert("copied".to_owned(), point.copied().into());
    object
}

fn in_words(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn millis(point: &BackupPoint) -> u64 {
    let since = point.made().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A moment as ISO 8601 has it, by the Gregorian calendar.
fn utc(millis: u64) -> String {
    let seconds = millis / 1000;
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March, counted in eras of 400 from the year 0.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn moments_are_shown_in_utc() {
        for (seconds, shown) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_795_305_599, "2026-11-21T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(seconds * 1000 + 999), shown);
        }
    }
}
