// Ball and box through a layer and MaxMin behind it, which sorts two halves of the channels into the larger and the smaller: as
// region_forward and region_backward, whose arguments these have. A pair is a number k of the first half and its partner; with
// `clipped` the larger is cut at the threshold of k from above, the smaller at that of its partner from below.

// Number k of a sample's pair j, and how far its partner is from it.
DEVICE i64 first_of(i64 j, i64 half, i64 last) { return last ? j / half * 2 * half + j % half : j; }

DEVICE T larger_of(T x, T t) { return x > t || x != x ? x : t; }
DEVICE T smaller_of(T x, T t) { return x < t || x != x ? x : t; }

struct Pair {
  T larger, smaller;
};

DEVICE Pair sorted_pair(T x, T y, T most, T least, i64 clipped) {
  Pair p = {larger_of(x, y), smaller_of(x, y)};
  if (clipped) p.larger = smaller_of(p.larger, most), p.smaller = larger_of(p.smaller, least);
  return p;
}

// The gradients of a sorted pair to those of x and y, and what falls to the thresholds.
DEVICE Pair sorted_back(T x, T y, T most, T least, i64 clipped, T of_larger, T of_smaller, double *of_most, double *of_least) {
  T larger = larger_of(x, y), smaller = smaller_of(x, y);
  if (clipped) {
    if (larger >= most) *of_most += (double)of_larger;
    if (smaller <= least) *of_least += (double)of_smaller;
    of_larger = larger < most ? of_larger : (T)0;
    of_smaller = smaller > least ? of_smaller : (T)0;
  }
  Pair d;
  d.larger = (x > y ? of_larger : (T)0) + (x < y ? of_smaller : (T)0);
  d.smaller = (x <= y ? of_larger : (T)0) + (x >= y ? of_smaller : (T)0);
  return d;
}

template <int W>
DEVICE void sorted_forward(const T *both, const T *half, const T *radius, const T *norms, const T *bias, const T *threshold,
                           T *z, u8 *mask, i64 all, i64 n, i64 positions, i64 channels, i64 last, i64 pieces, i64 clipped,
                           i64 around) {
  i64 b = ROW(pieces), middle = last ? channels / 2 : n / 2;
  T r = radius[b];
  SHARE(W, j, n / 2, pieces) {
    i64 k = first_of(j, middle, last);
    Pack<W> out[2][3], t[2];
    Pack<W, u8> open[2];
    Ends ends[2][W];
    #pragma unroll
    for (int s = 0; s < 2; s++) {
      i64 i = b * n + k + s * middle;
      Pack<W> m = load<W>(both + i), c = around ? m : load<W>(both + all + i);
      Pack<W> h = load<W>(half + (around ? k + s * middle : i));
      if (clipped) t[s] = load<W>(threshold + k + s * middle);
      #pragma unroll
      for (int w = 0; w < W; w++) {
        u32 channel = channel_of(k + s * middle + w, positions, channels, last);
        T reach = around ? r * h.at[w] : h.at[w];
        ends[s][w] = meet(m.at[w], c.at[w], reach, bias ? bias[channel] : (T)0, r * norms[channel]);
      }
    }
    #pragma unroll
    for (int w = 0; w < W; w++) {
      T most = clipped ? t[0].at[w] : (T)0, least = clipped ? t[1].at[w] : (T)0;
      Ends x = ends[0][w], y = ends[1][w];
      Pair m = sorted_pair(x.m, y.m, most, least, clipped), l = sorted_pair(x.l, y.l, most, least, clipped);
      Pair u = sorted_pair(x.u, y.u, most, least, clipped);
      out[0][0].at[w] = m.larger, out[1][0].at[w] = m.smaller;
      out[0][1].at[w] = (l.larger + u.larger) * (T)0.5, out[1][1].at[w] = (l.smaller + u.smaller) * (T)0.5;
      out[0][2].at[w] = (u.larger - l.larger) * (T)0.5, out[1][2].at[w] = (u.smaller - l.smaller) * (T)0.5;
      open[0].at[w] = !(l.larger >= most);
      open[1].at[w] = !(u.smaller <= least);
    }
    #pragma unroll
    for (int s = 0; s < 2; s++) {
      i64 i = b * n + k + s * middle;
      #pragma unroll
      for (int part = 0; part < 3; part++) store<W>(z + part * all + i, out[s][part]);
      if (clipped) store<W>(mask + i, open[s]);
    }
  }
}

KERNEL sorted_forward_4(const T *both, const T *half, const T *radius, const T *norms, const T *bias, const T *threshold, T *z,
                        u8 *mask, i64 all, i64 n, i64 positions, i64 channels, i64 last, i64 pieces, i64 clipped,
                        i64 around) {
  sorted_forward<4>(both, half, radius, norms, bias, threshold, z, mask, all, n, positions, channels, last, pieces, clipped,
                    around);
}

KERNEL sorted_forward_1(const T *both, const T *half, const T *radius, const T *norms, const T *bias, const T *threshold, T *z,
                        u8 *mask, i64 all, i64 n, i64 positions, i64 channels, i64 last, i64 pieces, i64 clipped,
                        i64 around) {
  sorted_forward<1>(both, half, radius, norms, bias, threshold, z, mask, all, n, positions, channels, last, pieces, clipped,
                    around);
}

