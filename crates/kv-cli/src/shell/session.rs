//! A store that lines are carried out on: the keyspace and the transaction that they are meant for.

use super::interrupt::Interrupt;
use super::line::{Command, Line, Show};
use super::words;
use crate::args::Space;
use crate::failure::Failure;
use crate::form::{Format, argument};
use crate::output::Output;
use crate::scan::{self, Wanted};
use crate::{data, keyspaces, records, store};
use clap::{CommandFactory, FromArgMatches};
use kv_engine::{Db, Follower, Iter, Keyspace, Transaction, WriteBatch};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::rc::Rc;
use std::time::Duration;

/// Keys that a scan shows at a prompt, where nothing stops it.
const SHOWN: usize = 1000;

/// Where the store is open.
pub(super) enum Opened {
    /// Here, for writing.
    Here(Db),
    /// Perhaps elsewhere: it is followed, and only read.
    Beside(Box<Follower>),
}

/// Whether another line is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Line,
    End,
}

pub(super) struct Session {
    store: Opened,
    space: Space,
    transaction: Option<Transaction>,
    grammar: clap::Command,
    /// Where somebody sits before it: what stops a line.
    prompt: Option<Rc<Interrupt>>,
}

impl Session {
    pub(super) fn new(store: Opened, space: Space, prompt: Option<Rc<Interrupt>>) -> Session {
        Session { store, space, transaction: None, grammar: Line::command(), prompt }
    }

    pub(super) fn db(&self) -> &Db {
        match &self.store {
            Opened::Here(db) => db,
            Opened::Beside(follower) => follower.db(),
        }
    }

    pub(super) fn space(&self) -> &str {
        &self.space.name
    }

    pub(super) fn in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    /// Gives up an open transaction and closes the store.
    pub(super) fn close(self) -> Result<(), Failure> {
        drop(self.transaction);
        match self.store {
            Opened::Here(db) => Ok(db.close()?),
            Opened::Beside(_) => Ok(()),
        }
    }

    /// Carries out a line. Where it fails the session is as before, but that a transaction which
    /// could not be committed is over.
    pub(super) fn run(&mut self, line: &[u8], out: &mut Output) -> Result<Next, Failure> {
        // A comment, or nothing.
        if line.trim_ascii_start().first().is_none_or(|&first| first == b'#') {
            return Ok(Next::Line);
        }
        let words = words::split(line).map_err(Failure::usage)?;
        let words = words.into_iter().map(|word| OsString::from_vec(word.bytes));
        let parsed = self.grammar.try_get_matches_from_mut(words);
        match parsed.and_then(|matches| Line::from_arg_matches(&matches)) {
            Ok(line) => self.carry_out(line.command, out),
            Err(error) if !error.use_stderr() => {
                out.bytes(error.to_string().as_bytes())?;
                Ok(Next::Line)
            }
            Err(error) => Err(in_a_line(&error)),
        }
    }

    fn carry_out(&mut self, command: Command, out: &mut Output) -> Result<Next, Failure> {
        if let (Opened::Beside(follower), None) = (&mut self.store, &self.transaction) {
            follower.refresh()?;
        }
        match command {
            Command::Put { key, value, ttl, hex } => {
                let (key, value) = (argument("KEY", key, hex)?, argument("VALUE", value, hex)?);
                self.put(&key, &value, ttl)?;
            }
            Command::Get { key, view } => {
                let key = argument("KEY", key, view.hex)?;
                self.get(&key, view.format(), out)?;
            }
            Command::Delete { keys, hex } => {
                let keys = keys.into_iter().map(|key| argument("KEY", key, hex));
                self.delete(&keys.collect::<Result<Vec<_>, _>>()?)?;
            }
            Command::Scan { range, reverse, show } => {
                let range = Wanted::new(range, show.view.hex)?;
                self.scan(range, reverse, &show, out)?;
            }
            Command::Prefix { prefix, show } => {
                let range = Wanted::Prefix(argument("PREFIX", prefix, show.view.hex)?);
                self.scan(range, false, &show, out)?;
            }
            Command::Count { range, hex } => {
                let mut count = 0;
                for pair in self.pairs(Wanted::new(range, hex)?)? {
                    pair?;
                    count += 1;
                    self.go_on()?;
                }
                scan::show_count(out, count)?;
            }
            Command::Keyspaces => keyspaces::show(self.db(), out)?,
            Command::Use { name } => self.space = Space { name },
            Command::Begin => self.begin()?,
            Command::Commit => self.ended()?.commit()?,
            Command::Rollback => self.ended()?.rollback(),
            Command::Stats => out.line(self.db().stats().to_string().trim_end().as_bytes())?,
            Command::Exit => return Ok(Next::End),
        }
        Ok(Next::Line)
    }

