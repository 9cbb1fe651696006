//! A kernel is written once, for any [`Register`], and always inlined into [`run`]: there it is compiled for the instructions of
//! that register.

use super::form::form;
use super::register::Register;

/// `by_form!(R => value)`: the value with `R` as the registers of this process.
macro_rules! by_form {
    ($register:ident => $value:expr) => {
        match $crate::compute::simd::form::present() {
            $crate::compute::simd::form::Form::Avx2 => {
                type $register = std::arch::x86_64::__m256;
                $value
            }
            $crate::compute::simd::form::Form::Avx512 => {
                type $register = std::arch::x86_64::__m512;
                $value
            }
        }
    };
}
pub(crate) use by_form;

/// The work, with everything that is inlined into it compiled for the instructions of `R`. Closures in it and functions
/// that it calls are only compiled so if they are inlined.
#[inline]
pub fn run<R: Register, T>(work: impl FnOnce() -> T) -> T {
    assert!(form() == Some(R::FORM), "not the form of this process");
    // SAFETY: it has the form's instructions.
    unsafe { R::enter(work) }
}

/// Work without registers of ours, that the compiler is to vectorise: [`run`] in the form of this process.
#[inline]
pub fn vectorised<T>(work: impl FnOnce() -> T) -> T {
    by_form!(R => run::<R, T>(work))
}
