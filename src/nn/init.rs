//! Parameters drawn where their layers say that they start ([`super::layers::Start`]).
//!
//! candle-nn's initialisers draw from a generator that cannot be seeded on the CPU, so the draws are our own.

use super::layers::{Parameter, Start};
use crate::base::random::Generator;
use candle_core::{DType, Device, Result, Tensor, Var};

/// These parameters with their first values, by their short names (`weight`, `bias`, ...).
pub fn draw(parameters: &[Parameter], dtype: DType, device: &Device, random: &Generator) -> Result<Vec<(String, Var)>> {
    let mut drawn: Vec<(String, Var)> = vec![];
    for parameter in parameters {
        let shape = parameter.shape.as_slice();
        let value = match &parameter.start {
            Start::Normal { std } => random.normal(0.0, *std, shape, dtype, device)?,
            Start::Uniform { bound } => random.uniform(-bound, *bound, shape, dtype, device)?,
            Start::Constant(value) => Tensor::full(*value, shape, device)?.to_dtype(dtype)?,
            Start::By(starting) => starting.draw(shape, random, dtype, device)?,
            Start::After(following) => {
                let before: Vec<_> = drawn.iter().map(|(name, var)| (name.clone(), var.as_detached_tensor())).collect();
                following.value(&before)?.reshape(shape)?
            }
        };
        drawn.push((parameter.name.clone(), Var::from_tensor(&value)?));
    }
    Ok(drawn)
}
