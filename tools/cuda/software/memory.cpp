// See memory.hpp.

#include "memory.hpp"
#include <atomic>
#include <mutex>
#include <map>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

namespace {

struct Piece {
  size_t bytes;
  void *pages;
  size_t mapped;
  void *stream;
};

std::mutex lock;
// By the first byte. Never destroyed: tensors may outlive the libraries' own end.
std::map<Pointer, Piece> &pieces() {
  static auto *all = new std::map<Pointer, Piece>;
  return *all;
}

std::map<Pointer, Piece>::iterator find(Pointer p) {
  auto after = pieces().upper_bound(p);
  if (after == pieces().begin()) return pieces().end();
  --after;
  return p <= after->first + after->second.bytes ? after : pieces().end();
}

FILE *account() {
  static FILE *file = [] {
    const char *path = getenv("SOFTWARE_GPU_TRACE");
    FILE *file = path && *path ? fopen(path, "a") : nullptr;
    return file;
  }();
  return file;
}

}  // namespace

extern "C" bool software_idle() {
  static const bool idle = [] {
    const char *set = getenv("SOFTWARE_GPU_IDLE");
    return set && *set;
  }();
  return idle;
}

extern "C" Pointer software_alloc(size_t bytes, void *stream) {
  if (software_idle()) {
    static std::atomic<Pointer> next{1ull << 40};
    return next.fetch_add((bytes + 255) / 256 * 256);
  }
  const size_t page = sysconf(_SC_PAGESIZE), align = 256;
  // Up to 255 bytes may lie between the end and the page that cannot be touched.
  size_t room = (bytes + align - 1) / align * align, mapped = (room + page - 1) / page * page + page;
  void *pages = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED) return 0;
  char *end = (char *)pages + mapped - page;
  mprotect(end, page, PROT_NONE);
  Pointer p = (Pointer)(end - room);
  memset((void *)p, 0xff, room);
  std::lock_guard<std::mutex> held(lock);
  pieces()[p] = Piece{bytes, pages, mapped, stream};
  return p;
}

extern "C" void software_free(Pointer p) {
  if (software_idle()) return;
  std::lock_guard<std::mutex> held(lock);
  auto at = pieces().find(p);
  if (at == pieces().end()) software_stop("free: %#lx is no piece of memory", (unsigned long)p);
  munmap(at->second.pages, at->second.mapped);
  pieces().erase(at);
}

extern "C" void software_check(const char *call, const void *p, size_t bytes, void *stream) {
  if (bytes == 0 || software_idle()) return;
  std::lock_guard<std::mutex> held(lock);
  auto at = find((Pointer)p);
  if (at == pieces().end()) software_stop("%s: %p is not on the device", call, p);
  const Piece &piece = at->second;
  if ((Pointer)p + bytes > at->first + piece.bytes)
    software_stop("%s: %zu bytes from %p, but its %zu bytes end before", call, bytes, p, piece.bytes);
  if (stream && piece.stream && stream != piece.stream)
    software_stop("%s: memory of stream %p is used on stream %p, and nothing makes one wait for the other", call,
                  piece.stream, stream);
}

extern "C" size_t software_extent(Pointer p) {
  if (software_idle()) return 0;
  std::lock_guard<std::mutex> held(lock);
  auto at = find(p);
  return at == pieces().end() ? 0 : at->first + at->second.bytes - p;
}

extern "C" void software_note(const char *format, ...) {
  FILE *file = account();
  if (!file) return;
  std::lock_guard<std::mutex> held(lock);
  va_list list;
  va_start(list, format);
  vfprintf(file, format, list);
  va_end(list);
  fputc('\n', file);
  fflush(file);
}

extern "C" void software_stop(const char *format, ...) {
  va_list list;
  va_start(list, format);
  fputs("software GPU: ", stderr);
  vfprintf(stderr, format, list);
  fputc('\n', stderr);
  va_end(list);
  abort();
}
