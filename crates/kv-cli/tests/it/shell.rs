//! `shell` with a script on standard input.

use crate::{Kv, Ran};
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

fn script(kv: &Kv, lines: &str) -> Ran {
    kv.run_with_input(&["shell"], lines.as_bytes())
}

#[test]
fn lines_are_carried_out_in_order() {
    let kv = Kv::new();
    let lines = "put fruit/apple red\nset fruit/pear green\n\n# a comment with 'a quote\n  get fruit/apple\n\
                 scan\nprefix fruit/p\nrm fruit/apple fruit/none\ncount\r\nscan --keys-only --reverse";
    let wanted = "red\nfruit/apple\tred\nfruit/pear\tgreen\nfruit/pear\tgreen\n1\nfruit/pear\n";
    assert_eq!(script(&kv, lines).ok(), wanted);
    assert_eq!(kv.ok(&["scan"]), "fruit/pear\tgreen\n");
}

#[test]
fn words_are_quoted_and_escaped() {
    let kv = Kv::new();
    script(&kv, "put 'two words' \"a\\tb\"\nput \\xff\\x00 ''\nput --hex 6b00 ff\n").ok();
    assert_eq!(kv.ok(&["get", "two words"]), "a\tb\n");
    assert_eq!(kv.ok(&["scan", "--hex", "--from", "ff"]), "ff00\t\n");
    assert_eq!(script(&kv, "get k\\x00 --format hex").ok(), "ff\n");
    assert_eq!(script(&kv, "put -1 -5\nget -1\nput -- --k --v\nget -- --k").ok(), "-5\n--v\n");
}

#[test]
fn the_first_line_that_fails_ends_it() {
    let kv = Kv::new();
    script(&kv, "put a 1\nget none\nput b 2\n").fails(1, "line 2: the key is not there");
    assert_eq!(kv.ok(&["scan"]), "a\t1\n");
    for (line, why) in [
        ("paint it black", "unrecognized subcommand"),
        ("put a", "<VALUE>"),
        ("get 'a", "not closed"),
        ("get \\q", "unknown escape"),
        ("put --hex 0 00", "hexadecimal"),
        ("put a b --ttl soon", "30s"),
        ("commit", "no transaction is open"),
        ("rollback", "no transaction is open"),
    ] {
        let ran = script(&kv, &format!("\n{line}\nput b 2\n"));
        assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
        assert!(ran.err.starts_with("kv: line 2: "), "{}", ran.err);
        ran.fails(2, why);
    }
    assert_eq!(kv.ok(&["scan"]), "a\t1\n");
    script(&kv, "exit\nnonsense\n").ok();
}

#[test]
fn keyspaces_are_used_by_name() {
    let kv = Kv::new();
    let lines = "put k default\nuse people\nput k people\nget k\nkeyspaces\nuse\nget k\n";
    assert_eq!(script(&kv, lines).ok(), "people\npeople\ndefault\n");
    assert_eq!(kv.ok(&["get", "k", "--keyspace", "people"]), "people\n");
    script(&kv, "use nowhere\nget k\n").fails(1, "line 2: there is no keyspace \"nowhere\"");
    assert_eq!(kv.ok(&["keyspaces"]), "people\n");
    assert_eq!(kv.run_with_input(&["shell", "--keyspace", "people"], b"get k").ok(), "people\n");
}

#[test]
fn a_transaction_is_whole_or_not_at_all() {
    let kv = Kv::with(&[("a", "1"), ("b", "2")]);
    let lines = "begin\nput a 10\nrm b\nuse people\nput c 3\nscan\nuse\nscan\nget a\n";
    let own = "c\t3\na\t10\n10\n";
    assert_eq!(script(&kv, &format!("{lines}rollback\nscan\n")).ok(), format!("{own}a\t1\nb\t2\n"));
    assert_eq!(script(&kv, &format!("{lines}commit\nscan\n")).ok(), format!("{own}a\t10\n"));
    assert_eq!(kv.ok(&["get", "c", "--keyspace", "people"]), "3\n");
    script(&kv, "begin\nput a 11\n").fails(2, "not committed");
    script(&kv, "begin\nput a 11\nget none\n").fails(1, "line 3");
    script(&kv, "begin\nbegin\n").fails(2, "open already");
    script(&kv, "begin\nput a 11 --ttl 1h\n").fails(2, "before begin or behind commit");
    assert_eq!(kv.ok(&["get", "a"]), "10\n");
}

#[test]
fn help_json_and_stats() {
    let kv = Kv::new();
    let help = script(&kv, "help\n").ok();
    assert!(help.contains("rollback") && help.contains("Ctrl-D"), "{help}");
    assert!(script(&kv, "help put\n").ok().contains("--ttl"));
    assert!(script(&kv, "put a 1\nstats\n").ok().contains("written     1 operations"));
    let json = kv.run_with_input(&["shell", "--json"], b"get a\ncount\n").ok();
    assert_eq!(json, "{\"key\":\"a\",\"value\":\"1\"}\n{\"count\":1}\n");
}

#[test]
fn it_answers_each_line_at_once_and_follows_a_writer() {
    let kv = Kv::new();
    let db = kv_engine::Db::open(kv.store(), kv_engine::Options::default()).unwrap();
    let refused = script(&kv, "put a 1\n");
    assert_eq!(refused.code, 3, "{refused:?}");
    let mut command = kv.command(&["shell", "--read-only"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut lines = child.stdin.take().unwrap();
    for n in ["1", "2"] {
        db.put("k", n).unwrap();
        writeln!(lines, "get k").unwrap();
        assert_eq!(answers.next().unwrap().unwrap(), n);
    }
    writeln!(lines, "put k 3").unwrap();
    drop(lines);
    Ran::new(child.wait_with_output().unwrap()).fails(3, "line 3");
    assert_eq!(db.get("k").unwrap().as_deref(), Some(&b"2"[..]));
}
