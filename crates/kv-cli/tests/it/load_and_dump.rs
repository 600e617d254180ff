//! What `load` reads, what `dump` writes, and that the two are inverse.

use crate::Kv;
use kv_engine::{Db, Options};

#[test]
fn plain_text_comes_back_byte_for_byte_in_key_order() {
    let kv = Kv::new();
    let mut lines: Vec<String> = (0..3000)
        .map(|n| format!("key {:05}\tvalue {n}\tC:\\n\\tüß\"'{{}}\n", n * 7919 % 3000))
        .collect();
    lines.extend(
        ["a\t\n", "a b\tx\n", "a-b\ty\n", "\tempty key\n", "ключ\tзначение\n"].map(String::from),
    );
    let file = kv.file("in.tsv", lines.concat().as_bytes());
    assert_eq!(kv.ok(&["load", &file]), "3005 records loaded\n");
    lines.sort();
    assert!(kv.ok(&["dump"]) == lines.concat());
}

#[test]
fn any_bytes_survive_a_dump_and_a_load() {
    let kv = Kv::new();
    let pairs: Vec<(Vec<u8>, Vec<u8>)> = (0..=255u8)
        .map(|b| (vec![b, b'\\', b'n'], vec![b, b'\t', b'\n', !b]))
        .chain([(vec![], vec![]), (vec![0x10], vec![0x10]), (b"\\t".to_vec(), b"\\x00".to_vec())])
        .collect();
    let db = Db::open(kv.store(), Options::default().sync_on_write(false)).unwrap();
    for (key, value) in &pairs {
        db.put(key, value).unwrap();
    }
    db.close().unwrap();
    let mut pairs = pairs;
    pairs.sort();

    for (json, name) in [(false, "dump.tsv"), (true, "dump.jsonl")] {
        let dumped = kv.ok(if json { &["dump", "--json"] } else { &["dump"] });
        let file = kv.file(name, dumped.as_bytes());
        let copy = kv.dir.path().join(if json { "from json" } else { "from lines" });
        kv.ok(&["--data-dir", copy.to_str().unwrap(), "load", &file]);
        let db = Db::open(copy, Options::default().read_only(true)).unwrap();
        let found: Vec<(Vec<u8>, Vec<u8>)> = db
            .iter()
            .map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap())
            .collect();
        assert!(found == pairs, "{name}");
    }
}

#[test]
fn standard_input_is_read_too() {
    let kv = Kv::new();
    assert_eq!(kv.run_with_input(&["load"], b"a\t1\nb\t2").ok(), "2 records loaded\n");
    assert_eq!(kv.run_with_input(&["load", "-"], b"c\t3\n").ok(), "1 record loaded\n");
    assert_eq!(kv.ok(&["dump"]), "a\t1\nb\t2\nc\t3\n");
    assert_eq!(kv.run_with_input(&["load"], b"").ok(), "0 records loaded\n");
}

#[test]
fn the_value_keeps_tabs_and_carriage_returns() {
    let kv = Kv::new();
    kv.run_with_input(&["load"], b"k\ta\tb\r\n").ok();
    assert_eq!(kv.run(&["get", "k", "--raw"]).out, b"a\tb\r");
}

#[test]
fn csv_with_quotes_and_a_header() {
    let kv = Kv::new();
    let text = b"name,colour\napple,red\n\"p,ear\",\"\"\"green\"\"\nand yellow\"\n";
    let file = kv.file("fruit.csv", text);
    assert_eq!(kv.ok(&["load", &file, "--header"]), "2 records loaded\n");
    assert_eq!(kv.ok(&["get", "p,ear"]), "\"green\"\nand yellow\n");
    assert_eq!(kv.run_with_input(&["load", "--input", "csv"], b"x,1\n").ok(), "1 record loaded\n");
    assert_eq!(kv.ok(&["count"]), "3\n");
}

#[test]
fn json_lines_by_name_or_by_option() {
    let kv = Kv::new();
    let file = kv
        .file("a.jsonl", b"{\"key\":\"a\",\"value\":\"1\"}\n{\"key_hex\":\"ff\",\"value\":\"\"}\n");
    assert_eq!(kv.ok(&["load", "--json", &file]), "{\"loaded\":2,\"skipped\":0}\n");
    kv.run_with_input(&["load", "--input=json"], b"{\"value\":\"2\",\"key\":\"b\"}").ok();
    assert_eq!(kv.ok(&["scan"]), "a\t1\nb\t2\n0xff\t\n");
}

#[test]
fn a_bad_record_ends_the_load_and_names_its_line() {
    let kv = Kv::new();
    kv.run_with_input(&["load"], b"a\t1\nb\t2\nno tab\nc\t3\n").fails(3, "line 3: no tab");
    kv.run_with_input(&["load"], b"a\t1\n\nb\t2\n").fails(3, "line 2");
    kv.run_with_input(&["load"], b"a\t1\n\x10b\\q\t2\n").fails(3, "line 2: an unknown escape");
    kv.run_with_input(&["load", "--input", "csv"], b"a,1\nb\n").fails(3, "line 2: not two columns");
    kv.run_with_input(&["load", "--input", "json"], b"[1]\n").fails(3, "line 1: no JSON object");
    let long = [&[b'k'; 65_536][..], b"\tv\n"].concat();
    kv.run_with_input(&["load"], &long).fails(3, "line 1: the key has over 65535 bytes");
    assert_eq!(kv.ok(&["dump"]), "a\t1\nb\t2\n");
}

#[test]
fn what_came_before_a_bad_record_is_counted() {
    let kv = Kv::new();
    let input = ["a\t1\n".repeat(1500).as_bytes(), b"no tab\n"].concat();
    kv.run_with_input(&["load"], &input).fails(3, "stored before it: 1500 records");
}

