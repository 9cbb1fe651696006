//! The weight of an affine layer, as bounds need it on a device with kernels of our own: its products, |W|, the norms of its
//! rows, and the gradient of all three.

use crate::compute::conv::{Window, conv2d, conv2d_weight};
use crate::compute::conv_into::conv2d_input_into;
use crate::compute::kernels::{Arg, Blocks, Source, launch, room};
use candle_core::{Result, Tensor};

const SOURCE: Source = Source::Region;

/// The linear map of a layer, by its weight.
#[derive(Clone, Copy, Debug)]
pub enum Map {
    /// `[O, I]`.
    Linear,
    /// `[O, I, KH, KW]`.
    Conv(Window),
}

impl Map {
    /// `W x`.
    pub fn apply(self, x: &Tensor, w: &Tensor) -> Result<Tensor> {
        match self {
            Self::Linear => x.matmul(&w.t()?),
            Self::Conv(window) => conv2d(x, w, window),
        }
    }

    /// `W^T y`, written into `to` `[B, ...]`.
    pub fn adjoint_into(self, y: &Tensor, w: &Tensor, to: &Tensor) -> Result<()> {
        match self {
            Self::Linear => to.slice_set(&y.matmul(w)?, 0, 0),
            Self::Conv(window) => conv2d_input_into(y, w, window, to),
        }
    }

    /// The gradient of w for `y . W x`.
    pub fn weight(self, x: &Tensor, y: &Tensor, w: &Tensor) -> Result<Tensor> {
        match self {
            Self::Linear => y.t()?.matmul(x),
            Self::Conv(window) => conv2d_weight(x, y, window, (w.dim(2)?, w.dim(3)?)),
        }
    }
}

/// A weight `[O, ...]` outside of the graph, its absolute values, and the norms of its rows `[O]`.
#[derive(Clone, Debug)]
pub struct WeightParts {
    pub weight: Tensor,
    pub absolute: Tensor,
    pub norms: Tensor,
}

impl WeightParts {
    pub fn new(weight: &Tensor) -> Result<Self> {
        let weight = weight.detach().contiguous()?;
        let (rows, dtype, device) = (weight.dim(0)?, weight.dtype(), weight.device());
        let (absolute, norms) = (room(weight.shape(), dtype, device)?, room(rows, dtype, device)?);
        let n = weight.elem_count() / rows.max(1);
        let args = [(&weight).into(), (&absolute).into(), (&norms).into(), n.into()];
        launch(SOURCE, "weight_parts", &weight, Blocks::Exactly(rows), &args)?;
        Ok(Self { weight, absolute, norms })
    }
}

/// The gradient of the weight from that of W, of |W| and of the rows' norms `[O]`.
pub fn gradient_of_weight(w: &WeightParts, [product, absolute]: [Tensor; 2], of_norms: &Tensor) -> Result<Tensor> {
    let (product, absolute) = (product.contiguous()?, absolute.contiguous()?);
    let (d, count) = (room(w.weight.shape(), w.weight.dtype(), w.weight.device())?, w.weight.elem_count());
    let tensors = [&product, &absolute, &w.weight, &w.norms, of_norms, &d].map(Arg::Tensor);
    let counts = [count, count / w.norms.elem_count().max(1)].map(Arg::Count);
    launch(SOURCE, "weight_gradient", &w.weight, Blocks::Elements(count), &[&tensors[..], &counts].concat())?;
    Ok(d)
}
