// Worst logits: the rise of every logit over ball and box. The formulas, and the gradient as a function of point and
// factor, stand in bounds/margin/worst_solve; all sums are in double.
//
// What is clipped follows from one number: coordinate i lies at the box where reach D_i leaves it. Clip-and-enlarge makes
// reach grow, each time to the factor s that the clipped coordinates of before give; when they stay as they are, the point
// is the exact solution. So `exact` is clip-and-enlarge to its end, without a sort, where the CPU sorts breakpoints; at every step
// before it lies above the solution. A reach of 0 clips nothing (ball), one without end everything (box).

#define EXACT 0
#define ENLARGE 1
#define BALL 2
#define BOX 3

DEVICE double without_end() { return 1e308 * 10; }

DEVICE double corner(double d, double low, double high) { return d > 0 ? high : d < 0 ? low : 0 * d; }

DEVICE bool at_box(double d, double low, double high, double reach) {
  // Without end times 0 is no number, and compares as false.
  double point = reach * d;
  return point > high || point < low;
}

DEVICE double point_of(double d, double low, double high, double reach, double factor) {
  if (at_box(d, low, high, reach)) return corner(d, low, high);
  return d == 0 ? 0 : factor * d;
}

// rise, reach, factor [B, C]; weight [C, F]; low <= 0 <= high [B, F]; radius, y [B]. One block for each sample and class.
KERNEL worst_forward(const T *weight, const T *lows, const T *highs, const T *radii, const u32 *y, T *rises,
                     double *reaches, double *factors, i64 classes, i64 features, i64 rule, i64 iterations) {
  i64 at = blockIdx.x, b = at / classes, j = at % classes;
  // A radius that is NaN or infinite certifies nothing, whatever the rule makes of it.
  double unknown = rule == BOX ? 0 : 0 * (double)radii[b];
  if (j == (i64)y[b]) {
    if (threadIdx.x == 0) rises[at] = (T)unknown, reaches[at] = 0, factors[at] = 0;
    return;
  }
  const T *w_j = weight + j * features, *w_y = weight + (i64)y[b] * features;
  const T *low = lows + b * features, *high = highs + b * features;
  double radius = (double)radii[b], infinite = without_end();
  double corners = 0;
  if (rule != BALL) {
    WITHIN(i, features) {
      double c = corner((double)w_j[i] - (double)w_y[i], (double)low[i], (double)high[i]);
      corners += c * c;
    }
    corners = block_sum(corners);
  }
  bool broken = corners != corners || (rule != BOX && radius != radius);
  double reach = rule == BOX || (rule == EXACT && corners <= radius * radius) ? infinite : 0, factor = infinite;
  if (!broken && reach == 0) {
    double before = 0;
    for (i64 k = 0;; k++) {
      double spent = 0, free = 0, clipped = 0;
      WITHIN(i, features) {
        double d = (double)w_j[i] - (double)w_y[i];
        if (rule != BALL && at_box(d, (double)low[i], (double)high[i], reach)) {
          double c = corner(d, (double)low[i], (double)high[i]);
          spent += c * c;
          clipped += 1;
        } else
          free += d * d;
      }
      spent = block_sum(spent);
      free = block_sum(free);
      clipped = block_sum(clipped);
      double left = radius * radius - spent;
      // Where nothing is free, nothing grows.
      factor = free == 0 ? infinite : sqrt((left > 0 ? left : 0) / free);
      if (rule == BALL) {
        factor = radius / sqrt(free);
        if (!(factor < infinite)) factor = 0;
        break;
      }
      if (free == 0 || (k > 0 && !(clipped > before)) || (rule == ENLARGE && k == iterations)) break;
      before = clipped;
      // Rounding could make it fall, and what is clipped stays so.
      if (factor > reach) reach = factor;
    }
  }
  double value = 0;
  WITHIN(i, features) {
    double d = (double)w_j[i] - (double)w_y[i];
    double end_low = rule == BALL ? -infinite : (double)low[i], end_high = rule == BALL ? infinite : (double)high[i];
    value += d * point_of(d, end_low, end_high, reach, factor);
  }
  value = block_sum(value);
  if (threadIdx.x == 0) {
    rises[at] = (T)(broken ? 0 * infinite : value + unknown);
    reaches[at] = broken ? infinite : reach;
    factors[at] = broken ? infinite : factor;
  }
}

