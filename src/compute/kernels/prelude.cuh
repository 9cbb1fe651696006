// Stands before every source of this folder. T is the number type, float or double, given by whoever compiles it.
//
// Every argument of a kernel takes eight bytes: a pointer, a long long or a double; all blocks have THREADS threads. A
// program that defines EMULATED brings its own threads and barriers, and can run the kernels without a GPU.

#ifndef EMULATED
#define KERNEL extern "C" __global__ void
#define DEVICE static __device__
#define SHARED __shared__
#define BARRIER __syncthreads()
#endif

#ifndef THREADS
#define THREADS 256
#endif

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

// For every i below n, over all threads of all blocks.
#define EACH(i, n) for (i64 i = (i64)blockIdx.x * THREADS + threadIdx.x; i < (n); i += (i64)gridDim.x * THREADS)
// For every i below n, over the threads of this block.
#define WITHIN(i, n) for (i64 i = threadIdx.x; i < (n); i += THREADS)

// The sum over a block's threads, in a fixed order; every thread gets it.
DEVICE double block_sum(double x) {
  SHARED double part[THREADS];
  BARRIER;
  part[threadIdx.x] = x;
  BARRIER;
  for (u32 half = THREADS / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
    BARRIER;
  }
  return part[0];
}

// The largest over a block's threads; a NaN may be passed over.
DEVICE double block_max(double x) {
  SHARED double part[THREADS];
  BARRIER;
  part[threadIdx.x] = x;
  BARRIER;
  for (u32 half = THREADS / 2; half > 0; half /= 2) {
    if (threadIdx.x < half && part[threadIdx.x + half] > part[threadIdx.x])
      part[threadIdx.x] = part[threadIdx.x + half];
    BARRIER;
  }
  return part[0];
}

// Norms of double numbers are taken as m sqrt(sum (x / m)^2), m the largest, so that no square leaves the range; the square
// of a float cannot leave that of a double.
#define SCALED (sizeof(T) == 8)

// Where the mask, if there is one, lets through.
DEVICE T let_through(const T *x, const u8 *mask, i64 i) {
  // A product, so that a masked infinity shows.
  return mask ? x[i] * (T)mask[i] : x[i];
}

// The norm of n numbers, masked, by a whole block.
DEVICE double block_norm(const T *x, const u8 *mask, i64 n) {
  double peak = 1;
  if (SCALED) {
    double most = 0;
    WITHIN(i, n) {
      double a = fabs((double)let_through(x, mask, i));
      if (a > most) most = a;
    }
    most = block_max(most);
    if (most > 0) peak = most;
  }
  double sum = 0;
  WITHIN(i, n) {
    double a = (double)let_through(x, mask, i) / peak;
    sum += a * a;
  }
  return peak * sqrt(block_sum(sum));
}
