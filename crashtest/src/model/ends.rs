//! How a store ends and begins again, what lies beside it, and its upkeep.

use super::compare::{self, Check, failed};
use super::files;
use super::marks::{Met, met};
use super::op::{Cut, End, Key, Op};
use super::oracle::NAMED;
use super::rng::Rng;
use super::run::{Held, NAMES, Open, Run};
use super::settings::Settings;
use super::world::DIR;
use kv_engine::{Db, ErrorKind};
use kv_vfs::{CutPolicy, Fs as _, MemFs};
use std::sync::Arc;

impl Run {
    pub(super) fn maintain(&mut self, op: &Op) -> Check {
        let db = &self.open.db;
        let (what, outcome) = match op {
            Op::Flush => ("flush", db.flush()),
            Op::Compact => ("compact", db.compact()),
            _ => ("sync", db.sync()),
        };
        match outcome {
            Ok(()) => {
                self.oracle.durable = self.oracle.seq;
                self.upheavals += u32::from(!matches!(op, Op::Sync));
                Ok(())
            }
            Err(error) => self.excuse(what, &error),
        }
    }

    pub(super) fn verify(&mut self) -> Check {
        let report = self.open.db.verify().map_err(failed("verify"))?;
        if report.is_ok() { Ok(()) } else { Err(format!("verify finds {report}")) }
    }

    pub(super) fn stats(&mut self) -> Check {
        let stats = self.open.db.stats();
        let held: std::collections::BTreeSet<_> =
            self.held.snapshots.iter().flatten().map(|held| held.moment.seq).collect();
        let text = stats.prometheus();
        let line = text.lines().find_map(|line| line.strip_prefix("kv_snapshots "));
        let counted: usize = line.and_then(|n| n.parse().ok()).ok_or("stats count no snapshots")?;
        // Two of one write at two times of day are two.
        if counted < held.len() || stats.to_string().is_empty() {
            return Err(format!("stats count {counted} snapshots, {} are held", held.len()));
        }
        Ok(())
    }

    pub(super) fn second_open(&mut self) -> Check {
        match Db::open(DIR, self.settings.options(self.world.seam())) {
            Err(error) if error.kind() == ErrorKind::Locked => {
                met(Met::Locked);
                Ok(())
            }
            Err(error) => Err(failed("a second open")(error)),
            Ok(_) => Err("a second open was let in".to_owned()),
        }
    }

    /// A reader beside the writer sees all that was acknowledged, and writes nothing.
    pub(super) fn read_only(&mut self) -> Check {
        if self.limited || self.broken {
            // A failed write may be in the log.
            return Ok(());
        }
        let db = Db::open(DIR, self.settings.options(self.world.seam()).read_only(true))
            .map_err(failed("a read-only open"))?;
        let dump = files::dump(&db)?;
        self.agree(&dump, &self.oracle.now()).map_err(|e| format!("read-only, {e}"))?;
        met(Met::ReadOnlyBeside);
        let refusals = [
            ("put", db.put("k", "never")),
            ("delete", db.delete("k")),
            ("keyspace", db.keyspace("never").map(|_| ())),
            ("flush", db.flush()),
            ("sync", db.sync()),
            ("compact", db.compact()),
        ];
        for (what, outcome) in refusals {
            match outcome {
                Err(error) if error.kind() == ErrorKind::ReadOnly => {}
                outcome => return Err(format!("{what} on a read-only store: {outcome:?}")),
            }
        }
        db.close().map_err(failed("closing a read-only store"))
    }

