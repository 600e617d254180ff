//! What each target takes as whole: files that the engine itself makes, small ones with everything
//! in them.

use super::bytes::put_part;
use super::dir::{self, Files, key_name};
use super::log::{CHAIN, CHECKSUMS, PLACES};
use super::{Target, block, lengths};
use kv_core::{Batch, hash64};
use kv_engine::{Compression, Db, Options};
use kv_index::{Desc, Null, Tuple};
use kv_sstable::FilterBuilder;
use kv_vfs::{Fs, ManualClock, MemFs};
use std::sync::Arc;

type Inputs = Result<Vec<Vec<u8>>, String>;

/// Inputs that the target takes as whole.
pub fn corpus(target: Target) -> Inputs {
    match target {
        Target::Log => logs(),
        Target::Manifest => manifests(),
        Target::Table => tables(),
        Target::Block => blocks(),
        Target::Filter => Ok(filters()),
        Target::Batch => Ok(batches()),
        Target::Lengths => declared_lengths(),
        Target::Tuple => Ok(tuples()),
        Target::Dir => stores(),
        Target::Operations => Ok(scripts()),
    }
}

fn behind(flags: u8, bytes: &[u8]) -> Vec<u8> {
    let mut input = vec![flags];
    input.extend_from_slice(bytes);
    input
}

/// A store of three shapes: small, with more logs, with more levels; the first closed, the others
/// as a kill leaves them, or closed as well.
fn store(shape: usize, closed: bool) -> Result<Files, String> {
    let fs = Arc::new(MemFs::with_clock(Arc::new(ManualClock::new())));
    let options = Options::default()
        .file_system(Arc::clone(&fs) as Arc<dyn Fs>)
        .write_buffer(4 << 10)
        .table_size(4 << 10)
        .block_size(512)
        .compression(if shape == 1 { Compression::Snappy } else { Compression::Lz4 })
        .background_threads(1);
    let db = Db::open("/db", options).map_err(|e| e.to_string())?;
    let fill = || -> kv_engine::Result<()> {
        for round in 0..=shape as u8 {
            for n in 0..24u8 {
                db.put(key_name(n), vec![n ^ round; usize::from(n) * 6])?;
            }
            db.delete(key_name(round))?;
            db.delete_range(key_name(20)..key_name(22))?;
            db.put_with_ttl("expiring", "soon", std::time::Duration::from_secs(3600))?;
            db.flush()?;
        }
        if shape == 2 {
            db.keyspace("other")?.put("a", "b")?;
            db.compact()?;
        }
        for n in 0..6u8 {
            db.put(key_name(n), [n; 20])?;
        }
        Ok(())
    };
    fill().map_err(|e| e.to_string())?;
    if closed || shape == 0 {
        db.close().map_err(|e| e.to_string())?;
        return dir::contents(&fs);
    }
    // What a kill leaves: the store is still open when the copy is made.
    let files = dir::contents(&fs.crash_with(&mut |_| true))?;
    db.close().map_err(|e| e.to_string())?;
    Ok(files.into_iter().map(|(name, bytes)| (name, without_space(bytes))).collect())
}

/// Reserved space is cut down, so that the files stay small.
fn without_space(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
    bytes.truncate(bytes.len().min(end + 64));
    bytes
}

fn files_of(closed: bool, ending: impl Fn(&str) -> bool) -> Inputs {
    let mut found = Vec::new();
    for shape in 0..3 {
        let files = store(shape, closed)?.into_iter().filter(|(name, _)| ending(name));
        found.extend(files.map(|(_, bytes)| without_space(bytes)));
    }
    Ok(found)
}

fn logs() -> Inputs {
    use kv_wal::{Error, Log, LogOptions, Segment};
    let mut inputs = Vec::new();
    for clean in [false, true] {
        let fs = MemFs::volatile();
        let path = |n: u64| std::path::PathBuf::from(format!("/{n:06}.log"));
        let make = |n| Segment::create(&fs, &path(n), n);
        let fill = || -> Result<(), Error> {
            let log = Log::start(make(3)?, None, 1, LogOptions { allocation_chunk: 64 })?;
            for n in 0..18u8 {
                let mut batch = Batch::new();
                for key in 0..=n % 3 {
                    batch.put(&[n, key], &vec![key; usize::from(n) * 9]);
                }
                let count = u64::from(n % 3) + 1;
                let (at, ()) = log.append(count, &[batch.as_bytes()], |_| Ok::<_, Error>(()))?;
                match n % 4 {
                    0 => log.sync_to(at.position)?,
                    _ => log.write_to(at.position)?,
                }
                if n % 6 == 5 && n < 17 {
                    log.roll(make(4 + u64::from(n) / 6)?, |_| ())?;
                }
            }
            if clean { log.finish() } else { Ok(()) }
        };
        fill().map_err(|e| e.to_string())?;
        let mut input = vec![CHECKSUMS | PLACES | CHAIN];
        for n in 3..6 {
            put_part(&mut input, &without_space(read(&fs, &path(n))?));
        }
        inputs.push(input);
    }
    Ok(inputs)
}

fn read(fs: &MemFs, path: &std::path::Path) -> Result<Vec<u8>, String> {
    use kv_vfs::FsFileExt;
    let bytes = fs.open(path, kv_vfs::Mode::Read).and_then(|file| {
        let mut bytes = vec![0; file.len()? as usize];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    });
    bytes.map_err(|e| e.to_string())
}

