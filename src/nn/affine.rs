//! The linear map W of an affine layer, in the views that bounds need: `W x`, `W^T y`, `|W| h`, the norms of its rows.

use super::{Layer, Operation};
use crate::compute::conv::{Window, conv2d, conv2d_input};
use crate::compute::linear::products::{by_itself, is_by_itself};
use crate::compute::norms::channels::add_channels;
use crate::compute::norms::rows::row_norms;
use crate::compute::precision::matmul;
use candle_core::{Result, Tensor, bail};

impl Layer {
    /// `W x` without the bias, `[B, input...]` to `[B, output...]`.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        self.check("apply", x, &self.input)?;
        match &self.operation {
            Operation::Conv2d { weight, window, .. } => conv2d(x, weight, self.window(window)),
            Operation::Linear { weight, .. } => self.product(x, weight),
            Operation::AvgPool2d { weight, window } => {
                each_channel(x, &self.output, |x| conv2d(x, weight, self.window(window)))
            }
            Operation::Normalize { scale, .. } => x.broadcast_mul(scale),
            Operation::Flatten
            | Operation::Relu
            | Operation::Clip { .. }
            | Operation::MaxMin
            | Operation::ClippedMaxMin { .. } => self.not_affine("apply"),
        }
    }

    /// `W^T y`, `[B, output...]` to `[B, input...]`: for a convolution the transposed one, of the input's exact size.
    pub fn adjoint(&self, y: &Tensor) -> Result<Tensor> {
        self.check("adjoint", y, &self.output)?;
        match &self.operation {
            Operation::Conv2d { weight, window, .. } => {
                conv2d_input(y, weight, self.window(window), (self.input[1], self.input[2]))
            }
            Operation::Linear { weight, .. } => matmul(y, weight, self.precision.get()),
            Operation::AvgPool2d { weight, window } => each_channel(y, &self.input, |y| {
                conv2d_input(y, weight, self.window(window), (self.input[1], self.input[2]))
            }),
            Operation::Normalize { scale, .. } => y.broadcast_mul(scale),
            Operation::Flatten
            | Operation::Relu
            | Operation::Clip { .. }
            | Operation::MaxMin
            | Operation::ClippedMaxMin { .. } => self.not_affine("adjoint"),
        }
    }

    /// `|W| h` for half-widths `h` >= 0: how far the output can move when every input moves by at most h.
    pub fn apply_absolute(&self, h: &Tensor) -> Result<Tensor> {
        self.check("apply_absolute", h, &self.input)?;
        match &self.operation {
            Operation::Conv2d { weight, window, .. } => conv2d(h, &weight.abs()?, self.window(window)),
            Operation::Linear { weight, .. } => self.product(h, &weight.abs()?),
            Operation::AvgPool2d { weight, window } => {
                let weight = weight.abs()?;
                each_channel(h, &self.output, |h| conv2d(h, &weight, self.window(window)))
            }
            Operation::Normalize { scale, .. } => h.broadcast_mul(&scale.abs()?),
            Operation::Flatten
            | Operation::Relu
            | Operation::Clip { .. }
            | Operation::MaxMin
            | Operation::ClippedMaxMin { .. } => self.not_affine("apply_absolute"),
        }
    }

    /// `x W^T` of a linear layer.
    fn product(&self, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
        if is_by_itself(x, weight) { by_itself(x, weight) } else { matmul(x, &weight.t()?, self.precision.get()) }
    }

    /// The 2-norm of each output channel's (or feature's) own row of W, `[1, C]`: for a convolution the norm of the
    /// channel's kernel, an upper bound where the padding cuts the row.
    pub fn row_norms(&self) -> Result<Tensor> {
        let all = |norm: &Tensor| norm.reshape((1, 1))?.repeat((1, self.output[0]));
        match &self.operation {
            Operation::Conv2d { weight, .. } | Operation::Linear { weight, .. } => {
                row_norms(&weight.flatten_from(1)?)?.unsqueeze(0)
            }
            Operation::AvgPool2d { weight, .. } => all(&weight.sqr()?.sum_all()?.sqrt()?),
            Operation::Normalize { scale, .. } => scale.abs()?.reshape((1, ())),
            Operation::Flatten
            | Operation::Relu
            | Operation::Clip { .. }
            | Operation::MaxMin
            | Operation::ClippedMaxMin { .. } => self.not_affine("row_norms"),
        }
    }

    /// `y` plus the layer's bias.
    pub fn add_bias(&self, y: &Tensor) -> Result<Tensor> {
        match &self.operation {
            Operation::Conv2d { bias: Some(bias), .. } | Operation::Linear { bias: Some(bias), .. } => {
                add_channels(y, &bias.unsqueeze(0)?)
            }
            Operation::Normalize { shift, .. } => y.broadcast_add(shift),
            Operation::Conv2d { bias: None, .. }
            | Operation::Linear { bias: None, .. }
            | Operation::AvgPool2d { .. } => Ok(y.clone()),
            Operation::Flatten
            | Operation::Relu
            | Operation::Clip { .. }
            | Operation::MaxMin
            | Operation::ClippedMaxMin { .. } => self.not_affine("add_bias"),
        }
    }

    /// The weight of a layer that has one to train.
    pub fn weight(&self) -> Option<&Tensor> {
        match &self.operation {
            Operation::Conv2d { weight, .. } | Operation::Linear { weight, .. } => Some(weight),
            Operation::AvgPool2d { .. }
            | Operation::Normalize { .. }
            | Operation::Flatten
            | Operation::Relu
            | Operation::Clip { .. }
            | Operation::MaxMin
            | Operation::ClippedMaxMin { .. } => None,
        }
    }

    /// A convolution's window, in the precision that is chosen now.
    pub fn window(&self, window: &Window) -> Window {
        window.computed_in(self.precision.get())
    }

    pub(super) fn check(&self, op: &str, x: &Tensor, want: &[usize]) -> Result<()> {
        if x.rank() == 0 || x.dims()[1..] != *want {
            bail!(
                "{op}: layer {} ({}) wants a batch of {want:?}, got a tensor of shape {:?}",
                self.index,
                self.spec.describe(),
                x.dims()
            );
        }
        Ok(())
    }

    fn not_affine<T>(&self, op: &str) -> Result<T> {
        bail!("{op}: layer {} ({}) is not affine", self.index, self.spec.describe())
    }
}

/// Apply a one-channel map to every channel by itself.
fn each_channel(x: &Tensor, output: &[usize], map: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let (batch, channels, h, w) = x.dims4()?;
    let y = map(&x.reshape((batch * channels, 1, h, w))?)?;
    y.reshape((batch, channels, output[1], output[2]))
}
