//! Auto-PGD: against a program of its own (tests/cases/apgd.py), against closed forms, and what every attack owes.

mod common;

use candle_core::{DType, Device, Tensor};
use common::program::Folder;
use common::{random_net_on, values};
use std::collections::HashMap;
use std::path::Path;
use workbench::base::random::Generator;
use workbench::bounds::{correct, margins};
use workbench::nn::layers::{Linear, Relu};
use workbench::nn::{LayerSpec, Sequential};
use workbench::train::losses::cross_entropies;
use workbench::train::{AttackOptions, Objective, Start, pgd};

const CPU: Device = Device::Cpu;

const OBJECTIVES: [Objective; 3] = [Objective::CrossEntropy, Objective::Ratio, Objective::CrossEntropyThenRatio];

fn linear(features: usize) -> LayerSpec {
    LayerSpec::of(Linear { features, bias: true })
}

/// Linear layers with these weights and biases in turn, ReLU between them.
fn network(weights: &[Tensor]) -> Sequential {
    let mut layers = vec![];
    for pair in weights.chunks(2) {
        layers.extend([linear(pair[0].dim(0).unwrap()), LayerSpec::of(Relu)]);
    }
    layers.pop();
    let inputs = weights[0].dim(1).unwrap();
    let model = Sequential::new(&[inputs], &layers, DType::F64, &CPU, &Generator::new(0)).unwrap();
    for ((_, parameter), value) in model.parameters().iter().zip(weights) {
        parameter.set(value).unwrap();
    }
    model
}

/// The norm of each sample, in a sum of its own.
fn lengths(x: &Tensor) -> Vec<f64> {
    x.flatten_from(1).unwrap().sqr().unwrap().sum(1).unwrap().sqrt().unwrap().to_vec1().unwrap()
}

/// The points after 1 to 100 steps, with momentum, halved steps and ways back, are those of another program that goes image by image:
/// cross-entropy, the ratio to the likeliest class, and, of three classes, the margin in its place. To 1e-10 in f64, as long as a climb goes
/// on. Where it has arrived the objective is flat: points whose values differ by f64's last digit lie the root of that apart.
#[test]
fn the_points_are_those_of_the_reference() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/apgd.safetensors");
    let stored: HashMap<String, Tensor> = candle_core::safetensors::load(file, &CPU).unwrap();
    let mut compared = 0;
    for name in ["five", "three"] {
        let of = |key: &str| stored[&format!("{name}/{key}")].clone();
        let model = network(&[of("0"), of("1"), of("2"), of("3")]);
        let (x, y) = (of("x"), of("y").to_dtype(DType::U32).unwrap());
        for (what, objective) in [("cross_entropy", Objective::CrossEntropy), ("dlr", Objective::Ratio)] {
            for (kind, clip) in [("images", true), ("free", false)] {
                for steps in [1, 3, 10, 40, 100] {
                    let options = AttackOptions {
                        steps,
                        targets: 1,
                        start: Start::Points(of("start")),
                        clip,
                        stop_early: false,
                        ..AttackOptions::auto(0.35, objective)
                    };
                    let found = pgd(&model, &x, &y, options, &Generator::new(0)).unwrap();
                    let wanted = of(&format!("{what}/{kind}/{steps}"));
                    let gap = values(&(&found - &wanted).unwrap()).iter().fold(0.0, |m: f64, x| m.max(x.abs()));
                    let allowed = if steps <= 10 { 1e-10 } else { 1e-7 };
                    assert!(gap < allowed, "{name} {what} {kind}, {steps} steps: {gap:.1e} away");
                    assert!(values(&(&found - &x).unwrap()).iter().any(|x| x.abs() > 1e-3), "{name} has not moved");
                    compared += 1;
                }
            }
        }
    }
    assert_eq!(compared, 40);
}

