//! `put`, `get` and `delete`, and where the store is.

use crate::Kv;

#[test]
fn what_is_put_is_got() {
    let kv = Kv::new();
    assert_eq!(kv.ok(&["put", "apple", "red"]), "");
    assert_eq!(kv.ok(&["get", "apple"]), "red\n");
    kv.ok(&["set", "apple", "green"]);
    assert_eq!(kv.ok(&["get", "apple"]), "green\n");
}

#[test]
fn a_deleted_key_is_missing() {
    let kv = Kv::with(&[("a", "1"), ("b", "2"), ("c", "3")]);
    kv.ok(&["delete", "a", "b"]);
    kv.run(&["get", "a"]).fails(1, "not there");
    kv.ok(&["rm", "c"]);
    assert_eq!(kv.ok(&["count"]), "0\n");
    kv.ok(&["delete", "never-was"]);
}

#[test]
fn empty_keys_and_values_are_values() {
    let kv = Kv::with(&[("", "empty"), ("k", "")]);
    assert_eq!(kv.ok(&["get", ""]), "empty\n");
    assert_eq!(kv.ok(&["get", "k"]), "\n");
}

#[test]
fn a_value_comes_from_standard_input_byte_for_byte() {
    let kv = Kv::new();
    let value = b"\x00\xFFline\nno newline at the end";
    kv.run_with_input(&["put", "k"], value).ok();
    assert_eq!(kv.run(&["get", "k", "--raw"]).out, value);
    assert_eq!(kv.run(&["get", "k"]).out, [value.as_slice(), b"\n"].concat());
}

#[test]
fn numbers_and_what_looks_like_an_option() {
    let kv = Kv::with(&[("-1", "-5.5")]);
    assert_eq!(kv.ok(&["get", "-1"]), "-5.5\n");
    kv.run(&["put", "k", "--valeu"]).fails(2, "--valeu");
    kv.ok(&["put", "k", "--", "--value"]);
    assert_eq!(kv.ok(&["get", "k"]), "--value\n");
}

#[test]
fn time_to_live_hides_the_key() {
    let kv = Kv::new();
    kv.ok(&["put", "long", "v", "--ttl", "1h"]);
    kv.ok(&["put", "over", "v", "--ttl", "0s"]);
    assert_eq!(kv.ok(&["get", "long"]), "v\n");
    kv.run(&["get", "over"]).fails(1, "not there");
    kv.run(&["put", "k", "v", "--ttl", "soon"]).fails(2, "30s");
}

#[test]
fn the_store_is_where_it_is_said_to_be() {
    let kv = Kv::new();
    let data_dir = kv.dir.path().join("deep/down");
    let data_dir = data_dir.to_str().unwrap();
    kv.ok(&["--data-dir", data_dir, "put", "k", "by option"]);
    kv.ok(&["put", "k", "by environment"]);
    let mut command = kv.command(&["put", "k", "by default"]);
    assert!(command.env_remove("KV_DATA_DIR").status().unwrap().success());

    assert_eq!(kv.ok(&["get", "k", "--data-dir", data_dir]), "by option\n");
    assert_eq!(kv.ok(&["get", "k"]), "by environment\n");
    let default = kv.dir.path().join("data");
    assert_eq!(kv.ok(&["get", "k", "--data-dir", default.to_str().unwrap()]), "by default\n");
}

#[test]
fn reading_creates_nothing() {
    let kv = Kv::new();
    let calls: [&[&str]; 10] = [
        &["get", "k"],
        &["scan"],
        &["count"],
        &["dump"],
        &["stats"],
        &["verify"],
        &["keyspaces"],
        &["drop-keyspace", "x"],
        &["flush"],
        &["compact"],
    ];
    for args in calls {
        kv.run(args).fails(1, "there is no store at");
    }
    kv.run(&["put", "--hex", "xyz", "00"]).fails(2, "hexadecimal");
    kv.run(&["load", "no-such-file"]).fails(3, "no-such-file");
    assert!(!kv.store().exists());
}

#[test]
fn readers_work_beside_a_writer_and_writers_do_not() {
    let kv = Kv::new();
    let db = kv_engine::Db::open(kv.store(), kv_engine::Options::default()).unwrap();
    db.put("k", "v").unwrap();
    assert_eq!(kv.ok(&["get", "k"]), "v\n");
    assert_eq!(kv.ok(&["scan"]), "k\tv\n");
    assert!(kv.ok(&["verify"]).contains("no damage"));
    let refused = kv.run(&["put", "k", "w"]);
    assert_eq!(refused.code, 3, "{refused:?}");
    db.put("k", "x").unwrap();
    assert_eq!(kv.ok(&["get", "k"]), "x\n");
}

#[test]
fn keys_over_the_limit_are_wrong_usage() {
    let kv = Kv::new();
    kv.run(&["put", &"k".repeat(65_536), "v"]).fails(2, "65535");
    assert!(!kv.store().exists());
    kv.ok(&["put", &"k".repeat(65_535), "v"]);
}
