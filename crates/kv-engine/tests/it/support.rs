//! Worlds to run a promise in: settings, file systems, data, and ways to compare.

use kv_engine::{Bytes, Compression, Cursor, Db, Error, Iter, Keyspace, Options, Result, Snapshot};
use kv_vfs::{FileKind, Fs, FsFileExt, MemFs, Mode};
use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where the stores in memory are.
pub(crate) const DIR: &str = "/parent/db";

/// A named way to set a store up.
pub(crate) type Setting = (&'static str, fn() -> Options);

/// From the defaults to the smallest legal sizes, so that a few hundred keys already flush,
/// compact, stall and evict.
pub(crate) const SETTINGS: &[Setting] = &[
    ("defaults", Options::default),
    ("tiny write buffer", tiny),
    ("tiny blocks", || tiny().block_size(256)),
    ("no compression", || tiny().compression(Compression::None)),
    ("snappy", || tiny().compression(Compression::Snappy).block_size(1024)),
    ("no bloom filter", || tiny().bloom_bits(0.0)),
    ("tiny memory", || tiny().memory_budget(128 << 10)),
    ("one level-0 run", || tiny().level0_runs(1)),
    ("one thread", || tiny().background_threads(1).level0_runs(2)),
    ("tiny log", || Options::default().wal_limit(32 << 10)),
    ("small tables", || tiny().table_size(4 << 10).block_size(512)),
    ("few open files", || tiny().table_size(2 << 10).max_open_files(4)),
    ("unsynced", || tiny().sync_on_write(false)),
];

fn tiny() -> Options {
    Options::default().write_buffer(4 << 10)
}

/// One setting on a memory file system of its own.
pub(crate) struct World {
    pub(crate) setting: Setting,
    pub(crate) fs: Arc<MemFs>,
}

impl World {
    pub(crate) fn new(setting: Setting) -> World {
        World { setting, fs: Arc::new(MemFs::new()) }
    }

    /// The defaults.
    pub(crate) fn plain() -> World {
        World::new(SETTINGS[0])
    }

    /// A write buffer that a hundred keys fill.
    pub(crate) fn tiny() -> World {
        World::new(SETTINGS[1])
    }

    /// The same setting on another file system.
    pub(crate) fn on(&self, fs: MemFs) -> World {
        World { setting: self.setting, fs: Arc::new(fs) }
    }

    /// What the disk holds after a power cut now.
    pub(crate) fn after_power_cut(&self) -> World {
        self.on(self.fs.crash())
    }

    pub(crate) fn options(&self) -> Options {
        (self.setting.1)().file_system(Arc::clone(&self.fs) as Arc<dyn Fs>)
    }

    pub(crate) fn try_open(&self) -> Result<Db> {
        Db::open(DIR, self.options())
    }

    pub(crate) fn open(&self) -> Db {
        self.try_open().unwrap()
    }

    /// Every file of the store with its bytes.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        files(&*self.fs, Path::new(DIR))
    }

    /// [`World::files`] once nothing in the background changes them any more.
    pub(crate) fn files_at_rest(&self, db: &Db) -> BTreeMap<String, Vec<u8>> {
        let mut quiet = 0;
        let mut files = self.files();
        while quiet < 5 {
            std::thread::sleep(Duration::from_millis(2));
            let now = self.files();
            quiet = if figure(db, "kv_running_jobs ") == 0 && now == files { quiet + 1 } else { 0 };
            files = now;
        }
        files
    }

    /// The names of the files that end so, in order.
    pub(crate) fn names(&self, suffix: &str) -> Vec<String> {
        self.files().into_keys().filter(|name| name.ends_with(suffix)).collect()
    }

    /// The newest log in which anything is written: one may lie behind it that was made ahead of
    /// need, and is empty.
    pub(crate) fn written_log(&self) -> String {
        let logs = self.files().into_iter().filter(|(name, _)| name.ends_with(".log"));
        let mut written = logs.filter(|(_, bytes)| bytes.iter().any(|byte| *byte != 0));
        written.next_back().unwrap().0
    }

    /// Bytes of all tables.
    pub(crate) fn table_bytes(&self) -> usize {
        let files = self.files();
        files.iter().filter(|(name, _)| name.ends_with(".sst")).map(|(_, bytes)| bytes.len()).sum()
    }

    /// Waits until the tables take no more than that: files may go a moment after the call that
    /// made them dead.
    #[track_caller]
    pub(crate) fn shrinks_to(&self, limit: usize) {
        let start = Instant::now();
        while self.table_bytes() > limit {
            let bytes = self.table_bytes();
            assert!(start.elapsed() < Duration::from_secs(5), "{bytes} bytes of tables are left");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Rewrites a file through `change`.
    pub(crate) fn rewrite(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let path = Path::new(DIR).join(name);
        let mut bytes = read_file(&*self.fs, &path).unwrap();
        change(&mut bytes);
        let file = self.fs.open(&path, Mode::ReadWrite).unwrap();
        file.set_len(bytes.len() as u64).unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        file.sync_all().unwrap();
    }

    pub(crate) fn remove(&self, name: &str) {
        self.fs.remove(&Path::new(DIR).join(name)).unwrap();
        self.fs.sync_dir(Path::new(DIR)).unwrap();
    }
}

/// The sum of the figures in the store's statistics whose names begin so.
#[track_caller]
pub(crate) fn figure(db: &Db, name: &str) -> u64 {
    let text = db.stats().prometheus();
    let lines = text.lines().filter(|line| line.starts_with(name));
    let figures: Vec<u64> = lines.map(|l| l.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    assert!(!figures.is_empty(), "{name} is not in {text}");
    figures.into_iter().sum()
}

/// Runs a promise under each setting; a failure's output ends with the setting's name.
pub(crate) fn every_setting(promise: impl Fn(&World)) {
    for setting in SETTINGS {
        println!("setting: {}", setting.0);
        promise(&World::new(*setting));
    }
}

/// Every file in a directory with its bytes; without those that background work removes
/// meanwhile.
pub(crate) fn files(fs: &dyn Fs, dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs.list(dir).unwrap();
    let files = entries.into_iter().filter(|entry| entry.kind == FileKind::File);
    files
        .filter_map(|entry| Some((entry.name.clone(), read_file(fs, &dir.join(&entry.name))?)))
        .collect()
}

/// The bytes of a file; none where it is not there.
pub(crate) fn read_file(fs: &dyn Fs, path: &Path) -> Option<Vec<u8>> {
    let file = match fs.open(path, Mode::Read) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        opened => opened.unwrap(),
    };
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    let read = file.read_full_at(&mut bytes, 0).unwrap();
    bytes.truncate(read);
    Some(bytes)
}

/// A real directory that goes away with the value.
pub(crate) struct TempDir(PathBuf);

impl TempDir {
    pub(crate) fn new() -> TempDir {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("kv-engine-it-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        TempDir(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A path in it that does not exist yet.
    pub(crate) fn db(&self) -> PathBuf {
        self.0.join("db")
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) type Pairs = Vec<(Vec<u8>, Vec<u8>)>;
pub(crate) type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// What a store, a keyspace and a snapshot have in common.
pub(crate) trait Reads {
    fn read(&self, key: &[u8]) -> Result<Option<Bytes>>;
    fn has(&self, key: &[u8]) -> Result<bool>;
    fn all(&self) -> Iter;
    fn between(&self, bounds: (Bound<&[u8]>, Bound<&[u8]>)) -> Iter;
    fn with_prefix(&self, prefix: &[u8]) -> Iter;
    fn walk(&self) -> Cursor;
}

macro_rules! reads {
    ($($type:ty),*) => { $(
        impl Reads for $type {
            fn read(&self, key: &[u8]) -> Result<Option<Bytes>> {
                self.get(key)
            }
            fn has(&self, key: &[u8]) -> Result<bool> {
                self.contains_key(key)
            }
            fn all(&self) -> Iter {
                self.iter()
            }
            fn between(&self, bounds: (Bound<&[u8]>, Bound<&[u8]>)) -> Iter {
                self.range::<&[u8]>(bounds)
            }
            fn with_prefix(&self, prefix: &[u8]) -> Iter {
                self.prefix(prefix)
            }
            fn walk(&self) -> Cursor {
                self.cursor()
            }
        }
    )* };
}

reads!(Db, Keyspace, Snapshot);

/// What an iterator answers at each step.
pub(crate) type Pair = Result<(Bytes, Bytes)>;

/// Everything an iterator answers.
pub(crate) fn pairs(iter: impl Iterator<Item = Pair>) -> Pairs {
    iter.map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap()).collect()
}

/// The keys that an iterator answers, as text.
pub(crate) fn keys(iter: impl Iterator<Item = Pair>) -> Vec<String> {
    iter.map(|pair| String::from_utf8_lossy(&pair.unwrap().0).into_owned()).collect()
}

/// The value of a key, as text.
pub(crate) fn text(store: &impl Reads, key: impl AsRef<[u8]>) -> Option<String> {
    let value = store.read(key.as_ref()).unwrap();
    value.map(|value| String::from_utf8_lossy(&value).into_owned())
}

/// The store holds exactly the model, whichever way it is read.
#[track_caller]
pub(crate) fn assert_same(store: &impl Reads, model: &Model) {
    let expected: Pairs = model.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    let found = pairs(store.all());
    assert_eq!(found.len(), expected.len(), "number of keys");
    assert!(found == expected, "forward");
    let mut backward = pairs(store.all().rev());
    backward.reverse();
    assert!(backward == expected, "backward");
    assert!(pairs(store.with_prefix(&[])) == expected, "by the empty prefix");
    for (key, value) in model {
        let read = store.read(key).unwrap();
        assert_eq!(read.as_deref(), Some(value.as_slice()), "get of {key:?}");
        assert!(store.has(key).unwrap());
    }
    let mut cursor = store.walk();
    cursor.first().unwrap();
    for (key, value) in &expected {
        assert!(cursor.valid(), "the cursor ends before {key:?}");
        assert_eq!((cursor.key(), cursor.value()), (key.as_slice(), value.as_slice()));
        cursor.next().unwrap();
    }
    assert!(!cursor.valid());
}

pub(crate) fn key(i: usize) -> Vec<u8> {
    format!("key{i:06}").into_bytes()
}

/// A value that tells which key and which version it belongs to.
pub(crate) fn value(i: usize, version: usize) -> Vec<u8> {
    let mut value = format!("value {i} version {version} ").into_bytes();
    value.resize(40 + (i * 7 + version) % 60, b'.');
    value
}

/// Puts `count` keys of one version and notes them in the model.
pub(crate) fn fill(db: &Db, model: &mut Model, count: usize, version: usize) {
    for i in 0..count {
        db.put(key(i), value(i, version)).unwrap();
        model.insert(key(i), value(i, version));
    }
}

/// The error of a call that must fail.
#[track_caller]
pub(crate) fn refused<T>(result: Result<T>) -> Error {
    match result {
        Ok(_) => panic!("the call succeeded"),
        Err(error) => error,
    }
}

/// A small, seeded generator (SplitMix64).
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}
