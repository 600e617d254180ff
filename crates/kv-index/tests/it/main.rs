//! What the crate promises, by promise.
#![allow(clippy::unwrap_used)]

mod tuple_damage;
mod tuple_format;
mod tuple_order;
mod values;
