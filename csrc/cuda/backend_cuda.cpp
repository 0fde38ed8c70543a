// GPUs through the CUDA runtime. Host code: the kernels are in kernels_*.cu and data_kernels_*.cu.
#include "backend_cuda.hpp"

#include <cuda_runtime.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <type_traits>

namespace anneal_sgd::cuda {

// Defined for float and double, each in a unit of its own.
template <class Real>
const void* ensemble_kernel_of(const KernelKind& kind);
template <class Real>
const void* moments_kernel_of();
template <class Real>
const void* program_kernel_of(bool at_points);
template <class Real>
const void* data_kernel_of(DataWork work);

namespace {

constexpr int threads = 256;                           // block_threads of block.hpp
constexpr std::int64_t most_static_shared = 16 << 10;  // that a kernel declares
constexpr std::uint64_t kept_bytes = 256 << 20;        // of freed memory, so that the next call need not ask the system

[[noreturn]] void fail(cudaError_t error, const std::string& what) {
    // The process is ending under a thread of its own; to return from here would be to meet an interpreter that is
    // gone.
    while (error == cudaErrorCudartUnloading) std::this_thread::sleep_for(std::chrono::seconds(1));
    cudaGetLastError();  // so that the next call does not find it
    throw std::runtime_error("CUDA: " + what + ": " + cudaGetErrorString(error) + " (" + cudaGetErrorName(error) + ")");
}

void check(cudaError_t error, const std::string& what) {
    if (error != cudaSuccess) fail(error, what);
}

// A function of the driver's, whose results have the numbers of cudaError_t; null where it has none.
template <class Signature>
Signature* driver_function(const char* name) {
    void* found = nullptr;
    cudaDriverEntryPointQueryResult status{};
#if CUDART_VERSION >= 12050
    const cudaError_t error = cudaGetDriverEntryPointByVersion(name, &found, 11000, cudaEnableDefault, &status);
#else
    const cudaError_t error = cudaGetDriverEntryPoint(name, &found, cudaEnableDefault, &status);
#endif
    if (error != cudaSuccess) cudaGetLastError();
    return error == cudaSuccess && status == cudaDriverEntryPointSuccess ? reinterpret_cast<Signature*>(found)
                                                                         : nullptr;
}

// Whether anything of this process has used the device: making it current would set it up otherwise, at the cost of
// hundreds of megabytes on a GPU that nobody asked for.
bool in_use(int device) {
    static const auto state =
        driver_function<int(int device, unsigned* flags, int* active)>("cuDevicePrimaryCtxGetState");
    unsigned flags = 0;
    int active = 0;
    return state == nullptr || state(device, &flags, &active) != 0 || active != 0;
}

// The calling thread's current device, for as long as this lives. One that was never used is not made current again.
class CurrentDevice {
public:
    explicit CurrentDevice(int number) : number_(number) {
        check(cudaGetDevice(&before_), "asking for the current device");
        if (before_ != number_) check(cudaSetDevice(number_), "choosing device " + std::to_string(number_));
    }
    ~CurrentDevice() {
        if (before_ != number_ && in_use(before_)) cudaSetDevice(before_);
    }
    CurrentDevice(const CurrentDevice&) = delete;
    CurrentDevice& operator=(const CurrentDevice&) = delete;

private:
    int number_, before_ = 0;
};

int attribute(cudaDeviceAttr name, int device) {
    int value = 0;
    check(cudaDeviceGetAttribute(&value, name, device), "asking a device for an attribute");
    return value;
}

// One memory pool for each device and process; null where the device has none.
cudaMemPool_t pool_of(int device) {
    static std::mutex mutex;
    static std::map<int, cudaMemPool_t> pools;
    const std::lock_guard<std::mutex> lock(mutex);
    const auto found = pools.find(device);
    if (found != pools.end()) return found->second;
    cudaMemPool_t pool = nullptr;
    if (attribute(cudaDevAttrMemoryPoolsSupported, device) != 0) {
        cudaMemPoolProps properties{};
        properties.allocType = cudaMemAllocationTypePinned;
        properties.location.type = cudaMemLocationTypeDevice;
        properties.location.id = device;
        check(cudaMemPoolCreate(&pool, &properties), "creating a memory pool");
        std::uint64_t threshold = kept_bytes;
        const cudaError_t error = cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &threshold);
        if (error != cudaSuccess) cudaMemPoolDestroy(pool);
        check(error, "setting up a memory pool");
    }
    return pools[device] = pool;
}

// The driver's side of machine code.
struct Driver {
    int (*load)(void** module, const void* image);
    int (*function)(void** function, void* module, const char* name);
    int (*launch)(void* function, unsigned blocks, unsigned, unsigned, unsigned threads, unsigned, unsigned,
                  unsigned shared_bytes, cudaStream_t stream, void** arguments, void** extra);
    int (*unload)(void* module);

