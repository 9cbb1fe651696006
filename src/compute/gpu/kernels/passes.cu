// The passes between two products of a power iteration with a fixed number of steps, for all samples at once: mask, scale by what
// is known of the other side's norm, and sum the squares, in one sweep. The vector stays as long as it is; its norm goes with it
// as the sums of its pieces. See compute/power/passes.

// The size of a map's numbers, from the norms of its rows, by a whole block: at least the norm of all, at most the root of their number
// times it.
DEVICE double size_of(const T *norms, i64 rows) {
  double most = 0;
  WITHIN(i, rows) if ((double)norms[i] > most) most = (double)norms[i];
  return block_max(most) * sqrt((double)rows);
}

// y = I w / (||before|| size), in place if y is w. `before` are the sums of the vector that w was made of; none, and its norm counts
// as 1. `size` is that of the map's numbers by the norms of its rows, or none: products of tiny numbers would vanish, and those of
// huge ones overflow. The mask has `masked` rows; beyond them nothing is masked. Halves are kept near norm sqrt(n), where their numbers
// are near 1: their weight has been divided by its largest row's norm, and what a half step lacked of sqrt(n), of the `length` numbers
// before, the next one makes good.
// Weights in halves are kept so many times larger, so that those of small rows keep their digits; products stay far from the end.
#define LIFT 16.0

// How far a row of halves is from norm sqrt(length), as a factor; 1 of nothing.
DEVICE double gain_of(const double *sums, i64 row, i64 pieces, i64 length) {
  double norm = norm_of(sums, row, pieces);
  return norm == 0 ? 1 : sqrt((double)length) / norm;
}

template <int W, class N>
DEVICE void power_pass(const N *w, const u8 *mask, const double *before, const T *size, N *y, double *sums, i64 n, i64 pieces,
                       i64 others, i64 sizes, i64 masked, i64 length) {
  i64 row = ROW(pieces), from = row * n;
  double by = before ? inverse(norm_of(before, row, others)) : 1, peak = 0, sum = 0;
  if (size) by *= inverse(size_of(size, sizes));
  if (is_half<N>()) by *= sqrt((double)n) / LIFT * (before ? gain_of(before, row, others, length) : 1);
  if (row >= masked) mask = 0;
  SHARE(W, k, n, pieces) {
    Pack<W, N> x = load<W>(w + from + k);
    Pack<W, u8> open;
    if (mask) open = load<W>(mask + from + k);
    for (int i = 0; i < W; i++) {
      T z = number_of(x.at[i]);
      // A product, so that a masked infinity shows.
      if (mask) z *= (T)open.at[i];
      put(&x.at[i], (T)((double)z * by));
      double a = fabs((double)number_of(x.at[i]));
      if (!SCALED) sum += a * a;
      else if (a > peak) peak = a;
    }
    store<W>(y + from + k, x);
  }
  if (SCALED) {
    peak = block_max(peak);
    SHARE(W, k, n, pieces) {
      for (int i = 0; i < W; i++) {
        double a = (double)number_of(y[from + k + i]) / (peak == 0 ? 1 : peak);
        sum += a * a;
      }
    }
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) {
    double *own = sums + 2 * (row * pieces + PIECE(pieces));
    own[0] = peak;
    own[1] = sum;
  }
}

KERNEL power_pass_4(const T *w, const u8 *mask, const double *before, const T *size, T *y, double *sums, i64 n, i64 pieces,
                    i64 others, i64 sizes, i64 masked, i64 length) {
  power_pass<4>(w, mask, before, size, y, sums, n, pieces, others, sizes, masked, length);
}

KERNEL power_pass_1(const T *w, const u8 *mask, const double *before, const T *size, T *y, double *sums, i64 n, i64 pieces,
                    i64 others, i64 sizes, i64 masked, i64 length) {
  power_pass<1>(w, mask, before, size, y, sums, n, pieces, others, sizes, masked, length);
}

KERNEL power_pass_halves_4(const u16 *w, const u8 *mask, const double *before, const T *size, u16 *y, double *sums, i64 n, i64 pieces,
                           i64 others, i64 sizes, i64 masked, i64 length) {
  power_pass<4>(w, mask, before, size, y, sums, n, pieces, others, sizes, masked, length);
}

