//! The scripts that reproduce the paper: each runs for two batches on real data where it is at hand, and those of Table 1 and
//! the figures on the digits.

mod common;

use common::program::{Folder, data, script};

/// Two batches of training, then the evaluation of `test` images; the last epoch's epsilon must have reached `eps`, unless that is empty.
fn two_batches(name: &str, part: &str, eps: &str, batch: usize, settings: &[&str]) -> Option<String> {
    let data = data(part)?.display().to_string();
    // A name that is short for a script with settings is no file.
    let is_preset = workbench::script::presets::presets().iter().any(|preset| preset.name == name);
    let file = if is_preset { name.to_string() } else { format!("{name}.rhai") };
    let text = if is_preset { String::new() } else { script(&file) };
    let folder = if is_preset { Folder::new(&[]) } else { Folder::new(&[(&file, &text)]) };
    let (limit, batch) = (format!("train_limit={batch}"), format!("batch={batch}"));
    let mut arguments = vec!["run", &file, "--data-dir", &data];
    for setting in ["epochs=2", "ramp=1", &limit, &batch].iter().chain(settings) {
        arguments.extend(["--set", setting]);
    }
    let output = folder.run(&arguments);
    assert!(output.ends_with("exit code 0"), "{name}: {output}");
    let epochs: Vec<&str> = output.lines().filter(|l| l.contains(" epoch ")).collect();
    assert_eq!(epochs.len(), 2, "{name}: one batch in each of two epochs: {output}");
    assert!(
        eps.is_empty() || epochs[1].contains(&format!("eps {eps}")),
        "{name}: epsilon reaches its target: {output}"
    );
    assert!(output.contains("certified by"), "{name}: {output}");
    Some(output)
}

const RECIPES: [&str; 5] = ["mnist_4c3f", "cifar10_4c3f", "cifar10_6c2f", "tiny_imagenet_7c1f", "tiny_imagenet_8c2f"];

/// The lines of a recipe from the one that begins with `from` to the next that is `to`.
fn part<'a>(lines: &[&'a str], from: &str, to: &str) -> Vec<&'a str> {
    let first = lines.iter().position(|line| line.starts_with(from)).unwrap_or_else(|| panic!("no {from}"));
    let count = lines[first..].iter().position(|line| *line == to).unwrap_or_else(|| panic!("no {to} behind {from}"));
    lines[first..=first + count].to_vec()
}

/// A recipe is a page: its settings, its network and its loop are its own, in full; all else is a call of std, a line each.
#[test]
fn recipes_are_short_and_share_their_loop_alone() {
    let texts = RECIPES.map(|name| script(&format!("{name}.rhai")));
    let mut rests: Vec<Vec<&str>> = vec![];
    for (name, text) in RECIPES.iter().zip(&texts) {
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.len() <= 65, "{name} has {} lines", lines.len());
        let [settings, network, training] = [
            part(&lines, "let cfg = settings(#{", "});"),
            part(&lines, "let model      = sequential(data.shape, [", "]);"),
            part(&lines, "for epoch in run.epochs(", "}"),
        ];
        let of = |word: &str| network.iter().filter(|line| line.contains(word)).count();
        let convolutions: usize = name.split('_').next_back().unwrap()[..1].parse().unwrap();
        assert!(of("conv2d(") == convolutions && of("linear(data.classes)") == 1, "{name}: {network:?}");
        for step in
            ["for batch in data.train.batches", "schedule::epsilon", "step.run(", "schedule::learning_rate", "run.log("]
        {
            assert!(training.iter().any(|line| line.contains(step)), "{name}: {step} is not in the loop");
        }
        let own = [settings, network, training].concat();
        let is_code = |line: &&str| !line.is_empty() && !line.starts_with("//!");
        rests.push(lines.into_iter().filter(is_code).filter(|line| !own.contains(line)).collect());
    }
    for (i, first) in rests.iter().enumerate() {
        for (j, second) in rests.iter().enumerate().skip(i + 1) {
            let shared: Vec<&&str> = first.iter().filter(|line| second.contains(line)).collect();
            assert!(shared.len() <= 11, "{} and {} share {shared:#?}", RECIPES[i], RECIPES[j]);
        }
    }
}

