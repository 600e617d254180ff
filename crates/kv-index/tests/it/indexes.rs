//! What an index finds is what the rows say.

use crate::support::{Model, all, assert_same, by_both, by_group, by_mark, memory, open};
use kv_engine::ErrorKind;
use kv_index::{Desc, Error, Hash, Item, Ordered, Row, Table, Tuple, Value};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Insert(u8, Vec<u8>),
    Upsert(u8, Vec<u8>),
    Delete(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let row = prop_oneof![
        9 => (0_u8..3, 0_u8..4, 0_u8..3).prop_map(|(a, b, c)| vec![a, b, c]),
        1 => Just(b"other".to_vec()),
    ];
    let step = prop_oneof![
        (0_u8..8, row.clone()).prop_map(|(key, row)| Step::Insert(key, row)),
        (0_u8..8, row).prop_map(|(key, row)| Step::Upsert(key, row)),
        (0_u8..8).prop_map(Step::Delete),
    ];
    proptest::collection::vec(step, 1..40)
}

/// Whether another row than `key` has the columns of `row` in the unique index.
fn is_taken(model: &Model, key: u8, row: &[u8]) -> bool {
    row.len() == 3
        && row[1] > 0
        && model.iter().any(|(k, r)| k[..] != [key] && r.len() == 3 && r[..2] == row[..2])
}

