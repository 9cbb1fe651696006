//! NumPy's .npy: a header that is a Python dictionary, then the numbers, in either order of axes and of bytes.

use super::{Array, Kind, Layout};
use npyz::{DType, Endianness, NpyHeader, Order, TypeChar};
use std::io::{Cursor, Read};

/// No array of numbers has a longer header.
const HEADER: u32 = 1 << 20;

/// What the header says; `reader` stands at the first number then. A reason where it is no array of numbers.
pub fn header(reader: &mut dyn Read) -> Result<Layout, String> {
    let mut start = [0; 12];
    reader.read_exact(&mut start).map_err(|e| format!("no NumPy array: {e}"))?;
    // Version 1 has two bytes for its length, later ones four.
    let length = if start[6] == 1 { 0 } else { u32::from_le_bytes([start[8], start[9], start[10], start[11]]) };
    if length > HEADER {
        return Err(format!("its header has {length} bytes; expected at most {HEADER}"));
    }
    let header = NpyHeader::from_reader(Cursor::new(start).chain(reader)).map_err(|e| e.to_string())?;
    let other = |found: &str| format!("its numbers are {found}; expected whole or floating-point ones");
    let DType::Plain(plain) = header.dtype() else { return Err(other(&header.dtype().descr())) };
    let kind = match (plain.type_char(), plain.size_field()) {
        (TypeChar::Bool, 1) => Kind::Bool,
        (TypeChar::Uint, 1) => Kind::U8,
        (TypeChar::Uint, 2) => Kind::U16,
        (TypeChar::Uint, 4) => Kind::U32,
        (TypeChar::Uint, 8) => Kind::U64,
        (TypeChar::Int, 1) => Kind::I8,
        (TypeChar::Int, 2) => Kind::I16,
        (TypeChar::Int, 4) => Kind::I32,
        (TypeChar::Int, 8) => Kind::I64,
        (TypeChar::Float, 2) => Kind::F16,
        (TypeChar::Float, 4) => Kind::F32,
        (TypeChar::Float, 8) => Kind::F64,
        _ => return Err(other(&header.dtype().descr())),
    };
    let shape = header.shape().iter().map(|n| usize::try_from(*n).map_err(|_| format!("a side of {n}")));
    Ok(Layout {
        kind,
        shape: shape.collect::<Result<_, _>>()?,
        is_big_endian: plain.endianness() == Endianness::Big,
        is_fortran: header.order() == Order::Fortran,
    })
}

/// The whole array.
pub fn read(reader: &mut dyn Read) -> Result<Array, String> {
    header(reader)?.read(reader)
}
