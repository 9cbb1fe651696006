//! Printing, iterating, calling, catching: one sentence each in the script's own words, and no name from inside the program.

use crate::common::program::Folder;
use crate::{printed, refused, refused_at_once, run};

#[test]
fn print_shows_what_the_prompt_shows() {
    for value in [
        "tensor([1.0, 2.0])",
        "sequential([4], [linear(2)])",
        "dataset(\"digits\")",
        "dataset(\"digits\").test",
        "adam(sequential([4], [linear(2)]))",
        "#{ a: tensor([1.0]), b: [1, 2.5] }",
        "[tensor([1.0]), \"a\"]",
        "2.5",
        "1.0",
        "[]",
        "linear(3)",
        "()",
    ] {
        let at_prompt = Folder::new(&[]).feed(&format!("{value}\n"));
        let shown = at_prompt.trim_end().trim_end_matches("exit code 0").trim_end();
        let from_script = run(&format!("print({value});"));
        let from_script = from_script.trim_end_matches("exit code 0").trim_end();
        // The prompt shows nothing for no value.
        if value != "()" {
            assert_eq!(from_script, shown, "{value}");
        }
    }
    assert_eq!(printed("print(`loss ${2.5}, ${1.0} and ${[1, 2.0]}`);"), "loss 2.5, 1.0 and [1, 2.0]");
    assert_eq!(printed("print(\"loss \" + 2.5); let s = \"a\"; s += 1.5; print(s);"), "loss 2.5\na1.5");
    // Bounds are a table of some lines, inside a sentence a word, and never their masks.
    let text = "import \"std/local_lip\" as lip; let d = dataset(\"digits\", #{ train_limit: 10, test_limit: 10 });
let m = sequential(d.shape, [conv2d(4, 3), relu_theta(1.0), flatten(), linear(10)]);
let b = lip::bounds(m, d.test.images([0, 1]), 0.1, fresh_vectors(m, 2), 2); ";
    let output = printed(&format!("{text} print(b);"));
    assert!(output.lines().count() < 30 && output.contains("lipschitz"), "{output}");
    let output = printed(&format!("{text} print(`bounds: ${{b}}.`);"));
    assert!(output.lines().count() < 30 && output.starts_with("bounds: ") && output.ends_with('.'), "{output}");
}

#[test]
fn habits_of_other_languages_are_answered() {
    for (text, part) in [
        ("for x in #{ a: 1 } { }", "map.keys()"),
        ("let m = #{ a: 1 }; for x in m { print(x); }", "map.keys()"),
        ("for x in 10 { }", "0..n"),
        ("let n = 10; for x in n { print(x); }", "0..n"),
        ("let n = 1.5; for x in n { print(x); }", "0..n"),
        ("for x in range(10) { }", "0..n"),
        ("let m = sequential([4], [linear(2)]); for l in m { }", "of a network over its layers"),
        ("let m = sequential([4], [linear(2)]); m(randn([1, 4]));", "m.forward(x)"),
        ("let net = #{ a: 1 }; net(3);", "net.forward(x)"),
        ("fn f(net, x) { net(x) } f(1, 2);", "net.forward(x)"),
        ("[1].map(|net| net(3));", "net.forward(x)"),
        ("throw ones([2]);", "error: Tensor"),
        ("[ones([1]), ones([1])].sort(|a, b| a - b);", "Tensor"),
        ("[3.0, 0.0 / 0.0, 1.0].sort(|a, b| a < b);", "NaN"),
        ("print(str(3));", "${x}"),
        ("let n = 1; n.a = 2.5;", "`a` is none of a value of type int, so it cannot be set to a value of type float"),
        (
            "let t = ones([2]); t.shape = [2, 1];",
            "`shape` of a value of type Tensor cannot be set to a value of type array",
        ),
    ] {
        refused(text, part);
    }
    refused_at_once("fn safe(x) { try { x / 0 } catch { 0.0 } } print(safe(1));", "is no result of `try`");
    refused_at_once("let m = sequential([4], [linear(2)]); m(randn([1, 4]));", "m.forward(x)");
    // A constant of an earlier input is one of the prompt's.
    let output = Folder::new(&[("gl.rhai", "const EPS = 0.25; fn scaled(x) { x * global::EPS }")]).feed(
        ":load gl.rhai\nscaled(2)\nconst K = 4;\nfn g(x) { x * global::K }\ng(1) + scaled(4)\n[1].map(|x| g(x))\nK\n",
    );
    assert!(output.contains("0.5\n") && output.contains("5\n") && output.ends_with("exit code 0"), "{output}");
    // A shipped script at the prompt, and one that is none.
    let folder = Folder::new(&[]);
    let output = folder.run(&["repl", "nothing"]);
    assert!(output.contains("the scripts that come with the program") && output.ends_with("exit code 2"), "{output}");
    let output = folder.run(&["run", "evaluate", "--set", "model=none.safetensors"]);
    assert!(output.contains("evaluate.rhai:") && !output.contains("workbench-"), "{output}");
    let at_prompt =
        Folder::new(&[]).feed("let m = sequential([4], [linear(2)]);\nm(randn([1, 4]))\nfor i in range(10) { }\n");
    assert!(at_prompt.contains("m.forward(x)") && at_prompt.contains("0..n"), "{at_prompt}");
}

