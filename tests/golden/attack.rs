//! The published attack: projected gradient descent from the image itself.

use crate::common::golden::Golden;
use crate::common::rounding::Spread;
use candle_core::{DType, Result, Tensor};
use workbench::base::random::Generator;
use workbench::nn::Sequential;
use workbench::train::{AttackOptions, Start, losses, pgd};

on_each_net!(the_published_attack, slow);

/// Steps of the reference.
const STEPS: usize = 5;

/// Where `attack` has what the reference gives.
pub const RESULTS: [(usize, &str); 4] =
    [(0, "x_adv_step1"), (STEPS - 1, "x_adv_step5"), (2 * STEPS - 1, "logits_step5"), (2 * STEPS, "ce_sum")];

/// The points after each step, the logits there, and the sums of the losses before and after each step.
pub fn attack(model: &Sequential, g: &Golden, step_size: f64) -> Result<Vec<Tensor>> {
    let (x, y) = (g.get("x").to_dtype(model.dtype())?, g.labels());
    let mut points = vec![x.clone()];
    for _ in 0..STEPS {
        let options = AttackOptions {
            steps: 1,
            step_size: step_size.into(),
            start: Start::Points(points[points.len() - 1].clone()),
            stop_early: false,
            ..AttackOptions::published(EPSILON)
        };
        points.push(pgd(model, &x, &y, options, &Generator::new(0))?);
    }
    let model = model.frozen();
    let logits = points.iter().map(|x| model.forward(x)).collect::<Result<Vec<_>>>()?;
    let sums = logits.iter().map(|logits| losses::cross_entropies(logits, &y)?.sum_all()?.reshape((1, 1)));
    let sums = Tensor::cat(&sums.collect::<Result<Vec<_>>>()?, 1)?;
    Ok([&points[1..], &logits[1..], &[sums]].concat())
}

/// Where attacks in f32 may lead. What a draw loses at one step it may have back at the next, when a neuron has crossed its kink
/// a step early; another program need not, as one that splits the gradient of a tie in half. So a later point may lie as far
/// off as an earlier one.
pub fn spread(model: &Sequential, g: &Golden) -> Spread {
    let mut spread = Spread::of(model, |model| attack(model, g, EPSILON / 4.0));
    spread.never_less(0..STEPS);
    spread.never_less(STEPS..2 * STEPS);
    spread
}

/// The radius of the ball.
pub const EPSILON: f64 = 0.5;

/// The reference attacks in f32, so its points lie where f32 may lead: a step goes along a gradient divided by its norm,
/// whose error grows as the norm falls and jumps where a neuron lies on a kink.
fn the_published_attack(g: &Golden) {
    let model = g.model(DType::F64);
    assert_eq!(g.wide("pgd/eps").to_vec1::<f64>().unwrap(), [EPSILON]);
    let spread = spread(&model, g);
    for (i, key) in RESULTS {
        let stored = g.wide(&format!("pgd/{key}"));
        spread.check(&format!("{} pgd/{key}", g.name), i, &stored.reshape(spread.truth[i].shape()).unwrap());
    }
    notices_a_wrong_step(&spread, &model, g);
}

/// What the tolerance is worth: of the samples that move at all, the first point of an attack whose step is a thousandth too
/// long is beyond it; in a large net, where most samples have a decision in doubt, one whose step is a twentieth too long.
pub fn notices_a_wrong_step(spread: &Spread, model: &Sequential, g: &Golden) {
    let factor = if g.is_tiny() { 1.001 } else { 1.05 };
    let wrong = attack(model, g, EPSILON / 4.0 * factor).unwrap();
    let ratios = spread.ratios(0, &wrong[0]);
    println!("{}: a step too long by {factor}, {ratios:.0?} of what is allowed", g.name);
    let still = ratios.iter().all(|r| *r == 0.0);
    assert!(still || ratios.iter().any(|r| *r > 1.0), "{}: a wrong step passes: {ratios:?}", g.name);
}
