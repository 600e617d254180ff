//! The format documents and the code say the same.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use kv_core::{BATCH_HEADER_LEN, Batch, Kind, Trailer};

/// The `| offset | width | name |` rows of a document's first field table.
fn fields(document: &str) -> Vec<(usize, usize, String)> {
    let rows = document.lines().skip_while(|line| !line.starts_with("| offset")).skip(2);
    rows.take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            (cells[0].parse().unwrap(), cells[1].parse().unwrap(), cells[2].to_owned())
        })
        .collect()
}

/// The bytes at the start of each line of a document's last code block.
fn example(document: &str) -> Vec<u8> {
    let block = document.rsplit("```").nth(1).unwrap();
    block
        .lines()
        .flat_map(|line| line.split("  ").next().unwrap_or("").split_whitespace())
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

#[test]
fn batch() {
    let document = include_str!("../../../docs/format/batch.md");
    assert_eq!(fields(document), [(0, BATCH_HEADER_LEN, "count".to_owned())]);
    let mut batch = Batch::new();
    batch.put(b"\0a", b"red");
    batch.delete(b"\0b");
    assert_eq!(batch.as_bytes(), example(document));
    let kinds = [
        (1, Kind::Put),
        (2, Kind::Delete),
        (3, Kind::RangeDelete),
        (4, Kind::PutExpiring),
        (5, Kind::ValuePointer),
        (6, Kind::Merge),
    ];
    for (number, kind) in kinds {
        assert_eq!(Kind::from_u8(number), Some(kind));
        assert!(document.contains(&format!("| {number} | ")), "kind {number} is not described");
    }
    assert_eq!((Kind::from_u8(0), Kind::from_u8(7)), (None, None));
}

#[test]
fn internal_key() {
    let document = include_str!("../../../docs/format/internal-key.md");
    assert_eq!(fields(document), [(0, 1, "kind".to_owned()), (1, 7, "seq".to_owned())]);
    let bytes = Trailer::new(258, Kind::Put).raw().to_le_bytes();
    let shown: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
    assert!(document.contains(&format!("`{}`", shown.join(" "))));
}
