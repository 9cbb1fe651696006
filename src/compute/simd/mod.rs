//! Vector registers: which instructions f32 kernels are made of, what a kernel sees of them, lines of 16 numbers.

mod avx2;
mod avx512;
pub mod dispatch;
pub mod form;
pub mod lines;
pub(crate) mod register;
pub mod scratch;
mod wide_loop;

pub use wide_loop::wide_loop;
