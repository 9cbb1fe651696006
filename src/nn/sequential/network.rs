//! How a network is built, its value, and what it holds.

use crate::base::memory::available_memory;
use crate::base::random::Generator;
use crate::compute::precision::Chosen;
use crate::nn::layer::{forward, one_of_a_batch};
use crate::nn::layers::Parameter;
use crate::nn::{Layer, LayerSpec, init};
use candle_core::{DType, Device, Result, Tensor, Var, bail};
use std::cell::RefCell;
use std::rc::Rc;

/// A feed-forward network. Cloning shares the parameters.
#[derive(Clone, Debug)]
pub struct Sequential {
    pub(super) input: Vec<usize>,
    pub(super) specs: Vec<LayerSpec>,
    /// As bounds walk over them: the layers of a block that is one list stand here.
    pub(super) layers: Vec<Layer>,
    pub(super) parameters: Vec<(String, Var)>,
    /// Names of those that take no gradient.
    pub(super) kept: Vec<String>,
    /// Names of those that stay at 0 or above.
    pub(super) nonnegative: Vec<String>,
    pub(super) dtype: DType,
    pub(super) device: Device,
    pub(super) frozen: bool,
    pub(super) precision: Chosen,
    /// Layers with the weights that functions make of parameters, for the values that these had.
    pub(super) made: Rc<RefCell<Option<Made>>>,
}

#[derive(Debug)]
pub(super) struct Made {
    pub(super) of: Vec<Tensor>,
    /// Of all variables.
    pub(super) age: u64,
    pub(super) layers: Vec<Layer>,
}

impl Sequential {
    /// Build the layers `specs` over samples of shape `input`, parameters drawn from `random`.
    pub fn new(
        input: &[usize],
        specs: &[LayerSpec],
        dtype: DType,
        device: &Device,
        random: &Generator,
    ) -> Result<Self> {
        if input.is_empty() || input.contains(&0) {
            bail!("sequential: the input shape {input:?} has no elements");
        }
        if specs.is_empty() {
            bail!("sequential: the list of layers is empty");
        }
        for (index, spec) in specs.iter().enumerate() {
            let nested = depth(&spec.describe());
            if nested > DEEPEST {
                bail!("sequential: layer {index} holds lists in lists, {nested} deep; at most {DEEPEST} are taken");
            }
        }
        let memory = u128::from(available_memory());
        let (mut parameters, mut kept, mut nonnegative, mut shape) = (vec![], vec![], vec![], input.to_vec());
        for (index, spec) in specs.iter().enumerate() {
            let output = spec.output_shape(&shape).map_err(|why| {
                candle_core::Error::Msg(format!("sequential: layer {index}, {}: {why}", spec.describe()))
            })?;
            let wanted = spec.parameters(&shape);
            // Every number is drawn in f64; one for each input covers what a layer holds besides.
            let inputs = shape.iter().try_fold(1u128, |n, d| n.checked_mul(*d as u128));
            let all = wanted.iter().map(Parameter::count).chain([inputs]);
            let fits = all.map(|n| n?.checked_mul(8)).all(|bytes| bytes.is_some_and(|bytes| bytes <= memory));
            if !fits {
                bail!("sequential: layer {index}, {}: its parameters do not fit in memory", spec.describe());
            }
            let own = init::draw(&wanted, dtype, device, random)?;
            kept.extend(wanted.iter().filter(|p| !p.is_trained).map(|p| format!("{index}.{}", p.name)));
            nonnegative.extend(wanted.iter().filter(|p| p.at_least_zero).map(|p| format!("{index}.{}", p.name)));
            parameters.extend(own.into_iter().map(|(name, var)| (format!("{index}.{name}"), var)));
            shape = output;
        }
        let (input, specs, device, precision) = (input.to_vec(), specs.to_vec(), device.clone(), Chosen::exact());
        let (layers, made, frozen) = (vec![], Rc::default(), false);
        let mut net =
            Self { made, kept, input, specs, layers, parameters, nonnegative, dtype, device, frozen, precision };
        net.layers = net.placed()?.into_iter().map(Layer::underived).collect();
        Ok(net)
    }

    /// The layers over the parameters as they are now, without their graph in a frozen network.
    pub(super) fn placed(&self) -> Result<Vec<Layer>> {
        let (mut layers, mut shape, mut next) = (vec![], self.input.clone(), 0);
        for (index, spec) in self.specs.iter().enumerate() {
            let before = format!("{index}.");
            let own = self.parameters.iter().filter_map(|(name, var)| {
                let t = if self.frozen { var.as_tensor().detach() } else { var.as_tensor().clone() };
                Some((name.strip_prefix(&before)?.to_string(), t))
            });
            let (own, place) = (own.collect::<Vec<_>>(), index.to_string());
            layers.extend(Layer::opened(&place, &mut next, spec, &shape, (&own, self.dtype, &self.device))?);
            shape = spec.output_shape(&shape).map_err(candle_core::Error::Msg)?;
        }
        Ok(layers)
    }

    /// The network's value: `[B, input...]` to `[B, output...]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if x.rank() == 0 || x.dims()[1..] != self.input {
            let one = one_of_a_batch(x, &self.input);
            bail!("forward: the network wants a batch of {:?}, got a tensor of shape {:?}{one}", self.input, x.dims());
        }
        if x.dtype() != self.dtype {
            bail!("forward: the network is {:?}, the input {:?}; convert one with to_dtype", self.dtype, x.dtype());
        }
        forward(&self.current()?.layers, x)
    }

    /// Shape of one input sample.
    pub fn input(&self) -> &[usize] {
        &self.input
    }

    /// Shape of one output sample.
    pub fn output(&self) -> &[usize] {
        self.layers.last().map_or(&self.input, |l| &l.output)
    }

    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// All layers, a block before those of its branches, by their numbers.
    pub fn all_layers(&self) -> Vec<&Layer> {
        self.layers.iter().flat_map(Layer::all).collect()
    }

    /// All parameters with their names, in the order of the layers.
    pub fn parameters(&self) -> &[(String, Var)] {
        &self.parameters
    }

    /// Those that take gradients.
    pub fn trained(&self) -> Vec<(String, Var)> {
        self.parameters.iter().filter(|(name, _)| !self.kept.contains(name)).cloned().collect()
    }

    pub fn parameter(&self, name: &str) -> Option<&Var> {
        self.parameters.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    pub fn dtype(&self) -> DType {
        self.dtype
    }

    pub fn device(&self) -> &Device {
        &self.device
    }

    /// `x` where the parameters are; floats in their number type.
    pub fn takes(&self, x: &Tensor) -> Result<Tensor> {
        let x = if x.dtype().is_float() { x.to_dtype(self.dtype)? } else { x.clone() };
        x.to_device(&self.device)
    }

    /// The layers as they were specified.
    pub fn specs(&self) -> Vec<LayerSpec> {
        self.specs.clone()
    }

    /// The precision of its products on a GPU.
    pub fn precision(&self) -> &Chosen {
        &self.precision
    }

    /// Do the parameters take no gradient?
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }
}

/// Lists in lists of layers: a file holds no deeper ones, and each level is gone through for those above it.
const DEEPEST: usize = 40;

/// How deep brackets are nested in a text.
fn depth(text: &str) -> usize {
    let mut open = 0_usize;
    text.bytes().fold(0, |most, byte| {
        match byte {
            b'[' => open += 1,
            b']' => open = open.saturating_sub(1),
            _ => {}
        }
        most.max(open)
    })
}
