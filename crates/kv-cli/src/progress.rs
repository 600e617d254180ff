//! Progress of long work, on standard error and only where that is a terminal.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal};
use std::time::Duration;

const TICK: Duration = Duration::from_millis(100);

/// Work that says nothing about how far it is.
pub(crate) fn waiting(what: &'static str) -> ProgressBar {
    moving(ProgressBar::new_spinner(), what, "{spinner} {msg} {elapsed}")
}

/// Work that counts keys. Nothing is shown where the answer itself appears on the terminal.
pub(crate) fn counting(what: &'static str) -> ProgressBar {
    if io::stdout().is_terminal() {
        return ProgressBar::hidden();
    }
    moving(ProgressBar::new_spinner(), what, "{spinner} {msg} {human_pos} keys {elapsed}")
}

/// Work that reads so many bytes, if that is known.
pub(crate) fn reading(what: &'static str, total: Option<u64>) -> ProgressBar {
    match total {
        Some(total) => {
            let form = "{msg} {wide_bar} {bytes}/{total_bytes} {eta}";
            moving(ProgressBar::new(total), what, form)
        }
        None => moving(ProgressBar::new_spinner(), what, "{spinner} {msg} {bytes} {elapsed}"),
    }
}

/// Work that comes in parts, each of so many operations; `begin` is called for each.
pub(crate) fn operations() -> ProgressBar {
    let form = "{msg} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}";
    let bar = moving(ProgressBar::new(0), "", form);
    bar.disable_steady_tick();
    bar
}

fn moving(bar: ProgressBar, what: &'static str, form: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    if let Ok(style) = ProgressStyle::with_template(form) {
        bar.set_style(style);
    }
    bar.set_message(what);
    bar.enable_steady_tick(TICK);
    bar
}
