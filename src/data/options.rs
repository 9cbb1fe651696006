//! What is asked of a data set when it is loaded.

use super::manifest::Pictures;
use super::share::Share;
use super::split::Augmentation;
use candle_core::{DType, Device};
use std::path::PathBuf;

/// How to load a data set. The default: everything, f32, on the CPU, seed 0.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder given by `--data-dir`, tried before WORKBENCH_DATA and the cache.
    pub data_dir: Option<PathBuf>,
    /// Only the first so many training images.
    pub train_limit: Option<usize>,
    /// Only the first so many test images.
    pub test_limit: Option<usize>,
    /// The dtype of the images in batches: f32, f64, f16 or bf16.
    pub dtype: DType,
    /// The device of batches; the data themselves stay in main memory.
    pub device: Device,
    /// Kept by the splits ([`crate::data::Split::seed`]) for the order of batches and the augmentation.
    pub seed: u64,
    /// What is done to training images in augmented passes ([`crate::data::Batches::augmented`]).
    pub augmentation: Augmentation,
    /// Zeros on each side of every image, of the test images too.
    pub pad: usize,
    /// Only the first so many training images of each class, of those that `train_limit` leaves.
    pub per_class: Option<usize>,
    /// Training images to be set apart for validation, of those that are left.
    pub validation: Option<Share>,
    /// Images of a data set without test images to be set apart to test on; a fifth without it.
    pub test: Option<Share>,
    /// The height and width that pictures of a folder are brought to.
    pub size: Option<[usize; 2]>,
    /// What is done to pictures of a folder that are not alike; a manifest says so itself.
    pub pictures: Pictures,
    /// Only the images to train on: others are neither looked for nor set apart.
    pub training_only: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            data_dir: None,
            train_limit: None,
            test_limit: None,
            dtype: DType::F32,
            device: Device::Cpu,
            seed: 0,
            augmentation: Augmentation::default(),
            pad: 0,
            per_class: None,
            validation: None,
            test: None,
            size: None,
            pictures: Pictures::default(),
            training_only: false,
        }
    }
}

impl Options {
    /// How a data set is loaded whose first `limit` training images stand beside one that was loaded with these.
    pub fn beside(&self, limit: Option<usize>) -> Self {
        let Self { data_dir, dtype, device, seed, pad, size, pictures, .. } = self.clone();
        let own = Self { data_dir, dtype, device, seed, pad, size, pictures, ..Self::default() };
        Self { train_limit: limit, training_only: true, ..own }
    }

    /// What batches are made of, and where; and the seed.
    pub(super) fn made(&self) -> (DType, Device, u64) {
        (self.dtype, self.device.clone(), self.seed)
    }
}
