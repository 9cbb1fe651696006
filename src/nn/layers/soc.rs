//! `soc_conv2d(channels, kernel)`: skew orthogonal convolutions (Singla & Feizi 2021), the exponential of a skew-symmetric one, cut after some terms
//!
//! ```text
//! c = max(inputs, outputs)     S = W - W^T      K = 0.7 S / min of the norms of four matrices of S      y = sum_(m <= terms) K^m x / m!
//! ```
//!
//! W^T is the kernel turned around with its channels exchanged, so that S is skew-symmetric as a map with zeros around the image. Inputs are
//! padded with zeros to c, outputs beyond theirs are left out; a stride is a pixel unshuffle before. Of a 3 x 3
//! kernel |K| <= 2.1, so 12 terms leave a norm of 1 + 3e-6, 5 terms (as in published training) up to 1.002; a larger kernel leaves more: certificates bound the sum that is there ([`super::Structure`]).
//!
//! Start: W ~ N(0, 1 / sqrt(c)), of which the scale does not matter; bias 0.

use super::affine::{Affine, Dense, Rounding, Structure};
use super::entry::{Argument, CONVOLUTION, Entry, Takes, image, read, settings};
use super::graph::{Attribute, Graph};
use super::made::{keep_parameters, made, without_bias};
use super::pixel_unshuffle::Unshuffle;
use super::reshape::Reshape;
use super::spec::{Kind, LayerSpec, Own, Parameter, Place, Role, Start};
use crate::compute::conv::{Window, conv2d};
use crate::compute::norms::channels::add_bias;
use crate::compute::orthogonal::{largest_singular_value, norm_above};
use crate::compute::precision::Precision;
use candle_core::{DType, Device, Result, Tensor, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::rc::Rc;

/// What K's norm is brought below: 3 x 3 taps have norms of at most 3 times a matrix's.
const SHARE: f64 = 0.7;

/// More terms than these change nothing.
const MOST_TERMS: usize = 100;

/// Squarings that leave nothing to converge.
const CONVERGED: usize = 25;

/// Of the Gram matrix: what bounds its norm is then within 1 / 32 of a power of its rows.
const SQUARINGS: usize = 5;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SocConv2d {
    pub channels: usize,
    pub kernel: usize,
    pub stride: usize,
    pub terms: usize,
    pub bias: bool,
}

pub const ENTRY: Entry = Entry {
    name: "soc_conv2d",
    arguments: CONVOLUTION,
    options: &[
        Argument { name: "stride", takes: Takes::AtLeast(1) },
        Argument { name: "terms", takes: Takes::AtLeast(1) },
        Argument { name: "bias", takes: Takes::Flag },
    ],
    make: |given| {
        LayerSpec::of(SocConv2d {
            channels: given.count("channels", 1),
            kernel: given.count("kernel", 1),
            stride: given.count("stride", 1),
            terms: given.count("terms", 12),
            bias: given.flag("bias", true),
        })
    },
    read: read::<SocConv2d>,
};

impl SocConv2d {
    /// Height and width behind it, channels before the exponential, and in it.
    fn sizes(&self, input: &[usize]) -> std::result::Result<[usize; 4], String> {
        let ([c, h, w], s) = (image(input)?, self.stride);
        if !h.is_multiple_of(s) || !w.is_multiple_of(s) {
            return Err(format!("a stride of {s} does not divide its {h}x{w} input"));
        }
        if self.terms > MOST_TERMS {
            return Err(format!(
                "{} terms; at most {MOST_TERMS} are taken, which is more than f64 can tell apart",
                self.terms
            ));
        }
        if self.kernel.is_multiple_of(2) {
            return Err(format!("a {0}x{0} kernel has no pixel in its middle; take an odd one", self.kernel));
        }
        let inputs = s.checked_mul(s).and_then(|square| c.checked_mul(square));
        let inputs = inputs.ok_or_else(|| format!("a stride of {s} makes more channels of {c} than can be counted"))?;
        Ok([h / s, w / s, inputs, inputs.max(self.channels)])
    }
}

impl Kind for SocConv2d {
    fn name(&self) -> &str {
        ENTRY.name
    }

    fn describe(&self) -> String {
        let Self { channels, kernel, stride, terms, bias } = self;
        let bias = without_bias(*bias);
        format!("soc_conv2d({channels}, {kernel}, #{{ stride: {stride}, terms: {terms}{bias} }})")
    }

    fn own(&self) -> Vec<Own> {
        made(ENTRY.name)
    }

    fn settings(&self) -> Map<String, Value> {
        settings(self)
    }

    fn output_shape(&self, input: &[usize]) -> std::result::Result<Vec<usize>, String> {
        let [h, w, ..] = self.sizes(input)?;
        if self.channels > 0 { Ok(vec![self.channels, h, w]) } else { Err("it has no output channels".into()) }
    }

    fn parameters(&self, input: &[usize]) -> Vec<Parameter> {
        let (k, all) = (self.kernel, self.sizes(input).map_or(1, |[.., all]| all));
        let mut list =
            vec![Parameter::new("weight", &[all, all, k, k], Start::Normal { std: 1.0 / (all as f64).sqrt() })];
        list.extend(self.bias.then(|| Parameter::new("bias", &[self.channels], Start::Constant(0.0))));
        list
    }

    fn build(&self, place: &Place) -> Result<Role> {
        let [_, _, inputs, _] = self.sizes(place.input).map_err(candle_core::Error::Msg)?;
        Ok(Role::Affine(Rc::new(Exponential {
            kernel: skew(&place.parameter("weight")?)?,
            bias: place.optional("bias"),
            terms: self.terms,
            unshuffle: Unshuffle::of(place.input, self.stride),
            channels: (inputs, self.channels),
            size: (place.output[1], place.output[2]),
        })))
    }

    fn export(&self, place: &Place, graph: &mut Graph, x: String) -> Result<String> {
        let [.., inputs, all] = self.sizes(place.input).map_err(candle_core::Error::Msg)?;
        let path = keep_parameters(place, graph);
        graph.at(&format!("{path}.made"));
        let mut term = Unshuffle::of(place.input, self.stride).drawn(graph, x);
        if all > inputs {
            let pads = graph.sizes("pads", &[0, 0, 0, 0, 0, all - inputs, 0, 0]);
            term = graph.apply("Pad", &[&term, &pads], &[]);
        }
        let kernel = graph.numbers("kernel", &skew(&place.parameter("weight")?)?);
        let attributes = [
            ("kernel_shape", Attribute::ints(&[self.kernel; 2])),
            ("strides", Attribute::ints(&[1; 2])),
            ("pads", Attribute::ints(&[self.kernel / 2; 4])),
        ];
        let mut sum = term.clone();
        for m in 1..=self.terms {
            let share = graph.number(&format!("share_{m}"), 1.0 / m as f64, place.dtype)?;
            let next = graph.apply("Conv", &[&term, &kernel], &attributes);
            term = graph.apply("Mul", &[&next, &share], &[]);
            sum = graph.apply("Add", &[&sum, &term], &[]);
        }
        let ends = [graph.sizes("start", &[0]), graph.sizes("end", &[self.channels]), graph.sizes("axis", &[1])];
        let mut y = graph.apply("Slice", &[&sum, &ends[0], &ends[1], &ends[2]], &[]);
        if let Some(bias) = place.optional("bias") {
            let bias = graph.numbers("bias", &bias.detach().reshape((1, self.channels, 1, 1))?);
            y = graph.apply("Add", &[&y, &bias], &[]);
        }
        graph.at(&path);
        Ok(y)
    }
}

/// K of W `[C, C, k, k]`.
fn skew(w: &Tensor) -> Result<Tensor> {
    let turned = w.transpose(0, 1)?.contiguous()?.flip(&[2, 3])?.contiguous()?;
    let s = (w - turned)?;
    let norms = forms(&s)?.iter().map(|form| largest_singular_value(form, CONVERGED)).collect::<Result<Vec<_>>>()?;
    let least = norms[1..].iter().try_fold(norms[0].clone(), |least, norm| least.minimum(norm))?;
    // Of W = 0 the exponential is the identity.
    let least = least.maximum(f64::from(f32::MIN_POSITIVE))?;
    s.broadcast_mul(&(least.recip()? * SHARE)?)
}

/// Four matrices of a kernel: by rows, by columns, and by channels with all taps, either way.
fn forms(s: &Tensor) -> Result<[Tensor; 4]> {
    let (c, _, k, _) = s.dims4()?;
    Ok([
        s.reshape((c, c * k * k))?,
        s.permute((0, 2, 1, 3))?.contiguous()?.reshape((c * k, c * k))?,
        s.permute((0, 3, 1, 2))?.contiguous()?.reshape((c * k, c * k))?,
        s.permute((0, 2, 3, 1))?.contiguous()?.reshape((c * k * k, c))?,
    ])
}

/// At least the norm of a convolution padded with zeros: k times the least of those of its four matrices.
fn kernel_norm_above(kernel: &Tensor) -> Result<Tensor> {
    let norms = forms(kernel)?.iter().map(|form| norm_above(form, SQUARINGS)).collect::<Result<Vec<_>>>()?;
    let least = norms[1..].iter().try_fold(norms[0].clone(), |least, norm| least.minimum(norm))?;
    least * (kernel.dim(3)? as f64 * 1.001)
}

/// Over images of one size.
#[derive(Clone, Debug)]
struct Exponential {
    kernel: Tensor,
    bias: Option<Tensor>,
    terms: usize,
    unshuffle: Unshuffle,
    channels: (usize, usize),
    size: (usize, usize),
}

impl Exponential {
    /// `sum_m step^m x / m!` of the channels that are there, cut to the first `channels`.
    fn summed(&self, x: &Tensor, channels: usize, kernel: &Tensor, sign: f64) -> Result<Tensor> {
        let (all, k) = (kernel.dim(0)?, kernel.dim(3)?);
        let x = match all - x.dim(1)? {
            0 => x.clone(),
            missing => x.pad_with_zeros(1, 0, missing)?,
        };
        let (mut sum, mut term) = (x.clone(), x);
        for m in 1..=self.terms {
            term = (conv2d(&term, kernel, Window::new(1, k / 2))? * (sign / m as f64))?;
            sum = (sum + &term)?;
        }
        sum.narrow(1, 0, channels)?.contiguous()
    }
}

impl Affine for Exponential {
    fn forward(&self, x: &Tensor, precision: Precision) -> Result<Tensor> {
        self.add_bias(&self.apply(x, precision)?)
    }

    fn apply(&self, x: &Tensor, _: Precision) -> Result<Tensor> {
        self.summed(&self.unshuffle.forward(x)?, self.channels.1, &self.kernel, 1.0)
    }

    /// The adjoint of K is -K.
    fn adjoint(&self, y: &Tensor, _: Precision) -> Result<Tensor> {
        self.unshuffle.inverse(&self.summed(y, self.channels.0, &self.kernel, -1.0)?)
    }

    /// `sum_m |K|^m h / m!`, more than the map's own: it bounds the roundings of every term.
    fn apply_absolute(&self, h: &Tensor, _: Precision) -> Result<Tensor> {
        self.summed(&self.unshuffle.forward(h)?, self.channels.1, &self.kernel.abs()?, 1.0)
    }

    /// No row is longer than the map's norm: 1 and what was cut off, at most `b^(terms + 1) / (terms + 1)!`, or `e^b`.
    fn row_norms(&self) -> Result<Tensor> {
        let b = kernel_norm_above(&self.kernel.detach())?;
        let cut = (1..=self.terms + 1).try_fold(b.ones_like()?, |p, m| (p * &b)? / m as f64)?;
        (cut + 1.0)?.minimum(&b.exp()?)?.reshape((1, 1))?.broadcast_as((1, self.channels.1))?.contiguous()
    }

    fn add_bias(&self, y: &Tensor) -> Result<Tensor> {
        self.bias.as_ref().map_or(Ok(y.clone()), |bias| add_bias(y, bias))
    }

    fn weight(&self) -> Option<&Tensor> {
        None
    }

    fn is_trained(&self) -> bool {
        self.kernel.track_op()
    }

    /// Of all terms: a sum for each product, its factor, and the addition.
    fn terms(&self) -> usize {
        let each: usize = self.kernel.dims()[1..].iter().product();
        self.terms * (each + 4)
    }

    fn weight_roundings(&self) -> usize {
        0
    }

    fn rounding(&self) -> Result<Rounding> {
        bail!("affine: what an exponential loses in f32 is not bounded so far; certify with arithmetic: \"exact\"")
    }

    fn dense(&self) -> Option<Dense> {
        None
    }

    fn structure(&self) -> Result<Option<Structure>> {
        let image = [self.kernel.dim(0)?, self.size.0, self.size.1];
        Ok(Some(Structure::Exponential { kernel: self.kernel.detach(), image, terms: self.terms }))
    }

    fn numbers(&self) -> (DType, Device) {
        (self.kernel.dtype(), self.kernel.device().clone())
    }

    fn frozen(&self) -> Rc<dyn Affine> {
        let bias = self.bias.as_ref().map(Tensor::detach);
        Rc::new(Self { kernel: self.kernel.detach(), bias, ..self.clone() })
    }

    fn each_sample(&self) -> Result<Option<Vec<Rc<dyn Affine>>>> {
        Ok(None)
    }

    fn seen(&self, _: &Tensor) -> Result<Option<Rc<dyn Affine>>> {
        Ok(None)
    }
}
