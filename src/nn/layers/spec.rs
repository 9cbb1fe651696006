//! What a script writes for a layer, before the sizes are known: `conv2d(32, 3, #{ padding: 1 })`.
//!
//! A specification knows its output shape given an input shape, and can be written into a weights file, so that the
//! file alone is enough to build the network again.

use super::activation::Activation;
use super::affine::Affine;
use super::graph::Graph;
use super::reshape::Reshape;
use crate::base::random::Generator;
use candle_core::{DType, Device, Result, Tensor};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use std::any::Any;
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
    /// The layer at its place: what it is to a bound.
    fn build(&self, place: &Place) -> Result<Role>;
    /// The layer in operators that other programs know, behind the value `x`; gives the name of its own value.
    fn export(&self, place: &Place, graph: &mut Graph, x: String) -> Result<String>;
}

/// What a layer is to a bound, each role behind what a bound may ask of it.
#[derive(Clone, Debug)]
pub enum Role {
    /// A linear map and a bias.
    Affine(Rc<dyn Affine>),
    /// A function of its input that is not linear.
    Activation(Rc<dyn Activation>),
    /// The same numbers in another arrangement.
    Reshape(Rc<dyn Reshape>),
    /// Lists of layers on one input, with activations among them.
    Branches(Branches),
}

/// Lists of layers on one input, and how their results meet. Each layer with the beginning of its parameters' names, "1.".
#[derive(Clone, Debug)]
pub struct Branches {
    pub lists: Vec<Vec<(String, LayerSpec)>>,
    pub meeting: Meeting,
}

/// How the results of branches meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meeting {
    /// They are added.
    Sum,
    /// They stand one behind the other along the channels (or features).
    Concatenation,
}

/// What a layer is beside its kind and its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    pub name: String,
    pub word: Word,
    /// What tells it from every other one, for digests.
    pub identity: String,
}

/// What of a layer is not in its kind and its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// A script defines it, and bounds rest on the script's word.
    Bounds,
    /// A script's function of a weight; bounds see the result.
    Weight,
    /// Statistics of a batch, in training.
    Statistics,
    /// The kind's own function of its parameters; bounds see the result.
    Made,
}

impl Word {
    /// Is it a script's, so that a file alone does not make the layer?
    fn is_script_s(self) -> bool {
        match self {
            Self::Bounds | Self::Weight => true,
            Self::Statistics | Self::Made => false,
        }
    }
}

/// A parameter before it is drawn.
#[derive(Clone, Debug)]
pub struct Parameter {
    pub name: String,
    pub shape: Vec<usize>,
    pub start: Start,
    /// Bounds hold where its numbers are at least 0: optimisers put it back there.
    pub at_least_zero: bool,
    /// Does it take gradients? Running statistics do not.
    pub is_trained: bool,
}

impl Parameter {
    pub fn new(name: &str, shape: &[usize], start: Start) -> Self {
        Self { name: name.into(), shape: shape.to_vec(), start, at_least_zero: false, is_trained: true }
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
    /// As a function of the layer's parameters that are drawn before it.
    After(Rc<dyn Following>),
}

/// A weight as a function of a parameter, of its shape.
pub trait Deriving: Debug {
    fn derive(&self, parameter: &Tensor) -> Result<Tensor>;
    /// What tells it from every other one, for digests.
    fn identity(&self) -> String;
}

/// What draws the first value of a parameter of `shape`.
pub trait Starting: Debug {
    fn draw(&self, shape: &[usize], random: &Generator, dtype: DType, device: &Device) -> Result<Tensor>;
}

/// What the first value of a parameter is, given those of the layer that were drawn before it, by their names.
pub trait Following: Debug {
    fn value(&self, before: &[(String, Tensor)]) -> Result<Tensor>;
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

    /// The parameters of a layer inside, whose names begin with `before`, by their own names.
    pub fn inside(&self, before: &str) -> Vec<(String, Tensor)> {
        let inside = |(name, t): &(String, Tensor)| Some((name.strip_prefix(before)?.to_string(), t.clone()));
        self.parameters.iter().filter_map(inside).collect()
    }

    /// One that it may have left out.
    pub fn optional(&self, name: &str) -> Option<Tensor> {
        self.parameters.iter().find(|(n, _)| *n == name).map(|(_, t)| t.clone())
    }
}

/// A layer of a network as it was written. Cloning shares it.
#[derive(Clone, Debug)]
pub struct LayerSpec {
    kind: Rc<dyn Kind>,
    /// Of [`Kind::own`], which reads definitions through.
    words: Vec<Word>,
}

impl LayerSpec {
    pub fn of(kind: impl Kind) -> Self {
        let words = kind.own().into_iter().map(|own| own.word).collect();
        Self { kind: Rc::new(kind), words }
    }

    /// Its settings, if it is of this kind.
    pub fn get<K: Kind>(&self) -> Option<&K> {
        let any: &dyn Any = &*self.kind;
        any.downcast_ref()
    }

    /// Are numbers of its map made of parameters, by a function or by statistics, so that they change with these?
    pub fn is_derived(&self) -> bool {
        self.has(Word::Weight) || self.has(Word::Statistics) || self.has(Word::Made)
    }

    /// Is something of this sort in it?
    pub fn has(&self, word: Word) -> bool {
        self.words.contains(&word)
    }

    /// Is it of this kind?
    pub fn is<K: Kind>(&self) -> bool {
        self.get::<K>().is_some()
    }
}

impl std::ops::Deref for LayerSpec {
    type Target = dyn Kind;

    fn deref(&self) -> &Self::Target {
        &*self.kind
    }
}

impl PartialEq for LayerSpec {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name() && self.settings() == other.settings() && self.own() == other.own()
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
        if self.own().iter().any(|own| own.word.is_script_s()) {
            all.insert(OWN.into(), true.into());
        }
        all.serialize(serializer)
    }
}
