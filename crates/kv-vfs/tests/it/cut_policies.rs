//! What each kind of power cut may leave, what it must leave, and that it leaves all of that.

use crate::support::{contents, create, create_durable, names, path, read};
use kv_vfs::{CutFill, CutGrain, CutOrder, CutPolicy, Fs, FsFileExt, MemFs, Mode};
use proptest::prelude::*;
use std::collections::BTreeSet;

const SEEDS: u64 = 400;

fn policy(order: CutOrder, grain: CutGrain, fill: CutFill) -> CutPolicy {
    CutPolicy { order, grain, fill }
}

/// What a file holds after each of many cuts, each outcome once.
fn outcomes(fs: &MemFs, policy: CutPolicy, name: &str) -> BTreeSet<Option<Vec<u8>>> {
    (0..SEEDS).map(|seed| read(&fs.power_cut(policy, seed), path(name))).collect()
}

#[test]
fn a_torn_write_leaves_any_run_of_its_sectors() {
    let fs = MemFs::new();
    let file = create_durable(&fs, path("/a"), &[b'o'; 2048]);
    file.write_all_at(&[b'n'; 2048], 0).unwrap();
    let strict = policy(CutOrder::Strict, CutGrain::Sector, CutFill::Zero);
    let mut runs = BTreeSet::new();
    for bytes in outcomes(&fs, strict, "/a").into_iter().flatten() {
        let new: Vec<bool> = bytes.chunks(512).map(|sector| sector[0] == b'n').collect();
        assert!(bytes.chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
        let starts = (0..4).filter(|at| new[*at] && (*at == 0 || !new[at - 1])).count();
        assert!(starts <= 1, "one run: {new:?}");
        runs.insert(new);
    }
    assert_eq!(runs.len(), 11, "ten runs, and none");
}

#[test]
fn a_write_tears_at_the_sectors_of_the_file_and_not_at_its_own() {
    let fs = MemFs::new();
    let file = create_durable(&fs, path("/a"), &[b'o'; 1500]);
    file.write_all_at(&[b'n'; 1000], 300).unwrap();
    let strict = policy(CutOrder::Strict, CutGrain::Sector, CutFill::Zero);
    let edges: BTreeSet<usize> = outcomes(&fs, strict, "/a")
        .into_iter()
        .flatten()
        .flat_map(|bytes| {
            (1..bytes.len()).filter(|at| bytes[*at] != bytes[at - 1]).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(edges.into_iter().collect::<Vec<_>>(), [300, 512, 1024, 1300]);
}

#[test]
fn a_length_persists_before_the_data_below_it_where_nothing_orders_them() {
    let fs = MemFs::new();
    create_durable(&fs, path("/gone"), &[b's'; 3000]);
    fs.remove(path("/gone")).unwrap();
    fs.sync_dir(path("/")).unwrap();
    let file = create_durable(&fs, path("/a"), b"");
    file.write_all_at(&[b'n'; 2048], 0).unwrap();
    for (fill, wanted) in [(CutFill::Zero, 0), (CutFill::Stale, b's'), (CutFill::Old, 0)] {
        let found = outcomes(&fs, policy(CutOrder::Writeback, CutGrain::Sector, fill), "/a");
        assert!(found.contains(&Some(vec![wanted; 2048])), "{fill:?}");
        for bytes in found.into_iter().flatten() {
            assert!(bytes.iter().all(|byte| [b'n', wanted].contains(byte)), "{fill:?}");
        }
    }
    let random = policy(CutOrder::Writeback, CutGrain::Sector, CutFill::Random);
    let found = outcomes(&fs, random, "/a");
    let strange = |bytes: &[u8]| bytes.chunks(512).any(|sector| sector.iter().any(|b| *b != b'n'));
    assert!(found.iter().flatten().any(|bytes| bytes.len() == 2048 && strange(bytes)));
}

#[test]
fn a_filled_hole_spares_sectors_that_anything_durable_or_surviving_touches() {
    let fs = MemFs::new();
    let file = create_durable(&fs, path("/a"), &[b'o'; 700]);
    file.write_all_at(&[b'n'; 3000], 700).unwrap();
    let random = policy(CutOrder::Writeback, CutGrain::Whole, CutFill::Random);
    for bytes in outcomes(&fs, random, "/a").into_iter().flatten() {
        assert_eq!(&bytes[..700], [b'o'; 700]);
        let rest = &bytes[700..1024.min(bytes.len())];
        assert!(rest.iter().all(|byte| *byte == rest[0] && [0, b'n'].contains(byte)));
    }
}

#[test]
fn what_a_file_held_before_it_was_cut_may_lie_in_its_holes() {
    let fs = MemFs::new();
    let file = create_durable(&fs, path("/a"), &[b'o'; 2048]);
    file.set_len(0).unwrap();
    file.write_all_at(&[b'n'; 1024], 0).unwrap();
    let old = policy(CutOrder::Writeback, CutGrain::Whole, CutFill::Old);
    assert!(outcomes(&fs, old, "/a").contains(&Some(vec![b'o'; 1024])));
}

#[test]
fn an_ordering_journal_shows_no_length_without_its_data_and_no_name_before_an_older_one() {
    let fs = MemFs::new();
    let file = create_durable(&fs, path("/a"), b"");
    for byte in 0..4 {
        file.write_all_at(&[b'a' + byte; 600], 600 * u64::from(byte)).unwrap();
        create(&fs, path(&format!("/name{byte}")), b"");
    }
    let whole = read(&fs, path("/a")).unwrap();
    let (mut lengths, mut counts) = (BTreeSet::new(), BTreeSet::new());
    for seed in 0..SEEDS {
        let ext4 = policy(CutOrder::Ext4Ordered, CutGrain::Sector, CutFill::Zero);
        let cut = fs.power_cut(ext4, seed);
        let bytes = read(&cut, path("/a")).unwrap();
        assert_eq!(bytes, whole[..bytes.len()]);
        lengths.insert(bytes.len());
        let names = names(&cut, path("/"));
        let expected = (0..names.len() - 1).map(|n| format!("name{n}"));
        assert_eq!(names[1..], expected.collect::<Vec<_>>());
        counts.insert(names.len());
    }
    assert_eq!(counts.len(), 5);
    assert!(lengths.len() > 5, "the last write may come in part: {lengths:?}");
}

#[test]
fn a_global_prefix_is_one_over_contents_and_names() {
    let fs = MemFs::new();
    let file = create_durable(&fs, path("/log"), b"");
    let mut allowed = BTreeSet::from([fs.fingerprint()]);
    for step in 0..6 {
        file.write_all_at(&[step; 100], 100 * u64::from(step)).unwrap();
        allowed.insert(fs.fingerprint());
        create(&fs, path(&format!("/{step}")), b"");
        allowed.insert(fs.fingerprint());
    }
    let prefix = policy(CutOrder::GlobalPrefix, CutGrain::Whole, CutFill::Zero);
    let found: BTreeSet<u64> =
        (0..SEEDS).map(|seed| fs.power_cut(prefix, seed).fingerprint()).collect();
    assert_eq!(found, allowed);
}

#[test]
fn what_is_late_surfaces_at_the_next_cut_unless_a_sync_comes_between() {
    let fs = MemFs::new();
    let file = create_durable(&fs, path("/a"), b"old");
    file.write_all_at(b"new", 0).unwrap();
    create(&fs, path("/b"), b"");
    let delayed = policy(CutOrder::Delayed, CutGrain::Whole, CutFill::Zero);
    let everything = policy(CutOrder::Everything, CutGrain::Whole, CutFill::Zero);
    let (mut late_data, mut late_names) = (0, 0);
    for seed in 0..SEEDS {
        let first = fs.power_cut(delayed, seed);
        let (data, name) = (read(&first, path("/a")).unwrap(), read(&first, path("/b")));
        let second = first.power_cut(everything, 0);
        late_data += u32::from(data != read(&second, path("/a")).unwrap());
        late_names += u32::from(name != read(&second, path("/b")));
        assert_eq!(first.crash().fingerprint(), first.fingerprint(), "and may be lost for good");
        first.open(path("/a"), Mode::ReadWrite).unwrap().sync_data().unwrap();
        first.sync_dir(path("/")).unwrap();
        let second = first.power_cut(everything, 0);
        assert_eq!(data, read(&second, path("/a")).unwrap(), "a sync settles it");
        assert_eq!(name, read(&second, path("/b")));
    }
    assert!(late_data > 20 && late_names > 20, "{late_data} {late_names}");
}

#[test]
fn what_surfaces_late_is_older_than_what_was_done_since() {
    let fs = MemFs::new();
    let file = create_durable(&fs, path("/a"), b"old");
    file.write_all_at(b"late", 0).unwrap();
    let delayed = policy(CutOrder::Delayed, CutGrain::Whole, CutFill::Zero);
    let mut cuts = (0..SEEDS).map(|seed| fs.power_cut(delayed, seed));
    let first = cuts.find(|cut| !cut.pending().is_empty()).unwrap();
    let since = first.open(path("/a"), Mode::ReadWrite).unwrap();
    since.write_all_at(b"si", 0).unwrap();
    assert_eq!(first.pending().len(), 2);
    let everything = policy(CutOrder::Everything, CutGrain::Whole, CutFill::Zero);
    assert_eq!(read(&first.power_cut(everything, 0), path("/a")).unwrap(), b"site");
}

#[test]
fn what_a_failed_sync_lost_is_readable_and_gone_after_a_cut() {
    let fs = MemFs::new();
    let file = create_durable(&fs, path("/a"), b"synced");
    file.write_all_at(b"LOST", 6).unwrap();
    file.lose_unsynced().unwrap();
    assert_eq!(contents(&*file), b"syncedLOST");
    file.write_all_at(b"kept", 10).unwrap();
    file.sync_data().unwrap();
    assert_eq!(contents(&*file), b"syncedLOSTkept");
    let everything = policy(CutOrder::Everything, CutGrain::Whole, CutFill::Zero);
    for cut in [fs.crash(), fs.power_cut(everything, 0)] {
        assert_eq!(read(&cut, path("/a")).unwrap(), b"synced\0\0\0\0kept");
    }
    create(&fs, path("/b"), b"");
    fs.lose_unsynced_names(path("/")).unwrap();
    fs.sync_dir(path("/")).unwrap();
    assert_eq!(names(&fs, path("/")), ["a", "b"]);
    assert_eq!(names(&fs.crash(), path("/")), ["a"]);
}

#[test]
fn a_fingerprint_is_of_names_and_bytes_alone() {
    let (one, two) = (MemFs::new(), MemFs::new());
    create(&one, path("/a"), b"1");
    create_durable(&one, path("/b"), b"2");
    create_durable(&two, path("/b"), b"two").set_len(0).unwrap();
    two.open(path("/b"), Mode::ReadWrite).unwrap().write_all_at(b"2", 0).unwrap();
    create(&two, path("/a"), b"1");
    assert_eq!(one.fingerprint(), two.fingerprint());
    two.rename(path("/a"), path("/c")).unwrap();
    assert_ne!(one.fingerprint(), two.fingerprint());
    two.rename(path("/c"), path("/a")).unwrap();
    assert_eq!(one.fingerprint(), two.fingerprint());
    two.open(path("/a"), Mode::ReadWrite).unwrap().set_len(9000).unwrap();
    let (holes, file) = (two.fingerprint(), two.open(path("/a"), Mode::ReadWrite).unwrap());
    assert_ne!(one.fingerprint(), holes);
    file.write_all_at(&[0; 8000], 1000).unwrap();
    assert_eq!(two.fingerprint(), holes, "zeros are zeros, written or not");
    file.write_all_at(&[1], 8999).unwrap();
    assert_ne!(two.fingerprint(), holes);
}

#[test]
fn policies_have_names_of_their_own() {
    let names: BTreeSet<String> = CutPolicy::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(names.len(), CutPolicy::ALL.len());
    assert!(names.contains("strict-sector-stale"));
}

#[derive(Clone, Debug)]
enum Op {
    Write(u8, u64, usize),
    SetLen(u8, u64),
    Allocate(u8, u64),
    Create(u8),
    Rename(u8, u8),
    Remove(u8),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..4_u8, 0..6000_u64, 1..3000_usize).prop_map(|(f, o, n)| Op::Write(f, o, n)),
        1 => (0..4_u8, 0..6000_u64).prop_map(|(f, n)| Op::SetLen(f, n)),
        1 => (0..4_u8, 0..6000_u64).prop_map(|(f, n)| Op::Allocate(f, n)),
        2 => (0..4_u8).prop_map(Op::Create),
        1 => (0..4_u8, 0..4_u8).prop_map(|(a, b)| Op::Rename(a, b)),
        1 => (0..4_u8).prop_map(Op::Remove),
    ]
}

/// Does an operation, or nothing where its file is not there; with its own number as the bytes.
fn apply(fs: &MemFs, op: &Op, number: u8) {
    let name = |file: &u8| format!("/{file}");
    let opened = |file: &u8| fs.open(path(&name(file)), Mode::ReadWrite);
    let _ = match op {
        Op::Write(file, offset, len) => {
            opened(file).and_then(|opened| opened.write_all_at(&vec![number; *len], *offset))
        }
        Op::SetLen(file, len) => opened(file).and_then(|opened| opened.set_len(*len)),
        Op::Allocate(file, len) => opened(file).and_then(|opened| opened.allocate(*len)),
        Op::Create(file) => fs.create_new(path(&name(file))).map(drop),
        Op::Rename(from, to) => fs.rename(path(&name(from)), path(&name(to))),
        Op::Remove(file) => fs.remove(path(&name(file))),
    };
}

/// A file system with some history, of which `ops` are not synced.
fn history(before: &[Op], ops: &[Op]) -> MemFs {
    let fs = MemFs::new();
    before.iter().zip(100..).for_each(|(op, number)| apply(&fs, op, number));
    for name in names(&fs, path("/")) {
        fs.open(path(&format!("/{name}")), Mode::Read).unwrap().sync_data().unwrap();
    }
    fs.sync_dir(path("/")).unwrap();
    ops.iter().zip(1..).for_each(|(op, number)| apply(&fs, op, number));
    fs
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn nothing_is_a_crash_and_everything_is_what_was_seen(
        before in prop::collection::vec(op(), 0..12),
        ops in prop::collection::vec(op(), 0..12),
    ) {
        let fs = history(&before, &ops);
        let whole = |order| policy(order, CutGrain::Whole, CutFill::Zero);
        let nothing = fs.power_cut(whole(CutOrder::Nothing), 1).fingerprint();
        prop_assert_eq!(nothing, fs.crash().fingerprint());
        prop_assert_eq!(nothing, fs.power_cut_subset(0).fingerprint());
        let everything = fs.power_cut(whole(CutOrder::Everything), 1).fingerprint();
        prop_assert_eq!(everything, fs.fingerprint());
        prop_assert_eq!(everything, fs.power_cut_subset(u64::MAX).fingerprint());
        prop_assert_eq!(everything, fs.crash_with(&mut |_| true).fingerprint());
    }

    #[test]
    fn a_subset_is_what_a_chooser_of_the_same_operations_leaves(
        before in prop::collection::vec(op(), 0..8),
        ops in prop::collection::vec(op(), 0..8),
        mask in any::<u64>(),
    ) {
        let fs = history(&before, &ops);
        let mut bit = 0..;
        let chosen = fs.crash_with(&mut |_| mask >> bit.next().unwrap() & 1 == 1);
        prop_assert_eq!(chosen.fingerprint(), fs.power_cut_subset(mask).fingerprint());
    }

    #[test]
    fn whole_operations_survive_as_some_subset(
        before in prop::collection::vec(op(), 0..8),
        ops in prop::collection::vec(op(), 0..7),
        seed in any::<u64>(),
    ) {
        let fs = history(&before, &ops);
        let pending = fs.pending().len();
        prop_assume!(pending <= 8);
        let subsets: BTreeSet<u64> =
            (0..1 << pending).map(|mask| fs.power_cut_subset(mask).fingerprint()).collect();
        for order in [CutOrder::Strict, CutOrder::GlobalPrefix, CutOrder::Delayed] {
            let cut = fs.power_cut(policy(order, CutGrain::Whole, CutFill::Zero), seed);
            prop_assert!(subsets.contains(&cut.fingerprint()), "{:?}", order);
        }
    }

    #[test]
    fn every_byte_is_one_that_was_written_there_or_the_fill(
        before in prop::collection::vec(op(), 0..8),
        ops in prop::collection::vec(op(), 0..10),
        seed in any::<u64>(),
    ) {
        let fs = history(&before, &ops);
        for policy in CutPolicy::ALL.iter().filter(|policy| policy.fill != CutFill::Random) {
            let cut = fs.power_cut(*policy, seed);
            for name in names(&cut, path("/")) {
                let bytes = read(&cut, path(&format!("/{name}"))).unwrap();
                let known = |byte: &u8| *byte <= ops.len() as u8 || (100..120).contains(byte);
                prop_assert!(bytes.iter().all(known), "{}", policy);
            }
        }
    }

    #[test]
    fn what_was_synced_is_always_there_and_a_seed_repeats_its_cut(
        before in prop::collection::vec(op(), 0..8),
        ops in prop::collection::vec(op(), 0..10),
        seed in any::<u64>(),
    ) {
        let fs = history(&before, &[]);
        fs.create_dir(path("/kept")).unwrap();
        let file = create_durable(&fs, path("/kept/a"), &[7; 1300]);
        fs.sync_dir(path("/")).unwrap();
        ops.iter().zip(1..).for_each(|(op, number)| apply(&fs, op, number));
        file.write_all_at(&[8; 2000], 1300).unwrap();
        create(&fs, path("/kept/b"), b"");
        for policy in CutPolicy::ALL {
            let cut = fs.power_cut(*policy, seed);
            let bytes = read(&cut, path("/kept/a")).unwrap();
            prop_assert_eq!(&bytes[..1300], &[7; 1300], "{}", policy);
            prop_assert_eq!(cut.fingerprint(), fs.power_cut(*policy, seed).fingerprint());
            let again = cut.power_cut(*policy, seed ^ 1);
            let bytes = read(&again, path("/kept/a")).unwrap();
            prop_assert_eq!(&bytes[..1300], &[7; 1300], "{} twice", policy);
        }
    }
}
