// libcudnn.so.9 of the software GPU: convolutions and their two adjoints through a matrix of patches, in float, double or
// bfloat16, in any order of the axes that the descriptors name, with the checks that cuDNN makes of sizes and workspaces.

#include "memory.hpp"
#include "product.hpp"
#include <vector>

enum { SUCCESS = 0, BAD_PARAM = 2000, NOT_SUPPORTED = 3000 };
enum { FLOAT = 0, DOUBLE = 1, BFLOAT16 = 9 };
enum { NCHW = 0, NHWC = 1 };
enum { DEFAULT_MATH = 0, TENSOR_OP_MATH = 1, FMA_MATH = 3 };
// What an algorithm asks for here, so that a workspace that is too small shows.
const size_t WORKSPACE = 4096;

// Sizes and strides of N, C, H, W; of a filter K, C, R, S.
struct Tensor {
  int type;
  long size[4], stride[4];
  bool last;  // channels last

  size_t bytes() const { return type == DOUBLE ? 8 : type == BFLOAT16 ? 2 : 4; }
  long count() const { return size[0] * size[1] * size[2] * size[3]; }
  long extent() const {
    long last = 0;
    for (int i = 0; i < 4; i++) last += (size[i] - 1) * stride[i];
    return last + 1;
  }
};

struct Convolution {
  int padding[2], stride[2], dilation[2], mode, compute, math;
};

struct Performance {
  int algorithm, status;
  float time;
  size_t memory;
  int determinism, math, reserved[3];
};

static int set(Tensor *t, int format, int type, int n, int c, int h, int w) {
  if (n <= 0 || c <= 0 || h <= 0 || w <= 0) return BAD_PARAM;
  t->type = type;
  long sizes[4] = {n, c, h, w};
  memcpy(t->size, sizes, sizeof sizes);
  t->last = format == NHWC;
  long chw = (long)c * h * w;
  long plain[4] = {chw, (long)h * w, w, 1}, last[4] = {chw, 1, (long)w * c, c};
  memcpy(t->stride, t->last ? last : plain, sizeof plain);
  return SUCCESS;
}

static int fits(const Tensor *x, const Tensor *w, const Convolution *k, const Tensor *y) {
  if (x->type != w->type || x->type != y->type || x->size[1] != w->size[1] || y->size[1] != w->size[0] ||
      x->size[0] != y->size[0])
    return BAD_PARAM;
  for (int i = 0; i < 2; i++) {
    long reach = k->dilation[i] * (w->size[2 + i] - 1) + 1;
    if (y->size[2 + i] != (x->size[2 + i] + 2 * k->padding[i] - reach) / k->stride[i] + 1) return BAD_PARAM;
  }
  bool compute = k->compute == (x->type == DOUBLE ? DOUBLE : FLOAT);
  return compute && k->mode == 1 ? SUCCESS : NOT_SUPPORTED;
}

// A sample of a tensor in plain order, or put back in its own.
template <class T, class C> static void load(const Tensor *t, const T *from, long sample, C *to, bool tf32) {
  for (long c = 0; c < t->size[1]; c++)
    for (long h = 0; h < t->size[2]; h++)
      for (long w = 0; w < t->size[3]; w++) {
        C x = widened(from[sample * t->stride[0] + c * t->stride[1] + h * t->stride[2] + w * t->stride[3]]);
        *to++ = tf32 ? (C)to_tf32((float)x) : x;
      }
}

template <class T, class C>
static void store(const Tensor *t, const C *from, long sample, T *to, C alpha, C beta) {
  for (long c = 0; c < t->size[1]; c++)
    for (long h = 0; h < t->size[2]; h++)
      for (long w = 0; w < t->size[3]; w++) {
        T &x = to[sample * t->stride[0] + c * t->stride[1] + h * t->stride[2] + w * t->stride[3]];
        narrowed(alpha * *from++ + (beta == 0 ? 0 : beta * widened(x)), x);
      }
}

