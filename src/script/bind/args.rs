//! Arguments on their way in: shapes, dtypes, axes, numbers, arrays; each refusal says what was wanted and what came.

use crate::base::memory;
use crate::script::language::signatures::a_value_of;
use crate::script::language::{Res, candle, fail};
use crate::script::values::{Tensor, int};
use candle_core::DType;
use rhai::{Array, Dynamic, FLOAT, INT, Variant};

/// A shape: an array of sizes, none negative.
pub fn shape(op: &str, dims: &Array) -> Res<Vec<usize>> {
    dims.iter()
        .map(|d| match d.as_int() {
            Ok(n) if n >= 0 => Ok(n as usize),
            Ok(n) => Err(fail(format!("{op}: a size cannot be negative, got {n} in the shape"))),
            Err(kind) => Err(fail(format!("{op}: a shape is an array of ints, got {}", a_value_of(kind)))),
        })
        .collect()
}

/// A shape for a new tensor: one that fits in memory.
pub fn new_shape(op: &str, dims: &Array) -> Res<Vec<usize>> {
    let dims = shape(op, dims)?;
    room(op, &dims)?;
    Ok(dims)
}

/// An error unless a tensor of this shape fits in memory, twice over: numbers are drawn in f64 first.
pub fn room(op: &str, dims: &[usize]) -> Res<()> {
    let elements = dims.iter().try_fold(1u64, |n, d| n.checked_mul(*d as u64)).unwrap_or(u64::MAX);
    if elements < 1 << 20 {
        return Ok(());
    }
    let bytes = elements.saturating_mul(8);
    if memory::is_beyond(bytes) {
        let (used, limit) = (memory::in_use(), memory::limit());
        let used = if used < limit / 16 { String::new() } else { format!(" {} are in use,", memory::describe(used)) };
        return Err(fail(format!(
            "{op}: a tensor of shape {dims:?} needs up to {};{used} the limit is {}, which --max-memory raises",
            memory::describe(bytes),
            memory::describe(limit)
        )));
    }
    if elements >= 1 << 24 && elements.saturating_mul(16) > memory::available_memory() {
        return Err(fail(format!("{op}: a tensor of shape {dims:?} does not fit in memory")));
    }
    Ok(())
}

/// The dtypes by the names that scripts use.
pub fn dtype(op: &str, name: &str) -> Res<DType> {
    match name {
        "f16" => Ok(DType::F16),
        "bf16" => Ok(DType::BF16),
        "f32" => Ok(DType::F32),
        "f64" => Ok(DType::F64),
        "u8" => Ok(DType::U8),
        "u32" => Ok(DType::U32),
        "i64" => Ok(DType::I64),
        _ => Err(fail(format!("{op}: unknown dtype `{name}`; use f16, bf16, f32, f64, u8, u32 or i64"))),
    }
}

/// An axis, counted from the end if negative.
pub fn axis(op: &str, t: &Tensor, axis: INT) -> Res<usize> {
    let rank = int(t.0.rank());
    let at = if axis < 0 { axis + rank } else { axis };
    if (0..rank).contains(&at) {
        return Ok(at as usize);
    }
    Err(fail(format!("{op}: axis {axis} does not exist, the tensor has shape {:?}", t.0.dims())))
}

/// A count or an index that must not be negative.
pub fn count(op: &str, what: &str, n: INT) -> Res<usize> {
    usize::try_from(n).map_err(|_| fail(format!("{op}: {what} is {n}, it must be 0 or more")))
}

/// A number, an int taken as a float.
pub fn number(op: &str, value: &Dynamic) -> Res<FLOAT> {
    crate::script::language::options::number(value)
        .map_err(|kind| fail(format!("{op}: a number is wanted, got {}", a_value_of(kind))))
}

/// An array of numbers.
pub fn numbers(op: &str, values: &Array) -> Res<Vec<FLOAT>> {
    values.iter().map(|v| number(op, v)).collect()
}

/// An array of values of one of the host's types; `kind` is what one is called, with what helps to find one.
pub fn all_of<T: Variant + Clone>(op: &str, kind: &str, values: Array) -> Res<Vec<T>> {
    let one = |(i, value): (usize, Dynamic)| {
        let found = a_value_of(value.type_name());
        value.try_cast().ok_or_else(|| fail(format!("{op}: element {i} of the list is {found}, not {kind}")))
    };
    values.into_iter().enumerate().map(one).collect()
}

/// An array of tensors.
pub fn tensors(op: &str, values: Array) -> Res<Vec<candle_core::Tensor>> {
    values
        .into_iter()
        .map(|v| {
            let kind = a_value_of(v.type_name());
            v.try_cast::<Tensor>().map(|t| t.0).ok_or_else(|| fail(format!("{op}: tensors are wanted, got {kind}")))
        })
        .collect()
}

/// Whether nothing was given: `()`.
pub fn optional_tensor(op: &str, value: Dynamic) -> Res<Option<candle_core::Tensor>> {
    if value.is_unit() {
        return Ok(None);
    }
    let kind = a_value_of(value.type_name());
    value
        .try_cast::<Tensor>()
        .map(|t| Some(t.0))
        .ok_or_else(|| fail(format!("{op}: a tensor or () is wanted, got {kind}")))
}

/// An error where one of the numbers of a tensor is none.
pub fn finite(what: &str, tensor: &candle_core::Tensor) -> Res<()> {
    let read = || {
        let all = tensor.detach().to_dtype(DType::F64)?.flatten_all()?;
        all.to_vec1::<f64>()
    };
    let all = read().map_err(candle)?;
    match all.iter().position(|x| !x.is_finite()) {
        None => Ok(()),
        Some(at) => Err(fail(format!("{what} has {} at place {at}; finite numbers are wanted", all[at]))),
    }
}

/// Places in the data, from an array of ints.
pub fn places(op: &str, values: &Array) -> Res<Vec<u64>> {
    let place = |v: &Dynamic| v.as_int().ok().and_then(|i| u64::try_from(i).ok());
    values
        .iter()
        .map(|v| place(v).ok_or_else(|| fail(format!("{op}: places in the data are ints from 0, not {v}"))))
        .collect()
}
