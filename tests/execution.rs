//! f32 as it runs against exact arithmetic: random small nets of every layer kind, executed by loops of this file in every order of
//! sums, with FMA, with subnormal numbers flushed, and by the workbench's own products. No execution lies beyond the bound
//! that `arithmetic: "f32"` takes from margins. The exact side is f64, whose own error is 2^-29 of these bounds: it obeys
//! the same recursion. `WORKBENCH_CASES` networks, 60 without it; how far the bounds lie above the worst that was seen is printed.

mod common;
#[path = "execution/executed.rs"]
mod executed;

use candle_core::{DType, Device, Tensor};
use common::{Lab, entry, random_net_on, values};
use executed::{How, features_and_logits};
use rhai::{Dynamic, Map};
use std::rc::Rc;
use workbench::base::random::Generator;
use workbench::nn::layers::{Linear, Relu, ReluTheta};
use workbench::nn::{LayerSpec, Sequential};

const BOUNDS: &str = r#"
    import "std/certify" as certify;
    let y     = model.forward(x).argmax(1);
    let index = []; for i in 0..x.len() { index.push(i); }
    let found = #{ y: y };
    let runs  = certify::prepare(model, "rigorous", #{ arithmetic: "f32" });
    let exact = certify::prepare(model, "rigorous");
    for local in [false, true] {
        let r = certify::margins_within(runs, x, y, eps, index, 0, local);
        found[`runs_${local}`]      = r.margins;
        found[`exact_${local}`]     = certify::margins_within(exact, x, y, eps, index, 0, local).margins;
        found[`execution_${local}`] = r.found.execution;
        found[`region_${local}`]    = r.found.region;
        found[`radius_${local}`]    = r.found.radius;
    }
    found
"#;

fn cases() -> usize {
    std::env::var("WORKBENCH_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(60)
}

fn get<T: Clone + 'static>(found: &Dynamic, key: &str) -> T {
    found.clone().try_cast::<Map>().unwrap()[key].clone().try_cast::<T>().unwrap_or_else(|| panic!("`{key}`"))
}

/// f64 parameters that are f32 numbers, weights scaled.
fn round(net: &Sequential, scale: impl Fn() -> f64) {
    for (name, var) in net.parameters() {
        let scale = if name.ends_with(".weight") { scale() } else { 1.0 };
        let value = (var.as_tensor().detach() * scale).unwrap().to_dtype(DType::F32).unwrap();
        var.set(&value.to_dtype(DType::F64).unwrap()).unwrap();
    }
}

/// f32 points within `eps` of `x`, most of them close to the sphere.
fn point(random: &Generator, x: &Tensor, eps: f64) -> Tensor {
    let d = random.normal(0.0, 1.0, x.dims(), DType::F64, &Device::Cpu).unwrap();
    let norm = d.sqr().unwrap().flatten_from(1).unwrap().sum_keepdim(1).unwrap().sqrt().unwrap();
    let flat = (d.flatten_from(1).unwrap().broadcast_div(&norm).unwrap() * (0.999 * eps)).unwrap();
    let moved = (x + flat.reshape(x.dims()).unwrap()).unwrap().to_dtype(DType::F32).unwrap();
    let gone =
        (moved.to_dtype(DType::F64).unwrap() - x).unwrap().flatten_from(1).unwrap().sqr().unwrap().sum(1).unwrap();
    assert!(values(&gone).into_iter().all(|square| square.sqrt() <= eps), "rounded out of the ball");
    moved
}

/// `got` within `bound` of zero; remembers the largest share of it that was reached. A bound that is NaN promises nothing.
#[track_caller]
fn within(what: &str, got: f64, bound: f64, reached: &mut f64) {
    if bound.is_nan() {
        return;
    }
    assert!(got <= bound * (1.0 + 1e-8), "{what}: {got:e} beyond {bound:e}");
    if bound > 0.0 {
        *reached = reached.max(got / bound);
    }
}

#[test]
fn no_execution_leaves_its_bound() {
    let random = Generator::new(911);
    let (mut certified, mut lost, mut spoilt) = (0, 0, 0);
    let mut shares: Vec<[f64; 3]> = vec![];
    for case in 0..cases() {
        let net = Rc::new(random_net_on(&random, &Device::Cpu));
        let scales = [1.0, 1.0, 1.0, 1e-3, 1e3, 1e-12, 1e12, 1e-30, 1e30];
        let scale = scales[(random.unit() * scales.len() as f64) as usize];
        round(&net, || if random.unit() < 0.5 { scale } else { 1.0 });
        let small = Rc::new(net.to_dtype(DType::F32).unwrap());
        let x = random.uniform(0.0, 1.0, [&[3], net.input()].concat(), DType::F32, &Device::Cpu).unwrap();
        let x = x.to_dtype(DType::F64).unwrap();
        let eps = 10f64.powf(-3.5 + 3.0 * random.unit());
        let mut lab = Lab::on(Device::Cpu);
        lab.model("model", &net).tensor("x", &x).set("eps", eps.into());
        let found = lab.run(BOUNDS);
        let labels: Vec<u32> = values(&entry(&found, "y")).into_iter().map(|y| y as u32).collect();
        let last = net.layers().last().unwrap();
        let (classes, batch) = (net.output()[0], labels.len());
        let mut share = [0.0; 3];
        for round in 0..16 {
            let moved = point(&random, &x, eps);
            let wide = moved.to_dtype(DType::F64).unwrap();
            let exact = net.layers()[..net.layers().len() - 1].iter().fold(wide, |a, layer| layer.forward(&a).unwrap());
            let logits = values(&last.forward(&exact).unwrap());
            let exact = values(&exact);
            let width = exact.len() / batch;
            for b in 0..batch {
                let how = How::of(round, &random);
                let (features, executed) = if how.own {
                    let own = |layers: &[workbench::nn::Layer]| {
                        let one = moved.narrow(0, b, 1).unwrap();
                        values(&layers.iter().fold(one, |a, layer| layer.forward(&a).unwrap()))
                    };
                    (own(&small.layers()[..small.layers().len() - 1]), own(small.layers()))
                } else {
                    features_and_logits(&net, &moved.get(b).unwrap(), &how)
                };
                let off = |got: &[f64], truth: &[f64]| -> Vec<f64> {
                    got.iter().zip(truth).map(|(g, t)| (g - t).abs()).collect()
                };
                let gaps = off(&features, &exact[b * width..][..width]);
                let logits = &logits[b * classes..][..classes];
                for local in [false, true] {
                    let what = format!("net {case}, {how:?}, eps {eps:e}, local {local}\n{}", net.describe());
                    let execution: workbench::script::values::Execution = get(&found, &format!("execution_{local}"));
                    let region: workbench::script::values::Region = get(&found, &format!("region_{local}"));
                    let each = values(&execution.0.each.get(b).unwrap());
                    gaps.iter().zip(&each).for_each(|(gap, bound)| within(&what, *gap, *bound, &mut share[0]));
                    let norm = values(&execution.0.norm)[b];
                    within(&what, gaps.iter().map(|g| g * g).sum::<f64>().sqrt(), norm, &mut share[1]);
                    let losses = execution
                        .0
                        .margin_losses(last, &region.0, &entry(&found, &format!("radius_{local}")), &labels)
                        .unwrap();
                    let y = labels[b] as usize;
                    let certificate = values(&entry(&found, &format!("runs_{local}")))[b];
                    for j in (0..classes).filter(|j| *j != y) {
                        let (ran, truth) = (executed[y] - executed[j], logits[y] - logits[j]);
                        within(&what, (ran - truth).abs(), losses[b * classes + j], &mut share[2]);
                        assert!(
                            certificate.is_nan() || certificate <= ran + 1e-8 * ran.abs(),
                            "{what}: {certificate:e} above {ran:e}"
                        );
                    }
                    // What ran into infinities was promised nothing.
                    if executed.iter().any(|z| !z.is_finite()) {
                        assert!(certificate.is_nan(), "{what}: {certificate} of {executed:?}");
                    }
                }
            }
        }
        for local in [false, true] {
            let of = |key: &str| values(&entry(&found, &format!("{key}_{local}")));
            for (runs, exact) in of("runs").into_iter().zip(of("exact")) {
                assert!(runs.is_nan() || runs <= exact + 1e-12 * exact.abs(), "net {case}: {runs} above {exact}");
                certified += usize::from(runs > 0.0);
                lost += usize::from(exact > 0.0 && (runs <= 0.0 || runs.is_nan()));
                spoilt += usize::from(runs.is_nan());
            }
        }
        shares.push(share);
    }
    for (i, what) in ["elementwise", "in norm", "margin"].iter().enumerate() {
        let mut ratios: Vec<f64> = shares.iter().map(|s| 1.0 / s[i]).filter(|r| r.is_finite()).collect();
        ratios.sort_by(f64::total_cmp);
        println!("bound over the worst seen, {what}: least {:.2}, median {:.1}", ratios[0], ratios[ratios.len() / 2]);
        // A bound that nothing comes near to would be of no use.
        assert!(ratios[ratios.len() / 2] < 200.0, "{what}: {ratios:?}");
    }
    println!("{certified} certified for f32; {lost} by exact arithmetic alone, {spoilt} spoilt by overflow");
    assert!(certified > cases() && lost > 0);
}

/// A small network with the parameters given, in f64.
fn linear_net(inputs: usize, hidden: LayerSpec, first: (&[f64], &[f64]), second: (&[f64], &[f64])) -> Rc<Sequential> {
    let linear = |features| LayerSpec::of(Linear { features, bias: true });
    let specs = [linear(first.1.len()), hidden, linear(second.1.len())];
    let net = Rc::new(Sequential::new(&[inputs], &specs, DType::F64, &Device::Cpu, &Generator::new(0)).unwrap());
    for (name, value) in [("0.weight", first.0), ("0.bias", first.1), ("2.weight", second.0), ("2.bias", second.1)] {
        let var = net.parameter(name).unwrap();
        var.set(&Tensor::from_vec(value.to_vec(), var.as_tensor().shape(), &Device::Cpu).unwrap()).unwrap();
    }
    net
}

fn certified(net: &Rc<Sequential>, x: &[f64], eps: f64) -> (Vec<f64>, Vec<f64>) {
    let x = Tensor::from_vec(x.to_vec(), (1, x.len()), &Device::Cpu).unwrap();
    let mut lab = Lab::on(Device::Cpu);
    lab.model("model", net).tensor("x", &x).set("eps", eps.into());
    let found = lab.run(BOUNDS);
    let both = |key: &str| [false, true].iter().map(|l| values(&entry(&found, &format!("{key}_{l}")))[0]).collect();
    (both("exact"), both("runs"))
}

/// The hidden neuron is -1/2 and closed over the whole ball, in exact arithmetic; f32 makes it 1/2, and the other class wins.
#[test]
fn what_f32_gets_wrong_is_certified_by_exact_arithmetic_alone() {
    let large = 2f64.powi(25);
    for hidden in [LayerSpec::of(Relu), LayerSpec::of(ReluTheta { theta: 4.0 })] {
        let net = linear_net(3, hidden, (&[large, -1.0, -large], &[0.5]), (&[0.0, 10.0], &[1.0, 0.0]));
        let x = Tensor::new(&[1f32, 1.0, 1.0], &Device::Cpu).unwrap();
        let logits = features_and_logits(&net, &x, &How::in_turn()).1;
        assert!(logits[1] > logits[0], "f32 is meant to be wrong here: {logits:?}");
        let (exact, runs) = certified(&net, &[1.0, 1.0, 1.0], 1e-9);
        assert!(exact[1] > 0.9, "{exact:?}");
        assert!(runs.iter().all(|margin| *margin < 0.0), "{runs:?}");
    }
    // The same margin without the cancellation.
    let net = linear_net(3, LayerSpec::of(Relu), (&[1.0, -1.0, -1.0], &[0.5]), (&[0.0, 10.0], &[1.0, 0.0]));
    let (exact, runs) = certified(&net, &[1.0, 1.0, 1.0], 1e-9);
    assert!(runs[1] > 0.99 && runs[1] < exact[1], "{runs:?} {exact:?}");
}

/// A sum that leaves f32's range on its way, though it ends at 0, certifies nothing; close to it, it does.
#[test]
fn overflow_certifies_nothing() {
    // A weight beyond f32 is refused before (tests/meaning/soundness).
    for (size, holds) in [(1.8e38, false), (1.6e38, true), (3.4e38, false)] {
        let net = linear_net(
            2,
            LayerSpec::of(Relu),
            (&[size, size, 1.0, 1.0], &[-size, 0.0]),
            (&[0.0, 1.0, 0.0, 0.0], &[0.0, 0.0]),
        );
        let (exact, runs) = certified(&net, &[0.0, 1.0], 1e-3);
        assert!(size > f64::from(f32::MAX) || exact[1] > 0.0, "{size:e}: {exact:?}");
        assert_eq!(runs[1] > 0.0, holds, "{size:e}: {runs:?}");
        assert_eq!(runs[1].is_nan(), !holds, "{size:e}: {runs:?}");
    }
}

/// Weights that f32 flushes: exact arithmetic tells the classes apart, an f32 that has no subnormal numbers sees a tie.
#[test]
fn what_is_flushed_certifies_nothing() {
    let tiny = 2f64.powi(-140);
    let net = linear_net(1, LayerSpec::of(Relu), (&[1.0], &[0.0]), (&[tiny, 0.0], &[0.0, 0.0]));
    let x = Tensor::new(&[1f32], &Device::Cpu).unwrap();
    let flushed = features_and_logits(&net, &x, &How { flush: true, ..How::in_turn() }).1;
    assert_eq!(flushed, [0.0, 0.0]);
    let (exact, runs) = certified(&net, &[1.0], 0.1);
    assert!(exact[1] > 0.0 && runs[1] <= 0.0, "{exact:?} {runs:?}");
}

#[test]
fn options_and_words() {
    let net = linear_net(2, LayerSpec::of(ReluTheta { theta: 0.3 }), (&[0.1, 0.2], &[0.1]), (&[0.0, 1.0], &[0.0, 0.0]));
    let mut lab = Lab::on(Device::Cpu);
    lab.model("model", &net);
    // Parameters of f64 are rounded to those that run, thresholds too.
    let said = lab.run(
        r#"
        import "std/certify" as certify;
        let p = certify::prepare(model, "rigorous", #{ arithmetic: "f32" });
        let refused = ["", ""];
        try { certify::prepare(model, "estimate", #{ arithmetic: "f32" }); } catch (e) { refused[0] = `${e}`; }
        try { certify::prepare(model, "rigorous", #{ arithmetic: "f16" }); } catch (e) { refused[1] = `${e}`; }
        let x = tensor([[0.5, 0.5]]);
        [certify::describe_kind(p), refused[0], refused[1], `${certify::radius_of(p, x, tensor([1]).to_dtype("u32")) > 0.0}`, p.fast.dtype]
        "#,
    );
    let said: Vec<String> = said.into_array().unwrap().into_iter().map(|s| s.to_string()).collect();
    assert!(said[0].ends_with("for f32 execution in any order of sums"), "{said:?}");
    assert!(said[1].contains("estimate") && said[2].contains("known: exact, f32"), "{said:?}");
    assert_eq!(said[3..], ["true", "f32"]);
}
