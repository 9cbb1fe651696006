//! What `activation` and `linear_map` have in common: a name, parameters and where they start, a shape behind the layer.

use super::super::args;
use super::super::host::host;
use crate::base::fingerprint::Fingerprint;
use crate::base::random::Generator;
use crate::base::text::tokens::{Token, code};
use crate::nn::layers::{KINDS, Parameter, Start, Starting};
use crate::script::language::kept::{Kept, closure};
use crate::script::language::options::Options;
use crate::script::language::origin::{PROMPT, is_std};
use crate::script::language::{Res, fail};
use crate::script::values::{LayerSpec, Model, Tensor, int};
use candle_core::{DType, Device, Result, bail};
use rhai::{Array, Dynamic, Map, NativeCallContext};
use std::rc::Rc;

/// A layer's tensors by the names of its parameters.
pub type Values = Vec<(String, candle_core::Tensor)>;

/// A layer's name, its parameters, its shape.
#[derive(Clone, Debug)]
pub struct Definition {
    pub name: String,
    /// "activation leaky", for messages.
    pub title: String,
    /// The text of the definition, and a digest of all that the script has loaded.
    identity: String,
    parameters: Vec<(String, Vec<usize>)>,
    start: Option<Rc<Kept>>,
    shape: Option<Rc<Kept>>,
}

impl Definition {
    /// Other programs have no operator for it.
    pub fn not_exported<T>(&self) -> Result<T> {
        bail!(
            "{} is a layer of the script's own, which no other program has an operator for; export the layers around it, or build it of kinds that are there",
            self.title
        )
    }

    pub fn read(context: &NativeCallContext, kind: &str, name: &str, options: &mut Options) -> Res<Self> {
        let title = format!("{kind} {name}");
        if name.is_empty() {
            return Err(fail(format!("{kind}: the name is empty; messages and records call the layer by it")));
        }
        if KINDS.iter().any(|entry| entry.name == name) {
            return Err(fail(format!("{kind}: there is a layer `{name}` already; give yours a name of its own")));
        }
        let mut parameters = vec![];
        for (name, shape) in options.optional::<Map>("parameters", "a map of shapes")?.unwrap_or_default() {
            let kind = crate::script::language::signatures::a_value_of(shape.type_name());
            let Some(shape) = shape.try_cast::<Array>() else {
                return Err(fail(format!(
                    "{title}: the parameter `{name}` is {kind}; give its shape, an array of ints"
                )));
            };
            parameters.push((name.to_string(), args::new_shape(&title, &shape)?));
        }
        let start = options.dynamic("start").map(|f| closure(context, &title, "start", f, 2, freeze)).transpose()?;
        if parameters.is_empty() != start.is_none() {
            return Err(fail(format!(
                "{title}: `parameters` and `start` go together: #{{ parameters: #{{ scale: [8] }}, start: |shape, random| random.ones(shape) }}"
            )));
        }
        let shape = options.dynamic("shape").map(|f| closure(context, &title, "shape", f, 1, freeze)).transpose()?;
        let identity = script_identity(context);
        let (start, shape) = (start.map(Rc::new), shape.map(Rc::new));
        Ok(Self { name: name.into(), title, identity, parameters, start, shape })
    }

    /// The closure under `key`, which a certificate rests on: it has no default.
    pub fn claim(
        &self,
        context: &NativeCallContext,
        options: &mut Options,
        key: &'static str,
        wanted: usize,
    ) -> Res<Rc<Kept>> {
        let value = options.dynamic(key).ok_or_else(|| self.missing(key))?;
        closure(context, &self.title, key, value, wanted, freeze).map(Rc::new)
    }

    pub fn missing(&self, key: &str) -> Box<rhai::EvalAltResult> {
        fail(format!("{}: `{key}` is missing; a certificate rests on it, so it has no default", self.title))
    }

