// Memory of the software GPU, and what is noted of every call. Shared by the libraries, which stand in libcuda.so.1.

#pragma once
#include <functional>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t Pointer;

extern "C" {
// Memory that ends at a page which cannot be touched, filled with bytes of 0xff: NaN in every number type, so that what is read
// before it was written shows. Returns 0 where there is none.
Pointer software_alloc(size_t bytes, void *stream);
// Gives back, and stops the program where `p` is not the beginning of a piece of memory.
void software_free(Pointer p);
// Stops the program unless these bytes lie in one piece of memory; `stream` has to be that of the piece, or 0.
void software_check(const char *call, const void *p, size_t bytes, void *stream);
// Bytes from p to the end of its piece of memory; 0 where p is no address of any.
size_t software_extent(Pointer p);
// With SOFTWARE_GPU_IDLE set nothing is computed and no memory is there: calls return at once, and what is read from the device is
// zeros. What remains is the time that the program itself takes to ask for the work.
bool software_idle();
// A line of the account that SOFTWARE_GPU_TRACE names a file for: words and numbers, separated by tabs.
void software_note(const char *format, ...);
// Stops the program with a message.
void software_stop(const char *format, ...);
// Is a graph being captured?
bool software_capturing();
}
// Does the work now, or, while a graph is captured, at each of its launches.
void software_do(std::function<void()> work);
