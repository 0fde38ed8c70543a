// What a C++ programmer writes first: a loop over trajectories and steps, the standard library's generators, a thread
// per core. A peer of the benchmarks; nothing of the package uses it.
#include <algorithm>
#include <cstdint>
#include <random>
#include <thread>
#include <vector>

template <class Real>
static void run(Real* out, std::int64_t trajectories, std::int64_t dimension, const Real* lrs, std::int64_t steps,
                const Real* scale, Real weight, Real std_, Real bound, bool absolute, bool gaussian,
                std::uint64_t seed, int threads) {
    auto part = [=](std::int64_t begin, std::int64_t end, std::uint64_t stream) {
        std::seed_seq sequence{std::uint32_t(seed), std::uint32_t(seed >> 32), std::uint32_t(stream)};
        std::mt19937_64 engine(sequence);
        std::normal_distribution<Real> normal;
        for (std::int64_t i = begin; i < end; ++i)
            for (std::int64_t k = 0; k < dimension; ++k) {
                Real x = 1;
                std::uint64_t bits = 0;
                for (std::int64_t t = 0; t < steps; ++t) {
                    Real noise;
                    if (gaussian) {
                        noise = normal(engine);
                    } else {
                        bits = t % 64 ? bits >> 1 : engine();
                        noise = bits & 1 ? Real(1) : Real(-1);
                    }
                    const Real g = weight * (absolute ? Real((x > 0) - (x < 0)) : x) + std_ * noise;
                    x = std::clamp(x - lrs[t] * scale[i] * g, -bound, bound);
                }
                out[i * dimension + k] = x;
            }
    };
    std::vector<std::thread> workers;
    for (int w = 0; w < threads; ++w)
        workers.emplace_back(part, trajectories * w / threads, trajectories * (w + 1) / threads, std::uint64_t(w));
    for (auto& worker : workers) worker.join();
}

#define PEER(name, Real)                                                                                              \
    extern "C" void name(Real* out, std::int64_t trajectories, std::int64_t dimension, const Real* lrs,               \
                         std::int64_t steps, const Real* scale, Real weight, Real std_, Real bound, int absolute,     \
                         int gaussian, std::uint64_t seed, int threads) {                                             \
        run<Real>(out, trajectories, dimension, lrs, steps, scale, weight, std_, bound, absolute, gaussian, seed,     \
                  threads);                                                                                           \
    }
PEER(run_float, float)
PEER(run_double, double)
