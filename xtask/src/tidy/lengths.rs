//! How long files and functions may be. Examples in the documentation do not count.
//!
//! A comment `// long: reason` is the way past a limit: at the head of a file for the file,
//! directly above a function or in its first line for the function.

use super::metadata::Metadata;
use super::source::{behind_word, code_only};
use super::tree::{File, Finding, Tree};

const FILE_LIMIT: usize = 500;
const TEST_FILE_LIMIT: usize = 800;
const FUNCTION_LIMIT: usize = 70;
const EXCUSE: &str = "// long: ";
/// How many lines are the head of a file.
const HEAD: usize = 30;

/// Files over the limit.
pub(crate) fn files(tree: &Tree, _: &Metadata) -> Vec<Finding> {
    tree.rust().filter_map(long_file).collect()
}

fn long_file(file: &File) -> Option<Finding> {
    let is_test = file.path.contains("/tests/") || file.path.ends_with("/tests.rs");
    let limit = if is_test { TEST_FILE_LIMIT } else { FILE_LIMIT };
    let count = lines_beside_examples(&file.text);
    let excused = file.text.lines().take(HEAD).any(|line| line.starts_with(EXCUSE));
    (count > limit && !excused).then(|| {
        let advice = format!(
            "{count} lines; split it by purpose at {limit}, or write `{EXCUSE}reason` at its head"
        );
        Finding::new(&file.path, 0, advice)
    })
}

/// How many lines a file has, but for those of examples in its documentation.
fn lines_beside_examples(text: &str) -> usize {
    let mut within = false;
    let is_beside = |line: &&str| {
        let documents = line.trim_start().starts_with("///");
        let fence = documents && line.contains("```");
        within ^= fence;
        !(fence || documents && within)
    };
    text.lines().filter(is_beside).count()
}

/// Functions over the limit.
pub(crate) fn functions(tree: &Tree, _: &Metadata) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.rust() {
        let lines: Vec<&str> = file.text.lines().collect();
        for function in functions_of(&file.text) {
            let count = function.last - function.first + 1;
            if count > FUNCTION_LIMIT && !excused(&lines, &function) {
                let advice = format!(
                    "`{}` has {count} lines; split it at {FUNCTION_LIMIT}, or write `{EXCUSE}reason` above it",
                    function.name
                );
                findings.push(Finding::new(&file.path, function.first, advice));
            }
        }
    }
    findings
}

/// Whether the comments and attributes above a function, or its first line, give a reason.
fn excused(lines: &[&str], function: &Function) -> bool {
    let above = lines.iter().take(function.first - 1).rev();
    let attached = above.map(|line| line.trim_start()).take_while(|line| {
        line.starts_with("//") || line.starts_with("#[") || line.starts_with("pub")
    });
    let mut candidates = attached.chain(lines.get(function.first).map(|line| line.trim_start()));
    candidates.any(|line| line.starts_with(EXCUSE))
}

/// A function's name and its first and last line.
#[derive(Debug, PartialEq, Eq)]
struct Function {
    name: String,
    first: usize,
    last: usize,
}

/// The functions with a body, by their braces.
fn functions_of(text: &str) -> Vec<Function> {
    let mut done = Vec::new();
    let mut open: Vec<(Function, usize)> = Vec::new();
    let mut announced: Option<Function> = None;
    let mut depth = 0_usize;
    // A semicolon in brackets, as in `[u8; 4]`, does not end a declaration.
    let mut brackets = 0_usize;
    for (i, line) in code_only(text).lines().enumerate() {
        let number = i + 1;
        if let Some(name) = declared(line) {
            announced = Some(Function { name, first: number, last: number });
            brackets = 0;
        }
        for c in line.chars() {
            match c {
                '{' => {
                    depth += 1;
                    open.extend(announced.take().map(|function| (function, depth)));
                }
                '}' => {
                    if open.last().is_some_and(|(_, at)| *at == depth) {
                        done.extend(open.pop().map(|(f, _)| Function { last: number, ..f }));
                    }
                    depth = depth.saturating_sub(1);
                }
                '(' | '[' => brackets += 1,
                ')' | ']' => brackets = brackets.saturating_sub(1),
                ';' if brackets == 0 => announced = None,
                _ => {}
            }
        }
    }
    done
}

/// The name of the function that `line` declares.
fn declared(line: &str) -> Option<String> {
    let rest = behind_word(line, "fn")?.trim_start();
    let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(lines: usize) -> String {
        "    x();\n".repeat(lines)
    }

    fn check(path: &str, text: &str) -> Vec<Finding> {
        let tree = Tree::of(&[(path, text)]);
        let mut findings = files(&tree, &Metadata::default());
        findings.extend(functions(&tree, &Metadata::default()));
        findings
    }

    #[test]
    fn a_file_over_the_limit_is_found_unless_it_says_why() {
        let text = "// x\n".repeat(501);
        assert_eq!(check("crates/a/src/a.rs", &text).len(), 1);
        assert!(check("crates/a/tests/it/a.rs", &text).is_empty());
        assert_eq!(check("crates/a/tests/it/a.rs", &"\n".repeat(801)).len(), 1);
        assert!(check("crates/a/src/a.rs", &format!("// long: one table\n{text}")).is_empty());
        let half = "// x\n".repeat(250);
        let example = format!("{half}/// ```\n/// x();\n/// ```\n{half}");
        assert!(check("crates/a/src/a.rs", &example).is_empty());
        assert_eq!(check("crates/a/src/a.rs", &example.replace("```", "x")).len(), 1);
    }

    #[test]
    fn a_function_over_the_limit_is_found_unless_it_says_why() {
        let long = format!("fn long() -> [u8; 4] {{\n{}}}\n", body(70));
        let findings = check("a.rs", &long);
        assert_eq!(findings.len(), 1);
        assert!(findings[0].advice.contains("`long` has 72 lines"), "{findings:?}");
        assert!(check("a.rs", &format!("// long: one match\n#[inline]\n{long}")).is_empty());
        assert!(check("a.rs", &format!("fn short() {{\n{}}}\n", body(68))).is_empty());
    }

    #[test]
    fn declarations_without_a_body_do_not_take_the_next_braces() {
        let text = "trait T {\n    fn a(&self) -> [u8; 2];\n    const X: u8 = { 1 };\n}\n";
        assert!(functions_of(text).is_empty());
    }

    #[test]
    fn a_function_in_a_function_counts_for_itself_too() {
        let names: Vec<(String, usize, usize)> = functions_of(
            "fn outer() {\n    fn inner() {\n        \"}\";\n    }\n    if x { y }\n}\n",
        )
        .into_iter()
        .map(|f| (f.name, f.first, f.last))
        .collect();
        assert_eq!(names, [("inner".to_owned(), 2, 4), ("outer".to_owned(), 1, 6)]);
    }
}
