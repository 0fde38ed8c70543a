// A stand-in for the part of the CUDA runtime that anneal_sgd uses, over the PTX engine; linked in the runtime's place.
//
// Work is put off until something waits for it, as late as CUDA allows, so that what reads a result too early, or lets
// go too early of what is copied, is found. What the engine finds wrong with a launch or a copy is an error after which
// the device is lost, and whose text says what.
//
// From the environment: PTXRUN_KERNELS, the library of translated kernels; PTXRUN_ORDER, PTXRUN_SEED and PTXRUN_RSQRT,
// see Config; PTXRUN_DEVICES, how many devices there are, 1 by default; PTXRUN_NO_POOLS, from which number on they have
// no memory pools; PTXRUN_COVERAGE, a folder for what was executed; PTXRUN_PYTHON, which runs ptx.load for modules.
#include <cuda_runtime_api.h>
#include <dlfcn.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "engine.hpp"

#undef cudaGetDeviceProperties

using namespace ptxrun;

// Constructed before nvcc's constructors register kernels.
#define FIRST __attribute__((init_priority(200)))

namespace {

constexpr int default_shared = 48 << 10;  // bytes that a block may have unasked

struct Work {
    std::function<void()> run;
    const void* awaited = nullptr;  // before it, everything of this stream up to number awaited_number
    u64 awaited_number = 0;
    bool writes_host = false;
};
struct Stream {
    std::deque<Work> work;
    u64 enqueued = 0, executed = 0;
    bool blocking = true;  // waits for the device's legacy stream and it for this one
    int device = 0;
};
struct Event {
    int device;
    const void* stream = nullptr;
    u64 number = 0;
};
struct Function {
    const char* name;
    const KernelEntry* kernel = nullptr;  // where the library has it
    int most_dynamic[most_devices] = {};  // bytes of shared memory that were asked for
};
struct Device {
    std::string fault;    // after which it is lost
    bool active = false;  // it has a context
};

FIRST std::recursive_mutex mutex;
using Lock = std::lock_guard<std::recursive_mutex>;
FIRST std::map<const void*, Stream> streams;
FIRST std::map<const void*, Function> functions;
FIRST Device devices[most_devices];
int device_count = 1;
int running = 0;  // the device whose work is done
thread_local int current = 0;
thread_local cudaError_t last = cudaSuccess;
const KernelLibrary* library;
int capability;
u64 events = 0, pools = 0, modules = 0, module_launches = 0;

[[noreturn]] void give_up(const std::string& why) {
    std::fprintf(stderr, "ptxrun: %s\n", why.c_str());
    std::abort();
}

// --- errors

cudaError_t result(cudaError_t error) {
    if (error != cudaSuccess) last = error;
    return error;
}
cudaError_t state() { return devices[current].fault.empty() ? cudaSuccess : cudaErrorIllegalAddress; }
void lose_device(const std::string& why) {
    if (devices[running].fault.empty()) devices[running].fault = why;
}

// Calls that can fail, of all devices or of one, and which of them is to: 0 for none.
u64 calls = 0, failing_call = 0;
int failing_device = -1;
cudaError_t failure = cudaSuccess;
std::string failed;

cudaError_t begin_call(const char* name) {
    if (failing_device >= 0 && failing_device != current) return cudaSuccess;
    if (++calls != failing_call) return cudaSuccess;
    failed = name;
    return result(failure);
}

// --- set-up and its end

// A byte per basic block, all kernels in turn, or'ed with what other processes found.
void keep_coverage(const std::string& folder) {
    std::vector<u8> all;
    for (u32 k = 0; k < library->count; ++k) {
        const KernelEntry& kernel = library->kernels[k];
        all.insert(all.end(), kernel.covered, kernel.covered + kernel.blocks);
    }
    FILE* const file = std::fopen((folder + "/blocks").c_str(), "a+b");
    if (file == nullptr) give_up("PTXRUN_COVERAGE names no folder that can be written");
    flock(fileno(file), LOCK_EX);
    std::vector<u8> before(all.size());
    std::rewind(file);
    const std::size_t read = std::fread(before.data(), 1, before.size(), file);
    for (std::size_t i = 0; i < read; ++i) all[i] |= before[i];
    if (ftruncate(fileno(file), 0) == 0) std::fwrite(all.data(), 1, all.size(), file);
    std::fclose(file);
}

int number_from(const char* name) {
    const char* const value = std::getenv(name);
    return value != nullptr ? std::atoi(value) : 0;
}

void set_up() {
    static const bool once = [] {
        const char* const path = std::getenv("PTXRUN_KERNELS");
        if (path == nullptr) give_up("PTXRUN_KERNELS does not name a library of kernels");
        void* const handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (handle == nullptr) give_up(dlerror());
        library = static_cast<const KernelLibrary*>(dlsym(handle, "ptx_library"));
        capability = std::atoi(library->target + std::strlen("sm_"));
        Config config;
        config.order = number_from("PTXRUN_ORDER");
        config.seed = u64(number_from("PTXRUN_SEED"));
        config.rsqrt = number_from("PTXRUN_RSQRT");
        device_count = std::clamp(number_from("PTXRUN_DEVICES"), 1, most_devices);
        config.devices = u32(device_count);
        start(config, library->env);
        std::atexit([] {
            if (const char* folder = std::getenv("PTXRUN_COVERAGE")) keep_coverage(folder);
        });
        return true;
    }();
    (void)once;
}

// --- streams

char legacy[most_devices];  // whose addresses are the keys
bool is_legacy(const void* key) { return key >= legacy && key < legacy + most_devices; }

// 0 and 1: the current device's legacy stream; 2: the calling thread's own there.
const void* stream_key(cudaStream_t stream) {
    thread_local char mine[most_devices];
    if (stream != nullptr && stream != cudaStreamLegacy && stream != cudaStreamPerThread) return stream;
    const void* const key = stream == cudaStreamPerThread ? mine + current : legacy + current;
    streams[key].device = current;
    return key;
}

void run_stream(const void* key, u64 up_to);

void run_one(Stream& s) {
    const Work work = std::move(s.work.front());
    s.work.pop_front();
    ++s.executed;
    if (work.awaited_number > 0) run_stream(work.awaited, work.awaited_number);
    running = s.device;
    if (work.run && devices[running].fault.empty()) work.run();
}
void run_stream(const void* key, u64 up_to) {
    Stream& s = streams[key];
    while (s.executed < up_to && !s.work.empty()) run_one(s);
}
void run_all() {
    for (auto& [key, s] : streams) run_stream(key, s.enqueued);
}
void run_current() {
    for (auto& [key, s] : streams)
        if (s.device == current) run_stream(key, s.enqueued);
}
void await(Stream& s, const void* other, u64 number) {
    s.work.push_back({nullptr, other, number});
    ++s.enqueued;
}

cudaError_t enqueue(cudaStream_t stream, std::function<void()> run, bool writes_host = false) {
    const void* const key = stream_key(stream);
    Stream& s = streams[key];
    const auto await_all = [&](const void* other) {
        const Stream& o = streams[other];
        if (o.executed < o.enqueued) await(s, other, o.enqueued);
    };
    if (is_legacy(key)) {
        for (auto& [other, o] : streams)
            if (!is_legacy(other) && o.device == s.device && o.blocking) await_all(other);
    } else if (s.blocking) {
        await_all(legacy + s.device);
    }
    s.work.push_back({std::move(run), nullptr, 0, writes_host});
    ++s.enqueued;
    return state();
}

// --- copies

// Rows; both ends must be the kind of memory that the call says.
void copy(void* to, u64 to_pitch, const void* from, u64 from_pitch, u64 bytes, u64 rows, cudaMemcpyKind kind) {
    const bool to_device = kind == cudaMemcpyHostToDevice, from_device = kind == cudaMemcpyDeviceToHost;
    for (u64 r = 0; r < rows; ++r) {
        char* const target = static_cast<char*>(to) + r * to_pitch;
        const char* const source = static_cast<const char*>(from) + r * from_pitch;
        if ((device_of(target) >= 0) != to_device || (device_of(source) >= 0) != from_device)
            return lose_device("a copy of " + std::to_string(bytes) + " bytes from or to the wrong kind of memory");
        const std::string wrong = to_device ? host_writes(target, bytes) : host_reads(source, bytes);
        if (!wrong.empty()) return lose_device(wrong + " of " + std::to_string(bytes) + " bytes");
        std::memcpy(target, source, bytes);
    }
}

cudaError_t enqueue_copy(void* to, u64 to_pitch, const void* from, u64 from_pitch, u64 bytes, u64 rows,
                         cudaMemcpyKind kind, cudaStream_t stream) {
    if (kind != cudaMemcpyHostToDevice && kind != cudaMemcpyDeviceToHost) give_up("a copy of a kind that is not here");
    return enqueue(
        stream, [=] { copy(to, to_pitch, from, from_pitch, bytes, rows, kind); }, kind == cudaMemcpyDeviceToHost);
}

// --- the device

// Of the CUDA programming guide's table of compute capabilities.
int shared_limit() {
    if (capability >= 120) return 99 << 10;
    if (capability >= 90) return 227 << 10;
    if (capability >= 80) return 163 << 10;
    return 64 << 10;
}

bool has_pools(int device) {
    return std::getenv("PTXRUN_NO_POOLS") == nullptr || device < number_from("PTXRUN_NO_POOLS");
}

int attribute(cudaDeviceAttr name, int device) {
    switch (name) {
        case cudaDevAttrMaxSharedMemoryPerBlockOptin: return shared_limit();
        case cudaDevAttrMemoryPoolsSupported: return has_pools(device);
        case cudaDevAttrComputeCapabilityMajor: return capability / 10;
        case cudaDevAttrComputeCapabilityMinor: return capability % 10;
        case cudaDevAttrClockRate: return 1'755'000;
        case cudaDevAttrMultiProcessorCount: return 4;
        default: give_up("the device attribute " + std::to_string(int(name)) + " is not here");
    }
}

bool exists(int device) { return device >= 0 && device < device_count; }

cudaError_t properties(cudaDeviceProp* p, int device) {
    if (!exists(device)) return result(cudaErrorInvalidDevice);
    std::memset(p, 0, sizeof *p);
    std::snprintf(p->name, sizeof p->name, "PTX on a CPU (%s)", library->target);
    p->totalGlobalMem = memory_size();
    p->multiProcessorCount = attribute(cudaDevAttrMultiProcessorCount, device);
    return cudaSuccess;
}

// The driver's cuDevicePrimaryCtxGetState.
int context_state(int device, unsigned* flags, int* active) {
    const Lock lock(mutex);
    if (!exists(device)) return 101;  // CUDA_ERROR_INVALID_DEVICE
    *flags = 0;
    *active = devices[device].active;
    return 0;
}

}  // namespace

