//! The vector of a layer's whole map, for its global norm: one row, in the layout of the rows of images that it iterates with.

use crate::compute::gpu;
use crate::compute::gpu::recording::moved;
use crate::compute::layout::{Layout, planes, shape, turned};
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
        Ok(Self { numbers: copied(&u.detach(), Layout::Nchw, layout)?, layout })
    }

    /// `u` `[1, ...]`, plane by plane, in the place of what `kept` holds: in its memory on a device with kernels, so that a recorded step finds it
    /// there again.
    pub fn keep(kept: &mut Option<Self>, u: &Tensor) -> Result<()> {
        let fits = |own: &Self| {
            let (device, dtype) = (own.numbers.device(), own.numbers.dtype());
            gpu::on(device) && dtype == u.dtype() && device.same_device(u.device()) && own.dims() == u.dims()
        };
        match kept {
            Some(own) if fits(own) => {
                let u = turned(&u.detach(), Layout::Nchw, own.layout)?;
                own.numbers.slice_set(&u, 0, 0)
            }
            _ => {
                if kept.replace(Self::of(u, Layout::Nchw)?).is_some() {
                    moved();
                }
                Ok(())
            }
        }
    }

    /// Plane by plane, `[1, ...]`, a copy.
    pub fn planes(&self) -> Result<Tensor> {
        copied(&self.numbers, self.layout, Layout::Nchw)
    }

    /// The shape plane by plane.
    pub fn dims(&self) -> Vec<usize> {
        planes(self.numbers.dims(), self.layout)
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
            moved();
        }
        if self.layout != layout {
            *self = Self::of(&self.planes()?, layout)?;
            moved();
        }
        debug_assert_eq!(self.numbers.dims(), shape(&self.dims(), layout));
        Ok(&self.numbers)
    }
}

/// From one layout to the other, in memory of its own.
fn copied(x: &Tensor, from: Layout, to: Layout) -> Result<Tensor> {
    if from == to { x.force_contiguous() } else { turned(x, from, to) }
}
