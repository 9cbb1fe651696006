//! A Gram matrix as Cholesky factorisation and Gram iteration take it: sizes of blocks, reach of the band, block rows.

use super::conv::Stencil;
use super::linear::Dense;
use super::side::Side;
use crate::bounds::upper::masked::{Kind, Map, Masks, kept};
use crate::compute::cholesky::Banded;
use gemm::Parallelism;

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
