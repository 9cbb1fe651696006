//! Names that modules and closures see, closures that fail, copies that are lost, variables that change from batch to batch.

use crate::common::program::Folder;
use crate::{printed, refused, refused_at_once};

const CONSTS: (&str, &str) = ("consts.rhai", "export const RATE = 1000;");
const OTHER: (&str, &str) = ("other.rhai", "export const RATE = 0.1; fn rate() { 0.1 }");
const MODULE: (&str, &str) =
    ("m.rhai", "import \"consts\" as consts;\nfn used(f) { f.call(1) }\nfn own() { consts::RATE }");

#[test]
fn a_closure_never_sees_the_aliases_of_who_calls_it() {
    for (main, outcome) in [
        // The same alias for two files, where a closure reaches it: refused, by check and by run.
        ("import \"m\" as m; import \"other\" as consts; print(m::used(|x| x * consts::RATE));", None),
        ("import \"m\" as m; import \"other\" as consts; print(m::used(|x| x * consts::rate()));", None),
        ("import \"other\" as consts; import \"m\" as m; fn f(x) { x * consts::RATE } print(m::used(|x| f(x)));", None),
        ("import \"other\" as consts; import \"m\" as m; fn f(x) { x * consts::RATE } print(m::used(f));", None),
        (
            "import \"other\" as consts; import \"m\" as m; fn f(x) { x * consts::RATE } print(m::used(Fn(\"f\")));",
            None,
        ),
        ("import \"m\" as m; fn f() { import \"other\" as consts; m::used(|x| x * consts::RATE) } print(f());", None),
        // Another alias, or one file, or no closure.
        ("import \"m\" as m; import \"other\" as o; print(m::used(|x| x * o::RATE));", Some("0.1")),
        ("import \"consts\" as consts; import \"m\" as m; print(m::used(|x| x * consts::RATE));", Some("1000")),
        ("import \"m\" as m; import \"other\" as consts; print(consts::RATE + m::own());", Some("1000.1")),
    ] {
        let folder = Folder::new(&[("main.rhai", main), CONSTS, OTHER, MODULE]);
        let (check, run) = (folder.run(&["check", "main.rhai"]), folder.run(&["run", "main.rhai"]));
        match outcome {
            Some(value) => {
                assert!(check.ends_with("exit code 0"), "{main}\n{check}");
                assert!(run.starts_with(&format!("{value}\n")), "{main}\n{run}");
            }
            None => {
                for output in [check, run] {
                    let told = output.contains("`consts` is ") && output.contains("give one of them another name");
                    assert!(told && output.ends_with("exit code 1"), "{main}\n{output}");
                }
            }
        }
    }
}

#[test]
fn equal_closures_of_two_files_are_not_one() {
    let two = |first: &str, second: &str| {
        let main = "import \"m1\" as a; import \"m2\" as b; let f = a::one(); let g = b::two(); print([f.call(1), g.call(1), f.call(1)]);";
        Folder::new(&[("main.rhai", main), CONSTS, OTHER, ("m1.rhai", first), ("m2.rhai", second)])
            .run(&["run", "main.rhai"])
    };
    for (first, second) in [
        ("const K = 2;\nfn one() { |x| x * global::K }", "const K = 5;\nfn two() { |x| x * global::K }"),
        ("import \"consts\" as c;\nfn one() { |x| c::RATE }", "import \"other\" as d;\nfn two() { |x| c::RATE }"),
    ] {
        let output = two(first, second);
        assert!(output.ends_with("exit code 1"), "{output}");
    }
    // What they do hangs on nothing of their files, or they are not equal, or not in the same place.
    assert!(two("fn one() { |x| x + 1 }", "fn two() { |x| x + 1 }").starts_with("[2, 2, 2]\n"));
    assert!(two("fn one() { let k = 2; |x| x * k }", "fn two() { let k = 5; |x| x * k }").starts_with("[2, 5, 2]\n"));
    assert!(
        two("const K = 2;\nfn one() { |x| x * global::K }", "const K = 5;\n\nfn two() { |x| x * global::K }")
            .starts_with("[2, 5, 2]\n")
    );
}

