//! RocksDB.

use crate::transactions::{OnlyUpdates, Update};
use anyhow::Result;
use kv_benches::seen::Seen;
use kv_benches::store::{Direction, Engine, Session, Settings, Store};
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, DBRawIterator, ErrorKind,
    OptimisticTransactionDB, OptimisticTransactionOptions, Options, ReadOptions,
    WaitForCompactOptions, WriteBatch, WriteOptions,
};
use std::path::Path;

/// As its own guide to tuning would have it for this machine and these sizes.
pub(crate) struct Rocks;

/// Level 0 as it is, the levels below in LZ4: what the other engines with levels do.
const COMPRESSION: [DBCompressionType; 7] = {
    let lz4 = DBCompressionType::Lz4;
    [DBCompressionType::None, lz4, lz4, lz4, lz4, lz4, lz4]
};

fn options(settings: &Settings) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&Cache::new_hyper_clock_cache(settings.cache_bytes as usize, 0));
    table.set_bloom_filter(10.0, false);
    table.set_whole_key_filtering(true);
    table.set_format_version(6);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&table);
    options.set_compression_per_level(&COMPRESSION);
    options.set_write_buffer_size(settings.write_buffer_bytes as usize);
    options.set_max_write_buffer_number(3);
    options.set_max_background_jobs(2);
    options.set_enable_pipelined_write(true);
    options.set_memtable_whole_key_filtering(true);
    options.set_memtable_prefix_bloom_ratio(0.02);
    options.set_max_total_wal_size(settings.log_limit_bytes);
    options
}

impl Engine for Rocks {
    fn name(&self) -> &str {
        "rocksdb"
    }

    fn version(&self) -> String {
        "10.4.2 (crate rocksdb 0.24.0)".to_owned()
    }

    fn options(&self, settings: &Settings) -> String {
        format!(
            "sync {}, write_buffer_size {}, max_write_buffer_number 3, HyperClockCache {}, filter and \
             index blocks outside of it, Bloom filter of 10 bits over whole keys, LZ4 below level 0, \
             max_background_jobs 2, pipelined writes, memtable filter ratio 0.02, format_version 6, \
             max_total_wal_size {}, all else default; get_pinned, one ReadOptions and one raw iterator \
             for each thread; transactions: OptimisticTransactionDB, get_pinned_for_update",
            settings.sync,
            settings.write_buffer_bytes,
            settings.cache_bytes,
            settings.log_limit_bytes
        )
    }

    fn open(&self, dir: &Path, settings: &Settings) -> Result<Box<dyn Store>> {
        if settings.transactions {
            let db = OptimisticTransactionDB::open(&options(settings), dir)?;
            return Ok(Box::new(Transactions { db, sync: settings.sync }));
        }
        let db = DB::open(&options(settings), dir)?;
        Ok(Box::new(RocksStore { db, sync: settings.sync }))
    }
}

struct RocksStore {
    db: DB,
    sync: bool,
}

impl Store for RocksStore {
    fn session(&self) -> Result<Box<dyn Session + '_>> {
        let mut write = WriteOptions::default();
        write.set_sync(self.sync);
        Ok(Box::new(RocksSession {
            db: &self.db,
            write,
            read: ReadOptions::default(),
            iterator: None,
        }))
    }

    fn flush(&self) -> Result<()> {
        Ok(self.db.flush()?)
    }

    fn settle(&self) -> Result<()> {
        Ok(self.db.wait_for_compact(&WaitForCompactOptions::default())?)
    }

    fn compact(&self) -> Result<()> {
        self.db.compact_range(None::<&[u8]>, None::<&[u8]>);
        self.settle()
    }

    /// Its own counters need its statistics, which would slow it down.
    fn bytes_written(&self) -> Option<u64> {
        None
    }

    /// Closing it does not write its memtable out; this does, so that opening it is as cheap as it
    /// can be.
    fn close(self: Box<Self>) -> Result<()> {
        self.db.flush()?;
        self.db.cancel_all_background_work(true);
        Ok(())
    }
}

struct RocksSession<'a> {
    db: &'a DB,
    write: WriteOptions,
    read: ReadOptions,
    /// Kept until the next refresh.
    iterator: Option<DBRawIterator<'a>>,
}