#define EXPORTED extern "C" __attribute__((visibility("default")))
#define API EXPORTED cudaError_t CUDARTAPI
// What can fail. What lets go of something, or tells an error, does not.
#define BEGIN_CALL          \
    const Lock lock(mutex); \
    if (begin_call(__func__) != cudaSuccess) return failure
// The same of what gives the current device a context, where it has none.
#define BEGIN_WORK \
    BEGIN_CALL;    \
    devices[current].active = true

// --- what tests ask of the stand-in

// From now on the n-th call fails, of all or, from 0 on, of those for which that device is the current one; 0: none
// does.
EXPORTED void ptxrun_fail_at(u64 n, int error, int device) {
    const Lock lock(mutex);
    calls = 0;
    failing_call = n;
    failing_device = device;
    failure = cudaError_t(error);
}
EXPORTED u64 ptxrun_calls() { return calls; }
// The name of the call that failed.
EXPORTED const char* ptxrun_failed() { return failed.c_str(); }
// That there are and that nobody has let go of.
EXPORTED u64 ptxrun_events() { return events; }
EXPORTED u64 ptxrun_pools() { return pools; }
EXPORTED u64 ptxrun_modules() { return modules; }
// How many kernels of modules were launched.
EXPORTED u64 ptxrun_module_launches() { return module_launches; }
// Copies to the host that have not been done.
EXPORTED u64 ptxrun_pending_downloads() {
    const Lock lock(mutex);
    u64 n = 0;
    for (const auto& [key, s] : streams)
        for (const Work& work : s.work) n += work.writes_host;
    return n;
}
// Bytes of the devices that are taken when all work is done.
EXPORTED u64 ptxrun_allocated() {
    const Lock lock(mutex);
    run_all();
    u64 bytes = 0;
    for (int d = 0; d < device_count; ++d) bytes += allocated_bytes(u32(d));
    return bytes;
}
// Whether the device has a context.
EXPORTED bool ptxrun_active(int device) { return devices[device].active; }

