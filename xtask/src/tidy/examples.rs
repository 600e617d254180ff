//! Public items of the facade show how they are used, and so do those of layers that are useful alone.

use super::metadata::Metadata;
use super::source::code_only;
use super::tree::{Finding, Tree};
use std::collections::BTreeSet;

/// The crates that programs are written against.
const FACADES: &[&str] = &["crates/kv-engine/src/", "crates/kv-index/src/"];
/// Layers in which items may share an example: any in the same file that names them will do.
const LAYERS: &[&str] = &[
    "crates/kv-core/src/",
    "crates/kv-manifest/src/",
    "crates/kv-memtable/src/",
    "crates/kv-sstable/src/",
    "crates/kv-vfs/src/",
    "crates/kv-wal/src/",
];
/// Modules of theirs that are hidden from the documentation.
const HIDDEN: &[&str] = &["crates/kv-vfs/src/sync", "crates/kv-vfs/src/testing"];
const ITEMS: &[&str] = &["fn", "struct", "enum", "trait", "type"];

/// Public items without an example in their documentation. What is hidden from the documentation,
/// or sealed, nobody uses; of a macro's `$name` the invocations are documented.
pub(crate) fn check(tree: &Tree, _: &Metadata) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        let within = |homes: &[&str]| homes.iter().any(|home| file.path.starts_with(home));
        let shown = match (within(FACADES), within(LAYERS)) {
            (true, _) => BTreeSet::new(),
            (_, true) if !within(HIDDEN) => words_of_examples(&file.text),
            _ => continue,
        };
        let items = without_example(&file.text).into_iter();
        for (line, item) in items.filter(|(_, item)| !shown.contains(item.as_str())) {
            let advice = format!("`{item}` has no example: show its use in a few lines");
            findings.push(Finding::new(&file.path, line, advice));
        }
    }
    findings
}

/// The lines and names of public items whose documentation has no block of code.
fn without_example(text: &str) -> Vec<(usize, String)> {
    let code = code_only(text);
    let mut found = Vec::new();
    let mut shown = false;
    let mut sealed = None;
    for (i, (line, code)) in text.lines().zip(code.lines()).enumerate() {
        let trimmed = line.trim();
        let indent = line.len() - line.trim_start().len();
        if trimmed.ends_with("mod sealed {") {
            sealed = Some(indent);
        } else if trimmed == "}" && sealed == Some(indent) {
            sealed = None;
        }
        if trimmed.starts_with("///") {
            shown |= trimmed.contains("```");
        } else if trimmed.starts_with("#[") {
            shown |= trimmed == "#[doc(hidden)]";
        } else {
            if let Some(name) = public_item(code)
                && !shown
                && sealed.is_none()
            {
                found.push((i + 1, name));
            }
            shown = false;
        }
    }
    found
}

/// All words in the examples of a file.
fn words_of_examples(text: &str) -> BTreeSet<&str> {
    let mut words = BTreeSet::new();
    let mut within = false;
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("///"));
    for line in lines {
        if line.contains("```") {
            within = !within;
        } else if within {
            words.extend(line.split(|c: char| !c.is_alphanumeric() && c != '_'));
        }
    }
    words
}

/// The name of the public item that a line begins.
fn public_item(code: &str) -> Option<String> {
    let rest = code.trim_start().strip_prefix("pub ")?;
    let mut words = rest.split_whitespace().skip_while(|word| matches!(*word, "const" | "async"));
    let kind = words.next()?;
    let name = words.next()?.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    (ITEMS.contains(&kind) && !name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        without_example(text).into_iter().map(|(_, name)| name).collect()
    }

    #[test]
    fn an_item_without_an_example_is_found_where_it_stands() {
        let text = "/// Words.\n#[derive(Clone)]\npub struct A;\n\n/// ```\n/// a();\n/// ```\npub fn a() {}\n";
        let tree = Tree::of(&[("crates/kv-index/src/a.rs", text)]);
        let findings = check(&tree, &Metadata::default());
        assert_eq!(findings.iter().map(|f| f.line).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn an_example_is_of_the_next_item_only() {
        let text = "/// ```\n/// ```\npub fn a() {}\npub fn b() {}\n";
        assert_eq!(names(text), ["b"]);
        assert_eq!(names("pub const fn c() {}\npub type D<T> = T;\n"), ["c", "D"]);
    }

    #[test]
    fn in_a_layer_items_of_a_file_share_examples() {
        let text = "/// a\n/// ```\n/// let a = A::new().b();\n/// ```\npub struct A;\n\
                    /// c\npub fn b() {}\npub fn c() {}\n";
        let lines = |path| {
            let findings = check(&Tree::of(&[(path, text)]), &Metadata::default());
            findings.iter().map(|finding| finding.line).collect::<Vec<_>>()
        };
        assert_eq!(lines("crates/kv-sstable/src/a.rs"), [8]);
        assert_eq!(lines("crates/kv-index/src/a.rs"), [7, 8]);
        assert_eq!(lines("crates/kv-vfs/src/a.rs"), [8]);
        assert!(lines("crates/kv-vfs/src/testing/a.rs").is_empty());
        assert!(lines("crates/kv-cli/src/a.rs").is_empty());
    }

    #[test]
    fn what_nobody_sees_needs_none() {
        assert!(names("pub(crate) fn a() {}\nfn b() {}\npub use c;\npub mod d;\n").is_empty());
        assert!(names("/// Words.\n#[doc(hidden)]\npub fn a() {}\n").is_empty());
        assert!(names("    pub fn $name(self) {}\n").is_empty());
        assert_eq!(names("mod sealed {\n    pub trait A {}\n}\npub trait B {}\n"), ["B"]);
    }
}
