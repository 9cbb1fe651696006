//! A convolution of activations whose channels lie last, with its gradient
//!
//! ```text
//! y = w x + b     x [B, H, W, I]   w [O, I, KH, KW]   b [O]   y [B, H', W', O]
//! ```
//!
//! The value alone of a layer on a device where tensor cores want this order ([`Layout::Nhwc`]); the weight lies so once a step, for
//! bounds too.

use super::weights::{OfWeight, WeightParts};
use crate::compute::autograd::{Argument, Arrived, Node, value_of};
use crate::compute::conv::Window;
use crate::compute::conv::in_layout as conv;
use crate::compute::layout::Layout;
use crate::compute::norms::gpu::{add_to_columns, column_sums};
use candle_core::{Result, Tensor};

const LAST: Layout = Layout::Nhwc;

/// `x` convolved with the weight of these parts, which are in this order, plus `bias`. f32 or f64.
pub fn conv2d_last(x: &Tensor, w: &WeightParts, bias: Option<&Tensor>, window: Window) -> Result<Tensor> {
    let (xs, ws) = (x.detach().contiguous()?, w.weight.clone());
    let mut y = conv::forward(LAST, &xs, &ws, window)?;
    if let Some(bias) = bias {
        y = add_to_columns(&y, bias)?;
    }
    let ((_, h, width, _), kernel) = (xs.dims4()?, (w.dims()[2], w.dims()[3]));
    let arguments = vec![Argument::of(x), w.of(OfWeight::Products), bias.map_or(Argument::Constant, Argument::of)];
    let shape = y.shape().clone();
    let backward = move |arrived: Arrived, wanted: &[bool]| {
        let g = arrived.whole(&shape)?.tensor.contiguous()?;
        let of_x = || conv::input(LAST, &g, &ws, window, (h, width));
        let of_w = || conv::weight(LAST, &xs, &g, window, kernel);
        Ok(vec![
            wanted[0].then(of_x).transpose()?,
            wanted[1].then(of_w).transpose()?,
            wanted[2].then(|| column_sums(&g)).transpose()?,
        ])
    };
    value_of(&Node::argument("conv2d", arguments, backward), y)
}
