//! The terminal while a live screen is on it: keys one by one, and everything as it was at the end.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use std::io::{self, IsTerminal, Read, Write};
use std::time::Duration;

pub(super) struct Terminal {
    /// Where somebody types: what it was before.
    before: Option<Termios>,
}

impl Terminal {
    pub(super) fn enter() -> io::Result<Terminal> {
        let stdin = io::stdin();
        let mut before = None;
        if stdin.is_terminal() {
            let old = tcgetattr(&stdin)?;
            let mut modes = old.clone();
            // Ctrl-C is a key like others: it ends the program in order.
            modes.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
            tcsetattr(&stdin, OptionalActions::Now, &modes)?;
            before = Some(old);
        }
        let terminal = Terminal { before };
        // Another page than the one with the commands before, without a cursor.
        write_out("\x1b[?1049h\x1b[?25l")?;
        Ok(terminal)
    }

    /// Shows as much of the text as there is room for.
    pub(super) fn draw(&self, text: &str) -> io::Result<()> {
        let size = tcgetwinsize(io::stdout()).ok();
        let of = |n: u16| if n == 0 { usize::MAX } else { usize::from(n) };
        let (rows, columns) = size.map_or((24, 80), |size| (of(size.ws_row), of(size.ws_col)));
        let lines = text.lines().take(rows.saturating_sub(1));
        let lines = lines.map(|line| line.chars().take(columns).collect::<String>() + "\x1b[K\n");
        write_out(&format!("\x1b[H{}\x1b[J", lines.collect::<String>()))
    }

    /// Waits; answers whether somebody typed what ends it: q, Ctrl-C or Ctrl-D.
    pub(super) fn wait(&self, time: Duration) -> io::Result<bool> {
        let stdin = io::stdin();
        let time = Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        };
        let mut keys = [PollFd::new(&stdin, PollFlags::IN)];
        let watched = if self.before.is_some() { &mut keys[..] } else { &mut [] };
        match poll(watched, Some(&time)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(false),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let mut typed = [0; 64];
        let count = stdin.lock().read(&mut typed)?;
        let typed = typed.get(..count).unwrap_or_default();
        Ok(count == 0 || typed.iter().any(|key| matches!(key, b'q' | b'Q' | 3 | 4)))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = write_out("\x1b[?25h\x1b[?1049l");
        if let Some(before) = &self.before {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

fn write_out(text: &str) -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()
}
