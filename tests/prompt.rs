//! The prompt in a pseudo-terminal, as a person uses it: one sitting from the first network to the saved script, and the
//! small things that only a terminal shows.

#![cfg(unix)]

mod common;

use common::program::Folder;
use rexpect::session::{PtySession, spawn_command};
use std::path::{Path, PathBuf};

/// Longer than anything here takes, even on a busy machine.
const PATIENCE: Option<u64> = Some(120_000);

/// The prompt at a terminal of so many columns.
fn sitting(folder: &Folder, columns: usize, colours: bool, arguments: &str) -> PtySession {
    let program = env!("CARGO_BIN_EXE_workbench");
    let mut command = std::process::Command::new("sh");
    command.arg("-c").arg(format!("stty rows 30 cols {columns}; exec '{program}' {arguments}"));
    command.current_dir(folder.path()).env("TERM", "xterm-256color").env_remove("RUST_BACKTRACE");
    command.env("WORKBENCH_HISTORY", folder.path().join("history"));
    if colours {
        command.env_remove("NO_COLOR")
    } else {
        command.env("NO_COLOR", "1")
    };
    let mut session = spawn_command(command, PATIENCE).expect("a pseudo-terminal");
    session.exp_string("> ").expect("the prompt");
    session
}

/// What was typed is taken in, or dropped, and the next prompt is there.
fn next_prompt(session: &mut PtySession) {
    session.exp_string("\x1b[?2004l").expect("the end of the input");
    session.exp_string("> ").expect("the next prompt");
}

/// Type a line and wait for the next prompt; what is typed before that may be lost, and the echo of a line holds a prompt too.
fn tell(session: &mut PtySession, line: &str) {
    session.send_line(line).expect("typed");
    session.exp_string("\n").expect("the end of the typed line");
    session.exp_string("> ").unwrap_or_else(|e| panic!("{line}: no prompt: {e}"));
}

/// Type a line and wait for a text of the answer.
fn ask(session: &mut PtySession, line: &str, answer: &str) -> String {
    session.send_line(line).expect("typed");
    session.exp_string("\n").expect("the end of the typed line");
    let before = session.exp_string(answer).unwrap_or_else(|e| panic!("{line}: {e}"));
    session.exp_string("> ").unwrap_or_else(|e| panic!("{line}: no prompt: {e}"));
    before
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.flat_map(|e| if e.path().is_dir() { files(&e.path()) } else { vec![e.path()] }).collect()
}

#[test]
fn a_sitting_from_the_first_network_to_the_saved_script() {
    let folder = Folder::new(&[("helper.rhai", "fn chosen_radius() { 0.1 }\n")]);
    let mut p = sitting(&folder, 100, false, "");

    // Train a small network.
    for line in [
        "import \"std/train\" as train;",
        "import \"std/probe\" as probe;",
        "import \"helper\" as helper;",
        "let data = dataset(\"digits\", #{ train_limit: 80, test_limit: 20 });",
        "let net = sequential(data.shape, [conv2d(4, 3), relu_theta(1.0), flatten(), linear(data.classes)]);",
    ] {
        tell(&mut p, line);
    }
    let cfg = "#{ epochs: 2, batch: 20, lr: 2e-3, lr_end: 1e-3 }";
    ask(&mut p, &format!("train::fit(\"standard\", net, data, {cfg}, \"plain\")"), "plain epoch 2/2");

    // Probe it.
    tell(&mut p, "let x = data.test.images([0]); let y = data.test.labels([0]);");
    ask(&mut p, "probe::bounds_of(net, x, helper::chosen_radius())", "keys: columns");
    let rows = ask(&mut p, "probe::where_lost(net, x, y, 0.1)", "reached");
    assert!(rows.contains("layer"), "{rows}");

    // Interrupt what would not end; everything is still there.
    p.send_line("print(\"spin\" + \"ning\"); loop { }").unwrap();
    p.exp_string("spinning").unwrap();
    p.send_control('c').unwrap();
    p.exp_string("interrupted").unwrap();
    p.exp_string("> ").unwrap();
    ask(&mut p, "net.classes", "10");

    // A typo, and what was meant.
    ask(&mut p, "spectral_nrm(1)", "did you mean `spectral_norm`?");
    ask(&mut p, "?worst_logit", "did you mean `worst_logits`?");
    ask(&mut p, ":relaod", "did you mean `:reload`?");

    // Complete a name, then think better of it.
    p.send("let z = spectral_n\t").unwrap();
    p.flush().unwrap();
    p.exp_string("spectral_norm(").unwrap();
    p.send_control('c').unwrap();
    next_prompt(&mut p);

    // The last value, and a plot.
    ask(&mut p, "helper::chosen_radius() * 2.0", "0.2");
    ask(&mut p, "_ + 1.0", "1.2");
    ask(&mut p, "plot(\"bound.svg\", [0.1, 0.2], [0.8, 0.6], #{ title: \"certified\" })", "bound.svg\"");
    let plot = files(&folder.path().join("runs")).into_iter().find(|file| file.ends_with("bound.svg"));
    let plot = std::fs::read_to_string(plot.expect("the plot")).unwrap();
    assert!(plot.starts_with("<svg") && plot.contains("certified"));

    // A module that was edited meanwhile: first wrongly, then well.
    std::fs::write(folder.path().join("helper.rhai"), "fn chosen_radius() { 0.25").unwrap();
    ask(&mut p, ":reload", "everything is as it was before");
    ask(&mut p, "helper::chosen_radius()", "0.1");
    std::fs::write(folder.path().join("helper.rhai"), "fn chosen_radius() { 0.25 }\n").unwrap();
    ask(&mut p, ":reload", "helper.rhai read again");
    ask(&mut p, "helper::chosen_radius()", "0.25");
    ask(&mut p, ":vars", "net: Model");

    // Every line is in the history already, not only at the end.
    let history = std::fs::read_to_string(folder.path().join("history")).unwrap();
    assert!(history.contains("helper::chosen_radius() * 2.0") && history.contains(":reload"), "{history}");

    ask(&mut p, ":save sitting", "saved as sitting.rhai");
    p.send_line(":quit").unwrap();
    p.exp_eof().unwrap();

    // What was typed runs as a script: with what went well, without what failed.
    let script = std::fs::read_to_string(folder.path().join("sitting.rhai")).unwrap();
    assert!(!script.contains("spectral") && !script.contains("spin"), "{script}");
    let output = folder.run(&["run", "sitting.rhai"]);
    assert!(output.ends_with("exit code 0"), "{output}");
    for text in ["plain epoch 2/2", "1.5", "0.25"] {
        assert!(output.contains(text), "{text}: {output}");
    }
}