// --- what nvcc's host code calls

EXPORTED void** CUDARTAPI __cudaRegisterFatBinary(void* fat) {
    set_up();
    return new void*(fat);
}
EXPORTED void CUDARTAPI __cudaRegisterFatBinaryEnd(void**) {}
EXPORTED void CUDARTAPI __cudaUnregisterFatBinary(void** handle) { delete handle; }
EXPORTED char CUDARTAPI __cudaInitModule(void**) { return 1; }
EXPORTED void CUDARTAPI __cudaRegisterFunction(void**, const char* host, char*, const char* name, int, uint3*, uint3*,
                                               dim3*, dim3*, int*) {
    const Lock lock(mutex);
    functions[host].name = name;
    for (u32 k = 0; k < library->count; ++k)
        if (std::strcmp(library->kernels[k].name, name) == 0) functions[host].kernel = &library->kernels[k];
}
const Function& function_of(const void* host) {
    const Function& f = functions.at(host);
    if (f.kernel == nullptr) give_up(std::string("no translated kernel is called ") + f.name);
    return f;
}
EXPORTED cudaError_t CUDARTAPI __cudaGetKernel(cudaKernel_t* kernel, const void* host) {
    *kernel = reinterpret_cast<cudaKernel_t>(const_cast<void*>(host));
    return cudaSuccess;
}
#define NOT_HERE(name) \
    EXPORTED void CUDARTAPI name() { give_up(#name " is not here"); }
NOT_HERE(__cudaLaunchKernel)
NOT_HERE(__cudaPopCallConfiguration)
NOT_HERE(__cudaPushCallConfiguration)
NOT_HERE(__cudaRegisterVar)

// --- the runtime's interface

API cudaGetDeviceCount(int* count) {
    BEGIN_CALL;
    *count = device_count;
    return cudaSuccess;
}
API cudaGetDevice(int* device) {
    BEGIN_CALL;
    *device = current;
    return cudaSuccess;
}
API cudaSetDevice(int device) {
    const Lock lock(mutex);
    if (!exists(device)) return result(cudaErrorInvalidDevice);
    current = device;
    devices[device].active = true;
    return cudaSuccess;
}
API cudaDeviceGetAttribute(int* value, cudaDeviceAttr name, int device) {
    BEGIN_CALL;
    if (!exists(device)) return result(cudaErrorInvalidDevice);
    *value = attribute(name, device);
    return cudaSuccess;
}
API cudaGetDeviceProperties(cudaDeviceProp* p, int device) {
    BEGIN_CALL;
    return properties(p, device);
}
API cudaGetDeviceProperties_v2(cudaDeviceProp* p, int device) {
    BEGIN_CALL;
    return properties(p, device);
}
API cudaDriverGetVersion(int* version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}

// --- modules, of the driver's interface

struct LoadedModule {
    int device;
    void* handle;
    const KernelLibrary* kernels;
};

// Files of this process, gone with it.
struct Temporary {
    std::string folder = std::filesystem::temp_directory_path() / "ptxrun_XXXXXX";
    pid_t process = getpid();
    std::map<std::string, std::string> libraries;  // of PTX, built once
    Temporary() {
        if (mkdtemp(folder.data()) == nullptr) give_up("no temporary folder");
    }
    ~Temporary() {
        if (process == getpid()) std::filesystem::remove_all(folder);
    }
};

// Empty: it cannot be translated or compiled, which is shown.
std::string library_of(const std::string& ptx) {
    static Temporary temporary;
    const auto found = temporary.libraries.find(ptx);
    if (found != temporary.libraries.end()) return found->second;
    const std::string base = temporary.folder + "/" + std::to_string(temporary.libraries.size());
    const char* const python = std::getenv("PTXRUN_PYTHON");
    if (python == nullptr) give_up("PTXRUN_PYTHON names no interpreter");
    FILE* const file = std::fopen((base + ".ptx").c_str(), "w");
    if (file == nullptr) give_up("a temporary folder cannot be written to");
    std::fputs(ptx.c_str(), file);
    std::fclose(file);
    const std::string load = std::string(python) + " -m ptx.load '" + base + ".ptx' '" + base + "'";
    return temporary.libraries[ptx] = std::system(load.c_str()) == 0 ? base + "/kernels.so" : "/nowhere";
}

API load_module(void** module, const void* image) {
    BEGIN_WORK;
    if (state() != cudaSuccess) return state();
    void* const handle = dlopen(library_of(static_cast<const char*>(image)).c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) return result(cudaErrorInvalidKernelImage);
    ++modules;
    auto* const loaded =
        new LoadedModule{current, handle, static_cast<const KernelLibrary*>(dlsym(handle, "ptx_library"))};
    join(loaded->kernels->env);
    *module = loaded;
    return cudaSuccess;
}
API function_of_module(void** function, void* module, const char* name) {
    BEGIN_CALL;
    const auto& loaded = *static_cast<LoadedModule*>(module);
    for (u32 k = 0; k < loaded.kernels->count; ++k)
        if (std::strcmp(loaded.kernels->kernels[k].name, name) == 0) {
            *function = const_cast<KernelEntry*>(loaded.kernels->kernels + k);
            return cudaSuccess;
        }
    return result(cudaErrorSymbolNotFound);
}
API launch_function(void* function, unsigned blocks, unsigned, unsigned, unsigned threads, unsigned, unsigned,
                    unsigned shared, cudaStream_t stream, void** arguments, void**) {
    BEGIN_WORK;
    const int device = streams[stream_key(stream)].device;
    if (device != current) return result(cudaErrorInvalidResourceHandle);
    const KernelEntry& kernel = *static_cast<KernelEntry*>(function);
    if (blocks == 0 || threads == 0 || threads > kernel.most_threads) return result(cudaErrorInvalidConfiguration);
    const u8* const from = static_cast<const u8*>(arguments[0]);
    const std::vector<u8> parameters(from, from + kernel.parameter_bytes);
    ++module_launches;
    return enqueue(stream, [=, &kernel] {
        const std::string wrong = launch(kernel, blocks, threads, shared, parameters.data(), u32(device));
        if (!wrong.empty()) lose_device(wrong);
    });
}
API unload_module(void* module) {
    const Lock lock(mutex);
    run_all();
    auto* const loaded = static_cast<LoadedModule*>(module);
    if (loaded->device != current) give_up("a module is unloaded while another device is current");
    dlclose(loaded->handle);
    delete loaded;
    --modules;
    return cudaSuccess;
}

API cudaGetDriverEntryPointByVersion(const char* name, void** found, unsigned, unsigned long long,
                                     cudaDriverEntryPointQueryResult* status) {
    static const std::map<std::string, void*> there = {
        {"cuDevicePrimaryCtxGetState", reinterpret_cast<void*>(&context_state)},
        {"cuModuleLoadData", reinterpret_cast<void*>(&load_module)},
        {"cuModuleGetFunction", reinterpret_cast<void*>(&function_of_module)},
        {"cuLaunchKernel", reinterpret_cast<void*>(&launch_function)},
        {"cuModuleUnload", reinterpret_cast<void*>(&unload_module)},
    };
    const auto one = there.find(name);
    *found = one != there.end() ? one->second : nullptr;
    *status = *found != nullptr ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
    return cudaSuccess;
}
API cudaGetLastError() {
    const cudaError_t error = state() != cudaSuccess ? state() : last;
    last = cudaSuccess;
    return error;
}
EXPORTED const char* CUDARTAPI cudaGetErrorString(cudaError_t error) {
    switch (error) {
        case cudaErrorMemoryAllocation: return "out of memory";
        case cudaErrorIllegalAddress: return devices[current].fault.c_str();
        case cudaErrorInvalidDevice: return "invalid device ordinal";
        case cudaErrorInvalidConfiguration: return "invalid configuration argument";
        case cudaErrorInvalidValue: return "invalid argument";
        case cudaErrorInvalidResourceHandle: return "invalid resource handle";
        case cudaErrorLaunchFailure: return "unspecified launch failure";
        default: return "another error";
    }
}
EXPORTED const char* CUDARTAPI cudaGetErrorName(cudaError_t error) {
    static thread_local std::string text;
    text = "cudaError_t " + std::to_string(int(error));
    return text.c_str();
}

API cudaMalloc(void** memory, size_t bytes) {
    BEGIN_WORK;
    run_all();
    if (state() != cudaSuccess) return state();
    *memory = allocate(bytes, u32(current));
    return *memory != nullptr ? cudaSuccess : result(cudaErrorMemoryAllocation);
}
API cudaFree(void* memory) {
    const Lock lock(mutex);
    run_all();
    if (memory != nullptr && !release(memory)) return result(cudaErrorInvalidValue);
    return state();
}
API cudaMemPoolCreate(cudaMemPool_t* pool, const cudaMemPoolProps* properties) {
    BEGIN_CALL;
    if (!exists(properties->location.id) || !has_pools(properties->location.id)) return result(cudaErrorInvalidValue);
    ++pools;
    *pool = reinterpret_cast<cudaMemPool_t>(new u32(u32(properties->location.id)));  // the device
    return cudaSuccess;
}
API cudaMemPoolDestroy(cudaMemPool_t pool) {
    --pools;
    delete reinterpret_cast<u32*>(pool);
    return cudaSuccess;
}
API cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) {
    BEGIN_CALL;
    return cudaSuccess;
}
API cudaMemPoolGetAttribute(cudaMemPool_t pool, cudaMemPoolAttr name, void* value) {
    BEGIN_CALL;
    if (name != cudaMemPoolAttrReservedMemCurrent && name != cudaMemPoolAttrUsedMemCurrent)
        return result(cudaErrorInvalidValue);
    *static_cast<u64*>(value) = allocated_bytes(*reinterpret_cast<u32*>(pool));
    return cudaSuccess;
}
API cudaMallocFromPoolAsync(void** memory, size_t bytes, cudaMemPool_t pool, cudaStream_t) {
    BEGIN_WORK;
    if (state() != cudaSuccess) return state();
    const u32 device = *reinterpret_cast<u32*>(pool);
    *memory = allocate(bytes, device);
    if (*memory == nullptr) {  // what is to be freed is
        run_all();
        *memory = allocate(bytes, device);
    }
    return *memory != nullptr ? cudaSuccess : result(cudaErrorMemoryAllocation);
}
API cudaFreeAsync(void* memory, cudaStream_t stream) {
    const Lock lock(mutex);
    return enqueue(stream, [memory] {
        if (!release(memory)) lose_device("memory is freed that is not allocated");
    });
}
API cudaMemGetInfo(size_t* free, size_t* total) {
    BEGIN_WORK;
    *total = memory_size();
    *free = *total - allocated_bytes(u32(current));
    return state();
}
API cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
    BEGIN_WORK;
    return enqueue_copy(to, 0, from, 0, bytes, 1, kind, stream);
}
API cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t height,
                      cudaMemcpyKind kind, cudaStream_t stream) {
    BEGIN_WORK;
    if (width > to_pitch || width > from_pitch) return result(cudaErrorInvalidPitchValue);
    return enqueue_copy(to, to_pitch, from, from_pitch, width, height, kind, stream);
}

API cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
    BEGIN_WORK;
    *stream = reinterpret_cast<cudaStream_t>(new char[16]);
    streams[*stream].blocking = flags == cudaStreamDefault;
    streams[*stream].device = current;
    return cudaSuccess;
}
API cudaStreamSynchronize(cudaStream_t stream) {
    BEGIN_WORK;
    const void* const key = stream_key(stream);
    run_stream(key, streams[key].enqueued);
    return state();
}
API cudaDeviceSynchronize() {
    const Lock lock(mutex);
    run_current();
    return state();
}
API cudaStreamQuery(cudaStream_t stream) {
    BEGIN_WORK;
    Stream& s = streams[stream_key(stream)];
    if (!s.work.empty()) run_one(s);
    if (state() != cudaSuccess) return state();
    return s.work.empty() ? cudaSuccess : cudaErrorNotReady;
}
API cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
    BEGIN_WORK;
    ++events;
    *event = reinterpret_cast<cudaEvent_t>(new Event{current});
    return cudaSuccess;
}
API cudaEventDestroy(cudaEvent_t event) {
    --events;
    delete reinterpret_cast<Event*>(event);
    return cudaSuccess;
}
API cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    BEGIN_WORK;
    Event& e = *reinterpret_cast<Event*>(event);
    const void* const key = stream_key(stream);
    if (streams[key].device != e.device) return result(cudaErrorInvalidResourceHandle);
    e.stream = key;
    if (is_legacy(key)) enqueue(stream, {});  // after the blocking streams
    e.number = streams[key].enqueued;
    return state();
}
API cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
    BEGIN_WORK;
    const Event& e = *reinterpret_cast<Event*>(event);
    if (e.number > 0) await(streams[stream_key(stream)], e.stream, e.number);
    return state();
}
API cudaPointerGetAttributes(cudaPointerAttributes* a, const void* address) {
    BEGIN_CALL;
    std::memset(a, 0, sizeof *a);
    a->device = device_of(address);
    a->type = a->device >= 0 ? cudaMemoryTypeDevice : cudaMemoryTypeUnregistered;
    return cudaSuccess;
}

