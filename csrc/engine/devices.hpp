// Runs an ensemble on devices, which share its replicates out among themselves by whole blocks. Included by the engine.
#pragma once

#include <vector>

#include "simulate.hpp"

namespace anneal_sgd {

struct Replicates {
    std::int64_t first, stop;
};

// What each device takes: ranges as equal as whole blocks allow; none are empty, so there may be fewer than devices.
std::vector<Replicates> shares(std::int64_t first, std::int64_t replicates, std::size_t devices);

// A device of several is named by its number in what it reports. No device begins before there is a plan for each.
MomentTree simulate_on_devices(const EnsembleSpec& ensemble, const RunOptions& options);

}  // namespace anneal_sgd
