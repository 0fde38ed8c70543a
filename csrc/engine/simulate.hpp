// Runs an ensemble: cuts it into tasks for a backend and merges what they record into moments.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "../core/spec.hpp"
#include "moment_tree.hpp"

namespace anneal_sgd::cuda {
class Device;
}

namespace anneal_sgd {

struct RunOptions {
    std::int64_t first_replicate, replicates;
    std::string isa;
    int threads;
    void* samples;  // [config, recorded value, replicate] in the ensemble's precision, or null
    std::function<void(double fraction_done)> poll;
    void* iterates = nullptr;            // [config, coordinate, replicate]: points of the last record, or null
    std::int64_t* exceedance = nullptr;  // [config, recorded value, exceedance_bins]: to be added to, or null
    std::vector<cuda::Device*> devices;  // run it there, all at once; isa and threads are for this processor
    void* device_samples = nullptr;      // like samples, in the memory of the one device
    std::int64_t steps_per_launch = 0;   // 0: chosen by time
    std::int64_t rows_per_launch = 0;    // of data that a step samples, or that are recorded; 0: chosen by time
};

// Bytes of this machine's memory that `simulate` takes at its peak, to within a few per cent once they are many.
double memory_needed(const EnsembleSpec& ensemble, const RunOptions& options);

// Throws std::invalid_argument on an unknown isa, std::bad_alloc, and whatever `poll` throws or the device reports.
MomentTree simulate(const EnsembleSpec& ensemble, const RunOptions& options);

}  // namespace anneal_sgd
