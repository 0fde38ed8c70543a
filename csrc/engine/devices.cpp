#include "devices.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <tuple>

#include "../cuda/driver.hpp"

namespace anneal_sgd {
namespace {

constexpr auto poll_interval = std::chrono::milliseconds(100);

struct Share {
    cuda::Device& device;
    cuda::DriverOptions options;
    cuda::Plan plan;
};

cuda::DriverOptions options_of_share(const EnsembleSpec& e, const RunOptions& o, const Replicates& share) {
    const auto from_share = [&](void* samples) -> void* {
        return samples == nullptr ? nullptr
                                  : static_cast<char*>(samples) + (share.first - o.first_replicate) * real_bytes(e);
    };
    return {share.first,
            share.stop - share.first,
            from_share(o.samples),
            from_share(o.device_samples),
            from_share(o.iterates),
            o.replicates,
            o.exceedance,
            o.steps_per_launch,
            o.rows_per_launch,
            o.poll};
}

// f(), whose errors say which device they are of.
template <class F>
auto naming(const cuda::Device& device, F f) {
    const std::string name = "device " + std::to_string(device.number()) + ": ";
    try {
        return f();
    } catch (const cuda::OutOfDeviceMemory& error) {
        throw cuda::OutOfDeviceMemory(name + error.what());
    } catch (const std::runtime_error& error) {
        throw std::runtime_error(name + error.what());
    }
}

MomentTree run_share(const EnsembleSpec& e, const Share& share) {
    ConfigParts parts((config_count(e) + share.plan.configs - 1) / share.plan.configs);
    cuda::run(share.device, e, share.options, share.plan,
              [&](std::int64_t part, std::int64_t start, std::int64_t stop, MomentTree::Cells cells) {
                  parts.insert(part, start, stop, std::move(cells));
              });
    return parts.joined();
}

// A share's poll throws it where the run is to stop.
struct Stopped {};

// A thread for every share, while the calling thread waits and polls.
class Run {
public:
    Run(const EnsembleSpec& e, std::vector<Share>& shares)
        : e_(e), shares_(shares), done_(shares.size()), trees_(shares.size()), working_(shares.size()) {}

    std::vector<MomentTree> trees(const std::function<void(double)>& poll) {
        const Threads threads(*this);
        std::unique_lock<std::mutex> lock(mutex_);
        while (!left_.wait_for(lock, poll_interval, [&] { return working_ == 0; })) {
            const double done = fraction_done();
            lock.unlock();
            poll(done);
            lock.lock();
        }
        if (error_) std::rethrow_exception(error_);
        return std::move(trees_);
    }

private:
    // However the run ends, its threads stop and are waited for.
    struct Threads {
        explicit Threads(Run& r) : run(r) {
            try {
                for (std::size_t i = 0; i < run.shares_.size(); ++i) list.emplace_back([&r, i] { r.work(i); });
            } catch (...) {
                join();
                throw;
            }
        }
        ~Threads() { join(); }
        void join() {
            run.stop_ = true;
            for (std::thread& thread : list) thread.join();
        }
        Run& run;
        std::vector<std::thread> list;
    };

    void work(std::size_t i) {
        std::exception_ptr error;
        try {
            shares_[i].options.poll = [this, i](double fraction) {
                if (stop_) throw Stopped();
                const std::lock_guard<std::mutex> lock(mutex_);
                done_[i] = fraction;
            };
            trees_[i] = naming(shares_[i].device, [&] { return run_share(e_, shares_[i]); });
        } catch (const Stopped&) {
        } catch (...) {
            error = std::current_exception();
            stop_ = true;
        }
        const std::lock_guard<std::mutex> lock(mutex_);
        if (!error_) error_ = error;
        done_[i] = 1;
        if (--working_ == 0) left_.notify_one();
    }

    double fraction_done() const {
        double done = 0, all = 0;
        for (std::size_t i = 0; i < shares_.size(); ++i) {
            const double replicates = double(shares_[i].options.replicates);
            done += done_[i] * replicates;
            all += replicates;
        }
        return done / all;
    }

    const EnsembleSpec& e_;
    std::vector<Share>& shares_;
    std::atomic<bool> stop_{false};
    std::mutex mutex_;
    std::condition_variable left_;
    std::vector<double> done_;  // fractions of the shares
    std::vector<MomentTree> trees_;
    std::size_t working_;
    std::exception_ptr error_;
};

}  // namespace

std::vector<Replicates> shares(std::int64_t first, std::int64_t replicates, std::size_t devices) {
    const std::int64_t stop = first + replicates, first_block = first / block_replicates;
    const std::int64_t blocks = (stop - 1) / block_replicates - first_block + 1;
    const std::int64_t n = std::min(blocks, std::int64_t(devices));
    std::vector<Replicates> found;
    for (std::int64_t i = 0; i < n; ++i)
        found.push_back({std::max(first, (first_block + blocks * i / n) * block_replicates),
                         std::min(stop, (first_block + blocks * (i + 1) / n) * block_replicates)});
    return found;
}

MomentTree simulate_on_devices(const EnsembleSpec& e, const RunOptions& o) {
    std::vector<Share> list;
    const bool several = o.devices.size() > 1;
    std::size_t next = 0;
    for (const Replicates& range : shares(o.first_replicate, o.replicates, o.devices.size())) {
        cuda::Device& device = *o.devices[next++];
        const cuda::DriverOptions options = options_of_share(e, o, range);
        const auto plan = [&] { return cuda::make_plan(device, e, options); };
        list.push_back({device, options, several ? naming(device, plan) : plan()});
    }
    if (!several) return run_share(e, list.front());
    MomentTree all;
    for (MomentTree& tree : Run(e, list).trees(o.poll))
        while (!tree.nodes().empty()) {
            MomentTree::Cells cells;
            std::int64_t start, stop;
            std::tie(start, stop) = tree.take_first(cells);
            all.insert(start, stop, std::move(cells));
        }
    return all;
}

}  // namespace anneal_sgd
