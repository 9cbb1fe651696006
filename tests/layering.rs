//! Imports point one way: a module uses only modules that come before it in the list of `src/lib.rs`, some know nothing of
//! others at all, and inside a folder neither files nor sub-folders use each other in a circle.
//!
//! A `mod.rs` that holds `mod`, `pub use` and documentation alone is a front: a path through it is a path to the file that has the
//! name. A `mod` line makes no edge.

#[path = "common/sources.rs"]
mod sources;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use sources::files;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Each folder of `src/` with the modules it may use, from the ground up.
const ALLOWED: &[(&str, &[&str])] = &[
    // Files, memory, threads, the generator, text that people hand in: what is not about networks.
    ("base", &[]),
    ("compute", &["base"]),
    ("nn", &["base", "compute"]),
    ("bounds", &["base", "compute", "nn"]),
    ("train", &["base", "compute", "nn", "bounds"]),
    // Data knows nothing of networks.
    ("data", &["base", "compute"]),
    ("run", &["base", "compute"]),
    // How text and pictures look; knows nothing of what they are about.
    ("show", &["base", "compute"]),
    // What a run came to, as a person reads it.
    ("report", &["base", "run", "show"]),
    ("script", &["base", "compute", "nn", "bounds", "train", "data", "run", "show", "report"]),
    ("repl", &["base", "compute", "run", "script", "show"]),
    ("cli", &["base", "compute", "data", "run", "script", "show", "report", "repl"]),
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// A path of names, from the crate's root.
type Names = Vec<String>;

/// A module: what it uses, what it hands on, what it defines.
#[derive(Debug, Default)]
struct Module {
    /// Paths that its code and its `use` lines name, with the modules inside the file that they stand in.
    paths: Vec<(usize, Names)>,
    /// `pub use`: the new name and the path; `*` for all.
    exports: Vec<(String, Names)>,
    defines: BTreeSet<String>,
    is_front: bool,
}

impl Module {
    fn read(file: &Path) -> Self {
        let text = std::fs::read_to_string(file).expect("a source file");
        let tokens: TokenStream = text.parse().unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let mut module = Self { is_front: file.ends_with("mod.rs") || file.ends_with("lib.rs"), ..Self::default() };
        module.walk(tokens, 0);
        module
    }

    /// `depth` counts the modules inside the file around these tokens.
    fn walk(&mut self, tokens: TokenStream, depth: usize) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let word = |i: usize| match tokens.get(i) {
            Some(TokenTree::Ident(word)) => Some(word.to_string()),
            _ => None,
        };
        let sign = |i: usize, c: char| matches!(tokens.get(i), Some(TokenTree::Punct(p)) if p.as_char() == c);
        let (mut i, mut is_public, mut is_test) = (0, false, false);
        while i < tokens.len() {
            // Attributes and documentation.
            if sign(i, '#') {
                let at = if sign(i + 1, '!') { i + 2 } else { i + 1 };
                is_test |= tokens.get(at).is_some_and(|t| t.to_string().replace(' ', "") == "[cfg(test)]");
                i = at + 1;
                continue;
            }
            match word(i).as_deref() {
                Some("pub") => {
                    is_public = true;
                    i += if matches!(tokens.get(i + 1), Some(TokenTree::Group(_))) { 2 } else { 1 };
                    continue;
                }
                // `use<'a>` says what a type captures.
                Some("use") if !sign(i + 1, '<') => {
                    let end = (i..tokens.len()).find(|j| sign(*j, ';')).expect("a use ends");
                    for (names, new) in tree(&tokens[i + 1..end]) {
                        if is_public {
                            self.exports.push((new, names.clone()));
                        }
                        self.paths.push((depth, names));
                    }
                    i = end;
                }
                Some("mod") if sign(i + 2, ';') => {
                    i += 2;
                }
                Some("mod") => {
                    self.is_front = false;
                    if let (Some(TokenTree::Group(body)), false) = (tokens.get(i + 2), is_test) {
                        self.walk(body.stream(), depth + 1);
                    }
                    i += 2;
                }
                Some("fn" | "struct" | "enum" | "trait" | "type" | "const" | "static" | "macro_rules") => {
                    self.is_front = false;
                    // Neither a type `fn(x)` nor a pointer `*const T` has a name there that matters.
                    let name = word(if sign(i + 1, '!') { i + 2 } else { i + 1 });
                    self.defines.extend(name);
                }
                Some(first) => {
                    let mut names = vec![first.to_string()];
                    let mut j = i + 1;
                    while sign(j, ':')
                        && sign(j + 1, ':')
                        && let Some(next) = word(j + 2)
                    {
                        names.push(next);
                        j += 3;
                    }
                    if names.len() > 1 {
                        self.paths.push((depth, names));
                    }
                    i = j;
                    continue;
                }
                None => {
                    if let TokenTree::Group(group) = &tokens[i] {
                        self.is_front = false;
                        self.walk(group.stream(), depth);
                    }
                }
            }
            (is_public, is_test) = (false, false);
            i += 1;
        }
    }
}

