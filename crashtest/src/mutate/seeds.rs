//! `corpus`: writes what the fuzzer begins with, one file for each input that a target takes.

use crate::report::Row;
use anyhow::{Result, anyhow};
use kv_crashtest::hostile::{Target, corpus};
use std::path::Path;

pub(crate) fn run() -> Result<Vec<Row>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let mut row = Row::new("corpus", "files");
    for target in Target::ALL {
        let dir = root.join(target.name());
        std::fs::create_dir_all(&dir)?;
        let seeds = corpus(target).map_err(|why| anyhow!("{}: {why}", target.name()))?;
        for (n, seed) in seeds.iter().enumerate() {
            std::fs::write(dir.join(format!("seed-{n}")), seed)?;
            row.ran += 1;
        }
    }
    row.floor = Target::ALL.len() as u64;
    Ok(vec![row])
}
