//! A linear map by frequency: circular convolutions whose kernels are as large as the image ([`crate::compute::frequency`])
//!
//! ```text
//! y = C F^-1 Q F P U x        U pixel unshuffle, P padding with zeros, F the Fourier transform, Q[f] a matrix, C the crop of the padding
//! ```
//!
//! Products round by size, not number by number. With n the padded side, i the larger number of channels, q the largest Frobenius norm of
//! a `Q[f]`, u the unit roundoff and `g(k) = k u / (1 - k u)`: the transforms are four products of n or 2 n terms whose matrices have norms
//! sqrt(n) (the last 2 n^-3/2), and twice to sqrt(n) + 1 times as much without signs, so a number of the result is off by at most
//!
//! ```text
//! E ||x||,   E = 2 q (2 (sqrt(n) + 1) g(n + 6) + 4 sqrt(n) g(2 n + 4) + g(2 i + 4)) (1 + 1e-3)
//! ```
//!
//! Bounds ask for roundings by `g(terms + 16) (|W| h)`. So `apply_absolute` adds [`SHARE`] of ||h||, and `terms` is E / (u SHARE).

use super::affine::{Affine, Dense, Rounding, Structure, peak};
use super::graph::{Attribute, Graph};
use super::made::keep_parameters;
use super::pixel_unshuffle::Unshuffle;
use super::reshape::Reshape;
use super::spec::Place;
use crate::compute::frequency::{circular, kernel_of, spectrum_of_plane};
use crate::compute::norms::channels::add_bias;
use crate::compute::norms::rows::row_norms;
use crate::compute::norms::samples::{per_sample, sample_norms};
use crate::compute::precision::Precision;
use candle_core::{DType, Device, Result, Tensor, bail};
use std::cell::OnceCell;
use std::rc::Rc;

/// How much of the norm of h |W| h is wider by.
const SHARE: f64 = 1e-3;

/// Such a map over images of one size.
#[derive(Clone, Debug)]
pub struct Circular {
    /// `[F, 2 O, 2 I]`, O and I what the transform goes around with.
    spectrum: Tensor,
    bias: Option<Tensor>,
    /// Before the padding.
    unshuffle: Unshuffle,
    /// Zeros on each side, cropped behind.
    padding: usize,
    /// Side of the padded image.
    side: usize,
    /// Channels in and out; those of the spectrum beyond them are left out.
    channels: (usize, usize),
    whole: OnceCell<Whole>,
    most: OnceCell<f64>,
}

/// What is made of the whole kernel.
#[derive(Clone, Debug)]
struct Whole {
    /// The matrices of the kernel's absolute values.
    absolute: Tensor,
    rows: Tensor,
}

impl Circular {
    /// Over images `input` `[C, H, W]` with so many `channels` behind.
    pub fn over(
        input: &[usize],
        channels: usize,
        (stride, padding): (usize, usize),
        spectrum: Tensor,
        bias: Option<Tensor>,
    ) -> Self {
        let (c, side) = (input[0], input[1] / stride);
        let unshuffle = Unshuffle::of(input, stride);
        let (channels, side) = ((c * stride * stride, channels), side + 2 * padding);
        Self { spectrum, bias, unshuffle, padding, side, channels, whole: OnceCell::new(), most: OnceCell::new() }
    }

    fn padded(&self, x: &Tensor, channels: usize) -> Result<Tensor> {
        let p = self.padding;
        let x = if p > 0 { x.pad_with_zeros(2, p, p)?.pad_with_zeros(3, p, p)? } else { x.clone() };
        match channels - x.dim(1)? {
            0 => Ok(x),
            missing => x.pad_with_zeros(1, 0, missing),
        }
    }

    fn cropped(&self, y: &Tensor, channels: usize) -> Result<Tensor> {
        let (p, n) = (self.padding, self.side);
        let y = if p > 0 { y.narrow(2, p, n - 2 * p)?.narrow(3, p, n - 2 * p)? } else { y.clone() };
        y.narrow(1, 0, channels)?.contiguous()
    }

    fn forward_by(&self, x: &Tensor, spectrum: &Tensor) -> Result<Tensor> {
        let x = self.padded(&self.unshuffle.forward(x)?, spectrum.dim(2)? / 2)?;
        self.cropped(&circular(&x, spectrum, false)?, self.channels.1)
    }

    /// At least the largest Frobenius norm of a matrix; infinite where it cannot be told.
    fn largest(&self) -> f64 {
        *self.most.get_or_init(|| {
            let found = || -> Result<f64> {
                let sums = self.spectrum.detach().to_dtype(DType::F64)?.sqr()?.sum((1, 2))?;
                Ok(peak(&sums)?.sqrt() * (1.0 + 1e-9))
            };
            found().ok().filter(|q| q.is_finite()).unwrap_or(f64::INFINITY)
        })
    }

    fn whole(&self) -> Result<&Whole> {
        if let Some(whole) = self.whole.get() {
            return Ok(whole);
        }
        let kernel = kernel_of(&self.spectrum, self.side)?;
        let rows = kernel.narrow(0, 0, self.channels.1)?.narrow(1, 0, self.channels.0)?.contiguous()?;
        // What the transform rounds is much less than this.
        let rows = (row_norms(&rows.flatten_from(1)?)? * (1.0 + 1e-6))?.unsqueeze(0)?;
        let own = Whole { absolute: spectrum_of_plane(&kernel.abs()?)?, rows };
        Ok(self.whole.get_or_init(|| own))
    }
}

