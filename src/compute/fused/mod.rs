//! The forms of this folder's operations on a device with kernels ([`super::kernels`]): one launch where the CPU form is
//! one loop. Shapes have been checked by the operations that call them; values are those of the CPU forms.

pub mod losses;
pub mod middles;
pub mod passes;
pub mod power;
pub mod region;
pub mod rows;
pub mod sides;
pub mod weights;
