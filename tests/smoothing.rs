//! Randomised smoothing: bounds and radii against exact ones, votes that depend on nothing but their names, certificates against a closed
//! form, SmoothAdv, records that go on.

mod common;

use common::program::{Folder, script};
use common::{Lab, values};
use rhai::Dynamic;
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use workbench::bounds::smoothing::{binomial_lower, binomial_p_value, smoothed_radius};

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

fn whole(value: &Value) -> u64 {
    value.as_u64().expect("a whole number")
}

fn read(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).expect("JSON")
}

/// Every golden entry, to 1e-10.
#[test]
fn golden_bounds_radii_and_p_values() {
    let folder = std::env::var_os("WORKBENCH_GOLDEN").map(std::path::PathBuf::from);
    let Some(path) = folder.map(|f| f.join("frontier/smoothing.json")).filter(|path| path.exists()) else {
        eprintln!("skipped: WORKBENCH_GOLDEN names no folder with frontier/smoothing.json");
        return;
    };
    let golden = read(&path);
    let rows = golden["certify"].as_array().expect("rows");
    let (mut abstained, mut worst) = (0, 0.0f64);
    for row in rows {
        let lower = binomial_lower(whole(&row["k"]), whole(&row["n"]), number(&row["alpha"])).unwrap();
        let radius = smoothed_radius(lower, number(&row["sigma"])).unwrap();
        worst = worst.max((lower - number(&row["p_lower"])).abs());
        match (radius, row["radius"].as_f64()) {
            (Some(own), Some(truth)) => worst = worst.max((own - truth).abs()),
            (own, truth) => {
                assert_eq!(own, truth, "{row}");
                abstained += 1;
            }
        }
    }
    println!("{} entries, {abstained} abstain, largest difference {worst:.1e}", rows.len());
    assert!(worst <= 1e-10 && rows.len() > 100 && abstained > 20, "{worst:e}");
    let tests = golden["predict"].as_array().expect("tests");
    for row in tests {
        let (a, b, truth) = (whole(&row["first"]), whole(&row["second"]), number(&row["p_value"]));
        let own = binomial_p_value(a, a + b).unwrap();
        assert!((own - truth).abs() <= 1e-10 * truth, "{row}: {own}");
    }
    assert!(tests.len() >= 8);
}

/// The exact bounds, found with 60 digits and rounded down: ours is never above, and at most a few numbers of f64 below.
#[test]
fn a_bound_is_never_above_the_exact_one() {
    let cases = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/smoothing.json"));
    let rows = cases["bounds"].as_array().expect("rows");
    for row in rows {
        let (k, n, alpha, exact) = (whole(&row[0]), whole(&row[1]), number(&row[2]), number(&row[3]));
        let own = binomial_lower(k, n, alpha).unwrap();
        // By the distance from 1, too, which a radius rests on.
        let near = 2e-12 * exact.min(1.0 - exact) + f64::EPSILON;
        assert!(own <= exact && exact - own <= near, "{k} of {n} at {alpha}: {own:?} for {exact:?}");
    }
    assert!(rows.len() >= 50);
    for row in cases["p_values"].as_array().expect("rows") {
        let (a, b, truth) = (whole(&row[0]), whole(&row[1]), number(&row[2]));
        let own = binomial_p_value(a, a + b).unwrap();
        assert!((own - truth).abs() <= 1e-11 * truth && own == binomial_p_value(b, a + b).unwrap(), "{row}: {own}");
    }
}

