//! Properties over random small nets of every layer kind, stride and padding: norms against a dense SVD, bounds against
//! attacks, exact worst logits against an independent solution.

mod common;

use candle_core::{DType, Tensor, Var};
use common::{Lab, dense, entry, random_net, values};
use nalgebra::DMatrix;
use std::rc::Rc;
use workbench::base::random::Generator;
use workbench::bounds::WorstMethod;
use workbench::bounds::{Arithmetic, PowerOptions, Region, spectral_norm, worst_logits};
use workbench::compute::autograd::backward;
use workbench::nn::layers::{Conv2d, Linear, Normalize, Relu};
use workbench::nn::{LayerSpec, Sequential};
use workbench::train::losses;

const CONVERGED: PowerOptions =
    PowerOptions { iterations: 50_000, tolerance: Some(1e-12), arithmetic: Arithmetic::Own };

fn largest_singular_value(m: DMatrix<f64>) -> f64 {
    m.singular_values().max()
}

#[test]
fn masked_norms_are_those_of_a_dense_svd() {
    let random = Generator::new(11);
    let mut checked = 0;
    for _ in 0..40 {
        let net = random_net(&random);
        for layer in net.layers().iter().filter(|l| l.is_affine()) {
            let matrix = dense(layer);
            let density = random.unit();
            let mask = |shape: &[usize]| {
                let shape = [&[3], shape].concat();
                random.uniform(0.0, 1.0, shape, DType::F64, &common::device()).unwrap().le(density).unwrap()
            };
            let (columns, rows) = (mask(&layer.input), mask(&layer.output));
            let u = random
                .normal(0.0, 1.0, [&[3], layer.input.as_slice()].concat(), DType::F64, &common::device())
                .unwrap();
            let found = spectral_norm(layer, &u, Some(&columns), Some(&rows), CONVERGED).unwrap();
            let (columns, rows) = (values(&columns), values(&rows));
            let (n, m) = (matrix.ncols(), matrix.nrows());
            for (b, sigma) in values(&found.sigma).into_iter().enumerate() {
                let masked = DMatrix::from_fn(m, n, |i, j| rows[b * m + i] * matrix[(i, j)] * columns[b * n + j]);
                let truth = largest_singular_value(masked);
                let what = format!("{} over {:?}", layer.spec.describe(), layer.input);
                if layer.spec.is::<Normalize>() {
                    assert!(sigma >= truth * (1.0 - 1e-12), "{what}: {sigma} below {truth}");
                } else {
                    // Values closer together than one by the number of iterations are not told apart; the norm is then low by
                    // some log / 4n.
                    let close = if found.converged[b] { 1e-7 } else { 1e-4 };
                    assert!((sigma - truth).abs() <= close * truth.max(1e-9), "{what}: {sigma} against {truth}");
                }
                checked += 1;
            }
            let whole = spectral_norm(layer, &u.narrow(0, 0, 1).unwrap(), None, None, CONVERGED).unwrap();
            let (sigma, truth) = (values(&whole.sigma)[0], largest_singular_value(matrix));
            assert!((sigma - truth).abs() <= 1e-7 * truth, "{}: {sigma} against {truth}", layer.spec.describe());
        }
    }
    assert!(checked > 300);
}

/// A warm start that the mask cuts away altogether, or that lies in the null space, must not hide the norm.
#[test]
fn dead_start_vectors_are_replaced() {
    for features in [4, 64] {
        let spec = [LayerSpec::of(Linear { features, bias: false })];
        let net = Sequential::new(&[6], &spec, DType::F64, &common::device(), &Generator::new(1)).unwrap();
        let layer = &net.layers()[0];
        let u = Tensor::new(&[[1f64, 0., 0., 0., 0., 0.], [0.; 6]], &common::device()).unwrap();
        let columns = Tensor::new(&[[0u8, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]], &common::device()).unwrap();
        let found = spectral_norm(layer, &u, Some(&columns), None, CONVERGED).unwrap();
        let matrix = dense(layer);
        let cut = DMatrix::from_fn(matrix.nrows(), 6, |i, j| if j == 0 { 0.0 } else { matrix[(i, j)] });
        for (sigma, truth) in values(&found.sigma).into_iter().zip([cut, matrix].map(largest_singular_value)) {
            assert!((sigma - truth).abs() < 1e-9, "{sigma} against {truth}");
        }
    }
}

