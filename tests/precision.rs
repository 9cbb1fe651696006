//! The choice of precision: what a script may ask for, what it gets on a CPU, and what is written down.

mod common;

use common::program::Folder;

#[test]
fn a_cpu_computes_in_f32_and_says_so() {
    let script = r#"
        precision("tf32");
        let x = ones([2, 2]);
        print(x.sum().item());
        for epoch in run.epochs(1) { run.log(#{ loss: 1.0 }); }
    "#;
    let folder = Folder::new(&[("choose.rhai", script)]);
    let output = folder.run(&["run", "choose.rhai", "--into", "here"]);
    assert!(output.ends_with("exit code 0"), "{output}");
    let note = "precision tf32 holds on CUDA devices; here everything f32 is computed in f32";
    assert_eq!(output.matches(note).count(), 1, "{output}");
    let record = std::fs::read_to_string(folder.path().join("here/run.json")).expect("run.json");
    assert!(record.contains("\"precision\": \"f32\""), "what was computed, not what was asked for: {record}");
}

#[test]
fn another_name_is_an_error_that_lists_the_three() {
    let folder = Folder::new(&[("choose.rhai", "precision(\"fp16\");")]);
    let output = folder.run(&["run", "choose.rhai"]);
    assert!(output.contains("precision: there is no `fp16`; use \"f32\", \"tf32\" or \"bf16\""), "{output}");
    assert!(output.contains("choose.rhai:1:1") && !output.ends_with("exit code 0"), "{output}");
}
