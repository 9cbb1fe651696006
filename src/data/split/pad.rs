//! Zeros around every image of a split: [C, H, W] becomes [C, H + 2n, W + 2n].

use crate::data::error::{Error, Result};

/// A wider border is a slip.
const MOST: usize = 1024;

/// The shape of images of `shape`, those that `of` names, with `pad` zeros on each side.
pub(in crate::data) fn grown(of: &str, [channels, height, width]: [usize; 3], pad: usize) -> Result<[usize; 3]> {
    if pad > MOST {
        return Err(Error::Pixels { option: "pad", of: of.into(), given: pad, height, width, most: MOST });
    }
    Ok([channels, height + 2 * pad, width + 2 * pad])
}

/// The images `values` of `shape`, one after the other, with `pad` zeros on each side.
pub(in crate::data) fn around<T: Copy + Default>(values: Vec<T>, [_, height, width]: [usize; 3], pad: usize) -> Vec<T> {
    if pad == 0 {
        return values;
    }
    let (plane, wide) = (height * width, width + 2 * pad);
    let mut out = vec![T::default(); values.len() / plane * (height + 2 * pad) * wide];
    let planes = values.chunks_exact(plane).zip(out.chunks_exact_mut((height + 2 * pad) * wide));
    for (from, to) in planes {
        for (from, to) in from.chunks_exact(width).zip(to.chunks_exact_mut(wide).skip(pad)) {
            to[pad..pad + width].copy_from_slice(from);
        }
    }
    out
}
