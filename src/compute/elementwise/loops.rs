//! Loops over elements: parts in parallel, each with the widest vectors that the processor has, results written once
//!
//! A second argument may be shorter than the first; it then starts over (one value per neuron for a batch of samples), and
//! its gradient sums over the samples in their order.

use crate::compute::element::Element;
use crate::compute::simd::wide_loop;
use crate::compute::unwritten::{unwritten, written};
use rayon::prelude::*;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Elements that one task works on.
const PART: usize = 1 << 14;
/// Positions whose gradients are summed over the samples at a time: the sums stay in the first-level cache.
const POSITIONS: usize = 1 << 11;

/// `f(x)` for every element.
pub fn map<T: Element, O: Copy + Send>(x: &[T], f: impl Fn(T) -> O + Sync) -> Vec<O> {
    let mut y = unwritten(x.len());
    y.par_chunks_mut(PART).zip(x.par_chunks(PART)).for_each(|(y, x)| {
        wide_loop(
            #[inline(always)]
            || {
                for (y, x) in y.iter_mut().zip(x) {
                    y.write(f(*x));
                }
            },
        );
    });
    // SAFETY: the loop has written every element.
    unsafe { written(y) }
}

/// `f(x, t)` for every element of `x`, `t` starting over where it is shorter.
pub fn combine<T: Element, O: Copy + Send>(x: &[T], t: &[T], f: impl Fn(T, T) -> O + Sync) -> Vec<O> {
    let mut y = unwritten(x.len());
    y.par_chunks_mut(PART).zip(x.par_chunks(PART)).enumerate().for_each(|(part, (y, x))| {
        let (mut y, mut x, mut at) = (y, x, part * PART % t.len());
        while !x.is_empty() {
            let n = x.len().min(t.len() - at);
            let (head, rest) = y.split_at_mut(n);
            let (own, t) = (&x[..n], &t[at..at + n]);
            wide_loop(
                #[inline(always)]
                || {
                    for ((y, x), t) in head.iter_mut().zip(own).zip(t) {
                        y.write(f(*x, *t));
                    }
                },
            );
            (y, x, at) = (rest, &x[n..], 0);
        }
    });
    // SAFETY: the parts cover all of x, and each loop writes its part.
    unsafe { written(y) }
}

/// `f(a, b)` for every element, in place of `a`.
pub fn merge<T: Copy + Send + Sync>(mut a: Vec<T>, b: &[T], f: impl Fn(T, T) -> T + Sync) -> Vec<T> {
    a.par_chunks_mut(PART).zip(b.par_chunks(PART)).for_each(|(a, b)| {
        wide_loop(
            #[inline(always)]
            || a.iter_mut().zip(b).for_each(|(a, b)| *a = f(*a, *b)),
        );
    });
    a
}

/// The gradients of a function that takes one of its two sides: `to(x, t)` says whether `g` goes to x and whether to t.
/// Both are computed in one pass, where wanted; that of `t` has its length.
pub fn sides<T: Element>(
    x: &[T],
    t: &[T],
    g: &[T],
    (to_x, to_t): (bool, bool),
    to: impl Fn(T, T) -> (bool, bool) + Sync,
) -> (Option<Vec<T>>, Option<Vec<T>>) {
    let period = t.len();
    if x.is_empty() {
        return (to_x.then(Vec::new), to_t.then(|| vec![T::ZERO; period]));
    }
    assert!(period > 0 && x.len().is_multiple_of(period) && x.len() == g.len(), "sides: lengths that do not fit");
    let mut dx = unwritten(if to_x { x.len() } else { 0 });
    let mut dt = vec![T::ZERO; if to_t { period } else { 0 }];
    let (room, sums) = (Shared::new(&mut dx), Shared::new(&mut dt));
    by_position(x.len(), period, |own, of_t| {
        let (x, g, t) = (&x[own.clone()], &g[own.clone()], &t[of_t.clone()]);
        // SAFETY: tasks have positions of their own, so neither these elements nor these sums are another task's.
        let (dx, dt): (&mut [MaybeUninit<T>], &mut [T]) = unsafe {
            (
                if to_x { room.part(own.start, x.len()) } else { &mut [] },
                if to_t { sums.part(of_t.start, x.len()) } else { &mut [] },
            )
        };
        wide_loop(
            #[inline(always)]
            || {
                for (((dx, x), t), g) in dx.iter_mut().zip(x).zip(t).zip(g) {
                    dx.write(if to(*x, *t).0 { *g } else { T::ZERO });
                }
                for (((dt, x), t), g) in dt.iter_mut().zip(x).zip(t).zip(g) {
                    *dt += if to(*x, *t).1 { *g } else { T::ZERO };
                }
            },
        );
    });
    // SAFETY: the parts cover all positions of all samples.
    (to_x.then(|| unsafe { written(dx) }), to_t.then_some(dt))
}