/// On random networks in f64: the points lie in ball and box, the end is no lower than the beginning, and who was wrong stays wrong.
#[test]
fn the_points_stay_in_ball_and_box_and_the_best_one_is_kept() {
    let random = Generator::new(11);
    let mut risen = 0;
    for turn in 0..12 {
        let model = random_net_on(&random, &CPU);
        let x = random.uniform(0.0, 1.0, [&[5], model.input()].concat(), DType::F64, &CPU).unwrap();
        let y = Tensor::new(&[0u32, 1, 0, 1, 0], &CPU).unwrap();
        let start = (&x + random.normal(0.0, 0.01, x.shape(), DType::F64, &CPU).unwrap()).unwrap();
        let start = start.clamp(0f64, 1f64).unwrap();
        let epsilon = [0.1, 0.5, 3.0][turn % 3];
        let frozen = model.frozen();
        for objective in OBJECTIVES {
            let options = AttackOptions {
                steps: 20,
                start: Start::Points(start.clone()),
                stop_early: false,
                ..AttackOptions::auto(epsilon, objective)
            };
            let end = pgd(&model, &x, &y, options.clone(), &Generator::new(3)).unwrap();
            let far = lengths(&(&end - &x).unwrap());
            assert!(far.iter().all(|far| *far <= epsilon * (1.0 + 1e-12)), "{objective:?}: {far:?} at {epsilon}");
            assert!(values(&end).iter().all(|v| (0.0..=1.0).contains(v)), "{objective:?} leaves [0, 1]");
            if objective == Objective::CrossEntropy {
                let held = lengths(&(&start - &x).unwrap()).iter().all(|far| *far <= epsilon);
                let of = |points: &Tensor| values(&cross_entropies(&frozen.forward(points).unwrap(), &y).unwrap());
                let (before, after) = (of(&start), of(&end));
                assert!(!held || before.iter().zip(&after).all(|(a, b)| b >= a), "{before:?} to {after:?}");
                risen += before.iter().zip(&after).filter(|(a, b)| b > a).count();
            }
            // Wrong where the attack begins: it stays right there.
            let wrong = correct(&frozen.forward(&start).unwrap(), &y).unwrap().to_vec1::<u8>().unwrap();
            let early = AttackOptions { stop_early: true, ..options };
            let end = pgd(&model, &x, &y, early, &Generator::new(3)).unwrap();
            let moved = lengths(&(&end - &start).unwrap());
            let inside = lengths(&(&start - &x).unwrap());
            for i in (0..5).filter(|i| wrong[*i] == 0 && inside[*i] < epsilon) {
                assert!(moved[i] < 1e-12, "{objective:?}: image {i} had fallen and moved by {}", moved[i]);
            }
        }
    }
    assert!(risen >= 30, "only {risen} of 60 losses have risen");
}

/// A linear network's margin is least at x - eps w / ||w||, w the difference of the rows. With two classes the cross-entropy leads
/// there, with three the margin to each class in turn, of which the smallest is kept.
#[test]
fn a_linear_network_is_attacked_in_closed_form() {
    let random = Generator::new(5);
    for classes in [2usize, 3] {
        let weight = random.normal(0.0, 1.0, (classes, 7), DType::F64, &CPU).unwrap();
        let bias = random.normal(0.0, 0.3, classes, DType::F64, &CPU).unwrap();
        let model = network(&[weight.clone(), bias.clone()]);
        let x = random.uniform(0.0, 1.0, (9, 7), DType::F64, &CPU).unwrap();
        let logits = model.forward(&x).unwrap().to_vec2::<f64>().unwrap();
        let y = Tensor::new(&[0u32, 1, 0, 1, 0, 1, 0, 1, 1], &CPU).unwrap();
        let (labels, rows) = (y.to_vec1::<u32>().unwrap(), weight.to_vec2::<f64>().unwrap());
        let epsilon = 0.4;
        let objective = if classes == 2 { Objective::CrossEntropy } else { Objective::Ratio };
        let options = AttackOptions { clip: false, stop_early: false, ..AttackOptions::auto(epsilon, objective) };
        let end = pgd(&model, &x, &y, options, &Generator::new(1)).unwrap();
        let found: Vec<f64> = values(&margins(&model.forward(&end).unwrap(), &y).unwrap());
        for (i, label) in labels.iter().map(|label| *label as usize).enumerate() {
            let apart = |j: usize| {
                let squares = rows[label].iter().zip(&rows[j]).map(|(a, b)| (a - b) * (a - b));
                logits[i][label] - logits[i][j] - epsilon * squares.sum::<f64>().sqrt()
            };
            let least = (0..classes).filter(|j| *j != label).map(apart).fold(f64::INFINITY, f64::min);
            assert!((found[i] - least).abs() < 1e-9, "{classes} classes, image {i}: {} and {least}", found[i]);
        }
    }
}

