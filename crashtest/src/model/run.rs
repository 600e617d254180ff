//! One run: a store, its model, and everything that is held open over both.
//!
//! A call that answers what the model does not allow ends the run with one line. After a failed
//! write the model allows that write to be there or not; after a refusal for good (the store takes
//! no more writes) only opening again helps, and the run does that a little later.

use super::compare::{self, Check, Span, failed};
use super::face::{Reads, Writes};
use super::marks::{Met, met};
use super::op::{Case, Edge, Key, Op};
use super::oracle::{Effect, End, Moment, NAMED, Oracle};
use super::settings::Settings;
use super::value;
use super::world::{DIR, RunClock, World};
use kv_engine::{Cursor, Db, Error, ErrorKind, Iter, Keyspace, Snapshot};
use std::ops::Bound;

/// The names of the keyspaces: the second is a prefix of the third.
pub(super) const NAMES: [&str; 1 + NAMED] = ["", "a", "ab", "zoë"];
/// How many snapshots, iterators and cursors can be held, each.
pub(super) const SLOTS: usize = 12;
/// Operations that still run on a store that takes no writes before it is opened again.
const PATIENCE: u32 = 8;

pub(super) struct HeldSnapshot {
    pub(super) snapshot: Snapshot,
    /// `None` where it looks into a keyspace that did not exist.
    pub(super) tree: Option<usize>,
    pub(super) moment: Moment,
}

pub(super) struct HeldIter {
    pub(super) iter: Iter,
    pub(super) span: Span,
    pub(super) ended: bool,
    /// Flushes and compactions that were asked for before.
    pub(super) since: u32,
}

pub(super) struct HeldCursor {
    pub(super) cursor: Cursor,
    pub(super) tree: usize,
    pub(super) moment: Moment,
    pub(super) at: Option<Vec<u8>>,
    pub(super) since: u32,
}

/// Everything that reads and does not end with a write.
#[derive(Default)]
pub(super) struct Held {
    pub(super) snapshots: [Option<HeldSnapshot>; SLOTS],
    pub(super) iters: [Option<HeldIter>; SLOTS],
    pub(super) cursors: [Option<HeldCursor>; SLOTS],
}

impl Held {
    /// The earliest write that a reader may ask for.
    fn oldest(&self) -> u64 {
        let snapshots = self.snapshots.iter().flatten().map(|held| held.moment.seq);
        let iters = self.iters.iter().flatten().map(|held| held.span.moment.seq);
        let cursors = self.cursors.iter().flatten().map(|held| held.moment.seq);
        snapshots.chain(iters).chain(cursors).min().unwrap_or(u64::MAX)
    }
}

/// An open store and its handles.
pub(super) struct Open {
    pub(super) db: Db,
    /// The default keyspace, the named ones that exist, and last the default one by name.
    pub(super) spaces: [Option<Keyspace>; 2 + NAMED],
}

pub(super) struct Run {
    pub(super) world: World,
    pub(super) settings: Settings,
    pub(super) open: Open,
    pub(super) held: Held,
    /// Handles of dropped keyspaces.
    pub(super) stale: Vec<Keyspace>,
    pub(super) oracle: Oracle,
    /// Values made so far.
    pub(super) made: u32,
    /// The disk was full since the store was opened.
    pub(super) limited: bool,
    /// A call was made to fail since the store was opened.
    pub(super) broken: bool,
    /// Operations since the store began to refuse writes.
    pub(super) poisoned: Option<u32>,
    /// Writes that failed since the last one that did not: one of them may be there.
    pub(super) limbo: Vec<Vec<Effect>>,
    /// Flushes and compactions asked for.
    pub(super) upheavals: u32,
    /// A hash of everything that was read.
    pub(super) history: u64,
    /// The settings stay, and nothing that is drawn depends on them.
    pub(super) fixed: bool,
}

impl Run {
    pub(super) fn begin(settings: Settings) -> Check<Run> {
        let world = World::new();
        let db = Db::open(DIR, settings.options(world.seam())).map_err(failed("the first open"))?;
        let default = db.keyspace("").map_err(failed("keyspace"))?;
        Ok(Run {
            world,
            settings,
            open: Open { db, spaces: [None, None, None, None, Some(default)] },
            held: Held::default(),
            stale: Vec::new(),
            oracle: Oracle::new(RunClock::START_MS),
            made: 0,
            limited: false,
            broken: false,
            poisoned: None,
            limbo: Vec::new(),
            upheavals: 0,
            history: 0xCBF2_9CE4_8422_2325,
            fixed: false,
        })
    }

