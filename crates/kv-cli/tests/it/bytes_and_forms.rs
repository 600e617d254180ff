//! Raw, UTF-8 and hexadecimal keys and values, and JSON.

use crate::Kv;

fn binary() -> Kv {
    let kv = Kv::with(&[("text", "grün \\")]);
    kv.ok(&["put", "--hex", "0x00FF", "610a62"]);
    kv
}

#[test]
fn hexadecimal_in_and_out() {
    let kv = binary();
    assert_eq!(kv.ok(&["get", "--hex", "00ff"]), "610a62\n");
    assert_eq!(kv.ok(&["get", "--hex", "00ff", "--format", "utf8"]), "a\\nb\n");
    assert_eq!(kv.ok(&["scan", "--hex", "--prefix", "00"]), "00ff\t610a62\n");
    assert_eq!(kv.ok(&["count", "--hex", "--from", "00ff", "--to", "00ff00"]), "1\n");
    kv.ok(&["rm", "--hex", "00ff"]);
    assert_eq!(kv.ok(&["count"]), "1\n");
    kv.run(&["get", "--hex", "0"]).fails(2, "hexadecimal");
    kv.run(&["scan", "--hex", "--prefix", "zz"]).fails(2, "--prefix");
}

#[test]
fn a_scan_shows_each_format() {
    let kv = binary();
    assert_eq!(kv.ok(&["scan"]), "0x00ff\t0x610a62\ntext\tgrün \\\n");
    assert_eq!(kv.ok(&["scan", "--format", "utf8"]), "\\x00\\xff\ta\\nb\ntext\tgrün \\\\\n");
    assert_eq!(kv.ok(&["scan", "--format", "hex", "--limit", "1"]), "00ff\t610a62\n");
    assert_eq!(kv.run(&["scan", "--format", "raw"]).out, b"\x00\xFF\ta\nb\ntext\tgr\xC3\xBCn \\\n");
}

#[test]
fn json_answers() {
    let kv = binary();
    assert_eq!(kv.ok(&["get", "text", "--json"]), "{\"key\":\"text\",\"value\":\"grün \\\\\"}\n");
    assert_eq!(
        kv.ok(&["--json", "scan"]),
        "{\"key_hex\":\"00ff\",\"value\":\"a\\nb\"}\n{\"key\":\"text\",\"value\":\"grün \\\\\"}\n"
    );
    assert_eq!(
        kv.ok(&["--json", "scan", "--keys-only", "--reverse", "--limit=1"]),
        "{\"key\":\"text\"}\n"
    );
    assert_eq!(
        kv.ok(&["--json", "scan", "--hex", "--limit=1"]),
        "{\"key_hex\":\"00ff\",\"value_hex\":\"610a62\"}\n"
    );
    assert_eq!(kv.ok(&["--json", "count"]), "{\"count\":2}\n");
    let missing = kv.run(&["--json", "get", "nothing"]);
    assert_eq!((missing.code, missing.out.len()), (1, 0));
}