/// The same with the gradient of x in place of `g`; returns that of t.
pub fn sides_in_place<T: Element>(
    x: &[T],
    t: &[T],
    g: &mut [T],
    to_t: bool,
    to: impl Fn(T, T) -> (bool, bool) + Sync,
) -> Option<Vec<T>> {
    let period = t.len();
    assert!(period > 0 && x.len().is_multiple_of(period) && x.len() == g.len(), "sides: lengths that do not fit");
    let mut dt = vec![T::ZERO; if to_t { period } else { 0 }];
    let (room, sums) = (Shared::new(g), Shared::new(&mut dt));
    by_position(x.len(), period, |own, of_t| {
        let (x, t) = (&x[own.clone()], &t[of_t.clone()]);
        // SAFETY: as in `sides`.
        let (g, dt): (&mut [T], &mut [T]) =
            unsafe { (room.part(own.start, x.len()), if to_t { sums.part(of_t.start, x.len()) } else { &mut [] }) };
        wide_loop(
            #[inline(always)]
            || {
                for (((dt, x), t), g) in dt.iter_mut().zip(x).zip(t).zip(&*g) {
                    *dt += if to(*x, *t).1 { *g } else { T::ZERO };
                }
                for ((g, x), t) in g.iter_mut().zip(x).zip(t) {
                    *g = if to(*x, *t).0 { *g } else { T::ZERO };
                }
            },
        );
    });
    to_t.then_some(dt)
}

/// Calls `work` with some positions of each sample in turn, in `len` elements of samples of `period`, and with the same
/// positions of one sample; different positions in parallel.
fn by_position(len: usize, period: usize, work: impl Fn(Range<usize>, Range<usize>) + Sync) {
    (0..period.div_ceil(POSITIONS)).into_par_iter().for_each(|part| {
        let (from, to) = (part * POSITIONS, ((part + 1) * POSITIONS).min(period));
        (0..len).step_by(period).for_each(|start| work(start + from..start + to, from..to));
    });
}

/// `|w|`.
pub fn absolute<T: Element>(w: &[T]) -> Vec<T> {
    map(w, |w| if w < T::ZERO { -w } else { w })
}

/// Memory of which tasks write different parts.
pub struct Shared<'a, P> {
    start: *mut P,
    len: usize,
    all: PhantomData<&'a mut [P]>,
}

// SAFETY: `part` hands out what its callers promise to be different parts.
unsafe impl<P: Send> Sync for Shared<'_, P> {}

impl<'a, P> Shared<'a, P> {
    pub fn new(all: &'a mut [P]) -> Self {
        Self { start: all.as_mut_ptr(), len: all.len(), all: PhantomData }
    }

    /// Is there room for so many?
    pub fn holds(&self, n: usize) -> bool {
        n <= self.len
    }

    /// Where an element lies.
    pub fn at(&self, at: usize) -> *mut P {
        assert!(at < self.len, "an element out of bounds");
        // SAFETY: inside.
        unsafe { self.start.add(at) }
    }

    /// # Safety
    /// No other task holds any of these elements.
    #[expect(clippy::mut_from_ref, reason = "that is what it is for; the caller keeps the parts apart")]
    pub unsafe fn part(&self, from: usize, n: usize) -> &mut [P] {
        assert!(from <= self.len && n <= self.len - from, "a part out of bounds");
        // SAFETY: inside, and the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(from), n) }
    }
}
