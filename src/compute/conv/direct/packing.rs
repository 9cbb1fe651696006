//! Pictures into blocked form and back: as many channels by as many places at a time as a register has lanes, transposed in
//! registers
//!
//! ```text
//! plane by plane: channel c at places x .. x + 15      <->      in lines: place x, channels 16 b .. 16 b + 15
//! ```

use super::blocked::Blocked;
use crate::compute::simd::dispatch::{by_form, run};
use crate::compute::simd::lines::first;
use crate::compute::simd::lines::{LANES, Line};
use crate::compute::simd::register::Register;

/// A few places in a row of one block, or of a part of it: where they start, plane by plane and in numbers of lines, how
/// many there are, and how many of the channels.
struct Patch {
    picture: usize,
    line: usize,
    places: usize,
    channels: usize,
}

impl Blocked {
    /// Calls `work` with every patch of the picture.
    #[inline(always)]
    fn patches<R: Register>(&self, mut work: impl FnMut(&Patch)) {
        let plane = self.height * self.width;
        for first in (0..self.blocks() * LANES).step_by(R::LANES) {
            let channels = self.channels.saturating_sub(first).min(R::LANES);
            for y in 0..self.height {
                for x in (0..self.width).step_by(R::LANES) {
                    let picture = first * plane + y * self.width + x;
                    let line = self.at(first / LANES, y, x) * LANES + first % LANES;
                    let places = (self.width - x).min(R::LANES);
                    work(&Patch { picture, line, places, channels });
                }
            }
        }
    }
}

/// A patch of a picture, in pieces, for [`Register::transpose`] to put a place in each row.
#[inline(always)]
unsafe fn load<R: Register>(patch: &Patch, picture: *const f32, plane: usize) -> R::Rows {
    // SAFETY: the rows of the patch lie inside the planes of its channels, which the caller vouches for.
    unsafe {
        // A part of a block may have no channels; there is no such place, then.
        let corner = picture.wrapping_add(patch.picture);
        if patch.places == R::LANES && patch.channels == R::LANES {
            return R::pieces(corner, plane);
        }
        filled::<R>(corner, patch.channels, plane, patch.places)
    }
}

/// Up to a square of numbers, its rows `stride` apart, filled up with zeros, in pieces.
#[inline(always)]
unsafe fn filled<R: Register>(from: *const f32, rows: usize, stride: usize, columns: usize) -> R::Rows {
    // SAFETY: the lanes keep inside the rows, which the caller vouches for.
    unsafe {
        let some = first(columns);
        let mut whole = R::no_rows();
        for (i, row) in whole.as_mut().iter_mut().enumerate().take(rows) {
            *row = R::load_some(from.wrapping_add(i * stride), some);
        }
        R::pieces(whole.as_ref().as_ptr().cast(), R::LANES)
    }
}

/// The other way.
#[inline(always)]
unsafe fn store<R: Register>(patch: &Patch, rows: &R::Rows, picture: *mut f32, plane: usize) {
    let some = first(patch.places);
    let to = |c: usize| picture.wrapping_add(patch.picture + c * plane);
    if patch.places == R::LANES {
        // SAFETY: as in `load`.
        each::<R>(
            patch.channels,
            #[inline(always)]
            |c| unsafe { rows.as_ref()[c].store(to(c)) },
        );
    } else {
        // SAFETY: as in `load`.
        each::<R>(
            patch.channels,
            #[inline(always)]
            |c| unsafe { rows.as_ref()[c].store_some(to(c), some) },
        );
    }
}

/// Calls `work` with 0 to `count`, in a row where those are all, so that rows need not be in memory.
#[inline(always)]
fn each<R: Register>(count: usize, work: impl Fn(usize)) {
    // Loops, not `for_each`, which is no inlined function.
    if count == R::LANES {
        for i in 0..R::LANES {
            work(i);
        }
    } else {
        for i in 0..count {
            work(i);
        }
    }
}

/// A patch of a blocked picture, in pieces, for [`Register::transpose`] to put a channel in each row.
#[inline(always)]
unsafe fn load_lines<R: Register>(patch: &Patch, lines: *const Line) -> R::Rows {
    // SAFETY: the lines of the patch lie inside the block, which the caller vouches for.
    unsafe {
        let first = lines.cast::<f32>().add(patch.line);
        if patch.places == R::LANES {
            return R::pieces(first, LANES);
        }
        filled::<R>(first, patch.places, LANES, R::LANES)
    }
}

/// The other way.
#[inline(always)]
unsafe fn store_lines<R: Register>(patch: &Patch, rows: &R::Rows, lines: *mut Line) {
    each::<R>(
        patch.places,
        #[inline(always)]
        // SAFETY: as in `load_lines`.
        |i| unsafe { rows.as_ref()[i].store(lines.cast::<f32>().add(patch.line + i * LANES)) },
    );
}

