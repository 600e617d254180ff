//! All file systems give the same answers.

use crate::support::{contents, create, error, everywhere, names, read};
use kv_vfs::{DirEntry, FileKind, Fs, FsFile, FsFileExt, MemFs, Metadata, Mode, StdFs};
use proptest::prelude::*;
use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

#[test]
fn a_file_is_created_once() {
    everywhere(|fs, dir| {
        create(&**fs, &dir.join("a"), b"first");
        assert_eq!(error(fs.create_new(&dir.join("a"))), ErrorKind::AlreadyExists);
        assert_eq!(error(fs.create_new(dir)), ErrorKind::AlreadyExists);
        assert_eq!(error(fs.create_new(&dir.join("none/a"))), ErrorKind::NotFound);
        assert_eq!(error(fs.create_new(&dir.join("a/b"))), ErrorKind::NotADirectory);
        assert_eq!(read(&**fs, &dir.join("a")).unwrap(), b"first");
    });
}

#[test]
fn only_regular_files_are_opened() {
    everywhere(|fs, dir| {
        for mode in [Mode::Read, Mode::ReadWrite] {
            assert_eq!(error(fs.open(dir, mode)), ErrorKind::InvalidInput);
            assert_eq!(error(fs.open(&dir.join("none"), mode)), ErrorKind::NotFound);
        }
        assert_eq!(error(fs.lock(dir)), ErrorKind::InvalidInput);
    });
}

#[test]
fn what_is_copied_into_a_window_is_in_the_file() {
    everywhere(|fs, dir| {
        let file = create(&**fs, &dir.join("a"), &[7; 5_000]);
        file.allocate(400_000).unwrap();
        let Some(mut window) = file.window(5_000..390_001) else { return };
        assert!(window.copy(b"first", 5_000) && window.copy(b"last", 389_997));
        assert!(window.copy(&[9; 300_000], 60_000) && window.copy(b"", 390_001));
        for (offset, len) in [(4_999, 3), (389_997, 5), (390_001, 1), (u64::MAX, 2), (0, 400_000)] {
            assert!(!window.copy(&vec![1; len], offset), "{len} bytes at {offset}");
        }
        file.write_all_at(b"beside it", 395_000).unwrap();
        let mut expected = vec![0; 400_000];
        expected[..5_000].fill(7);
        expected[5_000..5_005].copy_from_slice(b"first");
        expected[60_000..360_000].fill(9);
        expected[389_997..390_001].copy_from_slice(b"last");
        expected[395_000..395_009].copy_from_slice(b"beside it");
        assert!(contents(&*file) == expected);
        // Pages that were written back take copies again; the name is not needed, nor the handle.
        file.sync_data().unwrap();
        assert!(window.copy(b"again", 5_000));
        assert_eq!(contents(&*file)[5_000..5_005], *b"again");
        let kept = fs.open(&dir.join("a"), Mode::Read).unwrap();
        fs.remove(&dir.join("a")).unwrap();
        drop(file);
        assert!(window.copy(b"gone", 5_000));
        drop(window);
        assert_eq!(contents(&*kept)[5_000..5_005], *b"gonen");
    });
}

#[test]
fn bytes_are_read_back_from_where_they_were_written() {
    everywhere(|fs, dir| {
        let file = fs.create_new(&dir.join("a")).unwrap();
        assert!(file.is_empty().unwrap());
        let long: Vec<u8> = (0..20_000_u32).map(|n| n as u8).collect();
        file.write_all_at(&long, 5_000).unwrap();
        file.write_all_at(b"in the middle", 9_000).unwrap();
        file.write_all_at(b"", 1 << 40).unwrap();
        let mut expected = [vec![0; 5_000], long].concat();
        expected[9_000..9_013].copy_from_slice(b"in the middle");
        assert_eq!(contents(&*file), expected);
        let mut buffer = [7; 10];
        assert_eq!(file.read_full_at(&mut buffer, 24_997).unwrap(), 3);
        assert_eq!(file.read_at(&mut buffer, 25_000).unwrap(), 0);
        assert_eq!(file.read_at(&mut buffer, 1 << 40).unwrap(), 0);
        let eof = file.read_exact_at(&mut buffer, 24_997);
        assert_eq!(error(eof), ErrorKind::UnexpectedEof);
    });
}

