//! All kinds by their names. A line for each.

use super::entry::Entry;
use super::spec::{KIND, LayerSpec, OWN};
use super::{
    abs, aol, avg_pool2d, batch_centering, batch_norm2d, block, bro, cayley, clip, conv2d, cpl, flatten, gelu,
    groupsort, half_abs, householder, leaky_relu, linear, linear_residual, lln_linear, max_pool2d, maxmin,
    n_activation, normalize, parallel, pixel_unshuffle, relu, residual, scale_shift, sll, soc, softplus, sum,
};
use crate::base::suggest;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// All kinds.
pub const KINDS: [Entry; 42] = [
    conv2d::ENTRY,
    linear::ENTRY,
    avg_pool2d::ENTRY,
    normalize::ENTRY,
    normalize::OF_FILE,
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
    gelu::ENTRY,
    softplus::ENTRY,
    householder::ENTRY,
    n_activation::ENTRY,
    half_abs::ENTRY,
    scale_shift::ENTRY,
    batch_norm2d::ENTRY,
    batch_centering::ENTRY,
    residual::ENTRY,
    sum::ENTRY,
    parallel::ENTRY,
    block::ENTRY,
    aol::CONV2D,
    aol::LINEAR,
    cayley::CONV2D,
    cayley::LINEAR,
    bro::CONV2D,
    bro::LINEAR,
    linear_residual::CONV2D,
    linear_residual::LINEAR,
    lln_linear::ENTRY,
    soc::ENTRY,
    sll::CONV2D,
    sll::LINEAR,
    cpl::CONV2D,
    cpl::LINEAR,
];

/// The kind of this name, or what there is.
pub fn entry(name: &str) -> Result<&'static Entry, String> {
    KINDS.iter().find(|entry| entry.name == name).ok_or_else(|| {
        let rest = suggest::hint_and_list(name, "kinds", || KINDS.iter().map(|entry| entry.name));
        format!("there is no kind of layer `{name}`{rest}")
    })
}

impl<'de> Deserialize<'de> for LayerSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        use serde::de::Error;
        let mut all = Map::deserialize(deserializer)?;
        let kind = match all.remove(KIND) {
            Some(Value::String(kind)) => kind,
            Some(other) => return Err(D::Error::custom(format!("a layer's kind is {other}, a name is wanted"))),
            None => return Err(D::Error::custom("a layer without a kind")),
        };
        if all.contains_key(OWN) {
            return Err(D::Error::custom(format!(
                "`{kind}` is a layer of a script's own; build the network with `sequential` and that script's definition, then take \
                 its weights with model.load(path)"
            )));
        }
        let entry = entry(&kind).map_err(D::Error::custom)?;
        (entry.read)(all).map_err(|e| D::Error::custom(format!("{kind}: {e}")))
    }
}
