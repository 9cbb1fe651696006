// Activations and sides, channel sums, norms of rows: see compute/elementwise/clip, compute/norms/{channels,rows}.

DEVICE T positive(T x) { return x < 0 ? (T)0 : x; }
DEVICE bool is_nan(T x) { return x != x; }

KERNEL relu_forward(const T *x, T *y, i64 n) { EACH(i, n) y[i] = positive(x[i]); }

KERNEL relu_backward(const T *x, const T *g, T *dx, i64 n) { EACH(i, n) dx[i] = x[i] > 0 ? g[i] : (T)0; }

#define CLIP 0
#define SMALLER 1
#define LARGER 2

// Every comparison with a NaN ends at the NaN.
DEVICE T side(T x, T t, i64 kind) {
  if (kind == CLIP) return x < t ? positive(x) : is_nan(x) ? x : positive(t);
  if (kind == SMALLER) return x < t || is_nan(x) ? x : t;
  return x > t || is_nan(x) ? x : t;
}

DEVICE bool to_x(T x, T t, i64 kind) {
  if (kind == CLIP) return x < t && x > 0;
  return kind == SMALLER ? x < t : x > t;
}

DEVICE bool to_t(T x, T t, i64 kind) {
  if (kind == CLIP) return x >= t && t >= 0;
  return kind == SMALLER ? x >= t : x <= t;
}

// t starts over after `period` numbers.
KERNEL side_forward(const T *x, const T *t, T *y, i64 n, i64 period, i64 kind) {
  EACH(i, n) y[i] = side(x[i], t[i % period], kind);
}

KERNEL side_backward_x(const T *x, const T *t, const T *g, T *dx, i64 n, i64 period, i64 kind) {
  EACH(i, n) dx[i] = to_x(x[i], t[i % period], kind) ? g[i] : (T)0;
}

// The gradient of t, summed over the samples: a block has 32 positions, and 8 threads for each that share the samples.
KERNEL side_backward_t(const T *x, const T *t, const T *g, T *dt, i64 samples, i64 period, i64 kind) {
  SHARED double part[THREADS];
  i64 at = (i64)blockIdx.x * 32 + threadIdx.x % 32;
  double sum = 0;
  if (at < period)
    for (i64 b = threadIdx.x / 32; b < samples; b += THREADS / 32)
      if (to_t(x[b * period + at], t[at], kind)) sum += (double)g[b * period + at];
  part[threadIdx.x] = sum;
  BARRIER;
  if (threadIdx.x < 32 && at < period) {
    for (u32 k = 1; k < THREADS / 32; k++) sum += part[threadIdx.x + 32 * k];
    dt[at] = (T)sum;
  }
}

// 1 where upper > 0 and lower < t; 1 where there is a NaN.
KERNEL between(const T *lower, const T *upper, const T *t, u8 *mask, i64 n, i64 period) {
  EACH(i, n) mask[i] = !(upper[i] <= 0) && !(lower[i] >= t[i % period]);
}

// v has one number for each of `rows` rows of `positions`, and starts over after them.
KERNEL add_channels(const T *x, const T *v, T *y, i64 n, i64 positions, i64 rows) {
  EACH(i, n) y[i] = x[i] + v[i / positions % rows];
}

// One thread for each row, for short rows.
KERNEL sums_of_short_rows(const T *x, T *sums, i64 rows, i64 n) {
  EACH(row, rows) {
    double sum = 0;
    for (i64 i = 0; i < n; i++) sum += (double)x[row * n + i];
    sums[row] = (T)sum;
  }
}

// One block for each row; their number is that of the blocks.
KERNEL sums_of_rows(const T *x, T *sums, i64, i64 n) {
  x += (i64)blockIdx.x * n;
  double sum = 0;
  WITHIN(i, n) sum += (double)x[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) sums[blockIdx.x] = (T)sum;
}

// Sums down columns of 32, `share` rows to a block: 8 threads to a column.
KERNEL column_parts(const T *x, double *parts, i64 rows, i64 n, i64 share) {
  SHARED double part[THREADS];
  i64 tiles = (n + 31) / 32, group = blockIdx.x / tiles, at = blockIdx.x % tiles * 32 + threadIdx.x % 32;
  i64 from = group * share, end = from + share < rows ? from + share : rows;
  double sum = 0;
  if (at < n)
    for (i64 row = from + threadIdx.x / 32; row < end; row += WARPS) sum += (double)x[row * n + at];
  part[threadIdx.x] = sum;
  BARRIER;
  if (threadIdx.x < 32 && at < n) {
    for (u32 k = 1; k < WARPS; k++) sum += part[threadIdx.x + 32 * k];
    parts[group * n + at] = sum;
  }
}

// The sums of these over the groups.
KERNEL column_sums(const double *parts, T *sums, i64 groups, i64 n) {
  EACH(at, n) {
    double sum = 0;
    for (i64 group = 0; group < groups; group++) sum += parts[group * n + at];
    sums[at] = (T)sum;
  }
}

KERNEL row_norms_forward(const T *w, T *norms, i64 n) {
  double norm = block_norm(w + (i64)blockIdx.x * n, 0, n);
  if (threadIdx.x == 0) norms[blockIdx.x] = (T)norm;
}

// The gradient of a zero row is 0.
KERNEL row_norms_backward(const T *w, const T *norms, const T *g, T *d, i64 count, i64 n) {
  EACH(i, count) {
    i64 row = i / n;
    d[i] = norms[row] == 0 ? (T)0 : w[i] * (g[row] / norms[row]);
  }
}

// y[b, i] = x[b, i] s[b]
KERNEL scale_samples(const T *x, const T *s, T *y, i64 count, i64 n) { EACH(i, count) y[i] = x[i] * s[i / n]; }

KERNEL absolute(const T *x, T *y, i64 n) { EACH(i, n) y[i] = (T)fabs((double)x[i]); }

// y = a + sign(w) h
KERNEL add_signed(const T *a, const T *h, const T *w, T *y, i64 n) {
  EACH(i, n) y[i] = w[i] > 0 ? a[i] + h[i] : w[i] < 0 ? a[i] - h[i] : a[i];
}
