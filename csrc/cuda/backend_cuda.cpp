// GPUs through the CUDA runtime. Host code: the kernels are in kernels_float32.cu and kernels_float64.cu.
#include "backend_cuda.hpp"

#include <cuda_runtime.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <stdexcept>

namespace anneal_sgd::cuda {

const void* ensemble_kernel_float32(const KernelKind& kind);
const void* ensemble_kernel_float64(const KernelKind& kind);
const void* moments_kernel_float32();
const void* moments_kernel_float64();

namespace {

constexpr int threads = 256;                           // block_threads of block.hpp
constexpr std::int64_t most_static_shared = 16 << 10;  // that an ensemble kernel declares
constexpr std::uint64_t kept_bytes = 256 << 20;        // of freed memory, so that the next call need not ask the system

[[noreturn]] void fail(cudaError_t error, const std::string& what) {
    cudaGetLastError();  // so that the next call does not find it
    throw std::runtime_error("CUDA: " + what + ": " + cudaGetErrorString(error) + " (" + cudaGetErrorName(error) + ")");
}

void check(cudaError_t error, const std::string& what) {
    if (error != cudaSuccess) fail(error, what);
}

// The calling thread's current device, for as long as it lives.
class CurrentDevice {
public:
    explicit CurrentDevice(int number) {
        check(cudaGetDevice(&before_), "asking for the current device");
        if (before_ != number) check(cudaSetDevice(number), "choosing device " + std::to_string(number));
    }
    ~CurrentDevice() { cudaSetDevice(before_); }
    CurrentDevice(const CurrentDevice&) = delete;
    CurrentDevice& operator=(const CurrentDevice&) = delete;

private:
    int before_ = 0;
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
        check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &threshold), "setting up a memory pool");
    }
    return pools[device] = pool;
}

class CudaDevice final : public Device {
public:
    CudaDevice(int number, cudaStream_t stream) : number_(number), stream_(stream) {
        const CurrentDevice current(number_);
        pool_ = pool_of(number_);
    }

    void* allocate(std::int64_t bytes) override {
        const CurrentDevice current(number_);
        void* memory = nullptr;
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
        int before = 0;
        cudaGetDevice(&before);
        cudaSetDevice(number_);
        pool_ != nullptr ? cudaFreeAsync(memory, stream_) : cudaFree(memory);
        cudaSetDevice(before);
    }
    void upload(void* to, const void* from, std::int64_t bytes) override {
        const CurrentDevice current(number_);
        // From pageable memory: the runtime has read `from` when it returns.
        check(cudaMemcpyAsync(to, from, std::size_t(bytes), cudaMemcpyHostToDevice, stream_), "copying to the device");
    }
    void download(void* to, std::int64_t to_pitch, const void* from, std::int64_t from_pitch, std::int64_t row_bytes,
                  std::int64_t rows) override {
        const CurrentDevice current(number_);
        // Long rows that are not at a fixed pitch of at most 2^31 - 1 bytes go one by one.
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
            kind.precision == Precision::float32 ? ensemble_kernel_float32(kind) : ensemble_kernel_float64(kind);
        const CurrentDevice current(number_);
        if (shared_bytes > 0)
            check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(shared_bytes)),
                  "asking for shared memory");
        start(kernel, launch, launch.blocks, std::size_t(shared_bytes));
    }
    void launch(Precision precision, const MomentsLaunch& launch) override {
        const CurrentDevice current(number_);
        start(precision == Precision::float32 ? moments_kernel_float32() : moments_kernel_float64(), launch,
              launch.cells * launch.replicate_blocks, 0);
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
        return std::int64_t(free + (reserved > used ? reserved - used : 0));
    }
    std::int64_t dynamic_shared_limit() override {
        return attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, number_) - most_static_shared;
    }

private:
    template <class Launch>
    void start(const void* kernel, const Launch& launch, std::int64_t blocks, std::size_t shared_bytes) {
        void* arguments[] = {const_cast<Launch*>(&launch)};
        check(cudaLaunchKernel(kernel, dim3(unsigned(blocks)), dim3(threads), arguments, shared_bytes, stream_),
              "launching a kernel of " + std::to_string(blocks) + " blocks");
    }

    int number_;
    cudaStream_t stream_;
    cudaMemPool_t pool_ = nullptr;
};

}  // namespace

std::string why_unavailable() {
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error == cudaSuccess && count > 0) return "";
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
        found.push_back({properties.name, properties.major * 10 + properties.minor,
                         std::int64_t(properties.totalGlobalMem), properties.multiProcessorCount,
                         1e3 * attribute(cudaDevAttrClockRate, i)});
    }
    return found;
}

std::unique_ptr<Device> open_device(int number, std::uintptr_t stream) {
    int count = 0;
    check(cudaGetDeviceCount(&count), "counting devices");
    if (number < 0 || number >= count)
        throw std::invalid_argument("device must be in 0 .. " + std::to_string(count - 1) + ", got " +
                                    std::to_string(number));
    return std::make_unique<CudaDevice>(number, reinterpret_cast<cudaStream_t>(stream));
}

}  // namespace anneal_sgd::cuda
