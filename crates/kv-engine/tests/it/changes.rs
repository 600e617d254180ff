//! Changes: every committed batch, whole, once and in order, or a typed answer that says what is
//! held.

mod consumers;
mod cuts;

use crate::support::*;
use kv_engine::{Change, ChangeOp, Changes, Db, ErrorKind, Options, Result, WriteBatch};
use kv_vfs::{Fault, FaultFs, Fs, MemFs, OpKind};
use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// A copy of a store, made of its changes.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Replica {
    pub(crate) spaces: BTreeMap<String, Model>,
    pub(crate) seq: u64,
}

impl Replica {
    /// Takes a change over. What an ingest brought is read from the store.
    pub(crate) fn apply(&mut self, change: &Change, db: &Db) {
        assert!(change.seq > self.seq, "{} comes behind {}", change.seq, self.seq);
        self.seq = change.seq;
        assert!(!change.ops.is_empty());
        for op in &change.ops {
            match op.clone() {
                ChangeOp::Put { keyspace, key, value, .. } => {
                    self.space(keyspace).insert(key.to_vec(), value.to_vec());
                }
                ChangeOp::Delete { keyspace, key } => {
                    self.space(keyspace).remove(&key[..]);
                }
                ChangeOp::DeleteRange { keyspace, start, end } => {
                    let after = |k: &[u8]| match &start {
                        Bound::Included(start) => k >= &start[..],
                        Bound::Excluded(start) => k > &start[..],
                        Bound::Unbounded => true,
                    };
                    let before = |k: &[u8]| match &end {
                        Bound::Included(end) => k <= &end[..],
                        Bound::Excluded(end) => k < &end[..],
                        Bound::Unbounded => true,
                    };
                    self.space(keyspace).retain(|k, _| !(after(k) && before(k)));
                }
                ChangeOp::Ingest { keyspace, first, last } => {
                    let stored = db.keyspace(&keyspace).unwrap();
                    let range = pairs(stored.range(first..=last));
                    self.space(keyspace).extend(range);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn space(&mut self, name: String) -> &mut Model {
        self.spaces.entry(name).or_default()
    }

    pub(crate) fn follow(&mut self, changes: &mut Changes, db: &Db) -> Result<()> {
        changes.by_ref().try_for_each(|change| change.map(|change| self.apply(&change, db)))
    }

    #[track_caller]
    pub(crate) fn is(&self, db: &Db) {
        let mut names = db.keyspaces().unwrap();
        names.push(String::new());
        for name in names {
            let held: Pairs =
                self.spaces.get(&name).cloned().unwrap_or_default().into_iter().collect();
            assert!(pairs(db.keyspace(&name).unwrap().iter()) == held, "keyspace {name:?}");
        }
    }
}

/// Settings whose log is long enough for what a test holds in it.
fn settings(promise: impl Fn(&World)) {
    every_setting(|w| {
        if w.setting.0 != "tiny log" {
            promise(w);
        }
    });
}

fn all(db: &Db) -> Vec<Change> {
    db.changes_since(0).unwrap().collect::<Result<_>>().unwrap()
}

fn put(k: &str, v: &str) -> ChangeOp {
    put_in("", k, v)
}

fn put_in(keyspace: &str, k: &str, v: &str) -> ChangeOp {
    let (key, value) = (k.to_owned().into(), v.to_owned().into());
    ChangeOp::Put { keyspace: keyspace.into(), key, value, expires: None }
}

fn ops(db: &Db) -> Vec<Vec<ChangeOp>> {
    all(db).into_iter().map(|change| change.ops).collect()
}

#[test]
fn every_kind_of_write_is_shown_as_it_was_given() {
    let w = World::plain();
    let db = w.open();
    db.put("k", "v").unwrap();
    db.delete("k").unwrap();
    db.delete_range("a".."c").unwrap();
    db.delete_range("a"..="c").unwrap();
    db.delete_range::<&str>(..).unwrap();
    db.delete_range("x"..).unwrap();
    db.put("", "").unwrap();
    let mut batch = WriteBatch::new();
    batch.put("a", "1");
    batch.delete("b");
    batch.put("a", "2");
    db.write(batch).unwrap();
    let mut tx = db.transaction();
    tx.put("t", "1");
    tx.delete("u");
    tx.commit().unwrap();
    let range = |start: Bound<&'static str>, end: Bound<&'static str>| {
        let bytes = |bound: Bound<&'static str>| bound.map(|b| b.into());
        vec![ChangeOp::DeleteRange { keyspace: "".into(), start: bytes(start), end: bytes(end) }]
    };
    let delete = |k: &'static str| ChangeOp::Delete { keyspace: "".into(), key: k.into() };
    let expected = [
        vec![put("k", "v")],
        vec![delete("k")],
        range(Bound::Included("a"), Bound::Excluded("c")),
        range(Bound::Included("a"), Bound::Excluded("c\0")),
        range(Bound::Unbounded, Bound::Unbounded),
        range(Bound::Included("x"), Bound::Unbounded),
        vec![put("", "")],
        vec![put("a", "1"), delete("b"), put("a", "2")],
        vec![put("t", "1"), delete("u")],
    ];
    assert_eq!(ops(&db), expected);
    let seqs: Vec<u64> = all(&db).iter().map(|change| change.seq).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5, 6, 7, 10, 12]);
    for (at, seq) in seqs.iter().enumerate() {
        let rest = db.changes_since(*seq).unwrap();
        assert_eq!(rest.map(|change| change.unwrap().ops).collect::<Vec<_>>(), expected[at + 1..]);
    }
}

#[test]
fn a_time_to_live_is_the_moment_of_its_end() {
    let w = World::plain();
    let db = w.open();
    db.put_with_ttl("k", "v", Duration::from_secs(60)).unwrap();
    db.put_with_ttl("never", "v", Duration::MAX).unwrap();
    let mut batch = WriteBatch::new();
    batch.put_with_ttl("b", "v", Duration::from_secs(60));
    batch.put_with_ttl("never", "v", Duration::MAX);
    db.write(batch).unwrap();
    let expiries: Vec<_> = ops(&db)
        .into_iter()
        .flatten()
        .map(|op| match op {
            ChangeOp::Put { expires, .. } => expires,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(expiries[0].unwrap() > UNIX_EPOCH + Duration::from_secs(59));
    assert_eq!(expiries[1], None);
    assert!(expiries[2].unwrap() >= expiries[0].unwrap());
    assert_eq!(expiries[3], None);
}

#[test]
fn keyspaces_have_their_names_also_when_they_are_gone() {
    let w = World::plain();
    let db = w.open();
    let a = db.keyspace("a").unwrap();
    a.put("k", "1").unwrap();
    db.keyspace("b").unwrap().put("k", "2").unwrap();
    db.drop_keyspace("a").unwrap();
    let again = db.keyspace("a").unwrap();
    again.put("k", "3").unwrap();
    let gone = ChangeOp::DeleteRange {
        keyspace: "a".into(),
        start: Bound::Unbounded,
        end: Bound::Unbounded,
    };
    let expected = [
        vec![put_in("a", "k", "1")],
        vec![put_in("b", "k", "2")],
        vec![gone],
        vec![put_in("a", "k", "3")],
    ];
    assert_eq!(ops(&db), expected);
    // Also where its beginning is not read.
    let seqs: Vec<u64> = all(&db).iter().map(|change| change.seq).collect();
    for from in 0..seqs.len() {
        let rest = db.changes_since(seqs[from]).unwrap().map(|change| change.unwrap().ops);
        assert_eq!(rest.collect::<Vec<_>>(), expected[from + 1..]);
    }
}

#[test]
fn a_keyspace_that_was_made_before_the_log_and_dropped_since_has_its_name() {
    let w = World::plain();
    let db = w.open();
    let a = db.keyspace("a").unwrap();
    db.flush().unwrap();
    a.put("k", "1").unwrap();
    a.put("l", "2").unwrap();
    let mut changes = db.changes_since(0).unwrap();
    db.drop_keyspace("a").unwrap();
    db.keyspace("a").unwrap().put("m", "3").unwrap();
    assert_eq!(changes.next().unwrap().unwrap().ops, [put_in("a", "k", "1")]);
    assert_eq!(ops(&db)[0], [put_in("a", "k", "1")]);
    assert_eq!(ops(&db).len(), 4);
    drop((a, db));
    let db = w.open();
    assert_eq!(ops(&db).len(), 0);
}

#[test]
fn what_is_not_held_is_told_with_the_oldest_that_is() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        fill(&db, &mut model, 100, 0);
        db.flush().unwrap();
        // The logs go a moment after the flush.
        let told = || {
            let Err(error) = db.changes_since(3) else { return false };
            assert_eq!(error.kind(), ErrorKind::NotFound);
            error.to_string().contains("held is 101")
        };
        while !told() {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(db.changes_since(100).unwrap().count(), 0);
        assert_eq!(db.changes_since(0).unwrap().count(), 0);
        db.put("k", "v").unwrap();
        assert_eq!(ops(&db), [[put("k", "v")]]);
        assert_eq!(db.changes_since(100).unwrap().next().unwrap().unwrap().seq, 101);
        assert_eq!(refused(db.changes_since(102)).kind(), ErrorKind::NotFound);
        drop(db);
        let db = w.open();
        assert_eq!(refused(db.changes_since(100)).kind(), ErrorKind::NotFound);
        assert_eq!(db.changes_since(101).unwrap().count(), 0);
        db.put("k", "w").unwrap();
        assert_eq!(db.changes_since(101).unwrap().next().unwrap().unwrap().ops, [put("k", "w")]);
    });
}

#[test]
fn it_goes_on_behind_its_end_over_rotations() {
    settings(|w| {
        let db = w.open();
        let mut changes = db.changes_since(0).unwrap();
        changes.acknowledge("test").unwrap();
        let mut replica = Replica::default();
        let mut model = Model::new();
        for round in 0..6 {
            assert!(changes.next().is_none());
            fill(&db, &mut model, 60, round);
            if round % 2 == 1 {
                db.flush().unwrap();
            }
            db.delete_range(key(round)..key(round + 9)).unwrap();
            model.retain(|k, _| k < &key(round) || k >= &key(round + 9));
            replica.follow(&mut changes, &db).unwrap();
            replica.is(&db);
        }
        assert_eq!(replica.spaces[""], model);
        assert_eq!(changes.position(), replica.seq);
    });
}

#[test]
fn an_ingest_is_marked_where_it_was_committed() {
    settings(|w| {
        let db = w.open();
        let space = db.keyspace("space").unwrap();
        let mut changes = db.changes_since(0).unwrap();
        changes.acknowledge("test").unwrap();
        space.put("k1", "old").unwrap();
        db.put("before", "x").unwrap();
        space.ingest([("k1", "new"), ("k2", "new")]).unwrap();
        space.put("k2", "newest").unwrap();
        db.ingest([("only", "one")]).unwrap();
        let seen: Vec<_> = changes.by_ref().map(|change| change.unwrap().ops).collect();
        let ingest = |keyspace: &str, first: &'static str, last: &'static str| {
            let (first, last) = (first.into(), last.into());
            vec![ChangeOp::Ingest { keyspace: keyspace.into(), first, last }]
        };
        assert_eq!(
            seen,
            [
                vec![put_in("space", "k1", "old")],
                vec![put("before", "x")],
                ingest("space", "k1", "k2"),
                vec![put_in("space", "k2", "newest")],
                ingest("", "only", "only"),
            ]
        );
        // Its number goes on behind it.
        let seqs: Vec<u64> =
            db.changes_since(0).unwrap().resume("test").unwrap().map(|c| c.unwrap().seq).collect();
        assert_eq!(db.changes_since(seqs[2]).unwrap().count(), 2);
        assert_eq!(db.changes_since(seqs[1]).unwrap().count(), 3);
        assert_eq!(db.changes_since(seqs[4]).unwrap().count(), 0);
        let power = w.after_power_cut().open();
        assert_eq!(text(&power.keyspace("space").unwrap(), "k1").as_deref(), Some("new"));
        let seen = power.changes_since(0).unwrap().resume("test").unwrap();
        assert!(seen.count() >= 5 - 2 * usize::from(w.setting.0 == "unsynced"));
        drop((changes, space, db));
        let db = w.open();
        assert_eq!(db.changes_since(0).unwrap().resume("test").unwrap().count(), 5);
        assert_eq!(db.keyspaces().unwrap(), ["space"]);
        assert!(db.verify().unwrap().is_ok());
    });
}

#[test]
fn a_power_cut_leaves_what_was_given_under_sync() {
    settings(|w| {
        let options = || w.options().sync_on_write(true);
        let db = Db::open(DIR, options()).unwrap();
        let mut changes = db.changes_since(0).unwrap();
        changes.acknowledge("c").unwrap();
        let mut replica = Replica::default();
        for i in 0..90 {
            db.put(key(i % 30), value(i, 0)).unwrap();
            if i % 7 == 6 {
                db.delete_range(key(i % 20)..key(i % 20 + 3)).unwrap();
            }
            replica.follow(&mut changes, &db).unwrap();
            if i % 10 == 0 {
                let cut = w.after_power_cut();
                let cut = Db::open(DIR, cut.options()).unwrap();
                replica.is(&cut);
                // And the log gives the same again.
                let mut again = Replica::default();
                let mut changes = cut.changes_since(0).unwrap().resume("c").unwrap();
                again.follow(&mut changes, &cut).unwrap();
                assert_eq!(again, replica);
            }
        }
    });
}

#[test]
fn unsynced_changes_that_a_power_cut_takes_are_told() {
    let w = World::plain();
    let db = Db::open(DIR, w.options().sync_on_write(false)).unwrap();
    db.put("a", "1").unwrap();
    db.sync().unwrap();
    let mut changes = db.changes_since(0).unwrap();
    db.put("b", "2").unwrap();
    assert_eq!(changes.by_ref().count(), 2);
    let cut = w.after_power_cut().open();
    let error = refused(cut.changes_since(changes.position()));
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("lies ahead"), "{error}");
}

#[test]
fn a_reader_is_told_of_an_ingest_when_it_is_there() {
    let temp = TempDir::new();
    let db = Db::open(temp.db(), Options::default()).unwrap();
    let open = || Db::open(temp.db(), Options::default().read_only(true)).unwrap();
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut changes = open().changes_since(0).unwrap();
            let mut seen = 0;
            while seen < 60 {
                for change in changes.by_ref() {
                    for op in change.unwrap().ops {
                        let ChangeOp::Ingest { first, .. } = op else { panic!("{op:?}") };
                        assert_eq!(first, key(seen));
                        assert!(open().contains_key(&first).unwrap(), "{seen} is told too early");
                        seen += 1;
                    }
                }
            }
        });
        db.changes_since(0).unwrap().acknowledge("c").unwrap();
        for i in 0..60 {
            db.ingest([(key(i), value(i, 0))]).unwrap();
        }
        reader.join().unwrap();
    });
}