// patches[c r s, oh ow] of an image, or what they sum to.
template <class C, bool gather>
static void patches(const Tensor *x, const Tensor *w, const Convolution *k, const Tensor *y, C *image, C *columns) {
  long height = x->size[2], width = x->size[3], rows = y->size[2], across = y->size[3];
  for (long c = 0; c < w->size[1]; c++)
    for (long r = 0; r < w->size[2]; r++)
      for (long s = 0; s < w->size[3]; s++)
        for (long i = 0; i < rows; i++) {
          long h = i * k->stride[0] + r * k->dilation[0] - k->padding[0];
          for (long j = 0; j < across; j++, columns++) {
            long v = j * k->stride[1] + s * k->dilation[1] - k->padding[1];
            bool inside = h >= 0 && h < height && v >= 0 && v < width;
            C *pixel = image + (c * height + h) * width + v;
            if (gather) *columns = inside ? *pixel : 0;
            else if (inside) *pixel += *columns;
          }
        }
}

template <class C> static std::vector<C> transposed(const C *from, long rows, long columns) {
  std::vector<C> to((size_t)rows * columns);
  for (long i = 0; i < rows; i++)
    for (long j = 0; j < columns; j++) to[(size_t)j * rows + i] = from[i * columns + j];
  return to;
}

enum Direction { FORWARD, DATA, FILTER };
static const char *const NAMES[] = {"forward", "data", "filter"};

template <class T, class C>
static void run(Direction way, const Tensor *x, void *xs, const Tensor *w, void *ws, const Convolution *k, const Tensor *y,
                void *ys, const void *alphas, const void *betas) {
  C alpha = *(const C *)alphas, beta = *(const C *)betas;
  bool tf32 = x->type == FLOAT && k->math != FMA_MATH;
  long batch = x->size[0], image = x->count() / batch, outputs = y->size[1], positions = y->size[2] * y->size[3];
  long patch = w->count() / outputs;
  std::vector<C> weight(w->count(), 0), one(image), columns(patch * positions), result(outputs * positions);
  if (way == FILTER) {
    for (long b = 0; b < batch; b++) {
      load(x, (const T *)xs, b, one.data(), tf32);
      load(y, (const T *)ys, b, result.data(), tf32);
      patches<C, true>(x, w, k, y, one.data(), columns.data());
      auto turned = transposed(columns.data(), patch, positions);
      added_product(result.data(), turned.data(), weight.data(), outputs, patch, positions);
    }
    for (long o = 0; o < outputs; o++) store(w, weight.data() + o * patch, o, (T *)ws, alpha, beta);
    return;
  }
  for (long o = 0; o < outputs; o++) load(w, (const T *)ws, o, weight.data() + o * patch, tf32);
  auto turned = transposed(weight.data(), outputs, patch);
  for (long b = 0; b < batch; b++) {
    if (way == FORWARD) {
      load(x, (const T *)xs, b, one.data(), tf32);
      patches<C, true>(x, w, k, y, one.data(), columns.data());
      std::fill(result.begin(), result.end(), 0);
      added_product(weight.data(), columns.data(), result.data(), outputs, positions, patch);
      store(y, result.data(), b, (T *)ys, alpha, beta);
    } else {
      load(y, (const T *)ys, b, result.data(), tf32);
      std::fill(columns.begin(), columns.end(), 0);
      added_product(turned.data(), result.data(), columns.data(), patch, positions, outputs);
      std::fill(one.begin(), one.end(), 0);
      patches<C, false>(x, w, k, y, one.data(), columns.data());
      store(x, one.data(), b, (T *)xs, alpha, beta);
    }
  }
}

static int convolve(Direction way, const Tensor *x, void *xs, const Tensor *w, void *ws, const Convolution *k,
                    const Tensor *y, void *ys, int algorithm, void *workspace, size_t bytes, const void *alpha,
                    const void *beta) {
  if (int wrong = fits(x, w, k, y)) return wrong;
  software_check(NAMES[way], xs, x->extent() * x->bytes(), nullptr);
  software_check(NAMES[way], ws, w->extent() * w->bytes(), nullptr);
  software_check(NAMES[way], ys, y->extent() * y->bytes(), nullptr);
  if (bytes < WORKSPACE) return BAD_PARAM;
  software_check("workspace", workspace, bytes, nullptr);
  if (!software_idle()) memset(workspace, 0xff, bytes);
  if (software_idle()) {}
  else if (x->type == FLOAT) run<float, float>(way, x, xs, w, ws, k, y, ys, alpha, beta);
  else if (x->type == DOUBLE) run<double, double>(way, x, xs, w, ws, k, y, ys, alpha, beta);
  else run<Bf16, float>(way, x, xs, w, ws, k, y, ys, alpha, beta);
  size_t read = way == FORWARD ? x->count() + w->count() : way == DATA ? y->count() + w->count() : x->count() + y->count();
  size_t written = way == FORWARD ? y->count() : way == DATA ? x->count() : w->count();
  const char *numbers = x->type == DOUBLE ? "f64" : x->type == BFLOAT16 ? "bf16" : k->math == FMA_MATH ? "f32" : "tf32";
  software_note("convolution\t%s\t%s\t%s\t%ld\t%ld\t%ld\t%ld\t%ld\t%ld\t%d\t%d\t%zu\t%zu", NAMES[way], numbers,
                x->last ? "nhwc" : "nchw", x->size[0], x->size[1], x->size[2], y->size[1], w->size[2], y->size[2],
                k->stride[0], algorithm, read * x->bytes(), written * x->bytes());
  return SUCCESS;
}

