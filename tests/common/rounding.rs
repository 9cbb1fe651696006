//! What rounding does to a result, measured on the net at hand: networks that are off by as much as their own sums round
//!
//! ```text
//! f32 sum of n products w_i x_i  =  exact sum of w_i (1 + t_i) x_i,    t_i of size sqrt(n) u,    u = 2^-24
//! ```
//!
//! with roundings taken as independent, a random walk; in the worst case n u. So a run in f32 is a run on a network whose
//! weights are off by that much, and how far a result moves is a question of its conditioning alone: a gradient that is divided
//! by a small norm, a 0/1 decision near its edge, a step that multiplies what the steps before have left. Nothing of that has a
//! formula that is sharp, and all of it shows when the same is run on several such networks.

use candle_core::{DType, Result, Tensor};
use std::collections::HashMap;
use workbench::base::random::Generator;
use workbench::nn::Sequential;

/// The unit roundoff of f32: half a unit in the last of 24 bits.
pub const SINGLE: f64 = 1.0 / (1u64 << 24) as f64;

/// Networks that a tolerance is measured on. They must take the other side of every decision that a run in f32 may take either
/// way, and large nets have several in each attack: programs that sum in blocks round less than a single walk, so that one draw
/// finds such a decision with a chance of a quarter or more, and sixteen miss it in one of a hundred cases.
const DRAWS: u64 = 16;

/// How much farther than the farthest of them a result may lie.
const SLACK: f64 = 2.0;

/// Results of a run in f64, and how far from them, per sample in the Euclidean norm, one in f32 may lie.
pub struct Spread {
    pub truth: Vec<Tensor>,
    pub allowed: Vec<Vec<f64>>,
}

impl Spread {
    /// Of `run` on `model`, which is in f64 with weights that f32 can hold; `run` computes in the type of the model it gets and
    /// gives tensors `[B, ...]`.
    pub fn of(model: &Sequential, run: impl Fn(&Sequential) -> Result<Vec<Tensor>>) -> Self {
        let truth = run(model).unwrap();
        // What a single rounding of each number would do, for results that no network moves.
        let zero = |t: &Tensor| distances(t, &t.zeros_like().unwrap());
        let mut allowed: Vec<Vec<f64>> =
            truth.iter().map(|t| zero(t).into_iter().map(|norm| SINGLE * norm).collect()).collect();
        for net in draws(model) {
            let found = run(&net).unwrap();
            for ((found, truth), allowed) in found.iter().zip(&truth).zip(&mut allowed) {
                let off = distances(found, truth).into_iter();
                allowed.iter_mut().zip(off).for_each(|(allowed, off)| *allowed = allowed.max(SLACK * off));
            }
        }
        Self { truth, allowed }
    }

    /// Of these results, one after the other, allow none less than those before it.
    pub fn never_less(&mut self, results: std::ops::Range<usize>) {
        for i in results.skip(1) {
            let before = self.allowed[i - 1].clone();
            self.allowed[i].iter_mut().zip(before).for_each(|(allowed, before)| *allowed = allowed.max(before));
        }
    }

    /// The distances of another run's result number `i`, as parts of what is allowed.
    pub fn ratios(&self, i: usize, found: &Tensor) -> Vec<f64> {
        let part = |(off, allowed): (f64, &f64)| if off == 0.0 { 0.0 } else { off / allowed };
        distances(found, &self.truth[i]).into_iter().zip(&self.allowed[i]).map(part).collect()
    }

    /// Is result number `i` of another run where it should be?
    #[track_caller]
    pub fn check(&self, what: &str, i: usize, found: &Tensor) {
        for (b, (ratio, allowed)) in self.ratios(i, found).into_iter().zip(&self.allowed[i]).enumerate() {
            println!("{what}, sample {b}: {ratio:.2} of what is allowed, {allowed:.1e}"); // shown with --nocapture
            assert!(ratio <= 1.0, "{what}, sample {b}: {ratio:.2} of what is allowed, {allowed:.1e}");
        }
    }
}

/// Networks in f32 that a tolerance is measured on.
pub fn draws(model: &Sequential) -> impl Iterator<Item = Sequential> {
    (0..DRAWS).map(|draw| shaken(model, &Generator::new(draw)))
}

/// The network in f32 with each parameter moved at random by as much as the sums that it stands in round: of a weight, the
/// longer ones of the layer and its adjoint.
fn shaken(model: &Sequential, random: &Generator) -> Sequential {
    let moved = model.parameters().iter().map(|(name, var)| {
        let dims = var.dims();
        let terms =
            if name.ends_with(".weight") { dims[0].max(dims[1]) * dims[2..].iter().product::<usize>() } else { 1 };
        let random = random.fork(name);
        let noise = random.normal(0.0, SINGLE * (terms as f64).sqrt(), dims, DType::F64, model.device()).unwrap();
        let value = var.as_tensor().detach().to_dtype(DType::F64).unwrap();
        (name.clone(), (&value + (&value * noise).unwrap()).unwrap())
    });
    let copy = model.to_dtype(DType::F32).unwrap();
    copy.set_weights("shaken", &moved.collect::<HashMap<_, _>>()).unwrap();
    copy
}

/// The Euclidean distance of each sample of `[B, ...]`; infinite where one is no number.
pub fn distances(found: &Tensor, truth: &Tensor) -> Vec<f64> {
    assert_eq!(found.dims(), truth.dims());
    let rows = |t: &Tensor| {
        t.detach().to_dtype(DType::F64).unwrap().reshape((t.dims()[0], ())).unwrap().to_vec2::<f64>().unwrap()
    };
    let one = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
    let finite = |off: f64| if off.is_nan() { f64::INFINITY } else { off };
    rows(found).iter().zip(&rows(truth)).map(one).map(finite).collect()
}
