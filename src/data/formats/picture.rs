//! One picture of a data set: a JPEG, PNG, BMP or WebP file of exactly the wanted size, as bytes in CHW order, or one that is made
//! so by what was asked for (`reshape`). A grey picture becomes three equal channels where a manifest has three; beside each other
//! in a folder without one, pictures are alike.
//!
//! The decoder fills what a JPEG lacks with grey instead of failing, so one without its end marker is refused before it is
//! decoded. Damage in the middle of a JPEG can still decode to a wrong picture.

use super::reshape;
use crate::data::error::{Error, Result};
use crate::data::file_error::FileError;
use crate::data::manifest::Pictures;
use crate::data::read::open_file;
use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader};
use std::io::{Cursor, Read};
use std::path::Path;

/// Longer files are none of a data set for this program.
const PICTURE_BYTES: u64 = 1 << 26;
/// Larger pictures are not scaled down, since they would have to be held first.
const PIXELS: u64 = 1 << 26;

/// Is `name` that of a picture? Hidden files are not: some systems leave such files beside each picture.
pub fn is_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    !name.starts_with('.') && [".jpeg", ".jpg", ".png", ".bmp", ".webp"].iter().any(|end| lower.ends_with(end))
}

/// Read the picture at `path` into `image`, which has the length of `shape`, (channels, height, width).
pub fn read(path: &Path, shape: [usize; 3], look: &Pictures, image: &mut [u8]) -> Result<()> {
    let file = path.display().to_string();
    decode_into(&contents(path, &file)?, shape, look, &file, image)
}

/// The picture in `bytes`, which errors call `file`, into `image`.
pub fn decode_into(bytes: &[u8], shape: [usize; 3], look: &Pictures, file: &str, image: &mut [u8]) -> Result<()> {
    interleaved_to_planes(&decode(bytes, shape, look, file)?, shape, image);
    Ok(())
}

/// The same for a picture that must be of the shape of the one at `first`, channels included, but for what `look` makes alike.
pub fn read_like(first: &Path, path: &Path, shape: [usize; 3], look: &Pictures, image: &mut [u8]) -> Result<()> {
    let file = path.display().to_string();
    let bytes = contents(path, &file)?;
    let found = shape_of(&mut open(&bytes, &file)?, look, &file)?;
    let sizes_differ = look.fit.is_none() && found[1..] != shape[1..];
    let channels_differ = look.channels.is_none() && found[0] != shape[0];
    if sizes_differ || channels_differ {
        let of = |[channels, height, width]: [usize; 3]| {
            format!("{height}x{width} in {}", if channels == 1 { "grey" } else { "colour" })
        };
        let ways = [
            sizes_differ.then_some("`size: [32, 32]` scales all to one size"),
            channels_differ.then_some("`channels: 1` or `3` makes all grey or colour"),
        ];
        let message = format!(
            "the picture is {}, but {} is {}; all pictures must be alike: convert one of the two, or give an option: {}",
            of(found),
            first.display(),
            of(shape),
            ways.into_iter().flatten().collect::<Vec<_>>().join(", ")
        );
        return Err(FileError::Content { file, message }.into());
    }
    interleaved_to_planes(&decode(&bytes, shape, look, &file)?, shape, image);
    Ok(())
}

/// Channels, height and width of the picture at `path`, after what `look` does to it, but for the size.
pub fn shape(path: &Path, look: &Pictures) -> Result<[usize; 3]> {
    let file = path.display().to_string();
    let [channels, height, width] = shape_of(&mut open(&contents(path, &file)?, &file)?, look, &file)?;
    Ok([look.channels.unwrap_or(channels), height, width])
}

fn shape_of(decoder: &mut impl ImageDecoder, look: &Pictures, file: &str) -> Result<[usize; 3]> {
    let (width, height) = decoder.dimensions();
    let channels = if channels(decoder.color_type(), look, file)? < 3 { 1 } else { 3 };
    if width == 0 || height == 0 {
        return Err(FileError::Content { file: file.into(), message: "the picture has no pixels".into() }.into());
    }
    let is_turned = look.exif && reshape::is_on_its_side(decoder);
    let (height, width) = if is_turned { (width, height) } else { (height, width) };
    Ok([channels, height as usize, width as usize])
}

/// The channels of a picture in `found`, which has to be something that `look` can make bytes of.
fn channels(found: ColorType, look: &Pictures, file: &str) -> Result<u8> {
    let fail = |way_out: &str| {
        let message = format!(
            "its pixels are {found:?}; expected grey or red, green and blue, 8 bits each: convert it, or give {way_out}"
        );
        Err(FileError::Content { file: file.into(), message }.into())
    };
    let is_deep = !matches!(found, ColorType::L8 | ColorType::La8 | ColorType::Rgb8 | ColorType::Rgba8);
    if is_deep && look.depth.is_none() {
        return fail("`depth: 8`, to which its bits are rounded");
    }
    if found.has_alpha() && look.background.is_none() {
        return fail("`background: 255` or `[255, 255, 255]`, the colour that transparent pixels are laid over");
    }
    Ok(found.channel_count())
}

fn colours(file: &str, found: ColorType, wanted: &str) -> Error {
    let message = format!("its pixels are {found:?}; expected {wanted}, 8 bits each; `channels: 1` makes colour grey");
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
        Ok(format @ (ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::Bmp | ImageFormat::WebP)) => format,
        _ => return Err(fail("neither a JPEG nor a PNG, BMP or WebP picture; copy or unpack it again".into()).into()),
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
fn decode(bytes: &[u8], [wanted, height, width]: [usize; 3], look: &Pictures, file: &str) -> Result<Vec<u8>> {
    let mut decoder = open(bytes, file)?;
    // Before decoding, so that no header can make it set memory aside.
    let [_, found_height, found_width] = shape_of(&mut decoder, look, file)?;
    if look.fit.is_none() && (found_height, found_width) != (height, width) {
        let (expected, found) = (format!("{height}x{width}"), format!("{found_height}x{found_width}"));
        return Err(FileError::ImageSize { file: file.into(), expected, found }.into());
    }
    if found_height as u64 * found_width as u64 > PIXELS {
        let message = format!("{found_height}x{found_width} pixels; expected at most {PIXELS}: make it smaller");
        return Err(FileError::Content { file: file.into(), message }.into());
    }
    let found = decoder.color_type();
    if wanted == 1 && found.has_color() && look.channels.is_none() {
        return Err(colours(file, found, "grey"));
    }
    // The common case without a detour.
    if matches!(found, ColorType::L8 | ColorType::Rgb8) && look.is_nothing_to_do(found.has_color(), wanted) {
        let mut values = vec![0; decoder.total_bytes() as usize];
        decoder.read_image(&mut values).map_err(|e| broken(file, &e))?;
        return Ok(values);
    }
    let turned = if look.exif { reshape::orientation(&mut decoder) } else { None };
    let mut picture = DynamicImage::from_decoder(decoder).map_err(|e| broken(file, &e))?;
    if let Some(turned) = turned {
        picture.apply_orientation(turned);
    }
    let fail = |message| FileError::Content { file: file.into(), message };
    Ok(reshape::bytes(&picture, look, wanted, (height, width)).map_err(fail)?)
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
