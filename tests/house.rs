//! What keeps the house readable: nothing stands in two places, and the map shows what is there.

#[path = "common/sources.rs"]
mod sources;

use sources::files;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// So many lines in a row may be the same in two places, blank ends of lines aside.
const MOST: usize = 12;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Places of the same run of lines: texts by their names, to `name:line` of both.
fn repeated(texts: &[(String, String)]) -> Vec<String> {
    let mut seen: BTreeMap<Vec<&str>, String> = BTreeMap::new();
    let mut found = vec![];
    for (name, text) in texts {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for (at, window) in lines.windows(MOST + 1).enumerate() {
            let here = format!("{name}:{}", at + 1);
            if let Some(there) = seen.insert(window.to_vec(), here.clone()) {
                found.push(format!("{there} and {here}"));
            }
        }
    }
    found
}

#[test]
fn nothing_stands_in_two_places() {
    let shown = |path: &PathBuf| path.strip_prefix(root()).expect("a file of ours").display().to_string();
    let list = files(&root().join("src"));
    let texts: Vec<_> =
        list.iter().map(|path| (shown(path), std::fs::read_to_string(path).expect("a source file"))).collect();
    assert!(texts.len() > 200);
    assert_eq!(repeated(&texts), Vec::<String>::new());
    let twice = (0..=MOST).map(|n| format!("  line {n}\n")).collect::<String>();
    let both = [("a".into(), format!("x\n{twice}")), ("b".into(), twice.replace("  ", ""))];
    assert_eq!(repeated(&both), ["a:2 and b:1"]);
}

/// Words in back-quotes that look like paths of this repository: `src/run/`, `compute/gpu/`, `tests/layering.rs`.
fn paths(text: &str) -> Vec<String> {
    let words = text.split('`').skip(1).step_by(2);
    let is_path = |word: &&str| {
        word.contains('/') && !word.contains("..") && word.chars().all(|c| c.is_alphanumeric() || "/_.-".contains(c))
    };
    words.filter(is_path).map(str::to_string).collect()
}

#[test]
fn the_map_names_paths_that_are_there() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let found = paths(&text);
    assert!(found.len() > 30, "{found:?}");
    // `std/...` are modules as scripts import them.
    let there = |path: &String| match path.strip_prefix("std/") {
        Some(module) => root().join("stdlib").join(module).with_extension("rhai").exists(),
        None => {
            root().join(path).exists() || root().join("src").join(path).exists() || {
                let file = root().join("src").join(path).with_extension("rs");
                file.exists()
            }
        }
    };
    let missing: Vec<&String> = found.iter().filter(|path| !there(path)).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md names {missing:?}");
    assert_eq!(paths("`a/b` and `c`, `x / y`, `d/e.rs`"), ["a/b", "d/e.rs"]);
}

/// What was computed of a weight is kept until a variable changes, so every assignment goes through `compute/variables`
/// (kernels that change one in place say so there); and gradients are found by `compute/autograd`, since candle's own walk does not know its
/// nodes.
#[test]
fn variables_change_and_are_differentiated_in_one_place() {
    let mut found = vec![];
    for path in files(&root().join("src")) {
        let name = path.strip_prefix(root()).expect("a file of ours").display().to_string();
        let text = std::fs::read_to_string(&path).expect("a source file");
        let own = |folder: &str| name.starts_with(folder);
        for (at, line) in text.lines().enumerate() {
            let code = line.trim_start();
            let sets = code.contains(".set(&") && !code.contains("self.set(&") && !own("src/compute/variables.rs");
            let walks = code.contains(".backward()") && !code.starts_with("//") && !own("src/compute/autograd/");
            if sets || walks {
                found.push(format!("{name}:{}: {code}", at + 1));
            }
        }
    }
    assert_eq!(found, Vec::<String>::new());
}
