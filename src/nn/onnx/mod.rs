//! ONNX, the format that verifiers and runtimes read: a network out, and feed-forward graphs of kinds that are here in.
//!
//! Out (`write`): each kind draws itself in operators of version 17 (`nn/layers/graph`), the batch is open, parameters have their own names.
//! A file of ours also says in its metadata which layers it is, and is read by that where its graph is still the one that these make.
//! In (`read`): the graph from its input to its output is taken apart into layers (`walk`); an operator that no layer has is refused by
//! name. Nothing in a file is run.

mod build;
mod chain;
mod format;
mod normalised;
mod operators;
mod read;
mod walk;
mod write;

pub use read::is_onnx;
pub use write::export;

use super::Sequential;
use super::weights::Rounded;
use candle_core::{DType, Device, Result};

/// The network of a file in the bytes; `source` is named in errors. Says what was rounded.
pub fn load(
    source: &str,
    bytes: &[u8],
    dtype: Option<DType>,
    device: &Device,
) -> Result<(Sequential, Option<Rounded>)> {
    let file = read::File::open(source, bytes)?;
    match build::own(&file, dtype, device)? {
        Some(found) => Ok(found),
        None => build::taken(&file, dtype, device),
    }
}
