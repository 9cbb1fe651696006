//! Which instructions the kernels are made of: AVX-512 where the processor has it, AVX2 with FMA elsewhere
//!
//! A kernel is written once, for any [`Register`], and always inlined into [`run`]: there it is compiled for the
//! instructions of that register.

use super::register::Register;
use std::sync::OnceLock;

/// `by_form!(R => value)`: the value with `R` as the registers of this process.
macro_rules! by_form {
    ($register:ident => $value:expr) => {
        match $crate::compute::direct::form::present() {
            $crate::compute::direct::form::Form::Avx2 => {
                type $register = std::arch::x86_64::__m256;
                $value
            }
            $crate::compute::direct::form::Form::Avx512 => {
                type $register = std::arch::x86_64::__m512;
                $value
            }
        }
    };
}
pub(super) use by_form;

/// What the f32 kernels are made of, the better the later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    Avx2,
    Avx512,
}

/// The form of this process, if any. `WORKBENCH_KERNELS=avx2` wants no better one, `none` none at all: for tests and
/// measurements of what other processors run.
pub fn form() -> Option<Form> {
    static FORM: OnceLock<Option<Form>> = OnceLock::new();
    *FORM.get_or_init(|| {
        let best = if is_x86_feature_detected!("avx512f") {
            Form::Avx512
        } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            Form::Avx2
        } else {
            return None;
        };
        match std::env::var("WORKBENCH_KERNELS").as_deref() {
            Ok("none") => None,
            Ok("avx2") if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") => Some(Form::Avx2),
            Ok(_) | Err(_) => Some(best),
        }
    })
}

/// The form of a process that has one: [`super::fits`] or [`super::available`] has been asked.
pub fn present() -> Form {
    form().expect("a processor with direct kernels")
}

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
