// The threads of a CUDA kernel on a CPU: each thread of a block is a fibre, a barrier hands on to the others, blocks run one
// after the other. Which thread goes first changes from barrier to barrier and from block to block, so that what one thread
// leaves for another without a barrier between them comes out wrong here too.
//
// Stands before a kernel's source, which is then compiled as C++; ENTRY(name) behind it makes a kernel callable.

#pragma once
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

// For sources of this project: see src/compute/gpu/kernels/prelude.cuh.
#define EMULATED
#define KERNEL static void
#define DEVICE static
#define SHARED static thread_local
#define BARRIER software::barrier()

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x, y, z; };
static thread_local uint3 threadIdx, blockIdx;
static thread_local dim3 blockDim, gridDim;

namespace software {

enum State { NEW, READY, AT_BARRIER, AT_WARP, DONE };
const unsigned WARP = 32, MOST = 1024;
const size_t STACK = 1 << 16;

struct Block {
  unsigned threads, own;
  // How many wait at a barrier or in a warp, and how many have ended.
  unsigned waiting, in_warps, ended;
  State states[MOST];
  uint64_t exchanged[2][MOST];
  unsigned char turns[MOST];
  char *stacks[MOST];
#if defined(__x86_64__)
  void *places[MOST], *scheduler;
#else
  ucontext_t places[MOST], scheduler;
#endif
  void (*kernel)(void **);
  void **arguments;
  const char *name;
  char *spare[MOST];
  unsigned spares;
};
static thread_local Block *block;

#if defined(__x86_64__)
// Keeps the registers that a call preserves on the stack, puts its place into *from, and goes on at `to`.
extern "C" void software_hop(void **from, void *to);
asm(R"(.pushsection .text
.weak software_hop
.hidden software_hop
.type software_hop,@function
software_hop:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.popsection
)");
#endif

static void yield(State state) {
  Block *b = block;
  b->states[b->own] = state;
#if defined(__x86_64__)
  software_hop(&b->places[b->own], b->scheduler);
#else
  swapcontext(&b->places[b->own], &b->scheduler);
#endif
}

static void barrier() {
  block->waiting++;
  yield(AT_BARRIER);
}

static void within_warp() {
  block->in_warps++;
  yield(AT_WARP);
}

static void begin() {
  block->kernel(block->arguments);
  block->ended++;
  yield(DONE);
}

static void place(unsigned t) {
  block->own = t;
  if (t < blockDim.x) threadIdx = {t, 0, 0};
  else threadIdx = {t % blockDim.x, t / blockDim.x % blockDim.y, t / blockDim.x / blockDim.y};
}

// On with thread t until it waits or ends; one that ends leaves its stack for the next.
static void resume(unsigned t) {
  Block *b = block;
  if (b->states[t] == NEW) {
    b->stacks[t] = b->spares ? b->spare[--b->spares] : (char *)malloc(STACK);
#if defined(__x86_64__)
    void **top = (void **)(((uintptr_t)b->stacks[t] + STACK) & ~(uintptr_t)63);
    *--top = 0;
    *--top = (void *)begin;
    top -= 6;
    memset(top, 0, 6 * sizeof *top);
    b->places[t] = top;
#else
    getcontext(&b->places[t]);
    b->places[t].uc_stack.ss_sp = b->stacks[t];
    b->places[t].uc_stack.ss_size = STACK;
    makecontext(&b->places[t], begin, 0);
#endif
  }
  b->states[t] = READY;
  place(t);
#if defined(__x86_64__)
  software_hop(&b->scheduler, b->places[t]);
#else
  swapcontext(&b->scheduler, &b->places[t]);
#endif
  if (b->states[t] == DONE) b->spare[b->spares++] = b->stacks[t];
}

static bool all(State state, unsigned from, unsigned to) {
  for (unsigned t = from; t < to; t++)
    if (block->states[t] != state && block->states[t] != DONE) return false;
  return true;
}

// Lets go on who waits for nobody any more: warps whose threads have all arrived, else the block, when all of its threads
// have. False when all have ended.
static bool release() {
  Block *b = block;
  if (b->ended == b->threads) return false;
  bool open = false;
  if (b->in_warps + b->ended == b->threads) {
    for (unsigned t = 0; t < b->threads; t++)
      if (b->states[t] == AT_WARP) b->states[t] = READY;
    b->in_warps = 0;
    open = true;
  } else if (b->in_warps > 0) {
    for (unsigned w = 0; w < b->threads; w += WARP) {
      unsigned end = w + WARP < b->threads ? w + WARP : b->threads;
      if (!all(AT_WARP, w, end)) continue;
      for (unsigned t = w; t < end; t++)
        if (b->states[t] == AT_WARP) b->states[t] = READY, b->in_warps--, open = true;
    }
  } else if (b->waiting + b->ended == b->threads) {
    for (unsigned t = 0; t < b->threads; t++)
      if (b->states[t] == AT_BARRIER) b->states[t] = READY;
    b->waiting = 0;
    open = true;
  }
  if (!open) {
    fprintf(stderr, "software GPU: %s: some threads wait at a barrier that others never reach\n", b->name);
    abort();
  }
  return true;
}

static void run(const char *name, void (*kernel)(void **), const unsigned *shape, void **arguments) {
  if (!block) block = (Block *)calloc(1, sizeof(Block));
  Block *b = block;
  gridDim = {shape[0], shape[1], shape[2]};
  blockDim = {shape[3], shape[4], shape[5]};
  b->threads = shape[3] * shape[4] * shape[5];
  if (b->threads > MOST) {
    fprintf(stderr, "software GPU: %s: %u threads in a block\n", name, b->threads);
    abort();
  }
  b->kernel = kernel, b->arguments = arguments, b->name = name;
  unsigned turn = 0;
  for (unsigned z = 0; z < shape[2]; z++)
    for (unsigned y = 0; y < shape[1]; y++)
      for (unsigned x = 0; x < shape[0]; x++, turn++) {
        blockIdx = {x, y, z};
        for (unsigned t = 0; t < b->threads; t++) b->states[t] = NEW;
        b->waiting = b->in_warps = b->ended = 0;
        memset(b->turns, 0, b->threads);
        do {
          for (unsigned k = 0; k < b->threads; k++) {
            unsigned t = turn % 2 ? b->threads - 1 - k : k;
            if (b->states[t] == NEW || b->states[t] == READY) resume(t);
          }
          turn++;
        } while (release());
      }
}

// What another thread of the warp has, for shuffles. Two rooms in turn: when one is written again, all have read it.
template <class T> static T exchange(T own, unsigned lane) {
  Block *b = block;
  static_assert(sizeof(T) <= 8, "at most eight bytes");
  uint64_t *room = b->exchanged[b->turns[b->own] ^= 1];
  memcpy(&room[b->own], &own, sizeof own);
  within_warp();
  T other;
  memcpy(&other, &room[b->own / WARP * WARP + lane], sizeof other);
  return other;
}

// Calls a kernel with its arguments, each out of the place that its pointer names.
template <size_t... at> struct Places {};
template <size_t n, size_t... at> struct Upto : Upto<n - 1, n - 1, at...> {};
template <size_t... at> struct Upto<0, at...> { typedef Places<at...> All; };
template <class... A, size_t... at> static void unpack(void (*kernel)(A...), void **arguments, Places<at...>) {
  kernel(*(A *)arguments[at]...);
}
template <class... A> static void unpack(void (*kernel)(A...), void **arguments) {
  unpack(kernel, arguments, typename Upto<sizeof...(A)>::All());
}

// What a kernel's arguments are: r a pointer to what it reads, w to what it may write, v a value.
template <class A> struct Kind { static const char letter = 'v'; };
template <class A> struct Kind<A *> { static const char letter = 'w'; };
template <class A> struct Kind<const A *> { static const char letter = 'r'; };
template <class... A> static const char *kinds(void (*)(A...)) {
  static const char letters[] = {Kind<A>::letter..., 0};
  return letters;
}

}  // namespace software

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

template <class T> static T __shfl_xor_sync(unsigned, T x, int mask, int = 32) {
  return software::exchange(x, software::block->own % software::WARP ^ (unsigned)mask);
}

template <class T> static T __shfl_down_sync(unsigned, T x, unsigned by, int = 32) {
  unsigned lane = software::block->own % software::WARP, from = lane + by;
  return software::exchange(x, from < software::WARP ? from : lane);
}

// `shape`: blocks in x, y, z, then threads of a block in x, y, z.
#define ENTRY(name)                                                                                                    \
  extern "C" void entry_##name(const unsigned *shape, void **arguments) {                                              \
    software::run(#name, [](void **a) { software::unpack(name, a); }, shape, arguments);                               \
  }                                                                                                                    \
  extern "C" const char *kinds_##name() { return software::kinds(name); }