#[test]
fn a_file_that_was_cut_grows_with_zeros() {
    everywhere(|fs, dir| {
        let file = create(&**fs, &dir.join("a"), &[1; 10_000]);
        file.set_len(5_000).unwrap();
        file.set_len(9_000).unwrap();
        assert_eq!(contents(&*file), [vec![1; 5_000], vec![0; 4_000]].concat());
        file.set_len(3).unwrap();
        file.write_all_at(&[2], 6).unwrap();
        assert_eq!(contents(&*file), [1, 1, 1, 0, 0, 0, 2]);
    });
}

#[test]
fn allocated_space_is_zero_and_never_cuts() {
    everywhere(|fs, dir| {
        let file = create(&**fs, &dir.join("a"), b"abc");
        match file.allocate(10_000) {
            Err(e) if e.kind() == ErrorKind::Unsupported => return,
            outcome => outcome.unwrap(),
        }
        file.allocate(0).unwrap();
        file.allocate(50).unwrap();
        assert_eq!(contents(&*file), [b"abc".to_vec(), vec![0; 9_997]].concat());
    });
}

#[test]
fn an_offset_that_no_file_reaches_is_an_error() {
    everywhere(|fs, dir| {
        let file = create(&**fs, &dir.join("a"), b"abc");
        for offset in [i64::MAX as u64, u64::MAX - 1, u64::MAX] {
            assert!(file.write_at(b"xy", offset).is_err());
        }
        assert!(file.set_len(u64::MAX).is_err());
        assert!(file.allocate(u64::MAX).is_err());
        assert_eq!(contents(&*file), b"abc");
    });
}

#[test]
fn a_file_opened_for_reading_is_not_written() {
    everywhere(|fs, dir| {
        create(&**fs, &dir.join("a"), b"abc");
        let file = fs.open(&dir.join("a"), Mode::Read).unwrap();
        assert!(file.write_at(b"x", 0).is_err());
        assert!(file.set_len(1).is_err());
        assert!(file.allocate(100).is_err());
        assert_eq!(contents(&*file), b"abc");
        assert_eq!(contents(&*fs.map(&dir.join("a")).unwrap()), b"abc");
    });
}

#[test]
fn handles_go_on_working_when_the_name_is_gone() {
    everywhere(|fs, dir| {
        let file = create(&**fs, &dir.join("a"), b"abc");
        fs.remove(&dir.join("a")).unwrap();
        assert_eq!(error(fs.remove(&dir.join("a"))), ErrorKind::NotFound);
        create(&**fs, &dir.join("a"), b"another");
        file.write_all_at(b"def", 3).unwrap();
        file.sync_data().unwrap();
        assert_eq!(contents(&*file), b"abcdef");
        assert_eq!(read(&**fs, &dir.join("a")).unwrap(), b"another");
    });
}

#[test]
fn a_rename_replaces() {
    everywhere(|fs, dir| {
        let (a, b) = (dir.join("a"), dir.join("b"));
        let old = create(&**fs, &b, b"old");
        create(&**fs, &a, b"new");
        fs.rename(&a, &b).unwrap();
        assert_eq!(names(&**fs, dir), ["b"]);
        assert_eq!(read(&**fs, &b).unwrap(), b"new");
        assert_eq!(contents(&*old), b"old");
        assert_eq!(error(fs.rename(&a, &b)), ErrorKind::NotFound);
        assert_eq!(error(fs.rename(&b, &dir.join("none/b"))), ErrorKind::NotFound);
        assert_eq!(read(&**fs, &b).unwrap(), b"new");
    });
}

#[test]
fn a_rename_onto_the_same_file_changes_nothing() {
    everywhere(|fs, dir| {
        let (a, b) = (dir.join("a"), dir.join("b"));
        create(&**fs, &a, b"abc");
        fs.rename(&a, &a).unwrap();
        fs.hard_link(&a, &b).unwrap();
        fs.rename(&a, &b).unwrap();
        assert_eq!(names(&**fs, dir), ["a", "b"]);
    });
}

