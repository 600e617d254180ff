//! A reader of the store beside what the model shows at the same moment.

use super::face::Reads;
use super::oracle::{End, Entry, Moment, Oracle};
use kv_engine::{Bytes, Cursor, Error, Iter};
use std::ops::Bound;

/// What is wrong, in one line.
pub(super) type Check<T = ()> = Result<T, String>;

/// The pairs of a keyspace, in order.
pub(super) type Pairs = Vec<(Bytes, Bytes)>;

pub(super) fn failed(what: &str) -> impl Fn(Error) -> String + '_ {
    move |error| format!("{what} failed: {:?}: {error}", error.kind())
}

/// A key in a message.
pub(super) fn show(key: &[u8]) -> String {
    match key.len() {
        0..=40 => format!("\"{}\"", key.escape_ascii()),
        len => format!("\"{}…\" ({len} bytes)", key[..24].escape_ascii()),
    }
}

/// The part of a tree that an ordered read has still before it.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) tree: usize,
    pub(super) moment: Moment,
    pub(super) from: End,
    pub(super) to: End,
}

impl Span {
    pub(super) fn all(tree: usize, moment: Moment) -> Span {
        Span { tree, moment, from: Bound::Unbounded, to: Bound::Unbounded }
    }

    /// Checks the next pair from one end; the span ends behind it.
    pub(super) fn take(
        &mut self,
        oracle: &Oracle,
        back: bool,
        got: Option<(&[u8], &[u8])>,
    ) -> Check {
        step(oracle, self, back, got)?;
        match got {
            Some((key, _)) if back => self.to = Bound::Excluded(key.to_vec()),
            Some((key, _)) => self.from = Bound::Excluded(key.to_vec()),
            None => {}
        }
        Ok(())
    }
}

/// Whether `got` may be the next pair of a span from one end.
fn step(oracle: &Oracle, span: &Span, back: bool, got: Option<(&[u8], &[u8])>) -> Check {
    let mut entries = oracle.range(span.tree, &span.from, &span.to, &span.moment);
    loop {
        let entry = if back { entries.next_back() } else { entries.next() };
        match (entry, got) {
            (None, None) => return Ok(()),
            (Some(entry), Some((key, value))) if entry.key == key => {
                return same(oracle, &entry, value);
            }
            (Some(Entry { maybe: true, .. }), _) => {}
            (Some(entry), got) => {
                let got = got.map_or("nothing".to_owned(), |(key, _)| show(key));
                return Err(format!("{got} instead of {}", show(entry.key)));
            }
            (None, Some((key, value))) => {
                return Err(format!("{}, {}, instead of nothing", show(key), oracle.whose(value)));
            }
        }
    }
}

fn same(oracle: &Oracle, entry: &Entry<'_>, value: &[u8]) -> Check {
    if entry.value == value {
        return Ok(());
    }
    let (got, due) = (oracle.whose(value), oracle.whose(entry.value));
    Err(format!("{}: {got} instead of {due}", show(entry.key)))
}

/// One point read.
pub(super) fn point(
    oracle: &Oracle,
    reader: &dyn Reads,
    tree: usize,
    key: &[u8],
    moment: &Moment,
) -> Check<Option<Bytes>> {
    let got = reader.get(key).map_err(failed("get"))?;
    match (oracle.get(tree, key, moment), &got) {
        (None, None) | (Some(Entry { maybe: true, .. }), None) => {}
        (Some(entry), Some(value)) => {
            same(oracle, &entry, value).map_err(|e| format!("get {e}"))?
        }
        (None, Some(value)) => {
            return Err(format!("get {}: {} instead of none", show(key), oracle.whose(value)));
        }
        (Some(_), None) => return Err(format!("get {}: none, and it must be there", show(key))),
    }
    Ok(got)
}

