//! One affine layer's map with a sample's masks, in f64: `A = I_rows W I_columns`, W scaled by a power of two to entries
//! below 1. What every upper bound here is made of.
//!
//! An average pool is the same map on every channel, so it stands for one channel without masks; dividing by a standard
//! deviation is a diagonal, whose norm needs no method.

use super::rounding::{gamma, raised, scale};
use crate::compute::conv::matrix::{column_buffer, forward_one, input_one};
use crate::compute::conv::{Geometry, Window};
use crate::compute::linear::products::{columns, rows};
use crate::nn::{Layer, Operation};
use candle_core::{DType, Device, Result, Tensor, bail};

/// A layer's linear map in f64.
pub struct Map {
    pub kind: Kind,
    /// The weights, scaled.
    pub weight: Vec<f64>,
    /// Norms of the scaled map times this are norms of the layer's.
    pub unit: f64,
    /// `||  |W|  ||_1 ||  |W|  ||_inf` of the scaled map, rounded up: at least the square of the norm of |W|.
    pub holder: f64,
}

/// What kind of map it is.
pub enum Kind {
    Conv(Geometry),
    Linear {
        outputs: usize,
        inputs: usize,
    },
    /// A diagonal whose largest entry, scaled, is this.
    Diagonal(f64),
}

/// The masks of one sample, 1 where the value can vary; none masks nothing.
#[derive(Clone, Copy, Default)]
pub struct Masks<'a> {
    pub columns: Option<&'a [u8]>,
    pub rows: Option<&'a [u8]>,
}

impl Map {
    /// The map of an affine layer; `None` where a weight is not finite.
    pub fn of(layer: &Layer) -> Result<Option<Self>> {
        let numbers =
            |t: &Tensor| t.detach().to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
        let (kind, weight) = match &layer.operation {
            Operation::Conv2d { weight, window, .. } => {
                (Kind::Conv(Geometry::of_layer(&layer.input, &layer.output, weight, *window)?), numbers(weight)?)
            }
            Operation::AvgPool2d { weight, window } => {
                let (input, output) = ([1, layer.input[1], layer.input[2]], [1, layer.output[1], layer.output[2]]);
                (Kind::Conv(Geometry::of_layer(&input, &output, weight, Window { ..*window })?), numbers(weight)?)
            }
            Operation::Linear { weight, .. } => {
                let (outputs, inputs) = weight.dims2()?;
                (Kind::Linear { outputs, inputs }, numbers(weight)?)
            }
            Operation::Normalize { scale, .. } => (Kind::Diagonal(0.0), numbers(scale)?),
            Operation::Flatten
            | Operation::Relu
            | Operation::Clip { .. }
            | Operation::MaxMin
            | Operation::ClippedMaxMin { .. } => bail!(
                "norm_bound: layer {} ({}) is not affine, it has no norm of its own",
                layer.index,
                layer.spec.describe()
            ),
        };
        let Some(factor) = scale(&weight) else { return Ok(None) };
        let weight: Vec<f64> = weight.into_iter().map(|w| w * factor).collect();
        let kind = match kind {
            Kind::Diagonal(_) => Kind::Diagonal(weight.iter().fold(0.0, |m: f64, w| m.max(w.abs()))),
            other => other,
        };
        let mut map = Self { kind, weight, unit: 1.0 / factor, holder: 0.0 };
        map.holder = map.holder();
        Ok(Some(map))
    }

    fn holder(&self) -> f64 {
        let (outputs, inner, inputs) = match &self.kind {
            Kind::Conv(g) => (g.channels_out, g.kernel.0 * g.kernel.1, g.channels_in),
            Kind::Linear { outputs, inputs } => (*outputs, 1, *inputs),
            Kind::Diagonal(largest) => return largest * largest,
        };
        let (mut by_row, mut by_column) = (vec![0.0; outputs], vec![0.0; inputs]);
        for (at, w) in self.weight.iter().enumerate() {
            by_row[at / (inner * inputs)] += w.abs();
            by_column[at / inner % inputs] += w.abs();
        }
        let most = |sums: Vec<f64>| sums.into_iter().fold(0.0, f64::max);
        raised(most(by_row) * most(by_column), self.weight.len())
    }

    /// Numbers in one sample of the input.
    pub fn inputs(&self) -> usize {
        match &self.kind {
            Kind::Conv(g) => g.input_len(),
            Kind::Linear { inputs, .. } => *inputs,
            Kind::Diagonal(_) => 1,
        }
    }

    /// Numbers in one sample of the output.
    pub fn outputs(&self) -> usize {
        match &self.kind {
            Kind::Conv(g) => g.output_len(),
            Kind::Linear { outputs, .. } => *outputs,
            Kind::Diagonal(_) => 1,
        }
    }

    /// The most products that are added up for one number of `W x` or `W^T y`.
    pub fn terms(&self) -> usize {
        match &self.kind {
            Kind::Conv(g) => g.kernel.0 * g.kernel.1 * g.channels_in.max(g.channels_out),
            Kind::Linear { outputs, inputs } => *outputs.max(inputs),
            Kind::Diagonal(_) => 1,
        }
    }

    /// How far the computed `A^T A x` of a unit vector can be from the exact one, in norm.
    pub fn product_error(&self) -> f64 {
        raised(2.0 * gamma(self.terms() + 2) * self.holder, 8)
    }

    /// `y = W x` of one sample.
    pub fn forward(&self, x: &[f64], y: &mut [f64], scratch: &mut Vec<f64>) {
        match &self.kind {
            Kind::Conv(g) => forward_one(g, x, &self.weight, y, self.scratch(g, scratch)),
            Kind::Linear { inputs, .. } => rows(x, &self.weight, *inputs, false, y),
            Kind::Diagonal(largest) => y[0] = largest * x[0],
        }
    }

    /// `x = W^T y` of one sample.
    pub fn adjoint(&self, y: &[f64], x: &mut [f64], scratch: &mut Vec<f64>) {
        match &self.kind {
            Kind::Conv(g) => input_one(g, y, &self.weight, x, self.scratch(g, scratch)),
            Kind::Linear { inputs, .. } => columns(y, &self.weight, *inputs, false, x),
            Kind::Diagonal(largest) => x[0] = largest * y[0],
        }
    }

    fn scratch<'s>(&self, g: &Geometry, scratch: &'s mut Vec<f64>) -> &'s mut [f64] {
        if scratch.is_empty() {
            *scratch = column_buffer(g);
        }
        scratch
    }
}

/// Is the value at `at` kept?
pub fn kept(mask: Option<&[u8]>, at: usize) -> bool {
    mask.is_none_or(|m| m[at] != 0)
}
