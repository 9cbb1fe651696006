//! What a step of training asks of a GPU, counted on the GPU in software (`tools/cuda/software`): nothing is read back or waited
//! for, nothing stays behind, and the calls are no more than they were. Skipped where that GPU is not in use.

mod common;

use common::program::Folder;
use std::collections::HashMap;
use std::path::Path;

/// Is the program at hand one that finds the software GPU?
fn there() -> bool {
    let folder = std::env::var("CUDA_LAZY_PATH").unwrap_or_default();
    let found = cfg!(feature = "cuda") && Path::new(&folder).join("threads.hpp").exists();
    if !found {
        println!("skipped: needs `--features cuda` and the environment of tools/cuda/software/setup.sh");
    }
    found
}

/// The lines that one more step adds to the account, by kind, and how the convolutions of it lie in memory.
fn of_a_step(settings: &[&str]) -> (HashMap<String, i64>, HashMap<String, i64>) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/gpu_step.rhai");
    let (mut kinds, mut orders) = (HashMap::new(), HashMap::new());
    for (steps, sign) in [("steps=1", -1), ("steps=2", 1)] {
        let folder = Folder::new(&[]);
        let account = folder.path().join("account");
        let mut arguments = vec!["run", script.to_str().unwrap(), "--device", "cuda"];
        for setting in [steps, "warm=1", "batch=4", "count=4"].iter().chain(settings) {
            arguments.extend(["--set", setting]);
        }
        let mut command = folder.command(&arguments);
        let told = folder.shown(&command.env("SOFTWARE_GPU_TRACE", &account).output().unwrap());
        assert!(told.ends_with("exit code 0"), "{told}");
        for line in std::fs::read_to_string(account).unwrap().lines() {
            let words: Vec<&str> = line.split('\t').collect();
            *kinds.entry(words[0].to_string()).or_default() += sign;
            if words[0] == "convolution" {
                *orders.entry(words[2..4].join(" ")).or_default() += sign;
            }
        }
    }
    (kinds, orders)
}

#[test]
fn a_step_of_training() {
    if !there() {
        return;
    }
    for (settings, most, order) in [
        (["net=cifar10_6c2f", "precisions=f32"], 260, "f32 nchw"),
        (["net=cifar10_6c2f", "precisions=tf32"], 270, "tf32 nhwc"),
        (["net=cifar10_6c2f_maxmin", "precisions=tf32"], 335, "tf32 nhwc"),
        (["net=mnist_4c3f", "precisions=bf16"], 410, "bf16 nhwc"),
        // Methods whose bounds are of the whole network take its value alone.
        (["method=gloro", "precisions=tf32"], 260, "tf32 nhwc"),
        (["method=lmt", "precisions=tf32"], 275, "tf32 nhwc"),
        (["method=standard", "precisions=tf32"], 110, "tf32 nhwc"),
        (["method=standard", "precisions=f32"], 90, "f32 nchw"),
    ] {
        let (kinds, orders) = of_a_step(&settings);
        let count = |kind: &str| kinds.get(kind).copied().unwrap_or(0);
        for never in ["from the device", "wait", "event", "free and wait"] {
            assert_eq!(count(never), 0, "{settings:?}: {never}: {kinds:?}");
        }
        assert_eq!(count("alloc"), count("free"), "{settings:?}: what a step takes it gives back");
        // LMT draws a vector for its last norm, and candle writes the strides of what it broadcasts.
        let written = if settings.contains(&"method=lmt") { 14 } else { 6 };
        assert!(count("to the device") <= written, "{settings:?}: {kinds:?}");
        let calls = ["launch", "convolution", "product", "copy", "set", "to the device"].map(count).iter().sum::<i64>();
        assert!((most / 2..=most).contains(&calls), "{settings:?}: {calls} calls, {most} at most: {kinds:?}");
        let others: Vec<_> = orders.iter().filter(|(kind, n)| **n > 0 && *kind != order).collect();
        assert!(others.is_empty(), "{settings:?}: {orders:?}");
    }
}

