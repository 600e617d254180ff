//! Backups: every point stays what it was, and what is damaged is never restored.

mod cuts;
mod histories;
mod stored;

use crate::copies::Counters;
use crate::support::*;
use kv_engine::{BackupDir, BackupTarget, Backups, Db, ErrorKind, Options};
use kv_vfs::{Fault, FaultFs, FaultKind, Fs, FsFileExt, MemFs, Mode, OpKind};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const BACKUPS: &str = "/backups/all";
const COPY: &str = "/copies/one";

fn backups(fs: Arc<dyn Fs>) -> Backups {
    Backups::open(BackupDir::on(fs, BACKUPS))
}

fn on(fs: &MemFs) -> Arc<dyn Fs> {
    Arc::new(fs.clone())
}

fn open_at(path: &str, fs: &MemFs) -> kv_engine::Result<Db> {
    Db::open(path, Options::default().file_system(on(fs)).create_if_missing(false))
}

/// Removes a directory of a store.
fn clear(fs: &MemFs, dir: &str) {
    let dir = Path::new(dir);
    for entry in fs.list(dir).unwrap_or_default() {
        fs.remove(&dir.join(entry.name)).unwrap();
    }
}

/// What a point holds, by restoring it.
#[track_caller]
fn assert_point(fs: &MemFs, point: u64, model: &Model) {
    clear(fs, COPY);
    let options = Options::default().file_system(on(fs));
    backups(on(fs)).restore(point, COPY, options).unwrap();
    let copy = open_at(COPY, fs).unwrap();
    assert_same(&copy, model);
    assert!(copy.verify().unwrap().is_ok());
}

/// All objects of the backups with their bytes.
fn objects(fs: &MemFs) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for folder in ["points", "files"] {
        let dir = Path::new(BACKUPS).join(folder);
        for (name, bytes) in files(fs, &dir) {
            found.insert(dir.join(name), bytes);
        }
    }
    found
}

fn overwrite(fs: &MemFs, path: &Path, bytes: &[u8]) {
    let file = fs.open(path, Mode::ReadWrite).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    file.write_all_at(bytes, 0).unwrap();
}

