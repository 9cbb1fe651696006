//! Projected gradient descent.

use super::common::emulation::on_the_host;
use super::common::random_net_on;
use super::common::rounding::{Spread, distances};
use super::{CPU, gap};
use candle_core::{DType, Tensor};
use workbench::compute::random::Generator;
use workbench::nn::Sequential;
use workbench::train::attack::{AttackOptions, Size, Start, pgd};

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
    assert!(moved >= 16, "only {moved} of 64 attacks went anywhere");
}
