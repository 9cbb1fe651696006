// Norms of samples and the passes of the masked power iteration between two products: mask, norm and scaling in one kernel,
// one block for each sample. See compute/norms/samples, compute/power/steps.

KERNEL sample_norms(const T *x, double *norms, i64 n) {
  double norm = block_norm(x + (i64)blockIdx.x * n, 0, n);
  if (threadIdx.x == 0) norms[blockIdx.x] = norm;
}

// Each sample divided by its norm; a zero sample stays zero.
KERNEL normalize_samples(const T *x, T *y, double *norms, i64 n) {
  x += (i64)blockIdx.x * n;
  y += (i64)blockIdx.x * n;
  double norm = block_norm(x, 0, n), by = norm == 0 ? 1 : norm;
  WITHIN(i, n) y[i] = (T)((double)x[i] / by);
  if (threadIdx.x == 0) norms[blockIdx.x] = norm;
}

KERNEL mask_samples(const T *x, const u8 *mask, T *y, i64 n) { EACH(i, n) y[i] = let_through(x, mask, i); }

// v <- I_rows w / ||.||, where w = W u. A sample that has converged keeps its v. With `restart`, one that the masked map
// has sent to zero goes on from a generic v.
KERNEL power_left(const T *w, const u8 *rows, const u8 *done, T *v, i64 n, i64 restart) {
  i64 from = (i64)blockIdx.x * n;
  if (done[blockIdx.x]) return;
  const u8 *mask = rows ? rows + from : 0;
  double norm = block_norm(w + from, mask, n);
  if (norm != 0 || !restart) {
    double by = norm == 0 ? 1 : norm;
    WITHIN(i, n) v[from + i] = (T)((double)let_through(w + from, mask, i) / by);
    return;
  }
  double sum = 0;
  WITHIN(i, n) if (!mask || mask[i]) sum += generic(i) * generic(i);
  norm = sqrt(block_sum(sum));
  WITHIN(i, n) v[from + i] = !mask || mask[i] ? (T)(generic(i) / norm) : (T)0;
}

// u <- I_columns w / ||.||, sigma = ||.||, where w = W^T v. With a tolerance (>= 0) a sample is done when u has moved by no
// more than it, or when there is nothing left to find; a NaN never is.
KERNEL power_right(const T *w, const u8 *columns, u8 *done, T *u, double *sigma, u32 *used, i64 n, double tolerance) {
  i64 from = (i64)blockIdx.x * n;
  if (done[blockIdx.x]) return;
  const u8 *mask = columns ? columns + from : 0;
  double norm = block_norm(w + from, mask, n), by = norm == 0 ? 1 : norm, moved = 0;
  WITHIN(i, n) {
    T next = (T)((double)let_through(w + from, mask, i) / by);
    double step = (double)next - (double)u[from + i];
    moved += step * step;
    u[from + i] = next;
  }
  bool stop = false;
  if (tolerance >= 0) stop = sqrt(block_sum(moved)) <= tolerance || norm == 0;
  BARRIER;
  if (threadIdx.x == 0) {
    sigma[blockIdx.x] = norm;
    used[blockIdx.x] += 1;
    done[blockIdx.x] = stop;
  }
}

// All iterations of one vector u [n] through a matrix w of few rows, at most FEW, by one block: on the left side they are those of
// W W^T, which is made once, in `gram` [rows, rows].
//
//   v <- W u / ||.||, then k - 1 times v <- W W^T v / ||.||      u <- W^T v / ||.||, sigma = ||.||
#define FEW 64

KERNEL power_few_rows(const T *w, const T *start, T *u, T *v, T *sigma, double *gram, i64 rows, i64 n, i64 iterations) {
  SHARED double own[FEW], next[FEW];
  u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  for (i64 r = warp; r < rows; r += WARPS) {
    double sum = 0;
    for (i64 i = lane; i < n; i += 32) sum += (double)w[r * n + i] * (double)start[i];
    sum = warp_sum(sum);
    if (lane == 0) own[r] = sum;
    for (i64 s = 0; s <= r; s++) {
      double both = 0;
      for (i64 i = lane; i < n; i += 32) both += (double)w[r * n + i] * (double)w[s * n + i];
      both = warp_sum(both);
      if (lane == 0) gram[r * rows + s] = gram[s * rows + r] = both;
    }
  }
  BARRIER;
  for (i64 k = 0; k < iterations; k++) {
    if (k > 0) {
      WITHIN(r, rows) {
        double sum = 0;
        for (i64 s = 0; s < rows; s++) sum += gram[r * rows + s] * own[s];
        next[r] = sum;
      }
      BARRIER;
      WITHIN(r, rows) own[r] = next[r];
      BARRIER;
    }
    // Over the largest, so that no square leaves the range.
    double peak = 0, sum = 0;
    for (i64 r = 0; r < rows; r++) peak = fabs(own[r]) > peak ? fabs(own[r]) : peak;
    bool dead = peak == 0 && k == 0;
    for (i64 r = 0; r < rows; r++) {
      double a = dead ? generic(r) : own[r] / (peak == 0 ? 1 : peak);
      sum += a * a;
    }
    BARRIER;
    WITHIN(r, rows) own[r] = (dead ? generic(r) : own[r] / (peak == 0 ? 1 : peak)) * inverse(sqrt(sum));
    BARRIER;
  }
  double peak = 0;
  WITHIN(i, n) {
    double sum = 0;
    for (i64 r = 0; r < rows; r++) sum += (double)w[r * n + i] * own[r];
    u[i] = (T)sum;
    if (fabs((double)u[i]) > peak) peak = fabs((double)u[i]);
  }
  peak = block_max(peak);
  if (!(peak > 0)) peak = 1;
  double sum = 0;
  WITHIN(i, n) sum += ((double)u[i] / peak) * ((double)u[i] / peak);
  double norm = peak * sqrt(block_sum(sum));
  WITHIN(i, n) u[i] = (T)((double)u[i] * inverse(norm));
  WITHIN(r, rows) v[r] = (T)own[r];
  if (threadIdx.x == 0) sigma[0] = (T)norm;
}
