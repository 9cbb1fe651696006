//! The box behind the first affine layer, from the l2 ball alone: `W x + b -+ eps ||row||`
//!
//! Of a convolution the row of an output is its channel's kernel, less where padding cuts it. Published interval bounds take the whole
//! kernel everywhere; the real rows' norms are `sqrt((W * W) 1)`. Layers before it that only scale or rearrange numbers (`normalize`,
//! `flatten`) keep the ball an ellipsoid of known axes s: `sqrt((W * W) s^2)`, with the whole kernel at most `||row|| max s`.

use crate::bounds::margin::safe_sqrt;
use crate::bounds::region::Region;
use crate::compute::conv::conv2d;
use crate::compute::precision::matmul;
use crate::nn::layers::Dense;
use crate::nn::{Layer, Role};
use candle_core::{Result, Tensor, bail};

/// Which norm an output's row has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// That of the row that it really has.
    Exact,
    /// That of its channel's whole kernel, as published.
    Kernel,
}

/// The region behind `layers`, one after the other, of a ball around images: its box alone. All but the last scale or rearrange.
pub fn first_box(layers: &[Layer], ball: &Region, rows: Rows) -> Result<Region> {
    ball.expect_radius("first_box")?;
    if ball.rounding.is_some() {
        bail!("first_box: a region that is rounded outward goes through a layer with its norm; take affine");
    }
    let Some((last, before)) = layers.split_last() else { bail!("first_box: no layer is given") };
    let mut center = ball.center()?;
    let mut axes = center.narrow(0, 0, 1)?.ones_like()?.detach();
    for layer in before {
        axes = match (&layer.role, layer.dense()) {
            (Role::Reshape(r), _) => r.forward(&axes)?,
            (_, Some(Dense::Diagonal { scale })) => axes.broadcast_mul(&scale.abs()?)?,
            _ => bail!("first_box: {} does more than scale or rearrange its input; it comes last", layer.title()),
        };
        center = layer.forward(&center)?;
    }
    let norms = match rows {
        Rows::Exact => exact(last, &axes)?,
        Rows::Kernel => whole(last, &axes)?,
    };
    ball.of_ball(&last.forward(&center)?, &norms)
}

/// `sqrt((W * W) s^2)`, `[1, output...]`; of a map without a form that of whole rows, which is no less.
fn exact(layer: &Layer, axes: &Tensor) -> Result<Tensor> {
    let precision = layer.precision.get();
    let squares = axes.sqr()?;
    let sums = match layer.dense() {
        Some(Dense::Convolution { weight, window, .. }) => conv2d(&squares, &weight.sqr()?, window)?,
        Some(Dense::Matrix { weight, .. }) => matmul(&squares, &weight.sqr()?.t()?, precision)?,
        Some(Dense::Diagonal { scale }) => squares.broadcast_mul(&scale.sqr()?)?,
        Some(Dense::EachChannel { .. }) | None => return whole(layer, axes),
    };
    safe_sqrt(&sums)
}

fn whole(layer: &Layer, axes: &Tensor) -> Result<Tensor> {
    let norms = layer.row_norms()?;
    let mut shape = vec![1; layer.output.len() + 1];
    shape[1] = norms.elem_count();
    let norms = norms.reshape(shape)?;
    // Where all axes are 1, as published, nothing is rounded.
    norms.broadcast_mul(&axes.flatten_all()?.max(0)?)
}
