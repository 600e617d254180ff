//! What reading a damaged store came to: classes, found mechanically.

use super::damage::{Changes, Damage, How};
use super::subject::{Place, Subject};
use crate::contents::{Contents, Pairs};
use crate::format::newer::records;
use crate::format::recipes::{KEY_MARK, VALUE_MARK};
use crate::image::DIR;
use kv_engine::{Db, Error, ErrorKind, Iter};
use std::collections::BTreeSet;

/// How a trial ended. Those from `WrongValue` on are forbidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Class {
    Identical,
    DetectedAtOpen,
    DetectedAtRead,
    /// Every read is right, and `verify` tells of the damage.
    DetectedByVerify,
    /// The last group of writes before an unclean stop, for which nothing vouches.
    TailLoss,
    /// Synced writes at the end of the last log, which went together with all that vouched.
    ProofLoss,
    WrongValue,
    MissingSilently,
    Resurrected,
    /// `verify` says that nothing is damaged, and a table is.
    Unnoticed,
    Panic,
    /// It kept a processor busy for more than five seconds.
    Hang,
    Memory,
    FilesModified,
    /// An error of another kind than damage, or without the name of a file.
    WrongError,
    /// A key or a value in a message.
    KeyShown,
    /// A key is unreadable that does not lie in the damaged place.
    TooMuchLost,
}

impl Class {
    pub(crate) fn is_forbidden(self) -> bool {
        self >= Class::WrongValue
    }
}

/// What a trial came to.
pub(crate) struct Verdict {
    pub(crate) class: Class,
    /// What was said, or what is wrong.
    pub(crate) said: String,
}

impl Verdict {
    pub(crate) fn new(class: Class, said: impl Into<String>) -> Verdict {
        Verdict { class, said: said.into() }
    }
}

/// Fails a trial with a class.
pub(crate) type Judged<T> = Result<T, Verdict>;

/// Everything that was read.
#[derive(Default)]
pub(crate) struct Seen {
    contents: Contents,
    /// Messages of failed reads.
    pub(crate) errors: Vec<String>,
    failed: BTreeSet<Place>,
}

/// The error's text, once it is of the right kind, names a file and shows nothing.
pub(crate) fn told(error: &Error) -> Judged<String> {
    let text = format!("{error} {error:?}");
    if !matches!(error.kind(), ErrorKind::Corruption | ErrorKind::IncompatibleFormat) {
        return Err(Verdict::new(Class::WrongError, format!("{:?}: {text}", error.kind())));
    }
    shows_nothing(&text)?;
    // A file that is missing counts too: a manifest that lost its end names files that are gone.
    if !text.contains(&format!("{DIR}/")) {
        return Err(Verdict::new(Class::WrongError, format!("no file is named: {text}")));
    }
    Ok(error.to_string())
}

/// No key and no value is in the text, in any form in which bytes are printed.
pub(crate) fn shows_nothing(text: &str) -> Judged<()> {
    let forms = [KEY_MARK, VALUE_MARK].into_iter().flat_map(|mark| {
        let hex: String = mark.bytes().map(|byte| format!("{byte:02x}")).collect();
        let list: Vec<String> = mark.bytes().map(|byte| byte.to_string()).collect();
        [mark.to_owned(), hex, list.join(", ")]
    });
    match forms.into_iter().find(|form| text.contains(form.as_str())) {
        Some(form) => Err(Verdict::new(Class::KeyShown, format!("{form} in: {text}"))),
        None => Ok(()),
    }
}

/// Reads every keyspace forward, backward and key by key.
pub(crate) fn read_all(subject: &Subject, db: &Db) -> Judged<Seen> {
    let mut seen = Seen::default();
    let names = match db.keyspaces() {
        Ok(names) => names,
        Err(error) => return Err(Verdict::new(Class::WrongError, error.to_string())),
    };
    let unknown = Pairs::new();
    for name in names.into_iter().chain([String::new()]) {
        let space = match db.keyspace(&name) {
            Ok(space) => space,
            Err(error) => return Err(Verdict::new(Class::WrongError, error.to_string())),
        };
        let expected = subject.contents.spaces.get(&name).unwrap_or(&unknown);
        let forward = walk(&mut seen, space.iter(), false)?;
        let mut backward = walk(&mut seen, space.iter(), true)?;
        let whole = seen.errors.is_empty();
        backward.reverse();
        if whole && forward != backward {
            return Err(Verdict::new(Class::WrongValue, "backward is not forward"));
        }
        if !whole {
            in_part(expected, &forward, &backward)?;
        }
        let found: Pairs = forward.into_iter().collect();
        for key in expected.keys().chain(found.keys().filter(|key| !expected.contains_key(*key))) {
            match space.get(key) {
                Err(error) => {
                    seen.errors.push(told(&error)?);
                    seen.failed.insert((name.clone(), key.clone()));
                }
                Ok(value) => {
                    let should = if whole { found.get(key) } else { expected.get(key) };
                    if value.as_deref() != should.map(Vec::as_slice) {
                        return Err(Verdict::new(Class::WrongValue, "get is not what a scan is"));
                    }
                }
            }
        }
        seen.contents.spaces.insert(name, found);
    }
    Ok(seen)
}

type Walked = Vec<(Vec<u8>, Vec<u8>)>;