#[test]
fn a_directory_is_renamed_with_what_is_in_it() {
    everywhere(|fs, dir| {
        let (old, new) = (dir.join("old"), dir.join("new"));
        fs.create_dir(&old).unwrap();
        fs.create_dir(&old.join("sub")).unwrap();
        let file = create(&**fs, &old.join("sub/f"), b"abc");
        fs.rename(&old, &new).unwrap();
        assert_eq!(names(&**fs, dir), ["new"]);
        assert_eq!(read(&**fs, &new.join("sub/f")).unwrap(), b"abc");
        file.write_all_at(b"x", 0).unwrap();
        assert_eq!(read(&**fs, &new.join("sub/f")).unwrap(), b"xbc");
        fs.sync_dir(&new).unwrap();

        let other = create(&**fs, &dir.join("file"), b"");
        assert_eq!(error(fs.rename(&dir.join("file"), &new)), ErrorKind::IsADirectory);
        assert_eq!(error(fs.rename(&new, &dir.join("file"))), ErrorKind::NotADirectory);
        fs.create_dir(&old).unwrap();
        assert_eq!(error(fs.rename(&old, &new)), ErrorKind::DirectoryNotEmpty);
        fs.rename(&new, &old).unwrap();
        assert_eq!(names(&**fs, dir), ["file", "old"]);
        assert!(other.is_empty().unwrap());
    });
}

#[test]
fn a_file_moves_to_another_directory() {
    everywhere(|fs, dir| {
        let sub = dir.join("sub");
        fs.create_dir(&sub).unwrap();
        create(&**fs, &dir.join("a"), b"abc");
        create(&**fs, &sub.join("b"), b"old");
        fs.rename(&dir.join("a"), &sub.join("b")).unwrap();
        assert_eq!(names(&**fs, dir), ["sub"]);
        assert_eq!(read(&**fs, &sub.join("b")).unwrap(), b"abc");
    });
}

#[test]
fn two_names_of_a_file_are_the_same_file() {
    everywhere(|fs, dir| {
        let (a, b) = (dir.join("a"), dir.join("b"));
        let file = create(&**fs, &a, b"abc");
        fs.hard_link(&a, &b).unwrap();
        assert_eq!(error(fs.hard_link(&a, &b)), ErrorKind::AlreadyExists);
        assert_eq!(error(fs.hard_link(&dir.join("c"), &dir.join("e"))), ErrorKind::NotFound);
        fs.remove(&a).unwrap();
        file.write_all_at(b"x", 0).unwrap();
        assert_eq!(read(&**fs, &b).unwrap(), b"xbc");
    });
}

#[test]
fn a_directory_lists_its_names_in_order() {
    everywhere(|fs, dir| {
        for name in ["b", "a", "000010.sst", "B"] {
            create(&**fs, &dir.join(name), b"");
        }
        fs.create_dir(&dir.join("aa")).unwrap();
        create(&**fs, &dir.join("aa/inside"), b"");
        assert_eq!(names(&**fs, dir), ["000010.sst", "B", "a", "aa", "b"]);
        let aa = DirEntry { name: "aa".into(), kind: FileKind::Dir };
        assert_eq!(fs.list(dir).unwrap()[3], aa);
        assert_eq!(fs.list(dir).unwrap()[4].kind, FileKind::File);
        assert_eq!(error(fs.list(&dir.join("a"))), ErrorKind::NotADirectory);
        assert_eq!(error(fs.list(&dir.join("none"))), ErrorKind::NotFound);
        assert_eq!(names(&**fs, &dir.join(".").join("aa/")), ["inside"]);
    });
}

#[test]
fn metadata_tells_kind_and_length() {
    everywhere(|fs, dir| {
        create(&**fs, &dir.join("a"), b"abc");
        let file = Metadata { kind: FileKind::File, len: 3 };
        assert_eq!(fs.metadata(&dir.join("a")).unwrap(), file);
        assert_eq!(fs.metadata(dir).unwrap().kind, FileKind::Dir);
        assert_eq!(error(fs.metadata(&dir.join("none"))), ErrorKind::NotFound);
        assert_eq!(error(fs.metadata(&dir.join("a/b"))), ErrorKind::NotADirectory);
    });
}

