//! All kinds by their names: what a script calls to make one, and how one is read from a file. A line for each kind.

use super::spec::{Argument, Given, LayerSpec};
use super::{
    abs, avg_pool2d, clip, conv2d, flatten, groupsort, leaky_relu, linear, max_pool2d, maxmin, normalize,
    pixel_unshuffle, relu,
};
use crate::base::suggest;
use serde_json::{Map, Value};

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
    pub read: fn(Map<String, Value>) -> Result<LayerSpec, String>,
}

/// All kinds.
pub const KINDS: [Entry; 15] = [
    conv2d::ENTRY,
    linear::ENTRY,
    avg_pool2d::ENTRY,
    normalize::ENTRY,
    flatten::ENTRY,
    relu::ENTRY,
    clip::RELU6,
    clip::RELU_THETA,
    maxmin::ENTRY,
    maxmin::CLIPPED,
    groupsort::ENTRY,
    leaky_relu::ENTRY,
    abs::ENTRY,
    max_pool2d::ENTRY,
    pixel_unshuffle::ENTRY,
];

/// The kind of this name, or what there is.
pub fn entry(name: &str) -> Result<&'static Entry, String> {
    KINDS.iter().find(|entry| entry.name == name).ok_or_else(|| {
        let rest = suggest::hint_and_list(name, "kinds", || KINDS.iter().map(|entry| entry.name));
        format!("there is no kind of layer `{name}`{rest}")
    })
}
