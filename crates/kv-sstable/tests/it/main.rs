//! What a table promises, by promise.
#![allow(clippy::unwrap_used)]

mod model;
mod support;
