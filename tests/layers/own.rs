//! Layers that a script defines: under the contract of every kind, in every place that calls their closures, and what is said when they
//! are wrong.

use super::common::{Lab, contract};
use candle_core::{DType, Device};
use workbench::base::random::Generator;
use workbench::script::language::kept;
use workbench::script::values::{Layer, Model};

/// Definitions that several tests use.
const LAYERS: &str = r#"
    let leaky = activation("leaky", #{
        forward: |x| x.maximum(0.1 * x), lipschitz: 1.0, varying: (), lines: (),
        box: |lower, upper| [lower.maximum(0.1 * lower), upper.maximum(0.1 * upper)],
    });
    let capped = activation("capped", #{
        parameters: #{ cap: [6] }, start: |shape, random| random.uniform(0.3, 0.9, shape),
        forward: |p, x| x.minimum(p.cap).maximum(0.0), lipschitz: 1.0,
        box: |p, lower, upper| [lower.minimum(p.cap).maximum(0.0), upper.minimum(p.cap).maximum(0.0)],
        varying: |p, lower, upper| (upper > 0.0) * (lower < p.cap), lines: (),
    });
    let scale = linear_map("scale", #{
        parameters: #{ scale: [6] }, start: |shape, random| random.normal(1.0, shape), terms: 1,
        apply: |p, x| x * p.scale, adjoint: |p, y| y * p.scale, apply_absolute: |p, h| h * p.scale.abs(), row_norms: |p| p.scale.abs(),
    });
    let fold = linear_map("fold", #{
        shape: |input| [div(input[0], 2)], apply: |p, x| x.narrow(1, 0, 3) - x.narrow(1, 3, 3),
        adjoint: |p, y| cat([y, -1.0 * y], 1), apply_absolute: |p, h| h.narrow(1, 0, 3) + h.narrow(1, 3, 3),
        row_norms: |p| (ones([3]).to_dtype("f64") * 2.0).sqrt(), terms: 2,
    });
"#;

fn lab() -> Lab {
    let mut lab = Lab::on(Device::Cpu);
    drop(lab.run(LAYERS));
    lab
}

