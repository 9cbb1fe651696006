// Ball and box through a layer and the activation behind it, as middle and half-width: see compute/region/gpu for the formulas. A
// sample has n numbers at its output; samples lie one after the other, and so do the parts. A channel has `positions` numbers: side
// by side, or with `last` the channels of a position are side by side.

// Number i of a row of a weight, in whose row the channels of a tap are side by side.
DEVICE i64 turned(i64 i, i64 taps, i64 n) { return i % taps * (n / taps) + i / taps; }

// |w|, and the norms of the rows of n numbers; one block for each row. With `turned_w` it and |w| have the channels of each of
// `taps` side by side.
KERNEL weight_parts(const T *w, T *turned_w, T *absolute, T *norms, i64 n, i64 taps) {
  i64 from = (i64)blockIdx.x * n;
  WITHIN(i, n) {
    i64 to = turned_w ? turned(i, taps, n) : i;
    T x = w[from + i];
    if (turned_w) turned_w[from + to] = x;
    absolute[from + to] = (T)fabs((double)x);
  }
  double norm = block_norm(w + from, 0, n);
  if (threadIdx.x == 0) norms[blockIdx.x] = (T)norm;
}

// The l2 ball around x and the box x +- radius, cut to [0, 1] for images, as (center, middle, half-width).
KERNEL region_around(const T *x, const T *radius, T *z, i64 all, i64 n, i64 pieces, i64 images) {
  i64 b = ROW(pieces);
  T r = radius[b];
  SHARE(1, k, n, pieces) {
    i64 i = b * n + k;
    T c = x[i], l = c - r, u = c + r;
    if (images) l = l < 0 ? (T)0 : l > 1 ? (T)1 : l, u = u < 0 ? (T)0 : u > 1 ? (T)1 : u;
    z[i] = c;
    z[all + i] = (l + u) * (T)0.5;
    z[2 * all + i] = (u - l) * (T)0.5;
  }
}

// [center, lower, upper] to [center, middle, half-width], and back; each is also the other's adjoint, up to factors.
KERNEL region_middles(const T *x, T *y, i64 n) {
  EACH(i, n) {
    T c = x[i], l = x[n + i], u = x[2 * n + i];
    y[i] = c;
    y[n + i] = (l + u) * (T)0.5;
    y[2 * n + i] = (u - l) * (T)0.5;
  }
}

KERNEL region_ends(const T *x, T *y, i64 n) {
  EACH(i, n) {
    T c = x[i], m = x[n + i], h = x[2 * n + i];
    y[i] = c;
    y[n + i] = m - h;
    y[2 * n + i] = m + h;
  }
}

// Gradients of (center, middle, half-width) to those of (center, lower, upper), and the other way.
KERNEL region_middles_back(const T *g, T *d, i64 n) {
  EACH(i, n) {
    T m = g[n + i], h = g[2 * n + i];
    d[i] = g[i];
    d[n + i] = (m - h) * (T)0.5;
    d[2 * n + i] = (m + h) * (T)0.5;
  }
}

KERNEL region_ends_back(const T *g, T *d, i64 n) {
  EACH(i, n) {
    T l = g[n + i], u = g[2 * n + i];
    d[i] = g[i];
    d[n + i] = l + u;
    d[2 * n + i] = u - l;
  }
}

// How far the box reaches below and above the center, cut at 0: [2, ...], from (center, middle, half-width).
KERNEL region_gaps(const T *z, T *gaps, i64 n) {
  EACH(i, n) {
    T c = z[i], m = z[n + i], h = z[2 * n + i], l = m - h - c, u = m + h - c;
    gaps[i] = l > 0 ? (T)0 : l;
    gaps[n + i] = u < 0 ? (T)0 : u;
  }
}

KERNEL region_gaps_back(const T *z, const T *g, T *d, i64 n) {
  EACH(i, n) {
    T c = z[i], m = z[n + i], h = z[2 * n + i];
    T l = m - h - c < 0 ? g[i] : (T)0, u = m + h - c > 0 ? g[n + i] : (T)0;
    d[i] = -l - u;
    d[n + i] = l + u;
    d[2 * n + i] = u - l;
  }
}

