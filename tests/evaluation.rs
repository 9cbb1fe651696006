//! Certified evaluation as a user runs it: killed and started again, in shards, with a false certificate in it.

mod common;

use common::program::{Folder, script};
use std::time::Duration;
use workbench::base::random::Generator;

const TRAIN: &str = r#"
    import "std/train" as train;
    let data = dataset("digits", #{ train_limit: 400 });
    let model = sequential(data.shape, [
        conv2d(6, 3, #{ padding: 1 }), relu_theta(1.0), conv2d(8, 4, #{ stride: 2, padding: 1 }), relu_theta(1.0),
        flatten(), linear(24), relu_theta(1.0), linear(data.classes),
    ]);
    train::fit("bcp", model, data, #{ epochs: 12, warmup: 1, ramp: 6, batch: 32, eps_train: 0.4, iterations: 4, lr: 3e-3, lr_end: 1e-4 }, "net");
    model.save("net.safetensors");
"#;

const SETTINGS: [&str; 16] = [
    "--set",
    "model=net.safetensors",
    "--set",
    "test_limit=90",
    "--set",
    "batch=9",
    "--set",
    "eps=0.3",
    "--set",
    "steps=20",
    "--set",
    "apgd=10",
    "--set",
    "falsify=4",
    "--set",
    "restarts=2",
];

fn trained() -> Folder {
    let folder = Folder::new(&[("train.rhai", TRAIN), ("certify.rhai", &script("certify.rhai"))]);
    let output = folder.run(&["run", "train.rhai", "--allow-write", "net.safetensors"]);
    assert!(output.ends_with("exit code 0"), "{output}");
    folder
}

fn certify(folder: &Folder, more: &[&str]) -> String {
    folder.run(&[["run", "certify.rhai", "--allow-write", "."].as_slice(), &SETTINGS, more].concat())
}

fn file(folder: &Folder, name: &str) -> Vec<u8> {
    std::fs::read(folder.path().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

#[test]
fn killed_and_started_again_the_records_and_the_report_are_the_same() {
    let folder = trained();
    let report = certify(&folder, &["--set", "records=whole"]);
    assert!(report.contains("no counter-example") && report.ends_with("exit code 0"), "{report}");
    let (lines, columns) = (file(&folder, "whole/records.jsonl"), file(&folder, "whole/records.parquet"));
    let text = String::from_utf8(lines.clone()).unwrap();
    assert_eq!(text.lines().count(), 90);
    for verdict in ["\"verdict\":\"certified\"", "\"stage\":\"global\"", "\"stage\":\"attack\""] {
        assert!(text.contains(verdict), "no row has {verdict}: {text}");
    }
    let random = Generator::new(9);
    for round in 0..4 {
        let name = format!("killed{round}");
        let set = format!("records={name}");
        let arguments = [["run", "certify.rhai"].as_slice(), &SETTINGS, &["--set", &set]].concat();
        for _ in 0..3 {
            let mut child = folder.spawn(&arguments);
            std::thread::sleep(Duration::from_millis(30 + (random.unit() * 500.0) as u64));
            // SIGKILL; it may be over already.
            let _ = child.kill();
            child.wait().unwrap();
        }
        assert_eq!(certify(&folder, &["--set", &set]), report, "round {round}");
        assert!(file(&folder, &format!("{name}/records.jsonl")) == lines, "round {round}: the lines differ");
        assert!(file(&folder, &format!("{name}/records.parquet")) == columns, "round {round}: the columns differ");
    }
    // Another evaluation does not go into the same folder.
    let other = folder.run(
        &[
            ["run", "certify.rhai", "--allow-write", "."].as_slice(),
            &SETTINGS,
            &["--set", "records=whole", "--set", "quick=9"],
        ]
        .concat(),
    );
    assert!(other.contains("its quick is 60, this one's is 9") && other.ends_with("exit code 1"), "{other}");
    assert!(file(&folder, "whole/records.jsonl") == lines, "the lines have changed");
}

/// A verification that is killed among its splits goes on: the same records, and the same table of what settled which images.
#[test]
fn a_killed_verification_goes_on() {
    let folder = trained();
    std::fs::write(folder.path().join("verify.rhai"), script("verify.rhai")).unwrap();
    let arguments = "run verify.rhai --allow-write . --set model=net.safetensors --set test_limit=60 --set batch=6 --set eps=0.5 --set \
        subproblems=40 --set steps=10 --set attack_restarts=1 --set falsify=0";
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    let with = |records: &'static str| [arguments.as_slice(), &["--set", records]].concat();
    // All but the line with the seconds that were needed.
    let table = |records| -> Vec<String> {
        let output = folder.run(&with(records));
        output.lines().filter(|line| !line.contains("60 images in")).map(str::to_string).collect()
    };
    let whole = table("records=whole");
    let lines = file(&folder, "whole/records.jsonl");
    let text = String::from_utf8(lines.clone()).unwrap();
    assert!(text.contains("\"stage\":\"split\""), "nothing was split: {text}");
    let mut stopped = 0;
    for _ in 0..4 {
        let size = || std::fs::metadata(folder.path().join("killed/records.jsonl")).map_or(0, |file| file.len());
        let before = size();
        let mut child = folder.spawn(&with("records=killed"));
        // Killed in the middle of a batch that is not the first of this turn.
        while child.try_wait().unwrap().is_none() && size() <= before {
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_millis(15));
        stopped += usize::from(child.try_wait().unwrap().is_none());
        let _ = child.kill();
        child.wait().unwrap();
    }
    assert!(stopped >= 2, "it was over before it was stopped");
    assert_eq!(table("records=killed"), whole);
    assert!(file(&folder, "killed/records.jsonl") == lines, "the lines differ");
}

/// A network without convolutions, on images that are no longer in [0, 1].
#[test]
fn networks_of_linear_layers_and_other_values() {
    let text = r#"
        import "std/certify" as certify;
        import "std/cascade" as cascade;
        let digits = dataset("digits", #{ train_limit: 10, test_limit: 12 });
        let x = digits.test.images([0, 1, 2, 3, 4, 5]) * 2.0 - 1.0;
        let y = digits.test.labels([0, 1, 2, 3, 4, 5]);
        let data = dataset_from(x, y, x, y, #{ classes: 10 });
        for layers in [[flatten(), linear(16), relu(), linear(10)], [normalize([0.1], [0.5]), avg_pool2d(2), relu6(), flatten(), linear(10)]] {
            let model = sequential(data.shape, layers);
            let report = cascade::certified_report(certify::prepare(model, "rigorous"), data.test, 1e-4, #{ apgd: 5, clip: false, batch: 3, radii: true });
            print(report.rows.map(|row| row.radius));
        }
    "#;
    let folder = Folder::new(&[("other.rhai", text)]);
    let output = folder.run(&["run", "other.rhai"]);
    assert!(output.ends_with("exit code 0") && output.matches("falsifier: ").count() == 2, "{output}");
}

/// The curve in the terminal, as CSV and as SVG.
#[test]
fn curves_are_written() {
    let folder = trained();
    let output = certify(&folder, &["--set", "curve=[0.1,0.3,0.9]"]);
    assert!(output.ends_with("exit code 0"), "{output}");
    let of = |name: &str| {
        output.lines().find_map(|l| l.strip_prefix("curve: ").filter(|l| l.ends_with(name)).map(str::to_string))
    };
    let (csv, svg) = (of("curve.csv").expect("a CSV file"), of("curve.svg").expect("an SVG file"));
    let text = String::from_utf8(file(&folder, &csv)).unwrap();
    assert!(text.starts_with("eps,clean,pgd,certified\n0.1,") && text.lines().count() == 4, "{text}");
    let svg = String::from_utf8(file(&folder, &svg)).unwrap();
    assert!(svg.contains("<svg") && svg.contains("certified"), "{svg}");
}

#[test]
fn shards_make_the_whole() {
    let folder = trained();
    let whole = certify(&folder, &["--set", "records=whole"]);
    for shard in ["1/3", "2/3", "3/3"] {
        let set = [format!("records=part{}", &shard[..1]), format!("shard={shard}")];
        let output = certify(&folder, &["--set", &set[0], "--set", &set[1]]);
        assert!(output.ends_with("exit code 0"), "{output}");
    }
    let merged = folder.run(&[
        "run",
        "certify.rhai",
        "--allow-write",
        "merged",
        "--set",
        "merge=[part1,part2,part3]",
        "--set",
        "records=merged",
    ]);
    let row = |text: &str| text.lines().find(|l| l.starts_with("0.3000")).map(str::to_string);
    assert!(row(&whole).is_some() && row(&whole) == row(&merged), "{whole}\n{merged}");
    assert!(merged.contains("rigorous, masks: all"), "{merged}");
    assert!(
        file(&folder, "merged/records.jsonl") == file(&folder, "whole/records.jsonl"),
        "merged records differ from those of the whole"
    );
    assert!(file(&folder, "merged/records.parquet") == file(&folder, "whole/records.parquet"), "merged columns differ");
    let missing = certify(&folder, &["--set", "merge=[part1,part3]"]);
    assert!(missing.contains("image 9 is missing") && missing.ends_with("exit code 1"), "{missing}");
    let twice = certify(&folder, &["--set", "merge=[part1,part2,part3,part3]"]);
    assert!(twice.contains("is there twice"), "{twice}");
}

/// A certificate that is false is found, its counter-example saved, and the exit code is 3.
/// Clean, PGD and certified counts of an evaluation by power iteration are those of its shards together; a shard says of how many
/// images it is.
#[test]
fn shards_of_an_estimate_add_up() {
    let folder = trained();
    let evaluate = script("evaluate.rhai");
    std::fs::write(folder.path().join("evaluate.rhai"), &evaluate).unwrap();
    let counts = |shard: &str, into: &str| -> Vec<f64> {
        let shard = format!("shard={shard}");
        let sets = ["model=net.safetensors", "test_limit=75", "batch=10", "eps=[0.3]", "steps=5", "restarts=1", &shard];
        let mut arguments = vec!["run", "evaluate.rhai", "--allow-read", ".", "--into", into];
        sets.iter().for_each(|set| arguments.extend(["--set", *set]));
        let told = folder.run(&arguments);
        assert!(told.ends_with("exit code 0"), "{told}");
        let record: serde_json::Value = serde_json::from_slice(&file(&folder, &format!("{into}/run.json"))).unwrap();
        let results = record["results"].as_array().unwrap();
        assert_eq!(results.len(), 2, "published and exact");
        let mut found = vec![];
        for result in results {
            let images = result["images"].as_f64().unwrap();
            let share = |key: &str| (result[key].as_f64().unwrap() * images).round();
            found.extend([images, share("clean"), share("pgd"), share("certified")]);
        }
        let part = shard != "shard=1/1";
        assert_eq!(told.contains(&format!("{} images of 75; l2 radius eps", found[0])), part, "{told}");
        found
    };
    let whole = counts("1/1", "whole");
    assert_eq!(whole[0], 75.0);
    let parts: Vec<_> =
        ["1/3", "2/3", "3/3"].iter().map(|shard| counts(shard, &format!("part{}", &shard[..1]))).collect();
    // Eight batches, the last of five images: three, three and two of them.
    assert_eq!(parts.iter().map(|part| part[0]).collect::<Vec<_>>(), [30.0, 25.0, 20.0]);
    for (at, count) in whole.iter().enumerate() {
        assert_eq!(parts.iter().map(|part| part[at]).sum::<f64>(), *count, "{whole:?} {parts:?}");
    }
    for (shard, told) in
        [("0/3", "shard \"0/3\"; give it as \"2/5\""), ("9", "shard \"9\""), ("9/9", "shard 9/9 has no images")]
    {
        let shard = format!("shard={shard}");
        let said = folder.run(&[
            "run",
            "evaluate.rhai",
            "--set",
            "model=net.safetensors",
            "--set",
            "test_limit=75",
            "--set",
            "batch=10",
            "--set",
            &shard,
        ]);
        assert!(said.contains(told) && !said.ends_with("exit code 0"), "{said}");
    }
}

#[test]
fn a_false_certificate_is_found() {
    let folder = trained();
    let claim = r#"
        import "std/certify" as certify;
        import "std/cascade" as cascade;
        import "std/falsify" as falsify;
        let data     = dataset("digits", #{ test_limit: 30 });
        let prepared = certify::prepare(load_model("net.safetensors"), "rigorous");
        let rows     = cascade::evaluate_certified(prepared, data.test, 1.2, #{ batch: 30 });
        let broken   = rows.filter(|row| row.verdict == "attacked").len();
        if broken == 0 { throw "no image fell: nothing to claim"; }
        // Claim them all certified.
        let claims = rows.filter(|row| row.verdict != "wrong");
        for i in 0..claims.len() { claims[i].verdict = "certified"; claims[i].certified_margin = 1.0; }
        let found = falsify::hunt(prepared, data.test, claims, 30, 2);
        print(falsify::describe_hunt(found));
        print(if found.counterexamples.len() >= broken { "at least what the attack found" } else { "fewer than the attack found" });
        falsify::stop_if_falsified(found.counterexamples);
        print("not reached");
    "#;
    std::fs::write(folder.path().join("claim.rhai"), claim).unwrap();
    let output = folder.run(&["run", "claim.rhai"]);
    assert!(output.contains("certificates are false") && output.contains("at least what the attack found"), "{output}");
    assert!(output.ends_with("exit code 3") && !output.contains("not reached"), "{output}");
    let saved = output.lines().find_map(|l| l.split("saved as ").nth(1)).expect("a saved counter-example");
    let tensors =
        workbench::compute::tensor_files::read_safetensors(&folder.path().join(saved), &candle_core::Device::Cpu)
            .unwrap();
    assert_eq!(tensors["point"].dims(), [1, 1, 8, 8]);
}

/// The largest certified radius of an image is certified by an audit too, and half as much again is not certified; the
/// curve falls, and stays below the accuracy under attack.
#[test]
fn radii_and_curves() {
    let folder = trained();
    let probe = r#"
        import "std/certify" as certify;
        import "std/cascade" as cascade;
        let data     = dataset("digits", #{ test_limit: 40 });
        let model    = load_model("net.safetensors");
        let prepared = certify::prepare(model, "rigorous");
        let audit    = certify::prepare(model, "audit");
        let checked  = 0;
        for i in 0..5 {
            let x = data.test.images([i]);
            let y = data.test.labels([i]);
            let r = certify::radius_of(prepared, x, y, i, 0.01);
            if r == 0.0 { continue; }
            if !(certify::margins_within(audit, x, y, r * 0.999, [i], 0, true).margins.item() > 0.0) { throw `image ${i}: ${r} does not stand the audit`; }
            if certify::margins_within(prepared, x, y, r * 1.5, [i], 0, true).margins.item() > 0.0 { throw `image ${i}: ${r} is not the largest`; }
            checked += 1;
        }
        print(`${checked} radii`);
        let last = 1.0;
        for p in cascade::certified_curve(prepared, data.test, [0.05, 0.1, 0.2, 0.4, 0.8], #{ batch: 20, steps: 20 }) {
            print([p.eps, p.clean, p.robust, p.certified]);
            if p.certified > last || p.certified > p.robust || p.robust > p.clean { throw "no curve"; }
            last = p.certified;
        }
        let rows = cascade::audit(model, data.test, 0.1, [0, 3]);
        if rows.len() != 2 || rows[1][0] != 3 { throw `audit: ${rows}`; }
    "#;
    std::fs::write(folder.path().join("probe.rhai"), probe).unwrap();
    let output = folder.run(&["run", "probe.rhai"]);
    assert!(output.ends_with("exit code 0") && output.contains("radii") && !output.contains("\n0 radii"), "{output}");
}
