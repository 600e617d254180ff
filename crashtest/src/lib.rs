//! What the harness shares with other programs: the black box, a program that writes to a store
//! until it is killed, and the check of what is found afterwards, over any engine; and the hostile
//! bytes, which the fuzz targets below `fuzz/` run too.
#![forbid(unsafe_code)]
#![expect(
    clippy::disallowed_methods,
    reason = "a program beside the store works on the real files, not through its seam"
)]

pub mod hostile;
pub mod torture;