/// With streams an image's end is its own, to the digit, whoever shares the batch; another seed has other starts. What the first climb
/// breaks, the sequence that begins with it breaks.
#[test]
fn an_image_does_not_depend_on_its_batch() {
    let random = Generator::new(21);
    let draw = |shape: &[usize], size| random.normal(0.0, size, shape, DType::F64, &CPU).unwrap();
    let model = network(&[draw(&[16, 10], 0.7), draw(&[16], 0.2), draw(&[6, 16], 0.5), draw(&[6], 0.2)]);
    let x = random.uniform(0.0, 1.0, (12, 10), DType::F64, &CPU).unwrap();
    let y = model.forward(&x).unwrap().argmax(1).unwrap();
    let run = |objective, rows: std::ops::Range<usize>, seed| {
        let (from, count) = (rows.start, rows.len());
        let streams = Some(rows.map(|i| i as u64).collect());
        let options = AttackOptions { streams, steps: 15, ..AttackOptions::auto(0.3, objective) };
        let (x, y) = (x.narrow(0, from, count).unwrap(), y.narrow(0, from, count).unwrap());
        let end = pgd(&model, &x, &y, options, &Generator::new(seed)).unwrap();
        let right = correct(&model.forward(&end).unwrap(), &y).unwrap().to_vec1::<u8>().unwrap();
        (values(&end), right)
    };
    let mut fallen = vec![];
    for objective in OBJECTIVES {
        let (whole, right) = run(objective, 0..12, 1);
        let alone: Vec<f64> = (0..12).flat_map(|i| run(objective, i..i + 1, 1).0).collect();
        assert_eq!(whole, alone, "{objective:?}");
        assert_eq!(whole, run(objective, 0..12, 1).0, "{objective:?} once more");
        assert_ne!(whole, run(objective, 0..12, 2).0, "{objective:?} from another seed");
        fallen.push(right);
    }
    assert!((0..12).all(|i| fallen[0][i] == 1 || fallen[2][i] == 0), "{fallen:?}");
    assert!(fallen[2].contains(&0) && fallen[2].contains(&1), "all the same: {fallen:?}");
}