    static const Driver* get() {  // null: it has not all of it
        static const Driver driver{driver_function<int(void**, const void*)>("cuModuleLoadData"),
                                   driver_function<int(void**, void*, const char*)>("cuModuleGetFunction"),
                                   driver_function<std::remove_pointer_t<decltype(Driver::launch)>>("cuLaunchKernel"),
                                   driver_function<int(void*)>("cuModuleUnload")};
        const bool whole = driver.load && driver.function && driver.launch && driver.unload;
        return whole ? &driver : nullptr;
    }
};

// A module of machine code, of this process's: one that was forked off has no device.
struct LoadedSteps {
    int device;
    void* module;
    void* function = nullptr;
    const pid_t process = getpid();

    LoadedSteps(int number, void* loaded) : device(number), module(loaded) {}
    LoadedSteps(const LoadedSteps&) = delete;
    LoadedSteps& operator=(const LoadedSteps&) = delete;
    ~LoadedSteps() {
        if (process != getpid()) return;
        try {
            const CurrentDevice current(device);
            Driver::get()->unload(module);
        } catch (const std::runtime_error&) {  // the device is lost, and its modules with it
        }
    }
};

std::mutex failure_mutex;
std::string steps_failure;
void set_steps_failure(std::string why) {
    const std::lock_guard<std::mutex> lock(failure_mutex);
    steps_failure = std::move(why);
}

class CudaDevice final : public Device {
public:
    CudaDevice(int number, cudaStream_t stream, std::int64_t most_memory)
        : number_(number), stream_(stream), most_memory_(most_memory) {
        const CurrentDevice current(number_);
        pool_ = pool_of(number_);
    }

