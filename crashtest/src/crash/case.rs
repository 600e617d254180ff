//! A violation written down: the bytes that the crash left, and the history with what was known.
//! Whoever reads it back sees the same store fail the same way.

use crate::crash::checker::{Bounds, Checker};
use crate::history::{Key, Stamp, Step, parse_step};
use crate::oracle::{Depth, check};
use crate::record::{Start, clock_at};
use crate::rng::mix;
use crate::settings::Settings;
use crate::timeline::{Model, Pair, Timeline};
use anyhow::{Context, Result, bail};
use kv_vfs::{FileKind, Fs, FsFileExt, MemFs, Mode};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A state, and what it was to be.
#[derive(Debug)]
pub(crate) struct Case {
    /// With which it is opened.
    settings: Settings,
    bounds: Bounds,
    start: Start,
    steps: Vec<Step>,
    files: Vec<(String, Vec<u8>)>,
}

fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/crashtest-cases")
}

/// Writes a case down; answers the violation's line with how to repeat it.
pub(crate) fn save(checker: &Checker<'_>, line: &str, state: &MemFs, bounds: Bounds) -> String {
    let subject = &checker.subject;
    let mut text = format!("# {line}\n# ran with {}\n", subject.settings);
    let Bounds { floor, ceiling, epoch, .. } = bounds;
    let _ = writeln!(text, "settings {}", checker.settings);
    let _ = writeln!(text, "bounds {floor} {ceiling} {epoch}");
    let _ = writeln!(text, "start {} {}", subject.start.index, subject.start.epoch);
    for (space, pairs) in &subject.start.model.spaces {
        let _ = writeln!(text, "space {space}");
        for (key, Pair { stamp, gone }) in pairs {
            let gone = gone.map_or(0, |gone| gone + 1);
            let _ = writeln!(text, "pair {space} {key} {} {} {gone}", stamp.step, stamp.len);
        }
    }
    for step in subject.steps {
        let _ = writeln!(text, "step {step}");
    }
    dump_dir(state, Path::new("/"), &mut text);
    let hash = text.bytes().fold(0, |hash, byte| mix(hash ^ u64::from(byte)));
    let path = dir().join(format!("{hash:016x}.case"));
    let written = std::fs::create_dir_all(dir()).and_then(|()| std::fs::write(&path, text));
    match written {
        Ok(()) => {
            let name = format!("target/crashtest-cases/{hash:016x}.case");
            format!("{line}; repeat: cargo xtask crashtest repro {name}")
        }
        Err(error) => format!("{line}; it could not be written down: {error}"),
    }
}

/// Adds all files below `dir` as text.
fn dump_dir(fs: &MemFs, dir: &Path, text: &mut String) {
    for entry in fs.list(dir).unwrap_or_default() {
        let path = dir.join(&entry.name);
        if entry.kind == FileKind::Dir {
            let _ = writeln!(text, "dir {}", path.display());
            dump_dir(fs, &path, text);
        } else if let Ok(file) = fs.open(&path, Mode::Read) {
            let mut bytes = vec![0; file.len().unwrap_or(0) as usize];
            let len = file.read_full_at(&mut bytes, 0).unwrap_or(0);
            bytes.truncate(len);
            let _ = write!(text, "file {} ", path.display());
            bytes.iter().for_each(|byte| {
                let _ = write!(text, "{byte:02x}");
            });
            text.push('\n');
        }
    }
}

