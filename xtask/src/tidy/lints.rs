//! Lints that must be switched on: each crate's own, and clippy's list of banned methods.

use super::metadata::Metadata;
use super::source::code_only;
use super::tree::{File, Finding, Tree};
use super::words::UNSAFE_HOMES;

/// Every crate root forbids unsafe code. A crate that has one of the homes of unsafe code inside
/// denies it, so that the home can allow it; the crate that is a home itself is free.
pub(crate) fn forbid_unsafe(tree: &Tree, metadata: &Metadata) -> Vec<Finding> {
    let mut findings = Vec::new();
    for folder in metadata.folders.values() {
        let below = format!("{folder}/");
        if UNSAFE_HOMES.contains(&below.as_str()) {
            continue;
        }
        let has_home = UNSAFE_HOMES.iter().any(|h| h.starts_with(&below) && tree.file(h).is_some());
        let lint = if has_home { "deny" } else { "forbid" };
        let wanted = format!("#![{lint}(unsafe_code)]");
        for root in roots(tree, folder) {
            let has = code_only(&root.text).lines().any(|line| line.trim() == wanted);
            if !has {
                let advice = format!("add `{wanted}`");
                findings.push(Finding::new(&root.path, 1, advice));
            }
        }
    }
    findings
}

/// The files that rustc is started on for a crate's library and programs.
fn roots<'a>(tree: &'a Tree, folder: &str) -> impl Iterator<Item = &'a File> {
    let names = ["lib.rs", "main.rs"].map(|name| format!("{folder}/src/{name}"));
    let programs = format!("{folder}/src/bin/");
    tree.rust().filter(move |file| names.contains(&file.path) || file.path.starts_with(&programs))
}

/// What clippy must ban outside `kv-vfs`.
const BANNED: &[&str] = &[
    "std::fs::read",
    "std::fs::write",
    "std::fs::read_dir",
    "std::fs::remove_file",
    "std::fs::rename",
    "std::fs::create_dir",
    "std::fs::create_dir_all",
    "std::fs::hard_link",
    "std::fs::metadata",
    "std::fs::File::open",
    "std::fs::File::create",
    "std::fs::File::create_new",
    "std::fs::OpenOptions::open",
    "std::time::Instant::now",
    "std::time::SystemTime::now",
    "std::thread::spawn",
    "std::thread::sleep",
];

/// `clippy.toml` bans every way past the seam.
pub(crate) fn banned_methods(tree: &Tree, _: &Metadata) -> Vec<Finding> {
    const HOME: &str = "clippy.toml";
    let text = tree.file(HOME).map_or("", |file| &file.text);
    BANNED
        .iter()
        .filter(|method| !text.contains(&format!("path = \"{method}\"")))
        .map(|method| {
            Finding::new(HOME, 0, format!("add {method} to disallowed-methods, with its reason"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(folder: &str) -> Metadata {
        let mut metadata = Metadata::default();
        metadata.folders.insert("x".to_owned(), folder.to_owned());
        metadata
    }

    #[test]
    fn a_root_without_the_lint_is_found() {
        let tree = Tree::of(&[
            ("crates/kv-wal/src/lib.rs", "// #![forbid(unsafe_code)]\n"),
            ("crates/kv-wal/src/frame.rs", ""),
        ]);
        let findings = forbid_unsafe(&tree, &metadata("crates/kv-wal"));
        assert_eq!(
            findings,
            [Finding::new("crates/kv-wal/src/lib.rs", 1, "add `#![forbid(unsafe_code)]`")]
        );
        let tree = Tree::of(&[("crates/kv-wal/src/lib.rs", "#![forbid(unsafe_code)]\n")]);
        assert!(forbid_unsafe(&tree, &metadata("crates/kv-wal")).is_empty());
    }

    #[test]
    fn a_crate_with_a_home_inside_denies_instead() {
        let lib = ("crates/kv-vfs/src/lib.rs", "#![deny(unsafe_code)]\n");
        let home = ("crates/kv-vfs/src/mmap.rs", "");
        let meta = metadata("crates/kv-vfs");
        assert!(forbid_unsafe(&Tree::of(&[lib, home]), &meta).is_empty());
        assert_eq!(forbid_unsafe(&Tree::of(&[lib]), &meta).len(), 1);
    }

    #[test]
    fn the_home_of_unsafe_code_is_free() {
        let tree = Tree::of(&[("crates/kv-memtable/src/lib.rs", "")]);
        assert!(forbid_unsafe(&tree, &metadata("crates/kv-memtable")).is_empty());
    }

    #[test]
    fn a_ban_that_was_taken_out_is_found() {
        let whole: String =
            BANNED.iter().map(|m| format!("{{ path = \"{m}\", reason = \"\" }},\n")).collect();
        let check = |text: &str| {
            banned_methods(&Tree::of(&[("clippy.toml", text)]), &Metadata::default()).len()
        };
        assert_eq!(check(&whole), 0);
        assert_eq!(check(&whole.replace("std::thread::sleep", "x")), 1);
        assert_eq!(check(""), BANNED.len());
    }
}
