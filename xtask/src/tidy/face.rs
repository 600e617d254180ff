//! The size of the facade: the methods of `Db` and the settings of `Options`.

use super::metadata::Metadata;
use super::source::{behind_word, code_only};
use super::tree::{Finding, Tree};

const ENGINE: &str = "crates/kv-engine/src/";
const METHODS: usize = 30;
const SETTINGS: usize = 20;

/// Fewer public methods on `Db` and fewer settings in `Options` than their limits.
pub(crate) fn check(tree: &Tree, _: &Metadata) -> Vec<Finding> {
    let mut methods = Vec::new();
    let mut settings = Vec::new();
    for file in tree.rust().filter(|file| file.path.starts_with(ENGINE)) {
        let code = code_only(&file.text);
        let place = |line: usize| (file.path.clone(), line);
        methods.extend(items(&code, "impl Db {", "pub fn").map(place));
        settings.extend(items(&code, "pub struct Options {", ":").map(place));
    }
    let mut findings = Vec::new();
    let mut limit = |found: Vec<(String, usize)>, limit: usize, what: &str| {
        let count = found.len();
        if let Some((file, line)) = found.into_iter().next_back().filter(|_| count >= limit) {
            let advice = format!(
                "{count} {what}, and fewer than {limit} are allowed: replace one instead of adding"
            );
            findings.push(Finding::new(&file, line, advice));
        }
    };
    limit(methods, METHODS, "public methods of `Db`");
    limit(settings, SETTINGS, "settings in `Options`");
    findings
}

/// The lines with `item` directly inside the blocks that begin with the line `head`.
fn items<'a>(code: &'a str, head: &'a str, item: &'a str) -> impl Iterator<Item = usize> + 'a {
    let mut depth = 0_usize;
    code.lines().enumerate().filter_map(move |(i, line)| {
        if depth == 0 && line.trim() == head {
            depth = 1;
            return None;
        }
        let holds = match item {
            "pub fn" => behind_word(line, "pub").is_some_and(|rest| rest.starts_with(" fn ")),
            _ => line.contains(item),
        };
        let found = depth == 1 && holds;
        if depth > 0 {
            depth = depth + line.matches('{').count() - line.matches('}').count().min(depth);
        }
        found.then_some(i + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> Vec<Finding> {
        let path = "crates/kv-engine/src/db.rs";
        check(&Tree::of(&[(path, text)]), &Metadata::default())
    }

    #[test]
    fn too_many_methods_are_found() {
        let method = "    pub fn a(&self) {\n        if x { pub_fn() }\n    }\n";
        let with = |n: usize| format!("impl Db {{\n{}}}\n", method.repeat(n));
        assert!(findings(&with(METHODS - 1)).is_empty());
        assert_eq!(findings(&with(METHODS)).len(), 1);
        let elsewhere = format!("impl Other {{\n{}}}\n", method.repeat(METHODS));
        assert!(findings(&elsewhere).is_empty());
    }

    #[test]
    fn methods_for_the_crate_only_do_not_count() {
        let text = format!("impl Db {{\n{}}}\n", "    pub(crate) fn a() {}\n".repeat(METHODS));
        assert!(findings(&text).is_empty());
    }

    #[test]
    fn too_many_settings_are_found() {
        let with = |n: usize| {
            format!("pub struct Options {{\n{}}}\n", "    pub(crate) a: u64,\n".repeat(n))
        };
        assert!(findings(&with(SETTINGS - 1)).is_empty());
        assert_eq!(findings(&with(SETTINGS)).len(), 1);
    }
}
