//! What a script writes for a layer, before the sizes are known: `conv2d(32, 3, #{ padding: 1 })`.
//!
//! A specification knows its output shape given an input shape, and can be written into a weights file, so that the
//! file alone is enough to build the network again.

use super::role::Role;
use crate::base::random::Generator;
use crate::compute::conv::Window;
use candle_core::{DType, Device, Result, Tensor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};
use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::rc::Rc;

/// One kind of layer with its settings; sizes that follow from the input are left out.
pub trait Kind: Any + Debug {
    /// Its name in scripts and files.
    fn name(&self) -> &str;
    /// The layer as a script would write it.
    fn describe(&self) -> String;
    /// What of it a script defines, on whose word its bounds rest: of a block what its layers say.
    fn own(&self) -> Vec<Own>;
    /// Its settings by name, as [`super::Entry::read`] reads them.
    fn settings(&self) -> Map<String, Value>;
    /// The shape of one sample behind this layer, or why an input of shape `input` does not fit.
    fn output_shape(&self, input: &[usize]) -> std::result::Result<Vec<usize>, String>;
    /// Its parameters over an input of a shape that fits, in their order.
    fn parameters(&self, input: &[usize]) -> Vec<Parameter>;
    /// The layer at its place.
    fn build(&self, place: &Place) -> Result<Role>;
}

/// A layer that a script defines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    pub name: String,
    /// What tells it from every other one, for digests.
    pub identity: String,
}

/// A parameter before it is drawn.
#[derive(Clone, Debug)]
pub struct Parameter {
    pub name: String,
    pub shape: Vec<usize>,
    pub start: Start,
    /// Bounds hold where its numbers are at least 0: optimisers put it back there.
    pub at_least_zero: bool,
}

impl Parameter {
    pub fn new(name: &str, shape: &[usize], start: Start) -> Self {
        Self { name: name.into(), shape: shape.to_vec(), start, at_least_zero: false }
    }

    /// Number of its elements; `None` if they cannot even be counted.
    pub fn count(&self) -> Option<u128> {
        self.shape.iter().try_fold(1u128, |n, d| n.checked_mul(*d as u128))
    }
}

/// Where a parameter starts.
#[derive(Clone, Debug)]
pub enum Start {
    /// Normal, around 0.
    Normal {
        std: f64,
    },
    /// Uniform between -bound and bound.
    Uniform {
        bound: f64,
    },
    Constant(f64),
    /// By a function of its own.
    By(Rc<dyn Starting>),
}

/// What draws the first value of a parameter of `shape`.
pub trait Starting: Debug {
    fn draw(&self, shape: &[usize], random: &Generator, dtype: DType, device: &Device) -> Result<Tensor>;
}

/// What a layer is built from: shapes of a sample before and behind it, its parameters by their short names.
#[derive(Debug)]
pub struct Place<'a> {
    pub input: &'a [usize],
    pub output: &'a [usize],
    pub parameters: &'a [(String, Tensor)],
    pub dtype: DType,
    pub device: &'a Device,
}

impl Place<'_> {
    /// A parameter that the kind has named.
    pub fn parameter(&self, name: &str) -> Result<Tensor> {
        self.optional(name).ok_or_else(|| candle_core::Error::Msg(format!("no parameter `{name}` was drawn")))
    }

    /// One that it may have left out.
    pub fn optional(&self, name: &str) -> Option<Tensor> {
        self.parameters.iter().find(|(n, _)| *n == name).map(|(_, t)| t.clone())
    }
}

/// A layer of a network as it was written. Cloning shares it.
#[derive(Clone, Debug)]
pub struct LayerSpec(Rc<dyn Kind>);

impl LayerSpec {
    pub fn of(kind: impl Kind) -> Self {
        Self(Rc::new(kind))
    }

    /// Its settings, if it is of this kind.
    pub fn get<K: Kind>(&self) -> Option<&K> {
        let any: &dyn Any = &*self.0;
        any.downcast_ref()
    }

    /// Is it of this kind?
    pub fn is<K: Kind>(&self) -> bool {
        self.get::<K>().is_some()
    }
}

impl std::ops::Deref for LayerSpec {
    type Target = dyn Kind;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl PartialEq for LayerSpec {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name() && self.settings() == other.settings()
    }
}

/// Key of a specification's kind in a file.
pub(super) const KIND: &str = "kind";
/// Set where a script has defined the kind.
pub(super) const OWN: &str = "own";

impl Serialize for LayerSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut all = self.settings();
        all.insert(KIND.into(), self.name().into());
        if !self.own().is_empty() {
            all.insert(OWN.into(), true.into());
        }
        all.serialize(serializer)
    }
}

/// One kind: how it is made.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub name: &'static str,
    /// What a script must give, in this order.
    pub arguments: &'static [Argument],
    /// What it may give, by name.
    pub options: &'static [Argument],
    /// From what a script gave.
    pub make: fn(&Given) -> LayerSpec,
    /// From its settings in a file.
    pub read: fn(Map<String, Value>) -> std::result::Result<LayerSpec, String>,
}

/// A branch of a sum.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Branch {
    One(LayerSpec),
    List(Vec<LayerSpec>),
}

/// One argument or option of a kind in a script.
#[derive(Clone, Copy, Debug)]
pub struct Argument {
    pub name: &'static str,
    pub takes: Takes,
}