fn manifests() -> Inputs {
    let found = files_of(false, |name| name.starts_with("MANIFEST-"))?;
    Ok(found.iter().map(|bytes| behind(CHECKSUMS | PLACES, bytes)).collect())
}

fn tables() -> Inputs {
    // In a store that is still open a merge may be writing a table.
    let mut found = files_of(true, |name| name.ends_with(".sst"))?;
    found.truncate(6);
    for compression in [Compression::None, Compression::Lz4, Compression::Snappy] {
        found.push(block::small(compression)?);
    }
    Ok(found.iter().map(|bytes| behind(CHECKSUMS, bytes)).collect())
}

fn blocks() -> Inputs {
    let payloads = block::template()?;
    let inputs = payloads.iter().enumerate().map(|(section, payload)| {
        let mut input = vec![section as u8, 0];
        input.extend_from_slice(payload);
        input
    });
    Ok(inputs.collect())
}

fn filters() -> Vec<Vec<u8>> {
    let filter = |keys: u64, bits| {
        let mut builder = FilterBuilder::new(bits);
        (0..keys).for_each(|n| builder.add(hash64(&n.to_le_bytes())));
        builder.finish()
    };
    vec![filter(0, 10.0), filter(1, 10.0), filter(64, 10.0), filter(64, 3.0), filter(100, 20.0)]
}

fn batches() -> Vec<Vec<u8>> {
    let mut batch = Batch::new();
    batch.put(b"", b"");
    batch.delete(b"key");
    batch.delete_range(b"a", b"b");
    batch.put_expiring(&[b"key"], b"value", 9);
    batch.put(&[7; 300], &[8; 200]);
    let mut small = Batch::new();
    small.put(b"key", b"value");
    vec![batch.as_bytes().to_vec(), small.as_bytes().to_vec(), Batch::new().as_bytes().to_vec()]
}

fn declared_lengths() -> Inputs {
    let mut numbers = vec![0];
    for number in [0u64, 1, 127, 128, 300, 1 << 32, u64::MAX] {
        kv_core::put_varint(&mut numbers, number);
    }
    let mut parts = vec![0];
    for len in [0usize, 1, 200] {
        kv_core::put_varint(&mut parts, len as u64);
        parts.extend(std::iter::repeat_n(7, len));
    }
    let data = block::template()?.into_iter().next().unwrap_or_default();
    let declared = data.len() as u32;
    let lz4 = lz4_flex::block::compress(&data);
    let snappy = snap::raw::Encoder::new().compress_vec(&data).map_err(|e| e.to_string())?;
    Ok(vec![numbers, parts, lengths::bomb(1, declared, &lz4), lengths::bomb(2, declared, &snappy)])
}

fn stores() -> Inputs {
    let scripts: [&[u8]; 3] = [
        &[4, 0, 5, 0, 0, 3, 2, 4, 6, 0, 9, 5, 7, 0, 4, 0],
        &[0, 1, 2, 1, 10, 9, 11, 0, 4, 0, 8, 2, 5, 0, 6, 0, 7, 0],
        &[9, 3, 9, 9, 2, 200, 2, 250, 2, 240, 6, 0, 11, 0, 7, 0, 5, 0],
    ];
    let inputs = (0..3).map(|n| {
        let script = scripts.get(n).copied().unwrap_or_default();
        Ok(dir::input(dir::ALL, script, &store(n, false)?))
    });
    inputs.collect()
}

fn scripts() -> Vec<Vec<u8>> {
    let mut mixed = vec![0];
    for n in 0..96u8 {
        mixed.extend_from_slice(&[n.wrapping_mul(7), n.wrapping_mul(13)]);
    }
    let writes = [1, 0, 1, 16, 2, 0, 3, 13, 1, 0, 4, 13, 0, 9, 0, 14, 0].to_vec();
    let cuts = [4, 0, 200, 1, 201, 16, 202, 2, 203, 10, 0, 13, 1, 11, 0, 13, 0, 12, 0].to_vec();
    vec![mixed, writes, cuts]
}

/// Two of every kind of value, next to each other in their order and far from it.
fn tuples() -> Vec<Vec<u8>> {
    let inner = || Tuple::of((1_u8, "in\0side"));
    let all = [
        Tuple::of((Null, false, true)),
        Tuple::of((i64::MIN, -1_i8, 0_u8, 255_u16, u64::MAX)),
        Tuple::of((Desc(i64::MIN), Desc(1_i32), i128::MAX)),
        Tuple::of((f64::NEG_INFINITY, -0.0, 1.5_f64, Desc(f64::NAN))),
        Tuple::of(("", "te\0xt", Desc("te\0xt"))),
        Tuple::of((b"\0\xFF".as_slice(), Desc(b"\xFF\0".as_slice()))),
        inner(),
        nested(&inner()),
        nested(&nested(&inner())),
    ];
    let pair = |a: &Tuple, b: &Tuple| {
        let mut input = Vec::new();
        put_part(&mut input, a.as_bytes());
        input.extend_from_slice(b.as_bytes());
        input
    };
    let neighbours = all.iter().zip(all.iter().skip(1)).map(|(a, b)| pair(a, b));
    neighbours.chain(all.iter().map(|tuple| pair(tuple, tuple))).collect()
}

fn nested(inner: &Tuple) -> Tuple {
    let mut outer = Tuple::of("around");
    if outer.push_tuple(inner).is_err() {
        return Tuple::new();
    }
    outer
}
