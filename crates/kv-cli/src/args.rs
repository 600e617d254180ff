//! The grammar of the command line.

use crate::form::Format;
use crate::{backup, bench, changes, inspect, load, pages, shell, top};
use clap::{Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// An ordered key-value store in a directory.
#[derive(Debug, Parser)]
#[command(name = "kv", version, after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// The directory of the store
    #[arg(long, global = true, value_name = "PATH", env = "KV_DATA_DIR", default_value = "./data")]
    pub(crate) data_dir: PathBuf,
    /// Answer in JSON, one object a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
Examples:
  kv put fruit/apple red
  kv get fruit/apple
  kv scan --prefix fruit/

Exit codes:
  0  done
  1  the key, the keyspace or the store is not there
  2  wrong usage
  3  the store, a file or the input is damaged or refused";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Set a key's value; creates the store where there is none
    #[command(
        visible_alias = "set",
        after_help = "\
Examples:
  kv put fruit/apple red
  kv put session/17 alice --ttl 30m
  kv put photo < photo.jpg
  kv put --hex 00ff cafe
  kv put -- --key --value"
    )]
    Put(Put),
    /// Print a key's value
    #[command(after_help = "\
Examples:
  kv get fruit/apple
  kv get photo --raw > photo.jpg
  kv get --hex 00ff")]
    Get(Get),
    /// Delete keys; a key that is not there is no error
    #[command(
        visible_alias = "rm",
        after_help = "\
Examples:
  kv delete fruit/apple
  kv rm fruit/apple fruit/pear"
    )]
    Delete(Delete),
    /// Print the keys of a range with their values, in key order
    #[command(after_help = "\
Examples:
  kv scan --prefix fruit/
  kv scan --from fruit/b --to fruit/m --keys-only
  kv scan --reverse --limit 10")]
    Scan(Scan),
    /// Count the keys of a range
    #[command(after_help = "\
Examples:
  kv count
  kv count --prefix fruit/")]
    Count(Count),
    /// Store the records of a file, or of standard input
    #[command(after_help = "\
Examples:
  kv load fruit.tsv
  kv load people.csv --header --keyspace people
  kv dump | kv --data-dir ./copy load", long_about = load::ABOUT)]
    Load(Load),
    /// Store sorted records: all of them or none
    #[command(after_help = "\
Examples:
  kv ingest sorted.tsv
  kv dump --keyspace people | kv --data-dir ./copy ingest --keyspace people", long_about = load::INGEST_ABOUT)]
    Ingest(Ingest),
    /// Print all keys with their values, so that `load` reads them back exactly
    #[command(after_help = "\
Examples:
  kv dump > fruit.tsv
  kv dump --json --keyspace people > people.jsonl", long_about = DUMP_ABOUT)]
    Dump(Dump),
    /// Print what was committed, batch by batch and in order, out of the log
    #[command(after_help = "\
Examples:
  kv changes --json
  kv changes --since 4711
  kv changes --follow --consumer replica", long_about = changes::ABOUT)]
    Changes(changes::Changes),
    /// Work on a store line by line, at a prompt or from a script
    #[command(after_help = shell::EXAMPLES, long_about = shell::ABOUT)]
    Shell(shell::Shell),
    /// List the named keyspaces
    #[command(after_help = "\
Example:
  kv keyspaces")]
    Keyspaces,
    /// Delete a keyspace and all in it
    #[command(after_help = "\
Example:
  kv drop-keyspace people")]
    DropKeyspace {
        /// Its name
        name: String,
    },
    /// Merge all tables, and wait: frees what deleted and overwritten data still takes
    #[command(after_help = "\
Example:
  kv compact")]
    Compact,
    /// Make a second store of the same data in another directory, by hard links where possible
    #[command(after_help = "\
Examples:
  kv checkpoint /backup/monday
  kv --data-dir /backup/monday verify")]
    Checkpoint {
        /// Where; must not exist or be an empty directory
        path: PathBuf,
    },
    /// Add a point in time of the store to a directory of backups
    #[command(after_help = backup::EXAMPLES, long_about = backup::ABOUT)]
    Backup(backup::Backup),
    /// Make a store of a point in a directory of backups
    #[command(after_help = backup::RESTORE_EXAMPLES, long_about = backup::RESTORE_ABOUT)]
    Restore(backup::Restore),
    /// Write everything from the log into tables
    #[command(after_help = "\
Example:
  kv flush")]
    Flush,
    /// Print what the store holds, level by level
    #[command(after_help = "\