impl Session for RocksSession<'_> {
    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        Ok(self.db.put_opt(key, value, &self.write)?)
    }

    fn put_batch(&mut self, pairs: &[(&[u8], &[u8])]) -> Result<()> {
        // The binding takes batches by value, so none can be used again.
        let mut batch = WriteBatch::default();
        for (key, value) in pairs {
            batch.put(key, value);
        }
        Ok(self.db.write_opt(batch, &self.write)?)
    }

    fn delete(&mut self, key: &[u8]) -> Result<()> {
        Ok(self.db.delete_opt(key, &self.write)?)
    }

    fn delete_range(&mut self, start: &[u8], end: &[u8]) -> Result<()> {
        let mut batch = WriteBatch::default();
        batch.delete_range(start, end);
        Ok(self.db.write_opt(batch, &self.write)?)
    }

    fn get(&mut self, key: &[u8], seen: &mut Seen) -> Result<bool> {
        let value = self.db.get_pinned_opt(key, &self.read)?;
        if let Some(value) = &value {
            seen.add(key, value);
        }
        Ok(value.is_some())
    }

    fn scan(
        &mut self,
        from: Option<&[u8]>,
        direction: Direction,
        limit: u64,
        seen: &mut Seen,
    ) -> Result<u64> {
        let iterator = self.iterator.get_or_insert_with(|| self.db.raw_iterator());
        match (from, direction) {
            (Some(key), Direction::Forward) => iterator.seek(key),
            (Some(key), Direction::Backward) => iterator.seek_for_prev(key),
            (None, Direction::Forward) => iterator.seek_to_first(),
            (None, Direction::Backward) => iterator.seek_to_last(),
        }
        let mut count = 0;
        while count < limit {
            let Some((key, value)) = iterator.item() else { break };
            seen.add(key, value);
            count += 1;
            if count == limit {
                break;
            }
            match direction {
                Direction::Forward => iterator.next(),
                Direction::Backward => iterator.prev(),
            }
        }
        if count < limit {
            iterator.status()?;
        }
        Ok(count)
    }

    fn refresh(&mut self) -> Result<()> {
        self.iterator = None;
        Ok(())
    }
}

/// Its database of optimistic transactions. They know of memtables only what is newer than they
/// are; opening it sets how many are kept for that.
struct Transactions {
    db: OptimisticTransactionDB,
    sync: bool,
}

impl Store for Transactions {
    fn session(&self) -> Result<Box<dyn Session + '_>> {
        let mut write = WriteOptions::default();
        write.set_sync(self.sync);
        let read = ReadOptions::default();
        let begin = OptimisticTransactionOptions::default();
        Ok(Box::new(OnlyUpdates(Transactor { db: &self.db, write, read, begin })))
    }

    fn flush(&self) -> Result<()> {
        Ok(self.db.flush()?)
    }

    fn settle(&self) -> Result<()> {
        Ok(self.db.wait_for_compact(&WaitForCompactOptions::default())?)
    }

    fn compact(&self) -> Result<()> {
        self.db.compact_range(None::<&[u8]>, None::<&[u8]>);
        self.settle()
    }

    fn bytes_written(&self) -> Option<u64> {
        None
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.db.flush()?;
        self.db.cancel_all_background_work(true);
        Ok(())
    }
}

struct Transactor<'a> {
    db: &'a OptimisticTransactionDB,
    write: WriteOptions,
    read: ReadOptions,
    begin: OptimisticTransactionOptions,
}

impl Update for Transactor<'_> {
    /// A read for update is checked at the commit: nobody has written the key since. That makes
    /// transactions without ranges serializable, and needs no snapshot.
    fn update(&mut self, pairs: &[(&[u8], &[u8])], seen: &mut Seen) -> Result<bool> {
        let transaction = self.db.transaction_opt(&self.write, &self.begin);
        for (key, value) in pairs {
            if let Some(held) = transaction.get_pinned_for_update_opt(key, true, &self.read)? {
                seen.add(key, &held);
            }
            transaction.put(key, value)?;
        }
        match transaction.commit() {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.kind(), ErrorKind::Busy | ErrorKind::TryAgain) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
