//! Gradients of margins without those that no sum in f32 would show
//!
//! Of a cross-entropy the gradient in a margin is a probability, 1e-38 as well as 1. A row that begins with the first is numbers below the smallest
//! normal one all the way back, which processors take many times as long for. What is below 2^-40 of the largest is 0 here; f64 stays as it is.

use candle_core::{DType, Result, Tensor};

/// `g` `[B, S]`.
pub fn significant(g: &Tensor) -> Result<Tensor> {
    if g.dtype() != DType::F32 || g.elem_count() == 0 {
        return Ok(g.clone());
    }
    let sizes = g.abs()?;
    let least = (sizes.flatten_all()?.max(0)? * 2f64.powi(-40))?;
    // A NaN is not below anything.
    sizes.broadcast_lt(&least)?.where_cond(&g.zeros_like()?, g)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn what_sums_do_not_show_is_dropped() -> Result<()> {
        let g = Tensor::new(&[[1e-3f32, 1e-14, 1e-30], [-2e-3, -1e-17, 0.0]], &Device::Cpu)?;
        assert_eq!(significant(&g)?.to_vec2::<f32>()?, [[1e-3, 1e-14, 0.0], [-2e-3, 0.0, 0.0]]);
        let broken = Tensor::new(&[[1e-3f32, f32::NAN]], &Device::Cpu)?;
        assert!(significant(&broken)?.to_vec2::<f32>()?[0][1].is_nan());
        let wide = Tensor::new(&[[1.0, 1e-300]], &Device::Cpu)?;
        assert_eq!(significant(&wide)?.to_vec2::<f64>()?, [[1.0, 1e-300]]);
        Ok(())
    }
}