// Of a ball around images the middle of the box is the center, and |W| half is the radius times |W| 1: with `around`, `both` is W center
// by itself, and `half` is |W| 1, one for all samples.

// W center, W middle and |W| half to what lies behind the activation, (center, middle, half-width), and which outputs can vary:
// 1 where upper > 0 and lower < t, and where there is a NaN. Of ENDS to (center, lower, upper).
template <int W>
DEVICE void region_forward(const T *both, const T *half, const T *radius, const T *norms, const T *bias, const T *threshold,
                           T *z, u8 *mask, i64 all, i64 n, i64 positions, i64 channels, i64 last, i64 pieces, i64 kind,
                           i64 around) {
  i64 b = ROW(pieces);
  T r = radius[b];
  SHARE(W, k, n, pieces) {
    i64 i = b * n + k;
    Pack<W> center = load<W>(both + i), middle = around ? center : load<W>(both + all + i), t, lower, upper;
    Pack<W> h = load<W>(half + (around ? k : i));
    Pack<W, u8> open;
    if (kind == CLIPPED) t = load<W>(threshold + k);
    for (int w = 0; w < W; w++) {
      u32 c = channel_of(k + w, positions, channels, last);
      Ends e = meet(center.at[w], middle.at[w], around ? r * h.at[w] : h.at[w], bias ? bias[c] : (T)0, r * norms[c]);
      T at = kind == CLIPPED ? t.at[w] : (T)0;
      open.at[w] = !(e.u <= 0) && (kind != CLIPPED || !(e.l >= at));
      center.at[w] = activated(e.m, at, kind);
      lower.at[w] = activated(e.l, at, kind);
      upper.at[w] = activated(e.u, at, kind);
    }
    for (int w = 0; w < W && kind != ENDS; w++) {
      T l = lower.at[w], u = upper.at[w];
      lower.at[w] = (l + u) * (T)0.5;
      upper.at[w] = (u - l) * (T)0.5;
    }
    store<W>(z + i, center);
    store<W>(z + all + i, lower);
    store<W>(z + 2 * all + i, upper);
    if (kind != ENDS) store<W>(mask + i, open);
  }
}

KERNEL region_forward_4(const T *both, const T *half, const T *radius, const T *norms, const T *bias, const T *threshold, T *z,
                        u8 *mask, i64 all, i64 n, i64 positions, i64 channels, i64 last, i64 pieces, i64 kind, i64 around) {
  region_forward<4>(both, half, radius, norms, bias, threshold, z, mask, all, n, positions, channels, last, pieces, kind,
                    around);
}

KERNEL region_forward_1(const T *both, const T *half, const T *radius, const T *norms, const T *bias, const T *threshold, T *z,
                        u8 *mask, i64 all, i64 n, i64 positions, i64 channels, i64 last, i64 pieces, i64 kind, i64 around) {
  region_forward<1>(both, half, radius, norms, bias, threshold, z, mask, all, n, positions, channels, last, pieces, kind,
                    around);
}

