//! Histories of transactions, judged by a checker that knows nothing of the store: the crate
//! `adya`. It sees what clients wrote and read, infers who came before whom, and looks for cycles.
//!
//! The checker is checked as well: it must find the write skew that `Snapshot` admits, and its
//! known answers to bad histories are tests here.

use crate::report::Row;
use crate::rng::Rng;
use adya::{History, Opts, Valid, Workload, check};
use anyhow::{Result, anyhow, ensure};
use kv_engine::{Db, ErrorKind, Isolation, Options, Transaction};
use serde_json::{Value as Json, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

const THREADS: u64 = 2;
/// Transactions that a thread has open at once; each is a client of its own.
const CLIENTS: u64 = 4;
/// Transactions of each thread.
const EACH: usize = 250;
/// Keys wanted at the same time; after some time others take their place.
const KEYS: u64 = 5;

/// Histories of both kinds under both isolations.
pub(super) fn run(seed: u64) -> Vec<Row> {
    let kinds = [("list-append", Workload::ListAppend), ("registers", Workload::RwRegister)];
    kinds.into_iter().map(|(name, workload)| one(name, workload, seed)).collect()
}

fn one(name: &str, workload: Workload, seed: u64) -> Row {
    let begun = Instant::now();
    let mut row = Row::new(format!("histories {name}"), "transactions");
    let due = [
        (Isolation::Serializable, "strict-serializable", true),
        (Isolation::Snapshot, "snapshot-isolation", true),
        // The checker has to see the difference.
        (Isolation::Snapshot, "serializable", false),
    ];
    for (isolation, model, due) in due {
        match judged(workload, isolation, model, seed) {
            Ok((Valid::True, ..)) if due => row.ran += THREADS * EACH as u64,
            Ok((Valid::False, found)) if !due && found.contains("G2") => {
                row.notes.push(format!("{isolation:?} is not {model}: {found}"));
                row.ran += THREADS * EACH as u64;
            }
            Ok((valid, found)) => {
                let text = format!("{isolation:?} as {model} is {valid:?}: {found}");
                row.violations.push(format!("{text} [transactions --from {seed}]"));
            }
            Err(error) => row.violations.push(format!("{isolation:?}: {error:#}")),
        }
    }
    row.floor = 1;
    row.elapsed = begun.elapsed();
    row
}

/// Runs transactions and asks the checker; answers the anomalies, too.
fn judged(
    workload: Workload,
    isolation: Isolation,
    model: &str,
    seed: u64,
) -> Result<(Valid, String)> {
    let stage = Stage {
        db: Db::in_memory(Options::default())?,
        isolation,
        lists: workload == Workload::ListAppend,
        values: AtomicU64::new(1),
        lines: Mutex::default(),
    };
    std::thread::scope(|scope| {
        let play = |thread| Player::new(&stage, seed * THREADS + thread, thread).run();
        let threads: Vec<_> =
            (0..THREADS).map(|thread| scope.spawn(move || play(thread))).collect();
        let mut joined = threads.into_iter().map(|thread| thread.join());
        joined.try_for_each(|done| done.map_err(|_| anyhow!("a thread panicked"))?)
    })?;
    let lines = stage.lines.into_inner().unwrap_or_else(PoisonError::into_inner);
    ask(&lines.join("\n"), workload, model)
}

fn ask(text: &str, workload: Workload, model: &str) -> Result<(Valid, String)> {
    let history = History::from_json(text).map_err(|e| anyhow!("the checker: {e}"))?;
    // A key's versions come in the order of commits, which agrees with time.
    let options =
        Opts { models: vec![model.to_owned()], linearizable_keys: true, ..Opts::default() };
    let report = check(&history, workload, &options);
    Ok((report.valid, report.anomaly_types.join(", ")))
}

struct Stage {
    db: Db,
    isolation: Isolation,
    /// Values are lists that grow; else they are single numbers.
    lists: bool,
    values: AtomicU64,
    lines: Mutex<Vec<String>>,
}

impl Stage {
    fn note(&self, kind: &str, client: u64, value: &[Json]) {
        let line = json!({ "type": kind, "f": "txn", "process": client, "value": value });
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(line.to_string());
    }
}

/// A transaction that is open, what it will do, and what it did.
struct Open {
    transaction: Transaction,
    client: u64,
    plan: Vec<Json>,
    done: Vec<Json>,
}

struct Player<'a> {
    stage: &'a Stage,
    rng: Rng,
    thread: u64,
    open: Vec<Open>,
    begun: usize,
}

