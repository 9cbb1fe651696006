//! The first region: the l2 ball of a radius around images, and its box
//!
//! ```text
//! center = x   radius = epsilon   lower = x - epsilon   upper = x + epsilon
//! behind maps that reach at most n per unit:   lower = center' - epsilon n   upper = center' + epsilon n
//! ```

use super::parts::{Parts, Region};
use crate::bounds::outward;
use crate::compute::gpu;
use crate::compute::norms::samples::{check_images, per_sample};
use crate::compute::region;
use crate::compute::region::around::Around;
use crate::compute::region::center_radius::CenterRadius;
use candle_core::{Result, Tensor, bail};

impl Region {
    /// The l2 ball of radius `epsilon` (`[B]`) around each image of `x`, and the box x +- epsilon. With `images` the box
    /// is cut to [0, 1], which is valid only against an adversary who is held to images too.
    pub fn around(x: &Tensor, epsilon: &Tensor, images: bool) -> Result<Self> {
        if epsilon.dims() != [x.dim(0)?] {
            bail!("region: {} images want as many radii, got a tensor of shape {:?}", x.dim(0)?, epsilon.dims());
        }
        if x.dtype() == epsilon.dtype() {
            if !images && (x.device().is_cpu() || gpu::has_kernel(x)) {
                return Ok(Self::of(Parts::Around(Around::new(x, epsilon)), epsilon.clone()));
            }
            if gpu::has_kernel(x) && !x.track_op() && !epsilon.track_op() {
                check_images("ball_and_box with `images`", x)?;
                let parts = Parts::CenterRadius(CenterRadius::around(x, epsilon, images)?);
                return Ok(Self::of(parts, epsilon.clone()));
            }
        }
        let [mut lower, mut upper] = region::around::ends(x, epsilon)?;
        if images {
            check_images("ball_and_box with `images`", x)?;
            (lower, upper) = (lower.clamp(0f64, 1f64)?, upper.clamp(0f64, 1f64)?);
        }
        Self::new(x, &lower, &upper, epsilon.clone())
    }

    /// The same with every rounding accounted for: images and radii in f64, on the CPU ([`crate::bounds::outward`]).
    pub fn around_outward(x: &Tensor, epsilon: &Tensor, images: bool) -> Result<Self> {
        Self::of_outward(outward::around(x, epsilon, images)?)
    }

    /// The box of a ball around images behind maps by which their center comes to `center`, and which reach at most `norms` `[1, ...]` per unit
    /// of the radius.
    pub(in crate::bounds) fn of_ball(&self, center: &Tensor, norms: &Tensor) -> Result<Self> {
        let unknown = (self.radius.detach() * f64::NAN)?;
        if center.device().is_cpu() && !self.radius.track_op() {
            let whole = norms.broadcast_as([&[1], &center.dims()[1..]].concat())?;
            let none = Tensor::full(f64::INFINITY, (1, center.dim(1)?), center.device())?.to_dtype(center.dtype())?;
            let parts = region::around::affine(center, &self.radius, &whole, &none)?;
            return Ok(Self::of(Parts::Ends(parts), unknown));
        }
        let reach = per_sample(&self.radius, center)?.broadcast_mul(norms)?;
        Self::new(center, &center.broadcast_sub(&reach)?, &center.broadcast_add(&reach)?, unknown)
    }
}
