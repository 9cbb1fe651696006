//! The CPU form of the convolutions for every number type, shape and processor: per-image im2col over `gemm`, images in
//! parallel.
//!
//! ```text
//! col[i k, p] = x[i, stride p + k - padding]       one row per input channel and tap, one column per output position
//! y = w col           x = col2im(w^T y)           w += y col^T
//! ```
//!
//! One image's column matrix stays in a core's cache. Sums run in an order that does not depend on the number of threads.

use super::Geometry;
use crate::compute::element::Element;
use gemm::Parallelism;
use rayon::prelude::*;

/// Images whose kernel gradients are summed by one task: a fixed number, so that the order of the sum is fixed too.
const IMAGES_PER_SUM: usize = 8;

/// `w x` for a batch of images, plus `bias` per output channel where there is one.
pub fn forward<T: Element>(g: &Geometry, x: &[T], w: &[T], bias: Option<&[T]>) -> Vec<T> {
    let mut y = vec![T::ZERO; g.batch * g.output_len()];
    let images = y.par_chunks_mut(g.output_len()).zip(x.par_chunks(g.input_len()));
    images.for_each_init(
        || column_buffer(g),
        |col, (y, x)| {
            forward_one(g, x, w, y, col);
            for (plane, b) in y.chunks_mut(g.positions()).zip(bias.unwrap_or_default()) {
                plane.iter_mut().for_each(|y| *y += *b);
            }
        },
    );
    y
}

/// `w^T y` for a batch of images.
pub fn input<T: Element>(g: &Geometry, y: &[T], w: &[T]) -> Vec<T> {
    let mut x = vec![T::ZERO; g.batch * g.input_len()];
    x.par_chunks_mut(g.input_len())
        .zip(y.par_chunks(g.output_len()))
        .for_each_init(|| column_buffer(g), |col, (x, y)| input_one(g, y, w, x, col));
    x
}

/// The kernel's gradient `sum_b scale_b (x_b, y_b)`; without `scales` all are 1.
pub fn weight<T: Element>(g: &Geometry, x: &[T], y: &[T], scales: Option<&[T]>) -> Vec<T> {
    let sums: Vec<Vec<T>> = x
        .par_chunks(g.input_len() * IMAGES_PER_SUM)
        .zip(y.par_chunks(g.output_len() * IMAGES_PER_SUM))
        .enumerate()
        .map_init(
            || column_buffer(g),
            |col, (part, (x, y))| {
                let mut w = vec![T::ZERO; g.weight_len()];
                for (i, (x, y)) in x.chunks(g.input_len()).zip(y.chunks(g.output_len())).enumerate() {
                    let scale = scales.map_or(T::ONE, |s| s[part * IMAGES_PER_SUM + i]);
                    weight_one(g, x, y, scale, &mut w, col);
                }
                w
            },
        )
        .collect();
    let mut total = vec![T::ZERO; g.weight_len()];
    for sum in &sums {
        for (t, s) in total.iter_mut().zip(sum) {
            *t += *s;
        }
    }
    total
}

/// Room for one image's column matrix.
pub fn column_buffer<T: Element>(g: &Geometry) -> Vec<T> {
    vec![T::ZERO; g.patch() * g.positions()]
}

/// `y = w x` for one image; `col` comes from [`column_buffer`].
pub fn forward_one<T: Element>(g: &Geometry, x: &[T], w: &[T], y: &mut [T], col: &mut [T]) {
    im2col(g, x, col);
    let (m, k, n) = (g.channels_out, g.patch(), g.positions());
    product(m, n, k, Operand::rows(w, k), Operand::rows(col, n), y, false);
}

/// `x = w^T y` for one image.
pub fn input_one<T: Element>(g: &Geometry, y: &[T], w: &[T], x: &mut [T], col: &mut [T]) {
    let (m, k, n) = (g.patch(), g.channels_out, g.positions());
    product(m, n, k, Operand::columns(w, m), Operand::rows(y, n), col, false);
    col2im(g, col, x);
}

fn weight_one<T: Element>(g: &Geometry, x: &[T], y: &[T], scale: T, w: &mut [T], col: &mut [T]) {
    im2col(g, x, col);
    let (m, k, n) = (g.channels_out, g.positions(), g.patch());
    scaled_product(m, n, k, Operand::rows(y, k), Operand::columns(col, k), w, true, scale, Parallelism::None);
}

/// A matrix in memory: its elements and the steps from one row and one column to the next.
#[derive(Clone, Copy)]
pub struct Operand<'a, T> {
    data: &'a [T],
    row: isize,
    column: isize,
}

impl<'a, T> Operand<'a, T> {
    /// Stored row by row, `width` elements each.
    pub fn rows(data: &'a [T], width: usize) -> Self {
        Self { data, row: width as isize, column: 1 }
    }

    /// The transpose of a matrix that is stored row by row, `width` elements each.
    pub fn columns(data: &'a [T], width: usize) -> Self {
        Self { data, row: 1, column: width as isize }
    }
}

/// `out = a b` or `out += a b`, out being m x n row by row, the inner size k. Runs on the calling thread.
pub fn product<T: Element>(m: usize, n: usize, k: usize, a: Operand<T>, b: Operand<T>, out: &mut [T], add: bool) {
    scaled_product(m, n, k, a, b, out, add, T::ONE, Parallelism::None);
}

