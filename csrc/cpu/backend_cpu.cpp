#include "backend_cpu.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <new>
#include <stdexcept>
#include <thread>

#include "../core/network.hpp"
#include "floating_point.hpp"
#if ASGD_X86
#include "processor.hpp"
#endif

int anneal_sgd::way_to_test = 0;

namespace anneal_sgd::cpu {
namespace {

constexpr double small_run_steps = 1e6;  // coordinate-steps that one core does in about a millisecond, or less
constexpr auto poll_interval = std::chrono::milliseconds(100);

struct Isa {
    const Kernels* kernels;
    bool supported;
};

const std::vector<Isa>& isas() {
#if ASGD_X86
    static const std::vector<Isa> list = [] {
        const Offers offers = processor_offers();
        return std::vector<Isa>{
            {&scalar_kernels, true}, {&avx2_kernels, offers.avx2}, {&avx512_kernels, offers.avx512}};
    }();
#elif ASGD_ARM64
    static const std::vector<Isa> list{{&scalar_kernels, true}, {&neon_kernels, true}};
#else
    static const std::vector<Isa> list{{&scalar_kernels, true}};
#endif
    return list;
}

// MemoryError in Python, with a text.
struct OutOfScratch : std::bad_alloc {
    explicit OutOfScratch(std::int64_t bytes)
        : text("a worker thread needs " + std::to_string(bytes) +
               " bytes for the state of its trajectories, which cannot be allocated; fewer recorded steps, coordinates "
               "or threads take less") {}
    const char* what() const noexcept override { return text.c_str(); }
    std::string text;
};

class Scratch {
public:
    Scratch() = default;
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    ~Scratch() { release(); }

    void* ensure(std::int64_t bytes) {
        if (bytes > size_) {
            release();
            data_ = ::operator new(std::size_t(bytes), std::align_val_t(64), std::nothrow);
            if (data_ == nullptr) throw OutOfScratch(bytes);
            size_ = bytes;
        }
        return data_;
    }

private:
    void release() {
        if (data_ != nullptr) ::operator delete(data_, std::align_val_t(64));
        data_ = nullptr;
        size_ = 0;
    }