/// Does a step to both, and compares the answers.
fn step(model: &mut Model, step: &Step, table: &Table) -> Result<(), TestCaseError> {
    match step {
        Step::Insert(key, row) => {
            let answer = table.insert([*key], row);
            if model.contains_key(&vec![*key]) {
                prop_assert!(matches!(answer, Err(Error::Exists)), "{:?}", answer);
            } else if is_taken(model, *key, row) {
                prop_assert!(matches!(answer, Err(Error::Duplicate { .. })), "{:?}", answer);
            } else {
                answer.unwrap();
                model.insert(vec![*key], row.clone());
            }
        }
        Step::Upsert(key, row) => {
            let answer = table.upsert([*key], row);
            if is_taken(model, *key, row) {
                prop_assert!(matches!(answer, Err(Error::Duplicate { .. })), "{:?}", answer);
            } else {
                let old = model.insert(vec![*key], row.clone());
                prop_assert_eq!(answer.unwrap().map(|row| row.to_vec()), old);
            }
        }
        Step::Delete(key) => {
            let old = table.delete([*key]).unwrap();
            prop_assert_eq!(old.map(|row| row.to_vec()), model.remove(&vec![*key]));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn a_table_is_what_its_model_is(steps in steps()) {
        let db = memory();
        let (table, mut model) = (open(&db, all()), Model::new());
        for one in &steps {
            step(&mut model, one, &table)?;
        }
        assert_same(&table, &model);
        assert_same(&open(&db, all()), &model);
    }

    #[test]
    fn an_index_created_at_any_time_holds_all_rows(
        steps in steps(),
        cut in any::<prop::sample::Index>(),
        which in 0_usize..3,
    ) {
        let (mut model, at) = (Model::new(), cut.index(steps.len()));
        let others = all().into_iter().enumerate().filter(|(i, _)| *i != which);
        let table = open(&memory(), others.map(|(_, spec)| spec));
        let [group, both, mark] = all();
        let (spec, name) = match which {
            0 => (group, "by_group"),
            1 => (both, "by_both"),
            _ => (mark, "by_mark"),
        };
        // Without the unique index rows may share columns: then the build says so, and goes on
        // when they do not any more.
        for one in &steps[..at] {
            let (Step::Insert(key, row) | Step::Upsert(key, row)) = one else { continue };
            if which == 1 || !is_taken(&model, *key, row) {
                table.upsert([*key], row).unwrap();
                model.insert(vec![*key], row.clone());
            }
        }
        table.create_index(spec).unwrap();
        if which != 1 {
            for one in &steps[at..] {
                step(&mut model, one, &table)?;
            }
        }
        while let Err(error) = table.build(name) {
            prop_assert!(matches!(error, Error::Duplicate { .. }), "{}", error);
            let (key, _) = model.iter().find(|(k, r)| is_taken(&model, k[0], r)).unwrap();
            let key = key.clone();
            table.delete(&key).unwrap();
            model.remove(&key);
        }
        prop_assert!(!model.iter().any(|(k, r)| which == 1 && is_taken(&model, k[0], r)));
        assert_same(&table, &model);
    }
}

#[test]
fn ranges_and_prefixes_follow_the_columns() {
    let table = open(&memory(), all());
    for (key, row) in [("a", [1, 5, 0]), ("b", [1, 7, 1]), ("c", [2, 1, 2]), ("d", [3, 9, 3])] {
        table.insert(key, row).unwrap();
    }
    let keys = |rows: kv_index::Result<kv_index::Entries<kv_index::Moment>>| {
        let keys = rows.unwrap().map(|entry| entry.unwrap().key().to_vec());
        String::from_utf8(keys.collect::<Vec<_>>().concat()).unwrap()
    };
    let index = || table.index("by_group").unwrap();
    assert_eq!(keys(index().range(..=1)), "ba", "all that begin with 1, the greater number first");
    assert_eq!(keys(index().range(1..2)), "ba");
    assert_eq!(keys(index().range((1, Desc(6))..)), "acd");
    assert_eq!(keys(index().range((1, Desc(7))..=(1, Desc(5)))), "ba");
    assert_eq!(keys(index().range((1, Desc(7))..(1, Desc(5)))), "b");
    let (low, high) = (3, 1);
    assert_eq!(keys(index().range(low..=high)), "", "inverted");
    assert_eq!(keys(index().prefix(2)), "c");
    assert_eq!(keys(index().prefix((1, Desc(5)))), "a");
    assert_eq!(keys(index().prefix(())), "bacd");
    let entry = index().prefix(2).unwrap().next().unwrap().unwrap();
    let columns = entry.columns().collect::<Result<Vec<_>, _>>().unwrap();
    assert_eq!(columns, [Item::ascending(Value::Int(2)), Item::descending(Value::Int(1))]);
    let covering = entry.covering().collect::<Result<Vec<_>, _>>().unwrap();
    assert_eq!(covering, [Item::ascending(Value::Int(2))]);
    assert_eq!(index().get((1, Desc(5))).count(), 1);
    assert_eq!(index().get(1).count(), 0, "get is for all columns");
    assert!(table.index("by_mark").unwrap().range::<()>(..).is_err(), "a hash has no order");
}

#[test]
fn keys_of_rows_may_be_any_bytes() {
    let db = memory();
    let (table, mut model) = (open(&db, all()), Model::new());
    for (number, key) in [&b""[..], b"\0", b"\xFF", b"\0\x01", b"\xFF\xFF"].iter().enumerate() {
        let row = vec![0, number as u8 + 1, 1];
        table.insert(key, &row).unwrap();
        model.insert(key.to_vec(), row);
    }
    assert_same(&table, &model);
}

#[test]
fn a_transaction_reads_its_own_entries_and_leaves_none_when_it_is_dropped() {
    let db = memory();
    let table = open(&db, all());
    table.insert("a", [1, 1, 1]).unwrap();
    let mut tx = db.transaction();
    table.within(&mut tx).upsert("a", [2, 1, 1]).unwrap();
    table.within(&mut tx).insert("b", [1, 1, 1]).unwrap();
    let refused = table.within(&mut tx).insert("c", [2, 1, 2]);
    assert!(matches!(refused, Err(Error::Duplicate { index }) if index == "by_both"));
    let found = table.within(&mut tx).index("by_mark").unwrap().get(1);
    assert_eq!(found.map(|row| row.unwrap().0.to_vec()).collect::<Vec<_>>(), [b"a", b"b"]);
    assert_eq!(table.within(&mut tx).index("by_mark").unwrap().get(2).count(), 0);
    let groups = table.within(&mut tx).index("by_group").unwrap().range::<()>(..).unwrap();
    let keys = groups.rev().map(|entry| entry.unwrap().key().to_vec());
    assert_eq!(keys.collect::<Vec<_>>(), [b"a", b"b"]);
    drop(tx);
    assert_same(&table, &Model::from([(b"a".to_vec(), vec![1, 1, 1])]));
}

#[test]
fn an_error_in_a_body_takes_all_of_it_back() {
    let table = open(&memory(), all());
    let outcome = table.transact(|tx| {
        table.within(tx).insert("a", [1, 1, 1])?;
        table.within(tx).insert("a", [1, 1, 1])
    });
    assert!(matches!(outcome, Err(Error::Exists)));
    assert_same(&table, &Model::new());
}

#[test]
fn two_transactions_do_not_both_claim_the_same_columns() {
    let db = memory();
    let table = open(&db, all());
    let (mut a, mut b) = (db.transaction(), db.transaction());
    table.within(&mut a).upsert("a", [1, 1, 1]).unwrap();
    table.within(&mut b).upsert("b", [1, 1, 1]).unwrap();
    a.commit().unwrap();
    assert_eq!(b.commit().unwrap_err().kind(), ErrorKind::Conflict);
    assert_same(&table, &Model::from([(b"a".to_vec(), vec![1, 1, 1])]));
}

#[test]
fn under_snapshot_isolation_rows_are_read_and_not_written() {
    let db = memory();
    let table = open(&db, all());
    table.insert("a", [1, 1, 1]).unwrap();
    let mut tx = db.transaction().isolation(kv_engine::Isolation::Snapshot);
    let refused = table.within(&mut tx).insert("b", [2, 2, 2]).unwrap_err();
    assert!(matches!(refused, Error::NotSerializable));
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
    assert!(matches!(table.within(&mut tx).upsert("a", [2, 2, 2]), Err(Error::NotSerializable)));
    assert!(matches!(table.within(&mut tx).delete("a"), Err(Error::NotSerializable)));
    assert_eq!(table.within(&mut tx).get("a").unwrap().as_deref(), Some(&[1, 1, 1][..]));
    assert_eq!(table.within(&mut tx).index("by_mark").unwrap().get(1).count(), 1);
    tx.commit().unwrap();
    assert_same(&table, &Model::from([(b"a".to_vec(), vec![1, 1, 1])]));
}

#[test]
fn rows_with_the_same_hash_are_told_apart() {
    // Every row has the same columns but the one that is compared: as if all hashes met.
    let db = memory();
    let table = open(&db, [by_mark()]);
    table.insert("a", [1, 1, 1]).unwrap();
    table.insert("b", [1, 1, 2]).unwrap();
    let space = db.keyspace("t#by_mark#1").unwrap();
    let (key, _) = space.iter().map(|pair| pair.unwrap()).find(|(k, _)| k[8..] == *b"b").unwrap();
    let other = space.iter().map(|pair| pair.unwrap().0).find(|k| k[8..] == *b"a").unwrap();
    let forged = [&other[..8], b"b"].concat();
    space.delete(&key).unwrap();
    space.put(forged, "").unwrap();
    let found: Vec<_> = table.index("by_mark").unwrap().get(1_u8).collect();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].as_ref().unwrap().0, "a");
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let db = memory();
    drop(open(&db, [by_group(), by_mark()]));
    let refused = |indexes: Vec<kv_index::IndexSpec>| {
        let builder = indexes.into_iter().fold(Table::builder("t"), |b, index| b.index(index));
        matches!(builder.open(&db), Err(Error::Declaration(_)))
    };
    let nothing = |_: Row<'_>, _: &mut Tuple| None;
    assert!(refused(vec![by_group()]), "one is not declared");
    assert!(refused(vec![by_group(), Ordered::new("by_mark", nothing).into()]), "another kind");
    assert!(refused(vec![by_mark(), Ordered::new("by_group", nothing).into()]), "no covering");
    let revised = Hash::new("by_mark", nothing).revision(1);
    assert!(refused(vec![by_group(), revised.into()]), "another revision");
    assert!(refused(vec![by_group(), by_mark(), Hash::new("a#b", nothing).into()]), "a bad name");
    assert!(!refused(vec![by_mark(), by_group()]), "any order is fine");
    assert!(Table::builder("").open(&db).is_err());
    kv_index::drop_index(&db, "t", "by_mark").unwrap();
    let table = open(&db, [by_group(), by_both()]);
    assert_eq!(table.indexes(), ["by_group", "by_both"]);
}

