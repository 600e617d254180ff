//! How much a store with a limit on its disk may still be given, as pure functions of what it holds.
//!
//! Beside what is there, room is kept for what has to be written without anybody asking: every
//! memtable as tables, and the merge that wins space back. Puts leave that and a part for deletes;
//! deletes leave the room for merges as long as waiting helps; flushes and merges use what was kept.

/// What a store holds, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    /// Tables and value files, dead ones and logs for consumers with them.
    pub(crate) files: u64,
    /// Logs of memtables that wait to be written out.
    pub(crate) logs: u64,
    /// The most that the flushes of those write.
    pub(crate) unflushed: u64,
    /// Records of the manifest.
    pub(crate) manifest: u64,
    /// The biggest step by which a log takes space.
    pub(crate) log_step: u64,
    /// All tables of the version, those of level 0, and those of the level that it is merged into.
    pub(crate) tables: u64,
    pub(crate) level0: u64,
    pub(crate) base: u64,
    /// Live bytes in value files, and in that with the most.
    pub(crate) values: u64,
    pub(crate) largest_values: u64,
    /// The size of tables below level 0.
    pub(crate) table_size: u64,
}

/// Below level 0 there are merges of no more tables than these; of values, one moves at most as many
/// bytes as those tables hold, and one file more.
const TABLES_PER_MERGE: u64 = 16;
const TABLES_OF_VALUES: u64 = 8;
/// What a table takes beside its entries: a part of them, and so much.
const TABLE_PART: u64 = 8;
const TABLE_BYTES: u64 = 1 << 10;
/// Tables that are begun and not filled: work is cut into slices, one for each thread.
const TABLES_BEGUN: u64 = 4;
/// Logs that may have space ahead of their records: two that wait, and the one in use.
const LOGS: u64 = 3;
/// Deletes may use this part of the limit, which other writes may not; and they leave this part, for
/// those that come before a memtable of them is flushed.
const DELETES_PART: u64 = 16;
const LAST_PART: u64 = 128;
/// The lock, `CURRENT`, and what a manifest begins with.
const SMALL_FILES: u64 = 16 << 10;
/// The part of a small limit that logs, manifest and small files count for at most.
const FIXED_PART: u64 = 4;

/// The most bytes of tables of this size that hold entries of so many bytes.
pub(crate) fn written(bytes: u64, table_size: u64) -> u64 {
    if bytes == 0 {
        return 0;
    }
    let tables = (bytes / table_size.max(1)).saturating_add(TABLES_BEGUN);
    bytes.saturating_add(bytes / TABLE_PART).saturating_add(tables.saturating_mul(TABLE_BYTES))
}

/// What the store takes, with what is written of its sealed memtables.
pub(crate) fn taken(limit: u64, held: &Held) -> u64 {
    // A manifest takes space ahead, and a new one is written beside it.
    let manifest = held.manifest.saturating_mul(3).saturating_add(SMALL_FILES);
    let fixed = held.log_step.saturating_mul(LOGS).saturating_add(manifest);
    let fixed = fixed.min(limit / FIXED_PART);
    [held.logs, held.unflushed, fixed].iter().fold(held.files, |a, b| a.saturating_add(*b))
}

/// What is kept for the merges to come, before anything goes that they read.
pub(crate) fn reserve(held: &Held) -> u64 {
    // What is flushed is merged next.
    let level0 = held.level0.saturating_add(held.unflushed);
    let down = level0.saturating_add(held.base);
    let deep = held.table_size.saturating_mul(TABLES_PER_MERGE);
    let tables = held.tables.saturating_add(held.unflushed);
    let merge = down.max(deep).min(tables);
    let moved = held.table_size.saturating_mul(TABLES_OF_VALUES);
    let moved = moved.saturating_add(held.largest_values).min(held.values);
    written(merge, held.table_size).saturating_add(written(moved, held.table_size))
}

/// A write that is to be admitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// What the store takes: [`taken`].
    pub(crate) taken: u64,
    /// What is kept for merges, or what those under way may still write, if that is more.
    pub(crate) reserve: u64,
    /// The memtable in use, with the write: its log, and the most that its flush writes.
    pub(crate) logged: u64,
    pub(crate) unflushed: u64,
}

