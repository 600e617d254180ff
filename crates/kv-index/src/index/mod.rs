//! Indexes: how one is declared, what its entries look like, and how they are read.

pub(crate) mod declare;
pub(crate) mod entry;
pub(crate) mod read;
pub(crate) mod source;