    fn begin(&mut self) -> Result<(), Failure> {
        if self.transaction.is_some() {
            return Err(Failure::usage(
                "a transaction is open already: commit or rollback ends it",
            ));
        }
        self.transaction = Some(self.db().transaction());
        Ok(())
    }

    fn ended(&mut self) -> Result<Transaction, Failure> {
        let none = || Failure::usage("no transaction is open: begin opens one");
        self.transaction.take().ok_or_else(none)
    }

    fn put(&mut self, key: &[u8], value: &[u8], ttl: Option<Duration>) -> Result<(), Failure> {
        records::check(key, value).map_err(Failure::usage)?;
        if ttl.is_some() && self.transaction.is_some() {
            return Err(Failure::usage(
                "a transaction cannot put with --ttl: put this before begin or behind commit",
            ));
        }
        let keyspace = self.db().keyspace(&self.space.name)?;
        match (&mut self.transaction, ttl) {
            (Some(transaction), _) => transaction.within(&keyspace).put(key, value),
            (None, Some(ttl)) => keyspace.put_with_ttl(key, value, ttl)?,
            (None, None) => keyspace.put(key, value)?,
        }
        Ok(())
    }

    fn get(&mut self, key: &[u8], format: Format, out: &mut Output) -> Result<(), Failure> {
        let keyspace = self.existing()?;
        let value = match &mut self.transaction {
            Some(transaction) => transaction.within(&keyspace).get(key)?,
            None => keyspace.get(key)?,
        };
        let value = value.ok_or_else(|| Failure::missing("the key is not there"))?;
        data::show(out, format, key, &value)?;
        match format {
            Format::Raw if self.prompt.is_some() && !out.json => out.line(b""),
            _ => Ok(()),
        }
    }

    fn delete(&mut self, keys: &[Vec<u8>]) -> Result<(), Failure> {
        let keyspace = self.existing()?;
        if let Some(transaction) = &mut self.transaction {
            let transaction = transaction.within(&keyspace);
            keys.iter().for_each(|key| transaction.delete(key));
            return Ok(());
        }
        let mut batch = WriteBatch::new();
        keys.iter().for_each(|key| batch.delete(key));
        Ok(keyspace.write(batch)?)
    }

    fn scan(
        &mut self,
        range: Wanted,
        reverse: bool,
        show: &Show,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let mut pairs = self.pairs(range)?;
        let limit = show.limit.unwrap_or(if self.prompt.is_some() { SHOWN } else { usize::MAX });
        let format = show.view.format();
        let mut next = || if reverse { pairs.next_back() } else { pairs.next() };
        for _ in 0..limit {
            let Some(pair) = next() else {
                return Ok(());
            };
            let (key, value) = pair?;
            self.go_on()?;
            scan::show(out, format, &key, (!show.keys_only).then_some(&value))?;
        }
        if show.limit.is_none() && next().is_some() {
            out.flush()?;
            crate::failure::complain("there are more keys; --limit N shows more of them");
        }
        Ok(())
    }

    fn pairs(&mut self, range: Wanted) -> Result<Iter, Failure> {
        let keyspace = self.existing()?;
        Ok(match &mut self.transaction {
            Some(transaction) => range.of_transaction(transaction.within(&keyspace)),
            None => range.of(&keyspace),
        })
    }

    /// Fails where the line is to stop.
    fn go_on(&self) -> Result<(), Failure> {
        match self.prompt.as_ref().is_some_and(|interrupt| interrupt.came()) {
            true => Err(Failure::broken("stopped")),
            false => Ok(()),
        }
    }

    fn existing(&self) -> Result<Keyspace, Failure> {
        store::existing(self.db(), &self.space)
    }
}

/// What is wrong with a line, in one line.
fn in_a_line(error: &clap::Error) -> Failure {
    let text = error.to_string();
    let lines = text.lines().take_while(|line| !line.starts_with("Usage:"));
    let parts: Vec<&str> = lines.map(str::trim).filter(|line| !line.is_empty()).collect();
    let parts = parts.join(" ");
    let what = parts.strip_prefix("error: ").unwrap_or(&parts);
    let what = what.split(" For more information").next().unwrap_or(what);
    Failure::usage(format!("{what}; `help` lists the commands"))
}
