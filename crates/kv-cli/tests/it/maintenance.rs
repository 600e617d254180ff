//! `flush`, `compact`, `stats` and `verify`.

use crate::Kv;

#[test]
fn data_stays_through_flush_and_compact() {
    let kv = Kv::with(&[("a", "1"), ("b", "2")]);
    kv.ok(&["flush"]);
    kv.ok(&["rm", "a"]);
    kv.ok(&["compact"]);
    assert_eq!(kv.ok(&["dump"]), "b\t2\n");
    assert!(kv.ok(&["verify"]).contains("no damage"));
}

#[test]
fn verify_answers_in_json() {
    let kv = Kv::with(&[("a", "1")]);
    let answer = kv.ok(&["verify", "--json"]);
    assert!(answer.starts_with("{\"damage\":[],\"ok\":true,\"summary\":"), "{answer}");
}

#[test]
fn stats_for_people_and_for_machines() {
    let kv = Kv::with(&[("a", "1")]);
    assert!(kv.ok(&["stats"]).contains("level"));
    let text = kv.ok(&["stats", "--prometheus"]);
    assert!(text.contains("# TYPE ") && text.ends_with('\n'), "{text}");
    let metric = text.lines().find(|line| !line.starts_with('#')).unwrap();
    let (name, _) = metric.rsplit_once(' ').unwrap();
    let json: serde_json::Value = serde_json::from_str(&kv.ok(&["stats", "--json"])).unwrap();
    assert!(json[name].is_number(), "{json}");
}

#[test]
fn a_checkpoint_is_a_store_of_its_own() {
    let kv = Kv::with(&[("a", "1"), ("b", "2")]);
    let copy = kv.dir.path().join("of it");
    let copy = copy.to_str().unwrap();
    kv.ok(&["checkpoint", copy]);
    kv.ok(&["rm", "a"]);
    assert_eq!(kv.ok(&["--data-dir", copy, "dump"]), "a\t1\nb\t2\n");
    assert!(kv.ok(&["--data-dir", copy, "verify"]).contains("no damage"));
    assert_eq!(kv.ok(&["dump"]), "b\t2\n");
    kv.run(&["checkpoint", copy]).fails(2, "not empty");
}
