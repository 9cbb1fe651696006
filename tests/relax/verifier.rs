//! The verifier against margins that another branch and bound has found to 1e-4, planted ones on either side of 0, and itself once more.

use crate::common::program::Folder;
use crate::common::{Lab, values};
use crate::golden::{NETS, lab, truth};

/// Of each net of plain ReLU: slopes alone end at the convex program's optimum, never above it; splits end at the true margin.
#[test]
fn margins_are_closed_in_on() {
    let truth = truth();
    for (name, source, plain, radii) in NETS {
        if !plain {
            continue;
        }
        let (mut lab, _) = lab(source, plain);
        for (e, eps) in radii.into_iter().enumerate() {
            let of = |key: &str| values(&truth[&format!("{name}/eps{e}/{key}")]);
            let (triangle, lower, upper) = (of("triangle/margin"), of("exact/lower"), of("exact/upper"));
            lab.set("eps", eps.into());
            let found = lab.run(
                r#"
                import "std/certify" as certify;
                import "std/verify"  as verify;
                let rigorous = certify::prepare(model, "rigorous");
                let labels   = y.to_array();
                let out      = [];
                for (own, b) in verify::images(rigorous, x, y, eps, #{ gap: 4e-3, subproblems: 700, alpha_steps: 80 }) {
                    let label = labels[b].to_int();
                    // Nothing is settled of an image that is classified wrong.
                    out.push([if own.stage == "prediction" { 0.0 } else { 1.0 }, label.to_float(), own.margin, own.upper] + own.alphas.map(|a| a.to_float()));
                }
                out
                "#,
            );
            let mut right = 0;
            for (b, row) in found.into_array().unwrap().into_iter().enumerate() {
                let row: Vec<f64> = row.into_typed_array().unwrap();
                let ([is_right, label, margin, reached], alphas) =
                    (<[f64; 4]>::try_from(&row[..4]).unwrap(), &row[4..]);
                if is_right == 0.0 {
                    continue;
                }
                right += 1;
                let others = (0..3).filter(|j| *j != label as usize);
                let least = |all: &[f64]| others.clone().map(|j| all[3 * b + j]).fold(f64::INFINITY, f64::min);
                assert!(margin <= least(&upper) + 1e-9, "{name} {e} {b}: {margin} above {}", least(&upper));
                assert!(
                    reached >= least(&lower) - 1e-9,
                    "{name} {e} {b}: a point reaches {reached} below {}",
                    least(&lower)
                );
                assert!(margin >= least(&lower) - 4.2e-3, "{name} {e} {b}: {margin}, the truth is {}", least(&lower));
                for j in others.clone() {
                    let (alpha, best) = (alphas[j], triangle[3 * b + j]);
                    assert!(
                        alpha <= best + 1e-6 && alpha >= best - 1e-4,
                        "{name} {e} {b} {j}: {alpha}, the optimum is {best}"
                    );
                }
            }
            assert!(right >= 2, "{name}: {right} images are right");
        }
    }
}

