//! What a power cut takes from the file system in memory: what was not synced, and nothing else.

use crate::support::{contents, create, create_durable, error, names, path, read};
use kv_vfs::{Fs, FsFileExt, MemFs, Mode, PendingOp};
use proptest::prelude::*;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[test]
fn contents_that_were_not_synced_are_lost() {
    let fs = MemFs::new();
    let file = create_durable(&fs, path("/a"), b"synced");
    file.write_all_at(b"UN", 0).unwrap();
    file.write_all_at(b"more", 6).unwrap();
    assert_eq!(read(&fs.crash(), path("/a")).unwrap(), b"synced");
    assert_eq!(contents(&*file), b"UNncedmore", "the original goes on");
    file.sync_data().unwrap();
    assert_eq!(read(&fs.crash(), path("/a")).unwrap(), b"UNncedmore");
}

#[test]
fn a_name_that_was_not_synced_is_lost_though_the_contents_were() {
    let fs = MemFs::new();
    create(&fs, path("/a"), b"abc").sync_all().unwrap();
    assert_eq!(read(&fs.crash(), path("/a")), None);
}

#[test]
fn a_synced_name_does_not_save_the_contents() {
    let fs = MemFs::new();
    let file = create(&fs, path("/a"), b"abc");
    fs.sync_dir(path("/")).unwrap();
    assert_eq!(read(&fs.crash(), path("/a")).unwrap(), b"");
    file.sync_data().unwrap();
    assert_eq!(read(&fs.crash(), path("/a")).unwrap(), b"abc");
}

#[test]
fn a_cut_length_comes_back_until_it_is_synced() {
    let fs = MemFs::new();
    let file = create_durable(&fs, path("/a"), &[1; 9_000]);
    file.set_len(100).unwrap();
    file.set_len(5_000).unwrap();
    assert_eq!(read(&fs.crash(), path("/a")).unwrap(), [1; 9_000]);
    file.sync_data().unwrap();
    let cut = [vec![1; 100], vec![0; 4_900]].concat();
    assert_eq!(read(&fs.crash(), path("/a")).unwrap(), cut);
}

#[test]
fn allocated_space_is_lost_until_it_is_synced() {
    let fs = MemFs::new();
    let file = create_durable(&fs, path("/a"), b"abc");
    file.allocate(5).unwrap();
    assert_eq!(read(&fs.crash(), path("/a")).unwrap(), b"abc");
    file.sync_data().unwrap();
    assert_eq!(read(&fs.crash(), path("/a")).unwrap(), b"abc\0\0");
}

#[test]
fn what_was_copied_is_lost_until_it_is_synced() {
    let fs = MemFs::new();
    let file = create_durable(&fs, path("/a"), b"");
    file.allocate(10).unwrap();
    file.sync_data().unwrap();
    let mut window = file.window(0..10).unwrap();
    assert!(window.copy(b"one", 0));
    assert_eq!(read(&fs.crash(), path("/a")).unwrap(), [0; 10]);
    file.sync_data().unwrap();
    assert!(window.copy(b"two", 3));
    assert_eq!(read(&fs.crash(), path("/a")).unwrap(), b"one\0\0\0\0\0\0\0");
}

#[test]
fn a_rename_is_undone_until_the_directory_is_synced() {
    let fs = MemFs::new();
    create_durable(&fs, path("/CURRENT"), b"old");
    create_durable(&fs, path("/tmp"), b"new");
    fs.rename(path("/tmp"), path("/CURRENT")).unwrap();
    let before = fs.crash();
    assert_eq!(read(&before, path("/CURRENT")).unwrap(), b"old");
    assert_eq!(read(&before, path("/tmp")).unwrap(), b"new");
    fs.sync_dir(path("/")).unwrap();
    let after = fs.crash();
    assert_eq!(names(&after, path("/")), ["CURRENT"]);
    assert_eq!(read(&after, path("/CURRENT")).unwrap(), b"new");
}

