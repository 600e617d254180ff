//! kv-memtable
