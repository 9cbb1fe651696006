// Numbers in memory: T, or halves (fp16) as bits.

// As bits, so that the header of CUDA's own type need not be there at run time.
DEVICE float from_half(u16 h) {
  u32 sign = (u32)(h & 0x8000) << 16, exponent = h >> 10 & 31, part = h & 1023;
  // Below the smallest normal number: part 2^-24.
  if (exponent == 0) return (sign ? -1.0f : 1.0f) * (float)part * 5.9604644775390625e-8f;
  u32 bits = sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | part << 13;
  return __uint_as_float(bits);
}

// To the nearest, a tie to the even one.
DEVICE u16 to_half(float x) {
  u32 bits = __float_as_uint(x);
  u32 sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
  if (size > 0x7f800000) return (u16)(sign | 0x7e00);
  // 65520 and more round to no end.
  if (size >= 0x477ff000) return (u16)(sign | 0x7c00);
  u32 kept, rest, tie;
  if (size < 0x38800000) {
    // Below the smallest normal number, 2^-14.
    u32 shift = 126 - (size >> 23);
    if (shift > 24) return (u16)sign;
    u32 whole = (size & 0x7fffff) | 0x800000;
    kept = whole >> shift, rest = whole & ((1u << shift) - 1), tie = 1u << (shift - 1);
  } else {
    kept = (size - 0x38000000) >> 13, rest = size & 0x1fff, tie = 0x1000;
  }
  if (rest > tie || (rest == tie && (kept & 1))) kept += 1;
  return (u16)(sign | kept);
}

DEVICE T number_of(u16 h) { return (T)from_half(h); }
DEVICE T number_of(T x) { return x; }
DEVICE void put(u16 *to, T x) { *to = to_half((float)x); }
DEVICE void put(T *to, T x) { *to = x; }

// Is a number of this type a half?
template <class N> DEVICE bool is_half() { return sizeof(N) == 2; }
