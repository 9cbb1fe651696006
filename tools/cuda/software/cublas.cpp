// libcublas.so.13 of the software GPU: the batched products that candle asks for.

#include "memory.hpp"
#include "product.hpp"
#include <vector>

enum { R_32F = 0, R_16F = 2, COMPUTE_32F = 68, COMPUTE_FAST_TF32 = 77 };

struct Handle {
  void *stream;
};

// A column-major matrix of `rows` times `columns`, or its transpose, row by row, in the numbers C of the sums.
template <class C, class T>
static std::vector<C> laid_out(const T *from, bool transposed, long rows, long columns, long leading, bool tf32) {
  std::vector<C> to((size_t)rows * columns);
  for (long i = 0; i < rows; i++)
    for (long j = 0; j < columns; j++) {
      C x = widened(transposed ? from[i * leading + j] : from[j * leading + i]);
      to[(size_t)i * columns + j] = tf32 ? (C)to_tf32((float)x) : x;
    }
  return to;
}

template <class T, class C>
static int product(const char *call, bool ta, bool tb, int m, int n, int k, const C *alpha, const T *a, int lda,
                   long long stride_a, const T *b, int ldb, long long stride_b, const C *beta, T *c, int ldc,
                   long long stride_c, int batch, bool tf32) {
  if (m <= 0 || n <= 0 || k <= 0 || batch <= 0) software_stop("%s: m %d, n %d, k %d, batch %d", call, m, n, k, batch);
  if (lda < (ta ? k : m) || ldb < (tb ? n : k) || ldc < m)
    software_stop("%s: leading dimensions %d, %d, %d for m %d, n %d, k %d", call, lda, ldb, ldc, m, n, k);
  auto extent = [](long leading, long columns, long rows) { return (leading * (columns - 1) + rows) * sizeof(T); };
  C by = *alpha, kept = *beta;
  if (!software_idle()) software_do([=] {
    for (int i = 0; i < batch; i++) {
      const T *own_a = a + i * stride_a, *own_b = b + i * stride_b;
      T *own_c = c + i * stride_c;
      software_check(call, own_a, extent(lda, ta ? m : k, ta ? k : m), nullptr);
      software_check(call, own_b, extent(ldb, tb ? k : n, tb ? n : k), nullptr);
      software_check(call, own_c, extent(ldc, n, m), nullptr);
      // c^T = b^T a^T, each row by row.
      auto first = laid_out<C>(own_b, !tb, n, k, ldb, tf32), second = laid_out<C>(own_a, !ta, k, m, lda, tf32);
      std::vector<C> found((size_t)m * n, 0);
      added_product(first.data(), second.data(), found.data(), n, m, k);
      for (int j = 0; j < n; j++)
        for (int r = 0; r < m; r++) {
          T &to = own_c[(long)j * ldc + r];
          narrowed(by * found[(size_t)j * m + r] + (kept == 0 ? 0 : kept * widened(to)), to);
        }
    }
  });
  size_t numbers = (size_t)m * k + (size_t)k * n, results = (size_t)m * n;
  software_note("product\t%s\t%d\t%d\t%d\t%d\t%zu\t%zu", tf32 ? "tf32" : sizeof(T) == 8 ? "f64" : sizeof(T) == 2 ? "f16" : "f32", m, n, k, batch,
                numbers * batch * sizeof(T), results * batch * sizeof(T));
  return 0;
}

extern "C" {

int cublasCreate_v2(Handle **handle) { return *handle = new Handle{nullptr}, 0; }
int cublasDestroy_v2(Handle *handle) { return delete handle, 0; }
int cublasSetStream_v2(Handle *handle, void *stream) { return handle->stream = stream, 0; }

int cublasGemmStridedBatchedEx(Handle *, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int type_a,
                               int lda, long long stride_a, const void *b, int type_b, int ldb, long long stride_b,
                               const void *beta, void *c, int type_c, int ldc, long long stride_c, int batch, int compute,
                               int) {
  if (type_a == R_16F && type_b == R_16F && type_c == R_16F && compute == COMPUTE_32F)
    return product<Half>("cublasGemmStridedBatchedEx", ta, tb, m, n, k, (const float *)alpha, (const Half *)a, lda, stride_a,
                         (const Half *)b, ldb, stride_b, (const float *)beta, (Half *)c, ldc, stride_c, batch, false);
  if (type_a != R_32F || type_b != R_32F || type_c != R_32F || (compute != COMPUTE_32F && compute != COMPUTE_FAST_TF32))
    return 15;  // CUBLAS_STATUS_NOT_SUPPORTED
  return product<float>("cublasGemmStridedBatchedEx", ta, tb, m, n, k, (const float *)alpha, (const float *)a, lda, stride_a,
                        (const float *)b, ldb, stride_b, (const float *)beta, (float *)c, ldc, stride_c, batch,
                        compute == COMPUTE_FAST_TF32);
}

int cublasDgemmStridedBatched(Handle *, int ta, int tb, int m, int n, int k, const double *alpha, const double *a, int lda,
                              long long stride_a, const double *b, int ldb, long long stride_b, const double *beta, double *c,
                              int ldc, long long stride_c, int batch) {
  return product<double>("cublasDgemmStridedBatched", ta, tb, m, n, k, alpha, a, lda, stride_a, b, ldb, stride_b, beta, c, ldc,
                         stride_c, batch, false);
}

}  // extern "C"
