//! RandAugment (Cubuk, Zoph, Shlens and Le 2020): so many operations, each drawn from a list with equal odds, all of one strength m from
//! 0 to 30. Images are held to [0, 1].
//!
//! ```text
//! identity
//! shear along x, y        by 0.3 m/30             brightness, colour, contrast,     away from nothing, grey, the mean, the smoothed
//! translate along x, y    by 150/331 m/30         sharpness                         image, by the factor 1 +- 0.9 m/30
//! rotate                  by 30 m/30 degrees      posterise                         to 8 - m/7.5 bits, rounded
//! auto-contrast, equalise                         solarise                          inverted from 1 - m/30 on
//! ```
//!
//! Ranges are torchvision's, and so is what happens to the values of an image; where pixels move they are read between their neighbours,
//! with zeros outside. A sign is drawn for each operation that has one.

use super::rotate::moved;
use candle_core::WithDType;

/// How many operations, and how strong they are.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RandAugment {
    /// 0 for none.
    pub operations: usize,
    /// 0 to 30.
    pub strength: f64,
}

impl RandAugment {
    /// No operations.
    pub const NONE: Self = Self { operations: 0, strength: 0.0 };
}

/// The greatest strength.
pub const STRONGEST: f64 = 30.0;

/// One operation as it was drawn: its number, its share of the greatest strength, its sign.
#[derive(Debug, Clone, Copy)]
pub(in crate::data) struct Operation {
    number: usize,
    share: f64,
    sign: f64,
}

/// Of the list above.
const COUNT: usize = 14;

impl Operation {
    /// From two numbers of [0, 1).
    pub fn drawn(kind: f64, side: f64, strength: f64) -> Self {
        let sign = if side < 0.5 { -1.0 } else { 1.0 };
        Self { number: (kind * COUNT as f64) as usize, share: strength / STRONGEST, sign }
    }

    /// Do it to `image`, of the given shape.
    fn apply(&self, image: &mut [f64], shape @ [channels, height, width]: [usize; 3]) {
        let (by, factor) = (self.sign * self.share, 1.0 + 0.9 * self.sign * self.share);
        let plane = height * width;
        match self.number {
            0 => {}
            1 => moved(image, shape, |dy, dx| (dy, dx + 0.3 * by * dy)),
            2 => moved(image, shape, |dy, dx| (dy + 0.3 * by * dx, dx)),
            3 => moved(image, shape, |dy, dx| (dy, dx - 150.0 / 331.0 * by * width as f64)),
            4 => moved(image, shape, |dy, dx| (dy - 150.0 / 331.0 * by * height as f64, dx)),
            5 => {
                let (sin, cos) = (30.0 * by).to_radians().sin_cos();
                moved(image, shape, |dy, dx| (sin * dx + cos * dy, cos * dx - sin * dy));
            }
            6 => blend(image, |_| 0.0, factor),
            7 if channels == 3 => {
                let grey = grey(image, shape);
                blend(image, |at| grey[at % plane], factor);
            }
            7 => {}
            8 => {
                let grey = grey(image, shape);
                let mean = grey.iter().sum::<f64>() / grey.len() as f64;
                blend(image, |_| mean, factor);
            }
            9 => {
                let smooth = smoothed(image, shape);
                blend(image, |at| smooth[at], factor);
            }
            10 => {
                let levels = 2f64.powf(8.0 - (self.share * STRONGEST / 7.5).round());
                image.iter_mut().for_each(|v| *v = (*v * levels).floor().clamp(0.0, levels - 1.0) / levels);
            }
            11 => image.iter_mut().filter(|v| **v >= 1.0 - self.share).for_each(|v| *v = 1.0 - *v),
            12 => image.chunks_exact_mut(plane).for_each(stretch),
            _ => image.chunks_exact_mut(plane).for_each(equalise),
        }
    }
}

/// Do `operations` to `image`, of the given shape, one after the other; it is rounded once.
pub(in crate::data) fn apply<T: WithDType>(operations: &[Operation], image: &mut [T], shape: [usize; 3]) {
    let mut wide: Vec<f64> = image.iter().map(|v| v.to_f64().clamp(0.0, 1.0)).collect();
    operations.iter().for_each(|operation| operation.apply(&mut wide, shape));
    image.iter_mut().zip(wide).for_each(|(to, v)| *to = T::from_f64(v));
}

/// `other + factor (image - other)`, held to [0, 1].
fn blend(image: &mut [f64], other: impl Fn(usize) -> f64, factor: f64) {
    for (at, v) in image.iter_mut().enumerate() {
        *v = (factor * *v + (1.0 - factor) * other(at)).clamp(0.0, 1.0);
    }
}

/// Luma of a colour image, the mean of the channels of any other: one number for each pixel.
fn grey(image: &[f64], [channels, height, width]: [usize; 3]) -> Vec<f64> {
    let weights = if channels == 3 { vec![0.2989, 0.587, 0.114] } else { vec![1.0 / channels as f64; channels] };
    let of = |at: usize| weights.iter().enumerate().map(|(c, w)| w * image[c * height * width + at]).sum();
    (0..height * width).map(of).collect()
}

