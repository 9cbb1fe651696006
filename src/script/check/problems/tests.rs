use super::*;
use crate::script::language::engine;

fn check(files: &[(&str, &str)]) -> String {
    const STD: &[(&str, &str)] = &[
        ("local_lip", "fn ramp(epoch, cfg) { epoch } private fn inner() { 1 }"),
        ("evaluate", "fn report(a, b, c, options) { a }"),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let loader = Loader::new(STD);
    let main = loader.open_script(&folder.path().join(files[0].0)).unwrap();
    let register = |engine: &mut Engine| {
        engine.register_fn("settings", |map: rhai::Map| map);
        engine.register_fn("conv2d", |_out: i64, _kernel: i64| ());
        engine.register_fn("conv2d", |_out: i64, _kernel: i64, _options: rhai::Map| ());
        engine.register_fn("batches", |_size: i64, _options: rhai::Map| ());
    };
    let engine =
        engine::build(register, loader.clone(), Rc::new(|_: &str| {}), || Ok(()), |_, _| {}, &Default::default());
    let mut reports = unused_settings(&engine, &loader, &main);
    reports.extend(problems(&engine, &loader, &Docs::new(), &main));
    let text: Vec<String> = reports.iter().map(|report| report.render(false)).collect();
    text.join("\n").replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn every_wrong_name_is_reported() {
    let main = r#"
import "std/local_lip" as lip;
import "helper" as helper;
let cfg = settings(#{ lr: 1e-3, sizes: [1] });
print(cfg.lrr + cfg.lr + cfg.sizes[0]);
fn mine(x) { cov2d(x, 3) }
let f = |x| mine(x, 1);
f(3);
lip::rampe(1, cfg);
lip::ramp(1);
lip::inner();
helper::fine([1]).lenn();
for i in 0..3 { if i > 1 { conv2d(1, 2); conv2d(1) } }
"#;
    insta::assert_snapshot!(check(&[("main.rhai", main), ("helper.rhai", "fn fine(a) { a.map(|x| bad(x)) }")]), @r"
error: `cfg` has no setting `lrr`; did you mean `lr`? The settings are `lr`, `sizes`
  ┌─ main.rhai:5:11
  │
5 │ print(cfg.lrr + cfg.lr + cfg.sizes[0]);
  │           ^^^
error: function not found: cov2d; did you mean `conv2d`?
  ┌─ main.rhai:6:14
  │
6 │ fn mine(x) { cov2d(x, 3) }
  │              ^^^^^
error: no `mine` takes 2 arguments
  ┌─ main.rhai:7:13
  │
7 │ let f = |x| mine(x, 1);
  │             ^^^^
  │
  = it is defined as mine(x)
error: `f` is a variable: if it holds a network, write f.forward(x); if a closure, f.call(x)
  ┌─ main.rhai:8:1
  │
8 │ f(3);
  │ ^
error: module `lip` has no function `rampe`; did you mean `ramp`?
  ┌─ main.rhai:9:6
  │
9 │ lip::rampe(1, cfg);
  │      ^^^^^
error: no `lip::ramp` takes 1 argument
   ┌─ main.rhai:10:6
   │
10 │ lip::ramp(1);
   │      ^^^^
   │
   = it is defined as ramp(epoch, cfg)
error: function `lip::inner` is private to its module
   ┌─ main.rhai:11:6
   │
11 │ lip::inner();
   │      ^^^^^
error: no value has a method `lenn`; did you mean `len`?
   ┌─ main.rhai:12:19
   │
12 │ helper::fine([1]).lenn();
   │                   ^^^^
error: no `conv2d` takes 1 argument
   ┌─ main.rhai:13:42
   │
13 │ for i in 0..3 { if i > 1 { conv2d(1, 2); conv2d(1) } }
   │                                          ^^^^^^
   │
   = it is defined as conv2d(int, int)
                   or conv2d(int, int, map)
error: function not found: bad; did you mean `pad`?
  ┌─ helper.rhai:1:24
  │
1 │ fn fine(a) { a.map(|x| bad(x)) }
  │                        ^^^
");
}

#[test]
fn what_cannot_be_known_is_left_alone() {
    let main = r#"
let m = #{ step: |x| x + 1 };
let cfg = settings(#{ a: 1, by_name: 2 });
print(cfg["by_name"] + cfg.a);
cfg.b = 2;
print(m.step(1) + cfg.b);
let name = "hel" + "per";
import name as helper;
helper::anything(1);
let t = [1, 2].map(|x| x * 2).filter(|x| x > 1);
if type_of(t) == "array" && is_def_fn("f", 1) { print(`${t.len()} ${-t[0]} ${!true}`); }
fn f(x) { this.len() + x }
"#;
    assert_eq!(check(&[("main.rhai", main)]), "");
}

#[test]
fn options_and_settings_that_do_nothing() {
    let main = r#"
import "std/evaluate" as evaluate;
let cfg = settings(#{ epochs: 1, lr: 1e-3 });
let data = #{ train: 1 };
conv2d(32, 3, #{ stride: 2, paddin: 1 });
data.train.batches(cfg.epochs, #{ shufle: true });
evaluate::report(1, data, 0.1, #{ step: 3 });
"#;
    insta::assert_snapshot!(check(&[("main.rhai", main)]), @r"
error: the setting `lr` is never read: `--set lr=...` would change nothing; remove it
  ┌─ main.rhai:3:34
  │
3 │ let cfg = settings(#{ epochs: 1, lr: 1e-3 });
  │                                  ^^
error: conv2d: unknown option `paddin`; did you mean `padding`? The options are `stride`, `padding`, `bias`, `weight`
  ┌─ main.rhai:5:29
  │
5 │ conv2d(32, 3, #{ stride: 2, paddin: 1 });
  │                             ^^^^^^
error: batches: unknown option `shufle`; did you mean `shuffle`? The options are `shuffle`, `pass`, `drop_last`, `augment`
  ┌─ main.rhai:6:35
  │
6 │ data.train.batches(cfg.epochs, #{ shufle: true });
  │                                   ^^^^^^
error: evaluate::report: unknown option `step`; did you mean `steps`? The options are `procedures`, `procedure`, `bound`, `batch`, `attack`, `steps`, `restarts`, `step_size`, `apgd`, `shard`, `by_class`
  ┌─ main.rhai:7:35
  │
7 │ evaluate::report(1, data, 0.1, #{ step: 3 });
  │                                   ^^^^
");
}

#[test]
fn circles_and_syntax_errors_in_imports() {
    let files = [
        ("main.rhai", "import \"a\" as a;\nimport \"broken\" as b;\nimport \"nowhere\" as c;"),
        ("a.rhai", "import \"b\" as b;"),
        ("b.rhai", "import \"a\" as a;"),
        ("broken.rhai", "let x = 3\nlet y = 4;"),
    ];
    insta::assert_snapshot!(check(&files), @r#"
error: module "nowhere" not found: there is no file nowhere.rhai
  ┌─ main.rhai:3:1
  │
3 │ import "nowhere" as c;
  │ ^^^^^^
error: import cycle: a.rhai -> b.rhai -> a.rhai; move what both need into a third file
  ┌─ b.rhai:1:1
  │
1 │ import "a" as a;
  │ ^^^^^^
error: expected `;` to terminate this statement
  ┌─ broken.rhai:1:9
  │
1 │ let x = 3
  │         ^
"#);
}
