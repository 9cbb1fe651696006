//! A tensor as the prompt shows it: shape, dtype, device, range; images as blocks, small ones as numbers, large ones by a
//! few values and their distribution.

use crate::compute::device;
use crate::script::language::{Res, candle};
use crate::script::values::{images, values};
use crate::show::picture::pictures;
use crate::show::{Screen, clipped, distribution, short};
use candle_core::{DType, Tensor};

/// Tensors of at most so many values are shown whole.
const SMALL: usize = 100;
/// Tensors of more than two axes, whose planes are shown one after the other, of at most so many.
const SMALL_PLANES: usize = 32;
/// So many images at most.
const IMAGES: usize = 16;
/// So many values at the beginning of a large tensor.
const FIRST: usize = 6;

/// `Tensor [2, 3] f32`.
fn head(tensor: &Tensor) -> String {
    format!("Tensor {:?} {}", tensor.dims(), tensor.dtype().as_str())
}

/// The tensor in one line.
pub fn brief(tensor: &Tensor) -> String {
    match values(tensor) {
        Ok(all) if all.len() == 1 => format!("{} {}", head(tensor), short(all[0])),
        Ok(all) => format!("{}{}", head(tensor), range(&all)),
        Err(_) => head(tensor),
    }
}

/// The tensor in a sentence: the number of one that holds one, else what it is like.
pub fn one_line(tensor: &Tensor) -> String {
    let number = || -> candle_core::Result<String> {
        let one = tensor.detach().flatten_all()?.get(0)?;
        Ok(match one.dtype() {
            DType::F64 => one.to_scalar::<f64>()?.to_string(),
            kind if kind.is_float() => one.to_dtype(DType::F32)?.to_scalar::<f32>()?.to_string(),
            _ => one.to_dtype(DType::I64)?.to_scalar::<i64>()?.to_string(),
        })
    };
    match tensor.elem_count() {
        1 => number().unwrap_or_else(|_| brief(tensor)),
        _ => brief(tensor),
    }
}

fn range(all: &[f64]) -> String {
    match distribution::summary(all) {
        None if all.is_empty() => String::new(),
        None => ", none finite".into(),
        Some(found) => {
            let bad = if found.not_finite > 0 { format!(", {} not finite", found.not_finite) } else { String::new() };
            format!(", {} to {}, mean {}{bad}", short(found.low), short(found.high), short(found.mean))
        }
    }
}

/// The tensor in full.
pub fn shown(tensor: &Tensor, screen: Screen) -> Res<String> {
    let all = values(tensor)?;
    let place = device::name(tensor.device());
    if all.len() == 1 {
        return Ok(format!("{}  {}", short(all[0]), screen.dim(&format!("{} on {place}", head(tensor)))));
    }
    let first = format!("{} on {place}{}", head(tensor), range(&all));
    let mut lines: Vec<String> = screen.wrap(&first, 0).iter().map(|line| screen.dim(line)).collect();
    if is_image(tensor, &all)
        && let Some(found) = images(tensor, IMAGES)?
    {
        lines.extend(pictures(&found, screen));
        let count = tensor.dims().first().filter(|_| tensor.rank() == 4).copied().unwrap_or(1);
        if count > IMAGES {
            lines.push(screen.dim(&format!("... {} more images", count - IMAGES)));
        }
        return Ok(lines.join("\n"));
    }
    let small = if tensor.rank() > 2 { SMALL_PLANES } else { SMALL };
    if all.len() <= small && !all.is_empty() {
        lines.extend(rows(tensor, &all, screen).map_err(candle)?);
    } else if !all.is_empty() {
        let some: Vec<String> = all.iter().take(FIRST).map(|x| short(*x)).collect();
        lines.push(clipped(&format!("{} ...", some.join("  ")), screen.width));
        if let Some(found) = distribution::summary(&all).filter(|found| found.high > found.low) {
            let bins = screen.width.saturating_sub(24).clamp(8, 48);
            let spark = screen.styled("36", &distribution::sparkline(&all, bins));
            lines.push(format!("{} {spark} {}", short(found.low), short(found.high)));
        }
    }
    Ok(lines.join("\n"))
}

/// One or three channels of at least 6 x 6 pixels from 0 to 1, of a floating-point dtype, and not all the same.
fn is_image(tensor: &Tensor, all: &[f64]) -> bool {
    let (channels, height, width) = match *tensor.dims() {
        [c, h, w] | [_, c, h, w] => (c, h, w),
        _ => return false,
    };
    let pixels = all.iter().all(|x| (0.0..=1.0).contains(x));
    matches!(channels, 1 | 3) && height >= 6 && width >= 6 && tensor.dtype().is_float() && pixels
}

/// Numbers in rows, aligned; higher axes by their places.
fn rows(tensor: &Tensor, all: &[f64], screen: Screen) -> candle_core::Result<Vec<String>> {
    let dims = tensor.dims();
    let across = dims.last().copied().unwrap_or(1).max(1);
    let cells: Vec<String> = all.iter().map(|x| short(*x)).collect();
    let wide = cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(1);
    let fit = (screen.width.saturating_sub(2) / (wide + 2)).max(1);
    let mut lines = vec![];
    let in_plane = dims.iter().rev().take(2).product::<usize>().max(1);
    for (i, row) in cells.chunks(across).enumerate() {
        if dims.len() > 2 && (i * across).is_multiple_of(in_plane) {
            let (mut rest, mut places) = (i * across / in_plane, vec![]);
            for size in dims[..dims.len() - 2].iter().rev() {
                places.push((rest % size).to_string());
                rest /= size;
            }
            places.reverse();
            lines.push(screen.dim(&format!("[{}]", places.join(", "))));
        }
        // A vector goes on in the next line, a matrix's row ends with `…`.
        if dims.len() <= 1 {
            lines.extend(row.chunks(fit).map(|part| line(part, wide, "")));
        } else {
            lines.push(line(&row[..row.len().min(fit)], wide, if row.len() > fit { " …" } else { "" }));
        }
    }
    Ok(lines)
}

fn line(cells: &[String], wide: usize, end: &str) -> String {
    cells.iter().map(|cell| format!("  {cell:>wide$}")).collect::<String>() + end
}
