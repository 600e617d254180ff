//! The failing file system fails where it is told to, and nowhere else.

use crate::support::{contents, create, error, names, path, read};
use kv_vfs::{Fault, FaultError, FaultFs, FaultKind, Fs, FsFileExt, MemFs, Mode, OpKind};
use std::io::ErrorKind;
use std::sync::Arc;

fn failing() -> (FaultFs, MemFs) {
    let mem = MemFs::new();
    (FaultFs::new(Arc::new(mem.clone())), mem)
}

#[test]
fn a_fault_meets_the_calls_after_some_and_only_so_often() {
    let (fs, _) = failing();
    let file = create(&fs, path("/a"), b"");
    fs.arm(Fault::new(OpKind::Write, ErrorKind::StorageFull).after(2).times(3));
    let outcomes: Vec<bool> = (0..8).map(|_| file.write_at(b"x", 0).is_ok()).collect();
    assert_eq!(outcomes, [true, true, false, false, false, true, true, true]);
}

#[test]
fn a_fault_without_a_limit_lasts_until_it_is_disarmed() {
    let (fs, _) = failing();
    let file = create(&fs, path("/a"), b"abc");
    fs.arm(Fault::new(OpKind::Read, ErrorKind::Other));
    for _ in 0..5 {
        assert_eq!(error(file.read_at(&mut [0; 3], 0)), ErrorKind::Other);
    }
    fs.disarm();
    assert_eq!(contents(&*file), b"abc");
}

#[test]
fn a_fault_is_known_by_what_arming_it_answered() {
    let (fs, _) = failing();
    let file = create(&fs, path("/a"), b"abc");
    let first = fs.arm(Fault::new(OpKind::Sync, FaultError::Os(5)).after(1).times(1));
    let second = fs.arm(Fault::new(OpKind::Sync, ErrorKind::Other).after(1));
    file.sync_data().unwrap();
    assert_eq!(file.sync_data().unwrap_err().raw_os_error(), Some(5));
    assert_eq!(error(file.sync_data()), ErrorKind::Other);
    assert_eq!((fs.fired(first), fs.fired(second)), (1, 1));
    fs.disarm_one(second);
    file.sync_data().unwrap();
    assert_eq!((fs.fired(first), fs.fired(second)), (1, 1));
}

#[test]
fn a_fault_meets_the_paths_that_it_names() {
    let (fs, _) = failing();
    fs.arm(Fault::new(OpKind::Sync, ErrorKind::Other).on(".log"));
    let (log, table) = (create(&fs, path("/1.log"), b""), create(&fs, path("/2.sst"), b""));
    assert!(log.sync_data().is_err());
    assert!(log.sync_all().is_err());
    table.sync_data().unwrap();
    fs.arm(Fault::new(OpKind::Rename, ErrorKind::Other).on("1.log"));
    assert!(fs.rename(path("/1.log"), path("/3")).is_err(), "either path counts");
    assert!(fs.rename(path("/2.sst"), path("/1.log")).is_err());
    fs.rename(path("/2.sst"), path("/3")).unwrap();
}

#[test]
fn a_failed_call_does_nothing_unless_it_is_done_all_the_same() {
    for (kind, done) in [(FaultKind::Fail, false), (FaultKind::FailButDone, true)] {
        let (fs, mem) = failing();
        let file = create(&fs, path("/a"), b"abc");
        mem.sync_dir(path("/")).unwrap();
        for op in [OpKind::Write, OpKind::Sync, OpKind::Rename, OpKind::Create, OpKind::SyncDir] {
            fs.arm(Fault::new(op, ErrorKind::Other).kind(kind));
        }
        assert!(fs.create_new(path("/new")).is_err());
        assert_eq!(read(&mem, path("/new")).is_some(), done);
        assert!(file.write_at(b"x", 0).is_err());
        assert_eq!(contents(&*file), if done { b"xbc" } else { b"abc" });
        assert!(file.sync_data().is_err());
        assert_eq!(read(&mem.crash(), path("/a")).unwrap(), if done { &b"xbc"[..] } else { b"" });
        assert!(fs.rename(path("/a"), path("/b")).is_err());
        assert_eq!(read(&mem, path("/b")).is_some(), done);
        assert!(fs.sync_dir(path("/")).is_err());
        assert_eq!(read(&mem.crash(), path("/b")).is_some(), done);
    }
}