    /// Ends the store one way or the other, and opens it again.
    pub(super) fn reopen(&mut self, end: End, settings: Option<Settings>) -> Check {
        self.read_snapshots()?;
        let mut floor = self.oracle.seq;
        match end {
            End::Close => self.close()?,
            End::Drop => {
                self.let_go();
                met(Met::DroppedOpen);
            }
            End::Crash { cut, seed } => {
                let after = cut_power(&self.world.fs, cut, seed);
                self.let_go();
                self.world = self.world.replaced(after);
                floor = self.oracle.durable;
                met(Met::Crash);
            }
        }
        if let Some(settings) = settings {
            if settings != self.settings {
                met(Met::ChangedSettings);
            }
            self.settings = settings;
        }
        match files::logs(&*self.world.fs) {
            0 => met(Met::EmptyLog),
            3.. => met(Met::ManyLogs),
            _ => {}
        }
        self.open_again()?;
        self.recognise(floor)?;
        self.held = Held::default();
        self.oracle.tidy();
        self.limbo.clear();
        self.adopt_keyspaces()?;
        let after = |e: String| format!("after opening again, {e}");
        self.check(true).map_err(after)?;
        self.verify().map_err(after)?;
        // It takes writes, and reads them.
        if !self.may_fail() {
            self.put(0, Key::Nasty(8), 28, None).map_err(after)?;
            let (tree, key) = (self.tree(0)?, Key::Nasty(8).bytes());
            compare::point(&self.oracle, &self.open.db, tree, &key, &self.oracle.now())
                .map_err(after)?;
        }
        Ok(())
    }

    /// Drops every handle of the store, which closes it, and all that was held.
    fn let_go(&mut self) {
        self.held = Held::default();
        self.stale.clear();
        // What takes the place of the store until it is open again: one that is closed already.
        self.open.spaces = Default::default();
        if let Ok(blank) = Db::in_memory(Settings::plain().options(Arc::new(MemFs::new()))) {
            self.open.db = blank;
        }
    }

    fn close(&mut self) -> Check {
        let other = self.open.db.clone();
        let closed = self.open.db.clone().close();
        let clean = closed.is_ok() && !self.limited && !self.broken && self.poisoned.is_none();
        if let Err(error) = closed {
            self.excuse("close", &error)?;
        }
        met(Met::CleanClose);
        self.after_close(&other)?;
        let readers =
            self.held.iters.iter().flatten().count() + self.held.cursors.iter().flatten().count();
        if clean {
            files::after_close(&*self.world.fs, readers > 0)?;
        }
        drop(other);
        self.let_go();
        Ok(())
    }

    /// Every call on a closed store says so; what is held open goes on or says so, and ends.
    fn after_close(&mut self, db: &Db) -> Check {
        let calls = [
            ("put", db.put("k", "never")),
            ("delete", db.delete("k")),
            ("get", db.get("k").map(|_| ())),
            ("contains_key", db.contains_key("k").map(|_| ())),
            ("iter", db.iter().next().transpose().map(|_| ())),
            ("cursor", db.cursor().first()),
            ("snapshot", db.snapshot().get("k").map(|_| ())),
            ("keyspace", db.keyspace("a").map(|_| ())),
            ("keyspaces", db.keyspaces().map(|_| ())),
            ("drop_keyspace", db.drop_keyspace("a")),
            ("flush", db.flush()),
            ("sync", db.sync()),
            ("compact", db.compact()),
            ("verify", db.verify().map(|_| ())),
            ("close", db.clone().close()),
        ];
        for (what, outcome) in calls {
            match outcome {
                Err(error) if error.kind() == ErrorKind::Closed => {}
                outcome => return Err(format!("{what} on a closed store: {outcome:?}")),
            }
        }
        met(Met::Closed);
        for held in self.held.iters.iter_mut().flatten().filter(|held| !held.ended) {
            match held.iter.next() {
                Some(Err(error)) if error.kind() == ErrorKind::Closed => {
                    if held.iter.next().is_some() {
                        return Err("an iterator went on behind Closed".to_owned());
                    }
                }
                Some(Err(error)) => return Err(failed("an iterator after close")(error)),
                Some(Ok((key, value))) => {
                    let pair = Some((&key[..], &value[..]));
                    held.span
                        .take(&self.oracle, false, pair)
                        .map_err(|e| format!("after close, an iterator answered {e}"))?;
                }
                None => {
                    held.span
                        .take(&self.oracle, false, None)
                        .map_err(|e| format!("after close, an iterator answered {e}"))?;
                }
            }
        }
        Ok(())
    }

