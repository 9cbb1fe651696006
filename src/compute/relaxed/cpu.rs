//! The passes on the CPU: rows in parallel forward, positions in parallel backward, so that sums over rows have one order.

use super::held::Held;
use crate::compute::element::{Element, Host};
use crate::compute::elementwise::loops::Shared;
use crate::compute::unwritten::{unwritten, written};
use candle_core::{Result, Tensor};
use pulp::Arch;
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Partial sums side by side, so that a vector register takes some at once.
const LANES: usize = 16;
/// Numbers whose products are added up in T before they go into a sum in f64.
const BLOCK: usize = 512;
/// Positions of a sample that one task takes through all rows.
const POSITIONS: usize = 1 << 11;

pub fn forward<T: Element>(held: &Held) -> Result<(Tensor, Tensor)> {
    let (n, [batch, rows]) = (held.len(), held.sizes);
    let (a, lines) = (Host::of(&held.a), held.lines.each_ref().map(Host::of));
    let a = a.slice::<T>()?;
    let [ls, us, lo, uo] = [lines[0].slice::<T>()?, lines[1].slice()?, lines[2].slice()?, lines[3].slice()?];
    let bias = held.bias.as_ref().map(Host::of);
    let bias = bias.as_ref().map(|bias| bias.slice::<T>()).transpose()?;
    let mut out = unwritten(a.len());
    let mut constants = vec![T::ZERO; batch * rows];
    if n > 0 {
        let each = out.par_chunks_mut(n).zip(a.par_chunks(n)).zip(&mut constants).enumerate();
        each.for_each(|(row, ((out, a), constant))| {
            let own = row / rows * n..(row / rows + 1) * n;
            let lines = [&ls[own.clone()], &us[own.clone()], &lo[own.clone()], &uo[own]];
            *constant = T::of(Arch::new().dispatch(
                #[inline(always)]
                || match bias {
                    None => one_row(out, a, lines, |_| T::ZERO),
                    Some(bias) => one_row(out, a, lines, |i| bias[i]),
                },
            ));
        });
    }
    // SAFETY: every row has been written.
    let out = Tensor::from_vec(unsafe { written(out) }, held.a.shape(), held.a.device())?;
    Ok((out, Tensor::from_vec(constants, (batch, rows), held.a.device())?))
}

#[inline(always)]
fn one_row<T: Element>(
    out: &mut [MaybeUninit<T>],
    a: &[T],
    [ls, us, lo, uo]: [&[T]; 4],
    bias: impl Fn(usize) -> T,
) -> f64 {
    let mut sum = 0.0;
    for (at, (out, a)) in out.chunks_mut(BLOCK).zip(a.chunks(BLOCK)).enumerate() {
        let own = at * BLOCK..at * BLOCK + a.len();
        let (ls, us, lo, uo) = (&ls[own.clone()], &us[own.clone()], &lo[own.clone()], &uo[own]);
        let mut parts = [T::ZERO; LANES];
        let whole = a.len() / LANES * LANES;
        for start in (0..whole).step_by(LANES) {
            for (lane, part) in parts.iter_mut().enumerate() {
                let i = start + lane;
                // A NaN is not above 0, and stays one in the product.
                let above = a[i] > T::ZERO;
                let x = a[i] * if above { ls[i] } else { us[i] };
                out[i].write(x);
                *part += a[i] * if above { lo[i] } else { uo[i] } + x * bias(at * BLOCK + i);
            }
        }
        for i in whole..a.len() {
            let above = a[i] > T::ZERO;
            let x = a[i] * if above { ls[i] } else { us[i] };
            out[i].write(x);
            parts[0] += a[i] * if above { lo[i] } else { uo[i] } + x * bias(at * BLOCK + i);
        }
        sum += parts.iter().map(|part| part.wide()).sum::<f64>();
    }
    sum
}