// `parts` and `radii` as those of region_backward, tile by tile of pairs.
KERNEL sorted_backward(const T *both, const T *half, const T *radius, const T *norms, const T *bias, const T *threshold,
                       const T *g, T *d, double *parts, double *radii, i64 batch, i64 n, i64 positions, i64 channels,
                       i64 last, i64 tiles, i64 group, i64 clipped, i64 around) {
  i64 tile = PIECE(tiles), from = ROW(tiles) * group, to = from + group < batch ? from + group : batch, all = batch * n;
  i64 j = tile * THREADS + threadIdx.x, middle = last ? channels / 2 : n / 2, k = first_of(j, middle, last);
  bool own = j < n / 2;
  double sums[4][2] = {};
  T shift[2] = {}, norm[2] = {}, t[2] = {};
  for (int s = 0; s < 2 && own; s++) {
    u32 channel = channel_of(k + s * middle, positions, channels, last);
    shift[s] = bias ? bias[channel] : (T)0;
    norm[s] = norms[channel];
    if (clipped) t[s] = threshold[k + s * middle];
  }
  for (i64 b = from; b < to; b++) {
    double of_radius = 0;
    if (own) {
      T r = radius[b], gm[2], gl[2], gu[2];
      Ends e[2];
      for (int s = 0; s < 2; s++) {
        i64 i = b * n + k + s * middle;
        T reach = around ? r * half[k + s * middle] : half[i];
        e[s] = meet(both[i], around ? both[i] : both[all + i], reach, shift[s], r * norm[s]);
        T of_middle = g[all + i], of_half = g[2 * all + i];
        gm[s] = g[i], gl[s] = (of_middle - of_half) * (T)0.5, gu[s] = (of_middle + of_half) * (T)0.5;
      }
      Pair m = sorted_back(e[0].m, e[1].m, t[0], t[1], clipped, gm[0], gm[1], &sums[0][0], &sums[0][1]);
      Pair l = sorted_back(e[0].l, e[1].l, t[0], t[1], clipped, gl[0], gl[1], &sums[0][0], &sums[0][1]);
      Pair u = sorted_back(e[0].u, e[1].u, t[0], t[1], clipped, gu[0], gu[1], &sums[0][0], &sums[0][1]);
      for (int s = 0; s < 2; s++) {
        i64 i = b * n + k + s * middle;
        T of_m = s ? m.smaller : m.larger, of_l = s ? l.smaller : l.larger, of_u = s ? u.smaller : u.larger;
        T ball_l = e[s].ball_l ? of_l : (T)0, ball_u = e[s].ball_u ? of_u : (T)0;
        T box_l = of_l - ball_l, box_u = of_u - ball_u;
        double of_reach = (double)ball_u - (double)ball_l;
        of_radius += of_reach * (double)norm[s];
        sums[1][s] += (double)of_m + (double)of_l + (double)of_u;
        sums[2][s] += of_reach * (double)r;
        sums[3][s] += (double)(box_u - box_l) * (double)r;
        d[i] = of_m + ball_l + ball_u + (around ? box_l + box_u : (T)0);
        if (around) continue;
        d[all + i] = box_l + box_u;
        d[2 * all + i] = box_u - box_l;
      }
    }
    of_radius = warp_sum(of_radius);
    if (threadIdx.x % 32 == 0) radii[(b * tiles + tile) * WARPS + threadIdx.x / 32] = of_radius;
  }
  for (int row = 0; row < (around ? 4 : 3) && own; row++)
    for (int s = 0; s < 2; s++) parts[(ROW(tiles) * 4 + row) * n + k + s * middle] = sums[row][s];
}

// MaxMin of activations: pair j of each 2 `half` numbers is j and half + j of them, a sample's plane by plane, a pixel's with channels last;
// cut at thresholds where there are any, which start over after `period` pairs.
KERNEL pairs_forward(const T *x, const T *most, const T *least, T *y, i64 pairs, i64 half, i64 period) {
  EACH(at, pairs) {
    i64 i = at / half * 2 * half + at % half, t = at % period;
    Pair p = sorted_pair(x[i], x[i + half], most ? most[t] : (T)0, least ? least[t] : (T)0, most != 0);
    y[i] = p.larger;
    y[i + half] = p.smaller;
  }
}

KERNEL pairs_backward(const T *x, const T *most, const T *least, const T *g, T *d, i64 pairs, i64 half, i64 period) {
  EACH(at, pairs) {
    i64 i = at / half * 2 * half + at % half, t = at % period;
    double of_most = 0, of_least = 0;
    Pair p = sorted_back(x[i], x[i + half], most ? most[t] : (T)0, least ? least[t] : (T)0, most != 0, g[i], g[i + half], &of_most,
                         &of_least);
    d[i] = p.larger;
    d[i + half] = p.smaller;
  }
}

KERNEL pairs_thresholds(const T *x, const T *most, const T *least, const T *g, T *of_most, T *of_least, i64 pairs, i64 half, i64 period) {
  EACH(t, period) {
    double top = 0, bottom = 0;
    for (i64 at = t; at < pairs; at += period) {
      i64 i = at / half * 2 * half + at % half;
      sorted_back(x[i], x[i + half], most[t], least[t], 1, g[i], g[i + half], &top, &bottom);
    }
    of_most[t] = (T)top;
    of_least[t] = (T)bottom;
  }
}