/// A zero layer has norm 0 and no NaN anywhere; huge and tiny weights neither overflow nor vanish.
#[test]
fn norms_of_extreme_weights() {
    for (scale, dtype) in
        [(0.0, DType::F32), (1e-30, DType::F32), (1e30, DType::F32), (1e-160, DType::F64), (1e160, DType::F64)]
    {
        for spec in [
            LayerSpec::of(Linear { features: 5, bias: false }),
            LayerSpec::of(Conv2d { channels: 3, kernel: 3, stride: 1, padding: 1, bias: false }),
        ] {
            let input: &[usize] = if spec.is::<Linear>() { &[7] } else { &[2, 5, 5] };
            let unit =
                Sequential::new(input, std::slice::from_ref(&spec), DType::F64, &common::device(), &Generator::new(2))
                    .unwrap();
            let net = unit.to_dtype(dtype).unwrap();
            for (_, var) in net.parameters() {
                var.set(&(var.as_tensor().detach() * scale).unwrap()).unwrap();
            }
            let u = Generator::new(3).normal(0.0, 1.0, [&[2], input].concat(), dtype, &common::device()).unwrap();
            let found = spectral_norm(
                &net.layers()[0],
                &u,
                None,
                None,
                PowerOptions { iterations: 500, tolerance: None, arithmetic: Arithmetic::Own },
            )
            .unwrap();
            let truth = largest_singular_value(dense(&unit.layers()[0])) * scale;
            for sigma in values(&found.sigma) {
                assert!((sigma - truth).abs() <= 1e-3 * truth, "scale {scale:e}: {sigma:e} against {truth:e}");
            }
        }
    }
}

/// A sample's result does not depend on who shares its batch.
#[test]
fn samples_converge_on_their_own() {
    let random = Generator::new(12);
    for _ in 0..10 {
        let net = random_net(&random);
        for layer in net.layers().iter().filter(|l| l.is_affine()) {
            let u = random
                .normal(0.0, 1.0, [&[9], layer.input.as_slice()].concat(), DType::F64, &common::device())
                .unwrap();
            let options = PowerOptions { iterations: 300, tolerance: Some(1e-3), arithmetic: Arithmetic::Own };
            let together = spectral_norm(layer, &u, None, None, options).unwrap();
            for b in 0..9 {
                let alone = spectral_norm(layer, &u.narrow(0, b, 1).unwrap(), None, None, options).unwrap();
                assert_eq!(alone.iterations[0], together.iterations[b], "{}", layer.spec.describe());
                let (a, t) = (values(&alone.sigma)[0], values(&together.sigma)[b]);
                assert!((a - t).abs() <= 1e-12 * t, "{}: {a} alone, {t} together", layer.spec.describe());
            }
        }
    }
}

/// The penultimate features of a net.
fn features(net: &Sequential, x: &Tensor) -> Tensor {
    let layers = net.layers();
    layers[..layers.len() - 1].iter().fold(x.clone(), |x, l| l.forward(&x).unwrap())
}

/// No local bound above the global one, none below a slope that an attack finds inside the ball; boxes and balls hold.
#[test]
fn local_bounds_hold_under_attack() {
    let random = Generator::new(13);
    for _ in 0..25 {
        let net = Rc::new(random_net(&random));
        let eps = 0.02 + 0.5 * random.unit();
        let x = random.uniform(0.0, 1.0, [&[2], net.input()].concat(), DType::F64, &common::device()).unwrap();
        let mut lab = Lab::new();
        lab.model("model", &net).tensor("x", &x).set("eps", eps.into());
        let found = lab.run(
            r#"
            import "std/local_lip" as lip;
            let power = #{ iterations: 50000, tolerance: 1e-12 };
            let local  = lip::bounds(model, x, eps, fresh_vectors(model, 2), power);
            let global = lip::bounds(model, x, eps, fresh_vectors(model, 2), power, #{ global: true });
            #{ local: local.lipschitz, global: global.lipschitz, whole: lip::whole_network(model, local, power),
               lower: local.region.lower, upper: local.region.upper, center: local.region.center }
            "#,
        );
        let (local, global) = (values(&entry(&found, "local")), values(&entry(&found, "global")));
        for b in 0..2 {
            assert!(
                local[b] <= global[b] * (1.0 + 1e-9),
                "local {} above global {}\n{}",
                local[b],
                global[b],
                net.describe()
            );
        }
        let unit = |t: &Tensor| workbench::compute::norms::samples::normalize_samples(t).unwrap().0;
        let norms = |t: &Tensor| values(&workbench::compute::norms::samples::sample_norms(t).unwrap());
        for _ in 0..4 {
            let draw = || unit(&random.normal(0.0, 1.0, x.shape(), DType::F64, &common::device()).unwrap());
            let point = (&x + (draw() * (eps * 0.999 * random.unit())).unwrap()).unwrap();
            let z = features(&net, &point);
            let inside = |low: &str, high: &str| {
                let (l, u) = (values(&entry(&found, low)), values(&entry(&found, high)));
                values(&z).iter().zip(l.iter().zip(&u)).all(|(z, (l, u))| *z >= l - 1e-9 && *z <= u + 1e-9)
            };
            assert!(inside("lower", "upper"), "a point of the ball leaves the box\n{}", net.describe());
            // Ascent on the slope from this point, staying inside the ball.
            let mut direction = draw();
            for _ in 0..12 {
                let step = 1e-5;
                let moved = Var::from_tensor(&(&point + (&direction * step).unwrap()).unwrap()).unwrap();
                let away = (features(&net, moved.as_tensor()) - &z).unwrap();
                let slopes: Vec<f64> = norms(&away).iter().map(|n| n / step).collect();
                let whole = values(&entry(&found, "whole"));
                let last = net.layers().last().unwrap();
                let outputs = (last.forward(&(&z + &away).unwrap()).unwrap() - last.forward(&z).unwrap()).unwrap();
                for (b, (slope, output)) in slopes.iter().zip(norms(&outputs)).enumerate() {
                    assert!(
                        *slope <= local[b] * (1.0 + 1e-6),
                        "slope {slope} above the bound {}\n{}",
                        local[b],
                        net.describe()
                    );
                    assert!(output / step <= whole[b] * (1.0 + 1e-6), "slope {} above {}", output / step, whole[b]);
                }
                let gradients = backward(&away.sqr().unwrap().sum_all().unwrap()).unwrap();
                direction = unit(gradients.get(moved.as_tensor()).unwrap());
            }
        }
    }
}

