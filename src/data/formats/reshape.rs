//! From a picture as it is to one as it is wanted: turned, laid over a colour, rounded to 8 bits, made grey or colour, brought to a
//! size; in this order. Scaling is linear and takes in all pixels that a new one covers.

use crate::data::manifest::{Fit, Pictures};
use image::imageops::{self, FilterType};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, RgbImage, RgbaImage};

/// How the camera was held, where the file says so.
pub fn orientation(decoder: &mut impl ImageDecoder) -> Option<Orientation> {
    decoder.orientation().ok().filter(|o| *o != Orientation::NoTransforms)
}

/// Do height and width change places when it is turned?
pub fn is_on_its_side(decoder: &mut impl ImageDecoder) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(orientation(decoder), Some(Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH))
}

/// The values of `picture` in `channels`, 1 or 3, pixel by pixel, of the wanted height and width.
pub fn bytes(
    picture: &DynamicImage,
    look: &Pictures,
    channels: usize,
    (height, width): (usize, usize),
) -> Result<Vec<u8>, String> {
    let size = (width as u32, height as u32);
    let [r, g, b] = look.background.unwrap_or_default();
    let is_colour = picture.color().has_color() || picture.color().has_alpha() && (r != g || g != b);
    let colour = over(picture, look.background.unwrap_or_default());
    let fitted = match look.fit {
        Some(fit) if colour.dimensions() != size => fitted(&colour, fit, size, look.background.unwrap_or_default())?,
        _ => colour,
    };
    Ok(if channels == 1 {
        match is_colour {
            true => DynamicImage::ImageRgb8(fitted).into_luma8().into_raw(),
            // Three equal channels, of which one is enough.
            false => fitted.pixels().map(|p| p.0[0]).collect(),
        }
    } else {
        fitted.into_raw()
    })
}

/// Red, green and blue of 8 bits, transparent pixels over `background`.
fn over(picture: &DynamicImage, background: [u8; 3]) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.to_rgb8();
    }
    let picture: RgbaImage = picture.to_rgba8();
    let mut out = RgbImage::new(picture.width(), picture.height());
    for (to, from) in out.pixels_mut().zip(picture.pixels()) {
        let [.., alpha] = from.0;
        for (c, to) in to.0.iter_mut().enumerate() {
            let (alpha, from, back) = (u32::from(alpha), u32::from(from.0[c]), u32::from(background[c]));
            // Rounded to the nearest.
            *to = ((from * alpha + back * (255 - alpha) + 127) / 255) as u8;
        }
    }
    out
}

fn fitted(picture: &RgbImage, fit: Fit, (width, height): (u32, u32), background: [u8; 3]) -> Result<RgbImage, String> {
    let (w, h) = picture.dimensions();
    let scaled = |picture: &RgbImage, w: u32, h: u32| imageops::resize(picture, w, h, FilterType::Triangle);
    // `side` times `to / from`, rounded, from 1 to `most`.
    let by = |side: u32, to: u32, from: u32, most: u32| {
        let exact = (u64::from(side) * u64::from(to) + u64::from(from) / 2) / u64::from(from);
        exact.clamp(1, u64::from(most)) as u32
    };
    let middle = |width: u32, height: u32| {
        imageops::crop_imm(picture, (w - width) / 2, (h - height) / 2, width, height).to_image()
    };
    // Is it wider than what is wanted?
    let is_wider = u64::from(w) * u64::from(height) > u64::from(width) * u64::from(h);
    match fit {
        Fit::Stretch => Ok(scaled(picture, width, height)),
        Fit::Center if w < width || h < height => Err(format!(
            "the picture is {h}x{w}, smaller than {height}x{width}, which is to be cut out of it; `fit: crop` scales it first"
        )),
        Fit::Center => Ok(middle(width, height)),
        Fit::Crop => {
            // Cut out first: a picture of any proportions takes no more room than it has.
            let (w, h) = if is_wider { (by(h, width, height, w), h) } else { (w, by(w, height, width, h)) };
            Ok(scaled(&middle(w, h), width, height))
        }
        Fit::Pad => {
            let (w, h) = if is_wider { (width, by(h, width, w, height)) } else { (by(w, height, h, width), height) };
            let mut out = RgbImage::from_pixel(width, height, image::Rgb(background));
            imageops::replace(&mut out, &scaled(picture, w, h), ((width - w) / 2).into(), ((height - h) / 2).into());
            Ok(out)
        }
    }
}
