//! One step of Adam (Kingma and Ba 2015), in place on the CPU, one kernel on CUDA
//!
//! ```text
//! m <- b1 m + (1 - b1) g     v <- b2 v + (1 - b2) g^2     p <- kept p - lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps)
//! ```
//!
//! `kept` is 1, or 1 - lr weight_decay for AdamW.

use crate::compute::element::{Element, for_float, slice};
use crate::compute::gpu;
use crate::compute::gpu::{Arg, Source, launch_over};
use crate::compute::variables::{assign, changed};
use candle_core::{CpuStorage, DType, InplaceOp2, InplaceOp3, Layout, Result, Tensor, Var};
use pulp::Arch;
use rayon::prelude::*;

/// The constants of one step.
pub struct Adam {
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    /// Steps taken, with this one.
    pub t: i32,
    pub lr: f64,
    pub kept: f64,
}

/// Elements that one task works on.
const PART: usize = 1 << 14;

/// A parameter, its moments (m, v), and the gradient.
pub type Step<'a> = (&'a Var, &'a mut [Tensor], Tensor);

/// Moves all parameters and their moments by their gradients.
pub fn adam_all(steps: Vec<Step>, rule: &Adam) -> Result<()> {
    let first = steps.first().map(|(p, ..)| (p.dtype(), p.device().clone()));
    let together = first.is_some_and(|(dtype, device)| {
        steps.iter().all(|(p, moments, g)| {
            let own = moments.iter().chain([p.as_tensor(), g]);
            gpu::has_kernel(p)
                && p.device().same_device(&device)
                && own.into_iter().all(|t| t.dtype() == dtype)
                && p.is_contiguous()
                && moments.iter().all(Tensor::is_contiguous)
        })
    });
    if together {
        let gradients: Vec<Tensor> = steps.iter().map(|(.., g)| g.contiguous()).collect::<Result<_>>()?;
        let mut rows: Vec<Vec<&Tensor>> = vec![];
        for ((p, moments, _), g) in steps.iter().zip(&gradients) {
            rows.push([p.as_tensor()].into_iter().chain(moments.iter()).chain([g]).collect());
        }
        let (first, second) = (1.0 - rule.beta1.powi(rule.t), 1.0 - rule.beta2.powi(rule.t));
        let numbers = [rule.beta1, rule.beta2, rule.eps, first, second, rule.lr, rule.kept].map(Arg::Number);
        changed();
        return launch_over(Source::Train, "adam", &rows, &numbers);
    }
    steps.into_iter().try_for_each(|(parameter, moments, g)| adam(parameter, moments, &g, rule))
}

/// Moves the parameter p and its `moments` (m, v) by the gradient `g`.
fn adam(parameter: &Var, moments: &mut [Tensor], g: &Tensor, rule: &Adam) -> Result<()> {
    let p = parameter.as_tensor();
    let [m, v] = moments else { candle_core::bail!("adam: two moments are wanted, there are {}", moments.len()) };
    let in_place = p.device().is_cpu() && matches!(p.dtype(), DType::F32 | DType::F64);
    if in_place && [p, m, v].iter().all(|t| t.is_contiguous()) {
        let g = g.contiguous()?;
        m.inplace_op2(&g, &Average { beta: rule.beta1, square: false })?;
        v.inplace_op2(&g, &Average { beta: rule.beta2, square: true })?;
        changed();
        return p.inplace_op3(m, v, rule);
    }
    let (a, b) = (rule.beta1, rule.beta2);
    *m = ((&*m * a)? + (g * (1.0 - a))?)?;
    *v = ((&*v * b)? + (g.sqr()? * (1.0 - b))?)?;
    let denominator = ((&*v / (1.0 - b.powi(rule.t)))?.sqrt()? + rule.eps)?;
    let update = (((&*m / (1.0 - a.powi(rule.t)))? / denominator)? * rule.lr)?;
    assign(parameter, &((p.detach() * rule.kept)? - update)?)
}

/// `x <- beta x + (1 - beta) g`, or g^2.
struct Average {
    beta: f64,
    square: bool,
}

impl InplaceOp2 for Average {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn cpu_fwd(&self, x: &mut CpuStorage, lx: &Layout, g: &CpuStorage, lg: &Layout) -> Result<()> {
        for_float!("adam", g, T => {
            let (x, g) = (part::<T>(x, lx)?, slice::<T>("adam", g, lg)?);
            let (beta, rest) = (T::of(self.beta), T::of(1.0 - self.beta));
            x.par_chunks_mut(PART).zip(g.par_chunks(PART)).for_each(|(x, g)| {
                Arch::new().dispatch(
                    #[inline(always)]
                    || match self.square {
                        false => x.iter_mut().zip(g).for_each(|(x, g)| *x = *x * beta + *g * rest),
                        true => x.iter_mut().zip(g).for_each(|(x, g)| *x = *x * beta + *g * *g * rest),
                    },
                );
            });
            Ok(())
        })
    }
}

impl InplaceOp3 for Adam {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn cpu_fwd(
        &self,
        p: &mut CpuStorage,
        lp: &Layout,
        m: &CpuStorage,
        lm: &Layout,
        v: &CpuStorage,
        lv: &Layout,
    ) -> Result<()> {
        for_float!("adam", m, T => {
            let (p, m, v) = (part::<T>(p, lp)?, slice::<T>("adam", m, lm)?, slice::<T>("adam", v, lv)?);
            let (first, second) = (T::of(1.0 - self.beta1.powi(self.t)), T::of(1.0 - self.beta2.powi(self.t)));
            let (lr, eps, kept) = (T::of(self.lr), T::of(self.eps), T::of(self.kept));
            p.par_chunks_mut(PART).zip(m.par_chunks(PART).zip(v.par_chunks(PART))).for_each(|(p, (m, v))| {
                Arch::new().dispatch(
                    #[inline(always)]
                    || {
                        for ((p, m), v) in p.iter_mut().zip(m).zip(v) {
                            *p = *p * kept - *m / first / ((*v / second).root() + eps) * lr;
                        }
                    },
                );
            });
            Ok(())
        })
    }
}

/// The elements that the layout covers, to be changed.
fn part<'a, T: Element>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [T]> {
    match (T::of_storage(storage), layout.contiguous_offsets()) {
        (Some(all), Some((from, to))) => Ok(&mut all[from..to]),
        _ => candle_core::bail!("adam: parameters and moments of one number type are wanted, contiguous"),
    }
}