#[test]
fn verify_names_every_kind_of_disagreement() {
    use kv_index::Problem;
    let db = memory();
    let table = open(&db, all());
    for key in 0..6_u8 {
        table.insert([key], [key, 1, 1]).unwrap();
    }
    let rows = db.keyspace("t").unwrap();
    let (group, both) = (db.keyspace("t#by_group#1").unwrap(), db.keyspace("t#by_both#2").unwrap());
    rows.put([9], [9, 9, 9]).unwrap();
    rows.delete([1]).unwrap();
    rows.put([2], [2, 1, 3]).unwrap();
    group.put([0x7F], "").unwrap();
    both.put(Tuple::of(((3, 1),)).as_bytes(), "").unwrap();
    let report = table.verify_indexes().unwrap();
    let count = |name: &str, problem: Problem| {
        report.problems.iter().filter(|(n, p, _)| n == name && *p == problem).count()
    };
    assert_eq!(count("by_group", Problem::Missing), 1);
    assert_eq!(count("by_group", Problem::Orphan), 1);
    assert_eq!(count("by_group", Problem::Different), 1, "the covering mark");
    assert_eq!(count("by_group", Problem::Stale), 1);
    assert_eq!(count("by_group", Problem::Malformed), 1);
    assert_eq!(count("by_both", Problem::Malformed), 1);
    assert_eq!(count("by_mark", Problem::Missing), 2);
    assert_eq!(count("by_mark", Problem::Stale), 1);
    assert_eq!(report.count as usize, report.problems.len());
    assert!(!report.is_ok());
}