Examples:
  kv stats
  kv stats --prometheus")]
    Stats {
        /// In Prometheus' text form
        #[arg(long)]
        prometheus: bool,
    },
    /// Watch a store at work: operations, latencies, levels, stalls, memory, jobs
    #[command(after_help = top::EXAMPLES, long_about = top::ABOUT)]
    Top(top::Top),
    /// Read every byte of the store and check it; damage is listed, and the exit code is then 3
    #[command(after_help = "\
Examples:
  kv verify
  kv --data-dir ./data verify --json", long_about = VERIFY_ABOUT)]
    Verify,
    /// Rebuild what is readable of a damaged store in a new directory
    #[command(after_help = "\
Examples:
  kv repair ./data --into ./rescued
  kv --data-dir ./rescued verify", long_about = REPAIR_ABOUT)]
    Repair(Repair),
    /// Print a file of a store as annotated text
    #[command(subcommand, after_help = "\
Examples:
  kv inspect wal data/000007.log
  kv inspect manifest data/MANIFEST-000004
  kv inspect table data/000012.sst --entries
  kv inspect values data/000013.val --entries", long_about = inspect::ABOUT)]
    Inspect(inspect::What),
    /// Measure how fast the store is here: the workloads of db_bench and YCSB
    #[command(after_help = bench::args::examples(), long_about = bench::args::about())]
    Bench(Box<bench::args::Bench>),
    /// Print a script that completes this program's arguments in a shell
    #[command(after_help = "\
Examples:
  kv completions bash > ~/.local/share/bash-completion/completions/kv
  kv completions fish > ~/.config/fish/completions/kv.fish")]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages of all commands to a directory
    #[command(after_help = pages::MAN_EXAMPLES)]
    Man {
        /// The directory; made where it is not there
        dir: PathBuf,
    },
}

const DUMP_ABOUT: &str = "\
Print all keys with their values, so that `load` reads them back exactly

A line is KEY, a tab, VALUE. Printable UTF-8 stands as it is, and the value may hold tabs. A record \
with anything else in it becomes a line that begins with the control character DLE (0x10), in \
which a backslash introduces \\\\, \\t, \\n, \\r or \\xNN. With --json every line is an object, and \
bytes that are not UTF-8 stand in hexadecimal in \"key_hex\" and \"value_hex\". Times to live are not \
printed: a loaded record stays.";

const VERIFY_ABOUT: &str = "\
Read every byte of the store and check it; damage is listed, and the exit code is then 3

Checked are the checksum of every block, record and whole table, the order of all entries, the \
indexes, filters and counts, the bounds and levels that the manifest names, missing files, and how \
the logs follow each other. Each damage is a line with its file and offset. Files that the store \
does not know, and the tail of an interrupted write, are notes and no damage. A store that does \
not open is checked file by file. Nothing is changed.";

const REPAIR_ABOUT: &str = "\
Rebuild what is readable of a damaged store in a new directory

The old directory is only read; the new one must be empty or not there. All tables and logs are \
read as far as their checksums match, with or without the manifest, and merged: of each key the \
newest version that is readable stays, with its time to live and its keyspace. The new store is \
opened and verified before the command ends.

What was lost is printed file by file, and written beside the new store with the ending \
.repair.txt. Where the manifest is damaged, deleted keys may return, which the report then says. \
The exit code is 0 when nothing is lost and 3 when something is, or may be.";

