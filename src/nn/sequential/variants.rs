//! The same network otherwise: without gradients, in another precision, with two logits for one.

use super::network::Sequential;
use crate::base::random::Generator;
use crate::compute::precision::Chosen;
use crate::compute::variables::assign;
use crate::nn::layers::Linear;
use crate::nn::{Layer, LayerSpec};
use candle_core::{Result, Tensor};
use std::rc::Rc;

impl Sequential {
    /// A view whose parameters take no gradient, for attacks and evaluation: it computes in f32, or f64, whatever is chosen for
    /// the training.
    pub fn frozen(&self) -> Self {
        let layers = self.layers.iter().map(Layer::frozen).collect();
        let view = Self { layers, frozen: true, ..self.clone() }.computed_in(&Chosen::exact());
        // What was made with gradients is not what a frozen view has.
        if self.frozen { Self { made: self.made.clone(), ..view } } else { view }
    }

    /// The same network, whose products on a GPU are in the precision that is `chosen`.
    pub fn computed_in(mut self, chosen: &Chosen) -> Self {
        self.layers = self.layers.into_iter().map(|layer| layer.computed_in(chosen)).collect();
        self.precision = chosen.clone();
        self.made = Rc::default();
        self
    }

    /// A network with one logit z as one of two classes, with the logits 0 and z: class 1 where z is above 0. A network with more
    /// logits as it is; nothing where one logit is no linear layer's.
    pub fn two_classes(&self) -> Result<Option<Self>> {
        if self.output() != [1] {
            return Ok(Some(self.clone()));
        }
        let (mut specs, last) = (self.specs(), self.specs.len() - 1);
        let Some(&Linear { bias, .. }) = specs[last].get() else { return Ok(None) };
        specs[last] = LayerSpec::of(Linear { features: 2, bias });
        let two = Self::new(&self.input, &specs, self.dtype, &self.device, &Generator::new(0))?;
        for (name, var) in &self.parameters {
            let Some(own) = two.parameter(name) else { continue };
            let value = var.as_tensor().detach();
            // The last layer's row, behind one of zeros.
            let value =
                if own.dims() == value.dims() { value } else { Tensor::cat(&[&value.zeros_like()?, &value], 0)? };
            assign(own, &value)?;
        }
        let two = two.computed_in(&self.precision);
        Ok(Some(if self.frozen { two.frozen() } else { two }))
    }
}
