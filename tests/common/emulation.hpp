// The kernels' threads on a CPU: each thread of a block is a fibre, a barrier hands on to the next, blocks run one after the
// other. What one thread leaves for another without a barrier between them comes out wrong here too.

#include <ucontext.h>
#include <math.h>
#include <string.h>
#include <stdlib.h>

#define EMULATED
#define KERNEL static void
#define DEVICE static
#define SHARED static
#define BARRIER barrier()
#define THREADS 64

struct Index { unsigned x; };
static Index threadIdx, blockIdx, gridDim;

static ucontext_t fibres[THREADS], scheduler;
static bool finished[THREADS];
static void (*work)(void **);
static void **words;

static void barrier() {
  unsigned own = threadIdx.x;
  swapcontext(&fibres[own], &scheduler);
  threadIdx.x = own;
}

static void start() {
  unsigned own = threadIdx.x;
  work(words);
  finished[own] = true;
}

static void run(void (*kernel)(void **), unsigned blocks, void **arguments) {
  static char *stacks = (char *)malloc((size_t)THREADS << 16);
  work = kernel;
  words = arguments;
  gridDim.x = blocks;
  for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++) {
    for (unsigned t = 0; t < THREADS; t++) {
      finished[t] = false;
      getcontext(&fibres[t]);
      fibres[t].uc_stack.ss_sp = stacks + ((size_t)t << 16);
      fibres[t].uc_stack.ss_size = 1 << 16;
      fibres[t].uc_link = &scheduler;
      makecontext(&fibres[t], start, 0);
    }
    for (bool open = true; open;) {
      open = false;
      for (unsigned t = 0; t < THREADS; t++) {
        if (finished[t]) continue;
        threadIdx.x = t;
        swapcontext(&scheduler, &fibres[t]);
        open = open || !finished[t];
      }
    }
  }
}

static unsigned __float_as_uint(float x) {
  unsigned bits;
  memcpy(&bits, &x, 4);
  return bits;
}

static float __uint_as_float(unsigned bits) {
  float x;
  memcpy(&x, &bits, 4);
  return x;
}

// Calls a kernel with its arguments out of a row of eight-byte words.
template <size_t... at> struct Places {};
template <size_t n, size_t... at> struct Upto : Upto<n - 1, n - 1, at...> {};
template <size_t... at> struct Upto<0, at...> { typedef Places<at...> All; };
template <class... A, size_t... at> static void unpack(void (*kernel)(A...), void **words, Places<at...>) {
  kernel(*(A *)&words[at]...);
}
template <class... A> static void unpack(void (*kernel)(A...), void **words) {
  unpack(kernel, words, typename Upto<sizeof...(A)>::All());
}
#define ENTRY(name)                                                                                                    \
  extern "C" void entry_##name(unsigned blocks, void **words) {                                                        \
    run([](void **words) { unpack(name, words); }, blocks, words);                                                     \
  }
