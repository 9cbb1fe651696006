//! The published attack: projected gradient descent from the image itself.

use crate::common::close;
use crate::common::golden::Golden;
use candle_core::{DType, Tensor};
use workbench::compute::random::Generator;
use workbench::train::{AttackOptions, losses, pgd};

on_each_net!(the_published_attack);

/// The reference attacks in f32. A step is a quarter of epsilon along the gradient, whose own error is up to 5e-5
/// (8C2F), so points, at most 1, part by some 1e-6 per step; logits and losses by about the slope of the network more.
fn the_published_attack(g: &Golden) {
    let (model, x, y) = (g.model(DType::F64), g.wide("x"), g.labels());
    let epsilon = g.wide("pgd/eps").to_vec1::<f64>().unwrap()[0];
    let sum_of_losses = |x: &Tensor| {
        let logits = model.forward(x).unwrap();
        losses::cross_entropies(&logits, &y).unwrap().sum_all().unwrap().reshape(1).unwrap()
    };
    // Before the attack, then after each of five steps.
    let truth = g.wide("pgd/ce_sum");
    close(&format!("{} pgd/ce_sum at the start", g.name), &sum_of_losses(&x), &truth.narrow(0, 0, 1).unwrap(), 1e-5);
    for steps in [1, 5] {
        let options = AttackOptions {
            epsilon: epsilon.into(),
            steps,
            step_size: (epsilon / 4.0).into(),
            start: workbench::train::Start::Center,
            objective: workbench::train::Objective::CrossEntropy,
            clip: true,
            stop_early: false,
        };
        let point = pgd(&model, &x, &y, options, &Generator::new(0)).unwrap();
        g.check(&format!("pgd/x_adv_step{steps}"), &point, 1e-5);
        let what = format!("{} pgd/ce_sum after {steps} steps", g.name);
        close(&what, &sum_of_losses(&point), &truth.narrow(0, steps, 1).unwrap(), 1e-5);
        if steps == 5 {
            g.check("pgd/logits_step5", &model.forward(&point).unwrap(), 1e-5);
        }
    }
}