/// Whether a write fits that leaves room for merges, and, unless it only deletes, for deletes.
pub(crate) fn fits(limit: u64, asked: &Asked, deletes: bool) -> bool {
    let kept = limit / if deletes { LAST_PART } else { DELETES_PART };
    // In its log, in the tables of its flush, and in the merge of those.
    let parts = [asked.reserve, asked.logged, asked.unflushed, asked.unflushed, kept];
    parts.iter().fold(asked.taken, |a, b| a.saturating_add(*b)) <= limit
}

/// Whether a delete fits where no merge is to be expected that would need room.
pub(crate) fn fits_barely(limit: u64, asked: &Asked) -> bool {
    let parts = [asked.logged, asked.unflushed];
    parts.iter().fold(asked.taken, |a, b| a.saturating_add(*b)) <= limit
}

/// The bytes that another merge may write beside those under way, which may still write `promised`.
pub(crate) fn room(limit: u64, asked: &Asked, promised: u64) -> u64 {
    let parts = [asked.logged, asked.unflushed, promised];
    limit.saturating_sub(parts.iter().fold(asked.taken, |a, b| a.saturating_add(*b)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    const KIB: u64 = 1 << 10;

    /// Lines of `name=KiB ...`, and what may be written then: see `data/room.txt`.
    fn answer(line: &str) -> String {
        let mut held = Held { table_size: 32, log_step: 16, ..Held::default() };
        let (mut limit, mut logged, mut unflushed, mut promised) = (0, 0, 0, 0);
        for word in line.split_whitespace() {
            let (name, number) = word.split_once('=').unwrap();
            let field = match name {
                "limit" => &mut limit,
                "files" => &mut held.files,
                "logs" => &mut held.logs,
                "sealed" => &mut held.unflushed,
                "manifest" => &mut held.manifest,
                "tables" => &mut held.tables,
                "level0" => &mut held.level0,
                "base" => &mut held.base,
                "values" => &mut held.values,
                "largest" => &mut held.largest_values,
                "table" => &mut held.table_size,
                "logged" => &mut logged,
                "unflushed" => &mut unflushed,
                "promised" => &mut promised,
                _ => panic!("{name}?"),
            };
            *field = number.parse().unwrap();
        }
        let all = [
            &mut held.files,
            &mut held.logs,
            &mut held.unflushed,
            &mut held.manifest,
            &mut held.log_step,
            &mut held.tables,
            &mut held.level0,
            &mut held.base,
            &mut held.values,
            &mut held.largest_values,
            &mut held.table_size,
            &mut limit,
            &mut logged,
            &mut unflushed,
            &mut promised,
        ];
        all.into_iter().for_each(|bytes| *bytes *= KIB);
        let (taken, reserve) = (taken(limit, &held), reserve(&held));
        let asked = Asked { taken, reserve: reserve.max(promised), logged, unflushed };
        let may = if fits(limit, &asked, false) {
            "puts"
        } else if fits(limit, &asked, true) {
            "deletes"
        } else if fits_barely(limit, &asked) {
            "deletes where nothing is merged"
        } else {
            "nothing"
        };
        let merge = room(limit, &asked, promised) / KIB;
        format!("taken {} kept {} merge {merge}: {may}", taken / KIB, reserve / KIB)
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "rewrites the expectations on demand")]
    fn writes_leave_room_for_flushes_and_merges() {
        let text = include_str!("data/room.txt");
        let mut seen = String::new();
        for line in text.lines() {
            match line.split_once(" -> ") {
                Some((question, _)) => writeln!(seen, "{question} -> {}", answer(question)),
                None => writeln!(seen, "{line}"),
            }
            .unwrap();
        }
        if std::env::var_os("REWRITE").is_some() {
            let file = format!("{}/src/write/data/room.txt", env!("CARGO_MANIFEST_DIR"));
            std::fs::write(file, &seen).unwrap();
        } else {
            assert_eq!(seen, text);
        }
    }

    #[test]
    fn nothing_overflows() {
        let all = u64::MAX;
        let held = Held { files: all, logs: all, values: all, tables: all, ..Held::default() };
        assert_eq!(taken(all, &held), all);
        let (taken, reserve) = (taken(all, &held), reserve(&held));
        let asked = Asked { taken, reserve, logged: all, unflushed: all };
        assert!(!fits(all - 1, &asked, true) && !fits_barely(all - 1, &asked));
        assert_eq!(room(all - 1, &asked, all), 0);
        assert_eq!(written(all, 0), all);
    }
}
