//! What was measured, as it is kept: a list of rows, each with the run that it came from.

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use std::path::Path;

/// One workload of one engine in one round.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Measured {
    pub(crate) group: String,
    /// As the program names it, such as `seekrandom/10`.
    pub(crate) workload: String,
    pub(crate) engine: String,
    /// The program's object, without what is the same for all rows of an engine.
    pub(crate) row: Map<String, Value>,
}

/// All that is kept.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Results {
    /// Version and options of each engine.
    pub(crate) engines: Map<String, Value>,
    /// Machine, compiler, and so on, of the latest run.
    pub(crate) conditions: Map<String, Value>,
    pub(crate) rows: Vec<Measured>,
}

/// What every row of a group would say again, and what no report shows.
const COMMON: &[&str] = &[
    "engine",
    "version",
    "options",
    "keys",
    "key_bytes",
    "key_shape",
    "value_bytes",
    "cache_bytes",
    "write_buffer_bytes",
    "batch",
    "sync",
    "warm",
    "seed",
    "write_rate",
    "checksum",
    "entries_read",
    "bytes_read",
    "stolen_seconds",
];

impl Results {
    /// Those of a file; none where it is not there.
    pub(crate) fn load(path: &Path) -> Result<Results> {
        if !path.exists() {
            return Ok(Results::default());
        }
        let text = std::fs::read_to_string(path).context("cannot read the results")?;
        Results::decode(&text).with_context(|| format!("{} is no list of results", path.display()))
    }

    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        std::fs::write(path, self.encode()).context("cannot write the results")
    }

    fn decode(text: &str) -> Option<Results> {
        let whole: Value = serde_json::from_str(text).ok()?;
        let rows = whole["rows"].as_array()?.iter().map(|row| {
            let mut row = row.as_object()?.clone();
            let mut take = |name: &str| Some(row.remove(name)?.as_str()?.to_owned());
            let (group, workload, engine) = (take("group")?, take("workload")?, take("engine")?);
            Some(Measured { group, workload, engine, row })
        });
        Some(Results {
            engines: whole["engines"].as_object()?.clone(),
            conditions: whole["conditions"].as_object()?.clone(),
            rows: rows.collect::<Option<_>>()?,
        })
    }

    /// A line for each row, so that a change shows what changed.
    fn encode(&self) -> String {
        let mut text = format!(
            "{{\n\"engines\": {},\n\"conditions\": {},\n\"rows\": [\n",
            Value::Object(self.engines.clone()),
            Value::Object(self.conditions.clone())
        );
        for (i, measured) in self.rows.iter().enumerate() {
            let mut row = Map::new();
            row.insert("group".to_owned(), json!(measured.group));
            row.insert("workload".to_owned(), json!(measured.workload));
            row.insert("engine".to_owned(), json!(measured.engine));
            row.extend(measured.row.clone());
            text += &Value::Object(row).to_string();
            text += if i + 1 < self.rows.len() { ",\n" } else { "\n" };
        }
        text + "]\n}\n"
    }

    /// Takes in an object that the program printed.
    pub(crate) fn add(&mut self, group: &str, mut row: Map<String, Value>) -> Option<()> {
        let engine = row.get("engine")?.as_str()?.to_owned();
        let workload = row.remove("workload")?.as_str()?.to_owned();
        let about = json!({ "version": row.get("version")?, "options": row.get("options")? });
        if !group.starts_with("sync") && !group.starts_with("sustained") {
            self.engines.insert(engine.clone(), about);
        }
        row.retain(|name, value| !COMMON.contains(&name.as_str()) && !value.is_null());
        self.rows.push(Measured { group: group.to_owned(), workload, engine, row });
        Some(())
    }

    /// Forgets what is about to be measured again.
    pub(crate) fn forget(&mut self, group: &str, workloads: &[&str], engines: &[&str]) {
        self.rows.retain(|row| {
            let name = row.workload.split('/').next().unwrap_or_default();
            row.group != group
                || !workloads.contains(&name)
                || !engines.contains(&row.engine.as_str())
        });
    }

    /// The values of one row and engine, in the order in which they were measured.
    pub(crate) fn values(
        &self,
        group: &str,
        workload: &str,
        engine: &str,
        value: impl Fn(&Value) -> Option<f64>,
    ) -> Vec<f64> {
        let rows = self
            .rows
            .iter()
            .filter(|row| row.group == group && row.workload == workload && row.engine == engine);
        rows.filter_map(|row| value(&Value::Object(row.row.clone()))).collect()
    }

    /// The workloads of a group, in the order in which they ran.
    pub(crate) fn workloads(&self, group: &str) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for row in self.rows.iter().filter(|row| row.group == group) {
            if !names.contains(&row.workload.as_str()) {
                names.push(&row.workload);
            }
        }
        names
    }
}

/// The middle one; the mean of the two in the middle where their number is even.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (half, is_odd) = (values.len() / 2, values.len() % 2 == 1);
    if is_odd {
        return values.get(half).copied();
    }
    Some((values.get(half.checked_sub(1)?)? + values.get(half)?) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(engine: &str, workload: &str, rate: f64) -> Map<String, Value> {
        let row = json!({
            "engine": engine, "workload": workload, "version": "1", "options": "none",
            "operations_per_second": rate, "disk_bytes": null,
        });
        row.as_object().unwrap().clone()
    }

    fn results() -> Results {
        let mut results = Results::default();
        for rate in [3.0, 1.0, 2.0] {
            results.add("read", row("kv", "readseq", rate)).unwrap();
            results.add("read", row("kv", "seekrandom/10", rate)).unwrap();
        }
        results.add("read", row("lmdb", "readseq", 9.0)).unwrap();
        results
    }

    fn rates(results: &Results, workload: &str, engine: &str) -> Vec<f64> {
        results.values("read", workload, engine, |row| row["operations_per_second"].as_f64())
    }

    #[test]
    fn results_are_read_as_they_were_written() {
        let results = results();
        assert_eq!(Results::decode(&results.encode()), Some(results));
        assert_eq!(Results::decode("{}"), None);
        let none = Results::default();
        assert_eq!(Results::decode(&none.encode()), Some(none));
    }

    #[test]
    fn only_what_is_measured_again_is_forgotten() {
        let mut results = results();
        results.forget("read", &["seekrandom"], &["kv", "lmdb"]);
        results.forget("write", &["readseq"], &["kv"]);
        assert_eq!(results.workloads("read"), ["readseq"]);
        assert_eq!(rates(&results, "readseq", "kv"), [3.0, 1.0, 2.0]);
        results.forget("read", &["readseq"], &["kv"]);
        assert!(rates(&results, "readseq", "kv").is_empty());
        assert_eq!(rates(&results, "readseq", "lmdb"), [9.0]);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
        assert_eq!(median(vec![7.0]), Some(7.0));
        assert_eq!(median(Vec::new()), None);
    }
}