#[test]
fn a_reader_goes_on_behind_an_ingest_that_failed() {
    let disk = MemFs::new();
    let faulty = FaultFs::new(Arc::new(disk.clone()));
    let options = |fs: Arc<dyn Fs>| Options::default().file_system(fs);
    let db = Db::open(DIR, options(Arc::new(faulty.clone()))).unwrap();
    db.changes_since(0).unwrap().acknowledge("c").unwrap();
    db.put("a", "1").unwrap();
    let reader = Db::open(DIR, options(Arc::new(disk)).read_only(true)).unwrap();
    let mut changes = reader.changes_since(0).unwrap().resume("c").unwrap();
    assert_eq!(changes.next().unwrap().unwrap().ops, [put("a", "1")]);
    // The manifest asks for more room now and then, and where it gets none for less.
    let full = Fault::new(OpKind::Allocate, io::ErrorKind::StorageFull).on("MANIFEST").times(2);
    let full = faulty.arm(full);
    let mut told = 0;
    let failed = (0..1000).find_map(|i| {
        let failed = db.ingest([(key(i).repeat(50), "v")]).err();
        told += changes.by_ref().map(|change| drop(change.unwrap())).count();
        failed
    });
    assert_eq!(failed.unwrap().kind(), ErrorKind::NoSpace);
    assert_eq!(faulty.fired(full), 2);
    assert_eq!(told, ops(&db).len() - 2, "it may yet be committed");
    db.put("b", "2").unwrap();
    let seen: Vec<_> = changes.by_ref().map(|change| change.unwrap().ops).collect();
    assert_eq!(seen, ops(&db)[1 + told..]);
    assert_eq!((seen.len(), &seen[1][..]), (2, &[put("b", "2")][..]));
    db.put("c", "3").unwrap();
    assert_eq!(changes.next().unwrap().unwrap().ops, [put("c", "3")]);
}

