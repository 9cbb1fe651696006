//! The ball around images and its box, and both through an affine layer in closed form, on the CPU
//!
//! ```text
//! box x -+ r:   middle = center      half = r everywhere, so |W| half = r (|W| 1)
//! behind        c = W x + b          reach = r min(|W| 1, ||w_i||)      lower, upper = c -+ reach
//! ```
//!
//! One product of a batch where the general form needs three. |W| 1 is smaller than the row's norm only where padding cuts a kernel. As
//! there, at a tie the gradient is the ball's, and a NaN on either side comes out as NaN.

use crate::compute::autograd::{Argument, Arriving, tape::Tracked};
use crate::compute::element::{Element, Host, for_dtype};
use crate::compute::norms::samples::per_sample;
use crate::compute::unwritten::{unwritten, written};
use candle_core::{Result, Shape, Tensor, bail};
use rayon::prelude::*;
use std::cell::OnceCell;
use std::rc::Rc;

/// A ball around images, or any point, and the box that it fills: center, middle and half-width are known without being written.
#[derive(Clone, Debug)]
pub struct Around {
    pub x: Tensor,
    pub radius: Tensor,
    ends: Rc<OnceCell<Tracked>>,
}

impl Around {
    pub fn new(x: &Tensor, radius: &Tensor) -> Self {
        Self { x: x.clone(), radius: radius.clone(), ends: Rc::default() }
    }

    /// Is it a constant, of this radius, so that what lies behind a layer has a closed form?
    pub fn is_closed(&self, radius: &Tensor) -> bool {
        radius.id() == self.radius.id() && !self.x.track_op() && !self.radius.track_op()
    }

    /// Center, lower and upper.
    pub fn ends(&self) -> Result<Tracked> {
        if let Some(known) = self.ends.get() {
            return Ok(known.clone());
        }
        let [lower, upper] = ends(&self.x, &self.radius)?;
        let made = Tracked::of(&Tensor::stack(&[&self.x, &lower, &upper], 0)?);
        Ok(self.ends.get_or_init(|| made).clone())
    }
}

/// `x -+ radius`, `[B, ...]` each.
pub fn ends(x: &Tensor, radius: &Tensor) -> Result<[Tensor; 2]> {
    let half = per_sample(radius, x)?;
    Ok([x.broadcast_sub(&half)?, x.broadcast_add(&half)?])
}

/// Center, lower and upper `[3, B, O, ...]`: of `center` `[B, O, ...]`, which is W x + b, `radius` `[B]`, `sums` `[1, O, ...]`, which is
/// |W| 1, and `norms` `[1, O]`.
pub fn affine(center: &Tensor, radius: &Tensor, sums: &Tensor, norms: &Tensor) -> Result<Tracked> {
    for_dtype!("affine", center.dtype(), T => typed::<T>(center, radius, sums, norms))
}

struct Sizes {
    /// Numbers of a sample, and of one of its channels.
    n: usize,
    positions: usize,
}

impl Sizes {
    /// The smaller of the two reaches for number `i`, and whether it is the box's.
    fn least<T: Element>(&self, sums: &[T], norms: &[T], i: usize) -> (T, bool) {
        let (of_box, of_ball) = (sums[i], norms[i / self.positions]);
        if of_box < of_ball || of_box.partial_cmp(&of_box).is_none() { (of_box, true) } else { (of_ball, false) }
    }
}

