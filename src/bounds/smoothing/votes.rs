//! Votes: what a network says of noisy copies of an image.
//!
//! Noise is added to the image as the network takes it, before any normalisation, which is a layer; nothing is clipped. A copy votes for
//! the class whose logit is above all others; with a tie, or logits that are not finite, for none, as margins are judged.
//!
//! Copy number j of an image has a stream of random numbers of its own, named by the key, the image's place in the data, what the votes
//! are for, and j. So neither the batch nor who was there before makes a difference, but for f32's last digits: there a network's logits
//! depend on the batch a little, and a copy on the very border can vote otherwise.

use crate::base::interrupt;
use crate::base::random::{Generator, Key, StreamName};
use crate::compute::precision::{self, Precision};
use crate::nn::Sequential;
use candle_core::{DType, Result, Tensor, bail};

/// How votes are counted.
#[derive(Clone, Debug)]
pub struct VoteOptions {
    /// Standard deviation of the noise, in the units of the images.
    pub sigma: f64,
    /// Noisy copies of each image.
    pub copies: usize,
    /// Copies at a time.
    pub batch: usize,
    pub key: Key,
    /// Each image's place in the data.
    pub index: Vec<u64>,
    /// What the votes are for; each use has noise of its own.
    pub phase: String,
}

/// How many copies of each image of `x` `[B, ...]` voted for each class: `[B, C]` of i64 in main memory.
pub fn noisy_votes(model: &Sequential, x: &Tensor, options: &VoteOptions) -> Result<Tensor> {
    let VoteOptions { sigma, copies, batch, .. } = *options;
    if !(sigma > 0.0 && sigma.is_finite()) {
        bail!("noisy_votes: sigma is {sigma}; it must be finite and above 0");
    }
    if copies == 0 || batch == 0 {
        bail!("noisy_votes: {copies} copies in batches of {batch}; both must be at least 1");
    }
    if x.rank() == 0 || x.dims()[1..] != *model.input() {
        bail!("noisy_votes: the network wants a batch of {:?}, got a tensor of shape {:?}", model.input(), x.dims());
    }
    let &[classes] = model.output() else {
        bail!("noisy_votes: the network gives {:?}, not one logit for each class", model.output());
    };
    if options.index.len() != x.dim(0)? {
        bail!("noisy_votes: {} images, `index` names {}; give one place for each", x.dim(0)?, options.index.len());
    }
    // Votes belong to evaluations, which compute in f32 or f64.
    let model = model.frozen();
    precision::products_in(Precision::F32);
    let x = model.takes(&x.detach())?;
    let mut votes = vec![0i64; options.index.len() * classes];
    for (own, (b, place)) in votes.chunks_mut(classes).zip(options.index.iter().enumerate()) {
        let image = x.narrow(0, b, 1)?;
        let names = StreamName { key: options.key, stream: *place }.fork(&format!("noisy votes, {}", options.phase));
        for from in (0..copies).step_by(batch) {
            interrupt::check()?;
            let noise = noise(names, from..copies.min(from + batch), &image)?;
            let logits = model.forward(&image.broadcast_add(&(noise * sigma)?)?)?;
            for logits in logits.to_dtype(DType::F64)?.to_vec2::<f64>()? {
                if let Some(class) = vote(&logits) {
                    own[class] += 1;
                }
            }
        }
    }
    Tensor::from_vec(votes, (options.index.len(), classes), &candle_core::Device::Cpu)
}

/// Standard normal numbers for some copies of an image `[1, ...]`.
fn noise(names: StreamName, copies: std::ops::Range<usize>, image: &Tensor) -> Result<Tensor> {
    // Streams one behind the other, so that no two copies of an image share one.
    let own = |j: usize| StreamName { stream: names.stream.wrapping_add(j as u64), ..names };
    let names: Vec<_> = copies.map(own).collect();
    let rows = Generator::normal_rows(&names, image.elem_count(), image.dtype(), image.device())?;
    rows.reshape([&[names.len()], &image.dims()[1..]].concat())
}

/// The class whose logit is strictly above all others, where all are finite.
fn vote(logits: &[f64]) -> Option<usize> {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let at_top = logits.iter().filter(|z| **z == largest).count();
    let finite = logits.iter().all(|z| z.is_finite());
    if finite && at_top == 1 { logits.iter().position(|z| *z == largest) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tie_and_what_is_no_number_vote_for_nobody() {
        assert_eq!(vote(&[0.0, 2.0, 1.0]), Some(1));
        assert_eq!(vote(&[2.0, 2.0, 1.0]), None);
        assert_eq!(vote(&[f64::NAN, 2.0, 1.0]), None);
        assert_eq!(vote(&[0.0, f64::INFINITY]), None);
        assert_eq!(vote(&[0.0, f64::NEG_INFINITY]), None);
    }
}
