//! Broken inputs: one clear message each, with its place, and a non-zero exit code. Snapshots in `tests/inputs/snapshots`.

use super::common::program::Folder;
use std::path::Path;

/// Run `main.rhai` in a folder of its own and compare what comes out.
fn refused(name: &str, script: &str) {
    refused_with(name, script, &[], |_| {});
}

fn refused_with(name: &str, script: &str, arguments: &[&str], prepare: impl Fn(&Path)) {
    let folder = Folder::new(&[("main.rhai", script)]);
    prepare(folder.path());
    let shown = folder.run(&[&["run", "main.rhai", "--allow-write", "w.safetensors"], arguments].concat());
    assert!(!shown.ends_with("exit code 0"), "{name} went through:\n{shown}");
    insta::assert_snapshot!(name, shown);
}

#[test]
fn misspelt_names() {
    refused("misspelt_function", "let net = sequential([1, 8, 8], [conv2(8, 3), flatten(), linear(10)]);");
    refused(
        "misspelt_option",
        "let net = sequential([1, 8, 8],\n    [conv2d(8, 3, #{ paddin: 1 }), flatten(), linear(10)]);",
    );
    let settings = "let cfg = settings(#{ epochs: 3, lr: 1e-3 });\nprint(cfg.lr);";
    refused_with("misspelt_setting", settings, &["--set", "epoch=2"], |_| {});
    refused_with("wrong_type_of_a_setting", settings, &["--set", "epochs=many"], |_| {});
    refused("unknown_data_set", "let data = dataset(\"minst\");");
}

#[test]
fn shapes_that_do_not_fit() {
    refused(
        "kernel_too_large",
        "let net = sequential([1, 8, 8], [conv2d(8, 3, #{ stride: 4 }), relu(), conv2d(8, 5)]);",
    );
    refused("linear_on_an_image", "let net = sequential([1, 8, 8], [conv2d(8, 3), linear(10)]);");
    refused("odd_channels_for_maxmin", "let net = sequential([1, 8, 8], [conv2d(7, 3), maxmin()]);");
    refused("wrong_input", "let net = sequential([4], [linear(2)]);\nlet y = net.forward(zeros([3, 5]));");
    refused("tensors_of_two_shapes", "let a = zeros([2, 3]);\nlet b = a + zeros([2, 4]);");
    refused("tensors_of_two_dtypes", "let b = zeros([2]) + zeros([2], \"f64\");");
    refused("comparison_of_a_tensor", "let a = zeros([2]);\nif a == 0 { print(1); }");
}

#[test]
fn devices() {
    refused_with("unknown_device", "print(1);", &["--device", "gpu"], |_| {});
    if cfg!(not(feature = "cuda")) {
        refused_with("cuda_where_there_is_none", "print(1);", &["--device", "cuda"], |_| {});
    } else {
        // What the driver says differs; how to go on does not.
        let output = Folder::new(&[("main.rhai", "print(1);")]).run(&["run", "main.rhai", "--device", "cuda:99"]);
        assert!(output.contains("device `cuda:99` cannot be used: "), "{output}");
        assert!(output.contains("go on with `--device cpu`, or see whether `nvidia-smi` lists the GPU"), "{output}");
        assert!(!output.ends_with("exit code 0"), "{output}");
    }
}

#[test]
fn numbers_that_are_none() {
    refused(
        "nan_learning_rate",
        "let net = sequential([4], [linear(2)]);\nlet optimizer = adam(net, #{ lr: 0.0 / 0.0 });",
    );
    refused(
        "nan_learning_rate_in_a_step",
        "let net = sequential([4], [linear(2)]);\nlet optimizer = adam(net);\n\
         let loss = net.forward(ones([1, 4])).sum();\noptimizer.step(loss, 0.0 / 0.0);",
    );
    refused(
        "diverged_loss",
        "for epoch in run.epochs(2) {\n    for batch in dataset(\"digits\").train.batches(700) {\n        \
         run.log(#{ loss: batch.x.sum().log() * (0.0 / 0.0) });\n    }\n}",
    );
    refused(
        "nan_in_the_weights",
        "let net = sequential([4], [linear(2)]);\nlet path = \"w.safetensors\";\nlet broken = net.parameters;\n\
         broken[\"0.weight\"] = zeros([2, 4]).log() * 0;\nsave_tensors(path, broken);\nnet.load(path);",
    );
}

