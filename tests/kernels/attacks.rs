//! Projected gradient descent.

use super::common::emulation::on_the_host;
use super::common::random_net_on;
use super::common::rounding::{Spread, distances};
use super::{CPU, gap};
use candle_core::{DType, Tensor};
use workbench::base::random::Generator;
use workbench::nn::layers::Linear;
use workbench::nn::{LayerSpec, Sequential};
use workbench::train::attack::{AttackOptions, Objective, Size, Start, pgd};

#[test]
fn attacks() {
    let random = Generator::new(7);
    let mut moved = 0;
    for _ in 0..4 {
        // Weights and images that f32 can hold.
        let model = random_net_on(&random, &CPU).to_dtype(DType::F32).unwrap().to_dtype(DType::F64).unwrap();
        let x = random.uniform(0.0, 1.0, [&[4], model.input()].concat(), DType::F32, &CPU).unwrap();
        let y = Tensor::new(&[0u32, 1, 0, 1], &CPU).unwrap();
        for (epsilon, clip, named) in [
            (0.3, true, AttackOptions::published(0.3)),
            (2.0, false, AttackOptions::published(2.0)),
            (0.3, true, AttackOptions::strong(0.3)),
            (2.0, false, AttackOptions::strong(2.0)),
            (0.3, true, AttackOptions::auto(0.3, Objective::CrossEntropyThenRatio)),
            (2.0, false, AttackOptions::auto(2.0, Objective::CrossEntropyThenRatio)),
        ] {
            let options = || AttackOptions {
                steps: 6,
                // One for each is the same as one for all.
                step_size: Size::Each(vec![epsilon / 3.0; 4]),
                start: Start::Center,
                restarts: 1,
                clip,
                stop_early: false,
                ..named.clone()
            };
            let run = |model: &Sequential| pgd(model, &x.to_dtype(model.dtype())?, &y, options(), &Generator::new(1));
            // In f64 far below what any decision could tell; in f32 as near as kinks and short gradients let this net.
            let Some(found) = on_the_host(|| run(&model).unwrap()) else { return };
            let spread = Spread::of(&model, |model| Ok(vec![run(model)?]));
            assert!(gap(&found, &spread.truth[0]) < 1e-10, "{:.1e}", gap(&found, &spread.truth[0]));
            let single = model.to_dtype(DType::F32).unwrap();
            let Some(found) = on_the_host(|| run(&single).unwrap()) else { return };
            spread.check("attack in f32", 0, &found);
            let far = distances(&spread.truth[0], &x.to_dtype(DType::F64).unwrap());
            moved += far.iter().filter(|far| **far > 0.1 * epsilon).count();
        }
    }
    // Some nets have no gradient where the image is.
    assert!(moved >= 24, "only {moved} of 96 attacks went anywhere");
}

/// A gradient that is NaN or infinite moves nothing: weights of 1e30, whose product f32 does not hold.
#[test]
fn no_way_leads_along_a_gradient_that_is_no_number() {
    let linear = |features| LayerSpec::of(Linear { features, bias: false });
    let model = Sequential::new(&[3], &[linear(3), linear(3)], DType::F32, &CPU, &Generator::new(3)).unwrap();
    for (_, tensor) in model.parameters() {
        tensor.set(&(tensor.as_tensor() * 1e30f64).unwrap()).unwrap();
    }
    let x = Tensor::new(&[[0.2f32, 0.5, 0.7], [0.5, 0.5, 0.5]], &CPU).unwrap();
    let y = Tensor::new(&[0u32, 1], &CPU).unwrap();
    let options =
        || AttackOptions { start: Start::Center, restarts: 1, stop_early: false, ..AttackOptions::strong(0.3) };
    let run = || pgd(&model, &x, &y, options(), &Generator::new(1)).unwrap();
    let points = [Some(run()), on_the_host(run)];
    for point in points.into_iter().flatten() {
        assert_eq!(point.to_vec2::<f32>().unwrap(), x.to_vec2::<f32>().unwrap());
    }
}
