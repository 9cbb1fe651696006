//! NumPy arrays: images as bytes in one array, labels as whole numbers in another; each a `.npy` file, or both named members
//! of one `.npz` file
//!
//! Images are [n, C, H, W], [n, H, W, C] or, with one channel, [n, H, W]. An array's shape is compared with what is wanted
//! before any of its values are read.

use super::check_labels;
use super::raw::Raw;
use crate::data::error::Result;
use crate::data::file_error::FileError;
use crate::data::manifest::Manifest;
use crate::data::read::{Input, open_file};
use npyz::{DType, NpyFile, TypeChar};
use std::io::{BufReader, Read};
use zip::ZipArchive;

/// Where an array is: a file of its own, or a member of an archive.
pub enum Array<'a> {
    File(&'a Input),
    Member(&'a Input, &'a str),
}

impl Array<'_> {
    fn shown(&self) -> String {
        match self {
            Self::File(input) => input.shown(),
            Self::Member(input, name) => format!("{}, array {name}", input.shown()),
        }
    }

    fn fail(&self, message: impl Into<String>) -> FileError {
        FileError::Content { file: self.shown(), message: message.into() }
    }

    fn broken(&self, e: impl std::fmt::Display) -> FileError {
        self.fail(format!("broken NumPy array ({e}); copy it again"))
    }

    /// Is this its end? Packed files tell only there whether their checksum is right.
    fn check_end(&self, reader: &mut dyn Read) -> Result<()> {
        match reader.read(&mut [0]).map_err(|e| self.broken(e))? {
            0 => Ok(()),
            _ => Err(self.broken("more follows than its header says").into()),
        }
    }

    /// Calls `work` with the array's reader.
    fn open<R>(&self, work: impl FnOnce(&mut dyn Read) -> Result<R>) -> Result<R> {
        match self {
            Self::File(input) => work(&mut BufReader::new(input.open()?)),
            Self::Member(input, name) => {
                let path = input.unpacked_path()?;
                let file = BufReader::new(open_file(path, &input.shown())?);
                let mut archive = ZipArchive::new(file).map_err(|e| self.broken(e))?;
                let known: Vec<String> =
                    archive.file_names().flatten().map(|n| n.trim_end_matches(".npy").to_owned()).collect();
                let Ok(mut member) = archive.by_name(&format!("{name}.npy")) else {
                    return Err(self.fail(format!("is not there; the file holds {}", known.join(", "))).into());
                };
                work(&mut member)
            }
        }
    }
}

/// Read the `size` images and labels that `manifest` promises.
pub fn load(manifest: &Manifest, size: usize, images: &Array, labels: &Array) -> Result<Raw> {
    let ([c, h, w], scale) = (manifest.shape(), manifest.scale.get());
    let (planes, pixels) = images.open(|reader| {
        let array = NpyFile::new(&mut *reader).map_err(|e| images.broken(e))?;
        let shape: Vec<u64> = array.shape().to_vec();
        let is = |wanted: &[usize]| shape.iter().map(|n| *n as usize).eq(wanted.iter().copied());
        let planes = is(&[size, c, h, w]) || c == 1 && is(&[size, h, w]);
        if !planes && !is(&[size, h, w, c]) {
            return Err(images.fail(format!("its shape is {shape:?}; expected {:?}", [size, c, h, w])).into());
        }
        check_order(images, &array)?;
        match kind(&array) {
            Some((TypeChar::Uint, 1)) => {}
            _ => return Err(images.fail(format!("its numbers are {}; expected uint8", shown(&array))).into()),
        }
        let values: Vec<u8> = array.into_vec().map_err(|e| images.broken(e))?;
        images.check_end(reader)?;
        Ok((planes, values))
    })?;
    if let Some(at) = pixels.iter().position(|v| *v > scale) {
        let index = at / manifest.pixels();
        return Err(FileError::Pixel { file: images.shown(), index, value: pixels[at], scale }.into());
    }
    let pixels = if planes { pixels } else { to_planes(&pixels, [c, h, w]) };
    let labels_read = labels.open(|reader| whole_numbers(labels, reader, size))?;
    check_labels(&labels.shown(), &labels_read, manifest.classes.get())?;
    Ok((pixels, labels_read))
}

fn kind<R: Read>(array: &NpyFile<R>) -> Option<(TypeChar, u64)> {
    match array.dtype() {
        DType::Plain(plain) => Some((plain.type_char(), plain.size_field())),
        _ => None,
    }
}

fn shown<R: Read>(array: &NpyFile<R>) -> String {
    array.dtype().descr()
}

fn check_order<R: Read>(of: &Array, array: &NpyFile<R>) -> Result<()> {
    if array.order() == npyz::Order::C || array.shape().len() < 2 {
        return Ok(());
    }
    Err(of.fail("is in Fortran order; save it with numpy.ascontiguousarray").into())
}

/// Labels of any whole-number type.
fn whole_numbers(of: &Array, reader: &mut dyn Read, size: usize) -> Result<Vec<u32>> {
    let array = NpyFile::new(&mut *reader).map_err(|e| of.broken(e))?;
    if array.shape() != [size as u64] {
        return Err(of.fail(format!("its shape is {:?}; expected [{size}]", array.shape())).into());
    }
    let other = of.fail(format!("its numbers are {}; expected whole numbers", shown(&array)));
    macro_rules! read {
        ($number:ty) => {
            array.into_vec::<$number>().map_err(|e| of.broken(e))?.into_iter().map(i128::from).collect::<Vec<i128>>()
        };
    }
    let wide = match kind(&array) {
        Some((TypeChar::Uint, 1)) => read!(u8),
        Some((TypeChar::Uint, 2)) => read!(u16),
        Some((TypeChar::Uint, 4)) => read!(u32),
        Some((TypeChar::Uint, 8)) => read!(u64),
        Some((TypeChar::Int, 1)) => read!(i8),
        Some((TypeChar::Int, 2)) => read!(i16),
        Some((TypeChar::Int, 4)) => read!(i32),
        Some((TypeChar::Int, 8)) => read!(i64),
        _ => return Err(other.into()),
    };
    of.check_end(reader)?;
    let label = |(at, value): (usize, i128)| {
        u32::try_from(value).map_err(|_| of.fail(format!("label {at} (counted from 0) is {value}")).into())
    };
    wide.into_iter().enumerate().map(label).collect()
}

/// Channel by channel instead of pixel by pixel.
fn to_planes(values: &[u8], [c, h, w]: [usize; 3]) -> Vec<u8> {
    let area = h * w;
    let image = |image: &[u8]| (0..c * area).map(|at| image[at % area * c + at / area]).collect::<Vec<u8>>();
    values.chunks(c * area).flat_map(image).collect()
}