#[test]
fn weights_files() {
    let script = "let net = sequential([4], [linear(2)]);\nnet.load(\"w.safetensors\");";
    refused("missing_weights", script);
    refused_with("unreadable_weights", script, &[], |folder| {
        std::fs::write(folder.join("w.safetensors"), "these are no weights").unwrap();
    });
    refused(
        "weights_of_another_network",
        "let net = sequential([4], [linear(2)]);\nsequential([4], [linear(3), relu(), linear(2)]).save(\"w.safetensors\");\n\
         net.load(\"w.safetensors\");",
    );
    refused(
        "weights_without_a_network",
        "save_tensors(\"w.safetensors\", #{ a: ones([2]) });\nload_model(\"w.safetensors\");",
    );
    refused(
        "a_path_out_of_the_run_folder",
        "let net = sequential([4], [linear(2)]);\nrun.save(net, \"../w.safetensors\");",
    );
}

/// An IDX file: magic number, sizes, bytes.
fn idx(magic: u32, sizes: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut file = magic.to_be_bytes().to_vec();
    sizes.iter().for_each(|n| file.extend(n.to_be_bytes()));
    file.extend(bytes);
    file
}

/// A small data set in IDX files, with a manifest; `break_it` then damages one of them.
fn with_idx(name: &str, break_it: impl Fn(&Path)) {
    refused_with(name, "let data = dataset(\"toy.yaml\");\nprint(data);", &[], |folder| {
        let manifest = "\
name: toy
title: Four images
shape: [1, 2, 2]
classes: 2
scale: 255
format: idx
splits:
  train: { size: 4, images: train-images, labels: train-labels }
  test: { size: 2, images: test-images, labels: test-labels }
licence: none
citation: none
";
        std::fs::write(folder.join("toy.yaml"), manifest).unwrap();
        let write = |file: &str, bytes: Vec<u8>| std::fs::write(folder.join(file), bytes).unwrap();
        write("train-images", idx(0x803, &[4, 2, 2], &[7; 16]));
        write("train-labels", idx(0x801, &[4], &[0, 1, 0, 1]));
        write("test-images", idx(0x803, &[2, 2, 2], &[7; 8]));
        write("test-labels", idx(0x801, &[2], &[0, 1]));
        break_it(folder);
    });
}

#[test]
fn idx_files() {
    with_idx("idx_missing", |folder| std::fs::remove_file(folder.join("test-labels")).unwrap());
    with_idx("idx_cut_off", |folder| {
        std::fs::write(folder.join("train-images"), idx(0x803, &[4, 2, 2], &[7; 11])).unwrap();
    });
    with_idx("idx_wrong_magic", |folder| {
        std::fs::write(folder.join("train-images"), idx(0x802, &[4, 2, 2], &[7; 16])).unwrap();
    });
    with_idx("idx_label_out_of_range", |folder| {
        std::fs::write(folder.join("train-labels"), idx(0x801, &[4], &[0, 1, 5, 1])).unwrap();
    });
}

#[test]
fn memory_that_is_not_there() {
    refused(
        "vectors_that_do_not_fit",
        "let net = sequential([3, 32, 32], [conv2d(32, 3), relu(), flatten(), linear(10)]);\n\
         let vectors = singular_vectors(net, 50000, #{ memory: 1000000 });",
    );
}

#[test]
fn sizes_beyond_all_memory() {
    refused_with("tensor_too_large", "let t = zeros([1000000000000]);", &["--max-memory", "1"], |_| {});
    refused("layer_too_large", "let net = sequential([4], [linear(9000000000000000000)]);");
    refused(
        "vectors_too_many",
        "let net = sequential([4], [linear(3), relu(), linear(2)]);\nsingular_vectors(net, 4611686018427387904, #{ memory: 1000000 });",
    );
}

#[test]
fn scripts_that_do_not_end() {
    refused("recursion_without_end", "fn down(n) { down(n + 1) }\ndown(0);");
}

#[test]
fn epsilon_and_labels_out_of_range() {
    refused("negative_epsilon_of_one_sample", "ball_and_box(zeros([2, 4]), tensor([0.1, -0.1]));");
    refused(
        "image_out_of_range",
        "let net = sequential([4], [linear(2)]);\npgd(net, full([1, 4], 3.0), tensor([0], \"u32\"), 0.1);",
    );
    refused("label_below_zero", "correct(tensor([[-1, -2, -3]]), tensor([-1], \"i64\"));");
    refused("a_frozen_network_is_not_trained", "let net = sequential([4], [linear(2)]);\nadam(net.frozen());");
    refused("negative_epsilon", "let r = ball_and_box(zeros([1, 4]), -0.1);");
    refused(
        "label_that_does_not_exist",
        "let net = sequential([4], [linear(2)]);\nlet x = zeros([1, 4]);\n\
         let bounds = #{ region: ball_and_box(x, 0.1), radius: full([1], 0.1) };\n\
         worst_logits(net, bounds, tensor([2], \"u32\"));",
    );
}
