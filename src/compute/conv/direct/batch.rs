//! The CPU form of the convolutions in f32 where the processor has AVX-512, or AVX2 and FMA: direct kernels, images in
//! parallel
//!
//! Each picture is put into blocked form in its core's cache, convolved there, and written back plane by plane (see
//! [`super`]): a few per cent of a convolution, for which every other operation sees ordinary tensors. Sums over the
//! batch run in an order that does not depend on the number of threads.

use super::kernel::sides;
use super::passes::as_numbers;
use super::planar::Finish as PlanarFinish;
use super::{Direction, Finish, Gradient, Kernel, Line, Planar, PlanarGradient, pack, suits, unpack, with_lines};
use crate::compute::conv::Geometry;
use crate::compute::simd::lines::LANES;
use crate::compute::unwritten::{unwritten, written};
use rayon::prelude::*;

/// Images whose kernel gradients are summed by one task: a fixed number, so that the order of the sum is fixed too.
const IMAGES_PER_SUM: usize = 8;

/// `w x + bias` for a batch of images; [`crate::compute::conv::direct::fits()`] must hold, for all functions here.
pub fn forward(g: &Geometry, x: &[f32], w: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
    if suits(g) {
        return each_planar(&Planar::new(g, w, Direction::Forward), x, bias);
    }
    let kernel = Kernel::<Line>::new(g, w, Direction::Forward, false);
    let bias = bias.map(in_lines);
    let finish = Finish { bias: bias.as_deref(), ..Finish::default() };
    each(&kernel, g.input_len(), g.output_len(), x, finish)
}

/// `w^T y` for a batch of images.
pub fn input(g: &Geometry, y: &[f32], w: &[f32]) -> Vec<f32> {
    if suits(g) {
        return each_planar(&Planar::new(g, w, Direction::Transposed), y, None);
    }
    let kernel = Kernel::<Line>::new(g, w, Direction::Transposed, false);
    each(&kernel, g.output_len(), g.input_len(), y, Finish::default())
}

fn each(kernel: &Kernel<Line>, len_from: usize, len_to: usize, x: &[f32], finish: Finish) -> Vec<f32> {
    let mut y = unwritten(x.len() / len_from * len_to);
    let (from, to) = (&kernel.plan.from, &kernel.plan.to);
    y.par_chunks_mut(len_to).zip(x.par_chunks(len_from)).for_each(|(y, x)| {
        with_lines([from.lines(), to.lines()], |[a, b]| {
            from.clear_border(a);
            pack(from, x, a);
            kernel.run(a, b, finish);
            // SAFETY: y has room for one picture.
            unsafe { unpack(to, b, 1.0, y.as_mut_ptr().cast()) };
        });
    });
    // SAFETY: `unpack` has written each picture.
    unsafe { written(y) }
}

fn each_planar(planar: &Planar, x: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
    let (from, to) = (planar.from.numbers(), planar.to.numbers());
    let mut y = unwritten(x.len() / from * to);
    y.par_chunks_mut(to).zip(x.par_chunks(from)).for_each(|(y, x)| {
        with_lines([planar.from.lines()], |[bordered]| {
            let bordered = as_numbers(bordered);
            planar.from.pack(x, None, bordered);
            planar.run_bare(bordered, y, PlanarFinish { bias, scale: 1.0, mask: None });
        });
    });
    // SAFETY: `run_bare` has written each picture.
    unsafe { written(y) }
}

/// The kernel's gradient `sum_b scale_b (x_b, y_b)`; without `scales` all are 1.
pub fn weight(g: &Geometry, x: &[f32], y: &[f32], scales: Option<&[f32]>) -> Vec<f32> {
    if suits(g) {
        return weight_planar(g, x, y, scales);
    }
    let (from, to) = sides(g);
    let (n, m) = (g.input_len(), g.output_len());
    let sums: Vec<Gradient> = x
        .par_chunks(n * IMAGES_PER_SUM)
        .zip(y.par_chunks(m * IMAGES_PER_SUM))
        .enumerate()
        .map(|(part, (x, y))| {
            let mut sum = Gradient::new(g);
            with_lines([from.lines(), to.lines()], |[a, b]| {
                from.clear_border(a);
                to.clear_border(b);
                for (i, (x, y)) in x.chunks(n).zip(y.chunks(m)).enumerate() {
                    pack(&from, x, a);
                    pack(&to, y, b);
                    if let Some(scales) = scales {
                        let scale = scales[part * IMAGES_PER_SUM + i];
                        b.iter_mut().for_each(|line| line.0.iter_mut().for_each(|y| *y *= scale));
                    }
                    sum.add(a, b);
                }
            });
            sum
        })
        .collect();
    let mut w = vec![0.0; g.weight_len()];
    if let Some(sum) = total(sums, Gradient::merge) {
        sum.add_to(&mut w, None);
    }
    w
}

fn weight_planar(g: &Geometry, x: &[f32], y: &[f32], scales: Option<&[f32]>) -> Vec<f32> {
    let (n, m) = (g.input_len(), g.output_len());
    let parts = x.par_chunks(n * IMAGES_PER_SUM).zip(y.par_chunks(m * IMAGES_PER_SUM)).enumerate();
    let sums: Vec<PlanarGradient> = parts
        .map(|(part, (x, y))| {
            let mut sum = PlanarGradient::new(g);
            with_lines([sum.x.lines()], |[bordered]| {
                let bordered = as_numbers(bordered);
                for (i, (x, y)) in x.chunks(n).zip(y.chunks(m)).enumerate() {
                    sum.x.pack(x, None, bordered);
                    sum.add(bordered, y, scales.map_or(1.0, |scales| scales[part * IMAGES_PER_SUM + i]));
                }
            });
            sum
        })
        .collect();
    let mut w = vec![0.0; g.weight_len()];
    if let Some(sum) = total(sums, PlanarGradient::merge) {
        sum.add_to(&mut w);
    }
    w
}

/// The sum of all, in their order.
fn total<S>(sums: Vec<S>, merge: impl Fn(&mut S, &S)) -> Option<S> {
    sums.into_iter().reduce(|mut all, more| {
        merge(&mut all, &more);
        all
    })
}

/// One number per channel, as the kernels read them.
pub fn in_lines(values: &[f32]) -> Vec<Line> {
    let line = |part: &[f32]| Line(std::array::from_fn(|i| part.get(i).copied().unwrap_or(0.0)));
    values.chunks(LANES).map(line).collect()
}
