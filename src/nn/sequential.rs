//! A network as a list of layers, some of them blocks of further lists, built from an input shape; a shape that does not fit is found
//! here and names the layer.

use super::layers::{Linear, Parameter};
use super::{Layer, LayerSpec, init};
use crate::base::fingerprint::Fingerprint;
use crate::base::memory::available_memory;
use crate::base::random::Generator;
use crate::compute::element::Host;
use crate::compute::gpu;
use crate::compute::gpu::{Source, launch_over};
use crate::compute::precision::Chosen;
use crate::compute::variables::{age, assign, changed};
use candle_core::{DType, Device, Result, Tensor, Var, WithDType, bail};
use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

/// A feed-forward network. Cloning shares the parameters.
#[derive(Clone, Debug)]
pub struct Sequential {
    input: Vec<usize>,
    specs: Vec<LayerSpec>,
    /// As bounds walk over them: the layers of a block that is one list stand here.
    layers: Vec<Layer>,
    parameters: Vec<(String, Var)>,
    /// Names of those that take no gradient.
    kept: Vec<String>,
    /// Names of those that stay at 0 or above.
    nonnegative: Vec<String>,
    dtype: DType,
    device: Device,
    frozen: bool,
    precision: Chosen,
    /// Layers with the weights that functions make of parameters, for the values that these had.
    made: Rc<RefCell<Option<Made>>>,
}

#[derive(Debug)]
struct Made {
    of: Vec<Tensor>,
    /// Of all variables.
    age: u64,
    layers: Vec<Layer>,
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
    fn placed(&self) -> Result<Vec<Layer>> {
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
            bail!("forward: the network wants a batch of {:?}, got a tensor of shape {:?}", self.input, x.dims());
        }
        if x.dtype() != self.dtype {
            bail!("forward: the network is {:?}, the input {:?}; convert one with to_dtype", self.dtype, x.dtype());
        }
        self.current()?.layers.iter().try_fold(x.clone(), |x, layer| layer.forward(&x))
    }

    /// The network whose weights that are functions of parameters are those of the parameters as they are now; itself where there are none.
    /// They are made when parameters have changed: in training on a GPU, where looking would wait for it, when any variable has.
    pub fn current(&self) -> Result<Cow<'_, Self>> {
        if !self.specs.iter().any(LayerSpec::is_derived) {
            return Ok(Cow::Borrowed(self));
        }
        let now: Vec<_> = self.parameters.iter().map(|(_, var)| var.as_tensor()).collect();
        let may_look = self.device.is_cpu() || self.frozen;
        if let Some(made) = self.made.borrow().as_ref() {
            let mut pairs = made.of.iter().zip(&now);
            let is_same = match may_look {
                true => {
                    pairs.try_fold(true, |all, (then, now)| Ok::<_, candle_core::Error>(all && equal(then, now)?))?
                }
                false => made.age == age(),
            };
            if is_same {
                return Ok(Cow::Owned(Self { layers: made.layers.clone(), ..self.clone() }));
            }
        }
        let layers = self.placed()?.into_iter().map(|layer| layer.computed_in(&self.precision));
        let layers: Vec<_> = layers.map(|layer| if self.frozen { layer.frozen() } else { layer }).collect();
        // What nobody may look at is not copied.
        let looked_at = now.iter().filter(|_| may_look);
        let of = looked_at.map(|t| t.detach().copy()).collect::<Result<_>>()?;
        self.made.replace(Some(Made { of, age: age(), layers: layers.clone() }));
        Ok(Cow::Owned(Self { layers, ..self.clone() }))
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

    /// A digest of layers and parameters.
    pub fn digest(&self) -> Result<String> {
        let mut digest = Fingerprint::default();
        self.specs.iter().for_each(|spec| {
            digest.text(&spec.describe());
            spec.own().iter().for_each(|own| digest.text(&own.identity));
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
        changed();
        launch_over(Source::Train, "at_least_zero", &by_kernel.iter().map(|t| vec![*t]).collect::<Vec<_>>(), &[])?;
        for (_, var) in self.parameters.iter().filter(|(_, var)| others.iter().any(|t| t.id() == var.id())) {
            assign(var, &var.as_tensor().detach().relu()?)?;
        }
        Ok(())
    }

    /// What follows an optimiser's step: thresholds are put back ([`Self::project_thresholds`]), and layers move on what they keep beside their
    /// parameters.
    pub fn after_step(&self) -> Result<()> {
        self.project_thresholds()?;
        let made = self.made.borrow();
        let layers = made.iter().flat_map(|made| &made.layers).flat_map(Layer::all);
        layers.filter_map(|layer| layer.activation("after_step").ok()).try_for_each(|f| f.after_step())
    }

    /// Numbers in the parameters of a layer, without those of the layers of its branches, which stand by themselves.
    pub fn count_of(&self, layer: &Layer) -> usize {
        let of = |path: &str| {
            let before = format!("{path}.");
            self.parameters
                .iter()
                .filter(|(name, _)| name.starts_with(&before))
                .map(|(_, var)| var.elem_count())
                .sum::<usize>()
        };
        of(&layer.path) - layer.branches.iter().flatten().map(|inner| of(&inner.path)).sum::<usize>()
    }

    /// One line per layer: position, layer, output shape, number of parameters.
    pub fn describe(&self) -> String {
        let rows: Vec<_> = self
            .all_layers()
            .iter()
            .map(|l| (l.path.clone(), l.spec.describe(), format!("{:?}", l.output), self.count_of(l)))
            .collect();
        let width = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0);
        let p = width(&mut rows.iter().map(|r| r.0.len())).max(3);
        let (a, b) = (width(&mut rows.iter().map(|r| r.1.len())), width(&mut rows.iter().map(|r| r.2.len())));
        let mut text = format!(
            "sequential over {:?}, {:?} on {}\n",
            self.input,
            self.dtype,
            crate::compute::device::name(&self.device)
        );
        for (path, layer, shape, count) in &rows {
            text += format!(
                "{path:>p$}  {layer:<a$}  {shape:<b$}  {}",
                if *count > 0 { count.to_string() } else { String::new() }
            )
            .trim_end();
            text.push('\n');
        }
        let total: usize = self.parameters.iter().map(|(_, v)| v.elem_count()).sum();
        format!("{text}     {total} parameters")
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

/// Are the numbers of two tensors the same, bit for bit on the CPU?
fn equal(a: &Tensor, b: &Tensor) -> Result<bool> {
    if !a.device().is_cpu() {
        return Ok(a.ne(b)?.to_dtype(DType::F32)?.sum_all()?.to_scalar::<f32>()? == 0.0);
    }
    let (a, b, dtype) = (a.contiguous()?, b.contiguous()?, a.dtype());
    let (a, b) = (Host::of(&a), Host::of(&b));
    fn same<T: WithDType, B: PartialEq>(a: &Host, b: &Host, bits: impl Fn(&T) -> B) -> Result<bool> {
        Ok(a.slice::<T>()?.iter().map(&bits).eq(b.slice::<T>()?.iter().map(&bits)))
    }
    match dtype {
        DType::F64 => same(&a, &b, |x: &f64| x.to_bits()),
        _ => same(&a, &b, |x: &f32| x.to_bits()),
    }
}
