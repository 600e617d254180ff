//! `top`: what a store does, as it does it.
//!
//! `source` is where the figures come from, `figures` what they say, `screen` how that looks, all of
//! it as text; `terminal` is the screen itself.

mod figures;
mod screen;
mod source;
mod terminal;

use crate::failure::Failure;
use crate::output::Output;
use figures::{Between, Figures};
use serde_json::Map;
use source::{Source, Url};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use terminal::Terminal;

pub(crate) const EXAMPLES: &str = "\
Examples:
  kv top --url http://127.0.0.1:9185/metrics
  kv --data-dir ./data top
  kv bench fillrandom --keys 10m --metrics 9185 & kv top --url 127.0.0.1:9185
  curl -s https://host/metrics | kv top --file -";

pub(crate) const ABOUT: &str = "\
Watch a store at work: operations, latencies, levels, stalls, memory, jobs

What a store does is known to the process that has it open. That serves `db.stats().prometheus()` \
by HTTP, as for Prometheus, and --url names it; `kv bench` and `kv shell` do so with --metrics. \
Rates and percentiles are those between two looks; percentiles come from buckets that double, so \
they are right to a factor of two at worst.

Without --url and --file the files of the store at --data-dir are looked at, also beside the process that \
has it open: levels, sizes and logs. Those who only look need memory for what the log holds.

q ends it. With --once, or where the output is no terminal, one screen of the figures since the store \
was opened is printed as plain text.";

#[derive(Debug, clap::Args)]
pub(crate) struct Top {
    /// The figures of the process that has the store open; the path is /metrics unless given
    #[arg(long, value_name = "URL", value_parser = source::url, conflicts_with = "file")]
    url: Option<Url>,
    /// A file of such figures, read again for each screen; - is standard input, read once
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Print one screen and end
    #[arg(long)]
    once: bool,
    /// Seconds from one look to the next
    #[arg(long, value_name = "S", value_parser = crate::bench::args::seconds, default_value = "2")]
    interval: Duration,
}

pub(crate) fn top(dir: &Path, args: Top, out: &mut Output) -> Result<(), Failure> {
    let mut source = match (args.url, args.file) {
        (Some(url), _) => Source::Url(url),
        (None, Some(file)) if file.as_os_str() == "-" => Source::Input,
        (None, Some(file)) => Source::File(file),
        (None, None) => Source::store(dir)?,
    };
    let name = source.name(dir);
    let once = args.once || out.json || !io::stdout().is_terminal();
    if !once && !matches!(source, Source::Input) {
        return live(&mut source, &name, args.interval);
    }
    let figures = source.read()?;
    if out.json {
        let members = figures.series.into_iter().map(|(name, value)| (name, value.into()));
        return out.object(members.collect::<Map<_, _>>());
    }
    let head = format!("kv top: {name}, since the store was opened");
    let text = screen::screen(&head, source.kind(), &Between::new(&figures, None));
    out.bytes(text.as_bytes())
}

#[expect(clippy::disallowed_methods, reason = "people look by the real clock")]
fn live(source: &mut Source, name: &str, interval: Duration) -> Result<(), Failure> {
    let kind = source.kind();
    let mut last: Option<(Figures, Instant)> = None;
    let mut looked = Instant::now();
    let mut figures = source.read();
    // What is not there is told before the screen changes; a process may yet come.
    if !matches!(source, Source::Url(_)) {
        figures = Ok(figures?);
    }
    let terminal = Terminal::enter().map_err(Failure::output)?;
    loop {
        let head = format!("kv top: {name}, every {} s; q ends", interval.as_secs_f64());
        match figures {
            Ok(figures) => {
                let before = last.as_ref().map(|(f, at)| (f, (looked - *at).as_secs_f64()));
                let between = Between::new(&figures, before);
                terminal.draw(&screen::screen(&head, kind, &between)).map_err(Failure::output)?;
                last = Some((figures, looked));
            }
            Err(failure) => {
                let text = format!("{head}\n\n{failure}; trying again\n");
                terminal.draw(&text).map_err(Failure::output)?;
                last = None;
            }
        }
        if terminal.wait(interval).map_err(Failure::output)? {
            return Ok(());
        }
        figures = source.read();
        looked = Instant::now();
    }
}