    pub(super) fn step(&mut self, op: &Op) -> Check {
        if let Some(age) = &mut self.poisoned {
            *age += 1;
            if *age > PATIENCE {
                self.world.fs.set_capacity(u64::MAX);
                self.reopen(super::op::End::Drop, None)?;
            }
        }
        match op {
            Op::Put { space, key, len } => self.put(*space, *key, *len, None),
            Op::PutTtl { space, key, len, ms } => self.put(*space, *key, *len, Some(*ms)),
            Op::Delete { space, key } => self.delete(*space, *key),
            Op::DeleteRange { space, from, to } => self.delete_range(*space, *from, *to),
            Op::Batch { space, sync, items } => self.batch(*space, *sync, items),
            Op::Ingest { space, pairs } => self.ingest(*space, pairs),
            Op::Create { space } => self.create(*space),
            Op::DropSpace { space } => self.drop_space(*space),
            Op::Stale => self.use_stale(),
            Op::Limits { space } => self.limits(*space),
            Op::Names => self.names(),
            Op::Flush | Op::Compact | Op::Sync => self.maintain(op),
            Op::Verify => self.verify(),
            Op::Stats => self.stats(),
            Op::Check => self.check(false),
            Op::Reopen { end, settings } => self.reopen(*end, settings.filter(|_| !self.fixed)),
            Op::ReadOnly => self.read_only(),
            Op::SecondOpen => self.second_open(),
            Op::Clock { ms } => {
                self.move_clock(*ms);
                Ok(())
            }
            Op::Full { room } => {
                self.limited = true;
                let capacity = self.world.fs.used().saturating_add(u64::from(*room));
                self.world.fs.set_capacity(capacity);
                Ok(())
            }
            Op::Break { at, after } => {
                self.broken = true;
                self.world.break_once(*at, *after);
                Ok(())
            }
            Op::Free => {
                self.world.fs.set_capacity(u64::MAX);
                Ok(())
            }
            read => self.read(read),
        }
    }

    /// What is left to look at when all operations are done.
    pub(super) fn end(&mut self) -> Check {
        self.world.fs.set_capacity(u64::MAX);
        self.reopen(super::op::End::Close, None)
    }

    fn move_clock(&mut self, ms: i64) {
        // Between 1970 and a time that milliseconds can tell for long.
        let now = self.oracle.now_ms.saturating_add_signed(ms).min(1 << 50);
        if now < self.oracle.now_ms {
            met(Met::ClockBack);
        }
        self.oracle.set_clock(now);
        self.world.clock.set(now);
    }

    /// The keyspace's index, or the default one's where it does not exist.
    pub(super) fn existing(&self, space: u8) -> usize {
        let space = usize::from(space) % self.open.spaces.len();
        match self.open.spaces.get(space) {
            Some(Some(_)) => space,
            _ => 0,
        }
    }

    /// The tree of an existing keyspace, now.
    pub(super) fn tree(&self, space: usize) -> Check<usize> {
        let space = if space > NAMED { 0 } else { space };
        let tree = self.oracle.tree(space, self.oracle.seq);
        tree.ok_or_else(|| format!("the run lost its keyspace {space}"))
    }

    pub(super) fn store(&self, space: usize) -> &dyn Writes {
        match self.open.spaces.get(space) {
            Some(Some(keyspace)) => keyspace,
            _ => &self.open.db,
        }
    }

    pub(super) fn reader(&self, space: usize) -> &dyn Reads {
        match self.open.spaces.get(space) {
            Some(Some(keyspace)) => keyspace,
            _ => &self.open.db,
        }
    }

    pub(super) fn value(&mut self, key: &[u8], len: u32) -> std::rc::Rc<[u8]> {
        self.made = self.made.wrapping_add(1);
        value::make(0, self.made, key, len)
    }

