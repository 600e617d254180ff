//! Keyspaces are apart, listed, and gone when dropped.

use crate::Kv;

#[test]
fn each_keyspace_has_its_own_keys() {
    let kv = Kv::with(&[("k", "default")]);
    kv.ok(&["put", "--keyspace", "users", "k", "of users"]);
    assert_eq!(kv.ok(&["get", "k"]), "default\n");
    assert_eq!(kv.ok(&["get", "k", "--keyspace", "users"]), "of users\n");
    assert_eq!(kv.ok(&["scan", "--keyspace", "users"]), "k\tof users\n");
    kv.ok(&["rm", "--keyspace", "users", "k"]);
    assert_eq!(kv.ok(&["count", "--keyspace", "users"]), "0\n");
    assert_eq!(kv.ok(&["dump"]), "k\tdefault\n");
}

#[test]
fn they_are_listed_and_dropped() {
    let kv = Kv::with(&[("k", "v")]);
    assert_eq!(kv.ok(&["keyspaces"]), "");
    kv.ok(&["put", "--keyspace", "b", "k", "v"]);
    kv.run_with_input(&["load", "--keyspace", "a"], b"k\tv\n").ok();
    assert_eq!(kv.ok(&["keyspaces"]), "a\nb\n");
    assert_eq!(kv.ok(&["keyspaces", "--json"]), "{\"keyspace\":\"a\"}\n{\"keyspace\":\"b\"}\n");
    kv.ok(&["drop-keyspace", "b"]);
    assert_eq!(kv.ok(&["keyspaces"]), "a\n");
    kv.run(&["drop-keyspace", "b"]).fails(1, "b");
}

#[test]
fn only_put_and_load_create_one() {
    let kv = Kv::with(&[("k", "v")]);
    for command in ["get", "delete"] {
        kv.run(&[command, "k", "--keyspace", "none"]).fails(1, "there is no keyspace");
    }
    for command in ["scan", "count", "dump"] {
        kv.run(&[command, "--keyspace", "none"]).fails(1, "there is no keyspace");
    }
    assert_eq!(kv.ok(&["keyspaces"]), "");
}
