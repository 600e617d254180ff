//! `changes` beside writers, and what it holds for a consumer.

use crate::Kv;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

#[test]
fn nothing_is_held_for_nobody() {
    let kv = Kv::with(&[("a", "1")]);
    assert_eq!(kv.ok(&["changes"]), "");
    kv.run(&["changes", "--since", "99"]).fails(1, "lies ahead");
    let input = b"b\t2\n";
    kv.run_with_input(&["load"], input).ok();
    kv.run(&["changes", "--since", "1"]).fails(1, "not held any more");
    kv.run(&["changes", "--consumer", "a/b"]).fails(2, "name");
    kv.run(&["changes", "--consumer", "none", "--forget"]).fails(1, "no consumer");
}

#[test]
fn a_consumer_gets_each_change_once_over_processes() {
    let kv = Kv::with(&[("a", "1")]);
    assert_eq!(kv.ok(&["changes", "--consumer", "copy"]), "");
    kv.ok(&["put", "b", "2"]);
    kv.ok(&["put", "c", "3", "--keyspace", "people"]);
    kv.ok(&["delete", "a"]);
    kv.ok(&["put", "--hex", "ff00", "01"]);
    let seen = kv.ok(&["changes", "--consumer", "copy", "--limit", "2"]);
    assert_eq!(seen, "2\tput\t\tb\t2\n5\tput\tpeople\tc\t3\n");
    let seen = kv.ok(&["changes", "--consumer", "copy", "--json"]);
    assert_eq!(
        seen,
        "{\"ops\":[{\"key\":\"a\",\"keyspace\":\"\",\"op\":\"delete\"}],\"seq\":6}\n\
         {\"ops\":[{\"key_hex\":\"ff00\",\"keyspace\":\"\",\"op\":\"put\",\"value\":\"\\u0001\"}],\"seq\":7}\n"
    );
    assert_eq!(kv.ok(&["changes", "--consumer", "copy"]), "");
    kv.ok(&["drop-keyspace", "people"]);
    kv.ok(&["put", "t", "x", "--ttl", "1d"]);
    let seen = kv.ok(&["changes", "--consumer", "copy"]);
    assert!(seen.starts_with("9\tdelete-range\tpeople\n10\tput\t\tt\tx\t"), "{seen}");
    kv.ok(&["changes", "--consumer", "copy", "--forget"]);
    kv.ok(&["put", "u", "x"]);
    assert_eq!(kv.ok(&["changes"]), "");
    assert!(kv.ok(&["verify"]).contains("no damage") || kv.run(&["verify"]).code == 0);
}

#[test]
fn a_follower_of_a_live_writer_sees_what_comes() {
    let kv = Kv::with(&[("a", "1")]);
    let mut follower = kv.command(&["changes", "--follow", "--consumer", "copy"]);
    let mut follower = follower.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    // It is registered when it is there.
    let registered = kv.store().join("consumers/copy");
    while !registered.exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let mut next = || lines.next().unwrap().unwrap();
    for i in 0..25 {
        let key = format!("key{i:05}");
        kv.ok(&["put", &key, "value"]);
        assert_eq!(next().split('\t').nth(3).unwrap(), key);
    }
    kv.run_with_input(&["load"], b"x\t1\ny\t2\nz\t3\n").ok();
    assert!(next().ends_with("\tingest\t\tx\tz"));
    follower.kill().unwrap();
    follower.wait().unwrap();
    assert_eq!(kv.ok(&["get", "a"]), "1\n");
}
