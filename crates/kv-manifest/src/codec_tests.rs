//! What is encoded is decoded, and whatever else comes is refused without a panic.

use crate::apply::Replay;
use crate::edit_codec::{Record, Snapshot};
use crate::tag::{Refused, SKIPPABLE};
use crate::{FileMeta, State, ValueMeta, ValueRef, VersionEdit};
use bytes::Bytes;
use kv_core::KeyRange;
use proptest::prelude::*;
use std::sync::Arc;

fn bytes() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..12).prop_map(Bytes::from)
}

fn table() -> impl Strategy<Value = FileMeta> {
    let numbers = prop::collection::vec(prop_oneof![Just(0), Just(u64::MAX), any::<u64>()], 15);
    let keys = (bytes(), bytes(), bytes(), prop::option::of((bytes(), bytes())));
    (numbers, keys, any::<(bool, u64, u8)>()).prop_map(
        |(n, (smallest, largest, footer, seen), x)| FileMeta {
            number: n[0],
            size: n[1],
            entries: n[2],
            tombstones: n[3],
            range_tombstones: n[4],
            smallest,
            largest,
            largest_exclusive: x.0,
            min_seq: n[5],
            max_seq: n[6],
            min_expiry: n[7],
            max_expiry: n[8],
            expiring: n[9],
            raw_bytes: n[10],
            shadow_bytes: n[11],
            checksum: x.1,
            footer,
            compression: x.2,
            created: n[12],
            origin: n[13],
            visible: seen.map(|(start, end)| KeyRange { start, end }),
            values: (0..n[14] % 3).map(|i| ValueRef { file: i, bytes: n[14] }).collect(),
        },
    )
}

fn value_file(n: u64) -> ValueMeta {
    let [size, records, bytes, checksum] = [3, 5, 7, 11].map(|factor| n.wrapping_mul(factor));
    ValueMeta { number: n, size, records, bytes, checksum }
}

fn edit() -> impl Strategy<Value = VersionEdit> {
    let added = prop::collection::vec((0..9_usize, table().prop_map(Arc::new)), 0..3);
    let deleted = prop::collection::vec((0..9_usize, any::<u64>()), 0..3);
    let logs = prop::collection::vec(any::<u64>(), 0..3);
    let numbers = any::<(Option<u64>, Option<u64>, Option<u64>)>();
    (added, deleted, logs, numbers, prop::option::of(bytes())).prop_map(
        |(added, deleted, logs_added, (next_file, last_seq, log_floor), settings)| VersionEdit {
            values_added: logs_added.iter().map(|n| value_file(*n)).collect(),
            added,
            deleted,
            next_file,
            last_seq,
            log_floor,
            logs_added,
            settings,
        },
    )
}

fn record() -> impl Strategy<Value = Record> {
    let snapshot = (any::<u128>(), any::<u64>(), edit()).prop_map(|(db_id, epoch, contents)| {
        let format_version = crate::FORMAT_VERSION;
        Record::Snapshot(Snapshot { format_version, db_id, epoch, contents })
    });
    prop_oneof![snapshot, edit().prop_map(Record::Edit), Just(Record::Mark)]
}

proptest! {
    #[test]
    fn every_record_round_trips(record in record()) {
        prop_assert_eq!(Record::decode(&record.encode()), Ok(record));
    }

    #[test]
    fn every_cut_is_refused_or_another_record(record in record(), cut in any::<prop::sample::Index>()) {
        let bytes = record.encode();
        let cut = cut.index(bytes.len());
        prop_assert_ne!(Record::decode(&bytes[..cut]), Ok(record));
    }

    /// Whatever decodes, encodes to what decodes to the same.
    #[test]
    fn any_bytes_decode_without_a_panic(
        record in record(),
        at in any::<prop::sample::Index>(),
        noise in prop::collection::vec(any::<u8>(), 1..6),
        only_noise in any::<bool>(),
    ) {
        let mut bytes = record.encode();
        let at = at.index(bytes.len());
        if only_noise {
            bytes.truncate(1);
            bytes.extend(&noise);
        } else {
            for (byte, noise) in bytes.iter_mut().skip(at).zip(&noise) {
                *byte = *noise;
            }
        }
        if let Ok(decoded) = Record::decode(&bytes) {
            prop_assert_eq!(Record::decode(&decoded.encode()), Ok(decoded));
        }
    }

    /// A replay gives what applying edit by edit gives, wherever that is possible.
    #[test]
    fn a_replay_agrees_with_applying(steps in prop::collection::vec((0..3_usize, 1..9_u64, 1..9_u64), 1..30)) {
        let mut state = State::new(1);
        let mut replay = Replay::new(State::new(1));
        for (level, number, last_seq) in steps {
            let held = state.version.files().find(|(_, f)| f.number == number).map(|(l, _)| l);
            let key = vec![number as u8];
            let edit = VersionEdit {
                added: match held {
                    Some(_) => Vec::new(),
                    None => vec![(level, Arc::new(crate::testing::table(number, &key, &key)))],
                },
                deleted: held.map(|level| (level, number)).into_iter().collect(),
                last_seq: Some(last_seq),
                logs_added: vec![number],
                log_floor: Some(last_seq / 2),
                ..VersionEdit::default()
            };
            state = state.apply(&edit).unwrap();
            replay.apply(&edit).unwrap();
        }
        let replayed = replay.finish().unwrap();
        prop_assert_eq!(Snapshot::of(&replayed), Snapshot::of(&state));
    }
}

#[test]
fn what_must_be_understood_is_refused_by_name() {
    let unknown = |bytes: &[u8]| match Record::decode(bytes) {
        Err(Refused::Unknown { what, number }) => (what, number),
        other => panic!("{other:?}"),
    };
    assert_eq!(unknown(&[9]), ("kind of record", 9));
    assert_eq!(unknown(&[2, 0x7F, 0]), ("field of a record", 0x7F));
    assert_eq!(unknown(&[2, 21, 3, 0, 0x7F, 0]), ("field of a table", 0x7F));
    assert_eq!(unknown(&[2, 23, 2, 0x7F, 0]), ("field of a value file", 0x7F));
    assert_eq!(unknown(&[1, 1, 1, 3]), ("format version", 3));
    assert_eq!(unknown(&[1, 1, 1, 0]), ("format version", 0));
    let skipped = Record::decode(&[2, SKIPPABLE | 0x7F, 1, 5, 17, 1, 9]);
    let edit = VersionEdit { last_seq: Some(9), ..VersionEdit::default() };
    assert_eq!(skipped, Ok(Record::Edit(edit)));
}

#[test]
fn what_no_release_writes_is_refused() {
    let twice = [2, 17, 1, 9, 17, 1, 9];
    let behind = [2, 17, 2, 9, 9];
    let bare_table = [2, 21, 1, 6];
    let no_format = [1, 3, 1, 1];
    let no_id = [1, 1, 1, 1];
    let long_mark = [3, 0];
    let bare_values = [2, 23, 3, 1, 1, 9];
    let values_twice = [2, 23, 6, 1, 1, 9, 1, 1, 9];
    let cases: [&[u8]; 9] = [
        &[],
        &twice,
        &behind,
        &bare_table,
        &no_format,
        &no_id,
        &long_mark,
        &bare_values,
        &values_twice,
    ];
    for bytes in cases {
        let outcome = Record::decode(bytes);
        assert!(matches!(outcome, Err(Refused::Malformed(_))), "{bytes:?}: {outcome:?}");
    }
}
