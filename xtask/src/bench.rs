//! `cargo xtask bench`: what guards the speed.

mod gate;

use anyhow::Result;
use std::path::Path;

const USAGE: &str = "\
usage: cargo xtask bench gate [--bless]

  gate    counts the instructions of fixed operations and fails where one takes a tenth more than
          the committed figure; --bless writes the figures anew
";

/// Runs the benchmark that `arguments` names; answers whether it passed.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<bool> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["gate"] => gate::run(root, false),
        ["gate", "--bless"] => gate::run(root, true),
        _ => {
            eprint!("{USAGE}");
            Ok(false)
        }
    }
}