KERNEL power_pass_halves_1(const u16 *w, const u8 *mask, const double *before, const T *size, u16 *y, double *sums, i64 n, i64 pieces,
                           i64 others, i64 sizes, i64 masked, i64 length) {
  power_pass<1>(w, mask, before, size, y, sums, n, pieces, others, sizes, masked, length);
}

// A row that the masked map has sent to nothing goes on from a generic one, of norm 1, or sqrt(n) of halves. One block for each row.
template <class N> DEVICE void restarted(N *y, const u8 *mask, double *sums, i64 n, i64 pieces, i64 masked) {
  i64 row = blockIdx.x, from = row * n;
  if (row >= masked) mask = 0;
  // The same for all threads, and so is the way past the barriers.
  if (norm_of(sums, row, pieces) != 0) return;
  double sum = 0, square = is_half<N>() ? (double)n : 1;
  WITHIN(k, n) if (!mask || mask[from + k]) sum += generic(k) * generic(k);
  double norm = sqrt(block_sum(sum)), by = sqrt(square);
  WITHIN(k, n) put(y + from + k, !mask || mask[from + k] ? (T)(generic(k) / norm * by) : (T)0);
  BARRIER;
  WITHIN(p, pieces) {
    sums[2 * (row * pieces + p)] = 1;
    sums[2 * (row * pieces + p) + 1] = p == 0 && norm > 0 ? square : 0;
  }
}

KERNEL power_restart(T *y, const u8 *mask, double *sums, i64 n, i64 pieces, i64 masked) {
  restarted(y, mask, sums, n, pieces, masked);
}
KERNEL power_restart_halves(u16 *y, const u8 *mask, double *sums, i64 n, i64 pieces, i64 masked) {
  restarted(y, mask, sums, n, pieces, masked);
}

// A map's numbers as halves, divided by the norm of its largest row and lifted.
KERNEL weight_halves(const T *w, const T *norms, u16 *y, i64 n, i64 rows) {
  double by = inverse(size_of(norms, rows) / sqrt((double)rows)) * LIFT;
  EACH(k, n) put(y + k, (T)((double)w[k] * by));
}

// The norms themselves, times the size of a map if there is one; those of rows from `first` on into `last`.
KERNEL norms_of_rows(const double *sums, const T *size, T *norms, T *last, i64 rows, i64 pieces, i64 sizes, i64 first) {
  double by = size ? inverse(size_of(size, sizes)) : 1;
  EACH(row, rows) (row < first ? norms[row] : last[row - first]) = (T)(norm_of(sums, row, pieces) / by);
}

// The same of a map's right vectors in halves: n numbers each, made of left ones of `length` numbers and the norms `before`.
KERNEL norms_of_halves(const double *sums, const double *before, const T *size, T *norms, T *last, i64 rows, i64 pieces, i64 others,
                       i64 sizes, i64 first, i64 n, i64 length) {
  double largest = size_of(size, sizes) / sqrt((double)sizes);
  EACH(row, rows) {
    double made = sqrt((double)n) * gain_of(before, row, others, length);
    (row < first ? norms[row] : last[row - first]) = (T)(norm_of(sums, row, pieces) * largest / made);
  }
}

// y = x / ||x||, row by row.
template <class N> DEVICE void united(const N *x, const double *sums, T *y, i64 n, i64 pieces, i64 others) {
  i64 row = ROW(pieces);
  double by = inverse(norm_of(sums, row, others));
  SHARE(1, k, n, pieces) y[row * n + k] = (T)((double)number_of(x[row * n + k]) * by);
}

KERNEL unit_rows(const T *x, const double *sums, T *y, i64 n, i64 pieces, i64 others) {
  united(x, sums, y, n, pieces, others);
}
KERNEL unit_rows_halves(const u16 *x, const double *sums, T *y, i64 n, i64 pieces, i64 others) {
  united(x, sums, y, n, pieces, others);
}

