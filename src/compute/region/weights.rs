//! The weight of an affine layer, as bounds need it on a device with kernels of our own: its products, |W|, the norms of its
//! rows, and the gradient of all three.

use crate::compute::conv::Window;
use crate::compute::conv::in_layout as conv;
use crate::compute::gpu::{Arg, Blocks, Source, launch, room};
use crate::compute::layout;
use crate::compute::layout::Layout;
use crate::compute::precision::{Precision, matmul};
use candle_core::{Result, Tensor};

const SOURCE: Source = Source::Region;

/// The linear map of a layer, by its weight, on activations and weights in one layout.
#[derive(Clone, Copy, Debug)]
pub enum Map {
    /// `[O, I]`.
    Linear(Precision),
    /// `[O, I, KH, KW]`, or `[O, KH, KW, I]`.
    Conv(Window, Layout),
}

impl Map {
    /// The layout of the activations.
    pub fn layout(self) -> Layout {
        match self {
            Self::Linear(_) => Layout::Nchw,
            Self::Conv(_, layout) => layout,
        }
    }

    /// `W x`.
    pub fn apply(self, x: &Tensor, w: &Tensor) -> Result<Tensor> {
        match self {
            Self::Linear(precision) => matmul(x, &w.t()?, precision),
            Self::Conv(window, layout) => conv::forward(layout, x, w, window),
        }
    }

    /// `W^T y`; `shape` is that of a sample of the result, plane by plane.
    pub fn adjoint(self, y: &Tensor, w: &Tensor, shape: &[usize]) -> Result<Tensor> {
        match self {
            Self::Linear(precision) => matmul(y, w, precision),
            Self::Conv(window, layout) => conv::input(layout, y, w, window, (shape[1], shape[2])),
        }
    }

    /// `W^T y`, written into `to` `[B, ...]`.
    pub fn adjoint_into(self, y: &Tensor, w: &Tensor, to: &Tensor) -> Result<()> {
        match self {
            Self::Linear(precision) => to.slice_set(&matmul(y, w, precision)?, 0, 0),
            Self::Conv(window, layout) => conv::input_into(layout, y, w, window, to),
        }
    }

    /// The gradient of w `[O, I, KH, KW]` for `y . W x`, in the map's layout.
    pub fn weight(self, x: &Tensor, y: &Tensor, w: &[usize]) -> Result<Tensor> {
        match self {
            Self::Linear(precision) => matmul(&y.t()?, x, precision),
            Self::Conv(window, layout) => conv::weight(layout, x, y, window, (w[2], w[3])),
        }
    }

    /// A weight in the map's layout.
    pub fn in_layout(self, w: &Tensor) -> Result<Tensor> {
        layout::turned(&w.detach(), Layout::Nchw, self.layout())
    }
}

/// A weight outside of the graph, the norms of its rows `[O]`, and in the layout of the map it and its absolute values.
#[derive(Clone, Debug)]
pub struct WeightParts {
    /// As the layer has it.
    own: Tensor,
    pub weight: Tensor,
    pub absolute: Tensor,
    pub norms: Tensor,
    map: Map,
}

impl WeightParts {
    pub fn new(weight: &Tensor, map: Map) -> Result<Self> {
        let own = weight.detach().contiguous()?;
        let (rows, dtype, device) = (own.dim(0)?, own.dtype(), own.device());
        let in_layout = || room(layout::shape(own.dims(), map.layout()), dtype, device);
        let turned = (map.layout() == Layout::Nhwc).then(in_layout).transpose()?;
        let (absolute, norms) = (in_layout()?, room(rows, dtype, device)?);
        let tensors = [(&own).into(), turned.as_ref().into(), (&absolute).into(), (&norms).into()];
        let counts = [own.elem_count() / rows.max(1), taps(&own)].map(Arg::Count);
        launch(SOURCE, "weight_parts", &own, Blocks::Exactly(rows), &[&tensors[..], &counts].concat())?;
        Ok(Self { weight: turned.unwrap_or_else(|| own.clone()), own, absolute, norms, map })
    }

    /// The gradient of the weight for `y . W x`, or `y . |W| x`, in the layout of the map.
    pub fn product(&self, x: &Tensor, y: &Tensor) -> Result<Tensor> {
        self.map.weight(x, y, self.own.dims())?.contiguous()
    }

    /// The gradient of the weight from that of W, of |W| and of the rows' norms `[O]`.
    pub fn gradient(&self, product: &Tensor, absolute: &Tensor, of_norms: &Tensor) -> Result<Tensor> {
        let w = &self.own;
        let (d, count) = (room(w.shape(), w.dtype(), w.device())?, w.elem_count());
        let tensors = [product, absolute, w, &self.norms, of_norms, &d].map(Arg::Tensor);
        let last = usize::from(self.map.layout() == Layout::Nhwc);
        let counts = [count, count / self.norms.elem_count().max(1), taps(w), last].map(Arg::Count);
        launch(SOURCE, "weight_gradient", w, Blocks::Elements(count), &[&tensors[..], &counts].concat())?;
        Ok(d)
    }
}

/// Positions of a kernel.
fn taps(w: &Tensor) -> usize {
    w.dims()[2..].iter().product()
}