#[test]
fn bad_records_can_be_skipped() {
    let kv = Kv::new();
    let ran = kv.run_with_input(&["load", "--skip-bad"], b"a\t1\nbad\nb\t2\nworse\n");
    assert_eq!((ran.code, ran.out.as_slice()), (0, &b"2 records loaded, 2 skipped\n"[..]));
    let told: Vec<&str> = ran.err.lines().collect();
    assert!(told[0].contains("line 2") && told[1].contains("line 4"), "{told:?}");
    assert_eq!(kv.ok(&["dump"]), "a\t1\nb\t2\n");
}

#[test]
fn a_list_of_keys() {
    let kv = Kv::new();
    kv.run_with_input(&["load", "--keys-only"], b"b\na\n").ok();
    assert_eq!(kv.ok(&["dump"]), "a\t\nb\t\n");
}

#[test]
fn options_of_another_form_are_refused() {
    let kv = Kv::new();
    kv.run_with_input(&["load", "--header"], b"a\t1\n")
        .fails(2, "--header is for CSV records, and these are tab-separated");
    kv.run_with_input(&["load", "--input=csv", "--keys-only"], b"a,1\n").fails(2, "--keys-only");
    assert!(!kv.store().exists());
}

#[test]
fn the_last_value_of_a_key_stays() {
    let kv = Kv::with(&[("a", "0"), ("z", "0")]);
    assert_eq!(
        kv.run_with_input(&["load"], b"b\t1\na\t1\nb\t2\na\t3\n").ok(),
        "4 records loaded\n"
    );
    assert_eq!(kv.ok(&["dump"]), "a\t3\nb\t2\nz\t0\n");
}

/// More than two pieces, in an order without any order.
#[test]
fn more_than_memory_takes_at_once_is_sorted_in_pieces() {
    let kv = Kv::new();
    let pad = "x".repeat(900);
    let n = 180_000_u64;
    let lines = |from: u64| {
        let line = move |i: u64| format!("key{:06}\t{}{i}\n", i * 7919 % (n / 2), "x".repeat(900));
        (from..n).map(line).collect::<String>()
    };
    let file = kv.file("in.tsv", lines(0).as_bytes());
    assert_eq!(kv.ok(&["load", &file]), format!("{n} records loaded\n"));
    assert_eq!(kv.ok(&["count"]), format!("{}\n", n / 2));
    let db = Db::open(kv.store(), Options::default().read_only(true)).unwrap();
    for i in (n / 2..n).step_by(1009) {
        let value = db.get(format!("key{:06}", i * 7919 % (n / 2))).unwrap().unwrap();
        assert_eq!(value, format!("{pad}{i}").as_bytes());
    }
    assert!(db.verify().unwrap().is_ok());
}

/// Killed in the middle: what was stored is a beginning of the input, and starting again completes it.
#[test]
fn a_load_that_is_killed_is_started_again() {
    use std::io::Write;
    let kv = Kv::new();
    let line = |i: u64| format!("key{:08}\t{}\n", i * 7919 % 200_000, "y".repeat(800));
    let all: String = (0..200_000).map(line).collect();
    let mut command = kv.command(&["load"]);
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    // One piece is stored, and another is on its way, when so much has gone into the pipe.
    input.write_all(&all.as_bytes()[..150 << 20]).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let found: u64 = kv.ok(&["count"]).trim().parse().unwrap();
    assert!((70_000..200_000).contains(&found), "{found}");
    for i in (0..found).step_by(997) {
        kv.ok(&["get", &format!("key{:08}", i * 7919 % 200_000)]);
    }
    let file = kv.file("in.tsv", all.as_bytes());
    kv.ok(&["load", &file]);
    assert_eq!(kv.ok(&["count"]), "200000\n");
    assert!(kv.ok(&["verify"]).contains("no damage"));
}

#[test]
fn sorted_records_are_ingested_all_or_none() {
    let kv = Kv::with(&[("a", "old"), ("m", "old")]);
    let file = kv.file("in.tsv", b"a\t1\nb\t2\nc\t3\n");
    assert_eq!(kv.ok(&["ingest", &file]), "3 records ingested\n");
    assert_eq!(kv.ok(&["dump"]), "a\t1\nb\t2\nc\t3\nm\told\n");
    let before = kv.ok(&["dump"]);
    for (input, why) in [
        ("x\t1\ny\t2\nw\t3\nz\t4\n", "line 3: the key is smaller"),
        ("x\t1\nx\t2\n", "line 2: the key is the one before it"),
        ("x\t1\nbad\n", "line 2: no tab"),
        ("bad\n", "line 1: no tab"),
    ] {
        let ran = kv.run_with_input(&["ingest"], input.as_bytes());
        assert!(ran.err.contains("nothing was ingested"), "{}", ran.err);
        ran.fails(3, why);
        assert_eq!(kv.ok(&["dump"]), before);
    }
    // Neither the keyspace that was asked for.
    kv.run_with_input(&["ingest", "--keyspace", "people"], b"bad\n").fails(3, "line 1");
    assert_eq!(kv.ok(&["keyspaces"]), "");
    let ran = kv.run_with_input(&["ingest", "--json", "--keyspace", "people"], b"x\t1\ny\t2\n");
    assert_eq!(ran.ok(), "{\"ingested\":2}\n");
    assert_eq!(kv.ok(&["count", "--keyspace", "people"]), "2\n");
    assert_eq!(kv.run_with_input(&["ingest"], b"").ok(), "0 records ingested\n");
}
