//! The shipped scripts, run as a user runs them.

mod common;

use common::program::{Folder, data, script};
use std::path::Path;

/// The rows of the last table that was printed, as cells.
fn table(output: &str) -> Vec<Vec<String>> {
    let lines: Vec<&str> = output.lines().collect();
    let dashes = lines.iter().rposition(|l| l.starts_with("----")).expect("a table");
    let rows = lines[dashes + 1..]
        .iter()
        .take_while(|l| !l.contains("images") && !l.starts_with("predicted") && !l.starts_with("written"));
    rows.map(|l| l.split_whitespace().map(str::to_string).collect()).collect()
}

/// eps, clean, PGD, certified by global and by local norms: a row of the quickstart.
fn numbers(row: &[String]) -> [f64; 5] {
    let cells = &row[row.len() - 5..];
    [0, 1, 2, 3, 4].map(|i| cells[i].parse().unwrap_or_else(|_| panic!("{row:?}")))
}

fn ended_well(output: &str) {
    assert!(output.ends_with("exit code 0"), "{output}");
}

/// The main job: certified training beats plain training where it should, local bounds beat global ones, and no row claims more
/// than it may.
#[test]
fn quickstart_certifies_what_plain_training_cannot() {
    let folder = Folder::new(&[("quickstart.rhai", &script("quickstart.rhai"))]);
    let output = folder.run(&["run", "quickstart.rhai"]);
    ended_well(&output);
    let rows = table(&output);
    assert_eq!(rows.len(), 6, "three networks at two radii:\n{output}");
    for row in &rows {
        let [_, clean, pgd, globally, locally] = numbers(row);
        assert!(globally.max(locally) <= pgd && pgd <= clean, "{row:?}");
    }
    let of = |net: &str| rows.iter().filter(|r| r[0] == net).map(|r| numbers(r)).collect::<Vec<_>>();
    for ((plain, global), local) in of("plain").into_iter().zip(of("global")).zip(of("local")) {
        assert!(plain[0] == global[0] && global[0] == local[0], "{output}");
        assert!(plain[1] >= 95.0 && plain[4] < 5.0 && local[4] >= 50.0, "{output}");
        // The point of local bounds: more is certified, by the networks' own bounds, and no less than globally.
        assert!(local[4] > global[3] && local[4] >= local[3], "{output}");
    }
    assert!(output.contains("power iteration to 1e-3 (an estimate)"), "{output}");
}

/// Blocks, the script's own among them, train and are certified; every row says by what, and the own one on whose word.
#[test]
fn residual_networks_are_certified() {
    let folder = Folder::new(&[("residual_digits.rhai", &script("residual_digits.rhai"))]);
    let output =
        folder.run(&["run", "residual_digits.rhai", "--set", "epochs=4", "--set", "ramp=3", "--set", "test_limit=20"]);
    ended_well(&output);
    let rows = table(&output);
    assert_eq!(rows.len(), 3, "{output}");
    for row in &rows {
        let [clean, pgd, certified] = [1, 2, 3].map(|i| row[i].parse::<f64>().unwrap_or_else(|_| panic!("{row:?}")));
        assert!(certified <= pgd && pgd <= clean && clean > 50.0 && certified > 0.0, "{row:?}");
        assert_eq!(row.join(" ").ends_with("rests on the script's own bounds: crossed"), row[0] == "own", "{row:?}");
    }
}

