//! Scripts of users (`tests/cases`), each with what is right for it.

use crate::common::program::Folder;
use std::path::Path;

/// What the case `name` prints; it ends well.
fn outcome(name: &str) -> String {
    let output = folder(name).run(&["run", name, "--threads", "1"]);
    assert!(output.ends_with("exit code 0"), "{output}");
    output
}

/// A folder with the case in it.
fn folder(name: &str) -> Folder {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name)).unwrap();
    Folder::new(&[(name, &text)])
}

/// All of `parts`, in this order.
fn holds(output: &str, parts: &[&str]) {
    let mut rest = output;
    for part in parts {
        let Some(at) = rest.find(part) else { panic!("{part:?} is not in its place in:\n{output}") };
        rest = &rest[at + part.len()..];
    }
}

/// The numbers on the lines that hold nothing else but numbers in brackets or without.
fn numbers(line: &str) -> Vec<f64> {
    line.split([' ', ',', '[', ']']).filter_map(|word| word.parse().ok()).collect()
}

#[test]
fn a_fraction_of_whole_numbers_is_one() {
    let output = outcome("int_eps.rhai");
    // A cosine over two epochs: the whole rate, then half of it.
    holds(&output, &["eps = 0.14117647058823", "lr 0.001\n", "lr 0.0005000006", "exact         0.1412"]);
    assert!(!output.contains("0.0000 "), "{output}");
}

#[test]
fn the_epoch_that_was_left_is_in_all_places() {
    let folder = folder("early.rhai");
    let output = folder.run(&["run", "early.rhai", "--into", "early"]);
    holds(&output, &["epoch  4/30", "stopped early at epoch 5", "epoch  5/30  loss 1.6", "best 0.5", "exit code 0"]);
    let read = |name: &str| std::fs::read_to_string(folder.path().join("early").join(name)).unwrap();
    assert_eq!(read("metrics.csv").lines().count(), 6, "{}", read("metrics.csv"));
    assert_eq!(read("metrics.jsonl").lines().count(), 5);
    assert!(read("output.txt").contains("epoch  5/30"));
    let runs = folder.run(&["runs", "."]);
    holds(&runs, &["early", "finished", " 5 "]);
    let events =
        std::fs::read(std::fs::read_dir(folder.path().join("early/events")).unwrap().next().unwrap().unwrap().path());
    assert_eq!(events.unwrap().windows(4).filter(|part| part == b"loss").count(), 5);
}

#[test]
fn averages_schedules_and_frozen_layers_work() {
    let ema = outcome("ema.rhai");
    holds(&ema, &["loss 2.2442", "loss 1.9769", "loss 1.6583", "loss 1.3000", "model ", "ema "]);
    assert!(!ema.contains("note:"), "{ema}");
    holds(&outcome("warm.rhai"), &["lr 0.0075", "lr 0.0061", "lr 0  "]);
    holds(&outcome("freeze.rhai"), &["loss 2.3094", "loss 2.2532", "\n0.0\n"]);
}

#[test]
fn an_image_on_the_boundary_is_not_certified() {
    let output = outcome("tie.rhai");
    holds(
        &output,
        &[
            "exact         0.0000      0.0    0.0     0.0          0.0",
            "exact         0.1000      0.0    0.0     0.0          0.0",
        ],
    );
    holds(
        &output,
        &[
            "eps 0: nothing moves",
            "0.0000      20      0.0    0.0     0.0          0.0",
            "no certified image attacked",
            "\n0.0\n",
        ],
    );
}

#[test]
fn a_radius_for_each_image() {
    let output = outcome("eps.rhai");
    let lines: Vec<Vec<f64>> = output.lines().filter(|line| line.starts_with('[')).map(numbers).collect();
    let near = |found: &[f64], right: &[f64]| {
        assert!(found.iter().zip(right).all(|(a, b)| (a - b).abs() < 1e-4) && found.len() == right.len(), "{found:?}");
    };
    near(&lines[0], &[0.0, 0.134302, 1.343016]);
    near(&lines[1], &[1.464654, 1.509936, -2.821958]);
    // One by one as all at once.
    near(&lines[2..5].concat(), &lines[1]);
    assert_eq!(lines[5], [3.0, 1.0, 8.0, 8.0]);
    holds(
        &output,
        &[
            "0.0000     58.3   58.3    58.3         58.3",
            "0.5000     58.3",
            "8.3",
            "0.1000     58.3",
            "53.3",
            "8.0000     58.3    0.0",
        ],
    );
    holds(&output, &["the radius is -0.1", "the radius is 36/255, of type string; give a number such as 36/255"]);
}