    void* data_ = nullptr;
    std::int64_t size_ = 0;
};

// State that the workers of one run share.
struct Run {
    const EnsembleSpec& ensemble;
    const Kernels& kernels;
    const std::vector<Task>& tasks;
    Sink& sink;
    std::atomic<std::size_t> next{0};
    std::atomic<std::int64_t> steps_done{0};
    std::atomic<bool> stop{false};
    std::mutex mutex{};
    std::condition_variable all_left{};
    int working = 0;
    std::exception_ptr error{};
};

struct TaskContext {
    Run& run;
    std::size_t task;
    std::exception_ptr error;  // an exception of the sink must not cross the kernel
};

bool advanced(void* context, std::int64_t coordinate_steps) {
    Run& run = static_cast<TaskContext*>(context)->run;
    if (coordinate_steps > 0) run.steps_done.fetch_add(coordinate_steps, std::memory_order_relaxed);
    return !run.stop.load(std::memory_order_relaxed);
}

void recorded(void* context, std::int64_t config, std::int64_t record, const void* values) {
    auto& task = *static_cast<TaskContext*>(context);
    if (task.error) return;
    try {
        task.run.sink.recorded(task.task, config, record, values);
    } catch (...) {
        task.error = std::current_exception();
        task.run.stop = true;
    }
}

void work(Run& run) {
    const DefaultFloatingPoint guard;
    Scratch scratch;
    for (std::size_t i; !run.stop && (i = run.next.fetch_add(1)) < run.tasks.size();) {
        TaskContext context{run, i, nullptr};
        void* memory = scratch.ensure(run.kernels.scratch_bytes(run.ensemble, run.tasks[i]));
        const bool complete = run.kernels.run(run.ensemble, run.tasks[i], memory, {&context, advanced, recorded});
        if (context.error) std::rethrow_exception(context.error);
        if (complete) run.sink.finished(i);
    }
}

void work_in_thread(Run& run) {
    std::exception_ptr error{};
    try {
        work(run);
    } catch (...) {
        error = std::current_exception();
        run.stop = true;
    }
    const std::lock_guard<std::mutex> lock(run.mutex);
    if (error && !run.error) run.error = error;
    if (--run.working == 0) run.all_left.notify_all();
}

double trajectories(const std::vector<Task>& tasks) {
    double sum = 0;
    for (const Task& t : tasks) sum += double(t.configs()) * double(t.replicates());
    return sum;
}

// Coordinate-steps as the kernels report them: for problems on data, times the samples of a step; a recorded loss
// counts as a step with all its rows.
double work_per_trajectory(const EnsembleSpec& e) {
    const double d = double(e.problems.dimension), steps = double(e.record_at[e.record_count - 1]);
    if (e.problems.network == nullptr) return d * steps;
    double rows = 0;  // of the largest problem
    for (std::int64_t p = 0; p < e.problems.count; ++p) {
        const DataProblem& data = e.problems.data[p];
        rows = std::max(rows, (records_training(e) ? double(data.train.rows) : 0.0) +
                                  (records_test(e) ? double(data.test.rows) : 0.0));
    }
    return d * (steps * double(e.problems.network->batch_size) + double(e.record_count) * rows);
}

}  // namespace

std::vector<std::string> built_isas() {
    std::vector<std::string> names;
    for (const Isa& isa : isas()) names.emplace_back(isa.kernels->name);
    return names;
}

std::vector<std::string> supported_isas() {
    std::vector<std::string> names;
    for (const Isa& isa : isas())
        if (isa.supported) names.emplace_back(isa.kernels->name);
    return names;
}

const Kernels& kernels(const std::string& name) {
    std::string allowed;
    for (const Isa& isa : isas()) {
        if (!isa.supported) continue;
        if (isa.kernels->name == name) return *isa.kernels;
        allowed += (allowed.empty() ? "" : ", ") + std::string(isa.kernels->name);
    }
    throw std::invalid_argument("isa: '" + name + "' is not one that this build and processor offer: " + allowed);
}

void take_way(int way) { __atomic_store_n(&way_to_test, way, __ATOMIC_RELAXED); }

void run_tasks(const EnsembleSpec& ensemble, const Kernels& kernels, const std::vector<Task>& tasks, int threads,
               Sink& sink, const Poll& poll) {
    Run run{ensemble, kernels, tasks, sink};
    const double total = trajectories(tasks) * work_per_trajectory(ensemble);
    const double coordinates = trajectories(tasks) * double(ensemble.problems.dimension);
    if (total + coordinates <= small_run_steps) {  // setting a coordinate up costs about a step
        work(run);
        return;
    }
    std::vector<std::thread> workers;
    run.working = int(std::min<std::size_t>(std::size_t(threads), tasks.size()));
    const int wanted = run.working;
    for (int i = 0; i < wanted; ++i) {
        try {
            workers.emplace_back(work_in_thread, std::ref(run));
        } catch (...) {  // the system has no more threads: go on with those there are
            const std::lock_guard<std::mutex> lock(run.mutex);
            run.working -= wanted - i;
            if (i == 0) run.error = std::current_exception();
            break;
        }
    }
    std::exception_ptr interrupted;
    {
        std::unique_lock<std::mutex> lock(run.mutex);
        while (!run.all_left.wait_for(lock, poll_interval, [&] { return run.working == 0; })) {
            lock.unlock();
            if (!interrupted) {
                try {
                    poll(std::min(1.0, double(run.steps_done.load()) / total));
                } catch (...) {
                    interrupted = std::current_exception();
                    run.stop = true;
                }
            }
            lock.lock();
        }
    }
    for (std::thread& worker : workers) worker.join();
    if (interrupted) std::rethrow_exception(interrupted);
    if (run.error) std::rethrow_exception(run.error);
    poll(1.0);
}

}  // namespace anneal_sgd::cpu