// The gradient `g` of what region_forward made to that `d` of both products and of |W| half. A block has a tile of a sample's
// numbers and every sample of its group: `parts` [groups, 4, n] are the group's sums for the threshold, the bias, the
// channels' norms and, with `around`, |W| 1, number by number; `radii` [batch, tiles, WARPS] those for each sample's radius.
template <int W>
DEVICE void region_backward(const T *both, const T *half, const T *radius, const T *norms, const T *bias, const T *threshold,
                            const T *g, T *d, double *parts, double *radii, i64 batch, i64 n, i64 positions,
                            i64 channels, i64 last, i64 tiles, i64 group, i64 kind, i64 around) {
  i64 tile = PIECE(tiles), from = ROW(tiles) * group, to = from + group < batch ? from + group : batch, all = batch * n;
  i64 k = (tile * THREADS + threadIdx.x) * W;
  double sums[4][W] = {};
  u32 channel[W];
  T shift[W], norm[W];
  Pack<W> t;
  for (int w = 0; w < W; w++) {
    channel[w] = k < n ? channel_of(k + w, positions, channels, last) : 0;
    shift[w] = bias ? bias[channel[w]] : (T)0;
    norm[w] = norms[channel[w]];
    t.at[w] = 0;
  }
  if (kind == CLIPPED && k < n) t = load<W>(threshold + k);
  for (i64 b = from; b < to; b++) {
    double of_radius = 0;
    if (k < n) {
      i64 i = b * n + k;
      T r = radius[b];
      Pack<W> center = load<W>(both + i), middle = around ? center : load<W>(both + all + i);
      Pack<W> h = load<W>(half + (around ? k : i));
      Pack<W> first = load<W>(g + i), second = load<W>(g + all + i), third = load<W>(g + 2 * all + i);
      for (int w = 0; w < W; w++) {
        Ends e = meet(center.at[w], middle.at[w], around ? r * h.at[w] : h.at[w], shift[w], r * norm[w]);
        T at = t.at[w], gl = second.at[w], gu = third.at[w];
        if (kind != ENDS) gl = (second.at[w] - third.at[w]) * (T)0.5, gu = (second.at[w] + third.at[w]) * (T)0.5;
        sums[0][w] += to_t(e.m, at, kind, first.at[w]) + to_t(e.l, at, kind, gl) + to_t(e.u, at, kind, gu);
        T m = to_x(e.m, at, kind, first.at[w]), l = to_x(e.l, at, kind, gl), u = to_x(e.u, at, kind, gu);
        T ball_l = e.ball_l ? l : (T)0, ball_u = e.ball_u ? u : (T)0, box_l = l - ball_l, box_u = u - ball_u;
        double of_reach = (double)ball_u - (double)ball_l;
        of_radius += of_reach * (double)norm[w];
        sums[1][w] += (double)m + (double)l + (double)u;
        sums[2][w] += of_reach * (double)r;
        first.at[w] = m + ball_l + ball_u;
        second.at[w] = box_l + box_u;
        third.at[w] = box_u - box_l;
        sums[3][w] += (double)third.at[w] * (double)r;
        if (around) first.at[w] += second.at[w];
      }
      store<W>(d + i, first);
      if (!around) {
        store<W>(d + all + i, second);
        store<W>(d + 2 * all + i, third);
      }
    }
    of_radius = warp_sum(of_radius);
    if (threadIdx.x % 32 == 0) radii[(b * tiles + tile) * WARPS + threadIdx.x / 32] = of_radius;
  }
  if (k < n)
    for (int s = 0; s < (around ? 4 : 3); s++)
      for (int w = 0; w < W; w++) parts[(ROW(tiles) * 4 + s) * n + k + w] = sums[s][w];
}

KERNEL region_backward_4(const T *both, const T *half, const T *radius, const T *norms, const T *bias, const T *threshold,
                         const T *g, T *d, double *parts, double *radii, i64 batch, i64 n, i64 positions,
                         i64 channels, i64 last, i64 tiles, i64 group, i64 kind, i64 around) {
  region_backward<4>(both, half, radius, norms, bias, threshold, g, d, parts, radii, batch, n, positions, channels, last, tiles,
                     group, kind, around);
}

KERNEL region_backward_1(const T *both, const T *half, const T *radius, const T *norms, const T *bias, const T *threshold,
                         const T *g, T *d, double *parts, double *radii, i64 batch, i64 n, i64 positions,
                         i64 channels, i64 last, i64 tiles, i64 group, i64 kind, i64 around) {
  region_backward<1>(both, half, radius, norms, bias, threshold, g, d, parts, radii, batch, n, positions, channels, last, tiles,
                     group, kind, around);
}

