//! `/`, `**`, `^`, `//`, `div`: in scripts, modules, functions, closures, settings, on the command line and at the prompt.

use crate::common::program::Folder;
use crate::{printed, refused, refused_at_once, run};

/// What floats have, a quotient that comes out even has too.
#[test]
fn even_quotients_are_numbers_like_others() {
    assert_eq!(printed("for e in 0..3 { print((e / 2).sqrt() == (e * 0.5).sqrt()); }"), "true\ntrue\ntrue");
    assert_eq!(printed("print([1, 2, 3, 4].filter(|x| (x / 2).floor() == x / 2));"), "[2, 4]");
    assert_eq!(printed("print((4 / 2).round().to_int() + (100 * 2 / 4).ceiling());"), "52");
    // Every function of one float, and of two.
    let text = "for f in [|x| x.floor(), |x| x.round(), |x| x.int(), |x| x.fraction(), |x| x.exp(), |x| x.ln(), |x| x.log(), |x| x.sin(), |x| x.cos(),
        |x| x.tan(), |x| x.sinh(), |x| x.cosh(), |x| x.tanh(), |x| x.atan(), |x| x.asinh(), |x| x.to_degrees(), |x| x.to_radians(), |x| sqrt(x),
        |x| hypot(x, x), |x| hypot(x, 0.5), |x| atan(x, 2), |x| log(x, 3), |x| if x.is_nan() || x.is_infinite() || !x.is_finite() { 0 } else { 1 },
        |x| x.ceiling(), |x| abs(x), |x| sign(x), |x| min(x, 0.5), |x| max(x, 3), |x| x.to_float(), |x| x.to_int(), |x| -x, |x| x ** 2, |x| x % 2] {
        for x in [1, 2] { let (a, b) = (f.call(x), f.call(x * 1.0)); if a != b { throw `${x}: ${a} is not ${b}`; } } } print(\"same\");";
    let text =
        text.replace("let (a, b) = (f.call(x), f.call(x * 1.0));", "let a = f.call(x); let b = f.call(x * 1.0);");
    assert_eq!(printed(&text), "same");
    assert_eq!(printed("print(\"a\" < 'b'); print(\"abc\"[0] >= \"0\");"), "true\ntrue");
}

#[test]
fn whole_numbers_divide_to_fractions_unless_it_comes_out_even() {
    for (expression, value) in [
        ("36/255", "0.1411764705882353"),
        ("6 / 2", "3"),
        ("-7 / 2", "-3.5"),
        ("7 / -7", "-1"),
        ("0 / 5", "0"),
        ("1.0 / 4", "0.25"),
        ("9007199254740993 / 1", "9007199254740993"),
        ("div(7, 2)", "3"),
        ("div(-7, 2)", "-4"),
        ("2 ** 3", "8"),
        ("2 ** -1", "0.5"),
        ("2 ** 0.5", "1.4142135623730951"),
        ("(-3) ** 2", "9"),
        ("-(3 ** 2)", "-9"),
        ("1 - 3 ** 2", "-8"),
        ("7 % 4", "3"),
    ] {
        let texts = [
            format!("print({expression});"),
            format!("fn f() {{ {expression} }} print(f());"),
            format!("let f = || {expression}; print(f.call());"),
            format!("print([{expression}][0]);"),
            format!("print(`${{{expression}}}`);"),
            format!("print(settings(#{{ a: {expression} }}).a);"),
            format!("const A = {expression}; fn f() {{ global::A }} print(f());"),
        ];
        for text in &texts {
            assert_eq!(printed(text), value, "{text}");
        }
        let at_prompt = Folder::new(&[]).feed(&format!("{expression}\n"));
        assert!(at_prompt.starts_with(&format!("{value}\n")), "{expression}: {at_prompt}");
    }
    assert_eq!(
        printed(
            "let a = 3; a /= 2; print(a); let l = [6]; l[0] /= 4; print(l); let m = #{ x: 6 }; m.x /= 3; print(m.x);"
        ),
        "1.5\n[1.5]\n2"
    );
    // Of a computed value, with a module's and a closure's.
    let folder = Folder::new(&[
        ("main.rhai", "import \"half\" as half; print(half::half_of(3)); print([1, 2, 3].map(|x| x / 2));"),
        ("half.rhai", "fn half_of(n) { n / 2 }"),
    ]);
    let output = folder.run(&["run", "main.rhai"]);
    assert!(output.starts_with("1.5\n[0.5, 1, 1.5]\n"), "{output}");
    // A schedule over epochs is no constant.
    let schedule = "for epoch in run.epochs(4) { print(`${0.5 * (1.0 + cos(PI() * epoch / 4))} ${epoch / 4}`); run.log(#{ a: 1 }); }";
    let output = printed(schedule);
    for line in ["1.0 0\n", "0.25\n", "0.5\n", "0.75\n"] {
        assert!(output.contains(line), "{output}");
    }
}

