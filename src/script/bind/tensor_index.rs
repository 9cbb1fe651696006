//! Parts of tensors: `t[i]`, `t[a..b]`, `t[[i, a..b]]`, rows by a list of indices.

use super::args;
use crate::compute::checked::largest_label;
use crate::script::language::signatures::a_value_of;
use crate::script::language::{Res, candle, fail};
use crate::script::values::{Tensor, int};
use candle_core::{DType, Tensor as Candle};
use rhai::plugin::*;
use rhai::{Array, Dynamic, Engine, INT};
use std::ops::{Range, RangeInclusive};

pub fn register(engine: &mut Engine) {
    engine.register_indexer_get(|t: &mut Tensor, i: INT| one(t, 0, i));
    engine.register_indexer_get(|t: &mut Tensor, r: Range<INT>| part(t, 0, r.start, r.end));
    engine.register_indexer_get(|t: &mut Tensor, r: RangeInclusive<INT>| {
        part(t, 0, *r.start(), r.end().saturating_add(1))
    });
    engine.register_indexer_get(several);
    engine.register_global_module(rhai::exported_module!(index).into());
}

/// One index: the axis disappears.
fn one(t: &mut Tensor, axis: usize, i: INT) -> Res<Tensor> {
    let n = t.0.dims().get(axis).map_or(0, |n| int(*n));
    let at = if i < 0 { i + n } else { i };
    if !(0..n).contains(&at) {
        return Err(fail(format!("index {i} is out of range on axis {axis} of a tensor of shape {:?}", t.0.dims())));
    }
    let take = || t.0.narrow(axis, at as usize, 1)?.squeeze(axis);
    take().map(Tensor).map_err(candle)
}

/// A range: the axis stays.
fn part(t: &mut Tensor, axis: usize, from: INT, to: INT) -> Res<Tensor> {
    let n = t.0.dims().get(axis).map_or(0, |n| int(*n));
    // `t[1..]` comes with the largest int as its end; negative places count from the end.
    let place = |p: INT| if p < 0 { p + n } else { p };
    let (from, to) = (place(from), if to == INT::MAX { n } else { place(to) });
    if !(0 <= from && from < to && to <= n) {
        return Err(fail(format!(
            "range {from}..{to} is empty or outside axis {axis} of a tensor of shape {:?}",
            t.0.dims()
        )));
    }
    t.0.narrow(axis, from as usize, (to - from) as usize).map(Tensor).map_err(candle)
}

/// One entry per axis, from the first on: an int, a range, or () for all of it.
fn several(t: &mut Tensor, entries: Array) -> Res<Tensor> {
    if entries.len() > t.0.rank() {
        return Err(fail(format!("{} indices for a tensor of shape {:?}", entries.len(), t.0.dims())));
    }
    let (mut result, mut axis) = (t.clone(), 0);
    for entry in entries {
        if let Ok(i) = entry.as_int() {
            result = one(&mut result, axis, i)?;
            continue;
        }
        let range = entry.clone().try_cast::<Range<INT>>();
        let inclusive = entry.clone().try_cast::<RangeInclusive<INT>>().map(|r| *r.start()..r.end().saturating_add(1));
        if let Some(r) = range.or(inclusive) {
            result = part(&mut result, axis, r.start, r.end)?;
        } else if !entry.is_unit() {
            return Err(fail(format!("an index is an int, a range or (), got {}", a_value_of(entry.type_name()))));
        }
        axis += 1;
    }
    Ok(result)
}

/// Indices as u32, from a tensor or an array of ints.
pub fn indices(op: &str, t: &Candle, list: &Dynamic) -> Res<Candle> {
    if let Some(index) = list.clone().try_cast::<Tensor>() {
        return index.0.to_dtype(DType::U32).map_err(candle);
    }
    let Ok(array) = list.as_array_ref() else {
        return Err(fail(format!(
            "{op}: indices are an array of ints or a tensor, got {}",
            a_value_of(list.type_name())
        )));
    };
    let wanted = args::shape(op, &array)?.into_iter().map(|i| i as u32).collect::<Vec<_>>();
    Candle::new(wanted, t.device()).map_err(candle)
}

#[export_module]
mod index {
    #[rhai_fn(pure, return_raw)]
    pub fn narrow(t: &mut Tensor, axis: INT, start: INT, length: INT) -> Res<Tensor> {
        let axis = args::axis("narrow", t, axis)?;
        part(t, axis, start, start + length)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn index_select(t: &mut Tensor, axis: INT, list: Dynamic) -> Res<Tensor> {
        let axis = args::axis("index_select", t, axis)?;
        let index = indices("index_select", &t.0, &list)?;
        let size = t.0.dims()[axis];
        let largest = index.to_vec1::<u32>().map_err(candle)?.into_iter().max().unwrap_or(0);
        if largest as usize >= size {
            return Err(fail(format!("index_select: index {largest} is out of range, axis {axis} has {size} places")));
        }
        t.0.index_select(&index, axis).map(Tensor).map_err(candle)
    }
    #[rhai_fn(pure, return_raw)]
    pub fn gather(t: &mut Tensor, axis: INT, index: Tensor) -> Res<Tensor> {
        let axis = args::axis("gather", t, axis)?;
        let size = int(t.0.dims()[axis]);
        // Labels of a data set are known: nothing is read back from a GPU.
        if largest_label(&index.0).is_none_or(|largest| largest >= size) {
            let places = || index.0.to_dtype(DType::I64)?.flatten_all()?.to_vec1::<i64>();
            if let Some(place) = places().map_err(candle)?.into_iter().find(|p| !(0..size).contains(p)) {
                return Err(fail(format!("gather: index {place} is out of range, axis {axis} has {size} places")));
            }
        }
        let take = || t.0.contiguous()?.gather(&index.0.to_dtype(DType::U32)?.contiguous()?, axis);
        take().map(Tensor).map_err(candle)
    }
}