/// A step that a CUDA graph repeats: one launch of the graph, and what is written where it reads.
#[test]
fn a_repeated_step_of_training() {
    if !there() {
        return;
    }
    let script = r#"
        import "std/methods" as methods;
        let cfg  = settings(#{ passes: 4 });
        let data = dataset("digits", #{ train_limit: 48, test_limit: 10 });
        let act  = relu_theta(1.0);
        let net  = sequential(data.shape, [conv2d(4, 3), act, conv2d(4, 3), act, flatten(), linear(8), act, linear(10)]);
        let own  = #{ iterations: 2, graph: "on", vectors: "f16", power: "f16" };
        let step = methods::trainer("local_lip_b", net, adam(net), methods::vector_store("local_lip_b", net, data.train.places, own), own);
        for pass in 0..cfg.passes { for batch in data.train.batches(16, #{ pass: pass }) { if batch.number > 0 { step.run(batch, 0.1, 0.5, 1e-3); } else { step.run(batch, 0.0, 1.0, 1e-3); } } }
        print(step.graph.recorded);
    "#;
    let mut kinds: HashMap<String, i64> = HashMap::new();
    for (passes, sign) in [("passes=6", -1), ("passes=7", 1)] {
        let folder = Folder::new(&[("main.rhai", script)]);
        let account = folder.path().join("account");
        let mut command = folder.command(&["run", "main.rhai", "--device", "cuda", "--set", passes]);
        let told = folder.shown(&command.env("SOFTWARE_GPU_TRACE", &account).output().unwrap());
        assert!(told.ends_with("exit code 0"), "{told}");
        for line in std::fs::read_to_string(account).unwrap().lines() {
            *kinds.entry(line.split('\t').next().unwrap().to_string()).or_default() += sign;
        }
    }
    let count = |kind: &str| kinds.get(kind).copied().unwrap_or(0);
    assert_eq!((count("graph"), count("convolution"), count("product")), (3, 0, 0), "{kinds:?}");
    let calls = ["launch", "copy", "set", "to the device"].map(count).iter().sum::<i64>();
    assert!(calls <= 3 * 15 && count("alloc") <= 3 * 10, "{kinds:?}");
    assert_eq!((count("alloc"), count("from the device"), count("wait")), (count("free"), 0, 0), "{kinds:?}");
}

/// The certification of a batch waits for its one number.
#[test]
fn a_batch_to_certify() {
    if !there() {
        return;
    }
    let (kinds, _) = of_a_step(&["what=certify", "iterations=7", "precisions=tf32"]);
    assert_eq!(kinds.get("from the device"), Some(&1), "{kinds:?}");
    assert_eq!(kinds.get("alloc"), kinds.get("free"), "{kinds:?}");
}

/// The fastest engine of a large convolution is measured once and stays; a file of choices that cannot be read is made again.
#[test]
fn engines_are_measured_once() {
    if !there() {
        return;
    }
    let script = r#"
        let x = uniform(0, 1, [16, 16, 28, 28]);
        let model = sequential([16, 28, 28], [conv2d(32, 3, #{ padding: 1 })]);
        print(`mean ${model.forward(x).mean().item()}`);
    "#;
    let folder = Folder::new(&[("one.rhai", script)]);
    let account = folder.path().join("account");
    let cache = folder.path().join("cache");
    let convolutions = || {
        std::fs::remove_file(&account).ok();
        let mut command = folder.command(&["run", "one.rhai", "--device", "cuda"]);
        command.env("SOFTWARE_GPU_TRACE", &account).env("XDG_CACHE_HOME", &cache).env_remove("WORKBENCH_CUDNN");
        let told = folder.shown(&command.output().unwrap());
        assert!(told.contains("mean ") && told.ends_with("exit code 0"), "{told}");
        let account = std::fs::read_to_string(&account).unwrap();
        account.lines().filter(|line| line.starts_with("convolution")).count()
    };
    assert!(convolutions() > 1, "measured");
    assert_eq!(convolutions(), 1, "remembered");
    let choices = cache.join("workbench/cudnn_engines.json");
    let text = std::fs::read_to_string(&choices).unwrap();
    std::fs::write(&choices, &text[..text.len() / 2]).unwrap();
    assert!(convolutions() > 1, "measured again");
    assert_eq!(std::fs::read_to_string(&choices).unwrap().lines().count(), text.lines().count());
}

/// Whatever training computes in: what is evaluated, attacked or chosen as the best is computed in f32, in the loop and after it.
#[test]
fn evaluations_compute_in_f32() {
    if !there() {
        return;
    }
    let script = r#"
        import "std/evaluate" as evaluate;
        import "std/certify" as certify;
        import "std/local_lip" as lip;
        let way = settings(#{ way: "f32", train: false });
        precision(way.way);
        let data = dataset("digits", #{ train_limit: 8, validation: 4, test_limit: 4 });
        let model = sequential(data.shape, [conv2d(4, 3, #{ padding: 1 }), relu_theta(1.0), conv2d(4, 3), relu(), flatten(), linear(10)]);
        let x = data.test.images([0, 1]);
        let y = data.test.labels([0, 1]);
        for epoch in run.epochs(1) {
            if way.train {
                let optimizer = adam(model);
                for batch in data.train.batches(4) { optimizer.step(cross_entropy(model.forward(batch.x), batch.y)); }
            }
            let right = accuracy(model.frozen().forward(data.validation.images([0, 1])), data.validation.labels([0, 1]));
            run.best(model, data.validation, right.item());
        }
        evaluate::report(model, data.test, 0.1, #{ steps: 2, apgd: 2 });
        evaluate::report(model, data.validation, 0.1, #{ steps: 2, apgd: 2, bound: "global" });
        pgd(model, x, y, 0.1, #{ steps: 2 });
        print(certify::radius_of(certify::prepare(model, "estimate"), data.test.images([0]), data.test.labels([0])));
        let frozen = model.frozen();
        worst_logits(frozen, lip::bounds(frozen, x, 0.1, fresh_vectors(frozen, 2), 2), y);
    "#;
    for (way, train) in [("tf32", false), ("bf16", false), ("bf16", true)] {
        let folder = Folder::new(&[("main.rhai", script)]);
        let account = folder.path().join("account");
        let (way_set, train_set) = (format!("way={way}"), format!("train={train}"));
        let mut command =
            folder.command(&["run", "main.rhai", "--device", "cuda", "--set", &way_set, "--set", &train_set]);
        let told = folder.shown(&command.env("SOFTWARE_GPU_TRACE", &account).output().unwrap());
        assert!(told.ends_with("exit code 0"), "{told}");
        let text = std::fs::read_to_string(account).unwrap();
        let computed = |kind: &str, other: bool| {
            let lines = text.lines().filter(|line| line.starts_with(kind));
            lines.filter(|line| line.split('\t').any(|word| ["tf32", "bf16"].contains(&word)) == other).count()
        };
        for kind in ["convolution", "product"] {
            assert!(computed(kind, false) > 0, "{kind}: {text}");
            // The training's own are in what was chosen, so the choice was made.
            assert_eq!(computed(kind, true) > 0, train, "{way}, training: {train}: {kind}");
        }
    }
}

/// A certified evaluation with `--device cuda`: attacks and the quick look are the GPU's, what certifies is the CPU's, to the digit.
#[test]
fn certificates_are_the_same_beside_a_gpu() {
    if !there() {
        return;
    }
    let script = r#"
        import "std/certify" as certify;
        import "std/cascade" as cascade;
        let data = dataset("digits", #{ train_limit: 10, test_limit: 24 });
        let cfg  = settings(#{ model: "" });
        if cfg.model == "" {
            let net = sequential(data.shape, [conv2d(4, 3, #{ padding: 1 }), relu_theta(1.0), flatten(), linear(12), relu(), linear(10)]);
            let all = dataset("digits", #{ train_limit: 600 });
            let opt = adam(net, #{ lr: 1e-2 });
            for e in 0..3 { for b in all.train.batches(50) { opt.step(cross_entropy(net.forward(b.x), b.y)); } }
            net.save("net.safetensors");
            exit(0);
        }
        for kind in ["rigorous", "estimate"] {
            let report = cascade::certified_report(certify::prepare(load_model(cfg.model), kind), data.test, 0.25, #{ attack_steps: 5, steps: 5, apgd: 5, falsify: 3, restarts: 1, radii: kind == "rigorous" });
            if kind == "rigorous" { for row in report.rows { print(`row ${[row.index, row.margin, if row.verdict == "certified" { row.certified_margin } else { 0.0 }, row.global, row.radius]}`); } }
        }
    "#;
    let folder = Folder::new(&[("main.rhai", script)]);
    let made = folder.run(&["run", "main.rhai", "--allow-write", "."]);
    assert!(made.ends_with("exit code 0"), "{made}");
    let account = folder.path().join("account");
    let rows = |device: &str| {
        let mut command = folder.command(&["run", "main.rhai", "--set", "model=net.safetensors", "--device", device]);
        let told = folder.shown(&command.env("SOFTWARE_GPU_TRACE", &account).output().unwrap());
        assert!(told.ends_with("exit code 0"), "{told}");
        told.lines().filter(|line| line.starts_with("row ")).map(String::from).collect::<Vec<_>>()
    };
    let here = rows("cpu");
    let beside = rows("cuda");
    assert!(here.len() == 24 && here.iter().any(|row| !row.contains(", 0.0,")), "{here:?}");
    assert_eq!(here, beside);
    let account = std::fs::read_to_string(account).unwrap();
    assert!(account.lines().any(|line| line.starts_with("convolution")), "the GPU was used: {account}");
}

/// Two processes with a GPU each: gradients go from GPU to GPU, nobody waits for one, and the bits are those of one process that takes
/// the shards in turn. Without NCCL they go by way of main memory, to the same bits.
#[test]
fn gradients_of_several_processes_stay_on_their_gpus() {
    let said = std::process::Command::new("mpirun").arg("--version").output();
    let has_mpi = said.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("Open MPI"));
    if !there() || !has_mpi {
        assert!(has_mpi || std::env::var_os("WORKBENCH_REQUIRE_MPI").is_none(), "there is no mpirun of Open MPI");
        return println!("skipped: needs mpirun of Open MPI");
    }
    let script = r#"
        import "std/local_lip" as lip;
        let cfg = settings(#{ limit: 16 });
        let data = dataset("digits", #{ train_limit: cfg.limit });
        let model = sequential(data.shape, [conv2d(4, 3, #{ padding: 1 }), relu_theta(1.0), flatten(), linear(12), relu_theta(1.0), linear(10)]);
        let vectors = singular_vectors(model, data.train.len());
        let optimizer = adam(model, #{ lr: 1e-2 });
        for epoch in run.epochs(1) {
            for batch in data.train.batches(8) {
                let bounds = lip::bounds(model, batch.x, 0.2, vectors.of(batch), 2);
                optimizer.step(cross_entropy(worst_logits(model, bounds, batch.y), batch.y));
            }
        }
        run.save(model, "model.safetensors");
    "#;
    let folder = Folder::new(&[("main.rhai", script)]);
    let run = |n: usize, into: &str, more: &[&str], nccl: Option<&str>| {
        let arguments = [&["run", "main.rhai", "--into", into, "--device", "cuda"], more].concat();
        let mut command = if n == 1 {
            folder.command(&arguments)
        } else {
            let mut command = std::process::Command::new("mpirun");
            command.args(["--oversubscribe", "-n", &n.to_string(), env!("CARGO_BIN_EXE_workbench")]).args(&arguments);
            command
                .env("OMPI_ALLOW_RUN_AS_ROOT", "1")
                .env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
                .current_dir(folder.path());
            command
        };
        let account = folder.path().join(format!("{into}.account"));
        command.env("SOFTWARE_GPU_TRACE", &account).env("SOFTWARE_GPU_DEVICES", "2").env("NO_COLOR", "1");
        if let Some(path) = nccl {
            command.env("WORKBENCH_NCCL", path);
        }
        let told = folder.shown(&command.output().unwrap());
        let model = std::fs::read(folder.path().join(into).join("model.safetensors")).unwrap_or_default();
        (told, model, std::fs::read_to_string(account).unwrap_or_default())
    };
    let (told, one, _) = run(1, "one", &["--shards", "2", "--by-shard"], None);
    assert!(told.ends_with("exit code 0"), "{told}");
    let (told, two, account) = run(2, "two", &[], None);
    assert!(told.ends_with("exit code 0"), "{told}");
    assert!(one == two, "the same bits");
    let count = |text: &str, start: &str| text.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!(
        (count(&account, "collective\texchange"), count(&account, "collective\tall gather")),
        (4, 4),
        "two steps each"
    );
    let (_, _, longer) = run(2, "longer", &["--set", "limit=32"], None);
    for never in ["from the device", "wait"] {
        assert_eq!(count(&account, never), count(&longer, never), "{never}: for steps of training nobody waits");
    }
    let (told, fast, account) = run(2, "fast", &["--sum", "fast"], None);
    assert!(told.ends_with("exit code 0") && count(&account, "collective\tall reduce") == 4, "{told}");
    assert!(!fast.is_empty());
    let (told, without, account) = run(2, "without", &[], Some("/nowhere/libnccl.so"));
    assert!(told.contains("gradients are added by way of main memory, since NCCL is missing"), "{told}");
    assert!(without == two && count(&account, "collective") == 0, "the same bits");
    let (told, ..) = run(3, "three", &["--set", "limit=24"], None);
    assert!(told.contains("device `cuda:2` cannot be used"), "{told}");
}
