//! What cargo says about the packages.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// The members of the workspace and what they are built from.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    /// Each member with the members that it depends on, in any way (tests and builds too).
    pub(crate) edges: BTreeMap<String, BTreeSet<String>>,
    /// The folder of each member, from the workspace's directory.
    pub(crate) folders: BTreeMap<String, String>,
    /// The third-party packages that a user of `kv-engine` compiles, with default features.
    pub(crate) engine_packages: BTreeSet<String>,
}

impl Metadata {
    /// Asks cargo, for the host.
    pub(crate) fn load(root: &Path) -> Result<Metadata> {
        let text = cargo(root, &["metadata", "--format-version", "1", "--no-deps"])?;
        let value: Value = serde_json::from_str(&text).context("cargo metadata is no JSON")?;
        let mut metadata = members(&value);
        // `cargo metadata` unites the features that all members ask for; a user of one crate gets
        // only that crate's, which is what `cargo tree` shows.
        let tree = cargo(
            root,
            &["tree", "--package", "kv-engine", "--edges", "normal,build", "--prefix", "none"],
        )?;
        metadata.engine_packages = third_party(&tree, &metadata.edges);
        Ok(metadata)
    }
}

fn cargo(root: &Path, arguments: &[&str]) -> Result<String> {
    let program = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(program)
        .args(arguments)
        .current_dir(root)
        .output()
        .context("cannot start cargo")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cargo {} failed: {said}", arguments.join(" "));
    String::from_utf8(output.stdout).context("cargo's answer is not UTF-8")
}

/// The members in the answer of `cargo metadata`.
fn members(value: &Value) -> Metadata {
    let mut metadata = Metadata::default();
    let empty = Vec::new();
    let list = |value: &'_ Value| value.as_array().cloned().unwrap_or_default();
    let packages = value["packages"].as_array().unwrap_or(&empty);
    let root = value["workspace_root"].as_str().unwrap_or_default();
    let names: BTreeSet<&str> = packages.iter().filter_map(|p| p["name"].as_str()).collect();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let uses = list(&package["dependencies"])
            .iter()
            .filter_map(|dependency| dependency["name"].as_str())
            .filter(|used| names.contains(used) && *used != name)
            .map(str::to_owned)
            .collect();
        metadata.edges.insert(name.to_owned(), uses);
        let manifest = package["manifest_path"].as_str().unwrap_or_default();
        let folder = manifest.strip_prefix(root).and_then(|m| m.strip_suffix("/Cargo.toml"));
        metadata
            .folders
            .insert(name.to_owned(), folder.unwrap_or_default().trim_start_matches('/').to_owned());
    }
    metadata
}

/// The packages in the answer of `cargo tree` that are not members, as `name version`.
fn third_party(tree: &str, members: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    tree.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.next()?))
        })
        .filter(|(name, _)| !members.contains_key(*name))
        .map(|(name, version)| format!("{name} {version}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_and_their_edges_are_read() {
        let value: Value = serde_json::from_str(
            r#"{"workspace_root": "/w", "packages": [
                {"name": "a", "manifest_path": "/w/crates/a/Cargo.toml", "dependencies":
                    [{"name": "b", "kind": null}, {"name": "bytes", "kind": null}]},
                {"name": "b", "manifest_path": "/w/b/Cargo.toml", "dependencies":
                    [{"name": "c", "kind": "dev"}, {"name": "b", "kind": "dev"}]},
                {"name": "c", "manifest_path": "/w/c/Cargo.toml", "dependencies": []}
            ]}"#,
        )
        .unwrap();
        let metadata = members(&value);
        let uses = |name: &str| metadata.edges[name].iter().cloned().collect::<Vec<_>>();
        assert_eq!((uses("a"), uses("b"), uses("c")), (vec!["b".into()], vec!["c".into()], vec![]));
        assert_eq!(metadata.folders["a"], "crates/a");
    }

    #[test]
    fn third_party_packages_are_counted_once() {
        let edges = BTreeMap::from([("kv-engine".to_owned(), BTreeSet::new())]);
        let tree = "kv-engine v0.1.0 (/w/crates/kv-engine)\nbytes v1.2.3\n\nbytes v1.2.3 (*)\n";
        assert_eq!(third_party(tree, &edges), BTreeSet::from(["bytes v1.2.3".to_owned()]));
    }
}
