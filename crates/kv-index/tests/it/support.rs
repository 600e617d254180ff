//! A table of small rows, all its indexes, and a model of it.

use kv_engine::{Db, Options};
use kv_index::{Desc, Hash, IndexSpec, Ordered, Row, Table, Tuple};
use std::collections::BTreeMap;

pub(crate) type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// A row is three bytes: a group, a number, and a mark. Others are in no index.
fn parts(row: Row<'_>) -> Option<(u8, u8, u8)> {
    let [group, number, mark] = row.value else { return None };
    Some((*group, *number, *mark))
}

/// By group, then number from the greatest; covers the mark.
pub(crate) fn by_group() -> IndexSpec {
    let columns = |row: Row<'_>, columns: &mut Tuple| {
        let (group, number, _) = parts(row)?;
        columns.push(group).push(Desc(number));
        Some(())
    };
    let covering = |row: Row<'_>, columns: &mut Tuple| {
        columns.push(parts(row)?.2);
        Some(())
    };
    Ordered::new("by_group", columns).covering(covering).into()
}

/// By group and number, of which no two rows have the same; rows with the number 0 are left out.
pub(crate) fn by_both() -> IndexSpec {
    let columns = |row: Row<'_>, columns: &mut Tuple| {
        let (group, number, _) = parts(row)?;
        columns.push((group, number));
        (number > 0).then_some(())
    };
    Ordered::new("by_both", columns).unique().into()
}

/// By the mark's hash.
pub(crate) fn by_mark() -> IndexSpec {
    let columns = |row: Row<'_>, columns: &mut Tuple| {
        columns.push(parts(row)?.2);
        Some(())
    };
    Hash::new("by_mark", columns).into()
}

pub(crate) fn all() -> [IndexSpec; 3] {
    [by_group(), by_both(), by_mark()]
}

pub(crate) fn memory() -> Db {
    Db::in_memory(Options::default()).unwrap()
}

pub(crate) fn open(db: &Db, indexes: impl IntoIterator<Item = IndexSpec>) -> Table {
    let builder =
        indexes.into_iter().fold(Table::builder("t"), |builder, index| builder.index(index));
    builder.open(db).unwrap()
}

/// The table is what the model says, through every index, and the indexes are sound.
#[track_caller]
pub(crate) fn assert_same(table: &Table, model: &Model) {
    let rows = table.rows().iter().map(|pair| pair.unwrap());
    let rows: Model = rows.map(|(key, row)| (key.to_vec(), row.to_vec())).collect();
    assert_eq!(&rows, model);
    let report = table.verify_indexes().unwrap();
    assert!(report.is_ok(), "{report}");

    let names = table.indexes();
    let has = |name: &str| names.iter().any(|known| known == name);
    let whole = || model.iter().filter(|(_, row)| row.len() == 3);
    if has("by_group") {
        let mut wanted: Vec<_> = whole().map(|(key, row)| (row[0], !row[1], key, row)).collect();
        wanted.sort();
        let found = table.index("by_group").unwrap().range::<()>(..).unwrap().rows();
        let found: Vec<_> = found.map(|pair| pair.unwrap()).collect();
        assert!(
            found
                .iter()
                .map(|(key, row)| (&key[..], &row[..]))
                .eq(wanted.iter().map(|(_, _, key, row)| (&key[..], &row[..])))
        );
        let back = table.index("by_group").unwrap().prefix(()).unwrap().rows().rev();
        assert!(back.map(|pair| pair.unwrap()).eq(found.into_iter().rev()));
    }
    for mark in 0..4_u8 {
        if has("by_mark") {
            let wanted = whole().filter(|(_, row)| row[2] == mark).map(|(key, _)| &key[..]);
            let found = table.index("by_mark").unwrap().get(mark);
            let found: Vec<_> = found.map(|pair| pair.unwrap().0).collect();
            assert!(found.iter().map(|key| &key[..]).eq(wanted), "mark {mark}");
        }
    }
    if has("by_both") {
        for (key, row) in whole().filter(|(_, row)| row[1] > 0) {
            let mut found = table.index("by_both").unwrap().get(((row[0], row[1]),));
            let (primary, _) = found.next().unwrap().unwrap();
            assert_eq!(&primary[..], &key[..]);
            assert!(found.next().is_none());
        }
    }
}
