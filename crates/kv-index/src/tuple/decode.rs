//! From bytes back to values. The bytes may be anything.

use super::element::int_len;
use super::tags::{
    BYTES, DESCENDING, END, ESCAPE, ESCAPED, FALSE, FLOAT, MAX_DEPTH, MAX_INT_LEN, MINUS_ONE,
    NESTED, NULL, STRING_END, TEXT, TRUE, ZERO,
};
use super::value::{Item, Value};
use kv_core::{Malformed, Take};
use std::borrow::Cow;
use std::iter::FusedIterator;

const NEGATIVE: std::ops::RangeInclusive<u8> = MINUS_ONE - MAX_INT_LEN..=MINUS_ONE;
const POSITIVE: std::ops::RangeInclusive<u8> = ZERO..=ZERO + MAX_INT_LEN;

/// All items of an encoded tuple. Only bytes that an encoder writes are accepted: each tuple has
/// one form.
///
/// ```
/// use kv_index::{Tuple, Value, decode};
/// let tuple = Tuple::of((1, "a"));
/// let values = decode(tuple.as_bytes())?.into_iter().map(|item| item.value);
/// assert_eq!(values.collect::<Vec<_>>(), [Value::Int(1), Value::from("a")]);
/// assert_eq!(decode(&[0x22]).unwrap_err().to_string(), "fewer bytes than declared at byte 1");
/// # Ok::<(), kv_index::Malformed>(())
/// ```
pub fn decode(bytes: &[u8]) -> Result<Vec<Item<'_>>, Malformed> {
    Items::new(bytes).collect()
}

/// The items of an encoded tuple, one after the other. Behind an error nothing comes.
///
/// ```
/// use kv_index::Tuple;
/// let tuple = Tuple::of(("ada", 1815));
/// assert_eq!(tuple.items().count(), 2);
/// ```
#[derive(Clone, Debug)]
pub struct Items<'a> {
    take: Take<'a>,
}

impl<'a> Items<'a> {
    /// Reads from the start of `bytes`.
    ///
    /// ```
    /// use kv_index::{Items, Tuple};
    /// let bytes = Tuple::of((1, 2, 3)).into_bytes();
    /// assert_eq!(Items::new(&bytes).count(), 3);
    /// ```
    pub fn new(bytes: &'a [u8]) -> Items<'a> {
        Items { take: Take::new(bytes) }
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Item<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.take.is_empty() {
            return None;
        }
        let at = self.take.position();
        let item = match item(&mut self.take, 0, 0) {
            Ok(Some(item)) => Ok(item),
            Ok(None) => Err(Malformed { what: "the end of a tuple that did not begin", at }),
            Err(error) => Err(error),
        };
        if item.is_err() {
            self.take.rest();
        }
        Some(item)
    }
}

impl FusedIterator for Items<'_> {}

/// What an item begins with.
struct Head {
    tag: u8,
    descending: bool,
    /// What its further bytes are to be xored with: 0xFF where they are complemented.
    mask: u8,
    at: usize,
}

/// The head of the next item where bytes are under `mask`.
fn head(take: &mut Take<'_>, mask: u8) -> Result<Head, Malformed> {
    let at = take.position();
    let byte = take.u8()? ^ mask;
    if byte < DESCENDING {
        Ok(Head { tag: byte, descending: false, mask, at })
    } else {
        Ok(Head { tag: !byte, descending: true, mask: !mask, at })
    }
}

/// The next item, `None` for the end of the tuple around it. `depth` tuples are around it.
fn item<'a>(take: &mut Take<'a>, mask: u8, depth: usize) -> Result<Option<Item<'a>>, Malformed> {
    let Head { tag, descending, mask, at } = head(take, mask)?;
    let value = match tag {
        END if !descending => return Ok(None),
        NULL => Value::Null,
        FALSE => Value::Bool(false),
        TRUE => Value::Bool(true),
        FLOAT => Value::Float(float(take, mask)?),
        TEXT => Value::Text(text(take, mask)?),
        BYTES => Value::Bytes(string(take, mask)?),
        NESTED if depth == MAX_DEPTH => {
            return Err(Malformed { what: "too many tuples inside each other", at });
        }
        NESTED => {
            let mut items = Vec::new();
            while let Some(item) = item(take, mask, depth + 1)? {
                items.push(item);
            }
            Value::Tuple(items)
        }
        tag if NEGATIVE.contains(&tag) => Value::Int(int(take, mask, MINUS_ONE - tag, true)?),
        tag if POSITIVE.contains(&tag) => Value::Int(int(take, mask, tag - ZERO, false)?),
        _ => return Err(Malformed { what: "unknown kind of value", at }),
    };
    Ok(Some(Item { value, descending }))
}

