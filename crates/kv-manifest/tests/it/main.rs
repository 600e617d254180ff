//! What the manifest promises, one module for each promise.

#![allow(clippy::unwrap_used)]

mod crash;
mod damage;
mod examine;
mod failure;
mod format;
mod numbers;
mod read_only;
mod roll_over;
mod rules;
mod support;
mod values;
