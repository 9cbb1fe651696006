// Ball and box through a layer, before and behind the products: see compute/interval_linear for the formula.

// [center, lower, upper] to [center, middle, half-width].
KERNEL region_middles(const T *x, T *y, i64 n) {
  EACH(i, n) {
    T c = x[i], l = x[n + i], u = x[2 * n + i];
    y[i] = c;
    y[n + i] = (l + u) * (T)0.5;
    y[2 * n + i] = (u - l) * (T)0.5;
  }
}

// W center, W middle and |W| half to [center, lower, upper]. `offsets`: the ball's reach for each of `rows` rows of
// `positions` (a row is a sample's channel), then the bias for each of `channels`.
KERNEL region_finish(const T *both, const T *half, const T *offsets, T *y, i64 n, i64 rows, i64 channels, i64 positions) {
  EACH(i, n) {
    i64 row = i / positions;
    T bias = offsets[rows + row % channels], reach = offsets[row];
    T m = both[i] + bias, c = both[n + i] + bias, h = half[i];
    T low = m - reach, high = m + reach, l = c - h, u = c + h;
    y[i] = m;
    y[n + i] = l > low || l != l ? l : low;
    y[2 * n + i] = u < high || u != u ? u : high;
  }
}

// The gradient of one element: of (center, lower, upper) to those of (center, middle, half-width), and what falls to the
// reach and to the bias.
DEVICE void split_one(const T *y, const T *g, T reach, T *d, i64 n, i64 i, double *of_reach, double *of_bias) {
  T m = g[i], l = g[n + i], u = g[2 * n + i];
  T ball_l = y[n + i] == y[i] - reach ? l : (T)0, ball_u = y[2 * n + i] == y[i] + reach ? u : (T)0;
  T box_l = l - ball_l, box_u = u - ball_u;
  d[i] = m + ball_l + ball_u;
  d[n + i] = box_l + box_u;
  d[2 * n + i] = box_u - box_l;
  *of_reach += (double)ball_u - (double)ball_l;
  *of_bias += (double)m + (double)l + (double)u;
}

// One block for each row; `sums` [2, rows] are the gradients of reach and bias, row by row.
KERNEL region_split(const T *y, const T *g, const T *offsets, T *d, T *sums, i64 n, i64 rows, i64 positions) {
  i64 row = blockIdx.x;
  double of_reach = 0, of_bias = 0;
  WITHIN(p, positions) split_one(y, g, offsets[row], d, n, row * positions + p, &of_reach, &of_bias);
  of_reach = block_sum(of_reach);
  of_bias = block_sum(of_bias);
  if (threadIdx.x == 0) {
    sums[row] = (T)of_reach;
    sums[rows + row] = (T)of_bias;
  }
}

// The same, one thread for each row, for short rows.
KERNEL region_split_short(const T *y, const T *g, const T *offsets, T *d, T *sums, i64 n, i64 rows, i64 positions) {
  EACH(row, rows) {
    double of_reach = 0, of_bias = 0;
    for (i64 p = 0; p < positions; p++)
      split_one(y, g, offsets[row], d, n, row * positions + p, &of_reach, &of_bias);
    sums[row] = (T)of_reach;
    sums[rows + row] = (T)of_bias;
  }
}

// Gradients of center and middle `both`, and of the half-width, to those of (center, lower, upper).
KERNEL region_join(const T *both, const T *half, T *d, i64 n) {
  EACH(i, n) {
    T m = both[n + i], h = half[i];
    d[i] = both[i];
    d[n + i] = (m - h) * (T)0.5;
    d[2 * n + i] = (m + h) * (T)0.5;
  }
}
