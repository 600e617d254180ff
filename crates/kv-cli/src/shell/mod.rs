//! `shell`: commands line by line, from a prompt or from a script.
//!
//! `words` takes a line apart, `line` is the grammar, `session` carries it out. `prompt` is the way
//! in from a terminal, with `history` behind it and `interrupt` for Ctrl-C.

mod history;
mod interrupt;
mod line;
mod prompt;
mod session;
mod words;

use crate::args::Space;
use crate::failure::Failure;
use crate::metrics::{self, Listener};
use crate::output::Output;
use crate::store;
use interrupt::Interrupt;
use session::{Next, Opened, Session};
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;

pub(crate) const EXAMPLES: &str = "\
Examples:
  kv shell
  kv shell --read-only
  printf 'begin\\nput a 1\\nput b 2\\ncommit\\n' | kv shell";

pub(crate) const ABOUT: &str = "\
Work on a store line by line, at a prompt or from a script

At a prompt there are a history, completion by Tab of commands, keyspaces and keys, and `help`. \
The history is in $XDG_STATE_HOME/kv/history, readable by its owner alone; a line that begins with a blank \
is not kept. Ctrl-C clears the line, or stops the scan or count that runs; Ctrl-D ends. The store is made where there is none.

A line is a command and its arguments: put, get, delete, scan, prefix, count, keyspaces, use, begin, \
commit, rollback, stats. 'Single quotes' keep everything as it is; elsewhere \\\\, \\t, \\n, \\r, \\xNN and a \
backslash before a blank or quote are known. Each put and delete is durable when the next prompt \
appears; between begin and commit they take effect as a whole.

Where standard input is no terminal, its lines are carried out in order, without a prompt, and the first \
one that fails ends the program: its number is told, and the exit code is that of the command. What came \
before it stays. Lines that begin with # are comments. A transaction that is open at the end is \
given up, and that is a failure.";

/// The longest line of a script.
const MAX_LINE: u64 = 64 << 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Shell {
    /// Only read, also beside a program that has the store open; each command sees what is new
    #[arg(long)]
    read_only: bool,
    /// Serve the store's figures at this address while the shell runs, for Prometheus and `kv top`
    #[arg(long, value_name = "ADDRESS", value_parser = metrics::address,
        conflicts_with = "read_only")]
    metrics: Option<SocketAddr>,
    #[command(flatten)]
    space: Space,
}

pub(crate) fn shell(dir: &Path, args: Shell, out: &mut Output) -> Result<(), Failure> {
    // Before the store has threads.
    let prompt = io::stdin().is_terminal().then(|| Rc::new(Interrupt::watch()));
    // Before the store is made for nothing.
    let listener = args.metrics.map(Listener::bind).transpose()?;
    let opened = match args.read_only {
        true => Opened::Beside(Box::new(store::follow(dir)?)),
        false => Opened::Here(store::for_writing(dir)?),
    };
    let mut session = Session::new(opened, args.space, prompt.clone());
    if let Some(listener) = listener {
        let db = session.db().clone();
        listener.serve(move || Some(db.stats().prometheus()));
    }
    let ended = match prompt {
        Some(interrupt) => prompt::run(&mut session, &interrupt, out),
        None => script(&mut session, out),
    };
    ended.and(session.close())
}

fn script(session: &mut Session, out: &mut Output) -> Result<(), Failure> {
    let mut input = BufReader::new(io::stdin().lock());
    let mut line = Vec::new();
    for number in 1u64.. {
        line.clear();
        let read = input.by_ref().take(MAX_LINE).read_until(b'\n', &mut line);
        let read =
            read.map_err(|error| Failure::broken(format!("cannot read standard input: {error}")))?;
        if read == 0 {
            break;
        }
        let at_line = |failure: Failure| failure.before(format!("line {number}"));
        if read as u64 == MAX_LINE {
            return Err(at_line(Failure::usage("over 64 MiB; `kv put` takes longer values")));
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        match session.run(text, out) {
            Ok(Next::Line) => {}
            Ok(Next::End) => break,
            Err(failure) => {
                out.flush()?;
                return Err(at_line(failure));
            }
        }
        // Somebody may wait for the answer before asking more.
        if input.buffer().is_empty() {
            out.flush()?;
        }
    }
    match session.in_transaction() {
        true => Err(Failure::usage("the input ended in a transaction, which is not committed")),
        false => Ok(()),
    }
}
