//! How a command ends when it does not do what was asked: an exit code and a line for people.

use kv_engine::{Error, ErrorKind};
use std::fmt::{self, Display};
use std::io::{self, Write};
use std::process::ExitCode;

/// The key, the keyspace or the store is not there.
const MISSING: u8 = 1;
/// Wrong usage.
const USAGE: u8 = 2;
/// The store, a file or the input is damaged or refused.
const BROKEN: u8 = 3;

#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: Option<String>,
}

impl Failure {
    pub(crate) fn missing(message: impl Into<String>) -> Failure {
        Failure { code: MISSING, message: Some(message.into()) }
    }

    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Failure { code: USAGE, message: Some(message.into()) }
    }

    pub(crate) fn broken(message: impl Into<String>) -> Failure {
        Failure { code: BROKEN, message: Some(message.into()) }
    }

    /// Nobody reads the output any more, which is how `head` works; anything else is an error.
    pub(crate) fn output(error: io::Error) -> Failure {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Failure { code: 0, message: None };
        }
        Failure::broken(format!("cannot write the output: {error}"))
    }

    /// The same failure, with what came before it.
    pub(crate) fn after(mut self, note: impl Display) -> Failure {
        self.message = self.message.map(|message| format!("{message}; {note}"));
        self
    }

    /// The same failure, with where it came about.
    pub(crate) fn before(mut self, place: impl Display) -> Failure {
        self.message = self.message.map(|message| format!("{place}: {message}"));
        self
    }

    /// Says what went wrong, where the program goes on.
    pub(crate) fn tell(&self) {
        if let Some(message) = &self.message {
            complain(message);
        }
    }

    pub(crate) fn report(self) -> ExitCode {
        self.tell();
        ExitCode::from(self.code)
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message.as_deref().unwrap_or_default())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let code = match error.kind() {
            ErrorKind::NotFound => MISSING,
            ErrorKind::InvalidArgument => USAGE,
            _ => BROKEN,
        };
        let failure = Failure { code, message: Some(error.to_string()) };
        match error.kind() {
            // Some say so themselves.
            ErrorKind::NoSpace if !error.to_string().ends_with("try again") => {
                failure.after("make room on that disk, then run it again")
            }
            _ => failure,
        }
    }
}

/// A line on standard error; there is nothing to do where that is closed.
pub(crate) fn complain(message: impl Display) {
    let _ = writeln!(io::stderr(), "kv: {message}");
}
