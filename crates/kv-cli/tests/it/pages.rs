//! What the program says of itself: help, manual pages, completions.

use crate::Kv;
use std::collections::BTreeSet;
use std::path::Path;

/// The commands that a help text lists.
fn commands(help: &str) -> Vec<&str> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = listed.take_while(|line| !line.is_empty());
    // What an about of two lines continues with is indented further.
    let names = names.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect()
}

/// Every command with what stands before it, as it is called.
fn all_commands(kv: &Kv) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut open = vec![Vec::<String>::new()];
    while let Some(path) = open.pop() {
        let help = help(kv, &path);
        for name in commands(&help) {
            let deeper: Vec<String> = path.iter().cloned().chain([name.to_owned()]).collect();
            found.push(deeper.clone());
            open.push(deeper);
        }
    }
    found
}

fn help(kv: &Kv, path: &[String]) -> String {
    let args: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
    kv.ok(&args)
}

#[test]
fn every_help_has_an_example_that_begins_with_its_command() {
    let kv = Kv::new();
    let all = all_commands(&kv);
    assert!(all.len() > 25, "{all:?}");
    for path in all {
        let help = help(&kv, &path);
        let example = format!("kv {}", path.join(" "));
        let examples = help.split("Example").nth(1).unwrap_or_default();
        assert!(examples.contains(&example), "{example}: no example in {help}");
    }
}

#[test]
fn completions_for_each_shell() {
    let kv = Kv::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = kv.ok(&["completions", shell]);
        assert!(script.contains("drop-keyspace"), "{shell}");
    }
    kv.run(&["completions", "csh"]).fails(2, "csh");
}

#[test]
fn a_manual_page_for_each_command() {
    let kv = Kv::new();
    let dir = kv.dir.path().join("share/man1");
    kv.ok(&["man", dir.to_str().unwrap()]);
    let written: BTreeSet<String> = names(&dir);
    let mut wanted: BTreeSet<String> =
        all_commands(&kv).iter().map(|path| format!("kv-{}.1", path.join("-"))).collect();
    wanted.insert("kv.1".to_owned());
    assert_eq!(written, wanted);
    let page = std::fs::read_to_string(dir.join("kv-scan.1")).unwrap();
    assert!(page.contains(".TH") && page.contains("kv scan \\-\\-prefix fruit/"), "{page}");
    assert!(page.contains("KV_DATA_DIR"), "{page}");
    // Again, over what is there.
    kv.ok(&["man", dir.to_str().unwrap()]);
}

#[test]
fn pages_that_cannot_be_written_are_told() {
    let kv = Kv::new();
    let file = kv.file("file", b"");
    kv.run(&["man", &file]).fails(3, "cannot write the manual pages");
}

fn names(dir: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}
