//! One step of Adam (Kingma and Ba 2015) or NAdam (Dozat 2016), in place on the CPU, one kernel on CUDA
//!
//! ```text
//! m <- b1 m + (1 - b1) g     v <- b2 v + (1 - b2) g^2     p <- kept p - lr (m / first + ahead g) / (sqrt(v / (1 - b2^t)) + eps)
//!
//! Adam    first = 1 - b1^t                                 ahead = 0
//! NAdam   mu_t = b1 (1 - 0.96^(t momentum_decay) / 2)      P_t = mu_1 ... mu_t
//!         first = (1 - P_t mu_(t+1)) / mu_(t+1)            ahead = (1 - mu_t) / (1 - P_t)
//! ```
//!
//! `kept` is 1, or 1 - lr weight_decay for AdamW. NAdam's momentum warms up, and its step looks ahead to where momentum will carry it;
//! the constants are those of PyTorch.

use crate::compute::element::{Element, for_float, slice};
use crate::compute::gpu;
use crate::compute::gpu::{Arg, Source, launch_over};
use crate::compute::simd::wide_loop;
use crate::compute::variables::{assign, changed};
use candle_core::{CpuStorage, DType, InplaceOp2, InplaceOp3, Layout, Result, Tensor, Var};
use rayon::prelude::*;

/// The constants of one step.
pub struct Adam {
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    /// What m is divided by.
    pub first: f64,
    /// What v is divided by.
    pub second: f64,
    /// How much of the gradient itself is in the step.
    pub ahead: f64,
    pub lr: f64,
    pub kept: f64,
}

/// The momenta of NAdam: their product over the steps taken, which is 0 after some thousand.
#[derive(Clone, Copy, Debug)]
pub struct Momenta {
    beta1: f64,
    decay: f64,
    product: f64,
    steps: usize,
}

impl Momenta {
    /// After so many steps.
    pub fn after(steps: usize, beta1: f64, decay: f64) -> Self {
        let mut own = Self { beta1, decay, product: 1.0, steps: 0 };
        while own.steps < steps && own.product > 0.0 {
            own.step();
        }
        Self { steps, ..own }
    }

    /// One more step: its `first` and `ahead`.
    pub fn step(&mut self) -> (f64, f64) {
        let of = |step: usize| self.beta1 * (1.0 - 0.5 * 0.96_f64.powf(step as f64 * self.decay));
        self.steps += 1;
        let (now, next) = (of(self.steps), of(self.steps + 1));
        self.product *= now;
        ((1.0 - self.product * next) / next, (1.0 - now) / (1.0 - self.product))
    }
}

impl Adam {
    /// What changes from step to step, as a kernel reads it from the device.
    pub fn told(&self) -> [f64; 5] {
        [self.first, self.second, self.ahead, self.lr, self.kept]
    }
}

/// Elements that one task works on.
const PART: usize = 1 << 14;

/// A parameter, its moments (m, v), and the gradient.
pub type Step<'a> = (&'a Var, &'a mut [Tensor], Tensor);

/// Moves all parameters and their moments by their gradients. With `told`, f64 on the device, what [`Adam::told`] gives is read from there when
/// the kernel runs; that is for parameters which a kernel moves.
pub fn adam_all(steps: Vec<Step>, rule: &Adam, told: Option<&Tensor>) -> Result<()> {
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
        let Adam { beta1, beta2, eps, first, second, ahead, lr, kept } = *rule;
        let (constant, changing) =
            ([beta1, beta2, eps].map(Arg::Number), [first, second, ahead, lr, kept].map(Arg::Number));
        let numbers = [&constant[..], &[told.into()], &changing].concat();
        changed();
        return launch_over(Source::Train, "adam", &rows, &numbers);
    }
    if told.is_some() {
        candle_core::bail!("adam: parameters of several number types or devices are no step of one kernel");
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
        if rule.ahead == 0.0 {
            return p.inplace_op3(m, v, rule);
        }
        let both = ((&*m / rule.first)? + (g * rule.ahead)?)?;
        return p.inplace_op3(&both, v, &Adam { first: 1.0, ..*rule });
    }
    let (a, b) = (rule.beta1, rule.beta2);
    *m = ((&*m * a)? + (g * (1.0 - a))?)?;
    *v = ((&*v * b)? + (g.sqr()? * (1.0 - b))?)?;
    let denominator = ((&*v / rule.second)?.sqrt()? + rule.eps)?;
    let both = ((&*m / rule.first)? + (g * rule.ahead)?)?;
    let update = ((both / denominator)? * rule.lr)?;
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
                wide_loop(
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
            let (first, second) = (T::of(self.first), T::of(self.second));
            let (lr, eps, kept) = (T::of(self.lr), T::of(self.eps), T::of(self.kept));
            p.par_chunks_mut(PART).zip(m.par_chunks(PART).zip(v.par_chunks(PART))).for_each(|(p, (m, v))| {
                wide_loop(
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