/// maximise D.d over ||d|| <= r, low <= d <= high by bisection on the multiplier: independent of breakpoints.
fn by_bisection(direction: &[f64], low: &[f64], high: &[f64], r: f64) -> f64 {
    let point = |s: f64| -> Vec<f64> {
        direction
            .iter()
            .zip(low.iter().zip(high))
            .map(|(d, (l, h))| if *d == 0.0 { 0.0 } else { (s * d).clamp(*l, *h) })
            .collect()
    };
    let norm = |d: &[f64]| d.iter().map(|x| x * x).sum::<f64>().sqrt();
    let dot = |d: &[f64]| direction.iter().zip(d).map(|(a, b)| a * b).sum::<f64>();
    let corner = point(f64::INFINITY);
    if norm(&corner) <= r {
        return dot(&corner);
    }
    let (mut inside, mut outside) = (0.0f64, 1.0f64);
    while norm(&point(outside)) < r {
        outside *= 2.0;
    }
    for _ in 0..2000 {
        let middle = 0.5 * (inside + outside);
        if norm(&point(middle)) <= r { inside = middle } else { outside = middle }
    }
    dot(&point(inside))
}

#[test]
fn exact_worst_logits_are_the_maximum() {
    let random = Generator::new(14);
    for round in 0..400 {
        let (features, classes) = (1 + round % 17, 2 + round % 4);
        let spec = [LayerSpec::of(Linear { features: classes, bias: true })];
        let net = Sequential::new(&[features], &spec, DType::F64, &common::device(), &random).unwrap();
        let layer = &net.layers()[0];
        let radius = 10f64.powf(-8.0 + 10.0 * random.unit());
        let width = 10f64.powf(-4.0 + 6.0 * random.unit()) * radius;
        let side = |sign: f64| -> Vec<f64> {
            // Some sides are closed: a feature that cannot move that way.
            (0..features).map(|_| if random.unit() < 0.2 { 0.0 } else { sign * width * random.unit() }).collect()
        };
        let (low, high) = (side(-1.0), side(1.0));
        let make = |v: &[f64]| Tensor::new(v, &common::device()).unwrap().unsqueeze(0).unwrap();
        // Centre 0, so that box sides of 1e-12 are not lost in rounding.
        let reach = Tensor::new(&[radius], &common::device()).unwrap();
        let region = Region::new(&make(&vec![0.0; features]), &make(&low), &make(&high), reach).unwrap();
        let label = round % classes;
        let y = Tensor::new(&[label as u32], &common::device()).unwrap();
        let worst = worst_logits(layer, &region, &region.radius, &y, WorstMethod::Exact).unwrap();
        let logits = values(&layer.forward(&region.center().unwrap()).unwrap());
        let weight = layer.weight().unwrap().to_vec2::<f64>().unwrap();
        for (j, worst) in values(&worst).into_iter().enumerate() {
            let direction: Vec<f64> = weight[j].iter().zip(&weight[label]).map(|(a, b)| a - b).collect();
            let truth = by_bisection(&direction, &low, &high, radius);
            let rise = worst - logits[j];
            let rounding = 4.0 * f64::EPSILON * logits[j].abs();
            assert!((rise - truth).abs() <= 1e-9 * truth + rounding, "radius {radius:e}: {rise:e} against {truth:e}");
        }
    }
}

