//! `cpl_linear(inner)`: convex potential layers (Meunier et al. 2022), `x - 2 / sigma^2 W^T relu(W x + b)`, sigma the norm of W
//!
//! ```text
//! L = max(1, 2 (||W|| / sigma)^2 - 1)      above 1 where sigma is not converged: bounds take ||W|| from above
//! ```
//!
//! `inner` features between; the shape stays. `squarings`: sigma comes from so many squarings of the Gram matrix, each as good as all power
//! iterations before it; few leave it too small. Start: W and b U(-1/sqrt(fan_in), 1/sqrt(fan_in)).

use super::entry::{Argument, Entry, Takes, read, settings};
use super::graph::Graph;
use super::made::{made, torch_start, vector, weight_and_bias};
use super::potential::Potential;
use super::spec::{Kind, LayerSpec, Own, Parameter, Place, Role};
use crate::compute::orthogonal::{largest_singular_value, norm_above};
use candle_core::{DType, Result, Tensor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::rc::Rc;

/// Squarings as good as a thousand power iterations.
const USUAL: usize = 10;

/// Squarings that leave nothing to converge.
const CONVERGED: usize = 25;

/// More than these change nothing.
const MOST: usize = 60;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CplLinear {
    pub inner: usize,
    pub squarings: usize,
}

pub const ENTRY: Entry = Entry {
    name: "cpl_linear",
    arguments: &[Argument { name: "inner", takes: Takes::Positive("the number of inner features") }],
    options: &[Argument { name: "squarings", takes: Takes::AtLeast(0) }],
    make: |given| {
        LayerSpec::of(CplLinear { inner: given.count("inner", 1), squarings: given.count("squarings", USUAL) })
    },
    read: read::<CplLinear>,
};

impl Kind for CplLinear {
    fn name(&self) -> &str {
        ENTRY.name
    }

    fn describe(&self) -> String {
        format!("cpl_linear({}, #{{ squarings: {} }})", self.inner, self.squarings)
    }

    fn own(&self) -> Vec<Own> {
        made(ENTRY.name)
    }

    fn settings(&self) -> Map<String, Value> {
        settings(self)
    }

    fn output_shape(&self, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
        let features = vector(input)?;
        if self.inner == 0 || self.squarings > MOST {
            return Err(format!(
                "{} inner features and {} squarings; at least 1 and at most {MOST} are taken",
                self.inner, self.squarings
            ));
        }
        Ok(vec![features])
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        let features = vector(input).unwrap_or(1);
        weight_and_bias(&[self.inner, features], Some(self.inner), &torch_start(features))
    }

    fn build(&self, place: &Place) -> Result<Role> {
        Ok(Role::Activation(Rc::new(self.built(place)?)))
    }

    fn export(&self, place: &Place, graph: &mut Graph, x: String) -> Result<String> {
        self.built(place)?.drawn(place, graph, x)
    }
}

impl CplLinear {
    fn built(&self, place: &Place) -> Result<Potential> {
        let weight = place.parameter("weight")?;
        let sigma = largest_singular_value(&weight, self.squarings)?;
        let each = Tensor::ones((1, self.inner), place.dtype, place.device)?;
        // Of W = 0 sigma is 0, and nothing is taken away.
        let scale = each.broadcast_div(&sigma.sqr()?.maximum(f64::from(f32::MIN_POSITIVE))?)?;
        // Training bounds estimates, on a device that nothing waits for: there the constant is the promised one.
        let is_promised = weight.track_op();
        let lipschitz = if is_promised { 1.0 } else { lipschitz(&weight, &sigma)? };
        Ok(Potential { weight, bias: place.optional("bias"), scale, lipschitz, is_promised })
    }
}

fn lipschitz(weight: &Tensor, sigma: &Tensor) -> Result<f64> {
    let wide = |t: &Tensor| t.detach().to_dtype(DType::F64);
    let above = norm_above(&wide(weight)?, CONVERGED as u32)?.to_scalar::<f64>()?;
    let sigma = wide(sigma)?.to_scalar::<f64>()?;
    // As in the layer itself.
    let share = above / sigma.max(f64::from(f32::MIN_POSITIVE).sqrt());
    let constant = (2.0 * share * share - 1.0) * (1.0 + 1e-12);
    Ok(if constant.is_nan() { f64::NAN } else { constant.max(1.0) })
}
