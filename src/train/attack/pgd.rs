//! Projected gradient descent in l2
//!
//! ```text
//! g     = the gradient of the objective at x + delta; where it is not finite the image stays where it is
//! delta <- delta + step g / ||g||                                    0 where g is 0
//! x + delta cut to [0, 1]; delta projected on ||delta|| <= eps; x + delta cut to [0, 1]
//!
//! strong        logit_j - logit_y, j the largest other one, then in each restart another class; steps that fall along a cosine
//! published     the cross-entropy; steps of eps/4 that shrink where ||g|| < 1e-6; one start
//! apgd          the cross-entropy, then the ratio to each of nine classes (see goal.rs); steps as in apgd.rs; one start each
//! ```
//!
//! Madry et al. (2018), in the l2 norm. Logits times a number are the same classifier. The strong attack goes the same
//! way on both, by unit gradients of margins; the published one does not, and it alone has a constant beside a norm:
//! the gradient of the cross-entropy is 0 in f32 where logits are large, and below 1e-6 where they are small. Of APGD the ratio goes
//! the same way on both, the cross-entropy does not, and is 0 in f32 as there. An image
//! that has fallen leaves the batch, and each restart takes those that still stand. With streams an image's random
//! starts are its own, so that it does not depend on who shares the batch.

use super::options::AttackOptions;
use super::rows::Rows;
use crate::base::random::Generator;
use crate::compute::norms::samples::check_images;
use crate::compute::precision::{self, Precision};
use crate::nn::Sequential;
use candle_core::{Result, Tensor, bail};

/// Points of the ball around `x` `[B, ...]` that the network is made to misclassify, `[B, ...]`. Of the points where several
/// restarts end it is the one of the smallest margin.
pub fn pgd(model: &Sequential, x: &Tensor, y: &Tensor, options: AttackOptions, random: &Generator) -> Result<Tensor> {
    if options.restarts == 0 {
        bail!("pgd: 0 restarts, it must be at least 1");
    }
    if options.targets == 0 {
        bail!("pgd: 0 targets, it must be at least 1");
    }
    if options.clip {
        check_images("pgd with `clip`", x)?;
    }
    // Attacks belong to evaluations, which compute in f32 or f64.
    let model = model.frozen();
    precision::products_in(Precision::F32);
    let mut rows = Rows::new(x, y, &options)?;
    let climbs = options.climbs(model.output().iter().product());
    let alone = climbs.len() == 1;
    for climb in climbs {
        rows.climb(&model, &options, &climb, alone, random)?;
        if rows.all_fell() {
            break;
        }
    }
    rows.finish()
}