/// Other widths, one more layer, MaxMin, and a loss written in the script: no rebuilding.
#[test]
fn a_variant_of_quickstart_runs_without_rebuilding() {
    let original = script("quickstart.rhai");
    let network =
        original.find("let plain = sequential").expect("the network")..original.find("let wide").expect("its copy");
    let training = original.find("train::fit(\"local_lip_b\"").expect("the training")
        ..original.find("let percent").expect("the report");
    let variant = format!(
        "{}\nimport \"std/local_lip\" as lip;\nimport \"std/schedule\" as schedule;\n{}",
        &original[..network.start],
        r#"
        let plain = sequential(data.shape, [
            conv2d(6, 3, #{ padding: 1 }),            maxmin(),
            conv2d(10, 3, #{ padding: 1 }),           clipped_maxmin(1.0, -1.0),
            conv2d(12, 4, #{ stride: 2, padding: 1 }), maxmin(),
            flatten(), linear(24), maxmin(), linear(data.classes),
        ]);
        "#
    ) + &original[network.end..training.start]
        + r#"
        // A hinge on the margins, from primitives: max(0, 1 - margin) summed over the wrong classes.
        fn margin_loss(worst, y, classes) {
            let own  = worst.gather(1, y.unsqueeze(1));
            let gaps = (worst - own + 1.0).relu();
            (gaps.sum(1) - 1.0).mean()
        }
        let optimizer = adam(local, #{ lr: cfg.lr, clip_norm: 5.0 });
        let vectors = singular_vectors(local, data.train.len(), #{ dtype: "f16" });
        let first = (); let last = ();
        for epoch in run.epochs(cfg.epochs, "variant") {
            for batch in data.train.batches(cfg.batch) {
                let eps    = schedule::epsilon(epoch, batch, cfg);
                let bounds = lip::bounds(local, batch.x, eps, vectors.of(batch), cfg.iterations);
                let worst  = worst_logits(local, bounds, batch.y, #{ method: "ball" });
                let loss   = margin_loss(worst, batch.y, data.classes);
                optimizer.step(loss);
                run.log(#{ loss: loss, certified: accuracy(worst, batch.y) });
                last = loss.item();
                if first == () { first = last; }
            }
        }
        print(`variant loss falls: ${last < first}`);
        "#
        + &original[training.end..];
    let folder = Folder::new(&[("variant.rhai", &variant)]);
    let output =
        folder.run(&["run", "variant.rhai", "--set", "epochs=4", "--set", "ramp=2", "--set", "eps_train=0.05"]);
    ended_well(&output);
    assert!(output.contains("variant loss falls: true"), "{output}");
    for row in table(&output) {
        let [_, clean, pgd, globally, locally] = numbers(&row);
        assert!(globally.max(locally) <= pgd && pgd <= clean, "{row:?}");
    }
}

/// Every shipped script passes the check that `run` makes first.
#[test]
fn every_script_passes_the_check() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    for file in std::fs::read_dir(folder).expect("scripts/").flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        let output = Folder::new(&[(&name, &script(&name))]).run(&["check", &name]);
        ended_well(&output);
    }
}

/// A short training saves its network; `evaluate` and `probe_bounds` read it.
#[test]
fn a_saved_network_is_evaluated_and_probed() {
    let folder = Folder::new(&[
        ("quickstart.rhai", &script("quickstart.rhai")),
        ("evaluate.rhai", &script("evaluate.rhai")),
        ("probe_bounds.rhai", &script("probe_bounds.rhai")),
    ]);
    let trained = folder.run(&["run", "quickstart.rhai", "--set", "epochs=2", "--set", "ramp=1", "--set", "eps=[]"]);
    ended_well(&trained);
    let saved = trained
        .lines()
        .find_map(|l| l.strip_prefix("the network trained with local bounds, saved: "))
        .expect("where it was saved");
    let model = format!("model={saved}");
    let evaluated =
        folder.run(&["run", "evaluate.rhai", "--set", &model, "--set", "eps=[0.05]", "--set", "test_limit=20"]);
    ended_well(&evaluated);
    assert_eq!(table(&evaluated).len(), 2, "one row for each procedure:\n{evaluated}");
    let probed = folder.run(&["run", "probe_bounds.rhai", "--set", &model, "--set", "image=3"]);
    ended_well(&probed);
    let rows = table(&probed);
    assert_eq!(rows.len(), 7, "one row for each layer but the last:\n{probed}");
    let margin: f64 = probed
        .split("certified margin ")
        .nth(1)
        .and_then(|t| t.split_whitespace().next())
        .expect("a margin")
        .parse()
        .expect("a number");
    assert!(margin.is_finite());
    for row in rows.iter().filter(|r| r[1].starts_with("conv2d") || r[1].starts_with("linear")) {
        let cell = |from_end: usize| row[row.len() - from_end].parse::<f64>().expect("a number");
        let (global, local, global_product, local_product) = (cell(4), cell(3), cell(2), cell(1));
        assert!(local <= global * 1.01 && local_product <= global_product * 1.01, "{row:?}");
    }
}

#[test]
fn mnist_4c3f_trains_and_certifies() {
    let Some(data) = data("mnist") else { return };
    let folder = Folder::new(&[("mnist_4c3f.rhai", &script("mnist_4c3f.rhai"))]);
    let data = data.display().to_string();
    let mut arguments = vec!["run", "mnist_4c3f.rhai", "--data-dir", &data];
    for setting in ["epochs=4", "ramp=2", "train_limit=120", "test_limit=20", "batch=40"] {
        arguments.extend(["--set", setting]);
    }
    let output = folder.run(&arguments);
    ended_well(&output);
    let epochs: Vec<&str> = output.lines().filter(|l| l.contains(" epoch ")).collect();
    assert_eq!(epochs.len(), 4, "{output}");
    assert!(epochs[3].contains("eps 1.7500"), "epsilon reaches its target: {output}");
}
