// Coefficients of linear bounds through the lines of an activation (compute/relaxed): a row of n coefficients for each of `rows` bounds of a
// sample, lines for each sample.

KERNEL lines_forward(const T *a, const T *ls, const T *us, const T *lo, const T *uo, T *out, T *constants, i64 n, i64 rows) {
  i64 row = blockIdx.x, from = row * n, own = row / rows * n;
  double sum = 0;
  WITHIN(i, n) {
    T x = a[from + i];
    // A NaN is not above 0, and stays one in the product.
    bool above = x > (T)0;
    out[from + i] = x * (above ? ls[own + i] : us[own + i]);
    sum += (double)(x * (above ? lo[own + i] : uo[own + i]));
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) constants[row] = (T)sum;
}

KERNEL lines_backward(const T *a, const T *ls, const T *us, const T *lo, const T *uo, const T *g, const T *gk, T *da, T *dls, T *dus, T *dlo,
                      T *duo, i64 n, i64 batch, i64 rows) {
  EACH(at, batch * n) {
    i64 b = at / n, i = at % n;
    T lower[2] = {ls[at], lo[at]}, upper[2] = {us[at], uo[at]};
    T sums[4] = {(T)0, (T)0, (T)0, (T)0};
    for (i64 s = b * rows; s < (b + 1) * rows; s++) {
      T x = a[s * n + i], own = g[s * n + i], constant = gk[s];
      if (x > (T)0) {
        da[s * n + i] = own * lower[0] + constant * lower[1];
        sums[0] += x * own, sums[2] += x * constant;
      } else {
        da[s * n + i] = own * upper[0] + constant * upper[1];
        sums[1] += x * own, sums[3] += x * constant;
      }
    }
    dls[at] = sums[0], dus[at] = sums[1], dlo[at] = sums[2], duo[at] = sums[3];
  }
}
