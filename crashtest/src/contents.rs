//! What a store holds, as a value that can be compared and digested.

use kv_engine::{Db, Error};
use std::collections::BTreeMap;
use xxhash_rust::xxh3::Xxh3;

/// The pairs of one keyspace.
pub(crate) type Pairs = BTreeMap<Vec<u8>, Vec<u8>>;

/// The pairs of every keyspace by its name; the default one is `""` and always there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) spaces: BTreeMap<String, Pairs>,
}

impl Default for Contents {
    fn default() -> Contents {
        Contents { spaces: BTreeMap::from([(String::new(), Pairs::new())]) }
    }
}

impl Contents {
    /// Reads everything, forward.
    pub(crate) fn read(db: &Db) -> Result<Contents, Error> {
        let mut contents = Contents::default();
        let mut names = db.keyspaces()?;
        names.push(String::new());
        for name in names {
            let mut pairs = Pairs::new();
            for pair in db.keyspace(&name)?.iter() {
                let (key, value) = pair?;
                pairs.insert(key.to_vec(), value.to_vec());
            }
            contents.spaces.insert(name, pairs);
        }
        Ok(contents)
    }

    /// Equal for equal contents, and for no others that anyone will meet.
    pub(crate) fn digest(&self) -> u64 {
        let mut hash = Xxh3::new();
        let mut part = |bytes: &[u8]| {
            hash.update(&(bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        for (name, pairs) in &self.spaces {
            part(name.as_bytes());
            part(&(pairs.len() as u64).to_le_bytes());
            for (key, value) in pairs {
                part(key);
                part(value);
            }
        }
        hash.digest()
    }

    pub(crate) fn len(&self) -> usize {
        self.spaces.values().map(Pairs::len).sum()
    }
}
