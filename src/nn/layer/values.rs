//! What a layer makes of a batch: its value, and of its linear map W x, W^T y and |W| h.

use super::place::Layer;
use super::through::Batch;
use crate::nn::layers::Role;
use candle_core::{Result, Tensor, bail};

impl Layer {
    /// The layer's value on a batch `[B, input...]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match &self.role {
            Role::Affine(map) => {
                self.check("forward", x, &self.input)?;
                map.forward(x, self.precision.get())
            }
            Role::Activation(f) => f.forward(x),
            Role::Reshape(r) => r.forward(x),
            Role::Branches(_) => Batch::Planes(x.clone()).next(self)?.planes(),
        }
    }

    /// `W x` without the bias, `[B, input...]` to `[B, output...]`.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        self.check("apply", x, &self.input)?;
        self.affine("apply")?.apply(x, self.precision.get())
    }

    /// `W^T y`, `[B, output...]` to `[B, input...]`: for a convolution the transposed one, of the input's exact size.
    pub fn adjoint(&self, y: &Tensor) -> Result<Tensor> {
        self.check("adjoint", y, &self.output)?;
        self.affine("adjoint")?.adjoint(y, self.precision.get())
    }

    /// `|W| h` for half-widths `h` >= 0: how far the output can move when every input moves by at most h.
    pub fn apply_absolute(&self, h: &Tensor) -> Result<Tensor> {
        self.check("apply_absolute", h, &self.input)?;
        self.affine("apply_absolute")?.apply_absolute(h, self.precision.get())
    }

    /// The 2-norm of each output channel's (or feature's) own row of W, `[1, C]`: for a convolution the norm of the
    /// channel's kernel, an upper bound where the padding cuts the row.
    pub fn row_norms(&self) -> Result<Tensor> {
        self.affine("row_norms")?.row_norms()
    }

    /// `y` plus the layer's bias.
    pub fn add_bias(&self, y: &Tensor) -> Result<Tensor> {
        self.affine("add_bias")?.add_bias(y)
    }

    /// The results of the branches of a block, `[B, ...]` each, together.
    pub fn joined(&self, parts: &[Tensor]) -> Result<Tensor> {
        match self.meeting() {
            Some(meeting) if parts.len() == self.branches.len() => meeting.of(parts),
            Some(_) => {
                bail!("joined: {} has {} branches, got {} results", self.title(), self.branches.len(), parts.len())
            }
            None => bail!("joined: {} has no branches", self.title()),
        }
    }

    /// What of `[B, output...]` behind a block is each branch's: all of a sum, of branches side by side their channels.
    pub fn apart(&self, y: &Tensor) -> Result<Vec<Tensor>> {
        let Some(meeting) = self.meeting() else { bail!("apart: {} has no branches", self.title()) };
        self.check("apart", y, &self.output)?;
        let channels: Vec<_> =
            self.branches.iter().map(|list| list.last().map_or(self.input[0], |l| l.output[0])).collect();
        meeting.apart(y, &channels)
    }

    /// A rearrangement's way back, `[B, output...]` to `[B, input...]`: of values, boxes and masks alike.
    pub fn inverse(&self, y: &Tensor) -> Result<Tensor> {
        self.check("inverse", y, &self.output)?;
        self.reshape("inverse")?.inverse(y)
    }

    pub(super) fn check(&self, op: &str, x: &Tensor, want: &[usize]) -> Result<()> {
        if x.rank() == 0 || x.dims()[1..] != *want {
            let one = one_of_a_batch(x, want);
            bail!("{op}: {} wants a batch of {want:?}, got a tensor of shape {:?}{one}", self.title(), x.dims());
        }
        Ok(())
    }
}

/// What to do with one value where a batch of them is wanted.
pub(crate) fn one_of_a_batch(x: &Tensor, want: &[usize]) -> &'static str {
    if x.dims() == want { "; one alone becomes a batch of one by x.unsqueeze(0)" } else { "" }
}
