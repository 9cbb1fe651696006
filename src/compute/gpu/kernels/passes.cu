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
// huge ones overflow. The mask has `masked` rows; beyond them nothing is masked.
template <int W>
DEVICE void power_pass(const T *w, const u8 *mask, const double *before, const T *size, T *y, double *sums, i64 n, i64 pieces,
                       i64 others, i64 sizes, i64 masked) {
  i64 row = ROW(pieces), from = row * n;
  double by = before ? inverse(norm_of(before, row, others)) : 1, peak = 0, sum = 0;
  if (size) by *= inverse(size_of(size, sizes));
  if (row >= masked) mask = 0;
  SHARE(W, k, n, pieces) {
    Pack<W> x = load<W>(w + from + k);
    Pack<W, u8> open;
    if (mask) open = load<W>(mask + from + k);
    for (int i = 0; i < W; i++) {
      // A product, so that a masked infinity shows.
      if (mask) x.at[i] *= (T)open.at[i];
      x.at[i] = (T)((double)x.at[i] * by);
      double a = fabs((double)x.at[i]);
      if (!SCALED) sum += a * a;
      else if (a > peak) peak = a;
    }
    store<W>(y + from + k, x);
  }
  if (SCALED) {
    peak = block_max(peak);
    SHARE(W, k, n, pieces) {
      for (int i = 0; i < W; i++) {
        double a = (double)y[from + k + i] / (peak == 0 ? 1 : peak);
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
                    i64 others, i64 sizes, i64 masked) {
  power_pass<4>(w, mask, before, size, y, sums, n, pieces, others, sizes, masked);
}

KERNEL power_pass_1(const T *w, const u8 *mask, const double *before, const T *size, T *y, double *sums, i64 n, i64 pieces,
                    i64 others, i64 sizes, i64 masked) {
  power_pass<1>(w, mask, before, size, y, sums, n, pieces, others, sizes, masked);
}

// A row that the masked map has sent to nothing goes on from a generic one, of norm 1. One block for each row.
KERNEL power_restart(T *y, const u8 *mask, double *sums, i64 n, i64 pieces, i64 masked) {
  i64 row = blockIdx.x, from = row * n;
  if (row >= masked) mask = 0;
  // The same for all threads, and so is the way past the barriers.
  if (norm_of(sums, row, pieces) != 0) return;
  double sum = 0;
  WITHIN(k, n) if (!mask || mask[from + k]) sum += generic(k) * generic(k);
  double norm = sqrt(block_sum(sum));
  WITHIN(k, n) y[from + k] = !mask || mask[from + k] ? (T)(generic(k) / norm) : (T)0;
  BARRIER;
  WITHIN(p, pieces) {
    sums[2 * (row * pieces + p)] = 1;
    sums[2 * (row * pieces + p) + 1] = p == 0 && norm > 0 ? 1 : 0;
  }
}

// The norms themselves, times the size of a map if there is one; those of rows from `first` on into `last`.
KERNEL norms_of_rows(const double *sums, const T *size, T *norms, T *last, i64 rows, i64 pieces, i64 sizes, i64 first) {
  double by = size ? inverse(size_of(size, sizes)) : 1;
  EACH(row, rows) (row < first ? norms[row] : last[row - first]) = (T)(norm_of(sums, row, pieces) / by);
}

// y = x / ||x||, row by row.
KERNEL unit_rows(const T *x, const double *sums, T *y, i64 n, i64 pieces, i64 others) {
  i64 row = ROW(pieces);
  double by = inverse(norm_of(sums, row, others));
  SHARE(1, k, n, pieces) y[row * n + k] = (T)((double)x[row * n + k] * by);
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
