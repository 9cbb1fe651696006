//! What products of f32 numbers are computed in on a CUDA device: a choice of the script, f32 unless it says otherwise
//!
//! ```text
//! f32    every product and sum in f32
//! tf32   products of numbers rounded to 11 significant bits, summed in f32: tensor cores
//! bf16   convolutions round to 8 significant bits, on the way in and out, and sum in f32; matrix products as tf32
//! ```
//!
//! f64 stays f64, and so what is certified in it; the CPU computes in f32 whatever is chosen. The choice is a network's: it is
//! handed to every product. That of a frozen network, which evaluations, attacks and certificates take, is f32 for good: what
//! is certified is computed in f32 or f64.

use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

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

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        match name {
            "f32" => Ok(Self::F32),
            "tf32" => Ok(Self::Tf32),
            "bf16" => Ok(Self::Bf16),
            _ => Err(format!("precision: there is no `{name}`; use \"f32\", \"tf32\" or \"bf16\"")),
        }
    }
}

/// The layout of activations between convolutions on a GPU, where a script does not leave it to their precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LayoutChoice {
    /// Channels last where tensor cores want it.
    #[default]
    Auto,
    Nchw,
    Nhwc,
}

impl LayoutChoice {
    /// All by the names that scripts use.
    pub const NAMES: [(&'static str, Self); 3] = [("auto", Self::Auto), ("nchw", Self::Nchw), ("nhwc", Self::Nhwc)];
}

/// A network's choice: what a script chooses for its training, shared by its networks, or f32 for good, as an evaluation has it.
#[derive(Clone, Debug, Default)]
pub struct Chosen(Option<Arc<Shared>>);

#[derive(Debug, Default)]
struct Shared {
    precision: AtomicU8,
    layout: AtomicU8,
}

impl Chosen {
    /// A choice that can be changed.
    pub fn changing() -> Self {
        Self(Some(Arc::default()))
    }

    /// f32, whatever is chosen elsewhere.
    pub fn exact() -> Self {
        Self(None)
    }

    pub fn get(&self) -> Precision {
        match self.0.as_ref().map_or(0, |chosen| chosen.precision.load(Ordering::Relaxed)) {
            1 => Precision::Tf32,
            2 => Precision::Bf16,
            _ => Precision::F32,
        }
    }

    /// Choose, for all that share it; an exact one stays f32.
    pub fn set(&self, precision: Precision) {
        if let Some(chosen) = &self.0 {
            chosen.precision.store(precision as u8, Ordering::Relaxed);
        }
    }

    pub fn layout(&self) -> LayoutChoice {
        match self.0.as_ref().map_or(0, |chosen| chosen.layout.load(Ordering::Relaxed)) {
            1 => LayoutChoice::Nchw,
            2 => LayoutChoice::Nhwc,
            _ => LayoutChoice::Auto,
        }
    }

    /// Choose, for all that share it; an exact one stays with "auto".
    pub fn set_layout(&self, layout: LayoutChoice) {
        if let Some(chosen) = &self.0 {
            chosen.layout.store(layout as u8, Ordering::Relaxed);
        }
    }
}

/// The matrix products that follow are computed in `precision`. candle has this as a setting of the process, so whoever
/// multiplies says it before.
pub fn products_in(precision: Precision) {
    #[cfg(feature = "cuda")]
    candle_core::cuda::set_gemm_reduced_precision_f32(precision != Precision::F32);
    #[cfg(not(feature = "cuda"))]
    let _ = precision;
}

/// `a b`, computed in `precision`. Of its gradient whoever asks for it says the precision.
pub fn matmul(a: &Tensor, b: &Tensor, precision: Precision) -> Result<Tensor> {
    products_in(precision);
    a.matmul(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_shared_and_an_exact_one_stays() {
        let (chosen, exact) = (Chosen::changing(), Chosen::exact());
        let shared = chosen.clone();
        for precision in [Precision::Tf32, Precision::Bf16, Precision::F32] {
            chosen.set(precision);
            exact.set(precision);
            assert_eq!((shared.get(), exact.get()), (precision, Precision::F32));
        }
    }

    #[test]
    fn a_layout_is_shared_like_a_precision() {
        let (chosen, exact) = (Chosen::changing(), Chosen::exact());
        let shared = chosen.clone();
        for (_, layout) in LayoutChoice::NAMES.into_iter().rev() {
            chosen.set_layout(layout);
            exact.set_layout(layout);
            assert_eq!((shared.layout(), exact.layout(), shared.get()), (layout, LayoutChoice::Auto, Precision::F32));
        }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for precision in [Precision::F32, Precision::Tf32, Precision::Bf16] {
            assert_eq!(precision.to_string().parse(), Ok(precision));
        }
        let unknown = "fp16".parse::<Precision>().unwrap_err();
        assert_eq!(unknown, "precision: there is no `fp16`; use \"f32\", \"tf32\" or \"bf16\"");
    }
}
