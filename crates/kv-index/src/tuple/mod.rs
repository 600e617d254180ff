//! The order-preserving encoding: what a tuple is, and how its bytes come about.
//!
//! Three properties hold, and everything else is built on them:
//!
//! * **Order.** The bytes of two tuples compare as their values do, item by item; a tuple comes
//!   before the longer ones that it begins.
//! * **Prefix.** The bytes of a tuple are the bytes of its items, one behind the other, so those
//!   of its first items are a prefix of it.
//! * **No item's bytes are a prefix of another item's.** So tuples of the same length are never
//!   prefixes of each other, and complemented bytes sort the other way round.
//!
//! Integers are one kind, whatever Rust type they come from: `5_i64` and `5_u64` are the same
//! bytes, and all of `i128` compares as numbers do. Integers and floats are different kinds: every
//! integer comes before every float.

mod decode;
mod element;
mod tags;
mod value;

pub(crate) use decode::skip;
pub use decode::{Items, decode};
pub use element::{Columns, Desc, Element, Null};
pub use tags::{
    BYTES, END, ESCAPED, FALSE, FLOAT, MAX_DEPTH, MINUS_ONE, NESTED, NULL, STRING_END, TEXT, TRUE,
    ZERO,
};
pub use value::{Item, Value};

pub(crate) use element::sealed;

use thiserror::Error;

/// A tuple has more tuples inside each other than a decoder accepts.
///
/// ```
/// use kv_index::{TooDeep, Tuple};
/// let mut tuple = Tuple::of(1);
/// let error: TooDeep = loop {
///     let mut outer = Tuple::new();
///     match outer.push_tuple(&tuple) {
///         Ok(_) => tuple = outer,
///         Err(error) => break error,
///     }
/// };
/// assert!(error.to_string().contains("flatten"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("more than {MAX_DEPTH} tuples inside each other; flatten the innermost")]
pub struct TooDeep;

/// A tuple in its encoded form; compares as its values do.
///
/// ```
/// use kv_index::{Null, Tuple};
/// let mut tuple = Tuple::new();
/// tuple.push("ada").push(1815).push(Null);
/// assert_eq!(tuple, Tuple::of(("ada", 1815, Null)));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tuple {
    bytes: Vec<u8>,
    /// How many tuples are inside each other in it. Behind the bytes, which decide the order.
    depth: usize,
}

impl Tuple {
    /// The tuple of no items.
    ///
    /// ```
    /// assert!(kv_index::Tuple::new().is_empty());
    /// ```
    pub fn new() -> Tuple {
        Tuple::default()
    }

    /// The tuple of these items: one value, or a Rust tuple of up to eight.
    ///
    /// ```
    /// # use kv_index::Tuple;
    /// assert_eq!(Tuple::of(true).as_bytes(), [0x03]);
    /// assert_eq!(Tuple::of((true, false)).as_bytes(), [0x03, 0x02]);
    /// ```
    pub fn of(columns: impl Columns) -> Tuple {
        let mut tuple = Tuple::new();
        columns.append_to(&mut tuple);
        tuple
    }

    /// Appends an item. A Rust tuple is one item here: a nested tuple.
    ///
    /// ```
    /// use kv_index::Tuple;
    /// let mut tuple = Tuple::new();
    /// tuple.push("ada").push((18, 15));
    /// assert_eq!(tuple.items().count(), 2);
    /// ```
    pub fn push<E: Element>(&mut self, element: E) -> &mut Tuple {
        const { assert!(E::DEPTH <= MAX_DEPTH, "too many tuples inside each other") };
        element.encode(&mut self.bytes, sealed::Seal);
        self.depth = self.depth.max(E::DEPTH);
        self
    }

    /// Appends a whole tuple as one item.
    ///
    /// ```
    /// # use kv_index::Tuple;
    /// let inner = Tuple::of((1, 2));
    /// let mut outer = Tuple::of("a");
    /// outer.push_tuple(&inner)?;
    /// assert_eq!(outer, Tuple::of(("a", (1, 2))));
    /// # Ok::<(), kv_index::TooDeep>(())
    /// ```
    pub fn push_tuple(&mut self, inner: &Tuple) -> Result<&mut Tuple, TooDeep> {
        if inner.depth >= MAX_DEPTH {
            return Err(TooDeep);
        }
        self.bytes.push(NESTED);
        self.bytes.extend_from_slice(&inner.bytes);
        self.bytes.push(END);
        self.depth = self.depth.max(inner.depth + 1);
        Ok(self)
    }

    /// Appends an item of a kind that is known only when the program runs. Nothing is appended
    /// where it does not fit.
    ///
    /// ```
    /// # use kv_index::{Item, Tuple, Value};
    /// let mut tuple = Tuple::new();
    /// tuple.push_item(&Item::descending(Value::Int(7)))?;
    /// assert_eq!(tuple, Tuple::of(kv_index::Desc(7)));
    /// # Ok::<(), kv_index::TooDeep>(())
    /// ```
    pub fn push_item(&mut self, item: &Item<'_>) -> Result<&mut Tuple, TooDeep> {
        let depth = item.value.depth(MAX_DEPTH).ok_or(TooDeep)?;
        item.encode(&mut self.bytes);
        self.depth = self.depth.max(depth);
        Ok(self)
    }

    /// The encoded bytes.
    ///
    /// ```
    /// use kv_index::Tuple;
    /// assert!(Tuple::of(9).as_bytes() < Tuple::of(10).as_bytes());
    /// ```
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The encoded bytes.
    ///
    /// ```
    /// let key: Vec<u8> = kv_index::Tuple::of(("user", 7)).into_bytes();
    /// ```
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Whether there are no items.
    ///
    /// ```
    /// assert!(!kv_index::Tuple::of(1).is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes all items out and keeps the memory.
    ///
    /// ```
    /// let mut tuple = kv_index::Tuple::of((1, 2));
    /// tuple.clear();
    /// assert!(tuple.is_empty());
    /// ```
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.depth = 0;
    }

    /// The prefix of the encodings of all tuples that go on behind these items with an ascending
    /// text which begins with `text`.
    ///
    /// ```
    /// # use kv_index::Tuple;
    /// let prefix = Tuple::of(1).text_prefix("ad");
    /// assert!(Tuple::of((1, "ada")).as_bytes().starts_with(&prefix));
    /// assert!(!Tuple::of((1, "bob")).as_bytes().starts_with(&prefix));
    /// ```
    pub fn text_prefix(&self, text: &str) -> Vec<u8> {
        let mut prefix = self.bytes.clone();
        prefix.push(TEXT);
        element::escape(&mut prefix, text.as_bytes());
        prefix
    }

    /// The items.
    ///
    /// ```
    /// use kv_index::{Tuple, Value};
    /// let tuple = Tuple::of((true, 7));
    /// let values: Vec<Value<'_>> = tuple.items().map(|item| item.unwrap().value).collect();
    /// assert_eq!(values, [Value::Bool(true), Value::Int(7)]);
    /// ```
    pub fn items(&self) -> Items<'_> {
        Items::new(&self.bytes)
    }
}