fn int(take: &mut Take<'_>, mask: u8, len: u8, negative: bool) -> Result<i128, Malformed> {
    let at = take.position();
    let bytes = take.bytes(usize::from(len))?;
    let begin = if negative { -1_i128 } else { 0 };
    let value = bytes.iter().fold(begin, |n, byte| n << 8 | i128::from(byte ^ mask));
    if int_len(value) == len && (value < 0) == negative {
        Ok(value)
    } else {
        Err(Malformed { what: "integer not in its shortest form", at })
    }
}

fn float(take: &mut Take<'_>, mask: u8) -> Result<f64, Malformed> {
    const SIGN: u64 = 1 << 63;
    let ordered = u64::from_be_bytes(take.array::<8>()?.map(|byte| byte ^ mask));
    Ok(f64::from_bits(if ordered & SIGN == 0 { !ordered } else { ordered ^ SIGN }))
}

fn text<'a>(take: &mut Take<'a>, mask: u8) -> Result<Cow<'a, str>, Malformed> {
    let at = take.position();
    let malformed = || Malformed { what: "text that is not UTF-8", at };
    match string(take, mask)? {
        Cow::Borrowed(bytes) => {
            std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| malformed())
        }
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|_| malformed()),
    }
}

/// Text or bytes; a slice of the input where that holds them as they are.
fn string<'a>(take: &mut Take<'a>, mask: u8) -> Result<Cow<'a, [u8]>, Malformed> {
    let mut read = Vec::new();
    loop {
        let at = take.position();
        let len = take.clone().rest().iter().position(|byte| byte ^ mask == ESCAPE);
        let run = take.bytes(len.ok_or(Malformed { what: "string without an end", at })?)?;
        let at = take.position();
        let mark = match take.array::<2>()?.map(|byte| byte ^ mask) {
            [ESCAPE, mark @ (STRING_END | ESCAPED)] => mark,
            _ => return Err(Malformed { what: "unknown escape in a string", at }),
        };
        if mark == STRING_END && mask == 0 && read.is_empty() {
            return Ok(Cow::Borrowed(run));
        }
        read.extend(run.iter().map(|byte| byte ^ mask));
        if mark == STRING_END {
            return Ok(Cow::Owned(read));
        }
        read.push(ESCAPE);
    }
}

/// Passes over items up to the end of the bytes or a byte that begins none. It finds where they
/// end, and leaves it to [`decode`] to say whether they are right.
pub(crate) fn skip(take: &mut Take<'_>) -> Result<(), Malformed> {
    // What bytes are xored with in each tuple that is open, the innermost last.
    let mut masks = [0_u8; MAX_DEPTH + 1];
    let mut depth = 0;
    loop {
        let mut ahead = take.clone();
        let mask = masks.get(depth).copied().unwrap_or_default();
        if depth == 0 && matches!(ahead.u8(), Err(_) | Ok(END | 0xFF)) {
            return Ok(());
        }
        let Head { tag, descending, mask, at } = head(take, mask)?;
        match tag {
            END if !descending => depth = depth.saturating_sub(1),
            NULL | FALSE | TRUE => {}
            FLOAT => drop(take.bytes(8)?),
            TEXT | BYTES => skip_string(take, mask)?,
            NESTED => {
                depth += 1;
                let too_deep = Malformed { what: "too many tuples inside each other", at };
                *masks.get_mut(depth).ok_or(too_deep)? = mask;
            }
            tag if NEGATIVE.contains(&tag) => drop(take.bytes(usize::from(MINUS_ONE - tag))?),
            tag if POSITIVE.contains(&tag) => drop(take.bytes(usize::from(tag - ZERO))?),
            _ => return Err(Malformed { what: "unknown kind of value", at }),
        }
    }
}

fn skip_string(take: &mut Take<'_>, mask: u8) -> Result<(), Malformed> {
    let at = take.position();
    loop {
        let len = take.clone().rest().iter().position(|byte| byte ^ mask == ESCAPE);
        take.bytes(len.ok_or(Malformed { what: "string without an end", at })?)?;
        if take.array::<2>()?.map(|byte| byte ^ mask) == [ESCAPE, STRING_END] {
            return Ok(());
        }
    }
}
