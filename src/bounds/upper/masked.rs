//! One affine layer's map with a sample's masks, in f64: `A = I_rows W I_columns`, W scaled by a power of two to entries
//! below 1. What every upper bound here is made of.
//!
//! An average pool is the same map on every channel, so it stands for one channel without masks; dividing by a standard
//! deviation is a diagonal, whose norm needs no method.

use super::rounding::{gamma, raised, scale};
use crate::base::interrupt;
use crate::compute::conv::matrix::{column_buffer, forward_one, input_one};
use crate::compute::conv::{Geometry, Window};
use crate::compute::linear::products::{columns, rows};
use crate::nn::Layer;
use crate::nn::layers::Dense;
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
    /// How far the norm of the map may lie from that of the layer's, scaled.
    pub apart: f64,
}

/// The most entries of a matrix that is made for a bound, a GiB.
const MOST_ENTRIES: usize = 1 << 27;

/// So many columns are found at a time.
const UNITS: usize = 32;

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

fn numbers(t: &Tensor) -> Result<Vec<f64>> {
    t.detach().to_device(&Device::Cpu)?.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()
}

impl Map {
    /// The map of an affine layer; `None` where a weight is not finite.
    pub fn of(layer: &Layer) -> Result<Option<Self>> {
        let mut map = match layer.dense() {
            Some(Dense::Convolution { weight, window, .. }) => {
                Self::convolution(&weight, &layer.input, &layer.output, window)?
            }
            Some(Dense::EachChannel { weight, window }) => {
                let (input, output) = ([1, layer.input[1], layer.input[2]], [1, layer.output[1], layer.output[2]]);
                Self::convolution(&weight, &input, &output, window)?
            }
            Some(Dense::Matrix { weight, .. }) => {
                let (outputs, inputs) = weight.dims2()?;
                Self::scaled(Kind::Linear { outputs, inputs }, numbers(&weight)?)
            }
            Some(Dense::Diagonal { scale }) => Self::scaled(Kind::Diagonal(0.0), numbers(&scale)?),
            None => return Self::by_columns(layer),
        };
        // Weights that were computed lie within a few roundings of the exact ones, each relative to itself.
        let roundings = layer.affine("norm_bound")?.weight_roundings();
        if let (Some(map), true) = (&mut map, roundings > 0) {
            map.apart = raised(gamma(roundings) * map.holder.sqrt(), 8) + f64::MIN_POSITIVE;
        }
        Ok(map)
    }

    /// That of a convolution from images `input` to images `output`.
    pub fn convolution(weight: &Tensor, input: &[usize], output: &[usize], window: Window) -> Result<Option<Self>> {
        let geometry = Geometry::of_layer(input, output, weight, window)?;
        Ok(Self::scaled(Kind::Conv(geometry), numbers(weight)?))
    }

    fn scaled(kind: Kind, weight: Vec<f64>) -> Option<Self> {
        let factor = scale(&weight)?;
        let weight: Vec<f64> = weight.into_iter().map(|w| w * factor).collect();
        let kind = match kind {
            Kind::Diagonal(_) => Kind::Diagonal(weight.iter().fold(0.0, |m: f64, w| m.max(w.abs()))),
            other => other,
        };
        let mut map = Self { kind, weight, unit: 1.0 / factor, holder: 0.0, apart: 0.0 };
        map.holder = map.holder();
        Some(map)
    }

    /// The matrix of a map that has no dense view, a column for each unit vector. Its entries are sums that were rounded: each lies
    /// within gamma(terms + 4) times that of |W| of the exact one, and the norm of the difference below Hoelder's bound of that.
    fn by_columns(layer: &Layer) -> Result<Option<Self>> {
        let map = layer.affine("norm_bound")?;
        let (outputs, inputs) = (layer.output.iter().product::<usize>(), layer.input_len());
        if outputs.saturating_mul(inputs) > MOST_ENTRIES {
            bail!(
                "norm_bound: {} is bounded by its matrix, which has {outputs} x {inputs} entries, more than {MOST_ENTRIES}; take its \
                 parts as layers of their own, or certify with kind \"estimate\"",
                layer.title()
            );
        }
        if map.numbers().0 != DType::F64 || !map.numbers().1.is_cpu() {
            bail!(
                "norm_bound: {} is bounded by its matrix in f64 on the CPU; convert the model with model.to_dtype(\"f64\"), and start \
                 with --device cpu",
                layer.title()
            );
        }
        let layer = layer.frozen();
        // A few unit vectors at a time: what lies between the parts of the map may be wider than its ends.
        let matrix = |product: &dyn Fn(&Tensor) -> Result<Tensor>| -> Result<Vec<f64>> {
            let mut weight = vec![0.0; outputs * inputs];
            for from in (0..inputs).step_by(UNITS) {
                interrupt::check()?;
                let count = UNITS.min(inputs - from);
                let mut unit = vec![0.0; count * inputs];
                (0..count).for_each(|i| unit[i * inputs + from + i] = 1.0);
                let unit = Tensor::from_vec(unit, [&[count], layer.input.as_slice()].concat(), &Device::Cpu)?;
                for (i, column) in product(&unit)?.flatten_from(1)?.to_vec2::<f64>()?.into_iter().enumerate() {
                    column.into_iter().enumerate().for_each(|(o, w)| weight[o * inputs + from + i] = w);
                }
            }
            Ok(weight)
        };
        let (weight, sizes) = (matrix(&|x| layer.apply(x))?, matrix(&|x| layer.apply_absolute(x))?);
        let kind = || Kind::Linear { outputs, inputs };
        let (Some(mut own), Some(sizes)) = (Self::scaled(kind(), weight), Self::scaled(kind(), sizes)) else {
            return Ok(None);
        };
        let error = gamma(map.terms() + 4) * sizes.holder.sqrt() * sizes.unit;
        own.apart = raised(error / own.unit, 8) + f64::MIN_POSITIVE;
        Ok(Some(own))
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
