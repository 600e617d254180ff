//! Rules for all text: white space, and paths that exist on one machine only.

use super::metadata::Metadata;
use super::tree::{Finding, Tree};

/// Tabs, spaces at a line's end, and a last line that does not end.
pub(crate) fn white_space(tree: &Tree, _: &Metadata) -> Vec<Finding> {
    // Others write these; a fixture is bytes even where they happen to be text.
    let foreign = |path: &str| {
        path.ends_with(".lock") || path.contains("fixtures/") || path.contains("testdata/")
    };
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| !foreign(&file.path)) {
        for (number, line) in file.lines() {
            if line.contains('\t') {
                findings.push(Finding::new(&file.path, number, "indent with spaces; write \\t"));
            }
            if line.ends_with([' ', '\r']) {
                findings.push(Finding::new(&file.path, number, "end the line at its last word"));
            }
        }
        if !file.text.is_empty() && !file.text.ends_with('\n') {
            let last = file.lines().count();
            findings.push(Finding::new(&file.path, last, "end the last line too"));
        }
    }
    findings
}

/// Absolute paths of one machine in documents and settings.
pub(crate) fn machine_paths(tree: &Tree, _: &Metadata) -> Vec<Finding> {
    let kind = |path: &str| path.ends_with(".md") || path.ends_with(".toml");
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| kind(&file.path)) {
        for (number, line) in file.lines() {
            if let Some(path) = machine_path(line) {
                let advice = format!("name a path relative to the project instead of {path}");
                findings.push(Finding::new(&file.path, number, advice));
            }
        }
    }
    findings
}

/// The first top-level directory of a machine that `line` names.
fn machine_path(line: &str) -> Option<&'static str> {
    const TOP: &[&str] = &["/work", "/tmp", "/root", "/home"];
    // Behind one of these characters it is the middle of another path or of an address.
    let inside = |c: char| c.is_alphanumeric() || "/._-~>".contains(c);
    let goes_on = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    TOP.iter().copied().find(|top| {
        line.match_indices(top).any(|(at, _)| {
            !line[..at].ends_with(inside) && !line[at + top.len()..].starts_with(goes_on)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(check: fn(&Tree, &Metadata) -> Vec<Finding>, path: &str, text: &str) -> Vec<usize> {
        let findings = check(&Tree::of(&[(path, text)]), &Metadata::default());
        findings.iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn tabs_trailing_spaces_and_open_ends_are_found() {
        assert_eq!(found(white_space, "a.rs", "fine\n\tno\nno \nno\r\nopen"), [2, 3, 4, 5]);
        assert!(found(white_space, "a.rs", "fine\n").is_empty());
        assert!(found(white_space, "Cargo.lock", "\t").is_empty());
    }

    #[test]
    fn machine_paths_are_found_in_documents_and_settings() {
        let top = ["work", "tmp", "root", "home"];
        for name in top {
            let text = format!("good\nsee `/{name}/x`\nthen /{name}\n");
            assert_eq!(found(machine_paths, "a.md", &text), [2, 3]);
            assert_eq!(found(machine_paths, "a.toml", &text), [2, 3]);
            assert!(found(machine_paths, "a.rs", &text).is_empty());
        }
    }

    #[test]
    fn addresses_and_relative_paths_are_no_machine_paths() {
        let text = "https://example.org/home/x docs/work/a ./tmp /workers /tmpfs\n";
        assert!(found(machine_paths, "a.md", text).is_empty());
    }
}
