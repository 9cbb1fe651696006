//! Certificates on random small nets of every layer kind: what is certified withstands every attack, the bounds of `std/certify`
//! hold, and what is not finite or tied never certifies. On the CPU, which is where certificates are made. `WORKBENCH_CASES`
//! networks, 60 without it.

mod common;

use candle_core::{DType, Device, Tensor};
use common::{Lab, dense, entry, random_net_on, values};
use std::rc::Rc;
use workbench::base::random::Generator;
use workbench::nn::Sequential;
use workbench::nn::layers::{Conv2d, Flatten, Linear, MaxMin};

const CERTIFY: &str = r#"
    import "std/certify" as certify;
    let y     = model.forward(x).argmax(1);
    let index = []; for i in 0..x.len() { index.push(i); }
    let found = #{ y: y };
    for kind in ["rigorous", "probabilistic", "audit"] {
        let prepared = certify::prepare(model, kind, #{ samples: 4 });
        for local in [false, true] {
            let r = certify::margins_within(prepared, x, y, eps, index, 0, local);
            found[`${kind}_${local}`] = r.margins;
            if kind == "rigorous" && local {
                found.lipschitz = r.lipschitz;
                found.radius = r.found.radius;
                found.center = r.found.region.center; found.lower = r.found.region.lower; found.upper = r.found.region.upper;
            }
        }
    }
    found.attacked = [
        pgd(model, x, y, eps, #{ clip: false, steps: 40 }), pgd(model, x, y, eps, #{ clip: false, steps: 40, loss: "margin" }),
    ].map(|points| model.forward(points));
    found.points = stack(found.attacked, 0);
    found
"#;

fn cases() -> usize {
    std::env::var("WORKBENCH_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(60)
}

/// `logit_y - max other` of each of a batch.
fn margins(logits: &[f64], labels: &[usize], classes: usize) -> Vec<f64> {
    let of = |b: usize| {
        let row = &logits[b * classes..][..classes];
        let others = (0..classes).filter(|j| *j != labels[b]).map(|j| row[j]);
        row[labels[b]] - others.fold(f64::NEG_INFINITY, f64::max)
    };
    (0..labels.len()).map(of).collect()
}

/// The layers before the last, on f64 images.
fn features(net: &Sequential, x: &Tensor) -> Tensor {
    let layers = net.layers();
    layers[..layers.len() - 1].iter().fold(x.clone(), |x, layer| layer.forward(&x).unwrap())
}

#[test]
fn no_point_of_the_ball_beats_a_certificate() {
    let random = Generator::new(71);
    let (mut certified, mut open, mut weak) = (0, 0, f64::INFINITY);
    for case in 0..cases() {
        let net = Rc::new(random_net_on(&random, &Device::Cpu));
        // Some networks with layers far apart in size; some all tiny, some all huge.
        let scale = [1.0, 1.0, 1e-3, 1e3, 1e-12, 1e12][(random.unit() * 6.0) as usize];
        for (name, var) in net.parameters() {
            if name.ends_with(".weight") && random.unit() < 0.5 {
                var.set(&(var.as_tensor().detach() * scale).unwrap()).unwrap();
            }
        }
        let x = random.uniform(0.0, 1.0, [&[4], net.input()].concat(), DType::F64, &Device::Cpu).unwrap();
        let eps = 10f64.powf(-3.0 + 3.0 * random.unit());
        let mut lab = Lab::on(Device::Cpu);
        lab.model("model", &net).tensor("x", &x).set("eps", eps.into());
        let found = lab.run(CERTIFY);
        let label: Vec<usize> = values(&entry(&found, "y")).into_iter().map(|y| y as usize).collect();
        let classes = net.output()[0];
        let mut reached = vec![f64::INFINITY; label.len()];
        let attacked = entry(&found, "points");
        let mut points: Vec<Vec<f64>> = (0..2).map(|i| values(&attacked.get(i).unwrap())).collect();
        let (center, lower, upper) =
            (values(&entry(&found, "center")), values(&entry(&found, "lower")), values(&entry(&found, "upper")));
        let (radius, width) = (values(&entry(&found, "radius")), center.len() / label.len());
        for _ in 0..20 {
            let d = random.normal(0.0, 1.0, x.dims(), DType::F64, &Device::Cpu).unwrap();
            let norm = d.sqr().unwrap().flatten_from(1).unwrap().sum_keepdim(1).unwrap().sqrt().unwrap();
            let flat = d.flatten_from(1).unwrap().broadcast_div(&norm).unwrap();
            let moved = (&x + (flat.reshape(x.dims()).unwrap() * (eps * (1.0 - 1e-12))).unwrap()).unwrap();
            // Box and ball before the last layer hold every point.
            let z = values(&features(&net, &moved));
            for (b, radius) in radius.iter().enumerate() {
                let mut squares = 0.0;
                for i in b * width..(b + 1) * width {
                    assert!(
                        z[i] >= lower[i] && z[i] <= upper[i],
                        "net {case}: feature {} outside of its box",
                        i - b * width
                    );
                    squares += (z[i] - center[i]).powi(2);
                }
                assert!(squares.sqrt() <= *radius, "net {case}: {} outside of the ball of {}", squares.sqrt(), radius);
            }
            points.push(values(&net.forward(&moved).unwrap()));
        }
        for logits in &points {
            margins(logits, &label, classes).iter().zip(&mut reached).for_each(|(m, least)| *least = least.min(*m));
        }
        for kind in ["rigorous", "probabilistic", "audit"] {
            let (global, local) =
                (values(&entry(&found, &format!("{kind}_false"))), values(&entry(&found, &format!("{kind}_true"))));
            for b in 0..label.len() {
                for margin in [global[b], local[b]] {
                    let slack = 1e-13 * (1.0 + reached[b].abs());
                    assert!(
                        margin <= reached[b] + slack,
                        "net {case}, {kind}, eps {eps}: {margin} above {}\n{}",
                        reached[b],
                        net.describe()
                    );
                    if margin > 0.0 {
                        certified += 1;
                        weak = weak.min(margin);
                    } else {
                        open += 1;
                    }
                }
                // Masks can only help.
                assert!(
                    local[b] >= global[b] - 1e-9 * (1.0 + global[b].abs()),
                    "net {case}, {kind}: {} below {}",
                    local[b],
                    global[b]
                );
            }
        }
    }
    println!("{certified} certificates, {open} open; the smallest certified margin {weak:e}");
    assert!(certified > cases() && open > cases(), "{certified} certified, {open} open");
}

/// Products that vanish below the smallest number, or whose squares do, on their way to a network that is not small at all.
#[test]
fn what_underflows_does_not_certify() {
    use workbench::nn::LayerSpec;
    for (depth, scale) in [(27, 1e-12f64), (1, 1e-170), (1, 1e-160), (14, 1e-12)] {
        let linear = || LayerSpec::of(Linear { features: 2, bias: false });
        let mut specs: Vec<LayerSpec> = (0..2 * depth).flat_map(|_| [linear(), LayerSpec::of(MaxMin)]).collect();
        specs.push(LayerSpec::of(Linear { features: 2, bias: true }));
        let net = Rc::new(Sequential::new(&[2], &specs, DType::F64, &Device::Cpu, &Generator::new(1)).unwrap());
        let eye = Tensor::eye(2, DType::F64, &Device::Cpu).unwrap();
        let weights: Vec<_> = net.parameters().iter().filter(|(name, _)| name.ends_with(".weight")).collect();
        for (i, (_, var)) in weights.iter().enumerate() {
            let factor = if i == 2 * depth {
                1.0
            } else if i < depth {
                scale
            } else {
                1.0 / scale
            };
            var.set(&(&eye * factor).unwrap()).unwrap();
        }
        net.parameter(&format!("{}.bias", specs.len() - 1))
            .unwrap()
            .set(&Tensor::new(&[0.3, 0.0], &Device::Cpu).unwrap())
            .unwrap();
        // Sorted, then compared after a gap of 0.3: within 1 the order of the logits can be had either way.
        let x = Tensor::new(&[[0.5, 0.5]], &Device::Cpu).unwrap();
        let mut lab = Lab::on(Device::Cpu);
        lab.model("model", &net).tensor("x", &x).set("eps", 1.0.into());
        let found = lab.run(
            r#"
            import "std/certify" as certify;
            let p = certify::prepare(model, "rigorous");
            #{
                lipschitz: certify::upper_bounds(p, x, eps, [0], 0, true).lipschitz,
                rounding: certify::upper_bounds(p, x, eps, [0], 0, true).region.rounding,
                radius: certify::upper_bounds(p, x, eps, [0], 0, true).region.radius,
                width: certify::upper_bounds(p, x, eps, [0], 0, true).region.mean_width,
            }
            "#,
        );
        let of = |key: &str| values(&entry(&found, key))[0];
        assert!(
            of("lipschitz") >= 1.0 && of("radius") >= 1.0 && of("width") >= 1.0,
            "{depth} layers of {scale:e}: {} {} {}",
            of("lipschitz"),
            of("radius"),
            of("width")
        );
    }
}

/// The product of the norms is no smaller than the change that any step makes, and equals the dense one for linear networks.
#[test]
fn bounds_of_a_linear_network_are_tight() {
    use workbench::nn::LayerSpec;
    let specs = [
        LayerSpec::of(Conv2d { channels: 4, kernel: 3, stride: 1, padding: 1, bias: true }),
        LayerSpec::of(Flatten),
        LayerSpec::of(Linear { features: 3, bias: true }),
    ];
    let net = Rc::new(Sequential::new(&[2, 6, 6], &specs, DType::F64, &Device::Cpu, &Generator::new(3)).unwrap());
    let x = Generator::new(4).uniform(0.0, 1.0, (2, 2, 6, 6), DType::F64, &Device::Cpu).unwrap();
    let mut lab = Lab::on(Device::Cpu);
    lab.model("model", &net).tensor("x", &x).set("eps", 0.1.into());
    let found = lab.run(CERTIFY);
    let truth = dense(&net.layers()[0]).singular_values().max();
    for lipschitz in values(&entry(&found, "lipschitz")) {
        assert!(lipschitz >= truth && lipschitz <= truth * 1.001, "{lipschitz} against {truth}");
    }
}

/// NaN weights, weights so large that products overflow, ties, zero layers: nothing is certified, nothing hangs.
#[test]
fn nothing_broken_certifies() {
    let random = Generator::new(5);
    let mut seen = 0;
    for bad in [f64::NAN, f64::INFINITY, 1e200, 0.0] {
        for _ in 0..6 {
            let net = Rc::new(random_net_on(&random, &Device::Cpu));
            for (name, var) in net.parameters() {
                let shape = var.as_tensor().shape().clone();
                let spoilt = match bad {
                    0.0 => var.as_tensor().zeros_like().unwrap(),
                    1e200 => (var.as_tensor().detach() * bad).unwrap(),
                    _ if name.ends_with(".weight") => Tensor::full(bad, shape, &Device::Cpu).unwrap(),
                    _ => continue,
                };
                var.set(&spoilt).unwrap();
            }
            let x = random.uniform(0.1, 1.0, [&[4], net.input()].concat(), DType::F64, &Device::Cpu).unwrap();
            let mut lab = Lab::on(Device::Cpu);
            lab.model("model", &net).tensor("x", &x).set("eps", 0.05.into());
            let found = lab.run(
                r#"
                import "std/certify" as certify;
                let y = (model.forward(x) * 0.0 + 1.0).argmax(1);
                let found = #{};
                for kind in ["rigorous", "probabilistic"] {
                    let prepared = certify::prepare(model, kind, #{ samples: 4 });
                    for local in [false, true] {
                        found[`${kind}_${local}`] = certify::margins_within(prepared, x, y, eps, [0, 1, 2, 3], 0, local).margins;
                    }
                }
                found
                "#,
            );
            for key in ["rigorous_false", "rigorous_true", "probabilistic_false", "probabilistic_true"] {
                for margin in values(&entry(&found, key)) {
                    let certified = margin > 0.0 && margin.is_finite();
                    assert!(!certified, "weights {bad}: margin {margin}\n{}", net.describe());
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 300);
}

/// Margins next to the least number, where products vanish: against whole numbers, which are exact.
#[test]
fn margins_next_to_nothing_are_rounded_outward() {
    use workbench::bounds::{Region, certified_margins};
    use workbench::nn::LayerSpec;
    let random = Generator::new(31);
    let draw = |reach: f64| (random.unit() * (2.0 * reach + 1.0)).floor() as i64 - reach as i64;
    let (n, half) = (4, 2f64.powi(-538));
    let (mut certified, mut tight) = (0, 0);
    for case in 0..4000 {
        // Weights and features are multiples of 2^-538, biases of 2^-1074: all in units of 2^-1076, exactly.
        let reach = [1.0, 3.0, 40.0][case % 3];
        let w: Vec<i64> = (0..2 * n).map(|_| draw(reach)).collect();
        let c: Vec<i64> = (0..n).map(|_| draw(reach)).collect();
        let b: Vec<i64> = (0..2).map(|_| draw(reach)).collect();
        let exact: i64 = 4 * (b[0] - b[1]) + (0..n).map(|i| (w[i] - w[n + i]) * c[i]).sum::<i64>();
        let specs = [LayerSpec::of(Linear { features: 2, bias: true })];
        let net = Sequential::new(&[n], &specs, DType::F64, &Device::Cpu, &Generator::new(0)).unwrap();
        let set = |name: &str, values: Vec<f64>| {
            let var = net.parameter(name).unwrap();
            var.set(&Tensor::from_vec(values, var.dims(), &Device::Cpu).unwrap()).unwrap();
        };
        set("0.weight", w.iter().map(|w| *w as f64 * half).collect());
        set("0.bias", b.iter().map(|b| *b as f64 * f64::from_bits(1)).collect());
        let x = Tensor::from_vec(c.iter().map(|c| *c as f64 * half).collect::<Vec<_>>(), (1, n), &Device::Cpu).unwrap();
        let radius = Tensor::zeros(1, DType::F64, &Device::Cpu).unwrap();
        let mut region = Region::new(&x, &x, &x, radius.clone()).unwrap();
        region.rounding = Some(radius.clone());
        let label = Tensor::new(&[0u32], &Device::Cpu).unwrap();
        let margin = values(&certified_margins(&net.layers()[0], &region, &radius, &label, None).unwrap())[0];
        // Four units are the least number.
        assert!(margin <= 0.0 || exact > 0, "{margin:e} where the exact margin is {exact} / 4 of the least number");
        assert!(margin / f64::from_bits(1) <= exact as f64 / 4.0 + 1.0, "{margin:e}, exact {exact}");
        certified += usize::from(margin > 0.0);
        tight += usize::from(exact > 0);
    }
    println!("{certified} of {tight} certified");
    assert!(certified > tight / 10, "{certified} of {tight}");
}
