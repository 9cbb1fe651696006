// What candle's kernels need of CUDA's own headers beside threads.hpp: float, double and whole numbers in full, the short
// floating-point types as far as conversions. Their arithmetic is left out: __CUDA_ARCH__ is not defined, and candle's sources
// leave it out then.

#pragma once
#include <algorithm>
#include <assert.h>
#include <cmath>
#include <limits>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __shared__ static thread_local
#define __forceinline__ inline
#define __restrict__
#define __launch_bounds__(...)
#define __syncthreads() software::barrier()

using std::isinf;
using std::isnan;
using std::max;
using std::min;

struct float2 { float x, y; };
struct float4 { float x, y, z, w; };
static float2 make_float2(float x, float y) { return {x, y}; }

template <class A, class B, class = std::enable_if_t<!std::is_same_v<A, B>>>
static std::common_type_t<A, B> max(A a, B b) { return a > b ? a : b; }
template <class A, class B, class = std::enable_if_t<!std::is_same_v<A, B>>>
static std::common_type_t<A, B> min(A a, B b) { return a < b ? a : b; }

static float rsqrtf(float x) { return 1 / sqrtf(x); }
static double rsqrt(double x) { return 1 / sqrt(x); }
static float normcdff(float x) { return 0.5f * erfcf(-x * 0.70710678f); }
static double normcdf(double x) { return 0.5 * erfc(-x * 0.70710678118654752); }
template <class T> static T __ldg(const T *p) { return *p; }

static int __float_as_int(float x) { return (int)__float_as_uint(x); }
static float __int_as_float(int x) { return __uint_as_float((unsigned)x); }
static long long __double_as_longlong(double x) { long long y; memcpy(&y, &x, 8); return y; }
static double __longlong_as_double(long long x) { double y; memcpy(&y, &x, 8); return y; }

// Threads of a block take turns, and blocks too: nothing can come in between.
template <class T, class V> static T atomicAdd(T *at, V by) { T old = *at; *at = old + (T)by; return old; }
template <class T> static T atomicMax(T *at, T x) { T old = *at; if (x > old) *at = x; return old; }
template <class T> static T atomicMin(T *at, T x) { T old = *at; if (x < old) *at = x; return old; }
template <class T> static T atomicCAS(T *at, T from, T to) { T old = *at; if (old == from) *at = to; return old; }

struct __nv_bfloat16 {
  unsigned short bits;
  __nv_bfloat16() = default;
  __nv_bfloat16(float x) {
    unsigned b = __float_as_uint(x);
    bits = x != x ? 0x7fc0 : (b + 0x7fff + (b >> 16 & 1)) >> 16;
  }
  operator float() const { return __uint_as_float((unsigned)bits << 16); }
};

struct __half {
  unsigned short bits;
  __half() = default;
  __half(float x) {
    _Float16 h = (_Float16)x;
    memcpy(&bits, &h, 2);
  }
  operator float() const {
    _Float16 h;
    memcpy(&h, &bits, 2);
    return (float)h;
  }
};

static float __half2float(__half x) { return x; }
static __half __float2half(float x) { return x; }

// Never used: so that signatures which name it can be read.
enum { __NV_E4M3 };
struct __nv_fp8_e4m3 {
  unsigned char __x;
  __nv_fp8_e4m3() = default;
  __nv_fp8_e4m3(float) { abort(); }
};
static __half __nv_cvt_fp8_to_halfraw(unsigned char, int) { abort(); }

namespace cuda { namespace std { using ::std::numeric_limits; } }