#[test]
fn caught_errors_are_sentences() {
    for (error, sentence) in [
        ("1 / 0", "`/`: 1 / 0 has no value"),
        ("let a = [1]; a[3]", "the array has 1 element"),
        ("let m = #{}; m.a.b", "no key `a`"),
        ("let t = tensor([1.0]); t[7]", "7"),
        ("zeros([2]) + zeros([3])", "[2]"),
        ("throw \"mine\"", "mine"),
        ("pgd(1, 2, 3, 4)", "no `pgd` takes these arguments"),
        ("fn_of_mine(0)", "1 / 0 has no value"),
        ("[1].map(|x| x / 0)", "1 / 0 has no value"),
    ] {
        let text = format!(
            "fn fn_of_mine(x) {{ 1 / x }} try {{ {error}; }} catch (e) {{ print(`caught ${{e}}`); print(e); }}"
        );
        let output = printed(&text);
        let lines: Vec<&str> = output.lines().collect();
        assert!(lines.len() == 2 && lines[0] == format!("caught {}", lines[1]), "{error}: {output}");
        assert!(lines[1].contains(sentence), "{error}: {output}");
        for word in ["ErrorRuntime", "ErrorInFunctionCall", "(line", "position", "::"] {
            assert!(!output.contains(word), "{error}: {output}");
        }
    }
    // A value that was thrown is that value, and an error passes on with its place.
    assert_eq!(printed("try { throw #{ a: 1 }; } catch (e) { print(e.a); }"), "1");
    refused("try { let x = 1 / 0; } catch (e) { throw e; }", "1 / 0 has no value");
}

