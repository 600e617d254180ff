//! What a store holds, against what the lives before wrote to it.
//!
//! Each stream must be in the state after its first k writes, for one k that is not below what an
//! earlier open has shown, not below what was acknowledged as durable, and not above what was
//! tried; and between streams, nothing may be missing that was acknowledged before something that
//! is there had begun.

use crate::torture::ledger::{Ledger, Notes, Seen};
use crate::torture::model::{BANK, Model, STREAMS, SYNCS, stream_of, surplus};
use crate::torture::store::{Place, Store};
use crate::torture::value::Tag;
use anyhow::Result;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Which acknowledged writes must be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Floor {
    /// All of them: the process was killed, the machine was not.
    Acknowledged,
    /// Those that were synced: the power was cut.
    Synced,
}

/// What a life found.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Each in one line.
    pub violations: Vec<String>,
    /// Acknowledged writes of the last life that were looked for.
    pub acknowledged: u64,
    /// Those of them that had to be there.
    pub owed: u64,
    /// How many writes of each stream are there.
    pub(crate) found: Vec<u64>,
}

impl Verdict {
    pub(crate) fn json(&self) -> Value {
        json!({
            "violations": self.violations,
            "acknowledged": self.acknowledged,
            "owed": self.owed,
        })
    }

    /// Reads what `json` wrote.
    pub fn parse(text: &str) -> Result<Verdict> {
        let value: Value = serde_json::from_str(text)?;
        let lines = value["violations"].as_array().cloned().unwrap_or_default();
        Ok(Verdict {
            violations: lines.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            acknowledged: value["acknowledged"].as_u64().unwrap_or(0),
            owed: value["owed"].as_u64().unwrap_or(0),
            found: Vec::new(),
        })
    }
}

/// What is looked for, and by which rule.
struct Search<'a> {
    ledger: &'a Ledger,
    history: Vec<Seen>,
    seed: u64,
    floor: Floor,
    /// What was acknowledged before this was synced as a whole later.
    synced: u64,
}

/// What a stream may be: everything below `least` is there, nothing from `most` on is.
struct Fit {
    stream: u8,
    least: u64,
    most: u64,
    from: u64,
    notes: Notes,
}

/// Looks at everything in the store.
pub(crate) fn check(
    store: &dyn Store,
    ledger: &Ledger,
    seed: u64,
    floor: Floor,
) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let mut found = read(store, &mut verdict)?;
    let history = ledger.history()?;
    let syncs = history.last().map(|seen| ledger.notes(seen.life, SYNCS, 0)).transpose()?;
    let syncs = syncs.unwrap_or_default().writes.into_iter();
    let synced = syncs.filter_map(|(began, done)| done.and(Some(began))).max().unwrap_or(0);
    let search = Search { ledger, history, seed, floor, synced };
    if let Some(bank) = found.get(&BANK)
        && surplus(bank) != 0
    {
        let line = format!("the bank's accounts sum up to {} too much", surplus(bank));
        verdict.violations.push(line);
    }
    let mut fits = Vec::new();
    for stream in 0..STREAMS {
        let state = found.remove(&stream).unwrap_or_default();
        if let Some(fit) = search.stream(stream, state, &mut verdict)? {
            verdict.found.push(fit.most);
            fits.push(fit);
        }
    }
    between_streams(&fits, &mut verdict);
    Ok(verdict)
}

/// What is there, by stream.
fn read(store: &dyn Store, verdict: &mut Verdict) -> Result<BTreeMap<u8, BTreeMap<Place, Tag>>> {
    let mut found: BTreeMap<u8, BTreeMap<Place, Tag>> = BTreeMap::new();
    let mut last: Option<Place> = None;
    store.scan(&mut |place, value| {
        if last.as_ref().is_some_and(|last| *last >= place) {
            verdict.violations.push(format!("{} comes twice, or out of order", shown(&place)));
        }
        last = Some(place.clone());
        let tag = Tag::parse(&place, value);
        match tag.filter(|tag| stream_of(&place) == Some(tag.stream)) {
            Some(tag) => {
                found.entry(tag.stream).or_default().insert(place, tag);
            }
            None => {
                let line = format!("{} has a value that no write made", shown(&place));
                verdict.violations.push(line);
            }
        }
    })?;
    Ok(found)
}

