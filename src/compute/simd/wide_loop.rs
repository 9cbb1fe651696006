//! A loop compiled for the widest registers of the processor that runs it.

use pulp::{Arch, NullaryFnOnce};

/// Run `f`, which is to be `#[inline(always)]`, compiled for the instructions that the processor has. What it calls for each element has to be
/// inlined into it, or is compiled for the oldest processor.
///
/// `FnMut` and not `FnOnce`: a closure that could be called again is otherwise called through a function of the compiler's, which is not
/// inlined when it is large, and then no loop in it has wide registers.
#[inline(always)]
pub fn wide_loop<R>(f: impl FnMut() -> R) -> R {
    Arch::new().dispatch(Call(f))
}

struct Call<F>(F);

impl<R, F: FnMut() -> R> NullaryFnOnce for Call<F> {
    type Output = R;

    #[inline(always)]
    fn call(mut self) -> R {
        (self.0)()
    }
}
