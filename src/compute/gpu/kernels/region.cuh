// Stands before the sources of regions: one number of a region behind an affine layer.

// What lies behind the layer: nothing, so that the ends of the box are wanted; an activation.
#define ENDS 0
#define RELU 1
#define CLIPPED 2

DEVICE T positive(T x) { return x < 0 ? (T)0 : x; }

// Every comparison with a NaN ends at the NaN.
DEVICE T activated(T x, T t, i64 kind) {
  if (kind == CLIPPED) return x < t ? positive(x) : x != x ? x : positive(t);
  return kind == RELU ? positive(x) : x;
}

// What of the gradient behind the activation goes on to x.
DEVICE T to_x(T x, T t, i64 kind, T g) { return kind == ENDS || (x > 0 && (kind == RELU || x < t)) ? g : (T)0; }

// And to the threshold.
DEVICE double to_t(T x, T t, i64 kind, T g) { return kind == CLIPPED && x >= t && t >= 0 ? (double)g : 0; }

// The channel of a sample's number k.
DEVICE u32 channel_of(i64 k, i64 positions, i64 channels, i64 last) {
  return last ? (u32)k % (u32)channels : (u32)k / (u32)positions;
}

// The three parts of one number: clean, lower end, upper end; and whether the ball, not the box, gave the ends.
struct Ends {
  T m, l, u;
  bool ball_l, ball_u;
};

DEVICE Ends meet(T center, T middle, T half, T bias, T reach) {
  Ends e;
  e.m = center + bias;
  T c = middle + bias, low = e.m - reach, high = e.m + reach, l = c - half, u = c + half;
  e.ball_l = !(l > low || l != l);
  e.ball_u = !(u < high || u != u);
  e.l = e.ball_l ? low : l;
  e.u = e.ball_u ? high : u;
  return e;
}