impl Case {
    /// Reads what [`save`] wrote.
    pub(crate) fn read(text: &str) -> Result<Case> {
        let mut case = Case {
            settings: Settings::quiet(),
            bounds: Bounds { floor: 0, ceiling: 0, returned: 0, epoch: 0 },
            start: Start { model: Model::default(), index: 0, epoch: 0 },
            steps: Vec::new(),
            files: Vec::new(),
        };
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            case.line(line).with_context(|| format!("the line {line:.80}"))?;
        }
        Ok(case)
    }

    fn line(&mut self, line: &str) -> Result<()> {
        let (name, rest) = line.split_once(' ').context("it has one word")?;
        match name {
            "settings" => self.settings = Settings::parse(rest).context("no settings")?,
            "step" => self.steps.push(parse_step(rest).context("no step")?),
            "dir" => self.files.push((format!("{rest}/"), Vec::new())),
            "file" => {
                let (path, hex) = rest.split_once(' ').context("no contents")?;
                self.files.push((path.to_owned(), unhex(hex)?));
            }
            _ => {
                let numbers: Vec<u64> =
                    rest.split(' ').map(str::parse).collect::<Result<_, _>>()?;
                self.numbers(name, &numbers)?;
            }
        }
        Ok(())
    }

    fn numbers(&mut self, name: &str, numbers: &[u64]) -> Result<()> {
        match (name, numbers) {
            ("bounds", [floor, ceiling, epoch]) => {
                let (floor, ceiling, epoch) = (*floor, *ceiling, *epoch);
                self.bounds = Bounds { floor, ceiling, returned: floor, epoch };
            }
            ("start", [index, epoch]) => {
                (self.start.index, self.start.epoch) = (*index, *epoch);
            }
            ("space", [space]) => {
                self.start.model.spaces.entry(*space as u8).or_default();
            }
            ("pair", [space, key, step, len, gone]) => {
                let stamp = Stamp { step: *step, len: *len as u32 };
                let pair = Pair { stamp, gone: gone.checked_sub(1) };
                let pairs = self.start.model.spaces.entry(*space as u8).or_default();
                pairs.insert(*key as Key, pair);
            }
            _ => bail!("it is not understood"),
        }
        Ok(())
    }

    /// The file system that the crash left.
    fn state(&self) -> Result<MemFs> {
        let fs = MemFs::with_clock(clock_at(self.bounds.epoch));
        for (path, bytes) in &self.files {
            match path.strip_suffix('/') {
                Some(dir) => fs.create_dir(Path::new(dir))?,
                None => fs.create_new(Path::new(path))?.write_all_at(bytes, 0)?,
            }
        }
        Ok(fs.crash_with(&mut |_| true))
    }

    /// Checks it again; answers what is wrong, `None` where nothing is.
    pub(crate) fn repeat(&self) -> Result<Option<String>> {
        let Start { model, index, epoch } = self.start.clone();
        let timeline = Timeline::new(model, index, epoch, &self.steps);
        let state = self.state()?;
        let Bounds { floor, ceiling, epoch, .. } = self.bounds;
        Ok(match check(&state, &timeline, epoch, &self.settings, Depth::Whole) {
            Err(violation) => Some(violation),
            Ok(found) if found.iter().any(|index| (floor..=ceiling).contains(index)) => None,
            Ok(found) => Some(format!("it holds index {found:?}, not from {floor} to {ceiling}")),
        })
    }
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).context("not a hex digit");
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => Ok((digit(*high)? << 4 | digit(*low)?) as u8),
            _ => bail!("half a byte"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crash::checker::Subject;
    use crate::history::Op;
    use crate::record::{fresh, record};

    /// A store that lost a step which was acknowledged.
    #[test]
    fn a_case_repeats_its_violation() {
        let steps = [Step::Write(vec![Op::Put(0, 7, 30)], true), Step::Sync];
        let (fs, clock) = fresh();
        let (start, settings) = (Start::empty(), Settings::small());
        let recorded = record(&fs, &clock, &start, &steps, &settings).unwrap();
        let timeline = &recorded.timeline;
        let subject = Subject { start: &start, steps: &steps, timeline, settings: &settings };
        let checker = Checker::new(subject, settings);
        for (index, wrong) in [(1, false), (9, true)] {
            let bounds = Bounds { floor: index, ceiling: index, returned: index, epoch: 0 };
            let line = save(&checker, "lost", &fs.crash(), bounds);
            let name = line.rsplit('/').next().unwrap();
            let text = std::fs::read_to_string(dir().join(name)).unwrap();
            std::fs::remove_file(dir().join(name)).unwrap();
            assert_eq!(Case::read(&text).unwrap().repeat().unwrap().is_some(), wrong);
        }
    }
}
