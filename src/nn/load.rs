//! A network from a file that describes it, whatever its format: weights that this program has saved, or ONNX.

use super::{Rounded, Sequential, onnx, weights};
use crate::compute::tensor_files::read_bytes;
use candle_core::{DType, Device, Result};
use std::path::Path;

/// The network of a file, in its own number type or in `dtype`. Says what was rounded.
pub fn load_model(path: &Path, dtype: Option<DType>, device: &Device) -> Result<(Sequential, Option<Rounded>)> {
    model_of(path, &read_bytes(path)?, dtype, device)
}

/// The same from a file's content; `path` is named in errors.
pub fn model_of(
    path: &Path,
    bytes: &[u8],
    dtype: Option<DType>,
    device: &Device,
) -> Result<(Sequential, Option<Rounded>)> {
    if onnx::is_onnx(path) {
        return onnx::load(&path.display().to_string(), bytes, dtype, device);
    }
    weights::model_of(path, bytes, dtype, device)
}
