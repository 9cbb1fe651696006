// A step of Adam, and one of projected gradient descent: see train/adam, train/attack.

// In place; `first` = 1 - beta1^t, `second` = 1 - beta2^t.
KERNEL adam(T *p, T *m, T *v, const T *g, i64 n, double beta1, double beta2, double eps, double first, double second,
            double lr, double kept) {
  EACH(i, n) {
    T a = m[i] * (T)beta1 + g[i] * (T)(1 - beta1);
    T b = v[i] * (T)beta2 + g[i] * g[i] * (T)(1 - beta2);
    m[i] = a;
    v[i] = b;
    p[i] = p[i] * (T)kept - a / (T)first / ((T)sqrt((double)(b / (T)second)) + (T)eps) * (T)lr;
  }
}

DEVICE T cut(T x, i64 images) { return !images ? x : x < 0 ? (T)0 : x > 1 ? (T)1 : x; }

// next = the point moved along g by `step`, cut to images, projected on the ball around x, cut again; one block for each
// sample. Below 1e-6 the step shrinks with the gradient.
KERNEL attack_step(const T *x, const T *point, const T *g, T *next, i64 n, double step, double epsilon, i64 images) {
  i64 from = (i64)blockIdx.x * n;
  double slope = block_norm(g + from, 0, n), by = slope == 0 ? 1 : slope;
  T length = (T)((slope < 1e-6 ? slope : 1e-6) * (step / 1e-6));
  // A slope that is no number moves nothing towards a number.
  if (slope != slope) length = (T)slope;
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
