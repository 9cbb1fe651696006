//! An image moved about its centre: value(p) = source(c + f(p - c)), the source read between its pixels by bilinear interpolation and zero
//! outside; turned, f is the rotation by the angle.

use candle_core::WithDType;

/// Turn `image`, of the given shape, counter-clockwise by `angle` radians.
pub(in crate::data) fn rotate<T: WithDType>(image: &mut [T], shape: [usize; 3], angle: f64) {
    let (sin, cos) = angle.sin_cos();
    // Rows count downwards, so that this is where the pixel comes from and not where it goes.
    moved(image, shape, |dy, dx| (sin * dx + cos * dy, cos * dx - sin * dy));
}

/// Each pixel of `image`, of the given shape, becomes what is at the place that `from` says, both counted from the centre, rows first.
pub(in crate::data) fn moved<T: WithDType>(
    image: &mut [T],
    [_, height, width]: [usize; 3],
    from: impl Fn(f64, f64) -> (f64, f64),
) {
    let source = image.to_vec();
    let plane = height * width;
    let (middle_y, middle_x) = ((height - 1) as f64 / 2.0, (width - 1) as f64 / 2.0);
    for y in 0..height {
        for x in 0..width {
            let (dy, dx) = from(y as f64 - middle_y, x as f64 - middle_x);
            // The same places in every channel.
            let near = neighbours((middle_y + dy, middle_x + dx), height, width);
            for (from, to) in source.chunks_exact(plane).zip(image.chunks_exact_mut(plane)) {
                let value = near.iter().flatten().map(|(at, weight)| weight * from[*at].to_f64()).sum();
                to[y * width + x] = T::from_f64(value);
            }
        }
    }
}

/// The up to four pixels around the place (y, x), with their weights.
fn neighbours((y, x): (f64, f64), height: usize, width: usize) -> [Option<(usize, f64)>; 4] {
    let (top, left) = (y.floor(), x.floor());
    let (down, right) = (y - top, x - left);
    let inside = |at: f64, length: usize| (at >= 0.0 && at < length as f64).then_some(at as usize);
    // A pixel without weight is left out, so that what is infinite or NaN there stays there.
    let pixel = |row: f64, column: f64, weight: f64| {
        let at = inside(row, height)? * width + inside(column, width)?;
        (weight > 0.0).then_some((at, weight))
    };
    [
        pixel(top, left, (1.0 - down) * (1.0 - right)),
        pixel(top, left + 1.0, (1.0 - down) * right),
        pixel(top + 1.0, left, down * (1.0 - right)),
        pixel(top + 1.0, left + 1.0, down * right),
    ]
}

#[cfg(test)]
mod tests {
    use super::rotate;
    use std::f64::consts::{FRAC_PI_2, PI};

    #[test]
    fn quarter_and_half_turns_move_whole_pixels() {
        let turned = |angle: f64| {
            let mut image = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0_f64];
            rotate(&mut image, [1, 3, 3], angle);
            image.map(|v| (v * 1e9).round() / 1e9)
        };
        assert_eq!(turned(FRAC_PI_2), [3.0, 6.0, 9.0, 2.0, 5.0, 8.0, 1.0, 4.0, 7.0], "counter-clockwise");
        assert_eq!(turned(PI), [9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]);
    }
}