/// Each pixel with its eight neighbours, five times as heavy as one of these; at the border as it is.
fn smoothed(image: &[f64], [_, height, width]: [usize; 3]) -> Vec<f64> {
    let mut smooth = image.to_vec();
    for (from, to) in image.chunks_exact(height * width).zip(smooth.chunks_exact_mut(height * width)) {
        for y in 1..height.saturating_sub(1) {
            for x in 1..width.saturating_sub(1) {
                let row = |y: usize| from[y * width + x - 1] + from[y * width + x] + from[y * width + x + 1];
                to[y * width + x] = (row(y - 1) + row(y) + row(y + 1) + 4.0 * from[y * width + x]) / 13.0;
            }
        }
    }
    smooth
}

/// From the least value to 0 and the largest to 1; a constant channel stays.
fn stretch(channel: &mut [f64]) {
    let (least, most) = channel.iter().fold((1.0, 0.0), |(l, m): (f64, f64), v| (l.min(*v), m.max(*v)));
    if most > least {
        channel.iter_mut().for_each(|v| *v = (*v - least) / (most - least));
    }
}

/// The 256 values of a channel spread so that each is as frequent as the others, as nearly as their order allows.
fn equalise(channel: &mut [f64]) {
    let byte = |v: f64| ((v * 255.999) as usize).min(255);
    let mut counts = [0usize; 256];
    channel.iter().for_each(|v| counts[byte(*v)] += 1);
    let last = counts.iter().rev().find(|n| **n > 0).copied().unwrap_or(0);
    let step = (channel.len() - last) / 255;
    // Fewer pixels than values, or one value alone.
    if step == 0 {
        return;
    }
    let mut below = step / 2;
    let table = counts.map(|n| {
        let value = (below / step).min(255);
        below += n;
        value as f64 / 255.0
    });
    channel.iter_mut().for_each(|v| *v = table[byte(*v)]);
}

#[cfg(test)]
mod tests {
    use super::{Operation, apply};
    use candle_core::{Device, Tensor};

    /// What torchvision makes of the same image (`tests/cases/rand_augment.py`), for the operations that change values alone.
    #[test]
    fn values_are_those_of_torchvision() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/rand_augment.safetensors");
        let all = candle_core::safetensors::load(path, &Device::Cpu).expect("the case");
        let numbers = |t: &Tensor| t.flatten_all().and_then(|t| t.to_vec1::<f64>()).expect("numbers");
        let mut tried = 0;
        for (name, wanted) in &all {
            let [image, number, sign] = name.split('/').collect::<Vec<_>>()[..] else { continue };
            let source = &all[image];
            let shape = source.dims3().map(|(c, h, w)| [c, h, w]).expect("an image");
            let operation = Operation {
                number: number.parse().expect("a number"),
                share: 0.6,
                sign: sign.parse().expect("a sign"),
            };
            let mut found = numbers(source);
            apply(&[operation], &mut found, shape);
            let gap = found.iter().zip(numbers(wanted)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(gap < 1e-12, "{name}: off by {gap}");
            tried += usize::from(found != numbers(source));
        }
        assert!(tried >= 20, "{tried}");
    }

    /// A shear moves rows against each other, a translation the image, each by whole pixels here.
    #[test]
    fn pixels_move_by_what_is_said() {
        let done = |number: usize, share: f64, sign: f64, image: &[f64], shape: [usize; 3]| {
            let mut image = image.to_vec();
            apply(&[Operation { number, share, sign }], &mut image, shape);
            image.iter().map(|v| (v * 1e9).round() / 1e9).collect::<Vec<_>>()
        };
        let image: Vec<f64> = (1..=9).map(|v| f64::from(v) / 10.0).collect();
        // 0.3 of a row each: ten thirds of the share shift the outer rows by one pixel.
        let sheared = done(1, 1.0 / 0.3, 1.0, &image, [1, 3, 3]);
        assert_eq!(sheared, [0.0, 0.1, 0.2, 0.4, 0.5, 0.6, 0.8, 0.9, 0.0]);
        assert_eq!(done(2, 1.0 / 0.3, 1.0, &image, [1, 3, 3]), [0.0, 0.2, 0.6, 0.1, 0.5, 0.9, 0.4, 0.8, 0.0]);
        let one = 331.0 / 150.0 / 3.0;
        assert_eq!(done(3, one, 1.0, &image, [1, 3, 3]), [0.0, 0.1, 0.2, 0.0, 0.4, 0.5, 0.0, 0.7, 0.8]);
        assert_eq!(done(4, one, -1.0, &image, [1, 3, 3]), [0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.0, 0.0, 0.0]);
        assert_eq!(
            done(5, 3.0, 1.0, &image, [1, 3, 3]),
            [0.3, 0.6, 0.9, 0.2, 0.5, 0.8, 0.1, 0.4, 0.7],
            "a quarter turn"
        );
        assert_eq!(done(0, 1.0, 1.0, &image, [1, 3, 3]), image);
    }
}