/// What `script` throws.
#[track_caller]
fn refused(lab: &mut Lab, script: &str) -> String {
    let _here = kept::here(&lab.engine);
    match lab.engine.eval_with_scope::<rhai::Dynamic>(&mut lab.scope, script) {
        Ok(value) => panic!("it gave {value:?}: {script}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn own_layers_keep_the_contract() {
    let mut lab = lab();
    let random = Generator::new(8);
    for name in ["leaky", "capped", "scale", "fold"] {
        let layer = lab.run(&format!("sequential([6], [{name}], #{{ dtype: \"f64\" }}).layers[0]"));
        let _here = kept::here(&lab.engine);
        contract::hold(&layer.cast::<Layer>().0, &random);
    }
}

/// In bounds and attacks of native code, in a network made in a function, from a module's closure, with a captured value that changes
/// later, in a later input that redefines what it calls.
#[test]
fn closures_mean_the_same_wherever_they_are_called() {
    let mut lab = lab();
    let found = lab.run(
        r#"
        fn twice(x) { x * 2.0 }
        let slope = 0.5;
        let bent = activation("bent", #{
            forward: |x| x.maximum(slope * x) + twice(x) * 0.0, lipschitz: 1.0, varying: (), lines: (),
            box: |lower, upper| [lower.maximum(slope * lower), upper.maximum(slope * upper)],
        });
        slope = 7.0;
        let net = sequential([4], [linear(6), bent, linear(3)], #{ dtype: "f64" });
        let x = tensor([[1.0, -1.0, 0.5, 2.0], [0.2, 0.1, -0.4, -2.0]]).to_dtype("f64");
        let y = net.forward(x).argmax(1);
        let moved = pgd(net, x, y, 0.3, #{ clip: false });
        let by_hand = { let z = net.layers[0].forward(x); net.layers[2].forward(z.maximum(0.5 * z)) };
        [(net.forward(x) - by_hand).abs().max().item(), (moved - x).flatten(1).norm(1).max().item(), slope]
        "#,
    );
    let found: Vec<f64> = found.into_typed_array().unwrap();
    assert!(found[0] == 0.0 && found[1] > 0.29 && found[2] == 7.0, "{found:?}");
    // A parameter or a network that is captured is the one of that moment.
    let moved = lab.run(
        r#"
        let inner = sequential([6], [linear(6)], #{ dtype: "f64" });
        let weight = inner.param("0.weight");
        let taken = activation("taken", #{
            forward: |x| inner.forward(x) + x @ weight, lipschitz: 9.0, varying: (), lines: (), box: |l, u| [l * 0.0 - 99.0, u * 0.0 + 99.0] });
        let own = sequential([6], [taken], #{ dtype: "f64" });
        let at = ones([1, 6]).to_dtype("f64");
        let before = own.forward(at);
        inner.set_param("0.weight", inner.param("0.weight") * 3.0);
        (own.forward(at) - before).abs().max().item()
        "#,
    );
    assert_eq!(moved.as_float().unwrap(), 0.0);
    // Another function of the name in a later input changes no layer that is there.
    drop(lab.run("fn twice(x) { throw \"the later one\" } net.forward(x)"));
}

#[test]
fn own_layers_train_are_saved_and_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.safetensors");
    let mut lab = lab();
    let found = lab.run(
        r#"
        fn build(scale, capped, slope) { sequential([6], [scale, capped, activation("bent", #{
            forward: |x| x.maximum(slope * x), lipschitz: 1.0, varying: (), lines: (),
            box: |lower, upper| [lower.maximum(slope * lower), upper.maximum(slope * upper)],
        }), linear(3)], #{ dtype: "f64" }) }
        let net = build(scale, capped, 0.5);
        let before = net.param("0.scale").detach() * 1.0;
        let cap = net.param("1.cap").detach() * 1.0;
        let x = randn([16, 6]).to_dtype("f64");
        let y = tensor([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0]).to_dtype("u32");
        import "std/local_lip" as lip;
        let loss = || {
            let found = lip::bounds(net, x, 0.1, fresh_vectors(net, 16), 20);
            cross_entropy(worst_logits(net, found, y), y)
        };
        let first = loss.call().item();
        let optimizer = adam(net, #{ lr: 0.05 });
        for i in 0..30 { optimizer.step(loss.call().backward()); }
        // The same definition with the same parameters is the same network; another captured value is another one.
        let same  = build(scale, capped, 0.5);
        let other = build(scale, capped, 0.4);
        for n in net.parameters.keys() { same.set_param(n, net.param(n)); other.set_param(n, net.param(n)); }
        let numbers = [first, loss.call().item(), (net.param("0.scale") - before).abs().max().item(), (net.param("1.cap") - cap).abs().max().item()];
        #{ numbers: numbers, alike: same.digest == net.digest && other.digest != net.digest, net: net, again: build(scale, capped, 0.5) }
        "#,
    );
    let mut found = found.cast::<rhai::Map>();
    let numbers: Vec<f64> = found.remove("numbers").unwrap().into_typed_array().unwrap();
    assert!(numbers[1] < 0.8 * numbers[0] && numbers[2] > 0.01 && numbers[3] > 1e-4, "{numbers:?}");
    assert!(found["alike"].as_bool().unwrap());
    let (net, again) = (found.remove("net").unwrap().cast::<Model>(), found.remove("again").unwrap().cast::<Model>());
    net.0.save(&path).unwrap();
    assert_ne!(again.0.digest().unwrap(), net.0.digest().unwrap());
    again.0.load(&path).unwrap();
    assert_eq!(again.0.digest().unwrap(), net.0.digest().unwrap());
    let error = workbench::nn::load_model(&path, None, &Device::Cpu).unwrap_err().to_string();
    assert!(error.contains("is a layer of a script's own; build the network with `sequential`"), "{error}");
    assert_eq!(net.0.dtype(), DType::F64);
}

#[test]
fn what_is_certified_says_on_whose_word_it_rests() {
    let mut lab = lab();
    let said = lab.run(
        r#"
        import "std/certify" as certify; import "std/evaluate" as evaluate;
        let net = sequential([6], [linear(6), leaky, scale, capped, linear(3)]);
        let x = randn([5, 6]);
        let y = net.forward(x).argmax(1);
        let prepared = certify::prepare(net, "rigorous");
        let found = certify::margins_within(prepared, x, y, 0.005, [0, 1, 2, 3, 4], 0, true);
        let attacked = pgd(net, x, y, 0.005, #{ clip: false, stop_early: false });
        let gap = margins(net.to_dtype("f64").forward(attacked.to_dtype("f64")), y) - found.margins;
        [certify::describe_kind(prepared), gap.min().item(), found.margins.max().item()]
        "#,
    );
    let said: Vec<rhai::Dynamic> = said.into_array().unwrap();
    let text = said[0].clone().into_string().unwrap();
    assert!(text.ends_with("; rests on the script's own bounds: leaky, scale, capped"), "{text}");
    assert!(said[1].as_float().unwrap() >= 0.0 && said[2].as_float().unwrap() > 0.0, "{said:?}");
    let refused = refused(
        &mut lab,
        r#"
        import "std/certify" as c;
        c::margins_within(c::prepare(net, "rigorous", #{ arithmetic: "f32" }), x, y, 0.02, [0, 1, 2, 3, 4], 0, true)
        "#,
    );
    assert!(refused.contains("arithmetic: \"exact\""), "{refused}");
}

/// Each claim, made false, is refuted with a sample before a certificate rests on it.
#[test]
fn false_claims_are_refuted() {
    let mut lab = lab();
    let good = [
        ("forward", "|x| x.maximum(0.1 * x)"),
        ("lipschitz", "1.0"),
        ("box", "|lower, upper| [lower.maximum(0.1 * lower), upper.maximum(0.1 * upper)]"),
        ("varying", "()"),
        ("lines", "()"),
    ];
    let false_ones = [
        ("lipschitz", "0.05", "its Lipschitz constant is more than the 0.05 that it says"),
        ("box", "|lower, upper| [lower, 0.5 * upper]", "its box does not hold"),
        ("box", "|lower, upper| [lower.maximum(0.0), upper.maximum(0.0)]", "its box does not hold"),
        ("varying", "|lower, upper| upper > 0.0", "its mask does not hold"),
        ("forward", "|x| 3.0 * x", "its Lipschitz constant"),
        // Steep on one side alone, which all numbers at once hide.
        ("forward", "|x| 1.3 * x.maximum(0.0)", "its Lipschitz constant"),
        // Small values, far outside of a box of width 0.
        ("box", "|lower, upper| [1e-7 * lower, 1e-7 * upper]", "its box does not hold"),
        ("lines", "|l, u| { let one = 1.0 + 0.0 * l; [one, 0.0 * l, one, 0.0 * l] }", "its lines do not hold"),
    ];
    for (key, text, message) in false_ones {
        let options: Vec<String> =
            good.iter().map(|(k, v)| format!("{k}: {}", if *k == key { text } else { v })).collect();
        let script = format!(
            "import \"std/certify\" as c; c::prepare(sequential([6], [linear(6), activation(\"false\", #{{ {} }}), linear(2)]), \"rigorous\")",
            options.join(", ")
        );
        let error = refused(&mut lab, &script);
        assert!(
            error.contains(message) && error.contains("layer 1 (activation(\"false\"))") && error.contains('['),
            "{key}: {error}"
        );
    }
    let good = [
        ("apply", "|p, x| x * p.scale"),
        ("adjoint", "|p, y| y * p.scale"),
        ("apply_absolute", "|p, h| h * p.scale.abs()"),
        ("row_norms", "|p| p.scale.abs()"),
    ];
    let false_ones = [
        ("adjoint", "|p, y| y", "its adjoint is that of another map"),
        ("apply", "|p, x| x * p.scale + 1.0", "adjoint"),
        ("apply_absolute", "|p, h| 0.5 * h * p.scale.abs()", "its apply_absolute is too small"),
        ("row_norms", "|p| 0.9 * p.scale.abs()", "its row_norms are too small"),
    ];
    for (key, text, message) in false_ones {
        let options: Vec<String> =
            good.iter().map(|(k, v)| format!("{k}: {}", if *k == key { text } else { v })).collect();
        let script = format!(
            "check_claims(sequential([6], [linear_map(\"false\", #{{ parameters: #{{ scale: [6] }}, start: |s, r| r.uniform(1.0, 2.0, s), terms: 1, {} }}), \
             linear(2)]))",
            options.join(", ")
        );
        let error = refused(&mut lab, &script);
        assert!(error.contains(message), "{key}: {error}");
    }
    // |W| of a large map, too small by a factor that random signs hide.
    let error = refused(
        &mut lab,
        r#"
        check_claims(sequential([300], [linear_map("wide", #{
            parameters: #{ w: [4, 300] }, start: |s, r| r.normal(1.0, s), shape: |input| [4], terms: 300,
            apply: |p, x| x @ p.w.t(), adjoint: |p, y| y @ p.w, apply_absolute: |p, h| 0.3 * (h @ p.w.abs().t()),
            row_norms: |p| p.w.norm(1),
        })], #{ dtype: "f64" }))
        "#,
    );
    assert!(error.contains("its apply_absolute is too small"), "{error}");
    // A mask of outputs that hang on each other's inputs would take the wrong rows away.
    let error = refused(
        &mut lab,
        r#"
        let swapped = |t| t.index_select(1, tensor([1, 0]).to_dtype("u32"));
        check_claims(sequential([2], [linear(2), activation("swap", #{
            forward: |x| swapped.call(x).maximum(0.0), lipschitz: 1.0, lines: (), varying: |l, u| swapped.call(u) > 0.0,
            box: |l, u| [swapped.call(l).maximum(0.0), swapped.call(u).maximum(0.0)],
        })]))
        "#,
    );
    assert!(error.contains("its mask is not element by element"), "{error}");
    // An affine map that is none: the bias belongs to `bias`.
    let error = refused(
        &mut lab,
        "check_claims(sequential([6], [linear_map(\"false\", #{ apply: |p, x| x.abs(), adjoint: |p, y| y, apply_absolute: |p, h| h, row_norms: |p| ones([6]), terms: 1 }), linear(2)]))",
    );
    assert!(error.contains("adjoint") || error.contains("not linear"), "{error}");
}

/// Lines of a script's own are taken like those of the program; who has none is refused by name.
#[test]
fn lines_over_a_box_are_asked_for_by_name() {
    let mut lab = lab();
    let found = lab.run(
        r#"
        let capped = activation("halved", #{ forward: |x| x.maximum(0.5 * x), lipschitz: 1.0, varying: (),
            box: |l, u| [l.maximum(0.5 * l), u.maximum(0.5 * u)],
            lines: |l, u| { let s = (u.maximum(0.5 * u) - l.maximum(0.5 * l)) / (u - l); [0.5 + 0.0 * l, 0.0 * l, s, l.maximum(0.5 * l) - s * l] } });
        let net = sequential([5], [capped, leaky_relu(0.5), linear(2)], #{ dtype: "f64" });
        check_claims(net);
        let before = ball_and_box(randn([4, 5]).to_dtype("f64"), 0.7);
        let own = lines(net.layers[0], before);
        let theirs = lines(net.layers[1], before);
        [(own.upper_slope - theirs.upper_slope).abs().max().item(), (own.upper_offset - theirs.upper_offset).abs().max().item()]
        "#,
    );
    let found: Vec<f64> = found.into_typed_array().unwrap();
    assert!(found.iter().all(|gap| *gap < 1e-12), "{found:?}");
    let error =
        refused(&mut lab, "lines(sequential([4], [gelu(), linear(2)]).layers[0], ball_and_box(zeros([1, 4]), 0.1))");
    assert!(error.contains("layer 0 (gelu()) has no linear lines over a box"), "{error}");
}

#[test]
fn definitions_that_lack_something_are_refused() {
    let mut lab = lab();
    let rest = "lipschitz: 1.0, box: |l, u| [l, u], varying: (), lines: ()";
    for (script, message) in [
        (
            "activation(\"a\", #{ forward: |x| x, lipschitz: 1.0, varying: (), lines: () })",
            "activation a: `box` is missing; a certificate rests on it, so it has no default",
        ),
        (
            "activation(\"a\", #{ forward: |x| x, lipschitz: 1.0, box: |l, u| [l, u], lines: () })",
            "activation a: `varying` is missing",
        ),
        (
            "activation(\"a\", #{ forward: |x| x, lipschitz: 1.0, box: |l, u| [l, u], varying: () })",
            "activation a: `lines` is missing",
        ),
        (
            &format!("activation(\"a\", #{{ forward: |x, y| x, {rest} }})"),
            "activation a: the closure `forward` takes 2 arguments, 1 are wanted",
        ),
        (
            &format!("activation(\"a\", #{{ forward: 3, {rest} }})"),
            "activation a: `forward` is an int, a closure is wanted",
        ),
        (
            &format!("activation(\"a\", #{{ forward: |x| x, bax: 3, {rest} }})"),
            "unknown option `bax`; did you mean `box`?",
        ),
        (&format!("activation(\"relu\", #{{ forward: |x| x, {rest} }})"), "there is a layer `relu` already"),
        (
            &format!("activation(\"a\", #{{ forward: |x| x, parameters: #{{ p: [3] }}, {rest} }})"),
            "`parameters` and `start` go together",
        ),
        (
            &format!("sequential([6], [activation(\"a\", #{{ forward: |x| 3, {rest} }})]).forward(randn([2, 6]))"),
            "activation a: `forward` gave an int, a tensor of shape [2, 6] is wanted",
        ),
        (
            &format!(
                "sequential([6], [activation(\"a\", #{{ forward: |x| x.narrow(1, 0, 3), {rest} }})]).forward(randn([2, 6]))"
            ),
            "gave a tensor of shape [2, 3], [2, 6] is wanted",
        ),
        (
            &format!(
                "sequential([6], [activation(\"a\", #{{ forward: |x| {{ throw \"stop here\" }}, {rest} }})]).forward(randn([2, 6]))"
            ),
            "stop here",
        ),
        (
            "activation(\"a\", #{ forward: |x| x, lipschitz: (), box: |l, u| [l, u], varying: (), lines: () })",
            "activation a: `lipschitz` is missing",
        ),
        (
            "let d = dataset(\"digits\"); activation(\"a\", #{ forward: |x| x + d.classes, lipschitz: 1.0, box: |l, u| [l, u], varying: (), lines: () })",
            "`forward` captures a Dataset, which can change after the layer is defined",
        ),
        (
            "linear_map(\"m\", #{ apply: |p, x| x, adjoint: |p, y| y, apply_absolute: |p, h| h, row_norms: |p| ones([6]) })",
            "linear_map m: `terms` is missing",
        ),
        ("linear_map(\"m\", #{ apply: |p, x| x })", "linear_map m: `adjoint` is missing"),
        (
            "region(randn([2, 6]), randn([2, 6]), randn([2, 5]), randn([2]))",
            "region: center, lower and upper want one shape",
        ),
    ] {
        let error = refused(&mut lab, script);
        assert!(error.contains(message), "{script}: {error}");
    }
}

/// What a closure throws is caught by the script as it was thrown; a layer that leads to itself is told, not the stack overrun.
#[test]
fn errors_come_through_native_code_and_depth_has_an_end() {
    let mut lab = lab();
    let caught = lab.run(
        r#"
        let broken = sequential([6], [activation("a", #{
            forward: |x| { throw "out of cheese" }, lipschitz: 1.0, box: |l, u| [l, u], varying: (), lines: () })]);
        let said = ""; try { pgd(broken, randn([2, 6]), tensor([0, 1]).to_dtype("u32"), 0.1, #{ clip: false }); } catch (why) { said = why; }
        said
        "#,
    );
    assert_eq!(caught.into_string().unwrap(), "out of cheese");
    let error = refused(
        &mut lab,
        r#"
        fn again(x) {
            sequential([6], [activation("a", #{ forward: |x| again(x), lipschitz: 1.0, box: |l, u| [l, u], varying: (), lines: () })]).forward(x)
        }
        again(randn([2, 6]))
        "#,
    );
    assert!(error.contains("deep") || error.contains("overflow"), "{error}");
}
