//! What products of f32 numbers are computed in on a CUDA device: a choice of the script, f32 unless it says otherwise
//!
//! ```text
//! f32    every product and sum in f32
//! tf32   products of numbers rounded to 11 significant bits, summed in f32: tensor cores
//! bf16   convolutions round to 8 significant bits, on the way in and out, and sum in f32; matrix products as tf32
//! ```
//!
//! f64 stays f64, and so what is certified in it; the CPU computes in f32 whatever is chosen. The choice holds for the thread,
//! as the device's stream does.

use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::fmt;
use std::str::FromStr;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    #[default]
    F32,
    Tf32,
    Bf16,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::Bf16 => "bf16",
        })
    }
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "f32" => Ok(Self::F32),
            "tf32" => Ok(Self::Tf32),
            "bf16" => Ok(Self::Bf16),
            _ => Err(format!("precision: there is no `{name}`; use \"f32\", \"tf32\" or \"bf16\"")),
        }
    }
}

thread_local! {
    static CURRENT: Cell<Precision> = const { Cell::new(Precision::F32) };
}

/// The choice that holds.
pub fn current() -> Precision {
    CURRENT.get()
}

/// Choose.
pub fn set(precision: Precision) {
    CURRENT.set(precision);
    // Of candle's matrix products, for the whole process.
    #[cfg(feature = "cuda")]
    candle_core::cuda::set_gemm_reduced_precision_f32(precision != Precision::F32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for precision in [Precision::F32, Precision::Tf32, Precision::Bf16] {
            assert_eq!(precision.to_string().parse(), Ok(precision));
        }
        let unknown = "fp16".parse::<Precision>().unwrap_err();
        assert_eq!(unknown, "precision: there is no `fp16`; use \"f32\", \"tf32\" or \"bf16\"");
    }
}