#[test]
fn a_rename_survives_whole_or_not_at_all() {
    let fs = MemFs::new();
    create_durable(&fs, path("/a"), b"abc");
    fs.rename(path("/a"), path("/b")).unwrap();
    assert_eq!(names(&fs.crash_with(&mut |_| false), path("/")), ["a"]);
    assert_eq!(names(&fs.crash_with(&mut |_| true), path("/")), ["b"]);
}

#[test]
fn a_removed_file_comes_back_until_the_directory_is_synced() {
    let fs = MemFs::new();
    let file = create_durable(&fs, path("/a"), b"abc");
    fs.remove(path("/a")).unwrap();
    file.write_all_at(b"x", 0).unwrap();
    assert_eq!(read(&fs.crash(), path("/a")).unwrap(), b"abc");
    file.sync_data().unwrap();
    assert_eq!(read(&fs.crash(), path("/a")).unwrap(), b"xbc");
    fs.sync_dir(path("/")).unwrap();
    assert_eq!(read(&fs.crash(), path("/a")), None);
    assert_eq!(contents(&*file), b"xbc", "the handle goes on working");
}

#[test]
fn a_directory_that_was_not_synced_is_lost_with_all_that_is_in_it() {
    let fs = MemFs::new();
    fs.create_dir(path("/db")).unwrap();
    create_durable(&fs, path("/db/a"), b"abc");
    assert_eq!(error(fs.crash().metadata(path("/db"))), ErrorKind::NotFound);
    fs.sync_dir(path("/")).unwrap();
    assert_eq!(read(&fs.crash(), path("/db/a")).unwrap(), b"abc");
}

#[test]
fn a_removed_directory_comes_back_with_what_was_durable_in_it() {
    let fs = MemFs::new();
    fs.create_dir(path("/db")).unwrap();
    fs.sync_dir(path("/")).unwrap();
    create_durable(&fs, path("/db/a"), b"abc");
    fs.remove(path("/db/a")).unwrap();
    fs.remove_dir(path("/db")).unwrap();
    fs.create_dir(path("/db")).unwrap();
    assert_eq!(read(&fs.crash(), path("/db/a")).unwrap(), b"abc");
    fs.sync_dir(path("/")).unwrap();
    assert!(names(&fs.crash(), path("/db")).is_empty());
}

#[test]
fn a_directory_keeps_what_is_pending_in_it_when_it_is_renamed() {
    let fs = MemFs::new();
    fs.create_dir(path("/new.tmp")).unwrap();
    create_durable(&fs, path("/new.tmp/a"), b"abc");
    create(&fs, path("/new.tmp/b"), b"");
    fs.rename(path("/new.tmp"), path("/new")).unwrap();
    fs.sync_dir(path("/")).unwrap();
    assert_eq!(names(&fs.crash(), path("/new")), ["a"]);
    fs.sync_dir(path("/new")).unwrap();
    assert_eq!(names(&fs.crash(), path("/new")), ["a", "b"]);
}

#[test]
fn a_file_with_two_names_is_still_one_file() {
    let fs = MemFs::new();
    create_durable(&fs, path("/a"), b"abc");
    fs.hard_link(path("/a"), path("/b")).unwrap();
    fs.sync_dir(path("/")).unwrap();
    let after = fs.crash();
    after.open(path("/a"), Mode::ReadWrite).unwrap().write_all_at(b"x", 0).unwrap();
    assert_eq!(read(&after, path("/b")).unwrap(), b"xbc");
    assert_eq!(read(&fs, path("/b")).unwrap(), b"abc", "the copy is a copy");
}

#[test]
fn what_a_copy_shows_is_durable_in_it() {
    let fs = MemFs::new();
    create(&fs, path("/a"), b"abc");
    let all = fs.crash_with(&mut |_| true);
    assert_eq!(read(&all.crash(), path("/a")).unwrap(), b"abc");
}

