//! Links between documents lead to something that is tracked.

use super::metadata::Metadata;
use super::tree::{File, Finding, Tree};

/// Relative links in Markdown, their sections included.
pub(crate) fn check(tree: &Tree, _: &Metadata) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| file.path.ends_with(".md")) {
        for (line, target) in links(file) {
            if let Some(advice) = broken(tree, file, target) {
                findings.push(Finding::new(&file.path, line, advice));
            }
        }
    }
    findings
}

/// Why a link leads nowhere.
fn broken(tree: &Tree, from: &File, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, section) = target.split_once('#').unwrap_or((target, ""));
    let Some(path) = resolve(&from.path, path) else {
        return Some(format!("`{target}` leads out of the project: link to what is inside"));
    };
    if !tree.holds(&path) {
        return Some(format!("`{target}` leads to nothing that is tracked: mend the path"));
    }
    let document = tree.file(&path).filter(|_| path.ends_with(".md"))?;
    if !section.is_empty() && !sections(document).any(|name| name == section) {
        return Some(format!("{path} has no section `{section}`: mend the link"));
    }
    None
}

/// `path` as seen from the document `from`; none where it leaves the project.
fn resolve(from: &str, path: &str) -> Option<String> {
    if path.is_empty() {
        return Some(from.to_owned());
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop()?,
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// The targets of `[text](target)` outside code, with their lines.
fn links(file: &File) -> impl Iterator<Item = (usize, &str)> {
    prose(file).flat_map(|(number, line)| {
        line.match_indices("](").filter_map(move |(at, _)| {
            // An odd number of backticks before it means that it stands in code.
            let in_code = line[..at].matches('`').count() % 2 == 1;
            let target = line[at + 2..].split([')', ' ']).next()?;
            (!in_code).then_some((number, target))
        })
    })
}

/// The lines outside fenced code.
fn prose(file: &File) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    file.lines().filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// The sections of a document under the names that links give them.
fn sections(file: &File) -> impl Iterator<Item = String> {
    prose(file).filter(|(_, line)| line.starts_with('#')).map(|(_, line)| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken_lines(files: &[(&str, &str)]) -> Vec<(String, usize)> {
        let findings = check(&Tree::of(files), &Metadata::default());
        findings.into_iter().map(|finding| (finding.file, finding.line)).collect()
    }

    #[test]
    fn links_to_tracked_files_folders_and_sections_are_fine() {
        let files = [
            ("README.md", "# A\n[d](docs/x.md) [e](./docs) [f](docs/x.md#the-one-rule) [g](#a)\n"),
            ("docs/x.md", "## The `one` rule!\n[up](../README.md) [w](https://example.org)\n"),
        ];
        assert!(broken_lines(&files).is_empty());
    }

    #[test]
    fn broken_links_are_found() {
        let files = [("docs/x.md", "[a](y.md)\n[b](../../z)\n[c](#none)\nfine\n")];
        let expected = [1, 2, 3].map(|line| ("docs/x.md".to_owned(), line));
        assert_eq!(broken_lines(&files), expected);
    }

    #[test]
    fn code_is_not_read_as_links() {
        let files = [("a.md", "`x[i](j)`\n```\n[a](b)\n```\n")];
        assert!(broken_lines(&files).is_empty());
    }
}
