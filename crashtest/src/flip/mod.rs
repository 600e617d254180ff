//! `cargo xtask crashtest flip`: every byte, every length, every sector and every file of real
//! stores is damaged, and whatever the engine then says is put into a class.
//!
//! Harmless and told are fine; so is the loss of what nothing vouched for. Every other class is
//! forbidden and must count zero.

mod crew;
mod damage;
mod judge;
mod plan;
mod subject;
mod trial;

use crate::format::fixture::{self, Fixture};
use crate::image::Kind;
use crate::report::Row;
use anyhow::{Context, Result};
use crew::Tally;
use damage::Damage;
use plan::Sweep;
use std::path::PathBuf;
use std::time::Instant;
use subject::Subject;

/// What a check before a merge must try at least.
const QUICK_FLIPS: usize = 30_000;
const QUICK_CUTS: usize = 15_000;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only this fixture: its name, or its directory; `new-NAME` is one made just now.
    #[arg(long)]
    fixture: Option<String>,
    /// 1 turns all bits of a byte, and one of them; 8 each of them, too.
    #[arg(long, default_value_t = 1)]
    bits: usize,
    /// At least so many flips, with more masks for each byte as needed.
    #[arg(long)]
    count: Option<usize>,
    /// Only this damage, as a violation names it.
    #[arg(long)]
    only: Option<Damage>,
    /// The floors and the sample of a check before a merge.
    #[arg(long)]
    quick: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Vec<Row>> {
    if arguments.quick {
        return quick();
    }
    let subjects = subjects(arguments.fixture.as_deref())?;
    if let Some(damage) = &arguments.only {
        return only(&subjects, damage);
    }
    crew::count_panics();
    let bytes: usize = subjects.iter().map(|subject| subject.image.len()).sum();
    let rounds = if arguments.bits >= 8 { 9 } else { 2 };
    let flips = arguments.count.unwrap_or(bytes * rounds);
    Ok(vec![
        row(&subjects, Sweep::Flips, Some(flips), 0)?,
        row(&subjects, Sweep::Cuts, None, 0)?,
        row(&subjects, Sweep::Sectors, None, 0)?,
    ])
}

/// A sample of everything, in about a minute.
pub(crate) fn quick() -> Result<Vec<Row>> {
    let subjects = subjects(None)?;
    crew::count_panics();
    Ok(vec![
        row(&subjects, Sweep::Flips, Some(QUICK_FLIPS + QUICK_FLIPS / 20), QUICK_FLIPS)?,
        row(&subjects, Sweep::Cuts, Some(QUICK_CUTS + QUICK_CUTS / 20), QUICK_CUTS)?,
        row(&subjects, Sweep::Sectors, None, 0)?,
    ])
}

fn subjects(only: Option<&str>) -> Result<Vec<Subject>> {
    let fixtures: Vec<Fixture> = match only {
        None => fixture::load_all()?.into_iter().chain(fixture::make_all()?).collect(),
        Some(name) if name.starts_with("new-") => {
            fixture::make_all()?.into_iter().filter(|fixture| fixture.name == name).collect()
        }
        Some(name) => {
            let path = PathBuf::from(name);
            let path = if path.is_dir() { path } else { fixture::place(name) };
            vec![fixture::load(&path)?]
        }
    };
    fixtures.into_iter().map(Subject::new).collect()
}

/// One damage, with what was said of it.
fn only(subjects: &[Subject], damage: &Damage) -> Result<Vec<Row>> {
    let mut row = Row::new("flip only", "damages");
    for subject in subjects {
        let verdict = trial::run(subject, damage, crew::depth(damage))?;
        let verdict = verdict.context("the damage changes nothing")?;
        let line = format!("{}: {:?}: {}", subject.name, verdict.class, verdict.said);
        row.ran += 1;
        match verdict.class.is_forbidden() {
            true => row.violations.push(line),
            false => row.notes.push(line),
        }
    }
    Ok(vec![row])
}

fn row(subjects: &[Subject], sweep: Sweep, wanted: Option<usize>, floor: usize) -> Result<Row> {
    let begin = Instant::now();
    let pieces = plan::pieces(subjects, sweep, wanted);
    let tally = crew::work(subjects, &pieces)?;
    let (name, unit) = match sweep {
        Sweep::Flips => ("flip bytes", "byte flips"),
        Sweep::Cuts => ("flip lengths", "truncations"),
        Sweep::Sectors => ("flip sectors, files", "damages"),
    };
    let mut row = Row::new(name, unit);
    row.ran = tally.ran;
    row.floor = floor as u64;
    // No damage is tried twice, and what changes nothing is not counted.
    row.distinct = Some((tally.ran, floor as u64));
    row.notes = histogram(&tally);
    row.violations = tally.violations;
    row.elapsed = begin.elapsed();
    Ok(row)
}

/// A line for each kind of file.
fn histogram(tally: &Tally) -> Vec<String> {
    let kinds = [Kind::Current, Kind::Manifest, Kind::Log, Kind::Table, Kind::Values, Kind::Beside];
    let line = |kind: Kind| {
        let of_kind = tally.classes.iter().filter(|((of, _), _)| *of == kind);
        let counts: Vec<String> =
            of_kind.map(|((_, class), count)| format!("{class:?} {count}")).collect();
        (!counts.is_empty()).then(|| format!("{}: {}", kind.name(), counts.join(", ")))
    };
    let mut lines: Vec<String> = kinds.into_iter().filter_map(line).collect();
    let forbidden: u64 =
        tally.classes.iter().filter(|((_, c), _)| c.is_forbidden()).map(|(_, n)| n).sum();
    lines.push(format!(
        "forbidden: {forbidden}; {} of {} messages name the damaged file, {} sentences",
        tally.named,
        tally.told,
        tally.messages.len()
    ));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use judge::Class;

    /// A small piece of each sweep, so that the classes themselves are tested.
    #[test]
    fn damage_is_told_or_harmless() {
        let subjects = subjects(Some("killed-synced")).unwrap();
        for (sweep, wanted) in [(Sweep::Flips, 600), (Sweep::Cuts, 300)] {
            let row = row(&subjects, sweep, Some(wanted), wanted).unwrap();
            assert!(row.violations.is_empty(), "{:?}", row.violations);
            assert!(row.ran >= wanted as u64);
        }
    }

    #[test]
    fn a_value_that_changes_unseen_is_forbidden() {
        let subjects = subjects(Some("plain")).unwrap();
        let mut other = subjects.into_iter().next().unwrap();
        let pairs = other.contents.spaces.get_mut("").unwrap();
        pairs.insert(b"key~0001".to_vec(), b"never written".to_vec());
        let damage: Damage = "flip:LOCK:0:1".parse().unwrap();
        assert!(damage.apply(&other.image, &[]).is_err(), "the lock is empty");
        let damage: Damage = "zeros:CURRENT.tmp:1".parse().unwrap();
        assert!(trial::run(&other, &damage, trial::Depth::default()).is_err());
        let damage: Damage = "zeros:LOCK:1".parse().unwrap();
        let verdict = trial::run(&other, &damage, trial::Depth::default()).unwrap().unwrap();
        assert_eq!(verdict.class, Class::WrongValue, "{}", verdict.said);
    }
}
