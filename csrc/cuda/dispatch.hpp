// From a KernelKind to its instantiation. Included by kernels.cuh and ensemble_emulated.hpp.
#pragma once

#include "../core/with_kind.hpp"
#include "launch.hpp"

namespace anneal_sgd::cuda {

template <class Real, ProblemKind problem_, NoiseKind noise_, bool ball_>
struct Instance {
    using real = Real;
    static constexpr ProblemKind problem = problem_;
    static constexpr NoiseKind noise = noise_;
    static constexpr bool ball = ball_;
};

// f(Instance<...>()) with the instance of the kind.
template <class Real, class F>
auto dispatch(const KernelKind& kind, F f) {
    return ASGD_ISA::with_kind(kind.problem, [&](auto problem) {
        return ASGD_ISA::with_kind(kind.noise, [&](auto noise) {
            using Problem = decltype(problem);
            using Noise = decltype(noise);
            return kind.ball ? f(Instance<Real, Problem::value, Noise::value, true>())
                             : f(Instance<Real, Problem::value, Noise::value, false>());
        });
    });
}

}  // namespace anneal_sgd::cuda
