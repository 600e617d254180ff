//! What a workload costs, as the system counts it: processor time, memory, bytes, and how quiet
//! the machine was. A reading that the system does not offer is absent, never zero.

mod disk;
mod noise;
mod process;

pub use disk::allocated;
pub use noise::{Noise, load_warning};

use disk::Device;
use noise::Machine;
use process::{Counters, reset_peak};
use std::path::Path;
use std::time::{Duration, Instant};

/// Processor time of the process, of all its threads.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cpu {
    /// Seconds in the program.
    pub user: f64,
    /// Seconds in the kernel for it.
    pub system: f64,
}

/// What was measured from [`Meter::start`] to [`Meter::stop`].
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// Processor time.
    pub cpu: Option<Cpu>,
    /// The most resident memory, in bytes.
    pub peak_memory: Option<u64>,
    /// Bytes that the process caused to be written, less what was cancelled by truncation.
    pub process_written: Option<u64>,
    /// Bytes that the process caused to be read from the device.
    pub process_read: Option<u64>,
    /// Bytes written to the device by everybody, with all that was pending at the end.
    pub device_written: Option<u64>,
    /// Who else used the machine.
    pub noise: Noise,
}

/// Measures a stretch of work.
#[derive(Debug)]
pub struct Meter {
    device: Option<Device>,
    device_before: Option<u64>,
    peak_is_fresh: bool,
    before: Counters,
    machine: Machine,
    start: Instant,
}

impl Meter {
    /// Begins. What others left to be written on the directory's file system is written first.
    pub fn start(dir: &Path) -> Meter {
        let device = Device::of(dir);
        let device_before = device.as_ref().and_then(Device::written);
        let peak_is_fresh = reset_peak();
        Meter {
            device,
            device_before,
            peak_is_fresh,
            before: Counters::now(),
            machine: Machine::now(),
            start: Instant::now(),
        }
    }

    /// Ends. What is pending on the file system is written after the other readings.
    pub fn stop(self) -> Usage {
        let took = self.start.elapsed();
        let (before, after) = (&self.before, Counters::now());
        let noise = self.noise(&after, took);
        let device_after = self.device.as_ref().and_then(Device::written);
        Usage {
            cpu: before.cpu.zip(after.cpu).map(|(before, after)| Cpu {
                user: after.user - before.user,
                system: after.system - before.system,
            }),
            peak_memory: after.peak_memory.filter(|_| self.peak_is_fresh),
            process_written: grown(before.written, after.written),
            process_read: grown(before.read, after.read),
            device_written: grown(self.device_before, device_after),
            noise,
        }
    }

    fn noise(&self, after: &Counters, took: Duration) -> Noise {
        let own = |counters: &Counters| counters.cpu.map(|cpu| cpu.user + cpu.system);
        let own = own(&self.before).zip(own(after)).map(|(before, after)| after - before);
        Noise::between(&self.machine, &Machine::now(), own, took)
    }
}

fn grown(before: Option<u64>, after: Option<u64>) -> Option<u64> {
    before.zip(after).map(|(before, after)| after.saturating_sub(before))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::hint::black_box;

    #[test]
    fn work_is_measured() {
        let dir = tempfile::tempdir().unwrap();
        let meter = Meter::start(dir.path());
        std::fs::write(dir.path().join("file"), vec![1u8; 3 << 20]).unwrap();
        let mut memory = vec![1u8; 64 << 20];
        let start = Instant::now();
        let mut turns = 0u64;
        while start.elapsed() < Duration::from_millis(200) {
            turns += 1;
            memory[(turns as usize * 4096) % (64 << 20)] = turns as u8;
        }
        black_box(&memory);
        let usage = meter.stop();
        let cpu = usage.cpu.unwrap();
        assert!(cpu.user + cpu.system > 0.02, "{cpu:?}");
        if let Some(peak) = usage.peak_memory {
            assert!(peak > 64 << 20, "{peak}");
        }
        if let Some(written) = usage.process_written.filter(|written| *written > 0) {
            assert!(written >= 3 << 20, "{written}");
        }
        let on_disk = allocated(dir.path()).unwrap();
        assert!((3 << 20..4 << 20).contains(&on_disk), "{on_disk}");
    }
}
