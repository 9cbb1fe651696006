//! What a linear map and a bias say to bounds: `W x`, `W^T y`, `|W| h`, the norms of the rows, how sums are rounded.

use crate::compute::conv::Window;
use crate::compute::precision::Precision;
use crate::compute::region::weights::Prepared;
use candle_core::{DType, Device, Result, Tensor};
use std::fmt::Debug;
use std::rc::Rc;

/// A linear map `W` and a bias, over samples of the shapes it was built for. Batches `[B, ...]` in and out; shapes are checked by
/// [`crate::nn::Layer`].
pub trait Affine: Debug {
    /// `W x + b`.
    fn forward(&self, x: &Tensor, precision: Precision) -> Result<Tensor>;
    /// `W x`.
    fn apply(&self, x: &Tensor, precision: Precision) -> Result<Tensor>;
    /// `W^T y`, of the input's exact size.
    fn adjoint(&self, y: &Tensor, precision: Precision) -> Result<Tensor>;
    /// `|W| h` for half-widths `h` >= 0: how far the output can move when every input moves by at most h.
    fn apply_absolute(&self, h: &Tensor, precision: Precision) -> Result<Tensor>;
    /// The 2-norm of each output channel's (or feature's) own row of W, `[1, C]`, or more.
    fn row_norms(&self) -> Result<Tensor>;
    /// `y` plus the bias.
    fn add_bias(&self, y: &Tensor) -> Result<Tensor>;
    /// The weight of a map that has one to train.
    fn weight(&self) -> Option<&Tensor>;
    /// Does the map hang on parameters that take gradients now, so that its norm has one?
    fn is_trained(&self) -> bool;
    /// How many products are added up for one output, at most.
    fn terms(&self) -> usize;
    /// Roundings in the numbers of the dense view, each relative to itself: 0 where they are the parameters.
    fn weight_roundings(&self) -> usize;
    /// How the map rounds when it runs in f32 ([`crate::bounds::execution`]); the numbers are read in f64.
    fn rounding(&self) -> Result<Rounding>;
    /// The map in a form that fast kernels take, if it has one.
    fn dense(&self) -> Option<Dense>;
    /// What proved bounds of its norm rest on where it has no dense form: none of a map that is bounded by its form, or by its matrix.
    fn structure(&self) -> Result<Option<Structure>>;
    /// Number type and device of the map.
    fn numbers(&self) -> (DType, Device);
    /// The same with parameters cut from the graph.
    fn frozen(&self) -> Rc<dyn Affine>;
    /// The maps of the samples of a batch, where each has its own; none of a map that is one for all.
    fn each_sample(&self) -> Result<Option<Vec<Rc<dyn Affine>>>>;
    /// The map that it is for a batch of inputs, where its numbers are statistics of the batch; none of a map that asks no batch.
    fn seen(&self, x: &Tensor) -> Result<Option<Rc<dyn Affine>>>;
}

/// A map in the form that fast kernels take. Tensors, so it may go to other threads. `prepared` is what they have made of the weight.
#[derive(Clone, Debug)]
pub enum Dense {
    /// `weight` `[out, in, k, k]`, `bias` `[out]`.
    Convolution { weight: Tensor, bias: Option<Tensor>, window: Window, prepared: Prepared },
    /// A convolution of every channel by itself, `weight` `[1, 1, k, k]`.
    EachChannel { weight: Tensor, window: Window },
    /// `weight` `[out, in]`, `bias` `[out]`.
    Matrix { weight: Tensor, bias: Option<Tensor>, prepared: Prepared },
    /// Element by element times `scale`, shaped to be broadcast over a batch.
    Diagonal { scale: Tensor },
}

impl Dense {
    /// The same cut from the graph.
    pub fn detached(self) -> Self {
        let cut = |bias: Option<Tensor>| bias.map(|bias| bias.detach());
        match self {
            Self::Convolution { weight, bias, window, .. } => {
                Self::Convolution { weight: weight.detach(), bias: cut(bias), window, prepared: Prepared::default() }
            }
            Self::EachChannel { weight, window } => Self::EachChannel { weight: weight.detach(), window },
            Self::Matrix { weight, bias, .. } => {
                Self::Matrix { weight: weight.detach(), bias: cut(bias), prepared: Prepared::default() }
            }
            Self::Diagonal { scale } => Self::Diagonal { scale: scale.detach() },
        }
    }

    /// What scripts call the form.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Convolution { .. } => "convolution",
            Self::EachChannel { .. } => "each_channel",
            Self::Matrix { .. } => "matrix",
            Self::Diagonal { .. } => "diagonal",
        }
    }
}

/// What a map is made of whose norm is bounded without its matrix.
#[derive(Clone, Debug)]
pub enum Structure {
    /// A matrix at each frequency of n x n images, `[F, 2 O, 2 I]`, real forms of complex ones ([`crate::compute::frequency`]).
    Frequencies(Tensor),
    /// `sum_m K^m / m!` for m up to `terms`, K the convolution by `kernel` `[C, C, k, k]` over images `[C, H, W]`, padded with zeros to keep
    /// their size; the kernel is the exact negative of itself turned around. Of input and output channels some may be left out.
    Exponential { kernel: Tensor, image: [usize; 3], terms: usize },
}

impl Structure {
    /// What scripts call it, as a form.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Frequencies(_) => "frequencies",
            Self::Exponential { .. } => "exponential",
        }
    }
}

/// What [`crate::bounds::execution`] asks of a map.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rounding {
    /// Roundings that the largest of the products of one output goes through: n + c of the derivation there.
    pub steps: usize,
    /// The largest weight; NaN where the derivation does not cover the weights.
    pub largest: f64,
    /// Numbers on the way to an output are at most so many times as large as the sum of its terms' sizes.
    pub stretch: f64,
}

/// The largest size of a number of `t`, in f64; NaN where one is.
pub(super) fn peak(t: &Tensor) -> Result<f64> {
    let sizes = t.detach().abs()?.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
    Ok(sizes.into_iter().fold(0.0, |m: f64, x| if x.is_nan() || x > m { x } else { m }))
}
