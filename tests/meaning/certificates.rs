//! What surrounds a certificate in a script: precision, masks, parameters, trainings that learned nothing, radii.

use crate::common::program::{Folder, script};
use crate::{printed, refused, run};

/// Masks reach over a flatten: the bounds are those of the same function written the other way round.
#[test]
fn where_the_flatten_stands_does_not_matter() {
    let text = "import \"std/local_lip\" as lip; import \"std/certify\" as certify; import \"std/cascade\" as cascade;
let d = dataset(\"digits\", #{ train_limit: 64, test_limit: 12 });
let a = sequential(d.shape, [conv2d(4, 3, #{ padding: 1 }), relu_theta(1.0), flatten(), linear(16), relu(), linear(10)]);
let b = sequential(d.shape, [conv2d(4, 3, #{ padding: 1 }), flatten(), relu_theta(1.0), linear(16), relu(), linear(10)]);
let c = sequential(d.shape, [flatten(), linear(30), flatten(), relu_theta(0.5), flatten(), linear(10)]);
let e = sequential(d.shape, [flatten(), linear(30), relu_theta(0.5), linear(10)]);
fn copied(from, to, names) { for pair in names { to.set_param(pair[1], from.param(pair[0]).detach()); } to }
b = copied(a, b, [[\"0.weight\", \"0.weight\"], [\"0.bias\", \"0.bias\"], [\"3.weight\", \"3.weight\"], [\"3.bias\", \"3.bias\"], [\"5.weight\", \"5.weight\"], [\"5.bias\", \"5.bias\"]]);
e = copied(c, e, [[\"1.weight\", \"1.weight\"], [\"1.bias\", \"1.bias\"], [\"5.weight\", \"3.weight\"], [\"5.bias\", \"3.bias\"]]);
let x = d.test.images([0, 1, 2]); let y = d.test.labels([0, 1, 2]);
for pair in [[a, b], [c, e]] {
    let found = pair.map(|m| {
        let bounds = lip::bounds(m, x, 0.1, fresh_vectors(m, 3), 200);
        let radii = [];
        for kind in [\"estimate\", \"probabilistic\", \"rigorous\", \"audit\"] {
            let p = certify::prepare(m, kind);
            radii.push(certify::radius_of(p, d.test.images([0]), m.forward(d.test.images([0])).argmax(1)));
        }
        let local = bounds.lipschitz.to_array(); let whole = lip::bounds(m, x, 0.1, fresh_vectors(m, 3), 200, #{ global: true }).lipschitz.to_array();
        if !(local[0] < 0.95 * whole[0]) { throw `no masks: ${local} of ${whole}`; }
        local + radii
    });
    for i in 0..found[0].len() {
        if (found[0][i] - found[1][i]).abs() > 1e-3 * found[0][i].abs() { throw `${i}: ${found[0]} and ${found[1]}`; }
        if found[0][i] <= 0.0 { throw `${i}: ${found[0]}`; }
    }
}
print(\"the same\");";
    assert_eq!(printed(text), "the same");
}

#[test]
fn parameters_are_finite() {
    let net = "let m = sequential([2], [linear(2)]); let w = m.param(\"0.weight\").detach();";
    for (value, part) in [("w * (0.0 / 0.0)", "has NaN"), ("w / 0.0", "inf"), ("w.to_dtype(\"f64\") * 1e300", "inf")] {
        refused(&format!("{net} m.set_param(\"0.weight\", {value});"), "set_param: the value for `0.weight`");
        refused(&format!("{net} m.set_param(\"0.weight\", {value});"), part);
    }
    refused(&format!("{net} m.set_param(\"0.bias\", tensor([1.0, 0.0 / 0.0]));"), "`0.bias` has NaN at place 1");
    // A value that hangs on parameters is taken as numbers, and that is said, once.
    let note =
        "note: set_param takes the numbers of a value that is computed from parameters; no gradient flows through it";
    let output = run(
        "let m = sequential([2], [linear(2)]); for i in 0..3 { m.set_param(\"0.weight\", 0.5 * m.param(\"0.weight\")); }",
    );
    assert_eq!(output.matches(note).count(), 1, "{output}");
    let output = run(&format!("{net} m.set_param(\"0.weight\", 0.5 * w);"));
    assert!(!output.contains("note:"), "{output}");
}

#[test]
fn a_training_that_came_to_nothing_says_so() {
    let text = |rate: &str| {
        format!(
            "let d = dataset(\"digits\", #{{ train_limit: 200, test_limit: 20 }});
let m = sequential(d.shape, [flatten(), linear(16), relu(), linear(10)]); let o = sgd(m, #{{ lr: {rate} }});
for e in run.epochs(4) {{ for b in d.train.batches(50) {{
    let z = m.forward(b.x); let l = cross_entropy(z, b.y); o.step(l); run.log(#{{ loss: l, clean: accuracy(z, b.y) }});
}} }}"
        )
    };
    for (rate, said) in [("1e12", true), ("0.0", true), ("0.3", false)] {
        let folder = Folder::new(&[("main.rhai", &text(rate))]);
        let output = folder.run(&["run", "main.rhai", "--into", "r"]);
        let record = std::fs::read_to_string(folder.path().join("r/run.json")).unwrap_or_default();
        let warned = output.contains("warning: ") && record.contains("\"warnings\": [\n");
        // A loss that is no number is an error instead.
        assert_eq!(warned || output.contains("diverged"), said, "{rate}: {output}\n{record}");
        if warned {
            assert!(folder.run(&["runs", "."]).contains("with a warning"), "{output}");
        }
    }
}

const NET: &str = "import \"std/train\" as train;
let data = dataset(\"digits\", #{ train_limit: 300 });
let model = sequential(data.shape, [flatten(), linear(24), relu(), linear(data.classes)]);
let o = adam(model, #{ lr: 1e-2 });
for e in run.epochs(8) { for b in data.train.batches(50) { let l = cross_entropy(model.forward(b.x), b.y); o.step(l); run.log(#{ loss: l }); } }
model.save(\"net.safetensors\");";

/// Verdicts and radii of the records agree, line by line, and the file says how exact they are.
#[test]
fn radii_and_verdicts_agree() {
    let folder = Folder::new(&[
        ("net.rhai", NET),
        ("certify.rhai", &script("certify.rhai")),
        ("evaluate.rhai", &script("evaluate.rhai")),
    ]);
    assert!(folder.run(&["run", "net.rhai", "--allow-write", "net.safetensors"]).ends_with("exit code 0"));
    let settings = [
        "--set",
        "model=net.safetensors",
        "--set",
        "test_limit=60",
        "--set",
        "radii=true",
        "--set",
        "steps=5",
        "--set",
        "falsify=2",
    ];
    for eps in ["0.05", "0.31", "0.6"] {
        let (into, eps_set) = (format!("certified-{eps}"), format!("eps={eps}"));
        let output =
            folder.run(&[["run", "certify.rhai", "--into", &into, "--set", &eps_set].as_slice(), &settings].concat());
        assert!(output.ends_with("exit code 0"), "{output}");
        let read = |name: &str| std::fs::read_to_string(folder.path().join(&into).join(name)).unwrap();
        let header: serde_json::Value = serde_json::from_str(&read("records/records.json")).unwrap();
        assert!(
            header["radius_tolerance"].as_f64().unwrap() > 0.0 && header["eps"].as_f64() == eps.parse().ok(),
            "{header}"
        );
        let (mut certified, rows) = (0, read("records/records.jsonl"));
        let eps: f64 = eps.parse().unwrap();
        let mut keys = None;
        for line in rows.lines() {
            let row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
            let (radius, verdict) = (row["radius"].as_f64().unwrap(), row["verdict"].as_str().unwrap());
            match verdict {
                "certified" => {
                    certified += 1;
                    assert!(radius >= eps, "{line}");
                }
                "wrong" => assert!(radius == 0.0, "{line}"),
                _ => assert!(radius < eps, "{line}"),
            }
            // A table reads it without a stray row: every line has the same columns.
            let own: Vec<String> = row.keys().cloned().collect();
            assert_eq!(keys.get_or_insert(own.clone()), &own, "{line}");
        }
        assert!(rows.lines().count() == 60 && certified > 0, "{certified}\n{rows}");
        // The table, the record and the list of runs say the same share.
        let share = format!("{:.1}", 100.0 * f64::from(certified) / 60.0);
        let record: serde_json::Value = serde_json::from_str(&read("run.json")).unwrap();
        let stated = record["results"][0]["certified"].as_f64().unwrap();
        assert!((100.0 * stated - share.parse::<f64>().unwrap()).abs() < 0.06, "{record}");
        assert!(output.contains(&share) && folder.run(&["runs", "."]).contains(&share), "{share}: {output}");
        assert!(read("report.html").contains(&share) && read("output.txt").contains(&share), "{share}");
        assert!(read("report.html").contains("A record for each image: <code>records"), "{}", read("report.html"));
    }
    let compared = folder.run(&["compare", "certified-0.05", "certified-0.6"]);
    assert!(compared.contains("certified") && compared.ends_with("exit code 0"), "{compared}");
    // Parquet carries the header in its own metadata.
    let bytes = std::fs::read(folder.path().join("certified-0.31/records/records.parquet")).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    for part in ["workbench.eps", "0.31", "workbench.kind", "rigorous", "radius_tolerance"] {
        assert!(text.contains(part), "{part}");
    }
    // A part without images has no accuracy.
    let empty =
        ["run", "certify.rhai", "--into", "empty", "--set", "eps=0.1", "--set", "shard=2/2", "--set", "batch=100"];
    let output = folder.run(&[empty.as_slice(), &settings].concat());
    assert!(output.contains("shard 2/2 has no images") && output.ends_with("exit code 0"), "{output}");
    let record = std::fs::read_to_string(folder.path().join("empty/run.json")).unwrap();
    assert!(record.contains("\"images\": 0") && !record.contains("\"certified\": 0"), "{record}");
    // Evaluations are runs as well.
    let output = folder.run(&[
        "run",
        "evaluate.rhai",
        "--into",
        "evaluated",
        "--set",
        "model=net.safetensors",
        "--set",
        "test_limit=60",
        "--set",
        "eps=[0.1]",
        "--set",
        "steps=5",
    ]);
    assert!(output.ends_with("exit code 0"), "{output}");
    let record = std::fs::read_to_string(folder.path().join("evaluated/run.json")).unwrap();
    assert!(record.contains("\"pgd\"") && record.contains("\"status\": \"finished\""), "{record}");
}
