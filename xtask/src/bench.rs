//! `cargo xtask bench`: what guards the speed, and what compares it.

mod chart;
mod conditions;
mod gate;
mod page;
mod peers;
mod plan;
mod results;

use anyhow::{Result, bail};
use plan::{ENGINES, GROUPS, Wanted};
use std::path::Path;

const USAGE: &str = "\
usage: cargo xtask bench gate [--bless]
       cargo xtask bench peers [OPTION...]

  gate    counts the instructions of fixed operations and fails where one takes a tenth more than
          the committed figure; --bless writes the figures anew
  peers   measures this engine beside others and writes docs/benchmarks.md

  --quick            200,000 keys and one round
  --keys N           2,000,000 without it
  --rounds N         3 without it
  --engines A,B      only these
  --groups A,B       only these; all but the other shapes without it
  --workloads A,B    only these of the groups
  --add              beside earlier results, as further rounds; without it they are replaced
  --dir PATH         where the stores lie; a folder of their own is made there
  --note TEXT        what the report says about this run
  --built            does not build first
  --report           measures nothing and writes the report anew
";

/// Runs the benchmark that `arguments` names; answers whether it passed.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<bool> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["gate"] => gate::run(root, false),
        ["gate", "--bless"] => gate::run(root, true),
        ["peers", options @ ..] if !options.contains(&"--help") => match Wanted::parse(options) {
            Ok(wanted) => peers::run(root, &wanted),
            Err(wrong) => bail!("{wrong}; see `cargo xtask bench`"),
        },
        _ => {
            eprint!("{USAGE}\n  engines: {}\n  groups:\n", ENGINES.join(", "));
            for group in GROUPS {
                eprintln!("    {:<14} {}: {}", group.name, group.title, group.workloads);
            }
            Ok(false)
        }
    }
}
