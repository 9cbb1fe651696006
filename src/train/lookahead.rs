//! Lookahead (Zhang, Lucas, Hinton and Ba 2019): slow weights that go a share of the way behind every so many steps, from where the next
//! steps begin
//!
//! ```text
//! every `steps` steps     slow <- slow + share (p - slow)     p <- slow
//! ```
//!
//! The optimiser's own moments stay as they are.

use crate::compute::variables::assign;
use candle_core::{Result, Tensor, Var, bail};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lookahead {
    pub(super) steps: usize,
    pub(super) share: f64,
}

impl Lookahead {
    pub fn new(steps: usize, share: f64) -> Result<Self> {
        if steps == 0 {
            bail!("lookahead: steps is 0; the slow weights move behind every so many steps, at least 1");
        }
        if !(share > 0.0 && share <= 1.0) {
            bail!("lookahead: share is {share}; it is the part of the way that slow weights go, above 0 and at most 1");
        }
        Ok(Self { steps, share })
    }

    /// The slow value goes its share of the way to the parameter, which goes on from there.
    pub(super) fn meet(&self, slow: &mut Tensor, parameter: &Var) -> Result<()> {
        let way = (parameter.as_tensor().detach() - &*slow)?;
        *slow = (&*slow + (way * self.share)?)?;
        assign(parameter, slow)
    }
}
