//! Which commands should find which bug, the fastest first.

use super::child::Sign;
use kv_vfs::testing::bug;

/// One bug.
pub(super) struct Plan {
    /// Its number in the catalogue.
    pub(super) bug: u8,
    /// Commands with their arguments.
    pub(super) ways: &'static [&'static str],
    /// Whether it is among those that every change is tested with.
    pub(super) quick: bool,
    /// What else than a violation counts as finding it.
    pub(super) sign: Sign,
}

const SMALL: &str = "exhaustive --workload small --steps 30";
const MANIFEST: &str = "exhaustive --workload manifest --steps 30";
const COMPACT: &str = "exhaustive --workload compact --steps 30";
const FLUSH: &str = "exhaustive --workload flush --steps 40";
const SIM: &str = "sim --seeds 20";
const FAULT: &str = "fault --exhaustive";
const FLIP: &str = "flip --quick";
const MODEL: &str = "model --seeds 10";
const MUTATE: &str = "mutate --count 20000";
const REPLAY: &str = "transactions --only replay";
const CUTS: &str = "transactions --only cuts";
const TABLES: &str = "transactions --only tables";
const INGEST: &str = "exhaustive --workload ingest --steps 30";

/// All fifty, and those of transactions and of ingests, of which the gate plants each.
pub(super) fn plans() -> Vec<Plan> {
    let fifty = WAYS.iter().zip(1..).map(|(ways, bug)| Plan {
        bug,
        ways,
        quick: QUICK.contains(&bug),
        sign: sign(bug),
    });
    let transactions = bug::TRANSACTIONS.iter().map(|(bug, ..)| Plan {
        bug: *bug,
        ways: match *bug {
            bug::INDEX_WRITTEN_AFTER_ROW => &[TABLES],
            bug::COMMIT_NOT_SYNCED => &[CUTS],
            _ => &[REPLAY],
        },
        quick: true,
        sign: Sign::Violation,
    });
    let ingests = bug::INGESTS.iter().map(|(bug, ..)| Plan {
        bug: *bug,
        ways: &[INGEST],
        quick: true,
        sign: Sign::Violation,
    });
    fifty.chain(transactions).chain(ingests).collect()
}

/// Whether there is a bug of this number.
pub(super) fn is_known(number: u8) -> bool {
    plans().iter().any(|plan| plan.bug == number)
}

/// What shows the bug, beside a violation.
fn sign(bug: u8) -> Sign {
    match bug {
        bug if PANICS.contains(&bug) => Sign::Panic,
        bug if HANGS.contains(&bug) => Sign::Hang,
        _ => Sign::Violation,
    }
}

/// Bugs that make the engine panic.
const PANICS: [u8; 0] = [];

/// Bugs that make the engine wait for ever.
const HANGS: [u8; 1] = [33];

/// Found within seconds each, and of every kind: logs, manifests, tables, threads, bytes.
const QUICK: [u8; super::QUICK] = [2, 5, 6, 7, 11, 18, 21, 24, 30, 40, 42, 48];

/// By number, from F01 on.
const WAYS: [&[&str]; 50] = [
    &[MANIFEST, FLUSH, SIM],
    &["checks --only log-bytes", FLIP],
    &[MANIFEST, FLIP],
    &[MANIFEST, FLUSH, SIM],
    &["checks --only shown-stays", FAULT],
    &["checks --only shown-stays"],
    &["checks --only group"],
    &["checks --only shown-stays", FAULT],
    &["checks --only open-errors", FAULT],
    &["checks --only stale", SIM],
    &[SMALL],
    &["checks --only log-bytes", FLIP],
    &["checks --only log-bytes", FLIP],
    &["checks --only log-bytes", FLIP],
    &[COMPACT, MODEL],
    &[MANIFEST, SIM],
    &[MANIFEST, FLUSH],
    &[SMALL],
    &[SMALL],
    &[SMALL],
    &[SMALL],
    &["checks --only roll", FAULT],
    &["checks --only roll", FAULT],
    &["checks --only roll"],
    &[SMALL],
    &[SMALL],
    &[SMALL],
    &["checks --only race"],
    &["checks --only readers", SMALL],
    &[SMALL],
    &["checks --only full", FAULT],
    &["checks --only beside"],
    &["checks --only progress"],
    &[SIM, MODEL],
    &[MODEL],
    &[SMALL, MODEL],
    &["checks --only open-errors", FAULT, FLIP],
    &["checks --only readers", MODEL],
    &["checks --only merge-errors"],
    &["checks --only latch"],
    &["checks --only turns", MODEL],
    &[SMALL],
    &[SMALL],
    &["checks --only limits"],
    &["checks --only lock"],
    &["checks --only live-cut"],
    &["checks --only length", MUTATE],
    &["checks --only misplaced", FLIP],
    &["checks --only full"],
    &["checks --only clock"],
];
