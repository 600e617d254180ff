//! The power goes at each call of a backup, a removal and a restore.

use super::{BACKUPS, COPY, assert_point, backups, on, open_at};
use crate::copies::rounds;
use crate::cutting::{CuttingFs, SURVIVORS, survivors};
use crate::support::*;
use kv_engine::{Db, Options};
use kv_vfs::{Fs, FsFileExt, MemFs, Mode};
use std::path::Path;
use std::sync::Arc;

/// A store with two points, and more behind them.
fn prepare(disk: &MemFs) -> (Db, Vec<Model>) {
    let mut models = Vec::new();
    let (db, _) = rounds(on(disk), 3, |db, model| {
        if models.len() < 2 {
            backups(on(disk)).create(db).unwrap();
        }
        models.push(model.clone());
    });
    (db, models)
}

/// Cuts the power before each operation of `work`, which is given the backups' own view of the disk.
fn at_each_cut(work: impl Fn(&Db, Arc<dyn Fs>), check: impl Fn(&MemFs, usize, &[Model])) -> u64 {
    let disk = MemFs::new();
    let (db, _) = prepare(&disk);
    let counting = CuttingFs::counting(disk);
    work(&db, Arc::new(counting.clone()));
    drop(db);
    let last = counting.operations();
    for at in 0..=last {
        for which in 0..SURVIVORS {
            let disk = MemFs::new();
            let (db, models) = prepare(&disk);
            let fs = CuttingFs::new(disk.clone(), at, survivors(which));
            work(&db, Arc::new(fs.clone()));
            fs.acknowledge(1);
            // One operation more, for the cut behind the end.
            drop(fs.create_new(Path::new("/end")));
            let (left, acknowledged) = fs.cut().unwrap();
            check(&left, acknowledged, &models);
        }
    }
    last
}

#[test]
fn of_a_backup() {
    let operations = at_each_cut(
        |db, fs| drop(backups(fs).create(db).unwrap()),
        |left, acknowledged, models| {
            let points = backups(on(left)).list().unwrap();
            assert!(points.len() >= 2 + acknowledged, "{points:?}");
            for point in &points {
                assert_point(left, point.number(), &models[point.number() as usize - 1]);
            }
            assert!(backups(on(left)).verify().unwrap().is_ok());
            // And the next one is whole too.
            let db = Db::open(DIR, Options::default().file_system(on(left))).unwrap();
            let next = backups(on(left)).create(&db).unwrap();
            assert_point(left, next.number(), &models[2]);
            backups(on(left)).keep(1).unwrap();
            assert_point(left, next.number(), &models[2]);
        },
    );
    assert!(operations > 10, "{operations}");
}

#[test]
fn of_a_removal() {
    let operations = at_each_cut(
        |_, fs| assert!(backups(fs).keep(1).is_ok()),
        |left, acknowledged, models| {
            let points = backups(on(left)).list().unwrap();
            assert!(acknowledged == 0 || points.len() == 1, "{points:?}");
            for point in &points {
                assert_point(left, point.number(), &models[point.number() as usize - 1]);
            }
            assert_eq!(points.last().unwrap().number(), 2);
            let report = backups(on(left)).verify().unwrap();
            assert!(report.is_ok(), "{report}");
            backups(on(left)).keep(1).unwrap();
            assert!(!backups(on(left)).verify().unwrap().to_string().contains("note"));
            assert_point(left, 2, &models[1]);
        },
    );
    assert!(operations > 5, "{operations}");
}

#[test]
fn of_a_restore() {
    let operations = at_each_cut(
        |_, fs| {
            let options = Options::default().file_system(Arc::clone(&fs));
            backups(fs).restore(2, COPY, options).unwrap();
        },
        |left, acknowledged, models| {
            match open_at(COPY, left) {
                Ok(copy) => assert_same(&copy, &models[1]),
                Err(error) => {
                    assert_eq!(acknowledged, 0, "{error}");
                    assert!(error.to_string().contains(COPY), "{error}");
                }
            }
            assert!(backups(on(left)).verify().unwrap().is_ok());
        },
    );
    assert!(operations > 10, "{operations}");
}

#[test]
fn of_the_first_backup() {
    let run = |fs: Arc<dyn Fs>, db: &Db| backups(fs).create(db).map(drop);
    let fresh = || {
        let disk = MemFs::new();
        let db = Db::open(DIR, Options::default().file_system(on(&disk))).unwrap();
        let mut model = Model::new();
        fill(&db, &mut model, 30, 0);
        db.flush().unwrap();
        (disk, db, model)
    };
    let (disk, db, _) = fresh();
    let counting = CuttingFs::counting(disk);
    run(Arc::new(counting.clone()), &db).unwrap();
    for at in 0..counting.operations() {
        for which in 0..SURVIVORS {
            let (disk, db, model) = fresh();
            let fs = CuttingFs::new(disk, at, survivors(which));
            run(Arc::new(fs.clone()), &db).unwrap();
            let (left, _) = fs.cut().unwrap();
            let db = Db::open(DIR, Options::default().file_system(on(&left))).unwrap();
            run(on(&left), &db).unwrap();
            for point in backups(on(&left)).list().unwrap() {
                assert_point(&left, point.number(), &model);
            }
        }
    }
}

#[test]
fn what_was_being_written_is_cleared_away() {
    let disk = MemFs::new();
    let (db, models) = prepare(&disk);
    let half = Path::new(BACKUPS).join("files").join("a.sst.tmp");
    disk.create_new(&half).unwrap().write_all_at(b"half", 0).unwrap();
    assert!(backups(on(&disk)).verify().unwrap().is_ok());
    backups(on(&disk)).create(&db).unwrap();
    assert!(disk.open(&half, Mode::Read).is_err());
    assert_point(&disk, 3, &models[2]);
}
