//! A run: workloads in order on one store, each measured and checked.

use crate::config::Config;
use crate::drive::{Outcome, Plan, Tally, Watch};
use crate::keys::KeyBuf;
use crate::latency::Latency;
use crate::measure::{Meter, Usage, allocated};
use crate::model::Model;
use crate::report::{Beside, Row, Times};
use crate::store::{Engine, Settings, Store};
use crate::values::Values;
use crate::work;
use crate::workload::{Effect, Workload};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};

/// An engine under test, with its store and what the store must hold.
pub struct Bench<'a> {
    pub(crate) engine: &'a dyn Engine,
    pub(crate) config: &'a Config,
    pub(crate) watch: &'a dyn Watch,
    pub(crate) values: Values,
    pub(crate) key: KeyBuf,
    pub(crate) model: Model,
    store: Option<Box<dyn Store>>,
    settings: Settings,
    /// How many workloads have run: each draws other random numbers.
    turn: u64,
    /// Measures, while a workload runs.
    meter: Option<Meter>,
    /// What the engine had written when the workload began; then what it wrote in it.
    engine_written: Option<u64>,
    usage: Usage,
}

/// What a workload's own part answers.
pub(crate) struct Done {
    pub(crate) outcome: Outcome,
    pub(crate) beside: Option<Beside>,
}

impl From<Outcome> for Done {
    fn from(outcome: Outcome) -> Done {
        Done { outcome, beside: None }
    }
}

