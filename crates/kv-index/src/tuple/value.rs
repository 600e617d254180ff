//! Values whose kind is known only when the program runs: what a decoder answers.

use super::element::{complement, put_bool, put_float, put_int, put_string};
use super::tags::{BYTES, END, NESTED, NULL, TEXT};
use std::borrow::Cow;
use std::cmp::Ordering;

/// A value. The order is that of the kinds below, from the first to the last, then that of the
/// values: integers as numbers, floats by `f64::total_cmp` (so -0 comes before 0, and a NaN is
/// equal to itself), text and bytes by their bytes, tuples item by item.
///
/// ```
/// use kv_index::Value;
/// assert!(Value::Null < Value::Int(-1));
/// assert!(Value::Int(10) < Value::Float(0.5)); // kinds first
/// ```
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// No value.
    Null,
    /// A boolean; false comes first.
    Bool(bool),
    /// An integer, whatever type it was pushed as.
    Int(i128),
    /// A float.
    Float(f64),
    /// Text.
    Text(Cow<'a, str>),
    /// Bytes.
    Bytes(Cow<'a, [u8]>),
    /// A nested tuple.
    Tuple(Vec<Item<'a>>),
}

/// One item of a tuple. Ascending items come before descending ones.
///
/// ```
/// use kv_index::{Desc, Item, Tuple, Value, decode};
/// let tuple = Tuple::of(Desc(1815));
/// assert_eq!(decode(tuple.as_bytes())?, [Item { value: Value::Int(1815), descending: true }]);
/// # Ok::<(), kv_index::Malformed>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// The value.
    pub value: Value<'a>,
    /// Whether greater values come first.
    pub descending: bool,
}

impl<'a> Item<'a> {
    /// An item in the usual order.
    ///
    /// ```
    /// use kv_index::{Item, Value};
    /// assert!(!Item::ascending(Value::Null).descending);
    /// ```
    pub fn ascending(value: Value<'a>) -> Item<'a> {
        Item { value, descending: false }
    }

    /// An item in the opposite order.
    ///
    /// ```
    /// use kv_index::{Item, Value};
    /// assert!(Item::descending(Value::Int(2)) < Item::descending(Value::Int(1)));
    /// ```
    pub fn descending(value: Value<'a>) -> Item<'a> {
        Item { value, descending: true }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        if self.descending {
            complement(out, |out| self.value.encode(out));
        } else {
            self.value.encode(out);
        }
    }
}

impl Value<'_> {
    /// How many tuples are inside each other in it, `None` where they are more than `limit`.
    pub(super) fn depth(&self, limit: usize) -> Option<usize> {
        let Value::Tuple(items) = self else { return Some(0) };
        let limit = limit.checked_sub(1)?;
        items.iter().try_fold(1, |depth, item| Some(depth.max(1 + item.value.depth(limit)?)))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Value::Null => out.push(NULL),
            Value::Bool(value) => put_bool(out, *value),
            Value::Int(value) => put_int(out, *value),
            Value::Float(value) => put_float(out, *value),
            Value::Text(text) => put_string(out, TEXT, text.as_bytes()),
            Value::Bytes(bytes) => put_string(out, BYTES, bytes),
            Value::Tuple(items) => {
                out.push(NESTED);
                items.iter().for_each(|item| item.encode(out));
                out.push(END);
            }
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Value::Null => 0,
            Value::Bool(_) => 1,
            Value::Int(_) => 2,
            Value::Float(_) => 3,
            Value::Text(_) => 4,
            Value::Bytes(_) => 5,
            Value::Tuple(_) => 6,
        }
    }
}

impl Ord for Value<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            (Value::Int(a), Value::Int(b)) => a.cmp(b),
            (Value::Float(a), Value::Float(b)) => a.total_cmp(b),
            (Value::Text(a), Value::Text(b)) => a.cmp(b),
            (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
            (Value::Tuple(a), Value::Tuple(b)) => a.cmp(b),
            (a, b) => a.kind().cmp(&b.kind()),
        }
    }
}

impl Ord for Item<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.descending, other.descending) {
            (false, false) => self.value.cmp(&other.value),
            (true, true) => other.value.cmp(&self.value),
            (a, b) => a.cmp(&b),
        }
    }
}

impl PartialOrd for Value<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialOrd for Item<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Value<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Value<'_> {}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Value<'a> {
        Value::Text(Cow::Borrowed(text))
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Value<'a> {
        Value::Bytes(Cow::Borrowed(bytes))
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Value::Int(i128::from(value))
    }
}

impl From<u64> for Value<'_> {
    fn from(value: u64) -> Self {
        Value::Int(i128::from(value))
    }
}

impl From<f64> for Value<'_> {
    fn from(value: f64) -> Self {
        Value::Float(value)
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}
