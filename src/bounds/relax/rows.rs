//! With which rows a walk begins: the margins of a label, or single neurons; and where what it found goes.

use super::linear::LinearBound;
use super::part::Part;
use crate::bounds::region::Region;
use crate::compute::elementwise::clip::{larger, smaller};
use crate::compute::labels::class_labels;
use candle_core::{DType, Device, Result, Tensor, bail};

/// The margins of labels `y` `[B]` against each other class: rows `e_y - e_j` for j != y in order, `[B, C - 1, C]`.
pub fn specification(y: &Tensor, classes: usize, dtype: DType, device: &Device) -> Result<Tensor> {
    let batch = y.elem_count();
    let labels = class_labels("specification", y, batch, "there are", classes)?.to_vec1::<u32>()?;
    let mut rows = vec![0f32; batch * (classes - 1) * classes];
    for (b, label) in labels.iter().map(|y| *y as usize).enumerate() {
        for (s, j) in (0..classes).filter(|j| *j != label).enumerate() {
            let row = &mut rows[(b * (classes - 1) + s) * classes..][..classes];
            (row[label], row[j]) = (1.0, -1.0);
        }
    }
    Tensor::from_vec(rows, (batch, classes - 1, classes), &Device::Cpu)?.to_dtype(dtype)?.to_device(device)
}

/// Values `[B, C - 1]` of the classes but the label's, with 0 in the label's place: `[B, C]`.
pub fn with_label(values: &Tensor, y: &Tensor) -> Result<Tensor> {
    let (batch, others) = values.dims2()?;
    let labels = class_labels("with_label", y, batch, "there are", others + 1)?.to_vec1::<u32>()?;
    // Place j of a sample is number j of its others, one less behind the label; the label's own is a column of zeros behind all.
    let place = |b: usize, j: usize| match labels[b] as usize {
        y if j < y => j,
        y if j == y => others,
        _ => j - 1,
    };
    let places: Vec<u32> = (0..batch).flat_map(|b| (0..=others).map(move |j| place(b, j) as u32)).collect();
    let places = Tensor::from_vec(places, (batch, others + 1), &Device::Cpu)?.to_device(values.device())?;
    let zeros = Tensor::zeros((batch, 1), values.dtype(), values.device())?;
    Tensor::cat(&[values, &zeros], 1)?.contiguous()?.gather(&places, 1)
}

/// The places of a mask `[B, ...]` of u8 where it is not 0, among the flattened ones: `[B, M]` of u32, M the most that a sample has; shorter
/// lists repeat their first place, or 0.
pub fn mask_places(mask: &Tensor) -> Result<Tensor> {
    let all = mask.flatten_from(1)?.to_dtype(DType::U8)?.to_vec2::<u8>()?;
    let own = |row: &Vec<u8>| row.iter().enumerate().filter(|(_, m)| **m != 0).map(|(i, _)| i as u32).collect();
    let mut lists: Vec<Vec<u32>> = all.iter().map(own).collect();
    let most = lists.iter().map(Vec::len).max().unwrap_or(0);
    for list in &mut lists {
        let first = list.first().copied().unwrap_or(0);
        list.resize(most, first);
    }
    Tensor::from_vec(lists.concat(), (all.len(), most), &Device::Cpu)?.to_device(mask.device())
}

/// The places of a mask `[B, ...]` in lists `[B, S]`, as [`mask_places`] gives one: of images one for each tile of so few positions that it has
/// about `rows` neurons, of vectors one for each so many.
pub fn place_tiles(mask: &Tensor, rows: usize) -> Result<Vec<Tensor>> {
    let rows = rows.max(1);
    if mask.rank() != 4 {
        let all = mask_places(mask)?;
        let count = all.dim(1)?;
        return (0..count)
            .step_by(rows)
            .map(|from| all.narrow(1, from, rows.min(count - from))?.contiguous())
            .collect();
    }
    let (batch, channels, height, width) = mask.dims4()?;
    let side = (1..=height.max(width)).find(|side| channels * side * side >= rows).unwrap_or(height.max(width)).max(1);
    let all = mask.flatten_from(1)?.to_dtype(DType::U8)?.to_vec2::<u8>()?;
    let mut tiles = vec![];
    for top in (0..height).step_by(side) {
        for left in (0..width).step_by(side) {
            let (bottom, right) = ((top + side).min(height), (left + side).min(width));
            let inside = |list: &Vec<u8>| -> Vec<u32> {
                let of_channel = |c: usize| {
                    let places =
                        (top..bottom).flat_map(move |y| (left..right).map(move |x| (c * height + y) * width + x));
                    places.filter(|place| list[*place] != 0).map(|place| place as u32).collect::<Vec<_>>()
                };
                (0..channels).flat_map(of_channel).collect()
            };
            let mut lists: Vec<Vec<u32>> = all.iter().map(inside).collect();
            let most = lists.iter().map(Vec::len).max().unwrap_or(0);
            for list in &mut lists {
                let first = list.first().copied().unwrap_or((top * width + left) as u32);
                list.resize(most, first);
            }
            if most > 0 {
                tiles.push(Tensor::from_vec(lists.concat(), (batch, most), &Device::Cpu)?.to_device(mask.device())?);
            }
        }
    }
    Ok(tiles)
}

