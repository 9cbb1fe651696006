// libcudnn.so.9 of the software GPU: graphs of one convolution or one of its two adjoints, through a matrix of patches, in float,
// double, half or bfloat16, in any order of the axes that the strides name, with the checks that cuDNN makes of sizes and attributes.
//
// Three engines are named for every graph: one whose sums are said to have no fixed order, one on tensor cores, which rounds
// floats as TF32 does, and one that computes in the numbers themselves.

#include "memory.hpp"
#include "product.hpp"
#include <map>
#include <vector>

enum { SUCCESS = 0, NOT_INITIALIZED = 1001, BAD_PARAM = 2000, NOT_SUPPORTED = 3000 };
enum { FLOAT = 0, DOUBLE = 1, HALF = 2, BFLOAT16 = 9 };
enum { UNORDERED_ENGINE, TENSOR_ENGINE, PLAIN_ENGINE, ENGINES };
enum { TENSOR_CORE_NOTE = 0, UNORDERED_NOTE = 4 };
// What an engine asks for here; all of it is written to, so that one that is too small shows.
const size_t WORKSPACE = 4096;

// Sizes and strides of N, C, H, W; of a filter K, C, R, S.
struct Tensor {
  int type;
  long size[4], stride[4];
  bool last;  // channels last

  size_t bytes() const { return type == DOUBLE ? 8 : type == BFLOAT16 || type == HALF ? 2 : 4; }
  long count() const { return size[0] * size[1] * size[2] * size[3]; }
  long extent() const {
    long last = 0;
    for (int i = 0; i < 4; i++) last += (size[i] - 1) * stride[i];
    return last + 1;
  }
};

