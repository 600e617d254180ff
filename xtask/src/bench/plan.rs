//! What is measured beside other engines: groups of workloads, each group one process.

use serde_json::{Map, Value};

/// Workloads that a process runs in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Group {
    /// Its name on the command line, and the first part of the names of its rows.
    pub(crate) name: &'static str,
    /// What the report says about it.
    pub(crate) title: &'static str,
    /// Arguments of the program, the number of keys not among them.
    pub(crate) arguments: &'static str,
    pub(crate) workloads: &'static str,
    /// Keys for each 1000 keys of the whole run.
    pub(crate) per_mille: u64,
    /// Engines that are not asked, because the row would say nothing of them or never end.
    pub(crate) without: &'static [&'static str],
}

/// Every engine, in the order in which they run and are shown.
pub(crate) const ENGINES: [&str; 6] = ["kv", "rocksdb", "fjall", "redb", "lmdb", "sled"];

/// sled only has a few rows: it is not developed any more, and its memory grows beyond bounds.
const NO_SLED: &[&str] = &["sled"];

/// After a kill, redb without durability has nothing and sled not all of what was written; LMDB has
/// no log, so that its open does no work.
const NO_LOG: &[&str] = &["redb", "sled", "lmdb"];

/// One writer at a time, or no transactions that are both serializable and concurrent.
const NO_OPTIMISTIC: &[&str] = &["redb", "lmdb", "sled"];

