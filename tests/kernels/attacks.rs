//! Projected gradient descent.

use super::common::emulation::on_the_host;
use super::common::random_net_on;
use super::{CPU, gap};
use candle_core::{DType, Tensor};
use workbench::compute::random::Generator;
use workbench::train::attack::{AttackOptions, Objective, Size, Start, pgd};

#[test]
fn attacks() {
    let random = Generator::new(7);
    let model = random_net_on(&random, &CPU);
    let shape = [&[4], model.input()].concat();
    let x = random.uniform(0.0, 1.0, shape, DType::F64, &CPU).unwrap();
    let y = Tensor::new(&[0u32, 1, 0, 1], &CPU).unwrap();
    for (epsilon, clip) in [(0.3, true), (2.0, false)] {
        let options = || AttackOptions {
            epsilon: Size::All(epsilon),
            steps: 6,
            // One for each is the same as one for all.
            step_size: Size::Each(vec![epsilon / 3.0; 4]),
            start: Start::Center,
            objective: Objective::CrossEntropy,
            clip,
            stop_early: false,
        };
        let truth = pgd(&model, &x, &y, options(), &Generator::new(1)).unwrap();
        for (dtype, tolerance) in [(DType::F64, 1e-10), (DType::F32, 1e-4)] {
            let model = model.to_dtype(dtype).unwrap();
            let x = x.to_dtype(dtype).unwrap();
            let Some(found) = on_the_host(|| pgd(&model, &x, &y, options(), &Generator::new(1)).unwrap()) else {
                return;
            };
            assert!(gap(&found, &truth) < tolerance, "{dtype:?}: {:.1e}", gap(&found, &truth));
        }
    }
}
