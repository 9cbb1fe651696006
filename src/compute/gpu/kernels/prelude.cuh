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
// Rows of n numbers, some blocks for each: block `blockIdx.x` has row `ROW(pieces)`, and every W-th i of its share.
#define ROW(pieces) (blockIdx.x / (u32)(pieces))
#define PIECE(pieces) (blockIdx.x % (u32)(pieces))
#define SHARE(W, i, n, pieces) \
  for (i64 i = ((i64)PIECE(pieces) * THREADS + threadIdx.x) * W; i < (n); i += (i64)(pieces) * THREADS * W)

// Some numbers side by side, read and written at once: sixteen bytes where the number of elements allows it.
template <int W, class N = T> struct alignas(W * sizeof(N) < 16 ? W * sizeof(N) : 16) Pack {
  N at[W];
};
template <int W, class N> DEVICE Pack<W, N> load(const N *from) { return *(const Pack<W, N> *)from; }
template <int W, class N> DEVICE void store(N *to, const Pack<W, N> &x) { *(Pack<W, N> *)to = x; }

// The sum over a warp's threads, in a fixed order; every thread gets it.
DEVICE double warp_sum(double x) {
  for (u32 apart = 16; apart > 0; apart /= 2) x += __shfl_xor_sync(0xffffffffu, x, apart);
  return x;
}

#define WARPS (THREADS / 32)

// The sum over a block's threads, in a fixed order; every thread gets it.
DEVICE double block_sum(double x) {
  SHARED double part[WARPS];
  x = warp_sum(x);
  BARRIER;
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = x;
  BARRIER;
  double sum = part[0];
  for (u32 w = 1; w < WARPS; w++) sum += part[w];
  return sum;
}

// The largest over a block's threads; a NaN may be passed over.
DEVICE double block_max(double x) {
  SHARED double part[WARPS];
  for (u32 apart = 16; apart > 0; apart /= 2) {
    double other = __shfl_xor_sync(0xffffffffu, x, apart);
    if (other > x) x = other;
  }
  BARRIER;
  if (threadIdx.x % 32 == 0) part[threadIdx.x / 32] = x;
  BARRIER;
  double most = part[0];
  for (u32 w = 1; w < WARPS; w++)
    if (part[w] > most) most = part[w];
  return most;
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

// Norms of rows as sums of pieces, [rows, pieces, 2]: of each piece its scale, the largest of its numbers where they are SCALED,
// and the sum of the squares of its numbers over that scale; 0 of nothing.
DEVICE double norm_of(const double *sums, i64 row, i64 pieces) {
  const double *own = sums + 2 * row * pieces;
  double peak = 0, sum = 0;
  for (i64 p = 0; SCALED && p < pieces; p++)
    if (own[2 * p] > peak) peak = own[2 * p];
  for (i64 p = 0; p < pieces; p++) {
    double part = peak > 0 ? own[2 * p] / peak : 1;
    sum += own[2 * p + 1] * part * part;
  }
  return peak > 0 ? peak * sqrt(sum) : sqrt(sum);
}

// 1 over a norm; 1 for nothing, so that nothing stays nothing.
DEVICE double inverse(double norm) { return norm == 0 ? 1 : 1 / norm; }

// Number i of a fixed vector without structure, in (-1, 1) and never 0 (splitmix64).
DEVICE double generic(i64 i) {
  u64 z = (u64)(i + 1) * 0x9e3779b97f4a7c15ull;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return (double)((z ^ (z >> 31)) >> 11) / 4503599627370496.0 - 1.0 + 1e-9;
}