/// On a network that digits have trained APGD breaks what the strong attack breaks at equal gradients, within an image of 200; the report
/// has a column for it, which lies between certified and clean.
#[test]
fn apgd_breaks_what_the_strong_attack_breaks() {
    let script = r#"
        import "std/evaluate" as evaluate; import "std/certify" as certify; import "std/cascade" as cascade;
        let data = dataset("digits", #{ train_limit: 300 });
        let net = sequential(data.shape, [flatten(), linear(24), relu(), linear(data.classes)]);
        let o = adam(net, #{ lr: 1e-2 });
        for e in run.epochs(8) { for b in data.train.batches(50) { o.step(cross_entropy(net.forward(b.x), b.y)); } }
        let index = []; for i in 0..200 { index.push(i); }
        let x = data.test.images(index); let y = data.test.labels(index);
        let standing = |options| correct(net.forward(pgd(net, x, y, 0.3, options + #{ streams: index })), y).to_dtype("f32").sum().item();
        print(`standing ${standing.call(#{ restarts: 10, steps: 30 })} ${standing.call(#{ attack: "apgd", steps: 30 })} ${standing.call(#{ attack: "apgd_ce", steps: 30 })} ${standing.call(#{ attack: "apgd_t", steps: 30 })} ${standing.call(#{ steps: 30, restarts: 1, loss: "cross_entropy" })}`);
        // Logits times a number are the same classifier: APGD-T does not see it, in numbers that f32 scales exactly.
        let large = net.copy();
        for name in ["3.weight", "3.bias"] { large.set_param(name, (net.param(name) * 4096.0).detach()); }
        let verdicts = |m, attack| correct(m.forward(pgd(m, x, y, 0.3, #{ attack: attack, steps: 20, streams: index })), y).to_array();
        print(`scale ${verdicts.call(net, "apgd_t") == verdicts.call(large, "apgd_t")} ${verdicts.call(net, "apgd_ce") == verdicts.call(large, "apgd_ce")}`);
        for result in evaluate::report(net, data.test.take(100), [0.1, 0.3], #{ steps: 20, apgd: 10 }) {
            print(`result ${result.clean} ${result.pgd} ${result.apgd} ${result.certified}`);
        }
        let rows = cascade::evaluate_certified(certify::prepare(net, "rigorous"), data.test.take(40), 0.3, #{ attack: "apgd", attack_steps: 10, steps: 10 });
        for word in ["fell to APGD-CE", "withstood APGD-CE, then APGD-T"] { print(`${word}: ${rows.some(|row| row.attack.starts_with(word))}`); }
    "#;
    let shown = Folder::new(&[("main.rhai", script)]).run(&["run", "main.rhai"]);
    println!("{shown}");
    assert!(shown.ends_with("exit code 0"), "{shown}");
    let numbers = |word: &str| -> Vec<Vec<f64>> {
        let lines = shown.lines().filter_map(|line| line.strip_prefix(word));
        lines.map(|line| line.split_whitespace().map(|n| n.parse().unwrap()).collect()).collect()
    };
    let [strong, apgd, by_entropy, by_ratio, once] = numbers("standing ")[0][..] else { panic!("{shown}") };
    assert!((apgd - strong).abs() <= 1.0 && apgd <= by_entropy.min(by_ratio) + 1.0, "{shown}");
    assert!(by_entropy <= once && strong < 180.0, "{shown}");
    assert!(shown.contains("scale true false"), "{shown}");
    assert!(
        shown.contains("APGD %")
            && shown.contains(
                "APGD, on what withstood that and is not certified: APGD-CE, then APGD-T to each of up to 9 classes, 1 start of 10 steps"
            ),
        "{shown}"
    );
    let results = numbers("result ");
    assert_eq!(results.len(), 2);
    for row in results {
        assert!(row[3] <= row[2].min(row[1]) && row[2].max(row[1]) <= row[0] && row[2] < row[0], "{shown}");
    }
    for word in ["fell to APGD-CE: true", "withstood APGD-CE, then APGD-T: true"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
}

/// A report's APGD stands behind PGD and leaves out what is certified: the share is that of the images which stand under both attacks, each on
/// all images. It is there without a word, in a certified report too, and nowhere where no attack is wanted.
#[test]
fn a_report_has_apgd_on_what_can_still_fall() {
    let script = r#"
        import "std/evaluate" as evaluate; import "std/certify" as certify; import "std/cascade" as cascade; import "std/attacks" as attacks;
        let data = dataset("digits", #{ test_limit: 60 });
        let net = load_model("digits");
        let index = []; for i in 0..60 { index.push(i); }
        let x = data.test.images(index); let y = data.test.labels(index);
        let weak = #{ attack: "published", steps: 1 };
        let auto = #{ attack: "apgd", steps: 20 };
        let stands = |how| correct(net.forward(pgd(net, x, y, 0.8, attacks::named(how) + #{ streams: index })), y);
        let both = (stands.call(weak) * stands.call(auto)).to_dtype("f32").mean().item();
        let found = evaluate::report(net, data.test, 0.8, weak + #{ apgd: 20 })[0];
        print(`shares ${both} ${found.apgd} ${found.pgd} ${found.certified}`);
        let own = |options| "apgd" in evaluate::report(net, data.test.take(4), 0.8, options)[0];
        print(`there ${own.call(#{ steps: 1 })} ${own.call(#{ steps: 0 })} ${own.call(#{ steps: 1, apgd: 0 })} ${"apgd" in evaluate::accuracies(net, data.test.take(4), 0.8, #{ steps: 1 })}`);
        let how   = #{ attack_steps: 0, steps: 1, attack: "published", apgd: 20, falsify: 0, quick: 0 };
        let rows  = cascade::certified_report(certify::prepare(net, "estimate"), data.test, 0.8, how).rows;
        let share = cascade::summary(rows);
        print(`cascade ${share.apgd} ${share.robust} ${share.pgd}`);
        print(`fell ${rows.filter(|row| row.stage == "apgd").len()} ${rows.some(|row| row.attack.contains("withstood published, 1 start of 1 steps; withstood APGD-CE"))}`);
        print(`no rows ${evaluate::report(net, data.test.take(4), 0.8, #{ procedures: [] }).len()}`);
        let none  = cascade::certified_report(certify::prepare(net, "estimate"), data.test.take(4), 0.8, #{ steps: 0, attack_steps: 0, falsify: 0 }).summary;
        print(`none ${none.apgd == () || none.open == 0.0}`);
    "#;
    let shown = Folder::new(&[("main.rhai", script)]).run(&["run", "main.rhai"]);
    assert!(shown.ends_with("exit code 0"), "{shown}");
    let words = |begin: &str| -> Vec<String> {
        let line =
            shown.lines().find_map(|line| line.strip_prefix(begin)).unwrap_or_else(|| panic!("{begin}: {shown}"));
        line.split_whitespace().map(String::from).collect()
    };
    let shares: Vec<f64> = words("shares ").iter().map(|n| n.parse().unwrap()).collect();
    assert!((shares[0] - shares[1]).abs() < 1e-6 && shares[1] < shares[2] && shares[3] <= shares[1], "{shown}");
    assert_eq!(words("there "), ["true", "false", "false", "false"], "{shown}");
    let cascade: Vec<f64> = words("cascade ").iter().map(|n| n.parse().unwrap()).collect();
    assert!(cascade[0] == cascade[1] && (cascade[0] - shares[1]).abs() < 1e-6 && cascade[0] < cascade[2], "{shown}");
    let fell = words("fell ");
    assert!(fell[0].parse::<usize>().unwrap() > 0 && fell[1] == "true", "{shown}");
    assert_eq!((words("none "), words("no rows ")), (vec!["true".into()], vec!["0".into()]), "{shown}");
}
