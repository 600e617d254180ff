//! One row by its columns, through an ordered index and through a hash index: which of them is the
//! better one for equality. `docs/design/indexes.md` has the figures.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on stops")]

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use kv_engine::{Db, Options};
use kv_index::{Hash, IndexSpec, Ordered, Row, Table, Tuple};
use std::hint::black_box;
use std::time::Duration;

const ROWS: u64 = 200_000;
/// Behind the column; the row is as long as other benchmarks' values then.
const REST: [u8; 40] = [b'r'; 40];

/// A column of so many bytes; long ones begin alike, as paths and addresses do.
fn column(n: u64, len: usize) -> Vec<u8> {
    let scattered = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut column = vec![b'/'; len - 8];
    column.extend_from_slice(&scattered.to_be_bytes());
    column
}

fn spec(kind: &str, len: usize) -> IndexSpec {
    let columns = move |row: Row<'_>, columns: &mut Tuple| {
        columns.push(row.value.get(..len)?);
        Some(())
    };
    match kind {
        "hash" => Hash::new("i", columns).into(),
        "unique" => Ordered::new("i", columns).unique().into(),
        _ => Ordered::new("i", columns).into(),
    }
}

/// A table with one index, written out and merged.
fn table(kind: &str, len: usize) -> (Db, Table) {
    let db = Db::in_memory(Options::default().sync_on_write(false)).unwrap();
    let table = Table::builder("t").index(spec(kind, len)).open(&db).unwrap();
    for rows in (0..ROWS).collect::<Vec<_>>().chunks(500) {
        table
            .transact(|tx| {
                rows.iter().try_for_each(|n| {
                    let row = [&column(*n, len)[..], &REST].concat();
                    table.within(tx).insert(n.to_be_bytes(), row)
                })
            })
            .unwrap();
    }
    db.flush().unwrap();
    db.compact().unwrap();
    (db, table)
}

fn equality(criterion: &mut Criterion) {
    for len in [8, 60] {
        let mut group = criterion.benchmark_group(format!("index get, {len} bytes"));
        for kind in ["ordered", "unique", "hash"] {
            let (_db, table) = table(kind, len);
            let mut n = 0_u64;
            group.bench_function(BenchmarkId::from_parameter(kind), |bencher| {
                bencher.iter(|| {
                    n = (n + 7_919) % ROWS;
                    let wanted = column(n, len);
                    let mut rows = table.index("i").unwrap().get(&wanted[..]);
                    black_box(rows.next().unwrap().unwrap());
                });
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = indexes;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1));
    targets = equality
}
criterion_main!(indexes);
