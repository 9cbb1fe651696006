//! A sheet of samples: some images of each class, a row for each class, as a picture and as coloured blocks for a terminal

use super::error::{Error, Result};
use super::split::Split;
use candle_core::DType;
use std::path::Path;

/// Most classes that are shown.
const CLASSES: usize = 20;

/// Images side by side, as red, green and blue bytes.
pub struct Sheet {
    pub rows: usize,
    pub columns: usize,
    width: usize,
    height: usize,
    pixels: Vec<[u8; 3]>,
}

impl Sheet {
    /// The first `columns` images of each class (of the first 20 classes that have any).
    pub fn new(split: &Split, columns: usize) -> Result<Self> {
        let labels = split.labels(&(0..split.len() as u32).collect::<Vec<_>>())?.to_vec1::<u32>()?;
        let mut of_class = vec![vec![]; split.classes()];
        for (at, label) in labels.iter().enumerate() {
            let own: &mut Vec<u32> = &mut of_class[*label as usize];
            if own.len() < columns {
                own.push(at as u32);
            }
        }
        let shown: Vec<Vec<u32>> = of_class.into_iter().filter(|own| !own.is_empty()).take(CLASSES).collect();
        let [channels, h, w] = split.shape();
        // One dark pixel between images.
        let (width, height) = (columns * (w + 1) - 1, shown.len() * (h + 1) - 1);
        let mut pixels = vec![[0; 3]; width * height];
        for (row, numbers) in shown.iter().enumerate() {
            let images = split.images(numbers)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
            for (column, image) in images.chunks(channels * h * w).enumerate() {
                for (y, x) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
                    let value =
                        |c: usize| (image[(c.min(channels - 1) * h + y) * w + x].clamp(0.0, 1.0) * 255.0).round() as u8;
                    pixels[(row * (h + 1) + y) * width + column * (w + 1) + x] = [value(0), value(1), value(2)];
                }
            }
        }
        Ok(Self { rows: shown.len(), columns, width, height, pixels })
    }

    /// As a PNG file, all or nothing; small images are enlarged.
    pub fn save(&self, path: &Path) -> Result<()> {
        let fail = |e: &dyn std::fmt::Display| Error::Store {
            dataset: path.display().to_string(),
            message: format!("the sheet cannot be written: {e}"),
        };
        let scale = (800 / self.width.max(1)).clamp(1, 8);
        let (width, height) = (self.width * scale, self.height * scale);
        let bytes: Vec<u8> = (0..height)
            .flat_map(|y| (0..width).flat_map(move |x| self.pixels[y / scale * self.width + x / scale]))
            .collect();
        let image = image::RgbImage::from_raw(width as u32, height as u32, bytes).expect("three bytes for each pixel");
        let mut out = std::io::Cursor::new(vec![]);
        image.write_to(&mut out, image::ImageFormat::Png).map_err(|e| fail(&e))?;
        crate::base::files::replace(path, out.get_ref()).map_err(|e| fail(&e))
    }
}

/// The sheet in so many columns of text: two pixels above one another in each character.
pub fn blocks(sheet: &Sheet, columns: usize) -> Vec<String> {
    // Every n-th pixel where the sheet is wider than the terminal.
    let step = sheet.width.div_ceil(columns.max(1)).max(1);
    let at = |x: usize, y: usize| sheet.pixels.get(y * sheet.width + x).copied().unwrap_or_default();
    (0..sheet.height)
        .step_by(2 * step)
        .map(|y| {
            let cell = |x: usize| {
                let ([a, b, c], [d, e, f]) = (at(x, y), at(x, y + step));
                format!("\x1b[38;2;{a};{b};{c}m\x1b[48;2;{d};{e};{f}m\u{2580}")
            };
            (0..sheet.width).step_by(step).map(cell).collect::<String>() + "\x1b[0m"
        })
        .collect()
}
