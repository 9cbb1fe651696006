//! One picture of a data set: a JPEG or PNG file of exactly the wanted size, as bytes in CHW order. A grey picture
//! becomes three equal channels where a manifest has three; beside each other in a folder without one, pictures are alike.
//!
//! The decoder fills what a JPEG lacks with grey instead of failing, so one without its end marker is refused before it is
//! decoded. Damage in the middle of a JPEG can still decode to a wrong picture.

use crate::data::error::{Error, Result};
use crate::data::file_error::FileError;
use crate::data::read::open_file;
use image::{ColorType, ImageDecoder, ImageFormat, ImageReader};
use std::io::{Cursor, Read};
use std::path::Path;

/// Longer files are none of a data set for this program.
const PICTURE_BYTES: u64 = 1 << 26;

/// Is `name` that of a picture? Hidden files are not: some systems leave such files beside each picture.
pub fn is_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    !name.starts_with('.') && [".jpeg", ".jpg", ".png"].iter().any(|end| lower.ends_with(end))
}

/// Read the picture at `path` into `image`, which has the length of `shape`, (channels, height, width).
pub fn read(path: &Path, shape: [usize; 3], image: &mut [u8]) -> Result<()> {
    let file = path.display().to_string();
    decode_into(&contents(path, &file)?, shape, &file, image)
}

/// The picture in `bytes`, which errors call `file`, into `image`.
pub fn decode_into(bytes: &[u8], shape: [usize; 3], file: &str, image: &mut [u8]) -> Result<()> {
    interleaved_to_planes(&decode(bytes, shape, file)?, shape, image);
    Ok(())
}

/// The same for a picture that must be of the shape of the one at `first`, channels included.
pub fn read_like(first: &Path, path: &Path, shape: [usize; 3], image: &mut [u8]) -> Result<()> {
    let file = path.display().to_string();
    let bytes = contents(path, &file)?;
    let found = shape_of(&open(&bytes, &file)?, &file)?;
    if found != shape {
        let of = |[channels, height, width]: [usize; 3]| {
            format!("{height}x{width} in {}", if channels == 1 { "grey" } else { "colour" })
        };
        let message = format!(
            "the picture is {}, but {} is {}; all pictures must be alike: convert one of the two",
            of(found),
            first.display(),
            of(shape)
        );
        return Err(FileError::Content { file, message }.into());
    }
    interleaved_to_planes(&decode(&bytes, shape, &file)?, shape, image);
    Ok(())
}

/// Channels, height and width of the picture at `path`.
pub fn shape(path: &Path) -> Result<[usize; 3]> {
    let file = path.display().to_string();
    shape_of(&open(&contents(path, &file)?, &file)?, &file)
}

fn shape_of(decoder: &impl ImageDecoder, file: &str) -> Result<[usize; 3]> {
    let (width, height) = decoder.dimensions();
    let channels = match decoder.color_type() {
        ColorType::L8 => 1,
        ColorType::Rgb8 => 3,
        found => return Err(colours(file, found, "grey or red, green and blue")),
    };
    if width == 0 || height == 0 {
        return Err(FileError::Content { file: file.into(), message: "the picture has no pixels".into() }.into());
    }
    Ok([channels, height as usize, width as usize])
}

fn colours(file: &str, found: ColorType, wanted: &str) -> Error {
    let message = format!("its pixels are {found:?}; expected {wanted}, 8 bits each");
    FileError::Content { file: file.into(), message }.into()
}

/// The bytes of the file at `path`, which is shown as `file`, up to one more than a picture may have.
fn contents(path: &Path, file: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut reader = open_file(path, file)?.take(PICTURE_BYTES + 1);
    reader.read_to_end(&mut bytes).map_err(|source| FileError::Io { file: file.into(), source })?;
    Ok(bytes)
}

/// The picture in `bytes`, of which only the header has been read.
fn open<'a>(bytes: &'a [u8], file: &str) -> Result<impl ImageDecoder + use<'a>> {
    let fail = |message: String| FileError::Content { file: file.into(), message };
    if bytes.is_empty() {
        return Err(FileError::Empty { file: file.into(), expected: "a JPEG or PNG picture".into() }.into());
    }
    if bytes.len() as u64 > PICTURE_BYTES {
        return Err(fail(format!("longer than {PICTURE_BYTES} bytes, the most that is read of a picture")).into());
    }
    let format = match image::guess_format(bytes) {
        Ok(format @ (ImageFormat::Jpeg | ImageFormat::Png)) => format,
        _ => return Err(fail("neither a JPEG nor a PNG picture; copy or unpack it again".into()).into()),
    };
    // The decoder would fill what is missing with grey.
    if format == ImageFormat::Jpeg && !ends(bytes) {
        let found = bytes.len();
        return Err(fail(format!("no end marker at its end, after {found} bytes: cut off, or followed by something else; copy or unpack it again")).into());
    }
    Ok(ImageReader::with_format(Cursor::new(bytes), format).into_decoder().map_err(|e| broken(file, &e))?)
}

fn broken(file: &str, error: &image::ImageError) -> FileError {
    FileError::Content { file: file.into(), message: format!("broken picture ({error}); copy or unpack it again") }
}

/// The picture's values as files hold them: all channels of the first pixel, then of the next.
fn decode(bytes: &[u8], [channels, height, width]: [usize; 3], file: &str) -> Result<Vec<u8>> {
    let decoder = open(bytes, file)?;
    // Before decoding, so that no header can make it set memory aside.
    let (found_width, found_height) = decoder.dimensions();
    if (found_height as usize, found_width as usize) != (height, width) {
        let (expected, found) = (format!("{height}x{width}"), format!("{found_height}x{found_width}"));
        return Err(FileError::ImageSize { file: file.into(), expected, found }.into());
    }
    match (decoder.color_type(), channels) {
        (ColorType::L8, _) | (ColorType::Rgb8, 3) => {}
        (found, _) => {
            return Err(colours(file, found, if channels == 3 { "grey or red, green and blue" } else { "grey" }));
        }
    }
    let mut values = vec![0; decoder.total_bytes() as usize];
    decoder.read_image(&mut values).map_err(|e| broken(file, &e))?;
    Ok(values)
}

/// Does this JPEG come to its end marker? Some programs write zeros behind it.
fn ends(bytes: &[u8]) -> bool {
    let zeros = bytes.iter().rev().take_while(|b| **b == 0).count();
    bytes[..bytes.len() - zeros].ends_with(&[0xff, 0xd9])
}

/// Channel by channel instead of pixel by pixel; one channel is repeated.
fn interleaved_to_planes(values: &[u8], [channels, height, width]: [usize; 3], image: &mut [u8]) {
    let found = values.len() / (height * width);
    for (channel, plane) in image.chunks_exact_mut(height * width).enumerate().take(channels) {
        let of_channel = values.iter().skip(channel.min(found - 1)).step_by(found);
        plane.iter_mut().zip(of_channel).for_each(|(to, from)| *to = *from);
    }
}
