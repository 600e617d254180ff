//! `completions`, `man`: what a system that installs the program wants beside it.

use crate::args::Args;
use crate::failure::Failure;
use crate::output::Output;
use clap::CommandFactory;
use std::io;
use std::path::Path;

pub(crate) const MAN_EXAMPLES: &str = "\
Examples:
  kv man ~/.local/share/man/man1
  kv man /tmp/pages && man /tmp/pages/kv-scan.1";

pub(crate) fn completions(shell: clap_complete::Shell, out: &mut Output) -> Result<(), Failure> {
    // Into memory first: the generator panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "kv", &mut script);
    out.bytes(&script)
}

/// One page for the program, and one for each command and each of its own commands.
#[expect(clippy::disallowed_methods, reason = "the pages are outside of every store")]
pub(crate) fn man(dir: &Path) -> Result<(), Failure> {
    let unwritten = |error: io::Error| {
        Failure::broken(format!("cannot write the manual pages to {}: {error}", dir.display()))
    };
    std::fs::create_dir_all(dir).map_err(unwritten)?;
    clap_mangen::generate_to(Args::command(), dir).map_err(unwritten)
}