#[test]
fn only_an_empty_directory_is_removed() {
    everywhere(|fs, dir| {
        let sub = dir.join("sub");
        fs.create_dir(&sub).unwrap();
        assert_eq!(error(fs.create_dir(&sub)), ErrorKind::AlreadyExists);
        assert_eq!(error(fs.create_dir(&dir.join("none/sub"))), ErrorKind::NotFound);
        create(&**fs, &sub.join("a"), b"");
        assert_eq!(error(fs.remove_dir(&sub)), ErrorKind::DirectoryNotEmpty);
        assert_eq!(error(fs.remove_dir(&sub.join("a"))), ErrorKind::NotADirectory);
        assert_eq!(error(fs.remove(&sub)), ErrorKind::IsADirectory);
        fs.remove(&sub.join("a")).unwrap();
        fs.remove_dir(&sub).unwrap();
        assert_eq!(error(fs.remove_dir(&sub)), ErrorKind::NotFound);
        assert!(names(&**fs, dir).is_empty());
    });
}

#[test]
fn a_directory_is_synced_and_nothing_else_as_one() {
    everywhere(|fs, dir| {
        create(&**fs, &dir.join("a"), b"");
        fs.sync_dir(dir).unwrap();
        assert_eq!(error(fs.sync_dir(&dir.join("a"))), ErrorKind::NotADirectory);
        assert_eq!(error(fs.sync_dir(&dir.join("none"))), ErrorKind::NotFound);
    });
}

#[test]
fn there_is_free_space() {
    everywhere(|fs, dir| {
        assert!(fs.free_space(dir).unwrap() > 0);
        assert_eq!(error(fs.free_space(&dir.join("none"))), ErrorKind::NotFound);
    });
}

#[test]
fn threads_have_names_and_their_panics_are_seen() {
    everywhere(|fs, _| {
        let (tell, told) = mpsc::channel();
        let name = move || tell.send(std::thread::current().name().map(str::to_owned)).unwrap();
        assert!(fs.spawn("kv-flush", Box::new(name)).unwrap().join());
        assert_eq!(told.recv().unwrap().as_deref(), Some("kv-flush"));
        // Unwinds without the message of a panic.
        let fails = || std::panic::resume_unwind(Box::new(()));
        assert!(!fs.spawn("kv-flush", Box::new(fails)).unwrap().join());
    });
}

#[test]
fn threads_write_to_one_file_at_once() {
    everywhere(|fs, dir| {
        let file = fs.create_new(&dir.join("a")).unwrap();
        let threads: Vec<_> = (0..4_u8)
            .map(|thread| {
                let file = Arc::clone(&file);
                let write = move || {
                    for round in 0..50 {
                        let offset = (round * 4 + u64::from(thread)) * 100;
                        file.write_all_at(&[thread; 100], offset).unwrap();
                        file.sync_data().unwrap();
                    }
                };
                fs.spawn("kv-test", Box::new(write)).unwrap()
            })
            .collect();
        assert!(threads.into_iter().all(|thread| thread.join()));
        let expected: Vec<u8> = (0..20_000).map(|at| (at / 100 % 4) as u8).collect();
        assert_eq!(contents(&*file), expected);
    });
}

const NAMES: [&str; 8] = ["a", "b", "d", "e", "d/a", "d/b", "e/a", "a/a"];

/// An operation on names out of a small set, so that they meet.
#[derive(Clone, Debug)]
enum Op {
    Create(usize),
    Open(usize),
    Write(usize, u64, usize),
    SetLen(usize, u64),
    Rename(usize, usize),
    Remove(usize),
    HardLink(usize, usize),
    CreateDir(usize),
    RemoveDir(usize),
    SyncDir(usize),
    Lock(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let name = || 0..NAMES.len();
    prop_oneof![
        4 => name().prop_map(Op::Create),
        2 => name().prop_map(Op::Open),
        3 => (name(), 0..9_000_u64, 1..9_000_usize).prop_map(|(f, at, n)| Op::Write(f, at, n)),
        2 => (name(), 0..12_000_u64).prop_map(|(f, len)| Op::SetLen(f, len)),
        5 => (name(), name()).prop_map(|(from, to)| Op::Rename(from, to)),
        2 => name().prop_map(Op::Remove),
        2 => (name(), name()).prop_map(|(from, to)| Op::HardLink(from, to)),
        4 => name().prop_map(Op::CreateDir),
        1 => name().prop_map(Op::RemoveDir),
        1 => name().prop_map(Op::SyncDir),
        1 => name().prop_map(Op::Lock),
    ]
}

/// One of the two file systems under comparison, with a handle for each name it opened.
struct Side {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    open: HashMap<usize, Arc<dyn FsFile>>,
}

impl Side {
    fn path(&self, name: usize) -> PathBuf {
        self.dir.join(NAMES[name])
    }

