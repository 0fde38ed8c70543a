// The engine for tests/test_ptx.py, which loads it from Python: kernels of a library by number, memory by address.
#include <dlfcn.h>

#include "engine.hpp"

using namespace ptxrun;

namespace {
const KernelLibrary* library;
std::string text;
}  // namespace

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED bool open_library(const char* path, int order) {
    void* const handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) return false;
    library = static_cast<const KernelLibrary*>(dlsym(handle, "ptx_library"));
    Config config;
    config.order = order;
    start(config, library->env);
    return true;
}
EXPORTED u64 new_memory(u64 bytes) { return u64(allocate(bytes)); }
// Returns what went wrong, or nothing.
EXPORTED const char* launch_kernel(const char* name, u32 blocks, u32 threads, u32 dynamic_shared, u64 argument) {
    text = "no such kernel";
    for (u32 k = 0; k < library->count; ++k)
        if (std::strcmp(library->kernels[k].name, name) == 0)
            text = launch(library->kernels[k], blocks, threads, dynamic_shared, &argument);
    return text.c_str();
}
