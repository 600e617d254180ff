//! The public face of the store as two traits, so that the default keyspace, a named one and a
//! snapshot are read and written by the same code.

use super::oracle::{End, as_slice};
use kv_engine::{Bytes, Cursor, Db, Durability, Iter, Keyspace, Result, Snapshot, WriteBatch};
use std::time::Duration;

/// What can be read.
pub(super) trait Reads {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>>;
    fn contains_key(&self, key: &[u8]) -> Result<bool>;
    fn iter(&self) -> Iter;
    fn range(&self, from: &End, to: &End) -> Iter;
    fn prefix(&self, prefix: &[u8]) -> Iter;
    fn cursor(&self) -> Cursor;
}

/// What can be written.
pub(super) trait Writes: Reads {
    fn put(&self, key: &[u8], value: &[u8]) -> Result<()>;
    fn put_with_ttl(&self, key: &[u8], value: &[u8], ttl: Duration) -> Result<()>;
    fn delete(&self, key: &[u8]) -> Result<()>;
    fn delete_range(&self, from: &End, to: &End) -> Result<()>;
    fn write(&self, batch: WriteBatch, durability: Option<Durability>) -> Result<()>;
}

macro_rules! reads {
    ($($type:ty),*) => {$(
        impl Reads for $type {
            fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
                <$type>::get(self, key)
            }
            fn contains_key(&self, key: &[u8]) -> Result<bool> {
                <$type>::contains_key(self, key)
            }
            fn iter(&self) -> Iter {
                <$type>::iter(self)
            }
            fn range(&self, from: &End, to: &End) -> Iter {
                <$type>::range::<&[u8]>(self, borrowed(from, to))
            }
            fn prefix(&self, prefix: &[u8]) -> Iter {
                <$type>::prefix(self, prefix)
            }
            fn cursor(&self) -> Cursor {
                <$type>::cursor(self)
            }
        }
    )*};
}

macro_rules! writes {
    ($($type:ty),*) => {$(
        impl Writes for $type {
            fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
                <$type>::put(self, key, value)
            }
            fn put_with_ttl(&self, key: &[u8], value: &[u8], ttl: Duration) -> Result<()> {
                <$type>::put_with_ttl(self, key, value, ttl)
            }
            fn delete(&self, key: &[u8]) -> Result<()> {
                <$type>::delete(self, key)
            }
            fn delete_range(&self, from: &End, to: &End) -> Result<()> {
                <$type>::delete_range::<&[u8]>(self, borrowed(from, to))
            }
            fn write(&self, batch: WriteBatch, durability: Option<Durability>) -> Result<()> {
                match durability {
                    Some(durability) => <$type>::write_with(self, batch, durability),
                    None => <$type>::write(self, batch),
                }
            }
        }
    )*};
}

reads!(Db, Keyspace, Snapshot);
writes!(Db, Keyspace);

type Slices<'a> = (std::ops::Bound<&'a [u8]>, std::ops::Bound<&'a [u8]>);

fn borrowed<'a>(from: &'a End, to: &'a End) -> Slices<'a> {
    (as_slice(from), as_slice(to))
}