/// Takes up to `steps` pairs; bit n of `ends` says from which end the n-th comes.
pub(super) fn walk(
    oracle: &Oracle,
    iter: &mut Iter,
    span: &mut Span,
    steps: usize,
    ends: u64,
) -> Check<bool> {
    for n in 0..steps {
        let back = ends >> (n % 64) & 1 == 1;
        let got = if back { iter.next_back() } else { iter.next() };
        let got = got.transpose().map_err(failed("an iterator"))?;
        let pair = got.as_ref().map(|(key, value)| (&key[..], &value[..]));
        span.take(oracle, back, pair).map_err(|e| format!("an iterator answered {e}"))?;
        if got.is_none() {
            if iter.next().is_some() || iter.next_back().is_some() {
                return Err("an iterator went on behind its end".to_owned());
            }
            return Ok(false);
        }
    }
    Ok(true)
}

/// Where a cursor stands is what `span` shows first from an end.
pub(super) fn stands(oracle: &Oracle, cursor: &Cursor, span: &Span, back: bool) -> Check {
    let got = cursor.valid().then(|| (cursor.key(), cursor.value()));
    step(oracle, span, back, got).map_err(|e| format!("a cursor stands on {e}"))
}

/// Reads all of a keyspace forward and backward, and answers the pairs. Unless the reader is one
/// `moment`, what may be there or not may go between the two: a merge may drop what had expired.
pub(super) fn whole(
    oracle: &Oracle,
    reader: &dyn Reads,
    span: &Span,
    moment: bool,
) -> Check<Pairs> {
    let forward = reader.iter().collect::<Result<Pairs, _>>().map_err(failed("reading all"))?;
    let mut backward = reader
        .iter()
        .rev()
        .collect::<Result<Pairs, _>>()
        .map_err(failed("reading all backward"))?;
    backward.reverse();
    if forward != backward && !moment {
        agrees(oracle, &backward, span).map_err(|e| format!("backward: {e}"))?;
    } else if forward != backward {
        let (n, m) = (forward.len(), backward.len());
        return Err(format!("{n} pairs forward are other than {m} pairs backward"));
    }
    agrees(oracle, &forward, span)?;
    Ok(forward)
}

/// Whether these are the pairs that the model shows.
pub(super) fn agrees(oracle: &Oracle, pairs: &Pairs, span: &Span) -> Check {
    let mut expected = oracle.range(span.tree, &span.from, &span.to, &span.moment);
    for (key, value) in pairs {
        loop {
            match expected.next() {
                Some(entry) if entry.key == &key[..] => {
                    same(oracle, &entry, value)?;
                    break;
                }
                Some(Entry { maybe: true, .. }) => {}
                Some(entry) => {
                    return Err(format!("{} where {} is due", show(key), show(entry.key)));
                }
                None => return Err(format!("{} is there and must not be", show(key))),
            }
        }
    }
    match expected.find(|entry| !entry.maybe) {
        Some(missing) => Err(format!("{} is missing", show(missing.key))),
        None => Ok(()),
    }
}

/// Every key and its neighbours: get, seek, seek for the previous one.
pub(super) fn neighbours(oracle: &Oracle, reader: &dyn Reads, pairs: &Pairs, span: &Span) -> Check {
    let mut cursor = reader.cursor();
    for (key, _) in pairs {
        let behind = [&key[..], &[0]].concat();
        let before = key.split_last().map(|(last, front)| match last {
            0 => front.to_vec(),
            last => [front, &[last - 1, 0xFF]].concat(),
        });
        for at in [Some(key.to_vec()), Some(behind), before].into_iter().flatten() {
            point(oracle, reader, span.tree, &at, &span.moment)?;
            cursor.seek(&at).map_err(failed("seek"))?;
            let from = Span { from: Bound::Included(at.clone()), ..span.clone() };
            stands(oracle, &cursor, &from, false)?;
            cursor.seek_for_prev(&at).map_err(failed("seek_for_prev"))?;
            let to = Span { to: Bound::Included(at), ..span.clone() };
            stands(oracle, &cursor, &to, true)?;
        }
    }
    Ok(())
}
