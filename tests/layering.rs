//! Imports point one way: a module uses only modules that come before it in the list of `src/lib.rs`, and some know
//! nothing of others at all.

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

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder of src/");
    entries.flatten().flat_map(|e| if e.path().is_dir() { files(&e.path()) } else { vec![e.path()] }).collect()
}

#[test]
fn imports_point_one_way() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut faults = vec![];
    for (module, allowed) in ALLOWED {
        for file in files(&source.join(module)) {
            let text = std::fs::read_to_string(&file).expect("a source file");
            for (number, line) in text.lines().enumerate().filter(|(_, l)| !l.trim_start().starts_with("//")) {
                for used in line.split("crate::").skip(1) {
                    let used: String = used.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                    let known = ALLOWED.iter().any(|(m, _)| *m == used);
                    if known && used != *module && !allowed.contains(&used.as_str()) {
                        faults.push(format!("{}:{}: {module} uses {used}", file.display(), number + 1));
                    }
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_module_is_listed() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let folders = std::fs::read_dir(source).expect("src/").flatten().filter(|e| e.path().is_dir());
    for folder in folders {
        let name = folder.file_name().to_string_lossy().into_owned();
        assert!(ALLOWED.iter().any(|(m, _)| *m == name), "src/{name} is not in the list of this test");
    }
}

/// Bindings convert and call; what they call computes.
#[test]
fn the_binding_layer_holds_no_tensor_arithmetic() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/script/bind");
    for file in files(&source) {
        let text = std::fs::read_to_string(&file).expect("a source file");
        for op in [".matmul(", ".affine(1", ".conv2d(", "par_iter", "for_float!"] {
            assert!(!text.contains(op), "{}: `{op}` belongs below the binding layer", file.display());
        }
    }
}
