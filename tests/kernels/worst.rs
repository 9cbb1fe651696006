//! Worst logits.

use super::common::emulation::on_the_host;
use super::{CPU, check, draw, layer};
use candle_core::{DType, Tensor};
use workbench::base::random::Generator;
use workbench::bounds::{Region, WorstMethod, worst_logits};
use workbench::nn::LayerSpec;
use workbench::nn::layers::Linear;

#[test]
fn worst_logits_by_every_method() {
    let random = Generator::new(5);
    let y = Tensor::new(&[0u32, 4, 1, 2, 4], &CPU).unwrap();
    let (weight, bias) = (draw(&random, &[6, 37]), draw(&random, &[6]));
    let center = draw(&random, &[5, 37]);
    let room = || (draw(&random, &[5, 37]).abs().unwrap() * 0.3).unwrap();
    let (lower, upper) = ((&center - room()).unwrap(), (&center + room()).unwrap());
    let model = layer(&[37], LayerSpec::of(Linear { features: 6, bias: true }), &random);
    for radius in [0.0, 0.05, 0.6, 1.5, 50.0] {
        for method in [
            WorstMethod::Exact,
            WorstMethod::Clip { iterations: 1, constant: 0.0 },
            WorstMethod::Clip { iterations: 5, constant: 0.0 },
            WorstMethod::Ball,
            WorstMethod::Box,
        ] {
            let radius = Tensor::full(radius, 5, &CPU).unwrap();
            let inputs = [weight.clone(), bias.clone(), center.clone(), lower.clone(), upper.clone(), radius];
            check(&format!("{method:?}"), &inputs, |a| {
                let last = model.to_dtype(a[0].dtype())?.layers()[0].clone();
                let last = last.with_parameters(&[("weight", a[0].clone()), ("bias", a[1].clone())])?;
                let region = Region::new(&a[2], &a[3], &a[4], a[5].clone())?;
                Ok(vec![worst_logits(&last, &region, &a[5], &y.to_device(a[0].device())?, method)?])
            });
        }
    }
}

#[test]
fn a_broken_network_stays_broken() {
    let random = Generator::new(6);
    let model = layer(&[8], LayerSpec::of(Linear { features: 3, bias: true }), &random);
    let center = draw(&random, &[4, 8]);
    let nan = Tensor::new(&[f64::NAN], &CPU).unwrap().broadcast_as((1, 8)).unwrap();
    let broken = |t: &Tensor| Tensor::cat(&[&t.narrow(0, 0, 3).unwrap(), &nan], 0).unwrap();
    let y = Tensor::new(&[0u32, 1, 2, 0], &CPU).unwrap();
    for method in [WorstMethod::Exact, WorstMethod::Clip { iterations: 3, constant: 0.0 }, WorstMethod::Box] {
        let region = || Region::new(&center, &broken(&center), &broken(&center), Tensor::ones(4, DType::F64, &CPU)?);
        let radius = Tensor::new(&[1.0, f64::NAN, f64::INFINITY, 1.0], &CPU).unwrap();
        let worst = on_the_host(|| worst_logits(&model.layers()[0], &region().unwrap(), &radius, &y, method).unwrap());
        let Some(worst) = worst else { return };
        let worst = worst.to_vec2::<f64>().unwrap();
        assert!(worst[0].iter().all(|x| x.is_finite()), "{method:?}: {worst:?}");
        // The box alone does not read the radius.
        for sample in if method == WorstMethod::Box { 3..4 } else { 1..4 } {
            let others = (0..3).filter(|j| *j != [0, 1, 2, 0][sample]);
            assert!(others.into_iter().all(|j| worst[sample][j].is_nan()), "{method:?}, sample {sample}: {worst:?}");
        }
    }
}