fn typed<T: Element>(center: &Tensor, radius: &Tensor, sums: &Tensor, norms: &Tensor) -> Result<Tracked> {
    let (batch, channels) = (center.dim(0)?, center.dim(1)?);
    let n: usize = center.dims()[1..].iter().product();
    if radius.dims() != [batch] || sums.elem_count() != n || norms.elem_count() != channels {
        let shapes = [center, radius, sums, norms].map(|t| t.dims());
        bail!("affine: a ball's center, radius, sums and norms {shapes:?} do not fit");
    }
    let sizes = Sizes { n, positions: n / channels.max(1) };
    let [c, r, a, w] = [center, radius, sums, norms].map(|t| t.detach().contiguous());
    let (c, r, a, w) = (c?, r?, a?, w?);
    let mut y = unwritten(3 * batch * n);
    {
        let [c, r, a, w] = [&c, &r, &a, &w].map(Host::of);
        let (c, r, a, w) = (c.slice::<T>()?, r.slice::<T>()?, a.slice::<T>()?, w.slice::<T>()?);
        let least: Vec<T> = (0..n).map(|i| sizes.least(a, w, i).0).collect();
        let (centers, ends) = y.split_at_mut(batch * n);
        let (lowers, uppers) = ends.split_at_mut(batch * n);
        let rooms = centers.par_chunks_mut(n).zip(lowers.par_chunks_mut(n)).zip(uppers.par_chunks_mut(n));
        rooms.zip(c.par_chunks(n)).zip(r).for_each(|((((center, lower), upper), c), r)| {
            for i in 0..n {
                let reach = *r * least[i];
                center[i].write(c[i]);
                lower[i].write(c[i] - reach);
                upper[i].write(c[i] + reach);
            }
        });
    }
    let shape = [&[3], center.dims()].concat();
    // SAFETY: every number of every sample has been written.
    let y = Tensor::from_vec(unsafe { written(y) }, shape, center.device())?;
    let arguments = [center, sums, norms].map(Argument::of).to_vec();
    let shape: Shape = y.shape().clone();
    let (sums, norms) = (sums.shape().clone(), norms.shape().clone());
    let center = Shape::from(&shape.dims()[1..]);
    Ok(Tracked::made("around", y, shape, arguments, move |arriving: Arriving, _| {
        let g = arriving.tensor.contiguous()?;
        let [g, r, a, w] = [&g, &r, &a, &w].map(Host::of);
        let (g, r, a, w) = (g.slice::<T>()?, r.slice::<T>()?, a.slice::<T>()?, w.slice::<T>()?);
        let [of_center, of_sums, of_norms] = backward(&sizes, g, r, a, w);
        let tensor =
            |values: Vec<T>, shape: &Shape| Tensor::from_vec(values, shape, &candle_core::Device::Cpu).map(Some);
        Ok(vec![tensor(of_center, &center)?, tensor(of_sums, &sums)?, tensor(of_norms, &norms)?])
    }))
}

/// The gradients of center, sums and norms. Those over samples are added up in an order of their own, whatever the number of threads.
fn backward<T: Element>(sizes: &Sizes, g: &[T], r: &[T], sums: &[T], norms: &[T]) -> [Vec<T>; 3] {
    /// Numbers of a sample that one task takes through all samples.
    const PART: usize = 1 << 10;
    let (n, batch) = (sizes.n, r.len());
    let (of_centers, ends) = g.split_at(batch * n);
    let (of_lower, of_upper) = ends.split_at(batch * n);
    let mut center = unwritten(batch * n);
    center.par_chunks_mut(n).enumerate().for_each(|(b, room)| {
        let own = b * n..(b + 1) * n;
        let parts = of_centers[own.clone()].iter().zip(&of_lower[own.clone()]).zip(&of_upper[own]);
        room.iter_mut().zip(parts).for_each(|(room, ((m, l), u))| {
            room.write(*m + *l + *u);
        });
    });
    let mut reach = vec![T::ZERO; n];
    reach.par_chunks_mut(PART).enumerate().for_each(|(part, reach)| {
        for (b, r) in r.iter().enumerate() {
            let from = b * n + part * PART;
            let ends = of_lower[from..].iter().zip(&of_upper[from..]);
            reach.iter_mut().zip(ends).for_each(|(sum, (l, u))| *sum += (*u - *l) * *r);
        }
    });
    let mut of_norms = vec![T::ZERO; norms.len()];
    for (i, g) in reach.iter_mut().enumerate() {
        if !sizes.least(sums, norms, i).1 {
            of_norms[i / sizes.positions] += std::mem::replace(g, T::ZERO);
        }
    }
    // SAFETY: every number of every sample has been written.
    [unsafe { written(center) }, reach, of_norms]
}
