//! The list of all places in the engine's layers that call a file system: `crashtest/call-sites.txt`.
//!
//! A fault is tried at each call that a scenario comes to. A call that no scenario comes to would
//! never be missed, so every call is on a list, with how it is come to; a call that is not there
//! is a violation until somebody has looked at it. Calls are found by their text, too, because one
//! that is never made is seen by no run. A place goes by its file, its function and its text, so
//! that the list outlives other changes.

use crate::fault::table::Place;
use anyhow::{Context, Result, bail};
use kv_vfs::OpKind;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

/// The sources whose calls are listed.
const CRATES: [&str; 4] = ["kv-engine", "kv-manifest", "kv-sstable", "kv-wal"];

/// How a call is come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// Some scenario makes it in every run: it has met every fault.
    Always,
    /// It is only made where an earlier call has failed, or where threads meet in a rare order.
    /// The faults that it has met are counted.
    Sometimes,
    /// No scenario makes it: other tests do.
    Never,
}

/// One place: file, function, what is called, and the line's text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Site {
    file: String,
    function: String,
    op: String,
    text: String,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Site { file, function, op, text } = self;
        write!(f, "{file} | {function} | {op} | {text}")
    }
}

/// All places that are known, and how each is come to.
#[derive(Debug, Default)]
pub(crate) struct List(BTreeMap<Site, Way>);

/// The sources, read once.
#[derive(Debug, Default)]
pub(crate) struct Sources(BTreeMap<String, Vec<String>>);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("call-sites.txt")
}

impl List {
    pub(crate) fn read() -> Result<List> {
        let text =
            std::fs::read_to_string(file()).context("cannot read crashtest/call-sites.txt")?;
        List::parse(&text)
    }

    fn parse(text: &str) -> Result<List> {
        let mut list = BTreeMap::new();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let parts: Vec<&str> = line.splitn(5, " | ").collect();
            let [way, file, function, op, text] = parts.as_slice() else {
                bail!("crashtest/call-sites.txt: no line of the list: {line}");
            };
            let way = match *way {
                "always" => Way::Always,
                "sometimes" => Way::Sometimes,
                "never" => Way::Never,
                other => bail!("crashtest/call-sites.txt: {other:?} is no way to come to a call"),
            };
            let [file, function, op, text] = [file, function, op, text].map(|p| (*p).to_owned());
            list.insert(Site { file, function, op, text }, way);
        }
        Ok(List(list))
    }

    pub(crate) fn way(&self, site: &Site) -> Option<Way> {
        self.0.get(site).copied()
    }

    /// The places that every run should come to.
    pub(crate) fn always(&self) -> impl Iterator<Item = &Site> {
        self.0.iter().filter(|(_, way)| **way == Way::Always).map(|(site, _)| site)
    }

    /// Writes the list anew: places that are gone go, those that are known stay as they are, new
    /// ones come as this run came to them.
    pub(crate) fn rewrite(
        &self,
        called: &BTreeSet<Site>,
        met: &BTreeMap<Site, bool>,
    ) -> Result<()> {
        let mut text = String::from(HEAD);
        for site in called.iter().chain(met.keys()).collect::<BTreeSet<_>>() {
            let now = match met.get(site) {
                Some(true) => Way::Always,
                Some(false) => Way::Sometimes,
                None => Way::Never,
            };
            let way = match self.way(site) {
                // What was come to only now and then does not become sure by one run.
                Some(Way::Sometimes) => Way::Sometimes,
                Some(Way::Always) if now != Way::Always => Way::Sometimes,
                _ => now,
            };
            let way = match way {
                Way::Always => "always",
                Way::Sometimes => "sometimes",
                Way::Never => "never",
            };
            text.push_str(&format!("{way} | {site}\n"));
        }
        std::fs::write(file(), text).context("cannot write crashtest/call-sites.txt")
    }
}

const HEAD: &str = "\
# Every place of the engine's layers that calls a file system: how `crashtest fault` comes to it,
# file, function, operation, text. `always`: it meets every fault in every run. `sometimes`: only
# behind another fault, or where threads meet in a rare order. `never`: only other tests come there.
# After a change look at what `cargo xtask crashtest fault --list` makes of this file.
";

/// What the list says of a run.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) violations: Vec<String>,
    pub(crate) notes: Vec<String>,
}

/// Compares a run with the list: `reached` are the calls that were made, `missed` the faults that
/// one of them has not met. Writes the list anew where that is asked for.
pub(crate) fn compare(reached: &[Place], missed: &[(Place, String)], write: bool) -> Result<Told> {
    let (mut sources, mut told) = (Sources::default(), Told::default());
    let list = if write { List::read().unwrap_or_default() } else { List::read()? };
    let mut met: BTreeMap<Site, bool> = BTreeMap::new();
    for place in reached {
        let whole = !missed.iter().any(|(missed, _)| missed == place);
        *met.entry(sources.site(*place)).or_insert(true) &= whole;
    }
    let called = sources.calls()?;
    if write {
        list.rewrite(&called, &met)?;
        told.notes.push(format!("{} is written", file().display()));
        return Ok(told);
    }
    let unknown = called.iter().chain(met.keys()).filter(|site| list.way(site).is_none());
    for site in unknown.collect::<BTreeSet<_>>() {
        let line = "is not in crashtest/call-sites.txt: see how it fails, then fault --list";
        told.violations.push(format!("a call {line}: {site}"));
    }
    for (place, line) in missed {
        match list.way(&sources.site(*place)) {
            Some(Way::Always) => told.violations.push(line.clone()),
            _ => told.notes.push(line.clone()),
        }
    }
    for site in list.always().filter(|site| !met.contains_key(*site)) {
        if sources.lines(&site.file).iter().any(|line| line.trim() == site.text) {
            told.violations.push(format!("no scenario came to: {site}"));
        } else {
            told.notes.push(format!("the list names what is no more: {site}"));
        }
    }
    Ok(told)
}