// Gradients of sum g rise in low, high [B, F] and radius [B]; one block for each sample.
KERNEL worst_backward_region(const T *weight, const T *lows, const T *highs, const T *radii, const u32 *y, const T *g,
                             const double *reaches, const double *factors, T *d_lows, T *d_highs, T *d_radii,
                             i64 classes, i64 features) {
  i64 b = blockIdx.x;
  const T *w_y = weight + (i64)y[b] * features;
  double radius = (double)radii[b], infinite = without_end(), of_radius = 0;
  WITHIN(i, features) {
    double of_low = 0, of_high = 0, low = (double)lows[b * features + i], high = (double)highs[b * features + i];
    for (i64 j = 0; j < classes; j++) {
      double reach = reaches[b * classes + j], factor = factors[b * classes + j], pull = (double)g[b * classes + j];
      double d = (double)weight[j * features + i] - (double)w_y[i];
      if (j == (i64)y[b] || pull == 0 || !at_box(d, low, high, reach)) continue;
      bool kink = factor == infinite || factor == 0;
      double slope = pull * (kink ? d : d - corner(d, low, high) / factor);
      if (d > 0) of_high += slope;
      else of_low += slope;
    }
    d_lows[b * features + i] = (T)of_low;
    d_highs[b * features + i] = (T)of_high;
  }
  for (i64 j = 0; j < classes; j++) {
    double reach = reaches[b * classes + j], factor = factors[b * classes + j], pull = (double)g[b * classes + j];
    if (j == (i64)y[b] || pull == 0 || factor == infinite) continue;
    if (factor > 0) {
      of_radius += pull * radius / factor;
    } else if (radius == 0) {
      // From radius 0 the ball's end moves along what is free of D.
      double free = 0;
      WITHIN(i, features) {
        double d = (double)weight[j * features + i] - (double)w_y[i];
        if (!at_box(d, (double)lows[b * features + i], (double)highs[b * features + i], reach)) free += d * d;
      }
      of_radius += pull * sqrt(block_sum(free));
    }
  }
  if (threadIdx.x == 0) d_radii[b] = (T)of_radius;
}

// The gradient in weight [C, F]. A block has one class and 32 features, and 8 threads for each that share the samples.
KERNEL worst_backward_weight(const T *weight, const T *lows, const T *highs, const u32 *y, const T *g,
                             const double *reaches, const double *factors, T *d_weight, i64 batch, i64 classes,
                             i64 features) {
  SHARED double part[THREADS];
  i64 tiles = (features + 31) / 32, c = blockIdx.x / tiles, i = blockIdx.x % tiles * 32 + threadIdx.x % 32;
  double sum = 0;
  if (i < features)
    for (i64 b = threadIdx.x / 32; b < batch; b += THREADS / 32) {
      i64 label = (i64)y[b];
      double low = (double)lows[b * features + i], high = (double)highs[b * features + i];
      double w_y = (double)weight[label * features + i];
      // The label's row takes what all others push against it.
      for (i64 j = label == c ? 0 : c; j < (label == c ? classes : c + 1); j++) {
        double pull = (double)g[b * classes + j], d = (double)weight[j * features + i] - w_y;
        if (j == label || pull == 0) continue;
        double point = pull * point_of(d, low, high, reaches[b * classes + j], factors[b * classes + j]);
        sum += label == c ? -point : point;
      }
    }
  part[threadIdx.x] = sum;
  BARRIER;
  if (threadIdx.x < 32 && i < features) {
    for (u32 k = 1; k < THREADS / 32; k++) sum += part[threadIdx.x + 32 * k];
    d_weight[c * features + i] = (T)sum;
  }
}
