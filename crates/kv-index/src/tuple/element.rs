//! What may be pushed, by Rust type: each writes its ascending form.

use super::tags::{
    BYTES, END, ESCAPE, ESCAPED, FALSE, FLOAT, MINUS_ONE, NESTED, NULL, STRING_END, TEXT, TRUE,
    ZERO,
};
use super::{Tuple, tags};

/// Keeps [`Element::encode`] out of reach: what it writes is a promise of this module.
pub(crate) mod sealed {
    /// Only this crate can name it.
    #[derive(Clone, Copy, Debug)]
    pub struct Seal;
}
use sealed::Seal;

/// A value that is one item of a [`Tuple`]: null, booleans, integers, floats, text, bytes,
/// `Option`s of them (`None` is null), Rust tuples of them (nested tuples), and [`Desc`].
///
/// ```
/// use kv_index::{Element, Tuple};
/// fn pair(first: impl Element, second: impl Element) -> Tuple {
///     let mut tuple = Tuple::new();
///     tuple.push(first).push(second);
///     tuple
/// }
/// assert_eq!(pair("a", Some(1)), Tuple::of(("a", 1)));
/// ```
pub trait Element {
    /// How many tuples are inside each other in it.
    #[doc(hidden)]
    const DEPTH: usize = 0;

    /// Appends the item.
    #[doc(hidden)]
    fn encode(&self, out: &mut Vec<u8>, seal: Seal);
}

/// A list of items: one [`Element`], or a Rust tuple of up to eight of them, or a [`Tuple`].
///
/// ```
/// use kv_index::{Columns, Tuple};
/// struct Person {
///     name: &'static str,
///     born: i32,
/// }
/// impl Columns for Person {
///     fn append_to(&self, tuple: &mut Tuple) {
///         tuple.push(self.name).push(self.born);
///     }
/// }
/// assert_eq!(Tuple::of(Person { name: "ada", born: 1815 }), Tuple::of(("ada", 1815)));
/// ```
pub trait Columns {
    /// Appends the items to a tuple.
    fn append_to(&self, tuple: &mut Tuple);
}

/// Null, which comes before every other value.
///
/// ```
/// use kv_index::{Null, Tuple};
/// assert!(Tuple::of(Null) < Tuple::of(false));
/// assert_eq!(Tuple::of(Null), Tuple::of(None::<i32>));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Null;

/// Sorts a value the other way round.
///
/// ```
/// use kv_index::{Desc, Tuple};
/// assert!(Tuple::of(Desc(2)) < Tuple::of(Desc(1)));
/// assert!(Tuple::of(Desc("b")) < Tuple::of(Desc("a")));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Desc<T>(pub T);

/// Writes an item with `write`, then turns its order round.
pub(super) fn complement(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    write(out);
    for byte in out.iter_mut().skip(at) {
        *byte = !*byte;
    }
}

pub(super) fn put_bool(out: &mut Vec<u8>, value: bool) {
    out.push(if value { TRUE } else { FALSE });
}

/// How many bytes an integer has behind its tag: as few as hold what is different from the tag's
/// own integer.
pub(super) fn int_len(value: i128) -> u8 {
    let rest = if value < 0 { !value } else { value };
    // At most 128 / 8.
    (tags::MAX_INT_LEN as u32 - rest.leading_zeros() / 8) as u8
}

pub(super) fn put_int(out: &mut Vec<u8>, value: i128) {
    let len = int_len(value);
    out.push(if value < 0 { MINUS_ONE - len } else { ZERO + len });
    let skip = usize::from(tags::MAX_INT_LEN - len);
    out.extend(value.to_be_bytes().into_iter().skip(skip));
}

pub(super) fn put_float(out: &mut Vec<u8>, value: f64) {
    const SIGN: u64 = 1 << 63;
    let bits = value.to_bits();
    let ordered = if bits & SIGN == 0 { bits | SIGN } else { !bits };
    out.push(FLOAT);
    out.extend_from_slice(&ordered.to_be_bytes());
}

/// Appends a string's bytes without its end.
pub(super) fn escape(out: &mut Vec<u8>, string: &[u8]) {
    let mut runs = string.split(|byte| *byte == ESCAPE);
    out.extend_from_slice(runs.next().unwrap_or_default());
    for run in runs {
        out.extend_from_slice(&[ESCAPE, ESCAPED]);
        out.extend_from_slice(run);
    }
}

pub(super) fn put_string(out: &mut Vec<u8>, tag: u8, string: &[u8]) {
    out.reserve(string.len() + 3);
    out.push(tag);
    escape(out, string);
    out.extend_from_slice(&[ESCAPE, STRING_END]);
}