    /// A bound, where it names a table's edge that of a table which is there now.
    pub(super) fn bound(&self, edge: Edge) -> End {
        let bound = |key: Key, inclusive: bool| match inclusive {
            true => Bound::Included(key.bytes()),
            false => Bound::Excluded(key.bytes()),
        };
        match edge {
            Edge::Open => Bound::Unbounded,
            Edge::In(key) => bound(key, true),
            Edge::Ex(key) => bound(key, false),
            Edge::Table { .. } if self.fixed => Bound::Unbounded,
            Edge::Table { n, last, inclusive } => {
                match super::files::table_edge(&*self.world.fs, n, last) {
                    Some(key) => {
                        met(Met::TableEdge);
                        if inclusive { Bound::Included(key) } else { Bound::Excluded(key) }
                    }
                    None => Bound::Unbounded,
                }
            }
        }
    }

    /// Whether the store syncs a write before it answers.
    pub(super) fn syncs(&self, asked: Option<bool>) -> bool {
        asked.unwrap_or(self.settings.sync_on_write)
    }

    /// Takes a write's outcome into the model.
    pub(super) fn settle(
        &mut self,
        what: &str,
        write: Vec<Effect>,
        sync: bool,
        outcome: Result<(), Error>,
    ) -> Check {
        let Err(error) = outcome else {
            if self.poisoned.is_some() {
                return Err(format!("{what}: acknowledged after the store had refused writes"));
            }
            self.oracle.commit(&write, self.held.oldest());
            self.limbo.clear();
            if sync {
                self.oracle.durable = self.oracle.seq;
            }
            return Ok(());
        };
        if self.poisoned.is_none() {
            self.limbo.push(write);
        }
        self.excuse(what, &error)
    }

    /// Whether the disk was full or a call was made to fail, so that calls may fail.
    pub(super) fn may_fail(&self) -> bool {
        self.limited || self.broken || self.settings.disk_limit.is_some()
    }

    /// Whether a call that writes may fail like that.
    pub(super) fn excuse(&mut self, what: &str, error: &Error) -> Check {
        match error.kind() {
            ErrorKind::NoSpace if self.may_fail() => {
                met(Met::DiskFull);
                Ok(())
            }
            ErrorKind::Io if self.broken => Ok(()),
            ErrorKind::ReadOnly if self.limited || self.broken => {
                if self.poisoned.is_none() {
                    met(Met::Poisoned);
                    self.poisoned = Some(0);
                }
                Ok(())
            }
            _ => Err(failed(what)(error.clone())),
        }
    }

    /// Notes bytes that were read.
    pub(super) fn note(&mut self, bytes: &[u8]) {
        let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3);
        self.history = bytes.iter().fold(self.history.rotate_left(5), step);
    }

    /// Compares everything that is there with the model.
    pub(super) fn check(&mut self, deep: bool) -> Check {
        for (space, name) in NAMES.iter().enumerate() {
            let exists = space == 0 || self.open.spaces[space].is_some();
            let tree = self.oracle.tree(space, self.oracle.seq);
            if exists != tree.is_some() {
                return Err(format!("the keyspace {name:?} is there: {exists}"));
            }
            let Some(tree) = tree else { continue };
            let span = Span::all(tree, self.oracle.now());
            let at = |e: String| format!("keyspace {name:?}: {e}");
            let reader = self.reader(space);
            let pairs = compare::whole(&self.oracle, reader, &span, false).map_err(at)?;
            if deep {
                compare::neighbours(&self.oracle, reader, &pairs, &span).map_err(at)?;
            }
        }
        self.names()
    }
}

/// Runs a case to its end; where it fails, in which operation and how. Under `fixed` settings the
/// hash of what was read is the same whatever they are.
pub(super) fn run(
    case: &Case,
    fixed: Option<Settings>,
    progress: &dyn Fn(usize),
) -> Result<u64, (usize, String)> {
    let mut run = Run::begin(fixed.unwrap_or(case.settings)).map_err(|e| (0, e))?;
    run.fixed = fixed.is_some();
    for (i, op) in case.ops.iter().enumerate() {
        progress(i);
        run.step(op).map_err(|e| (i, e))?;
    }
    run.end().map_err(|e| (case.ops.len(), e))?;
    Ok(run.history)
}
