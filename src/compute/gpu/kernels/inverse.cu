// Matrices of few rows, at most MOST, a block for each: see compute/inverse/small.
#define MOST 64

KERNEL invert(const T *from, T *to, i64 n) {
  SHARED T factor[MOST];
  const T *m = from + (i64)blockIdx.x * n * n;
  T *y = to + (i64)blockIdx.x * n * n;
  WITHIN(at, n * n) y[at] = m[at];
  BARRIER;
  for (i64 k = 0; k < n; k++) {
    T p = (T)1 / y[k * n + k];
    WITHIN(i, n) factor[i] = y[i * n + k];
    BARRIER;
    WITHIN(j, n) y[k * n + j] = j == k ? p : y[k * n + j] * p;
    BARRIER;
    WITHIN(at, n * n) {
      i64 i = at / n, j = at % n;
      if (i != k) y[at] = j == k ? -(factor[i] * p) : y[at] - factor[i] * y[k * n + j];
    }
    BARRIER;
  }
}

// The inverse of the Cholesky factor of a symmetric matrix of few rows, by one block: see compute/orthogonal/cholesky. l is room for the factor.
KERNEL invert_factor(const T *s, T *l, T *r, i64 n) {
  for (i64 j = 0; j < n; j++) {
    T sum = s[j * n + j];
    for (i64 k = 0; k < j; k++) sum -= l[j * n + k] * l[j * n + k];
    T d = sqrt(sum);
    WITHIN(i, n) {
      if (i == j) l[i * n + j] = d;
      if (i <= j) continue;
      T rest = s[i * n + j];
      for (i64 k = 0; k < j; k++) rest -= l[i * n + k] * l[j * n + k];
      l[i * n + j] = rest / d;
    }
    BARRIER;
  }
  WITHIN(c, n) {
    for (i64 i = 0; i < n; i++) {
      T rest = i == c ? (T)1 : (T)0;
      for (i64 k = c; k < i; k++) rest -= l[i * n + k] * r[k * n + c];
      r[i * n + c] = i < c ? (T)0 : rest / l[i * n + i];
    }
  }
}