/// Ties, NaN and infinities certify nothing, and are not correct either.
#[test]
fn nothing_but_a_finite_positive_margin_counts() {
    let inf = f64::INFINITY;
    let logits = Tensor::new(
        &[[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [f64::NAN, 0.0], [1.0, f64::NAN], [inf, 0.0], [1.0, -inf], [-inf, -inf]],
        &common::device(),
    )
    .unwrap();
    let y = Tensor::zeros(8, DType::U32, &common::device()).unwrap();
    assert_eq!(values(&workbench::bounds::correct(&logits, &y).unwrap()), [1., 0., 0., 0., 0., 0., 0., 0.]);
}

/// A network whose product of norms overflows certifies nothing.
#[test]
fn an_overflowing_product_certifies_nothing() {
    let specs = [
        LayerSpec::of(Linear { features: 8, bias: true }),
        LayerSpec::of(Relu),
        LayerSpec::of(Linear { features: 8, bias: true }),
        LayerSpec::of(Relu),
        LayerSpec::of(Linear { features: 3, bias: true }),
    ];
    let net = Sequential::new(&[4], &specs, DType::F32, &common::device(), &Generator::new(3)).unwrap();
    for (name, var) in net.parameters().iter().filter(|(n, _)| n.ends_with("weight")) {
        let scale = if name == "4.weight" { 1.0 } else { 1e25 };
        var.set(&(var.as_tensor().detach() * scale).unwrap()).unwrap();
    }
    let x = Generator::new(4).uniform(0.0, 1.0, (5, 4), DType::F32, &common::device()).unwrap();
    let mut lab = Lab::new();
    lab.model("model", &Rc::new(net)).tensor("x", &x);
    let found = lab.run(
        r#"
        import "std/local_lip" as lip;
        let bounds = lip::bounds(model, x, 0.1, fresh_vectors(model, 5), 50);
        let y = bounds.logits.argmax(1);
        #{ certified: correct(worst_logits(model, bounds, y), y), ball: correct(worst_logits(model, bounds, y, #{ method: "ball" }), y) }
        "#,
    );
    assert_eq!(values(&entry(&found, "certified")), [0.0; 5]);
    assert_eq!(values(&entry(&found, "ball")), [0.0; 5]);
}

/// A label that no class has would make up a logit: refused, in every loss and verdict.
#[test]
fn labels_without_a_class_are_refused() {
    let logits = Tensor::new(&[[-1f32, -2.0, -3.0]], &common::device()).unwrap();
    for bad in [
        Tensor::new(&[-1i64], &common::device()),
        Tensor::new(&[3i64], &common::device()),
        Tensor::new(&[0.9f32], &common::device()),
    ] {
        let bad = bad.unwrap();
        assert!(workbench::bounds::correct(&logits, &bad).is_err());
        assert!(losses::cross_entropy(&logits, &bad).is_err());
        assert!(losses::gloro_logits(&logits, &logits, &bad).is_err());
    }
}

/// Views and copies of a frozen network are the network.
#[test]
fn frozen_networks_keep_their_parameters() {
    let net = random_net(&Generator::new(15));
    let x = Generator::new(16).uniform(0.0, 1.0, [&[2], net.input()].concat(), DType::F64, &common::device()).unwrap();
    let truth = values(&net.forward(&x).unwrap());
    let frozen = net.frozen();
    assert_eq!(values(&frozen.forward(&x).unwrap()), truth);
    assert_eq!(values(&frozen.to_dtype(DType::F64).unwrap().forward(&x).unwrap()), truth);
    assert!(
        backward(&frozen.forward(&x).unwrap().sum_all().unwrap())
            .unwrap()
            .get(net.parameters()[0].1.as_tensor())
            .is_none()
    );
}

/// Small integers and masks in arithmetic: nothing wraps around.
#[test]
fn masks_add_up() {
    let mut lab = Lab::new();
    let found = lab.run(
        r#"
        let mask = ones([300], "u8");
        [mask.sum().item(), (1 - mask).sum().item(), (mask * 0.5).sum().item(), (-mask).sum().item(), (mask < 0.5).sum().item(),
         (mask / 2).sum().item(), tensor([-2.0]).pow(2).item(), mask.sqrt().sum().item()]
        "#,
    );
    let found: Vec<f64> = found.into_array().unwrap().iter().map(|v| v.as_float().unwrap()).collect();
    assert_eq!(found, [300.0, 0.0, 150.0, -300.0, 0.0, 150.0, 4.0, 300.0]);
}