#[test]
fn a_script_is_run_first_and_its_names_stay() {
    let folder = Folder::new(&[
        ("sub/own.rhai", "import \"beside\" as beside;\nlet base = 40;\nfn from_script(x) { beside::plus_two(x) }\n"),
        ("sub/beside.rhai", "fn plus_two(x) {\n    if x < 0 { throw \"below zero\"; }\n    x + 2\n}\n"),
    ]);
    let mut p = sitting(&folder, 100, false, "repl sub/own.rhai");
    ask(&mut p, "from_script(base)", "42");
    // An error in the script's function shows the script's line.
    let shown = ask(&mut p, "from_script(-1)", "in the input");
    assert!(shown.contains("sub/beside.rhai:2") && shown.contains("sub/own.rhai:3"), "{shown}");
    std::fs::write(
        folder.path().join("sub/own.rhai"),
        "import \"beside\" as beside;\nlet base = 0;\nfn from_script(x) { beside::plus_two(x) + 100 }\n",
    )
    .unwrap();
    ask(&mut p, ":reload", "read again");
    // The function is new, the value is kept.
    ask(&mut p, "from_script(base)", "142");
    ask(&mut p, "?from_script", "from_script(x)");
}

#[test]
fn a_script_that_fails_leaves_what_it_defined() {
    let folder = Folder::new(&[("half.rhai", "let base = 40;\nfn plus_two(x) { x + 2 }\nplus_tw(base);\n")]);
    let mut p = sitting(&folder, 100, false, "repl half.rhai");
    ask(&mut p, "plus_two(base)", "42");
}

#[test]
fn a_narrow_terminal_and_no_colours_are_respected() {
    let folder = Folder::new(&[]);
    let mut p = sitting(&folder, 40, false, "");
    let text = "sequential([1, 8, 8], [conv2d(8, 3), relu(), flatten(), linear(10)])";
    let shown = format!("{}\n{}", ask(&mut p, text, "parameters"), ask(&mut p, "?conv2d", "Example"));
    // What the program prints; the input line itself is drawn with control codes.
    for line in shown.lines().filter(|line| !line.contains('\x1b')) {
        assert!(line.trim_end().chars().count() <= 40, "{line:?}");
    }
    assert!(!shown.contains("\x1b[3"), "no colours: {shown:?}");
    drop(p);

    let mut p = sitting(&folder, 80, true, "");
    p.send_line("\"a\" + \"b\"").unwrap();
    p.exp_string("\x1b[32m\"a\"\x1b[0m").expect("strings are coloured while they are typed");
}

/// An open bracket continues; an empty line ends the input anyway.
#[test]
fn inputs_of_several_lines() {
    let folder = Folder::new(&[]);
    let mut p = sitting(&folder, 80, false, "");
    p.send_line("fn both(a,").unwrap();
    p.send_line("        b) {").unwrap();
    p.send_line("    a + b").unwrap();
    p.send_line("}").unwrap();
    next_prompt(&mut p);
    ask(&mut p, "both(40, 2)", "42");
    p.send_line("let broken = (1 +").unwrap();
    p.send_line("").unwrap();
    p.exp_string("the script ends in the middle of a statement").unwrap();
    p.exp_string("> ").unwrap();
    ask(&mut p, "both(1, 1);", "");
    ask(&mut p, "_", "2");
}
