//! A run's folder is what happened: all output, every epoch, every result, however the script ended.

use crate::common::program::Folder;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

fn read(folder: &Folder, name: &str) -> String {
    std::fs::read_to_string(folder.path().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

#[test]
fn everything_that_was_printed_is_kept() {
    let text = "print(\"before anything\"); debug(3);
let d = dataset(\"digits\", #{ train_limit: 20, test_limit: 10 });
for e in run.epochs(2) { for b in d.train.batches(10) { run.log(#{ a: e }); } print(`in ${e}`); }
print(table([\"x\"], [[1]]));
run.result(#{ a: 1 });
print(\"the end\");";
    let folder = Folder::new(&[("main.rhai", text)]);
    let output = folder.run(&["run", "main.rhai", "--into", "r"]);
    assert!(output.ends_with("exit code 0"), "{output}");
    let kept = read(&folder, "r/output.txt");
    let printed = output.split("\nnote:").next().unwrap().trim_end_matches("exit code 0").trim_end();
    assert!(kept.starts_with("before anything\n"), "{kept}");
    for line in printed.lines() {
        assert!(kept.contains(line), "{line:?} is not in\n{kept}");
    }
    assert!(kept.trim_end().ends_with("the end"), "{kept}");
    // An error is kept too.
    let folder = Folder::new(&[("main.rhai", "print(\"first\"); run.result(#{ a: 1 }); let x = [1]; x[7];")]);
    assert!(folder.run(&["run", "main.rhai", "--into", "r"]).ends_with("exit code 1"));
    assert!(read(&folder, "r/output.txt").starts_with("first\n"));
    assert!(read(&folder, "r/run.json").contains("\"status\": \"failed\""), "{}", read(&folder, "r/run.json"));
}

/// `break`, `return`, `exit` and an error end the epoch that was under way; nested loops and functions too.
#[test]
fn the_last_epoch_is_closed_however_it_is_left() {
    let head = "for e in run.epochs(5, \"net\") { run.log(#{ a: 1.5 * e });";
    for (text, status) in [
        (format!("{head} if e == 2 {{ break; }} }}"), "finished"),
        (format!("{head} if e == 2 {{ exit(); }} }}"), "finished"),
        (format!("{head} if e == 2 {{ return; }} }}"), "finished"),
        (format!("{head} if e == 2 {{ break; }} }} print(run.metrics.a);"), "finished"),
        (
            format!("fn train() {{ {head} if e == 2 {{ return; }} }} }} train(); run.result(#{{ a: run.metrics.a }});"),
            "finished",
        ),
        (format!("fn train() {{ {head} if e == 2 {{ exit(); }} }} }} train();"), "finished"),
        (format!("for i in 0..1 {{ {head} if e == 2 {{ break; }} }} }} run.result(#{{ a: 1 }});"), "finished"),
    ] {
        let folder = Folder::new(&[("main.rhai", &text)]);
        let output = folder.run(&["run", "main.rhai", "--into", "r"]);
        assert!(output.contains("epoch 3/5  a 3.0000") && output.ends_with("exit code 0"), "{text}\n{output}");
        assert!(!output.contains("epoch 4/5"), "{text}\n{output}");
        assert_eq!(read(&folder, "r/metrics.csv").lines().count(), 4, "{text}");
        assert_eq!(read(&folder, "r/metrics.jsonl").lines().count(), 3, "{text}");
        let record = read(&folder, "r/run.json");
        assert!(record.contains(&format!("\"status\": \"{status}\"")), "{text}\n{record}");
        assert!(read(&folder, "r/output.txt").contains("epoch 3/5"), "{text}");
        assert!(read(&folder, "r/report.html").contains("finished"), "{text}");
        let runs = folder.run(&["runs", "."]);
        assert!(runs.contains(status) && runs.contains(" 3 "), "{text}\n{runs}");
    }
}

/// The epoch that was left is closed where it was left: what follows neither belongs to it nor can lose it.
#[test]
fn an_epoch_that_is_left_is_closed_at_once() {
    let head = "for e in run.epochs(5, \"net\") { run.log(#{ a: 1.5 * e }); if e == 1 { break; } }";
    for after in
        ["print(\"after\"); throw \"later\";", "print(\"after\"); let x = [1]; x[3];", "sleep(0.5); print(\"after\");"]
    {
        let folder = Folder::new(&[("main.rhai", &format!("{head} {after}"))]);
        let output = folder.run(&["run", "main.rhai", "--into", "r"]);
        let (epoch, later) = (output.find("epoch 2/5"), output.find("after"));
        assert!(epoch.is_some() && epoch < later, "{after}\n{output}");
        assert_eq!(read(&folder, "r/metrics.csv").lines().count(), 3, "{after}");
        let kept = read(&folder, "r/output.txt");
        assert!(kept.find("epoch 2/5") < kept.find("after"), "{kept}");
        let row: serde_json::Value =
            serde_json::from_str(read(&folder, "r/metrics.jsonl").lines().last().unwrap()).unwrap();
        assert!(row["seconds"].as_f64().unwrap() < 0.45, "{row}");
    }
    // An error in the loop, caught or not, is none of an epoch's end unless the script goes on.
    let text = "try { for e in run.epochs(5) { run.log(#{ a: e }); throw \"no\"; } } catch { print(\"caught\"); } run.result(#{ a: 1 });";
    let folder = Folder::new(&[("main.rhai", text)]);
    let output = folder.run(&["run", "main.rhai", "--into", "r"]);
    assert!(output.contains("epoch 1/5") && output.contains("caught") && output.ends_with("exit code 0"), "{output}");
    let folder = Folder::new(&[("main.rhai", "for e in run.epochs(5) { run.log(#{ a: e }); throw \"no\"; }")]);
    let output = folder.run(&["run", "main.rhai", "--into", "r"]);
    assert!(!output.contains("epoch 1/5") && output.ends_with("exit code 1"), "{output}");
}

/// Why a run failed is in its folder.
#[test]
fn errors_are_kept() {
    let folder = Folder::new(&[("main.rhai", "run.result(#{ a: 1 });\nthrow \"no <weights>\";")]);
    assert!(folder.run(&["run", "main.rhai", "--into", "r"]).ends_with("exit code 1"));
    assert!(read(&folder, "r/output.txt").contains("error: no <weights>"), "{}", read(&folder, "r/output.txt"));
    assert!(read(&folder, "r/output.txt").contains("main.rhai:2:1"), "{}", read(&folder, "r/output.txt"));
    assert!(read(&folder, "r/run.json").contains("\"error\": \"no <weights>\""), "{}", read(&folder, "r/run.json"));
    assert!(read(&folder, "r/report.html").contains("no &lt;weights&gt;"));
}

/// Every shipped script that prints a table has results. Those that want real data are tried in tests/recipes.rs.
#[test]
fn every_table_of_a_shipped_script_is_a_result() {
    let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts");
    let stated = |text: &str| {
        ["run.result(", "evaluate::report(", "cascade::certified_report("].iter().any(|call| text.contains(call))
    };
    // A walk through one image ends in nothing that one compares.
    let all = std::fs::read_dir(scripts).unwrap().flatten();
    for entry in all.filter(|entry| entry.file_name() != "demo.rhai") {
        let text = std::fs::read_to_string(entry.path()).unwrap();
        assert!(stated(&text), "{} states no result", entry.path().display());
    }
    let folder = Folder::new(&[]);
    let output = folder.run(&["run", "probe_bounds", "--set", "epochs=1", "--into", "r"]);
    assert!(output.ends_with("exit code 0"), "{output}");
    assert!(read(&folder, "r/run.json").contains("\"margin\""), "{}", read(&folder, "r/run.json"));
}

/// A result alone makes a folder; one that nothing is stated in leaves none.
#[test]
fn a_script_that_states_results_is_a_run() {
    let folder =
        Folder::new(&[("result.rhai", "run.result(#{ clean: 0.5, certified: 0.25 });"), ("quiet.rhai", "print(1);")]);
    assert!(folder.run(&["run", "quiet.rhai"]).ends_with("exit code 0"));
    assert!(!folder.path().join("runs").exists());
    assert!(folder.run(&["run", "result.rhai", "--set", "x=1"]).ends_with("exit code 1"), "there are no settings");
    assert!(folder.run(&["run", "result.rhai", "--into", "r"]).ends_with("exit code 0"));
    let listed = folder.run(&["runs", "."]);
    assert!(listed.contains("50.0") && listed.contains("25.0") && listed.contains("finished"), "{listed}");
    assert!(read(&folder, "r/report.html").contains("25.0"));
}

/// `run x | head -1`: the run stops in order, and can go on.
#[test]
fn a_closed_pipe_ends_a_run_in_order() {
    let text = "let d = dataset(\"digits\", #{ train_limit: 40, test_limit: 10 });
let m = sequential(d.shape, [flatten(), linear(10)]); let o = adam(m);
for e in run.epochs(400) { for b in d.train.batches(10) { let l = cross_entropy(m.forward(b.x), b.y); o.step(l); run.log(#{ loss: l }); sleep(0.002); } run.checkpoint(); }
print(\"the end\");";
    let folder = Folder::new(&[("main.rhai", text)]);
    let mut command = folder.command(&["run", "main.rhai", "--into", "r"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert!(line.starts_with("epoch   1/400"), "{line}");
    drop(lines);
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(141), "{told}");
    assert!(!told.contains("panicked") && told.contains("run main.rhai --resume r"), "{told}");
    let record = read(&folder, "r/run.json");
    assert!(record.contains("\"status\": \"interrupted\""), "{record}");
    assert!(std::fs::read_dir(folder.path().join("r/checkpoints")).unwrap().count() > 0);
    // What could not be printed is in the folder all the same.
    assert!(read(&folder, "r/output.txt").contains("epoch   2/400"), "{}", read(&folder, "r/output.txt"));
    let resumed = folder.run(&["run", "main.rhai", "--resume", "r"]);
    assert!(resumed.contains("the end") && resumed.ends_with("exit code 0"), "{resumed}");
    // Without a checkpoint of its own, and where the line that nobody reads is the script's.
    for (tail, place) in [("", "epoch"), ("print(`said ${e}`);", "said")] {
        let quick = text.replace("run.checkpoint();", tail).replace("sleep(0.002);", "");
        std::fs::write(folder.path().join("quick.rhai"), quick).unwrap();
        let into = format!("quick-{place}");
        let arguments = ["run", "quick.rhai", "--into", &into, "--checkpoint-share", "0.0001"];
        let mut child = folder
            .command(&arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::with_capacity(16, child.stdout.take().unwrap());
        for _ in 0..3 {
            lines.read_line(&mut String::new()).unwrap();
        }
        drop(lines);
        let mut told = String::new();
        child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(141), "{told}");
        assert!(told.contains("last checkpoint: ") && !told.contains("batch 0 of 0"), "{told}");
    }
    // So do scripts without epochs, and the other commands.
    for arguments in [&["run", "print.rhai"][..], &["doc"], &["runs", "r"]] {
        std::fs::write(folder.path().join("print.rhai"), "for i in 0..100000 { print(i); }").unwrap();
        let mut child = folder
            .command(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::with_capacity(16, child.stdout.take().unwrap());
        lines.read_line(&mut String::new()).unwrap();
        drop(lines);
        let mut told = String::new();
        child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        let code = child.wait().unwrap().code();
        assert!(!told.contains("panicked") && matches!(code, Some(0 | 141)), "{arguments:?}: {code:?} {told}");
    }
}