impl Circular {
    /// As operators: the image, padded and put beside itself, and a convolution by the whole kernel.
    pub fn drawn(&self, place: &Place, graph: &mut Graph, x: String) -> Result<String> {
        let (path, (n, p)) = (keep_parameters(place, graph), (self.side, self.padding));
        graph.at(&format!("{path}.made"));
        let mut y = self.unshuffle.drawn(graph, x);
        if p > 0 {
            let pads = graph.sizes("pads", &[0, 0, p, p, 0, 0, p, p]);
            y = graph.apply("Pad", &[&y, &pads], &[]);
        }
        if n > 1 {
            let sizes = graph.sizes("around", &[n - 1, 1]);
            for axis in [2, 3] {
                let parts = graph.parts("Split", &[&y, &sizes], &[("axis", Attribute::Int(axis))], 2);
                y = graph.apply("Concat", &[&y, &parts[0]], &[("axis", Attribute::Int(axis))]);
            }
        }
        let kernel = kernel_of(&self.spectrum, n)?.narrow(0, 0, self.channels.1)?.narrow(1, 0, self.channels.0)?;
        let mut inputs = vec![y, graph.numbers("kernel", &kernel.contiguous()?)];
        inputs.extend(self.bias.as_ref().map(|bias| graph.numbers("bias", bias)));
        let inputs: Vec<_> = inputs.iter().map(String::as_str).collect();
        let shape = [("kernel_shape", Attribute::ints(&[n; 2])), ("strides", Attribute::ints(&[1; 2]))];
        let mut y = graph.apply("Conv", &inputs, &[&shape[..], &[("pads", Attribute::ints(&[0; 4]))]].concat());
        if p > 0 {
            let ends = [graph.sizes("starts", &[p, p]), graph.sizes("ends", &[n - p, n - p])];
            let axes = graph.sizes("axes", &[2, 3]);
            y = graph.apply("Slice", &[&y, &ends[0], &ends[1], &axes], &[]);
        }
        graph.at(&path);
        Ok(y)
    }
}

impl Affine for Circular {
    fn forward(&self, x: &Tensor, precision: Precision) -> Result<Tensor> {
        self.add_bias(&self.apply(x, precision)?)
    }

    fn apply(&self, x: &Tensor, _: Precision) -> Result<Tensor> {
        self.forward_by(x, &self.spectrum)
    }

    fn adjoint(&self, y: &Tensor, _: Precision) -> Result<Tensor> {
        let y = self.padded(y, self.spectrum.dim(1)? / 2)?;
        self.unshuffle.inverse(&self.cropped(&circular(&y, &self.spectrum, true)?, self.channels.0)?)
    }

    fn apply_absolute(&self, h: &Tensor, _: Precision) -> Result<Tensor> {
        let y = self.forward_by(h, &self.whole()?.absolute)?;
        let wider = (sample_norms(&h.detach())?.to_dtype(y.dtype())? * SHARE)?;
        y.broadcast_add(&per_sample(&wider, &y)?)
    }

    fn row_norms(&self) -> Result<Tensor> {
        Ok(self.whole()?.rows.clone())
    }

    fn add_bias(&self, y: &Tensor) -> Result<Tensor> {
        self.bias.as_ref().map_or(Ok(y.clone()), |bias| add_bias(y, bias))
    }

    fn weight(&self) -> Option<&Tensor> {
        None
    }

    fn is_trained(&self) -> bool {
        self.spectrum.track_op()
    }

    fn terms(&self) -> usize {
        let (n, i) = (self.side as f64, self.spectrum.dims()[1].max(self.spectrum.dims()[2]) as f64 / 2.0);
        let root = n.sqrt();
        let units =
            2.0 * self.largest() * (2.0 * (root + 1.0) * (n + 6.0) + 4.0 * root * (2.0 * n + 4.0) + 2.0 * i + 4.0);
        // A NaN is as many as say nothing.
        if units < 1e12 { (units * 1.001 / SHARE).ceil() as usize } else { usize::MAX / 4 }
    }

    fn weight_roundings(&self) -> usize {
        0
    }

    fn rounding(&self) -> Result<Rounding> {
        bail!("affine: what a map by frequency loses in f32 is not bounded so far; certify with arithmetic: \"exact\"")
    }

    fn dense(&self) -> Option<Dense> {
        None
    }

    fn structure(&self) -> Result<Option<Structure>> {
        Ok(Some(Structure::Frequencies(self.spectrum.detach())))
    }

    fn numbers(&self) -> (DType, Device) {
        (self.spectrum.dtype(), self.spectrum.device().clone())
    }

    fn frozen(&self) -> Rc<dyn Affine> {
        let bias = self.bias.as_ref().map(Tensor::detach);
        // What is made of the matrices is made anew, without their graph.
        Rc::new(Self { spectrum: self.spectrum.detach(), bias, whole: OnceCell::new(), ..self.clone() })
    }

    fn each_sample(&self) -> Result<Option<Vec<Rc<dyn Affine>>>> {
        Ok(None)
    }

    fn seen(&self, _: &Tensor) -> Result<Option<Rc<dyn Affine>>> {
        Ok(None)
    }
}