API cudaFuncSetAttribute(const void* function, cudaFuncAttribute name, int value) {
    BEGIN_WORK;
    if (name != cudaFuncAttributeMaxDynamicSharedMemorySize) give_up("a function attribute is not here");
    function_of(function);
    Function& f = functions[function];
    if (value < 0 || value + int(f.kernel->static_shared) > shared_limit()) return result(cudaErrorInvalidValue);
    f.most_dynamic[current] = value;
    return state();
}
API cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** arguments, size_t shared,
                     cudaStream_t stream) {
    BEGIN_WORK;
    const int device = streams[stream_key(stream)].device;
    if (device != current) return result(cudaErrorInvalidResourceHandle);
    const Function& f = function_of(function);
    const KernelEntry& kernel = *f.kernel;
    const bool flat = grid.y == 1 && grid.z == 1 && block.y == 1 && block.z == 1;
    if (!flat || grid.x == 0 || grid.x > 0x7fffffffu || block.x == 0 || block.x > kernel.most_threads)
        return result(cudaErrorInvalidConfiguration);
    // Unasked, what the kernel declares counts too.
    const int unasked = default_shared - int(kernel.static_shared);
    if (shared > u64(std::max(f.most_dynamic[device], unasked))) return result(cudaErrorInvalidValue);
    const u8* const from = static_cast<const u8*>(arguments[0]);
    const std::vector<u8> parameters(from, from + kernel.parameter_bytes);
    return enqueue(stream, [=, &kernel] {
        const std::string wrong = launch(kernel, grid.x, block.x, u32(shared), parameters.data(), u32(device));
        if (!wrong.empty()) lose_device(wrong);
    });
}
