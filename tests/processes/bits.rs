//! Several processes come to what one does.

use super::launched::{TRAINS, apart, bytes, launched, rows, turn, weights_apart};
use super::program::Folder;

const MODEL: &str = "model.safetensors";

fn trained(folder: &Folder, arguments: &[&str], into: &str) {
    let said = folder.run(&[&["run", "t.rhai", "--into", into], arguments].concat());
    assert!(said.ends_with("exit code 0"), "{said}");
}

fn launched_into(folder: &Folder, n: usize, arguments: &[&str], into: &str) -> String {
    let said = launched(folder, n, &[&["run", "t.rhai", "--into", into], arguments].concat());
    assert!(said.ends_with("exit code 0"), "{said}");
    said
}

/// In our order of sums, whoever has which of the shards: 1,009 images, a prime number, so that the last batch is uneven, and random numbers in each.
#[test]
fn who_has_the_shards_changes_no_bit() {
    let Some(_turn) = turn() else { return };
    let folder = Folder::new(&[("t.rhai", TRAINS)]);
    trained(&folder, &["--shards", "4", "--by-shard"], "one");
    let said = launched_into(&folder, 4, &[], "four");
    assert!(said.contains("4 processes by mpirun (Open MPI"), "{said}");
    assert_eq!(said.matches("epoch 1/3").count(), 1, "process 0 has the screen: {said}");
    launched_into(&folder, 2, &["--shards", "4", "--by-shard"], "two");
    let model = |run: &str| bytes(&folder, &format!("{run}/{MODEL}"));
    assert!(model("one") == model("four") && model("one") == model("two"));
    assert!(apart(&rows(&folder, "one"), &rows(&folder, "four")) < 1e-12);
    // Another three are another dealing.
    trained(&folder, &["--shards", "3", "--by-shard"], "of_three");
    launched_into(&folder, 3, &[], "three");
    assert!(model("of_three") == model("three") && model("three") != model("four"));
    // The same number twice.
    launched_into(&folder, 3, &[], "again");
    assert!(model("again") == model("three"));
    assert_eq!(rows(&folder, "again"), rows(&folder, "three"));
}

/// One process takes the batches of four whole: the same up to rounding, in f64 over 51 steps, by the library's own sums too.
#[test]
fn parts_of_a_batch_are_the_batch() {
    let Some(_turn) = turn() else { return };
    let folder = Folder::new(&[("t.rhai", TRAINS)]);
    let exact = ["--set", "dtype=f64", "--set", "vectors=f64", "--set", "draws=false", "--set", "rule=sgd"];
    trained(&folder, &[&exact[..], &["--shards", "4"]].concat(), "one");
    launched_into(&folder, 4, &[&exact[..], &["--sum", "fast"]].concat(), "fast");
    launched_into(&folder, 4, &exact, "ordered");
    for run in ["fast", "ordered"] {
        let off = apart(&rows(&folder, "one"), &rows(&folder, run));
        assert!(off < 1e-12, "{run}: losses differ by {off}");
        let off = weights_apart(&folder, &format!("one/{MODEL}"), &format!("{run}/{MODEL}"));
        assert!(off < 1e-12, "{run}: weights differ by {off}");
    }
}

/// A shard without images, and batches in which a process has none: what stands in for them counts for nothing.
#[test]
fn a_process_without_images_counts_for_nothing() {
    let Some(_turn) = turn() else { return };
    let folder = Folder::new(&[("t.rhai", TRAINS)]);
    let few = |limit: &'static str| ["--set", limit, "--set", "batch=12", "--set", "rule=sgd"];
    for (limit, run) in [("limit=2", "two"), ("limit=14", "fourteen")] {
        trained(&folder, &[&few(limit)[..], &["--shards", "4", "--by-shard"]].concat(), &format!("{run}_one"));
        launched_into(&folder, 4, &few(limit), run);
        assert!(bytes(&folder, &format!("{run}_one/{MODEL}")) == bytes(&folder, &format!("{run}/{MODEL}")), "{run}");
    }
}

