//! What a step is asked for with, and what it gives.

use crate::train::optimizer::Optimizer;
use crate::train::together::Dealt;
use candle_core::{DType, Tensor};
use std::cell::RefCell;
use std::collections::BTreeSet;

/// What a step gives by name, each one number: its loss as [`LOSS`], and what else is to be known of it.
pub type Found = Vec<(String, Tensor)>;

/// One step that is asked for.
pub struct Asked<'a> {
    pub key: &'a str,
    pub x: &'a Tensor,
    pub y: &'a Tensor,
    /// The images' numbers in the store of vectors.
    pub images: &'a [u32],
    pub numbers: &'a [f64],
    pub lr: Option<f64>,
    pub optimizer: &'a RefCell<Optimizer>,
    pub dealt: Option<Dealt<'a>>,
}

/// What the steps of a key have in common, as far as it is seen when they are taken.
#[derive(Clone, Debug, Default)]
pub struct Kinds {
    /// Names and number types of what a step gives.
    pub found: Vec<(String, DType)>,
    /// The layers that it asks the store of vectors for, and whether for second ones.
    pub layers: BTreeSet<(usize, bool)>,
}