#[test]
fn the_original_does_not_reach_into_a_copy() {
    let fs = MemFs::new();
    let file = create_durable(&fs, path("/a"), &[1; 10_000]);
    let after = fs.crash();
    file.write_all_at(&[2; 10_000], 0).unwrap();
    file.sync_data().unwrap();
    fs.remove(path("/a")).unwrap();
    fs.sync_dir(path("/")).unwrap();
    assert_eq!(read(&after, path("/a")).unwrap(), [1; 10_000]);
}

#[test]
fn what_is_pending_is_shown_in_the_order_in_which_it_was_done() {
    let fs = MemFs::new();
    let other = create_durable(&fs, path("/other"), b"abc");
    assert_eq!(fs.pending(), []);
    let file = create(&fs, path("/a"), b"abc");
    other.set_len(1).unwrap();
    fs.rename(path("/a"), path("/b")).unwrap();
    file.allocate(10).unwrap();
    fs.create_dir(path("/d")).unwrap();
    fs.rename(path("/other"), path("/d/moved")).unwrap();
    let expected = [
        PendingOp::Link("/a".into()),
        PendingOp::Write("/a".into(), 0, 3),
        PendingOp::SetLen("/other".into(), 1),
        PendingOp::Rename("/a".into(), "/b".into()),
        PendingOp::SetLen("/a".into(), 10),
        PendingOp::Link("/d".into()),
        PendingOp::Link("/d/moved".into()),
        PendingOp::Unlink("/other".into()),
    ];
    assert_eq!(fs.pending(), expected);
    let mut asked = Vec::new();
    fs.crash_with(&mut |op| {
        asked.push(op.clone());
        true
    });
    assert_eq!(asked, expected);
    other.sync_data().unwrap();
    file.sync_data().unwrap();
    fs.sync_dir(path("/")).unwrap();
    assert_eq!(fs.pending(), [PendingOp::Link("/d/moved".into())]);
    fs.sync_dir(path("/d")).unwrap();
    assert_eq!(fs.pending(), []);
}

#[test]
fn single_operations_survive() {
    let fs = MemFs::new();
    let file = create_durable(&fs, path("/a"), b"abc");
    file.write_all_at(b"XYZ", 0).unwrap();
    file.write_all_at(b"end", 6).unwrap();
    fs.rename(path("/a"), path("/b")).unwrap();
    let later = fs.crash_with(&mut |op| matches!(op, PendingOp::Write(_, 6, _)));
    assert_eq!(read(&later, path("/a")).unwrap(), b"abc\0\0\0end", "a hole is zero");
    let renamed = fs.crash_with(&mut |op| matches!(op, PendingOp::Rename(..)));
    assert_eq!(names(&renamed, path("/")), ["b"]);
    assert_eq!(read(&renamed, path("/b")).unwrap(), b"abc");
}

#[test]
fn a_move_to_another_directory_may_survive_by_halves() {
    let fs = MemFs::new();
    fs.create_dir(path("/d")).unwrap();
    create_durable(&fs, path("/a"), b"abc");
    fs.rename(path("/a"), path("/d/a")).unwrap();
    let both = fs.crash_with(&mut |op| matches!(op, PendingOp::Link(_)));
    assert_eq!(
        (names(&both, path("/")), names(&both, path("/d"))),
        (vec!["a".into(), "d".into()], vec!["a".into()])
    );
    let neither = fs.crash_with(&mut |op| matches!(op, PendingOp::Unlink(_)));
    assert_eq!(names(&neither, path("/")), ["d"]);
    assert!(names(&neither, path("/d")).is_empty());
}

#[test]
fn the_last_operation_that_survives_decides_on_a_name() {
    let fs = MemFs::new();
    create(&fs, path("/tmp"), b"new").sync_data().unwrap();
    fs.rename(path("/tmp"), path("/CURRENT")).unwrap();
    let renamed = fs.crash_with(&mut |op| matches!(op, PendingOp::Rename(..)));
    assert_eq!(read(&renamed, path("/CURRENT")).unwrap(), b"new", "though its creation was lost");
    let created = fs.crash_with(&mut |op| matches!(op, PendingOp::Link(_)));
    assert_eq!(names(&created, path("/")), ["tmp"]);
}

