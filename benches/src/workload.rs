//! The names of the workloads: those of db_bench and YCSB, and a few of our own.

use std::fmt;
use std::str::FromStr;

macro_rules! workloads {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal, $effect:ident;)*) => {
        /// Work that is measured.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Workload {
            $($(#[doc = $doc])* $variant,)*
        }

        impl Workload {
            /// All of them.
            pub const ALL: &'static [Workload] = &[$(Workload::$variant,)*];

            /// Its name on the command line.
            pub fn name(self) -> &'static str {
                match self {
                    $(Workload::$variant => $name,)*
                }
            }

            /// What it does, in a line.
            pub fn about(self) -> &'static str {
                match self {
                    $(Workload::$variant => concat!($($doc),*).trim_ascii(),)*
                }
            }

            pub(crate) fn effect(self) -> Effect {
                match self {
                    $(Workload::$variant => Effect::$effect,)*
                }
            }
        }
    };
}

impl Workload {
    /// Whether threads share the work.
    pub(crate) fn is_threaded(self) -> bool {
        use Workload::{Compact, Flush, Open, OpenLog, Settle};
        !matches!(self, Open | OpenLog | Compact | Flush | Settle)
    }

    /// Whether it may begin only where no key is missing: what it reads could not be checked
    /// otherwise, because keys would appear meanwhile.
    pub(crate) fn needs_all_keys(self) -> bool {
        self == Workload::ReadWhileWriting
            || self.name().starts_with("ycsb")
            || self.is_transactional()
    }

    /// Whether every operation is a transaction.
    pub fn is_transactional(self) -> bool {
        use Workload::{Transact0, Transact10, Transact90};
        matches!(self, Transact0 | Transact10 | Transact90)
    }

    /// Whether everything is read behind it: what it lost would be noticed nowhere else.
    pub(crate) fn is_read_back(self) -> bool {
        use Workload::{Compact, DeleteRandom, DeleteRange};
        matches!(self, Compact | DeleteRandom | DeleteRange)
    }
}

/// What a workload needs and does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Begins with an empty store.
    Fills,
    /// Reads what is there and changes nothing.
    Reads,
    /// Needs keys, and changes the store.
    Changes,
    /// Has a store of its own.
    Apart,
}

workloads! {
    /// Puts every key into an empty store, in order
    FillSeq = "fillseq", Fills;
    /// Puts every key into an empty store, each once, in random order
    FillRandom = "fillrandom", Fills;
    /// The same in batches (--batch)
    FillBatch = "fillbatch", Fills;
    /// Puts a thousandth of the keys into an empty store, each write synced
    FillSync = "fillsync", Fills;
    /// Puts random keys that are there
    Overwrite = "overwrite", Changes;
    /// Overwrites --rounds times the keys, and pays all compaction debt before the clock stops
    OverwriteWait = "overwritewait", Changes;
    /// Gets random keys that are there
    ReadRandom = "readrandom", Reads;
    /// Gets random keys that are missing, between those that are there
    ReadMissing = "readmissing", Reads;
    /// Reads all entries from the first to the last
    ReadSeq = "readseq", Reads;
    /// Reads all entries from the last to the first
    ReadReverse = "readreverse", Reads;
    /// Seeks to random keys and reads some entries from there (--seek-steps)
    SeekRandom = "seekrandom", Reads;
    /// Gets random keys while one more thread overwrites (--write-rate)
    ReadWhileWriting = "readwhilewriting", Changes;
    /// Deletes half of the keys, in random order
    DeleteRandom = "deleterandom", Changes;
    /// Deletes random ranges of 100 keys, in all about a tenth of the keys
    DeleteRange = "deleterange", Changes;
    /// YCSB A: half reads, half updates, popular keys (zipf 0.99, scattered)
    YcsbA = "ycsba", Changes;
    /// YCSB B: 95 % reads, 5 % updates
    YcsbB = "ycsbb", Changes;
    /// YCSB C: reads
    YcsbC = "ycsbc", Reads;
    /// YCSB D: 95 % reads of the newest, 5 % inserts
    YcsbD = "ycsbd", Changes;
    /// YCSB E: 95 % scans of up to 100 entries, 5 % inserts
    YcsbE = "ycsbe", Changes;
    /// YCSB F: half reads, half reads with an update behind
    YcsbF = "ycsbf", Changes;
    /// Transactions that read two random keys and set both
    Transact0 = "transact0", Changes;
    /// The same, every tenth of them on the same 16 keys
    Transact10 = "transact10", Changes;
    /// The same, nine of ten on the same 16 keys
    Transact90 = "transact90", Changes;
    /// Opens the store after a clean close
    Open = "open", Reads;
    /// Opens a store whose process was killed with 64 MiB of keys and values in its log
    OpenLog = "openlog", Apart;
    /// Merges everything
    Compact = "compact", Changes;
    /// Writes memtables to tables
    Flush = "flush", Changes;
    /// Waits until no background work is left
    Settle = "settle", Changes;
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> Result<Workload, String> {
        let found = Workload::ALL.iter().find(|workload| workload.name() == text);
        found.copied().ok_or_else(|| format!("there is no workload {text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_back_to_its_workload() {
        for workload in Workload::ALL {
            assert_eq!(workload.name().parse(), Ok(*workload));
            assert!(!workload.about().is_empty());
        }
        assert!("fill".parse::<Workload>().is_err());
    }
}
