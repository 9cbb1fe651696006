//! A run that is interrupted and resumed ends bit for bit as one that is not: weights, metrics, results. Whatever happens to
//! its checkpoints, it never ends otherwise without saying so.

mod common;

use common::program::Folder;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use workbench::base::random::Generator;
use workbench::script::check::loop_state::{captured, carried};
use workbench::script::language::purity::Purity;
use workbench::script::session::{Config, Session};

/// Everything that a checkpoint has to hold: two loops, kept vectors and fresh ones, shuffled and augmented batches, draws
/// from the script's generator before, in and between the loops, moments of two optimisers and slow weights of one, windows of the record, a value
/// of the script's own, a copy that no optimiser knows, the best weights of each loop.
const SCRIPT: &str = r#"
import "std/local_lip" as lip;
let cfg  = settings(#{ epochs: 3, batch: 16, each: true });
let data = dataset("digits", #{ train_limit: 112, validation: 16, test_limit: 8, crop: 1, cutout: 2 });
let act  = relu_theta(1.0);
let first  = sequential(data.shape, [conv2d(4, 3), act, flatten(), linear(24), act, linear(data.classes)]);
let second = first.copy();
let mean   = first.copy();
let noise  = randn([1, 64]).sum().item();
let draws  = run.kept("draws", []);
for (model, i) in [first, second] {
    let optimizer = if i == 0 { lookahead(nadam(model, #{ lr: 3e-3, clip_norm: 1.0 }), #{ steps: 3 }) } else { sgd(model, #{ lr: 0.02, momentum: 0.9 }) };
    let vectors   = if i == 0 { singular_vectors(model, data.train.len(), #{ dtype: "f16" }) } else { singular_vectors(model, data.train.len(), #{ fresh: true }) };
    for epoch in run.epochs(cfg.epochs, ["nadam", "sgd"][i]) {
        let offset = 1e-3 * random();
        for batch in data.train.batches(cfg.batch) {
            let x      = batch.x + offset + 1e-3 * random();
            let bounds = lip::bounds(model, x, 0.1, vectors.of(batch), 1);
            let worst  = worst_logits(model, bounds, batch.y);
            let loss   = 0.5 * cross_entropy(bounds.logits, batch.y) + 0.5 * cross_entropy(worst, batch.y);
            optimizer.step(loss);
            for name in mean.parameters.keys() { mean.set_param(name, 0.9 * mean.param(name) + 0.1 * model.param(name)); }
            run.log(#{ loss: loss, certified: accuracy(worst, batch.y), offset: offset });
            if cfg.each { run.checkpoint(); }
        }
        draws.push(random());
        run.keep("draws", draws);
        run.best(model, data.validation, accuracy(model.forward(data.validation.images([0, 1, 2, 3])), data.validation.labels([0, 1, 2, 3])).item(), `${i}_best.safetensors`);
        run.checkpoint();
    }
    run.result(#{ network: i, loss: run.metrics.loss, draw: random() });
}
run.save(first, "first.safetensors");
run.save(second, "second.safetensors");
run.save(mean, "mean.safetensors");
run.result(#{ draws: draws, noise: noise, last: random() });
print("the end");
"#;

const QUICK: [&str; 7] = ["run", "main.rhai", "--threads", "2", "--window", "4", "--checkpoint-share=1"];

fn folder() -> Folder {
    Folder::new(&[("main.rhai", SCRIPT)])
}

/// The only run in the folder.
fn run_in(folder: &Folder) -> PathBuf {
    let mut runs = std::fs::read_dir(folder.path().join("runs")).expect("a run").flatten().map(|e| e.path());
    let run = runs.next().expect("a run");
    assert!(runs.next().is_none(), "there is one run");
    run
}

/// All that a run comes to: weights byte by byte, metrics without the time, results.
fn outcome(run: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = vec![];
    for file in ["first", "second", "mean", "0_best", "1_best"] {
        all.push((file.to_string(), std::fs::read(run.join(format!("{file}.safetensors"))).expect("weights")));
    }
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).expect("metrics");
    let mut lines = vec![];
    for line in text.lines() {
        let mut row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).expect("a row");
        row.remove("seconds");
        lines.push(serde_json::to_string(&row).unwrap());
    }
    // Three epochs and three windows of four batches... in each of two loops.
    assert!(lines.len() >= 6, "{text}");
    all.push(("metrics".into(), lines.join("\n").into_bytes()));
    let table = std::fs::read_to_string(run.join("metrics.csv")).expect("metrics");
    assert_eq!(table.lines().count(), 1 + 6, "{table}");
    let record: serde_json::Value = serde_json::from_slice(&std::fs::read(run.join("run.json")).unwrap()).unwrap();
    assert_eq!(record["status"], "finished");
    all.push(("results".into(), serde_json::to_vec(&record["results"]).unwrap()));
    all.push(("best".into(), serde_json::to_vec(&record["best"]).unwrap()));
    all
}

#[track_caller]
fn same(got: &[(String, Vec<u8>)], truth: &[(String, Vec<u8>)], how: &str) {
    for ((name, got), (_, truth)) in got.iter().zip(truth) {
        let show =
            |bytes: &[u8]| if name == "metrics" { String::from_utf8_lossy(bytes).into_owned() } else { String::new() };
        assert!(got == truth, "{how}: {name} differs\n{}\n---\n{}", show(got), show(truth));
    }
}

fn truth() -> Vec<(String, Vec<u8>)> {
    let folder = folder();
    let output = run(&folder, &QUICK);
    assert!(output.ends_with("exit code 0"), "{output}");
    outcome(&run_in(&folder))
}

/// A run under way; killed, if it is still there when the test is over.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

fn start(folder: &Folder, arguments: &[&str]) -> Running {
    let mut command = folder.command(arguments);
    Running(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

impl Running {
    fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    /// Wait until `there`, or until the run is over.
    #[track_caller]
    fn until(&mut self, there: impl Fn() -> bool) {
        let began = Instant::now();
        while !there() && !self.has_ended() {
            assert!(began.elapsed() < LONG, "what is waited for does not come");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Wait for its end; the exit code.
    #[track_caller]
    fn end(&mut self) -> Option<i32> {
        let began = Instant::now();
        while !self.has_ended() {
            assert!(began.elapsed() < LONG, "the run does not end");
            std::thread::sleep(Duration::from_millis(1));
        }
        self.0.wait().unwrap().code()
    }

    fn signal(&mut self, signal: libc::c_int) {
        if self.has_ended() {
            return;
        }
        let id = libc::pid_t::try_from(self.0.id()).unwrap();
        // SAFETY: a signal to a child of ours. One that has ended is not signalled: its number may be somebody else's.
        unsafe { libc::kill(id, signal) };
    }
}

/// Is there a run in the folder with such a file in it?
fn has(folder: &Folder, file: &str) -> bool {
    let runs = std::fs::read_dir(folder.path().join("runs"));
    runs.is_ok_and(|runs| runs.flatten().any(|run| run.path().join(file).exists()))
}

/// The program to its end: what it prints, and its exit code. Killed, and the test with it, if it takes too long.
#[track_caller]
fn finished(folder: &Folder, mut command: Command) -> String {
    let mut child =
        Running(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    // What is printed here fits into a pipe.
    child.end();
    let mut texts = [String::new(), String::new()];
    child.0.stdout.take().unwrap().read_to_string(&mut texts[0]).unwrap();
    child.0.stderr.take().unwrap().read_to_string(&mut texts[1]).unwrap();
    let [stdout, stderr] = texts.map(String::into_bytes);
    let status = child.0.wait().unwrap();
    folder.shown(&Output { status, stdout, stderr })
}

#[track_caller]
fn run(folder: &Folder, arguments: &[&str]) -> String {
    finished(folder, folder.command(arguments))
}

/// Resume until the run is over; the messages.
fn to_the_end(folder: &Folder) -> String {
    let path = run_in(folder).display().to_string();
    let output = run(folder, &[&QUICK[..], &["--resume", &path]].concat());
    assert!(output.contains("the end") && output.ends_with("exit code 0"), "{output}");
    output
}

#[test]
fn twenty_random_interruptions_change_nothing() {
    let truth = truth();
    let random = Generator::new(20);
    let began = Instant::now();
    assert!(run(&folder(), &QUICK).ends_with("exit code 0"));
    let whole = began.elapsed();
    let (mut midway, mut killed) = (0, 0);
    for point in 0..20 {
        let folder = folder();
        let kind = [libc::SIGINT, libc::SIGTERM, libc::SIGKILL, libc::SIGUSR1][point % 4];
        let mut child = start(&folder, &QUICK);
        // Only then is there a run to go on with.
        child.until(|| has(&folder, "run.json"));
        std::thread::sleep(whole.mul_f64(0.8 * random.unit()));
        child.signal(kind);
        let code = child.end();
        // It may have been quicker than the signal.
        if code == Some(0) {
            continue;
        }
        if kind == libc::SIGKILL {
            killed += 1;
        } else {
            assert_eq!(code, Some(if kind == libc::SIGUSR1 { 75 } else { 130 }), "point {point}");
        }
        let output = to_the_end(&folder);
        midway += usize::from(output.contains("after batch"));
        same(&outcome(&run_in(&folder)), &truth, &format!("point {point}, signal {kind}\n{output}"));
    }
    println!("{midway} of 20 went on in the middle of an epoch, {killed} after kill -9");
    assert!(midway >= 5 && killed >= 3, "{midway} in the middle of an epoch, {killed} killed");
}

/// Is a checkpoint being written at this moment, or did a run that is gone leave a part of one?
fn unfinished(folder: &Folder) -> bool {
    let runs = std::fs::read_dir(folder.path().join("runs")).into_iter().flatten().flatten();
    let files = runs.flat_map(|run| std::fs::read_dir(run.path().join("checkpoints")).into_iter().flatten().flatten());
    files.into_iter().any(|file| file.file_name().to_string_lossy().starts_with(".unfinished-"))
}

#[test]
fn killed_in_the_middle_of_writing_a_checkpoint_nothing_is_lost() {
    let truth = truth();
    let mut caught = 0;
    for round in 0..12_u64 {
        let folder = folder();
        let mut child = start(&folder, &QUICK);
        child.until(|| has(&folder, "run.json"));
        // Somewhere in the run, then the moment in which the next checkpoint is not yet whole.
        std::thread::sleep(Duration::from_millis(15 * round));
        let began = Instant::now();
        while !unfinished(&folder) && !child.has_ended() && began.elapsed() < LONG {
            std::hint::spin_loop();
        }
        child.signal(libc::SIGKILL);
        if child.end() == Some(0) {
            continue;
        }
        caught += usize::from(unfinished(&folder));
        let output = to_the_end(&folder);
        assert!(!unfinished(&folder), "what was left behind is tidied away");
        same(&outcome(&run_in(&folder)), &truth, &format!("round {round}\n{output}"));
    }
    println!("{caught} of 12 were killed while a checkpoint was written");
    assert!(caught >= 3, "{caught} of 12 were killed while a checkpoint was written");
}

#[test]
fn a_run_can_be_interrupted_again_and_again() {
    let truth = truth();
    let folder = folder();
    let mut arguments: Vec<String> = QUICK.map(String::from).to_vec();
    let mut interruptions = 0;
    // Longer each time, so that a slow machine too comes to the end.
    let mut pause = Duration::from_millis(80);
    loop {
        let list: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut child = start(&folder, &list);
        std::thread::sleep(pause);
        child.signal(libc::SIGINT);
        if child.end() == Some(0) {
            break;
        }
        pause += Duration::from_millis(10);
        interruptions += 1;
        assert!(interruptions < 100, "the run makes no progress");
        if arguments.len() == QUICK.len() && has(&folder, "run.json") {
            arguments.extend(["--resume".into(), run_in(&folder).display().to_string()]);
        }
    }
    assert!(interruptions >= 2, "{interruptions}");
    same(&outcome(&run_in(&folder)), &truth, "again and again");
}

/// How many rows its metrics have so far.
fn rows(folder: &Folder) -> Option<usize> {
    let runs = std::fs::read_dir(folder.path().join("runs")).ok()?.flatten().next()?;
    Some(std::fs::read_to_string(runs.path().join("metrics.jsonl")).ok()?.lines().count())
}

/// 11 images of a second data set behind each 16, 66 in a pass over its 50: they come again as they were, in the middle of a pass and of a round.
#[test]
fn batches_with_images_beside_go_on_in_the_middle_of_a_pass() {
    let beside = "cutout: 2, beside: \"digits\", beside_ratio: 0.7, beside_limit: 50";
    let script = SCRIPT.replace("cutout: 2", beside).replace("data.train.len()", "data.train.places");
    let folder = || Folder::new(&[("main.rhai", &script)]);
    let whole = folder();
    assert!(run(&whole, &QUICK).ends_with("exit code 0"));
    let truth = outcome(&run_in(&whole));
    let mut midway = 0;
    for wanted in [1, 2, 4, 6, 8, 9] {
        let folder = folder();
        let mut child = start(&folder, &QUICK);
        child.until(|| rows(&folder).unwrap_or(0) >= wanted);
        child.signal(if wanted % 2 == 0 { libc::SIGINT } else { libc::SIGKILL });
        if child.end() == Some(0) {
            continue;
        }
        let output = to_the_end(&folder);
        midway += usize::from(output.contains("after batch"));
        same(&outcome(&run_in(&folder)), &truth, &format!("after {wanted} rows\n{output}"));
    }
    assert!(midway >= 2, "{midway} of 6 went on in the middle of a pass");
}

/// A run that was stopped in the second loop, with its checkpoints.
fn stopped() -> Folder {
    let folder = folder();
    let mut child = start(&folder, &QUICK);
    child.until(|| rows(&folder).unwrap_or(0) >= 7);
    child.signal(libc::SIGKILL);
    child.end();
    folder
}

/// The numbered checkpoints, the latest first.
fn checkpoints(folder: &Folder) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(run_in(folder).join("checkpoints")).unwrap().flatten().map(|e| e.path());
    let mut found: Vec<_> = entries.filter(|p| p.file_name().unwrap().to_str().unwrap().starts_with('0')).collect();
    found.sort();
    found.reverse();
    found
}

#[test]
fn damaged_checkpoints_are_recognised_and_the_one_before_is_used() {
    let truth = truth();
    let random = Generator::new(3);
    for kind in 0..6 {
        let folder = stopped();
        let found = checkpoints(&folder);
        // One more where the run was killed before it had removed it.
        assert!((2..=3).contains(&found.len()), "{found:?}");
        let bytes = std::fs::read(&found[0]).unwrap();
        let at = (random.unit() * bytes.len() as f64) as usize;
        let damaged = match kind {
            0 => bytes[..at].to_vec(),
            1 => vec![],
            2 => [&bytes[..], b"more"].concat(),
            _ => {
                let mut flipped = bytes;
                flipped[at] ^= 1 << (at % 8);
                flipped
            }
        };
        std::fs::write(&found[0], damaged).unwrap();
        let output = to_the_end(&folder);
        assert!(output.contains("cut off or damaged") && output.contains("the one before is taken"), "{output}");
        same(&outcome(&run_in(&folder)), &truth, &format!("damage {kind}, byte {at}"));
    }
}

#[test]
fn without_a_good_checkpoint_the_run_begins_anew_and_says_so() {
    let truth = truth();
    let folder = stopped();
    for path in checkpoints(&folder) {
        std::fs::write(path, "nothing").unwrap();
    }
    let output = to_the_end(&folder);
    assert!(output.contains("the run begins anew"), "{output}");
    same(&outcome(&run_in(&folder)), &truth, "anew");
}

#[test]
fn the_end_of_an_earlier_loop_is_needed_and_checked() {
    let folder = stopped();
    let path = run_in(&folder);
    let end = std::fs::read_dir(path.join("checkpoints")).unwrap().flatten().map(|e| e.path());
    let end = end.into_iter().find(|p| p.file_name().unwrap().to_str().unwrap().starts_with("loop0")).expect("an end");
    std::fs::write(&end, "nothing").unwrap();
    let output = run(&folder, &[&QUICK[..], &["--resume", path.to_str().unwrap()]].concat());
    assert!(output.contains("begin the run anew") && output.ends_with("exit code 1"), "{output}");
}

#[test]
fn another_script_setting_or_seed_is_refused() {
    let folder = stopped();
    let path = run_in(&folder).display().to_string();
    let refused = |more: &[&str], words: &[&str]| {
        let output = run(&folder, &[&QUICK[..], &["--resume", &path], more].concat());
        assert!(!output.ends_with("exit code 0") && words.iter().all(|w| output.contains(w)), "{output}");
    };
    refused(&["--seed", "4"], &["--seed 0", "--allow-changes"]);
    refused(&["--set", "epochs=5"], &["epochs", "its default", "--allow-changes"]);
    refused(&["--set", "epochs=5", "--allow-changes"], &["run.epochs(3", "run.epochs(5"]);
    let other = SCRIPT.replace("linear(24)", "linear(20)");
    std::fs::write(folder.path().join("main.rhai"), &other).unwrap();
    refused(&[], &["source/main.rhai is not as it was"]);
    refused(&["--allow-changes"], &["object 0 of the script was", "linear(24)", "linear(20)"]);
    refused(&["--resume", "nowhere"], &[]);
    assert!(run(&folder, &["run", "main.rhai", "--resume", "nowhere"]).contains("no folder of a run"));
}

#[test]
fn without_the_vectors_it_says_that_it_is_not_exact() {
    let folder = folder();
    let arguments = [&QUICK[..], &["--without-vectors", "--set", "each=false"]].concat();
    let mut child = start(&folder, &arguments);
    child.until(|| has(&folder, "checkpoints"));
    child.signal(libc::SIGINT);
    assert_eq!(child.end(), Some(130));
    let path = run_in(&folder).display().to_string();
    let output = run(&folder, &[&arguments[..], &["--resume", &path]].concat());
    assert!(
        output.contains("without the power-iteration vectors") && output.contains("not end bit for bit"),
        "{output}"
    );
    assert!(output.ends_with("exit code 0"), "{output}");
}

#[test]
fn a_full_disk_leaves_the_last_good_checkpoint() {
    let truth = truth();
    let folder = folder();
    let mut child = start(&folder, &QUICK);
    child.until(|| has(&folder, "checkpoints"));
    child.signal(libc::SIGINT);
    assert_eq!(child.end(), Some(130));
    let path = run_in(&folder).display().to_string();
    let before = checkpoints(&folder);
    // No file may grow beyond 30 KB: the metrics and the copied modules fit, a checkpoint does not.
    let mut command = folder.command(&[&QUICK[..], &["--resume", &path]].concat());
    use std::os::unix::process::CommandExt;
    // SAFETY: between fork and exec only a system call is made.
    unsafe {
        command.pre_exec(|| {
            let limit = libc::rlimit { rlim_cur: 30_000, rlim_max: 30_000 };
            match libc::setrlimit(libc::RLIMIT_FSIZE, &limit) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        });
    }
    let output = finished(&folder, command);
    assert!(output.contains("checkpoint: ") && output.contains("the last good one is"), "{output}");
    assert!(output.contains("Make room, then go on with --resume") && output.ends_with("exit code 1"), "{output}");
    assert_eq!(checkpoints(&folder)[0], before[0], "the last good one is still there");
    let left: Vec<_> = std::fs::read_dir(run_in(&folder).join("checkpoints")).unwrap().flatten().collect();
    assert!(left.iter().all(|e| !e.file_name().to_string_lossy().starts_with('.')), "nothing half-written is left");
    to_the_end(&folder);
    same(&outcome(&run_in(&folder)), &truth, "after the disk was full");
}

#[test]
fn one_process_at_a_time() {
    let folder = folder();
    let mut child = start(&folder, &QUICK);
    child.until(|| has(&folder, "run.json"));
    let path = run_in(&folder).display().to_string();
    let output = run(&folder, &[&QUICK[..], &["--resume", &path]].concat());
    assert!(output.contains("under way in another process"), "{output}");
    assert_eq!(child.end(), Some(0));
}

#[test]
fn sums_of_ones_own_keep_a_run_from_going_on_inside_an_epoch() {
    let script = r#"
let data = dataset("digits", #{ train_limit: 64, test_limit: 8 });
let net  = sequential(data.shape, [flatten(), linear(10)]);
let optimizer = adam(net);
let seen = 0;
for epoch in run.epochs(200) {
    for batch in data.train.batches(8) { optimizer.step(cross_entropy(net.forward(batch.x), batch.y)); seen += batch.len(); }
    run.log(#{ seen: seen });
    run.checkpoint();
}
"#;
    let folder = Folder::new(&[("main.rhai", script)]);
    let mut child = start(&folder, &QUICK);
    child.until(|| has(&folder, "checkpoints"));
    child.signal(libc::SIGINT);
    assert_eq!(child.end(), Some(130));
    let path = run_in(&folder).display().to_string();
    let output = run(&folder, &[&QUICK[..], &["--resume", &path]].concat());
    assert!(output.contains("resumed from the beginning of epoch"), "{output}");
    assert!(output.contains("`seen` (main.rhai:7) changes from epoch to epoch and is not kept"), "{output}");
}

#[test]
fn an_interrupted_run_says_how_to_go_on_and_does() {
    // Checkpoints in the middle of an epoch by time alone: the script asks for none.
    let script = SCRIPT.replace("if cfg.each { run.checkpoint(); }", "").replace("        run.checkpoint();\n", "");
    let folder = Folder::new(&[("main.rhai", &script)]);
    let truth = {
        let other = Folder::new(&[("main.rhai", &script)]);
        assert!(run(&other, &QUICK).ends_with("exit code 0"));
        outcome(&run_in(&other))
    };
    let timed = [&QUICK[..], &["--checkpoint-minutes", "0.001"]].concat();
    let mut child = start(&folder, &timed);
    child.until(|| has(&folder, "checkpoints") && !checkpoints(&folder).is_empty());
    child.signal(libc::SIGKILL);
    child.end();
    let path = run_in(&folder).display().to_string();
    let mut child = Running(
        folder
            .command(&[&timed[..], &["--resume", &path]].concat())
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap(),
    );
    std::thread::sleep(Duration::from_millis(100));
    child.signal(libc::SIGTERM);
    let code = child.end();
    let mut text = String::new();
    child.0.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    // On a fast machine the first checkpoint that was seen may be the one at the end of the first loop.
    assert!(text.contains("resumed from nadam epoch") || text.contains("resumed from the end of the loop"), "{text}");
    if code != Some(0) {
        assert_eq!(code, Some(130), "{text}");
        assert!(text.contains("last checkpoint: ") && text.contains("workbench run main.rhai --resume"), "{text}");
    }
    to_the_end(&folder);
    same(&outcome(&run_in(&folder)), &truth, "by time");
}

#[test]
fn the_folder_says_what_the_run_was() {
    let folder = Folder::new(&[
        (
            "main.rhai",
            "import \"parts/net\" as net;\nlet cfg = settings(#{ lr: 0.1, eps: [0.1] });\nlet d = dataset(\"digits\", #{ train_limit: 32, test_limit: 8 });\nlet m = net::made(d);\nlet o = adam(m, #{ lr: cfg.lr });\nfor e in run.epochs(2, \"a\") {\n    for b in d.train.batches(16) { o.step(cross_entropy(m.forward(b.x), b.y)); run.log(#{ loss: 0.5, \"x/y\": 1.0 }); }\n}\nrun.result(#{ clean: 0.5, how: \"well\" });\nprint(run.save(m, \"w.safetensors\"));",
        ),
        ("parts/net.rhai", "fn made(d) { sequential(d.shape, [flatten(), linear(d.classes)]) }"),
    ]);
    let more =
        ["run", "main.rhai", "--threads", "2", "--seed", "5", "--set", "lr=0.2", "--window", "1", "--into", "mine"];
    let output = run(&folder, &more);
    assert!(output.ends_with("exit code 0"), "{output}");
    let mine = folder.path().join("mine");
    let read = |file: &str| std::fs::read_to_string(mine.join(file)).expect(file);
    let record: serde_json::Value = serde_json::from_str(&read("run.json")).unwrap();
    assert_eq!(record["seed"], 5);
    assert_eq!(record["device"], "cpu");
    assert_eq!(record["threads"], 2);
    assert_eq!(record["status"], "finished");
    assert_eq!(record["overrides"], serde_json::json!([["lr", "0.2"]]));
    assert_eq!(record["settings"][1], serde_json::json!({ "key": "lr", "value": "0.2", "given": true }));
    assert_eq!(record["results"], serde_json::json!([{ "clean": 0.5, "how": "well" }]));
    assert_eq!(record["weights"], "w.safetensors");
    assert_eq!(record["data"][0]["splits"]["train"][0], 32);
    assert_eq!(record["versions"]["workbench"], env!("CARGO_PKG_VERSION"));
    for (file, sum) in record["files"].as_object().unwrap() {
        let found = Sha256::digest(read(file)).iter().map(|b| format!("{b:02x}")).collect::<String>();
        assert_eq!(*sum, found.as_str(), "{file}");
    }
    let original = std::fs::read_to_string(folder.path().join("parts/net.rhai")).unwrap();
    assert_eq!(read("source/parts/net.rhai"), original);
    assert_eq!(read("metrics.jsonl").lines().count(), 2 * (2 + 1));
    assert_eq!(read("metrics.csv").lines().next(), Some("loop,epoch,step,seconds,loss,x/y"));
    assert!(read("output.txt").contains("a epoch 2/2"));
    let output = run(&folder, &more);
    assert!(output.contains("--into mine: it is there already") && output.ends_with("exit code 2"), "{output}");
    std::fs::write(mine.join("run.json"), "{").unwrap();
    let output = run(&folder, &["run", "--resume", "mine"]);
    assert!(output.contains("run.json is damaged") && output.ends_with("exit code 2"), "{output}");
}

#[test]
fn other_data_are_refused() {
    let text = |value: &str| {
        let make = "let x = zeros([8, 1, 2, 2]) + VALUE; let y = [0, 1, 0, 1, 0, 1, 0, 1];\nlet d = dataset_from(x, y, x, y);\n\
                    let m = sequential(d.shape, [flatten(), linear(2)]); let o = adam(m);\n\
                    for e in run.epochs(2) { for b in d.train.batches(4) { o.step(cross_entropy(m.forward(b.x), b.y)); } run.checkpoint(); }";
        make.replace("VALUE", value)
    };
    let folder = Folder::new(&[("main.rhai", &text("0.25"))]);
    assert!(run(&folder, &QUICK).ends_with("exit code 0"));
    let path = run_in(&folder).display().to_string();
    std::fs::write(folder.path().join("main.rhai"), text("0.5")).unwrap();
    let output = run(&folder, &[&QUICK[..], &["--resume", &path, "--allow-changes"]].concat());
    assert!(output.contains("does not hold what it held when the run began"), "{output}");
}

#[test]
fn what_is_used_before_the_first_batch_keeps_a_run_from_going_on_inside_an_epoch() {
    let script = r#"
let data = dataset("digits", #{ train_limit: 64, test_limit: 8 });
let net  = sequential(data.shape, [flatten(), linear(10)]);
let optimizer = adam(net);
for epoch in run.epochs(100) {
    let before = cross_entropy(net.forward(data.test.images([0])), data.test.labels([0])).item();
    for batch in data.train.batches(8) {
        let loss = cross_entropy(net.forward(batch.x), batch.y);
        optimizer.step(loss);
        run.log(#{ loss: loss, before: before });
    }
    run.checkpoint();
}
for name in ["first", "second", "mean"] { run.save(net, `${name}.safetensors`); }
print("the end");
"#;
    let folder = Folder::new(&[("main.rhai", script)]);
    let mut child = start(&folder, &QUICK);
    child.until(|| has(&folder, "checkpoints"));
    child.signal(libc::SIGINT);
    assert_eq!(child.end(), Some(130));
    let output = to_the_end(&folder);
    assert!(output.contains("resumed from the beginning of epoch"), "{output}");
    let other = Folder::new(&[("main.rhai", script)]);
    assert!(run(&other, &QUICK).ends_with("exit code 0"));
    let weights = |folder: &Folder| std::fs::read(run_in(folder).join("first.safetensors")).unwrap();
    assert!(weights(&folder) == weights(&other));
}

#[test]
fn shipped_scripts_can_be_interrupted_at_any_batch() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut engine = rhai::Engine::new();
    engine.set_optimization_level(rhai::OptimizationLevel::None);
    engine.register_custom_operator("@", 170).unwrap();
    let files = ["scripts", "stdlib"].into_iter().flat_map(|f| std::fs::read_dir(root.join(f)).unwrap().flatten());
    let asts: Vec<_> = files.map(|f| (f.path(), engine.compile_file(f.path()).unwrap())).collect();
    let functions: BTreeSet<String> =
        asts.iter().flat_map(|(_, ast)| ast.iter_functions().map(|f| f.name.to_string())).collect();
    let functions = functions.into_iter().filter(|name| !name.starts_with("anon$")).collect();
    let session = Session::new(Config {
        device: candle_core::Device::Cpu,
        seed: 0,
        threads: 1,
        data_dir: None,
        overrides: Default::default(),
        script: None,
        recording: Default::default(),
        source: Default::default(),
        allowed: Default::default(),
        ranks: Default::default(),
        limits: Default::default(),
    });
    let purity = Purity::new(session.engine(), functions);
    assert!(asts.len() > 20, "{}", asts.len());
    for (path, ast) in &asts {
        let (batches, epochs) = carried(ast, &purity);
        assert!(batches.is_empty() && epochs.is_empty(), "{}: {batches:?} {epochs:?}", path.display());
        if path.starts_with(root.join("scripts")) {
            assert_eq!(captured(ast, &purity), [], "{}", path.display());
        }
    }
}
