//! What a person reads about a run, and the best weights by validation.

use crate::common::program::Folder;
use std::path::{Path, PathBuf};

/// Two epochs of a tiny network, with hostile texts wherever a script can put some.
const SCRIPT: &str = r#"
// </code><script>alert("comment")</script>
import "std/methods" as methods;
let cfg  = settings(#{ name: "plain", fail: false, scores: [0.1, 0.9, 0.2], first: -1 });
let data = dataset("digits", #{ train_limit: 80, validation: 16, test_limit: 8 });
let act  = relu_theta(1.0);
let net  = sequential(data.shape, [conv2d(2, 3), act, flatten(), linear(8), act, linear(data.classes)]);
let optimizer = adam(net, #{ lr: 1e-3 });
let vectors   = methods::vector_store("local_lip_b", net, data.train.len(), #{});
for epoch in run.epochs(3, "<i>loop</i>") {
    for batch in data.train.batches(16) {
        let step = methods::training_step("local_lip_b", net, batch, 0.1, 0.5, vectors, #{ iterations: 2 });
        optimizer.step(step.loss);
        run.log(step.log);
    }
    run.best(net, data.validation, cfg.scores[epoch]);
    if epoch == 0 { run.checkpoint(); }
    if epoch == 1 && cfg.fail { throw "stopped"; }
}
run.result(#{ network: "<script>alert('result')</script>", eps: 0.1, clean: 0.25, certified: 0.125 });
"#;

fn folder() -> Folder {
    Folder::new(&[("main.rhai", SCRIPT)])
}

fn read(folder: &Folder, file: &str) -> String {
    let path = folder.path().join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn record(folder: &Folder) -> serde_json::Value {
    serde_json::from_str(&read(folder, "run/run.json")).unwrap()
}

#[track_caller]
fn ends(output: &str, code: i32) {
    assert!(output.ends_with(&format!("exit code {code}")), "{output}");
}

#[test]
fn a_finished_run_has_plots_and_a_page_in_which_every_text_is_harmless() {
    let folder = folder();
    let output = folder.run(&["run", "main.rhai", "--into", "run", "--set", "name=<script>alert('setting')</script>"]);
    ends(&output, 0);
    let page = read(&folder, "run/report.html");
    for text in ["comment", "setting", "result"] {
        assert!(page.contains(text), "{text} is shown");
    }
    let lower = page.to_lowercase();
    for tag in
        ["<script", "<i>loop", "<link rel=\"stylesheet", "<img", "<iframe", "@import", "url(", " src=", "href=\"http"]
    {
        assert!(!lower.contains(tag), "{tag} in the page");
    }
    for text in [
        "finished</span> after",
        "25.0 %",
        "12.5 %",
        "classifies right",
        "<mark>&quot;&lt;script&gt;alert('setting')&lt;/script&gt;&quot;</mark>",
        "--set 'name=&lt;script&gt;alert('\\''setting'\\'')&lt;/script&gt;'",
        "source/main.rhai",
        "stdlib/methods.rhai",
        "epoch 2 of",
        "recording took",
        "best.safetensors",
    ] {
        assert!(page.contains(text), "{text}");
    }
    for file in ["losses", "accuracies", "bounds", "varying", "varying_layers"] {
        let plot = read(&folder, &format!("run/plots/{file}.svg"));
        assert!(plot.starts_with("<svg") && !plot.contains("<i>"), "{file}: {plot}");
    }
    let record = record(&folder);
    let (all, own) = (record["seconds"].as_f64().unwrap(), record["recording_seconds"].as_f64().unwrap());
    assert!(own > 0.0 && own < all, "{own} of {all}");
}

/// A certified evaluation, one by estimates, and pictures of the script's own.
const CERTIFIED: &str = r#"
import "std/cascade"  as cascade;
import "std/certify"  as certify;
import "std/evaluate" as evaluate;
let cfg  = settings(#{ eps: 0.3 });
let data = dataset("digits", #{ test_limit: 40 });
let net  = load_model("digits");
evaluate::report(net, data.test, [0.1, cfg.eps], #{ steps: 3, restarts: 1, apgd: 0 });
cascade::certified_report(certify::prepare(net, "rigorous"), data.test, cfg.eps, #{ steps: 3, attack_restarts: 1, apgd: 0 });
picture("two.png", data.test.images([0, 1]));
run.save(net, "model.safetensors");
"#;

#[test]
fn the_first_screen_of_a_certified_run_says_how_robust_by_which_proof_at_what_cost() {
    let folder = Folder::new(&[("main.rhai", CERTIFIED)]);
    ends(&folder.run(&["run", "main.rhai", "--into", "run", "--set", "eps=0.25"]), 0);
    let (page, told) = (read(&folder, "run/report.html"), record(&folder));
    let results = told["results"].as_array().expect("results");
    assert_eq!(results.len(), 3);
    for (i, result) in results.iter().enumerate() {
        // Counts class by class add up to the shares, and the confusion matrix to all images.
        let by = &result["by_class"];
        let sum = |list: &serde_json::Value| {
            list.as_array().expect("counts").iter().map(|n| n.as_f64().expect("a count")).sum::<f64>()
        };
        assert_eq!(sum(&by["images"]), 40.0);
        assert_eq!(by["confusion"].as_array().expect("rows").iter().map(sum).sum::<f64>(), 40.0);
        for kind in ["clean", "certified", if i < 2 { "pgd" } else { "robust" }] {
            // What withstood all attacks is the accuracy under PGD here, without APGD and a verifier.
            let share = if kind == "robust" { "pgd" } else { kind };
            assert_eq!(sum(&by[kind]), (40.0 * result[share].as_f64().expect("a share")).round(), "{kind} of {result}");
        }
    }
    let at = |part: &str| page.find(part).unwrap_or_else(|| panic!("{part} is missing"));
    let certified = format!("{:.1} %", 100.0 * results[2]["certified"].as_f64().expect("a share"));
    let order = [
        "finished</span>",
        &certified,
        "certified at eps 0.25",
        "of the network in exact arithmetic",
        "<mark>eps=0.25</mark>",
        "<svg",
        "<h2>Results",
        "<h2>By class",
        "label, predicted as",
        "<h2>Closest to the edge",
        "the smallest margins",
        "<h2>Network",
        "relu_theta",
        "<h2>What was printed",
    ];
    assert!(order.windows(2).all(|pair| at(pair[0]) < at(pair[1])), "{order:?}");
    // The images of the tables and those of the script, which are pictures that a decoder takes.
    assert_eq!(page.matches("src=\"data:image/png,%89PNG").count(), 2);
    for (file, size) in [("two.png", (134, 64)), ("closest-records.png", (554, 64))] {
        let found = image::open(folder.path().join("run").join(file)).expect("a picture");
        assert_eq!(found.width(), size.0, "{file}");
        assert!(found.height() >= size.1, "{file}");
    }
    let refused = Folder::new(&[("main.rhai", "picture(\"a.svg\", zeros([2, 2]));")]);
    assert!(refused.run(&["run", "main.rhai"]).contains("end it in .png"));
}

/// The curves of an ordinary run: what the figures of the paper show.
#[test]
fn a_certified_method_logs_bounds_losses_and_varying_neurons() {
    let folder = folder();
    ends(&folder.run(&["run", "main.rhai", "--into", "run"]), 0);
    for line in read(&folder, "run/metrics.jsonl").lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let value = |name: &str| row[name].as_f64().unwrap_or_else(|| panic!("{name}: {line}"));
        assert!(0.0 < value("bound/local") && value("bound/local") <= 1.01 * value("bound/global"), "{line}");
        assert!(value("loss/clean") <= value("loss/robust"), "{line}");
        // Convolution of 2 x 6 x 6 values and a linear layer of 8: the mean over all neurons weighs them so.
        let all = (72.0 * value("varying/layer 0") + 8.0 * value("varying/layer 3")) / 80.0;
        assert!((value("varying/all") - all).abs() < 1e-5 && all <= 1.0 && all > 0.0, "{line}");
    }
}

/// Names as people choose them. None of them is a kind that the report knows by heart, all are drawn.
#[test]
fn every_number_that_was_logged_is_drawn_and_shares_are_in_per_cent() {
    let script = r#"
for epoch in run.epochs(2, "net") {
    run.log(#{ "val/certified 0.1": 0.25, "certified@36/255": 0.125, val_acc: 0.5, "validation/clean accuracy": 0.75, lr: 1e-3,
               my_metric: 12.5 + epoch, "grad/conv": 0.5, "grad/linear": 0.75, "../<b>": 1e6, "test_loss": 0.5 });
}
"#;
    let folder = Folder::new(&[("main.rhai", script)]);
    let output = folder.run(&["run", "main.rhai", "--into", "run"]);
    ends(&output, 0);
    assert!(output.contains("certified@36/255 12.5 % (estimate)") && output.contains("val_acc 50.0 %"), "{output}");
    let mut files: Vec<String> = std::fs::read_dir(folder.path().join("run/plots"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files, ["accuracies.svg", "b.svg", "grad.svg", "losses.svg", "lr.svg", "my_metric.svg"]);
    let page = read(&folder, "run/report.html");
    let plot = |file: &str| read(&folder, &format!("run/plots/{file}.svg"));
    for (file, names) in [
        ("accuracies", &["certified@36/255", "val_acc", "val certified 0.1", "validation clean accuracy"][..]),
        ("grad", &["conv", "linear"]),
        ("losses", &["test_loss"]),
        ("lr", &["lr", "0.001"]),
        ("my_metric", &["my_metric"]),
        ("b", &["&lt;b&gt;"]),
    ] {
        for name in names {
            assert!(plot(file).lines().any(|line| line.trim().ends_with(name)), "{name} in {file}");
            assert!(page.lines().any(|line| line.trim().ends_with(name)), "{name} on the page");
        }
    }
    for cells in ["<td>val/certified 0.1</td><td>25.0 %</td>", "<td>certified@36/255</td><td>12.5 %</td>"] {
        assert!(page.contains(cells), "{cells}");
    }
    assert!(page.contains("<td>lr</td><td>0.001</td>") && !page.contains("<b>&quot;"), "{page}");
    assert!(read(&folder, "run/metrics.csv").contains(",0.125,"), "files keep shares");
    let listed = folder.run(&["runs", "."]);
    assert!(listed.contains("75.0 %     25.0 %"), "the last of a kind: {listed}");
}

#[test]
fn a_run_that_failed_or_was_killed_has_a_page_too() {
    let folder = folder();
    ends(&folder.run(&["run", "main.rhai", "--into", "run", "--set", "fail=true"]), 1);
    assert!(read(&folder, "run/report.html").contains("failed</span>"));
    // As kill -9 leaves it: it says that it is running, and nobody holds it; half a line at the end of the metrics.
    let text = read(&folder, "run/run.json").replace("\"failed\"", "\"running\"");
    std::fs::write(folder.path().join("run/run.json"), text).unwrap();
    let metrics = read(&folder, "run/metrics.jsonl") + "{\"loop\": \"x\", \"ep";
    std::fs::write(folder.path().join("run/metrics.jsonl"), metrics).unwrap();
    std::fs::remove_file(folder.path().join("run/report.html")).unwrap();
    ends(&folder.run(&["report", "run", "--html", "pages/page.html"]), 0);
    assert!(read(&folder, "pages/page.html").contains("ended without a word"));
    assert!(!folder.path().join("run/report.html").exists(), "--html leaves the folder alone");
    ends(&folder.run(&["report", "run"]), 0);
    assert_eq!(read(&folder, "run/report.html"), read(&folder, "pages/page.html"));
    let output = folder.run(&["report", "main.rhai"]);
    ends(&output, 2);
    assert!(output.contains("main.rhai is no folder of a run"), "{output}");
}

/// A folder from somebody else names files that are not its own.
#[test]
fn a_page_shows_nothing_from_outside_the_folder() {
    let folder = folder();
    ends(&folder.run(&["run", "main.rhai", "--into", "run"]), 0);
    std::fs::write(folder.path().join("secret"), "the secret").unwrap();
    let mut record = record(&folder);
    let mut names = vec!["../secret".to_string(), folder.path().join("secret").display().to_string()];
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("../../secret", folder.path().join("run/source/link")).unwrap();
        names.push("source/link".into());
        names.push("source".into());
    }
    for name in &names {
        record["files"][name] = "00".into();
    }
    std::fs::write(folder.path().join("run/run.json"), record.to_string()).unwrap();
    // Into a folder with links that lead out nothing is written; a page elsewhere can be had.
    #[cfg(unix)]
    ends(&folder.run(&["report", "run"]), 2);
    ends(&folder.run(&["report", "run", "--html", "page.html"]), 0);
    let page = read(&folder, "page.html");
    assert!(!page.contains("the secret"));
    assert_eq!(page.matches("outside the run's folder").count(), 3);
}

fn exists(path: &Path) -> bool {
    path.exists()
}

fn best(folder: &Folder) -> PathBuf {
    folder.path().join("run/best.safetensors")
}

#[test]
fn the_best_weights_are_those_of_the_highest_score() {
    let folder = folder();
    ends(&folder.run(&["run", "main.rhai", "--into", "run"]), 0);
    let found = &record(&folder)["best"][0];
    assert_eq!((found["epoch"].as_u64(), found["score"].as_f64()), (Some(2), Some(0.9)), "{found}");
    assert_eq!((found["file"].as_str(), found["label"].as_str()), (Some("best.safetensors"), Some("<i>loop</i>")));
    assert!(exists(&best(&folder)));
}

/// Epoch 2 has the highest score and is undone, since the last checkpoint is of epoch 1; what follows is another history.
#[test]
fn a_resumed_run_forgets_the_best_of_epochs_that_are_undone() {
    let folder = folder();
    let share = "--checkpoint-share=1";
    ends(&folder.run(&["run", "main.rhai", share, "--into", "run", "--set", "fail=true"]), 1);
    assert_eq!(record(&folder)["best"][0]["epoch"], 2);
    let other = std::fs::read(best(&folder)).unwrap();
    let again = ["run", "--resume", "run", "--allow-changes", share, "--set", "fail=false"];
    let output = folder.run(&[&again[..], &["--set", "scores=[0.1, 0.05, 0.07]"]].concat());
    ends(&output, 0);
    let found = &record(&folder)["best"];
    assert_eq!((found[0]["epoch"].as_u64(), found[0]["score"].as_f64()), (Some(1), Some(0.1)), "{found}\n{output}");
    assert_ne!(std::fs::read(best(&folder)).unwrap(), other, "the file is of epoch 1 again");
}

/// Without a checkpoint the run begins anew, and no best of the old one stays behind.
#[test]
fn a_run_that_begins_anew_has_no_best_of_before() {
    let script = SCRIPT.replace("if epoch == 0 { run.checkpoint(); }", "").replace(
        "run.best(net, data.validation, cfg.scores[epoch]);",
        "if !(cfg.first < 0) || epoch == 0 && cfg.fail { run.best(net, data.validation, 0.5); }",
    );
    let folder = Folder::new(&[("main.rhai", &script)]);
    ends(&folder.run(&["run", "main.rhai", "--into", "run", "--set", "fail=true"]), 1);
    assert!(exists(&best(&folder)));
    std::fs::remove_dir_all(folder.path().join("run/checkpoints")).ok();
    let output = folder.run(&["run", "--resume", "run", "--allow-changes", "--set", "fail=false"]);
    ends(&output, 0);
    assert!(output.contains("begins anew") && !exists(&best(&folder)), "{output}");
    assert_eq!(record(&folder)["best"].as_array().map(Vec::len), Some(0));
}

#[test]
fn best_is_refused_where_it_would_deceive() {
    let around = |body: &str| {
        format!(
            "let data = dataset(\"digits\", #{{ train_limit: 40, validation: 16, test_limit: 8 }});\n\
             let net = sequential(data.shape, [flatten(), linear(10)]);\n{body}"
        )
    };
    let refused = |body: &str, why: &str| {
        let folder = Folder::new(&[("main.rhai", &around(body))]);
        let output = folder.run(&["run", "main.rhai", "--into", "run"]);
        assert!(output.contains(why) && output.contains("exit code 1"), "{output}");
        assert!(!exists(&best(&folder)), "nothing is written");
    };
    let inside = |call: &str| format!("for epoch in run.epochs(1) {{ {call} }}");
    refused(&inside("run.best(net, data.test, 0.5);"), "the score is of the `test` images");
    refused(&inside("run.best(net, data.test.take(4), 0.5);"), "dataset(name, #{ validation: 0.1 })");
    refused(&inside("run.best(net, data.train, 0.5);"), "the score is of the `train` images");
    refused(&inside("run.best(net, data.validation, 0.0 / 0.0);"), "a finite number is wanted");
    refused(&inside("run.save(net, \"best.safetensors\");"), "a part of the run's own record");
    refused(&inside("run.csv(\"plots/x.csv\", [\"a\"], []);"), "a part of the run's own record");
    refused("run.best(net, data.validation, 0.5);", "no loop over run.epochs(...) is under way");
    let two =
        "for name in [\"a\", \"b\"] { for epoch in run.epochs(1, name) { run.best(net, data.validation, 0.5); } }";
    let folder = Folder::new(&[("main.rhai", &around(two))]);
    let output = folder.run(&["run", "main.rhai", "--into", "run"]);
    assert!(
        output.contains("is of loop 1 (`a`), this is loop 2 (`b`)") && output.contains("b_best.safetensors"),
        "{output}"
    );
}
