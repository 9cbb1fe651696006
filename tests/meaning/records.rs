//! Records prove themselves: what was lost, doubled, changed or made up is found, where they are gone on with, merged, computed again.

use crate::common::program::{Folder, script};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

const TRAIN: &str = "let d = dataset(\"digits\", #{ train_limit: 600 });
let net = sequential(d.shape, [flatten(), linear(16), relu(), linear(10)]); let opt = adam(net, #{ lr: 1e-2 });
for e in 0..3 { for b in d.train.batches(60) { opt.step(cross_entropy(net.forward(b.x), b.y)); } }
net.save(\"net.safetensors\");";

const SETTINGS: [&str; 14] = [
    "--set",
    "model=net.safetensors",
    "--set",
    "test_limit=40",
    "--set",
    "batch=10",
    "--set",
    "eps=0.3",
    "--set",
    "falsify=0",
    "--set",
    "attack_steps=5",
    "--set",
    "steps=5",
];

fn trained() -> Folder {
    let folder = Folder::new(&[("train.rhai", TRAIN), ("certify.rhai", &script("certify.rhai"))]);
    let output = folder.run(&["run", "train.rhai", "--allow-write", "."]);
    assert!(output.ends_with("exit code 0"), "{output}");
    folder
}

fn certify(folder: &Folder, records: &str) -> String {
    let records = format!("records={records}");
    let more = ["--allow-write", ".", "--set", &records];
    folder.run(&[["run", "certify.rhai"].as_slice(), &SETTINGS, &more].concat())
}

fn merge(folder: &Folder, parts: &str) -> String {
    folder.run(&["run", "certify.rhai", "--allow-read", ".", "--set", &format!("merge=[{parts}]")])
}

/// The lines of a folder of records, changed.
fn change(folder: &Folder, from: &str, to: &str, with: impl Fn(Vec<String>) -> Vec<String>) {
    let (from, to) = (folder.path().join(from), folder.path().join(to));
    let _ = std::fs::remove_dir_all(&to);
    std::fs::create_dir(&to).unwrap();
    std::fs::copy(from.join("records.json"), to.join("records.json")).unwrap();
    let lines = std::fs::read_to_string(from.join("records.jsonl")).unwrap();
    let lines = with(lines.lines().map(String::from).collect());
    std::fs::write(to.join("records.jsonl"), lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
}

/// The header without what closes it: an evaluation that was stopped.
fn reopen(folder: &Folder, records: &str) {
    let path = folder.path().join(records).join("records.json");
    let mut header: Map<String, Value> = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    header.remove("closing");
    std::fs::write(&path, serde_json::to_string_pretty(&header).unwrap()).unwrap();
}

/// A row with other values and the digest that somebody who knows how writes to it.
fn forged(folder: &Folder, line: &str, values: &[(&str, Value)]) -> String {
    let header = std::fs::read_to_string(folder.path().join("whole/records.json")).unwrap();
    let mut header: Map<String, Value> = serde_json::from_str(&header).unwrap();
    header.remove("closing");
    header.remove("shard");
    let hex = |bytes: &[u8]| Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect::<String>();
    let mut row: Map<String, Value> = serde_json::from_str(line).unwrap();
    row.remove("digest");
    values.iter().for_each(|(key, value)| drop(row.insert((*key).into(), value.clone())));
    let head = hex(Value::Object(header).to_string().as_bytes());
    let digest = hex(format!("{head}\n{}", Value::Object(row.clone())).as_bytes())[..32].to_string();
    row.insert("digest".into(), digest.into());
    Value::Object(row).to_string()
}

#[test]
fn what_is_not_as_it_was_written_is_found() {
    let folder = trained();
    let report = certify(&folder, "whole");
    assert!(report.ends_with("exit code 0"), "{report}");
    let is_refused = |what: &str, why: &str| {
        for output in [certify(&folder, "other"), merge(&folder, "other")] {
            assert!(output.contains(why) && output.ends_with("exit code 1"), "{what}: {output}");
        }
    };
    let changed = |with: &dyn Fn(&mut Vec<String>)| {
        change(&folder, "whole", "other", |mut lines| {
            with(&mut lines);
            lines
        });
    };
    // Unchanged, it is taken; so is one that was stopped before it was closed.
    changed(&|_| {});
    assert_eq!(certify(&folder, "other"), report);
    reopen(&folder, "other");
    assert_eq!(certify(&folder, "other"), report);
    for closed in [true, false] {
        let close = || {
            if !closed {
                reopen(&folder, "other")
            }
        };
        changed(&|lines| drop(lines.remove(3)));
        close();
        is_refused("lost", "image 3 is missing");
        changed(&|lines| lines.insert(7, lines[7].clone()));
        close();
        is_refused("doubled", if closed { "image 7 is there twice" } else { "image " });
        changed(&|lines| lines[9] = lines[8].clone());
        close();
        is_refused("in another's place", "image ");
        changed(&|lines| lines[4] = lines[4].replace("\"verdict\":", "\"verdict\": \"certified\", \"was\":"));
        close();
        is_refused("changed", "the row of image 4 is not as it was written");
    }
    // A row of another evaluation.
    let other = ["--set", "records=half", "--allow-write", ".", "--set", "eps=0.15"];
    let settings: Vec<&str> = SETTINGS.iter().copied().filter(|word| *word != "eps=0.3").collect();
    let settings: Vec<&str> = settings
        .iter()
        .enumerate()
        .filter(|(i, w)| **w != "--set" || settings.get(i + 1).is_some_and(|n| *n != "--set"))
        .map(|(_, w)| *w)
        .collect();
    let output = folder.run(&[["run", "certify.rhai"].as_slice(), &settings, &other].concat());
    assert!(output.ends_with("exit code 0"), "{output}");
    let half = std::fs::read_to_string(folder.path().join("half/records.jsonl")).unwrap();
    changed(&|lines| lines[0] = half.lines().next().unwrap().to_string());
    is_refused("from elsewhere", "the row of image 0 is not as it was written");
    // With digests that fit, rows that contradict themselves.
    let lines = std::fs::read_to_string(folder.path().join("whole/records.jsonl")).unwrap();
    let of = |verdict: &str| lines.lines().position(|line| line.contains(&format!("\"verdict\":\"{verdict}\"")));
    let (certified, wrong, attacked) = (of("certified").unwrap(), of("wrong").unwrap(), of("attacked").unwrap());
    for (at, values) in [
        (attacked, vec![("verdict", "certified".into())]),
        (attacked, vec![("verdict", "certified".into()), ("stage", "global".into())]),
        (wrong, vec![("verdict", "certified".into()), ("stage", "global".into()), ("certified_margin", 1.0.into())]),
        (certified, vec![("certified_margin", 1e9.into())]),
        (certified, vec![("prediction", 77.into())]),
        (certified, vec![("eps", 0.9.into())]),
        (certified, vec![("verdict", "fine".into())]),
        (certified, vec![("margin", Value::Null)]),
        (certified, vec![("radius", 0.1.into())]),
    ] {
        changed(&|lines| lines[at] = forged(&folder, &lines[at], &values));
        reopen(&folder, "other");
        is_refused(&format!("{values:?}"), "contradicts itself");
    }
    // One that does not: nothing but computing it again finds it.
    let values = [
        ("verdict", "certified".into()),
        ("stage", "global".into()),
        ("certified_margin", 0.01.into()),
        ("attack", "none".into()),
    ];
    changed(&|lines| lines[attacked] = forged(&folder, &lines[attacked], &values));
    reopen(&folder, "other");
    assert_ne!(certify(&folder, "other"), report);
    let recheck = |records: &str, more: &[&str]| {
        folder.run(&[["recheck", records, "--model", "net.safetensors"].as_slice(), more].concat())
    };
    let output = recheck("other", &[]);
    assert!(output.contains("39 rows the same to the last digit") && output.contains("1 with another one"), "{output}");
    assert!(output.ends_with("exit code 3"), "{output}");
    let output = recheck("whole", &["--image", "3", "--image", "21"]);
    assert!(output.contains("2 of 40 images computed again: 2 rows the same to the last digit"), "{output}");
    assert!(output.ends_with("exit code 0"), "{output}");
    let output = recheck("whole", &["--image", "40"]);
    assert!(output.contains("whole holds no row of image 40") && output.ends_with("exit code 1"), "{output}");
    folder.run(&["run", "train.rhai", "--allow-write", ".", "--seed", "1"]);
    let output = recheck("whole", &[]);
    assert!(output.contains("is of the network") && output.ends_with("exit code 1"), "{output}");
}

/// What version 0.1 wrote is read and merged, said to be unchecked, and not written over.
#[test]
fn records_without_digests_are_read() {
    let folder = trained();
    let report = certify(&folder, "whole");
    change(&folder, "whole", "old", |lines| {
        let without = |line: &String| {
            let mut row: Map<String, Value> = serde_json::from_str(line).unwrap();
            row.remove("digest");
            Value::Object(row).to_string()
        };
        lines.iter().map(without).collect()
    });
    reopen(&folder, "old");
    let path = folder.path().join("old/records.json");
    let text = std::fs::read_to_string(&path).unwrap().replace("\"form\": 3,\n", "");
    std::fs::write(&path, text).unwrap();
    let merged = merge(&folder, "old");
    assert!(merged.contains("old is of an earlier version, whose rows carry no digests"), "{merged}");
    assert!(merged.contains(report.lines().find(|line| line.starts_with("0.3000")).unwrap()), "{merged}");
    let on = certify(&folder, "old");
    assert!(on.contains("it can be read and merged, and not gone on with; give another folder"), "{on}");
    let recheck = folder.run(&["recheck", "old", "--model", "net.safetensors"]);
    assert!(recheck.contains("old is of an earlier version"), "{recheck}");
}

/// Records in a run's folder need no `--data`: the run says which images they are of.
#[test]
fn the_run_of_records_says_which_data_they_are_of() {
    let folder = trained();
    let output = folder.run(&[["run", "certify.rhai", "--into", "made"].as_slice(), &SETTINGS].concat());
    assert!(output.ends_with("exit code 0"), "{output}");
    let again = folder.run(&["recheck", "made/records", "--model", "net.safetensors", "--image", "3"]);
    assert!(again.contains("1 of 40 images computed again: 1 rows the same to the last digit"), "{again}");
}
