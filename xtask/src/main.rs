//! The chores of the project as one program: `cargo xtask <chore>`.
//!
//! Every chore is a function from arguments to a result; what fails is printed and the exit code
//! says so.
#![forbid(unsafe_code)]
#![expect(
    clippy::disallowed_methods,
    reason = "a program beside the store works on the real files, not through its seam"
)]

mod bench;
mod ci;
mod fuzz;
mod harness;
mod models;
mod tidy;

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <chore>

  ci      everything that is checked before a change is taken (runs .ci/run)
  tidy    the project's rules that no compiler checks

  bench       what guards the speed; `cargo xtask bench` says more

  crashtest   tries to make the engine lose something; `cargo xtask crashtest --help`
  model       random operations against a model; `cargo xtask model --help`
  models      the models of threads and locks; `--schedules N` of each scenario
  fuzz        runs every fuzz target; `--minutes N` each
  format      fixtures, goldens and files as text; `cargo xtask format --help`
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let chore = arguments.first().map(String::as_str);
    let done = match chore {
        Some("bench") => bench::run(root(), arguments.get(1..).unwrap_or_default()),
        Some("ci") => ci::run(root()),
        Some("tidy") => tidy::run(root()),
        Some("fuzz") => fuzz::run(root(), &arguments),
        Some("models") => models::run(root(), &arguments),
        Some("crashtest") => harness::run(root(), arguments.get(1..).unwrap_or_default()),
        Some("model" | "format") => harness::run(root(), &arguments),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's directory.
fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}
