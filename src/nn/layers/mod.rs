//! The kinds of layers, a file each: what a script writes, shapes, parameters and their start, the value, and what bounds ask of it.
//!
//! A kind implements [`Kind`]: what is known before the sizes are. Built for an input it takes one of four roles ([`Role`]), behind
//! a trait that says what a bound may ask. No method that a certificate rests on has a default: a kind that forgets one does not
//! compile. Nobody outside this folder matches on kinds; fast kernels ask for [`Dense`] and [`Fused`], which name forms, not kinds.
//!
//! To add a kind: its file here, a line in [`registry::KINDS`], an entry in `docs/reference/networks.d.rhai`.

mod abs;
mod activation;
mod affine;
mod aol;
mod avg_pool2d;
mod batch_centering;
mod batch_norm2d;
mod batch_statistics;
mod block;
mod bro;
mod cayley;
mod circular;
mod clip;
mod combined;
mod conv2d;
mod cpl;
mod derived;
mod entry;
mod flatten;
mod gelu;
mod graph;
mod groupsort;
mod half_abs;
mod householder;
mod leaky_relu;
mod linear;
mod linear_residual;
mod lines;
mod lln_linear;
mod made;
mod max_pool2d;
mod maxmin;
mod merged;
mod n_activation;
mod normalize;
mod pairs;
mod parallel;
mod pixel_unshuffle;
mod potential;
mod registry;
mod relu;
mod reshape;
mod residual;
mod scale_shift;
mod scaled;
mod sll;
mod soc;
mod softplus;
mod spec;
mod sum;
mod tree;

pub use abs::Abs;
pub use activation::{
    Activation, Boxes, Choice, Clipping, Excess, Facts, Fused, Lines, Relaxation, Side, Slope, exchanged, image,
};
pub use affine::{Affine, Dense, Rounding, Structure};
pub use aol::{AolConv2d, AolLinear};
pub use avg_pool2d::AvgPool2d;
pub use batch_centering::BatchCentering;
pub use batch_norm2d::BatchNorm2d;
pub use block::Block;
pub use bro::{BroConv2d, BroLinear};
pub use cayley::{CayleyConv2d, CayleyLinear};
pub use clip::{Relu6, ReluTheta};
pub(super) use combined::{Combined, Step};
pub use conv2d::Conv2d;
pub use cpl::{CplConv2d, CplLinear};
pub use derived::Derived;
pub(super) use derived::{Underived, Unmade};
pub use entry::{Argument, Branch, Entry, Given, Takes};
pub use flatten::Flatten;
pub use gelu::Gelu;
pub use graph::{Attribute, Constant, Graph, Operation};
pub use groupsort::GroupSort;
pub use half_abs::HalfAbs;
pub use householder::Householder;
pub use leaky_relu::LeakyRelu;
pub use linear::Linear;
pub use linear_residual::{CholeskyLinear, LinearResidual};
pub use lln_linear::LlnLinear;
pub use made::Made;
pub use max_pool2d::MaxPool2d;
pub use maxmin::{ClippedMaxMin, MaxMin};
pub use n_activation::NActivation;
pub use normalize::Normalize;
pub use parallel::Parallel;
pub use pixel_unshuffle::PixelUnshuffle;
pub use potential::Stepped;
pub use registry::{KINDS, entry};
pub use relu::Relu;
pub use reshape::Reshape;
pub use residual::Residual;
pub use scale_shift::ScaleShift;
pub(super) use scaled::Scaled;
pub use sll::{SllConv2d, SllLinear};
pub use soc::SocConv2d;
pub use softplus::Softplus;
pub use spec::{
    Branches, Deriving, Following, Kind, LayerSpec, Meeting, Own, Parameter, Place, Role, Start, Starting, Word,
};
pub use sum::Sum;
