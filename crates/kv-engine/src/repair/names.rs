//! Every keyspace that has keys gets a name again.

use super::Repair;
use crate::error::Result;
use crate::output::{Made, Outputs, TableMaker};
use crate::space::{CATALOG_ID, DEFAULT_ID, FIRST_NAMED_ID};
use kv_core::{Kind, MAX_SEQ, RangeTombstones, SeqNo, Take, Trailer, put_varint};
use std::collections::{BTreeMap, BTreeSet};

/// The keyspaces that a merge came by.
#[derive(Debug, Default)]
pub(super) struct Spaces {
    /// Those that have keys.
    seen: BTreeSet<u64>,
    last_seen: Option<u64>,
    /// The names in the catalog; the empty one stands for the next number to be given.
    catalog: BTreeMap<Vec<u8>, u64>,
}

impl Spaces {
    /// Notes a stored key with its value.
    pub(super) fn saw(&mut self, key: &[u8], value: &[u8]) {
        let mut take = Take::new(key);
        let Ok(id) = take.varint() else { return };
        if id == CATALOG_ID {
            if let Ok(number) = value.try_into().map(u64::from_le_bytes) {
                self.catalog.insert(take.rest().to_vec(), number);
            }
        } else if self.last_seen != Some(id) {
            self.last_seen = Some(id);
            self.seen.insert(id);
        }
    }

    /// How many entries the catalog has; they are no keys of a user.
    pub(super) fn catalog_entries(&self) -> u64 {
        self.catalog.len() as u64
    }

    /// What the catalog lacks: names for keyspaces without one, and a next number above all.
    fn lacking(&self) -> BTreeMap<Vec<u8>, u64> {
        let names = self.catalog.iter().filter(|(name, _)| !name.is_empty());
        let named: BTreeSet<u64> = names.map(|(_, id)| *id).collect();
        let mut lacking = BTreeMap::new();
        let nameless = self.seen.iter().filter(|id| **id != DEFAULT_ID && !named.contains(id));
        for id in nameless {
            let mut name = format!("recovered-{id}").into_bytes();
            while self.catalog.contains_key(&name) {
                name.push(b'+');
            }
            lacking.insert(name, *id);
        }
        let above = self.seen.iter().chain(&named).max();
        let above = above.map_or(FIRST_NAMED_ID, |id| id.saturating_add(1));
        let next = self.catalog.get(&b""[..]).copied().unwrap_or(FIRST_NAMED_ID);
        if above > next.max(FIRST_NAMED_ID) {
            lacking.insert(Vec::new(), above);
        }
        lacking
    }
}

impl Repair<'_> {
    /// Writes a table for level 0 with what the catalog lacks.
    pub(super) fn name_spaces(
        &mut self,
        spaces: &Spaces,
        maker: &TableMaker<'_>,
        last_seq: &mut SeqNo,
    ) -> Result<Made> {
        if spaces.seen.contains(&u64::MAX) {
            self.report.note(
                "a table holds keys of a keyspace whose number is never given, so it is forged or \
                 from elsewhere; no keyspace can be created in the new store"
                    .to_owned(),
            );
        }
        let mut outputs = Outputs::new(maker, 0, RangeTombstones::default(), None, None);
        for (name, id) in spaces.lacking() {
            let mut key = Vec::new();
            put_varint(&mut key, CATALOG_ID);
            key.extend_from_slice(&name);
            *last_seq = last_seq.saturating_add(1).min(MAX_SEQ);
            outputs.add(&key, Trailer::new(*last_seq, Kind::Put), &id.to_le_bytes())?;
            if !name.is_empty() {
                self.report.note(format!(
                    "the name of keyspace {id} is lost, or it was dropped; it is now {:?}",
                    String::from_utf8_lossy(&name)
                ));
            }
        }
        outputs.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::Spaces;
    use kv_core::put_varint;

    #[test]
    fn a_forged_number_has_no_successor_and_stops_nothing() {
        let mut spaces = Spaces::default();
        let mut key = Vec::new();
        put_varint(&mut key, u64::MAX);
        spaces.saw(&key, b"");
        let lacking = spaces.lacking();
        assert_eq!(lacking.get(&b"recovered-18446744073709551615"[..]), Some(&u64::MAX));
        assert_eq!(lacking.get(&b""[..]), Some(&u64::MAX));
    }
}
