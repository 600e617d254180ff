//! The gate against operations that grow: instructions of each, counted by callgrind, against
//! committed figures.
//!
//! Instructions are the same in every run of one program, whatever else the machine does. They
//! change with the compiler, so the figures name its version. Only what the program's `measured`
//! calls is counted, on its thread.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Where the figures are.
const FIGURES: &str = "benches/gate.json";

/// An operation may take this many times its figure.
const LIMIT: f64 = 1.10;

/// An operation of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Operation {
    name: String,
    count: u64,
}

/// Instructions of an operation, now and as committed.
#[derive(Debug, Clone, PartialEq)]
struct Verdict {
    name: String,
    now: Option<f64>,
    figure: Option<f64>,
}

impl Verdict {
    fn passes(&self) -> bool {
        matches!((self.now, self.figure), (Some(now), Some(figure)) if now <= figure * LIMIT)
    }
}

/// Counts, and compares or, with `bless`, writes the figures; answers whether nothing has grown.
pub(crate) fn run(root: &Path, bless: bool) -> Result<bool> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("gate: skipped, because valgrind is not installed");
        return Ok(true);
    }
    let program = build(root)?;
    let operations = list(&program)?;
    let counts = count_all(&program, &operations)?;
    let compiler = output(Command::new("rustc").arg("--version"))?.trim().to_owned();
    let path = root.join(FIGURES);
    if bless {
        std::fs::write(&path, encode(&compiler, &counts)?).context("cannot write the figures")?;
        counts.iter().for_each(|(name, count)| println!("{name:<20} {count:>10.1}"));
        return Ok(true);
    }
    let text = std::fs::read_to_string(&path)
        .context("there are no figures; write them with `cargo xtask bench gate --bless`")?;
    let (their_compiler, figures) = decode(&text)?;
    let verdicts = compare(&counts, &figures);
    verdicts.iter().for_each(print);
    if compiler != their_compiler {
        println!("The figures were counted with {their_compiler}, and this is {compiler}.");
    }
    let grown = verdicts.iter().filter(|verdict| !verdict.passes()).count();
    println!("gate: {} operations, {grown} above their limit", verdicts.len());
    Ok(grown == 0)
}

/// Builds the program with the operations and answers where it is.
fn build(root: &Path) -> Result<PathBuf> {
    let messages = output(
        Command::new("cargo")
            .args(["bench", "--quiet", "--package", "kv-benches", "--bench", "gate", "--no-run"])
            .arg("--message-format=json")
            .current_dir(root),
    )?;
    executable(&messages).context("cargo did not say where the program is")
}

/// The program that cargo's messages name.
fn executable(messages: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_gate = |message: &Value| message["target"]["name"] == "gate";
    let path = |message: Value| message["executable"].as_str().map(PathBuf::from);
    messages.filter(of_gate).find_map(path)
}

fn list(program: &Path) -> Result<Vec<Operation>> {
    let text = output(&mut Command::new(program))?;
    let operation = |line: &str| {
        let (name, count) = line.split_once('\t').context("a line without a count")?;
        Ok(Operation { name: name.to_owned(), count: count.parse()? })
    };
    text.lines().map(operation).collect()
}

/// Instructions of one of each, by as many programs at a time as there are processors.
fn count_all(program: &Path, operations: &[Operation]) -> Result<Vec<(String, f64)>> {
    let next = AtomicUsize::new(0);
    let counts = Mutex::new(vec![None; operations.len()]);
    let work = || -> Result<()> {
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let Some(operation) = operations.get(i) else { return Ok(()) };
            let count = count(program, operation)?;
            if let Ok(mut counts) = counts.lock() {
                counts[i] = Some(count);
            }
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, |n| n.get()).min(4);
    std::thread::scope(|scope| -> Result<()> {
        let handles: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        for handle in handles {
            match handle.join() {
                Ok(done) => done?,
                Err(_) => bail!("a counting thread panicked"),
            }
        }
        Ok(())
    })?;
    let counts = counts.into_inner().unwrap_or_default();
    let pair = |(operation, count): (&Operation, Option<f64>)| {
        Ok((operation.name.clone(), count.context("an operation without a count")?))
    };
    operations.iter().zip(counts).map(pair).collect()
}

fn count(program: &Path, operation: &Operation) -> Result<f64> {
    let done = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .args(["--collect-atstart=no", "--toggle-collect=gate::measured*"])
        .arg(program)
        .args([operation.name.as_str(), &operation.count.to_string()])
        .output()
        .context("cannot start valgrind")?;
    let text = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "{} failed: {text}", operation.name);
    let all = collected(&text).with_context(|| format!("{}: no count: {text}", operation.name))?;
    Ok((all as f64 / operation.count as f64 * 10.0).round() / 10.0)
}

