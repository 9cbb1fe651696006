//! Augmentation: what training images get at random, in this order: a rotation about the centre, a crop out of the
//! image with a border of zeros around it, a reflection from left to right, random operations (RandAugment), a square of zeros
//! (cutout, DeVries and Taylor 2017). What an image gets depends on seed, pass and its index in the split and on nothing else: each image
//! has a stream of its own, so batch size, order and threads do not matter. Six numbers are drawn whatever is asked
//! for, so that the kinds do not influence each other; a new kind draws after them.

use super::rand_augment::{Operation, RandAugment, STRONGEST, apply as operate};
use super::rotate::rotate;
use crate::base::random::Generator;
use crate::data::error::{Error, Result};
use candle_core::WithDType;

/// What is done to training images. The default: nothing.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Augmentation {
    /// Zeros on each side of the image, of which a window of the image's size is cut out at a random place; 0 leaves it
    /// where it is.
    pub crop: usize,
    /// Reflect every other image, on average, from left to right.
    pub flip: bool,
    /// The side of a square of zeros around a random pixel, of which only what lies in the image counts; 0 for none.
    pub cutout: usize,
    /// Turn by a random angle of up to so many degrees either way, 0 to 180; 0 leaves the image upright.
    pub rotation: f64,
    /// Random operations of one strength.
    pub random: RandAugment,
}

impl Augmentation {
    /// Images as they are.
    pub const NONE: Self = Self { crop: 0, flip: false, cutout: 0, rotation: 0.0, random: RandAugment::NONE };

    /// Does it leave images as they are?
    pub fn is_none(&self) -> bool {
        Self { random: RandAugment { strength: 0.0, ..self.random }, ..*self } == Self::NONE
    }

    /// For people, in the order in which it is done: `rotation 15, crop 4, flip, rand_augment 2 x 9, cutout 8`; empty where nothing is done.
    pub fn describe(&self) -> String {
        let rotation = (self.rotation > 0.0).then(|| format!("rotation {}", self.rotation));
        let crop = (self.crop > 0).then(|| format!("crop {}", self.crop));
        let flip = self.flip.then(|| "flip".to_owned());
        let cutout = (self.cutout > 0).then(|| format!("cutout {}", self.cutout));
        let RandAugment { operations, strength } = self.random;
        let random = (operations > 0).then(|| format!("rand_augment {operations} x {strength}"));
        [rotation, crop, flip, random, cutout].into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// Does it leave something of images of `shape`, those that `of` names?
    pub(in crate::data) fn check(&self, of: &str, [_, height, width]: [usize; 3]) -> Result<()> {
        let most = height.min(width);
        for (option, given) in [("crop", self.crop), ("cutout", self.cutout)] {
            if given > most {
                return Err(Error::Pixels { option, of: of.into(), given, height, width, most });
            }
        }
        // Also refuses NaN.
        if !(0.0..=180.0).contains(&self.rotation) {
            return Err(Error::Rotation { given: self.rotation });
        }
        if !(0.0..=STRONGEST).contains(&self.random.strength) {
            return Err(Error::Strength { given: self.random.strength, most: STRONGEST });
        }
        Ok(())
    }

    /// What the images at `indices` get in pass `pass`.
    pub(in crate::data) fn draw(&self, seed: u64, pass: u64, indices: &[u32]) -> Vec<Draw> {
        let of_pass = Generator::stream(seed, pass).fork("augmentation");
        let draw = |index: &u32| {
            // A stream for each image, so that it does not matter who else is in the batch.
            let own = of_pass.fork(&format!("image {index}"));
            // Always the same numbers in the same order: no part of it depends on what else is asked for.
            let [row, column, side, angle, y, x] = std::array::from_fn(|_| own.unit());
            let place = |u: f64| (u * (2 * self.crop + 1) as f64) as usize;
            let RandAugment { operations, strength } = self.random;
            Draw {
                operations: (0..operations).map(|_| Operation::drawn(own.unit(), own.unit(), strength)).collect(),
                angle: (self.rotation * (2.0 * angle - 1.0)).to_radians(),
                window: Window { crop: self.crop, top: place(row), left: place(column), flip: self.flip && side < 0.5 },
                hole: Hole { side: self.cutout, y, x },
            }
        };
        indices.iter().map(draw).collect()
    }
}

/// What one image gets.
#[derive(Debug, Clone)]
pub(in crate::data) struct Draw {
    operations: Vec<Operation>,
    /// In radians.
    angle: f64,
    window: Window,
    hole: Hole,
}

impl Draw {
    /// The window's first row and column in the image with its border, and 1 where it is reflected.
    pub fn window(&self) -> [u32; 3] {
        [self.window.top as u32, self.window.left as u32, u32::from(self.window.flip)]
    }

    /// Do it to `image`, which has the given shape.
    pub fn apply<T: WithDType + Default>(&self, image: &mut [T], shape: [usize; 3]) {
        if self.angle != 0.0 {
            rotate(image, shape, self.angle);
        }
        if self.window.crop > 0 || self.window.flip {
            self.window.cut(image, shape);
        }
        if !self.operations.is_empty() {
            operate(&self.operations, image, shape);
        }
        self.hole.blank(image, shape);
    }
}

/// The part of one image that is used.
#[derive(Debug, Clone, Copy)]
struct Window {
    crop: usize,
    /// The first row and column, counted in the image with its border: 0 to twice the border.
    top: usize,
    left: usize,
    flip: bool,
}

impl Window {
    /// Replace `image`, of the given shape, by what is in the window.
    fn cut<T: Copy + Default>(&self, image: &mut [T], [_, height, width]: [usize; 3]) {
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

/// A square of zeros.
#[derive(Debug, Clone, Copy)]
struct Hole {
    side: usize,
    /// Where its centre is, in parts of the image's height and width, [0, 1).
    y: f64,
    x: f64,
}

impl Hole {
    /// Put it into `image`, of the given shape, in every channel.
    fn blank<T: Copy + Default>(&self, image: &mut [T], [_, height, width]: [usize; 3]) {
        // Of an even side there are as many pixels before the centre as from it on.
        let span = |part: f64, length: usize| {
            let start = (part * length as f64) as usize + length;
            let clip = |at: usize| at.saturating_sub(self.side / 2 + length).min(length);
            clip(start)..clip(start + self.side)
        };
        let (rows, columns) = (span(self.y, height), span(self.x, width));
        for plane in image.chunks_exact_mut(height * width) {
            for row in plane.chunks_exact_mut(width).take(rows.end).skip(rows.start) {
                row[columns.clone()].fill(T::default());
            }
        }
    }
}
