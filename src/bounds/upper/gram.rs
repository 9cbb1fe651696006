//! The Gram matrix of a masked layer, `A^T A` or `A A^T`, on the values that vary: dense for a linear layer, block-banded for
//! a convolution, one block per image row
//!
//! ```text
//! (A^T A)_pq = sum over outputs r of  K_r[., p] K_r[., q]        K_r: the kernel as output position r sees it
//! ```
//!
//! Two positions of a convolution are coupled only where a kernel covers both, so whole rows of blocks are zero beyond
//! `kernel - 1` image rows (`(kernel - 1) / stride` on the output's side). Each entry of the result is a sum of at most `terms`
//! products, in some order.

use super::masked::{Kind, Map, Masks, kept};
use crate::compute::cholesky::Banded;
use crate::compute::conv::Geometry;
use gemm::Parallelism;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// `A^T A`, on inputs.
    Columns,
    /// `A A^T`, on outputs.
    Rows,
}

/// A Gram matrix, made block row by block row.
pub enum Gram<'a> {
    Conv(Stencil<'a>),
    Linear(Dense),
}

impl<'a> Gram<'a> {
    /// `None` for a diagonal.
    pub fn of(map: &'a Map, masks: Masks<'a>, side: Side, threads: Parallelism) -> Option<Self> {
        match &map.kind {
            Kind::Conv(g) => Some(Self::Conv(Stencil::new(g, &map.weight, masks, side))),
            Kind::Linear { outputs, inputs } => {
                Some(Self::Linear(Dense::new(*outputs, *inputs, &map.weight, masks, side, threads)))
            }
            Kind::Diagonal(_) => None,
        }
    }

    /// The sizes of the blocks and the reach of the band, without the matrix.
    pub fn shape(map: &Map, masks: Masks, side: Side) -> (Vec<usize>, usize) {
        match &map.kind {
            Kind::Conv(g) => {
                let stencil = Stencil::new(g, &map.weight, masks, side);
                (stencil.sizes, stencil.reach)
            }
            Kind::Linear { outputs, inputs } => {
                let (n, mask) = if side == Side::Columns { (*inputs, masks.columns) } else { (*outputs, masks.rows) };
                (vec![(0..n).filter(|i| kept(mask, *i)).count()], 0)
            }
            Kind::Diagonal(_) => (vec![], 0),
        }
    }
}

impl Banded for Gram<'_> {
    fn sizes(&self) -> &[usize] {
        match self {
            Self::Conv(s) => &s.sizes,
            Self::Linear(d) => &d.sizes,
        }
    }
    fn reach(&self) -> usize {
        match self {
            Self::Conv(s) => s.reach,
            Self::Linear(_) => 0,
        }
    }
    fn block_row(&self, i: usize) -> Vec<Vec<f64>> {
        match self {
            Self::Conv(s) => s.block_row(i),
            Self::Linear(d) => vec![d.values.clone()],
        }
    }
}

/// The Gram matrix of a linear layer.
pub struct Dense {
    sizes: Vec<usize>,
    /// Symmetric, both triangles.
    pub values: Vec<f64>,
}

impl Dense {
    fn new(outputs: usize, inputs: usize, weight: &[f64], masks: Masks, side: Side, threads: Parallelism) -> Self {
        let listed = |n: usize, mask: Option<&[u8]>| (0..n).filter(|i| kept(mask, *i)).collect::<Vec<_>>();
        let (rows, columns) = (listed(outputs, masks.rows), listed(inputs, masks.columns));
        // The kept part, with the summed side contiguous.
        let mut part = Vec::with_capacity(rows.len() * columns.len());
        let (m, k) = match side {
            Side::Rows => {
                rows.iter().for_each(|r| part.extend(columns.iter().map(|c| weight[r * inputs + c])));
                (rows.len(), columns.len())
            }
            Side::Columns => {
                columns.iter().for_each(|c| part.extend(rows.iter().map(|r| weight[r * inputs + c])));
                (columns.len(), rows.len())
            }
        };
        let mut values = vec![0.0; m * m];
        products((m, m, k), (&part, 1, k), (&part, 1, k), &mut values, threads);
        symmetrise(&mut values, m);
        Self { sizes: vec![m], values }
    }
}

/// The lower triangle in place of the upper one, whatever the order of the products was.
pub(super) fn symmetrise(values: &mut [f64], m: usize) {
    for c in 0..m {
        (c + 1..m).for_each(|r| values[r * m + c] = values[c * m + r]);
    }
}

