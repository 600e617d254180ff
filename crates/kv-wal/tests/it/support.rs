//! Logs to test with.

use kv_vfs::{FaultFs, Fs, FsFileExt, MemFs, Mode};
use kv_wal::{
    Appended, Error, Log, LogOptions, Record, RecordReader, Replay, Segment, SegmentFile, Step,
    replay,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) const DIR: &str = "/log";

pub(crate) fn path(number: u64) -> PathBuf {
    PathBuf::from(format!("{DIR}/{number:06}.log"))
}

pub(crate) fn disk() -> MemFs {
    let fs = MemFs::new();
    fs.create_dir(Path::new(DIR)).unwrap();
    fs.sync_dir(Path::new("/")).unwrap();
    fs
}

/// A disk that can be made to fail, and the same without.
pub(crate) fn failing_disk() -> (FaultFs, MemFs) {
    let fs = disk();
    (FaultFs::new(Arc::new(fs.clone())), fs)
}

pub(crate) fn segment(fs: &dyn Fs, number: u64) -> Segment {
    Segment::create(fs, &path(number), number).unwrap()
}

/// Space is reserved by single bytes, so that files are as long as their records.
pub(crate) fn tight() -> LogOptions {
    LogOptions { allocation_chunk: 0 }
}

pub(crate) fn start(fs: &dyn Fs, number: u64, options: LogOptions) -> Log {
    Log::start(segment(fs, number), None, 1, options).unwrap()
}

pub(crate) fn append(log: &Log, payload: &[u8]) -> Result<Appended, Error> {
    log.append(1, &[payload], |_| Ok::<_, Error>(())).map(|(appended, ())| appended)
}

/// Appends and writes.
pub(crate) fn put(log: &Log, payload: &[u8]) -> Appended {
    let appended = append(log, payload).unwrap();
    log.write_to(appended.position).unwrap();
    appended
}

/// Appends, and writes by a copy where that is possible; answers whether it was.
pub(crate) fn copy(log: &Log, payload: &[u8]) -> bool {
    let appended = log.append_and_copy(1, &[payload], |_| Ok::<_, Error>(())).unwrap().0;
    if !appended.written {
        log.write_to(appended.position).unwrap();
    }
    appended.written
}

/// Appends and syncs.
pub(crate) fn put_synced(log: &Log, payload: &[u8]) -> Appended {
    let appended = append(log, payload).unwrap();
    log.sync_to(appended.position).unwrap();
    appended
}

pub(crate) fn files(numbers: impl IntoIterator<Item = u64>) -> Vec<SegmentFile> {
    numbers.into_iter().map(|number| SegmentFile { number, path: path(number) }).collect()
}

/// Replays a log whose records take one sequence number each.
pub(crate) fn read(
    fs: &dyn Fs,
    numbers: impl IntoIterator<Item = u64>,
) -> (Vec<Vec<u8>>, Result<Replay, Error>) {
    let mut payloads = Vec::new();
    let outcome = replay(fs, &files(numbers), |_, payload| {
        payloads.push(payload.to_vec());
        Ok::<_, Error>(1)
    });
    (payloads, outcome)
}

/// What is known of a record besides its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) number: u64,
    pub(crate) offset: u64,
    pub(crate) end: u64,
    pub(crate) synced: u64,
    pub(crate) older_durable: bool,
}

/// All records of an undamaged log.
pub(crate) fn places(fs: &dyn Fs, numbers: impl IntoIterator<Item = u64>) -> Vec<Place> {
    let mut places = Vec::new();
    for number in numbers {
        let file = fs.open(&path(number), Mode::Read).unwrap();
        let mut reader = RecordReader::new(file, &path(number), number).unwrap();
        while let Step::Record(Record { offset, synced, flags, payload, .. }) =
            reader.next().unwrap()
        {
            places.push(Place {
                number,
                offset,
                end: offset + 32 + payload.len() as u64,
                synced: u64::from(synced),
                older_durable: flags == 1,
            });
        }
    }
    places
}

pub(crate) fn bytes_of(fs: &dyn Fs, number: u64) -> Vec<u8> {
    let file = fs.open(&path(number), Mode::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

pub(crate) fn set_bytes(fs: &dyn Fs, number: u64, bytes: &[u8]) {
    let file = fs.open(&path(number), Mode::ReadWrite).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    file.write_all_at(bytes, 0).unwrap();
}