    void* allocate(std::int64_t bytes) override {
        const CurrentDevice current(number_);
        void* memory = nullptr;
        if (bytes < 0) throw std::invalid_argument("CUDA: a size of memory is past 2**63 bytes");
        const std::size_t size = std::size_t(std::max<std::int64_t>(bytes, 1));
        const cudaError_t error =
            pool_ != nullptr ? cudaMallocFromPoolAsync(&memory, size, pool_, stream_) : cudaMalloc(&memory, size);
        if (error == cudaErrorMemoryAllocation) {
            cudaGetLastError();
            throw OutOfDeviceMemory("CUDA device " + std::to_string(number_) + " could not allocate " +
                                    std::to_string(bytes) + " bytes: " + cudaGetErrorString(error));
        }
        check(error, "allocating " + std::to_string(bytes) + " bytes");
        return memory;
    }
    void release(void* memory) noexcept override {
        try {
            const CurrentDevice current(number_);
            if (pool_ != nullptr)
                cudaFreeAsync(memory, stream_);
            else
                cudaFree(memory);
        } catch (const std::runtime_error&) {  // the device is lost, and its memory with it
        }
    }
    void upload(void* to, const void* from, std::int64_t bytes) override {
        const CurrentDevice current(number_);
        check(cudaMemcpyAsync(to, from, std::size_t(bytes), cudaMemcpyHostToDevice, stream_), "copying to the device");
    }
    void download(void* to, std::int64_t to_pitch, const void* from, std::int64_t from_pitch, std::int64_t row_bytes,
                  std::int64_t rows) override {
        const CurrentDevice current(number_);
        // Long rows that are not at a fixed pitch of at most 2^31 - 1 bytes go one by one.
        if (to_pitch == row_bytes && from_pitch == row_bytes) {
            row_bytes *= rows;
            rows = 1;
        }
        if (rows == 1 || std::max(to_pitch, from_pitch) >= (std::int64_t(1) << 31)) {
            for (std::int64_t r = 0; r < rows; ++r)
                check(cudaMemcpyAsync(static_cast<char*>(to) + r * to_pitch,
                                      static_cast<const char*>(from) + r * from_pitch, std::size_t(row_bytes),
                                      cudaMemcpyDeviceToHost, stream_),
                      "copying from the device");
        } else {
            check(cudaMemcpy2DAsync(to, std::size_t(to_pitch), from, std::size_t(from_pitch), std::size_t(row_bytes),
                                    std::size_t(rows), cudaMemcpyDeviceToHost, stream_),
                  "copying from the device");
        }
        check(cudaStreamSynchronize(stream_), "running kernels");
    }
    void launch(const KernelKind& kind, const EnsembleLaunch& launch, std::int64_t shared_bytes) override {
        const void* kernel =
            with_real(kind.precision, [&](auto real) { return ensemble_kernel_of<decltype(real)>(kind); });
        const CurrentDevice current(number_);
        start(kernel, launch, launch.blocks, shared_bytes);
    }
    void launch(Precision precision, const ProgramLaunch& launch) override {
        const void* kernel =
            with_real(precision, [&](auto real) { return program_kernel_of<decltype(real)>(launch.at_points); });
        const CurrentDevice current(number_);
        start(kernel, launch, launch.blocks, launch.rows.shared_bytes);
    }
    void launch(Precision precision, const DataLaunch& launch) override {
        const void* kernel =
            with_real(precision, [&](auto real) { return data_kernel_of<decltype(real)>(launch.work); });
        const CurrentDevice current(number_);
        start(kernel, launch, launch.blocks, launch.shared_bytes);
    }
    void launch(Precision precision, const MomentsLaunch& launch) override {
        const CurrentDevice current(number_);
        const void* kernel = with_real(precision, [](auto real) { return moments_kernel_of<decltype(real)>(); });
        start(kernel, launch, launch.cells * launch.replicate_blocks,
              launch.counts != nullptr ? exceedance_bins * std::int64_t(sizeof(std::uint32_t)) : 0);
    }
    std::shared_ptr<void> load(StepsCode& code) override {
        static std::mutex loading;
        const std::lock_guard<std::mutex> lock(loading);
        const auto found = code.loaded.find(number_);
        return found != code.loaded.end() ? found->second : code.loaded[number_] = module_of(code);
    }
    void launch(void* loaded, const StepsLaunch& launch, std::int64_t blocks) override {
        void* const function = static_cast<LoadedSteps*>(loaded)->function;
        const CurrentDevice current(number_);
        void* arguments[] = {const_cast<StepsLaunch*>(&launch)};
        check(cudaError_t(Driver::get()->launch(function, unsigned(blocks), 1, 1, steps_threads, 1, 1, 0, stream_,
                                                arguments, nullptr)),
              "launching machine code of " + std::to_string(blocks) + " blocks");
    }
    bool idle() override {
        const CurrentDevice current(number_);
        const cudaError_t state = cudaStreamQuery(stream_);
        if (state == cudaErrorNotReady) return false;
        check(state, "running kernels");
        return true;
    }
    std::int64_t free_bytes() override {
        const CurrentDevice current(number_);
        std::size_t free = 0, total = 0;
        check(cudaMemGetInfo(&free, &total), "asking for the free memory");
        std::uint64_t reserved = 0, used = 0;
        if (pool_ != nullptr) {
            check(cudaMemPoolGetAttribute(pool_, cudaMemPoolAttrReservedMemCurrent, &reserved), "asking a memory pool");
            check(cudaMemPoolGetAttribute(pool_, cudaMemPoolAttrUsedMemCurrent, &used), "asking a memory pool");
        }
        const auto bytes = std::int64_t(free + (reserved > used ? reserved - used : 0));
        return most_memory_ > 0 ? std::min(bytes, most_memory_) : bytes;
    }
    int number() const override { return number_; }
    void drain() noexcept override {
        try {
            const CurrentDevice current(number_);
            cudaStreamSynchronize(stream_);
            cudaGetLastError();  // what failed has been thrown already
        } catch (const std::runtime_error&) {
        }
    }
    void follow(std::uintptr_t stream) override {
        const auto other = reinterpret_cast<cudaStream_t>(stream);
        if (other == stream_) return;
        const CurrentDevice current(number_);
        cudaEvent_t event = nullptr;
        check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "creating an event");
        cudaError_t error = cudaEventRecord(event, other);
        if (error == cudaSuccess) error = cudaStreamWaitEvent(stream_, event, 0);
        cudaEventDestroy(event);  // goes when it has happened
        check(error, "waiting for another stream");
    }
    std::int64_t dynamic_shared_limit() override {
        return attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, number_) - most_static_shared;
    }
    std::int64_t full_blocks() override {  // a multiprocessor has 2 at a time
        return 8 * std::int64_t(attribute(cudaDevAttrMultiProcessorCount, number_));
    }

