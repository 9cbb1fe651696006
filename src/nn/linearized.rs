//! A block with one activation, taken as an affine map where the activation's slopes are known: `A + W2 diag(slopes) W1`.
//!
//! The centred bound of a block asks for its norm: [`crate::bounds`] writes the slopes as the middle of where they can lie, and adds what the
//! rest can do.

use super::Layer;
use super::layers::{Combined, Meeting, Role, Scaled, Side, Step};
use candle_core::{Result, Tensor, bail};
use std::rc::Rc;

/// What stands in a sum of two branches one of which is affine throughout, or the identity, and the other `W2 f(W1 x)`, where W1 or W2 may
/// be missing and f is constant beyond thresholds.
#[derive(Clone, Copy, Debug)]
pub struct OneActivation<'a> {
    pub first: Option<&'a Layer>,
    pub activation: &'a Layer,
    pub second: Option<&'a Layer>,
    /// Which of the two branches is affine.
    beside: usize,
}

impl Layer {
    /// The parts of a block of this form; none of other layers.
    pub fn one_activation(&self) -> Option<OneActivation<'_>> {
        let (Some(Meeting::Sum), [a, b]) = (self.meeting(), self.branches.as_slice()) else { return None };
        let affine = |list: &[Self]| list.iter().all(|layer| layer.steps().is_some());
        let (beside, list) = match (affine(a), affine(b)) {
            (true, false) => (0, b),
            (false, true) => (1, a),
            _ => return None,
        };
        let (first, activation, second) = match list.as_slice() {
            [f] => (None, f, None),
            [f, second] if second.is_affine() => (None, f, Some(second)),
            [first, f] if first.is_affine() => (Some(first), f, None),
            [first, f, second] if first.is_affine() && second.is_affine() => (Some(first), f, Some(second)),
            _ => return None,
        };
        (activation.mask_side() == Some(Side::Before)).then_some(OneActivation { first, activation, second, beside })
    }

    /// What the layer is to a combined map: a step, unless an activation is in it.
    fn steps(&self) -> Option<(Step, Vec<usize>)> {
        let step = match &self.role {
            Role::Affine(map) => Step::Affine(map.clone()),
            Role::Reshape(r) => Step::Reshape(r.clone()),
            Role::Activation(_) | Role::Branches(_) => return None,
        };
        Some((step, self.output.clone()))
    }

    /// The block as an affine layer whose activation has these slopes, `[1 or B, ...]` of the activation's shape: one map for each sample.
    pub fn linearized(&self, slopes: &Tensor) -> Result<Self> {
        let Some(OneActivation { first, activation, second, beside }) = self.one_activation() else {
            bail!("linearized: {} is no sum of an affine branch and one with a single activation", self.title())
        };
        if slopes.rank() == 0 || slopes.dims()[1..] != activation.output {
            bail!("linearized: {} wants slopes [B, {:?}], got {:?}", self.title(), activation.output, slopes.dims());
        }
        let numbers = (slopes.dtype(), slopes.device().clone());
        let slopes = Step::Affine(Rc::new(Scaled { slopes: slopes.detach() }));
        let ends = [first, second].map(|layer| layer.and_then(Self::steps));
        let [before, behind] = ends;
        let list = before.into_iter().chain([(slopes, activation.output.clone())]).chain(behind).collect();
        let other = self.branches[beside].iter().filter_map(Self::steps).collect();
        let map = Combined {
            branches: vec![other, list],
            meeting: Meeting::Sum,
            asks_a_batch: false,
            input: self.input.clone(),
            output: self.output.clone(),
            numbers,
        };
        Ok(Self { role: Role::Affine(Rc::new(map)), branches: vec![], ..self.clone() })
    }

    /// The maps of the samples of an affine layer that has one for each; none of one that is the same for all.
    pub fn each_sample(&self) -> Result<Option<Vec<Self>>> {
        let Role::Affine(map) = &self.role else { return Ok(None) };
        let one = |map| Self { role: Role::Affine(map), ..self.clone() };
        Ok(map.each_sample()?.map(|maps| maps.into_iter().map(one).collect()))
    }
}