/// The paths of a `use` tree, each with the name that it gets here.
fn tree(tokens: &[TokenTree]) -> Vec<(Names, String)> {
    let (mut found, mut at, mut renamed) = (vec![], vec![], None);
    let mut tokens = tokens.iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(word) if word == "as" => renamed = tokens.next().map(ToString::to_string),
            TokenTree::Ident(word) => at.push(word.to_string()),
            TokenTree::Punct(p) if p.as_char() == '*' => at.push("*".to_string()),
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                for part in inner.split(|t| matches!(t, TokenTree::Punct(p) if p.as_char() == ',')) {
                    for (rest, new) in tree(part) {
                        let rest = if rest == ["self"] { vec![] } else { rest };
                        let new = if new == "self" { at.last().cloned().unwrap_or_default() } else { new };
                        found.push(([at.clone(), rest].concat(), new));
                    }
                }
                return found;
            }
            _ => {}
        }
    }
    if let Some(last) = at.last().cloned() {
        found.push((at, renamed.unwrap_or(last)));
    }
    found
}

/// All modules of the crate by their paths.
struct House(BTreeMap<Names, Module>);

impl House {
    fn read() -> Self {
        let root = source();
        let modules = files(&root).into_iter().filter(|file| !file.ends_with("main.rs")).map(|file| {
            let inside = file.strip_prefix(&root).expect("a file of src/").with_extension("");
            let mut names: Names = inside.iter().map(|n| n.to_string_lossy().into_owned()).collect();
            if names.last().is_some_and(|n| n == "mod" || n == "lib") {
                names.pop();
            }
            (names, Module::read(&file))
        });
        Self(modules.collect())
    }

    /// The module that has what a path in `module` names; none if that is no module of ours.
    fn target(&self, module: &Names, depth: usize, path: &[String]) -> Option<Names> {
        let (mut at, mut rest) = match path[0].as_str() {
            "crate" => (vec![], &path[1..]),
            "self" | "super" => {
                let (mut at, mut inside, mut rest) = (module.clone(), depth, path);
                while let Some(word @ ("self" | "super")) = rest.first().map(String::as_str) {
                    match (word, inside) {
                        ("super", 0) => drop(at.pop()),
                        ("super", _) => inside -= 1,
                        _ => {}
                    }
                    rest = &rest[1..];
                }
                (at, rest)
            }
            first if self.0.contains_key(&[module.as_slice(), &[first.to_string()]].concat()) => (module.clone(), path),
            _ => return None,
        };
        while let Some(name) = rest.first() {
            let inner = [at.as_slice(), std::slice::from_ref(name)].concat();
            if self.0.contains_key(&inner) {
                (at, rest) = (inner, &rest[1..]);
                continue;
            }
            return Some(self.through(&at, name, 0));
        }
        Some(at)
    }

    /// The module that `name` is from, where `module` may hand it on.
    fn through(&self, module: &Names, name: &str, steps: usize) -> Names {
        let here = &self.0[module];
        if !here.is_front || steps > 8 {
            return module.clone();
        }
        for (new, path) in &here.exports {
            let (all, named) = (new == "*", new == name);
            let from = if all { &path[..path.len() - 1] } else { path.as_slice() };
            let Some(target) = self.target(module, 0, from) else { continue };
            if named || all && self.0[&target].defines.contains(name) {
                return target;
            }
        }
        module.clone()
    }

    /// Which modules each uses, without itself.
    fn edges(&self) -> BTreeMap<Names, BTreeSet<Names>> {
        let of = |(name, module): (&Names, &Module)| {
            let paths = if module.is_front { &[][..] } else { &module.paths[..] };
            let used = paths.iter().filter_map(|(depth, path)| self.target(name, *depth, path));
            (name.clone(), used.filter(|used| used != name).collect())
        };
        self.0.iter().map(of).collect()
    }
}

