//! What a training step is made of, against float64 values of other programs and formulas written out: losses, schedules, optimisers.

mod common;
#[path = "training/losses.rs"]
mod losses;
#[path = "training/optimizers.rs"]
mod optimizers;
#[path = "training/schedules.rs"]
mod schedules;

use candle_core::{Device, Tensor};
use std::collections::HashMap;
use std::path::PathBuf;

/// Values of the repository, `tests/cases`.
fn case(name: &str) -> HashMap<String, Tensor> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(format!("{name}.safetensors"));
    candle_core::safetensors::load(path, &Device::Cpu).expect("the values of a case")
}