struct Convolution {
  long padding[2], stride[2], dilation[2];
  int mode, compute;
};

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
static void run(Direction way, bool tf32, const Tensor *x, void *xs, const Tensor *w, void *ws, const Convolution *k,
                const Tensor *y, void *ys, C alpha, C beta) {
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

static int convolve(Direction way, int engine, const Tensor *x, void *xs, const Tensor *w, void *ws, const Convolution *k,
                    const Tensor *y, void *ys, void *workspace, double alpha, double beta) {
  software_check(NAMES[way], xs, x->extent() * x->bytes(), nullptr);
  software_check(NAMES[way], ws, w->extent() * w->bytes(), nullptr);
  software_check(NAMES[way], ys, y->extent() * y->bytes(), nullptr);
  software_check("workspace", workspace, WORKSPACE, nullptr);
  bool tf32 = x->type == FLOAT && engine == TENSOR_ENGINE;
  // The descriptors may be gone when a graph is launched.
  if (!software_idle()) software_do([=, x = *x, w = *w, k = *k, y = *y] {
    memset(workspace, 0xff, WORKSPACE);
    if (x.type == FLOAT) run<float, float>(way, tf32, &x, xs, &w, ws, &k, &y, ys, alpha, beta);
    else if (x.type == DOUBLE) run<double, double>(way, tf32, &x, xs, &w, ws, &k, &y, ys, alpha, beta);
    else if (x.type == HALF) run<Half, float>(way, tf32, &x, xs, &w, ws, &k, &y, ys, alpha, beta);
    else run<Bf16, float>(way, tf32, &x, xs, &w, ws, &k, &y, ys, alpha, beta);
  });
  size_t read = way == FORWARD ? x->count() + w->count() : way == DATA ? y->count() + w->count() : x->count() + y->count();
  size_t written = way == FORWARD ? y->count() : way == DATA ? x->count() : w->count();
  const char *numbers = x->type == DOUBLE ? "f64" : x->type == BFLOAT16 ? "bf16" : x->type == HALF ? "f16" : tf32 ? "tf32" : "f32";
  software_note("convolution\t%s\t%s\t%s\t%ld\t%ld\t%ld\t%ld\t%ld\t%ld\t%ld\t%d\t%zu\t%zu", NAMES[way], numbers,
                x->last ? "nhwc" : "nchw", x->size[0], x->size[1], x->size[2], y->size[1], w->size[2], y->size[2],
                k->stride[0], engine, read * x->bytes(), written * x->bytes());
  return SUCCESS;
}

// Kinds, attributes and their types by the numbers that cuDNN gives them.
enum {
  CONVOLUTION = 1, ENGINE = 2, CONFIGURATION = 3, HEURISTIC = 4, PLAN = 5, FORWARD_OPERATION = 10, FILTER_OPERATION = 11,
  DATA_OPERATION = 12, GRAPH = 15, TENSORS = 16, TENSOR = 17
};
enum {
  CONV_COMPUTE = 100, CONV_MODE = 101, CONV_DILATION = 102, CONV_STRIDE = 103, CONV_AFTER = 104, CONV_BEFORE = 105,
  CONV_DIMENSIONS = 106, HEURISTIC_MODE = 200, HEURISTIC_GRAPH = 201, HEURISTIC_RESULTS = 202, CONFIGURATION_ENGINE = 300,
  PLAN_HANDLE = 400, PLAN_CONFIGURATION = 401, PLAN_WORKSPACE = 402, GRAPH_HANDLE = 800, GRAPH_OPERATIONS = 801,
  TENSOR_ALIGNMENT = 900, TENSOR_TYPE = 901, TENSOR_SIZES = 902, TENSOR_STRIDES = 903, TENSOR_NAME = 906, TENSORS_NAMES = 1000,
  TENSORS_POINTERS = 1001, TENSORS_WORKSPACE = 1003, ENGINE_NUMBERS = 1303, ENGINE_BEHAVIOR = 1305
};
// Of each kind of operation: alpha, beta, convolution, and the tensors x, w, y.
static const int OPERATION[3][6] = {
    {700, 701, 702, 704, 703, 705}, {706, 707, 708, 710, 709, 711}, {712, 713, 714, 716, 715, 717}};

struct Descriptor {
  int kind;
  bool sealed;
  int engine;
  const Descriptor *graph;
  std::map<int, std::pair<int, std::vector<char>>> attributes;

  // The values of an attribute; none if it was not set, or as something else.
  template <class V> std::vector<V> all(int name) const {
    auto found = attributes.find(name);
    if (found == attributes.end()) return {};
    const auto &bytes = found->second.second;
    return {(const V *)bytes.data(), (const V *)(bytes.data() + bytes.size())};
  }
  template <class V> V one(int name) const {
    auto found = all<V>(name);
    return found.size() == 1 ? found[0] : V{};
  }
  const Descriptor *other(int name) const { return one<const Descriptor *>(name); }
};

static size_t size_of(int type) {
  switch (type) {
    case 0: case 3: case 5: case 6: case 15: return 8;
    case 2: return 1;
    default: return 4;
  }
}

static int tensor(const Descriptor *from, Tensor *to) {
  if (!from || !from->sealed || from->kind != TENSOR) return BAD_PARAM;
  auto sizes = from->all<long>(TENSOR_SIZES), strides = from->all<long>(TENSOR_STRIDES);
  if (sizes.size() != 4 || strides.size() != 4 || from->one<long>(TENSOR_NAME) == 0) return BAD_PARAM;
  long alignment = from->one<long>(TENSOR_ALIGNMENT);
  if (alignment <= 0) return BAD_PARAM;
  to->type = from->one<int>(TENSOR_TYPE);
  for (int i = 0; i < 4; i++) {
    if (sizes[i] <= 0 || strides[i] <= 0) return BAD_PARAM;
    to->size[i] = sizes[i];
    to->stride[i] = strides[i];
  }
  to->last = strides[1] == 1;
  return SUCCESS;
}

struct Operation {
  Direction way;
  Tensor x, w, y;
  long names[3], alignments[3];
  Convolution k;
  double alpha, beta;
};

static int operation(const Descriptor *from, Operation *to) {
  if (!from) return BAD_PARAM;
  to->way = from->kind == FORWARD_OPERATION ? FORWARD : from->kind == DATA_OPERATION ? DATA : FILTER;
  const int *name = OPERATION[to->way];
  const Descriptor *k = from->other(name[2]);
  if (!k || !k->sealed || k->kind != CONVOLUTION || k->one<long>(CONV_DIMENSIONS) != 2) return BAD_PARAM;
  auto before = k->all<long>(CONV_BEFORE), after = k->all<long>(CONV_AFTER), stride = k->all<long>(CONV_STRIDE),
       dilation = k->all<long>(CONV_DILATION);
  if (before.size() != 2 || before != after || stride.size() != 2 || dilation.size() != 2) return BAD_PARAM;
  for (int i = 0; i < 2; i++) {
    if (before[i] < 0 || stride[i] <= 0 || dilation[i] <= 0) return BAD_PARAM;
    to->k.padding[i] = before[i], to->k.stride[i] = stride[i], to->k.dilation[i] = dilation[i];
  }
  to->k.compute = k->one<int>(CONV_COMPUTE);
  to->k.mode = k->one<int>(CONV_MODE);
  Tensor *tensors[3] = {&to->x, &to->w, &to->y};
  for (int i = 0; i < 3; i++) {
    const Descriptor *t = from->other(name[3 + i]);
    if (int wrong = tensor(t, tensors[i])) return wrong;
    to->names[i] = t->one<long>(TENSOR_NAME);
    to->alignments[i] = t->one<long>(TENSOR_ALIGNMENT);
  }
  bool wide = to->x.type == DOUBLE;
  for (int i = 0; i < 2; i++) {
    auto found = from->attributes.find(name[i]);
    if (found == from->attributes.end() || found->second.first != (wide ? 5 : 4)) return BAD_PARAM;
    (i ? to->beta : to->alpha) = wide ? from->one<double>(name[i]) : from->one<float>(name[i]);
  }
  return fits(&to->x, &to->w, &to->k, &to->y);
}

static int graph_operation(const Descriptor *graph, Operation *to) {
  if (!graph || !graph->sealed || graph->kind != GRAPH || !graph->other(GRAPH_HANDLE)) return BAD_PARAM;
  return operation(graph->other(GRAPH_OPERATIONS), to);
}

extern "C" {

int cudnnCreate(void **handle) { return *handle = new char, SUCCESS; }
int cudnnDestroy(void *handle) { return delete (char *)handle, SUCCESS; }
int cudnnSetStream(void *, void *) { return SUCCESS; }
size_t cudnnGetVersion() { return 91900; }
const char *cudnnGetErrorString(int) { return "an error"; }

int cudnnBackendCreateDescriptor(int kind, Descriptor **to) { return *to = new Descriptor{kind}, SUCCESS; }
int cudnnBackendDestroyDescriptor(Descriptor *d) { return delete d, SUCCESS; }

int cudnnBackendSetAttribute(Descriptor *d, int name, int type, long count, const void *values) {
  if (d->sealed || count <= 0) return BAD_PARAM;
  const char *from = (const char *)values;
  d->attributes[name] = {type, std::vector<char>(from, from + count * size_of(type))};
  return SUCCESS;
}

int cudnnBackendFinalize(Descriptor *d) {
  Tensor t;
  Operation o;
  int wrong = SUCCESS;
  switch (d->kind) {
    case TENSOR: d->sealed = true, wrong = tensor(d, &t); break;
    case FORWARD_OPERATION: case DATA_OPERATION: case FILTER_OPERATION: wrong = operation(d, &o); break;
    case GRAPH: d->sealed = true, wrong = graph_operation(d, &o); break;
    case HEURISTIC: {
      int mode = d->one<int>(HEURISTIC_MODE);
      d->graph = d->other(HEURISTIC_GRAPH);
      if (mode < 0 || mode > 3) wrong = BAD_PARAM;
      else wrong = graph_operation(d->graph, &o);
      break;
    }
    case PLAN: {
      const Descriptor *c = d->other(PLAN_CONFIGURATION);
      if (!c || c->kind != CONFIGURATION || !c->sealed || !d->other(PLAN_HANDLE)) wrong = BAD_PARAM;
      else d->graph = c->graph, d->engine = c->engine;
      break;
    }
    default: break;
  }
  d->sealed = wrong == SUCCESS;
  return wrong;
}

int cudnnBackendGetAttribute(Descriptor *d, int name, int, long wanted, long *count, void *to) {
  if (d->kind == HEURISTIC && name == HEURISTIC_RESULTS) {
    if (!d->sealed) return NOT_INITIALIZED;
    *count = d->one<int>(HEURISTIC_MODE) == 2 ? 1 : ENGINES;
    for (long i = 0; i < *count && i < wanted; i++) {
      Descriptor *c = ((Descriptor **)to)[i];
      if (c->kind != CONFIGURATION) return BAD_PARAM;
      c->sealed = true, c->graph = d->graph, c->engine = *count == 1 ? (int)PLAIN_ENGINE : (int)i;
    }
    return SUCCESS;
  }
  if (d->kind == CONFIGURATION && name == CONFIGURATION_ENGINE) {
    Descriptor *e = *(Descriptor **)to;
    return *count = 1, e->sealed = true, e->graph = d->graph, e->engine = d->engine, SUCCESS;
  }
  if (d->kind == ENGINE && name == ENGINE_NUMBERS) {
    *count = 0;
    if (wanted > 0 && d->engine == UNORDERED_ENGINE) ((int *)to)[(*count)++] = UNORDERED_NOTE;
    if (wanted > 0 && d->engine == TENSOR_ENGINE) ((int *)to)[(*count)++] = TENSOR_CORE_NOTE;
    return SUCCESS;
  }
  if (d->kind == ENGINE && name == ENGINE_BEHAVIOR) return *count = 0, SUCCESS;
  if (d->kind == PLAN && name == PLAN_WORKSPACE) return *count = 1, *(long *)to = WORKSPACE, SUCCESS;
  return NOT_SUPPORTED;
}

int cudnnBackendExecute(void *, Descriptor *plan, Descriptor *tensors) {
  if (plan->kind != PLAN || !plan->sealed || tensors->kind != TENSORS || !tensors->sealed) return BAD_PARAM;
  Operation o;
  if (int wrong = graph_operation(plan->graph, &o)) return wrong;
  auto names = tensors->all<long>(TENSORS_NAMES);
  auto pointers = tensors->all<void *>(TENSORS_POINTERS);
  void *at[3] = {};
  for (size_t i = 0; i < names.size() && i < pointers.size(); i++)
    for (int k = 0; k < 3; k++)
      if (names[i] == o.names[k]) at[k] = pointers[i];
  for (int k = 0; k < 3; k++)
    if (!at[k] || (size_t)at[k] % o.alignments[k]) return BAD_PARAM;
  return convolve(o.way, plan->engine, &o.x, at[0], &o.w, at[1], &o.k, &o.y, at[2], tensors->one<void *>(TENSORS_WORKSPACE),
                  o.alpha, o.beta);
}

}  // extern "C"
