//! The guide and the README tell the truth: their code runs, their commands are commands.

mod common;

use common::program::Folder;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn chapters() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(root().join("docs/guide")).expect("the guide").flatten().map(|entry| entry.path()).collect();
    files.sort();
    files
}

/// The code blocks of a Markdown text in one language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut found = vec![];
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() == format!("```{language}") {
            found.push(lines.by_ref().take_while(|line| line.trim() != "```").collect::<Vec<_>>().join("\n"));
        } else if line.starts_with("```") {
            lines.by_ref().find(|line| line.trim() == "```");
        }
    }
    found
}

/// Typed at the prompt, one block after the other, every input of a chapter works.
#[test]
fn every_block_of_the_guide_runs() {
    for path in chapters() {
        let text = std::fs::read_to_string(&path).expect("a chapter");
        let input = blocks(&text, "rhai").join("\n\n");
        assert!(!input.is_empty(), "{}", path.display());
        let output = Folder::new(&[]).feed(&(input + "\n"));
        assert!(output.ends_with("exit code 0"), "{}:\n{output}", path.display());
    }
}

#[test]
fn the_own_bound_of_the_guide_is_sound_and_differentiable() {
    let path = chapters().into_iter().find(|path| path.ends_with("08_own_bound.md")).expect("the chapter");
    let text = std::fs::read_to_string(path).expect("the chapter");
    let output = Folder::new(&[]).feed(&(blocks(&text, "rhai").join("\n\n") + "\n"));
    let lines: Vec<&str> = output.lines().collect();
    let sound = lines.iter().position(|line| *line == "true").expect("the comparison with the attack");
    let gradient: f64 = lines[sound + 1].split_whitespace().next().and_then(|x| x.parse().ok()).expect("a norm");
    assert!(gradient > 0.0, "{output}");
}

/// What the README leaves out of its excerpts.
const README: &str = r#"
let clipped = true;
let cfg = #{ theta: 1.0, epochs: 1, method: "local_lip_b", batch: 8, iterations: 1, worst_iterations: 1, warmup: 0, ramp: 1,
             eps_train: 0.1, lr: 1e-3, lr_end: 1e-4 };
let data = dataset("digits", #{ train_limit: 16 });
"#;

#[test]
fn every_block_of_the_readme_runs() {
    let text = std::fs::read_to_string(root().join("README.md")).expect("README.md");
    let code = blocks(&text, "rhai");
    assert!(code.len() >= 3);
    let output = Folder::new(&[]).feed(&format!("{README}\n\n{}\n", code.join("\n\n")));
    assert!(output.ends_with("exit code 0"), "{output}");
}

/// Commands in README and guide: the script is there and passes the check, the settings exist, `doc` finds the name.
#[test]
fn every_command_is_one() {
    let mut commands: Vec<String> = vec![];
    for path in chapters().into_iter().chain([root().join("README.md")]) {
        let text = std::fs::read_to_string(&path).expect("a text");
        // Indented code, and blocks for a shell.
        let shell = blocks(&text, "sh").join("\n");
        let indented = text.lines().filter_map(|line| line.strip_prefix("    "));
        let lines = indented.chain(shell.lines()).filter(|line| line.starts_with("workbench "));
        commands.extend(lines.map(|line| line.split("  ").next().unwrap_or(line).to_string()));
    }
    assert!(commands.len() >= 5, "{commands:?}");
    let folder = Folder::new(&[]);
    for command in &commands {
        let words: Vec<&str> = command.split_whitespace().skip(1).collect();
        match words[0] {
            "run" | "check" | "repl" if words.get(1).is_some_and(|script| script.starts_with("scripts/")) => {
                let script = root().join(words[1]).display().to_string();
                assert!(folder.run(&["check", &script]).ends_with("exit code 0"), "{command}");
            }
            "doc" if words.len() > 1 && !words[1].starts_with("--") => {
                assert!(folder.run(&words).ends_with("exit code 0"), "{command}");
            }
            _ => {
                let with_help: Vec<&str> = words
                    .iter()
                    .take(2)
                    .copied()
                    .filter(|w| !w.starts_with('-') && !w.contains(['/', '.']))
                    .chain(["--help"])
                    .collect();
                assert!(folder.run(&with_help).ends_with("exit code 0"), "{command}");
            }
        }
    }
}