#[test]
fn the_same_function_has_the_same_certificates() {
    let output = outcome("normalised.rhai");
    let alone = |line: &&str| line.split("  ").all(|word| word.parse::<f64>().is_ok());
    let rows: Vec<Vec<f64>> = output.lines().filter(alone).map(numbers).collect();
    let pairs: Vec<&Vec<f64>> = rows.iter().filter(|row| row.len() == 2).collect();
    let right = [0.481646, 0.497770, 0.0, 0.464619, 0.302618, 0.0];
    assert_eq!(pairs.len(), right.len(), "{output}");
    for (pair, right) in pairs.iter().zip(right) {
        assert!((pair[0] - right).abs() < 1e-4 && (pair[1] - right).abs() < 1e-4, "{pair:?} {right}");
    }
    assert_eq!(output.matches("0.1000     80.0   76.7    76.7         76.7").count(), 2, "{output}");
}

#[test]
fn one_logit_is_two_classes_by_its_sign() {
    let output = outcome("one.rhai");
    holds(
        &output,
        &[
            "binary: [1, 8, 8], 2 classes",
            "exact         0.1000     66.0",
            "61.0",
            "label [0] logit [[-0.24",
            "radius 0.128",
        ],
    );
    for word in ["report:", "pgd:", "radius:"] {
        assert!(!output.contains(word), "{output}");
    }
}

#[test]
fn vectors_are_data_too() {
    let output = outcome("vectors.rhai");
    holds(
        &output,
        &[
            "Model over [5]",
            "arrays: [5], 5 classes",
            "arrays: [1, 1, 5]",
            "Model over [1, 1, 5]",
            "Model over [5, 1, 1]",
        ],
    );
}

#[test]
fn a_byte_order_mark_is_skipped() {
    holds(&outcome("bom.rhai"), &["4"]);
}

#[test]
fn a_function_does_not_see_variables_outside_of_it() {
    let folder = folder("outer.rhai");
    for command in ["check", "run"] {
        let output = folder.run(&[command, "outer.rhai"]);
        holds(
            &output,
            &[
                "error: `scaled` does not see the variable `scale` (line 1)",
                "parameter",
                "outer.rhai:2:20",
                "exit code 1",
            ],
        );
    }
}

/// Of its folder and of its pack, beside the data or elsewhere.
#[test]
fn a_run_finds_its_data_again() {
    let folder = Folder::new(&[("elsewhere/x", "")]);
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/replay");
    for entry in walkdir(&from) {
        let to = folder.path().join("work").join(entry.strip_prefix(&from).unwrap());
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(&entry, to).unwrap();
    }
    let first = folder.run(&["run", "work/net.rhai", "--into", "first"]);
    holds(&first, &["epoch 2/2  loss 0.6794", "exit code 0"]);
    holds(&folder.run(&["pack", "first", "--into", "elsewhere/net.workbench"]), &["exit code 0"]);
    for run in ["first", "elsewhere/net.workbench"] {
        let again = folder.run(&["replay", run]);
        holds(
            &again,
            &["epoch 2/2  loss 0.6794", "results are those of", "is read from FOLDER/work/pics, as in the run before"],
        );
    }
    // Other pictures are not those of the run.
    std::fs::rename(folder.path().join("work/pics/test/cat"), folder.path().join("work/pics/test/hen")).unwrap();
    std::fs::rename(folder.path().join("work/pics/test/dog"), folder.path().join("work/pics/test/cat")).unwrap();
    std::fs::rename(folder.path().join("work/pics/test/hen"), folder.path().join("work/pics/test/dog")).unwrap();
    for run in ["first", "elsewhere/net.workbench"] {
        holds(&folder.run(&["replay", run]), &["does not hold what it held when the run began", "exit code 1"]);
    }
    // Beside the script or the pack they are found as well, and where they are gone a flag is named.
    std::fs::remove_dir_all(folder.path().join("work/pics")).unwrap();
    let gone = folder.run(&["replay", "elsewhere/net.workbench"]);
    holds(&gone, &["pics", "exit code 1"]);
}

fn walkdir(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walkdir(&path) } else { vec![path] }).collect()
}
