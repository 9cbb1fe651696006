//! A tensor's values as numbers, and as pictures.

use crate::script::language::{Res, candle};
use crate::show::picture::Picture;
use candle_core::DType;
use rhai::FLOAT;

/// All values of a tensor as numbers.
pub fn values(tensor: &candle_core::Tensor) -> Res<Vec<FLOAT>> {
    let read = || tensor.detach().to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    read().map_err(candle)
}

/// The images of [C, H, W], [B, C, H, W] or [H, W], of one or three channels.
pub fn images(tensor: &candle_core::Tensor, most: usize) -> Res<Option<Vec<Picture>>> {
    let (count, channels, height, width) = match *tensor.dims() {
        [h, w] => (1, 1, h, w),
        [c, h, w] => (1, c, h, w),
        [b, c, h, w] => (b, c, h, w),
        _ => return Ok(None),
    };
    if !matches!(channels, 1 | 3) || count * height * width == 0 {
        return Ok(None);
    }
    let one = channels * height * width;
    let shown = tensor.detach().flatten_all().and_then(|t| t.narrow(0, 0, one * count.min(most))).map_err(candle)?;
    let values = values(&shown)?;
    Ok(Some(values.chunks(one).map(|image| Picture::planes(image, channels, height, width)).collect()))
}
