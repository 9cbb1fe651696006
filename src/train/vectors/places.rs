//! The images of a batch by their numbers in the training set, put on a device once for all layers.

use candle_core::{Device, Result, Tensor};
use std::cell::OnceCell;
use std::collections::HashSet;
use std::rc::Rc;

/// Which images, in the order of the batch. Cloning shares what is on the device.
#[derive(Clone, Debug)]
pub struct Places(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    images: Vec<u32>,
    index: OnceCell<Tensor>,
    targets: OnceCell<(Tensor, Option<Tensor>)>,
}

impl Places {
    pub fn new(images: Vec<u32>) -> Self {
        Self(Rc::new(Inner { images, index: OnceCell::new(), targets: OnceCell::new() }))
    }

    /// Those of images which are different from each other, with their numbers on the device in memory of the caller's, `[B]` u32: what stands there
    /// when a kernel reads it counts.
    pub fn at(images: Vec<u32>, index: Tensor) -> Self {
        let inner = Inner { images, index: OnceCell::from(index.clone()), targets: OnceCell::from((index, None)) };
        Self(Rc::new(inner))
    }

    pub fn images(&self) -> &[u32] {
        &self.0.images
    }

    pub fn len(&self) -> usize {
        self.0.images.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.images.is_empty()
    }

    /// The numbers as a tensor `[B]`, u32. All calls name the same device.
    pub fn index(&self, device: &Device) -> Result<Tensor> {
        if let Some(known) = self.0.index.get() {
            return Ok(known.clone());
        }
        let made = Tensor::new(self.images(), device)?;
        Ok(self.0.index.get_or_init(|| made).clone())
    }

    /// Where rows go when they are written back, each image once; and which rows, unless all do: of an image that comes twice, the
    /// last. All calls name the same device.
    pub fn targets(&self, device: &Device) -> Result<(Tensor, Option<Tensor>)> {
        if let Some(known) = self.0.targets.get() {
            return Ok(known.clone());
        }
        let images = self.images();
        let mut seen = HashSet::with_capacity(images.len());
        let made = if images.iter().all(|image| seen.insert(*image)) {
            (self.index(device)?, None)
        } else {
            let mut from: Vec<u32> = (0..images.len() as u32).collect();
            from.sort_by_key(|at| (images[*at as usize], std::cmp::Reverse(*at)));
            from.dedup_by_key(|at| images[*at as usize]);
            let to: Vec<u32> = from.iter().map(|at| images[*at as usize]).collect();
            (Tensor::new(to, device)?, Some(Tensor::new(from, device)?))
        };
        Ok(self.0.targets.get_or_init(|| made).clone())
    }
}