/// Every function with wrong arguments: no message names a type of the program's inside.
#[test]
fn no_message_shows_a_path_of_the_programs_own() {
    let values = "let d = dataset(\"digits\", #{ train_limit: 10, test_limit: 10 }); let m = sequential(d.shape, [flatten(), linear(2)]);
let t = randn([2]); let bad = [1, 1.5, \"a\", (), [1, \"a\"], #{ a: 1 }, t, m, d, |x| x, d.test, linear(2)];
let calls = [
    |v| pgd(m, t, t, v), |v| pgd(m, v, t, 0.1), |v| linear(v), |v| conv2d(v, 3), |v| sequential(v, []), |v| sequential([2], v),
    |v| randn(v), |v| zeros([v]), |v| tensor(v), |v| adam(v), |v| sgd(v), |v| adam(m, #{ lr: v }), |v| dataset(v), |v| dataset(\"digits\", #{ crop: v }),
    |v| dataset_from(v, [0], t, [0]), |v| dataset_from(t, v, t, [0]), |v| accuracy(v, t), |v| cross_entropy(t, v), |v| m.forward(v), |v| m.param(v), |v| m.set_param(\"1.bias\", v),
    |v| run.log(v), |v| run.log(#{ a: v }), |v| run.result(v), |v| run.epochs(v), |v| run.keep(v, 1), |v| run.best(v, 1, 1.0), |v| run.save(v, \"x\"), |v| precision(v), |v| t.to_dtype(v),
    |v| plot(v, v), |v| table(v, v), |v| curve(v, v), |v| load_model(v), |v| load_npy(v), |v| d.test.images(v), |v| d.train.batches(v), |v| worst_logits(m, v, t),
    |v| margins(v, t), |v| fresh_vectors(v, 2), |v| singular_vectors(m, v), |v| t + v, |v| t - v, |v| t[v], |v| t.reshape(v), |v| t.sum(v), |v| t == v, |v| v + v, |v| -v, |v| !v,
    |v| { let i = 0; i += v; }, |v| { if v { } }, |v| { for x in v { print(x); } }, |v| { let a = [1]; a[v] }, |v| { let q = #{}; q[v] }, |v| v.call(1), |v| v.foo, |v| v[0], |v| v(), |v| { v.a = 1; v },
];
let told = 0;
for one in calls { for v in bad { try { one.call(v); } catch (e) {
    let text = `${e}`; told += 1;
    if text.contains(\"::\") || text.contains(\"rhai\") || text.contains(\"Dynamic\") || text.contains(\"alloc\") || text.contains(\"&str\") || text.contains(\"ImmutableString\") || (text.contains(\"i64\") && !text.contains(\"or i64\")) || text.contains(\"FnPtr\") || text.contains(\"Error\") { throw `of ${v}: ${text}`; }
} } }
print(told > 200);";
    let output = printed(&values.replace("|v| v(), ", ""));
    assert!(output.ends_with("true"), "{output}");
}

#[test]
fn attacks_take_a_radius_for_each_image() {
    let text = "let d = dataset(\"digits\", #{ train_limit: 10, test_limit: 10 });
let m = sequential(d.shape, [flatten(), linear(16), relu(), linear(10)]);
let x = d.test.images([0, 1, 2]); let y = d.test.labels([0, 1, 2]);
let radii = [0.0, 0.05, 0.5];
for e in [tensor(radii), radii] {
    let found = pgd(m, x, y, e, #{ steps: 20, stop_early: false, clip: false });
    let moved = (found - x).flatten(1).sqr().sum(1).sqrt().to_array();
    for i in 0..3 { if moved[i] > radii[i] * 1.0001 || moved[i] < 0.5 * radii[i] { throw `${moved}`; } }
}
// A start and a step for each as well, and all of one radius as the number.
let options = #{ steps: 5, random_start: false, stop_early: false };
let one = pgd(m, x, y, 0.3, options); let each = pgd(m, x, y, [0.3, 0.3, 0.3], options);
print((one - each).abs().max().item());";
    assert_eq!(printed(text), "0.0");
    let net =
        "let m = sequential([4], [linear(2)]); let x = 0.5 * ones([2, 4]); let y = tensor([0, 1]).to_dtype(\"u32\");";
    for (radii, part) in [
        ("[0.1]", "epsilon has 1 value"),
        ("tensor([0.1, 0.2, 0.3])", "epsilon has 3 values for 2 images"),
        ("[0.1, -0.2]", "epsilon is -0.2"),
        ("[0.1, 0.0 / 0.0]", "epsilon is NaN"),
        ("-0.1", "epsilon is -0.1"),
        ("\"a\"", "epsilon"),
        ("[0.1, \"a\"]", "epsilon"),
        ("tensor([[0.1, 0.2]])", "epsilon"),
    ] {
        refused(&format!("{net} pgd(m, x, y, {radii});"), part);
    }
}

#[test]
fn data_of_vectors_train_and_layers_of_images_say_so() {
    let data =
        "let x = randn([40, 5]); let y = []; for i in 0..40 { y.push(i % 2); } let d = dataset_from(x, y, x, y);";
    let text = format!(
        "{data} import \"std/evaluate\" as evaluate;
let m = sequential(d.shape, [normalize([0.1, 0.2, 0.3, 0.4, 0.5], [1.0, 1.0, 1.0, 1.0, 2.0]), linear(8), relu(), linear(2)]);
let o = adam(m, #{{ lr: 1e-2 }});
for e in run.epochs(2) {{ for b in d.train.batches(10) {{ o.step(cross_entropy(m.forward(b.x), b.y)); run.log(#{{ a: 1 }}); }} }}
print(d.shape); evaluate::report(m, d.test, 0.1, #{{ steps: 0 }});"
    );
    let output = printed(&text);
    assert!(output.contains("[5]") && output.contains("exact         0.1000"), "{output}");
    for layer in ["conv2d(4, 3)", "avg_pool2d(2)"] {
        refused(&format!("{data} sequential(d.shape, [{layer}, flatten(), linear(2)]);"), "[5]");
        refused(&format!("{data} sequential(d.shape, [{layer}, flatten(), linear(2)]);"), "image");
    }
    refused(&format!("{data} sequential(d.shape, [normalize([0.1, 0.2], [1.0, 1.0]), linear(2)]);"), "normalize");
    for options in ["crop: 1", "flip: true", "cutout: 1", "pad: 1", "rotation: 5.0"] {
        refused(
            &format!("let x = randn([4, 5]); dataset_from(x, [0, 1, 0, 1], x, [0, 1, 0, 1], #{{ {options} }});"),
            "image",
        );
    }
}

#[test]
fn two_classes_by_one_logit() {
    let text = "import \"std/evaluate\" as evaluate; import \"std/certify\" as certify; import \"std/cascade\" as cascade;
let d = dataset(\"digits\", #{ train_limit: 10, test_limit: 30 }); let list = []; for i in 0..30 { list.push(i); }
let y = d.test.labels(list).to_array().map(|v| if v >= 5 { 1 } else { 0 });
let x = d.test.images(list); let b = dataset_from(x, y, x, y, #{ classes: 2 });
let one = sequential(b.shape, [flatten(), linear(12), relu(), linear(1)]);
let two = sequential(b.shape, [flatten(), linear(12), relu(), linear(2)]);
two.set_param(\"1.weight\", one.param(\"1.weight\").detach()); two.set_param(\"1.bias\", one.param(\"1.bias\").detach());
let w = one.param(\"3.weight\").detach(); two.set_param(\"3.weight\", cat([w * 0.0, w], 0));
let c = one.param(\"3.bias\").detach(); two.set_param(\"3.bias\", cat([c * 0.0, c], 0));
for m in [one, two] {
    evaluate::report(m, b.test, 0.05, #{ steps: 3 });
    let p = certify::prepare(m, \"rigorous\");
    let radii = []; for i in 0..5 { radii.push(fixed(certify::radius_of(p, b.test.images([i]), b.test.labels([i])), 6)); } print(radii);
    cascade::certified_report(p, b.test, 0.05, #{ steps: 3, attack_steps: 3, falsify: 2 });
}";
    let output = printed(text);
    let half = output.len() / 2;
    let (first, second) = output.split_at(half);
    assert_eq!(first.trim(), second.trim(), "{output}");
    for call in ["accuracy(m.forward(x), y)", "cross_entropy(m.forward(x), y)", "margins(m.forward(x), y)"] {
        let text = format!(
            "let m = sequential([4], [linear(1)]); let x = ones([2, 4]); let y = tensor([0, 0]).to_dtype(\"u32\"); {call};"
        );
        refused(&text, "model.two_classes()");
    }
    refused(
        "import \"std/evaluate\" as evaluate; let d = dataset(\"digits\", #{ train_limit: 10, test_limit: 10 });
evaluate::report(sequential(d.shape, [flatten(), linear(1)]), d.test, 0.1);",
        "label 2 does not exist, there are 2 classes",
    );
}
