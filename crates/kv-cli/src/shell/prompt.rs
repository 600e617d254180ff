//! Lines from a terminal: the editor, and what Tab offers.

use super::history::{History, LINES};
use super::interrupt::Interrupt;
use super::session::{Next, Session};
use super::words::{Word, quote, typed};
use crate::failure::Failure;
use crate::output::Output;
use kv_engine::{Db, Keyspace};
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, Helper};

/// How many keys Tab offers.
const OFFERED: usize = 100;
/// What ends a part of a key.
const SEPARATORS: &[u8] = b"/:";

pub(super) fn run(
    session: &mut Session,
    interrupt: &Interrupt,
    out: &mut Output,
) -> Result<(), Failure> {
    let broken = |error: ReadlineError| Failure::broken(format!("the terminal: {error}"));
    let config = Config::builder().max_history_size(LINES).map_err(broken)?;
    let config = config.history_ignore_space(true).history_ignore_dups(true).map_err(broken)?;
    let config = config.completion_type(CompletionType::List).build();
    let history = MemHistory::with_config(&config);
    let mut editor = Editor::with_history(config, history).map_err(broken)?;
    let (mut kept, lines) = History::open();
    for line in &lines {
        let _ = editor.add_history_entry(line);
    }
    loop {
        editor.set_helper(Some(Tab::new(session)));
        let line = match editor.readline(&prompt(session)) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(broken(error)),
        };
        if editor.add_history_entry(&line).unwrap_or(false) {
            kept.add(&line);
        }
        let ended = interrupt.running(|| {
            let ended = session.run(line.as_bytes(), out);
            out.flush().map(|()| ended)
        })?;
        match ended {
            Ok(Next::Line) => {}
            Ok(Next::End) => return Ok(()),
            Err(failure) => failure.tell(),
        }
    }
}

fn prompt(session: &Session) -> String {
    let star = if session.in_transaction() { "*" } else { "" };
    match session.space() {
        "" => format!("kv{star}> "),
        space => format!("kv {}{star}> ", quote(space.as_bytes())),
    }
}

/// What Tab knows of the session.
struct Tab {
    db: Db,
    space: String,
}

impl Tab {
    fn new(session: &Session) -> Tab {
        Tab { db: session.db().clone(), space: session.space().to_owned() }
    }

    fn offers(&self, words: &[Word]) -> Vec<Vec<u8>> {
        let Some((last, before)) = words.split_last() else {
            return Vec::new();
        };
        let beginning = |names: Vec<String>| {
            let names = names.into_iter().map(String::into_bytes);
            names.filter(|name| name.starts_with(&last.bytes)).collect()
        };
        let command = before.first().map(|word| word.bytes.as_slice());
        match command {
            None => beginning(commands()),
            Some(b"help") if before.len() == 1 => beginning(commands()),
            Some(b"use") if before.len() == 1 => beginning(self.db.keyspaces().unwrap_or_default()),
            Some(b"put" | b"set" | b"get" | b"prefix") if before.len() == 1 => self.keys(last),
            Some(b"delete" | b"rm") => self.keys(last),
            Some(b"scan" | b"count") if is_key_option(before) => self.keys(last),
            Some(_) => Vec::new(),
        }
    }

    fn keys(&self, begun: &Word) -> Vec<Vec<u8>> {
        // Asking for it by name would make it.
        let there = self.space.is_empty()
            || self.db.keyspaces().is_ok_and(|names| names.contains(&self.space));
        match self.db.keyspace(&self.space) {
            Ok(keyspace) if there => parts(&keyspace, &begun.bytes),
            _ => Vec::new(),
        }
    }
}

fn is_key_option(before: &[Word]) -> bool {
    let options = ["--prefix", "--from", "--to", "--start", "--end"];
    before.last().is_some_and(|word| options.iter().any(|name| name.as_bytes() == word.bytes))
}

fn commands() -> Vec<String> {
    let grammar = <super::line::Line as clap::CommandFactory>::command();
    let names = grammar.get_subcommands().flat_map(|command| {
        command.get_name_and_visible_aliases().into_iter().map(str::to_owned).collect::<Vec<_>>()
    });
    names.chain(["help".to_owned()]).collect()
}

/// The keys that begin so, each up to the next separator. One seek for each, however many keys
/// share it.
fn parts(keyspace: &Keyspace, begun: &[u8]) -> Vec<Vec<u8>> {
    let mut cursor = keyspace.cursor();
    let mut found: Vec<Vec<u8>> = Vec::new();
    let mut from = begun.to_vec();
    while found.len() < OFFERED && cursor.seek(&from).is_ok() && cursor.valid() {
        let key = cursor.key();
        let Some(rest) = key.strip_prefix(begun) else {
            break;
        };
        let end = rest.iter().position(|byte| SEPARATORS.contains(byte));
        let part = end.and_then(|end| key.get(..begun.len() + end + 1)).unwrap_or(key).to_vec();
        from = part.clone();
        match end {
            // Behind everything that begins so: a separator is not the last of all bytes.
            Some(_) => from.last_mut().into_iter().for_each(|byte| *byte += 1),
            None => from.push(0),
        }
        found.push(part);
    }
    found
}

impl Completer for Tab {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let words = typed(line.get(..pos).unwrap_or(line).as_bytes());
        let start = words.last().map_or(pos, |word| word.start);
        let offers = self.offers(&words).into_iter().map(|bytes| {
            let word = quote(&bytes);
            let whole = !bytes.last().is_some_and(|byte| SEPARATORS.contains(byte));
            let blank = if whole { " " } else { "" };
            Pair { replacement: format!("{word}{blank}"), display: word }
        });
        Ok((start, offers.collect()))
    }
}

impl Hinter for Tab {
    type Hint = String;
}
impl Highlighter for Tab {}
impl Validator for Tab {}
impl Helper for Tab {}