impl<'a> Bench<'a> {
    /// Prepares a run; nothing is opened yet.
    ///
    /// # Errors
    ///
    /// Where the options cannot be run, or the directory not be made.
    pub fn new(
        engine: &'a dyn Engine,
        config: &'a Config,
        watch: &'a dyn Watch,
    ) -> Result<Bench<'a>> {
        config.check()?;
        std::fs::create_dir_all(&config.dir)
            .with_context(|| format!("{} cannot be made", config.dir.display()))?;
        let mut bench = Bench {
            engine,
            config,
            watch,
            values: Values::new(config.value_len),
            key: KeyBuf::new(config.shape, config.key_len),
            model: Model::default(),
            store: None,
            settings: config.settings(),
            turn: 0,
            meter: None,
            engine_written: None,
            usage: Usage::default(),
        };
        if config.existing {
            let dir = bench.dir();
            ensure!(dir.exists(), "there is no store of an earlier run in {}", dir.display());
            bench.model = Model::full(config.keys);
            bench.open(config.sync)?;
        }
        Ok(bench)
    }

    /// Runs a workload. `seekrandom` gives a row for each number of steps, the others one.
    ///
    /// # Errors
    ///
    /// Where the engine fails, or something else was found than what was written.
    pub fn run(&mut self, workload: Workload) -> Result<Vec<Row>> {
        if workload != Workload::SeekRandom {
            return Ok(vec![self.run_one(workload, workload.name().to_owned(), 0)?]);
        }
        let config = self.config;
        let rows = config.seek_steps.iter().map(|&steps| {
            let name = format!("{workload}/{steps}");
            self.run_one(workload, name, steps)
        });
        rows.collect()
    }

    /// Closes the store.
    ///
    /// # Errors
    ///
    /// Where the engine cannot.
    pub fn finish(mut self) -> Result<()> {
        self.close()
    }

    fn run_one(&mut self, workload: Workload, name: String, steps: u64) -> Result<Row> {
        self.prepare(workload).with_context(|| format!("{name}: preparing"))?;
        self.turn += 1;
        if self.config.warm && workload.effect() == Effect::Reads {
            work::run(self, workload, steps).with_context(|| name.clone())?;
        }
        let done = work::run(self, workload, steps).with_context(|| name.clone())?;
        self.end();
        let Outcome { tally, latency, took, operations, .. } = done.outcome;
        check(&name, &tally)?;
        let row = Row {
            workload: name,
            threads: if workload.is_threaded() { self.config.threads } else { 1 },
            operations,
            took,
            times: times(&latency),
            entries: tally.seen.entries(),
            checksum: tally.seen.sum(),
            user_written: tally.written,
            beside: done.beside,
            usage: std::mem::take(&mut self.usage),
            engine_written: self.engine_written,
            disk: allocated(&self.dir()).ok(),
        };
        if workload.is_read_back() {
            work::check_all(self).with_context(|| row.workload.clone())?;
        }
        Ok(row)
    }

    /// The workload proper begins: what it only needs to know is ready.
    pub(crate) fn begin(&mut self, name: &str, operations: u64) {
        self.watch.begin(name, operations);
        self.engine_written = self.bytes_written();
        self.meter = Some(Meter::start(&self.config.dir));
    }

    /// The workload proper is over; called once more, it does nothing.
    pub(crate) fn end(&mut self) {
        if let Some(meter) = self.meter.take() {
            self.usage = meter.stop();
            let before = self.engine_written.zip(self.bytes_written());
            self.engine_written = before.map(|(old, new)| new.saturating_sub(old));
            self.watch.end();
        }
    }

    /// Where single readings make no sense: they would be of the preparations, too.
    pub(crate) fn forget_usage(&mut self) {
        self.end();
        self.usage = Usage::default();
        self.engine_written = None;
    }

    /// Brings the store into the state in which the workload begins. What earlier workloads put
    /// off is done first, so that this one does not pay for it.
    fn prepare(&mut self, workload: Workload) -> Result<()> {
        match workload.effect() {
            Effect::Fills => {
                if !self.config.existing {
                    self.close()?;
                    remove(&self.dir())?;
                    self.model = Model::default();
                }
                self.open_with(self.config.sync || workload == Workload::FillSync)?;
            }
            Effect::Reads | Effect::Changes => {
                let has_all = self.model.has_all(self.config.keys);
                let has_enough = has_all || !workload.needs_all_keys();
                if self.model.count() == 0 || !has_enough {
                    self.load()?;
                }
                self.open_with(self.config.sync)?;
                if workload != Workload::Settle {
                    self.store()?.settle()?;
                }
            }
            Effect::Apart => {}
        }
        Ok(())
    }

    /// Fills the store without measuring.
    fn load(&mut self) -> Result<()> {
        self.close()?;
        remove(&self.dir())?;
        self.model = Model::default();
        self.open(false)?;
        work::load(self)?;
        self.watch.end();
        Ok(())
    }

    /// Opens the store where it is closed, or open in another class of durability.
    fn open_with(&mut self, sync: bool) -> Result<()> {
        if self.store.is_some() && self.settings.sync == sync {
            return Ok(());
        }
        self.close()?;
        self.open(sync)
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.config.dir.join("kv-bench-store")
    }

    pub(crate) fn store(&self) -> Result<&dyn Store> {
        self.store.as_deref().context("the store is closed")
    }

    pub(crate) fn open(&mut self, sync: bool) -> Result<()> {
        self.settings = Settings { sync, ..self.config.settings() };
        self.store = Some(self.engine.open(&self.dir(), &self.settings)?);
        Ok(())
    }

    pub(crate) fn close(&mut self) -> Result<()> {
        self.store.take().map_or(Ok(()), Store::close)
    }

    fn bytes_written(&self) -> Option<u64> {
        self.store.as_ref()?.bytes_written()
    }

    /// Another seed for each workload of a run; the same in the next run.
    pub(crate) fn seed(&self) -> u64 {
        crate::values::mix(self.config.seed ^ (self.turn << 32))
    }

    /// So many operations, unless the options say another number.
    pub(crate) fn operations(&self, own: u64) -> u64 {
        self.config.operations.unwrap_or(own.max(1))
    }

    /// A plan of `calls`, each of `per_call` operations.
    pub(crate) fn plan<'b>(&'b self, calls: u64, per_call: u64) -> Result<Plan<'b>> {
        Ok(Plan {
            store: self.store()?,
            watch: self.watch,
            values: &self.values,
            key: &self.key,
            threads: self.config.threads,
            calls,
            per_call,
            limit: self.config.limit,
            seed: self.seed(),
        })
    }
}

/// Removes a store of an earlier run.
pub(crate) fn remove(dir: &Path) -> Result<()> {
    if dir.exists() {
        std::fs::remove_dir_all(dir)
            .with_context(|| format!("{} cannot be removed", dir.display()))?;
    }
    Ok(())
}

/// Fails where reads found something else than what was written.
pub(crate) fn check(name: &str, tally: &Tally) -> Result<()> {
    let wrong = tally.seen.wrong();
    ensure!(wrong == 0, "{name}: {wrong} of {} values are wrong", tally.seen.entries());
    ensure!(
        tally.surprises == 0,
        "{name}: {} reads found something else than what was written",
        tally.surprises
    );
    Ok(())
}

pub(crate) fn times(latency: &Latency) -> Times {
    Times {
        p50: latency.quantile(0.5),
        p99: latency.quantile(0.99),
        p999: latency.quantile(0.999),
        longest: latency.longest(),
    }
}
