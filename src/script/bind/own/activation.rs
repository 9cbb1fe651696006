//! `activation(name, #{ forward, lipschitz, box, varying, lines, ... })`: an activation of a script's own.

use super::definition::{Definition, Values, freeze, map_of, tensor};
use crate::compute::norms::samples::{per_sample, sample_norms};
use crate::nn::Role;
use crate::nn::layers::{
    Activation, Boxes, Choice, Clipping, Excess, Facts, Graph, Kind, Lines, Own, Parameter, Place, Relaxation, Side,
    Word,
};
use crate::script::language::Res;
use crate::script::language::kept::{Kept, closure};
use crate::script::language::options::Options;
use crate::script::language::signatures::a_value_of;
use crate::script::values::{LayerSpec, Tensor};
use candle_core::{DType, Result, bail};
use rhai::{Array, Dynamic, Map, NativeCallContext};
use serde_json::Value;
use std::rc::Rc;

/// The definition, before it has a place.
#[derive(Clone, Debug)]
struct OwnActivation {
    definition: Rc<Definition>,
    lipschitz: f64,
    /// Units in the last place that a value of `forward` or `box` may be off.
    ulps: usize,
    forward: Rc<Kept>,
    boxed: Rc<Kept>,
    varying: Option<Rc<Kept>>,
    lines: Option<Rc<Kept>>,
}

pub fn define(context: &NativeCallContext, name: &str, options: Map) -> Res<LayerSpec> {
    let mut options = Options::new("activation", options);
    let definition = Definition::read(context, "activation", name, &mut options)?;
    // Parameters, where there are any, come before all else.
    let before = usize::from(definition.has_parameters());
    let lipschitz = match options.is_given("lipschitz") {
        true => options.float_in("lipschitz", 1.0, 0.0..=f64::MAX)?,
        false => return Err(definition.missing("lipschitz")),
    };
    let varying = match options.has("varying") {
        true => options.dynamic("varying"),
        false => return Err(definition.missing("varying")),
    };
    let varying = varying.map(|f| closure(context, &definition.title, "varying", f, before + 2, freeze)).transpose()?;
    if !options.has("lines") {
        return Err(definition.missing("lines"));
    }
    let lines = options.dynamic("lines");
    let lines = lines.map(|f| closure(context, &definition.title, "lines", f, before + 2, freeze)).transpose()?;
    let own = OwnActivation {
        forward: definition.claim(context, &mut options, "forward", before + 1)?,
        boxed: definition.claim(context, &mut options, "box", before + 2)?,
        varying: varying.map(Rc::new),
        lines: lines.map(Rc::new),
        ulps: options.usize("ulps", 32, 0..=1 << 20)?,
        lipschitz,
        definition: Rc::new(definition),
    };
    options.finish()?;
    Ok(LayerSpec(crate::nn::LayerSpec::of(own)))
}

impl Kind for OwnActivation {
    fn name(&self) -> &str {
        &self.definition.name
    }

    fn describe(&self) -> String {
        format!("activation({:?})", self.definition.name)
    }

    fn own(&self) -> Vec<Own> {
        let closures = [Some(&*self.forward), Some(&*self.boxed), self.varying.as_deref(), self.lines.as_deref()];
        let identity = self.definition.identity(&closures.into_iter().flatten().collect::<Vec<_>>());
        let identity = format!("{identity} {:?} {}", self.lipschitz, self.ulps);
        vec![Own { name: self.definition.name.clone(), identity, word: Word::Bounds }]
    }

    fn settings(&self) -> serde_json::Map<String, Value> {
        serde_json::Map::new()
    }

    fn output_shape(&self, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
        let output = self.definition.output_shape(input)?;
        if self.lines.is_some() && output != input {
            return Err(format!(
                "`lines` is for an activation element by element, and this one makes {output:?} of {input:?}; write `lines: ()`"
            ));
        }
        // A mask takes rows out of the layer before: only element by element is a constant output one whose input does not matter.
        if self.varying.is_some() && output != input {
            return Err(format!(
                "`varying` is for an activation element by element, and this one makes {output:?} of {input:?}; write `varying: ()`"
            ));
        }
        Ok(output)
    }

    fn parameters(&self, _: &[usize]) -> Vec<Parameter> {
        self.definition.parameters()
    }

    fn export(&self, _: &Place, _: &mut Graph, _: String) -> Result<String> {
        self.definition.not_exported()
    }

    fn build(&self, place: &Place) -> Result<Role> {
        let values = place.parameters.to_vec();
        Ok(Role::Activation(Rc::new(Placed { own: self.clone(), values, output: place.output.to_vec() })))
    }
}

/// The activation at its place.
#[derive(Clone, Debug)]
struct Placed {
    own: OwnActivation,
    values: Values,
    output: Vec<usize>,
}

impl Placed {
    fn arguments(&self, tensors: &[&candle_core::Tensor]) -> Vec<Dynamic> {
        let values = self.own.definition.has_parameters().then(|| map_of(&self.values));
        values.into_iter().chain(tensors.iter().map(|t| Dynamic::from(Tensor((*t).clone())))).collect()
    }

    /// The shape of a batch behind the layer.
    fn behind(&self, before: &candle_core::Tensor) -> Result<Vec<usize>> {
        Ok([&[before.dim(0)?], self.output.as_slice()].concat())
    }
}

impl Activation for Placed {
    fn forward(&self, x: &candle_core::Tensor) -> Result<candle_core::Tensor> {
        tensor(&self.own.forward, self.arguments(&[x]), &self.behind(x)?)
    }

