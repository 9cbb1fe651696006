//! The methods of `std/methods`: every bound holds against attacks, they stand in the order that theory gives, and every
//! method trains.

mod common;

use candle_core::DType;
use common::program::Folder;
use common::{Lab, entry, random_net, values};
use std::rc::Rc;
use workbench::base::random::Generator;

/// Worst logits of a random net by every bound, with converged norms.
const EVERY_BOUND: &str = r#"
    import "std/methods" as methods;
    let y     = model.forward(x).argmax(1);
    let power = #{ iterations: 20000, tolerance: 1e-12 };
    let found = #{ y: y };
    for kind in ["local", "global", "ball", "lmt", "box"] {
        let vectors = fresh_vectors(model, x.len());
        found[kind] = methods::worst_case(kind, model, x, y, eps, vectors, power, #{ method: "exact" }, #{}).worst;
    }
    found.attacked = model.forward(pgd(model, x, y, eps, #{ clip: false, stop_early: false, steps: 40 }));
    found
"#;

#[test]
fn no_point_of_the_ball_beats_a_bound() {
    let random = Generator::new(31);
    let mut tight = 0;
    for round in 0..24 {
        let net = Rc::new(random_net(&random));
        let x = random.uniform(0.0, 1.0, [&[3], net.input()].concat(), DType::F64, &common::device()).unwrap();
        let eps = 10f64.powf(-2.0 + 2.0 * random.unit());
        let mut lab = Lab::new();
        lab.model("model", &net).tensor("x", &x).set("eps", eps.into());
        let found = lab.run(EVERY_BOUND);
        let label: Vec<usize> = values(&entry(&found, "y")).into_iter().map(|y| y as usize).collect();
        let mut points = vec![values(&entry(&found, "attacked"))];
        for _ in 0..20 {
            let d = random.normal(0.0, 1.0, x.dims(), DType::F64, &common::device()).unwrap();
            let norm = d.sqr().unwrap().flatten_from(1).unwrap().sum_keepdim(1).unwrap().sqrt().unwrap();
            let flat = d.flatten_from(1).unwrap().broadcast_div(&norm).unwrap();
            let moved = (&x + (flat.reshape(x.dims()).unwrap() * eps).unwrap()).unwrap();
            points.push(values(&net.forward(&moved).unwrap()));
        }
        let classes = net.output()[0];
        let worst = |kind: &str| values(&entry(&found, kind));
        for kind in ["local", "global", "ball", "lmt", "box"] {
            let worst = worst(kind);
            for logits in &points {
                for (b, y) in label.iter().enumerate() {
                    for j in (0..classes).filter(|j| j != y) {
                        let reached = logits[b * classes + j] - logits[b * classes + y];
                        let bound = worst[b * classes + j] - worst[b * classes + y];
                        assert!(
                            reached <= bound + 1e-9 * (1.0 + bound.abs()),
                            "net {round}, {kind}, eps {eps}: {reached} above {bound}\n{}",
                            net.describe()
                        );
                    }
                }
            }
        }
        // local <= global <= ball <= lmt and global <= box, element by element.
        let (local, global, ball, lmt, boxed) =
            (worst("local"), worst("global"), worst("ball"), worst("lmt"), worst("box"));
        for i in 0..local.len() {
            let slack = 1e-7 * (1.0 + lmt[i].abs());
            assert!(local[i] <= global[i] + slack && global[i] <= ball[i] + slack, "net {round}, {}", net.describe());
            assert!(ball[i] <= lmt[i] + slack && global[i] <= boxed[i] + slack, "net {round}, {}", net.describe());
            tight += usize::from(local[i] < global[i] - slack);
        }
    }
    assert!(tight > 10, "somewhere the local bound must gain on the global one: {tight}");
}

/// The curves of every bound on random nets: they exist where the bound has such a thing, the local one is not above the
/// global one, shares are shares, and no random number is drawn.
#[test]
fn curves_follow_from_the_bound_and_draw_nothing() {
    const EACH: &str = r#"
        import "std/methods" as methods;
        let y = model.forward(x).argmax(1);
        let found = #{};
        for kind in ["local", "global", "ball", "lmt", "box"] {
            let power = #{ iterations: 2000, tolerance: 1e-10 };
            let bound = methods::worst_case(kind, model, x, y, 0.05, fresh_vectors(model, x.len()), power, #{ method: "exact" }, #{});
            if log { found[kind] = methods::curves(kind, model, bound, y); }
        }
        found.next = randn([4]);
        found
    "#;
    let random = Generator::new(32);
    let mut clipped = 0;
    for round in 0..12 {
        let net = Rc::new(random_net(&random));
        let x = random.uniform(0.0, 1.0, [&[3], net.input()].concat(), DType::F64, &common::device()).unwrap();
        let run = |log: bool| {
            let mut lab = Lab::new();
            lab.model("model", &net).tensor("x", &x).set("log", log.into());
            lab.run(EACH)
        };
        let (found, without) = (run(true), run(false));
        assert_eq!(values(&entry(&found, "next")), values(&entry(&without, "next")), "the next random numbers");
        let found = found.cast::<rhai::Map>();
        let curves = |kind: &str| found[kind].clone().cast::<rhai::Map>();
        let number = |kind: &str, name: &str| {
            let value = curves(kind).get(name).unwrap_or_else(|| panic!("{kind} has no {name}: net {round}")).clone();
            values(&common::tensor_of(&value))[0]
        };
        for kind in ["local", "global", "ball", "lmt", "box"] {
            assert!(number(kind, "loss/clean") <= number(kind, "loss/robust") * (1.0 + 1e-9) + 1e-9, "{kind}, {round}");
            assert_eq!(curves(kind).contains_key("bound/local"), kind == "local");
            assert_eq!(curves(kind).contains_key("bound/global"), kind != "box");
        }
        // Twenty iterations for the last layer, from below: a few per cent.
        assert!(number("local", "bound/local") <= 1.1 * number("local", "bound/global"), "net {round}");
        assert!((number("local", "bound/global") / number("ball", "bound/global") - 1.0).abs() < 1e-6, "net {round}");
        for (name, share) in curves("local").iter().filter(|(name, _)| name.starts_with("varying/")) {
            let share = values(&common::tensor_of(share))[0];
            assert!((0.0..=1.0).contains(&share), "{name} {share}");
            clipped += usize::from(share < 1.0);
        }
    }
    assert!(clipped > 0, "somewhere neurons must be constant");
}

/// Local norms at chosen layers only: between the local and the global bound, and either of them at the ends.
#[test]
fn chosen_layers_lie_between_local_and_global() {
    let mut lab = Lab::new();
    let found = lab.run(
        r#"
        import "std/local_lip" as lip;
        let net = sequential([1, 8, 8], [conv2d(4, 3, #{ padding: 1 }), relu_theta(0.4), conv2d(6, 4, #{ stride: 2 }),
            relu_theta(0.3), flatten(), linear(12), relu_theta(0.3), linear(3)], #{ dtype: "f64" });
        let x = uniform(0, 1, [5, 1, 8, 8]).to_dtype("f64");
        let of = |options| lip::bounds(net, x, 0.3, fresh_vectors(net, 5), #{ iterations: 20000, tolerance: 1e-12 }, options).lipschitz;
        #{ every: of.call(#{}), named: of.call(#{ local_layers: [1, 2, 3] }), one: of.call(#{ local_layers: [2] }),
           global: of.call(#{ global: true }), positions: tensor(lip::positions(net, [1, 3])) }
        "#,
    );
    let of = |key: &str| values(&entry(&found, key));
    let (every, named, one, global) = (of("every"), of("named"), of("one"), of("global"));
    for i in 0..5 {
        assert!((every[i] - named[i]).abs() < 1e-9 * every[i]);
        assert!(every[i] < one[i] * (1.0 - 1e-9) && one[i] < global[i] * (1.0 - 1e-9), "{every:?} {one:?} {global:?}");
    }
    assert_eq!(of("positions"), [0.0, 5.0]);
}

/// A mistake in a name or a number of the settings is told at once.
#[test]
fn unknown_names_are_refused() {
    let setup = "import \"std/methods\" as methods; import \"std/evaluate\" as evaluate; import \"std/local_lip\" as lip;\n\
        import \"std/networks\" as networks; import \"std/train\" as train;\n\
        let net = sequential([1, 8, 8], [flatten(), linear(4), relu(), linear(10)]);\nlet data = dataset(\"digits\");\n";
    for (line, wanted) in [
        ("methods::bound_of(\"local_lip\")", "unknown method \"local_lip\"; known: "),
        (
            "methods::activation_of(#{ method: \"bcp\", activation: \"rleu\" }, \"relu_theta\", \"relu\")",
            "known: relu_theta, relu",
        ),
        (
            "methods::activation_layer(#{ method: \"bcp\", activation: \"maxmax\", theta: 1.0 })",
            "known: relu_theta, relu, clipped_maxmin, maxmin, auto, auto_maxmin",
        ),
        ("networks::cnn_2c2f([1, 8, 8], 10, [relu(), relu()])", "2 activations; the network has 3 places for one"),
        ("train::fit(\"bcp\", net, data, #{ epochs: 1 }, \"x\", #{ hook: 1 })", "train::fit: unknown option `hook`"),
        ("train::fit(\"bcp\", net, data, #{ epochs: 1 }, \"x\", #{ best: \"b\" })", "the option best needs validation"),
        ("lip::positions(net, [2])", "2 is no affine layer before the last; they are numbered 1 to 1"),
        ("evaluate::report(net, data.test, 0.1, #{ procedures: [\"exakt\"] })", "unknown procedure \"exakt\""),
        ("evaluate::report(net, data.test, 0.1, #{ bound: \"globl\" })", "unknown bound \"globl\""),
        ("evaluate::report(net, data.test, 0.1, #{ stops: 3 })", "evaluate::report: unknown option `stops`"),
        ("let own = #{ stops: 3 }; evaluate::report(net, data.test, 0.1, own)", "unknown option stops"),
    ] {
        let shown = Folder::new(&[("main.rhai", &format!("{setup}{line};"))]).run(&["run", "main.rhai"]);
        assert!(shown.contains(wanted) && shown.ends_with("exit code 1"), "{line}:\n{shown}");
    }
}

/// `train::fit` with options: validation every so many epochs, the weights of the best epoch, the closure behind each, and the training
/// itself the same to the last bit. The closure spoils the network behind the second epoch, so that the best one is not the last.
#[test]
fn fit_validates_keeps_the_best_and_calls_the_closure() {
    let script = r#"
        import "std/train"    as train;
        import "std/evaluate" as evaluate;
        import "std/networks" as networks;
        fn same(a, b) {
            for name in a.parameters.keys() { if (a.param(name) - b.param(name)).abs().max().item() != 0.0 { return false; } }
            true
        }
        let data  = dataset("digits", #{ train_limit: 400, test_limit: 20, validation: 60 });
        let cfg   = settings(#{ epochs: 6, warmup: 0, ramp: 1, batch: 50, eps: 0.05, eps_train: 0.05, iterations: 2, lr: 3e-3, lr_end: 1e-3 });
        let start = networks::cnn_2c2f(data.shape, data.classes, relu());

        let plain = start.copy();
        train::fit("bcp", plain, data, cfg, "plain");
        let watched = start.copy();
        train::fit("bcp", watched, data, cfg, "watched", #{ validation: data.validation, validate_every: 4, at_epoch_end: |epoch, found| () });
        print(`training is the same: ${same(plain, watched)}`);

        let net  = start.copy();
        let then = start.copy();
        train::fit("bcp", net, data, cfg, "spoilt", #{
            validation: data.validation, validate_every: 2, eps: 0.02, best: "spoilt.safetensors",
            at_epoch_end: |epoch, found| {
                let own = evaluate::accuracies(net, data.validation, 0.02, #{ bound: "global", steps: 0 });
                print(`epoch ${epoch}: ${if found == () { "none" } else { found.certified == own.certified && found.clean == own.clean }}`);
                if epoch == 1 {
                    for name in net.parameters.keys() {
                        then.set_param(name, net.param(name).detach() + 0.0);
                        net.set_param(name, 0.0 * net.param(name).detach());
                    }
                }
            },
        });
        let best = start.copy();
        best.load(run.path("spoilt.safetensors"));
        print(`the best is that of epoch 1: ${same(best, then)}, the last: ${same(best, net)}`);
        // A second training wants a file of its own.
        train::fit("bcp", net, data, cfg + #{ epochs: 1 }, "another", #{ validation: data.validation, best: "spoilt.safetensors" });
    "#;
    let folder = Folder::new(&[("main.rhai", script)]);
    let shown = folder.run(&["run", "main.rhai", "--into", "run"]);
    let told: Vec<&str> = shown.lines().filter(|line| line.starts_with("epoch ")).collect();
    assert_eq!(
        told,
        ["epoch 0: none", "epoch 1: true", "epoch 2: none", "epoch 3: true", "epoch 4: none", "epoch 5: true"]
    );
    assert!(shown.contains("training is the same: true"), "{shown}");
    assert!(shown.contains("the best is that of epoch 1: true, the last: false"), "{shown}");
    assert!(shown.contains("give each a file of its own") && shown.ends_with("exit code 1"), "{shown}");
    let metrics = std::fs::read_to_string(folder.path().join("run/metrics.jsonl")).expect("metrics");
    let rows: Vec<serde_json::Value> = metrics.lines().map(|line| serde_json::from_str(line).expect("a row")).collect();
    let of = |label: &str| rows.iter().filter(|row| row["loop"] == label).collect::<Vec<_>>();
    let validated = |label: &str| of(label).iter().filter(|row| row["validation/certified"].is_f64()).count();
    assert_eq!((validated("plain"), validated("watched"), validated("spoilt")), (0, 1, 3), "{metrics}");
}

/// Every method trains a small network on the digits, moves every weight, and certifies no more than it may.
#[test]
fn every_method_trains() {
    let script = r#"
        import "std/methods"  as methods;
        import "std/train"    as train;
        import "std/evaluate" as evaluate;
        let cfg  = settings(#{ epochs: 3, warmup: 0, ramp: 2, batch: 64, eps_train: 0.1, iterations: 2, worst_iterations: 2,
            lr: 3e-3, lr_end: 1e-3, sparsity: 0.01, projections: 4, attack_steps: 3 });
        let data = dataset("digits", #{ train_limit: 640, test_limit: 60 });
        for method in methods::names() {
            let act   = if method.starts_with("local_lip") { relu_theta(1.0) } else { relu() };
            let net   = sequential(data.shape, [conv2d(8, 3, #{ padding: 1 }), act, conv2d(8, 4, #{ stride: 2 }), act,
                flatten(), linear(data.classes)]);
            let start = net.copy();
            // Boxes grow from layer to layer: three epochs teach something at a smaller radius only.
            let eps = if method == "ibp" { 0.005 } else { 0.05 };
            train::fit(method, net, data, cfg + #{ eps_train: 2.0 * eps }, method);
            for name in net.parameters.keys() {
                let moved = (net.param(name) - start.param(name)).abs().max().item();
                if !(moved > 0.0) { throw `${method}: ${name} has not moved`; }
            }
            for result in evaluate::report(net, data.test, eps, #{ bound: methods::bound_of(method), procedures: ["published", "exact"], steps: 20 }) {
                print(`result ${method} ${result.clean} ${result.pgd} ${result.certified}`);
            }
        }
    "#;
    let shown = Folder::new(&[("main.rhai", script)]).run(&["run", "main.rhai"]);
    assert!(shown.ends_with("exit code 0"), "{shown}");
    let rows: Vec<Vec<&str>> =
        shown.lines().filter_map(|l| l.strip_prefix("result ")).map(|l| l.split(' ').collect()).collect();
    assert_eq!(rows.len(), 26, "two procedures for each of thirteen methods:\n{shown}");
    let mut certifying = 0;
    for row in rows {
        let [clean, pgd, certified] = [1, 2, 3].map(|i| row[i].parse::<f64>().unwrap());
        assert!(certified <= pgd && pgd <= clean && clean > 0.2, "{row:?}\n{shown}");
        certifying += usize::from(certified > 0.1);
    }
    assert!(certifying >= 8, "{shown}");
}

/// One step of EMMA and of GloRo's TRADES form: the losses of the radius, the bound and the head that the ball has found.
#[test]
fn steps_of_emma_and_trades() {
    let found = Lab::new().run(
        r#"
        import "std/methods"   as methods;
        import "std/losses"    as losses;
        import "std/local_lip" as lip;
        let data  = dataset("digits", #{ train_limit: 12, test_limit: 2 });
        let net   = sequential(data.shape, [flatten(), linear(8), maxmin(), linear(data.classes)]);
        let power = #{ iterations: 3000, tolerance: 1e-7 };
        let cfg   = #{ iterations: power };
        let found = #{};
        for batch in data.train.batches(12) {
            let x      = batch.x;
            let y      = batch.y;
            let ball   = lip::ball(net, x, 0.3, fresh_vectors(net, 12), power);
            let head   = net.layers[3].weight;
            let label  = losses::raised_logits(ball.logits, ball.lipschitz, head, y, 0.3);
            let own    = losses::raised_logits(ball.logits, ball.lipschitz, head, ball.logits.argmax(1), 0.3);
            found.emma         = losses::emma(ball.logits, label, y);
            found.gloro_trades = losses::gloro_trades(ball.logits, own, y, 1.0);
            found.gloro        = losses::gloro(ball.logits, label, y);
            for method in ["emma", "gloro_trades", "gloro"] {
                let step = methods::training_step(method, net, batch, 0.3, 0.0, methods::vector_store(method, net, 12, cfg), cfg);
                found[`${method} step`] = step.loss;
                found[`${method} certified`] = step.log.certified - accuracy(label, y);
                if step.log.contains("kappa") { throw `${method} has no kappa`; }
                let gradients = step.loss.backward();
                for name in net.parameters.keys() {
                    if !(gradients.of(net.param(name)).abs().max().item() > 0.0) { throw `${method} does not reach ${name}`; }
                }
            }
        }
        found
        "#,
    );
    let of = |key: &str| values(&entry(&found, key))[0];
    for method in ["emma", "gloro_trades", "gloro"] {
        let (step, formula) = (of(&format!("{method} step")), of(method));
        assert!((step - formula).abs() <= 1e-4 * formula, "{method}: {step} against {formula}");
        assert_eq!(of(&format!("{method} certified")), 0.0, "{method}");
    }
    assert!((of("emma") - of("gloro")).abs() > 1e-3 && (of("gloro_trades") - of("gloro")).abs() > 1e-6);
}

/// Box and LMT logits against their formulas, written out.
#[test]
fn worst_logits_of_the_baselines() {
    let mut lab = Lab::new();
    let found = lab.run(
        r#"
        import "std/local_lip" as lip;
        let net = sequential([2], [linear(2), relu(), linear(2)], #{ dtype: "f64" });
        net.set_param("0.weight", tensor([[1.0, -2.0], [0.5, 1.0]]));
        net.set_param("0.bias",   tensor([0.5, 0.25]));
        net.set_param("2.weight", tensor([[1.0, 2.0], [-1.0, 1.0]]));
        net.set_param("2.bias",   tensor([0.0, 0.0]));
        let x = tensor([[1.0, 0.5]], "f64");
        let y = tensor([0], "u32");
        #{ worst: worst_logits(net, lip::box(net, x, 0.1), y, #{ method: "box" }),
           lmt: lmt_logits(tensor([[1.0, 2.0]], "f64"), tensor([0.5], "f64"), y) }
        "#,
    );
    // Before the ReLU: 0.5 +- 0.3 and 1.25 +- 0.15. Logits (3, 0.75); w_1 - w_0 = (-2, -1), so logit 1 rises by at most 0.75.
    let close = |key: &str, truth: [f64; 2]| {
        values(&entry(&found, key))
            .iter()
            .zip(truth)
            .for_each(|(a, b)| assert!((a - b).abs() < 1e-12, "{key}: {a} {b}"));
    };
    close("worst", [3.0, 1.5]);
    close("lmt", [1.0, 2.0 + 0.5 * 2f64.sqrt()]);
}

/// A network that is its last layer alone has no hidden norms: every method trains it, its curves too.
#[test]
fn networks_without_a_hidden_layer_train() {
    let script = r#"
        import "std/methods" as methods;
        let cfg = #{ iterations: 2 };
        let batch = #{ x: uniform(0, 1, [3, 1, 4, 4]), y: tensor([0, 1, 2], "u32"), number: 32 };
        let losses = [];
        for layers in [[flatten(), linear(3)], [flatten(), relu(), linear(3)]] {
            let net = sequential([1, 4, 4], layers);
            let optimizer = adam(net);
            for method in methods::names() {
                let vectors = methods::vector_store(method, net, 3, cfg);
                let found = methods::worst_case(methods::bound_of(method), net, batch.x, batch.y, 0.1, vectors.first(3), 2, #{ method: "clip" }, #{});
                let curves = methods::curves(methods::bound_of(method), net, found, batch.y);
                optimizer.step(cross_entropy(found.worst, batch.y) + cross_entropy(found.logits, batch.y));
                losses += [curves["loss/robust"].item(), curves["loss/clean"].item()];
            }
        }
        losses
    "#;
    let found: Vec<f64> = Lab::new().run(script).into_typed_array().unwrap();
    assert!(found.len() == 52 && found.iter().all(|loss| loss.is_finite()), "{found:?}");
}

/// What is multiplied by 0 has no gradient, and what has none is not moved; a region whose norm is owed is refused where it would be read.
#[test]
fn nothing_comes_of_what_is_not_there() {
    let script = r#"
        let w = zeros([2]).parameter();
        let v = ones([2]).parameter();
        let gradients = (0.0 * w.sqr().sum().sqrt() + v.sum()).backward();
        let out = [gradients.of(w) == (), gradients.of(v).sum().item() == 2.0];
        let net = sequential([1, 3, 3], [conv2d(2, 3, #{ padding: 1 }), flatten(), relu(), linear(2)]);
        let before = ball_and_box(zeros([2, 1, 3, 3]), 0.1).before_norm(net.layers[0]);
        for refused in [
            || before.activation(net.layers[1], #{ cut: true }),
            || before.activation(net.layers[1]).activation(net.layers[2]),
            || before.activation(net.layers[1]).affine(net.layers[3], ones([1])),
            || before.activation(net.layers[1]).affine(net.layers[3]),
        ] {
            try { refused.call(); out.push(false); } catch (error) { out.push(`${error}`.contains("call with_norm with it")); }
        }
        out.push(before.activation(net.layers[1]).with_norm(ones([1])).activation(net.layers[2]).radius.all_close(0.1 * ones([2]), 1e-6));
        // A layer that is refused has learned nothing of the images.
        let normal = sequential([1, 3, 3], [batch_norm2d(), flatten(), linear(2)]);
        let mean   = normal.param("0.running_mean").detach() * 1.0;
        try { ball_and_box(uniform(0, 1, [4, 1, 3, 3]), 0.1).affine(normal.layers[0], ones([1])); out.push(false); }
        catch { out.push(normal.param("0.running_mean").all_close(mean, 0.0)); }
        out
    "#;
    let found: Vec<bool> = Lab::new().run(script).into_typed_array().unwrap();
    assert!(found.len() == 8 && found.iter().all(|ok| *ok), "{found:?}");
}
