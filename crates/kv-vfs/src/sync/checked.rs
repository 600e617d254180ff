//! The model checkers' types with the face of the real ones.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;
use std::time::Duration;

#[cfg(loom)]
use loom::sync as base;
#[cfg(all(shuttle, not(loom)))]
use shuttle::sync as base;

pub use base::atomic;

#[cfg(loom)]
use loom::thread::yield_now;
#[cfg(all(shuttle, not(loom)))]
use shuttle::thread::yield_now;

/// A place at which another thread may run.
pub fn step() {
    #[cfg(all(shuttle, not(loom)))]
    yield_now();
}

/// Whether a wait with a limit comes back without having been woken. Where it does not, a wake-up
/// that is lost is a deadlock, which the checker reports.
static LIMITS_PASS: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// Sets whether the limits of waits pass.
pub fn let_limits_pass(pass: bool) {
    LIMITS_PASS.store(pass, std::sync::atomic::Ordering::Relaxed);
}

/// As `parking_lot::Mutex`.
pub struct Mutex<T>(base::Mutex<T>);

/// As `parking_lot::MutexGuard`.
pub struct MutexGuard<'a, T> {
    lock: &'a base::Mutex<T>,
    held: Option<base::MutexGuard<'a, T>>,
}

impl<T> Mutex<T> {
    /// A lock that nobody holds.
    pub fn new(value: T) -> Mutex<T> {
        Mutex(base::Mutex::new(value))
    }

    /// Waits for the lock.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard { lock: &self.0, held: Some(take(&self.0)) }
    }

    /// Takes the lock where nobody holds it.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let held = self.0.try_lock().ok()?;
        Some(MutexGuard { lock: &self.0, held: Some(held) })
    }
}

fn take<T>(lock: &base::Mutex<T>) -> base::MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Mutex::new(T::default())
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").finish_non_exhaustive()
    }
}

impl<'a, T> MutexGuard<'a, T> {
    /// Gives the lock up while `work` runs.
    pub fn unlocked<R>(guard: &mut MutexGuard<'a, T>, work: impl FnOnce() -> R) -> R {
        guard.held = None;
        let answer = work();
        guard.held = Some(take(guard.lock));
        answer
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match &self.held {
            Some(held) => held,
            None => unreachable!("a guard is used while its lock is given up"),
        }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        match &mut self.held {
            Some(held) => held,
            None => unreachable!("a guard is used while its lock is given up"),
        }
    }
}

/// As `parking_lot::Condvar`.
pub struct Condvar(base::Condvar);

/// How a wait with a limit ended.
#[derive(Clone, Copy, Debug)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Whether the limit passed.
    pub fn timed_out(self) -> bool {
        self.0
    }
}

impl Default for Condvar {
    fn default() -> Self {
        Condvar::new()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}

impl Condvar {
    /// A condition that nobody waits for.
    pub fn new() -> Condvar {
        Condvar(base::Condvar::new())
    }

    /// Waits to be woken.
    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        if let Some(held) = guard.held.take() {
            guard.held = Some(self.0.wait(held).unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Waits to be woken, or until the limit has passed.
    pub fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, _: Duration) -> WaitTimeoutResult {
        let passes = LIMITS_PASS.load(std::sync::atomic::Ordering::Relaxed);
        if passes {
            MutexGuard::unlocked(guard, yield_now);
        } else {
            self.wait(guard);
        }
        WaitTimeoutResult(passes)
    }

    /// Wakes one that waits.
    pub fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes all that wait.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}