/// A small network in f64, four images.
const NETWORK: &str = r#"
    import "std/smoothing" as smoothing;
    let model = sequential([1, 4, 4], [conv2d(3, 3), relu(), flatten(), linear(3)], #{ dtype: "f64" });
    let x = uniform(0.0, 1.0, [4, 1, 4, 4]).to_dtype("f64");
"#;

#[test]
fn votes_depend_on_names_alone() {
    let found = Lab::new().run(&format!(
        r#"{NETWORK}
        let how    = |batch, index, phase| noisy_votes(model, x, 0.5, 300, #{{ batch: batch, index: index, phase: phase }}).to_array();
        let same   = how.call(1000, [7, 1, 2, 3], "a");
        let alone  = noisy_votes(model, x[1..2], 0.5, 300, #{{ index: [1], phase: "a" }}).to_array()[0];
        let before = noisy_votes(model, x[1..2], 0.5, 120, #{{ index: [1], phase: "a" }}).to_array()[0];
        randn([5]);
        [
            same == how.call(7, [7, 1, 2, 3], "a") && same == how.call(64, [7, 1, 2, 3], "a") && same[1] == alone,
            same != how.call(1000, [7, 1, 2, 3], "b") && same[0] != how.call(1000, [8, 1, 2, 3], "a")[0],
            same == noisy_votes(model, x, 0.5, 300, #{{ index: [7, 1, 2, 3], phase: "a" }}).to_array(),
            same != noisy_votes(model, x, 0.5, 300, #{{ index: [7, 1, 2, 3], phase: "a", entropy: entropy().key }}).to_array(),
            same.all(|counts| counts[0] + counts[1] + counts[2] == 300),
            before[0] <= alone[0] && before[1] <= alone[1] && before[2] <= alone[2],
            // The same noise in f32, where a copy on the very border may vote otherwise.
            (noisy_votes(model.to_dtype("f32"), x, 0.5, 300, #{{ batch: 50, index: [7, 1, 2, 3], phase: "a" }}).to_dtype("f32") - tensor(same)).abs().max().item() <= 1.0,
        ]"#
    ));
    let all: Vec<bool> = found.into_typed_array().unwrap();
    assert_eq!(all, [true; 7]);
}

/// f(x) = the sign of w x + b: under noise it says what it says without any, and its radius is |w x + b| / |w|.
#[test]
fn a_linear_classifier_has_its_distance_as_radius() {
    const SIGMA: f64 = 0.5;
    const N: u64 = 4_000;
    let found = Lab::new().run(&format!(
        r#"
        import "std/smoothing" as smoothing;
        let model = sequential([1, 2, 3], [flatten(), linear(2)], #{{ dtype: "f64" }});
        let x = uniform(-1.0, 1.0, [20, 1, 2, 3]).to_dtype("f64");
        let w = model.param("1.weight")[0] - model.param("1.weight")[1];
        let b = model.param("1.bias")[0] - model.param("1.bias")[1];
        let distance = ((x.flatten(1) * w).sum(1) + b) / w.norm();
        let certified = smoothing::certify(model, x, {SIGMA}, #{{ n: {N} }});
        let predicted = smoothing::predict(model, x, {SIGMA}, #{{ n: {N} }});
        [distance, certified, predicted]"#
    ));
    let mut parts = found.into_array().unwrap().into_iter();
    let distance = values(&common::tensor_of(&parts.next().unwrap()));
    let maps = |list: Dynamic| list.into_typed_array::<rhai::Map>().unwrap();
    let (certified, predicted) = (maps(parts.next().unwrap()), maps(parts.next().unwrap()));
    let mut positive = 0;
    for ((distance, certified), predicted) in distance.iter().zip(&certified).zip(&predicted) {
        let radius = certified["radius"].as_float().unwrap();
        // Below the truth, and as near as the counts allow: five standard deviations, at a fixed seed.
        let p = 0.5 * libm::erfc(-distance.abs() / SIGMA / std::f64::consts::SQRT_2);
        let few = N as f64 * p - 5.0 * (N as f64 * p * (1.0 - p)).sqrt() - 1.0;
        let least = smoothed_radius(binomial_lower(few as u64, N, 0.001).unwrap(), SIGMA).unwrap().unwrap_or(0.0);
        assert!(radius <= distance.abs() && radius >= least, "{distance}: {radius}, at least {least}");
        let class = if *distance > 0.0 { 0 } else { 1 };
        for one in [certified, predicted] {
            let said = one["predicted"].clone();
            assert!(said.is_unit() || said.as_int().unwrap() == class, "{distance}: {one:?}");
        }
        if radius > 0.0 {
            positive += 1;
            assert!(!predicted["predicted"].is_unit(), "{distance}: certified but not predicted");
        }
    }
    assert!(positive >= 12, "{positive} of 20 certified");
}

/// What cannot be told apart, and what is no number, is abstained from.
#[test]
fn it_abstains() {
    let found = Lab::new().run(&format!(
        r#"{NETWORK}
        let at = |model, x| {{
            let c = smoothing::certify(model, x, 0.5, #{{ n: 1000 }})[0];
            let p = smoothing::predict(model, x, 0.5, #{{ n: 1000 }})[0];
            [c.predicted == (), c.radius == 0.0, p.predicted == ()]
        }};
        let plain = sequential([2], [linear(2)]);
        plain.set_param("0.weight", tensor([[1.0, 0.0], [-1.0, 0.0]]));
        plain.set_param("0.bias", tensor([0.0, 0.0]));
        let border = at.call(plain, tensor([[0.0, 1.0]]));
        let inside = at.call(plain, tensor([[2.0, 1.0]]));
        plain.set_param("0.weight", tensor([[0.0, 0.0], [0.0, 0.0]]));
        let ties = at.call(plain, tensor([[2.0, 1.0]]));
        let lost = noisy_votes(plain, tensor([[2.0, 1.0]]), 0.5, 100).sum().item();
        [border, inside, ties, [lost == 0.0]]"#
    ));
    let all: Vec<Vec<bool>> =
        found.into_array().unwrap().into_iter().map(|list| list.into_typed_array().unwrap()).collect();
    assert_eq!(all, [vec![true; 3], vec![false; 3], vec![true; 3], vec![true]]);
}

#[test]
fn what_cannot_be_is_refused_in_words() {
    for (call, words) in [
        ("smoothing::certify(model, x, 0.5, #{ n: 9 })", "too few samples can only abstain; give n: 10 or more"),
        ("smoothing::predict(model, x, 0.5, #{ n: 10 })", "too few samples can only abstain; give a larger n"),
        ("smoothing::certify(model, x, 0.5, #{ m: 9 })", "smoothing: unknown option m; known: "),
        ("smoothing::certify(model, x, 0.5, #{ n: 1.5 })", "n is 1.5; it must be a whole number"),
        ("smoothing::certify(model, x, -0.5, #{ n: 20 })", "noisy_votes: sigma is -0.5; it must be finite and above 0"),
        ("noisy_votes(model, x, 0.5, 0)", "noisy_votes: 0 copies"),
        ("noisy_votes(model, x, 0.5, 3, #{ index: [1] })", "noisy_votes: 4 images, `index` names 1"),
        ("noisy_votes(model, randn([2, 3]), 0.5, 3)", "noisy_votes: the network wants a batch of [1, 4, 4], got"),
        ("noisy_votes(model, x, 0.5, 3, #{ entropy: \"1\" })", "noisy_votes: \"1\" is no entropy"),
        ("binomial_lower(3, 2, 0.1)", "3 successes in 2 trials"),
        ("smoothed_radius(1.0, 0.5)", "1 is no lower bound on a probability"),
        (
            "smoothing::smooth_adv(model, x, tensor([0, 1, 2, 0], \"u32\"), 0.5, #{ steps: 0 })",
            "0 steps with 4 samples",
        ),
        ("smoothing::accuracy_at([], [0.1])", "no rows"),
    ] {
        let found = Lab::new().run(&format!(
            "{NETWORK}\nlet told = \"nothing\";\ntry {{ {call}; }} catch (e) {{ told = `${{e}}`; }}\ntold"
        ));
        let told = found.into_string().unwrap();
        assert!(told.contains(words), "{call}: {told}");
    }
}

/// On two classes and a linear network the attack on the smoothed network goes straight away from the label, to the border of the ball.
#[test]
fn smooth_adv_goes_where_it_should() {
    let found = Lab::new().run(&format!(
        r#"{NETWORK}
        let plain = sequential([5], [linear(2)], #{{ dtype: "f64" }});
        let x2 = randn([6, 5]).to_dtype("f64");
        let y2 = tensor([0, 1, 0, 1, 0, 1], "u32");
        let found = smoothing::smooth_adv(plain, x2, y2, 0.3, #{{ eps: 0.4, steps: 4, samples: 3, unit_range: false }});
        let w = plain.param("0.weight")[1] - plain.param("0.weight")[0];
        let side = 1.0 - 2.0 * y2.to_dtype("f64").reshape([6, 1]);
        let straight = found.points.all_close(x2 + 0.4 * side * w / w.norm(), 1e-9);
        // The noise is the same for all steps, and that of the points that come back.
        let noise = found.noisy - cat([found.points, found.points, found.points], 0);
        let spread = noise.sqr().mean().sqrt().item();
        // A network with an activation: the loss of the smoothed network rises, in the ball and in [0, 1].
        let y    = tensor([0, 1, 2, 0], "u32");
        let moved = smoothing::smooth_adv(model, x, y, 0.3, #{{ eps: 0.5, steps: 8, samples: 5 }});
        let delta = moved.points - x;
        let drawn = moved.noisy - cat([moved.points, moved.points, moved.points, moved.points, moved.points], 0);
        let loss  = |points| {{
            let p = model.forward(cat([points, points, points, points, points], 0) + drawn).softmax(1);
            -p.gather(1, moved.labels.unsqueeze(1)).reshape([5, 4]).mean(0).log()
        }};
        let rose = (loss.call(moved.points) > loss.call(x)).min().item();
        // Constant networks have no gradient.
        plain.set_param("0.weight", 0.0 * plain.param("0.weight"));
        let still = smoothing::smooth_adv(plain, x2, y2, 0.3, #{{ unit_range: false }}).points.all_close(x2, 0.0);
        [
            straight, spread > 0.2 && spread < 0.4 && noise.shape == [18, 5] && found.labels.to_array() == y2.to_array() + y2.to_array() + y2.to_array(),
            delta.flatten(1).norm(1).max().item() <= 0.5 + 1e-9 && moved.points.min().item() >= 0.0 && moved.points.max().item() <= 1.0,
            rose == 1.0, still,
        ]"#
    ));
    let all: Vec<bool> = found.into_typed_array().unwrap();
    assert_eq!(all, [true; 5]);
}

/// Votes without end are stopped by Ctrl-C.
#[cfg(unix)]
#[test]
fn ctrl_c_stops_the_counting() {
    use std::io::{BufRead, BufReader};
    let text = "let net = sequential([3], [linear(2)]);\nprint(\"voting\");\nnoisy_votes(net, randn([1, 3]), 0.5, 1000000000);";
    let folder = Folder::new(&[("main.rhai", text)]);
    let mut child = folder.spawn(&["run", "main.rhai"]);
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let id = libc::pid_t::try_from(child.id()).unwrap();
    // SAFETY: a signal to a child of ours that has not been waited for.
    assert_eq!(unsafe { libc::kill(id, libc::SIGINT) }, 0);
    let output = folder.shown(&child.wait_with_output().unwrap());
    assert!(output.contains("interrupted at main.rhai:3:1") && output.ends_with("exit code 130"), "{output}");
}

/// Settings that make the shipped script short.
const SHORT: [&str; 12] = [
    "epochs=1",
    "train_limit=64",
    "test_limit=8",
    "every=2",
    "n=400",
    "n0=20",
    "noisy_copies=100",
    "sigma=0.3",
    "ramp=0",
    "attack_steps=1",
    "samples=1",
    "radii=[0.0,0.2]",
];

fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

/// The shipped script, killed while it certifies and resumed, leaves the rows of one that was not.
#[test]
fn the_script_goes_on_behind_the_last_image() {
    let folder = Folder::new(&[("smoothing.rhai", &script("smoothing.rhai"))]);
    let settings: Vec<&str> = SHORT.iter().flat_map(|setting| ["--set", setting]).collect();
    let whole = folder.run(&[&["run", "smoothing.rhai", "--into", "whole"][..], &settings].concat());
    assert!(whole.ends_with("exit code 0") && whole.contains("4 of 8 test images"), "{whole}");
    assert!(whole.contains("Lipschitz, digits") && whole.contains("no radius above"), "{whole}");
    let rows = |run: &str| folder.path().join(run).join("smoothing-1/records.jsonl");
    let mut child = folder
        .command(&[&["run", "smoothing.rhai", "--into", "part"][..], &settings].concat())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while lines(&rows("part")) < 1 && child.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < Duration::from_secs(120), "no row comes");
        std::thread::sleep(Duration::from_millis(2));
    }
    let _ = child.kill();
    child.wait().unwrap();
    let before = lines(&rows("part"));
    assert!((1..4).contains(&before), "stopped too late: {before} rows");
    let rest = folder.run(&["run", "smoothing.rhai", "--resume", "part"]);
    assert!(rest.ends_with("exit code 0"), "{rest}");
    let text = |run: &str| std::fs::read_to_string(rows(run)).unwrap();
    assert_eq!(text("part"), text("whole"));
    for (i, line) in text("part").lines().enumerate() {
        let row: Value = serde_json::from_str(line).unwrap();
        assert_eq!(whole_of(&row, "index"), 2 * i as u64, "{line}");
        assert!(whole_of(&row, "selected") <= 20 && whole_of(&row, "votes") <= 400 && row["label"].is_u64(), "{line}");
        assert!(number(&row["p_lower"]) < 1.0 && number(&row["radius"]) <= 0.7, "{line}");
    }
    let table =
        |text: &str| text.lines().filter(|line| line.starts_with("smoothed  ")).map(str::to_string).collect::<Vec<_>>();
    assert_eq!(table(&rest), table(&whole));
}

fn whole_of(row: &Value, key: &str) -> u64 {
    whole(&row[key])
}

/// Rows of another evaluation, and rows that say more than their votes, are not gone on with.
#[test]
fn rows_say_what_their_votes_say() {
    let text = r#"
        import "std/smoothing" as smoothing;
        let data = dataset("digits", #{ train_limit: 8, test_limit: 5 });
        let net  = sequential(data.shape, [flatten(), linear(10)]);
        let how  = #{ n: 200, n0: 20, records: "rows" };
        let rows = smoothing::certify_split(net, data.test, 0.25, how);
        print(rows.map(|row| row.index));
        let again = smoothing::certify_split(net, data.test, 0.25, how + #{ batch: 9 });
        print(again.len() == 5 && again[4].votes == rows[4].votes);
        try { smoothing::certify_split(net, data.test, 0.5, how); } catch (e) { print(`${e}`); }
        let header = read_records("rows").header;
        header.remove("program");
        let row = rows[0];
        row.radius += 0.1;
        row.predicted = row.candidate;
        records("changed", header).add([row], #{ seconds: 0.0 });
        try { smoothing::certify_split(net, data.test, 0.25, how + #{ records: "changed" }); } catch (e) { print(`${e}`); }
    "#;
    let output = Folder::new(&[("main.rhai", text)]).run(&["run", "main.rhai", "--allow-write", "."]);
    for words in [
        "[0, 1, 2, 3, 4]\ntrue\n",
        "its sigma is 0.25, this one's is 0.5",
        "the row of image 0",
        "does not say what its votes say",
    ] {
        assert!(output.contains(words), "{words}: {output}");
    }
    assert!(output.ends_with("exit code 0"), "{output}");
}
