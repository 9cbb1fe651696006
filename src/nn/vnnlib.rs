//! Properties for verifiers, in VNN-LIB: a box around an image in which the label is to stay
//!
//! ```text
//! X_i in [x_i - eps, x_i + eps]        is there an output with Y_j >= Y_label for some j?
//! ```
//!
//! The l-infinity ball is this box. An l2 ball of the same radius lies inside it, so a proof over the box holds for the ball; an input that
//! breaks the property may lie outside the ball. Ends are rounded outward.

use crate::base::files::replace;
use candle_core::{DType, Error, Result, Tensor, bail};
use std::fmt::Write;
use std::path::Path;

/// The ball that is meant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ball {
    L2,
    Linf,
}

/// Write the property of one image `x` (a sample) with its label; `images` cuts the box to [0, 1].
pub fn write(path: &Path, x: &Tensor, label: usize, classes: usize, eps: f64, ball: Ball, images: bool) -> Result<()> {
    let text = property(x, label, classes, eps, ball, images)?;
    replace(path, text.as_bytes()).map_err(|e| Error::Msg(format!("export_vnnlib: {}: {e}", path.display())))
}

fn property(x: &Tensor, label: usize, classes: usize, eps: f64, ball: Ball, images: bool) -> Result<String> {
    if label >= classes || classes < 2 {
        bail!("export_vnnlib: label {label} is none of {classes} classes");
    }
    if !(eps >= 0.0 && eps.is_finite()) {
        bail!("export_vnnlib: eps is {eps}, it must be finite and at least 0");
    }
    let values = x.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>()?;
    if let Some(broken) = values.iter().find(|v| !v.is_finite()) {
        bail!("export_vnnlib: the image holds {broken}");
    }
    let mut text = match ball {
        Ball::Linf => format!("; The l-infinity ball of radius {eps} around an image of class {label}.\n"),
        Ball::L2 => format!(
            "; The box around the l2 ball of radius {eps} around an image of class {label}: larger than the ball. What is proved here holds\n\
             ; in the ball; an input that breaks it may lie outside of it.\n"
        ),
    };
    let mut line = |words: std::fmt::Arguments| {
        // Into memory nothing fails.
        let _ = writeln!(text, "{words}");
    };
    (0..values.len()).for_each(|i| line(format_args!("(declare-const X_{i} Real)")));
    (0..classes).for_each(|j| line(format_args!("(declare-const Y_{j} Real)")));
    for (i, v) in values.iter().enumerate() {
        // Written with 20 decimals, of which the last may be off by half.
        let (mut low, mut high) = ((v - eps).next_down() - 1e-20, (v + eps).next_up() + 1e-20);
        if images {
            (low, high) = (low.clamp(0.0, 1.0), high.clamp(0.0, 1.0));
        }
        line(format_args!("(assert (>= X_{i} {low:.20}))"));
        line(format_args!("(assert (<= X_{i} {high:.20}))"));
    }
    line(format_args!("(assert (or"));
    (0..classes).filter(|j| *j != label).for_each(|j| line(format_args!("  (and (>= Y_{j} Y_{label}))")));
    line(format_args!("))"));
    Ok(text)
}
