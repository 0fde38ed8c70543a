// The CPU backend: which instruction sets this processor has, and worker threads that run ranges of an ensemble.
// Included by the engine.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "kernels.hpp"

namespace anneal_sgd::cpu {

std::vector<std::string> built_isas();           // slowest first
std::vector<std::string> supported_isas();       // those that this processor runs
const Kernels& kernels(const std::string& isa);  // throws std::invalid_argument, naming the supported ones

// Of what goes one of two ways, as the processor is faster (faster.hpp): 1 or 2 takes that way until 0 is given, so
// that tests see both.
void take_way(int way);

// Receives what the workers produce. Calls come from several threads at once, those of one task from one thread.
struct Sink {
    virtual void recorded(std::size_t task, std::int64_t config, std::int64_t record, const void* values) = 0;
    virtual void finished(std::size_t task) = 0;

protected:
    ~Sink() = default;
};

using Poll = std::function<void(double fraction_done)>;

// Runs every task; the calling thread waits and calls `poll` some ten times a second. What poll or a worker throws
// stops the run and is rethrown here. Work too small to be worth a thread runs on the calling thread, without polls.
void run_tasks(const EnsembleSpec& ensemble, const Kernels& kernels, const std::vector<Task>& tasks, int threads,
               Sink& sink, const Poll& poll);

}  // namespace anneal_sgd::cpu