#[test]
fn sorting_hears_errors_and_knows_no_place_for_nan() {
    let nan = "0.0 / 0.0";
    for call in
        ["a.sort()", "a.sort_desc()", "a.order()", "a.order_desc()", "a.sort(|x, y| x - y)", "a.sort_by(|x, y| x - y)"]
    {
        refused(&format!("let a = [2.0, {nan}, 1.0]; {call};"), "NaN");
    }
    for call in [
        "a.sort(|x, y| x.foo())",
        "a.sort_by(|x, y| x.foo())",
        "a.order_by(|x, y| x.foo())",
        "a.filter(|x| x.foo())",
        "a.some(|x| x.foo())",
        "a.all(|x| x.foo())",
        "a.find(|x| x.foo())",
        "a.index_of(|x| x.foo())",
        "a.dedup(|x, y| x.foo())",
        "a.retain(|x| x.foo())",
        "a.drain(|x| x.foo())",
        "a.map(|x| x.foo())",
        "a.reduce(|s, x| x.foo())",
        "a.for_each(|| this.foo())",
    ] {
        refused(&format!("let a = [3, 1, 2]; {call};"), "no value has a method `foo`");
    }
    refused("let a = [3, 1]; a.sort(|x, y| \"up\");", "sort");
    refused("let a = [3, \"b\"]; a.sort();", "give a rule");
    let all = "let a = [3, 1, 2]; a.sort(); print(a); a.sort_by(|x, y| y - x); print(a); print(a.order());
               print([\"b\", \"a\"].order()); print([1.5, 1].order()); print([[2, 1], [1, 2]].order_by(|a, b| a[0] - b[0]));";
    assert_eq!(printed(all), "[1, 2, 3]\n[3, 2, 1]\n[1, 2, 3]\n[\"a\", \"b\"]\n[1, 1.5]\n[[1, 2], [2, 1]]");
}

#[test]
fn a_change_that_is_lost_is_named() {
    for body in [
        "l.push(v);",
        "l[0] = v;",
        "l += v;",
        "l.a = v;",
        "l.clear(); print(v);",
        "if v > 1 { l.push(v); }",
        "for i in 0..v { l.push(i); }",
        "l.insert(0, v);",
    ] {
        let text = format!("fn remember(l, v) {{ {body} }}\nlet l = [1]; remember(l, 2);");
        refused_at_once(&text, "`remember` changes `l`, its own copy");
    }
    // Returned, used afterwards, shared, or `this`.
    for (text, value) in [
        ("fn with_it(l, v) { l.push(v); l } let l = with_it([1], 2); print(l);", "[1, 2]"),
        ("fn length(l, v) { l.push(v); l.len() } print(length([1], 2));", "2"),
        ("fn grow(v) { this.push(v); } let l = [1]; l.grow(2); print(l);", "[1, 2]"),
        ("let l = [1]; let add = |v| l.push(v); add.call(2); print(l);", "[1, 2]"),
        ("fn fill(l) { let own = []; own.push(1); own } print(fill(1));", "[1]"),
        (
            "fn raised(m) { m.set_param(\"0.bias\", m.param(\"0.bias\").detach() + 1.0); } let m = sequential([1], [linear(1)]); let b = m.param(\"0.bias\").detach().to_array(); raised(m); print(m.param(\"0.bias\").to_array()[0] - b[0] > 0.9);",
            "true",
        ),
    ] {
        assert_eq!(printed(text), value, "{text}");
    }
}

#[test]
fn functions_are_told_what_they_see() {
    for text in [
        "let scale = 2; fn f(x) { x * scale } print(f(1));",
        "fn f(x) { x * scale } let scale = 2; print(f(1));",
        "let scale = 2; fn f(x) { let g = |y| y * scale; g.call(x) } print(f(1));",
        "let scale = 2; fn f(x) { `${scale}` } print(f(1));",
    ] {
        refused_at_once(text, "`f` does not see the variable `scale`");
    }
    refused_at_once("const RATE = 2; fn f(x) { x * RATE } print(f(1));", "global::RATE");
    assert_eq!(printed("const RATE = 2; fn f(x) { x * global::RATE } print(f(3));"), "6");
    assert_eq!(printed("let scale = 2; print([1].map(|x| x * scale));"), "[2]");
}

/// Stopped after some batches of an epoch, and resumed: what a method changes is not taken for unchanged.
#[test]
fn variables_that_methods_change_count_once_for_each_batch() {
    let text = "let d = dataset(\"digits\", #{ train_limit: 8, test_limit: 10 });
let seen = [0]; let low = [1, 2]; let text = \"a\"; let bits = 0; let kept = []; let add = |x| kept.push(x);
for epoch in run.epochs(1) {
    for batch in d.train.batches(1) {
        if batch.number == 3 { load_npy(\"go.npy\"); }
        CHANGE
        run.log(#{ a: 1 }); run.checkpoint();
    }
}
print([seen, low, text, bits, kept.len()]);";
    for (change, right) in [
        ("seen.for_each(|i| this += 1);", "[[8], [1, 2], \"a\", 0, 0]"),
        ("low.sort_desc(); low[0] += 1;", "[[0], [10, 1], \"a\", 0, 0]"),
        ("text += \"b\"; text.make_upper();", "[[0], [1, 2], \"ABBBBBBBB\", 0, 0]"),
        ("bits.set_bit(10 + batch.number, true);", "[[0], [1, 2], \"a\", 261120, 0]"),
        ("add.call(1);", "[[0], [1, 2], \"a\", 0, 8]"),
    ] {
        let folder = Folder::new(&[("main.rhai", &text.replace("CHANGE", change))]);
        let cut = folder.run(&["run", "main.rhai", "--into", "cut", "--checkpoint-share=1"]);
        assert!(cut.contains("go.npy: No such file"), "{cut}");
        let file = folder.path().join("go.npy");
        let zero = candle_core::Tensor::zeros(1, candle_core::DType::F32, &candle_core::Device::Cpu).unwrap();
        zero.write_npy(&file).unwrap();
        let whole = folder.run(&["run", "main.rhai"]);
        assert!(whole.contains(right), "{change}: {whole}");
        let resumed = folder.run(&["run", "--resume", "cut"]);
        assert!(resumed.contains(right) && resumed.ends_with("exit code 0"), "{change}: {resumed}");
    }
}
