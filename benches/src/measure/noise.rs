//! Whether something else ran on the machine.

use std::time::Duration;

const TICKS_PER_SECOND: f64 = 100.0;
/// Load before a run that is worth a warning, for each processor.
const LOAD: f64 = 0.25;
/// Shares of a run's time.
const STEAL: f64 = 0.01;
const FOREIGN: f64 = 0.05;

/// The processors' times since the system started, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Machine {
    times: Option<Times>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Times {
    busy: f64,
    steal: f64,
}

impl Machine {
    pub(crate) fn now() -> Machine {
        let text = std::fs::read_to_string("/proc/stat").ok();
        Machine { times: text.as_deref().and_then(times) }
    }
}

/// The first line: user, nice, system, idle, waiting, interrupts, soft interrupts, stolen.
fn times(stat: &str) -> Option<Times> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<f64> = line.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    let [user, nice, system, _, _, irq, softirq, steal, ..] = ticks[..] else { return None };
    let busy = (user + nice + system + irq + softirq) / TICKS_PER_SECOND;
    Some(Times { busy, steal: steal / TICKS_PER_SECOND })
}

/// What others took while something was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Noise {
    /// Seconds that the host gave to other guests.
    pub steal: Option<f64>,
    /// Seconds of processor time that other processes and the kernel used.
    pub foreign: Option<f64>,
    /// For how long it was measured.
    seconds: f64,
}

impl Noise {
    pub(crate) fn between(
        before: &Machine,
        after: &Machine,
        own: Option<f64>,
        took: Duration,
    ) -> Noise {
        let pair = before.times.zip(after.times);
        let busy = pair.map(|(before, after)| after.busy - before.busy);
        Noise {
            steal: pair.map(|(before, after)| after.steal - before.steal),
            foreign: busy.zip(own).map(|(busy, own)| (busy - own).max(0.0)),
            seconds: took.as_secs_f64(),
        }
    }

    /// Why the figures are doubtful, where they are.
    pub fn warning(&self) -> Option<String> {
        // The clock of processor times has steps of 10 ms: two of them prove nothing.
        let share = |part: Option<f64>, limit: f64| {
            part.filter(|part| *part > 0.02 && *part > limit * self.seconds)
        };
        let steal = share(self.steal, STEAL).map(|s| format!("{s:.2} s were stolen by the host"));
        let foreign = share(self.foreign, FOREIGN)
            .map(|s| format!("other processes used {s:.2} s of processor time"));
        let all: Vec<String> = steal.into_iter().chain(foreign).collect();
        (!all.is_empty()).then(|| format!("{} in {:.2} s", all.join(", and "), self.seconds))
    }
}

/// Why a run should not begin now, where that is so.
pub fn load_warning() -> Option<String> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    let load: f64 = text.split_whitespace().next()?.parse().ok()?;
    let processors = std::thread::available_parallelism().map_or(1, |n| n.get());
    (load > LOAD * processors as f64)
        .then(|| format!("the machine is not idle: a load of {load} on {processors} processors"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str = "cpu  1000 0 500 9000 10 20 30 40 0 0\ncpu0 1 2 3\n";
    const AFTER: &str = "cpu  1300 0 600 9900 10 20 30 60 0 0\ncpu0 1 2 3\n";

    fn noise(own: f64, seconds: u64) -> Noise {
        let at = |text| Machine { times: times(text) };
        Noise::between(&at(BEFORE), &at(AFTER), Some(own), Duration::from_secs(seconds))
    }

    #[test]
    fn what_others_used_is_what_this_process_did_not() {
        let noise = noise(3.0, 10);
        assert!((noise.steal.unwrap() - 0.2).abs() < 1e-9);
        assert!((noise.foreign.unwrap() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_warning_says_what_disturbed() {
        assert_eq!(
            noise(3.0, 10).warning().unwrap(),
            "0.20 s were stolen by the host, and other processes used 1.00 s of processor time in 10.00 s"
        );
        assert_eq!(noise(3.99, 100).warning(), None);
        assert_eq!(Noise::default().warning(), None);
    }

    #[test]
    fn what_is_not_offered_is_absent() {
        assert_eq!(times("intr 1 2 3"), None);
        let none = Machine::default();
        let noise = Noise::between(&none, &none, Some(1.0), Duration::from_secs(1));
        assert_eq!((noise.steal, noise.foreign), (None, None));
    }
}
