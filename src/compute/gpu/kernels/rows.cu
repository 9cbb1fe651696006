// Rows of a store of vectors, in halves or T, gathered and scattered by index: see train/vectors/device_rows.

// y = I kept[index], row by row; row `rows` of y, if there is one, is `last`, which no mask is for. What is kept, and y, may be halves.
template <int W, class N, class M>
DEVICE void gather(const N *kept, const u32 *index, const u8 *mask, const T *last, M *y, i64 n, i64 pieces, i64 rows) {
  i64 row = ROW(pieces), at = row * n;
  if (row >= rows) {
    SHARE(1, k, n, pieces) put(y + at + k, last[k]);
    return;
  }
  kept += (i64)index[row] * n;
  SHARE(W, k, n, pieces) {
    Pack<W, N> x = load<W>(kept + k);
    Pack<W> z;
    Pack<W, M> to;
    for (int i = 0; i < W; i++) z.at[i] = number_of(x.at[i]);
    if (mask) {
      Pack<W, u8> open = load<W>(mask + at + k);
      for (int i = 0; i < W; i++) z.at[i] *= (T)open.at[i];
    }
    for (int i = 0; i < W; i++) put(&to.at[i], z.at[i]);
    store<W>(y + at + k, to);
  }
}

KERNEL gather_halves_4(const u16 *kept, const u32 *index, const u8 *mask, const T *last, T *y, i64 n, i64 pieces, i64 rows) {
  gather<4>(kept, index, mask, last, y, n, pieces, rows);
}
KERNEL gather_halves_1(const u16 *kept, const u32 *index, const u8 *mask, const T *last, T *y, i64 n, i64 pieces, i64 rows) {
  gather<1>(kept, index, mask, last, y, n, pieces, rows);
}
KERNEL gather_rows_4(const T *kept, const u32 *index, const u8 *mask, const T *last, T *y, i64 n, i64 pieces, i64 rows) {
  gather<4>(kept, index, mask, last, y, n, pieces, rows);
}
KERNEL gather_rows_1(const T *kept, const u32 *index, const u8 *mask, const T *last, T *y, i64 n, i64 pieces, i64 rows) {
  gather<1>(kept, index, mask, last, y, n, pieces, rows);
}
KERNEL gather_halves_as_halves_4(const u16 *kept, const u32 *index, const u8 *mask, const T *last, u16 *y, i64 n, i64 pieces, i64 rows) {
  gather<4>(kept, index, mask, last, y, n, pieces, rows);
}
KERNEL gather_halves_as_halves_1(const u16 *kept, const u32 *index, const u8 *mask, const T *last, u16 *y, i64 n, i64 pieces, i64 rows) {
  gather<1>(kept, index, mask, last, y, n, pieces, rows);
}
KERNEL gather_rows_as_halves_4(const T *kept, const u32 *index, const u8 *mask, const T *last, u16 *y, i64 n, i64 pieces, i64 rows) {
  gather<4>(kept, index, mask, last, y, n, pieces, rows);
}
KERNEL gather_rows_as_halves_1(const T *kept, const u32 *index, const u8 *mask, const T *last, u16 *y, i64 n, i64 pieces, i64 rows) {
  gather<1>(kept, index, mask, last, y, n, pieces, rows);
}

// Row `from[k]` of x, or row k, becomes row `index[k]` of what is kept; divided by its norm where there are sums of one. Behind these
// `rows` comes the row `other`, of as many pieces, which becomes `last`.
template <int W, class N, class M>
DEVICE void scatter(N *kept, const u32 *index, const u32 *from, const M *x, const double *sums, const M *other,
                    const double *other_sums, T *last, i64 n, i64 pieces, i64 others, i64 rows) {
  if (ROW(pieces) >= rows) {
    double by = other_sums ? inverse(norm_of(other_sums, 0, others)) : 1;
    SHARE(1, k, n, pieces) {
      T z = number_of(other[k]);
      last[k] = other_sums ? (T)((double)z * by) : z;
    }
    return;
  }
  i64 row = from ? (i64)from[ROW(pieces)] : (i64)ROW(pieces);
  kept += (i64)index[ROW(pieces)] * n;
  x += row * n;
  double by = sums ? inverse(norm_of(sums, row, others)) : 1;
  SHARE(W, k, n, pieces) {
    Pack<W, M> raw = load<W>(x + k);
    Pack<W, N> to;
    for (int i = 0; i < W; i++) {
      T z = number_of(raw.at[i]);
      put(&to.at[i], sums ? (T)((double)z * by) : z);
    }
    store<W>(kept + k, to);
  }
}

KERNEL scatter_halves_4(u16 *kept, const u32 *index, const u32 *from, const T *x, const double *sums, const T *other,
                        const double *other_sums, T *last, i64 n, i64 pieces, i64 others, i64 rows) {
  scatter<4>(kept, index, from, x, sums, other, other_sums, last, n, pieces, others, rows);
}
KERNEL scatter_halves_1(u16 *kept, const u32 *index, const u32 *from, const T *x, const double *sums, const T *other,
                        const double *other_sums, T *last, i64 n, i64 pieces, i64 others, i64 rows) {
  scatter<1>(kept, index, from, x, sums, other, other_sums, last, n, pieces, others, rows);
}
KERNEL scatter_rows_4(T *kept, const u32 *index, const u32 *from, const T *x, const double *sums, const T *other,
                      const double *other_sums, T *last, i64 n, i64 pieces, i64 others, i64 rows) {
  scatter<4>(kept, index, from, x, sums, other, other_sums, last, n, pieces, others, rows);
}
KERNEL scatter_rows_1(T *kept, const u32 *index, const u32 *from, const T *x, const double *sums, const T *other,
                      const double *other_sums, T *last, i64 n, i64 pieces, i64 others, i64 rows) {
  scatter<1>(kept, index, from, x, sums, other, other_sums, last, n, pieces, others, rows);
}
KERNEL scatter_halves_as_halves_4(u16 *kept, const u32 *index, const u32 *from, const u16 *x, const double *sums, const u16 *other,
                                  const double *other_sums, T *last, i64 n, i64 pieces, i64 others, i64 rows) {
  scatter<4>(kept, index, from, x, sums, other, other_sums, last, n, pieces, others, rows);
}
KERNEL scatter_halves_as_halves_1(u16 *kept, const u32 *index, const u32 *from, const u16 *x, const double *sums, const u16 *other,
                                  const double *other_sums, T *last, i64 n, i64 pieces, i64 others, i64 rows) {
  scatter<1>(kept, index, from, x, sums, other, other_sums, last, n, pieces, others, rows);
}
KERNEL scatter_rows_as_halves_4(T *kept, const u32 *index, const u32 *from, const u16 *x, const double *sums, const u16 *other,
                                const double *other_sums, T *last, i64 n, i64 pieces, i64 others, i64 rows) {
  scatter<4>(kept, index, from, x, sums, other, other_sums, last, n, pieces, others, rows);
}
KERNEL scatter_rows_as_halves_1(T *kept, const u32 *index, const u32 *from, const u16 *x, const double *sums, const u16 *other,
                                const double *other_sums, T *last, i64 n, i64 pieces, i64 others, i64 rows) {
  scatter<1>(kept, index, from, x, sums, other, other_sums, last, n, pieces, others, rows);
}

// Halves as they are.
KERNEL place_halves(u16 *kept, const u32 *index, const u16 *x, i64 n, i64 pieces) {
  i64 row = ROW(pieces);
  SHARE(1, k, n, pieces) kept[(i64)index[row] * n + k] = x[row * n + k];
}
