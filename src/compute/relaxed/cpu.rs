//! The passes on the CPU: tasks have a sample's positions of their own and go through all rows there, so that lines and sums over rows stay in
//! the first cache, and sums have one order.

use super::held::Held;
use crate::compute::element::{Element, Host};
use crate::compute::elementwise::loops::Shared;
use crate::compute::simd::wide_loop;
use crate::compute::unwritten::{unwritten, written};
use candle_core::{Result, Tensor};
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Partial sums side by side, so that a vector register takes some at once.
const LANES: usize = 16;
/// Positions of a sample that one task takes through all rows, whose products are added up in T before they go into a sum in f64.
const POSITIONS: usize = 512;

/// Tasks of `POSITIONS` positions: the sample, the first position, how many.
fn tasks(batch: usize, n: usize) -> impl IndexedParallelIterator<Item = (usize, usize, usize)> {
    let parts = n.div_ceil(POSITIONS);
    (0..batch * parts).into_par_iter().map(move |task| {
        let from = task % parts * POSITIONS;
        (task / parts, from, POSITIONS.min(n - from))
    })
}

pub fn forward<T: Element>(held: &Held) -> Result<(Tensor, Tensor)> {
    let (n, [batch, rows]) = (held.len(), held.sizes);
    let (a, lines) = (Host::of(&held.a), held.lines.each_ref().map(Host::of));
    let a = a.slice::<T>()?;
    let [ls, us, lo, uo] = [lines[0].slice::<T>()?, lines[1].slice()?, lines[2].slice()?, lines[3].slice()?];
    let bias = held.bias.as_ref().map(Host::of);
    let bias = bias.as_ref().map(|bias| bias.slice::<T>()).transpose()?;
    let mut out = unwritten(a.len());
    let parts = n.div_ceil(POSITIONS);
    // By row and part of it.
    let mut sums = vec![0.0; batch * rows * parts];
    {
        let (room, sums) = (Shared::new(&mut out), Shared::new(&mut sums));
        tasks(batch, n).for_each(|(b, from, len)| {
            let own = b * n + from..b * n + from + len;
            let lines = [&ls[own.clone()], &us[own.clone()], &lo[own.clone()], &uo[own]];
            let bias = bias.map(|bias| &bias[from..from + len]);
            for s in b * rows..(b + 1) * rows {
                // SAFETY: tasks have samples and positions of their own.
                let (out, sum) = unsafe { (room.part(s * n + from, len), sums.part(s * parts + from / POSITIONS, 1)) };
                let a = &a[s * n + from..s * n + from + len];
                sum[0] = wide_loop(
                    #[inline(always)]
                    || match bias {
                        None => along::<T, false>(out, a, lines, &[]),
                        Some(bias) => along::<T, true>(out, a, lines, bias),
                    },
                );
            }
        });
    }
    // SAFETY: the tasks cover all positions of all rows.
    let out = Tensor::from_vec(unsafe { written(out) }, held.a.shape(), held.a.device())?;
    let constants: Vec<T> = match parts {
        0 => vec![T::ZERO; batch * rows],
        parts => sums.chunks(parts).map(|row| T::of(row.iter().sum())).collect(),
    };
    Ok((out, Tensor::from_vec(constants, (batch, rows), held.a.device())?))
}

/// Coefficients behind the lines, and what the constants have of these positions.
#[inline(always)]
fn along<T: Element, const BIAS: bool>(
    out: &mut [MaybeUninit<T>],
    a: &[T],
    [ls, us, lo, uo]: [&[T]; 4],
    bias: &[T],
) -> f64 {
    let whole = a.len() / LANES * LANES;
    let (first, rest) = out.split_at_mut(whole);
    let parts = along_by::<T, BIAS, LANES>(first, a, [ls, us, lo, uo], bias);
    let [more] = along_by::<T, BIAS, 1>(
        rest,
        &a[whole..],
        [ls, us, lo, uo].map(|t| &t[whole..]),
        &bias[if BIAS { whole } else { 0 }..],
    );
    parts.iter().map(|part| part.wide()).sum::<f64>() + more.wide()
}

