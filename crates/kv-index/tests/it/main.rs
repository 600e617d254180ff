//! What the crate promises, by promise.
#![allow(clippy::unwrap_used)]

mod builds;
mod index_format;
mod indexes;
mod support;
mod tuple_damage;
mod tuple_format;
mod tuple_order;
mod values;
