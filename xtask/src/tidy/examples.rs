//! Public items of the facade show how they are used.

use super::metadata::Metadata;
use super::source::code_only;
use super::tree::{Finding, Tree};

/// The crates that programs are written against.
const FACADES: &[&str] = &["crates/kv-engine/src/", "crates/kv-index/src/"];
const ITEMS: &[&str] = &["fn", "struct", "enum", "trait", "type"];

/// Public items without an example in their documentation. What is hidden from the documentation,
/// or sealed, nobody uses; of a macro's `$name` the invocations are documented.
pub(crate) fn check(tree: &Tree, _: &Metadata) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust().filter(|f| FACADES.iter().any(|home| f.path.starts_with(home))) {
        for (line, item) in without_example(&file.text) {
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
        assert!(
            check(&Tree::of(&[("crates/kv-wal/src/a.rs", text)]), &Metadata::default()).is_empty()
        );
    }

    #[test]
    fn an_example_is_of_the_next_item_only() {
        let text = "/// ```\n/// ```\npub fn a() {}\npub fn b() {}\n";
        assert_eq!(names(text), ["b"]);
        assert_eq!(names("pub const fn c() {}\npub type D<T> = T;\n"), ["c", "D"]);
    }

    #[test]
    fn what_nobody_sees_needs_none() {
        assert!(names("pub(crate) fn a() {}\nfn b() {}\npub use c;\npub mod d;\n").is_empty());
        assert!(names("/// Words.\n#[doc(hidden)]\npub fn a() {}\n").is_empty());
        assert!(names("    pub fn $name(self) {}\n").is_empty());
        assert_eq!(names("mod sealed {\n    pub trait A {}\n}\npub trait B {}\n"), ["B"]);
    }
}
