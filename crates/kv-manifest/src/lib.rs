//! kv-manifest
