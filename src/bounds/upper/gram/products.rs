//! Products of matrices in f64, in any layout.

use gemm::Parallelism;

/// The lower triangle in place of the upper one, whatever the order of the products was.
pub fn symmetrise(values: &mut [f64], m: usize) {
    for c in 0..m {
        (c + 1..m).for_each(|r| values[r * m + c] = values[c * m + r]);
    }
}

/// `out = a^T b`, `a` k x m and `b` k x n given by their data and the steps of the inner and the outer index; `out` column by
/// column.
pub fn products(
    (m, n, k): (usize, usize, usize),
    (a, a_in, a_out): (&[f64], usize, usize),
    (b, b_in, b_out): (&[f64], usize, usize),
    out: &mut [f64],
    threads: Parallelism,
) {
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        return out[..m * n].fill(0.0);
    }
    let end = |inner: usize, outer: usize, count: usize| (k - 1) * inner + (count - 1) * outer;
    assert!(
        a.len() > end(a_in, a_out, m) && b.len() > end(b_in, b_out, n) && out.len() >= m * n,
        "product out of bounds"
    );
    // SAFETY: the three matrices lie inside their slices, as asserted, and `out` is borrowed exclusively.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            m as isize,
            1,
            false,
            a.as_ptr(),
            a_in as isize,
            a_out as isize,
            b.as_ptr(),
            b_out as isize,
            b_in as isize,
            0.0,
            1.0,
            false,
            false,
            false,
            threads,
        );
    }
}
