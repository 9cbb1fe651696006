//! How long a power iteration goes on, and in which numbers. bf16 only ever moves the iterates: a last product in f32
//! makes sigma, u and v belong together. f16 is for training on a GPU: sigma is as near as under TF32.

/// How long to iterate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PowerOptions {
    /// At most this many iterations, at least 1.
    pub iterations: usize,
    /// Stop a sample when its `||u' - u||` falls to this; `None` runs every iteration.
    pub tolerance: Option<f64>,
    /// What the iterations compute in.
    pub arithmetic: Arithmetic,
}

/// The numbers of the iterations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arithmetic {
    /// The layer's own type.
    #[default]
    Own,
    /// bf16 products summed in f32, sigma and the last right vector from the layer's own type, for convolutions in f32 where
    /// the processor has them ([`bf16_iterations`]); the layer's own type elsewhere. Weights and vectors are rounded to 8 bits on the way: how far from f32's sigma ends hangs on how
    /// close singular values lie (a bound in `tests/common/bf16.rs`, what was measured in `benches/NOTES.md`).
    Bf16,
    /// f16 vectors and products, summed in f32, for convolutions and matrices in f32 on a device with kernels of our own, in an iteration
    /// without a tolerance; the layer's own type elsewhere. Weights and vectors are rounded to 11 bits, as TF32 rounds them.
    F16,
}

/// Does [`Arithmetic::Bf16`] make a difference here: does the processor multiply bf16?
pub fn bf16_iterations() -> bool {
    #[cfg(target_arch = "x86_64")]
    return crate::compute::simd::form::bf16_available();
    #[cfg(not(target_arch = "x86_64"))]
    false
}