/// What a script does for its own part of a batch stays there, and what processes write and read is theirs: steps of an optimiser over a
/// process's own tensors, as many as it likes; a model read before the pass by one process only; files.
#[test]
fn what_is_a_process_s_own_stays_its_own() {
    const OWN: &str = r#"
        let data = dataset("digits", #{ train_limit: 130 });
        let model = sequential(data.shape, [flatten(), linear(10)]);
        let optimizer = sgd(model, #{ lr: 0.05 });
        for epoch in run.epochs(3) {
            if epoch == 1 && run.rank == 1 { print(optimizer.lr); }
            for batch in data.train.batches(60) {
                let delta = zeros(batch.x.shape).parameter();
                let inner = sgd([delta], #{ lr: 0.1 });
                for i in 0..=run.rank { inner.step(cross_entropy(model.forward(batch.x + delta), batch.y) * -1.0); }
                optimizer.step(cross_entropy(model.forward(batch.x + delta.detach()), batch.y));
                run.log(#{ loss: 1.0 });
            }
            model.save("out/weights.safetensors");
            if load_model("out/weights.safetensors").digest != model.digest { throw "another network was read"; }
            run.save(model, `epoch${epoch}.safetensors`);
            load_model(run.path(`epoch${max(epoch - 1, 0)}.safetensors`));
            run.checkpoint();
        }
    "#;
    let Some(_turn) = turn() else { return };
    let folder = Folder::new(&[("t.rhai", OWN), ("out/there", "")]);
    let said = launched_into(&folder, 3, &["--allow-write", "out", "--allow-read", "out"], "three");
    assert!(said.contains("loss 1.0000"), "a mean of ones: {said}");
    // Shard by shard, one optimiser takes one step in each part.
    let folder = Folder::new(&[(
        "t.rhai",
        &OWN.replace(
            "optimizer.step(",
            "optimizer.step(cross_entropy(model.forward(batch.x), batch.y)); optimizer.step(",
        ),
    )]);
    let said = folder.run(&["run", "t.rhai", "--shards", "2", "--by-shard"]);
    assert!(said.contains("an optimiser takes one step in each part"), "{said}");
}

/// Running statistics are those of each process's images, and at an epoch's end their means.
#[test]
fn running_statistics_are_means_over_the_processes() {
    let Some(_turn) = turn() else { return };
    let folder = Folder::new(&[("t.rhai", TRAINS)]);
    let norm = ["--set", "norm=true", "--set", "epochs=2"];
    launched_into(&folder, 3, &norm, "three");
    launched_into(&folder, 3, &norm, "again");
    assert!(bytes(&folder, &format!("three/{MODEL}")) == bytes(&folder, &format!("again/{MODEL}")));
}

/// What one process writes down is what it always was: nothing of shards, no part of a checkpoint.
#[test]
fn a_process_alone_writes_what_it_always_wrote() {
    let folder = Folder::new(&[("t.rhai", TRAINS)]);
    trained(&folder, &["--set", "limit=120", "--set", "epochs=1"], "alone");
    let record: serde_json::Value = serde_json::from_slice(&bytes(&folder, "alone/run.json")).unwrap();
    assert!(record.get("shards").is_none() && record.get("processes").is_none());
    // Nor does it open a library: the loader tells of each that it is asked for.
    let mut command = folder.command(&["run", "t.rhai", "--set", "limit=60", "--set", "epochs=1"]);
    let said = folder.shown(&command.env("LD_DEBUG", "libs").output().unwrap());
    assert!(said.contains("libc.so") && !said.contains("libmpi") && !said.contains("nccl"), "a library was opened");
    let files = std::fs::read_dir(folder.path().join("alone/checkpoints")).unwrap();
    assert!(files.into_iter().all(|file| !file.unwrap().file_name().to_string_lossy().contains("shard")));
}
