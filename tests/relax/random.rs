//! Random nets of the kinds that have lines: no attack and no sample beats a bound, none that is rounded outward is above one that is not by
//! more than its roundings, and the order of the bounds is the page's.

use crate::common::{Lab, entry, values};
use candle_core::{DType, Tensor};
use std::rc::Rc;
use workbench::base::random::Generator;
use workbench::nn::Sequential;
use workbench::script::values as script;

/// A net by a number, in f64: chains with every kind, a residual tree, branches side by side, an activation of the script's own.
const NETS: &str = r#"
    let kinds = [relu(), relu_theta(0.4), leaky_relu(0.1), abs(), maxmin(), clipped_maxmin(0.3, -0.2), relu6(), half_abs(),
        activation("own", #{ forward: |x| x.relu() - 0.5 * (x - 0.5).relu(), lipschitz: 1.0, box: |l, u| [l.relu() - 0.5 * (l - 0.5).relu(), u.relu() - 0.5 * (u - 0.5).relu()],
            varying: (), lines: |l, u| [(u <= 0.0).to_dtype(l.dtype) * 0.0, l.relu() - 0.5 * (l - 0.5).relu(), l * 0.0, u.relu() - 0.5 * (u - 0.5).relu()] })];
    let act   = kinds[number % 9];
    let next  = kinds[(number / 9).to_int() % 8];
    let net   = switch number % 5 {
        0 => [conv2d(4, 3, #{ padding: 1 }), act, conv2d(4, 3, #{ stride: 2 }), next, flatten(), linear(8), act, linear(3)],
        1 => [normalize([0.4, 0.5], [0.5, 0.25]), conv2d(4, 3), act, flatten(), linear(6), next, linear(4)],
        2 => [conv2d(4, 3, #{ padding: 1 }), residual([conv2d(4, 3, #{ padding: 1 }), act, conv2d(4, 1)]), next, flatten(), linear(3)],
        3 => [conv2d(4, 3, #{ padding: 1 }), act, parallel([conv2d(2, 1), [conv2d(2, 1), next]]), avg_pool2d(2), flatten(), linear(3)],
        _ => [flatten(), linear(10), act, linear(6), next, linear(2)],
    };
    sequential([2, 6, 6], net, #{ dtype: "f64" })
"#;

const BOUNDS: &str = r#"
    import "std/relax"   as relax;
    import "std/certify" as certify;
    let y     = model.forward(x).argmax(1);
    let found = #{ y: y };
    for kind in ["interval", "crown_ibp", "crown", "cap"] { found[kind] = relax::bound(kind, model, x, y, eps).margins; }
    for slopes in ["zero", "one"] { found[slopes] = relax::bound("crown", model, x, y, eps, #{ slopes: slopes }).margins; }
    found.linf     = relax::bound("crown", model, x, y, eps, #{ norm: "linf" }).margins;
    let images     = relax::bound("crown", model, x, y, eps, #{ images: true });
    found.images   = images.margins;
    found["interval images"] = relax::bound("interval", model, x, y, eps, #{ images: true }).margins;
    let back       = relax::back(linear_bound(specification(y, model.classes).to_dtype("f64")), images.layers);
    for over in ["ball", "both"] { found[`over ${over}`] = with_label(back.concretise(images.input.region, over), y); }
    let prepared   = certify::prepare(model, "rigorous");
    for kind in ["interval", "crown_ibp", "crown", "cap"] { found[`outward ${kind}`] = certify::relaxed(prepared, kind, x, y, eps, #{}).margins; }
    found.attacked = model.forward(pgd(model, x, y, eps, #{ clip: false, stop_early: false, steps: 30 }));
    found["attacked inside"] = model.forward(pgd(model, x, y, eps, #{ clip: true, stop_early: false, steps: 30 }));
    found
"#;

#[test]
fn no_point_of_the_ball_beats_a_bound() {
    // One of ten thousand once, by hand; in every run as many as have each kind and each shape.
    let nets = std::env::var("WORKBENCH_NETS").ok().and_then(|n| n.parse().ok()).unwrap_or(45);
    let random = Generator::new(77);
    let (mut gained, mut helped) = (0, 0);
    for number in 0..nets {
        let mut lab = Lab::new();
        lab.set("number", i64::from(number).into());
        let net: Rc<Sequential> = lab.run(NETS).cast::<script::Model>().0;
        let x = random.uniform(0.0, 1.0, [2, 2, 6, 6].as_slice(), DType::F64, &crate::common::device()).unwrap();
        let eps = 10f64.powf(-2.0 + 2.0 * random.unit());
        lab.model("model", &net).tensor("x", &x).set("eps", eps.into());
        let found = lab.run(BOUNDS);
        // Its own activation is a script's.
        let _here = workbench::script::language::kept::here(&lab.engine);
        let classes = net.output()[0];
        let label: Vec<usize> = values(&entry(&found, "y")).into_iter().map(|y| y as usize).collect();
        let ball = |corner: bool, images: bool| -> Vec<f64> {
            let d = random.normal(0.0, 1.0, x.dims(), DType::F64, &crate::common::device()).unwrap();
            let d = if corner { d.sign().unwrap() } else { d };
            let norm = match corner {
                true => Tensor::ones((2, 1), DType::F64, x.device()).unwrap(),
                false => d.sqr().unwrap().flatten_from(1).unwrap().sum_keepdim(1).unwrap().sqrt().unwrap(),
            };
            let flat = d.flatten_from(1).unwrap().broadcast_div(&norm).unwrap();
            let moved = (&x + (flat.reshape(x.dims()).unwrap() * eps).unwrap()).unwrap();
            // Held to [0, 1] a point comes nearer to the image.
            let moved = if images { moved.clamp(0.0, 1.0).unwrap() } else { moved };
            values(&net.forward(&moved).unwrap())
        };
        let mut points = vec![values(&entry(&found, "attacked"))];
        points.extend((0..20).map(|_| ball(false, false)));
        let corners: Vec<_> = (0..20).map(|_| ball(true, false)).collect();
        let holds = |kind: &str, points: &[Vec<f64>]| {
            let margins = values(&entry(&found, kind));
            for logits in points {
                for (b, y) in label.iter().enumerate() {
                    for j in (0..classes).filter(|j| j != y) {
                        let reached = logits[b * classes + y] - logits[b * classes + j];
                        let bound = margins[b * classes + j];
                        assert!(
                            bound <= reached + 1e-9 * (1.0 + bound.abs()),
                            "net {number}, {kind}, eps {eps}: {bound} above {reached}\n{}",
                            net.describe()
                        );
                    }
                }
            }
        };
        for kind in ["interval", "crown_ibp", "crown", "cap", "zero", "one"] {
            holds(kind, &points);
        }
        for kind in ["interval", "crown_ibp", "crown", "cap"] {
            holds(&format!("outward {kind}"), &points);
        }
        holds("linf", &corners);
        let mut inside = vec![values(&entry(&found, "attacked inside"))];
        inside.extend((0..20).map(|_| ball(false, true)));
        holds("images", &inside);
        let list = |kind: &str| values(&entry(&found, kind));
        for i in 0..label.len() * classes {
            let (interval, crown_ibp, crown) = (list("interval")[i], list("crown_ibp")[i], list("crown")[i]);
            let slack = 1e-9 * (1.0 + interval.abs());
            assert!(crown_ibp >= interval - slack, "net {number}: one walk back is taken where it is better");
            gained += usize::from(crown > crown_ibp + slack);
            // Of what lies in [0, 1] boxes are no wider, and the same lines are no lower; other lines may be, as adaptive slopes are a choice.
            for [part, whole] in
                [["interval images", "interval"], ["over both", "over ball"]].map(|pair| pair.map(list))
            {
                assert!(part[i] >= whole[i] - 1e-7 * (1.0 + whole[i].abs()), "net {number}: [0, 1] helps");
                helped += usize::from(part[i] > whole[i] + 1e-6);
            }
        }
    }
    assert!(gained > 30, "walks of their own must gain somewhere: {gained}");
    assert!(helped > 30, "holding images to [0, 1] must gain somewhere: {helped}");
}

/// Along random directions of all parameters, margins change as their gradients say: pairs, thresholds, residual trees, branches side by side.
#[test]
fn gradients_are_those_of_differences() {
    let random = Generator::new(78);
    for number in [0, 1, 2, 4, 5, 7, 8, 12, 13, 22, 38] {
        let mut lab = Lab::new();
        lab.set("number", i64::from(number).into());
        let net: Rc<Sequential> = lab.run(NETS).cast::<script::Model>().0;
        let x = random.uniform(0.0, 1.0, [3, 2, 6, 6].as_slice(), DType::F64, &crate::common::device()).unwrap();
        lab.model("model", &net).tensor("x", &x);
        let found = lab.run(
            r#"
            import "std/relax" as relax;
            let y    = model.forward(x).argmax(1);
            let loss = || { let a = relax::bound("crown_ibp", model, x, y, 0.05); let b = relax::bound("cap", model, x, y, 0.05); (a.linear.tanh() + 0.3 * a.interval.tanh() + b.margins.tanh()).sum() };
            let gradients = loss.call().backward();
            let slope = 0.0;
            let moves = #{};
            for name in model.parameters.keys() {
                let p = model.param(name);
                moves[name] = randn(p.shape).to_dtype("f64");
                let own = gradients.of(p);
                if own != () { slope += (own * moves[name]).sum().item(); }
            }
            let at = |h| { for name in moves.keys() { model.set_param(name, model.param(name).detach() + moves[name] * h); } };
            at.call(1e-6); let above = loss.call().item();
            at.call(-2e-6); let below = loss.call().item();
            at.call(1e-6);
            [slope, (above - below) / 2e-6]
            "#,
        );
        let pair: Vec<f64> = found.into_typed_array().unwrap();
        let gap = (pair[0] - pair[1]).abs();
        assert!(
            gap < 1e-5 * (1.0 + pair[1].abs()),
            "net {number}: {} by gradients, {} by differences\n{}",
            pair[0],
            pair[1],
            net.describe()
        );
    }
}
