// libnccl.so.2 of the software GPU: several processes on one machine, through memory that they share.
//
// The software GPU's memory is main memory and its streams do their work at once, so a collective is: put one's piece where all
// see it, wait for all, take what one wants, wait for all. Sums begin at another rank in each piece, as in a ring, so that no test
// passes by an order that the real library does not promise. Sends and receives are those of one group to and from each rank.

#include "memory.hpp"
#include <atomic>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include <vector>

enum Result { SUCCESS = 0, SYSTEM_ERROR = 2, INVALID_ARGUMENT = 4 };
enum Type { INT8, UINT8, INT32, UINT32, INT64, UINT64, FLOAT16, FLOAT32, FLOAT64, BFLOAT16 };
enum Op { SUM, PROD, MAX, MIN, AVG };
static const size_t SIZES[] = {1, 1, 4, 4, 8, 8, 2, 4, 8, 2}, PIECE = 1 << 20;

struct Shared {
  std::atomic<int> joined, arrived, turn;
  alignas(64) char pieces[];
};

struct Comm {
  Shared *shared;
  int rank, ranks;
  char name[64];
  char *piece(int rank) const { return shared->pieces + (size_t)rank * PIECE; }
};

struct UniqueId {
  char internal[128];
};

[[noreturn]] static void stop(const char *what, const Comm *comm) {
  software_stop("nccl: rank %d of %d: %s", comm->rank, comm->ranks, what);
  abort();
}

template <class F>
static void wait_until(F done, const Comm *comm) {
  time_t began = time(nullptr);
  while (!done()) {
    if (time(nullptr) - began > 60) stop("the others have not come for a minute", comm);
    sched_yield();
  }
}

static void all_here(const Comm *comm) {
  Shared *s = comm->shared;
  int turn = s->turn.load();
  if (s->arrived.fetch_add(1) + 1 == comm->ranks) {
    s->arrived = 0;
    s->turn++;
  } else {
    wait_until([&] { return s->turn.load() != turn; }, comm);
  }
}

template <class T>
static void reduced(const Comm *comm, size_t from, size_t count, size_t number, Op op, T *to) {
  for (size_t i = 0; i < count; i++) {
    T sum = 0;
    for (int r = 0; r < comm->ranks; r++) {
      T x = ((const T *)comm->piece((int)((number + r) % comm->ranks)))[from + i];
      sum = r == 0 ? x : op == PROD ? sum * x : op == MAX ? (x > sum ? x : sum) : op == MIN ? (x < sum ? x : sum) : sum + x;
    }
    to[i] = op == AVG ? sum / (T)comm->ranks : sum;
  }
}

static int reduce(const void *send, void *receive, size_t count, Type type, Op op, Comm *comm) {
  if (type != FLOAT32 && type != FLOAT64) return INVALID_ARGUMENT;
  size_t size = SIZES[type], most = PIECE / size;
  for (size_t at = 0, number = 0; at < count; at += most, number++) {
    size_t n = count - at < most ? count - at : most;
    memcpy(comm->piece(comm->rank), (const char *)send + at * size, n * size);
    all_here(comm);
    if (type == FLOAT32) reduced(comm, 0, n, number, op, (float *)receive + at);
    else reduced(comm, 0, n, number, op, (double *)receive + at);
    all_here(comm);
  }
  return SUCCESS;
}

// Bytes [at, at + n) of everyone's `send` are there for all while `take(n, at)` runs.
template <class F>
static int shown(const void *send, size_t bytes, Comm *comm, F take) {
  for (size_t at = 0; at < bytes; at += PIECE) {
    size_t n = bytes - at < PIECE ? bytes - at : PIECE;
    if (send) memcpy(comm->piece(comm->rank), (const char *)send + at, n);
    all_here(comm);
    take(n, at);
    all_here(comm);
  }
  return SUCCESS;
}

// One of a group's sends or receives.
struct Move {
  bool is_send;
  char *at;
  size_t bytes;
  int peer;
  Comm *comm;
};
static std::vector<Move> moves;
static bool in_group = false;

static int moved(bool is_send, void *at, size_t bytes, int peer, Comm *comm, void *stream) {
  software_check(is_send ? "ncclSend" : "ncclRecv", at, bytes, stream);
  if (!in_group) stop("a send or receive outside a group", comm);
  moves.push_back({is_send, (char *)at, bytes, peer, comm});
  return SUCCESS;
}

static const Move *to_or_from(bool is_send, int peer) {
  for (const Move &move : moves)
    if (move.is_send == is_send && move.peer == peer) return &move;
  stop("a group without a send to, or a receive from, each rank", moves[0].comm);
}