#[test]
fn a_real_directory_and_a_reader_beside_its_writer() {
    let temp = TempDir::new();
    let options = || Options::default().write_buffer(64 << 10).sync_on_write(false);
    let db = Db::open(temp.db(), options()).unwrap();
    db.changes_since(0).unwrap().acknowledge("reader").unwrap();
    let reader = Db::open(temp.db(), Options::default().read_only(true)).unwrap();
    let mut beside = reader.changes_since(0).unwrap().resume("reader").unwrap();
    drop(reader);
    let mut own = db.changes_since(0).unwrap();
    let (mut first, mut second) = (Replica::default(), Replica::default());
    let mut model = Model::new();
    for round in 0..20 {
        fill(&db, &mut model, 150, round);
        if round % 6 == 5 {
            db.ingest([("a", "1"), ("b", round.to_string().as_str())]).unwrap();
        }
        first.follow(&mut own, &db).unwrap();
        second.follow(&mut beside, &db).unwrap();
        assert_eq!(first, second);
        first.is(&db);
        beside.acknowledge("reader").unwrap();
        if round == 10 {
            db.flush().unwrap();
        }
    }
    drop((own, db));
    let db = Db::open(temp.db(), options()).unwrap();
    db.put("later", "x").unwrap();
    second.follow(&mut beside, &db).unwrap();
    second.is(&db);
}

#[test]
fn a_closed_store_answers_so_once() {
    let w = World::plain();
    let db = w.open();
    db.put("k", "v").unwrap();
    let mut changes = db.changes_since(0).unwrap();
    db.close().unwrap();
    assert_eq!(changes.next().unwrap().unwrap_err().kind(), ErrorKind::Closed);
    assert!(changes.next().is_none());
}
