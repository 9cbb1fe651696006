//! Which instructions f32 kernels are made of: AVX-512 where the processor has it, AVX2 with FMA elsewhere
//!
//! AMX tiles are not used: they would need inline assembly, which could not be run when the kernels were written.

use std::sync::OnceLock;

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

/// The form of a process that has one: [`crate::compute::conv::direct::fits()`] or
/// [`crate::compute::simd::form::available`] has been asked.
pub fn present() -> Form {
    form().expect("a processor with direct kernels")
}

/// Does the processor have what the f32 kernels need?
pub fn available() -> bool {
    form().is_some()
}

/// Does it multiply bf16?
pub fn bf16_available() -> bool {
    form() == Some(Form::Avx512) && is_x86_feature_detected!("avx512bf16")
}