/// An item, and a list of one.
macro_rules! elements {
    ($($type:ty: |$value:ident, $out:ident| $encode:expr;)*) => {$(
        impl Element for $type {
            fn encode(&self, $out: &mut Vec<u8>, _: Seal) {
                let $value = self;
                $encode
            }
        }

        impl Columns for $type {
            fn append_to(&self, tuple: &mut Tuple) {
                tuple.push(self);
            }
        }
    )*};
}

elements! {
    Null: |_null, out| out.push(NULL);
    bool: |value, out| put_bool(out, *value);
    f32: |value, out| put_float(out, f64::from(*value));
    f64: |value, out| put_float(out, *value);
    str: |value, out| put_string(out, TEXT, value.as_bytes());
    String: |value, out| put_string(out, TEXT, value.as_bytes());
    [u8]: |value, out| put_string(out, BYTES, value);
    Vec<u8>: |value, out| put_string(out, BYTES, value);
    i8: |value, out| put_int(out, i128::from(*value));
    i16: |value, out| put_int(out, i128::from(*value));
    i32: |value, out| put_int(out, i128::from(*value));
    i64: |value, out| put_int(out, i128::from(*value));
    i128: |value, out| put_int(out, *value);
    isize: |value, out| put_int(out, *value as i128);
    u8: |value, out| put_int(out, i128::from(*value));
    u16: |value, out| put_int(out, i128::from(*value));
    u32: |value, out| put_int(out, i128::from(*value));
    u64: |value, out| put_int(out, i128::from(*value));
    usize: |value, out| put_int(out, *value as i128);
}

impl<const N: usize> Element for [u8; N] {
    fn encode(&self, out: &mut Vec<u8>, _: Seal) {
        put_string(out, BYTES, self);
    }
}

impl<const N: usize> Columns for [u8; N] {
    fn append_to(&self, tuple: &mut Tuple) {
        tuple.push(self);
    }
}

impl<T: Element + ?Sized> Element for &T {
    const DEPTH: usize = T::DEPTH;

    fn encode(&self, out: &mut Vec<u8>, seal: Seal) {
        (**self).encode(out, seal);
    }
}

impl<T: Columns + ?Sized> Columns for &T {
    fn append_to(&self, tuple: &mut Tuple) {
        (**self).append_to(tuple);
    }
}

impl<T: Element> Element for Option<T> {
    const DEPTH: usize = T::DEPTH;

    fn encode(&self, out: &mut Vec<u8>, seal: Seal) {
        match self {
            Some(value) => value.encode(out, seal),
            None => out.push(NULL),
        }
    }
}

impl<T: Element> Columns for Option<T> {
    fn append_to(&self, tuple: &mut Tuple) {
        tuple.push(self);
    }
}

impl<T: Element> Element for Desc<T> {
    const DEPTH: usize = T::DEPTH;

    fn encode(&self, out: &mut Vec<u8>, seal: Seal) {
        complement(out, |out| self.0.encode(out, seal));
    }
}

impl<T: Element> Columns for Desc<T> {
    fn append_to(&self, tuple: &mut Tuple) {
        tuple.push(self);
    }
}

impl Columns for Tuple {
    fn append_to(&self, tuple: &mut Tuple) {
        tuple.bytes.extend_from_slice(&self.bytes);
        tuple.depth = tuple.depth.max(self.depth);
    }
}

impl Columns for () {
    fn append_to(&self, _: &mut Tuple) {}
}

const fn max(depths: &[usize]) -> usize {
    let (mut max, mut rest) = (0, depths);
    while let [first, others @ ..] = rest {
        max = if *first > max { *first } else { max };
        rest = others;
    }
    max
}

/// A nested tuple, and a list.
macro_rules! tuples {
    ($(($($name:ident)+))*) => {$(
        impl<$($name: Element),+> Element for ($($name,)+) {
            const DEPTH: usize = 1 + max(&[$($name::DEPTH),+]);

            #[expect(non_snake_case, reason = "a value is named after its type")]
            fn encode(&self, out: &mut Vec<u8>, seal: Seal) {
                let ($($name,)+) = self;
                out.push(NESTED);
                $($name.encode(out, seal);)+
                out.push(END);
            }
        }

        impl<$($name: Element),+> Columns for ($($name,)+) {
            #[expect(non_snake_case, reason = "a value is named after its type")]
            fn append_to(&self, tuple: &mut Tuple) {
                let ($($name,)+) = self;
                $(tuple.push($name);)+
            }
        }
    )*};
}

tuples! {
    (A)
    (A B)
    (A B C)
    (A B C D)
    (A B C D E)
    (A B C D E F)
    (A B C D E F G)
    (A B C D E F G H)
}
