//! Gradients of every op, and of the whole loss, against central differences in f64.

mod common;

use candle_core::{DType, Result, Tensor, Var};
use common::{Lab, random_net, tensor_of, values};
use std::rc::Rc;
use workbench::base::random::Generator;
use workbench::bounds::{Arithmetic, PowerOptions, Region, WorstMethod, spectral_norm, worst_logits};
use workbench::compute::autograd::backward;
use workbench::compute::conv::{Window, conv2d, conv2d_input, conv2d_weight};
use workbench::compute::elementwise::clip::{clip, larger, relu, smaller};
use workbench::compute::norms::channels::add_channels;
use workbench::nn::layers::Linear;
use workbench::nn::{LayerSpec, Sequential};
use workbench::train::losses;

fn draw(random: &Generator, shape: &[usize]) -> Tensor {
    random.normal(0.0, 1.0, shape, DType::F64, &common::device()).unwrap()
}

/// Compare the gradient of `sum(weights * f(inputs))` in each input with central differences along random directions.
fn check(what: &str, random: &Generator, inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) {
    let vars: Vec<Var> = inputs.iter().map(|t| Var::from_tensor(t).unwrap()).collect();
    let tensors = |values: &[Tensor]| values.to_vec();
    let out = f(&vars.iter().map(|v| v.as_tensor().clone()).collect::<Vec<_>>()).unwrap();
    let weights = draw(random, out.dims());
    let gradients = backward(&(&out * &weights).unwrap().sum_all().unwrap()).unwrap();
    let value =
        |inputs: &[Tensor]| (f(inputs).unwrap() * &weights).unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
    for (i, var) in vars.iter().enumerate() {
        let gradient = gradients.get(var.as_tensor()).unwrap_or_else(|| panic!("{what}: no gradient in input {i}"));
        for _ in 0..4 {
            let direction = draw(random, var.dims());
            let h = 1e-6;
            let moved = |sign: f64| {
                let mut inputs = tensors(inputs);
                inputs[i] = (&inputs[i] + (&direction * (sign * h)).unwrap()).unwrap();
                value(&inputs)
            };
            let expected = (moved(1.0) - moved(-1.0)) / (2.0 * h);
            let got = (gradient * &direction).unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
            let scale = expected.abs().max(got.abs()).max(1e-3);
            assert!((got - expected).abs() <= 2e-6 * scale, "{what}, input {i}: {got} against {expected}");
        }
    }
}

#[test]
fn convolutions() {
    let random = Generator::new(1);
    for (size, kernel, stride, padding) in
        [((5, 6), (3, 3), 1, 1), ((7, 5), (4, 2), 2, 1), ((6, 9), (1, 3), 3, 0), ((4, 4), (4, 4), 2, 3)]
    {
        let window = Window::new(stride, padding);
        let (x, w) = (draw(&random, &[3, 2, size.0, size.1]), draw(&random, &[4, 2, kernel.0, kernel.1]));
        let y = draw(&random, conv2d(&x, &w, window).unwrap().dims());
        check("conv2d", &random, &[x.clone(), w.clone()], |t| conv2d(&t[0], &t[1], window));
        check("conv2d_input", &random, &[y.clone(), w], |t| conv2d_input(&t[0], &t[1], window, size));
        check("conv2d_weight", &random, &[x, y], |t| conv2d_weight(&t[0], &t[1], window, kernel));
    }
}

#[test]
fn channels() {
    let random = Generator::new(7);
    for shape in [vec![3, 4], vec![3, 4, 5, 3]] {
        for rows in [1, 3] {
            let inputs = [draw(&random, &shape), draw(&random, &[rows, 4])];
            check("add_channels", &random, &inputs, |t| add_channels(&t[0], &t[1]));
        }
    }
}

#[test]
fn activations() {
    let random = Generator::new(2);
    let (x, t) = (draw(&random, &[5, 2, 3, 3]), draw(&random, &[1, 2, 3, 3]));
    let positive = t.abs().unwrap();
    check("clip", &random, &[x.clone(), positive], |a| clip(&a[0], &a[1]));
    check("relu", &random, std::slice::from_ref(&x), |a| relu(&a[0]));
    for t in [t, draw(&random, x.dims())] {
        check("smaller", &random, &[x.clone(), t.clone()], |a| smaller(&a[0], &a[1]));
        check("larger", &random, &[x.clone(), t], |a| larger(&a[0], &a[1]));
    }
}

