//! What a file says of its network beside the weights: the shape of a sample and the layers, in JSON under one key of its metadata.

use super::{LayerSpec, Sequential};
use candle_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// The key, of safetensors and of ONNX.
pub const KEY: &str = "workbench.network";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    pub input: Vec<usize>,
    pub layers: Vec<LayerSpec>,
}

impl Description {
    /// That of a network, as text.
    pub fn text_of(net: &Sequential) -> Result<String> {
        let own = Self { input: net.input().to_vec(), layers: net.specs() };
        serde_json::to_string(&own).map_err(|e| Error::Msg(format!("the description of the network: {e}")))
    }
}
