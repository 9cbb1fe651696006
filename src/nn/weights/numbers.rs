//! Numbers on their way into a network: finite, of its type and in the shape that is wanted.

use super::names;
use candle_core::{DType, Error, Result, Tensor};

/// Numbers of a file that the network's number type does not hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Rounded {
    pub source: String,
    pub from: DType,
    pub to: DType,
    /// How many of them.
    pub rounded: usize,
}

impl std::fmt::Display for Rounded {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let Self { source, from, to, rounded } = self;
        let (from, to) = (from.as_str(), to.as_str());
        write!(
            f,
            "{source} holds numbers in {from}, of which {rounded} are rounded to the network's {to}: it is not the network of the file. \
             Build it with dtype: \"{from}\" to keep them"
        )
    }
}

/// `tensor`, whose numbers are finite, in another type, and how many of its numbers are not the same there. One that would be
/// infinite is an error.
pub fn narrowed(op: &str, name: &str, tensor: &Tensor, dtype: DType) -> Result<(Tensor, usize)> {
    let value = tensor.to_dtype(dtype)?;
    // f32 holds every number of the half types, f64 every one of f32.
    if !(tensor.dtype() == DType::F64 && dtype == DType::F32) {
        return Ok((value, 0));
    }
    let numbers = |t: &Tensor| t.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    let (before, after) = (numbers(tensor)?, numbers(&value)?);
    if let Some(at) = after.iter().position(|v| !v.is_finite()) {
        return Err(Error::Msg(format!(
            "{op}: `{name}` holds {:e} at element {at} of {}, beyond the largest number of f32; keep the network in f64, with \
             dtype: \"f64\"",
            before[at],
            before.len()
        )));
    }
    Ok((value, before.iter().zip(&after).filter(|(before, after)| before != after).count()))
}

/// The tensor in the shape that is wanted: a mean or deviation may have axes of length 1 besides, or be one number for all channels.
pub fn shaped(op: &str, name: &str, t: &Tensor, dims: &[usize]) -> Result<Tensor> {
    if t.dims() == dims {
        return Ok(t.clone());
    }
    match names::split(name).1 {
        "mean" | "std" if t.elem_count() == 1 => t.reshape(vec![1; dims.len()])?.broadcast_as(dims)?.contiguous(),
        "mean" | "std" if t.dims().iter().filter(|n| **n != 1).eq(dims.iter().filter(|n| **n != 1)) => t.reshape(dims),
        _ => Err(Error::Msg(format!(
            "{op} does not fit the network: `{name}` is {:?}, the network wants {dims:?}",
            t.dims()
        ))),
    }
}

/// An error that names the first number that is none.
pub fn check_finite(op: &str, name: &str, tensor: &Tensor) -> Result<()> {
    let values = tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(at) => Err(Error::Msg(format!(
            "{op}: `{name}` holds {} at element {at} of {}; the weights are unusable",
            values[at],
            values.len()
        ))),
    }
}