/// A bias that brings the true margin of an image just above 0, or just below: certified, or broken by a point that shows it.
#[test]
fn planted_margins_are_told_apart() {
    let truth = truth();
    let (name, source, plain, radii) = NETS[0];
    let of = |key: &str| values(&truth[&format!("{name}/eps1/{key}")]);
    let (lower, upper) = (of("exact/lower"), of("exact/upper"));
    for (b, above) in [(0usize, true), (0, false), (2, true), (2, false)] {
        let (mut lab, net) = lab(source, plain);
        let label = values(&net.forward(&crate::common::golden::Golden::find(source).unwrap().wide("x")).unwrap());
        let label = (0..3).max_by(|i, j| label[3 * b + i].total_cmp(&label[3 * b + j])).unwrap();
        let j = (0..3).filter(|j| *j != label).min_by(|i, j| lower[3 * b + i].total_cmp(&lower[3 * b + j])).unwrap();
        // The margin against j by so much less, and no other class nearer.
        let lift = if above { lower[3 * b + j] - 3e-3 } else { upper[3 * b + j] + 3e-3 };
        lab.set("eps", radii[1].into())
            .set("b", (b as i64).into())
            .set("j", (j as i64).into())
            .set("lift", lift.into());
        let found = lab.run(
            r#"
            import "std/certify" as certify;
            import "std/verify"  as verify;
            let bias = model.param("7.bias").detach().to_array();
            bias[j] += lift;
            model.set_param("7.bias", tensor(bias, "f64"));
            let own = verify::images(certify::prepare(model, "rigorous"), x[b..b+1], y[b..b+1], eps, #{ subproblems: 800 })[0];
            let shown = if own.point == () { 0.0 } else {
                let apart = (own.point - x[b..b+1]).flatten().norm().item();
                if apart <= eps && margins(model.forward(own.point), y[b..b+1]).item() <= 0.0 { 1.0 } else { -1.0 }
            };
            [own.verdict, shown.to_string()]
            "#,
        );
        let said: Vec<String> = found.into_array().unwrap().into_iter().map(|s| s.into_string().unwrap()).collect();
        let want = if above { ["certified", "0.0"] } else { ["broken", "1.0"] };
        assert_eq!(said, want, "image {b}");
    }
}

/// On a network of ReLU-theta, and on one with MaxMin, which is not split: no bound is above what descent finds, and the verifier closes what it
/// says it has.
#[test]
fn other_activations_are_bounded_too() {
    let found = Lab::new().run(
        r#"
        import "std/certify" as certify;
        import "std/verify"  as verify;
        let out = [];
        for act in [relu_theta(0.3), maxmin(), leaky_relu(0.2)] {
            let net = sequential([6], [linear(12), act, residual([linear(12), act]), linear(3)], #{ dtype: "f64" });
            let x   = uniform(0.0, 1.0, [4, 6]).to_dtype("f64");
            let y   = net.forward(x).argmax(1);
            for eps in [0.05, 0.2] {
                let moved = pgd(net, x, y, eps, #{ clip: false, stop_early: false, steps: 100, restarts: 5 });
                let under = margins(net.forward(moved), y).to_array();
                for (own, b) in verify::images(certify::prepare(net, "rigorous"), x, y, eps, #{ subproblems: 200 }) {
                    out.push(own.margin <= under[b] + 1e-9 && own.crown <= own.alpha + 1e-12 && own.alpha <= own.upper + 1e-9);
                    out.push(own.verdict != "certified" || under[b] > 0.0);
                    out.push(own.verdict != "broken" || own.upper <= 0.0);
                }
            }
        }
        out
        "#,
    );
    let held: Vec<bool> = found.into_typed_array().unwrap();
    assert!(held.len() == 72 && held.iter().all(|ok| *ok), "{held:?}");
}

/// In l-infinity the least margin is known to a thousandth, between a proof and a point of the box: no corner and no other point is below the
/// proof, and the l2 ball of the same radius, which lies inside, has no less.
#[test]
fn boxes_are_verified_too() {
    let found = Lab::new().run(
        r#"
        import "std/certify" as certify;
        import "std/verify"  as verify;
        let out = [];
        for act in [relu(), relu_theta(0.4)] {
            let net = sequential([4], [linear(8), act, linear(8), act, linear(3)], #{ dtype: "f64" });
            let own = certify::prepare(net, "rigorous");
            let x   = uniform(0.0, 1.0, [3, 4]).to_dtype("f64");
            let y   = net.forward(x).argmax(1);
            let signs = [];
            for a in [-1.0, 1.0] { for b in [-1.0, 1.0] { for c in [-1.0, 1.0] { for d in [-1.0, 1.0] { signs.push([a, b, c, d]); } } } }
            let moves = cat([tensor(signs, "f64"), uniform(-1.0, 1.0, [200, 4]).to_dtype("f64")], 0);
            for eps in [0.05, 0.2] {
                let options = #{ gap: 1e-3, subproblems: 4000 };
                let ball = verify::images(own, x, y, eps, options);
                for (box, b) in verify::images(own, x, y, eps, options + #{ norm: "linf" }) {
                    // From all corners and random points downhill by ever smaller random steps within the box.
                    let best  = #{ point: x[b..b+1], margin: 1e9 };
                    let reach = eps;
                    for round in 0..60 {
                        let points = x[b..b+1] + (best.point - x[b..b+1] + moves * reach).clamp(-eps, eps);
                        let found  = margins(net.forward(points), y[b..b+1].broadcast_to([points.len()]));
                        let k      = found.argmin().item().to_int();
                        if found[k].item() < best.margin { best = #{ point: points[k..k+1], margin: found[k].item() }; }
                        if round > 0 { reach *= 0.85; }
                    }
                    let least = min(best.margin, box.upper);
                    out.push(least - box.margin <= 2e-3);
                    out.push(box.margin <= least + 1e-9 && box.margin <= ball[b].margin + 1e-3);
                    out.push(box.verdict == if box.margin > 0.0 { "certified" } else if box.upper <= 0.0 { "broken" } else { "open" });
                    if box.verdict == "broken" { out.push((box.point - x[b..b+1]).abs().max().item() <= eps); }
                }
            }
        }
        out
        "#,
    );
    let held: Vec<bool> = found.into_typed_array().unwrap();
    assert!(held.len() >= 36 && held.iter().all(|ok| *ok), "{held:?}");
}

/// The relaxed certificate of a box, of a convolution's windows and a residual block, with a radius for each image: no corner is below.
#[test]
fn boxes_hold_for_convolutions_too() {
    let found = Lab::new().run(
        r#"
        import "std/certify" as certify;
        let out = [];
        let net = sequential([2, 5, 5], [conv2d(4, 3, #{ padding: 1 }), relu(), residual([conv2d(4, 3, #{ padding: 1 }), relu_theta(0.5)]), maxmin(), conv2d(4, 3, #{ stride: 2 }), relu(), flatten(), linear(3)], #{ dtype: "f64" });
        let own = certify::prepare(net, "rigorous");
        let x   = uniform(0.0, 1.0, [3, 2, 5, 5]).to_dtype("f64");
        let y   = net.forward(x).argmax(1);
        let eps = tensor([0.01, 0.05, 0.2], "f64");
        let signs = (uniform(-1.0, 1.0, [60, 2, 5, 5]).to_dtype("f64")).sign();
        for kind in ["interval", "crown_ibp", "crown", "cap"] {
            let found = margins(certify::relaxed(own, kind, x, y, eps, #{ norm: "linf" }).worst, y).to_array();
            let ball  = margins(certify::relaxed(own, kind, x, y, eps, #{}).worst, y).to_array();
            for b in 0..3 {
                let points = x[b..b+1] + signs * eps[b].item();
                let least  = margins(net.forward(points), y[b..b+1].broadcast_to([60])).min().item();
                out.push(found[b] <= least + 1e-9 && found[b] > -1e6);
                out.push(kind == "interval" || found[b] <= ball[b] + 1e-9);
            }
        }
        try { certify::relaxed(own, "crown", x, y, 0.1, #{ norm: "Linf" }); out.push(false); } catch (error) { out.push(`${error}`.contains("Linf")); }
        out
        "#,
    );
    let held: Vec<bool> = found.into_typed_array().unwrap();
    assert!(held.len() == 25 && held.iter().all(|ok| *ok), "{held:?}");
}

/// Regions are those of the whole ball; neurons that lie in the padding alone hang on nothing; a relaxation that cannot be asked is refused at once.
#[test]
fn what_is_asked_is_what_is_proved() {
    let found = Lab::new().run(
        r#"
        import "std/certify" as certify;
        import "std/cascade" as cascade;
        let out = [];
        let net = sequential([2, 5, 5], [conv2d(64, 3, #{ padding: 1 }), relu(), conv2d(64, 1, #{ padding: 2 }), relu(), conv2d(64, 1, #{ padding: 1 }), relu(), flatten(), linear(3)], #{ dtype: "f64" });
        let x   = uniform(0.0, 1.0, [2, 2, 5, 5]).to_dtype("f64");
        let y   = net.forward(x).argmax(1);
        let own = certify::prepare(net, "rigorous");
        let under = margins(net.forward(pgd(net, x, y, 0.1, #{ clip: false, stop_early: false })), y).to_array();
        for (margin, b) in margins(certify::relaxed(own, "crown", x, y, 0.1, #{}).worst, y).to_array() { out.push(margin <= under[b] + 1e-9 && margin > -1e6); }
        for wanted in [#{ images: true }, #{ rows: "kernel" }] {
            try { certify::relaxed(own, "crown", x, y, 0.1, wanted); out.push(false); } catch (error) { out.push(`${error}`.contains("its regions are those of the whole ball")); }
        }
        let smooth = sequential([2], [linear(3), gelu(), linear(2)]);
        for prepared in [certify::prepare(smooth, "rigorous"), certify::prepare(sequential([2], [linear(3), relu(), linear(2)]), "estimate")] {
            try { cascade::verdicts(prepared, zeros([1, 2]), tensor([0], "u32"), 0.1, [0], #{ crown: true }); out.push(false); } catch (error) { out.push(true); }
        }
        out
        "#,
    );
    let held: Vec<bool> = found.into_typed_array().unwrap();
    assert!(held.len() == 6 && held.iter().all(|ok| *ok), "{held:?}");
}

/// A test set through the cascade with the verifier last: every row is what it is without records, and when it is done again.
#[test]
fn a_verification_repeats() {
    let script = r#"
        import "std/certify" as certify;
        import "std/cascade" as cascade;
        let data = dataset("digits", #{ test_limit: 6 });
        let net  = sequential(data.shape, [flatten(), linear(16), relu(), linear(16), relu(), linear(10)]);
        let opt  = adam(net, #{ lr: 5e-3 });
        for pass in 0..6 { for batch in data.train.batches(64) { opt.step(cross_entropy(net.forward(batch.x), batch.y)); } }
        let rigorous = certify::prepare(net, "rigorous");
        let options  = #{ verify: 60, steps: 10, attack_steps: 5, attack_restarts: 1, batch: 2 };
        let whole    = cascade::evaluate_certified(rigorous, data.test, 0.35, options);
        let first  = cascade::evaluate_certified(rigorous, data.test, 0.35, options + #{ records: "kept" });
        let again  = cascade::recheck("kept", net, data.test, [1, 4]);
        let stages = "";
        for row in whole { stages += `${row.stage} `; }
        print(`stages ${stages}`);
        print(`same ${whole == first} ${again.all(|row| row.same)}`);
        print(cascade::summary_table([cascade::summary(whole)], [0.35]));
    "#;
    let shown = Folder::new(&[("main.rhai", script)]).run(&["run", "main.rhai", "--allow-write", "kept"]);
    assert!(shown.ends_with("exit code 0") && shown.contains("same true true"), "{shown}");
    let stages = shown.lines().find_map(|l| l.strip_prefix("stages ")).expect("stages");
    assert!(["crown", "alpha", "split"].iter().any(|stage| stages.contains(stage)), "{shown}");
}
