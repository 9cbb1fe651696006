//! How a kind is made: from what a script gives, or from its settings in a file. What several kinds share of that.

use super::derived::Derived;
use super::graph::Graph;
use super::spec::{Deriving, Kind, LayerSpec, Place};
use crate::compute::conv::Window;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::rc::Rc;

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

/// What every convolution is given.
pub(super) const CONVOLUTION: &[Argument] = &[
    Argument { name: "channels", takes: Takes::Positive("the number of channels") },
    Argument { name: "kernel", takes: Takes::Positive("the kernel size") },
];

/// What every dense layer is given.
pub(super) const DENSE: &[Argument] =
    &[Argument { name: "features", takes: Takes::Positive("the number of features") }];

/// A dense layer with no setting but its bias, as a script would write it.
pub(super) fn dense_shown(name: &str, features: usize, bias: bool) -> String {
    if bias { format!("{name}({features})") } else { format!("{name}({features}, #{{ bias: false }})") }
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
    /// A closure that makes the weight of the parameter.
    Weight,
}

/// What a script gave, by the names of the kind's arguments and options. Options that it left out are not here.
#[derive(Clone, Debug, Default)]
pub struct Given {
    pub counts: BTreeMap<&'static str, usize>,
    pub numbers: BTreeMap<&'static str, Vec<f64>>,
    pub flags: BTreeMap<&'static str, bool>,
    pub branches: BTreeMap<&'static str, Vec<Branch>>,
    /// Of `weight`.
    pub weight: Option<Rc<dyn Deriving>>,
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

    /// The layer, with the function of its weight that was given.
    pub fn weighted(&self, layer: LayerSpec) -> LayerSpec {
        match &self.weight {
            Some(by) => LayerSpec::of(Derived { layer, by: by.clone() }),
            None => layer,
        }
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

/// How a kind draws itself.
pub(super) type Export = fn(&Place, &mut Graph, String) -> candle_core::Result<String>;

/// A kind without settings: its name, the shape behind an input, how it is built, how it is drawn.
macro_rules! without_settings {
    ($kind:ident, $entry:expr, $shape:expr, $build:expr, $export:expr $(,)?) => {
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
            ) -> candle_core::Result<$crate::nn::layers::spec::Role> {
                let build: fn(&$crate::nn::layers::spec::Place) -> candle_core::Result<$crate::nn::layers::spec::Role> =
                    $build;
                build(place)
            }

            fn export(
                &self,
                place: &$crate::nn::layers::spec::Place,
                graph: &mut $crate::nn::layers::graph::Graph,
                x: String,
            ) -> candle_core::Result<String> {
                let export: $crate::nn::layers::entry::Export = $export;
                export(place, graph, x)
            }
        }
    };
}
pub(super) use without_settings;

/// The shape of the input.
pub(super) fn any_shape(input: &[usize]) -> std::result::Result<Vec<usize>, String> {
    Ok(input.to_vec())
}