/// `out = a^T b`, `a` k x m and `b` k x n given by their data and the steps of the inner and the outer index; `out` column by
/// column.
pub(super) fn products(
    (m, n, k): (usize, usize, usize),
    (a, a_in, a_out): (&[f64], usize, usize),
    (b, b_in, b_out): (&[f64], usize, usize),
    out: &mut [f64],
    threads: Parallelism,
) {
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        return out[..m * n].fill(0.0);
    }
    let end = |inner: usize, outer: usize, count: usize| (k - 1) * inner + (count - 1) * outer;
    assert!(
        a.len() > end(a_in, a_out, m) && b.len() > end(b_in, b_out, n) && out.len() >= m * n,
        "product out of bounds"
    );
    // SAFETY: the three matrices lie inside their slices, as asserted, and `out` is borrowed exclusively.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            m as isize,
            1,
            false,
            a.as_ptr(),
            a_in as isize,
            a_out as isize,
            b.as_ptr(),
            b_out as isize,
            b_in as isize,
            0.0,
            1.0,
            false,
            false,
            false,
            threads,
        );
    }
}

/// Along one image axis: which positions of the other side a position touches, with which tap of the kernel.
type Touched = Vec<Vec<(usize, usize)>>;

/// The unknowns of one image row as (column, channel), and where each column begins.
type Line = (Vec<(usize, usize)>, Vec<usize>);

/// The Gram matrix of a convolution.
pub struct Stencil<'a> {
    sizes: Vec<usize>,
    reach: usize,
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
    fn new(g: &Geometry, weight: &[f64], masks: Masks<'a>, side: Side) -> Self {
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

    fn block_row(&self, i: usize) -> Vec<Vec<f64>> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Generator;
    use crate::nn::layers::{Conv2d, Linear};
    use crate::nn::{LayerSpec, Sequential};
    use candle_core::{DType, Device, Tensor};

    /// The masked matrix of a layer, one column per input, from the layer itself.
    fn dense(layer: &crate::nn::Layer, masks: Masks) -> nalgebra::DMatrix<f64> {
        let n = layer.input_len();
        let shape = [&[n], layer.input.as_slice()].concat();
        let eye = Tensor::eye(n, DType::F64, &Device::Cpu).and_then(|t| t.reshape(shape)).expect("unit vectors");
        let all = layer
            .frozen()
            .apply(&eye)
            .and_then(|t| t.flatten_from(1))
            .and_then(|t| t.to_vec2::<f64>())
            .expect("columns");
        nalgebra::DMatrix::from_fn(all[0].len(), n, |r, c| {
            if kept(masks.rows, r) && kept(masks.columns, c) { all[c][r] } else { 0.0 }
        })
    }

    #[test]
    fn blocks_are_those_of_the_dense_matrix() {
        let random = Generator::new(8);
        let conv =
            |channels, kernel, stride, padding| LayerSpec::of(Conv2d { channels, kernel, stride, padding, bias: true });
        for (input, spec) in [
            (vec![2, 5, 4], conv(3, 3, 1, 1)),
            (vec![3, 7, 6], conv(2, 4, 2, 1)),
            (vec![1, 6, 6], conv(4, 2, 3, 0)),
            (vec![2, 4, 4], conv(2, 4, 1, 2)),
            (vec![11], LayerSpec::of(Linear { features: 7, bias: true })),
        ] {
            let net = Sequential::new(&input, &[spec], DType::F64, &Device::Cpu, &random).expect("a network");
            let layer = &net.layers()[0];
            let map = Map::of(layer).expect("a map").expect("finite weights");
            for density in [1.0, 0.6, 0.1] {
                let mask = |n: usize| (0..n).map(|_| u8::from(random.unit() < density)).collect::<Vec<_>>();
                let (c, r) = (mask(map.inputs()), mask(map.outputs()));
                let masks = if density == 1.0 { Masks::default() } else { Masks { columns: Some(&c), rows: Some(&r) } };
                let a = dense(layer, masks) / map.unit;
                for side in [Side::Columns, Side::Rows] {
                    let gram = Gram::of(&map, masks, side, Parallelism::None).expect("not diagonal");
                    assert_eq!(Gram::shape(&map, masks, side), (gram.sizes().to_vec(), gram.reach()));
                    let wanted = if side == Side::Columns { a.transpose() * &a } else { &a * a.transpose() };
                    // All entries, in whatever order: sums of squares and traces of both agree.
                    let (mut squares, mut trace) = (0.0, 0.0);
                    for i in 0..gram.sizes().len() {
                        let row = gram.block_row(i);
                        let m = gram.sizes()[i];
                        for (b, block) in row.iter().enumerate() {
                            let twice = if b + 1 == row.len() { 1.0 } else { 2.0 };
                            squares += twice * block.iter().map(|x| x * x).sum::<f64>();
                        }
                        trace += (0..m).map(|k| row[row.len() - 1][k * m + k]).sum::<f64>();
                    }
                    assert!((squares - wanted.norm_squared()).abs() <= 1e-12 * (1.0 + squares), "{input:?} {side:?}");
                    assert!((trace - wanted.trace()).abs() <= 1e-12 * (1.0 + trace), "{input:?} {side:?}");
                }
            }
        }
    }
}
