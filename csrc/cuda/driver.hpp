// Runs an ensemble on a device: cuts it into chunks that fit its memory and launches that stay short. Included by the
// engine.
#pragma once

#include <functional>
#include <vector>

#include "device.hpp"

namespace anneal_sgd::cuda {

struct DriverOptions {
    std::int64_t first_replicate, replicates;
    void* host_samples;             // [config, record, replicate] in the ensemble's precision, or null
    void* device_samples;           // the same in device memory, or null
    void* host_iterates;            // [config, coordinate, replicate]: points of the last record, or null
    std::int64_t sample_stride;     // replicates that those have, these and more
    std::int64_t* exceedance;       // [config, recorded value, exceedance_bins]: to be added to, or null
    std::int64_t steps_per_launch;  // 0: as many as take about launch_seconds
    std::int64_t rows_per_launch;   // the same for samples of a step and for rows of a recording
    std::function<void(double fraction_done)> poll;
};

struct Plan {
    std::int64_t configs;           // of a part: these many configs go through all replicates before the next
    std::int64_t group_replicates;  // whose values are on the device together
    std::int64_t chunk_replicates;  // whose states are
};

// Fits the device's free memory. Throws OutOfDeviceMemory where nothing does, with the figure needed.
Plan make_plan(Device& device, const EnsembleSpec& ensemble, const DriverOptions& options);

// Receives the moments of one block of replicates [start, stop) for all configs and records of a part.
using BlockSink =
    std::function<void(std::int64_t part, std::int64_t start, std::int64_t stop, std::vector<Moment> cells)>;

// Throws what the device reports and what `poll` throws; std::invalid_argument for an ensemble past a kernel's numbers.
void run(Device& device, const EnsembleSpec& ensemble, const DriverOptions& options, const Plan& plan,
         const BlockSink& sink);

}  // namespace anneal_sgd::cuda
