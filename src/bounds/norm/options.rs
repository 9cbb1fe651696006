//! How long a power iteration goes on, and in which numbers. bf16 only ever moves the iterates: a last product in f32
//! makes sigma, u and v belong together.

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

/// The numbers of the iterations. Sigma and the last right vector come from the layer's own type in either case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arithmetic {
    /// The layer's own type.
    #[default]
    Own,
    /// bf16 products summed in f32, for convolutions in f32 where the processor has them ([`bf16_iterations`]); the layer's
    /// own type elsewhere. Weights and vectors are rounded to 8 bits on the way: how far from f32's sigma ends hangs on how
    /// close singular values lie (a bound in `tests/common/bf16.rs`, what was measured in `benches/NOTES.md`).
    Bf16,
}

/// Does [`Arithmetic::Bf16`] make a difference here: does the processor multiply bf16?
pub fn bf16_iterations() -> bool {
    #[cfg(target_arch = "x86_64")]
    return crate::compute::simd::form::bf16_available();
    #[cfg(not(target_arch = "x86_64"))]
    false
}