    pub fn has_parameters(&self) -> bool {
        !self.parameters.is_empty()
    }

    pub fn parameters(&self) -> Vec<Parameter> {
        let start = || match &self.start {
            Some(start) => Start::By(Rc::new(Drawn { start: start.clone() })),
            None => Start::Constant(0.0),
        };
        self.parameters.iter().map(|(name, shape)| Parameter::new(name, shape, start())).collect()
    }

    /// The shape behind an input of this shape.
    pub fn output_shape(&self, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
        let Some(shape) = &self.shape else { return Ok(input.to_vec()) };
        let given: Array = input.iter().map(|n| Dynamic::from(int(*n))).collect();
        let found = shape.call(vec![given.into()]).map_err(|e| crate::base::error::message(&e))?;
        let sizes: Option<Vec<usize>> = found.try_cast::<Array>().and_then(|sizes| {
            sizes.iter().map(|n| n.as_int().ok().and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0)).collect()
        });
        sizes
            .filter(|sizes| !sizes.is_empty())
            .ok_or_else(|| format!("{} gave no array of sizes above 0", shape.what()))
    }

    /// The definition and all that these closures captured.
    pub fn identity(&self, closures: &[&Kept]) -> String {
        digest_of(&self.title, &self.identity, closures.iter().copied().chain(self.shape.as_deref()))
    }
}

/// The text of the definition that runs now, and a digest of all that the script has loaded: what a closure does hangs on functions anywhere
/// in the script and its modules, and any change of them makes another layer.
pub fn script_identity(context: &NativeCallContext) -> String {
    let mut texts = Fingerprint::default();
    for (name, text) in host(context).loader.sources().iter().filter(|(name, _)| !is_std(name)) {
        texts.text(name);
        texts.text(text);
    }
    format!("{} {}", definition_text(context).unwrap_or_default(), texts.finish())
}

/// What tells a definition from every other: its text, and what its closures have captured.
pub fn digest_of<'a>(title: &str, identity: &str, closures: impl IntoIterator<Item = &'a Kept>) -> String {
    let mut digest = Fingerprint::default();
    digest.text(identity);
    for closure in closures {
        closure.captured().iter().for_each(|value| captured(&mut digest, value));
    }
    format!("{title} {}", digest.finish())
}

/// Tensors by their numbers, others as they print.
fn captured(digest: &mut Fingerprint, value: &Dynamic) {
    // What cannot be read differs from every other.
    if let Some(tensor) = value.read_lock::<Tensor>() {
        if let Err(why) = digest.tensor(&tensor.0) {
            digest.text(&why.to_string());
        }
    } else if let Some(model) = value.read_lock::<Model>() {
        digest.text(&model.0.digest().unwrap_or_else(|why| why.to_string()));
    } else if let Some(layer) = value.read_lock::<LayerSpec>() {
        digest.text(&layer.0.describe());
        layer.0.own().iter().for_each(|own| digest.text(&own.identity));
    } else if let Some(items) = value.read_lock::<Array>() {
        items.iter().for_each(|item| captured(digest, item));
    } else if let Some(items) = value.read_lock::<Map>() {
        for (key, item) in items.iter() {
            digest.text(key);
            captured(digest, item);
        }
    } else {
        digest.text(&format!("{value:?}"));
    }
}

/// A captured value as the layer's own: tensors and networks are copied, and take no gradient; what else may change in place is refused.
pub fn freeze(value: Dynamic) -> std::result::Result<Dynamic, String> {
    let plain = value.is_unit() || value.is_bool() || value.is_int() || value.is_float() || value.is_char();
    if plain || value.is_string() || value.is::<LayerSpec>() || value.is::<rhai::Blob>() {
        return Ok(value);
    }
    let failed = |e: candle_core::Error| format!("captures what cannot be copied: {}", crate::base::error::message(&e));
    if let Some(Tensor(t)) = value.read_lock::<Tensor>().map(|t| t.clone()) {
        return t.detach().copy().map(|t| Dynamic::from(Tensor(t))).map_err(failed);
    }
    if let Some(Model(model)) = value.read_lock::<Model>().map(|m| m.clone()) {
        let own = model.to_dtype(model.dtype()).map_err(failed)?;
        return Ok(Dynamic::from(Model(Rc::new(own.frozen()))));
    }
    Err(format!(
        "captures {}, which can change after the layer is defined; capture numbers, texts, tensors or networks",
        crate::script::language::signatures::a_value_of(value.type_name())
    ))
}

