//! A panic in native code is a bug of the workbench; it must end one script, not the prompt with all its values.

use super::error::{Res, fail};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};

/// Run `work`; a panic inside becomes an error of the script that says what happened.
pub fn guarded<T>(work: impl FnOnce() -> Res<T>) -> Res<T> {
    let usual = take_hook();
    set_hook(Box::new(|_| {}));
    let result = catch_unwind(AssertUnwindSafe(work));
    set_hook(usual);
    result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(fail(format!(
            "internal error: {}. This is a bug of the workbench; please report it with the script",
            text.unwrap_or("a native function panicked")
        )))
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_panic_becomes_an_error() {
        let error = super::guarded::<()>(|| panic!("out of cheese")).expect_err("it panicked");
        assert!(error.to_string().contains("internal error: out of cheese"), "{error}");
        assert_eq!(super::guarded(|| Ok(3)).ok(), Some(3));
    }
}
