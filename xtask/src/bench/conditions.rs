//! Where and when something was measured.

use serde_json::{Map, Value, json};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

/// Machine, system, compiler, date and the project's state, as far as they can be found out.
pub(crate) fn of(root: &Path, dir: &Path, keys: u64) -> Map<String, Value> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let memory = field(&read("/proc/meminfo"), "MemTotal:")
        .and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let all = json!({
        "date": date(since.as_secs() / 86_400),
        "commit": said("git", &["-C", &root.display().to_string(), "rev-parse", "--short=12", "HEAD"]),
        "processor": field(&read("/proc/cpuinfo"), "model name"),
        "cores": std::thread::available_parallelism().map_or(0, |n| n.get()),
        "memory_gib": memory.map(|kib| (kib + (1 << 19)) >> 20),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "file_system": said("findmnt", &["-n", "-o", "FSTYPE", "-T", &dir.display().to_string()]),
        "compiler": said("rustc", &["--version"]),
        "keys": keys,
    });
    all.as_object().cloned().unwrap_or_default()
}

/// Says so when others use the machine.
pub(crate) fn warn() {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = load.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or_default();
    if load > 0.5 {
        println!("peers: the machine is not idle (load {load}); the figures will be doubtful");
    }
}

fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| output.status.success() && !text.is_empty())
}

/// What stands behind a name at the beginning of a line.
fn field(text: &str, name: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(value.trim_start_matches([' ', '\t', ':']).trim().to_owned())
}

/// A day as year, month and day, from the days since 1970.
fn date(days: u64) -> String {
    // Years begin in March here, so that the day that leap years have is the last.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(date(11_016), "2000-02-29");
        assert_eq!(date(20_453), "2025-12-31");
        assert_eq!(date(20_454), "2026-01-01");
    }

    #[test]
    fn a_field_is_what_stands_behind_its_name() {
        let text = "processor\t: 0\nmodel name\t: Some CPU\n";
        assert_eq!(field(text, "model name").as_deref(), Some("Some CPU"));
        assert_eq!(field("MemTotal:   100 kB\n", "MemTotal:").as_deref(), Some("100 kB"));
        assert_eq!(field(text, "none"), None);
    }
}
