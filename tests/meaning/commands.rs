//! Commands: shipped scripts by name, suggested lines that run as they stand, typing errors.

use crate::common::program::Folder;
use std::process::Stdio;

/// The words of a line as a shell takes them.
fn words(line: &str) -> Vec<String> {
    let output = std::process::Command::new("sh").arg("-c").arg(format!("printf '%s\\n' {line}")).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_string).collect()
}

/// Interrupted with names that hold blanks and quotes, with flags and settings: the line that is told goes on, and the report's
/// runs it again.
#[cfg(unix)]
#[test]
fn suggested_lines_run_as_they_stand() {
    let text = "let c = settings(#{ note: \"\", weights: \"\", list: [0.1] });
if c.weights != \"\" { load_npy(c.weights); }
for e in run.epochs(3) { run.log(#{ a: 1 }); run.checkpoint(); if e == 1 { wait(); } }
fn wait() { try { load_npy(\"go.npy\"); } catch { loop { sleep(0.01); } } }
run.result(#{ a: 1 });";
    let folder = Folder::new(&[("my net.rhai", text), ("data/x", "")]);
    let zero = candle_core::Tensor::zeros(1, candle_core::DType::F32, &candle_core::Device::Cpu).unwrap();
    zero.write_npy(folder.path().join("my weights.npy")).unwrap();
    let arguments = [
        "run",
        "my net.rhai",
        "--into",
        "it's a run",
        "--set",
        "note=a $HOME \"b\"",
        "--set",
        "weights=my weights.npy",
        "--set",
        "list=[1, 2]",
    ];
    let flags = ["--data-dir", "data", "--max-calls", "80", "--seed", "3", "--threads", "1"];
    let mut command = folder.command(&[&arguments[..], &flags].concat());
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = std::time::Instant::now();
    while !folder.path().join("it's a run/checkpoints").exists() && begun.elapsed().as_secs() < 60 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    std::thread::sleep(std::time::Duration::from_millis(300));
    // SAFETY: a signal to a child of ours that has not been waited for.
    unsafe { libc::kill(libc::pid_t::try_from(child.id()).unwrap(), libc::SIGINT) };
    let output = folder.shown(&child.wait_with_output().unwrap());
    assert!(output.ends_with("exit code 130"), "{output}");
    zero.write_npy(folder.path().join("go.npy")).unwrap();
    let told = output.lines().find_map(|line| line.find("workbench run").map(|at| &line[at..])).expect(&output);
    let own = words(told);
    let again = folder.run(&own[1..].iter().map(String::as_str).collect::<Vec<_>>());
    assert!(again.contains("resumed") && again.ends_with("exit code 0"), "{told}\n{again}");
    // The page's line makes the same run again.
    let page = std::fs::read_to_string(folder.path().join("it's a run/report.html")).unwrap();
    let at = page.find("workbench run").expect("a command");
    let line: String = page[at..].split('<').next().unwrap().to_string();
    let line = [("&#39;", "'"), ("&quot;", "\""), ("&#x27;", "'"), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")]
        .into_iter()
        .fold(line, |line, (from, to)| line.replace(from, to));
    let own = words(&line);
    for part in ["my net.rhai", "note=a $HOME \"b\"", "weights=my weights.npy", "list=[1, 2]", "--data-dir", "80", "3"]
    {
        assert!(own.iter().any(|word| word == part), "{part} in {line}");
    }
    let once_more = folder.run(&own[1..].iter().map(String::as_str).collect::<Vec<_>>());
    assert!(once_more.ends_with("exit code 0"), "{line}\n{once_more}");
}

#[test]
fn shipped_scripts_run_by_their_names() {
    let folder = Folder::new(&[]);
    for (name, said) in [
        ("probe_bounds", "exit code 0"),
        ("scripts/probe_bounds.rhai", "exit code 0"),
        ("probe_bounds.rhai", "exit code 0"),
    ] {
        let output = folder.run(&["check", name]);
        assert!(output.ends_with(said), "{name}: {output}");
    }
    for script in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts")).unwrap() {
        let name = script.unwrap().path().file_stem().unwrap().to_string_lossy().to_string();
        let output = folder.run(&["check", &name]);
        assert!(output.ends_with("exit code 0"), "{name}: {output}");
    }
    let output = folder.run(&["run", "probe_bounds", "--into", "r"]);
    assert!(output.ends_with("exit code 0"), "{output}");
    // A file of one's own comes first.
    let own = Folder::new(&[("quickstart", "print(\"own\");"), ("quickstart.rhai", "print(\"own too\");")]);
    assert!(own.run(&["run", "quickstart"]).starts_with("own\n"));
    assert!(own.run(&["run", "quickstart.rhai"]).starts_with("own too\n"));
    // One that is not there: what there is, and how one's own begins.
    for command in ["run", "check"] {
        let output = folder.run(&[command, "quickstar"]);
        for part in ["did you mean `quickstart`?", "`cifar10_6c2f`", "workbench new", "exit code 2"] {
            assert!(output.contains(part), "{output}");
        }
    }
    let output = folder.run(&["run", "nothing.rhai"]);
    assert!(output.contains("`mnist_4c3f`") && output.contains("workbench new"), "{output}");
}

#[test]
fn a_setting_that_is_typed_as_a_flag_is_recognised() {
    let folder = Folder::new(&[("main.rhai", "settings(#{ epochs: 3, lr: 0.1 });")]);
    for (flag, way) in [
        (&["--epochs", "3"][..], "--set epochs=3"),
        (&["--epochs=3"], "--set epochs=3"),
        (&["--lr", "1e-3"], "--set lr=1e-3"),
    ] {
        let output = folder.run(&[&["run", "main.rhai"][..], flag].concat());
        assert!(output.contains(way) && output.ends_with("exit code 2"), "{flag:?}: {output}");
    }
}
