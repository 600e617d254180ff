//! Ctrl-C while a line is carried out at a prompt: it stops the line and not the shell. While the
//! line is typed Ctrl-C is a key like others, which the editor takes.

use crate::signals;
use nix::sys::signal::Signal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Nothing runs that could be stopped: the signal ends the program.
const IDLE: u8 = 0;
/// A line is carried out.
const RUNNING: u8 = 1;
/// It is to stop. Another signal ends the program: not every command can stop.
const STOPPING: u8 = 2;

pub(super) struct Interrupt {
    state: Arc<AtomicU8>,
}

impl Interrupt {
    /// To be called before any other thread is there.
    pub(super) fn watch() -> Interrupt {
        let state = Arc::new(AtomicU8::new(IDLE));
        let told = Arc::clone(&state);
        signals::watch(&[Signal::SIGINT], move || {
            let (relaxed, stop) = (Ordering::Relaxed, STOPPING);
            if told.compare_exchange(RUNNING, stop, relaxed, relaxed).is_err() {
                std::process::exit(signals::INTERRUPTED);
            }
        });
        Interrupt { state }
    }

    /// Carries out a line, which asks [`Interrupt::came`].
    pub(super) fn running<T>(&self, line: impl FnOnce() -> T) -> T {
        self.state.store(RUNNING, Ordering::Relaxed);
        let outcome = line();
        self.state.store(IDLE, Ordering::Relaxed);
        outcome
    }

    /// Whether the line is to stop.
    pub(super) fn came(&self) -> bool {
        self.state.load(Ordering::Relaxed) == STOPPING
    }
}