/// A way from a node back to itself, if there is one.
fn circle<T: Ord + Clone>(edges: &BTreeMap<T, BTreeSet<T>>) -> Option<Vec<T>> {
    fn visit<T: Ord + Clone>(
        node: &T,
        edges: &BTreeMap<T, BTreeSet<T>>,
        done: &mut BTreeSet<T>,
        way: &mut Vec<T>,
    ) -> Option<Vec<T>> {
        if let Some(start) = way.iter().position(|n| n == node) {
            return Some(way[start..].to_vec());
        }
        if !done.contains(node) {
            way.push(node.clone());
            for next in edges.get(node).into_iter().flatten() {
                if let Some(found) = visit(next, edges, done, way) {
                    return Some(found);
                }
            }
            way.pop();
            done.insert(node.clone());
        }
        None
    }
    let mut done = BTreeSet::new();
    edges.keys().find_map(|node| visit(node, edges, &mut done, &mut vec![]))
}

#[test]
fn imports_point_one_way() {
    let edges = House::read().edges();
    let mut faults = vec![];
    for (module, used) in &edges {
        let Some((_, allowed)) = ALLOWED.iter().find(|(m, _)| module.first().is_some_and(|top| top == m)) else {
            continue;
        };
        for used in used.iter().filter(|u| !u.is_empty() && u[0] != module[0]) {
            if !allowed.contains(&used[0].as_str()) {
                faults.push(format!("{} uses {}", module.join("/"), used.join("/")));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let edges = House::read().edges();
    let shown = |circle: Vec<Names>| circle.iter().map(|m| m.join("/")).collect::<Vec<_>>().join(" -> ");
    assert_eq!(circle(&edges).map(shown), None);
    // What is found missing would be found: the module that uses the most is there with all it uses.
    assert!(edges.values().map(BTreeSet::len).max() > Some(8));
}

/// The parts of a folder, each file and each sub-folder, as wholes.
#[test]
fn no_parts_of_a_folder_use_each_other_in_a_circle() {
    let house = House::read();
    let edges = house.edges();
    let folders: BTreeSet<Names> = house.0.keys().map(|m| m[..m.len().saturating_sub(1)].to_vec()).collect();
    for folder in folders {
        let part = |module: &Names| module.strip_prefix(folder.as_slice()).and_then(|rest| rest.first().cloned());
        let mut parts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (module, used) in &edges {
            let Some(own) = part(module) else { continue };
            let others = used.iter().filter_map(part).filter(|other| *other != own);
            parts.entry(own.clone()).or_default().extend(others);
        }
        assert_eq!(circle(&parts), None, "in src/{}", folder.join("/"));
    }
}

#[test]
fn circles_and_fronts_are_seen() {
    let module = |text: &str, front: bool| {
        let mut module = Module { is_front: front, ..Module::default() };
        module.walk(text.parse().expect("tokens"), 0);
        module
    };
    let names = |text: &str| text.split("::").filter(|n| !n.is_empty()).map(String::from).collect::<Names>();
    let made = |list: &[(&str, &str, bool)]| {
        House(list.iter().map(|(name, text, front)| (names(name), module(text, *front))).collect())
    };
    let front = ("a", "mod x; mod y; pub use x::X; pub use y::*;", true);
    let through_a_front = made(&[
        ("", "", true),
        front,
        ("a::x", "use super::y_of; struct X;", false),
        ("a::y", "fn y_of() -> super::X { todo() }", false),
    ]);
    assert!(circle(&through_a_front.edges()).is_some());
    let in_a_macro = made(&[
        ("", "", true),
        ("a", "mod x; fn f() { x::g!() }", true),
        ("a::x", "macro_rules! g { () => { $crate::a::f() } }", false),
    ]);
    assert!(circle(&in_a_macro.edges()).is_some());
    let own = made(&[
        ("", "", true),
        front,
        ("a::x", "struct X; fn one() {} mod inner { use super::one; fn f() { super::one() } }", false),
        ("a::y", "use super::X; #[cfg(test)] mod tests { use crate::a::x::X; }", false),
    ]);
    assert_eq!(circle(&own.edges()), None);
}

#[test]
fn every_module_is_listed() {
    let folders = std::fs::read_dir(source()).expect("src/").flatten().filter(|e| e.path().is_dir());
    for folder in folders {
        let name = folder.file_name().to_string_lossy().into_owned();
        assert!(ALLOWED.iter().any(|(m, _)| *m == name), "src/{name} is not in the list of this test");
    }
}

/// Bindings convert and call; what they call computes.
#[test]
fn the_binding_layer_holds_no_tensor_arithmetic() {
    for file in files(&source().join("script/bind")) {
        let text = std::fs::read_to_string(&file).expect("a source file");
        for op in [".matmul(", ".affine(1", ".conv2d(", "par_iter", "for_float!"] {
            assert!(!text.contains(op), "{}: `{op}` belongs below the binding layer", file.display());
        }
    }
}
