//! The child of the black box: opens a store, checks what it finds against what the lives before
//! it wrote, tells so, and then writes from many threads until it is killed or its time is up.
//!
//! Promises: every write is drawn from the seed, so that its intent and its acknowledgement are
//! all that must be noted; both are noted outside the store, in files that survive a kill without
//! a sync because the kernel has them. What an engine must be able to do is [`Engine`] and
//! [`Store`].

mod check;
mod die;
mod draw;
mod kv;
mod ledger;
mod life;
mod model;
mod store;
mod value;

pub use check::{Floor, Verdict};
pub use die::{Death, DyingFs, Phase, Sort, When};
pub use draw::Draw;
pub use kv::Kv;
pub use ledger::Ledger;
pub use life::{Life, run};
pub use model::Change;
pub use store::{Engine, Place, Store};
