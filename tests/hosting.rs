//! Scripts as a user runs them: the built binary, a folder of files, what comes out and with which exit code.
//!
//! The scripts use Rhai's core and `settings` alone.

mod common;

use common::program::Folder;
use std::io::{BufRead, BufReader, Read};
use std::process::Child;
use std::time::Duration;

/// Run a script of one file.
fn run(text: &str) -> String {
    Folder::new(&[("main.rhai", text)]).run(&["run", "main.rhai"])
}

#[test]
fn a_script_prints_and_ends_well() {
    insta::assert_snapshot!(run("let x = [1, 2].map(|v| v * 2); print(`sum ${x[0] + x[1]}`);"), @r"
sum 6

exit code 0
");
}

#[test]
fn syntax_errors_show_the_place_and_the_way_out() {
    insta::assert_snapshot!(run("let x = 3 // the first\nlet y = 4;"), @r"
error: expected `;` to terminate this statement
  ┌─ main.rhai:1:9
  │
1 │ let x = 3 // the first
  │         ^
exit code 1
");
    insta::assert_snapshot!(run("let default = 3;"), @r"
error: `default` is a word of the language and cannot be used as a name; pick another, such as `default_`
  ┌─ main.rhai:1:5
  │
1 │ let default = 3;
  │     ^^^^^^^
exit code 1
");
    insta::assert_snapshot!(run("if true {\n  print(1);\n"), @r"
error: expected `}` to terminate this block
  ┌─ main.rhai:3:1
  │
3 │
  │ ^
exit code 1
");
    insta::assert_snapshot!(run("let text = \"abc;\nprint(text);"), @r#"
error: the string is not closed; add `"`, or write text of several lines between back-quotes
  ┌─ main.rhai:1:12
  │
1 │ let text = "abc;
  │            ^
exit code 1
"#);
    insta::assert_snapshot!(run("let epochs = 3;\nprint(epoch);"), @r"
error: variable `epoch` not found; did you mean `epochs`?
  ┌─ main.rhai:2:7
  │
2 │ print(epoch);
  │       ^^^^^
exit code 1
");
    insta::assert_snapshot!(run("eval(\"1 + 1\");"), @r#"
error: `eval` is switched off: code made from strings cannot be checked
  ┌─ main.rhai:1:1
  │
1 │ eval("1 + 1");
  │ ^^^^
exit code 1
"#);
}

#[test]
fn misspelt_functions_are_found_before_the_script_starts() {
    insta::assert_snapshot!(run("print(\"started\");\nlet x = [1, 2];\nx.pusch(3);\nparse_itn(\"3\");"), @r#"
error: no value has a method `pusch`; did you mean `push`?
  ┌─ main.rhai:3:3
  │
3 │ x.pusch(3);
  │   ^^^^^

error: function not found: parse_itn; did you mean `parse_int`?
  ┌─ main.rhai:4:1
  │
4 │ parse_itn("3");
  │ ^^^^^^^^^
exit code 1
"#);
}

#[test]
fn wrong_arguments_show_the_signatures() {
    insta::assert_snapshot!(run("fn twice(x) { 2 * x }\nlet x = twice(3);\nx.starts_with(\"a\");"), @r#"
error: no `starts_with` takes these arguments: starts_with(int, string)
  ┌─ main.rhai:3:3
  │
3 │ x.starts_with("a");
  │   ^^^^^^^^^^^
  │
  = it is defined as starts_with(string: string, character: char)
                  or starts_with(string: string, match_string: string)
exit code 1
"#);
    insta::assert_snapshot!(run("fn twice(x) { 2 * x }\ntwice(#{ a: 1 });"), @r"
error: `*` is not defined for int and map
  ┌─ main.rhai:1:17
  │
1 │ fn twice(x) { 2 * x }
  │                 ^
  │
  = in function `twice` (main.rhai:1:17)
    in the script (main.rhai:2:1)
exit code 1
");
}

#[test]
fn misspelt_keys_are_found() {
    insta::assert_snapshot!(run("let options = #{ rate: 0.1 };\nprint(options.rat);"), @r"
error: the map has no key `rat`; did you mean `rate`?
  ┌─ main.rhai:2:15
  │
2 │ print(options.rat);
  │               ^^^
exit code 1
");
    insta::assert_snapshot!(run("let cfg = settings(#{ rate: 0.1, epochs: 3 });\nprint(cfg.rte);"), @r"
error: `cfg` has no setting `rte`; did you mean `rate`? The settings are `epochs`, `rate`
  ┌─ main.rhai:2:11
  │
2 │ print(cfg.rte);
  │           ^^^
exit code 1
");
}

#[test]
fn errors_in_modules_show_the_call_stack() {
    let folder = Folder::new(&[
        ("main.rhai", "import \"lib/outer\" as outer;\n\nfn both(x) {\n    outer::each(x)\n}\nboth([1, 0]);\n"),
        ("lib/outer.rhai", "import \"inner\" as inner;\nfn each(xs) { xs.map(|x| inner::invert_it(x)) }\n"),
        ("lib/inner.rhai", "fn invert_it(x) {\n    if x == 0 { throw `cannot invert ${x}`; }\n    1 / x\n}\n"),
    ]);
    insta::assert_snapshot!(folder.run(&["run", "main.rhai"]), @r"
error: cannot invert 0
  ┌─ lib/inner.rhai:2:17
  │
2 │     if x == 0 { throw `cannot invert ${x}`; }
  │                 ^^^^^
  │
  = in function `invert_it` (lib/inner.rhai:2:17)
    in a closure (lib/outer.rhai:2:33)
    in function `map` (lib/outer.rhai:2:18)
    in function `each` (lib/outer.rhai:2:18)
    in function `both` (main.rhai:4:12)
    in the script (main.rhai:6:1)
exit code 1
");
}

#[test]
fn import_cycles_show_all_their_stations() {
    let folder = Folder::new(&[
        ("main.rhai", "import \"a\" as a;\na::f();"),
        ("a.rhai", "import \"b\" as b;\nfn f() { b::g() }"),
        ("b.rhai", "import \"main\" as main;\nfn g() { 1 }"),
    ]);
    insta::assert_snapshot!(folder.run(&["run", "main.rhai"]), @r#"
error: import cycle: main.rhai -> a.rhai -> b.rhai -> main.rhai; move what both need into a third file
  ┌─ b.rhai:1:1
  │
1 │ import "main" as main;
  │ ^^^^^^
exit code 1
"#);
    // A path that is only known when the script runs.
    let folder = Folder::new(&[
        ("main.rhai", "let name = \"a\";\nimport name as a;"),
        ("a.rhai", "let name = \"b\";\nimport name as b;"),
        ("b.rhai", "let name = \"a\";\nimport name as a;"),
    ]);
    insta::assert_snapshot!(folder.run(&["run", "main.rhai"]), @r"
error: import cycle: a.rhai -> b.rhai -> a.rhai; move what both need into a third file
  ┌─ b.rhai:2:8
  │
2 │ import name as a;
  │        ^^^^
  │
  = in module b.rhai (b.rhai:2:8)
    in module a.rhai (a.rhai:2:8)
    in the script (main.rhai:2:8)
exit code 1
");
}

#[test]
fn imports_stay_in_the_scripts_own_folder() {
    let folder = Folder::new(&[("own/main.rhai", "import \"../secret\" as s;"), ("secret.rhai", "fn f() { 1 }")]);
    insta::assert_snapshot!(folder.run(&["run", "own/main.rhai"]), @r#"
error: module "../secret" lies outside the script's own folder (FOLDER/own), which is as far as imports reach; copy it there
  ┌─ own/main.rhai:1:1
  │
1 │ import "../secret" as s;
  │ ^^^^^^
exit code 1
"#);
    insta::assert_snapshot!(folder.run(&["run", "nowhere.rhai"]), @r"
error: there is no script nowhere.rhai; the scripts that come with the program are `certify`, `cifar10_4c3f`, `cifar10_4c3f_cap`, `cifar10_4c3f_relu_stability`, `cifar10_6c2f`, `cifar10_6c2f_cap`, `cifar10_6c2f_maxmin`, `cifar10_cayley`, `cifar10_liresnet`, `demo`, `evaluate`, `figure2_bounds`, `figure3_varying`, `figure4_iterations`, `layers_compared`, `mnist_4c3f`, `mnist_4c3f_cap`, `probe_bounds`, `quickstart`, `recheck`, `residual_digits`, `smoothing`, `table1_vectors`, `table2_digits`, `tiny_imagenet_7c1f`, `tiny_imagenet_8c2f`, `tiny_imagenet_8c2f_maxmin`, `verify`; one of your own begins as a copy: workbench new NAME --from quickstart
exit code 2
");
}

#[test]
fn recursion_without_end_is_an_error() {
    insta::assert_snapshot!(run("fn down(n) { down(n + 1) }\ndown(0);"), @r"
error: functions call each other more than 64 deep
  ┌─ main.rhai:2:1
  │
2 │ down(0);
  │ ^^^^
  │
  = does a function call itself without end? The chain begins at this call. --max-calls raises the limit
exit code 1
");
}

#[test]
fn two_files_cannot_define_the_same_function() {
    let folder = Folder::new(&[
        ("main.rhai", "import \"a\" as a;\nimport \"b\" as b;\nprint(a::direct_a(1) + b::direct_b(1));"),
        ("a.rhai", "fn shared_helper(x) { x + 100 }\nfn direct_a(x) { shared_helper(x) }"),
        ("b.rhai", "fn direct_b(x) { shared_helper(x) }\n\nfn shared_helper(x) { x + 7 }"),
    ]);
    insta::assert_snapshot!(folder.run(&["run", "main.rhai"]), @r"
error: function `shared_helper` with 1 parameter is already defined in a.rhai:1:4, and one would be called for the other; rename one of the two
  ┌─ b.rhai:3:4
  │
3 │ fn shared_helper(x) { x + 7 }
  │    ^^^^^^^^^^^^^
exit code 1
");
    insta::assert_snapshot!(run("fn sqrt(x) { x }\nprint(sqrt(4));"), @r"
error: function `sqrt` with 1 parameter is already defined by the host and would be hidden everywhere; pick another name
  ┌─ main.rhai:1:4
  │
1 │ fn sqrt(x) { x }
  │    ^^^^
exit code 1
");
}

/// Canary: Rhai's cache of resolved functions spans modules. When this fails, `script::names` may go.
#[test]
fn rhai_still_calls_the_wrong_function_without_the_guard() {
    let mut engine = rhai::Engine::new();
    let mut resolver = rhai::module_resolvers::StaticModuleResolver::new();
    for (name, plus) in [("a", 100), ("b", 7)] {
        let text = format!("fn helper(x) {{ x + {plus} }} fn direct(x) {{ helper(x) }}");
        let ast = engine.compile(text).unwrap();
        resolver.insert(name, rhai::Module::eval_ast_as_new(rhai::Scope::new(), &ast, &engine).unwrap());
    }
    engine.set_module_resolver(resolver);
    let script = r#"import "a" as a; import "b" as b; [a::direct(1), b::direct(1), a::direct(1), b::direct(1)]"#;
    let got = engine.eval::<rhai::Array>(script).unwrap();
    assert_ne!(format!("{got:?}"), "[101, 8, 101, 8]");
}

/// Canary: a module's closure is not found outside it. When the second half fails, `expose_closures` may go.
#[test]
fn closures_of_modules_work_outside_them() {
    let text = "fn adder(n) { |x| x + n }";
    let folder =
        Folder::new(&[("main.rhai", "import \"m\" as m;\nlet f = m::adder(2);\nprint(f.call(3));"), ("m.rhai", text)]);
    insta::assert_snapshot!(folder.run(&["run", "main.rhai"]), @r"
5

exit code 0
");

    let mut engine = rhai::Engine::new();
    let ast = engine.compile(text).unwrap();
    let mut resolver = rhai::module_resolvers::StaticModuleResolver::new();
    resolver.insert("m", rhai::Module::eval_ast_as_new(rhai::Scope::new(), &ast, &engine).unwrap());
    engine.set_module_resolver(resolver);
    assert!(engine.eval::<i64>("import \"m\" as m; let f = m::adder(2); f.call(3)").is_err());
}

#[test]
fn settings_take_the_types_of_their_defaults() {
    let text = "let cfg = settings(#{ epochs: 3, eps: 36.0 / 255.0, name: \"a\" });\nprint(cfg);";
    let folder = Folder::new(&[("main.rhai", text), ("none.rhai", "print(1);")]);
    let set = |value: &str| folder.run(&["run", "main.rhai", "--set", value]);
    insta::assert_snapshot!(set("eps=1/4"), @r#"
#{"epochs": 3, "eps": 0.25, "name": "a"}

exit code 0
"#);
    insta::assert_snapshot!(set("epoch=5"), @r#"
error: --set epoch=5: unknown setting `epoch`; did you mean `epochs`? The script's settings are `epochs`, `eps`, `name`
  ┌─ main.rhai:1:11
  │
1 │ let cfg = settings(#{ epochs: 3, eps: 36.0 / 255.0, name: "a" });
  │           ^^^^^^^^
exit code 1
"#);
    insta::assert_snapshot!(set("epochs=many"), @r#"
error: --set epochs=many: expected an int (the script's default is 3)
  ┌─ main.rhai:1:11
  │
1 │ let cfg = settings(#{ epochs: 3, eps: 36.0 / 255.0, name: "a" });
  │           ^^^^^^^^
exit code 1
"#);
    insta::assert_snapshot!(set("eps=inf"), @r#"
error: --set eps=inf: expected a finite number, like 0.1, 1e-3 or 36/255 (the script's default is 0.1411764705882353)
  ┌─ main.rhai:1:11
  │
1 │ let cfg = settings(#{ epochs: 3, eps: 36.0 / 255.0, name: "a" });
  │           ^^^^^^^^
exit code 1
"#);
    insta::assert_snapshot!(set("eps"), @r"
error: --set eps: write it as key=value, for example --set epochs=10
exit code 2
");
    insta::assert_snapshot!(folder.run(&["run", "none.rhai", "--set", "a=1"]), @r"
1
error: --set a=1 had no effect: the script never calls `settings`; add `let cfg = settings(#{ a: ... });` or leave out --set
exit code 1
");
    insta::assert_snapshot!(run("settings(#{ a: 1 });\nsettings(#{ a: 1 });"), @r"
error: settings: called a second time; a script has one `settings(#{...})`, near its top
  ┌─ main.rhai:2:1
  │
2 │ settings(#{ a: 1 });
  │ ^^^^^^^^
exit code 1
");
}

#[test]
fn exit_is_the_exit_code() {
    insta::assert_snapshot!(run("fn leave() { exit(3) }\ntry { leave(); } catch { print(\"caught\"); }\nprint(4);"), @"exit code 3");
    insta::assert_snapshot!(run("exit();"), @"exit code 0");
    insta::assert_snapshot!(run("exit(\"now\");"), @r#"
error: exit: the code is of type string; use a whole number between 0 and 255
  ┌─ main.rhai:1:1
  │
1 │ exit("now");
  │ ^^^^
exit code 1
"#);
}

#[test]
fn wrong_use_of_the_command_line_is_refused() {
    let folder = Folder::new(&[("main.rhai", "print(1);")]);
    for arguments in
        [&["run"][..], &["run", "main.rhai", "--threads", "0"], &["walk"], &["run", "main.rhai", "--device", "tpu"]]
    {
        let output = folder.command(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
    let output = folder.command(&["run", "main.rhai", "--threads", "1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn ctrl_c_stops_a_loop_without_end() {
    let text = "fn spin() { let n = 0; loop { try { n += 1; } catch { } } }\nprint(\"spinning\");\nspin();";
    let folder = Folder::new(&[("main.rhai", text)]);
    let mut child = folder.spawn(&["run", "main.rhai"]);
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "spinning\n");
    interrupt(&child);
    insta::assert_snapshot!(folder.shown(&child.wait_with_output().unwrap()), @r"
interrupted at main.rhai:3:1
exit code 130
");
}

#[test]
fn ctrl_c_stops_a_sleep() {
    let folder = Folder::new(&[("main.rhai", "print(\"sleeping\");\nsleep(1000);")]);
    let mut child = folder.spawn(&["run", "main.rhai"]);
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

fn interrupt(child: &Child) {
    // The child prints before it spins; give it a moment to get there.
    std::thread::sleep(Duration::from_millis(100));
    let id = libc::pid_t::try_from(child.id()).unwrap();
    // SAFETY: a signal to a child of ours that has not been waited for.
    assert_eq!(unsafe { libc::kill(id, libc::SIGINT) }, 0);
}

#[test]
fn a_reader_that_leaves_ends_the_run_with_one_line() {
    let folder = Folder::new(&[("main.rhai", "let n = 0; loop { n += 1; print(n); }")]);
    let mut child = folder.spawn(&["run", "main.rhai"]);
    let mut first = [0; 2];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    assert_eq!(&first, b"1\n");
    let output = child.wait_with_output().unwrap();
    assert!(matches!(output.status.code(), Some(0 | 141)), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, "nobody reads the output any more: interrupted at main.rhai:1:21\n");
}

/// A map in the place of `iterations` holds how they go, and is not taken for the options of another form.
#[test]
fn a_map_of_iterations_is_no_map_of_options() {
    let script = "import \"std/local_lip\" as lip;\nlet net = sequential([4], [linear(3), relu(), linear(2)]);\nlet x = uniform(0, 1, [2, 4]);\n";
    let good = format!(
        "{script}print(lip::bounds(net, x, 0.1, fresh_vectors(net, 2), #{{ iterations: 3 }}).lipschitz.shape);"
    );
    let bad = format!("{script}lip::bounds(net, x, 0.1, fresh_vectors(net, 2), 3, #{{ image: true }});");
    let folder = Folder::new(&[("good.rhai", &good), ("bad.rhai", &bad)]);
    assert!(folder.run(&["check", "good.rhai"]).ends_with("exit code 0"));
    assert!(folder.run(&["run", "good.rhai"]).starts_with("[2]"));
    assert!(folder.run(&["check", "bad.rhai"]).contains("unknown option `image`; did you mean `images`?"));
}

#[test]
fn check_reports_everything_and_runs_nothing() {
    let folder = Folder::new(&[
        ("main.rhai", "import \"lib\" as lib;\nprint(\"running\");\nlib::fien(1);\nlib::fine();\nlowercase(3);"),
        ("lib.rhai", "throw \"running\";\nfn fine(x) { x.to_uper() }"),
        ("good.rhai", "print(1);"),
    ]);
    insta::assert_snapshot!(folder.run(&["check", "main.rhai"]), @r"
error: module `lib` has no function `fien`; did you mean `fine`?
  ┌─ main.rhai:3:6
  │
3 │ lib::fien(1);
  │      ^^^^

error: no `lib::fine` takes 0 arguments
  ┌─ main.rhai:4:6
  │
4 │ lib::fine();
  │      ^^^^
  │
  = it is defined as fine(x)

error: function not found: lowercase
  ┌─ main.rhai:5:1
  │
5 │ lowercase(3);
  │ ^^^^^^^^^

error: no value has a method `to_uper`; did you mean `to_upper`?
  ┌─ lib.rhai:2:16
  │
2 │ fn fine(x) { x.to_uper() }
  │                ^^^^^^^
exit code 1
");
    insta::assert_snapshot!(folder.run(&["check", "good.rhai"]), @r"
good.rhai: no problems found

exit code 0
");
}

#[test]
fn the_prompt_keeps_what_was_defined() {
    let folder = Folder::new(&[("m.rhai", "fn triple_it(x) { 3 * x }")]);
    let input = r#"let x = 2;
fn double_it(a) {
    a * 2
}
double_it(x)
fn double_it(a) { a * 20 }
double_it(x)
import "m" as m;
m::triple_it(x) + 1
x + 100;
"text"
const K = [1, 2.5];
K
fn through(a) { m::triple_it(a) }
through(5)
"#;
    insta::assert_snapshot!(folder.feed(input), @r#"
4
40
7
"text"
[1, 2.5]
15

exit code 0
"#);
}

#[test]
fn the_last_value_is_meant_in_code_only() {
    let folder = Folder::new(&[]);
    let input = r##"20 + 1
`_ is ${_} ${ `or ${_ + 1}` } _`
21;
#"_ "_" \"# + '_' + "_\
  _" // _
1; // the last one is not shown;
_
[2].map(|x| x * _)[0]; // ;
_ + 40 // it is shown;
`;`
switch _ { "_" => 1, _ => _ + `_` }
/* a comment
   that goes on /* inside
*/ another, with a ` and a " */
_
5;
[
  _ | 2,
  `${_}
_`.len()
]
"##;
    insta::assert_snapshot!(folder.feed(input), @r#"
21
"_ is 21 or 22 _"
"_ \"_\" \\___"
1
42
";"
";_"
";_"
[7, 3]

exit code 0
"#);
}

#[test]
fn an_open_string_or_comment_ends_with_its_input() {
    let folder = Folder::new(&[]);
    let input =
        "`open\n\n/* /* open\n\n/// Half of it.\nfn half_of(a) {\n  a / 2\n}\nhalf_of(8)\n?half_of\nfn sqrt(a) { a }\n";
    let output = folder.feed(input);
    for part in ["4\n", "half_of(a)", "Half of it.", "the string is not closed", "prompt:1:1", "hidden", "prompt:10:4"]
    {
        assert!(output.contains(part), "{part}: {output}");
    }
    assert!(output.ends_with("error: 2 of 6 inputs failed\nexit code 1"), "{output}");
}

#[test]
fn a_failed_input_does_not_stop_the_prompt_but_its_exit_code_tells() {
    let folder = Folder::new(&[]);
    insta::assert_snapshot!(folder.feed("let x = 1;\nfn bad_one(a) {\n  a + nope_at_all\n}\nbad_one(x)\nlet y = (1 +\n\nx"), @r"
1
error: variable `nope_at_all` not found
  ┌─ prompt:3:7
  │
3 │   a + nope_at_all
  │       ^^^^^^^^^^^
  │
  = in function `bad_one` (prompt:3:7)
    in the input (prompt:5:1)
error: the script ends in the middle of a statement; is a `}`, `)` or `]` missing?
  ┌─ prompt:7:1
  │
7 │
  │ ^
error: 2 of 5 inputs failed
exit code 1
");
    insta::assert_snapshot!(folder.feed("1 + 1\nexit(4)\n2 + 2"), @r"
2

exit code 4
");
    insta::assert_snapshot!(folder.feed("settings(#{ a: 1 }).a\nsettings(#{ a: 2 }).a"), @r"
1
2

exit code 0
");
}

/// The walk that the prompt offers first: each part with the lines that ask for it, and its variables stay. A variable of that name is one.
#[test]
fn demo_walks_through_an_image_and_leaves_it_there() {
    let folder = Folder::new(&[]);
    let told = folder.feed("demo\nx.shape\nlet demo = 5;\ndemo\n");
    for part in
        ["> print(probe::where_lost(net, x, y, 0.3));", "certified within 0.", "attacked at 0.", "[1, 1, 8, 8]\n5\n"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(told.ends_with("exit code 0"), "{told}");
    let ran = folder.run(&["run", "demo"]);
    assert!(ran.contains("certified within 0.") && ran.ends_with("exit code 0"), "{ran}");
}

#[test]
fn shells_complete_and_man_reads() {
    let folder = Folder::new(&[]);
    let bash = folder.run(&["completions", "bash"]);
    assert!(bash.contains("complete -F _workbench") && bash.contains("--resume"), "{bash}");
    let page = folder.run(&["man"]);
    assert!(page.starts_with(".ie") && page.contains(".SH NAME") && page.contains("sweep"), "{page}");
}