/// Linear bounds of the neurons of a layer at `places` `[B, S]`, and of their negatives: `[B, 2 S]`. Of images `[C, H, W]` the coefficients are kept
/// where they are not 0.
pub fn neuron_bounds(places: &Tensor, shape: &[usize], dtype: DType) -> Result<LinearBound> {
    let (batch, rows) = places.dims2()?;
    let n: usize = shape.iter().product();
    let wanted = places.to_dtype(DType::U32)?.flatten_all()?.to_vec1::<u32>()?;
    if let Some(place) = wanted.iter().find(|place| **place as usize >= n) {
        bail!("neuron_bounds: place {place} of {n} neurons; they are numbered 0 to {}", n - 1);
    }
    let &[channels, height, width] = shape else {
        let [plus, minus] = [1.0, -1.0].map(|sign| unit_rows(places, shape, sign, dtype));
        return LinearBound::new(&Tensor::cat(&[plus?, minus?], 1)?, None);
    };
    let at = |place: u32| {
        let place = place as usize;
        [place / width % height, place % width, place / (width * height)]
    };
    let ends = |axis: usize| {
        let all = wanted.iter().map(|place| at(*place)[axis]);
        (all.clone().min().unwrap_or(0), all.max().unwrap_or(0))
    };
    let ((top, bottom), (left, right)) = (ends(0), ends(1));
    let part = Part { from: [top, left], size: [bottom - top + 1, right - left + 1], image: [height, width] };
    let own = channels * part.size[0] * part.size[1];
    let mut all = vec![0f32; 2 * batch * rows * own];
    for (i, place) in wanted.into_iter().enumerate() {
        let [y, x, c] = at(place);
        let offset = (c * part.size[0] + y - top) * part.size[1] + x - left;
        let (b, s) = (i / rows, i % rows);
        all[(2 * rows * b + s) * own + offset] = 1.0;
        all[(2 * rows * b + rows + s) * own + offset] = -1.0;
    }
    let a = Tensor::from_vec(all, (batch, 2 * rows, channels, part.size[0], part.size[1]), &Device::Cpu)?;
    LinearBound::of_part(&a.to_dtype(dtype)?.to_device(places.device())?, part)
}

/// Rows that single out neurons of a layer by their places `[B, S]` (u32, among the flattened ones): `[B, S, shape...]`, `sign` there.
pub fn unit_rows(places: &Tensor, shape: &[usize], sign: f64, dtype: DType) -> Result<Tensor> {
    let (batch, rows) = places.dims2()?;
    let n: usize = shape.iter().product();
    let wanted = places.to_dtype(DType::U32)?.flatten_all()?.to_vec1::<u32>()?;
    let mut all = vec![0f32; batch * rows * n];
    for (row, place) in wanted.into_iter().map(|p| p as usize).enumerate() {
        if place >= n {
            bail!("unit_rows: place {place} of {n} neurons; they are numbered 0 to {}", n - 1);
        }
        all[row * n + place] = sign as f32;
    }
    let shape = [&[batch, rows], shape].concat();
    Tensor::from_vec(all, shape, &Device::Cpu)?.to_dtype(dtype)?.to_device(places.device())
}

/// `region` with its box cut at the places `[B, S]` with these ends `[B, S]`, or with these in place of its own (`replaced`). The ball
/// stays as it is.
pub fn tightened(region: &Region, places: &Tensor, ends: [&Tensor; 2], replaced: bool) -> Result<Region> {
    let (batch, rows) = places.dims2()?;
    let shape = region.dims().to_vec();
    if shape[0] != batch || ends.iter().any(|end| end.dims() != [batch, rows]) {
        bail!(
            "tightened: a region {shape:?} wants places and ends [{}, S], got {:?}, {:?} and {:?}",
            shape[0],
            places.dims(),
            ends[0].dims(),
            ends[1].dims()
        );
    }
    let places = places.to_dtype(DType::U32)?.contiguous()?;
    let put = |own: &Tensor, end: &Tensor, side: fn(&Tensor, &Tensor) -> Result<Tensor>| -> Result<Tensor> {
        let flat = own.flatten_from(1)?.contiguous()?;
        let before = flat.gather(&places, 1)?;
        let new = if replaced { end.clone() } else { side(&before, end)? };
        // Of a place that is there twice the last end stays; each is one of that neuron's.
        set(&flat, &places, &new)?.reshape(shape.as_slice())
    };
    let (lower, upper) = (put(&region.lower()?, ends[0], larger)?, put(&region.upper()?, ends[1], smaller)?);
    region.with_box(&lower, &upper)
}

/// `flat` `[B, n]` with `new` `[B, S]` at the places.
fn set(flat: &Tensor, places: &Tensor, new: &Tensor) -> Result<Tensor> {
    let (batch, n) = flat.dims2()?;
    let wanted = places.to_vec2::<u32>()?;
    let rows = places.dim(1)?;
    // Each neuron reads itself, or the row that it was bounded by: a gather, whose gradient candle knows.
    let mut from: Vec<u32> = (0..batch).flat_map(|_| 0..n as u32).collect();
    for (b, own) in wanted.iter().enumerate() {
        for (s, place) in own.iter().enumerate() {
            from[b * n + *place as usize] = (n + s) as u32;
        }
    }
    debug_assert_eq!(new.dims(), [batch, rows]);
    let from = Tensor::from_vec(from, (batch, n), &Device::Cpu)?.to_device(flat.device())?;
    Tensor::cat(&[flat, new], 1)?.contiguous()?.gather(&from, 1)
}
