//! Words that may not stand in the code, or only in some places.

use super::metadata::Metadata;
use super::source::{behind_word, code_only};
use super::tree::{Finding, Tree};

/// Where unsafe code may be: a folder or a file each.
pub(crate) const UNSAFE_HOMES: &[&str] =
    &["crates/kv-memtable/", "crates/kv-vfs/src/mmap.rs", "crates/kv-sstable/src/cache/slot.rs"];

/// The word `unsafe` outside its homes. What is no member of the workspace is left alone.
pub(crate) fn unsafe_code(tree: &Tree, _: &Metadata) -> Vec<Finding> {
    let homeless = |path: &str| !UNSAFE_HOMES.iter().any(|home| path.starts_with(home));
    let outside = |path: &str| ["benches/peers/", "fuzz/"].iter().any(|o| path.starts_with(o));
    let mut findings = Vec::new();
    for file in tree.rust().filter(|file| homeless(&file.path) && !outside(&file.path)) {
        for (i, line) in code_only(&file.text).lines().enumerate() {
            if behind_word(line, "unsafe").is_some() {
                let advice =
                    format!("write it safely, or move it to {}", UNSAFE_HOMES.join(" or "));
                findings.push(Finding::new(&file.path, i + 1, advice));
            }
        }
    }
    findings
}

/// Macros that mark something as not done.
pub(crate) fn unfinished(tree: &Tree, _: &Metadata) -> Vec<Finding> {
    const MACROS: &[(&str, &str)] = &[
        ("todo", "write it, or leave it out"),
        ("unimplemented", "write it, leave it out, or answer an `Unsupported` error"),
        ("dbg", "remove it; a test's assertion message shows values"),
    ];
    let mut findings = Vec::new();
    for file in tree.rust() {
        for (i, line) in code_only(&file.text).lines().enumerate() {
            for (name, advice) in MACROS {
                if behind_word(line, name).is_some_and(|rest| rest.starts_with('!')) {
                    findings.push(Finding::new(&file.path, i + 1, *advice));
                }
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(check: fn(&Tree, &Metadata) -> Vec<Finding>, path: &str, text: &str) -> Vec<usize> {
        let findings = check(&Tree::of(&[(path, text)]), &Metadata::default());
        findings.iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn unsafe_code_is_found_outside_its_homes_only() {
        let text = "// unsafe in words\n#![forbid(unsafe_code)]\nlet x = unsafe { y() };\n";
        assert_eq!(lines(unsafe_code, "crates/kv-wal/src/a.rs", text), [3]);
        assert_eq!(lines(unsafe_code, "crates/kv-vfs/src/os.rs", text), [3]);
        assert!(lines(unsafe_code, "crates/kv-memtable/src/arena.rs", text).is_empty());
        assert!(lines(unsafe_code, "crates/kv-vfs/src/mmap.rs", text).is_empty());
    }

    #[test]
    fn unfinished_code_is_found_and_words_are_not() {
        let text = "fn a() { todo!() }\n// todo!()\nlet s = \"dbg!\";\nlet x = dbg!(1);\n";
        assert_eq!(lines(unfinished, "a.rs", text), [1, 4]);
        assert_eq!(lines(unfinished, "a.rs", "unimplemented!(\"later\")"), [1]);
    }
}
