// What the driver asks of a device: a GPU (backend_cuda.cpp), or the emulation that tests run (device_emulated.cpp).
// Included by those, the driver and its launchers.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <new>
#include <string>

#include "launch.hpp"

namespace anneal_sgd::cuda {

// MemoryError in Python, with a text.
struct OutOfDeviceMemory : std::bad_alloc {
    explicit OutOfDeviceMemory(std::string message) : text(std::move(message)) {}
    const char* what() const noexcept override { return text.c_str(); }
    std::string text;
};

// Machine code for the steps of a program, of its precision, kind of projection and layout, with or without sums.
struct StepsCode {
    std::string ptx;  // of a kernel `steps`, whose parameter is a StepsLaunch
    // The same for the emulation, a thread of a block of 256 in a call; or null.
    void (*emulated)(const StepsLaunch*, std::int32_t block, std::int32_t thread);
    int log2_team;                                // of the layout
    std::map<int, std::shared_ptr<void>> loaded;  // by device; null: it could not be
};
inline constexpr int steps_threads = 256;

// Work is enqueued in order; what the device reports as an error is thrown as std::runtime_error with its text.
class Device {
public:
    virtual ~Device() = default;
    virtual void* allocate(std::int64_t bytes) = 0;  // throws OutOfDeviceMemory
    virtual void release(void* memory) noexcept = 0;
    virtual void upload(void* to, const void* from, std::int64_t bytes) = 0;  // `from` must stay until it is done
    // Rows of row_bytes; waits for all work enqueued before.
    virtual void download(void* to, std::int64_t to_pitch, const void* from, std::int64_t from_pitch,
                          std::int64_t row_bytes, std::int64_t rows) = 0;
    virtual void launch(const KernelKind& kind, const EnsembleLaunch& launch, std::int64_t shared_bytes) = 0;
    virtual void launch(Precision precision, const ProgramLaunch& launch) = 0;
    virtual void launch(Precision precision, const DataLaunch& launch) = 0;
    virtual void launch(Precision precision, const MomentsLaunch& launch) = 0;
    // What launches of the code need, for as long as it does; null: the device cannot run it.
    virtual std::shared_ptr<void> load(StepsCode& code) = 0;
    virtual void launch(void* loaded, const StepsLaunch& launch, std::int64_t blocks) = 0;
    virtual bool idle() = 0;                         // all work enqueued is done
    virtual void drain() noexcept = 0;               // waits until it is, or has failed
    virtual void follow(std::uintptr_t stream) = 0;  // what is enqueued from now on waits for that stream's work
    virtual std::int64_t free_bytes() = 0;
    virtual int number() const = 0;
    virtual std::int64_t dynamic_shared_limit() = 0;  // bytes that a block may have besides what kernels declare
    virtual std::int64_t full_blocks() = 0;           // that keep all of it busy, but for a fifth at the end
};

// Device memory that is given back.
class DeviceMemory {
public:
    DeviceMemory(Device& device, std::int64_t bytes) : device_(device), data_(device.allocate(bytes)) {}
    DeviceMemory(const DeviceMemory&) = delete;
    DeviceMemory& operator=(const DeviceMemory&) = delete;
    ~DeviceMemory() { device_.release(data_); }

    template <class T>
    T* as() const {
        return static_cast<T*>(data_);
    }

private:
    Device& device_;
    void* data_;
};

// The emulation: device `number`, `memory` bytes in all; with fail_at > 0 the launch of that number reports an error;
// after every launch it says busy_for times that it is not idle yet.
std::unique_ptr<Device> emulated_device(int number, std::int64_t memory, int fail_at, int busy_for);

}  // namespace anneal_sgd::cuda