/// So many positions at a time, as arrays, which the compiler turns into registers.
#[inline(always)]
fn along_by<T: Element, const BIAS: bool, const N: usize>(
    out: &mut [MaybeUninit<T>],
    a: &[T],
    [ls, us, lo, uo]: [&[T]; 4],
    bias: &[T],
) -> [T; N] {
    let (out, a) = (out.as_chunks_mut::<N>().0, a.as_chunks::<N>().0);
    let n = out.len().min(a.len());
    let (out, a) = (&mut out[..n], &a[..n]);
    let [ls, us, lo, uo] =
        [&ls.as_chunks::<N>().0[..n], &us.as_chunks().0[..n], &lo.as_chunks().0[..n], &uo.as_chunks().0[..n]];
    let bias = if BIAS { &bias.as_chunks::<N>().0[..n] } else { a };
    let mut parts = [T::ZERO; N];
    for i in 0..n {
        for l in 0..N {
            // Both are read before one is taken: a register at a time.
            let (a, below, above) = (a[i][l], (us[i][l], uo[i][l]), (ls[i][l], lo[i][l]));
            // A NaN is not above 0, and stays one in the product.
            let (slope, offset) = if a > T::ZERO { above } else { below };
            let x = a * slope;
            out[i][l].write(x);
            let k = a * offset;
            parts[l] += if BIAS { k + x * bias[i][l] } else { k };
        }
    }
    parts
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
        tasks(batch, n).for_each(|(b, from, len)| {
            let own = b * n + from..b * n + from + len;
            let lines = [&ls[own.clone()], &us[own.clone()], &lo[own.clone()], &uo[own.clone()]];
            let bias = bias.map(|bias| &bias[from..from + len]);
            // SAFETY: tasks have samples and positions of their own.
            let (start, count) = if to_lines { (own.start, len) } else { (0, 0) };
            let mut sums = sums.each_ref().map(|sum| unsafe { sum.part(start, count) });
            for s in b * rows..(b + 1) * rows {
                let at = s * n + from..s * n + from + len;
                let (a, g, gk) = (&a[at.clone()], &g[at.clone()], gk[s]);
                // SAFETY: as above.
                let da: &mut [MaybeUninit<T>] = if wanted[0] { unsafe { room.part(at.start, len) } } else { &mut [] };
                wide_loop(
                    #[inline(always)]
                    || match bias {
                        None => against::<T, false>(da, sums.each_mut().map(|sum| &mut **sum), [a, g, &[]], gk, lines),
                        Some(bias) => {
                            against::<T, true>(da, sums.each_mut().map(|sum| &mut **sum), [a, g, bias], gk, lines)
                        }
                    },
                );
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

/// `of`: the coefficients, what has come for a', and the bias, by which what has come for the constants comes for a' too. An empty `da`, or
/// empty sums, are not wanted.
#[inline(always)]
fn against<T: Element, const BIAS: bool>(
    da: &mut [MaybeUninit<T>],
    sums: [&mut [T]; 4],
    [a, g, bias]: [&[T]; 3],
    gk: T,
    lines: [&[T]; 4],
) {
    let whole = a.len() / LANES * LANES;
    let (da, da_rest) = da.split_at_mut(whole.min(da.len()));
    let [s0, s1, s2, s3] = sums.map(|sum| sum.split_at_mut(whole.min(sum.len())));
    let of = [&a[..whole], &g[..whole], if BIAS { &bias[..whole] } else { &[] }];
    against_by::<T, BIAS, LANES>(da, [s0.0, s1.0, s2.0, s3.0], of, gk, lines);
    let of = [&a[whole..], &g[whole..], if BIAS { &bias[whole..] } else { &[] }];
    against_by::<T, BIAS, 1>(da_rest, [s0.1, s1.1, s2.1, s3.1], of, gk, lines.map(|t| &t[whole..]));
}

#[inline(always)]
fn against_by<T: Element, const BIAS: bool, const N: usize>(
    da: &mut [MaybeUninit<T>],
    sums: [&mut [T]; 4],
    [a, g, bias]: [&[T]; 3],
    gk: T,
    [ls, us, lo, uo]: [&[T]; 4],
) {
    let (a, g) = (a.as_chunks::<N>().0, g.as_chunks::<N>().0);
    let n = a.len().min(g.len());
    let (a, g) = (&a[..n], &g[..n]);
    let bias = if BIAS { &bias.as_chunks::<N>().0[..n] } else { a };
    if !da.is_empty() {
        let da = &mut da.as_chunks_mut::<N>().0[..n];
        let [ls, us, lo, uo] =
            [&ls.as_chunks::<N>().0[..n], &us.as_chunks().0[..n], &lo.as_chunks().0[..n], &uo.as_chunks().0[..n]];
        for i in 0..n {
            for l in 0..N {
                let (below, above) = ((us[i][l], uo[i][l]), (ls[i][l], lo[i][l]));
                let (slope, offset) = if a[i][l] > T::ZERO { above } else { below };
                let come = if BIAS { g[i][l] + gk * bias[i][l] } else { g[i][l] };
                da[i][l].write(come * slope + gk * offset);
            }
        }
    }
    let [s0, s1, s2, s3] = sums.map(|sum| sum.as_chunks_mut::<N>().0);
    if s0.is_empty() {
        return;
    }
    let [s0, s1, s2, s3] = [&mut s0[..n], &mut s1[..n], &mut s2[..n], &mut s3[..n]];
    for i in 0..n {
        for l in 0..N {
            let (x, zero) = (a[i][l], T::ZERO);
            let (above, below) = if x > zero { (x, zero) } else { (zero, x) };
            let come = if BIAS { g[i][l] + gk * bias[i][l] } else { g[i][l] };
            s0[i][l] += above * come;
            s1[i][l] += below * come;
            s2[i][l] += above * gk;
            s3[i][l] += below * gk;
        }
    }
}
