//! What is told of backups.

use super::point::Point;
use crate::error::Error;
use crate::words::counted;
use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point in time that can be restored.
///
/// ```
/// # use kv_engine::{BackupDir, Backups, Db, Options};
/// # let dir = tempfile::tempdir().unwrap();
/// # let db = Db::in_memory(Options::default())?;
/// # let backups = Backups::open(BackupDir::new(dir.path().join("backups")));
/// let point = backups.create(&db)?;
/// assert_eq!(point.number(), 1);
/// assert!(point.damage().is_none());
/// # Ok::<(), kv_engine::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct BackupPoint {
    number: u64,
    made_ms: u64,
    files: usize,
    bytes: u64,
    copied: u64,
    damage: Option<Error>,
}

impl BackupPoint {
    pub(super) fn of(point: &Point) -> BackupPoint {
        BackupPoint {
            number: point.number,
            made_ms: point.made_ms,
            files: point.files().count(),
            bytes: point.bytes(),
            copied: point.copied,
            damage: None,
        }
    }

    pub(super) fn damaged(number: u64, error: Error) -> BackupPoint {
        BackupPoint { number, made_ms: 0, files: 0, bytes: 0, copied: 0, damage: Some(error) }
    }

    /// Names it; the newest point has the greatest.
    ///
    /// ```
    /// # fn show(point: kv_engine::BackupPoint) {
    /// println!("kv restore --point {}", point.number());
    /// # }
    /// ```
    pub fn number(&self) -> u64 {
        self.number
    }

    /// When it was made, by the clock of the store.
    ///
    /// ```
    /// # fn show(point: kv_engine::BackupPoint) {
    /// println!("{:?} ago", point.made().elapsed());
    /// # }
    /// ```
    pub fn made(&self) -> SystemTime {
        let since = Duration::from_millis(self.made_ms);
        UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH)
    }

    /// How many files it has.
    ///
    /// ```
    /// # fn show(point: kv_engine::BackupPoint) {
    /// println!("{} files", point.files());
    /// # }
    /// ```
    pub fn files(&self) -> usize {
        self.files
    }

    /// Bytes of all its files: what a restore writes.
    ///
    /// ```
    /// # fn show(point: kv_engine::BackupPoint) {
    /// println!("{} bytes", point.bytes());
    /// # }
    /// ```
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bytes of the files that no point before it had.
    ///
    /// ```
    /// # fn show(point: kv_engine::BackupPoint) {
    /// println!("{} new bytes", point.copied());
    /// # }
    /// ```
    pub fn copied(&self) -> u64 {
        self.copied
    }

    /// Why it cannot be restored, where its description is damaged: then its number is all that is
    /// known. That its files are sound is what [`Backups::verify`](crate::Backups::verify) tells.
    ///
    /// ```
    /// # fn show(point: kv_engine::BackupPoint) {
    /// if let Some(error) = point.damage() {
    ///     println!("point {}: {error}", point.number());
    /// }
    /// # }
    /// ```
    pub fn damage(&self) -> Option<&Error> {
        self.damage.as_ref()
    }
}

/// What [`Backups::verify`](crate::Backups::verify) found. `Display` lists each damage.
///
/// ```
/// # use kv_engine::{BackupDir, Backups, Db, Options};
/// # let dir = tempfile::tempdir().unwrap();
/// # let db = Db::in_memory(Options::default())?;
/// # let backups = Backups::open(BackupDir::new(dir.path().join("backups")));
/// # backups.create(&db)?;
/// println!("{}", backups.verify()?); // 1 point, 0 files, 0 bytes read: no damage
/// # Ok::<(), kv_engine::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct BackupReport {
    pub(super) points: usize,
    pub(super) files: usize,
    pub(super) bytes: u64,
    damage: Vec<String>,
    /// The points that cannot be restored.
    broken: BTreeSet<u64>,
    /// Files that no point names.
    pub(super) unnamed: usize,
}

impl BackupReport {
    /// Whether every point can be restored.
    ///
    /// ```
    /// # fn show(report: kv_engine::BackupReport) {
    /// assert!(report.is_ok(), "{report}");
    /// # }
    /// ```
    pub fn is_ok(&self) -> bool {
        self.damage.is_empty()
    }

    /// Notes that the description of a point is damaged.
    pub(super) fn point_damaged(&mut self, number: u64, error: &Error) {
        self.damage.push(format!("{error}; delete it, if the point is given up"));
        self.broken.insert(number);
    }

    /// Notes that a file is damaged, or missing, that these points need.
    pub(super) fn file_damaged(&mut self, points: &[u64], error: &Error, missing: bool) {
        let first = if missing { "" } else { "delete it: " };
        let then = "the next backup copies it again while the store has it";
        self.damage.push(format!("{error}; {first}{then}"));
        self.broken.extend(points);
    }
}

impl fmt::Display for BackupReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let points = counted(self.points, "point");
        write!(f, "{points}, {}, {} bytes read: ", counted(self.files, "file"), self.bytes)?;
        match self.damage.len() {
            0 => f.write_str("no damage")?,
            n => write!(f, "{n} damaged")?,
        }
        self.damage.iter().try_for_each(|line| write!(f, "\n{line}"))?;
        if !self.broken.is_empty() {
            write!(f, "\ncannot be restored as they are: points {}", numbers(&self.broken))?;
        }
        match self.unnamed {
            0 => Ok(()),
            1 => f.write_str("\nnote: 1 file belongs to no point; the next --keep removes it"),
            n => write!(f, "\nnote: {n} files belong to no point; the next --keep removes them"),
        }
    }
}

/// Numbers in words, with those that follow each other as their first and last.
fn numbers(numbers: &BTreeSet<u64>) -> String {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for number in numbers.iter().copied() {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let runs = runs.into_iter().map(|(first, last)| match last - first {
        0 => first.to_string(),
        1 => format!("{first}, {last}"),
        _ => format!("{first} to {last}"),
    });
    runs.collect::<Vec<_>>().join(", ")
}

/// What [`Backups::keep`](crate::Backups::keep) removed.
///
/// ```
/// # fn show(removed: kv_engine::Removed) {
/// println!("{} points, {} files, {} bytes", removed.points(), removed.files(), removed.bytes());
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    pub(super) points: usize,
    pub(super) files: usize,
    pub(super) bytes: u64,
}

impl Removed {
    /// How many points.
    ///
    /// ```
    /// assert_eq!(kv_engine::Removed::default().points(), 0);
    /// ```
    pub fn points(&self) -> usize {
        self.points
    }

    /// How many files.
    ///
    /// ```
    /// assert_eq!(kv_engine::Removed::default().files(), 0);
    /// ```
    pub fn files(&self) -> usize {
        self.files
    }

    /// Bytes of these files.
    ///
    /// ```
    /// assert_eq!(kv_engine::Removed::default().bytes(), 0);
    /// ```
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_follow_each_other_are_a_run() {
        let shown = |list: &[u64]| numbers(&list.iter().copied().collect());
        assert_eq!(shown(&[3]), "3");
        assert_eq!(shown(&[1, 2, 5, 6, 7, 8, 12]), "1, 2, 5 to 8, 12");
    }
}
