//! IDX, the format of MNIST: big-endian u32 magic (0, 0, type 8 for bytes, number of dimensions), one u32 per dimension,
//! then the bytes. Images are `[n, H, W]` (with channels `[n, C, H, W]`), labels `[n]`.

use super::raw::{self, Raw};
use crate::data::error::Result;
use crate::data::file_error::FileError;
use crate::data::manifest::Manifest;
use crate::data::read::Input;

/// Read the `size` images and labels that `manifest` promises.
pub fn load(manifest: &Manifest, size: usize, images: &Input, labels: &Input) -> Result<Raw> {
    let shape = manifest.stored_shape();
    let dims = if shape[0] == 1 { &shape[1..] } else { &shape[..] };
    let image_bytes = read(images, size, dims, "IDX images")?;
    let label_bytes = read(labels, size, &[], "IDX labels")?;
    let image_header = header(images, &image_bytes, dims.len() + 1)?;
    let label_header = header(labels, &label_bytes, 1)?;

    // Counts before lengths: a file of another data set should be called that, and not "cut off".
    let (image_count, label_count) = (image_header[0], label_header[0]);
    if image_count != label_count {
        return Err(FileError::CountsDiffer {
            images: images.shown(),
            image_count,
            labels: labels.shown(),
            label_count,
            expected: size as u64,
        }
        .into());
    }
    if image_count as usize != size {
        let found = image_count.to_string();
        return Err(FileError::Count { file: images.shown(), what: "images", expected: size as u64, found }.into());
    }
    if image_header[1..].iter().zip(dims).any(|(&found, &expected)| found as usize != expected) {
        let found = image_header[1..].iter().map(|&d| d as usize).collect::<Vec<_>>();
        return Err(FileError::ImageSize { file: images.shown(), expected: by(dims), found: by(&found) }.into());
    }

    let pixels = body(images, image_bytes, dims.len() + 1, size * manifest.pixels())?;
    let scale = manifest.byte_scale();
    if let Some(at) = pixels.iter().position(|&v| v > scale) {
        let index = at / manifest.pixels();
        return Err(FileError::Pixel { file: images.shown(), index, value: pixels[at], scale }.into());
    }
    let labels_file = labels.shown();
    let stored = body(labels, label_bytes, 1, size)?.into_iter().map(i128::from);
    Ok((pixels, raw::labels(manifest, &labels_file, stored)?))
}

/// How many images `images` holds, as its header says.
pub fn count(manifest: &Manifest, images: &Input) -> Result<usize> {
    let dimensions = if manifest.shape()[0] == 1 { 3 } else { 4 };
    let length = header_length(dimensions) as u64;
    let mut start = images.read_at_most(length - 1, "an IDX file")?;
    start.truncate(length as usize);
    Ok(header(images, &start, dimensions)?[0] as usize)
}

/// The file as far as it can matter: one byte more than it should have, so that a longer one is noticed.
fn read(input: &Input, size: usize, dims: &[usize], what: &str) -> Result<Vec<u8>> {
    let length = header_length(dims.len() + 1) + size * dims.iter().product::<usize>();
    input.read_at_most(length as u64, &format!("{length} bytes of {what}"))
}

fn header_length(dimensions: usize) -> usize {
    4 + 4 * dimensions
}

/// The sizes of all dimensions.
fn header(input: &Input, bytes: &[u8], dimensions: usize) -> Result<Vec<u32>> {
    let mut words = bytes.chunks_exact(4).map(|c| u32::from_be_bytes([c[0], c[1], c[2], c[3]]));
    let expected = 0x0800 + dimensions as u32;
    match words.next() {
        Some(found) if found != expected => Err(FileError::Magic { file: input.shown(), expected, found }.into()),
        _ if bytes.len() < header_length(dimensions) => Err(FileError::CutOff {
            file: input.shown(),
            expected: header_length(dimensions) as u64,
            found: bytes.len() as u64,
            packed: input.packed(),
            enough: None,
        }
        .into()),
        _ => Ok(words.take(dimensions).collect()),
    }
}

/// The bytes after the header, which have to be exactly `length`.
fn body(input: &Input, mut bytes: Vec<u8>, dimensions: usize, length: usize) -> Result<Vec<u8>> {
    let start = header_length(dimensions);
    let (file, packed) = (input.shown(), input.packed());
    let (expected, found) = ((start + length) as u64, bytes.len() as u64);
    match found.cmp(&expected) {
        std::cmp::Ordering::Less => Err(FileError::CutOff { file, expected, found, packed, enough: None }.into()),
        std::cmp::Ordering::Greater => Err(FileError::Trailing { file, expected, found: input.size(), packed }.into()),
        std::cmp::Ordering::Equal => {
            bytes.drain(..start);
            Ok(bytes)
        }
    }
}

/// `28x28`.
fn by(dims: &[usize]) -> String {
    dims.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}
