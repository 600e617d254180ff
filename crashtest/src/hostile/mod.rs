//! Bytes that nobody wrote, under checksums that match.
//!
//! A target takes any bytes at all, makes files of them, forges the checksums that stand in the way
//! of what lies deeper, and reads. Whatever the bytes are, reading ends in an answer or an error:
//! never in a panic, never without an end, and never in memory that the length of the bytes does
//! not explain. Where there is an encoder, what was decoded is encoded and decoded again, and has
//! to be the same.
//!
//! The mutator and the fuzzer run the same targets.

mod batch;
mod block;
pub mod bytes;
mod corpus;
mod dir;
mod filter;
mod lengths;
mod log;
mod manifest;
mod operations;
pub mod records;
mod table;
mod tuple;
mod values;

pub use corpus::corpus;

/// What a target says of its input: whether it was taken as whole, or which promise is broken.
pub type Outcome = Result<bool, String>;

/// One decoder, or one whole store, under hostile bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// The records of a log, segment by segment, and the replay over all of them.
    Log,
    /// A manifest and its replay.
    Manifest,
    /// A whole table: footer, index, blocks, filter, range tombstones, properties.
    Table,
    /// One block of any type inside a table that is whole else.
    Block,
    /// A filter.
    Filter,
    /// The operations of a batch.
    Batch,
    /// Lengths and numbers: varints, and compressed blocks that declare what they do not hold.
    Lengths,
    /// Two tuples of `kv-index`.
    Tuple,
    /// All files of a store, and operations on it.
    Dir,
    /// Operations with crashes and opens in between, against a model.
    Operations,
}

impl Target {
    /// All of them.
    pub const ALL: [Target; 10] = [
        Target::Log,
        Target::Manifest,
        Target::Table,
        Target::Block,
        Target::Filter,
        Target::Batch,
        Target::Lengths,
        Target::Tuple,
        Target::Dir,
        Target::Operations,
    ];

    /// Its name on the command line and below `fuzz/`.
    pub fn name(self) -> &'static str {
        match self {
            Target::Log => "wal_read",
            Target::Manifest => "manifest_replay",
            Target::Table => "table_scan",
            Target::Block => "block_iter",
            Target::Filter => "filter_may_contain",
            Target::Batch => "batch_decode",
            Target::Lengths => "lengths",
            Target::Tuple => "tuple_decode",
            Target::Dir => "db_dir",
            Target::Operations => "model_ops",
        }
    }

    /// The target with that name.
    pub fn by_name(name: &str) -> Option<Target> {
        Target::ALL.into_iter().find(|target| target.name() == name)
    }

    /// Reads `input` in full.
    pub fn run(self, input: &[u8]) -> Outcome {
        match self {
            Target::Log => log::run(input),
            Target::Manifest => manifest::run(input),
            Target::Table => table::run(input),
            Target::Block => block::run(input),
            Target::Filter => filter::run(input),
            Target::Batch => batch::run(input),
            Target::Lengths => lengths::run(input),
            Target::Tuple => tuple::run(input),
            Target::Dir => dir::run(input),
            Target::Operations => operations::run(input),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engine_wrote_is_taken_as_whole() {
        for target in Target::ALL {
            let seeds = corpus(target).unwrap();
            assert!(!seeds.is_empty(), "{}", target.name());
            for (n, seed) in seeds.iter().enumerate() {
                assert_eq!(target.run(seed), Ok(true), "{} {n}", target.name());
            }
        }
    }

    #[test]
    fn any_few_bytes_end_in_an_answer() {
        for target in Target::ALL {
            for len in [0, 1, 2, 7, 64] {
                for fill in [0, 1, 0x7F, 0xFF] {
                    target.run(&vec![fill; len]).unwrap();
                }
            }
        }
    }
}
