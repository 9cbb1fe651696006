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
