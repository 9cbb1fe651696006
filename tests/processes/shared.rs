//! Evaluations share themselves out, and come to the bytes of one process.

use super::launched::{bytes, launched, launcher, processes_of, turn};
use super::program::Folder;
use std::process::Stdio;
use std::time::{Duration, Instant};

const EVALUATES: &str = r#"
import "std/evaluate" as evaluate;
import "std/certify" as certify;
import "std/cascade" as cascade;
import "std/smoothing" as smoothing;
let data  = dataset("digits");
let model = load_model("digits");
evaluate::report(model, data.test.take(90), [0.2, 0.4], #{ batch: 20, steps: 5, apgd: 5, procedures: ["published", "exact"] });
cascade::certified_report(certify::prepare(model, "rigorous"), data.test.take(35), 0.3, #{ batch: 5, steps: 3, attack_steps: 3, restarts: 1 });
smoothing::certify_split(model, data.test, 0.25, #{ n0: 20, n: 100, images: 7, entropy: "0000000000000000000000000000000000000000000000000000000000000007" });
run.result(#{ sums: run.sum([1, #{ a: 2.5 }]), all: run.all(run.rank), of_first: run.agree(run.rank + 10), own: run.own([0, 1, 2, 3, 4]) });
print(`entropy ${entropy().key}`);
"#;

fn results(folder: &Folder, run: &str) -> Vec<serde_json::Value> {
    let record: serde_json::Value = serde_json::from_slice(&bytes(folder, &format!("{run}/run.json"))).unwrap();
    record["results"].as_array().unwrap().clone()
}

#[test]
fn evaluations_of_several_processes_are_those_of_one() {
    let Some(_turn) = turn() else { return };
    let folder = Folder::new(&[("e.rhai", EVALUATES)]);
    let one = folder.run(&["run", "e.rhai", "--into", "one"]);
    assert!(one.ends_with("exit code 0"), "{one}");
    for (n, run) in [(3, "three"), (2, "two")] {
        let said = launched(&folder, n, &["run", "e.rhai", "--into", run]);
        assert!(said.ends_with("exit code 0"), "{said}");
        assert!(!said.contains("have all done the same"), "{said}");
        for file in
            ["records/records.jsonl", "records/records.json", "records/records.parquet", "smoothing-1/records.jsonl"]
        {
            assert!(bytes(&folder, &format!("one/{file}")) == bytes(&folder, &format!("{run}/{file}")), "{file}");
        }
        let (was, is) = (results(&folder, "one"), results(&folder, run));
        assert_eq!(was[..was.len() - 1], is[..is.len() - 1]);
        let said = is.last().unwrap();
        let ranks: Vec<usize> = (0..n).collect();
        assert_eq!(
            (&said["sums"], &said["all"]),
            (&serde_json::json!([n, { "a": 2.5 * n as f64 }]), &serde_json::json!(ranks))
        );
        assert_eq!(said["of_first"], 10);
        let own: Vec<usize> = (0..5).step_by(n).collect();
        assert_eq!(said["own"], serde_json::json!(own));
        let record: serde_json::Value = serde_json::from_slice(&bytes(&folder, &format!("{run}/run.json"))).unwrap();
        let output = String::from_utf8(bytes(&folder, &format!("{run}/output.txt"))).unwrap();
        let bits = record["entropy"].as_array().unwrap().last().unwrap().as_str().unwrap();
        assert!(output.contains(bits), "random bits are those of process 0");
    }
}

/// Records of processes that were killed go on, whoever goes on with them.
#[test]
fn records_go_on_with_another_number_of_processes() {
    let Some(_turn) = turn() else { return };
    const RECORDS: &str = r#"
        import "std/certify" as certify;
        import "std/cascade" as cascade;
        let options = #{ batch: 4, steps: 5, attack_steps: 5, records: settings(#{ into: "" }).into };
        let data = dataset("digits");
        print(cascade::evaluate_certified(certify::prepare(load_model("digits"), "rigorous"), data.test.take(102), 0.4, options).len());
    "#;
    let folder = Folder::new(&[("r.rhai", RECORDS)]);
    let whole = folder.run(&["run", "r.rhai", "--set", "into=whole", "--allow-write", "whole"]);
    assert!(whole.contains("102") && whole.ends_with("exit code 0"), "{whole}");
    let arguments = ["run", "r.rhai", "--set", "into=cut", "--allow-write", "cut"];
    let mut child = launcher(&folder, 3, &arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let rows =
        || std::fs::read_to_string(folder.path().join("cut/records.jsonl")).map_or(0, |text| text.lines().count());
    let began = Instant::now();
    while rows() < 12 && began.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(2));
    }
    let processes = processes_of(&child);
    // SAFETY: a signal to processes of our own.
    let killed = processes.iter().all(|pid| unsafe { libc::kill(*pid, libc::SIGKILL) } == 0);
    assert!(killed);
    assert!(!child.wait().unwrap().success());
    assert!((12..102).contains(&rows()), "{} rows", rows());
    let said = launched(&folder, 2, &arguments);
    assert!(said.contains("102") && said.ends_with("exit code 0"), "{said}");
    for file in ["records.jsonl", "records.json", "records.parquet"] {
        assert!(bytes(&folder, &format!("whole/{file}")) == bytes(&folder, &format!("cut/{file}")), "{file}");
    }
}
