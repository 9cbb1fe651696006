//! Attacks on a batch of images in the l2 norm.

mod apgd;
mod goal;
mod options;
mod pgd;
mod rows;
mod steps;

pub use options::{AttackOptions, Objective, Schedule, Size, Start};
pub use pgd::pgd;
