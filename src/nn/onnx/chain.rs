//! A value of a graph as a chain of layers behind the input.

use crate::nn::LayerSpec;
use candle_core::Tensor;
use std::rc::Rc;

/// `x scale + shift` by channel, as far as it has come; a mean that was taken off, and what was divided by then.
#[derive(Clone, Debug)]
pub struct Arithmetic {
    pub scale: Vec<f64>,
    pub shift: Vec<f64>,
    pub mean: Option<Vec<f64>>,
    pub std: Option<Vec<f64>>,
}

/// A layer, and its parameters by their short names.
#[derive(Clone, Debug)]
pub struct Found {
    pub spec: LayerSpec,
    pub parameters: Vec<(String, Tensor)>,
    /// Of additions and products by channel, which may go on.
    pub arithmetic: Option<Arithmetic>,
    /// Layers in it, and how deep lists are nested in it.
    pub size: usize,
    pub depth: usize,
}

impl Found {
    pub fn new(spec: LayerSpec, parameters: Vec<(&str, Tensor)>) -> Self {
        let parameters = parameters.into_iter().map(|(name, t)| (name.to_string(), t)).collect();
        Self { spec, parameters, arithmetic: None, size: 1, depth: 0 }
    }
}

/// A value: the layer that makes it of the one before, and the shape of a sample.
pub struct Link {
    pub value: String,
    pub shape: Vec<usize>,
    pub made: Option<Found>,
    pub before: Option<Rc<Link>>,
    /// How many layers it lies behind the input.
    pub length: usize,
}

impl Link {
    /// The network's own input.
    pub fn input(value: &str, shape: &[usize]) -> Rc<Self> {
        Rc::new(Self { value: value.into(), shape: shape.to_vec(), made: None, before: None, length: 0 })
    }

    pub fn behind(value: &str, made: Found, before: &Rc<Link>) -> std::result::Result<Rc<Self>, String> {
        let shape = made.spec.output_shape(&before.shape)?;
        let (value, length) = (value.to_string(), before.length + 1);
        Ok(Rc::new(Self { value, shape, made: Some(made), before: Some(before.clone()), length }))
    }
}