pub(crate) const GROUPS: &[Group] = &[
    Group {
        name: "write",
        title: "Writing, one thread",
        arguments: "--seconds 8",
        workloads: "fillseq fillbatch fillrandom overwrite deleterandom",
        per_mille: 1000,
        without: NO_SLED,
    },
    Group {
        name: "write2",
        title: "Writing, two threads",
        arguments: "--seconds 8 --threads 2",
        workloads: "fillseq fillbatch fillrandom overwrite",
        per_mille: 1000,
        without: NO_SLED,
    },
    Group {
        name: "sustained",
        title: "Overwriting a store ten times the cache, until no compaction is owed",
        arguments: "--load --seconds 15 --cache 25165824 --write-buffer 8388608 --rounds 3",
        workloads: "overwritewait",
        per_mille: 1000,
        without: NO_SLED,
    },
    Group {
        name: "sync1",
        title: "Synced writes, one thread",
        arguments: "--sync --seconds 2 --ops 1000000",
        workloads: "fillsync",
        per_mille: 1000,
        without: NO_SLED,
    },
    Group {
        name: "sync8",
        title: "Synced writes, 8 threads",
        arguments: "--sync --seconds 2 --ops 1000000 --threads 8",
        workloads: "fillsync",
        per_mille: 1000,
        without: NO_SLED,
    },
    Group {
        name: "sync32",
        title: "Synced writes, 32 threads",
        arguments: "--sync --seconds 2 --ops 1000000 --threads 32",
        workloads: "fillsync",
        per_mille: 1000,
        without: NO_SLED,
    },
    Group {
        name: "read",
        title: "Reading, one thread",
        arguments: "--load --warm --seconds 5 --seek-steps 10,100",
        workloads: "readrandom readmissing seekrandom readseq readreverse",
        per_mille: 1000,
        without: &[],
    },
    Group {
        name: "read2",
        title: "Reading, two threads",
        arguments: "--load --warm --seconds 4 --threads 2",
        workloads: "readrandom readmissing seekrandom",
        per_mille: 1000,
        without: NO_SLED,
    },
    Group {
        name: "mixed",
        title: "Reading while one more thread writes as fast as it can",
        arguments: "--load --seconds 5",
        workloads: "readwhilewriting",
        per_mille: 1000,
        without: NO_SLED,
    },
    Group {
        name: "limited",
        title: "Reading while one more thread writes 50,000 times a second",
        arguments: "--load --seconds 5 --write-rate 50000",
        workloads: "readwhilewriting",
        per_mille: 1000,
        without: NO_SLED,
    },
    Group {
        name: "ycsb",
        title: "YCSB, one thread",
        arguments: "--load --seconds 4",
        workloads: "ycsba ycsbb ycsbc ycsbf ycsbd ycsbe",
        per_mille: 1000,
        without: NO_SLED,
    },
    Group {
        name: "transact",
        title: "Optimistic serializable transactions, one thread",
        arguments: "--load --seconds 4 --ops 1000000000",
        workloads: "transact0 transact10 transact90",
        per_mille: 1000,
        without: NO_OPTIMISTIC,
    },
    Group {
        name: "transact2",
        title: "Optimistic serializable transactions, two threads",
        arguments: "--load --seconds 4 --ops 1000000000 --threads 2",
        workloads: "transact0 transact10 transact90",
        per_mille: 1000,
        without: NO_OPTIMISTIC,
    },
    Group {
        name: "transact4",
        title: "Optimistic serializable transactions, four threads",
        arguments: "--load --seconds 4 --ops 1000000000 --threads 4",
        workloads: "transact0 transact10 transact90",
        per_mille: 1000,
        without: NO_OPTIMISTIC,
    },
    Group {
        name: "transact8",
        title: "Optimistic serializable transactions, eight threads",
        arguments: "--load --seconds 4 --ops 1000000000 --threads 8",
        workloads: "transact0 transact10 transact90",
        per_mille: 1000,
        without: NO_OPTIMISTIC,
    },
    Group {
        name: "open",
        title: "Opening, after a clean close",
        arguments: "--load",
        workloads: "open",
        per_mille: 1000,
        without: NO_SLED,
    },
    Group {
        name: "openlog",
        title: "Opening, after a kill with 64 MiB in the log",
        arguments: "",
        workloads: "openlog",
        per_mille: 1000,
        without: NO_LOG,
    },
    Group {
        name: "space",
        title: "Merging everything",
        arguments: "--load --seconds 8",
        workloads: "overwrite compact",
        per_mille: 1000,
        without: NO_SLED,
    },
    Group {
        name: "shape-16-8",
        title: "Keys of 16 bytes, values of 8",
        arguments: "--seconds 5 --value-size 8",
        workloads: "fillrandom overwrite readrandom seekrandom",
        per_mille: 2000,
        without: NO_SLED,
    },
    Group {
        name: "shape-24-150",
        title: "Keys of 24 bytes, values of 150",
        arguments: "--seconds 5 --key-size 24 --value-size 150",
        workloads: "fillrandom overwrite readrandom seekrandom",
        per_mille: 700,
        without: NO_SLED,
    },
    Group {
        name: "shape-23-1000",
        title: "Keys of 23 bytes, values of 1000",
        arguments: "--seconds 5 --key-size 23 --value-size 1000",
        workloads: "fillrandom overwrite readrandom seekrandom",
        per_mille: 200,
        without: NO_SLED,
    },
    Group {
        name: "shape-16-16k",
        title: "Keys of 16 bytes, values of 16 KiB",
        arguments: "--seconds 5 --value-size 16384",
        workloads: "fillrandom overwrite readrandom seekrandom",
        per_mille: 20,
        without: NO_SLED,
    },
    Group {
        name: "shape-60-100",
        title: "Keys of 60 bytes with long shared prefixes, values of 100",
        arguments: "--seconds 5 --prefix --key-size 60",
        workloads: "fillrandom overwrite readrandom seekrandom",
        per_mille: 800,
        without: NO_SLED,
    },
];

/// What a run is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) keys: u64,
    pub(crate) rounds: u64,
    /// Of [`ENGINES`].
    pub(crate) engines: Vec<&'static str>,
    pub(crate) groups: Vec<&'static Group>,
    /// Only these workloads of the groups; all where there is none.
    pub(crate) workloads: Vec<String>,
    /// Results of earlier runs stay beside the new ones.
    pub(crate) add: bool,
    /// The program is there already.
    pub(crate) built: bool,
    /// Where the stores lie.
    pub(crate) dir: Option<String>,
    /// What the report says about this run.
    pub(crate) note: Option<String>,
    /// Nothing is measured; the report is written anew.
    pub(crate) report: bool,
}

