//! Writes: admitted, logged, inserted, published, and slowed down where the background is behind.

pub(crate) mod buffer;
mod commit;
pub(crate) mod limit;
pub(crate) mod publish;
pub(crate) mod room;
mod rotate;
pub(crate) mod share;
pub(crate) mod stall;