#[derive(Debug, clap::Args)]
pub(crate) struct Repair {
    /// The directory of the damaged store
    pub(crate) dir: PathBuf,
    /// The directory of the new store
    #[arg(long, value_name = "NEW")]
    pub(crate) into: PathBuf,
    /// Show between which keys something is lost; keys are data
    #[arg(long)]
    pub(crate) keys: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Space {
    /// The keyspace; the default one has no name
    #[arg(long = "keyspace", value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(crate) name: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Put {
    /// The key
    #[arg(allow_negative_numbers = true)]
    pub(crate) key: OsString,
    /// The value; read from standard input, byte for byte, when it is not given
    #[arg(allow_negative_numbers = true)]
    pub(crate) value: Option<OsString>,
    /// How long the value lives: a number and ms, s, m, h or d
    #[arg(long, value_name = "TIME", value_parser = ttl)]
    pub(crate) ttl: Option<Duration>,
    /// KEY and VALUE are hexadecimal
    #[arg(long)]
    pub(crate) hex: bool,
    #[command(flatten)]
    pub(crate) space: Space,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    /// The key
    #[arg(allow_negative_numbers = true)]
    pub(crate) key: OsString,
    #[command(flatten)]
    pub(crate) view: View,
    /// The bytes as they are, and no newline behind them: the same as --format raw
    #[arg(long, conflicts_with = "format")]
    pub(crate) raw: bool,
    #[command(flatten)]
    pub(crate) space: Space,
}

#[derive(Debug, clap::Args)]
pub(crate) struct View {
    /// How keys and values are shown
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The given keys are hexadecimal; keys and values are shown so too, unless --format says else
    #[arg(long)]
    pub(crate) hex: bool,
}

impl View {
    pub(crate) fn format(&self) -> Format {
        self.format.unwrap_or(if self.hex { Format::Hex } else { Format::Auto })
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Delete {
    /// The keys
    #[arg(required = true, allow_negative_numbers = true)]
    pub(crate) keys: Vec<OsString>,
    /// The keys are hexadecimal
    #[arg(long)]
    pub(crate) hex: bool,
    #[command(flatten)]
    pub(crate) space: Space,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Range {
    /// Only keys that begin with this
    #[arg(long, value_name = "KEY", conflicts_with_all = ["from", "to"])]
    pub(crate) prefix: Option<OsString>,
    /// The first key
    #[arg(long, value_name = "KEY", visible_alias = "start")]
    pub(crate) from: Option<OsString>,
    /// The key behind the last one
    #[arg(long, value_name = "KEY", visible_alias = "end")]
    pub(crate) to: Option<OsString>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Scan {
    #[command(flatten)]
    pub(crate) range: Range,
    /// From the last key to the first
    #[arg(long)]
    pub(crate) reverse: bool,
    /// At most so many keys
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// No values
    #[arg(long)]
    pub(crate) keys_only: bool,
    #[command(flatten)]
    pub(crate) view: View,
    #[command(flatten)]
    pub(crate) space: Space,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Count {
    #[command(flatten)]
    pub(crate) range: Range,
    /// The given keys are hexadecimal
    #[arg(long)]
    pub(crate) hex: bool,
    #[command(flatten)]
    pub(crate) space: Space,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Load {
    #[command(flatten)]
    pub(crate) from: Records,
    /// Report bad records and go on
    #[arg(long)]
    pub(crate) skip_bad: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Ingest {
    #[command(flatten)]
    pub(crate) from: Records,
}

/// Where records come from, and in which keyspace they go.
#[derive(Debug, clap::Args)]
pub(crate) struct Records {
    /// The file; standard input when it is - or not given
    pub(crate) file: Option<PathBuf>,
    /// The form of the records
    #[arg(long, value_enum, value_name = "FORM")]
    pub(crate) input: Option<Input>,
    /// Skip the first record of a CSV file
    #[arg(long)]
    pub(crate) header: bool,
    /// Each line of a tab-separated file is a key, and its value is empty
    #[arg(long)]
    pub(crate) keys_only: bool,
    #[command(flatten)]
    pub(crate) space: Space,
}

/// The forms of records that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Input {
    /// Tab-separated
    Tsv,
    /// Comma-separated
    Csv,
    /// A JSON object a line
    Json,
}

impl Input {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Input::Tsv => "tab-separated",
            Input::Csv => "CSV",
            Input::Json => "JSON",
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Dump {
    #[command(flatten)]
    pub(crate) space: Space,
}

/// A number and its unit; seconds without one.
pub(crate) fn ttl(text: &str) -> Result<Duration, String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let millis_of_unit = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        "d" => 24 * 60 * 60 * 1000,
        _ => return Err("expected a number and ms, s, m, h or d, such as 30s".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "expected a number, such as 30s".to_owned())?;
    let millis = number.checked_mul(millis_of_unit).ok_or("too long a time")?;
    Ok(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_grammar_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        for command in Args::command().get_subcommands_mut() {
            let help = command.render_long_help().to_string();
            let name = command.get_name();
            assert!(help.contains("Example"), "{name}");
            assert!(help.contains("\n  kv "), "{name}");
        }
    }

    #[test]
    fn times_have_units() {
        let millis = |text| ttl(text).map(|time| time.as_millis());
        assert_eq!(millis("250ms"), Ok(250));
        assert_eq!(millis("30"), Ok(30_000));
        assert_eq!(millis("30s"), Ok(30_000));
        assert_eq!(millis("2m"), Ok(120_000));
        assert_eq!(millis("1h"), Ok(3_600_000));
        assert_eq!(millis("7d"), Ok(604_800_000));
        for wrong in
            ["", "s", "-1s", "1.5s", "1w", "1 s", "99999999999999999999s", "18446744073709551615d"]
        {
            assert!(millis(wrong).is_err(), "{wrong}");
        }
    }
}