impl Wanted {
    /// What the command line says; `Err` is what is wrong with it.
    pub(crate) fn parse(arguments: &[&str]) -> Result<Wanted, String> {
        let mut wanted = Wanted {
            keys: 2_000_000,
            rounds: 3,
            engines: ENGINES.to_vec(),
            groups: GROUPS.iter().filter(|group| !group.name.starts_with("shape")).collect(),
            workloads: Vec::new(),
            add: false,
            built: false,
            dir: None,
            note: None,
            report: false,
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match *argument {
                "--quick" => (wanted.keys, wanted.rounds) = (200_000, 1),
                "--add" => wanted.add = true,
                "--built" => wanted.built = true,
                "--report" => wanted.report = true,
                option => {
                    let value =
                        arguments.next().ok_or_else(|| format!("{option} wants a value"))?;
                    wanted.set(option, value)?;
                }
            }
        }
        Ok(wanted)
    }

    fn set(&mut self, option: &str, value: &str) -> Result<(), String> {
        let number = || match value.parse() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(format!("{option} wants a number")),
        };
        let list = value.split(',');
        match option {
            "--keys" => self.keys = number()?,
            "--rounds" => self.rounds = number()?,
            "--dir" => self.dir = Some(value.to_owned()),
            "--note" => self.note = Some(value.to_owned()),
            "--workloads" => self.workloads = list.map(str::to_owned).collect(),
            "--engines" => {
                let known = |name: &str| ENGINES.into_iter().find(|engine| *engine == name);
                let engine = |name| known(name).ok_or_else(|| format!("no engine {name}"));
                self.engines = list.map(engine).collect::<Result<_, _>>()?;
            }
            "--groups" => {
                let known = |name: &str| GROUPS.iter().find(|group| group.name == name);
                let group = |name| known(name).ok_or_else(|| format!("no group {name}"));
                self.groups = list.map(group).collect::<Result<_, _>>()?;
            }
            _ => return Err(format!("no option {option}")),
        }
        Ok(())
    }

    /// Puts the note among the conditions of a run.
    pub(crate) fn say(&self, conditions: &mut Map<String, Value>) {
        if let Some(note) = &self.note {
            conditions.insert("note".to_owned(), note.as_str().into());
        }
    }

    /// The engines that are wanted and that a group asks.
    pub(crate) fn engines_of(&self, group: &Group) -> Vec<&'static str> {
        let asked = |engine: &&str| !group.without.contains(engine);
        self.engines.iter().copied().filter(asked).collect()
    }

    /// The workloads of a group that are wanted.
    pub(crate) fn workloads_of(&self, group: &Group) -> Vec<&'static str> {
        let all = group.workloads.split(' ');
        all.filter(|name| self.workloads.is_empty() || self.workloads.iter().any(|w| w == name))
            .collect()
    }
}

impl Group {
    /// A multiple of 1000, so that batches hold all.
    pub(crate) fn keys(&self, of: u64) -> u64 {
        (of * self.per_mille / 1_000_000).max(1) * 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_arguments_all_but_the_other_shapes_are_run() {
        let wanted = Wanted::parse(&[]).unwrap();
        assert_eq!((wanted.keys, wanted.rounds, wanted.engines.len()), (2_000_000, 3, 6));
        assert!(wanted.groups.iter().any(|group| group.name == "write"));
        assert!(!wanted.groups.iter().any(|group| group.name.starts_with("shape")));
    }

    #[test]
    fn a_part_can_be_chosen() {
        let wanted = Wanted::parse(&[
            "--quick",
            "--engines",
            "kv,lmdb",
            "--groups",
            "read,write",
            "--workloads",
            "readseq,fillseq",
            "--keys",
            "5000",
        ])
        .unwrap();
        assert_eq!((wanted.keys, wanted.rounds), (5000, 1));
        assert_eq!(wanted.engines, ["kv", "lmdb"]);
        let chosen: Vec<_> = wanted.groups.iter().map(|group| wanted.workloads_of(group)).collect();
        assert_eq!(chosen, [["readseq"], ["fillseq"]]);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for wrong in [
            &["--engines", "x"][..],
            &["--groups", "x"],
            &["--keys", "0"],
            &["--keys"],
            &["--x", "1"],
        ] {
            assert!(Wanted::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn every_group_has_a_name_of_its_own_and_whole_batches() {
        let mut names: Vec<_> = GROUPS.iter().map(|group| group.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), GROUPS.len());
        assert!(GROUPS.iter().all(|group| group.keys(2_000_000) % 1000 == 0));
    }
}
