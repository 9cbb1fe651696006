//! A test file once more for each form of the CPU's kernels that this process does not run and this machine could

use std::process::Command;

/// All tests of the file, with the kernels of processors without AVX-512 where this one has it, and without kernels of our own.
/// `name` is the test that calls this, which is left out.
pub fn again(name: &str) {
    for form in others() {
        let tests = std::env::current_exe().expect("the path of the tests");
        let output = Command::new(tests).args(["--exact", "--skip", name]).env("WORKBENCH_KERNELS", form).output();
        let output = output.expect("the tests start");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "kernels `{form}`:\n{text}");
        println!("kernels `{form}`:\n{text}");
    }
}

#[cfg(target_arch = "x86_64")]
fn others() -> &'static [&'static str] {
    use workbench::compute::simd::form::{Form, form};
    match form() {
        Some(Form::Avx512) => &["avx2", "none"],
        Some(Form::Avx2) => &["none"],
        None => &[],
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn others() -> &'static [&'static str] {
    &[]
}
