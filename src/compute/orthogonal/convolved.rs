//! The largest singular value of a convolution that keeps its images' size, zeros around them
//!
//! ```text
//! in training   u <- W^T W u / ||.||,  sigma = ||W u||, whose gradient is v u^T, v = W u / sigma
//! where it stands, and from above   small maps by their matrix; others by such steps, and lie in a circular map of side
//!               max(H, W) + k / 2, whose norm is the largest of its matrices Q[f] at each frequency
//! ```
//!
//! Rounding of the frequencies: with A_oi = sum_t |w_oi(t)| an entry of Q[f] is off by at most (k^2 + 16 k + 32) u A_oi, so Q[f] by at most
//! twice that of ||A||_F.

use super::top::{below_and_above, norm_above};
use crate::base::interrupt;
use crate::compute::conv::{Window, conv2d, conv2d_input};
use crate::compute::frequency::spectrum;
use candle_core::{DType, Device, Result, Tensor};

/// Inputs or outputs, whichever are fewer, up to which a map is bounded by its matrix.
const MOST: usize = 1024;

/// Numbers that the matrix may have.
const NUMBERS: usize = 1 << 24;

/// Up to which squarings of its Gram matrix cost nothing.
const FEW: usize = 256;

/// Numbers of matrices that are squared at once.
const AT_ONCE: usize = 1 << 22;

/// Steps between two looks at sigma.
const STEPS: usize = 25;

/// Looks, at most.
const LOOKS: usize = 40;

fn there(kernel: &Tensor, x: &Tensor) -> Result<Tensor> {
    conv2d(x, kernel, Window::new(1, kernel.dim(3)? / 2))
}

/// `x / ||x||`, or `other` where that is no vector.
fn unit(x: &Tensor, other: &Tensor) -> Result<Tensor> {
    let size = x.sqr()?.sum_all()?.sqrt()?;
    let scaled = x.broadcast_div(&(&size + f64::from(f32::MIN_POSITIVE))?)?;
    size.gt(0.0)?.broadcast_as(x.shape())?.contiguous()?.where_cond(&scaled, other)
}

/// The unit vector that so many steps from `u` `[1, I, H, W]` end at, for a kernel `[O, I, k, k]`, k odd. No gradient. A kernel of zeros
/// leaves it where it is, and from nothing it starts at a constant image.
pub fn power_iteration(kernel: &Tensor, u: &Tensor, steps: usize) -> Result<Tensor> {
    let (kernel, u) = (kernel.detach(), u.detach());
    let (_, _, h, w) = u.dims4()?;
    let window = Window::new(1, kernel.dim(3)? / 2);
    let constant = (u.ones_like()? / (u.elem_count() as f64).sqrt())?;
    let mut u = unit(&u, &constant)?;
    for _ in 0..steps {
        u = unit(&conv2d_input(&there(&kernel, &u)?, &kernel, window, (h, w))?, &u)?;
    }
    Ok(u)
}

/// `||W u||` of a unit vector, with its gradient in the kernel.
pub fn norm_along(kernel: &Tensor, u: &Tensor) -> Result<Tensor> {
    let y = there(kernel, &u.detach())?;
    let own = y.detach();
    let size = (own.sqr()?.sum_all()?.sqrt()? + f64::from(f32::MIN_POSITIVE))?;
    (y * own.broadcast_div(&size)?)?.sum_all()
}

/// Sigma where it stands, in f64 on the host, and what the norm over `u`'s images is at most; NaN where the kernel is not finite. Of a small map
/// both come from its matrix; else sigma is iterated from `u`.
pub fn sigma_and_bound(kernel: &Tensor, u: &Tensor) -> Result<(f64, f64)> {
    let host = |t: &Tensor| t.detach().to_device(&Device::Cpu)?.to_dtype(DType::F64);
    let (kernel, u) = (host(kernel)?, host(u)?);
    let ((o, i, k, _), (_, _, h, w)) = (kernel.dims4()?, u.dims4()?);
    let [fewer, more] = [o.min(i) * h * w, o.max(i) * h * w];
    if fewer > MOST || fewer * more > NUMBERS {
        return Ok((by_steps(&kernel, u)?, by_frequency(&kernel, torus(h, w, k))?));
    }
    let one = Tensor::eye(fewer, DType::F64, &Device::Cpu)?.reshape((fewer, o.min(i), h, w))?;
    let matrix = match o < i {
        true => conv2d_input(&one, &kernel, Window::new(1, k / 2), (h, w))?,
        false => there(&kernel, &one)?,
    };
    let squarings = if fewer <= FEW { 25 } else { 16 };
    let [below, above] = below_and_above(&matrix.flatten_from(1)?, squarings)?;
    Ok((below.to_scalar()?, above.to_scalar()?))
}

