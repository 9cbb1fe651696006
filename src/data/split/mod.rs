//! Splits: images and labels in memory, parts of them, batches, augmentation.

mod ahead;
mod augment;
mod batches;
mod checksum;
pub mod classes;
mod in_memory;
mod lane;
mod mixed;
pub mod pad;
mod rand_augment;
mod resident;
mod rotate;
mod select;

pub use augment::Augmentation;
pub use batches::{Batch, Batches};
pub use in_memory::{Split, check_dtype};
pub use lane::BatchOrder;
pub use rand_augment::RandAugment;
pub use select::set_apart;
