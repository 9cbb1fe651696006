// Rows of a store of vectors, in half precision or T, gathered and scattered by index: see train/vectors/device_rows.

// Half precision as bits, so that the header of CUDA's own type need not be there at run time.
DEVICE float from_half(u16 h) {
  u32 sign = (u32)(h & 0x8000) << 16, exponent = h >> 10 & 31, part = h & 1023;
  // Below the smallest normal number: part 2^-24.
  if (exponent == 0) return (sign ? -1.0f : 1.0f) * (float)part * 5.9604644775390625e-8f;
  u32 bits = sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | part << 13;
  return __uint_as_float(bits);
}

// To the nearest, a tie to the even one.
DEVICE u16 to_half(float x) {
  u32 bits = __float_as_uint(x);
  u32 sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
  if (size > 0x7f800000) return (u16)(sign | 0x7e00);
  // 65520 and more round to no end.
  if (size >= 0x477ff000) return (u16)(sign | 0x7c00);
  u32 kept, rest, tie;
  if (size < 0x38800000) {
    // Below the smallest normal number, 2^-14.
    u32 shift = 126 - (size >> 23);
    if (shift > 24) return (u16)sign;
    u32 whole = (size & 0x7fffff) | 0x800000;
    kept = whole >> shift, rest = whole & ((1u << shift) - 1), tie = 1u << (shift - 1);
  } else {
    kept = (size - 0x38000000) >> 13, rest = size & 0x1fff, tie = 0x1000;
  }
  if (rest > tie || (rest == tie && (kept & 1))) kept += 1;
  return (u16)(sign | kept);
}

DEVICE T number_of(u16 h) { return (T)from_half(h); }
DEVICE T number_of(T x) { return x; }
DEVICE void put(u16 *to, T x) { *to = to_half((float)x); }
DEVICE void put(T *to, T x) { *to = x; }

// y = I kept[index], row by row; row `rows` of y, if there is one, is `last`, which no mask is for.
template <int W, class N>
DEVICE void gather(const N *kept, const u32 *index, const u8 *mask, const T *last, T *y, i64 n, i64 pieces, i64 rows) {
  i64 row = ROW(pieces), at = row * n;
  if (row >= rows) {
    SHARE(1, k, n, pieces) y[at + k] = last[k];
    return;
  }
  kept += (i64)index[row] * n;
  SHARE(W, k, n, pieces) {
    Pack<W, N> x = load<W>(kept + k);
    Pack<W> z;
    for (int i = 0; i < W; i++) z.at[i] = number_of(x.at[i]);
    if (mask) {
      Pack<W, u8> open = load<W>(mask + at + k);
      for (int i = 0; i < W; i++) z.at[i] *= (T)open.at[i];
    }
    store<W>(y + at + k, z);
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

// Row `from[k]` of x, or row k, becomes row `index[k]` of what is kept; divided by its norm where there are sums of one. Behind these
// `rows` comes the row `other`, of as many pieces, which becomes `last`.
template <int W, class N>
DEVICE void scatter(N *kept, const u32 *index, const u32 *from, const T *x, const double *sums, const T *other,
                    const double *other_sums, T *last, i64 n, i64 pieces, i64 others, i64 rows) {
  if (ROW(pieces) >= rows) {
    double by = other_sums ? inverse(norm_of(other_sums, 0, others)) : 1;
    SHARE(1, k, n, pieces) last[k] = other_sums ? (T)((double)other[k] * by) : other[k];
    return;
  }
  i64 row = from ? (i64)from[ROW(pieces)] : (i64)ROW(pieces);
  kept += (i64)index[ROW(pieces)] * n;
  x += row * n;
  double by = sums ? inverse(norm_of(sums, row, others)) : 1;
  SHARE(W, k, n, pieces) {
    Pack<W> z = load<W>(x + k);
    Pack<W, N> half;
    for (int i = 0; i < W; i++) put(&half.at[i], sums ? (T)((double)z.at[i] * by) : z.at[i]);
    store<W>(kept + k, half);
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

// Halves as they are.
KERNEL place_halves(u16 *kept, const u32 *index, const u16 *x, i64 n, i64 pieces) {
  i64 row = ROW(pieces);
  SHARE(1, k, n, pieces) kept[(i64)index[row] * n + k] = x[row * n + k];
}