/// `std/networks`, where figures, tables and benches take their networks from, has those of the recipes.
#[test]
fn networks_of_std_are_those_of_the_recipes() {
    for (name, function, shape, classes) in [
        ("mnist_4c3f", "cnn_4c3f", "[1, 28, 28]", 10),
        ("cifar10_4c3f", "cnn_4c3f", "[3, 32, 32]", 10),
        ("cifar10_6c2f", "cnn_6c2f", "[3, 32, 32]", 10),
        ("tiny_imagenet_7c1f", "cnn_7c1f", "[3, 64, 64]", 200),
        ("tiny_imagenet_8c2f", "cnn_8c2f", "[3, 64, 64]", 200),
    ] {
        let text = script(&format!("{name}.rhai"));
        let lines: Vec<&str> = text.lines().collect();
        let network = part(&lines, "let act        = ", "]);").join("\n");
        let test = format!(
            "import \"std/methods\" as methods;\nimport \"std/networks\" as networks;\n\
             let cfg  = #{{ method: \"local_lip_b\", activation: \"auto\", theta: 2.0 }};\n\
             let data = #{{ shape: {shape}, classes: {classes} }};\n{network}\nprint(model);\nprint(\"and\");\n\
             print(networks::{function}(data.shape, data.classes, relu_theta(2.0)));"
        );
        let output = Folder::new(&[("main.rhai", &test)]).run(&["run", "main.rhai"]);
        let (written, of_std) = output.trim_end_matches("exit code 0").trim().split_once("\nand\n").expect(&output);
        assert!(written == of_std && written.contains("relu_theta"), "{name}: {output}");
    }
}

/// The names with `_maxmin` are short for a recipe with settings: network and settings are the same, and the run is recorded as what
/// it is, so that it is repeated and goes on as one of the recipe.
#[test]
fn maxmin_names_are_recipes_with_settings() {
    for (name, recipe, part, settings) in [
        ("cifar10_6c2f_maxmin", "cifar10_6c2f", "cifar10", &["activation=auto_maxmin"][..]),
        (
            "scripts/tiny_imagenet_8c2f_maxmin.rhai",
            "tiny_imagenet_8c2f",
            "tiny-imagenet-200",
            &["activation=auto_maxmin", "iterations=3", "lr=1e-4"],
        ),
    ] {
        let folder = Folder::new(&[]);
        let words: String = settings.iter().map(|setting| format!(" --set {setting}")).collect();
        assert!(folder.run(&["check", name]).contains(&format!("_maxmin is {recipe}{words}\n")), "{name}");
        let Some(data) = data(part) else { return };
        let data = data.display().to_string();
        let small = ["epochs=0", "train_limit=4", "test_limit=1", "procedures=[published]", "batch=2", "look=0"];
        let run = |script: &str, into: &str, settings: &[&str]| {
            let mut arguments = vec!["run", script, "--data-dir", &data, "--into", into];
            small.iter().chain(settings).for_each(|setting| arguments.extend(["--set", *setting]));
            let output = folder.run(&arguments);
            assert!(output.ends_with("exit code 0") && output.contains("certified by"), "{output}");
            let record = std::fs::read_to_string(folder.path().join(into).join("run.json")).expect("run.json");
            let record: serde_json::Value = serde_json::from_str(&record).expect("JSON");
            let network = std::fs::read(folder.path().join(into).join("model.safetensors")).expect("weights");
            (record["script"].clone(), record["settings"].clone(), network, output)
        };
        let (short, long) = (run(name, "short", &[]), run(recipe, "long", settings));
        assert_eq!((&short.0, &short.1), (&long.0, &long.1));
        assert!(short.0 == recipe && short.2 == long.2, "{name}");
        assert!(short.3.contains("clipped_maxmin(") && !short.3.contains("relu"), "{}", short.3);
        // What the command line says wins; other methods have plain MaxMin.
        let own = run(name, "own", &["method=gloro", "lr=5e-4"]);
        assert!(own.3.contains("maxmin()") && !own.3.contains("clipped_maxmin("), "{}", own.3);
        let again = folder.run(&["replay", "short", "--data-dir", &data]);
        assert!(again.ends_with("exit code 0") && again.contains("results are those of short"), "{again}");
    }
}