    /// Opens what is on the disk; a full disk may keep it from that until there is room.
    fn open_again(&mut self) -> Check {
        self.world.mend();
        self.broken = false;
        let options = || self.settings.options(self.world.seam());
        let opened = match Db::open(DIR, options()) {
            Err(error) if error.kind() == ErrorKind::NoSpace && self.limited => {
                met(Met::OpenOnFullDisk);
                self.world.fs.set_capacity(u64::MAX);
                Db::open(DIR, options())
            }
            opened => opened,
        };
        // The disk may still be full; then calls go on failing.
        self.limited = self.world.fs.free_space(super::world::World::dir()).unwrap_or(0) < 1 << 40;
        self.poisoned = None;
        self.open.db = opened.map_err(failed("opening again"))?;
        Ok(())
    }

    /// Finds the write behind which the store was found; every acknowledged one at least up to
    /// `floor`, and none behind a hole.
    fn recognise(&mut self, floor: u64) -> Check {
        let dump = files::dump(&self.open.db)?;
        let newest = self.oracle.seq;
        let Err(why) = self.agree(&dump, &self.oracle.now()) else { return Ok(()) };
        for write in std::mem::take(&mut self.limbo) {
            let mut with = self.oracle.clone();
            with.commit(&write, 0);
            let moment = with.now();
            let old = std::mem::replace(&mut self.oracle, with);
            if self.agree(&dump, &moment).is_ok() {
                met(Met::FailedWriteSurvived);
                return Ok(());
            }
            self.oracle = old;
        }
        for seq in (floor..newest).rev() {
            if self.agree(&dump, &self.oracle.at(seq)).is_ok() {
                self.oracle.cut(seq);
                met(Met::CrashLost);
                return Ok(());
            }
        }
        let because = match (floor..newest).next() {
            None => String::new(),
            Some(_) => match self.agree(&dump, &self.oracle.at(floor)) {
                Err(why) => format!("; behind {floor}: {why}"),
                Ok(()) => String::new(),
            },
        };
        Err(format!(
            "the store found is the state behind no write from {floor} to {newest}; behind \
             {newest}: {why}{because}"
        ))
    }

    fn adopt_keyspaces(&mut self) -> Check {
        let db = &self.open.db;
        let mut spaces: [_; 2 + NAMED] = Default::default();
        for (space, name) in NAMES.iter().enumerate().skip(1) {
            if self.oracle.tree(space, self.oracle.seq).is_some() {
                spaces[space] = Some(db.keyspace(name).map_err(failed("keyspace"))?);
            }
        }
        spaces[1 + NAMED] = Some(db.keyspace("").map_err(failed("keyspace"))?);
        self.open = Open { db: db.clone(), spaces };
        Ok(())
    }
}

/// The disk after a power cut.
fn cut_power(fs: &MemFs, cut: Cut, seed: u64) -> MemFs {
    match cut {
        Cut::Nothing => fs.crash(),
        Cut::Everything => fs.crash_with(&mut |_| true),
        Cut::Some(percent) => {
            let mut rng = Rng::new(seed);
            fs.crash_with(&mut |_| rng.chance(usize::from(percent)))
        }
        Cut::Policy(n) => {
            let policy = CutPolicy::ALL.get(usize::from(n) % CutPolicy::ALL.len().max(1));
            policy.map_or_else(|| fs.crash(), |policy| fs.power_cut(*policy, seed))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::oracle::Effect;

    #[test]
    fn a_write_that_is_lost_although_it_was_synced_is_noticed() {
        let mut run = Run::begin(Settings { sync_on_write: true, ..Settings::plain() }).unwrap();
        run.put(0, Key::Hot(1), 40, None).unwrap();
        let tree = run.tree(0).unwrap();
        let phantom = Effect::Delete { tree, key: Key::Hot(1).bytes() };
        run.oracle.commit(&[phantom], 0);
        run.oracle.durable = run.oracle.seq;
        let end = End::Crash { cut: Cut::Nothing, seed: 1 };
        assert!(run.reopen(end, None).is_err());
    }
}