/// `out = a b` on as many threads as `threads` says.
pub fn parallel_product<T: Element>(
    m: usize,
    n: usize,
    k: usize,
    a: Operand<T>,
    b: Operand<T>,
    out: &mut [T],
    threads: Parallelism,
) {
    scaled_product(m, n, k, a, b, out, false, T::ONE, threads);
}

/// `out += a b` on as many threads as `threads` says.
pub fn added_product<T: Element>(
    m: usize,
    n: usize,
    k: usize,
    a: Operand<T>,
    b: Operand<T>,
    out: &mut [T],
    threads: Parallelism,
) {
    scaled_product(m, n, k, a, b, out, true, T::ONE, threads);
}

/// `out = scale a b` or `out += scale a b`.
#[expect(clippy::too_many_arguments, reason = "a matrix product has that many")]
fn scaled_product<T: Element>(
    m: usize,
    n: usize,
    k: usize,
    a: Operand<T>,
    b: Operand<T>,
    out: &mut [T],
    add: bool,
    scale: T,
    threads: Parallelism,
) {
    assert!(a.data.len() >= m * k && b.data.len() >= k * n && out.len() >= m * n, "matrix product out of bounds");
    // SAFETY: the three matrices are dense, of the asserted sizes, and `out` is borrowed exclusively.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            add,
            a.data.as_ptr(),
            a.column,
            a.row,
            b.data.as_ptr(),
            b.column,
            b.row,
            T::ONE,
            scale,
            false,
            false,
            false,
            threads,
        );
    }
}

/// The range of output positions `o` along one axis for which `stride o + tap - padding` lies inside the input.
fn inside(g: &Geometry, tap: usize, input: usize, output: usize) -> (usize, usize) {
    let (s, p) = (g.window.stride, g.window.padding);
    let from = p.saturating_sub(tap).div_ceil(s);
    let to = if input + p > tap { (input + p - tap - 1) / s + 1 } else { 0 };
    (from.min(output), to.clamp(from.min(output), output))
}

/// One tap of the kernel: where it stands, and the output positions for which it lies inside the image.
struct Tap {
    /// Row of the column matrix, for channel 0.
    row: usize,
    ky: usize,
    kx: usize,
    rows: (usize, usize),
    columns: (usize, usize),
}

fn taps(g: &Geometry) -> impl Iterator<Item = Tap> {
    let ((h, width), (kh, kw), (oh, ow), g) = (g.input, g.kernel, g.output, *g);
    (0..kh).flat_map(move |ky| {
        (0..kw).map(move |kx| {
            let (rows, columns) = (inside(&g, ky, h, oh), inside(&g, kx, width, ow));
            Tap { row: ky * kw + kx, ky, kx, rows, columns }
        })
    })
}

fn im2col<T: Element>(g: &Geometry, x: &[T], col: &mut [T]) {
    let ((h, width), ow, s, p) = (g.input, g.output.1, g.window.stride, g.window.padding);
    let (n, taps_per_channel) = (g.positions(), g.kernel.0 * g.kernel.1);
    for tap in taps(g) {
        let ((y_from, y_to), (x_from, x_to)) = (tap.rows, tap.columns);
        for channel in 0..g.channels_in {
            let image = &x[channel * h * width..][..h * width];
            let lines = &mut col[(channel * taps_per_channel + tap.row) * n..][..n];
            if x_from >= x_to || y_from >= y_to {
                lines.fill(T::ZERO);
                continue;
            }
            lines[..y_from * ow].fill(T::ZERO);
            lines[y_to * ow..].fill(T::ZERO);
            for oy in y_from..y_to {
                let line = &mut lines[oy * ow..][..ow];
                let from = &image[(oy * s + tap.ky - p) * width + x_from * s + tap.kx - p..];
                line[..x_from].fill(T::ZERO);
                line[x_to..].fill(T::ZERO);
                let line = &mut line[x_from..x_to];
                if s == 1 {
                    line.copy_from_slice(&from[..line.len()]);
                } else {
                    line.iter_mut().zip(from.iter().step_by(s)).for_each(|(to, from)| *to = *from);
                }
            }
        }
    }
}

fn col2im<T: Element>(g: &Geometry, col: &[T], x: &mut [T]) {
    let ((h, width), ow, s, p) = (g.input, g.output.1, g.window.stride, g.window.padding);
    let (n, taps_per_channel) = (g.positions(), g.kernel.0 * g.kernel.1);
    x.fill(T::ZERO);
    for tap in taps(g) {
        let ((y_from, y_to), (x_from, x_to)) = (tap.rows, tap.columns);
        if x_from >= x_to {
            continue;
        }
        for channel in 0..g.channels_in {
            let image = &mut x[channel * h * width..][..h * width];
            let lines = &col[(channel * taps_per_channel + tap.row) * n..][..n];
            for oy in y_from..y_to {
                let line = &lines[oy * ow + x_from..oy * ow + x_to];
                let to = &mut image[(oy * s + tap.ky - p) * width + x_from * s + tap.kx - p..];
                if s == 1 {
                    to[..line.len()].iter_mut().zip(line).for_each(|(to, from)| *to += *from);
                } else {
                    to.iter_mut().step_by(s).zip(line).for_each(|(to, from)| *to += *from);
                }
            }
        }
    }
}