fn by_steps(kernel: &Tensor, mut u: Tensor) -> Result<f64> {
    let mut last = 0.0;
    for _ in 0..LOOKS {
        interrupt::check()?;
        u = power_iteration(kernel, &u, STEPS)?;
        let now = norm_along(kernel, &u)?.to_scalar::<f64>()?;
        if now.is_nan() || now <= last * (1.0 + 1e-9) {
            return Ok(now);
        }
        last = now;
    }
    Ok(last)
}

/// The side of a circular map in which that of H x W images lies: its kernel reaches k / 2 beyond each edge, around it into the same margin.
fn torus(h: usize, w: usize, k: usize) -> usize {
    (h.max(w) + k / 2).max(k)
}

/// At least the norm of the circular map on a torus of this side.
fn by_frequency(kernel: &Tensor, side: usize) -> Result<f64> {
    let (o, i, k, _) = kernel.dims4()?;
    let all = spectrum(kernel, side)?.real_form()?;
    let some = (AT_ONCE / (4 * o.min(i).pow(2))).max(1);
    let mut most = 0.0f64;
    for from in (0..all.dim(0)?).step_by(some) {
        interrupt::check()?;
        let part = all.narrow(0, from, some.min(all.dim(0)? - from))?;
        let norm = norm_above(&part, 14)?.to_scalar::<f64>()?;
        most = if norm.is_nan() || norm > most { norm } else { most };
    }
    let sizes = kernel.abs()?.sum((2, 3))?.sqr()?.sum_all()?.sqrt()?.to_scalar::<f64>()?;
    Ok(most + (k * k + 16 * k + 32) as f64 * f64::EPSILON * sizes * (1.0 + 1e-9))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Generator;

    fn draw(shape: &[usize]) -> Tensor {
        Generator::new(3).normal(0.0, 1.0, shape, DType::F64, &Device::Cpu).unwrap()
    }

    #[test]
    fn a_small_map_is_bounded_closely_and_a_large_one_by_frequencies() {
        for (o, i, k, h, w) in [(4, 3, 3, 5, 6), (2, 5, 1, 3, 3), (3, 2, 5, 7, 4), (1, 1, 3, 1, 1), (4, 5, 3, 9, 8)] {
            let (kernel, u) = (draw(&[o, i, k, k]), draw(&[1, i, h, w]));
            let (below, above) = sigma_and_bound(&kernel, &u).unwrap();
            let slack = if o.min(i) * h * w <= FEW { 1e-6 } else { 1e-4 };
            assert!(below <= above && above <= below * (1.0 + slack), "{o} {i} {k}: {below} {above}");
            // What steps end at is the same, from below; frequencies are above, by what the edges cost.
            let (steps, whole) = (by_steps(&kernel, u).unwrap(), by_frequency(&kernel, torus(h, w, k)).unwrap());
            assert!(steps <= below * (1.0 + 1e-12) && steps > below * 0.998, "{o} {i} {k}: {steps} of {below}");
            assert!(whole >= below && (h == 1 || whole < below * 1.6), "{o} {i} {k}: {whole} of {below}");
        }
        // 34 x 34 images of one channel, too many for a matrix.
        let (below, above) = sigma_and_bound(&draw(&[2, 1, 3, 3]), &draw(&[1, 1, 34, 34])).unwrap();
        assert!(below <= above && above <= below * 1.02, "{below} {above}");
    }

    #[test]
    fn nothing_becomes_no_nan_and_a_nan_is_not_lost() {
        let (kernel, u) = (draw(&[2, 2, 3, 3]), draw(&[1, 2, 4, 4]));
        let none = kernel.zeros_like().unwrap();
        let (below, above) = sigma_and_bound(&none, &u).unwrap();
        assert!(below.abs() < 1e-18 && (0.0..1e-18).contains(&above), "{below} {above}");
        let kept = power_iteration(&none, &u, 3).unwrap();
        let size = kept.sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
        assert!((size - 1.0).abs() < 1e-12, "{size}");
        // From a vector of zeros too.
        let (own, other) = (by_steps(&kernel, u.clone()).unwrap(), by_steps(&kernel, u.zeros_like().unwrap()).unwrap());
        assert!((own - other).abs() < 1e-4 * own, "{own} {other}");
        let broken = (&kernel / 0.0).unwrap();
        assert!(sigma_and_bound(&broken, &u).unwrap().1.is_nan() && by_frequency(&broken, 5).unwrap().is_nan());
    }
}
