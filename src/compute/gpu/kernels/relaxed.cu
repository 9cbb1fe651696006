// Coefficients of linear bounds through the lines of an activation (compute/relaxed): a row of n coefficients for each of `rows` bounds of a
// sample, lines for each sample.

KERNEL lines_forward(const T *a, const T *ls, const T *us, const T *lo, const T *uo, T *out, T *constants, const T *bias, i64 n,
                     i64 rows) {
  i64 row = blockIdx.x, from = row * n, own = row / rows * n;
  double sum = 0;
  WITHIN(i, n) {
    T x = a[from + i];
    // A NaN is not above 0, and stays one in the product.
    bool above = x > (T)0;
    T y = x * (above ? ls[own + i] : us[own + i]);
    out[from + i] = y;
    sum += (double)(x * (above ? lo[own + i] : uo[own + i])) + (bias ? (double)(y * bias[i]) : 0);
  }
  sum = block_sum(sum);
  if (threadIdx.x == 0) constants[row] = (T)sum;
}

KERNEL lines_backward(const T *a, const T *ls, const T *us, const T *lo, const T *uo, const T *g, const T *gk, T *da, T *dls, T *dus, T *dlo,
                      T *duo, const T *bias, i64 n, i64 batch, i64 rows) {
  EACH(at, batch * n) {
    i64 b = at / n, i = at % n;
    T lower[2] = {ls[at], lo[at]}, upper[2] = {us[at], uo[at]};
    T sums[4] = {(T)0, (T)0, (T)0, (T)0};
    for (i64 s = b * rows; s < (b + 1) * rows; s++) {
      T x = a[s * n + i], constant = gk[s], own = g[s * n + i] + (bias ? constant * bias[i] : (T)0);
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

// Lines of a function bent at 0 over boxes (compute/relaxed/bent): chord, its offset, and the tangent through 0.
KERNEL bent_forward(const T *lower, const T *upper, T *slopes, T *offsets, T *tangents, double below, double above, i64 n) {
  T a = (T)below, b = (T)above;
  EACH(i, n) {
    T l = lower[i], u = upper[i], none = (l + u) * (T)0;
    bool crosses = l < (T)0 && u > (T)0;
    T own = u > (T)0 ? b : a;
    T slope = crosses ? (b * u - a * l) / (u - l) : own;
    slopes[i] = slope + none;
    offsets[i] = (crosses ? (b - slope) * u : (T)0) + none;
    tangents[i] = (crosses ? (u + l > (T)0 ? b : a) : own) + none;
  }
}

KERNEL bent_backward(const T *lower, const T *upper, const T *g, const T *h, T *low, T *high, double below, double above, i64 n) {
  T a = (T)below, b = (T)above;
  EACH(i, n) {
    T l = lower[i], u = upper[i];
    bool crosses = l < (T)0 && u > (T)0;
    T width = crosses ? u - l : (T)1, slope = (b * u - a * l) / width, by = (b - a) / (width * width), both = g[i] - h[i] * u;
    low[i] = crosses ? both * by * u : (T)0;
    high[i] = crosses ? h[i] * (b - slope) - both * by * l : (T)0;
  }
}
