//! What people write who come from PyTorch or Python, and what somebody writes on the first day: each is told how it is written here.

use super::common::program::Folder;

/// A script, and a part of the message that it gets.
const SCRIPTS: &[(&str, &str)] = &[
    ("net.train();", "a network has no modes"),
    ("net.eval();", "a network has no modes"),
    ("opt.zero_grad();", "no gradients are kept"),
    ("net.parameters();", "is a property: write it without brackets"),
    ("net.frozen;", "`frozen` of a Model is a function: write `frozen()`"),
    ("net.state_dict();", "`net.save(file)`"),
    ("x.view([2]);", "x.reshape(shape)"),
    ("x.numpy();", "x.to_array()"),
    ("let y = torch.zeros(3);", "guide/from_pytorch"),
    ("let y = True;", "`true`"),
    ("let y = None;", "nothing is written ()"),
    ("y = 3;", "a new one is declared: `let y = ...`"),
    ("let y = 'digits';", "a text stands between double quotes: \"digits\""),
    ("# a comment", "a comment begins with `//`"),
    ("for i in range(3):\n    print(i)", "stands in braces"),
    ("adam(net, lr=1e-3);", "options are a map"),
    ("adam([]);", "the array holds no parameter"),
    ("sequential(data.shape, [conv2d(8, 3), relu, flatten(), linear(10)]);", "a function is called: `relu(...)`"),
    ("certify::prepare(net, \"rigorous\");", "add `import \"std/certify\" as certify;`"),
    ("import \"std/certify\";\ncertify::prepare(net, \"rigorous\");", "imports it without a name"),
    ("certify.prepare(net);", "import \"std/certify\" as certify;"),
    (
        "import \"std/certify\" as certify;\ncertify::radius_of(net, x, y);",
        "certify::prepare(net, \"rigorous\") makes one",
    ),
    (
        "import \"std/certify\" as certify;\nimport \"std/cascade\" as cascade;\n\
         cascade::certified_curve(certify::prepare(net, \"rigorous\"), data.test, 0.1, #{});",
        "one of them is [0.1]",
    ),
    ("net.forward(x[0]);", "becomes a batch of one by x.unsqueeze(0)"),
    ("for (b, n) in data.test.batches(10) { net.forward(b); }", "a batch holds images and labels"),
    ("data.test[0];", "split.images([0, 1])"),
    ("net[0];", "net.layers[0]"),
    ("zeros([3]) + [1, 2, 3];", "an array becomes a tensor"),
];

/// What the scripts begin with.
const BEGINNING: &str = "let data = dataset(\"digits\", #{ test_limit: 20 });
let net = load_model(\"digits\");
let opt = adam(net.copy());
let x = data.test.images([0, 1]);
let y_ = data.test.labels([0, 1]);
";

#[test]
fn habits_from_elsewhere_are_told_how_it_is_written_here() {
    let wrong = |(script, part): &&(&str, &str)| {
        let folder = Folder::new(&[("main.rhai", &format!("{BEGINNING}{}\n", script.replace(", y)", ", y_)")))]);
        let output = folder.run(&["run", "main.rhai"]);
        (!output.contains(part) || !output.ends_with("exit code 1")).then(|| format!("{script}\n{output}"))
    };
    let wrong: Vec<String> = SCRIPTS.iter().filter_map(|case| wrong(&case)).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), SCRIPTS.len(), wrong.join("\n\n"));
}

#[test]
fn a_script_without_its_command_is_told_the_command() {
    let output = Folder::new(&[("main.rhai", "1")]).run(&["main.rhai"]);
    assert!(output.contains("workbench run main.rhai"), "{output}");
}

#[test]
fn what_a_pack_leaves_out_is_told_before_anything_is_written_over() {
    let folder = Folder::new(&[(
        "main.rhai",
        "let cfg = settings(#{ stop: true });
         for epoch in run.epochs(3) { run.log(#{ loss: 1.0 }); if cfg.stop && epoch == 1 { throw \"stopped\"; } }",
    )]);
    assert!(folder.run(&["run", "main.rhai", "--into", "run"]).contains("stopped"));
    assert!(folder.run(&["pack", "run"]).contains("copy its whole folder"));
    assert!(folder.run(&["unpack", "run.workbench", "--into", "there"]).ends_with("exit code 0"));
    let before = std::fs::read(folder.path().join("there/metrics.jsonl")).expect("metrics");
    let output = folder.run(&["run", "main.rhai", "--resume", "there"]);
    assert!(output.contains("no checkpoints") && output.contains("copy its whole folder"), "{output}");
    assert_eq!(std::fs::read(folder.path().join("there/metrics.jsonl")).expect("metrics"), before);
}