/// The sum that callgrind prints at its end.
fn collected(text: &str) -> Option<u64> {
    let (_, sum) = text.lines().find_map(|line| line.split_once("Collected : "))?;
    sum.trim().parse().ok().filter(|sum| *sum > 0)
}

fn output(command: &mut Command) -> Result<String> {
    let done = command.output().with_context(|| format!("cannot start {command:?}"))?;
    let failure = || format!("{command:?} failed: {}", String::from_utf8_lossy(&done.stderr));
    ensure!(done.status.success(), failure());
    Ok(String::from_utf8(done.stdout)?)
}

fn encode(compiler: &str, counts: &[(String, f64)]) -> Result<String> {
    let figures: Map<String, Value> =
        counts.iter().map(|(name, count)| (name.clone(), json!(count))).collect();
    let whole = json!({ "compiler": compiler, "instructions": figures });
    Ok(format!("{}\n", serde_json::to_string_pretty(&whole)?))
}

fn decode(text: &str) -> Result<(String, Vec<(String, f64)>)> {
    let whole: Value = serde_json::from_str(text).context("the figures are no JSON")?;
    let compiler = whole["compiler"].as_str().context("the figures name no compiler")?;
    let figures = whole["instructions"].as_object().context("there are no figures")?;
    let figure = |(name, figure): (&String, &Value)| {
        Ok((name.clone(), figure.as_f64().context("a figure that is no number")?))
    };
    Ok((compiler.to_owned(), figures.iter().map(figure).collect::<Result<_>>()?))
}

/// Every operation that is counted or has a figure.
fn compare(counts: &[(String, f64)], figures: &[(String, f64)]) -> Vec<Verdict> {
    let of = |list: &[(String, f64)], name: &str| {
        list.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    };
    let gone = figures.iter().filter(|(name, _)| of(counts, name).is_none());
    let verdict = |(name, _): &(String, f64)| Verdict {
        name: name.clone(),
        now: of(counts, name),
        figure: of(figures, name),
    };
    counts.iter().chain(gone).map(verdict).collect()
}

fn print(verdict: &Verdict) {
    let name = &verdict.name;
    match (verdict.now, verdict.figure) {
        (Some(now), Some(figure)) => {
            let mark = if verdict.passes() { "" } else { "  above the limit" };
            let change = (now / figure - 1.0) * 100.0;
            println!("{name:<20} {now:>10.1}  {figure:>10.1}  {change:>+6.1} %{mark}");
        }
        (Some(now), None) => println!("{name:<20} {now:>10.1}  has no figure: --bless"),
        (None, _) => println!("{name:<20} is not counted any more: --bless"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(pairs: &[(&str, f64)]) -> Vec<(String, f64)> {
        pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn a_tenth_more_fails_and_less_passes() {
        let figures =
            list(&[("same", 100.0), ("more", 100.0), ("much more", 100.0), ("less", 9.0)]);
        let now = list(&[("same", 100.0), ("more", 109.9), ("much more", 110.2), ("less", 1.0)]);
        let passes: Vec<bool> = compare(&now, &figures).iter().map(Verdict::passes).collect();
        assert_eq!(passes, [true, true, false, true]);
    }

    #[test]
    fn an_operation_without_a_figure_and_a_figure_without_an_operation_fail() {
        let verdicts = compare(&list(&[("new", 1.0)]), &list(&[("gone", 1.0)]));
        assert_eq!(verdicts.len(), 2);
        assert!(verdicts.iter().all(|verdict| !verdict.passes()));
    }

    #[test]
    fn figures_are_read_as_they_were_written() {
        let figures = list(&[("a", 1.5), ("b c", 1000.0)]);
        let text = encode("rustc 1", &figures).unwrap();
        assert_eq!(decode(&text).unwrap(), ("rustc 1".to_owned(), figures));
        assert!(decode("{}").is_err());
    }

    #[test]
    fn the_sum_is_found_in_what_callgrind_prints() {
        let text = "==7== Events    : Ir\n==7== Collected : 123456\n==7==\n";
        assert_eq!(collected(text), Some(123_456));
        assert_eq!(collected("==7== Collected : 0"), None);
        assert_eq!(collected(""), None);
    }

    #[test]
    fn the_program_is_found_in_what_cargo_prints() {
        let messages = concat!(
            r#"{"target":{"name":"kv"},"executable":"/no"}"#,
            "\n",
            r#"{"target":{"name":"gate"},"executable":"/yes"}"#,
        );
        assert_eq!(executable(messages), Some(PathBuf::from("/yes")));
    }
}
