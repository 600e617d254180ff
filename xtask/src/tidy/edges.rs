//! The table of crates in ARCHITECTURE.md against what the manifests say.

use super::metadata::Metadata;
use super::tree::{Finding, Tree};
use std::collections::{BTreeMap, BTreeSet};

const HOME: &str = "ARCHITECTURE.md";
const HEADER: &str = "| crate | may use | purpose |";

/// What a crate may use.
#[derive(Debug, PartialEq, Eq)]
enum Allowed {
    All,
    These(BTreeSet<String>),
}

/// The table equals the edges that there are: none is missing in it, and it promises none that
/// is not used.
pub(crate) fn check(tree: &Tree, metadata: &Metadata) -> Vec<Finding> {
    let Some(file) = tree.file(HOME) else {
        return vec![Finding::new(HOME, 0, format!("write it, with the table `{HEADER}`"))];
    };
    let rows = table(file.lines());
    if rows.is_empty() {
        return vec![Finding::new(HOME, 0, format!("add the table `{HEADER}`"))];
    }
    let mut findings = Vec::new();
    for (name, uses) in &metadata.edges {
        let Some((line, allowed)) = rows.get(name) else {
            findings.push(Finding::new(HOME, 0, format!("add a row for the crate {name}")));
            continue;
        };
        let Allowed::These(allowed) = allowed else { continue };
        for used in uses.difference(allowed) {
            let advice = format!("{name} may not use {used}: join the two one layer higher");
            findings.push(Finding::new(HOME, *line, advice));
        }
        for unused in allowed.difference(uses) {
            let advice = format!("{name} does not use {unused}: take it out of the row");
            findings.push(Finding::new(HOME, *line, advice));
        }
    }
    for (name, (line, _)) in &rows {
        if !metadata.edges.contains_key(name) {
            let advice = format!("there is no crate {name} in the workspace: take the row out");
            findings.push(Finding::new(HOME, *line, advice));
        }
    }
    findings
}

/// The rows by crate, with their lines.
fn table<'a>(lines: impl Iterator<Item = (usize, &'a str)>) -> BTreeMap<String, (usize, Allowed)> {
    lines
        .skip_while(|(_, line)| *line != HEADER)
        .skip(2)
        .take_while(|(_, line)| line.starts_with('|'))
        .filter_map(|(number, line)| {
            let mut cells = line.trim_matches('|').split('|').map(str::trim);
            let name = unquoted(cells.next()?);
            Some((name, (number, allowed(cells.next()?))))
        })
        .collect()
}

fn allowed(cell: &str) -> Allowed {
    match cell {
        "all" => Allowed::All,
        "nothing" => Allowed::These(BTreeSet::new()),
        names => Allowed::These(names.split(',').map(unquoted).collect()),
    }
}

fn unquoted(name: &str) -> String {
    name.trim().trim_matches('`').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice(table: &str, edges: &[(&str, &[&str])]) -> Vec<String> {
        let metadata = Metadata {
            edges: edges
                .iter()
                .map(|(name, uses)| {
                    ((*name).to_owned(), uses.iter().map(|u| (*u).to_owned()).collect())
                })
                .collect(),
            ..Metadata::default()
        };
        let text = format!("# Head\n\n{HEADER}\n|---|---|---|\n{table}\n\nText.\n");
        check(&Tree::of(&[(HOME, &text)]), &metadata).into_iter().map(|f| f.advice).collect()
    }

    #[test]
    fn a_table_that_equals_the_edges_is_fine() {
        let table = "| `a` | nothing | x |\n| `b` | `a` | y |\n| `x` | all | z |";
        assert!(advice(table, &[("a", &[]), ("b", &["a"]), ("x", &["b"])]).is_empty());
    }

    #[test]
    fn an_edge_that_the_table_lacks_is_found() {
        let table = "| `a` | nothing | x |\n| `b` | `a` | y |";
        assert_eq!(
            advice(table, &[("a", &["b"]), ("b", &["a"])]),
            ["a may not use b: join the two one layer higher"]
        );
    }

    #[test]
    fn an_edge_that_is_not_used_any_more_is_found() {
        let table = "| `a` | `b`, `c` | x |\n| `b` | nothing | y |\n| `c` | nothing | y |";
        let edges: &[(&str, &[&str])] = &[("a", &["c"]), ("b", &[]), ("c", &[])];
        assert_eq!(advice(table, edges), ["a does not use b: take it out of the row"]);
    }

    #[test]
    fn rows_and_crates_belong_together() {
        assert_eq!(
            advice("| `a` | nothing | x |", &[("b", &[])]),
            ["add a row for the crate b", "there is no crate a in the workspace: take the row out"]
        );
    }

    #[test]
    fn a_missing_document_is_found() {
        assert_eq!(check(&Tree::default(), &Metadata::default()).len(), 1);
        let tree = Tree::of(&[(HOME, "# Head\n")]);
        assert_eq!(check(&tree, &Metadata::default()).len(), 1);
    }
}
