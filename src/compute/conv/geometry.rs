//! The sizes of a convolution: of x `[B,I,H,W]`, w `[O,I,KH,KW]` and y `[B,O,H',W']`, `H' = (H + 2 padding - KH) / stride + 1`

use crate::compute::precision::Precision;
use candle_core::{Result, Tensor, bail};
use std::fmt;

/// Stride and zero padding, the same in both directions, and what a GPU multiplies in.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    pub stride: usize,
    pub padding: usize,
    pub precision: Precision,
}

impl fmt::Debug for Window {
    /// The sizes alone: they name the shapes for which an engine has been chosen.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Window").field("stride", &self.stride).field("padding", &self.padding).finish()
    }
}

impl Window {
    /// In f32.
    pub fn new(stride: usize, padding: usize) -> Self {
        Self { stride, padding, precision: Precision::F32 }
    }

    /// The same, multiplied in another precision.
    pub fn computed_in(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// Output size along one axis, if the kernel fits.
    pub fn output(&self, input: usize, kernel: usize) -> Option<usize> {
        let padded = input + 2 * self.padding;
        (self.stride > 0 && kernel > 0 && padded >= kernel).then(|| (padded - kernel) / self.stride + 1)
    }
}

/// All sizes of one convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Geometry {
    pub batch: usize,
    pub channels_in: usize,
    pub channels_out: usize,
    pub input: (usize, usize),
    pub kernel: (usize, usize),
    pub output: (usize, usize),
    pub window: Window,
}

impl Geometry {
    pub(in crate::compute) fn new(
        op: &str,
        x: (usize, usize, usize, usize),
        w: (usize, usize, usize, usize),
        window: Window,
    ) -> Result<Self> {
        let ((batch, channels_in, h, width), (channels_out, wants, kh, kw)) = (x, w);
        if channels_in != wants {
            bail!(
                "{op}: the input has {channels_in} channels, the weight {:?} wants {wants}",
                [channels_out, wants, kh, kw]
            );
        }
        let (Some(oh), Some(ow)) = (window.output(h, kh), window.output(width, kw)) else {
            bail!(
                "{op}: a {kh}x{kw} kernel with stride {} and padding {} does not fit a {h}x{width} input",
                window.stride,
                window.padding
            )
        };
        Ok(Self { batch, channels_in, channels_out, input: (h, width), kernel: (kh, kw), output: (oh, ow), window })
    }

    /// One image of shape `input` `[I,H,W]` to one of shape `output` `[O,H',W']`.
    pub fn of_layer(input: &[usize], output: &[usize], w: &Tensor, window: Window) -> Result<Self> {
        let g = Self::new("conv2d", (1, input[0], input[1], input[2]), w.dims4()?, window)?;
        g.expect_output("conv2d", &[&[1], output].concat())?;
        Ok(g)
    }

    pub(in crate::compute) fn expect_output(&self, op: &str, y: &[usize]) -> Result<()> {
        let want = [self.batch, self.channels_out, self.output.0, self.output.1];
        if y != want {
            bail!("{op}: the output side has shape {y:?}, the geometry gives {want:?}");
        }
        Ok(())
    }

    pub fn input_len(&self) -> usize {
        self.channels_in * self.input.0 * self.input.1
    }

    pub fn output_len(&self) -> usize {
        self.channels_out * self.output.0 * self.output.1
    }

    pub(in crate::compute) fn weight_len(&self) -> usize {
        self.channels_out * self.patch()
    }

    /// Rows of the im2col matrix: one per input channel and tap.
    pub(in crate::compute) fn patch(&self) -> usize {
        self.channels_in * self.kernel.0 * self.kernel.1
    }

    /// Columns of the im2col matrix: one per output position.
    pub(in crate::compute) fn positions(&self) -> usize {
        self.output.0 * self.output.1
    }
}
