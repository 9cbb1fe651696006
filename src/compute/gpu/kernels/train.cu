// A step of Adam, and one of projected gradient descent: see train/adam, train/attack.

// A launch over many tensors at once has a table of them: for each the addresses of its parts, its length, and its first block.
#define SPAN (THREADS * 4)

// The row of this block's tensor, in a table whose rows have so many words.
DEVICE const i64 *row_of(const i64 *table, i64 count, i64 words) {
  i64 at = 0;
  while (at + 1 < count && table[words * (at + 1) + words - 1] <= (i64)blockIdx.x) at++;
  return table + words * at;
}

// For every i of a tensor's length that falls to this block.
#define SPANNED(i, n, first)                                                                                           \
  for (i64 i = ((i64)blockIdx.x - (first)) * SPAN + threadIdx.x, end = i - threadIdx.x + SPAN; i < end && i < (n);     \
       i += THREADS)

// Words of a table from one on, where it cannot be uploaded.
KERNEL store_words(i64 *table, i64 from, i64 count, i64 a, i64 b, i64 c, i64 d, i64 e, i64 f, i64 g, i64 h) {
  const i64 words[8] = {a, b, c, d, e, f, g, h};
  WITHIN(i, count) table[from + i] = words[i];
}

// In place on p, m, v by g: `first` and `second` are what m and v are divided by, `ahead` is how much of g itself is in the step. Where
// there is `told`, these, lr and kept stand in it, in this order.
KERNEL adam(const i64 *table, i64 count, double beta1, double beta2, double eps, const double *told, double first, double second,
            double ahead, double lr, double kept) {
  if (told) first = told[0], second = told[1], ahead = told[2], lr = told[3], kept = told[4];
  const i64 *row = row_of(table, count, 6);
  T *p = (T *)row[0], *m = (T *)row[1], *v = (T *)row[2];
  const T *g = (const T *)row[3];
  SPANNED(i, row[4], row[5]) {
    T a = m[i] * (T)beta1 + g[i] * (T)(1 - beta1);
    T b = v[i] * (T)beta2 + g[i] * g[i] * (T)(1 - beta2);
    m[i] = a;
    v[i] = b;
    p[i] = p[i] * (T)kept - (a / (T)first + g[i] * (T)ahead) / ((T)sqrt((double)(b / (T)second)) + (T)eps) * (T)lr;
  }
}

// In place: what is below 0 becomes 0. A NaN stays.
KERNEL at_least_zero(const i64 *table, i64 count) {
  const i64 *row = row_of(table, count, 3);
  T *p = (T *)row[0];
  SPANNED(i, row[1], row[2]) if (p[i] < 0) p[i] = 0;
}

DEVICE T cut(T x, i64 images) { return !images ? x : x < 0 ? (T)0 : x > 1 ? (T)1 : x; }

// next = the point moved along g by `step`, cut to images, projected on the ball around x, cut again; one block for each
// sample. Below `least` the step shrinks with the gradient. Along a gradient that is NaN or infinite the point does not move.
KERNEL attack_step(const T *x, const T *point, const T *g, T *next, const double *steps, const double *radii, i64 n,
                   i64 images, double least) {
  i64 from = (i64)blockIdx.x * n;
  double step = steps[blockIdx.x], epsilon = radii[blockIdx.x];
  double slope = block_norm(g + from, 0, n), by = slope == 0 ? 1 : slope;
  // Neither is below itself less itself: inf - inf and NaN are NaN.
  if (slope - slope != 0) {
    WITHIN(i, n) next[from + i] = point[from + i];
    return;
  }
  T length = (T)(slope < least ? slope * (step / least) : step);
  WITHIN(i, n) {
    T unit = (T)((double)g[from + i] / by);
    next[from + i] = cut(point[from + i] + unit * length, images) - x[from + i];
  }
  BARRIER;
  double far = block_norm(next + from, 0, n);
  by = far == 0 ? 1 : far;
  length = (T)(far < epsilon || far != far ? far : epsilon);
  WITHIN(i, n) {
    T unit = (T)((double)next[from + i] / by);
    next[from + i] = cut(x[from + i] + unit * length, images);
  }
}

// The one number of each tensor: a block for each.
KERNEL gather_numbers(const i64 *table, i64 count, double *numbers) {
  if (threadIdx.x == 0) numbers[blockIdx.x] = (double)*(const T *)table[3 * blockIdx.x];
}
