//! Ordered reads: from a view and a moment to iterators and cursors that own what they read.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::limits::StoredRange;
use crate::read::cursor::Cursor;
use crate::read::iter::Iter;
use crate::read::level::{Files, LevelCursor, OpenTable};
use crate::read::merge::Merge;
use crate::read::source::Source;
use crate::read::view::View;
use crate::read::visible::{Sight, Visible};
use crate::snapshot::Moment;
use crate::space::Space;
use crate::tables::Tables;
use bytes::Bytes;
use kv_core::RangeTombstones;
use kv_manifest::LEVELS;
use kv_sstable::Access;
use std::ops::RangeBounds;
use std::sync::Arc;

/// Everything that an ordered read needs, and nothing that ends with the store.
#[derive(Clone)]
struct Reader {
    view: Arc<View>,
    tables: Arc<Tables>,
    moment: Moment,
    start: Bytes,
    end: Bytes,
}

impl Reader {
    /// A cursor over the entries that the reader sees; `eager` reads long values on the way.
    fn open(self, eager: bool) -> Result<Visible<Merge<Source>>> {
        let merge = Merge::new(self.sources()?);
        let tombstones = self.tombstones()?;
        let visible = Visible::new(
            merge,
            Sight {
                snapshot: self.moment.seq,
                now_ms: self.moment.now_ms,
                tombstones,
                lower: Some(self.start),
                upper: Some(self.end),
            },
        );
        let version = Arc::clone(&self.view.version);
        Ok(visible.reading(Arc::clone(self.tables.values()), version, eager))
    }

    /// The sources that can hold a key of the range, newest first.
    fn sources(&self) -> Result<Vec<Source>> {
        let version = &self.view.version;
        let levels = (1..LEVELS).filter(|&level| !version.level(level).is_empty());
        let runs = version.level(0).len() + levels.clone().count();
        let mut sources = Vec::with_capacity(1 + self.view.sealed.len() + runs);
        for buffer in self.view.buffers().filter(|buffer| !buffer.table.is_empty()) {
            sources.push(Source::mem(buffer.table.cursor()));
        }
        for meta in version.level(0) {
            if !meta.ends_before(&self.start) && meta.smallest < self.end {
                let table = self.tables.get(meta)?;
                sources.push(Source::table(table.cursor(Access::Cached), meta.max_seq));
            }
        }
        for level in levels {
            let version = Arc::clone(version);
            let files = Files::within(version, level, &self.start, &self.end);
            if !files.is_empty() {
                let opener = Arc::clone(&self.tables) as Arc<dyn OpenTable>;
                sources.push(Source::level(LevelCursor::new(files, opener, Access::Cached)));
            }
        }
        Ok(sources)
    }

    /// The range tombstones that the reader sees, `None` where there are none.
    fn tombstones(&self) -> Result<Option<Arc<RangeTombstones>>> {
        let of_tables = match self.view.tables_delete_ranges {
            true => Some(self.table_tombstones()?),
            false => None,
        };
        let of_buffers = self.view.buffer_tombstones(self.moment.seq);
        if of_buffers.is_empty() {
            return Ok(of_tables);
        }
        let tables = of_tables.iter().flat_map(|set| set.iter());
        Ok(Some(Arc::new(RangeTombstones::new(of_buffers.into_iter().chain(tables)))))
    }

    /// The range tombstones of the view's tables, joined once and kept with the view.
    fn table_tombstones(&self) -> Result<Arc<RangeTombstones>> {
        if let Some(joined) = self.view.table_tombstones.get() {
            return Ok(Arc::clone(joined));
        }
        let mut all = Vec::new();
        for (_, meta) in self.view.version.files() {
            if meta.range_tombstones == 0 {
                continue;
            }
            all.extend(self.tables.get(meta)?.range_tombstones()?.iter());
        }
        let joined = Arc::new(RangeTombstones::new(all));
        Ok(Arc::clone(self.view.table_tombstones.get_or_init(|| joined)))
    }
}

impl Engine {
    fn reader(
        &self,
        space: &Space,
        range: StoredRange,
        moment: Option<Moment>,
    ) -> Result<Option<Reader>> {
        self.check_readable(space, moment)?;
        if range.is_empty() {
            return Ok(None);
        }
        let (view, seq) = self.now();
        view.note_cursor();
        let moment = moment.unwrap_or_else(|| Moment { seq, now_ms: self.now_ms() });
        Ok(Some(Reader {
            view,
            tables: Arc::clone(&self.tables),
            moment,
            start: range.start.into(),
            end: range.end.into(),
        }))
    }

    /// All pairs of a keyspace.
    pub(crate) fn iter(&self, space: &Space, moment: Option<Moment>) -> Iter {
        self.prefix(space, &[], moment)
    }

    /// The pairs in a range of user keys.
    pub(crate) fn range<K: AsRef<[u8]>>(
        &self,
        space: &Space,
        range: &impl RangeBounds<K>,
        moment: Option<Moment>,
    ) -> Iter {
        self.pairs(space, StoredRange::new(&space.prefix, range), moment)
    }

    /// The pairs whose user keys begin with `prefix`.
    pub(crate) fn prefix(&self, space: &Space, prefix: &[u8], moment: Option<Moment>) -> Iter {
        self.pairs(space, StoredRange::with_prefix(&space.prefix, prefix), moment)
    }

    /// The pairs in a range of stored keys.
    pub(crate) fn pairs(&self, space: &Space, range: StoredRange, moment: Option<Moment>) -> Iter {
        match self.reader(space, range, moment) {
            Ok(Some(reader)) => {
                Iter::new(space.prefix.len(), Box::new(move || reader.clone().open(false)))
            }
            Ok(None) => Iter::empty(),
            Err(error) => Iter::failed(error),
        }
    }

    /// A cursor over a keyspace.
    pub(crate) fn cursor(&self, space: &Space, moment: Option<Moment>) -> Cursor {
        let range = StoredRange::with_prefix(&space.prefix, &[]);
        let opened = self.reader(space, range, moment).and_then(|reader| match reader {
            Some(reader) => {
                let seeks = reader.view.seeks();
                // A cursor's value is asked for where no error can be told any more.
                Ok((reader.open(true)?, seeks))
            }
            None => Err(Error::closed()),
        });
        match opened {
            Ok((inner, seeks)) => Cursor::new(inner, seeks, &space.prefix, &self.latencies),
            Err(error) => Cursor::failed(error),
        }
    }
}
