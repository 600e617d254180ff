//! How many packages of others a user of `kv-engine` takes in.

use super::metadata::Metadata;
use super::tree::{Finding, Tree};

const LIMIT: usize = 25;

/// Fewer than the limit, with default features.
pub(crate) fn check(_: &Tree, metadata: &Metadata) -> Vec<Finding> {
    let packages: Vec<&str> = metadata.engine_packages.iter().map(String::as_str).collect();
    if packages.len() < LIMIT {
        return Vec::new();
    }
    let advice = format!(
        "{} packages of others, and fewer than {LIMIT} are allowed: do without one of {}",
        packages.len(),
        packages.join(", ")
    );
    vec![Finding::new("crates/kv-engine/Cargo.toml", 0, advice)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_packages_are_found() {
        let with = |n: usize| Metadata {
            engine_packages: (0..n).map(|i| format!("p{i} v1.0.0")).collect(),
            ..Metadata::default()
        };
        assert!(check(&Tree::default(), &with(LIMIT - 1)).is_empty());
        assert_eq!(check(&Tree::default(), &with(LIMIT)).len(), 1);
    }
}