impl<'a> Player<'a> {
    fn new(stage: &'a Stage, seed: u64, thread: u64) -> Player<'a> {
        Player { stage, rng: Rng::new(seed), thread, open: Vec::new(), begun: 0 }
    }

    fn run(mut self) -> Result<()> {
        while self.begun < EACH || !self.open.is_empty() {
            let room = (self.open.len() as u64) < CLIENTS && self.begun < EACH;
            if room && (self.open.is_empty() || self.rng.chance(30)) {
                self.begin();
                continue;
            }
            let at = self.rng.below(self.open.len() as u64) as usize;
            let mut open = self.open.swap_remove(at);
            let Some(next) = open.plan.get(open.done.len()).cloned() else {
                self.end(open)?;
                continue;
            };
            let done = self.step(&mut open.transaction, &next)?;
            open.done.push(done);
            self.open.push(open);
        }
        Ok(())
    }

    fn begin(&mut self) {
        let first = (self.begun / 25) as u64 * KEYS;
        let mut plan = Vec::new();
        let mut written = Vec::new();
        for _ in 0..1 + self.rng.below(4) {
            let key = first + self.rng.below(KEYS);
            // A register is written once in a transaction, and not read behind that.
            let fixed = !self.stage.lists && written.contains(&key);
            if self.rng.chance(50) && !fixed {
                let value = self.stage.values.fetch_add(1, Ordering::Relaxed);
                plan.push(json!([if self.stage.lists { "append" } else { "w" }, key, value]));
                written.push(key);
            } else if !fixed {
                plan.push(json!(["r", key, null]));
            }
        }
        let used = |client: &u64| self.open.iter().any(|open| open.client == *client);
        let mut clients = (0..CLIENTS).map(|client| self.thread * CLIENTS + client);
        let client = clients.find(|client| !used(client)).unwrap_or_default();
        self.begun += 1;
        self.stage.note("invoke", client, &plan);
        let transaction = self.stage.db.transaction().isolation(self.stage.isolation);
        self.open.push(Open { transaction, client, plan, done: Vec::new() });
    }

    /// One operation; answers it with what it found.
    fn step(&mut self, transaction: &mut Transaction, next: &Json) -> Result<Json> {
        let number = |at: usize| next.get(at).and_then(Json::as_u64);
        let key = number(1).ok_or_else(|| anyhow!("an operation without a key"))?;
        let stored = key.to_be_bytes();
        let list = |transaction: &mut Transaction| -> Result<Vec<u64>> {
            let value = transaction.get(stored)?.unwrap_or_default();
            let (numbers, rest) = value.as_chunks::<8>();
            ensure!(rest.is_empty(), "a value is cut off");
            Ok(numbers.iter().map(|number| u64::from_le_bytes(*number)).collect())
        };
        let found = list(transaction)?;
        let Some(value) = number(2) else {
            if self.stage.lists {
                return Ok(json!(["r", key, found]));
            }
            return Ok(json!(["r", key, found.first()]));
        };
        let grown = if self.stage.lists { found } else { Vec::new() };
        let grown: Vec<u8> = grown.into_iter().chain([value]).flat_map(u64::to_le_bytes).collect();
        transaction.put(stored, grown);
        Ok(next.clone())
    }

    fn end(&mut self, open: Open) -> Result<()> {
        let Open { transaction, client, plan, done } = open;
        match transaction.commit() {
            Ok(()) => self.stage.note("ok", client, &done),
            Err(error) if error.kind() == ErrorKind::Conflict => {
                self.stage.note("fail", client, &plan);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two clients whose transactions overlap, as the pairs that they did.
    fn overlapping(one: &str, two: &str) -> String {
        let line = |kind: &str, client: u64, value: &str| {
            format!("{{\"type\":\"{kind}\",\"process\":{client},\"value\":{value}}}\n")
        };
        ["invoke", "ok"].iter().flat_map(|kind| [line(kind, 0, one), line(kind, 1, two)]).collect()
    }

    #[test]
    fn the_checker_finds_what_is_bad_and_nothing_else() {
        let bad = [
            // Write skew.
            (
                r#"[["r",1,[]],["r",2,[]],["append",1,1]]"#,
                r#"[["r",1,[]],["r",2,[]],["append",2,2]]"#,
            ),
            // Each reads the other's write.
            (r#"[["append",1,1],["r",2,[2]]]"#, r#"[["append",2,2],["r",1,[1]]]"#),
            // Read skew.
            (r#"[["r",1,[]],["r",2,[2]]]"#, r#"[["append",1,1],["append",2,2]]"#),
        ];
        let skew = ["serializable", "snapshot-isolation", "snapshot-isolation"];
        for ((one, two), model) in bad.into_iter().zip(skew) {
            let text = overlapping(one, two);
            let (valid, _) = ask(&text, Workload::ListAppend, model).unwrap();
            assert_eq!(valid, Valid::False, "{text}");
        }
        let (one, two) = bad[0];
        let text = overlapping(one, two);
        let (valid, _) = ask(&text, Workload::ListAppend, "snapshot-isolation").unwrap();
        assert_eq!(valid, Valid::True, "write skew is no anomaly of snapshots");
        let registers = overlapping(
            r#"[["r",1,null],["r",2,null],["w",1,1]]"#,
            r#"[["r",1,null],["r",2,null],["w",2,2]]"#,
        );
        let (valid, _) = ask(&registers, Workload::RwRegister, "serializable").unwrap();
        assert_eq!(valid, Valid::False, "{registers}");
        let good = overlapping(r#"[["r",1,[]],["append",1,1]]"#, r#"[["r",1,[1]],["append",2,2]]"#);
        let (valid, _) = ask(&good, Workload::ListAppend, "strict-serializable").unwrap();
        assert_eq!(valid, Valid::True, "{good}");
    }
}