#[test]
fn a_short_write_is_no_error() {
    let (fs, _) = failing();
    let file = create(&fs, path("/a"), b"");
    fs.arm(Fault::new(OpKind::Write, ErrorKind::Other).kind(FaultKind::Short(3)).times(2));
    assert_eq!(file.write_at(b"abcdefgh", 0).unwrap(), 3);
    assert_eq!(contents(&*file), b"abc");
    file.write_all_at(b"abcdefgh", 0).unwrap();
    assert_eq!(contents(&*file), b"abcdefgh");
    fs.arm(Fault::new(OpKind::Write, ErrorKind::Other).kind(FaultKind::Short(0)));
    assert_eq!(error(file.write_all_at(b"x", 0)), ErrorKind::WriteZero);
}

#[test]
fn an_interrupted_call_is_made_again() {
    let (fs, _) = failing();
    let file = create(&fs, path("/a"), b"");
    for op in [OpKind::Write, OpKind::Read] {
        fs.arm(Fault::new(op, ErrorKind::Interrupted).times(2));
    }
    file.write_all_at(b"abc", 0).unwrap();
    assert_eq!(contents(&*file), b"abc");
}

#[test]
fn the_nth_call_of_all_fails_whatever_it_does() {
    for n in 0..4 {
        let (fs, _) = failing();
        let id = fs.arm(Fault::nth(n).error(FaultError::ENOSPC));
        let outcome = || -> std::io::Result<()> {
            let file = fs.create_new(path("/a"))?;
            file.write_all_at(b"x", 0)?;
            file.sync_data()?;
            fs.sync_dir(path("/"))
        };
        assert_eq!(error(outcome()), ErrorKind::StorageFull);
        assert_eq!((fs.calls().values().sum::<u64>(), fs.fired(id)), (n + 1, 1));
        assert!(fs.list(path("/")).is_ok());
    }
}

#[test]
fn a_sync_that_loses_leaves_what_is_read_and_gone_after_a_cut() {
    let (fs, mem) = failing();
    let file = create(&fs, path("/a"), b"abc");
    for op in [OpKind::Sync, OpKind::SyncDir] {
        fs.arm(Fault::new(op, FaultError::EIO).kind(FaultKind::LostReadable).times(1));
    }
    assert_eq!(file.sync_data().unwrap_err().raw_os_error(), Some(5));
    assert!(fs.sync_dir(path("/")).is_err());
    file.sync_data().unwrap();
    fs.sync_dir(path("/")).unwrap();
    assert_eq!(contents(&*file), b"abc");
    assert_eq!(names(&fs, path("/")), ["a"]);
    assert!(names(&mem.crash(), path("/")).is_empty());
    fs.hard_link(path("/a"), path("/b")).unwrap();
    fs.sync_dir(path("/")).unwrap();
    assert_eq!(read(&mem.crash(), path("/b")).unwrap(), b"");
}

#[test]
fn a_read_flips_one_bit_and_is_short_where_it_is_told_to() {
    let (fs, _) = failing();
    let file = create(&fs, path("/a"), &[0; 16]);
    fs.arm(Fault::new(OpKind::Read, FaultError::EIO).kind(FaultKind::FlipBit(35)).times(1));
    let mut bytes = contents(&*file);
    assert_eq!(bytes[4], 8);
    bytes[4] = 0;
    assert_eq!(bytes, [0; 16]);
    fs.arm(Fault::new(OpKind::Read, FaultError::EIO).kind(FaultKind::Short(3)));
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), 3);
    assert_eq!(contents(&*file), [0; 16], "callers go on");
}

#[test]
fn a_fault_spreads_to_other_calls_once_it_struck() {
    let (fs, _) = failing();
    let file = create(&fs, path("/a"), b"");
    let full = Fault::new(OpKind::Write, FaultError::ENOSPC).on("/a").after(1);
    fs.arm(full.then_all(&[OpKind::Write, OpKind::Create]));
    create(&fs, path("/b"), b"x");
    file.write_at(b"x", 0).unwrap();
    assert!(file.write_at(b"x", 0).is_err());
    assert!(fs.create_new(path("/c")).is_err());
    assert!(fs.open(path("/b"), Mode::ReadWrite).unwrap().write_at(b"x", 0).is_err());
    file.sync_data().unwrap();
}