#[test]
fn what_can_be_read_in_two_ways_is_refused_before_anything_runs() {
    for (text, part) in [
        ("let x = 3; print(-x ** 2);", "write `-(x ** y)` or `(-x) ** y`"),
        ("print(-2 ** 2);", "`-(x ** y)`"),
        ("print(1 - -2 ** 2);", "`-(x ** y)`"),
        ("fn f(x) { -x.abs() ** 2 }", "`-(x ** y)`"),
        ("print(`${-2.0 ** 2}`);", "`-(x ** y)`"),
        ("let t = randn([2]); let u = -t ** 2;", "`-(x ** y)`"),
        ("print(2 ^ 3);", "write `**` for a power"),
        ("let x = 1.5; print(x ^ 2);", "write `**` for a power"),
        ("let x = 2; x ^= 3;", "`**"),
        ("let f = |x| x ^ 2;", "write `**` for a power"),
        ("let half = 7 // 2\n;", "write div(a, b)"),
        ("let n = 10;\nlet half = n // 2;\nprint(half);", "write div(a, b)"),
        ("let l = [1]; let half = l.len() // 2;\n", "write div(a, b)"),
        ("let x = 6 / 4; switch x { 1.5 => 1, _ => 2 }", "a float in a `switch`"),
    ] {
        refused_at_once(&format!("print(\"begun\");\n{text}\n"), part);
        assert!(!run(&format!("print(\"begun\");\n{text}\n")).contains("begun"), "{text}");
    }
    // At the prompt too, and in a module.
    let at_prompt = Folder::new(&[]).feed("-2 ** 2\n2 ^ 3\n7 // 2\n");
    for part in ["`-(x ** y)`", "write `**`", "write div(a, b)", "3 of 3 inputs failed"] {
        assert!(at_prompt.contains(part), "{at_prompt}");
    }
    let folder = Folder::new(&[("main.rhai", "import \"m\" as m;"), ("m.rhai", "fn f(x) {\n    -x ** 2\n}")]);
    let output = folder.run(&["run", "main.rhai"]);
    assert!(output.contains("m.rhai:2:5") && output.contains("`-(x ** y)`"), "{output}");
}

#[test]
fn what_looks_alike_and_is_meant_is_left_alone() {
    let text = "let n = 7; // 2 images at a time
// 3 ** 2 is nine, -x ** 2 is not
let url = \"http://2.example\"; let s = `7 // 2 and 2 ^ 3`;
let a = n - 2 ** 2; /* 7 // 2 */
let b = [-1, 2 ** 2]; let c = 2 ** -1; // ^
let d = n == 7 && true; print(a); print(b); print(s); print(c);";
    assert_eq!(printed(text), "3\n[-1, 4]\n7 // 2 and 2 ^ 3\n0.5");
}

#[test]
fn a_fraction_where_a_whole_number_is_wanted_says_so() {
    for (text, part) in [
        ("let a = [1, 2, 3]; a[3 / 2]", "div(a, b) gives a whole number"),
        ("for i in 0..7 / 2 { }", "a range goes over whole numbers"),
        ("zeros([7 / 2])", "float"),
        ("linear(7 / 2)", "div(a, b) gives a whole number"),
        ("run.epochs(7 / 2)", "div(a, b) gives a whole number"),
        ("dataset(\"digits\").train.batches(15 / 2)", "div(a, b) gives a whole number"),
        ("1 / 0", "1 / 0 has no value"),
        ("let x = 5; x /= 0;", "5 / 0 has no value"),
        ("div(1, 0)", "div: 1 by 0 has no value"),
        ("5 % 0", "0"),
    ] {
        refused(text, part);
    }
}

#[test]
fn settings_on_the_command_line_divide_as_scripts_do() {
    let folder = Folder::new(&[(
        "main.rhai",
        "let c = settings(#{ eps: 0.1, n: 3, list: [0.1] }); print(c.eps); print(c.n); print(c.list);",
    )]);
    let output = folder.run(&["run", "main.rhai", "--set", "eps=36/255", "--set", "n=6/2", "--set", "list=[1/4,2]"]);
    assert!(output.starts_with("0.1411764705882353\n3\n[0.25, 2.0]\n"), "{output}");
    let refused = folder.run(&["run", "main.rhai", "--set", "n=7/2"]);
    assert!(refused.contains("--set n=7/2: expected an int") && refused.contains("decimal point"), "{refused}");
    for wrong in ["eps=2^3", "eps=1/0", "eps=7//2"] {
        let refused = folder.run(&["run", "main.rhai", "--set", wrong]);
        assert!(refused.contains(wrong) && refused.ends_with("exit code 1"), "{refused}");
    }
}

/// A run of before goes on, and is repeated, with the arithmetic that it was made with.
#[test]
fn old_runs_keep_their_arithmetic() {
    let text = "let c = settings(#{ n: 7 }); let half = c.n / 2;\nrun.result(#{ half: half });\nfor e in run.epochs(2) { run.log(#{ a: e / 2 }); }";
    let folder = Folder::new(&[("main.rhai", text)]);
    let output = folder.run(&["run", "main.rhai", "--into", "new"]);
    assert!(output.ends_with("exit code 0"), "{output}");
    let path = folder.path().join("new/run.json");
    let record = std::fs::read_to_string(&path).unwrap();
    assert!(record.contains("\"half\": 3.5") && record.contains("\"arithmetic\": \"fractions\""), "{record}");
    let again = folder.run(&["replay", "new"]);
    assert!(again.contains("results are those of new") && !again.contains("note"), "{again}");
    // What version 0.1 wrote names no arithmetic, and divided to whole numbers.
    let old: String =
        record.lines().filter(|line| !line.contains("\"arithmetic\"")).map(|line| format!("{line}\n")).collect();
    std::fs::write(&path, old.replace("\"half\": 3.5", "\"half\": 3")).unwrap();
    let again = folder.run(&["replay", "new", "--into", "again"]);
    assert!(again.contains("results are those of new"), "{again}");
    assert!(
        again.contains("note: this run was made with the arithmetic of before 0.2")
            && again.contains("source/main.rhai:1, new/source/main.rhai:3"),
        "{again}"
    );
    let record = std::fs::read_to_string(folder.path().join("again/run.json")).unwrap();
    assert!(record.contains("\"arithmetic\": \"whole\""), "{record}");
}
