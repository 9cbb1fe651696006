//! Attacks: the logits' scale, radii of their own, and numbers that are none.

use crate::{printed, refused};

/// A small network on the digits, `net`, and a copy of it with parameters times numbers.
const NET: &str = r#"
    import "std/evaluate" as evaluate; import "std/certify" as certify; import "std/cascade" as cascade; import "std/falsify" as falsify;
    let data = dataset("digits", #{ train_limit: 300, test_limit: 40 });
    let net = sequential(data.shape, [flatten(), linear(24), relu(), linear(data.classes)]);
    let o = adam(net, #{ lr: 1e-2 });
    for e in run.epochs(8) { for b in data.train.batches(50) { o.step(cross_entropy(net.forward(b.x), b.y)); } }
    fn scaled(net, factors) {
        let copy = net.copy();
        for name in factors.keys() { copy.set_param(name, (net.param(name) * factors[name]).detach()); }
        copy
    }
    fn last(net, s) { scaled(net, #{ "3.weight": s, "3.bias": s }) }
    // The hidden layer times a, the last times b: the logits times a b.
    fn both(net, a, b) { scaled(net, #{ "1.weight": a, "1.bias": a, "3.weight": b, "3.bias": a * b }) }
"#;

fn with_net(text: &str) -> String {
    let output = printed(&format!("{NET}{text}"));
    output.lines().filter(|line| !line.starts_with("epoch ")).collect::<Vec<_>>().join("\n")
}

/// Logits times a number are the same classifier, and fall to the same attacks. The published attack cannot tell: its gradient fades
/// for large logits, and its steps shrink for small ones.
#[test]
fn the_logits_scale_changes_no_verdict() {
    let output = with_net(
        r#"
        let index = []; for i in 0..40 { index.push(i); }
        let x = data.test.images(index); let y = data.test.labels(index);
        let verdicts = |m, attack| correct(m.forward(pgd(m, x, y, 0.3, #{ attack: attack, streams: index })), y).to_array();
        let rows = |m, attack| cascade::evaluate_certified(certify::prepare(m, "rigorous"), data.test, 0.3, #{ attack: attack }).map(|row| row.verdict);
        let found = #{};
        for attack in ["strong", "published"] {
            let same = true;
            for m in [last(net, 1e-8), last(net, 1e-4), last(net, 1e4), both(net, 1000.0, 1.0), both(net, 1e4, 1e-8), both(net, 1e-6, 1e-6)] {
                same = same && verdicts.call(m, attack) == verdicts.call(net, attack) && rows.call(m, attack) == rows.call(net, attack);
            }
            found[attack] = same;
        }
        let kinds = rows.call(net, "strong");
        print(found);
        for kind in ["certified", "attacked", "open", "wrong"] { print(`${kind}: ${kinds.contains(kind)}`); }
        let shares = [1e-8, 1.0, 1e4].map(|s| evaluate::by_procedures(last(net, s), data.test, 0.3, #{ procedures: ["published", "exact"] }));
        let truth  = shares[1][1].pgd;
        let strong = []; let published = [];
        for pair in shares { strong.push(pair[1].pgd == truth); published.push(pair[0].pgd > truth); }
        print(strong);
        print(published);
        "#,
    );
    for line in ["\"strong\": true", "\"published\": false", "certified: true", "attacked: true", "[true, true, true]"]
    {
        assert!(output.contains(line), "{line}: {output}");
    }
    assert!(output.ends_with("[true, false, true]"), "{output}");
}

/// Five sets of starts come to the same accuracy within 0.3 points; so does the attack from ten starts of 100 steps.
#[test]
fn starts_do_not_decide() {
    let output = with_net(
        r#"
        let test = dataset("digits").test;
        let index = []; for i in 0..386 { index.push(i); }
        let x = test.images(index); let y = test.labels(index);
        let share = |seed, options| 100.0 * accuracy(net.forward(pgd(net, x, y, 0.3, options + #{ streams: index.map(|i| 1000 * seed + i) })), y).item();
        let found = [0, 1, 2, 3, 4].map(|seed| share.call(seed, #{}));
        let total = 0.0; for one in found { total += one; }
        let truth = share.call(9, #{ restarts: 10, steps: 100, loss: "margin" });
        let gap   = (total / 5.0 - truth).abs();
        let once  = share.call(0, #{ attack: "published" });
        print(`${gap <= 0.3} ${once > truth + 0.3} ${found} ${truth} ${once}`);
        "#,
    );
    assert!(output.contains("true true"), "{output}");
}

/// Who shares a batch, and how large it is, makes no difference.
#[test]
fn each_image_is_attacked_alone() {
    let output = with_net(
        r#"
        let index = []; for i in 0..40 { index.push(i); }
        let x = data.test.images(index); let y = data.test.labels(index);
        let whole = correct(net.forward(pgd(net, x, y, 0.3, #{ streams: index })), y).to_array();
        let alone = index.map(|i| correct(net.forward(pgd(net, x.narrow(0, i, 1), y.narrow(0, i, 1), 0.3, #{ streams: [i] })), y.narrow(0, i, 1)).to_array()[0]);
        print(whole == alone);
        print([256, 7, 1].map(|b| evaluate::accuracies(net, data.test, 0.3, #{ batch: b }).pgd == evaluate::accuracies(net, data.test, 0.3).pgd));
        // In the order of the batch, in their balls, though some left early.
        let far = (pgd(net, x, y, index.map(|i| 0.01 * i), #{ clip: false, streams: index }) - x).flatten(1).norm(1).to_array();
        print(index.filter(|i| far[i] > 0.01 * i * 1.00001 || far[i] < 0.005 * i).len());
        "#,
    );
    assert_eq!(output, "true\n[true, true, true]\n0");
}

/// Certified rows of two radii in one hunt: each is attacked within its own.
#[test]
fn the_falsifier_takes_each_image_at_its_own_radius() {
    let output = with_net(
        r#"
        let prepared = certify::prepare(net, "rigorous");
        let rows = [];
        for eps in [0.2, 0.02] { rows += cascade::evaluate_certified(prepared, data.test, eps, #{ steps: 0 }).filter(|row| row.verdict == "certified"); }
        rows.sort(|a, b| a.certified_margin - b.certified_margin);
        print(rows.extract(0, 16).some(|row| row.eps == 0.2) && rows.extract(0, 16).some(|row| row.eps == 0.02));
        print(falsify::hunt(prepared, data.test, rows, 100, 1).counterexamples.len());
        // Claims that are false: the same are found whoever is hunted with them, within their own radii.
        let claims = [];
        for eps in [1.0, 0.01] { for i in 0..12 { claims.push(#{ index: i, eps: eps, verdict: "certified", certified_margin: 1.0, label: data.test.labels([i]).to_array()[0] }); } }
        let right  = claims.filter(|row| net.forward(data.test.images([row.index])).argmax(1).to_array()[0] == row.label);
        let key    = |found| found.counterexamples.map(|row| `${row.index} ${row.eps}`);
        let whole  = key.call(falsify::hunt(prepared, data.test, right, 100, 1));
        let single = [];
        for row in right { single += key.call(falsify::hunt(prepared, data.test, [row], 1, 1)); }
        let found  = falsify::hunt(prepared, data.test, right, 100, 1).counterexamples;
        let inside = found.filter(|row| (row.point - data.test.images([row.index]).to_dtype("f64")).norm().item() <= row.eps);
        whole.sort(); single.sort();
        print([whole == single, whole.len() > 3, whole.len() < right.len(), inside.len() == whole.len()]);
        "#,
    );
    assert_eq!(output, "true\n0\n[true, true, true, true]");
}

/// Logits of 1e50 overflow in f32: the attack goes on in f64, and verdicts are those of the same classifier in sizes that f32 holds.
#[test]
fn what_overflows_in_f32_is_attacked_in_f64() {
    let output = with_net(
        r#"
        let base  = scaled(net, #{ "3.bias": 0.0 });
        let large = scaled(base, #{ "1.weight": 1e25, "1.bias": 1e25, "3.weight": 1e25 });
        let index = []; for i in 0..40 { index.push(i); }
        let x = data.test.images(index); let y = data.test.labels(index);
        let moved = pgd(large, x, y, 0.3, #{ stop_early: false, streams: index });
        print([large.forward(x).all_finite(), moved.all_finite()]);
        let reports = [base, large].map(|m| cascade::certified_report(certify::prepare(m, "rigorous"), data.test, 0.3, #{ restarts: 2 }));
        let kinds   = reports.map(|r| r.rows.map(|row| row.verdict));
        print([kinds[0] == kinds[1], kinds[1].contains("attacked"), kinds[1].contains("certified")]);
        print(reports.map(|r| r.counterexamples.len()));
        // The network in f32 is broken wherever it has no number.
        print(evaluate::accuracies(large, data.test, 0.3).pgd);
        "#,
    );
    for line in ["\n[true, true, true]\n[0, 0]\n0.0", "[false, true]\n"] {
        assert!(output.contains(line) || output.starts_with(line), "{line}: {output}");
    }
}

/// Logits that are infinite in the ball, in f64 too, are no counter-example: they are told as what they are, and not robust.
#[test]
fn logits_that_are_not_finite_are_a_fault_of_their_own() {
    let text = r#"
        import "std/certify" as certify; import "std/cascade" as cascade; import "std/falsify" as falsify;
        // [1 + 1e315 relu(x - 0.5), 0]
        let layers = [linear(1), relu()]; for i in 0..9 { layers.push(linear(1)); } layers.push(linear(2));
        let net = sequential([1], layers);
        for i in [0, 2, 3, 4, 5, 6, 7, 8, 9, 10] { net.set_param(`${i}.weight`, full([1, 1], if i == 0 { 1.0 } else { 1e35 })); net.set_param(`${i}.bias`, full([1], if i == 0 { -0.5 } else { 0.0 })); }
        net.set_param("11.weight", tensor([[1.0], [0.0]])); net.set_param("11.bias", tensor([1.0, 0.0]));
        let x = full([4, 1], 0.5); let y = tensor([0, 0, 0, 0], "u32");
        let data = dataset_from(x, y, x, y, #{ classes: 2 });
        let prepared = certify::prepare(net, "rigorous");
        let report = cascade::certified_report(prepared, data.test, 0.3, #{});
        print(report.rows.map(|row| [row.verdict, row.attack]));
        print([report.summary.clean, report.summary.robust, report.counterexamples.len()]);
        let claims = report.rows;
        for i in 0..4 { claims[i].verdict = "certified"; claims[i].certified_margin = 1.0; }
        let hunted = falsify::hunt(prepared, data.test, claims, 4, 1);
        print([hunted.counterexamples.len(), hunted.not_finite.len() > 0]);
        print(falsify::describe_hunt(hunted).contains("not finite"));
    "#;
    let output = printed(text);
    assert!(
        output.contains("4 images have a point within eps where the logits are not finite")
            && output.matches("logits not finite under strong").count() == 4
            && output.contains("\n[1.0, 0.0, 0]\n[0, true]\ntrue"),
        "{output}"
    );
}

/// The margin is climbed at any size of logits: 1e300 in f64, and the largest that f32 holds.
#[test]
fn margins_are_climbed_at_any_size() {
    let output = printed(
        r#"
        for turn in [["f64", 1e150], ["f64", 1e-150], ["f32", 1e18], ["f32", 1e-18]] {
            let net = sequential([2], [linear(2), linear(3)], #{ dtype: turn[0] });
            let s = turn[1];
            net.set_param("0.weight", tensor([[1.0, 0.0], [0.0, 1.0]], "f64").to_dtype(turn[0]) * s); net.set_param("0.bias", zeros([2], turn[0]));
            net.set_param("1.weight", tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]], "f64").to_dtype(turn[0]) * s); net.set_param("1.bias", zeros([3], turn[0]));
            // The boundary is x_0 = x_1, sqrt(2) 0.1 away.
            let x = tensor([[0.6, 0.4]], turn[0]); let y = tensor([0], "u32");
            print([0.14, 0.143].map(|eps| correct(net.forward(pgd(net, x, y, eps, #{ streams: [0] })), y).to_array()[0]));
        }
        "#,
    );
    assert_eq!(output, ["[1, 0]"; 4].join("\n"));
}

/// Balls of radius 0, and balls that f64 cannot tell from their centres, hold their centres alone.
#[test]
fn small_balls_falsify_nothing() {
    let output = with_net(
        r#"
        let prepared = certify::prepare(net, "rigorous");
        for eps in [0.0, 5e-324, 1e-300, 1e-17] {
            let rows = cascade::certified_report(prepared, data.test, eps, #{ restarts: 1 }).rows;
            let hunt = falsify::hunt(prepared, data.test, rows, 8, 1);
            print(`found ${[rows.filter(|row| row.verdict == "certified").len() > 20, hunt.tried, hunt.counterexamples.len(), hunt.not_finite.len(), hunt.closest > 0.0]}`);
        }
        let x = data.test.images([0, 1]).to_dtype("f64");
        print((falsify::inside(x + 1.0, x, 0.0) - x).abs().max().item());
        print(falsify::inside(x + 1.0, x, [0.0, 0.5]).all_finite());
        print((falsify::inside(x + 1.0, x, [0.1, 0.5]) - x).flatten(1).norm(1).to_array().map(|far| fixed(far, 4)));
        "#,
    );
    assert_eq!(output.matches("found [true, 8, 0, 0, true]").count(), 4, "{output}");
    assert!(output.ends_with("0.0\ntrue\n[\"0.1000\", \"0.5000\"]"), "{output}");
    for eps in ["-1", "0.0 / 0.0", "1.0 / 0.0", "\"0.1\""] {
        let net = "import \"std/certify\" as certify; import \"std/cascade\" as cascade; let d = dataset(\"digits\", #{ test_limit: 4, train_limit: 4 });
let p = certify::prepare(sequential(d.shape, [flatten(), linear(10)]), \"rigorous\");";
        for call in [
            "certified_report(p, d.test, e, #{})",
            "evaluate_certified(p, d.test, e, #{})",
            "certified_curve(p, d.test, [e], #{})",
        ] {
            refused(&format!("{net} let e = {eps}; cascade::{call};"), "cascade: the radius is");
        }
    }
}

/// Logits times 1e-17 are certified and attacked as before.
#[test]
fn tiny_logits_are_logits() {
    let output = with_net(
        r#"
        let rows = [1.0, 1e-17].map(|s| cascade::evaluate_certified(certify::prepare(last(net, s), "rigorous"), data.test, 0.1, #{}).map(|row| row.verdict));
        print([rows[0] == rows[1], rows[0].contains("certified"), rows[0].contains("attacked")]);
        "#,
    );
    assert_eq!(output, "[true, true, true]");
}

/// The guide's test of a bound fails where a margin is NaN, at the first image or another.
#[test]
fn the_guides_test_of_a_bound_fails_on_nan() {
    let guide = include_str!("../../docs/guide/07_own_bound.md");
    let check = guide.lines().find(|line| line.contains("gap.min()")).expect("the test");
    for (gap, sound) in
        [("1.0, 2.0", "true"), ("1.0, -0.1", "false"), ("0.0 / 0.0, 1.0", "false"), ("1.0, 0.0 / 0.0", "false")]
    {
        assert_eq!(printed(&format!("let gap = tensor([{gap}]); print({check});")), sound, "{gap}");
    }
}

#[test]
fn options_of_attacks_are_checked() {
    let net = "import \"std/evaluate\" as evaluate; import \"std/cascade\" as cascade; let d = dataset(\"digits\", #{ test_limit: 4, train_limit: 4 }); let m = sequential(d.shape, [flatten(), linear(10)]);
let x = d.test.images([0]); let y = d.test.labels([0]);";
    for (call, part) in [
        ("pgd(m, x, y, 0.1, #{ attack: \"weak\" })", "weak"),
        ("pgd(m, x, y, 0.1, #{ restarts: 0 })", "restarts"),
        ("pgd(m, x, y, 0.1, #{ schedule: \"rising\" })", "rising"),
        ("pgd(m, x, y, 0.1, #{ streams: [0, 1] })", "2 streams for 1 images"),
        (
            "evaluate::report(m, d.test, 0.1, #{ attack: \"weak\" })",
            "evaluate: unknown attack \"weak\"; known: strong, published, apgd_ce, apgd_t, apgd",
        ),
        ("evaluate::report(m, d.test, 0.1, #{ restarts: 0 })", "restarts is 0"),
        ("evaluate::report(m, d.test, 0.1, #{ apgd: true })", "apgd is true"),
        ("pgd(m, x, y, 0.1, #{ targets: 0 })", "targets"),
        ("cascade::cascade_options(#{ attack: \"weak\" })", "unknown attack \"weak\""),
    ] {
        refused(&format!("{net} {call};"), part);
    }
}