/// A picture, plane by plane, into its blocked form. The border is not touched.
pub fn pack(layout: &Blocked, picture: &[f32], lines: &mut [Line]) {
    assert!(picture.len() >= layout.numbers() && lines.len() >= layout.lines());
    let (plane, lines) = (layout.height * layout.width, lines.as_mut_ptr());
    by_form!(R => run::<R, ()>(
        #[inline(always)]
        || layout.patches::<R>(
            #[inline(always)]
            // SAFETY: the patches lie inside both, whose sizes have been asserted.
            |patch| unsafe {
                let rows = load::<R>(patch, picture.as_ptr(), plane);
                store_lines::<R>(patch, &R::transpose(rows), lines);
            },
        ),
    ));
}

/// A picture's lower and upper ends into the blocked form of their middles and half-widths.
pub fn pack_center_radius(layout: &Blocked, lower: &[f32], upper: &[f32], middle: &mut [Line], half: &mut [Line]) {
    assert!(lower.len() >= layout.numbers() && upper.len() >= layout.numbers());
    assert!(middle.len() >= layout.lines() && half.len() >= layout.lines());
    let plane = layout.height * layout.width;
    let (middle, half) = (middle.as_mut_ptr(), half.as_mut_ptr());
    by_form!(R => run::<R, ()>(
        #[inline(always)]
        || layout.patches::<R>(
            #[inline(always)]
            // SAFETY: as in `pack`.
            |patch| unsafe {
                let (mut l, mut u) =
                    (load::<R>(patch, lower.as_ptr(), plane), load::<R>(patch, upper.as_ptr(), plane));
                let two = R::all(0.5);
                for (l, u) in l.as_mut().iter_mut().zip(u.as_mut()) {
                    (*l, *u) = (l.add(*u).mul(two), u.sub(*l).mul(two));
                }
                store_lines::<R>(patch, &R::transpose(l), middle);
                store_lines::<R>(patch, &R::transpose(u), half);
            },
        ),
    ));
}

/// A blocked picture plane by plane, times `scale`. Writes all of `picture`, which need not be initialised.
///
/// # Safety
/// `picture` has room for [`Blocked::numbers`] numbers.
pub unsafe fn unpack(layout: &Blocked, lines: &[Line], scale: f32, picture: *mut f32) {
    assert!(lines.len() >= layout.lines());
    let plane = layout.height * layout.width;
    by_form!(R => run::<R, ()>(
        #[inline(always)]
        || layout.patches::<R>(
            #[inline(always)]
            // SAFETY: as in `pack`, and the caller's promise.
            |patch| unsafe {
                let (mut rows, scale) = (load_lines::<R>(patch, lines.as_ptr()), R::all(scale));
                for row in rows.as_mut() {
                    *row = row.mul(scale);
                }
                store::<R>(patch, &R::transpose(rows), picture, plane);
            },
        ),
    ));
}

/// `a - b` and `a + b` of two blocked pictures, plane by plane.
///
/// # Safety
/// As for [`unpack`].
pub unsafe fn unpack_ends(layout: &Blocked, a: &[Line], b: &[Line], lower: *mut f32, upper: *mut f32) {
    assert!(a.len() >= layout.lines() && b.len() >= layout.lines());
    let plane = layout.height * layout.width;
    by_form!(R => run::<R, ()>(
        #[inline(always)]
        || layout.patches::<R>(
            #[inline(always)]
            // SAFETY: as in `unpack`.
            |patch| unsafe {
                let (mut l, mut u) = (load_lines::<R>(patch, a.as_ptr()), load_lines::<R>(patch, b.as_ptr()));
                for (l, u) in l.as_mut().iter_mut().zip(u.as_mut()) {
                    (*l, *u) = (l.sub(*u), l.add(*u));
                }
                store::<R>(patch, &R::transpose(l), lower, plane);
                store::<R>(patch, &R::transpose(u), upper, plane);
            },
        ),
    ));
}

/// Up to 16 rows of up to 16 numbers each, `stride` apart.
pub struct Matrix<'a> {
    pub from: &'a [f32],
    pub rows: usize,
    pub stride: usize,
    pub columns: usize,
}

/// The columns of a matrix as lines, missing rows as zeros; with `absolute` of its absolute values.
pub fn turned(matrix: &Matrix, absolute: bool) -> [Line; LANES] {
    let Matrix { from, rows, stride, columns } = *matrix;
    assert!(rows <= LANES && columns <= LANES && (rows == 0 || from.len() >= (rows - 1) * stride + columns));
    let mut lines = [Line::default(); LANES];
    by_form!(R => run::<R, ()>(
        #[inline(always)]
        // SAFETY: all rows lie inside, asserted above.
        || unsafe {
            let bits = R::bits(if absolute { !(1 << 31) } else { !0 });
            for row in (0..rows).step_by(R::LANES) {
                for column in (0..columns).step_by(R::LANES) {
                    let corner = from.as_ptr().add(row * stride + column);
                    let (rows, columns) = ((rows - row).min(R::LANES), (columns - column).min(R::LANES));
                    let mut all = filled::<R>(corner, rows, stride, columns);
                    for own in all.as_mut() {
                        *own = own.and(bits);
                    }
                    let all = R::transpose(all);
                    for (line, own) in lines[column..].iter_mut().zip(all.as_ref()) {
                        own.store(line.0.as_mut_ptr().add(row));
                    }
                }
            }
        },
    ));
    lines
}
