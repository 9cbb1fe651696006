//! Changes of variables: the one way to them, so that what was computed of a weight knows when it is old.

use candle_core::{Result, Tensor, Var};
use std::sync::atomic::{AtomicU64, Ordering};

/// Changes so far, of any variable.
static CHANGES: AtomicU64 = AtomicU64::new(0);

/// Put `value` into `variable`.
pub fn assign(variable: &Var, value: &Tensor) -> Result<()> {
    changed();
    let done = variable.set(value);
    // Again, for whoever has looked meanwhile.
    changed();
    done
}

/// Variables are changed in place: said before they are, so that what fails halfway counts too.
pub fn changed() {
    CHANGES.fetch_add(1, Ordering::SeqCst);
}

/// A number that stays the same as long as no variable changes.
pub fn age() -> u64 {
    CHANGES.load(Ordering::SeqCst)
}