impl Search<'_> {
    /// Finds the writes of a stream after which it is in `state`.
    fn stream(
        &self,
        stream: u8,
        state: BTreeMap<Place, Tag>,
        verdict: &mut Verdict,
    ) -> Result<Option<Fit>> {
        let from = self.history.last().map_or(0, |seen| seen.start(stream));
        let notes = match self.history.last() {
            Some(seen) => self.ledger.notes(seen.life, stream, from)?,
            None => Notes::default(),
        };
        let ceiling = from + notes.writes.len() as u64;
        let mut walk = Walk::new(Model::new(self.seed, stream), state);
        let (mut fitting, mut owed) = (Vec::new(), from);
        loop {
            let next = walk.look(from);
            if walk.wrong == 0 {
                fitting.push(next);
            }
            if next == ceiling {
                break;
            }
            let of = self.history.iter().rev().find(|seen| seen.start(stream) <= next);
            let mut synced = walk.step(of.map_or(0, |seen| seen.life));
            let write = next.checked_sub(from).and_then(|at| notes.writes.get(at as usize));
            if let Some((_, Some(acknowledged))) = write {
                synced |= *acknowledged < self.synced;
                verdict.acknowledged += 1;
                if synced || self.floor == Floor::Acknowledged {
                    verdict.owed += 1;
                    owed = next + 1;
                }
            }
        }
        let good = fitting.iter().copied().filter(|fit| *fit >= owed);
        if let (Some(least), Some(most)) = (good.clone().min(), good.max()) {
            return Ok(Some(Fit { stream, least, most, from, notes }));
        }
        let range = format!("shown {from}, owed {owed}, tried {ceiling}");
        verdict.violations.push(match fitting.last() {
            Some(last) if *last < from => {
                format!("stream {stream} went back to {last}, behind an earlier open: {range}")
            }
            Some(last) => {
                format!("stream {stream} lost acknowledged writes from {last} on: {range}")
            }
            None => {
                format!("stream {stream} is in no state that it ever had: {range}; {}", walk.say())
            }
        });
        Ok(None)
    }
}

/// A model that walks through its states beside the one that was found.
struct Walk {
    model: Model,
    state: BTreeMap<Place, Tag>,
    /// How many keys differ now.
    wrong: usize,
    /// The fewest that ever differed from what was shown on: how many, where, and one of them.
    closest: Option<(usize, u64, String)>,
}

impl Walk {
    fn new(model: Model, state: BTreeMap<Place, Tag>) -> Walk {
        Walk { model, wrong: state.len(), state, closest: None }
    }

    /// After how many writes it stands.
    fn look(&mut self, from: u64) -> u64 {
        let next = self.model.next();
        let closer = self.closest.as_ref().is_none_or(|(wrong, ..)| self.wrong < *wrong);
        if next >= from && self.wrong > 0 && closer {
            let places = self.state.keys().chain(self.model.state().keys());
            let mut differing =
                places.filter(|place| self.state.get(*place) != self.model.state().get(*place));
            let example = differing.next().map_or(String::new(), |place| {
                let (is, should) = (self.state.get(place), self.model.state().get(place));
                format!("{} is {}, not {}", shown(place), say(is), say(should))
            });
            self.closest = Some((self.wrong, next, example));
        }
        next
    }

    /// One write on; answers whether it was synced.
    fn step(&mut self, life: u32) -> bool {
        let (write, before) = self.model.step(life);
        let places: BTreeSet<&Place> = write.changes.iter().map(|change| &change.place).collect();
        for place in places {
            let found = self.state.get(place);
            self.wrong -= usize::from(before.get(place).copied().flatten().as_ref() != found);
            self.wrong += usize::from(self.model.state().get(place) != found);
        }
        write.sync
    }

    fn say(&self) -> String {
        self.closest.as_ref().map_or(String::new(), |(wrong, next, example)| {
            format!("closest after {next} with {wrong} keys wrong, such as {example}")
        })
    }
}

fn say(tag: Option<&Tag>) -> String {
    tag.map_or("absent".to_owned(), |tag| {
        format!("that of write {} in life {}", tag.index, tag.life)
    })
}

fn shown(place: &Place) -> String {
    let key = String::from_utf8_lossy(&place.1);
    format!("{}:{}", place.0, key.trim_end_matches('-'))
}

/// What was acknowledged before a write began that is there must be there too.
fn between_streams(fits: &[Fit], verdict: &mut Verdict) {
    let there = |fit: &Fit| {
        let count = usize::try_from(fit.least - fit.from).unwrap_or(usize::MAX);
        fit.notes.writes.iter().take(count).map(|(began, _)| *began).max()
    };
    let Some((began, by)) = fits.iter().filter_map(|f| Some((there(f)?, f.stream))).max() else {
        return;
    };
    for fit in fits {
        let missing = usize::try_from(fit.most - fit.from).unwrap_or(usize::MAX);
        let earlier = |(_, acknowledged): &&(u64, Option<u64>)| {
            acknowledged.is_some_and(|acknowledged| acknowledged < began)
        };
        let holes = fit.notes.writes.iter().skip(missing).filter(earlier).count();
        if holes > 0 {
            verdict.violations.push(format!(
                "a hole: {holes} writes of stream {} from {} on are gone, acknowledged before a \
                 write of stream {by} began that is there",
                fit.stream, fit.most
            ));
        }
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
