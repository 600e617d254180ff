//! kv-wal
