// libcuda.so.1 of the software GPU: the part of the driver that candle and this project call. Everything is done at once, in
// the order of the calls, which is stricter than a GPU in nothing but its own order; so what waits for the device is noted,
// and memory of one stream that is used on another stops the program.
//
// Kernels of this project come as their source (see nvrtc.cpp) and are compiled with the host's C++ compiler, CXX or c++; candle's
// are looked up by name in the libraries that candle.py made.

#include "memory.hpp"
#include <algorithm>
#include <dirent.h>
#include <dlfcn.h>
#include <fstream>
#include <functional>
#include <map>
#include <mutex>
#include <regex>
#include <sstream>
#include <string>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

typedef int Result;
enum {
  SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_SUCH_DEVICE = 101, INVALID_SOURCE = 300, NOT_FOUND = 500,
  CAPTURE_UNSUPPORTED = 900, CAPTURE_INVALIDATED = 901
};

struct Function {
  std::string name;
  void (*entry)(const unsigned *, void **);
  std::string kinds;
};

// Of a graph's nodes, by the numbers that CUDA gives them.
enum { MEM_ALLOC_NODE = 10, MEM_FREE_NODE = 11 };

// What was captured: the work in the order of its calls, and the memory that the graph's own tensors lie in.
struct Graph {
  std::vector<std::function<void()>> calls;
  std::vector<Pointer> memory;
  // Nodes that take memory and give it back, as places in here; of others nothing is asked.
  std::vector<int> nodes;
  bool broken;
};

struct Module {
  std::vector<void *> libraries;
  std::map<std::string, Function> functions;
};

namespace {

std::mutex lock;
thread_local void *current;
int context_object;
// What stands for each thread's own stream, which all threads call 2.
thread_local char own_stream;

// The graph that is being captured, one at a time; memory of graphs, which is theirs until they are destroyed.
Graph *recording;
std::map<Pointer, size_t> *graph_memory = new std::map<Pointer, size_t>;

// What the documentation says that a capture refuses: then nothing comes of it.
Result refused(const char *call) {
  software_note("refused in a capture\t%s", call);
  recording->broken = true;
  return CAPTURE_UNSUPPORTED;
}

void *stream_of(void *handle) { return handle == (void *)2 ? &own_stream : handle; }

std::string folder() {
  Dl_info info;
  dladdr((void *)&folder, &info);
  std::string path = info.dli_fname;
  return path.substr(0, path.find_last_of('/'));
}

void *opened(const std::string &path) {
  void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) software_stop("%s", dlerror());
  return library;
}

// A source compiled for the host, kept by what it says and what stands before it.
std::string compiled(const std::string &source) {
  std::ifstream header(folder() + "/threads.hpp");
  std::stringstream text;
  text << header.rdbuf() << "\n" << source << "\n";
  std::regex kernel("\nKERNEL (\\w+)\\(");
  for (std::sregex_iterator k(source.begin(), source.end(), kernel), end; k != end; ++k)
    text << "ENTRY(" << (*k)[1] << ")\n";
  const char *temporary = getenv("TMPDIR");
  std::string place = std::string(temporary && *temporary ? temporary : "/tmp") + "/software-gpu-" + std::to_string(getuid());
  mkdir(place.c_str(), 0700);
  std::string name = place + "/" + std::to_string(std::hash<std::string>()(text.str()));
  if (access((name + ".so").c_str(), R_OK) == 0) return name + ".so";
  std::string own = name + "-" + std::to_string(getpid());
  std::ofstream(own + ".cpp") << text.str();
  const char *compiler = getenv("CXX");
  std::string command = std::string(compiler && *compiler ? compiler : "c++") +
                        " -std=c++17 -O2 -w -shared -fPIC -ffp-contract=off -o " + own + ".so " + own + ".cpp";
  if (system(command.c_str()) != 0) software_stop("a kernel's source does not compile: %s", command.c_str());
  rename((own + ".so").c_str(), (name + ".so").c_str());
  unlink((own + ".cpp").c_str());
  return name + ".so";
}

