//! Scripts mean what they say, and a run's folder is what happened.
//!
//! Each fault that was found once stands here with others of its kind.

#[path = "../common/mod.rs"]
mod common;

mod arithmetic;
mod attacks;
mod cases;
mod certificates;
mod commands;
mod language;
mod names;
mod record;
mod records;
mod soundness;
mod strangers;

use common::program::Folder;

/// What a script of one file prints, with its notes and exit code.
fn run(text: &str) -> String {
    Folder::new(&[("main.rhai", text)]).run(&["run", "main.rhai"])
}

/// The script ends well; what it printed.
fn printed(text: &str) -> String {
    let output = run(text);
    assert!(output.ends_with("exit code 0"), "{text}\n{output}");
    output.trim_end_matches("exit code 0").trim_end().to_string()
}

/// The script is refused, by `check` and by `run`, in words that hold `part`.
fn refused_at_once(text: &str, part: &str) {
    let folder = Folder::new(&[("main.rhai", text)]);
    for command in ["check", "run"] {
        let output = folder.run(&[command, "main.rhai"]);
        assert!(output.contains(part) && output.ends_with("exit code 1"), "{command}: {text}\n{output}");
    }
}

/// The script fails while it runs, in words that hold `part`.
fn refused(text: &str, part: &str) {
    let output = run(text);
    assert!(output.contains(part) && output.ends_with("exit code 1"), "{text}\n{output}");
}
