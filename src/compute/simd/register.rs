//! A vector register of f32, as the kernels see it: AVX-512's with 16 lanes, AVX2's with 8

use super::form::Form;
use super::lines;

/// Registers of one form, and what a kernel does with them.
///
/// # Safety
/// All functions but `enter` are to be called within [`super::dispatch::run`], where they are inlined; so the processor has the
/// instructions. Pointers are to live memory of `LANES` numbers, or as many as the bits say; none need
/// be aligned.
pub trait Register: Copy {
    const FORM: Form;
    const LANES: usize;
    /// Registers in a line of 16 numbers.
    const PARTS: usize = lines::LANES / Self::LANES;
    /// As many registers as lanes.
    type Rows: Copy + AsRef<[Self]> + AsMut<[Self]>;

    /// Calls `work`, compiled for this form's instructions where it is inlined.
    ///
    /// # Safety
    /// The processor has them.
    unsafe fn enter<T>(work: impl FnOnce() -> T) -> T;

    unsafe fn zero() -> Self;
    unsafe fn all(x: f32) -> Self;
    /// These bits in every lane.
    unsafe fn bits(bits: u32) -> Self;
    /// A broadcast that stays one load. From the plain intrinsic LLVM merges neighbouring numbers into one load and
    /// shuffles, and shuffles take the port of every second multiply-add.
    unsafe fn broadcast(from: *const f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    /// The lanes whose bits are set, zeros in the others; reads nothing there.
    unsafe fn load_some(from: *const f32, lanes: u16) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// The first lanes, as many as the lowest bits that are set; writes nothing behind them.
    unsafe fn store_some(self, to: *mut f32, lanes: u16);

    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    /// `self other + plus`
    unsafe fn fma(self, other: Self, plus: Self) -> Self;
    /// Bit by bit.
    unsafe fn and(self, other: Self) -> Self;
    /// The lanes whose bits are set, zeros in the others.
    unsafe fn keep(self, lanes: u16) -> Self;
    /// Times the sign of `like`, which is that of +1 for NaN: 0 where `like` is 0.
    unsafe fn signed(self, like: Self) -> Self;
    /// The sum of all lanes.
    unsafe fn sum(self) -> f32;

    unsafe fn no_rows() -> Self::Rows;
    /// A square of numbers, its rows `stride` apart, in the order that `transpose` wants. Loading them so is half of a
    /// transposition, and leaves the port for shuffles alone.
    unsafe fn pieces(from: *const f32, stride: usize) -> Self::Rows;
    /// From `pieces` of rows to columns.
    unsafe fn transpose(rows: Self::Rows) -> Self::Rows;
}
