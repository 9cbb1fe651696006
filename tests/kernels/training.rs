//! Steps of Adam and NAdam, thresholds, a whole training.

use super::common::emulation::on_the_host;
use super::common::rounding::Spread;
use super::common::{Lab, random_net_on, tensor_of, values};
use super::{CPU, as_for_tensor_cores, chosen, draw, gap};
use candle_core::{DType, Result, Tensor, Var};
use std::rc::Rc;
use workbench::base::random::Generator;
use workbench::nn::layers::{Linear, ReluTheta};
use workbench::nn::{LayerSpec, Sequential};
use workbench::train::optimizer::{Optimizer, OptimizerKind};

#[test]
fn steps_of_adam_and_nadam() {
    let random = Generator::new(8);
    // Several parameters at once, of one block and of several.
    let shapes = [vec![300], vec![1], vec![70, 61], vec![1024]];
    let (start, goal): (Vec<_>, Vec<_>) = shapes.iter().map(|s| (draw(&random, s), draw(&random, s))).unzip();
    let adam = OptimizerKind::Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, decoupled: true };
    let nadam = OptimizerKind::Nadam { beta1: 0.9, beta2: 0.999, eps: 1e-8, momentum_decay: 4e-3, decoupled: false };
    let steps = |kind: &OptimizerKind, dtype: DType| {
        let var = |t: &Tensor| Var::from_tensor(&t.to_dtype(dtype).unwrap()).unwrap();
        let named: Vec<_> = start.iter().enumerate().map(|(i, t)| (i.to_string(), var(t))).collect();
        let mut optimizer = Optimizer::new(kind.clone(), &named, 0.05, 0.01, Some(2.0)).unwrap();
        for _ in 0..25 {
            let mut loss = Tensor::zeros((), dtype, &CPU).unwrap();
            for ((_, p), goal) in named.iter().zip(&goal) {
                let off = (p.as_tensor() - goal.to_dtype(dtype).unwrap()).unwrap();
                loss = (loss + off.sqr().unwrap().sum_all().unwrap()).unwrap();
            }
            optimizer.step(&loss, None).unwrap();
        }
        let flat = |p: &Var| p.as_tensor().detach().flatten_all().unwrap();
        Tensor::cat(&named.iter().map(|(_, p)| flat(p)).collect::<Vec<_>>(), 0).unwrap()
    };
    for kind in [adam, nadam] {
        let truth = steps(&kind, DType::F64);
        for (dtype, tolerance) in [(DType::F64, 1e-12_f64), (DType::F32, 1e-5)] {
            let Some(found) = on_the_host(|| steps(&kind, dtype)) else { return };
            // Steps divide by the size of gradients, which here go to 0: what rounding alone makes of that is seen on the CPU.
            let (off, rounded) = (gap(&found, &truth), gap(&steps(&kind, dtype), &truth));
            assert!(
                off < tolerance.max(4.0 * rounded),
                "{kind:?} in {dtype:?}: off by {off:e}, the CPU by {rounded:e}"
            );
        }
    }
}

/// Thresholds that have gone below 0 come back to it, and a broken one stays broken.
#[test]
fn thresholds_are_projected() {
    let specs = [LayerSpec::of(ReluTheta { theta: 1.0 }), LayerSpec::of(Linear { features: 900, bias: true })];
    let specs =
        [&specs[..], &[LayerSpec::of(ReluTheta { theta: 1.0 }), LayerSpec::of(Linear { features: 2, bias: true })]]
            .concat();
    let random = Generator::new(10);
    let model = Sequential::new(&[1300], &specs, DType::F32, &CPU, &random).unwrap();
    let thresholds: Vec<_> = model.parameters().iter().filter(|(name, _)| name.ends_with("threshold")).collect();
    let mut wanted = vec![];
    for (_, var) in &thresholds {
        let mut numbers = values(&draw(&random, var.dims()));
        numbers[3] = f64::NAN;
        wanted.push(numbers.iter().map(|x| if *x < 0.0 { 0.0 } else { *x as f32 }).collect::<Vec<f32>>());
        var.set(&Tensor::from_vec(numbers, var.shape(), &CPU).unwrap().to_dtype(DType::F32).unwrap()).unwrap();
    }
    if on_the_host(|| model.project_thresholds().unwrap()).is_none() {
        return;
    }
    for ((_, var), wanted) in thresholds.iter().zip(wanted) {
        let found = var.as_tensor().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(found.iter().zip(&wanted).all(|(a, b)| a == b || a.is_nan() && b.is_nan()));
    }
}

/// Training as a script does it: the same losses, step by step, and the same parameters at the end.
#[test]
fn a_trajectory_of_training() {
    let script = r#"
        import "std/local_lip" as lip;
        import "std/losses" as losses;
        let optimizer = adam(model, #{ lr: 0.01 });
        let found = [];
        for step in 0..8 {
            let from = (step % 2) * 6;
            let at = x[from..from + 6];
            let label = y[from..from + 6];
            let bounds = lip::bounds(model, at, 0.05, fresh_vectors(model, 6), #{ iterations: 2 });
            let worst = worst_logits(model, bounds, label);
            let loss = losses::bcp(bounds.logits, worst, label, 0.5);
            optimizer.step(loss);
            found.push(loss);
        }
        stack(found, 0)
    "#;
    let random = Generator::new(9);
    for _ in 0..4 {
        // Weights and images that f32 can hold.
        let net = random_net_on(&random, &CPU).to_dtype(DType::F32).unwrap().to_dtype(DType::F64).unwrap();
        let net = net.computed_in(&chosen());
        let classes = net.output()[0] as u32;
        let x = random.uniform(0.0, 1.0, [&[12], net.input()].concat(), DType::F32, &CPU).unwrap();
        let y = Tensor::new((0..12u32).map(|i| i % classes).collect::<Vec<_>>(), &CPU).unwrap();
        // Losses and parameters, one row of each.
        let train = |net: &Sequential| {
            let model = Rc::new(net.to_dtype(net.dtype())?);
            let mut lab = Lab::new();
            lab.model("model", &model).tensor("x", &x.to_dtype(net.dtype())?).tensor("y", &y);
            let losses = tensor_of(&lab.run(script)).detach().unsqueeze(0)?;
            let parameters = model.parameters().iter().map(|(_, v)| v.as_tensor().detach().flatten_all());
            Ok(vec![losses, Tensor::cat(&parameters.collect::<Result<Vec<_>>>()?, 0)?.unsqueeze(0)?])
        };
        // Adam divides by the size of gradients, so that rounding grows faster than the loss shows, and in f32 by how much is
        // a question of the net. In f64 what is left of it is below this.
        let spread = Spread::of(&net, train);
        for dtype in [DType::F64, DType::F32] {
            let net = net.to_dtype(dtype).unwrap();
            let Some(plain) = on_the_host(|| train(&net).unwrap()) else { return };
            let Some(turned) = on_the_host(|| as_for_tensor_cores(|| train(&net).unwrap())) else { return };
            for found in [plain, turned] {
                for (i, (found, bound)) in found.iter().zip([1e-6, 1e-5]).enumerate() {
                    if dtype == DType::F64 {
                        let gap = gap(found, &spread.truth[i]);
                        assert!(gap < bound, "result {i}: {gap:.1e}");
                    } else {
                        spread.check(["losses", "parameters"][i], i, found);
                    }
                }
            }
        }
    }
}