/// What an iterator answers up to its end or its first error, which must be its last word.
fn walk(seen: &mut Seen, mut iter: Iter, back: bool) -> Judged<Walked> {
    let mut step = || if back { iter.next_back() } else { iter.next() };
    let mut pairs = Vec::new();
    while let Some(pair) = step() {
        match pair {
            Ok((key, value)) => pairs.push((key.to_vec(), value.to_vec())),
            Err(error) => {
                seen.errors.push(told(&error)?);
                if matches!(step(), Some(Ok(_))) {
                    let said = "an iterator goes on behind an error";
                    return Err(Verdict::new(Class::MissingSilently, said));
                }
                break;
            }
        }
    }
    Ok(pairs)
}

/// What was read before an error is the beginning and the end of what is there.
fn in_part(expected: &Pairs, forward: &Walked, backward: &Walked) -> Judged<()> {
    let begins = expected.iter().zip(forward).all(|(a, b)| (a.0, a.1) == (&b.0, &b.1));
    let ends = expected.iter().rev().zip(backward.iter().rev());
    let ends = ends.into_iter().all(|(a, b)| (a.0, a.1) == (&b.0, &b.1));
    if begins && ends && forward.len() <= expected.len() && backward.len() <= expected.len() {
        return Ok(());
    }
    Err(Verdict::new(Class::WrongValue, "what was read before an error is not what was there"))
}

/// Judges what was read of a store that was opened.
pub(crate) fn judge(
    subject: &Subject,
    damage: &Damage,
    changes: &Changes,
    seen: &Seen,
) -> Judged<Verdict> {
    if seen.errors.is_empty() {
        return compare(subject, damage, changes, &seen.contents);
    }
    let facts = subject.tables.get(&damage.file);
    let facts = facts.filter(|_| !matches!(damage.how, How::Swap(_)));
    if let Some(facts) = facts {
        let elsewhere = seen.failed.difference(&facts.dependents).next();
        if let Some((_, key)) = elsewhere.filter(|_| facts.opens_without) {
            let said = format!("a key of {} bytes in another place is unreadable", key.len());
            return Err(Verdict::new(Class::TooMuchLost, said));
        }
        let one_block = matches!(damage.how, How::Flip(at, _) if at < facts.data_end);
        if one_block && facts.has_blocks && seen.failed.len() == facts.dependents.len() {
            let said = "a byte in one block makes the whole table unreadable";
            return Err(Verdict::new(Class::TooMuchLost, said));
        }
    }
    let said = seen.errors.first().cloned().unwrap_or_default();
    Ok(Verdict::new(Class::DetectedAtRead, said))
}

/// Judges whole contents, read without an error.
fn compare(
    subject: &Subject,
    damage: &Damage,
    changes: &Changes,
    found: &Contents,
) -> Judged<Verdict> {
    if *found == subject.contents {
        return Ok(Verdict::new(Class::Identical, ""));
    }
    let digest = found.digest();
    let index = subject.states.iter().rposition(|state| *state == digest);
    let in_logs = changes.iter().any(|(name, _)| subject.is_live_log(name));
    if let Some(index) = index.filter(|_| !subject.clean && in_logs) {
        let (at, end) = extent(subject, damage, changes);
        let before = subject.records_before(&damage.file, at);
        let of = subject.states.len() - 1;
        let said = format!("{index} of {of} writes, {before} before the damage");
        if index >= before && index >= subject.proven {
            return Ok(Verdict::new(Class::TailLoss, said));
        }
        let one_byte = matches!(damage.how, How::Flip(..));
        let other = if let How::Swap(other) = &damage.how { other } else { &damage.file };
        let last = subject.is_last_log(&damage.file) || subject.is_last_log(other);
        let to_the_end = end && !one_byte && last;
        if index >= before && to_the_end {
            return Ok(Verdict::new(Class::ProofLoss, said));
        }
    }
    Err(difference(&subject.contents, found))
}

/// Where the damage to a log begins, and whether none of its records behind that is whole: then
/// nothing is left that could vouch for what is lost.
fn extent(subject: &Subject, damage: &Damage, changes: &Changes) -> (usize, bool) {
    let old = subject.image.files.get(&damage.file);
    let new = changes.iter().find(|(name, _)| *name == damage.file);
    let (Some(old), Some((_, Some(new)))) = (old, new) else {
        // A log that is gone is missed where the manifest names it.
        return (0, !subject.named.contains(&damage.file));
    };
    let begin = old.iter().zip(new.iter()).position(|(a, b)| a != b);
    let begin = begin.unwrap_or(old.len().min(new.len()));
    let mut behind = records(old).into_iter().filter(|record| record.end > begin);
    let gone = behind.all(|record| old.get(record.clone()) != new.get(record));
    (begin, gone)
}

/// The first difference of contents, as a class.
fn difference(expected: &Contents, found: &Contents) -> Verdict {
    for (name, pairs) in &expected.spaces {
        let Some(there) = found.spaces.get(name) else {
            return Verdict::new(Class::MissingSilently, format!("the keyspace {name:?} is gone"));
        };
        for (key, value) in pairs {
            match there.get(key) {
                None => {
                    let said = format!("{} is gone", key.escape_ascii());
                    return Verdict::new(Class::MissingSilently, said);
                }
                Some(found) if found != value => {
                    let said = format!("{} has another value", key.escape_ascii());
                    return Verdict::new(Class::WrongValue, said);
                }
                Some(_) => {}
            }
        }
        if let Some(key) = there.keys().find(|key| !pairs.contains_key(*key)) {
            let said = format!("{} is back in {name:?}", key.escape_ascii());
            return Verdict::new(Class::Resurrected, said);
        }
    }
    Verdict::new(Class::Resurrected, "a keyspace is back")
}