impl Sources {
    /// The place by which a call is listed.
    pub(crate) fn site(&mut self, (call, op): Place) -> Site {
        let lines = self.lines(call.file);
        let at = (call.line as usize).saturating_sub(1).min(lines.len().saturating_sub(1));
        let text = lines.get(at).map_or("", |line| line.trim()).to_owned();
        let function = function(lines, at);
        Site { file: call.file.to_owned(), function, op: format!("{op:?}"), text }
    }

    fn lines(&mut self, name: &str) -> &[String] {
        self.0.entry(name.to_owned()).or_insert_with(|| {
            let text = std::fs::read_to_string(root().join(name)).unwrap_or_default();
            text.lines().map(str::to_owned).collect()
        })
    }

    /// Every call that can be told by its text, outside of tests.
    pub(crate) fn calls(&mut self) -> Result<BTreeSet<Site>> {
        let mut calls = BTreeSet::new();
        for name in CRATES {
            let mut files = Vec::new();
            list_sources(&root().join("crates").join(name).join("src"), &mut files)?;
            for path in files {
                let name = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
                if name.contains("/tests") || name.ends_with("/model.rs") {
                    continue;
                }
                calls.extend(calls_in(&name, self.lines(&name)));
            }
        }
        Ok(calls)
    }
}

fn list_sources(dir: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(dir).with_context(|| format!("{}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            list_sources(&path, into)?;
        } else if path.extension().is_some_and(|end| end == "rs") {
            into.push(path);
        }
    }
    Ok(())
}

/// The function around a line.
fn function(lines: &[String], at: usize) -> String {
    let name = |line: &String| {
        let line = line.trim_start();
        let rest = line.strip_prefix("fn ").or_else(|| {
            let (before, rest) = line.split_once(" fn ")?;
            let words = ["pub", "const", "unsafe", "async", "pub(crate)", "pub(super)"];
            before.split(' ').all(|word| words.contains(&word)).then_some(rest)
        })?;
        rest.split(['(', '<']).next().map(str::to_owned)
    };
    let above = lines.get(..=at.min(lines.len().saturating_sub(1))).unwrap_or_default();
    above.iter().rev().find_map(name).unwrap_or_default()
}

/// Methods of a file system that nothing else has.
const OWN: [(&str, OpKind); 14] = [
    ("create_new", OpKind::Create),
    ("sync_dir", OpKind::SyncDir),
    ("sync_data", OpKind::Sync),
    ("sync_all", OpKind::Sync),
    ("read_exact_at", OpKind::Read),
    ("read_full_at", OpKind::Read),
    ("read_at", OpKind::Read),
    ("write_all_at", OpKind::Write),
    ("write_at", OpKind::Write),
    ("set_len", OpKind::SetLen),
    ("allocate", OpKind::Allocate),
    ("hard_link", OpKind::HardLink),
    ("create_dir", OpKind::CreateDir),
    ("free_space", OpKind::FreeSpace),
];

/// Methods that other things have, too: what they are called on decides.
const SHARED: [(&str, OpKind); 8] = [
    ("open", OpKind::Open),
    ("remove", OpKind::Remove),
    ("remove_dir", OpKind::RemoveDir),
    ("rename", OpKind::Rename),
    ("list", OpKind::List),
    ("lock", OpKind::Lock),
    ("len", OpKind::Len),
    ("metadata", OpKind::Metadata),
];

fn calls_in(name: &str, lines: &[String]) -> Vec<Site> {
    let mut calls = Vec::new();
    let mut before = "";
    for (at, line) in lines.iter().enumerate() {
        if line.trim_start().starts_with("#[cfg(test)]") {
            break;
        }
        let code = line.trim();
        if code.starts_with("//") || code.contains("fn ") {
            continue;
        }
        let mut found = |method: &str, op: OpKind, shared: bool| {
            let call = format!(".{method}(");
            let Some(place) = code.find(&call) else { return };
            let on = if place == 0 { before } else { code.get(..place).unwrap_or_default() };
            let on = on.trim_end_matches(')').rsplit(['.', '(', '*', '&', ' ', '|']).next();
            if shared && !matches!(on, Some("fs" | "file" | "file_system")) {
                return;
            }
            let op = format!("{op:?}");
            let (file, text) = (name.to_owned(), code.to_owned());
            calls.push(Site { file, function: function(lines, at), op, text });
        };
        OWN.iter().for_each(|(method, op)| found(method, *op, false));
        SHARED.iter().for_each(|(method, op)| found(method, *op, true));
        before = code;
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_by_their_text() {
        let text = "\
            fn first(&self) -> io::Result<()> {\n\
                let file = self.fs.create_new(&path)?;\n\
                map.remove(&key);\n\
                self\n\
                .fs\n\
                .remove(&path)\n\
            }\n\
            #[cfg(test)]\n\
            fn test() { fs.sync_dir(dir) }";
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let calls = calls_in("a.rs", &lines);
        let shown: Vec<String> = calls.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "a.rs | first | Create | let file = self.fs.create_new(&path)?;",
                "a.rs | first | Remove | .remove(&path)",
            ]
        );
    }

    #[test]
    fn every_call_is_on_the_list_and_the_list_is_one() {
        let list = List::read().unwrap();
        let calls = Sources::default().calls().unwrap();
        let missing: Vec<String> =
            calls.iter().filter(|site| list.way(site).is_none()).map(ToString::to_string).collect();
        assert!(missing.is_empty(), "cargo xtask crashtest fault --list; {missing:#?}");
        assert!(list.always().count() > 50);
    }
}
