//! `bench`: workloads on a store of its own.

pub(crate) mod args;

use crate::failure::{Failure, complain};
use crate::metrics::Listener;
use crate::output::Output;
use crate::{progress, signals};
use indicatif::ProgressBar;
use kv_benches::kv::{Kv, Shown};
use kv_benches::{Bench, Config, Row, Watch, Workload, crash, measure, report};
use kv_engine::Db;
use nix::sys::signal::Signal;
use serde_json::{Map, Value};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

pub(crate) fn bench(args: args::Bench, out: &mut Output) -> Result<(), Failure> {
    if let Some(job) = &args.fill_and_wait {
        return crash::fill_and_wait(&Kv, job).map_err(failure);
    }
    let place = Place::new(args.dir.as_deref())?;
    let config = args.config(place.path());
    config.check().map_err(|error| Failure::usage(format!("{error:#}")))?;
    let workloads = args.workloads.iter().map(|name| name.parse());
    let workloads = workloads.collect::<Result<Vec<Workload>, String>>().map_err(Failure::usage)?;
    if let Some(warning) = measure::load_warning() {
        complain(format!("warning: {warning}"));
    }
    let bars = Bars { bar: progress::operations() };
    let mut results = Results::new(&config, args.out.as_deref(), out)?;
    let shown = Arc::new(Mutex::new(None::<Db>));
    if let Some(address) = args.metrics {
        let shown = Arc::clone(&shown);
        let figures = move || shown.lock().ok()?.as_ref().map(|db| db.stats().prometheus());
        Listener::bind(address)?.serve(figures);
    }
    let engine = Shown(|db: &Db| {
        if let (Some(_), Ok(mut shown)) = (args.metrics, shown.lock()) {
            *shown = Some(db.clone());
        }
    });
    let mut bench = Bench::new(&engine, &config, &bars).map_err(failure)?;
    for workload in workloads {
        for row in bench.run(workload).map_err(failure)? {
            results.add(&row)?;
        }
    }
    bench.finish().map_err(failure)
}

fn failure(error: kv_benches::Error) -> Failure {
    Failure::broken(format!("{error:#}"))
}

/// The directory of the stores: given, or temporary.
enum Place {
    Given(PathBuf),
    Temporary(TempDir),
}

impl Place {
    fn new(given: Option<&Path>) -> Result<Place, Failure> {
        if let Some(dir) = given {
            return Ok(Place::Given(dir.to_owned()));
        }
        let made = tempfile::Builder::new().prefix("kv-bench-").tempdir();
        let made =
            made.map_err(|error| Failure::broken(format!("no temporary directory: {error}")))?;
        let path = made.path().to_owned();
        // It may be large: it is not to stay behind, however the program is ended.
        signals::watch(&[Signal::SIGINT, Signal::SIGTERM], move || {
            // What is being written may come again meanwhile.
            let _ = (0..100).find(|_| std::fs::remove_dir_all(&path).is_ok());
            std::process::exit(signals::INTERRUPTED);
        });
        Ok(Place::Temporary(made))
    }

    fn path(&self) -> &Path {
        match self {
            Place::Given(dir) => dir,
            Place::Temporary(dir) => dir.path(),
        }
    }
}

/// Where the rows go.
struct Results<'a> {
    about: Map<String, Value>,
    out: &'a mut Output,
    file: Option<(PathBuf, File)>,
}

impl<'a> Results<'a> {
    #[expect(clippy::disallowed_methods, reason = "the result's file is outside of every store")]
    fn new(
        config: &Config,
        file: Option<&Path>,
        out: &'a mut Output,
    ) -> Result<Results<'a>, Failure> {
        let file = match file {
            None => None,
            Some(path) => {
                let made = File::create(path).map_err(|error| unwritten(path, &error))?;
                Some((path.to_owned(), made))
            }
        };
        let about = report::about(&Kv, config);
        if !out.json {
            let head = format!(
                "{} keys of {} bytes, values of {} bytes, in {}\n{}",
                config.keys,
                config.key_len,
                config.value_len,
                config.dir.display(),
                report::head()
            );
            out.line(head.as_bytes())?;
            out.flush()?;
        }
        Ok(Results { about, out, file })
    }

    fn add(&mut self, row: &Row) -> Result<(), Failure> {
        let object = row.json(&self.about);
        if let Some((path, file)) = &mut self.file {
            let line = format!("{}\n", Value::Object(object.clone()));
            file.write_all(line.as_bytes()).map_err(|error| unwritten(path, &error))?;
        }
        match self.out.json {
            true => self.out.object(object)?,
            false => self.out.line(row.line().as_bytes())?,
        }
        self.out.flush()?;
        if let Some(warning) = row.usage.noise.warning() {
            complain(format!("warning: {}: {warning}", row.workload));
        }
        Ok(())
    }
}

fn unwritten(path: &Path, error: &std::io::Error) -> Failure {
    Failure::broken(format!("cannot write {}: {error}", path.display()))
}

/// A bar for each workload in turn.
struct Bars {
    bar: ProgressBar,
}

impl Watch for Bars {
    fn begin(&self, name: &str, operations: u64) {
        self.bar.reset();
        self.bar.set_length(operations);
        self.bar.set_message(name.to_owned());
        if !self.bar.is_hidden() {
            self.bar.enable_steady_tick(Duration::from_millis(100));
        }
    }

    fn advance(&self, operations: u64) {
        self.bar.inc(operations);
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}