    fn run(&mut self, op: &Op) -> io::Result<()> {
        let fs = Arc::clone(&self.fs);
        match *op {
            Op::Create(name) => {
                let file = fs.create_new(&self.path(name))?;
                self.open.insert(name, file);
                Ok(())
            }
            Op::Open(name) => {
                let file = fs.open(&self.path(name), Mode::ReadWrite)?;
                self.open.insert(name, file);
                Ok(())
            }
            Op::Write(name, offset, len) => match self.open.get(&name) {
                Some(file) => file.write_all_at(&vec![len as u8; len], offset),
                None => Ok(()),
            },
            Op::SetLen(name, len) => self.open.get(&name).map_or(Ok(()), |file| file.set_len(len)),
            Op::Rename(from, to) => fs.rename(&self.path(from), &self.path(to)),
            Op::Remove(name) => fs.remove(&self.path(name)),
            Op::HardLink(from, to) => fs.hard_link(&self.path(from), &self.path(to)),
            Op::CreateDir(name) => fs.create_dir(&self.path(name)),
            Op::RemoveDir(name) => fs.remove_dir(&self.path(name)),
            Op::SyncDir(name) => fs.sync_dir(&self.path(name)),
            Op::Lock(name) => fs.lock(&self.path(name)).map(drop),
        }
    }

    /// Everything that there is: kinds, names, contents, and what the handles see.
    fn state(&self) -> Vec<(String, Vec<u8>)> {
        let mut state = Vec::new();
        let mut left = vec![self.dir.clone()];
        while let Some(dir) = left.pop() {
            for DirEntry { name, kind } in self.fs.list(&dir).unwrap() {
                let path = dir.join(name);
                let shown = path.strip_prefix(&self.dir).unwrap().display().to_string();
                if kind == FileKind::Dir {
                    state.push((shown, Vec::new()));
                    left.push(path);
                } else {
                    state.push((shown, read(&*self.fs, &path).unwrap()));
                }
            }
        }
        let handles = self.open.iter();
        state.extend(handles.map(|(name, file)| (format!("handle {name}"), contents(&**file))));
        state.sort();
        state
    }
}

/// A directory that moves to another directory: the one thing that `MemFs` refuses.
fn moves_dir(side: &Side, op: &Op) -> bool {
    let Op::Rename(from, to) = *op else { return false };
    let is_dir = |path: &Path| side.fs.metadata(path).is_ok_and(|m| m.kind == FileKind::Dir);
    is_dir(&side.path(from)) && side.path(from).parent() != side.path(to).parent()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn any_sequence_of_operations_answers_the_same(ops in prop::collection::vec(op(), 1..60)) {
        let temp = tempfile::tempdir().unwrap();
        let mem = MemFs::new();
        let side = |fs: Arc<dyn Fs>, dir| Side { fs, dir, open: HashMap::new() };
        let mut real = side(Arc::new(StdFs::new()), temp.path().to_owned());
        let mut model = side(Arc::new(mem.clone()), PathBuf::from("/"));
        for op in &ops {
            if moves_dir(&real, op) {
                continue;
            }
            let answers = [&mut real, &mut model].map(|side| side.run(op).map_err(|e| e.kind()));
            prop_assert_eq!(&answers[0], &answers[1], "{:?}", op);
        }
        prop_assert_eq!(real.state(), model.state());
        let all = Side { fs: Arc::new(mem.crash_with(&mut |_| true)), ..model };
        prop_assert_eq!(real.state(), all.state(), "a cut that takes nothing");
    }
}