// y = g v / (||u|| ||v||), row by row: what the gradient of v . W u in W is made of, with u as it is. The gradients of rows from `first`
// on are in `last`; where either is not there, they are 0.
template <int W>
DEVICE void envelope(const T *v, const T *g, const T *last, const double *of_u, const double *of_v, T *y, i64 n, i64 pieces,
                     i64 pieces_u, i64 pieces_v, i64 first) {
  i64 row = ROW(pieces);
  const T *own = row < first ? g : last;
  double by = (own ? (double)own[row < first ? row : row - first] : 0) * inverse(norm_of(of_u, row, pieces_u)) * inverse(norm_of(of_v, row, pieces_v));
  SHARE(W, k, n, pieces) {
    Pack<W> x = load<W>(v + row * n + k);
    for (int i = 0; i < W; i++) x.at[i] = (T)((double)x.at[i] * by);
    store<W>(y + row * n + k, x);
  }
}

KERNEL envelope_4(const T *v, const T *g, const T *last, const double *of_u, const double *of_v, T *y, i64 n, i64 pieces,
                  i64 pieces_u, i64 pieces_v, i64 first) {
  envelope<4>(v, g, last, of_u, of_v, y, n, pieces, pieces_u, pieces_v, first);
}

KERNEL envelope_1(const T *v, const T *g, const T *last, const double *of_u, const double *of_v, T *y, i64 n, i64 pieces,
                  i64 pieces_u, i64 pieces_v, i64 first) {
  envelope<1>(v, g, last, of_u, of_v, y, n, pieces, pieces_u, pieces_v, first);
}

// The same in halves, over the largest |g| of all `rows`, and by ROOM / rows:
//
//   y_b = (g_b / most) (ROOM / rows) v_b / (||u_b|| ||v_b||)
//
// so that, by Cauchy and Schwarz, no number of sum_b y_b u_b^T leaves the range of a half. A map that sends u_b to almost nothing has
// numbers of y_b beyond it: they stay at its end.
#define ROOM 32768.0
#define MOST_HALF 65504.0

DEVICE double largest_slope(const T *g, const T *last, i64 first, i64 rows) {
  double most = 0;
  if (g) { WITHIN(b, first) if (fabs((double)g[b]) > most) most = fabs((double)g[b]); }
  if (last) { WITHIN(b, rows - first) if (fabs((double)last[b]) > most) most = fabs((double)last[b]); }
  return block_max(most);
}

template <int W>
DEVICE void envelope_halves(const u16 *v, const T *g, const T *last, const double *of_u, const double *of_v, u16 *y, i64 n, i64 pieces,
                            i64 pieces_u, i64 pieces_v, i64 first, i64 rows) {
  i64 row = ROW(pieces);
  const T *own = row < first ? g : last;
  double by = inverse(largest_slope(g, last, first, rows)) * ROOM / (double)rows;
  by *= (own ? (double)own[row < first ? row : row - first] : 0) * inverse(norm_of(of_u, row, pieces_u)) * inverse(norm_of(of_v, row, pieces_v));
  SHARE(W, k, n, pieces) {
    Pack<W, u16> x = load<W>(v + row * n + k);
    for (int i = 0; i < W; i++) {
      double z = (double)number_of(x.at[i]) * by;
      // A NaN stays one.
      put(&x.at[i], (T)(z > MOST_HALF ? MOST_HALF : z < -MOST_HALF ? -MOST_HALF : z));
    }
    store<W>(y + row * n + k, x);
  }
}

KERNEL envelope_halves_4(const u16 *v, const T *g, const T *last, const double *of_u, const double *of_v, u16 *y, i64 n, i64 pieces,
                         i64 pieces_u, i64 pieces_v, i64 first, i64 rows) {
  envelope_halves<4>(v, g, last, of_u, of_v, y, n, pieces, pieces_u, pieces_v, first, rows);
}

KERNEL envelope_halves_1(const u16 *v, const T *g, const T *last, const double *of_u, const double *of_v, u16 *y, i64 n, i64 pieces,
                         i64 pieces_u, i64 pieces_v, i64 first, i64 rows) {
  envelope_halves<1>(v, g, last, of_u, of_v, y, n, pieces, pieces_u, pieces_v, first, rows);
}

// What the product of such an envelope with u stands for.
KERNEL slope_of_halves(const u16 *d, const T *g, const T *last, T *y, i64 n, i64 first, i64 rows) {
  double by = largest_slope(g, last, first, rows) * (double)rows / ROOM;
  EACH(k, n) y[k] = (T)((double)number_of(d[k]) * by);
}
