//! kv-sstable
