// From a KernelKind to its instantiation. Included by kernels.cuh and kernels_emulated.cpp.
#pragma once

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
template <class Real, ProblemKind problem, NoiseKind noise, class F>
auto dispatch_ball(const KernelKind& kind, F f) {
    return kind.ball ? f(Instance<Real, problem, noise, true>()) : f(Instance<Real, problem, noise, false>());
}
template <class Real, ProblemKind problem, class F>
auto dispatch_noise(const KernelKind& kind, F f) {
    switch (kind.noise) {
        case NoiseKind::none: break;
        case NoiseKind::rademacher: return dispatch_ball<Real, problem, NoiseKind::rademacher>(kind, f);
        case NoiseKind::gaussian: return dispatch_ball<Real, problem, NoiseKind::gaussian>(kind, f);
        case NoiseKind::uniform: return dispatch_ball<Real, problem, NoiseKind::uniform>(kind, f);
    }
    return dispatch_ball<Real, problem, NoiseKind::none>(kind, f);
}
template <class Real, class F>
auto dispatch_problem(const KernelKind& kind, F f) {
    switch (kind.problem) {
        case ProblemKind::absolute_value: break;
        case ProblemKind::quadratic: return dispatch_noise<Real, ProblemKind::quadratic>(kind, f);
        case ProblemKind::huber: return dispatch_noise<Real, ProblemKind::huber>(kind, f);
    }
    return dispatch_noise<Real, ProblemKind::absolute_value>(kind, f);
}

}  // namespace anneal_sgd::cuda