#[test]
fn without_memory_a_power_cut_takes_everything() {
    let fs = MemFs::volatile();
    let file = create_durable(&fs, path("/a"), b"abc");
    assert_eq!(contents(&*file), b"abc");
    assert_eq!(fs.pending(), []);
    assert!(names(&fs.crash(), path("/")).is_empty());
}

#[test]
fn the_cut_comes_at_one_moment_for_all_files() {
    let fs = MemFs::new();
    let first = create_durable(&fs, path("/first"), &0_u64.to_le_bytes());
    let second = create_durable(&fs, path("/second"), &0_u64.to_le_bytes());
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let write = move || {
        let mut count = 0_u64;
        while !stopped.load(Ordering::Relaxed) {
            count += 1;
            for file in [&first, &second] {
                file.write_all_at(&count.to_le_bytes(), 0).unwrap();
                file.sync_data().unwrap();
            }
        }
    };
    let writer = fs.spawn("kv-writer", Box::new(write)).unwrap();
    for _ in 0..2_000 {
        let after = fs.crash();
        let [first, second] = ["/first", "/second"]
            .map(|name| u64::from_le_bytes(read(&after, path(name)).unwrap().try_into().unwrap()));
        assert!(first == second || first == second + 1, "{first} and {second}");
    }
    stop.store(true, Ordering::Relaxed);
    assert!(writer.join());
}

#[derive(Clone, Debug)]
enum Op {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Allocate(u64),
    Sync,
}

fn op() -> impl Strategy<Value = Op> {
    let len = || 0..20_000_u64;
    prop_oneof![
        4 => (len(), any::<u8>(), 1..9_000_usize).prop_map(|(at, b, n)| Op::Write(at, vec![b; n])),
        2 => len().prop_map(Op::SetLen),
        1 => len().prop_map(Op::Allocate),
        2 => Just(Op::Sync),
    ]
}

/// The plain meaning of an operation.
fn apply(op: &Op, contents: &mut Vec<u8>) {
    match op {
        Op::Write(at, bytes) => {
            let (at, end) = (*at as usize, *at as usize + bytes.len());
            contents.resize(contents.len().max(end), 0);
            contents[at..end].copy_from_slice(bytes);
        }
        Op::SetLen(len) => contents.resize(*len as usize, 0),
        Op::Allocate(len) => contents.resize(contents.len().max(*len as usize), 0),
        Op::Sync => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn a_file_is_its_durable_contents_and_what_survived_in_order(
        ops in prop::collection::vec((op(), any::<bool>()), 0..40),
    ) {
        let fs = MemFs::new();
        let file = create_durable(&fs, path("/a"), b"");
        let (mut now, mut durable, mut pending) = (Vec::new(), Vec::new(), Vec::new());
        for (op, survives) in ops {
            match &op {
                Op::Write(at, bytes) => file.write_all_at(bytes, *at).unwrap(),
                Op::SetLen(len) => file.set_len(*len).unwrap(),
                Op::Allocate(len) => file.allocate(*len).unwrap(),
                Op::Sync => file.sync_data().unwrap(),
            }
            apply(&op, &mut now);
            if let Op::Sync = op {
                durable.clone_from(&now);
                pending.clear();
            } else {
                pending.push((op, survives));
            }
            prop_assert_eq!(&contents(&*file), &now);
            prop_assert_eq!(fs.used(), now.len() as u64);
            prop_assert_eq!(&read(&fs.crash(), path("/a")).unwrap(), &durable);
        }
        let mut chosen = pending.iter().map(|(_, survives)| *survives);
        let after = fs.crash_with(&mut |_| chosen.next().unwrap());
        let survivors = pending.iter().filter(|(_, survives)| *survives);
        survivors.for_each(|(op, _)| apply(op, &mut durable));
        prop_assert_eq!(read(&after, path("/a")).unwrap(), durable);
    }
}
