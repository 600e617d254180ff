//! `cargo xtask tidy`: the rules of the project that no compiler checks, as code.
//!
//! A rule is a pure function of the tracked files (and of what cargo says about the packages),
//! has its reason written down, and a test of its own that shows it failing. A finding names the
//! place and what to do instead.

mod edges;
mod examples;
mod face;
mod lengths;
mod links;
mod lints;
mod metadata;
mod packages;
mod source;
mod text;
mod tree;
mod words;

use anyhow::Result;
use metadata::Metadata;
use std::path::Path;
use tree::{Finding, Tree};

/// One rule.
struct Rule {
    name: &'static str,
    /// Why it is there; printed below its findings.
    reason: &'static str,
    check: fn(&Tree, &Metadata) -> Vec<Finding>,
}

const RULES: &[Rule] = &[
    Rule {
        name: "edges",
        reason: "layers that stay apart can be read, tested and used alone",
        check: edges::check,
    },
    Rule {
        name: "unsafe",
        reason: "memory unsafety that lives in one small place can be proved there",
        check: words::unsafe_code,
    },
    Rule {
        name: "forbid",
        reason: "the compiler then keeps unsafe code out of every other crate",
        check: lints::forbid_unsafe,
    },
    Rule {
        name: "seam",
        reason: "files, clocks and threads behind one seam make every run replayable",
        check: lints::banned_methods,
    },
    Rule {
        name: "file length",
        reason: "a file is one room with one purpose",
        check: lengths::files,
    },
    Rule {
        name: "function length",
        reason: "a function fits on a screen",
        check: lengths::functions,
    },
    Rule {
        name: "unfinished",
        reason: "what is in the tree works; what is not finished is not in the tree",
        check: words::unfinished,
    },
    Rule {
        name: "white space",
        reason: "a change shows what changed and nothing else",
        check: text::white_space,
    },
    Rule {
        name: "machine path",
        reason: "documents and settings hold on every machine",
        check: text::machine_paths,
    },
    Rule { name: "links", reason: "a document leads somewhere", check: links::check },
    Rule {
        name: "packages",
        reason: "every dependency of the core is compiled, audited and trusted by its users",
        check: packages::check,
    },
    Rule {
        name: "face",
        reason: "a face that fits on a page is learned in an hour, and each setting is a question",
        check: face::check,
    },
    Rule {
        name: "examples",
        reason: "an example that compiles answers sooner than a sentence",
        check: examples::check,
    },
];

/// Checks every rule and prints what it finds; answers whether there was nothing.
pub(crate) fn run(root: &Path) -> Result<bool> {
    let tree = Tree::load(root)?;
    let metadata = Metadata::load(root)?;
    let mut count = 0;
    for rule in RULES {
        let findings = (rule.check)(&tree, &metadata);
        for finding in &findings {
            println!("{}:{}: {}: {}", finding.file, finding.line, rule.name, finding.advice);
        }
        if !findings.is_empty() {
            println!("  ({}: {})", rule.name, rule.reason);
        }
        count += findings.len();
    }
    println!("tidy: {} rules, {} files, {count} findings", RULES.len(), tree.files.len());
    Ok(count == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_a_reason_and_a_name_of_its_own() {
        let mut names: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
        assert!(RULES.iter().all(|rule| !rule.reason.is_empty()));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), RULES.len());
    }
}