private:
    // Null, and a word of why, where the driver cannot take it: the interpreter's kernel is there.
    std::shared_ptr<void> module_of(const StepsCode& code) {
        const CurrentDevice current(number_);
        const Driver* const driver = Driver::get();
        if (driver == nullptr) {
            set_steps_failure("the NVIDIA driver has no functions that load machine code");
            return nullptr;
        }
        cudaFree(nullptr);  // so that the thread has the device's context
        void* module = nullptr;
        int error = driver->load(&module, code.ptx.c_str());
        std::shared_ptr<LoadedSteps> made;
        if (error == 0) {
            made = std::make_shared<LoadedSteps>(number_, module);
            error = driver->function(&made->function, module, "steps");
        }
        if (error == 0) {
            set_steps_failure("");
            return made;
        }
        set_steps_failure("device " + std::to_string(number_) + " does not load it: " +
                          cudaGetErrorString(cudaError_t(error)) + " (" + cudaGetErrorName(cudaError_t(error)) + ")");
        return nullptr;
    }

    template <class Launch>
    void start(const void* kernel, const Launch& launch, std::int64_t blocks, std::int64_t shared_bytes) {
        if (shared_bytes > 0)
            // Always the same figure: it belongs to the function, which another thread may be about to launch too.
            check(
                cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(dynamic_shared_limit())),
                "asking for shared memory");
        void* arguments[] = {const_cast<Launch*>(&launch)};
        check(cudaLaunchKernel(kernel, dim3(unsigned(blocks)), dim3(threads), arguments, std::size_t(shared_bytes),
                               stream_),
              "launching a kernel of " + std::to_string(blocks) + " blocks");
    }

    int number_;
    cudaStream_t stream_;
    std::int64_t most_memory_;
    cudaMemPool_t pool_ = nullptr;
};

int capability_of(int device) {
    return 10 * attribute(cudaDevAttrComputeCapabilityMajor, device) +
           attribute(cudaDevAttrComputeCapabilityMinor, device);
}

}  // namespace

std::string why_unavailable() {
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error == cudaSuccess && count > 0) {
        int newest = 0;
        for (int i = 0; i < count; ++i) newest = std::max(newest, capability_of(i));
        if (newest >= ANNEAL_SGD_CUDA_OLDEST) return "";
        return "this build is for GPUs of compute capability " + std::to_string(ANNEAL_SGD_CUDA_OLDEST / 10) + "." +
               std::to_string(ANNEAL_SGD_CUDA_OLDEST % 10) +
               " and later (CUDAARCHS names others to build for), and this machine's has " +
               std::to_string(newest / 10) + "." + std::to_string(newest % 10);
    }
    cudaGetLastError();
    if (error == cudaErrorInsufficientDriver) {
        int driver = 0;
        cudaDriverGetVersion(&driver);
        if (driver == 0) return "no NVIDIA driver is installed";
        return "the NVIDIA driver supports CUDA " + std::to_string(driver / 1000) + "." +
               std::to_string(driver % 1000 / 10) + ", which is older than what this build needs";
    }
    if (error == cudaErrorNoDevice || error == cudaSuccess) return "the NVIDIA driver finds no device";
    return std::string("the CUDA runtime reports: ") + cudaGetErrorString(error);
}

std::vector<DeviceInfo> devices() {
    int count = 0;
    if (cudaGetDeviceCount(&count) != cudaSuccess) {
        cudaGetLastError();
        return {};
    }
    std::vector<DeviceInfo> found;
    for (int i = 0; i < count; ++i) {
        cudaDeviceProp properties{};
        check(cudaGetDeviceProperties(&properties, i), "asking for a device's properties");
        found.push_back({properties.name, capability_of(i), std::int64_t(properties.totalGlobalMem),
                         properties.multiProcessorCount, 1e3 * attribute(cudaDevAttrClockRate, i)});
    }
    return found;
}

std::unique_ptr<Device> open_device(int number, std::uintptr_t stream, std::int64_t most_memory) {
    int count = 0;
    check(cudaGetDeviceCount(&count), "counting devices");
    if (number < 0 || number >= count)
        throw std::invalid_argument("device must be in 0 .. " + std::to_string(count - 1) + ", got " +
                                    std::to_string(number));
    return std::make_unique<CudaDevice>(number, reinterpret_cast<cudaStream_t>(stream), most_memory);
}

std::string why_no_steps_code() {
    const std::lock_guard<std::mutex> lock(failure_mutex);
    return steps_failure;
}

int device_of(const void* address) {
    cudaPointerAttributes attributes{};
    if (cudaPointerGetAttributes(&attributes, address) != cudaSuccess) {
        cudaGetLastError();
        return -1;
    }
    const bool on_device = attributes.type == cudaMemoryTypeDevice || attributes.type == cudaMemoryTypeManaged;
    return on_device ? attributes.device : -1;
}

}  // namespace anneal_sgd::cuda
