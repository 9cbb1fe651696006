//! Lines of 16 numbers: one register of AVX-512, two of AVX2

/// Channels in a line.
pub const LANES: usize = 16;

/// 16 numbers that share a cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub struct Line(pub [f32; LANES]);

/// 16 numbers in bf16, in the order of their channels.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(32))]
pub struct HalfLine(pub [u16; LANES]);

/// The bits of so many lanes, the first ones; all from 16 on.
pub fn first(lanes: usize) -> u16 {
    if lanes >= LANES { !0 } else { (1 << lanes) - 1 }
}
