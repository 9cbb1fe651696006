// Matrix products and numbers of the software GPU's libraries: plain loops that a compiler puts into vector registers.

#pragma once
#include <stdint.h>
#include <string.h>

// c[m, n] += a[m, k] b[k, n], rows one after the other.
template <class T> static void added_product(const T *a, const T *b, T *c, long m, long n, long k) {
  const long wide = 256;
  for (long from = 0; from < n; from += wide) {
    long to = from + wide < n ? from + wide : n;
    for (long i = 0; i < m; i++) {
      T *row = c + i * n;
      long p = 0;
      for (; p + 4 <= k; p += 4) {
        T a0 = a[i * k + p], a1 = a[i * k + p + 1], a2 = a[i * k + p + 2], a3 = a[i * k + p + 3];
        const T *b0 = b + p * n, *b1 = b0 + n, *b2 = b1 + n, *b3 = b2 + n;
        for (long j = from; j < to; j++) row[j] += a0 * b0[j] + a1 * b1[j] + a2 * b2[j] + a3 * b3[j];
      }
      for (; p < k; p++)
        for (long j = from; j < to; j++) row[j] += a[i * k + p] * b[p * n + j];
    }
  }
}

// A float with the ten bits behind the point that tensor cores take in TF32, to the nearest.
static float to_tf32(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  if ((bits & 0x7f800000) != 0x7f800000) bits = (bits + 0x1000) & ~0x1fffu;
  memcpy(&x, &bits, 4);
  return x;
}

struct Bf16 {
  uint16_t bits;
};

struct Half {
  _Float16 value;
};

static float widened(float x) { return x; }
static double widened(double x) { return x; }
static float widened(Bf16 x) {
  uint32_t bits = (uint32_t)x.bits << 16;
  float wide;
  memcpy(&wide, &bits, 4);
  return wide;
}

static float widened(Half x) { return (float)x.value; }

static void narrowed(float x, float &to) { to = x; }
static void narrowed(double x, double &to) { to = x; }
static void narrowed(float x, Bf16 &to) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  to.bits = x != x ? 0x7fc0 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}
static void narrowed(float x, Half &to) { to.value = (_Float16)x; }