/// The text of the call that runs now, from its name to its closing bracket.
fn definition_text(context: &NativeCallContext) -> Option<String> {
    let at = context.call_position();
    let (line, column) = (at.line()?, at.position()?);
    let text = host(context).loader.text(context.call_source().unwrap_or(PROMPT))?;
    let tokens = code(&text);
    let first = tokens.iter().position(|token| (token.line, token.column) >= (line, column))?;
    let mut depth = 0_i32;
    let ends = |token: &&Token| {
        match token.text {
            "(" | "[" | "{" | "#{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => return false,
        }
        depth == 0
    };
    let last = tokens[first..].iter().find(ends)?;
    Some(text[tokens[first].start..last.end()].to_string())
}

/// The tensor that a closure gives, of this shape.
pub fn tensor(kept: &Kept, arguments: Vec<Dynamic>, want: &[usize]) -> Result<candle_core::Tensor> {
    let found = kept.call(arguments)?;
    let kind = crate::script::language::signatures::a_value_of(found.type_name());
    match found.try_cast::<Tensor>() {
        Some(Tensor(t)) if t.dims() == want => Ok(t),
        Some(Tensor(t)) => bail!("{} gave a tensor of shape {:?}, {want:?} is wanted", kept.what(), t.dims()),
        None => bail!("{} gave {kind}, a tensor of shape {want:?} is wanted", kept.what()),
    }
}

/// A layer's parameters as its closures see them.
pub fn map_of(values: &Values) -> Dynamic {
    let entry = |(name, t): &(String, candle_core::Tensor)| (name.as_str().into(), Dynamic::from(Tensor(t.clone())));
    values.iter().map(entry).collect::<Map>().into()
}

/// The first values of a parameter, by the closure `start`.
#[derive(Debug)]
struct Drawn {
    start: Rc<Kept>,
}

impl Starting for Drawn {
    fn draw(&self, shape: &[usize], random: &Generator, dtype: DType, device: &Device) -> Result<candle_core::Tensor> {
        let sizes: Array = shape.iter().map(|n| Dynamic::from(int(*n))).collect();
        // Numbers of its own: the generator of the network goes on behind it.
        let seed = (random.unit() * (1u64 << 53) as f64) as u64;
        let draws = Draws { random: Rc::new(Generator::new(seed)), dtype, device: device.clone() };
        tensor(&self.start, vec![sizes.into(), Dynamic::from(draws)], shape)?.to_dtype(dtype)?.to_device(device)
    }
}

/// What `start` draws with: numbers of the layer's own, in the network's type, on its device.
#[derive(Clone)]
pub struct Draws {
    random: Rc<Generator>,
    dtype: DType,
    device: Device,
}

impl Draws {
    pub fn constant(&self, value: f64, shape: &[usize]) -> Result<candle_core::Tensor> {
        candle_core::Tensor::full(value, shape, &self.device)?.to_dtype(self.dtype)
    }

    pub fn normal(&self, std: f64, shape: &[usize]) -> Result<candle_core::Tensor> {
        self.random.normal(0.0, std, shape, self.dtype, &self.device)
    }

    pub fn uniform(&self, low: f64, high: f64, shape: &[usize]) -> Result<candle_core::Tensor> {
        self.random.uniform(low, high, shape, self.dtype, &self.device)
    }
}