#[test]
fn a_call_is_known_by_the_line_that_made_it() {
    let (fs, _) = failing();
    fs.record();
    let (through_trait, line): (&dyn Fs, u32) = (&fs, line!());
    let file = through_trait.create_new(path("/a")).unwrap();
    file.write_all_at(b"abc", 0).unwrap();
    (0..3).for_each(|_| file.sync_data().unwrap());
    let site = fs.sequence()[1].0;
    assert!(site.file.ends_with("faults.rs"), "{site}");
    let error = FaultError::EIO;
    fs.arm(Fault::new(OpKind::Sync, error).at(fs.sequence()[2].0));
    assert!(file.sync_data().is_ok(), "another line");
    let sync = |sync_or_write: bool| match sync_or_write {
        true => file.sync_data(),
        false => file.write_all_at(b"d", 0),
    };
    sync(false).unwrap();
    sync(true).unwrap();
    let table = fs.coverage();
    let found: Vec<_> = table.iter().map(|c| (c.site.line - line, c.op, c.calls)).collect();
    let (create, write, sync) = (OpKind::Create, OpKind::Write, OpKind::Sync);
    assert_eq!(
        found,
        [(1, create, 1), (2, write, 1), (3, sync, 3), (8, sync, 1), (10, sync, 1), (11, write, 1)]
    );
    assert!(table.iter().all(|covered| covered.faults.is_empty()));
    let again = fs.arm(Fault::new(OpKind::Write, error).times(1));
    file.set_len(0).unwrap();
    assert!(file.write_all_at(b"abc", 0).is_err());
    assert_eq!(fs.fired(again), 1);
    let met: Vec<_> = fs.coverage().into_iter().flat_map(|covered| covered.faults).collect();
    assert_eq!(met, [(FaultKind::Fail, error, 1)]);
}

#[test]
fn every_kind_of_call_can_fail_and_is_counted() {
    let (fs, _) = failing();
    let file = create(&fs, path("/a"), b"abc");
    let dir = path("/");
    let calls: [(OpKind, &dyn Fn() -> bool); 18] = [
        (OpKind::Read, &|| file.read_at(&mut [0], 0).is_ok()),
        (OpKind::Write, &|| file.write_at(b"x", 0).is_ok()),
        (OpKind::SetLen, &|| file.set_len(5).is_ok()),
        (OpKind::Allocate, &|| file.allocate(5).is_ok()),
        (OpKind::Sync, &|| file.sync_data().is_ok()),
        (OpKind::Len, &|| file.len().is_ok()),
        (OpKind::Create, &|| fs.create_new(path("/b")).is_ok()),
        (OpKind::Open, &|| fs.open(path("/a"), Mode::Read).is_ok()),
        (OpKind::Rename, &|| fs.rename(path("/b"), path("/c")).is_ok()),
        (OpKind::HardLink, &|| fs.hard_link(path("/a"), path("/b")).is_ok()),
        (OpKind::Remove, &|| fs.remove(path("/b")).is_ok()),
        (OpKind::List, &|| fs.list(dir).is_ok()),
        (OpKind::Metadata, &|| fs.metadata(path("/a")).is_ok()),
        (OpKind::CreateDir, &|| fs.create_dir(path("/d")).is_ok()),
        (OpKind::RemoveDir, &|| fs.remove_dir(path("/d")).is_ok()),
        (OpKind::SyncDir, &|| fs.sync_dir(dir).is_ok()),
        (OpKind::Lock, &|| fs.lock(path("/LOCK")).is_ok()),
        (OpKind::FreeSpace, &|| fs.free_space(dir).is_ok()),
    ];
    for (op, call) in calls {
        let before = fs.calls().get(&op).copied().unwrap_or(0);
        fs.arm(Fault::new(op, ErrorKind::PermissionDenied).times(1));
        assert!(!call(), "{op:?} fails");
        assert!(call(), "{op:?} works again");
        assert_eq!(fs.calls()[&op], before + 2, "{op:?} is counted");
    }
    assert_eq!(names(&fs, dir), ["LOCK", "a", "c"]);
}
