//! `gelu()`: x Phi(x), Phi the normal distribution. It falls to its least value at x0 and rises from there; its steepest slope is that at
//! sqrt(2), Phi(sqrt 2) + sqrt(2) phi(sqrt 2).

use super::activation::{Activation, Boxes, Clipping, Facts, Lines};
use super::entry::{Entry, any_shape, none_left, without_settings};
use super::spec::{LayerSpec, Role};
use crate::compute::elementwise::clip::{larger, smaller};
use crate::compute::elementwise::smooth::pointwise;
use candle_core::{DType, Result, Tensor};
use std::f64::consts::{PI, SQRT_2};
use std::rc::Rc;

/// 1.12890414518515478..., rounded up.
const STEEPEST: f64 = 1.128_904_145_185_155;
/// Where it is least: -0.75179152469356445...
const LEAST_AT: f64 = -0.751_791_524_693_564_4;
/// The least value, -0.16997120747990366..., rounded down in f64 and in f32.
const LEAST: f64 = -0.169_971_207_479_903_7;
const LEAST_F32: f64 = -0.169_971_25;
/// Of x / sqrt(2), which erfc makes up to 3 x^2 times as large (x no smaller than -39, where nothing is left), and a few more.
const ROUNDINGS: usize = 8192;

#[derive(Clone, Copy, Debug)]
pub struct Gelu;

pub const ENTRY: Entry = Entry {
    name: "gelu",
    arguments: &[],
    options: &[],
    make: |_| LayerSpec::of(Gelu),
    read: |settings| none_left(&settings, Gelu),
};

without_settings!(Gelu, ENTRY, any_shape, |_| Ok(Role::Activation(Rc::new(Gelu))), |place, graph, x| {
    // x (1 + erf(x / sqrt 2)) / 2, which older versions have no operator for.
    let (root, one, half) = (
        graph.number("root", SQRT_2, place.dtype)?,
        graph.number("one", 1.0, place.dtype)?,
        graph.number("half", 0.5, place.dtype)?,
    );
    let scaled = graph.apply("Div", &[&x, &root], &[]);
    let erf = graph.apply("Erf", &[&scaled], &[]);
    let share = graph.apply("Add", &[&erf, &one], &[]);
    let whole = graph.apply("Mul", &[&x, &share], &[]);
    Ok(graph.apply("Mul", &[&whole, &half], &[]))
});

impl Activation for Gelu {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if !x.device().is_cpu() {
            return x.gelu_erf();
        }
        let share = |x: f64| 0.5 * libm::erfc(-x / SQRT_2);
        pointwise("gelu", x, move |x| x * share(x), move |x| share(x) + x * (-0.5 * x * x).exp() / (2.0 * PI).sqrt())
    }

    fn lines(&self) -> Option<&dyn Lines> {
        None
    }

    fn frozen(&self) -> Rc<dyn Activation> {
        Rc::new(*self)
    }

    fn facts(&self) -> Facts {
        Facts { lipschitz: STEEPEST, roundings: Some(ROUNDINGS), thresholds: vec![], cancels: false, fused: None }
    }

    fn clipping(&self) -> Option<&dyn Clipping> {
        None
    }

    fn boxes(&self) -> Option<&dyn Boxes> {
        Some(self)
    }

    fn spread(&self, each: &Tensor) -> Result<Tensor> {
        each * STEEPEST
    }
}

impl Boxes for Gelu {
    /// The least value where the box holds its place; else that of an end. The largest is that of an end.
    fn image(&self, lower: &Tensor, upper: &Tensor) -> Result<[Tensor; 2]> {
        let (low, high) = (self.forward(lower)?, self.forward(upper)?);
        let least = if lower.dtype() == DType::F64 { LEAST } else { LEAST_F32 };
        let holds = (lower.le(LEAST_AT)? * upper.ge(LEAST_AT)?)?;
        let bottom = low.ones_like()?.affine(least, 0.0)?;
        Ok([holds.where_cond(&bottom, &smaller(&low, &high)?)?, larger(&low, &high)?])
    }
}
