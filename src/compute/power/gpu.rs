//! The state of a masked power iteration and its two half steps, for all samples at once.
//!
//! ```text
//! left    v <- I_rows w / ||.||        w = W u
//! right   u <- I_columns w / ||.||     w = W^T v,  sigma = ||.||
//! ```
//!
//! Whether a sample is done stands on the device, and nothing is read back for it.

use crate::compute::gpu::{Blocks, Source, launch, room};
use candle_core::{DType, Result, Tensor};

const SOURCE: Source = Source::Power;

/// u, v, sigma and what stops a sample.
#[derive(Debug)]
pub struct Iterates {
    /// Right vectors `[B, input...]`.
    pub u: Tensor,
    /// Left vectors `[B, output...]`.
    pub v: Tensor,
    /// Norms `[B]`, f64.
    pub sigma: Tensor,
    /// Iterations used `[B]`, u32.
    pub used: Tensor,
    /// Samples that have met the tolerance `[B]`, u8.
    pub done: Tensor,
}

impl Iterates {
    /// From start vectors `u` `[B, input...]`, which are copied, masked by `columns`; `output` is the shape of a sample of v.
    pub fn new(u: &Tensor, columns: Option<&Tensor>, output: &[usize]) -> Result<Self> {
        let (batch, n, device) = (u.dim(0)?, u.elem_count(), u.device().clone());
        let u = u.contiguous()?;
        let own = room(u.shape(), u.dtype(), &device)?;
        let args = [(&u).into(), columns.into(), (&own).into(), n.into()];
        launch(SOURCE, "mask_samples", &u, Blocks::Elements(n), &args)?;
        let zeros = |dtype| Tensor::zeros(batch, dtype, &device);
        let v = Tensor::zeros([&[batch], output].concat(), u.dtype(), &device)?;
        Ok(Self { u: own, v, sigma: zeros(DType::F64)?, used: zeros(DType::U32)?, done: zeros(DType::U8)? })
    }

    /// With `w` `[B, output...]`. Where `restart` is asked for, a sample that the masked map sends to zero goes on from a
    /// generic v.
    pub fn left(&self, w: &Tensor, rows: Option<&Tensor>, restart: bool) -> Result<()> {
        let (w, batch) = (w.contiguous()?, w.dim(0)?);
        let n = w.elem_count() / batch.max(1);
        let args =
            [(&w).into(), rows.into(), (&self.done).into(), (&self.v).into(), n.into(), usize::from(restart).into()];
        launch(SOURCE, "power_left", &w, Blocks::Exactly(batch), &args)
    }

    /// With `w` `[B, input...]`. With a tolerance a sample is done when u moves by no more than it.
    pub fn right(&self, w: &Tensor, columns: Option<&Tensor>, tolerance: Option<f64>) -> Result<()> {
        let (w, batch) = (w.contiguous()?, w.dim(0)?);
        let n = w.elem_count() / batch.max(1);
        let args = [
            (&w).into(),
            columns.into(),
            (&self.done).into(),
            (&self.u).into(),
            (&self.sigma).into(),
            (&self.used).into(),
            n.into(),
            tolerance.unwrap_or(-1.0).into(),
        ];
        launch(SOURCE, "power_right", &w, Blocks::Exactly(batch), &args)
    }
}
