//! `cpl_conv2d(inner, kernel)`, `cpl_linear(inner)`: convex potential layers (Meunier et al. 2022), `x - 2 / sigma^2 W^T relu(W x + b)`, sigma
//! the norm of W
//!
//! ```text
//! L = max(1, 2 (||W|| / sigma)^2 - 1)      above 1 where sigma is not converged: bounds take ||W|| from above
//! ```
//!
//! `inner` channels (or features) between; the shape stays. Of a convolution sigma comes from power iteration: `iterations` steps from the vector
//! `u`, which is saved with the layer and goes as many after each step of an optimiser; frozen, where they end. Of a matrix it comes
//! from `squarings` of the Gram matrix, each as good as all power iterations before it. Few of either leave it too small.
//! Start: W and b U(-1/sqrt(fan_in), 1/sqrt(fan_in)), u after 50 steps.

use super::entry::{Argument, Entry, Takes};
use super::made::{latest_weight, torch_start, weight_and_bias};
use super::potential::{OF_IMAGES, OF_VECTORS, Potential, Stepped, Stepping, read_stepped};
use super::spec::{Following, LayerSpec, Parameter, Place, Start};
use crate::compute::orthogonal::{largest_singular_value, norm_above, norm_along, power_iteration, sigma_and_bound};
use candle_core::{DType, Result, Tensor, Var};
use serde::{Deserialize, Serialize};
use std::rc::Rc;

/// Squarings as good as a thousand power iterations.
const USUAL: usize = 10;

/// Squarings that leave nothing to converge.
const CONVERGED: usize = 25;

/// More squarings than these change nothing.
const MOST: usize = 60;

/// More iterations than these are a mistake.
const MOST_ITERATIONS: usize = 10_000;

/// Power iterations before a convolution's vector is first used.
const FIRST: usize = 50;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CplConv2d {
    pub inner: usize,
    pub kernel: usize,
    pub iterations: usize,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CplLinear {
    pub inner: usize,
    pub squarings: usize,
}

pub const CONV2D: Entry = Entry {
    name: "cpl_conv2d",
    arguments: OF_IMAGES,
    options: &[Argument { name: "iterations", takes: Takes::AtLeast(1) }],
    make: |given| {
        LayerSpec::of(Stepped(CplConv2d {
            inner: given.count("inner", 1),
            kernel: given.count("kernel", 1),
            iterations: given.count("iterations", 1),
        }))
    },
    read: read_stepped::<CplConv2d>,
};

pub const LINEAR: Entry = Entry {
    name: "cpl_linear",
    arguments: OF_VECTORS,
    options: &[Argument { name: "squarings", takes: Takes::AtLeast(0) }],
    make: |given| {
        LayerSpec::of(Stepped(CplLinear { inner: given.count("inner", 1), squarings: given.count("squarings", USUAL) }))
    },
    read: read_stepped::<CplLinear>,
};

/// The vector that power iteration ends at for the weight that was drawn.
#[derive(Debug)]
struct Top {
    image: [usize; 3],
}

impl Following for Top {
    fn value(&self, before: &[(String, Tensor)]) -> Result<Tensor> {
        let weight = latest_weight(before)?;
        let [c, h, w] = self.image;
        power_iteration(weight, &Tensor::zeros((1, c, h, w), weight.dtype(), weight.device())?, FIRST)
    }
}

impl Stepping for CplConv2d {
    fn entry(&self) -> &'static Entry {
        &CONV2D
    }

    fn describe(&self) -> String {
        format!("cpl_conv2d({}, {}, #{{ iterations: {} }})", self.inner, self.kernel, self.iterations)
    }

    fn inner(&self) -> usize {
        self.inner
    }

    fn kernel(&self) -> Option<usize> {
        Some(self.kernel)
    }

    fn check(&self) -> std::result::Result<(), String> {
        match self.iterations {
            1..=MOST_ITERATIONS => Ok(()),
            n => Err(format!("{n} power iterations; from 1 to {MOST_ITERATIONS} are taken")),
        }
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        let &[c, h, w] = input else { return vec![] };
        let k = self.kernel;
        let mut list = weight_and_bias(&[self.inner, c, k, k], Some(self.inner), &torch_start(c * k * k));
        let u = Parameter::new("u", &[1, c, h, w], Start::After(Rc::new(Top { image: [c, h, w] })));
        list.push(Parameter { is_trained: false, ..u });
        list
    }

    fn potential(&self, place: &Place) -> Result<Potential> {
        let (weight, start) = (place.parameter("weight")?, place.parameter("u")?);
        if weight.track_op() {
            // Kept once the optimiser has stepped, so that a value depends on what is saved alone.
            let sigma = norm_along(&weight, &power_iteration(&weight, &start, self.iterations)?)?;
            let follows = start.is_variable().then(|| Var::from_tensor(&start)).transpose()?;
            let follows = follows.map(|u| (u, self.iterations));
            return Ok(Potential { follows, ..step(place, weight, &sigma, None)? });
        }
        let (sigma, above) = sigma_and_bound(&weight, &start)?;
        let sigma = Tensor::full(sigma, (), place.device)?.to_dtype(place.dtype)?;
        step(place, weight, &sigma, Some(above))
    }
}

impl Stepping for CplLinear {
    fn entry(&self) -> &'static Entry {
        &LINEAR
    }

    fn describe(&self) -> String {
        format!("cpl_linear({}, #{{ squarings: {} }})", self.inner, self.squarings)
    }

    fn inner(&self) -> usize {
        self.inner
    }

    fn kernel(&self) -> Option<usize> {
        None
    }

    fn check(&self) -> std::result::Result<(), String> {
        match self.squarings {
            0..=MOST => Ok(()),
            n => Err(format!("{n} squarings; at most {MOST} are taken")),
        }
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        weight_and_bias(&[self.inner, input[0]], Some(self.inner), &torch_start(input[0]))
    }

    fn potential(&self, place: &Place) -> Result<Potential> {
        let weight = place.parameter("weight")?;
        let sigma = largest_singular_value(&weight, self.squarings)?;
        // Training bounds estimates, on a device that nothing waits for: there the constant is the promised one.
        let above = match weight.track_op() {
            true => None,
            false => Some(norm_above(&weight.detach().to_dtype(DType::F64)?, CONVERGED)?.to_scalar()?),
        };
        step(place, weight, &sigma, above)
    }
}

/// The layer with this sigma; `above` bounds the norm of its weight where its constant is to be proved.
fn step(place: &Place, weight: Tensor, sigma: &Tensor, above: Option<f64>) -> Result<Potential> {
    let mut shape = vec![1; weight.rank()];
    shape[1] = weight.dim(0)?;
    let each = Tensor::ones(shape, place.dtype, place.device)?;
    // Of W = 0 sigma is 0, and nothing is taken away.
    let scale = each.broadcast_div(&sigma.sqr()?.maximum(f64::from(f32::MIN_POSITIVE))?)?;
    let lipschitz = above.map_or(Ok(1.0), |above| lipschitz(above, &scale))?;
    Ok(Potential {
        weight,
        bias: place.optional("bias"),
        scale,
        lipschitz,
        is_promised: above.is_none(),
        follows: None,
    })
}

/// Of the scale that is there, whatever rounded it.
fn lipschitz(above: f64, scale: &Tensor) -> Result<f64> {
    let scale = scale.detach().to_dtype(DType::F64)?.max_all()?.to_scalar::<f64>()?;
    let constant = (2.0 * above * above * scale - 1.0) * (1.0 + 1e-12);
    Ok(if constant.is_nan() { f64::NAN } else { constant.max(1.0) })
}
