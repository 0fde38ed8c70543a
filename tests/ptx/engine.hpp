// Runs translated kernels: threads as fibers, warps and barriers, shared and global memory, and what compute-sanitizer
// would look for. Included by the stand-in for the CUDA runtime.
#pragma once
#include <string>

#include "instructions.hpp"

namespace ptxrun {

constexpr int most_devices = 16;

struct Config {
    int order = 0;  // of threads and blocks: 0 forwards, 1 backwards, 2 at random
    u64 seed = 1;
    int rsqrt = 0;              // as in Env
    u64 memory = u64(1) << 30;  // of every device
    u32 devices = 1;
};

// Once, before all else.
void start(const Config& config, Env** env_of_library);

// Another library, whose kernels are launched as well.
void join(Env** env_of_library);

void* allocate(u64 bytes, u32 device = 0);  // null: not enough
bool release(void* memory);
u64 memory_size();
u64 allocated_bytes(u32 device);
int device_of(const void* address);  // in whose memory it lies; -1: in none

// A copy by the host. Returns what is wrong with it, or nothing; what is written counts as initialised.
std::string host_writes(void* address, u64 bytes);
std::string host_reads(const void* address, u64 bytes);

// Returns what went wrong, or nothing.
std::string launch(const KernelEntry& kernel, u32 blocks, u32 threads, u32 dynamic_shared, const void* parameters,
                   u32 device = 0);

}  // namespace ptxrun
