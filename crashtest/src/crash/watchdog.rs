//! A store that hangs is a violation too: where nothing has come to an end for long, the program
//! says so and ends, as no thread of it can be waited for any more.

use std::process;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How long one check may take, also on a machine that is busy.
const LIMIT: u64 = 30;

static BEATS: AtomicU64 = AtomicU64::new(0);
/// What was begun last.
static DOING: Mutex<String> = Mutex::new(String::new());

/// Watches while it is held.
#[derive(Debug)]
pub(crate) struct Watchdog {
    ended: Arc<AtomicBool>,
}

impl Watchdog {
    pub(crate) fn start() -> Watchdog {
        let ended = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ended);
        thread::spawn(move || watch(&seen));
        Watchdog { ended }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

/// Says that something came to an end, or begins.
pub(crate) fn beat(doing: &str) {
    BEATS.fetch_add(1, Ordering::Relaxed);
    if !doing.is_empty() {
        let mut last = DOING.lock().unwrap_or_else(PoisonError::into_inner);
        last.clear();
        last.push_str(doing);
    }
}

fn watch(ended: &AtomicBool) {
    let (mut last, mut still) = (0, 0);
    while !ended.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_secs(1));
        let beats = BEATS.load(Ordering::Relaxed);
        still = if beats == last { still + 1 } else { 0 };
        last = beats;
        if still >= LIMIT {
            let doing = DOING.lock().unwrap_or_else(PoisonError::into_inner);
            println!("! hang: nothing has ended for {LIMIT} s; begun last: {doing}");
            process::exit(1);
        }
    }
}