#[test]
fn cifar10_scripts() {
    for name in ["cifar10_4c3f", "cifar10_6c2f", "cifar10_6c2f_maxmin"] {
        two_batches(name, "cifar10", "0.1551", 4, &["warmup=0", "test_limit=2"]);
    }
}

#[test]
fn every_method_on_cifar10() {
    for method in ["local_lip_g", "bcp", "gloro", "lmt", "ibp", "crown_ibp", "relu_stability"] {
        let method = format!("method={method}");
        two_batches("cifar10_4c3f", "cifar10", "0.1551", 4, &["warmup=0", "test_limit=1", &method]);
    }
    two_batches("cifar10_6c2f_maxmin", "cifar10", "0.1551", 4, &["warmup=0", "test_limit=1", "method=gloro"]);
    let plain = two_batches("cifar10_4c3f", "cifar10", "", 4, &["test_limit=1", "method=standard"]);
    assert!(plain.is_none_or(|output| !output.contains("eps 0.1551")), "standard training knows no epsilon");
}

/// What a run saved is a start for another one, or evaluated as it is; a `.pth` would do as well.
#[test]
fn given_weights_are_evaluated() {
    let Some(data) = data("cifar10") else { return };
    let folder = Folder::new(&[("net.rhai", &script("cifar10_4c3f.rhai"))]);
    let data = data.display().to_string();
    let run = |settings: &[&str]| {
        let mut arguments = vec!["run", "net.rhai", "--data-dir", &data];
        for setting in ["train_limit=4", "batch=4", "test_limit=4", "procedures=[exact]"].iter().chain(settings) {
            arguments.extend(["--set", setting]);
        }
        let output = folder.run(&arguments);
        assert!(output.ends_with("exit code 0"), "{output}");
        output
    };
    let saved = |output: &str| {
        let line = output.lines().find_map(|l| l.strip_prefix("weights: ")).expect("where the weights are");
        line.to_string()
    };
    let first = saved(&run(&["epochs=1"]));
    let second = saved(&run(&["epochs=0", &format!("weights={first}")]));
    assert_ne!(first, second, "each run has a folder of its own");
    let read = |path: &str| std::fs::read(folder.path().join(path)).expect("weights");
    assert!(read(&first) == read(&second), "nothing was trained");
}

#[test]
fn tiny_imagenet_scripts() {
    let one = ["test_limit=1", "procedures=[published]"];
    for name in ["tiny_imagenet_8c2f", "tiny_imagenet_8c2f_maxmin", "tiny_imagenet_7c1f"] {
        two_batches(name, "tiny-imagenet-200", "0.1600", 2, &one);
    }
}

