//! IDX: a magic number that says the type of the numbers and how many axes there are, the length of each axis, the numbers;
//! all big-endian.

use super::{Array, Kind, Layout};
use std::io::Read;

/// What the header says; `reader` stands at the first number then.
pub fn header(reader: &mut dyn Read) -> Result<Layout, String> {
    let mut magic = [0; 4];
    reader.read_exact(&mut magic).map_err(|e| format!("no IDX file: {e}"))?;
    let kind = match magic {
        [0, 0, 8, _] => Kind::U8,
        [0, 0, 9, _] => Kind::I8,
        [0, 0, 11, _] => Kind::I16,
        [0, 0, 12, _] => Kind::I32,
        [0, 0, 13, _] => Kind::F32,
        [0, 0, 14, _] => Kind::F64,
        [0x1f, 0x8b, ..] => return Err("is a gzip file: add `.gz` to its name".into()),
        _ => return Err(format!("no IDX file: it begins with 0x{:08x}", u32::from_be_bytes(magic))),
    };
    let mut shape = vec![];
    for _ in 0..magic[3] {
        let mut side = [0; 4];
        reader.read_exact(&mut side).map_err(|e| format!("its header is cut off: {e}"))?;
        shape.push(u32::from_be_bytes(side) as usize);
    }
    Ok(Layout { kind, shape, is_big_endian: true, is_fortran: false })
}

/// The whole array.
pub fn read(reader: &mut dyn Read) -> Result<Array, String> {
    header(reader)?.read(reader)
}
