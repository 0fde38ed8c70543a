#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <unordered_map>

#include "device.hpp"
#include "kernels_emulated.hpp"

namespace anneal_sgd::cuda {
namespace {

// Host memory plays the device's; it is filled with garbage, as a GPU's is.
class EmulatedDevice final : public Device {
public:
    EmulatedDevice(int number, std::int64_t memory, int fail_at, int busy_for)
        : number_(number), free_(memory), fail_at_(fail_at), busy_for_(busy_for) {}
    ~EmulatedDevice() override {
        for (const auto& [memory, bytes] : allocated_) std::free(memory);
    }

    void* allocate(std::int64_t bytes) override {
        if (bytes > free_) throw OutOfDeviceMemory("emulated device: out of memory");
        void* memory = std::malloc(std::size_t(bytes) + 1);
        if (memory == nullptr) throw std::bad_alloc();
        std::memset(memory, 0xFF, std::size_t(bytes));
        allocated_[memory] = bytes;
        free_ -= bytes;
        return memory;
    }
    void release(void* memory) noexcept override {
        const auto found = allocated_.find(memory);
        free_ += found->second;
        allocated_.erase(found);
        std::free(memory);
    }
    void upload(void* to, const void* from, std::int64_t bytes) override { std::memcpy(to, from, std::size_t(bytes)); }
    void download(void* to, std::int64_t to_pitch, const void* from, std::int64_t from_pitch, std::int64_t row_bytes,
                  std::int64_t rows) override {
        for (std::int64_t r = 0; r < rows; ++r)
            std::memcpy(static_cast<char*>(to) + r * to_pitch, static_cast<const char*>(from) + r * from_pitch,
                        std::size_t(row_bytes));
    }
    void launch(const KernelKind& kind, const EnsembleLaunch& launch, std::int64_t shared_bytes) override {
        count_launch();
        with_real(kind.precision, [&](auto real) { emulate_ensemble<decltype(real)>(kind, launch, shared_bytes); });
    }
    void launch(Precision precision, const ProgramLaunch& launch) override {
        count_launch();
        with_real(precision, [&](auto real) { emulate_program<decltype(real)>(launch); });
    }
    void launch(Precision precision, const DataLaunch& launch) override {
        count_launch();
        with_real(precision, [&](auto real) { emulate_data<decltype(real)>(launch); });
    }
    void launch(Precision precision, const MomentsLaunch& launch) override {
        count_launch();
        with_real(precision, [&](auto real) { emulate_moments<decltype(real)>(launch); });
    }
    std::shared_ptr<void> load(StepsCode& code) override {
        if (code.emulated == nullptr) return nullptr;
        return {std::shared_ptr<void>(), &code};
    }
    void launch(void* loaded, const StepsLaunch& launch, std::int64_t blocks) override {
        count_launch();
        for (std::int64_t b = 0; b < blocks; ++b)
            for (std::int32_t thread = 0; thread < steps_threads; ++thread)
                static_cast<StepsCode*>(loaded)->emulated(&launch, std::int32_t(b), thread);
    }
    bool idle() override { return busy_ == 0 || --busy_ == 0; }
    void drain() noexcept override { busy_ = 0; }
    void follow(std::uintptr_t) override {}
    std::int64_t free_bytes() override { return free_; }
    int number() const override { return number_; }
    std::int64_t dynamic_shared_limit() override { return 32 << 10; }
    std::int64_t full_blocks() override { return 2; }

private:
    void count_launch() {
        if (++launches_ == fail_at_) throw std::runtime_error("emulated device: launch failed");
        busy_ = busy_for_;
    }

    const int number_;
    std::int64_t free_;
    int fail_at_, busy_for_, launches_ = 0, busy_ = 0;
    std::unordered_map<void*, std::int64_t> allocated_;
};

}  // namespace

std::unique_ptr<Device> emulated_device(int number, std::int64_t memory, int fail_at, int busy_for) {
    return std::make_unique<EmulatedDevice>(number, memory, fail_at, busy_for);
}

}  // namespace anneal_sgd::cuda
