//! A network as a list of layers, built from an input shape; a shape that does not fit is found here and names the layer.

use super::layers::{Linear, Parameter};
use super::{Layer, LayerSpec, init};
use crate::base::fingerprint::Fingerprint;
use crate::base::memory::available_memory;
use crate::base::random::Generator;
use crate::compute::gpu;
use crate::compute::gpu::{Source, launch_over};
use crate::compute::precision::Chosen;
use candle_core::{DType, Device, Result, Tensor, Var, bail};

/// A feed-forward network. Cloning shares the parameters.
#[derive(Clone, Debug)]
pub struct Sequential {
    input: Vec<usize>,
    layers: Vec<Layer>,
    parameters: Vec<(String, Var)>,
    /// Names of those that stay at 0 or above.
    nonnegative: Vec<String>,
    dtype: DType,
    device: Device,
    frozen: bool,
    precision: Chosen,
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
        let memory = u128::from(available_memory());
        let (mut layers, mut parameters, mut nonnegative, mut shape) = (vec![], vec![], vec![], input.to_vec());
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
            nonnegative.extend(wanted.iter().filter(|p| p.at_least_zero).map(|p| format!("{index}.{}", p.name)));
            let tensors: Vec<_> = own.iter().map(|(name, var)| (name, var.as_tensor().clone())).collect();
            layers.push(Layer::new(index, spec, &shape, &tensors, dtype, device)?);
            parameters.extend(own.into_iter().map(|(name, var)| (format!("{index}.{name}"), var)));
            shape = output;
        }
        let (input, device, precision) = (input.to_vec(), device.clone(), Chosen::exact());
        Ok(Self { input, layers, parameters, nonnegative, dtype, device, frozen: false, precision })
    }

    /// The network's value: `[B, input...]` to `[B, output...]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if x.rank() == 0 || x.dims()[1..] != self.input {
            bail!("forward: the network wants a batch of {:?}, got a tensor of shape {:?}", self.input, x.dims());
        }
        if x.dtype() != self.dtype {
            bail!("forward: the network is {:?}, the input {:?}; convert one with to_dtype", self.dtype, x.dtype());
        }
        self.layers.iter().try_fold(x.clone(), |x, layer| layer.forward(&x))
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

    /// All parameters with their names, in the order of the layers.
    pub fn parameters(&self) -> &[(String, Var)] {
        &self.parameters
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
        self.layers.iter().map(|l| l.spec.clone()).collect()
    }

    /// A view whose parameters take no gradient, for attacks and evaluation: it computes in f32, or f64, whatever is chosen for
    /// the training.
    pub fn frozen(&self) -> Self {
        let layers = self.layers.iter().map(Layer::frozen).collect();
        Self { layers, frozen: true, ..self.clone() }.computed_in(&Chosen::exact())
    }

    /// The same network, whose products on a GPU are in the precision that is `chosen`.
    pub fn computed_in(mut self, chosen: &Chosen) -> Self {
        self.layers.iter_mut().for_each(|layer| layer.precision = chosen.clone());
        self.precision = chosen.clone();
        self
    }

    /// The precision of its products on a GPU.
    pub fn precision(&self) -> &Chosen {
        &self.precision
    }

    /// Do the parameters take no gradient?
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// A network with one logit z as one of two classes, with the logits 0 and z: class 1 where z is above 0. A network with more
    /// logits as it is; nothing where one logit is no linear layer's.
    pub fn two_classes(&self) -> Result<Option<Self>> {
        if self.output() != [1] {
            return Ok(Some(self.clone()));
        }
        let (mut specs, last) = (self.specs(), self.layers.len() - 1);
        let Some(&Linear { bias, .. }) = specs[last].get() else { return Ok(None) };
        specs[last] = LayerSpec::of(Linear { features: 2, bias });
        let two = Self::new(&self.input, &specs, self.dtype, &self.device, &Generator::new(0))?;
        for (name, var) in &self.parameters {
            let Some(own) = two.parameter(name) else { continue };
            let value = var.as_tensor().detach();
            // The last layer's row, behind one of zeros.
            let value =
                if own.dims() == value.dims() { value } else { Tensor::cat(&[&value.zeros_like()?, &value], 0)? };
            own.set(&value)?;
        }
        let two = two.computed_in(&self.precision);
        Ok(Some(if self.frozen { two.frozen() } else { two }))
    }

    /// A digest of layers and parameters.
    pub fn digest(&self) -> Result<String> {
        let mut digest = Fingerprint::default();
        self.layers.iter().for_each(|layer| {
            digest.text(&layer.spec.describe());
            layer.spec.own().iter().for_each(|own| digest.text(&own.identity));
        });
        for (name, var) in &self.parameters {
            digest.text(name);
            digest.tensor(var.as_tensor())?;
        }
        Ok(digest.finish())
    }

    /// Put every parameter that bounds want at 0 or above (the thresholds of ReLU-theta) back there; done after each optimiser step.
    pub fn project_thresholds(&self) -> Result<()> {
        let all =
            self.parameters.iter().filter(|(name, _)| self.nonnegative.contains(name)).map(|(_, var)| var.as_tensor());
        let (by_kernel, others): (Vec<_>, Vec<_>) = all.partition(|t| gpu::has_kernel(t) && t.is_contiguous());
        launch_over(Source::Train, "at_least_zero", &by_kernel.iter().map(|t| vec![*t]).collect::<Vec<_>>(), &[])?;
        for (_, var) in self.parameters.iter().filter(|(_, var)| others.iter().any(|t| t.id() == var.id())) {
            var.set(&var.as_tensor().detach().relu()?)?;
        }
        Ok(())
    }

    /// One line per layer: position, layer, output shape, number of parameters.
    pub fn describe(&self) -> String {
        let rows: Vec<_> = self
            .layers
            .iter()
            .map(|l| {
                let prefix = format!("{}.", l.index);
                let own = self.parameters.iter().filter(|(n, _)| n.starts_with(&prefix));
                (l.spec.describe(), format!("{:?}", l.output), own.map(|(_, v)| v.elem_count()).sum::<usize>())
            })
            .collect();
        let width = |f: &dyn Fn(&(String, String, usize)) -> usize| rows.iter().map(f).max().unwrap_or(0);
        let (a, b) = (width(&|r| r.0.len()), width(&|r| r.1.len()));
        let mut text = format!(
            "sequential over {:?}, {:?} on {}\n",
            self.input,
            self.dtype,
            crate::compute::device::name(&self.device)
        );
        for (i, (layer, shape, count)) in rows.iter().enumerate() {
            text += format!(
                "{i:>3}  {layer:<a$}  {shape:<b$}  {}",
                if *count > 0 { count.to_string() } else { String::new() }
            )
            .trim_end();
            text.push('\n');
        }
        let total: usize = self.parameters.iter().map(|(_, v)| v.elem_count()).sum();
        format!("{text}     {total} parameters")
    }
}