pub fn backward<T: Element>(held: &Held, g: &Tensor, gk: &Tensor, wanted: &[bool]) -> Result<Vec<Option<Tensor>>> {
    let (n, [batch, rows]) = (held.len(), held.sizes);
    let (a, lines, g, gk) = (Host::of(&held.a), held.lines.each_ref().map(Host::of), Host::of(g), Host::of(gk));
    let (a, g, gk) = (a.slice::<T>()?, g.slice::<T>()?, gk.slice::<T>()?);
    let [ls, us, lo, uo] = [lines[0].slice::<T>()?, lines[1].slice()?, lines[2].slice()?, lines[3].slice()?];
    let bias = held.bias.as_ref().map(Host::of);
    let bias = bias.as_ref().map(|bias| bias.slice::<T>()).transpose()?;
    let to_lines = wanted[1..].iter().any(|w| *w);
    let mut da = unwritten(if wanted[0] { a.len() } else { 0 });
    let mut found: [Vec<T>; 4] = std::array::from_fn(|_| vec![T::ZERO; if to_lines { batch * n } else { 0 }]);
    {
        let [a0, a1, a2, a3] = &mut found;
        let (room, sums) = (Shared::new(&mut da), [Shared::new(a0), Shared::new(a1), Shared::new(a2), Shared::new(a3)]);
        let parts = n.div_ceil(POSITIONS);
        (0..batch * parts).into_par_iter().for_each(|task| {
            let (b, from) = (task / parts, task % parts * POSITIONS);
            let len = POSITIONS.min(n - from);
            let own = b * n + from..b * n + from + len;
            let lines = [&ls[own.clone()], &us[own.clone()], &lo[own.clone()], &uo[own.clone()]];
            for s in b * rows..(b + 1) * rows {
                let at = s * n + from..s * n + from + len;
                let (a, g, gk) = (&a[at.clone()], &g[at.clone()], gk[s]);
                // SAFETY: tasks have samples and positions of their own.
                let da: &mut [MaybeUninit<T>] = if wanted[0] { unsafe { room.part(at.start, len) } } else { &mut [] };
                let bias = bias.map(|bias| &bias[from..from + len]);
                Arch::new().dispatch(
                    #[inline(always)]
                    || match bias {
                        None => of_coefficients(da, a, gk, lines, |i| g[i]),
                        Some(bias) => of_coefficients(da, a, gk, lines, |i| g[i] + gk * bias[i]),
                    },
                );
                if to_lines {
                    // SAFETY: as above.
                    let sums = sums.each_ref().map(|sum| unsafe { sum.part(own.start, len) });
                    Arch::new().dispatch(
                        #[inline(always)]
                        || match bias {
                            None => of_lines(sums, a, gk, |i| g[i]),
                            Some(bias) => of_lines(sums, a, gk, |i| g[i] + gk * bias[i]),
                        },
                    );
                }
            }
        });
    }
    let mut all = vec![match wanted[0] {
        // SAFETY: the tasks cover all positions of all rows.
        true => Some(Tensor::from_vec(unsafe { written(da) }, held.a.shape(), held.a.device())?),
        false => None,
    }];
    for (values, like) in found.into_iter().zip(&held.lines) {
        all.push(if to_lines { Some(Tensor::from_vec(values, like.shape(), like.device())?) } else { None });
    }
    Ok(all)
}

/// `g`: what has come for a', with what the constants have of it by a bias.
#[inline(always)]
fn of_coefficients<T: Element>(
    da: &mut [MaybeUninit<T>],
    a: &[T],
    gk: T,
    [ls, us, lo, uo]: [&[T]; 4],
    g: impl Fn(usize) -> T,
) {
    for (i, da) in da.iter_mut().enumerate() {
        let above = a[i] > T::ZERO;
        let (slope, offset) = if above { (ls[i], lo[i]) } else { (us[i], uo[i]) };
        da.write(g(i) * slope + gk * offset);
    }
}

#[inline(always)]
fn of_lines<T: Element>([ls, us, lo, uo]: [&mut [T]; 4], a: &[T], gk: T, g: impl Fn(usize) -> T) {
    for i in 0..a.len() {
        let (above, below) = if a[i] > T::ZERO { (a[i], T::ZERO) } else { (T::ZERO, a[i]) };
        let g = g(i);
        ls[i] += above * g;
        us[i] += below * g;
        lo[i] += above * gk;
        uo[i] += below * gk;
    }
}
