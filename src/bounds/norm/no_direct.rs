//! In place of `direct` on processors without its kernels: nothing is covered.

use super::options::{Arithmetic, PowerOptions};
use super::vectors::Sample;
use crate::compute::conv::Geometry;
use std::mem::MaybeUninit;

/// Covers no convolution.
pub struct Direct;

impl Direct {
    pub const NONE: Self = Self;

    pub fn new(_: &Geometry, _: &[f32], _: Arithmetic, _: bool) -> Self {
        Self
    }

    pub fn run(
        &self,
        _: Option<&[f32]>,
        _: (Option<&mut [MaybeUninit<f32>]>, Option<&mut [MaybeUninit<f32>]>),
        _: (Option<&[u8]>, Option<&[u8]>),
        _: PowerOptions,
    ) -> Option<Sample> {
        None
    }
}
