//! Augmentation: a random crop out of the image with a border of zeros around it, and a random reflection from left to
//! right. What an image gets depends on seed, pass and its index in the split and on nothing else.

use super::error::{Error, Result};
use crate::compute::random::Generator;

/// What is done to training images. The default: nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Augmentation {
    /// Zeros on each side of the image, of which a window of the image's size is cut out at a random place; 0 leaves it
    /// where it is.
    pub crop: usize,
    /// Reflect every other image, on average, from left to right.
    pub flip: bool,
}

impl Augmentation {
    /// Does it leave images as they are?
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// For people: `crop 4, flip`; empty where nothing is done.
    pub fn describe(&self) -> String {
        let crop = (self.crop > 0).then(|| format!("crop {}", self.crop));
        let flip = self.flip.then(|| "flip".to_owned());
        crop.into_iter().chain(flip).collect::<Vec<_>>().join(", ")
    }

    /// Does it leave something of images of `shape`, those that `of` names?
    pub(super) fn check(&self, of: &str, [_, height, width]: [usize; 3]) -> Result<()> {
        if self.crop <= height.min(width) {
            return Ok(());
        }
        Err(Error::Crop { of: of.into(), crop: self.crop, height, width })
    }

    /// The windows of the images at `indices` in pass `pass`.
    pub(super) fn windows(&self, seed: u64, pass: u64, indices: &[u32]) -> Vec<Window> {
        let of_pass = Generator::stream(seed, pass).fork("augmentation");
        let window = |index: &u32| {
            // A stream for each image, so that it does not matter who else is in the batch.
            let own = of_pass.fork(&format!("image {index}"));
            // Always three numbers in the same order: the crop does not depend on whether there are reflections.
            let (row, column, side) = (own.unit(), own.unit(), own.unit());
            let place = |u: f64| (u * (2 * self.crop + 1) as f64) as usize;
            Window { crop: self.crop, top: place(row), left: place(column), flip: self.flip && side < 0.5 }
        };
        indices.iter().map(window).collect()
    }
}

/// The part of one image that is used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    crop: usize,
    /// The first row and column, counted in the image with its border: 0 to twice the border.
    top: usize,
    left: usize,
    flip: bool,
}

impl Window {
    /// Replace `image`, of the given shape, by what is in the window.
    pub fn cut<T: Copy + Default>(&self, image: &mut [T], [_, height, width]: [usize; 3]) {
        let source = image.to_vec();
        for (plane, to) in image.chunks_exact_mut(height * width).enumerate() {
            let from = &source[plane * height * width..][..height * width];
            for (y, row) in to.chunks_exact_mut(width).enumerate() {
                row.fill(T::default());
                // The row of the image that this one shows, unless it is in the border above or below.
                if let Some(y) = (y + self.top).checked_sub(self.crop).filter(|y| *y < height) {
                    self.cut_row(&from[y * width..][..width], row);
                }
                if self.flip {
                    row.reverse();
                }
            }
        }
    }

    /// The columns that the window and the row share; the rest of `to` is left.
    fn cut_row<T: Copy>(&self, from: &[T], to: &mut [T]) {
        let shared = from.len().saturating_sub(self.left.abs_diff(self.crop));
        let (first, at) = (self.left.saturating_sub(self.crop), self.crop.saturating_sub(self.left));
        if shared > 0 {
            to[at..at + shared].copy_from_slice(&from[first..first + shared]);
        }
    }
}
