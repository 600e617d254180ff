//! The names of the files of a database. The manifest keeps numbers, never paths; this is the
//! one place where a number becomes a name and back.

use std::fmt;
use std::path::{Path, PathBuf};

/// What a file in the database's directory is, by its name.
///
/// ```
/// use kv_manifest::FileName;
/// assert_eq!(FileName::Table(7).to_string(), "000007.sst");
/// assert_eq!(FileName::parse("000007.sst"), Some(FileName::Table(7)));
/// assert_eq!(FileName::parse("7.sst"), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileName {
    /// Names the manifest that counts.
    Current,
    /// Held by the one process that has the database open for writing.
    Lock,
    /// The log of version edits.
    Manifest(u64),
    /// A segment of the write-ahead log.
    Log(u64),
    /// A sorted table.
    Table(u64),
    /// Long values of tables.
    Values(u64),
    /// Any file that was being written when its writer stopped: its name ends in `.tmp`. As a
    /// name to write, it is the next `CURRENT`.
    Temp,
}

impl FileName {
    /// What a file of that name is; `None` where the name is none of ours. Numbers are accepted
    /// in the one form that [`FileName`] displays, so no two names mean the same file.
    pub fn parse(name: &str) -> Option<FileName> {
        if name.ends_with(".tmp") {
            return Some(FileName::Temp);
        }
        let parsed = match name {
            "CURRENT" => FileName::Current,
            "LOCK" => FileName::Lock,
            _ => {
                if let Some(digits) = name.strip_prefix("MANIFEST-") {
                    FileName::Manifest(number(digits)?)
                } else if let Some(digits) = name.strip_suffix(".log") {
                    FileName::Log(number(digits)?)
                } else if let Some(digits) = name.strip_suffix(".val") {
                    FileName::Values(number(digits)?)
                } else {
                    FileName::Table(number(name.strip_suffix(".sst")?)?)
                }
            }
        };
        (parsed.to_string() == name).then_some(parsed)
    }

    /// The number in the name.
    ///
    /// ```
    /// use kv_manifest::FileName;
    /// use std::path::Path;
    ///
    /// // The next number is above every one in the directory.
    /// let names = ["CURRENT", "MANIFEST-000003", "000007.sst", "notes.txt"];
    /// let ours = names.iter().filter_map(|name| FileName::parse(name));
    /// let next = ours.filter_map(FileName::number).max().map_or(1, |largest| largest + 1);
    /// assert_eq!(FileName::Log(next).path(Path::new("/db")), Path::new("/db/000008.log"));
    /// ```
    pub fn number(self) -> Option<u64> {
        match self {
            FileName::Manifest(n) | FileName::Log(n) | FileName::Table(n) | FileName::Values(n) => {
                Some(n)
            }
            FileName::Current | FileName::Lock | FileName::Temp => None,
        }
    }

    /// Where the file lies.
    pub fn path(self, dir: &Path) -> PathBuf {
        dir.join(self.to_string())
    }
}

fn number(digits: &str) -> Option<u64> {
    digits.parse().ok()
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileName::Current => f.write_str("CURRENT"),
            FileName::Lock => f.write_str("LOCK"),
            FileName::Manifest(n) => write!(f, "MANIFEST-{n:06}"),
            FileName::Log(n) => write!(f, "{n:06}.log"),
            FileName::Table(n) => write!(f, "{n:06}.sst"),
            FileName::Values(n) => write!(f, "{n:06}.val"),
            FileName::Temp => f.write_str("CURRENT.tmp"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_round_trips_and_nothing_else_is_ours() {
        let numbers = [0, 1, 999_999, 1_000_000, u64::MAX];
        let mut names = vec![FileName::Current, FileName::Lock, FileName::Temp];
        for n in numbers {
            names.extend([FileName::Manifest(n), FileName::Log(n)]);
            names.extend([FileName::Table(n), FileName::Values(n)]);
        }
        for name in names {
            assert_eq!(FileName::parse(&name.to_string()), Some(name));
        }
        for foreign in [
            "",
            "current",
            "LOCK ",
            "MANIFEST-",
            "MANIFEST-1",
            "MANIFEST-0000001",
            "+00001.sst",
            "1.log",
            "0000001.log",
            "1.val",
            ".sst",
            "000001.SST",
            "../000001.sst",
            "000001.sst.bak",
            "18446744073709551616.sst",
        ] {
            assert_eq!(FileName::parse(foreign), None, "{foreign}");
        }
        assert_eq!(FileName::parse("whatever.tmp"), Some(FileName::Temp));
    }
}