/// What a script gives for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Takes {
    /// A whole number of at least 1, with words for it: "the number of channels".
    Positive(&'static str),
    /// A whole number of at least this.
    AtLeast(usize),
    Number,
    Numbers,
    Flag,
    /// An array of layers.
    Layers,
    /// An array of branches, each a layer or an array of layers.
    Branches,
}

/// What a script gave, by the names of the kind's arguments and options. Options that it left out are not here.
#[derive(Clone, Debug, Default)]
pub struct Given {
    pub counts: BTreeMap<&'static str, usize>,
    pub numbers: BTreeMap<&'static str, Vec<f64>>,
    pub flags: BTreeMap<&'static str, bool>,
    pub branches: BTreeMap<&'static str, Vec<Branch>>,
}

impl Given {
    pub fn count(&self, name: &str, default: usize) -> usize {
        self.counts.get(name).copied().unwrap_or(default)
    }

    pub fn number(&self, name: &str, default: f64) -> f64 {
        self.numbers.get(name).and_then(|all| all.first()).copied().unwrap_or(default)
    }

    pub fn numbers(&self, name: &str) -> Vec<f64> {
        self.numbers.get(name).cloned().unwrap_or_default()
    }

    pub fn branches(&self, name: &str) -> Vec<Branch> {
        self.branches.get(name).cloned().unwrap_or_default()
    }

    /// The layers of one list.
    pub fn layers(&self, name: &str) -> Vec<LayerSpec> {
        let one = |branch| match branch {
            Branch::One(layer) => vec![layer],
            Branch::List(layers) => layers,
        };
        self.branches(name).into_iter().flat_map(one).collect()
    }

    pub fn flag(&self, name: &str, default: bool) -> bool {
        self.flags.get(name).copied().unwrap_or(default)
    }
}

/// `[C, H, W]` of an image, or why the input is none.
pub(super) fn image(input: &[usize]) -> std::result::Result<[usize; 3], String> {
    match input {
        [c, h, w] => Ok([*c, *h, *w]),
        [_] => Err(format!(
            "it wants an image [C, H, W], its input is a vector of shape {input:?}; images are given as [n, C, H, W], vectors go \
             through linear layers"
        )),
        _ => Err(format!("it wants an image [C, H, W], its input has shape {input:?}")),
    }
}

/// The shape behind a pool of each channel, or why it does not fit.
pub(super) fn pooled(input: &[usize], kernel: usize, stride: usize) -> std::result::Result<Vec<usize>, String> {
    let [c, h, w] = image(input)?;
    let window = Window::new(stride, 0);
    match (window.output(h, kernel), window.output(w, kernel)) {
        (Some(h), Some(w)) => Ok(vec![c, h, w]),
        _ => Err(format!("a {kernel}x{kernel} pool with stride {stride} does not fit its {h}x{w} input")),
    }
}

/// A kind's settings, read from a file strictly.
pub(super) fn read<K: Kind + for<'de> Deserialize<'de>>(
    settings: Map<String, Value>,
) -> std::result::Result<LayerSpec, String> {
    serde_json::from_value::<K>(Value::Object(settings)).map(LayerSpec::of).map_err(|e| e.to_string())
}

/// The same on the way out.
pub(super) fn settings<K: Serialize>(kind: &K) -> Map<String, Value> {
    match serde_json::to_value(kind) {
        Ok(Value::Object(all)) => all,
        // A kind without settings is a unit.
        _ => Map::new(),
    }
}

/// A kind without settings, from a file.
pub(super) fn none_left(settings: &Map<String, Value>, kind: impl Kind) -> std::result::Result<LayerSpec, String> {
    match settings.keys().next() {
        None => Ok(LayerSpec::of(kind)),
        Some(key) => Err(format!("unknown field `{key}`, there are none")),
    }
}

/// A kind without settings: its name, the shape behind an input, how it is built.
macro_rules! without_settings {
    ($kind:ident, $entry:expr, $shape:expr, $build:expr) => {
        impl $crate::nn::layers::spec::Kind for $kind {
            fn name(&self) -> &str {
                $entry.name
            }

            fn describe(&self) -> String {
                format!("{}()", $entry.name)
            }

            fn own(&self) -> Vec<$crate::nn::layers::spec::Own> {
                vec![]
            }

            fn settings(&self) -> serde_json::Map<String, serde_json::Value> {
                serde_json::Map::new()
            }

            fn output_shape(&self, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
                let shape: fn(&[usize]) -> std::result::Result<Vec<usize>, String> = $shape;
                shape(input)
            }

            fn parameters(&self, _: &[usize]) -> Vec<$crate::nn::layers::spec::Parameter> {
                vec![]
            }

            fn build(
                &self,
                place: &$crate::nn::layers::spec::Place,
            ) -> candle_core::Result<$crate::nn::layers::role::Role> {
                let build: fn(&$crate::nn::layers::spec::Place) -> candle_core::Result<$crate::nn::layers::role::Role> =
                    $build;
                build(place)
            }
        }
    };
}
pub(super) use without_settings;

/// The shape of the input.
pub(super) fn any_shape(input: &[usize]) -> std::result::Result<Vec<usize>, String> {
    Ok(input.to_vec())
}
