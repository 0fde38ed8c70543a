// The CUDA backend's border: what the bindings see of GPUs.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "device.hpp"

namespace anneal_sgd::cuda {

struct DeviceInfo {
    std::string name;
    int compute_capability;  // 90 for 9.0
    std::int64_t memory;     // bytes
    int multiprocessors;
    double clock_hz;
};

// Why the backend cannot be used in this build on this machine; empty where it can. Touches the driver, so the first
// call may take a while.
std::string why_unavailable();

std::vector<DeviceInfo> devices();

// The device of that number, whose work goes to `stream`, a cudaStream_t as a number; most_memory > 0 limits what plans
// may count on. Throws std::invalid_argument if there is none of that number, and what opening it reports.
std::unique_ptr<Device> open_device(int number, std::uintptr_t stream, std::int64_t most_memory);

// Why a device could not take machine code when that was last tried; empty where all could.
std::string why_no_steps_code();

// The device in whose memory an address lies; -1 where in none.
int device_of(const void* address);

}  // namespace anneal_sgd::cuda
