//! Runs passed on: copies to vary, packs, runs repeated, compared, listed and swept, scripts from the hub.

use crate::common::hub::{COMMIT, Hub};
use crate::common::program::Folder;
use std::process::Stdio;

/// Trains a little, states a result that hangs on settings, seed and a module of std.
const SCRIPT: &str = "\
import \"std/schedule\" as schedule;
import \"parts/net\" as parts;
let cfg = settings(#{ lr: 0.01, width: 4, epochs: 2 });
let data = dataset(\"digits\", #{ train_limit: 64, test_limit: 16 });
let net = parts::made(data, cfg.width);
let optimizer = adam(net, #{ lr: cfg.lr });
for epoch in run.epochs(cfg.epochs, \"net\") {
    for batch in data.train.batches(32) {
        let loss = cross_entropy(net.forward(batch.x), batch.y);
        optimizer.step(loss);
        run.log(#{ loss: loss, clean: accuracy(net.forward(batch.x), batch.y) });
    }
}
let loss = ();
for batch in data.test.batches(16) { loss = cross_entropy(net.forward(batch.x), batch.y); }
run.result(#{ network: \"small\", loss: loss.item(), rate: schedule::learning_rate(1, #{ epochs: 2, lr: cfg.lr, lr_end: 1e-5 }) });
run.save(net, \"net.safetensors\");
";
const PART: &str =
    "fn made(data, width) { sequential(data.shape, [flatten(), linear(width), relu(), linear(data.classes)]) }";

fn folder() -> Folder {
    Folder::new(&[("net.rhai", SCRIPT), ("parts/net.rhai", PART)])
}

fn run(folder: &Folder, arguments: &[&str]) -> String {
    let output = folder.run(&[arguments, &["--threads", "1"]].concat());
    assert!(output.ends_with("exit code 0"), "{arguments:?}: {output}");
    output
}

fn read(folder: &Folder, file: &str) -> Vec<u8> {
    std::fs::read(folder.path().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

fn change(folder: &Folder, file: &str, from: &str, to: &str) {
    let text = String::from_utf8(read(folder, file)).unwrap();
    assert!(text.contains(from), "{file} holds no {from}: {text}");
    std::fs::write(folder.path().join(file), text.replace(from, to)).unwrap();
}

#[test]
fn a_pack_is_run_again_without_what_it_came_from() {
    let folder = folder();
    run(&folder, &["run", "net.rhai", "--set", "lr=0.02", "--seed", "5", "--into", "first"]);
    run(&folder, &["pack", "first", "--into", "net.workbench"]);
    let once = read(&folder, "net.workbench");
    run(&folder, &["pack", "first", "--into", "again.workbench"]);
    assert_eq!(once, read(&folder, "again.workbench"), "the same run makes the same bytes");
    let weights = read(&folder, "first/net.safetensors");
    for gone in ["first", "parts"] {
        std::fs::remove_dir_all(folder.path().join(gone)).unwrap();
    }
    std::fs::remove_file(folder.path().join("net.rhai")).unwrap();

    let told = run(&folder, &["replay", "net.workbench", "--into", "second"]);
    assert!(told.contains("all 2 results are those of net.workbench"), "{told}");
    assert!(read(&folder, "second/net.safetensors") == weights, "bit for bit");
    // A variation: settings of the pack but for one.
    run(&folder, &["run", "net.workbench", "--set", "width=5", "--into", "wide"]);
    let record = String::from_utf8(read(&folder, "wide/run.json")).unwrap();
    for part in ["\"value\": \"0.02\"", "\"value\": \"5\"", "\"seed\": 5", "\"script\": \"net.workbench\""] {
        assert!(record.contains(part), "{part} in {record}");
    }
    run(&folder, &["unpack", "net.workbench", "--into", "third"]);
    assert!(read(&folder, "third/net.safetensors") == weights);
    assert!(run(&folder, &["replay", "third", "--into", "fourth"]).contains("all 2 results are those of third"));
    let refused = folder.run(&["unpack", "net.workbench", "--into", "third"]);
    assert!(refused.contains("third is there already; name another folder with --into"), "{refused}");
    let refused = folder.run(&["pack", "third", "--into", "net.workbench"]);
    assert!(refused.contains("net.workbench is there already"), "{refused}");
}

#[test]
fn a_run_that_is_repeated_uses_its_own_modules_and_its_own_data() {
    let folder = folder();
    run(&folder, &["run", "net.rhai", "--into", "first"]);
    // As if another version of the program had run it, with another schedule.
    let schedule = String::from_utf8(read(&folder, "first/stdlib/schedule.rhai")).unwrap();
    let other = format!("{schedule}\nfn only_in_this_version() {{ 1 }}\nprint(\"the module of the run\");\n");
    let sum = |text: &str| {
        use sha2::{Digest, Sha256};
        Sha256::digest(text).iter().map(|b| format!("{b:02x}")).collect::<String>()
    };
    std::fs::write(folder.path().join("first/stdlib/schedule.rhai"), &other).unwrap();
    let refused = folder.run(&["replay", "first"]);
    assert!(refused.contains("first/stdlib/schedule.rhai has changed since it was run"), "{refused}");
    change(&folder, "first/run.json", &sum(&schedule), &sum(&other));
    let told = run(&folder, &["replay", "first", "--into", "second"]);
    assert!(told.starts_with("the module of the run"), "{told}");
    assert_eq!(String::from_utf8(read(&folder, "second/stdlib/schedule.rhai")).unwrap(), other);

    change(&folder, "first/run.json", "\"rhai\": \"1.", "\"rhai\": \"0.");
    let told = run(&folder, &["replay", "first", "--into", "third"]);
    assert!(told.contains("note: not the same circumstances: rhai 1."), "{told}");
    // Results that differ are shown, with both values.
    let text = String::from_utf8(read(&folder, "first/run.json")).unwrap();
    let at = text.find("\"loss\": ").unwrap() + "\"loss\": ".len();
    let value: String = text[at..].chars().take_while(|c| !",\n}".contains(*c)).collect();
    change(&folder, "first/run.json", &format!("\"loss\": {value}"), "\"loss\": 7.5");
    let told = run(&folder, &["replay", "first", "--into", "fourth"]);
    assert!(told.contains("1 of 2 results differ from first:") && told.contains("7.5"), "{told}");
    // The data are those of the run, or it is no replay.
    change(&folder, "first/run.json", "\"train\": [\n          64,", "\"train\": [\n          63,");
    let refused = folder.run(&["replay", "first"]);
    assert!(refused.contains("`digits` does not hold what it held when the run began"), "{refused}");
}

#[test]
fn runs_are_listed_and_compared() {
    let folder = folder();
    assert!(run(&folder, &["runs"]).starts_with("no runs yet"));
    run(&folder, &["run", "net.rhai", "--into", "runs/a"]);
    run(&folder, &["run", "net.rhai", "--set", "lr=0.5", "--seed", "1", "--into", "runs/b"]);
    run(&folder, &["pack", "runs/b", "--into", "b.workbench"]);
    std::fs::create_dir(folder.path().join("runs/broken")).unwrap();
    std::fs::write(folder.path().join("runs/broken/run.json"), "{").unwrap();
    let list = run(&folder, &["runs"]);
    assert!(
        list.contains("runs/a  finished  net 2") && list.contains("note: runs/broken/run.json is damaged"),
        "{list}"
    );
    change(&folder, "runs/a/run.json", "\"status\": \"finished\"", "\"status\": \"running\"");
    assert!(run(&folder, &["runs"]).contains("runs/a  killed "), "nobody runs it");
    for other in ["runs/b", "b.workbench"] {
        let told = run(&folder, &["compare", "runs/a", other, "--html", "c.html"]);
        let lines: Vec<Vec<&str>> = told.lines().map(|line| line.split_whitespace().collect()).collect();
        for line in [["lr", "0.01", "0.5"], ["seed", "0", "1"], ["rate", "(small)", "0.01"]] {
            assert!(lines.iter().any(|l| l.starts_with(&line)), "{line:?} in {told}");
        }
        assert!(!lines.iter().any(|l| l.first() == Some(&"width")), "what is the same is left out: {told}");
        let page = String::from_utf8(read(&folder, "c.html")).unwrap();
        assert!(page.contains("<td>lr</td><td>0.01</td><td>0.5</td>") && !page.contains("href=\"http"), "{page}");
    }
    let refused = folder.run(&["compare", "runs/a"]);
    assert!(refused.contains("compare: runs/a alone; name two runs or more"), "{refused}");
    let refused = folder.run(&["compare", "runs/a", "nowhere"]);
    assert!(refused.contains("nowhere is no folder of a run"), "{refused}");
}

#[test]
fn every_shipped_script_can_be_copied_and_stays_without_problems() {
    let folder = folder();
    for (name, _) in workbench::script::shipped::shipped() {
        let copy = format!("my_{name}");
        run(&folder, &["new", &copy, "--from", name]);
        run(&folder, &["check", &format!("{copy}.rhai")]);
    }
    let refused = |arguments: &[&str], message: &str| {
        let output = folder.run(&[&["new"], arguments].concat());
        assert!(output.contains(message) && output.ends_with("exit code 1"), "{output}");
    };
    refused(&["my_quickstart"], "my_quickstart.rhai is there already");
    refused(&["x", "--from", "quikstart"], "did you mean `quickstart`?");
    refused(&["../9"], "is no name for a script");
    refused(&["nowhere/x"], "nowhere/x.rhai");
    refused(&["parts/copy", "--from", "net.rhai"], "imports \"parts/net\" from its own folder");
    run(&folder, &["new", "copy", "--from", "net.rhai"]);
    run(&folder, &["check", "copy.rhai"]);
    run(&folder, &["new", "parts/local", "--from", "std/local_lip"]);
}

/// States what it was given; fails where `a` is 3.
const POINT: &str = "\
let cfg = settings(#{ a: 1, b: [0.5], wait: 0 });
if cfg.a == 3 { throw \"three is not to be had\"; }
for i in 0..cfg.wait { sleep(1); }
run.result(#{ sum: cfg.a + cfg.b[0] + seed });
";

#[test]
fn a_sweep_runs_every_point_and_tells_mean_and_spread() {
    let folder = Folder::new(&[("point.rhai", POINT)]);
    let sweep = [
        "sweep",
        "point.rhai",
        "--set",
        "a=1,2,3",
        "--set",
        "b=[0.5],[1.5, 2]",
        "--seeds",
        "3",
        "--jobs",
        "4",
        "--into",
        "s",
    ];
    let told = folder.run(&sweep);
    assert!(told.contains("s: 18 points, 18 to run") && told.contains("12 of 18 points finished"), "{told}");
    assert!(told.contains("    error: three is not to be had"), "{told}");
    assert!(told.contains("6 points failed") && told.ends_with("exit code 1"), "{told}");
    let rows = |told: &str| {
        told.lines()
            .filter(|line| line.starts_with("sum "))
            .map(|line| line.split("  ").map(str::trim).filter(|c| !c.is_empty()).collect::<Vec<_>>().join("|"))
            .collect::<Vec<_>>()
    };
    let first = rows(&told);
    assert_eq!(first[0], "sum|1|[0.5]|2.5|1|3", "{told}");
    assert_eq!(first.len(), 4);
    let failed = String::from_utf8(read(&folder, "s/point-13.txt")).unwrap();
    assert!(failed.contains("three is not to be had"), "{failed}");
    // Nothing that is finished is run again.
    let kept = read(&folder, "s/point-01/run.json");
    change(&folder, "point.rhai", "cfg.a == 3", "cfg.a == 4");
    let changed = folder.run(&["sweep", "--resume", "s"]);
    assert!(changed.contains("s: 18 points, 6 to run"), "{changed}");
    let said = String::from_utf8(read(&folder, "s/point-13.txt")).unwrap();
    assert!(said.contains("is not as it was when the run began"), "a sweep is one experiment: {said}");
    assert_eq!(kept, read(&folder, "s/point-01/run.json"));
    let text = |file: &str| String::from_utf8(read(&folder, file)).unwrap();
    let rows = text("s/sweep.csv");
    assert!(rows.starts_with("a,b,seed,run,status,sum\n1,[0.5],0,point-01,finished,1.5\n"), "{rows}");
    assert!(rows.contains("2,\"[1.5, 2]\",2,point-12,finished,5.5\n3,[0.5],0,point-13,failed,\n"), "{rows}");
    assert_eq!(rows.lines().count(), 1 + 18, "a row for each point: {rows}");
    let means = text("s/summary.csv");
    assert!(means.starts_with("result,a,b,mean,spread,seeds\nsum,1,[0.5],2.5,1,3\n"), "{means}");
}

#[test]
fn a_sweep_says_what_is_wrong_with_it() {
    let folder = Folder::new(&[("point.rhai", POINT)]);
    let refused = |arguments: &[&str], message: &str| {
        let output = folder.run(&[&["sweep", "point.rhai"], arguments].concat());
        assert!(output.contains(message) && output.ends_with("exit code 2"), "{output}");
    };
    refused(&[], "nothing varies; give --set KEY=VALUE,VALUE or --seeds N");
    refused(&["--set", "a=1,1"], "the value `1` comes twice");
    refused(&["--set", "a=1", "--set", "a=2"], "--set a is given twice");
    refused(&["--set", "a"], "there is no `=`");
    refused(&["--seeds", "1000", "--set", "a=1,2,3,4,5,6,7,8,9,10,11"], "more than 10000 points");
    let refused = folder.run(&["sweep", "nowhere.rhai", "--seeds", "2"]);
    assert!(
        refused.contains("there is no script nowhere.rhai; the scripts that come with the program are `certify`, "),
        "{refused}"
    );
    assert!(!folder.path().join("runs").exists(), "a sweep that cannot be leaves nothing");
}

#[cfg(unix)]
#[test]
fn a_sweep_that_is_interrupted_goes_on() {
    let folder = Folder::new(&[("point.rhai", POINT)]);
    let arguments = ["sweep", "point.rhai", "--set", "wait=0,60", "--seeds", "2", "--jobs", "2", "--into", "s"];
    let mut child = folder.command(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = std::time::Instant::now();
    while !folder.path().join("s/point-4/run.json").exists() {
        assert!(begun.elapsed().as_secs() < 50, "the last point never began");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // SAFETY: a signal to a child that has not been waited for.
    unsafe { libc::kill(child.id().try_into().unwrap(), libc::SIGINT) };
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    let told = folder.shown(&child.wait_with_output().unwrap());
    assert!(told.contains("go on with: workbench sweep --resume s"), "{told}");
    let told = run(&folder, &["runs", "s"]);
    assert_eq!((told.matches("finished").count(), told.matches("interrupted").count()), (2, 2), "{told}");
    let rows = String::from_utf8(read(&folder, "s/sweep.csv")).unwrap();
    assert!(rows.contains("\n60,0,point-3,interrupted,\n"), "{rows}");
    let page = String::from_utf8(read(&folder, "s/report.html")).unwrap();
    assert!(page.contains("<td class=\"open\">interrupted</td>"), "{page}");
    let refused = folder.run(&["sweep", "--resume", "s", "--seed", "3"]);
    assert!(refused.contains("leave --seed, --threads and --device out"), "{refused}");
}

/// A scheduler starts items in any order, some twice, some never, and stops one before its time is up.
#[cfg(unix)]
#[test]
fn a_plan_is_run_by_whoever_starts_its_items() {
    let text = format!("import \"part\" as part;\n{POINT}");
    let folder = Folder::new(&[("point.rhai", &text), ("part.rhai", "fn three() { 3 }")]);
    let planned = folder.run(&["sweep", "point.rhai", "--set", "a=1,2", "--set", "wait=0,60", "--plan", "--into", "s"]);
    assert!(planned.contains("s: 4 points, items 0 to 3"), "{planned}");
    assert!(planned.contains("each by:  workbench sweep --item $K --of s"), "{planned}");
    assert!(!folder.path().join("s/point-1").exists(), "a plan runs nothing");
    let plan = read(&folder, "s/sweep.json");

    let done = run(&folder, &["sweep", "--item", "0", "--of", "s"]);
    assert!(done.contains("item 0 of 4: point-1  a=1 wait=0 seed 0"), "{done}");
    let kept = read(&folder, "s/point-1/run.json");
    assert!(run(&folder, &["sweep", "--item", "0", "--of", "s"]).contains("item 0 (point-1) is finished"));
    assert_eq!(kept, read(&folder, "s/point-1/run.json"));

    let item = ["sweep", "--item", "1", "--of", "s"];
    let mut child = folder.command(&item).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = std::time::Instant::now();
    while !folder.path().join("s/point-2/run.json").exists() {
        assert!(begun.elapsed().as_secs() < 50, "the item never began");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let twice = folder.run(&item);
    assert!(twice.contains("under way in another process") && !twice.contains("exit code 0"), "{twice}");
    // SAFETY: a signal to a child that has not been waited for.
    unsafe { libc::kill(child.id().try_into().unwrap(), libc::SIGUSR1) };
    assert_eq!(child.wait().unwrap().code(), Some(75), "to be started again");
    assert!(run(&folder, &["runs", "s"]).contains("interrupted"));

    run(&folder, &["sweep", "--item", "2", "--of", "s"]);
    let collected = folder.run(&["sweep", "--collect", "s"]);
    assert!(collected.contains("2 of 4 points finished") && collected.ends_with("exit code 1"), "{collected}");
    assert!(collected.contains("not finished: items 1,3; each by: workbench sweep --item $K --of s"), "{collected}");
    let rows = String::from_utf8(read(&folder, "s/sweep.csv")).unwrap();
    assert!(rows.contains("\n1,60,0,point-2,interrupted,\n2,0,0,point-3,finished,"), "{rows}");

    let ran = folder.run(&["sweep", "--item", "4", "--of", "s"]);
    assert!(ran.contains("--item 4: s has the items 0 to 3") && ran.ends_with("exit code 2"), "{ran}");
    let refused = folder.run(&["sweep", "--item", "3", "--of", "s", "--device", "cuda"]);
    assert!(refused.contains("s goes on with the seeds and the device cpu"), "{refused}");
    let refused = folder.run(&["sweep", "--collect", "s", "--seed", "3"]);
    assert!(refused.contains("--collect runs nothing"), "{refused}");
    // One experiment, whoever starts a part of it: neither script nor module changes on the way.
    for (file, from, to) in [("part.rhai", "3", "4"), ("point.rhai", "cfg.wait", "cfg.wait + 0")] {
        let before = read(&folder, file);
        change(&folder, file, from, to);
        for arguments in [&["sweep", "--item", "3", "--of", "s"][..], &["sweep", "--resume", "s"]] {
            let other = folder.run(arguments);
            assert!(
                other.contains("point.rhai or one of its modules is not as it was when this was planned"),
                "{other}"
            );
        }
        std::fs::write(folder.path().join(file), before).unwrap();
    }
    std::fs::create_dir(folder.path().join("elsewhere")).unwrap();
    let mut away = folder.command(&["sweep", "--item", "2", "--of", "../s"]);
    assert!(away.current_dir(folder.path().join("elsewhere")).status().unwrap().success(), "from another folder");
    assert_eq!(plan, read(&folder, "s/sweep.json"), "a plan does not change");
    assert!(folder.run(&["sweep", "--item", "3"]).contains("--of <SWEEP>"));
}

#[test]
fn a_script_comes_from_the_hub_with_its_modules_and_is_pinned() {
    let folder = folder();
    let text = |file: &str| read(&folder, file);
    let hub = Hub::start(
        vec![
            ("nets/net.rhai".into(), text("net.rhai")),
            ("nets/parts/net.rhai".into(), text("parts/net.rhai")),
            ("nets/leak.rhai".into(), b"let read = 42; import `secret-${read}` as s;".to_vec()),
        ],
        vec![],
    );
    let run = |address: &str, offline: &str, into: &str| {
        let mut command = folder.command(&["run", address, "--into", into]);
        command
            .env("HF_HOME", folder.path().join("hub"))
            .env("HF_ENDPOINT", &hub.address)
            .env("HF_HUB_OFFLINE", offline);
        folder.shown(&command.stdin(Stdio::null()).output().unwrap())
    };
    let told = run("hf://ada/scripts/nets/net.rhai", "0", "first");
    assert!(told.ends_with("exit code 0"), "{told}");
    let pinned = format!("hf://ada/scripts/nets/net.rhai@{COMMIT}");
    assert!(
        told.contains(&format!("note: hf://ada/scripts/nets/net.rhai@main is, at this moment, {pinned}")),
        "{told}"
    );
    let record = String::from_utf8(read(&folder, "first/run.json")).unwrap();
    assert!(
        record.contains(&format!("\"script\": \"{pinned}\"")) && record.contains("source/parts/net.rhai"),
        "{record}"
    );
    // A record that names an address is not a wish to fetch it.
    let told = folder.run(&["run", "--resume", "first"]);
    assert!(
        told.contains(&format!("the run's script is recorded as {pinned}")) && told.ends_with("exit code 2"),
        "{told}"
    );
    assert!(told.contains(&format!("run {pinned} --resume first")), "{told}");
    // What a script has read must not leave by the names of modules that it asks for while it runs.
    let told = run("hf://ada/scripts/nets/leak.rhai", "0", "leak");
    assert!(told.contains("module \"secret-42\" not found"), "{told}");
    assert!(!hub.log().iter().any(|line| line.contains("secret-42")), "{:?}", hub.log());
    // Once it is there nothing is asked of anybody.
    let asked = hub.log().len();
    assert!(run(&pinned, "1", "second").ends_with("exit code 0"));
    assert_eq!(asked, hub.log().len());
    for (address, message) in [
        ("hf://ada/scripts/nets/other.rhai", "other.rhai"),
        ("hf://ada/scripts/nets/net.txt", "a script ends in .rhai"),
        ("hf://ada/scripts", "is no address on the hub"),
    ] {
        let told = run(address, "0", "third");
        assert!(told.contains(message) && told.ends_with("exit code 2"), "{told}");
    }
}