// The sums of region_backward's parts: a block for each channel, then one for each sample. `of_threshold` [n] if wanted,
// `of_sums` [n], the gradient of |W| 1, in the order of the activations, with `around`.
KERNEL region_sums(const double *parts, const double *radii, T *of_threshold, T *of_sums, T *of_bias, T *of_norms, T *of_radius,
                   i64 channels, i64 positions, i64 last, i64 groups, i64 tiles) {
  i64 n = channels * positions, c = blockIdx.x;
  if (c >= channels) {
    double sum = 0;
    WITHIN(i, tiles * WARPS) sum += radii[(c - channels) * tiles * WARPS + i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) of_radius[c - channels] = (T)sum;
    return;
  }
  double bias = 0, norm = 0;
  WITHIN(p, positions) {
    i64 k = last ? p * channels + c : c * positions + p;
    double threshold = 0, sum = 0;
    for (i64 group = 0; group < groups; group++) {
      const double *own = parts + group * 4 * n + k;
      threshold += own[0];
      bias += own[n];
      norm += own[2 * n];
      if (of_sums) sum += own[3 * n];
    }
    if (of_sums) of_sums[k] = (T)sum;
    if (of_threshold) of_threshold[c * positions + p] = (T)threshold;
  }
  bias = block_sum(bias);
  norm = block_sum(norm);
  if (threadIdx.x == 0) of_bias[c] = (T)bias, of_norms[c] = (T)norm;
}

// The weight's gradient: of its products in a region, of |w|'s, of its rows' norms, and of those in v . W u, each if it is there; rows of n
// numbers. A zero row's norm has none.
KERNEL weight_gradient(const T *products, const T *absolute, const T *of_norms, const T *envelope, const T *w, const T *norms, T *d,
                       i64 count, i64 n, i64 taps, i64 last) {
  EACH(i, count) {
    u32 row = (u32)i / (u32)n;
    i64 at = last ? row * n + turned(i - row * n, taps, n) : i;
    T x = w[i], sum = products ? products[at] : (T)0;
    if (absolute) sum += x > 0 ? absolute[at] : x < 0 ? -absolute[at] : (T)0;
    if (of_norms) sum += norms[row] == 0 ? (T)0 : x * (of_norms[row] / norms[row]);
    if (envelope) sum += envelope[at];
    d[i] = sum;
  }
}

// The product of up to eight tensors of n numbers, or of one for all (its bit in `for_all`), and the gradients of those that are wanted.
#define FACTORS 8
#define OF(factor, k, i) (factor)[for_all >> (k) & 1 ? 0 : (i)]

KERNEL product_of(const T *a, const T *b, const T *c, const T *d, const T *e, const T *f, const T *g, const T *h, T *y, i64 n,
                  i64 for_all) {
  const T *factors[FACTORS] = {a, b, c, d, e, f, g, h};
  EACH(i, n) {
    T product = 1;
    for (int k = 0; k < FACTORS && factors[k]; k++) product *= OF(factors[k], k, i);
    y[i] = product;
  }
}

// One block.
KERNEL product_back(const T *a, const T *b, const T *c, const T *d, const T *e, const T *f, const T *g, const T *h, const T *of_y,
                    T *of_a, T *of_b, T *of_c, T *of_d, T *of_e, T *of_f, T *of_g, T *of_h, i64 n, i64 for_all) {
  const T *factors[FACTORS] = {a, b, c, d, e, f, g, h};
  T *gradients[FACTORS] = {of_a, of_b, of_c, of_d, of_e, of_f, of_g, of_h};
  for (int k = 0; k < FACTORS && factors[k]; k++) {
    if (!gradients[k]) continue;
    double sum = 0;
    WITHIN(i, n) {
      double others = (double)of_y[i];
      for (int j = 0; j < FACTORS && factors[j]; j++)
        if (j != k) others *= (double)OF(factors[j], j, i);
      if (for_all >> k & 1) sum += others;
      else gradients[k][i] = (T)others;
    }
    if (for_all >> k & 1) {
      sum = block_sum(sum);
      if (threadIdx.x == 0) gradients[k][0] = (T)sum;
    }
  }
}
