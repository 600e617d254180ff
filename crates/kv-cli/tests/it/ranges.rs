//! `scan` and `count` over ranges.

use crate::Kv;

fn keys(kv: &Kv, args: &[&str]) -> String {
    let args = [&["scan", "--keys-only"], args].concat();
    kv.ok(&args).replace('\n', " ")
}

fn store() -> Kv {
    let kv = Kv::new();
    let input = b"a\t1\nb\t2\nba\t3\nbb\t4\nc\t5\n";
    kv.run_with_input(&["load"], input).ok();
    kv
}

#[test]
fn keys_come_in_order_with_their_values() {
    assert_eq!(store().ok(&["scan"]), "a\t1\nb\t2\nba\t3\nbb\t4\nc\t5\n");
}

#[test]
fn ranges_hold_their_start_and_not_their_end() {
    let kv = store();
    assert_eq!(keys(&kv, &["--from", "b", "--to", "bb"]), "b ba ");
    assert_eq!(keys(&kv, &["--start", "bb"]), "bb c ");
    assert_eq!(keys(&kv, &["--end", "b"]), "a ");
    assert_eq!(keys(&kv, &["--from", "c", "--to", "a"]), "");
    assert_eq!(keys(&kv, &["--prefix", "b"]), "b ba bb ");
    assert_eq!(keys(&kv, &["--prefix", ""]), "a b ba bb c ");
    assert_eq!(keys(&kv, &["--prefix", "x"]), "");
}

#[test]
fn backwards_and_limited() {
    let kv = store();
    assert_eq!(keys(&kv, &["--reverse"]), "c bb ba b a ");
    assert_eq!(keys(&kv, &["--reverse", "--prefix", "b", "--limit", "2"]), "bb ba ");
    assert_eq!(keys(&kv, &["--limit", "0"]), "");
    assert_eq!(keys(&kv, &["--limit", "100"]), "a b ba bb c ");
}

#[test]
fn counts_are_of_the_same_ranges() {
    let kv = store();
    assert_eq!(kv.ok(&["count"]), "5\n");
    assert_eq!(kv.ok(&["count", "--prefix", "b"]), "3\n");
    assert_eq!(kv.ok(&["count", "--from", "b", "--to", "c"]), "3\n");
}
