//! The vector of a layer's whole map, for its global norm: one row, in the layout of the rows of images that it iterates with.

use crate::compute::layout::{Layout, shape, turned};
use candle_core::{DType, Device, Result, Tensor};

/// One vector. Its numbers are written in place, so nobody else holds them.
#[derive(Debug)]
pub struct Whole {
    numbers: Tensor,
    layout: Layout,
}

impl Whole {
    /// From a vector `[1, ...]` plane by plane.
    pub fn of(u: &Tensor, layout: Layout) -> Result<Self> {
        let numbers = turned(&u.detach(), Layout::Nchw, layout)?;
        Ok(Self { numbers: if layout == Layout::Nchw { numbers.force_contiguous()? } else { numbers }, layout })
    }

    /// Plane by plane, `[1, ...]`, a copy.
    pub fn planes(&self) -> Result<Tensor> {
        match self.layout {
            Layout::Nchw => self.numbers.force_contiguous(),
            Layout::Nhwc => turned(&self.numbers, Layout::Nhwc, Layout::Nchw),
        }
    }

    /// The shape plane by plane.
    pub fn dims(&self) -> Vec<usize> {
        crate::compute::layout::planes(self.numbers.dims(), self.layout)
    }

    pub fn dtype(&self) -> DType {
        self.numbers.dtype()
    }

    /// Its numbers as they lie, to be written by who has just iterated from them.
    pub fn numbers(&self) -> &Tensor {
        &self.numbers
    }

    /// As an iteration wants it.
    pub fn brought(&mut self, dtype: DType, device: &Device, layout: Layout) -> Result<&Tensor> {
        // Type and place first: what turns it knows those of networks alone.
        if self.numbers.dtype() != dtype || !self.numbers.device().same_device(device) {
            self.numbers = self.numbers.to_dtype(dtype)?.to_device(device)?;
        }
        if self.layout != layout {
            *self = Self::of(&self.planes()?, layout)?;
        }
        debug_assert_eq!(self.numbers.dims(), shape(&self.dims(), layout));
        Ok(&self.numbers)
    }
}