// Row by row: what each sends to rank `to`.
static int exchanged() {
  Comm *comm = moves[0].comm;
  for (int to = 0; to < comm->ranks; to++) {
    const Move *own = to_or_from(true, to);
    if (own->bytes != to_or_from(false, to)->bytes) stop("sends and receives of different sizes", comm);
    shown(own->at, own->bytes, comm, [&](size_t n, size_t at) {
      if (comm->rank == to)
        for (int r = 0; r < comm->ranks; r++) memcpy(to_or_from(false, r)->at + at, comm->piece(r), n);
    });
  }
  software_note("collective\texchange\t%zu", moves[0].bytes * comm->ranks);
  moves.clear();
  return SUCCESS;
}

extern "C" {

int ncclGetVersion(int *version) { return *version = 22800, SUCCESS; }
const char *ncclGetErrorString(int) { return "an error of the software nccl"; }
const char *ncclGetLastError(Comm *) { return ""; }

int ncclGetUniqueId(UniqueId *id) {
  unsigned long number;
  if (getrandom(&number, sizeof number, 0) != sizeof number) return SYSTEM_ERROR;
  memset(id, 0, sizeof *id);
  snprintf(id->internal, sizeof id->internal, "/software_nccl_%lx", number);
  return SUCCESS;
}

int ncclCommInitRank(Comm **made, int ranks, UniqueId id, int rank) {
  Comm *comm = *made = new Comm{nullptr, rank, ranks, {0}};
  size_t bytes = sizeof(Shared) + (size_t)ranks * PIECE;
  snprintf(comm->name, sizeof comm->name, "%.60s", id.internal);
  int file = shm_open(comm->name, O_RDWR | O_CREAT, 0600);
  if (file < 0 || ftruncate(file, (off_t)bytes) != 0) return SYSTEM_ERROR;
  void *at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (at == MAP_FAILED) return SYSTEM_ERROR;
  comm->shared = (Shared *)at;
  comm->shared->joined++;
  wait_until([&] { return comm->shared->joined.load() == ranks; }, comm);
  all_here(comm);
  if (rank == 0) shm_unlink(comm->name);  // All have it mapped; nothing stays behind, however this ends.
  return SUCCESS;
}

int ncclCommInitRankConfig(Comm **made, int ranks, UniqueId id, int rank, void *) { return ncclCommInitRank(made, ranks, id, rank); }
int ncclCommFinalize(Comm *) { return SUCCESS; }
int ncclCommDestroy(Comm *comm) { return munmap(comm->shared, sizeof(Shared) + (size_t)comm->ranks * PIECE), delete comm, SUCCESS; }
int ncclCommAbort(Comm *comm) { return ncclCommDestroy(comm); }
int ncclCommCount(Comm *comm, int *count) { return *count = comm->ranks, SUCCESS; }
int ncclCommUserRank(Comm *comm, int *rank) { return *rank = comm->rank, SUCCESS; }
int ncclCommGetAsyncError(Comm *, int *error) { return *error = SUCCESS, SUCCESS; }
int ncclGroupStart() { return in_group = true, moves.clear(), SUCCESS; }
int ncclGroupEnd() {
  in_group = false;
  return moves.empty() ? SUCCESS : exchanged();
}

int ncclSend(const void *from, size_t count, Type type, int peer, Comm *comm, void *stream) {
  return moved(true, (void *)from, count * SIZES[type], peer, comm, stream);
}

int ncclRecv(void *to, size_t count, Type type, int peer, Comm *comm, void *stream) {
  return moved(false, to, count * SIZES[type], peer, comm, stream);
}

int ncclAllReduce(const void *send, void *receive, size_t count, Type type, Op op, Comm *comm, void *stream) {
  software_check("ncclAllReduce", send, count * SIZES[type], stream);
  software_check("ncclAllReduce", receive, count * SIZES[type], stream);
  software_note("collective\tall reduce\t%zu", count * SIZES[type]);
  return reduce(send, receive, count, type, op, comm);
}

int ncclBroadcast(const void *send, void *receive, size_t count, Type type, int root, Comm *comm, void *) {
  return shown(comm->rank == root ? send : nullptr, count * SIZES[type], comm,
               [&](size_t n, size_t at) { memcpy((char *)receive + at, comm->piece(root), n); });
}

int ncclAllGather(const void *send, void *receive, size_t count, Type type, Comm *comm, void *stream) {
  size_t bytes = count * SIZES[type];
  software_check("ncclAllGather", send, bytes, stream);
  software_check("ncclAllGather", receive, bytes * comm->ranks, stream);
  software_note("collective\tall gather\t%zu", bytes);
  return shown(send, bytes, comm, [&](size_t n, size_t at) {
    for (int r = 0; r < comm->ranks; r++) memcpy((char *)receive + r * bytes + at, comm->piece(r), n);
  });
}

}  // extern "C"
