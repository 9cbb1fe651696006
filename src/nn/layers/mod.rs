//! The kinds of layers, a file each: what a script writes, shapes, parameters and their start, the value, and what bounds ask of it.
//!
//! A kind implements [`Kind`]: what is known before the sizes are. Built for an input it takes one of three roles ([`Role`]), behind
//! a trait that says what a bound may ask. No method that a certificate rests on has a default: a kind that forgets one does not
//! compile. Nobody outside this folder matches on kinds; fast kernels ask for [`Dense`] and [`Fused`], which name forms, not kinds.
//!
//! To add a kind: its file here, a line in [`registry::KINDS`], an entry in `docs/reference/networks.d.rhai`.

mod abs;
mod activation;
mod added;
mod affine;
mod avg_pool2d;
mod branches;
mod clip;
mod conv2d;
mod flatten;
mod groupsort;
mod leaky_relu;
mod linear;
mod max_pool2d;
mod maxmin;
mod normalize;
mod pixel_unshuffle;
mod registry;
mod relu;
mod reshape;
mod role;
mod spec;

pub use abs::Abs;
pub use activation::{Activation, Boxes, Clipping, Excess, Facts, Fused, Side, image};
pub use affine::{Affine, Dense, Rounding};
pub use avg_pool2d::AvgPool2d;
pub use branches::{Residual, Sum};
pub use clip::{Relu6, ReluTheta};
pub use conv2d::Conv2d;
pub use flatten::Flatten;
pub use groupsort::GroupSort;
pub use leaky_relu::LeakyRelu;
pub use linear::Linear;
pub use max_pool2d::MaxPool2d;
pub use maxmin::{ClippedMaxMin, MaxMin};
pub use normalize::Normalize;
pub use pixel_unshuffle::PixelUnshuffle;
pub use registry::{KINDS, entry};
pub use relu::Relu;
pub use reshape::Reshape;
pub use role::Role;
pub use spec::{Argument, Branch, Entry, Given, Kind, LayerSpec, Own, Parameter, Place, Start, Starting, Takes};