std::vector<void *> candle() {
  std::vector<void *> libraries;
  std::string at = folder() + "/candle";
  if (DIR *entries = opendir(at.c_str())) {
    while (dirent *entry = readdir(entries))
      if (strstr(entry->d_name, ".so")) libraries.push_back(opened(at + "/" + entry->d_name));
    closedir(entries);
  }
  return libraries;
}

}  // namespace

extern "C" bool software_capturing() { return recording; }
void software_do(std::function<void()> work) {
  if (recording) recording->calls.push_back(work);
  else work();
}

extern "C" {

Result cuInit(unsigned) { return SUCCESS; }

Result cuGetErrorString(Result error, const char **text) {
  static const std::map<Result, const char *> texts = {
      {INVALID_VALUE, "invalid value"}, {OUT_OF_MEMORY, "out of memory"}, {NO_SUCH_DEVICE, "no such device"},
      {INVALID_SOURCE, "invalid source"}, {NOT_FOUND, "named symbol not found"},
      {CAPTURE_UNSUPPORTED, "operation not permitted when stream is capturing"},
      {CAPTURE_INVALIDATED, "operation failed due to a previous error during capture"}};
  auto found = texts.find(error);
  *text = found == texts.end() ? "an error" : found->second;
  return SUCCESS;
}

Result cuDeviceGet(int *device, int ordinal) {
  const char *devices = getenv("SOFTWARE_GPU_DEVICES");
  if (ordinal < 0 || ordinal >= (devices ? atoi(devices) : 1)) return NO_SUCH_DEVICE;
  *device = ordinal;
  return SUCCESS;
}

Result cuDeviceGetName(char *name, int size, int) {
  snprintf(name, size, "software GPU");
  return SUCCESS;
}

Result cuDeviceGetAttribute(int *value, int attribute, int) {
  // Multiprocessors; compute capability 9.0; pools of memory.
  static const std::map<int, int> values = {{16, 132}, {75, 9}, {76, 0}, {115, 1}};
  auto found = values.find(attribute);
  *value = found == values.end() ? 0 : found->second;
  return SUCCESS;
}

Result cuDevicePrimaryCtxRetain(void **context, int) { return *context = &context_object, SUCCESS; }
Result cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
Result cuCtxDestroy_v2(void *) { return SUCCESS; }
Result cuCtxGetCurrent(void **context) { return *context = current, SUCCESS; }
Result cuCtxSetCurrent(void *context) { return current = context, SUCCESS; }

Result cuDeviceGetDefaultMemPool(void **pool, int) { return *pool = &context_object, SUCCESS; }
Result cuMemPoolSetAttribute(void *, int attribute, void *value) {
  software_note("pool\t%d\t%llu", attribute, *(unsigned long long *)value);
  return SUCCESS;
}

Result cuMemAllocAsync(Pointer *p, size_t bytes, void *stream) {
  // Tensors without elements.
  if (bytes == 0) return *p = 0, SUCCESS;
  *p = software_alloc(bytes, stream_of(stream));
  software_note("alloc\t%zu", bytes);
  if (recording && *p) {
    // At each launch anew, with nothing in it.
    Pointer own = *p;
    (*graph_memory)[own] = bytes;
    recording->memory.push_back(own);
    recording->nodes.push_back(MEM_ALLOC_NODE);
    if (!software_idle()) software_do([=] { memset((void *)own, 0xff, bytes); });
  }
  return *p ? SUCCESS : OUT_OF_MEMORY;
}
Result cuMemAlloc_v2(Pointer *p, size_t bytes) {
  if (recording) return refused("cuMemAlloc");
  return cuMemAllocAsync(p, bytes, nullptr);
}

Result cuMemFreeAsync(Pointer p, void *stream) {
  if (p == 0) return SUCCESS;
  software_check("cuMemFreeAsync", (void *)p, 1, stream_of(stream));
  auto own = graph_memory->find(p);
  if (recording && own == graph_memory->end()) return refused("cuMemFreeAsync of memory from before it");
  if (own != graph_memory->end()) {
    size_t bytes = own->second;
    if (recording && !software_idle()) software_do([=] { memset((void *)p, 0xff, bytes); });
    if (recording) recording->nodes.push_back(MEM_FREE_NODE);
    return software_note("free"), SUCCESS;
  }
  software_free(p);
  software_note("free");
  return SUCCESS;
}
Result cuMemFree_v2(Pointer p) {
  if (recording) return refused("cuMemFree");
  software_note("free and wait");
  return software_free(p), SUCCESS;
}

Result cuMemGetInfo_v2(size_t *free, size_t *total) {
  if (software_idle()) return *total = *free = (size_t)80 << 30, SUCCESS;
  *total = (size_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
  *free = (size_t)sysconf(_SC_AVPHYS_PAGES) * sysconf(_SC_PAGESIZE);
  return SUCCESS;
}

Result cuMemcpyHtoDAsync_v2(Pointer to, const void *from, size_t bytes, void *stream) {
  // Memory that is not pinned: what lies there at a launch is anybody's guess.
  if (recording) return refused("cuMemcpyHtoDAsync");
  software_check("cuMemcpyHtoDAsync", (void *)to, bytes, stream_of(stream));
  if (!software_idle()) memcpy((void *)to, from, bytes);
  software_note("to the device\t%zu", bytes);
  return SUCCESS;
}

Result cuMemcpyDtoHAsync_v2(void *to, Pointer from, size_t bytes, void *stream) {
  if (recording) return refused("cuMemcpyDtoHAsync");
  software_check("cuMemcpyDtoHAsync", (void *)from, bytes, stream_of(stream));
  if (software_idle()) memset(to, 0, bytes);
  else memcpy(to, (void *)from, bytes);
  // From the device to memory that is not pinned: the call returns when the copy is there.
  software_note("from the device\t%zu", bytes);
  return SUCCESS;
}

Result cuMemcpyDtoDAsync_v2(Pointer to, Pointer from, size_t bytes, void *stream) {
  software_check("cuMemcpyDtoDAsync", (void *)to, bytes, stream_of(stream));
  software_check("cuMemcpyDtoDAsync", (void *)from, bytes, stream_of(stream));
  if (!software_idle()) software_do([=] { memmove((void *)to, (void *)from, bytes); });
  software_note("copy\t%zu", bytes);
  return SUCCESS;
}

Result cuMemsetD8Async(Pointer to, unsigned char value, size_t bytes, void *stream) {
  software_check("cuMemsetD8Async", (void *)to, bytes, stream_of(stream));
  if (!software_idle()) software_do([=] { memset((void *)to, value, bytes); });
  software_note("set\t%zu", bytes);
  return SUCCESS;
}

Result cuStreamCreate(void **stream, unsigned) { return *stream = new char, SUCCESS; }
Result cuStreamDestroy_v2(void *) { return SUCCESS; }
Result cuStreamSynchronize(void *) { return recording ? refused("cuStreamSynchronize") : (software_note("wait"), SUCCESS); }
Result cuCtxSynchronize() { return recording ? refused("cuCtxSynchronize") : (software_note("wait"), SUCCESS); }
Result cuStreamWaitEvent(void *, void *, unsigned) { return software_note("event"), SUCCESS; }
Result cuStreamIsCapturing(void *, int *status) { return *status = !recording ? 0 : recording->broken ? 2 : 1, SUCCESS; }

// Graphs: captured on one stream, launched whole.
Result cuStreamBeginCapture_v2(void *stream, int) {
  if (recording || !stream) return CAPTURE_UNSUPPORTED;
  return recording = new Graph{{}, {}, {}, false}, SUCCESS;
}
Result cuStreamEndCapture(void *, Graph **graph) {
  if (!recording) return INVALID_VALUE;
  Graph *found = recording;
  recording = nullptr;
  *graph = found->broken ? nullptr : found;
  return found->broken ? CAPTURE_INVALIDATED : SUCCESS;
}
Result cuGraphInstantiateWithFlags(Graph **executable, Graph *graph, unsigned long long) {
  return *executable = graph, SUCCESS;
}
Result cuGraphGetNodes(Graph *graph, int **nodes, size_t *count) {
  if (nodes)
    for (size_t i = 0; i < graph->nodes.size() && i < *count; i++) nodes[i] = &graph->nodes[i];
  return *count = graph->nodes.size(), SUCCESS;
}
Result cuGraphNodeGetType(int *node, int *type) { return *type = *node, SUCCESS; }
Result cuGraphUpload(Graph *, void *) { return SUCCESS; }
Result cuGraphLaunch(Graph *graph, void *) {
  for (auto &call : graph->calls) call();
  software_note("graph\t%zu", graph->calls.size());
  return SUCCESS;
}
Result cuGraphExecDestroy(Graph *) { return SUCCESS; }
Result cuGraphDestroy(Graph *graph) {
  for (Pointer p : graph->memory) {
    graph_memory->erase(p);
    software_free(p);
  }
  delete graph;
  return SUCCESS;
}

Result cuEventCreate(void **event, unsigned) { return *event = new char, software_note("event"), SUCCESS; }
Result cuEventDestroy_v2(void *event) { return delete (char *)event, software_note("event"), SUCCESS; }
Result cuEventRecord(void *, void *) { return software_note("event"), SUCCESS; }

Result cuModuleLoadData(Module **module, const void *image) {
  std::string text = (const char *)image;
  auto own = new Module;
  std::lock_guard<std::mutex> held(lock);
  if (text.rfind("// source\n", 0) == 0) {
    own->libraries.push_back(opened(compiled(text)));
  } else {
    static auto *all = new std::vector<void *>(candle());
    own->libraries = *all;
  }
  *module = own;
  return SUCCESS;
}
Result cuModuleUnload(Module *) { return SUCCESS; }

Result cuModuleGetFunction(Function **function, Module *module, const char *name) {
  std::lock_guard<std::mutex> held(lock);
  auto known = module->functions.find(name);
  if (known == module->functions.end()) {
    Function found = {name, nullptr, ""};
    for (void *library : module->libraries) {
      *(void **)&found.entry = dlsym(library, ("entry_" + found.name).c_str());
      if (!found.entry) continue;
      const char *(*kinds)();
      *(void **)&kinds = dlsym(library, ("kinds_" + found.name).c_str());
      found.kinds = kinds();
      break;
    }
    if (!found.entry) return fprintf(stderr, "software GPU: no kernel `%s`\n", name), NOT_FOUND;
    known = module->functions.emplace(name, found).first;
  }
  *function = &known->second;
  return SUCCESS;
}

Result cuLaunchKernel(Function *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                      unsigned, void *stream, void **arguments, void **) {
  const unsigned shape[6] = {gx, gy, gz, bx, by, bz};
  if (!gx || !gy || !gz || gx > 2147483647u || gy > 65535 || gz > 65535 || bx * by * bz > 1024 || !bx || !by || !bz)
    software_stop("%s: a launch of %u x %u x %u blocks of %u x %u x %u threads", f->name.c_str(), gx, gy, gz, bx, by, bz);
  size_t read = 0, written = 0;
  for (size_t i = 0; i < f->kinds.size(); i++) {
    if (f->kinds[i] == 'v') continue;
    Pointer p = *(Pointer *)arguments[i];
    size_t bytes = software_extent(p);
    if (bytes) software_check(f->name.c_str(), (void *)p, 1, stream_of(stream));
    (f->kinds[i] == 'r' ? read : written) += bytes;
  }
  if (!software_idle() && recording) {
    // The arguments, eight bytes at most each, are those of the capture.
    std::vector<unsigned long long> words;
    for (size_t i = 0; i < f->kinds.size(); i++) words.push_back(*(unsigned long long *)arguments[i]);
    std::vector<unsigned> blocks(shape, shape + 6);
    auto entry = f->entry;
    software_do([=]() mutable {
      std::vector<void *> places;
      for (auto &word : words) places.push_back(&word);
      entry(blocks.data(), places.data());
    });
  } else if (!software_idle()) {
    f->entry(shape, arguments);
  }
  software_note("launch\t%s\t%u\t%u\t%zu\t%zu", f->name.c_str(), gx * gy * gz, bx * by * bz, read, written);
  return SUCCESS;
}

}  // extern "C"