#[test]
fn each_point_is_restored_as_it_was() {
    every_setting(|w| {
        let db = w.open();
        let backups = backups(on(&w.fs));
        let mut model = Model::new();
        let mut points = Vec::new();
        for round in 0..4 {
            fill(&db, &mut model, 100, round);
            db.put("long", vec![round as u8; 5000]).unwrap();
            model.insert(b"long".to_vec(), vec![round as u8; 5000]);
            db.delete(key(round)).unwrap();
            model.remove(&key(round));
            if round == 2 {
                db.delete_range(key(20)..key(30)).unwrap();
                model.retain(|k, _| k < &key(20) || k >= &key(30));
                db.compact().unwrap();
            }
            let point = backups.create(&db).unwrap();
            points.push((point.number(), model.clone()));
        }
        let listed = backups.list().unwrap();
        assert_eq!(listed.iter().map(|p| p.number()).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert!(listed.iter().all(|p| p.damage().is_none() && p.files() > 0));
        assert!(backups.verify().unwrap().is_ok());
        drop(db);
        clear(&w.fs, DIR);
        for (number, model) in &points {
            assert_point(&w.fs, *number, model);
        }
    });
}

#[test]
fn only_new_files_are_copied() {
    let w = World::plain();
    let db = w.open();
    let mut model = Model::new();
    fill(&db, &mut model, 2000, 0);
    let backups = backups(on(&w.fs));
    let first = backups.create(&db).unwrap();
    assert_eq!(first.copied(), first.bytes());
    let again = backups.create(&db).unwrap();
    assert_eq!((again.copied(), again.bytes()), (0, first.bytes()));
    db.put("one", "more").unwrap();
    let third = backups.create(&db).unwrap();
    assert!(third.copied() > 0 && third.copied() < first.bytes() / 2, "{third:?}");
    // A store that was restored is another one: the numbers of its files begin anew.
    assert_point(&w.fs, 1, &model);
    let copy = open_at(COPY, &w.fs).unwrap();
    let other = backups.create(&copy).unwrap();
    assert_eq!(other.copied(), other.bytes());
    drop(copy);
    assert_point(&w.fs, other.number(), &model);
    model.insert(b"one".to_vec(), b"more".to_vec());
    assert_point(&w.fs, 3, &model);
}

#[test]
fn a_point_is_of_one_moment_while_others_write_and_merge() {
    let w = World::tiny();
    let db = w.open();
    let counters = Counters::start(&db);
    let backups = backups(on(&w.fs));
    for round in 0..12 {
        let least = Counters::counts(&db);
        // Every second one is made beside the writer, as another process would.
        let reader = Db::open(DIR, w.options().read_only(true)).unwrap();
        let point = backups.create(if round % 2 == 0 { &db } else { &reader }).unwrap();
        let path = format!("/copies/{round}");
        backups.restore(point.number(), &path, w.options()).unwrap();
        let copy = open_at(&path, &w.fs).unwrap();
        Counters::assert_one_moment(&copy, least);
    }
    counters.stop();
    assert!(backups.verify().unwrap().is_ok());
}

#[test]
fn beside_a_writer_the_log_is_in_it_too() {
    every_setting(|w| {
        let db = w.open();
        let mut model = Model::new();
        fill(&db, &mut model, 150, 0);
        db.flush().unwrap();
        fill(&db, &mut model, 40, 1);
        db.put("long", vec![9; 5000]).unwrap();
        model.insert(b"long".to_vec(), vec![9; 5000]);
        db.delete_range(key(5)..key(9)).unwrap();
        model.retain(|k, _| k < &key(5) || k >= &key(9));
        let before = w.files_at_rest(&db);
        let reader = Db::open(DIR, w.options().read_only(true)).unwrap();
        let point = backups(on(&w.fs)).create(&reader).unwrap();
        drop(reader);
        if w.setting.0 == "defaults" {
            assert!(w.files() == before, "nothing in the store is touched");
        }
        // Its tables go, and the reader's backup does not need them.
        let gone = Db::open(DIR, w.options().read_only(true)).unwrap();
        db.compact().unwrap();
        drop(db);
        let late = backups(on(&w.fs)).create(&gone).unwrap();
        assert_point(&w.fs, point.number(), &model);
        assert_point(&w.fs, late.number(), &model);
    });
}

#[test]
fn a_store_in_memory_can_be_kept() {
    let disk = MemFs::new();
    let db = Db::in_memory(Options::default()).unwrap();
    let mut model = Model::new();
    fill(&db, &mut model, 50, 0);
    let point = backups(on(&disk)).create(&db).unwrap();
    assert_point(&disk, point.number(), &model);
}

#[test]
fn places_and_points_that_do_not_fit_are_refused() {
    let w = World::plain();
    let db = w.open();
    db.put("a", "1").unwrap();
    assert_eq!(refused(backups(on(&w.fs)).list()).kind(), ErrorKind::NotFound);
    assert_eq!(refused(backups(on(&w.fs)).verify()).kind(), ErrorKind::NotFound);
    // The store's own directory.
    let own = Backups::open(BackupDir::on(on(&w.fs), DIR));
    assert_eq!(refused(own.create(&db)).kind(), ErrorKind::InvalidArgument);
    assert_eq!(refused(own.list()).kind(), ErrorKind::NotFound);
    let backups = backups(on(&w.fs));
    backups.create(&db).unwrap();
    assert_eq!(refused(backups.keep(0)).kind(), ErrorKind::InvalidArgument);
    assert_eq!(refused(backups.restore(9, COPY, w.options())).kind(), ErrorKind::NotFound);
    assert!(w.fs.list(Path::new(COPY)).is_err());
    let error = refused(backups.restore(1, DIR, w.options()));
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    assert_eq!(text(&db, "a").as_deref(), Some("1"));
    db.clone().close().unwrap();
    assert_eq!(refused(backups.create(&db)).kind(), ErrorKind::Closed);
}

#[test]
fn old_points_go_and_the_others_stay() {
    let w = World::tiny();
    let db = w.open();
    let backups = backups(on(&w.fs));
    let mut model = Model::new();
    let mut points = Vec::new();
    for round in 0..5 {
        fill(&db, &mut model, 60, round);
        db.compact().unwrap();
        points.push((backups.create(&db).unwrap().number(), model.clone()));
    }
    // Of a backup that was cut, and of somebody else.
    let files = Path::new(BACKUPS).join("files");
    let stranger = files.join("notes.txt");
    drop(w.fs.create_new(&stranger).unwrap());
    let cut = files.join(format!("{:032x}-000001-{:016x}.sst", 1, 2));
    drop(w.fs.create_new(&cut).unwrap());
    assert!(backups.verify().unwrap().is_ok());
    let removed = backups.keep(2).unwrap();
    assert_eq!(removed.points(), 3);
    assert!(removed.files() > 3 && removed.bytes() > 0);
    assert!(w.fs.metadata(&stranger).is_ok() && w.fs.metadata(&cut).is_err());
    assert_eq!(backups.keep(2).unwrap(), Default::default());
    let left: Vec<u64> = backups.list().unwrap().iter().map(|point| point.number()).collect();
    assert_eq!(left, [4, 5]);
    for (number, model) in &points[3..] {
        assert_point(&w.fs, *number, model);
    }
    assert_eq!(backups.create(&db).unwrap().number(), 6);
}

#[test]
fn damage_in_any_object_is_found_and_nothing_is_restored() {
    let w = World::tiny();
    let db = w.open();
    let mut model = Model::new();
    fill(&db, &mut model, 120, 0);
    db.put("long", vec![5; 3000]).unwrap();
    model.insert(b"long".to_vec(), vec![5; 3000]);
    let backups = backups(on(&w.fs));
    backups.create(&db).unwrap();
    assert_point(&w.fs, 1, &model);
    clear(&w.fs, COPY);
    w.fs.remove_dir(Path::new(COPY)).unwrap();
    let all = objects(&w.fs);
    assert!(all.keys().any(|path| path.extension().is_some_and(|end| end == "val")));
    for (path, bytes) in &all {
        let len = bytes.len();
        let places: Vec<usize> =
            (0..64).map(|i| i * len / 64).chain((len - 16)..len).chain(0..48.min(len)).collect();
        let changes = places.into_iter().map(|at| {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            changed
        });
        let cuts = [0, 1, len / 2, len - 1].map(|at| bytes[..at].to_vec());
        let longer = [&bytes[..], &[0]].concat();
        for changed in changes.chain(cuts).chain([longer]) {
            overwrite(&w.fs, path, &changed);
            assert!(!backups.verify().unwrap().is_ok(), "{}", path.display());
            let error = refused(backups.restore(1, COPY, w.options()));
            let kind = error.kind();
            assert!(
                matches!(kind, ErrorKind::Corruption | ErrorKind::IncompatibleFormat),
                "{error:?}"
            );
            assert!(w.fs.list(Path::new(COPY)).is_err(), "nothing stays behind");
        }
        w.fs.remove(path).unwrap();
        if path.parent().is_some_and(|dir| dir.ends_with("files")) {
            assert!(backups.verify().unwrap().to_string().contains("missing"));
        }
        assert!(backups.restore(1, COPY, w.options()).is_err());
        drop(w.fs.create_new(path).unwrap());
        overwrite(&w.fs, path, bytes);
    }
    assert!(backups.verify().unwrap().is_ok());
    assert_point(&w.fs, 1, &model);
}

#[test]
fn a_damaged_description_stops_removal_and_spares_the_others() {
    let w = World::tiny();
    let db = w.open();
    let mut model = Model::new();
    let backups = backups(on(&w.fs));
    let mut models = Vec::new();
    for round in 0..3 {
        fill(&db, &mut model, 60, round);
        db.compact().unwrap();
        backups.create(&db).unwrap();
        models.push(model.clone());
    }
    let path = Path::new(BACKUPS).join("points/00000002.point");
    let mut bytes = read_file(&*w.fs, &path).unwrap();
    bytes[50] ^= 4;
    overwrite(&w.fs, &path, &bytes);
    let before = objects(&w.fs);
    assert_eq!(refused(backups.keep(2)).kind(), ErrorKind::Corruption);
    assert!(objects(&w.fs) == before);
    let damaged: Vec<bool> = backups.list().unwrap().iter().map(|p| p.damage().is_some()).collect();
    assert_eq!(damaged, [false, true, false]);
    assert_point(&w.fs, 1, &models[0]);
    assert_point(&w.fs, 3, &models[2]);
    assert_eq!(backups.keep(1).unwrap().points(), 2);
    assert_point(&w.fs, 3, &models[2]);
}

#[test]
fn nothing_damaged_is_backed_up_and_a_short_object_is_written_again() {
    let w = World::plain();
    let db = w.open();
    let mut model = Model::new();
    fill(&db, &mut model, 300, 0);
    let backups = backups(on(&w.fs));
    backups.create(&db).unwrap();
    let (object, bytes) =
        objects(&w.fs).into_iter().find(|(p, _)| !p.ends_with("00000001.point")).unwrap();
    overwrite(&w.fs, &object, &bytes[..bytes.len() / 2]);
    assert!(backups.create(&db).unwrap().copied() > 0);
    assert_point(&w.fs, 1, &model);
    db.put("b", "2").unwrap();
    db.flush().unwrap();
    let newest = w.names(".sst").pop().unwrap();
    w.rewrite(&newest, |bytes| bytes[10] ^= 1);
    let error = refused(backups.create(&db));
    assert_eq!(error.kind(), ErrorKind::Corruption);
    assert!(error.to_string().contains(&newest), "{error}");
    assert_eq!(backups.list().unwrap().len(), 2);
    assert!(backups.verify().unwrap().is_ok());
}

#[test]
fn what_verify_says_of_a_damaged_file_mends_it() {
    let w = World::plain();
    let db = w.open();
    let mut model = Model::new();
    fill(&db, &mut model, 300, 0);
    let backups = backups(on(&w.fs));
    backups.create(&db).unwrap();
    let (object, mut bytes) =
        objects(&w.fs).into_iter().find(|(p, _)| !p.ends_with("00000001.point")).unwrap();
    let name = object.strip_prefix(BACKUPS).unwrap().display().to_string();
    bytes[100] ^= 1;
    overwrite(&w.fs, &object, &bytes);
    db.put("b", "2").unwrap();
    backups.create(&db).unwrap();
    backups.create(&db).unwrap();
    let report = backups.verify().unwrap().to_string();
    assert!(report.starts_with("3 points, "), "{report}");
    assert!(report.contains(&format!("\n{name} ")) && report.contains("delete it"), "{report}");
    assert!(report.ends_with("cannot be restored as they are: points 1 to 3"), "{report}");
    w.fs.remove(&object).unwrap();
    assert!(backups.verify().unwrap().to_string().contains(&format!("{name} is missing")));
    assert_eq!(backups.create(&db).unwrap().copied(), bytes.len() as u64);
    let report = backups.verify().unwrap();
    assert!(report.is_ok(), "{report}");
    assert_point(&w.fs, 1, &model);
    model.insert(b"b".to_vec(), b"2".to_vec());
    assert_point(&w.fs, 2, &model);
}

#[test]
fn two_at_once_do_no_harm() {
    let w = World::tiny();
    let db = w.open();
    let target = BackupDir::on(on(&w.fs), BACKUPS);
    let held = target.lock().unwrap();
    assert_eq!(refused(backups(on(&w.fs)).create(&db)).kind(), ErrorKind::Locked);
    assert_eq!(refused(backups(on(&w.fs)).keep(1)).kind(), ErrorKind::Locked);
    drop(held);
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let (db, backups) = (db.clone(), backups(on(&w.fs)));
            std::thread::spawn(move || {
                for i in 0..20 {
                    db.put(format!("{thread}/{i}"), vec![1; 300]).unwrap();
                    let outcome = match i % 3 {
                        2 => backups.keep(3).map(drop),
                        _ => backups.create(&db).map(drop),
                    };
                    if let Err(error) = outcome {
                        assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
                    }
                    let report = backups.verify().unwrap();
                    assert!(report.is_ok(), "{report}");
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let backups = backups(on(&w.fs));
    for point in backups.list().unwrap() {
        clear(&w.fs, COPY);
        backups.restore(point.number(), COPY, w.options()).unwrap();
        assert!(open_at(COPY, &w.fs).unwrap().verify().unwrap().is_ok());
    }
}

#[test]
fn a_failed_call_leaves_the_points_and_the_next_one_succeeds() {
    use OpKind::{Create, Rename, Sync, SyncDir, Write};
    let mut failures = 0;
    for op in [Create, Write, Sync, Rename, SyncDir, OpKind::CreateDir, OpKind::Remove] {
        for skipped in 0..8 {
            let disk = MemFs::new();
            let fs = FaultFs::new(Arc::new(disk.clone()));
            let db = Db::open(DIR, Options::default().file_system(on(&disk))).unwrap();
            let backups = backups(Arc::new(fs.clone()));
            let (mut first, mut second) = (Model::new(), Model::new());
            fill(&db, &mut first, 50, 0);
            if op != OpKind::CreateDir {
                backups.create(&db).unwrap();
            }
            second.extend(first.clone());
            fill(&db, &mut second, 20, 1);
            db.compact().unwrap();
            fs.arm(Fault::new(op, io::ErrorKind::Other).on("/backups").after(skipped).times(1));
            let mut failed = backups.create(&db).is_err();
            failed |= backups.keep(1).is_err();
            failures += u32::from(failed);
            fs.disarm();
            // Everything that is promised lies on the disk.
            let point = backups.create(&db).unwrap().number();
            let after = disk.crash();
            for listed in self::backups(on(&after)).list().unwrap() {
                let model =
                    if listed.number() == 1 && op != OpKind::CreateDir { &first } else { &second };
                assert_point(&after, listed.number(), model);
            }
            assert_point(&after, point, &second);
        }
    }
    assert!(failures >= 20, "{failures}");
}

/// A place that is no directory, and takes only a part of what it is given.
#[derive(Debug)]
struct Lazy;

impl BackupTarget for Lazy {
    fn lock(&self) -> io::Result<Box<dyn Send>> {
        Ok(Box::new(()))
    }
    fn put(&self, _: &str, content: &mut dyn Read) -> io::Result<()> {
        content.read(&mut [0; 10]).map(drop)
    }
    fn get(&self, _: &str) -> io::Result<Box<dyn Read>> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn list(&self, _: &str) -> io::Result<Vec<(String, u64)>> {
        Ok(Vec::new())
    }
    fn delete(&self, _: &str) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_place_that_takes_a_part_is_told() {
    let db = World::plain().open();
    db.put("a", "1").unwrap();
    assert_eq!(refused(Backups::open(Lazy).create(&db)).kind(), ErrorKind::Corruption);
}

/// A name whose sync has failed may be gone after a power cut though it is seen until then.
#[test]
fn names_that_were_not_made_durable_are_not_relied_on() {
    for dir in ["/backups/all", "/backups/all/files", "/backups/all/points"] {
        for skipped in 0..4 {
            let disk = MemFs::new();
            let fs = FaultFs::new(Arc::new(disk.clone()));
            let db = Db::open(DIR, Options::default().file_system(on(&disk))).unwrap();
            let mut model = Model::new();
            fill(&db, &mut model, 50, 0);
            let backups = backups(Arc::new(fs.clone()));
            let fault = Fault::new(OpKind::SyncDir, io::ErrorKind::Other).on(dir);
            fs.arm(fault.kind(FaultKind::LostReadable).after(skipped).times(1));
            let _ = backups.create(&db);
            fs.disarm();
            let point = backups.create(&db).unwrap();
            drop(db);
            assert_point(&disk.crash(), point.number(), &model);
        }
    }
}

/// What a killed backup left is used by the next one, and is made durable by it.
#[test]
fn names_that_a_kill_left_are_made_durable() {
    let disk = MemFs::new();
    disk.create_dir(Path::new("/backups")).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    // Its name is not durable, nor is that of a file below.
    disk.create_dir(Path::new(BACKUPS)).unwrap();
    let db = Db::open(DIR, Options::default().file_system(on(&disk))).unwrap();
    let mut model = Model::new();
    fill(&db, &mut model, 50, 0);
    let backups = backups(on(&disk));
    backups.create(&db).unwrap();
    assert_point(&disk.crash(), 1, &model);
    let all = objects(&disk);
    let file = |path: &&PathBuf| path.parent().is_some_and(|dir| dir.ends_with("files"));
    let path = all.keys().find(file).unwrap();
    disk.remove(path).unwrap();
    disk.sync_dir(path.parent().unwrap()).unwrap();
    let again = disk.create_new(path).unwrap();
    again.write_all_at(&all[path], 0).unwrap();
    again.sync_all().unwrap();
    assert_eq!(backups.create(&db).unwrap().copied(), 0);
    assert_point(&disk.crash(), 2, &model);
}