/// Other widths, and a method written in the script: no rebuilding.
#[test]
fn a_variant_of_cifar10_6c2f_runs_without_rebuilding() {
    let Some(data) = data("cifar10") else { return };
    let original = script("cifar10_6c2f.rhai");
    let step = "run.log(step.run(batch, eps, kappa, schedule::learning_rate(epoch, cfg), iterations));";
    assert!(original.contains(step) && original.contains("conv2d(32, ") && original.contains("linear(512)"));
    let variant = original.replace("conv2d(32, ", "conv2d(6, ").replace("linear(512)", "linear(40)").replace(
        step,
        r#"// A method of one's own: the worst logits of the global bound, softly capped by those of the local one.
        let both  = ["local", "global"].map(|kind| methods::worst_case(kind, model, batch.x, batch.y, eps, vectors.of(batch), 2, #{ method: "clip" }, #{}));
        let mixed = 0.5 * (both[0].worst + both[1].worst);
        let loss  = cross_entropy(mixed, batch.y);
        optimizer.step(loss, schedule::learning_rate(epoch, cfg));
        run.log(#{ loss: loss, certified: accuracy(mixed, batch.y), eps: eps, kappa: kappa });"#,
    );
    let folder = Folder::new(&[("variant.rhai", &variant)]);
    let data = data.display().to_string();
    let mut arguments = vec!["run", "variant.rhai", "--data-dir", &data];
    for setting in ["epochs=2", "warmup=0", "ramp=1", "train_limit=16", "test_limit=2", "batch=8"] {
        arguments.extend(["--set", setting]);
    }
    let output = folder.run(&arguments);
    assert!(output.ends_with("exit code 0") && output.contains("linear(40)"), "{output}");
    assert!(output.contains("epoch 2/2") && output.contains("certified by"), "{output}");
}

/// Images set apart: the script keeps the best epoch's weights too, and ends with the last epoch's as ever.
#[test]
fn a_validation_split_keeps_the_best_epoch() {
    let Some(data) = data("mnist") else { return };
    let folder = Folder::new(&[("net.rhai", &script("mnist_4c3f.rhai"))]);
    let data = data.display().to_string();
    let mut arguments = vec!["run", "net.rhai", "--data-dir", &data, "--into", "run"];
    let few = ["epochs=2", "ramp=1", "batch=10", "train_limit=40", "test_limit=2", "procedures=[exact]"];
    for setting in few.iter().chain(&["validation=20", "validate_every=1"]) {
        arguments.extend(["--set", setting]);
    }
    let output = folder.run(&arguments);
    assert!(output.ends_with("exit code 0") && output.contains("20 train, 20 validation"), "{output}");
    let text = |file: &str| std::fs::read_to_string(folder.path().join("run").join(file)).expect("a file of the run");
    let record: serde_json::Value = serde_json::from_str(&text("run.json")).unwrap();
    let best = record["best"][0]["score"].as_f64().expect("a best epoch");
    let scores: Vec<f64> = text("metrics.jsonl")
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()?["validation/certified"].as_f64())
        .collect();
    assert_eq!((scores.len(), scores.iter().copied().fold(0.0, f64::max)), (2, best), "{scores:?}");
    assert!(folder.path().join("run/best.safetensors").exists());
}

/// The lines of the CSV file that a script says it has written.
fn csv(folder: &Folder, output: &str) -> Vec<String> {
    assert!(output.ends_with("exit code 0"), "{output}");
    let line = output.lines().find(|l| l.starts_with("written")).unwrap_or_else(|| panic!("no file: {output}"));
    let path = line.split(": ").nth(1).expect("a path");
    let text = std::fs::read_to_string(folder.path().join(path)).expect("the CSV file");
    text.lines().map(str::to_string).collect()
}

fn on_digits(name: &str, settings: &[&str]) -> Vec<String> {
    // A name that is short for a script with settings is no file.
    let is_preset = workbench::script::presets::presets().iter().any(|preset| preset.name == name);
    let file = if is_preset { name.to_string() } else { format!("{name}.rhai") };
    let text = if is_preset { String::new() } else { script(&file) };
    let folder = if is_preset { Folder::new(&[]) } else { Folder::new(&[(&file, &text)]) };
    let mut arguments = vec!["run", &file];
    let small = ["data=digits", "epochs=2", "warmup=0", "ramp=1", "batch=16", "train_limit=32", "test_limit=4"];
    for setting in small.iter().chain(settings) {
        arguments.extend(["--set", setting]);
    }
    let output = folder.run(&arguments);
    // The figure is a file of the run, and in its report.
    let plots: Vec<&str> = output.lines().filter_map(|line| line.strip_prefix("plot: ")).collect();
    assert!(!plots.is_empty(), "{output}");
    for plot in plots {
        let path = folder.path().join(plot.trim_start_matches("FOLDER/"));
        assert!(std::fs::read_to_string(&path).expect("the plot").contains("<svg"), "{plot}");
        let report = std::fs::read_to_string(path.with_file_name("report.html")).expect("the report");
        let name = path.file_name().unwrap().to_string_lossy();
        assert!(report.contains(&*name) && report.contains("data:image/svg+xml"), "{name} in the report");
    }
    csv(&folder, &output)
}

/// Every row of the table in miniature: nothing certified that an attack breaks, orderings tested, and the sweep that its settings come from.
#[test]
fn table_2_in_miniature() {
    let folder = Folder::new(&[("table.rhai", &script("table2_digits.rhai"))]);
    let run = |settings: &[&str]| {
        let small = [
            "epochs=2",
            "warmup=0",
            "ramp=1",
            "batch=16",
            "train_limit=48",
            "test_limit=12",
            "steps=3",
            "restarts=1",
            "apgd=3",
            "projections=3",
        ];
        let mut arguments = vec!["run", "table.rhai"];
        small.iter().chain(settings).for_each(|setting| arguments.extend(["--set", *setting]));
        let output = folder.run(&arguments);
        (csv(&folder, &output), output)
    };
    let (lines, output) = run(&["seeds=2"]);
    assert_eq!(lines[0], "row,seed,clean,pgd,apgd,published,local,rigorous");
    assert_eq!(lines.len(), 1 + 18 * 2, "eighteen rows, two seeds: {lines:?}");
    for line in &lines[1..] {
        let numbers: Vec<f64> = line.split(',').skip(2).map(|c| c.parse().expect("a number")).collect();
        let [clean, pgd, apgd, published, local, rigorous] = numbers[..] else { panic!("{line}") };
        assert!(apgd <= pgd && pgd <= clean && published.max(local).max(rigorous) <= apgd, "{line}");
    }
    assert!(output.contains("no proof was contradicted"), "{output}");
    assert!(output.lines().any(|l| l.contains("local_lip_b > bcp")), "{output}");
    // Seeds are trainings of their own: two of one row differ.
    let of = |seed: &str| -> Vec<String> {
        let own = lines[1..].iter().filter(|l| l.split(',').nth(1) == Some(seed));
        own.map(|l| l.splitn(3, ',').nth(2).unwrap().to_string()).collect()
    };
    assert_ne!(of("1"), of("2"));
    let (lines, output) = run(&["sweep=true", "rows=[gloro,standard]", "validation=16"]);
    assert_eq!((lines.len(), lines[0].as_str()), (1 + 2 * 12, "row,lr,factor,clipped,clean,certified"));
    assert!(output.contains("16 images set apart"), "{output}");
}

#[test]
fn table_1_compares_random_and_kept_vectors() {
    let lines = on_digits("table1_vectors", &["procedures=[exact]"]);
    assert_eq!(lines[0], "vectors-iterations,certified by,eps,clean %,PGD %,certified %");
    let names: Vec<&str> = lines[1..].iter().map(|l| l.split(',').next().unwrap()).collect();
    assert_eq!(names, ["random-2", "random-5", "random-10", "kept-2"]);
}

#[test]
fn figure_2_follows_bounds_and_losses() {
    let lines = on_digits("figure2_bounds", &["watched=4"]);
    assert_eq!(lines[0], "method,epoch,eps,global bound,local bound,clean loss,robust loss");
    assert_eq!(lines.len(), 1 + 2 * 2, "two methods, two epochs: {lines:?}");
    for line in &lines[1..] {
        let numbers: Vec<f64> = line.split(',').skip(3).map(|c| c.parse().expect("a number")).collect();
        let [global, local, clean, robust] = numbers[..] else { panic!("{line}") };
        assert!(local <= global * 1.01 && clean <= robust && local > 0.0, "{line}");
    }
}

#[test]
fn figure_3_gives_a_share_for_every_layer_and_method() {
    let lines = on_digits("figure3_varying", &[]);
    assert_eq!(lines[0], "layer,standard,bcp,local_lip_b");
    assert_eq!(lines.len(), 1 + 7, "seven activations: {lines:?}");
    for cell in lines[1..].iter().flat_map(|l| l.split(',').skip(1)) {
        let share: f64 = cell.parse().expect("a number");
        assert!((0.0..=1.0).contains(&share), "{lines:?}");
    }
}

#[test]
fn figure_4_counts_every_image_once_in_each_layer() {
    let lines = on_digits("figure4_iterations", &["bin=50"]);
    assert_eq!(lines[0], "layer,name,from,to,images");
    let mut images = std::collections::BTreeMap::<String, usize>::new();
    for line in &lines[1..] {
        let layer = line.split(',').next().unwrap().to_string();
        *images.entry(layer).or_default() += line.rsplit(',').next().unwrap().parse::<usize>().expect("a count");
    }
    assert_eq!(images.len(), 7, "{lines:?}");
    assert!(images.values().all(|n| *n == 4), "{images:?}");
}
