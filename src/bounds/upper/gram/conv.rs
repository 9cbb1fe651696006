//! The Gram matrix of a convolution, block-banded, one block per image row
//!
//! ```text
//! (A^T A)_pq = sum over outputs r of  K_r[., p] K_r[., q]        K_r: the kernel as output position r sees it
//! ```
//!
//! Two positions of a convolution are coupled only where a kernel covers both, so whole rows of blocks are zero beyond
//! `kernel - 1` image rows (`(kernel - 1) / stride` on the output's side).

use super::products::products;
use super::side::Side;
use crate::bounds::upper::masked::{Masks, kept};
use crate::compute::conv::Geometry;
use gemm::Parallelism;

/// Along one image axis: which positions of the other side a position touches, with which tap of the kernel.
type Touched = Vec<Vec<(usize, usize)>>;

/// The unknowns of one image row as (column, channel), and where each column begins.
type Line = (Vec<(usize, usize)>, Vec<usize>);

/// The Gram matrix of a convolution.
pub struct Stencil<'a> {
    pub(super) sizes: Vec<usize>,
    pub(super) reach: usize,
    /// Channels and image size of the side that is summed over, and its mask.
    summed: (usize, (usize, usize)),
    summed_mask: Option<&'a [u8]>,
    /// For each summed row (column), the rows (columns) of the unknowns that it touches.
    touched: (Touched, Touched),
    /// For each unknown row, its unknowns in the order of their columns: column, channel; and where each column begins.
    unknowns: Vec<Line>,
    /// `[tap y][tap x][unknown channel][summed channel]`.
    kernel: Vec<f64>,
    taps: usize,
    channels: usize,
}

impl<'a> Stencil<'a> {
    pub(super) fn new(g: &Geometry, weight: &[f64], masks: Masks<'a>, side: Side) -> Self {
        let (kh, kw) = g.kernel;
        let stride = g.window.stride;
        let axis = |input: usize, output: usize, taps: usize| {
            let mut touched: Touched = vec![vec![]; if side == Side::Columns { output } else { input }];
            for o in 0..output {
                for tap in 0..taps {
                    let Some(i) = (o * stride + tap).checked_sub(g.window.padding).filter(|i| *i < input) else {
                        continue;
                    };
                    if side == Side::Columns { touched[o].push((i, tap)) } else { touched[i].push((o, tap)) }
                }
            }
            touched
        };
        let touched = (axis(g.input.0, g.output.0, kh), axis(g.input.1, g.output.1, kw));
        let (input, output) = ((g.channels_in, g.input, masks.columns), (g.channels_out, g.output, masks.rows));
        let (unknown, summed) = if side == Side::Columns { (input, output) } else { (output, input) };
        let (channels, (h, w), mask) = unknown;
        let unknowns: Vec<_> = (0..h)
            .map(|y| {
                let (mut list, mut starts) = (vec![], vec![0]);
                for x in 0..w {
                    list.extend((0..channels).filter(|c| kept(mask, (c * h + y) * w + x)).map(|c| (x, c)));
                    starts.push(list.len());
                }
                (list, starts)
            })
            .collect();
        let mut kernel = vec![0.0; weight.len()];
        for (at, value) in weight.iter().enumerate() {
            let (tap, i) = (at % (kh * kw), at / (kh * kw) % g.channels_in);
            let o = at / (kh * kw * g.channels_in);
            let (u, s) = if side == Side::Columns { (i, o) } else { (o, i) };
            kernel[(tap * channels + u) * summed.0 + s] = *value;
        }
        let reach = if side == Side::Columns { kh - 1 } else { (kh - 1) / stride };
        Self {
            sizes: unknowns.iter().map(|(list, _)| list.len()).collect(),
            reach: reach.min(h - 1),
            summed: (summed.0, summed.1),
            summed_mask: summed.2,
            touched,
            unknowns,
            kernel,
            taps: kw,
            channels,
        }
    }

    /// The summed channels that are kept at a position.
    fn summed_at(&self, y: usize, x: usize, list: &mut Vec<usize>) {
        let (channels, (h, w)) = self.summed;
        list.clear();
        list.extend((0..channels).filter(|c| kept(self.summed_mask, (c * h + y) * w + x)));
    }

    /// The kernel as position (`_`, `x`) of the summed side sees the unknowns of row `row` through tap `dy`: one column per
    /// unknown, of the summed channels `list`; and where each column belongs.
    fn seen(&self, row: usize, dy: usize, x: usize, list: &[usize], values: &mut Vec<f64>, places: &mut Vec<usize>) {
        values.clear();
        places.clear();
        let (unknowns, starts) = &self.unknowns[row];
        let count = self.summed.0;
        for &(column, dx) in &self.touched.1[x] {
            let (first, end) = (starts[column], starts[column + 1]);
            for (at, (_, channel)) in (first..end).zip(&unknowns[first..end]) {
                let from = ((dy * self.taps + dx) * self.channels + channel) * count;
                let weights = &self.kernel[from..from + count];
                if list.len() == count {
                    values.extend_from_slice(weights);
                } else {
                    values.extend(list.iter().map(|c| weights[*c]));
                }
                places.push(at);
            }
        }
    }

    pub(super) fn block_row(&self, i: usize) -> Vec<Vec<f64>> {
        let first = i.saturating_sub(self.reach);
        let mut blocks: Vec<Vec<f64>> = (first..=i).map(|j| vec![0.0; self.sizes[i] * self.sizes[j]]).collect();
        let (mut list, mut own, mut own_at, mut other, mut other_at) = (vec![], vec![], vec![], vec![], vec![]);
        let mut out = vec![];
        for (y, rows) in self.touched.0.iter().enumerate() {
            let Some(&(_, dy)) = rows.iter().find(|(row, _)| *row == i) else { continue };
            for x in 0..self.touched.1.len() {
                self.summed_at(y, x, &mut list);
                if list.is_empty() {
                    continue;
                }
                let k = list.len();
                self.seen(i, dy, x, &list, &mut own, &mut own_at);
                for &(j, tap) in rows.iter().filter(|(j, _)| *j <= i) {
                    let (b, b_at) = if j == i {
                        (&own, &own_at)
                    } else {
                        self.seen(j, tap, x, &list, &mut other, &mut other_at);
                        (&other, &other_at)
                    };
                    let (m, n) = (own_at.len(), b_at.len());
                    out.resize(m * n, 0.0);
                    products((m, n, k), (&own, 1, k), (b, 1, k), &mut out, Parallelism::None);
                    let block = &mut blocks[j - first];
                    for (column, to) in out.chunks_exact(m.max(1)).zip(b_at) {
                        let target = &mut block[to * self.sizes[i]..][..self.sizes[i]];
                        column.iter().zip(&own_at).for_each(|(value, at)| target[*at] += value);
                    }
                }
            }
        }
        blocks
    }
}