// One algorithm, the first that cuDNN would rather not have (its sums depend on the threads' order), and a further one.
static int algorithms(int first, int second, int wanted, int *count, Performance *to) {
  *count = 0;
  for (int algorithm : {first, second})
    if (*count < wanted) to[(*count)++] = {algorithm, SUCCESS, -1, WORKSPACE, algorithm == first ? 0 : 1, 0, {}};
  return SUCCESS;
}

static int measured(Direction way, const Tensor *x, void *xs, const Tensor *w, void *ws, const Convolution *k, const Tensor *y,
                    void *ys, void *workspace, size_t bytes) {
  static const double one = 1, zero = 0;
  static const float one_f = 1, zero_f = 0;
  const void *once = x->type == DOUBLE ? (const void *)&one : &one_f, *nothing = x->type == DOUBLE ? (const void *)&zero : &zero_f;
  return convolve(way, x, xs, w, ws, k, y, ys, 0, workspace, bytes, once, nothing);
}

extern "C" {

int cudnnCreate(void **handle) { return *handle = new char, SUCCESS; }
int cudnnDestroy(void *handle) { return delete (char *)handle, SUCCESS; }
int cudnnSetStream(void *, void *) { return SUCCESS; }
const char *cudnnGetErrorString(int) { return "an error"; }

int cudnnCreateTensorDescriptor(Tensor **t) { return *t = new Tensor{}, SUCCESS; }
int cudnnDestroyTensorDescriptor(Tensor *t) { return delete t, SUCCESS; }
int cudnnSetTensor4dDescriptor(Tensor *t, int format, int type, int n, int c, int h, int w) {
  return set(t, format, type, n, c, h, w);
}
int cudnnSetTensor4dDescriptorEx(Tensor *t, int type, int n, int c, int h, int w, int sn, int sc, int sh, int sw) {
  if (int wrong = set(t, NCHW, type, n, c, h, w)) return wrong;
  long strides[4] = {sn, sc, sh, sw};
  memcpy(t->stride, strides, sizeof strides);
  t->last = sc == 1 && sw != 1;
  return SUCCESS;
}
int cudnnCreateFilterDescriptor(Tensor **t) { return *t = new Tensor{}, SUCCESS; }
int cudnnDestroyFilterDescriptor(Tensor *t) { return delete t, SUCCESS; }
int cudnnSetFilter4dDescriptor(Tensor *t, int type, int format, int k, int c, int h, int w) {
  return set(t, format, type, k, c, h, w);
}

int cudnnCreateConvolutionDescriptor(Convolution **k) { return *k = new Convolution{}, SUCCESS; }
int cudnnDestroyConvolutionDescriptor(Convolution *k) { return delete k, SUCCESS; }
int cudnnSetConvolution2dDescriptor(Convolution *k, int ph, int pw, int sh, int sw, int dh, int dw, int mode, int compute) {
  if (ph < 0 || pw < 0 || sh <= 0 || sw <= 0 || dh <= 0 || dw <= 0) return BAD_PARAM;
  *k = {{ph, pw}, {sh, sw}, {dh, dw}, mode, compute, DEFAULT_MATH};
  return SUCCESS;
}
int cudnnSetConvolutionMathType(Convolution *k, int math) { return k->math = math, SUCCESS; }

int cudnnGetConvolutionForwardAlgorithm_v7(void *, Tensor *x, Tensor *w, Convolution *k, Tensor *y, int wanted, int *count,
                                           Performance *to) {
  if (int wrong = fits(x, w, k, y)) return wrong;
  return algorithms(1, 0, wanted, count, to);
}
int cudnnGetConvolutionBackwardDataAlgorithm_v7(void *, Tensor *w, Tensor *y, Convolution *k, Tensor *x, int wanted,
                                                int *count, Performance *to) {
  if (int wrong = fits(x, w, k, y)) return wrong;
  return algorithms(0, 1, wanted, count, to);
}
int cudnnGetConvolutionBackwardFilterAlgorithm_v7(void *, Tensor *x, Tensor *y, Convolution *k, Tensor *w, int wanted,
                                                  int *count, Performance *to) {
  if (int wrong = fits(x, w, k, y)) return wrong;
  return algorithms(0, 1, wanted, count, to);
}

// Measured alike: the arguments have to be there, and what the result held is lost.
int cudnnFindConvolutionForwardAlgorithmEx(void *handle, Tensor *x, void *xs, Tensor *w, void *ws, Convolution *k, Tensor *y,
                                           void *ys, int wanted, int *count, Performance *to, void *workspace, size_t bytes) {
  if (int wrong = measured(FORWARD, x, xs, w, ws, k, y, ys, workspace, bytes))
    return wrong;
  return cudnnGetConvolutionForwardAlgorithm_v7(handle, x, w, k, y, wanted, count, to);
}
int cudnnFindConvolutionBackwardDataAlgorithmEx(void *handle, Tensor *w, void *ws, Tensor *y, void *ys, Convolution *k,
                                                Tensor *x, void *xs, int wanted, int *count, Performance *to, void *workspace,
                                                size_t bytes) {
  if (int wrong = measured(DATA, x, xs, w, ws, k, y, ys, workspace, bytes))
    return wrong;
  return cudnnGetConvolutionBackwardDataAlgorithm_v7(handle, w, y, k, x, wanted, count, to);
}
int cudnnFindConvolutionBackwardFilterAlgorithmEx(void *handle, Tensor *x, void *xs, Tensor *y, void *ys, Convolution *k,
                                                  Tensor *w, void *ws, int wanted, int *count, Performance *to,
                                                  void *workspace, size_t bytes) {
  if (int wrong = measured(FILTER, x, xs, w, ws, k, y, ys, workspace, bytes))
    return wrong;
  return cudnnGetConvolutionBackwardFilterAlgorithm_v7(handle, x, y, k, w, wanted, count, to);
}

int cudnnGetConvolutionForwardWorkspaceSize(void *, Tensor *x, Tensor *w, Convolution *k, Tensor *y, int, size_t *bytes) {
  return *bytes = WORKSPACE, fits(x, w, k, y);
}
int cudnnGetConvolutionBackwardDataWorkspaceSize(void *, Tensor *w, Tensor *y, Convolution *k, Tensor *x, int,
                                                 size_t *bytes) {
  return *bytes = WORKSPACE, fits(x, w, k, y);
}
int cudnnGetConvolutionBackwardFilterWorkspaceSize(void *, Tensor *x, Tensor *y, Convolution *k, Tensor *w, int,
                                                   size_t *bytes) {
  return *bytes = WORKSPACE, fits(x, w, k, y);
}

int cudnnConvolutionForward(void *, const void *alpha, Tensor *x, void *xs, Tensor *w, void *ws, Convolution *k, int algorithm,
                            void *workspace, size_t bytes, const void *beta, Tensor *y, void *ys) {
  return convolve(FORWARD, x, xs, w, ws, k, y, ys, algorithm, workspace, bytes, alpha, beta);
}
int cudnnConvolutionBackwardData(void *, const void *alpha, Tensor *w, void *ws, Tensor *y, void *ys, Convolution *k,
                                 int algorithm, void *workspace, size_t bytes, const void *beta, Tensor *x, void *xs) {
  return convolve(DATA, x, xs, w, ws, k, y, ys, algorithm, workspace, bytes, alpha, beta);
}
int cudnnConvolutionBackwardFilter(void *, const void *alpha, Tensor *x, void *xs, Tensor *y, void *ys, Convolution *k,
                                   int algorithm, void *workspace, size_t bytes, const void *beta, Tensor *w, void *ws) {
  return convolve(FILTER, x, xs, w, ws, k, y, ys, algorithm, workspace, bytes, alpha, beta);
}

}  // extern "C"
