//! What the kernel counts for this process, from `/proc/self`.

use super::Cpu;

/// The unit of times in `/proc/self/stat`, the same on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// One reading.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) cpu: Option<Cpu>,
    pub(crate) peak_memory: Option<u64>,
    pub(crate) written: Option<u64>,
    pub(crate) read: Option<u64>,
}

impl Counters {
    pub(crate) fn now() -> Counters {
        let text = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).ok();
        let (stat, status, io) = (text("stat"), text("status"), text("io"));
        let io = io.as_deref();
        let written = field(io, "write_bytes:")
            .zip(field(io, "cancelled_write_bytes:"))
            .map(|(written, cancelled)| written.saturating_sub(cancelled));
        Counters {
            cpu: stat.as_deref().and_then(cpu),
            peak_memory: field(status.as_deref(), "VmHWM:").map(|kib| kib * 1024),
            written,
            read: field(io, "read_bytes:"),
        }
    }
}

/// Lets the peak of resident memory begin again; answers whether that was possible.
pub(crate) fn reset_peak() -> bool {
    std::fs::write("/proc/self/clear_refs", "5").is_ok()
}

/// The number behind a name, in text that has one to a line.
fn field(text: Option<&str>, name: &str) -> Option<u64> {
    let line = text?.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The process's times; they come behind its name, which stands in brackets and may hold anything.
fn cpu(stat: &str) -> Option<Cpu> {
    let (_, behind) = stat.rsplit_once(')')?;
    let mut times = behind.split_whitespace().skip(11).map(str::parse::<u64>);
    let user = times.next()?.ok()? as f64 / TICKS_PER_SECOND;
    let system = times.next()?.ok()? as f64 / TICKS_PER_SECOND;
    Some(Cpu { user, system })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stand_behind_a_name_with_brackets() {
        let stat = "12 (a) b) R 1 1 1 0 -1 4194304 100 0 0 0 250 75 0 0 20 0 1 0 192612";
        assert_eq!(cpu(stat), Some(Cpu { user: 2.5, system: 0.75 }));
        assert_eq!(cpu("12 (a) R 1"), None);
    }

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let io = "read_bytes: 1\nwrite_bytes: 22\ncancelled_write_bytes: 3\n";
        assert_eq!(field(Some(io), "write_bytes:"), Some(22));
        assert_eq!(field(Some("VmHWM:\t   40 kB\n"), "VmHWM:"), Some(40));
        assert_eq!(field(Some(io), "none:"), None);
        assert_eq!(field(None, "write_bytes:"), None);
    }
}
