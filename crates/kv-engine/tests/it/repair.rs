//! A repair keeps everything outside the damaged parts, invents nothing, and says what is lost.

mod report;

use crate::support::*;
use kv_engine::{Db, ErrorKind, Options, RepairReport, Result};
use kv_vfs::{Fault, FaultError, FaultFs, Fs, FsFileExt, OpKind};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

const NEW: &str = "/parent/new";
/// The most keys that one block of 256 bytes, or one log record, holds here.
const KEYS_IN_A_BLOCK: usize = 12;

fn small() -> Options {
    Options::default().write_buffer(4 << 10).block_size(256).table_size(4 << 10)
}

/// A store with every kind of entry, on several levels and in the log, and what it should hold:
/// the default keyspace, a named one, and every value that a key ever had.
struct Case {
    world: World,
    default: Model,
    people: Model,
    history: BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>>,
}

impl Case {
    fn new(setting: Setting) -> Case {
        let world = World::new(setting);
        let db = world.open();
        let mut default = Model::new();
        let mut history: BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>> = BTreeMap::new();
        fill(&db, &mut default, 200, 0);
        for i in 0..200 {
            history.entry(key(i)).or_default().insert(value(i, 0));
        }
        db.delete_range(key(50)..key(80)).unwrap();
        default.retain(|k, _| !(key(50)..key(80)).contains(k));
        db.compact().unwrap();
        let people = db.keyspace("people").unwrap();
        let mut named = Model::new();
        fill_space(&people, &mut named, &mut history);
        for i in (0..200).step_by(3) {
            db.put(key(i), value(i, 1)).unwrap();
            default.insert(key(i), value(i, 1));
            history.entry(key(i)).or_default().insert(value(i, 1));
        }
        db.delete_range(key(120)..key(130)).unwrap();
        default.retain(|k, _| !(key(120)..key(130)).contains(k));
        db.close().unwrap();
        // No flush from here on. Opening has removed dead tables, and so does the test below,
        // because the power cut brings them back.
        let db = Db::open(DIR, world.options().write_buffer(64 << 10)).unwrap();
        for i in (1..200).step_by(7) {
            db.delete(key(i)).unwrap();
            default.remove(&key(i));
        }
        for i in (2..200).step_by(11) {
            db.put_with_ttl(key(i), value(i, 2), Duration::from_secs(1 << 30)).unwrap();
            default.insert(key(i), value(i, 2));
            history.entry(key(i)).or_default().insert(value(i, 2));
        }
        db.sync().unwrap();
        // A compaction may be under way: tables that are not in the store yet, or not any more.
        let tables = || figure(&db, "kv_level_tables{") as usize;
        let (live, cut) = loop {
            let (live, cut) = (world.files(), world.after_power_cut());
            let count = live.keys().filter(|name| name.ends_with(".sst")).count();
            if live.keys().eq(world.files().keys()) && count == tables() {
                break (live, cut);
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        drop(db);
        let world = cut;
        for dead in world.files().into_keys().filter(|name| !live.contains_key(name)) {
            world.remove(&dead);
        }
        Case { world, default, people: named, history }
    }

    /// Repairs a copy of the store that `damage` was done to.
    fn repaired(&self, damage: impl FnOnce(&World)) -> (World, Result<RepairReport>) {
        let copy = self.world.after_power_cut();
        damage(&copy);
        let before = copy.files();
        let report = kv_engine::repair(DIR, NEW, copy.options());
        assert!(copy.files() == before, "the old store is as it was");
        (copy, report)
    }

    /// How many keys differ from what the store held; every value must be one that the key had.
    fn differing(&self, world: &World) -> usize {
        let db = Db::open(NEW, world.options()).unwrap();
        assert!(db.verify().unwrap().is_ok());
        let names = db.keyspaces().unwrap();
        let known = |name: &String| name == "people" || name.starts_with("recovered-");
        assert!(names.iter().all(known), "{names:?}");
        let mut found = Model::new();
        for name in &names {
            found.extend(pairs(db.keyspace(name).unwrap().iter()));
        }
        self.differences(&self.people, &found)
            + self.differences(&self.default, &pairs(db.iter()).into_iter().collect())
    }

    fn differences(&self, expected: &Model, found: &Model) -> usize {
        for (key, value) in found {
            let had = self.history.get(key).is_some_and(|values| values.contains(value));
            assert!(had, "{} never had this value", key.escape_ascii());
        }
        let keys: BTreeSet<&Vec<u8>> = expected.keys().chain(found.keys()).collect();
        keys.into_iter().filter(|key| expected.get(*key) != found.get(*key)).count()
    }

    /// Repairs after a damage that costs at most `most` keys; what is lost must be said.
    #[track_caller]
    fn costs_at_most(&self, what: &str, most: usize, damage: impl FnOnce(&World)) {
        let (world, report) = self.repaired(damage);
        let report = report.unwrap_or_else(|error| panic!("{what}: {error}"));
        let differ = self.differing(&world);
        let text = report.to_string();
        let told = !report.is_complete() || text.contains("cannot be told from one");
        assert!(differ == 0 || told, "{what}: {differ} keys differ, and the report says\n{text}");
        // A lost range delete may bring back all that it hid.
        let most = if text.contains("range tombstones") { most + 40 } else { most };
        assert!(differ <= most, "{what}: {differ} keys differ\n{text}");
    }
}

fn fill_space(
    space: &kv_engine::Keyspace,
    model: &mut Model,
    history: &mut BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>>,
) {
    for i in 1000..1040 {
        space.put(key(i), value(i, 5)).unwrap();
        model.insert(key(i), value(i, 5));
        history.entry(key(i)).or_default().insert(value(i, 5));
    }
}

fn case() -> Case {
    Case::new(("small blocks", small))
}

#[test]
fn a_sound_store_is_copied_exactly() {
    every_setting(|w| {
        let case = Case::new(w.setting);
        let (world, report) = case.repaired(|_| {});
        let report = report.unwrap();
        assert!(report.is_complete(), "{report}");
        assert_eq!(case.differing(&world), 0, "{report}");
        let db = Db::open(NEW, world.options()).unwrap();
        assert_eq!(db.keyspaces().unwrap(), ["people"]);
        assert!(report.to_string().contains("nothing is lost"), "{report}");
        db.keyspace("more").unwrap().put("k", "v").unwrap();
        assert_eq!(text(&db.keyspace("people").unwrap(), "k"), None);
    });
}

#[test]
fn a_flipped_byte_anywhere_costs_one_block_or_record() {
    let case = case();
    for (name, bytes) in case.world.files() {
        let step = (bytes.len() / 48).max(1);
        let costs =
            if name.ends_with(".sst") || name.ends_with(".log") { KEYS_IN_A_BLOCK } else { 0 };
        for at in (0..bytes.len()).step_by(step) {
            case.costs_at_most(&format!("byte {at} of {name}"), costs, |w| {
                w.rewrite(&name, |bytes| bytes[at] ^= 0x5A);
            });
        }
    }
}

#[test]
fn every_byte_of_the_last_tables_index_may_be_flipped() {
    let case = case();
    let name = case.world.names(".sst").into_iter().next().unwrap();
    let len = case.world.files()[&name].len();
    for at in (len.saturating_sub(700)..len).step_by(3) {
        case.costs_at_most(&format!("byte {at} of {name}"), KEYS_IN_A_BLOCK, |w| {
            w.rewrite(&name, |bytes| bytes[at] ^= 0xFF);
        });
    }
}

#[test]
fn a_table_is_read_without_manifest_footer_and_index() {
    let case = case();
    for name in case.world.names(".sst") {
        case.costs_at_most(&name, 0, |w| {
            w.remove("CURRENT");
            for manifest in w.files().into_keys().filter(|name| name.starts_with("MANIFEST")) {
                w.remove(&manifest);
            }
            // The footer's magic; then a byte of the top index, before filter and properties.
            w.rewrite(&name, |bytes| {
                let footer = bytes.len() - 64;
                bytes[footer] ^= 1;
            });
        });
    }
}

#[test]
fn a_truncated_file_keeps_what_lies_before_the_cut() {
    let case = case();
    for (name, bytes) in case.world.files() {
        for part in 0..12 {
            let len = bytes.len() * part / 12;
            let (world, report) = case.repaired(|w| w.rewrite(&name, |bytes| bytes.truncate(len)));
            let report = report.unwrap();
            let differ = case.differing(&world);
            let told =
                !report.is_complete() || report.to_string().contains("cannot be told from one");
            // A log that is cut between two records looks like one that ended there.
            assert!(differ == 0 || told || name.ends_with(".log"), "{name} cut at {len}: {report}");
            if !name.ends_with(".sst") && !name.ends_with(".log") {
                assert_eq!(differ, 0, "{name} cut at {len}: {report}");
            }
        }
    }
}

#[test]
fn a_lost_current_and_a_lost_manifest_cost_nothing_here() {
    let case = case();
    case.costs_at_most("CURRENT", 0, |w| w.remove("CURRENT"));
    let files = case.world.files();
    let manifest = files.keys().find(|name| name.starts_with("MANIFEST")).unwrap().clone();
    let (world, report) = case.repaired(|w| w.remove(&manifest));
    let report = report.unwrap();
    assert_eq!(case.differing(&world), 0, "{report}");
    assert!(!report.is_complete(), "it cannot know");
    assert!(report.to_string().contains("deleted keys may have returned"), "{report}");
    case.costs_at_most("both", 0, |w| {
        w.remove("CURRENT");
        w.remove(&manifest);
    });
    case.costs_at_most("garbage", 0, |w| w.rewrite(&manifest, |bytes| bytes.fill(0xA7)));
}

#[test]
fn a_missing_table_or_log_is_named_and_the_rest_stays() {
    let case = case();
    let names = [case.world.names(".sst"), case.world.names(".log")].concat();
    for name in names {
        let (world, report) = case.repaired(|w| w.remove(&name));
        let report = report.unwrap();
        case.differing(&world);
        assert!(!report.is_complete() && report.to_string().contains(&name), "{name}: {report}");
    }
}

#[test]
fn dead_tables_are_left_out_and_told_of_where_that_cannot_be_known() {
    let world = World::new(("small blocks", small));
    let db = world.open();
    let mut model = Model::new();
    fill(&db, &mut model, 100, 0);
    db.flush().unwrap();
    let before = world.files();
    db.delete_range(key(20)..key(40)).unwrap();
    model.retain(|k, _| !(key(20)..key(40)).contains(k));
    db.compact().unwrap();
    db.close().unwrap();
    drop(world.open());
    // A kill between the edit and the removal leaves dead tables.
    let now = world.files();
    for (name, bytes) in &before {
        if name.ends_with(".sst") && !now.contains_key(name) {
            let file = world.fs.create_new(&Path::new(DIR).join(name)).unwrap();
            file.write_all_at(bytes, 0).unwrap();
        }
    }
    let report = kv_engine::repair(DIR, NEW, world.options()).unwrap();
    assert!(report.is_complete(), "{report}");
    assert_same(&Db::open(NEW, world.options()).unwrap(), &model);
    world.remove("CURRENT");
    for manifest in world.files().into_keys().filter(|name| name.starts_with("MANIFEST")) {
        world.remove(&manifest);
    }
    let report = kv_engine::repair(DIR, "/parent/other", world.options()).unwrap();
    assert!(report.to_string().contains("deleted keys may have returned"), "{report}");
    let db = Db::open("/parent/other", world.options()).unwrap();
    for (key, value) in &model {
        assert_eq!(db.get(key).unwrap().as_deref(), Some(value.as_slice()));
    }
}

#[test]
fn foreign_files_are_left_out() {
    let case = case();
    let table = case.world.names(".sst").into_iter().next().unwrap();
    let other = World::new(("other", small));
    let db = other.open();
    for i in 0..100 {
        db.put(key(i), b"of another store").unwrap();
    }
    db.compact().unwrap();
    let theirs = other.files().into_iter().find(|(name, _)| name.ends_with(".sst")).unwrap().1;
    let (world, report) = case.repaired(|w| {
        w.rewrite(&table, |bytes| *bytes = theirs.clone());
        let file = w.fs.create_new(&Path::new(DIR).join("notes.txt")).unwrap();
        file.sync_all().unwrap();
    });
    let report = report.unwrap();
    case.differing(&world);
    assert!(report.to_string().contains("notes.txt"), "{report}");
    assert!(!report.is_complete(), "{report}");
}

#[test]
fn what_must_not_be_is_refused() {
    let case = case();
    let refuses = |into: &str| {
        let error = refused(kv_engine::repair(DIR, into, case.world.options()));
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    };
    refuses(DIR);
    refuses(&format!("{DIR}/new"));
    case.world.fs.create_dir(Path::new("/full")).unwrap();
    case.world.fs.create_new(Path::new("/full/file")).unwrap();
    refuses("/full");
    let missing = refused(kv_engine::repair("/full", NEW, case.world.options()));
    assert_eq!(missing.kind(), ErrorKind::NotFound, "{missing}");
    let db = case.world.open();
    let locked = refused(kv_engine::repair(DIR, NEW, case.world.options()));
    assert_eq!(locked.kind(), ErrorKind::Locked, "{locked}");
    drop(db);
}

#[test]
fn a_lost_catalog_gets_generated_names() {
    let world = World::plain();
    let db = world.open();
    db.keyspace("people").unwrap().put("ada", "1815").unwrap();
    db.flush().unwrap();
    db.put("x", "1").unwrap();
    db.close().unwrap();
    // The keyspace's name is in the first block with everything; so a later table is made that
    // holds the keyspace's data alone, and the first is lost.
    let first = world.names(".sst");
    let db = world.open();
    db.keyspace("people").unwrap().put("bob", "1901").unwrap();
    db.flush().unwrap();
    db.close().unwrap();
    for table in first.iter().filter(|name| world.names(".sst").contains(name)) {
        world.remove(table);
    }
    let report = kv_engine::repair(DIR, NEW, world.options()).unwrap();
    let db = Db::open(NEW, world.options()).unwrap();
    assert_eq!(db.keyspaces().unwrap(), ["recovered-2"], "{report}");
    assert_eq!(text(&db.keyspace("recovered-2").unwrap(), "bob").as_deref(), Some("1901"));
    assert_eq!(text(&db.keyspace("new").unwrap(), "bob"), None);
}

#[test]
fn a_missing_table_does_not_raise_the_dead() {
    let world = World::new(("small blocks", small));
    let db = world.open();
    let mut model = Model::new();
    fill(&db, &mut model, 100, 0);
    db.compact().unwrap();
    let first = world.files();
    for i in 0..100 {
        db.put(key(i), value(i, 1)).unwrap();
    }
    db.delete_range(key(20)..key(40)).unwrap();
    db.compact().unwrap();
    db.close().unwrap();
    // Opening may begin a new manifest, which knows nothing of the first tables.
    drop(world.open());
    for (name, bytes) in &first {
        if name.ends_with(".sst") && !world.files().contains_key(name) {
            let file = world.fs.create_new(&Path::new(DIR).join(name)).unwrap();
            file.write_all_at(bytes, 0).unwrap();
        }
    }
    // A stray copy of a table, younger than the manifest.
    let (table, bytes) = first.iter().find(|(name, _)| name.ends_with(".sst")).unwrap();
    let stray = world.fs.create_new(&Path::new(DIR).join("999999.sst")).unwrap();
    stray.write_all_at(bytes, 0).unwrap();
    let live = world
        .names(".sst")
        .into_iter()
        .rfind(|name| name != "999999.sst" && !first.contains_key(name));
    let live = live.unwrap();
    world.remove(&live);
    let report = kv_engine::repair(DIR, NEW, world.options()).unwrap();
    let text = report.to_string();
    assert!(!report.is_complete() && text.contains(&live) && text.contains(table), "{text}");
    for (key, value) in pairs(Db::open(NEW, world.options()).unwrap().iter()) {
        let i = (0..100).find(|i| self::key(*i) == key).unwrap();
        assert!(!(20..40).contains(&i) && value == self::value(i, 1), "key {i}\n{text}");
    }
}

#[test]
fn what_the_system_refuses_is_no_damage_and_ends_the_repair() {
    let case = case();
    for error in [FaultError::EMFILE, FaultError::EIO] {
        for op in [OpKind::Open, OpKind::Read, OpKind::Len] {
            for after in (0..400).step_by(7) {
                let copy = case.world.after_power_cut();
                let fs = FaultFs::new(std::sync::Arc::clone(&copy.fs) as _);
                let id = fs.arm(Fault::new(op, error).on("/db/").after(after).times(1));
                let options = copy.options().file_system(std::sync::Arc::new(fs.clone()));
                let repaired = kv_engine::repair(DIR, NEW, options);
                if fs.fired(id) == 0 {
                    break;
                }
                let error = refused(repaired);
                assert_eq!(error.kind(), ErrorKind::Io, "{op:?} {after}: {error}");
                let left = copy.fs.list(Path::new(NEW)).unwrap_or_default();
                assert!(left.iter().all(|entry| entry.name != "CURRENT"), "{op:?} {after}");
            }
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn open_files_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (dir.path().join("old"), dir.path().join("new"));
    let options = || Options::default().sync_on_write(false).level0_runs(64).max_open_files(16);
    let db = Db::open(&old, options()).unwrap();
    for i in 0..40 {
        db.put(key(0), value(i, 0)).unwrap();
        db.put(key(1000 + i), value(i, 0)).unwrap();
        db.flush().unwrap();
    }
    db.close().unwrap();
    let mut most = 0;
    let report = kv_engine::repair_with(&old, &new, options(), &mut |_| {
        let open = std::fs::read_dir("/proc/self/fd")
            .unwrap()
            .filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok());
        most = most.max(open.filter(|path| path.starts_with(dir.path())).count());
    });
    assert!(report.unwrap().is_complete());
    assert!((1..=16).contains(&most), "{most} files were open at once");
    assert_eq!(pairs(Db::open(&new, options()).unwrap().iter()).len(), 41);
}
