//! The grammar of the shell's lines.

use crate::args::{Range, View, ttl};
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::time::Duration;

#[derive(Debug, Parser)]
#[command(multicall = true, after_help = AFTER_HELP)]
pub(super) struct Line {
    #[command(subcommand)]
    pub(super) command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  put fruit/apple red
  put 'two words' \"a tab:\\t\" --ttl 30m
  scan --prefix fruit/ --limit 10
  use people

`help COMMAND` explains one. Tab completes commands, keyspaces and keys. Ctrl-C clears the line, or stops
the scan or count that runs; Ctrl-D ends. A line that begins with a blank is not kept in the history.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Set a key's value
    #[command(visible_alias = "set", after_help = "Example:\n  put fruit/apple red --ttl 30m")]
    Put {
        /// The key
        #[arg(allow_negative_numbers = true)]
        key: OsString,
        /// The value
        #[arg(allow_negative_numbers = true)]
        value: OsString,
        /// How long the value lives: a number and ms, s, m, h or d; not between begin and commit
        #[arg(long, value_name = "TIME", value_parser = ttl)]
        ttl: Option<Duration>,
        /// KEY and VALUE are hexadecimal
        #[arg(long)]
        hex: bool,
    },
    /// Print a key's value
    #[command(after_help = "Example:\n  get fruit/apple")]
    Get {
        /// The key
        #[arg(allow_negative_numbers = true)]
        key: OsString,
        #[command(flatten)]
        view: View,
    },
    /// Delete keys; a key that is not there is no error
    #[command(visible_alias = "rm", after_help = "Example:\n  rm fruit/apple fruit/pear")]
    Delete {
        /// The keys
        #[arg(required = true, allow_negative_numbers = true)]
        keys: Vec<OsString>,
        /// The keys are hexadecimal
        #[arg(long)]
        hex: bool,
    },
    /// Print the keys of a range with their values, in key order
    #[command(after_help = "Example:\n  scan --from fruit/b --to fruit/m --keys-only")]
    Scan {
        #[command(flatten)]
        range: Range,
        /// From the last key to the first
        #[arg(long)]
        reverse: bool,
        #[command(flatten)]
        show: Show,
    },
    /// Print the keys that begin with a prefix, with their values
    #[command(after_help = "Example:\n  prefix fruit/ --limit 10")]
    Prefix {
        /// What they begin with
        #[arg(allow_negative_numbers = true)]
        prefix: OsString,
        #[command(flatten)]
        show: Show,
    },
    /// Count the keys of a range
    #[command(after_help = "Example:\n  count --prefix fruit/")]
    Count {
        #[command(flatten)]
        range: Range,
        /// The given keys are hexadecimal
        #[arg(long)]
        hex: bool,
    },
    /// List the named keyspaces
    #[command(after_help = "Example:\n  keyspaces")]
    Keyspaces,
    /// Work on a keyspace from now on; without a name on the default one
    #[command(after_help = "Example:\n  use people")]
    Use {
        /// Its name; the first put makes it
        #[arg(default_value = "", hide_default_value = true)]
        name: String,
    },
    /// Begin a transaction: what follows takes effect as a whole, with commit, or not at all
    #[command(after_help = "Example:\n  begin\n  put a 1\n  put b 2\n  commit")]
    Begin,
    /// Commit the transaction; refused where another commit changed what it read
    #[command(after_help = "Example:\n  commit")]
    Commit,
    /// End the transaction without a trace
    #[command(after_help = "Example:\n  rollback")]
    Rollback,
    /// Print what the store holds and has done
    #[command(after_help = "Example:\n  stats")]
    Stats,
    /// End the shell
    #[command(visible_alias = "quit", after_help = "Example:\n  exit")]
    Exit,
}

/// How much of a range is shown, and how.
#[derive(Debug, clap::Args)]
pub(super) struct Show {
    /// At most so many keys; at a prompt 1000 unless this says else
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<usize>,
    /// No values
    #[arg(long)]
    pub(super) keys_only: bool,
    #[command(flatten)]
    pub(super) view: View,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_grammar_is_sound() {
        super::Line::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        for command in super::Line::command().get_subcommands_mut() {
            let help = command.render_long_help().to_string();
            let example = format!("Example:\n  {}", command.get_name());
            let alias = command.get_visible_aliases().map(|name| format!("Example:\n  {name}"));
            assert!(std::iter::once(example).chain(alias).any(|e| help.contains(&e)), "{help}");
        }
    }
}