/// At a tie the whole gradient goes to one side, not a half to each; a threshold of 0 can still grow.
#[test]
fn ties_do_not_split_the_gradient() {
    let var = |v: &[f64]| Var::from_tensor(&Tensor::new(v, &common::device()).unwrap().unsqueeze(0).unwrap()).unwrap();
    let (x, t) = (var(&[0.5, 1.0, 0.0, -1.0, 2.0]), var(&[0.5, 0.0, 0.0, 1.0, 1.0]));
    let gradients = backward(&clip(x.as_tensor(), t.as_tensor()).unwrap().sum_all().unwrap()).unwrap();
    assert_eq!(values(gradients.get(x.as_tensor()).unwrap()), [0.0, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(values(gradients.get(t.as_tensor()).unwrap()), [1.0, 1.0, 1.0, 0.0, 1.0]);
}

fn last_layer(random: &Generator, features: usize, classes: usize) -> Sequential {
    let spec = [LayerSpec::of(Linear { features: classes, bias: true })];
    Sequential::new(&[features], &spec, DType::F64, &common::device(), random).unwrap()
}

#[test]
fn worst_logits_by_every_method() {
    let random = Generator::new(3);
    let model = last_layer(&random, 12, 4);
    let layer = &model.layers()[0];
    let y = Tensor::new(&[0u32, 3, 1], &common::device()).unwrap();
    let center = draw(&random, &[3, 12]);
    let room = || (draw(&random, &[3, 12]).abs().unwrap() * 0.3).unwrap();
    let (lower, upper) = ((&center - room()).unwrap(), (&center + room()).unwrap());
    for radius in [0.05, 0.6, 50.0] {
        for method in [
            WorstMethod::Exact,
            WorstMethod::Clip { iterations: 1, constant: 0.0 },
            WorstMethod::Clip { iterations: 6, constant: 0.0 },
            WorstMethod::Ball,
            WorstMethod::Box,
        ] {
            if radius > 1.0 && matches!(method, WorstMethod::Clip { .. }) {
                continue; // every coordinate clipped: the published form sits on its kink there
            }
            let radius = Tensor::full(radius, 3, &common::device()).unwrap();
            let inputs = [center.clone(), lower.clone(), upper.clone(), radius];
            // Each method ignores some inputs; adding them with weight 0 keeps the check the same for all.
            check(&format!("{method:?}"), &random, &inputs, |t| {
                let region = Region::new(&t[0], &t[1], &t[2], t[3].clone())?;
                let zero = (((t[1].sum_all()? + t[2].sum_all()?)? + t[3].sum_all()?)? * 1e-30)?;
                worst_logits(layer, &region, &t[3], &y, method)?.broadcast_add(&zero)
            });
        }
    }
}

#[test]
fn losses_of_logits() {
    let random = Generator::new(4);
    let (logits, worst) = (draw(&random, &[5, 4]), draw(&random, &[5, 4]));
    let y = Tensor::new(&[0u32, 3, 1, 2, 2], &common::device()).unwrap();
    check("cross_entropy", &random, std::slice::from_ref(&logits), |t| losses::cross_entropy(&t[0], &y));
    let radius = draw(&random, &[5]).abs().unwrap();
    check("lmt", &random, &[logits.clone(), radius], |t| losses::lmt_logits(&t[0], &t[1], &y));
    check("gloro", &random, &[logits, worst], |t| losses::cross_entropy(&losses::gloro_logits(&t[0], &t[1], &y)?, &y));
}

/// The envelope: with converged vectors, the gradient of a masked norm in the weights.
#[test]
fn spectral_norms() {
    let random = Generator::new(5);
    let mut checked = 0;
    for _ in 0..8 {
        let net = random_net(&random);
        for layer in net.layers().iter().filter(|l| l.weight().is_some()) {
            let mask = |shape: &[usize]| {
                let shape = [&[2], shape].concat();
                random.uniform(0.0, 1.0, shape, DType::F64, &common::device()).unwrap().gt(0.3).unwrap()
            };
            let (columns, rows) = (mask(&layer.input), mask(&layer.output));
            let u = draw(&random, &[&[2], layer.input.as_slice()].concat());
            let options = PowerOptions { iterations: 20_000, tolerance: Some(1e-13), arithmetic: Arithmetic::Own };
            let norm = || spectral_norm(layer, &u, Some(&columns), Some(&rows), options).unwrap();
            let found = norm();
            let (_, var) = net.parameters().iter().find(|(n, _)| *n == format!("{}.weight", layer.index)).unwrap();
            let Ok(gradients) = backward(&found.sigma.sum_all().unwrap()) else { continue };
            let gradient = gradients.get(var.as_tensor()).unwrap().detach();
            let start = var.as_tensor().detach().copy().unwrap();
            let direction = draw(&random, var.dims());
            let at = |h: f64| {
                var.set(&(&start + (&direction * h).unwrap()).unwrap()).unwrap();
                norm().sigma.sum_all().unwrap().detach().to_scalar::<f64>().unwrap()
            };
            let slope = |h: f64| (at(h) - at(-h)) / (2.0 * h);
            // Where the second singular value lies close a norm bends, and differences are off by an eighth of what the two
            // steps differ by. Vectors that have not converged have no such slope.
            let (expected, wide) = (slope(1e-6), slope(3e-6));
            var.set(&start).unwrap();
            if !found.converged.iter().all(|c| *c) {
                continue;
            }
            checked += 1;
            let got = (gradient * &direction).unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
            assert!(
                (got - expected).abs() <= 2e-6 * expected.abs().max(1.0) + (expected - wide).abs(),
                "{}: {got} against {expected}",
                layer.spec.describe()
            );
        }
    }
    assert!(checked > 8, "{checked} layers checked");
}

/// The whole loss through Algorithm 1 as scripts have it, vectors converged, away from kinks: gradients in every parameter.
#[test]
fn the_whole_loss() {
    let random = Generator::new(6);
    let (mut checked, mut kinks) = (0, 0);
    for net_number in 0..6 {
        let net = Rc::new(random_net(&random));
        let classes = net.output()[0];
        let x = random.uniform(0.0, 1.0, [&[3], net.input()].concat(), DType::F64, &common::device()).unwrap();
        let y = Tensor::new((0..3u32).map(|i| i % classes as u32).collect::<Vec<_>>(), &common::device()).unwrap();
        let mut lab = Lab::new();
        lab.model("model", &net).tensor("x", &x).tensor("y", &y);
        let script = r#"
            import "std/local_lip" as lip;
            import "std/losses" as losses;
            let bounds = lip::bounds(model, x, 0.07, fresh_vectors(model, 3), #{ iterations: 20000, tolerance: 1e-13 });
            let worst  = worst_logits(model, bounds, y);
            losses::bcp(bounds.logits, worst, y, 0.3) + 0.1 * losses::gloro(bounds.logits, worst, y)
        "#;
        let loss = |lab: &mut Lab| tensor_of(&lab.run(script));
        let gradients = backward(&loss(&mut lab)).unwrap();
        for (name, var) in net.parameters() {
            let start = var.as_tensor().detach().copy().unwrap();
            let direction = draw(&random, var.dims());
            let mut slope = |h: f64| {
                let mut at = |h: f64| {
                    var.set(&(&start + (&direction * h).unwrap()).unwrap()).unwrap();
                    values(&loss(&mut lab))[0]
                };
                (at(h) - at(-h)) / (2.0 * h)
            };
            let (near, wide) = (slope(1e-6), slope(3e-6));
            var.set(&start).unwrap();
            // Two step sizes disagree where a mask, a clip or a maximum flips between them: a kink, not a gradient.
            if (near - wide).abs() > 1e-5 * near.abs().max(1e-2) {
                kinks += 1;
                continue;
            }
            let got = gradients
                .get(var.as_tensor())
                .map_or(0.0, |g| (g.detach() * &direction).unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap());
            assert!(
                (got - near).abs() <= 2e-5 * near.abs().max(1e-2),
                "net {net_number}, {name}: {got} against {near}"
            );
            checked += 1;
        }
    }
    assert!(checked > 3 * kinks && checked > 15, "{checked} gradients checked, {kinks} at kinks");
}

/// A NaN stays a NaN through every activation: swallowed, it would let a broken network be certified.
#[test]
fn nan_is_not_swallowed() {
    let nan = Tensor::new(&[[f64::NAN, 1.0]], &common::device()).unwrap();
    let one = Tensor::new(&[[1.0, f64::NAN]], &common::device()).unwrap();
    for (what, y) in [("clip", clip(&nan, &one)), ("smaller", smaller(&nan, &one)), ("larger", larger(&nan, &one))] {
        assert!(values(&y.unwrap()).iter().all(|y| y.is_nan()), "{what}");
    }
    assert!(values(&relu(&nan).unwrap())[0].is_nan());
}