    /// One output may hang on all inputs.
    fn spread(&self, each: &candle_core::Tensor) -> Result<candle_core::Tensor> {
        let zero = candle_core::Tensor::zeros(self.behind(each)?, each.dtype(), each.device())?;
        let moved = (sample_norms(each)? * self.own.lipschitz)?.to_dtype(each.dtype())?;
        zero.broadcast_add(&per_sample(&moved, &zero)?)
    }

    fn facts(&self) -> Facts {
        Facts {
            lipschitz: self.own.lipschitz,
            roundings: Some(2 * self.own.ulps),
            thresholds: vec![],
            cancels: false,
            fused: None,
        }
    }

    fn boxes(&self) -> Option<&dyn Boxes> {
        Some(self)
    }

    fn clipping(&self) -> Option<&dyn Clipping> {
        self.own.varying.as_ref().map(|_| self as &dyn Clipping)
    }

    fn lines(&self) -> Option<&dyn Lines> {
        self.own.lines.as_ref().map(|_| self as &dyn Lines)
    }

    fn frozen(&self) -> Rc<dyn Activation> {
        let values = self.values.iter().map(|(name, t)| (name.clone(), t.detach())).collect();
        Rc::new(Self { values, ..self.clone() })
    }
}

impl Boxes for Placed {
    fn image(&self, lower: &candle_core::Tensor, upper: &candle_core::Tensor) -> Result<[candle_core::Tensor; 2]> {
        let (kept, want) = (&self.own.boxed, self.behind(lower)?);
        let found = kept.call(self.arguments(&[lower, upper]))?;
        let kind = a_value_of(found.type_name());
        let ends: Option<Vec<candle_core::Tensor>> = found
            .try_cast::<Array>()
            .and_then(|ends| ends.into_iter().map(|end| end.try_cast::<Tensor>().map(|t| t.0)).collect());
        match ends.as_deref() {
            Some([low, high]) if low.dims() == want && high.dims() == want => {
                // A NaN of the box before is one behind it, whatever minima and maxima make of it.
                let all = (lower.flatten_from(1)?.sum(1)? + upper.flatten_from(1)?.sum(1)?)?;
                let none = per_sample(&(all * 0.0)?, low)?;
                Ok([low.broadcast_add(&none)?, high.broadcast_add(&none)?])
            }
            Some([lower, upper]) => {
                bail!("{} gave {:?} and {:?}; both want {want:?}", kept.what(), lower.dims(), upper.dims())
            }
            _ => bail!("{} gave {kind}; an array [lower, upper] of tensors is wanted", kept.what()),
        }
    }
}

impl Lines for Placed {
    /// The script's own, whatever is chosen.
    fn over(&self, lower: &candle_core::Tensor, upper: &candle_core::Tensor, _: &Choice) -> Result<Relaxation> {
        let want = self.behind(lower)?;
        let Some(kept) = &self.own.lines else { bail!("{} has no lines", self.own.definition.title) };
        let found = kept.call(self.arguments(&[lower, upper]))?;
        let kind = a_value_of(found.type_name());
        let lines: Option<Vec<candle_core::Tensor>> = found
            .try_cast::<Array>()
            .and_then(|lines| lines.into_iter().map(|line| line.try_cast::<Tensor>().map(|t| t.0)).collect());
        match lines.as_deref() {
            Some([a, b, c, d]) if [a, b, c, d].iter().all(|t| t.dims() == want) => {
                // A NaN of the box is one of every line.
                let none = ((lower + upper)? * 0.0)?;
                let own = |t: &candle_core::Tensor| t + &none;
                Ok(Relaxation {
                    lower_slope: own(a)?,
                    lower_offset: own(b)?,
                    upper_slope: own(c)?,
                    upper_offset: own(d)?,
                    partners: None,
                })
            }
            _ => bail!(
                "{} gave {kind}; an array [lower_slope, lower_offset, upper_slope, upper_offset] of tensors of shape {want:?} is wanted",
                kept.what()
            ),
        }
    }
}

impl Clipping for Placed {
    fn side(&self) -> Side {
        Side::Before
    }

    fn varying(&self, lower: &candle_core::Tensor, upper: &candle_core::Tensor) -> Result<candle_core::Tensor> {
        let want = self.behind(lower)?;
        let all = || candle_core::Tensor::ones(want.as_slice(), DType::U8, lower.device());
        let Some(kept) = &self.own.varying else { return all() };
        let found = kept.call(self.arguments(&[&lower.detach(), &upper.detach()]))?;
        if found.is_unit() {
            return all();
        }
        let kind = a_value_of(found.type_name());
        let Some(Tensor(mask)) = found.try_cast::<Tensor>() else {
            bail!("{} gave {kind}; a mask, as comparisons give it, or () is wanted", kept.what())
        };
        if mask.dims() != want || mask.dtype() != DType::U8 {
            bail!("{} gave {:?} of {:?}; a mask of u8 of {want:?} is wanted", kept.what(), mask.dims(), mask.dtype());
        }
        // With a NaN in its box a neuron is not constant, whatever a comparison says.
        let broken = (lower.ne(lower)? + upper.ne(upper)?)?;
        (mask + broken)?.gt(0u8)
    }

    /// A script says where an output is constant, not what slope it has elsewhere.
    fn unclipped(&self, _: &candle_core::Tensor, _: &candle_core::Tensor) -> Option<Result<candle_core::Tensor>> {
        None
    }

    fn excess(&self, _: &candle_core::Tensor, _: &candle_core::Tensor) -> Result<Excess> {
        bail!("sparsity: {} does not say how far a box reaches over its thresholds", self.own.definition.title)
    }
}
