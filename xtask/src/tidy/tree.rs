//! The tracked files, in memory: what the rules look at.

use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Command;

/// Something to mend, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) file: String,
    /// Counted from 1; 0 where the whole file, or its absence, is meant.
    pub(crate) line: usize,
    /// What to do instead.
    pub(crate) advice: String,
}

impl Finding {
    pub(crate) fn new(file: &str, line: usize, advice: impl Into<String>) -> Finding {
        Finding { file: file.to_owned(), line, advice: advice.into() }
    }
}

/// One tracked text file.
#[derive(Debug)]
pub(crate) struct File {
    /// From the workspace's directory, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    /// The lines with their numbers, from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.split('\n').enumerate().map(|(i, line)| (i + 1, line))
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
}

/// All tracked files that are text.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
    /// Every tracked path, also of files that are not text.
    pub(crate) paths: Vec<String>,
}

impl Tree {
    /// What git tracks below `root`. A tracked file that the work tree lacks is passed over.
    pub(crate) fn load(root: &Path) -> Result<Tree> {
        let output = Command::new("git")
            .args(["ls-files", "-z"])
            .current_dir(root)
            .output()
            .context("cannot start git")?;
        ensure!(output.status.success(), "git ls-files failed: is this a git work tree?");
        let listing = String::from_utf8(output.stdout).context("a tracked name is not UTF-8")?;
        let mut tree = Tree::default();
        for path in listing.split_terminator('\0') {
            let Ok(bytes) = std::fs::read(root.join(path)) else { continue };
            tree.paths.push(path.to_owned());
            if let Ok(text) = String::from_utf8(bytes) {
                tree.files.push(File { path: path.to_owned(), text });
            }
        }
        Ok(tree)
    }

    /// A tree of these files.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Tree {
        Tree {
            paths: files.iter().map(|(path, _)| (*path).to_owned()).collect(),
            files: files
                .iter()
                .map(|(path, text)| File { path: (*path).to_owned(), text: (*text).to_owned() })
                .collect(),
        }
    }

    /// The file at a path.
    pub(crate) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The Rust files.
    pub(crate) fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.is_rust())
    }

    /// Whether a path names a tracked file or a directory with tracked files.
    pub(crate) fn holds(&self, path: &str) -> bool {
        let below = format!("{path}/");
        path.is_empty() || self.paths.iter().any(|p| p == path || p.starts_with(&below))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_held_by_the_files_in_it() {
        let tree = Tree::of(&[("docs/a.md", "")]);
        assert!(tree.holds("docs") && tree.holds("docs/a.md") && tree.holds(""));
        assert!(!tree.holds("doc") && !tree.holds("docs/a"));
    }
}
