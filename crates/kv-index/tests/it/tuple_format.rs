//! `docs/format/tuples.md` says what the code does.

use kv_index::tuple::{
    BYTES, END, FALSE, FLOAT, MAX_DEPTH, MINUS_ONE, NESTED, NULL, TEXT, TRUE, ZERO,
};
use kv_index::{Desc, Null, Tuple, decode};

const DOC: &str = include_str!("../../../../docs/format/tuples.md");

/// The rows of the table of tags.
fn tags() -> Vec<(u8, String)> {
    let rows = DOC.lines().skip_while(|line| !line.starts_with("| tag")).skip(2);
    rows.take_while(|line| line.starts_with('|'))
        .filter_map(|line| {
            let mut cells = line.split('|').map(str::trim).skip(1);
            Some((u8::from_str_radix(cells.next()?, 16).ok()?, cells.next()?.to_owned()))
        })
        .collect()
}

#[test]
fn the_table_names_the_tags_of_the_code() {
    let named = |tag: u8, name: &str| (tag, name.to_owned());
    let wanted = [
        named(END, "end"),
        named(NULL, "null"),
        named(FALSE, "false"),
        named(TRUE, "true"),
        named(MINUS_ONE - 16, "negative of 16 bytes"),
        named(MINUS_ONE - 1, "negative of 1 byte"),
        named(MINUS_ONE, "minus one"),
        named(ZERO, "zero"),
        named(ZERO + 1, "positive of 1 byte"),
        named(ZERO + 16, "positive of 16 bytes"),
        named(FLOAT, "float"),
        named(TEXT, "text"),
        named(BYTES, "bytes"),
        named(NESTED, "nested"),
    ];
    assert_eq!(tags(), wanted);
    assert!(DOC.contains(&format!("At most {MAX_DEPTH} tuples")));
}

/// The bytes of the worked example; each line is hex, two blanks, and its meaning.
fn example() -> Vec<u8> {
    let (_, example) = DOC.split_once("## Worked example").unwrap();
    let example = example.split("```").nth(1).unwrap();
    let hex = example.lines().flat_map(|line| line.split("  ").next().unwrap().split_whitespace());
    hex.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

#[test]
fn the_worked_example_is_what_is_written_and_read() {
    let mut tuple = Tuple::of((Null, true, 0, -1, 256, -257));
    tuple.push(1.5).push("a\0b").push([0, 0xFF]).push((1, "x"));
    tuple.push(Desc(5)).push(Desc("a")).push(Desc((1, Desc(2))));
    assert_eq!(tuple.as_bytes(), example());

    let mut again = Tuple::new();
    for item in decode(&example()).unwrap() {
        again.push_item(&item).unwrap();
    }
    assert_eq!(again, tuple);
}

/// One line for each shape, so that a change of any of them shows.
#[test]
fn golden_bytes() {
    let golden = [
        (Tuple::new(), ""),
        (Tuple::of(None::<bool>), "01"),
        (Tuple::of(1_u8), "2201"),
        (Tuple::of(255_i16), "22ff"),
        (Tuple::of(-256_i64), "1f00"),
        (Tuple::of(u64::MAX), "29ffffffffffffffff"),
        (Tuple::of(i64::MIN), "188000000000000000"),
        (Tuple::of(i64::MAX), "297fffffffffffffff"),
        (Tuple::of(i128::MAX), "317fffffffffffffffffffffffffffffff"),
        (Tuple::of(i128::MIN), "1080000000000000000000000000000000"),
        (Tuple::of(0.0), "408000000000000000"),
        (Tuple::of(-0.0), "407fffffffffffffff"),
        (Tuple::of(f64::INFINITY), "40fff0000000000000"),
        (Tuple::of(f64::NEG_INFINITY), "40000fffffffffffff"),
        (Tuple::of(1.5_f32), "40bff8000000000000"),
        (Tuple::of(""), "500001"),
        (Tuple::of("\0"), "5000ff0001"),
        (Tuple::of("é"), "50c3a90001"),
        (Tuple::of(b"\x00\x01"), "5100ff010001"),
        (Tuple::of(((1,),)), "60220100"),
        (Tuple::of((Desc(Null), Desc(true), Desc(0))), "fefcde"),
        (Tuple::of(Desc(-1.5)), "bfbff8000000000000"),
        (Tuple::of(Desc("\0")), "afff00fffe"),
        (Tuple::of(((Desc(1), "b"),)), "60ddfe5062000100"),
    ];
    for (tuple, hex) in golden {
        let shown: String = tuple.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(shown, hex);
    }
}
