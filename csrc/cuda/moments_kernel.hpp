// The kernel that reduces recorded values to moments, one block of threads for each block of replicates and cell: the
// pairwise sums of core/block_moment.hpp; and counts them where that is wanted. Included by kernels.cuh and
// ensemble_emulated.hpp.
#pragma once

#include "../core/block_moment.hpp"
#include "../core/exceedance.hpp"
#include "block.hpp"
#include "launch.hpp"

ASGD_ISA_NAMESPACE_BEGIN

struct MomentsShared {
    typename Block::template Shared<double, int(block_replicates)> slot;
};

template <class Real>
struct MomentsKernel {
    const cuda::MomentsLaunch& p;
    Block& block;
    MomentsShared& shared;
    std::uint32_t* bins;  // dynamic shared memory: exceedance_bins, where they are counted

    static constexpr int per_thread = int(block_replicates) / block_threads;
    struct Own {
        double value[per_thread];  // of slots thread, thread + block_threads, ..; infinite where there is none
    };
    typename Block::template PerThread<Own> own;

    // Slots s[i] = s[i] with s[i + w], for w = 512 .. 1.
    template <class Combine>
    ASGD_KERNEL_MEMBER void fold(Combine combine) {
        for (int w = int(block_replicates) / 2; w > 0; w /= 2) {
            block.barrier();
            block.each([&](int thread) {
                for (int i = thread; i < w; i += block_threads)
                    shared.slot.set(thread, i, combine(shared.slot.get(thread, i), shared.slot.get(thread, i + w)));
            });
        }
        block.barrier();
    }

    // The fold of f(value) over all slots, in every thread; `absent` where a value is not finite.
    template <class F, class Combine>
    ASGD_KERNEL_MEMBER void reduce(typename Block::template PerThread<double>& result, F f, double absent,
                                   Combine combine) {
        block.each([&](int thread) {
            ASGD_UNROLL
            for (int q = 0; q < per_thread; ++q) {
                const double value = own[thread].value[q];
                shared.slot.set(thread, thread + q * block_threads, finite(value) ? f(thread, value) : absent);
            }
        });
        fold(combine);
        block.each([&](int thread) { result[thread] = shared.slot.get(thread, 0); });
        block.barrier();
    }

    ASGD_KERNEL_MEMBER static bool finite(double x) { return absolute(x) <= 0x1.fffffffffffffp+1023; }

    ASGD_KERNEL_MEMBER void run() {
        const std::int64_t cell = block.index() % p.cells, number = block.index() / p.cells;
        const std::int64_t first = (p.first_replicate / block_replicates + number) * block_replicates;
        const std::int64_t start = first < p.first_replicate ? p.first_replicate : first;
        const std::int64_t stop =
            p.stop_replicate < first + block_replicates ? p.stop_replicate : first + block_replicates;
        if (p.counts != nullptr) count_values(cell, start, stop);
        block.each([&](int thread) {
            ASGD_UNROLL
            for (int q = 0; q < per_thread; ++q) {
                const std::int64_t replicate = first + thread + q * block_threads;
                const std::int64_t at = cell * p.value_stride + replicate - p.first_replicate;
                own[thread].value[q] = replicate >= start && replicate < stop
                                           ? double(static_cast<const Real*>(p.values)[at])
                                           : double(infinity());
            }
        });
        typename Block::template PerThread<double> count, sum, m2, minimum, maximum, mean;
        const auto add = [](double a, double b) { return a + b; };
        const auto same = [](int, double value) { return value; };
        reduce(count, [](int, double) { return 1.0; }, 0.0, add);
        reduce(sum, same, 0.0, add);
        reduce(minimum, same, infinity(), [](double a, double b) { return a < b ? a : b; });
        reduce(maximum, same, -infinity(), [](double a, double b) { return a > b ? a : b; });
        block.each([&](int thread) { mean[thread] = count[thread] == 0 ? 0.0 : sum[thread] / count[thread]; });
        if (!finite(sum[0])) {  // the same in every thread
            reduce(sum, [](int, double value) { return value * sum_scale; }, 0.0, add);
            block.each([&](int thread) {
                mean[thread] = unscaled_mean(sum[thread], count[thread], minimum[thread], maximum[thread]);
            });
        }
        reduce(
            m2,
            [&](int thread, double value) {
                const double deviation = value - mean[thread];
                return deviation * deviation;
            },
            0.0, add);
        block.each([&](int thread) {
            if (thread != 0) return;
            Moment& out = p.moments[number * p.cells + cell];
            out.count = std::int64_t(count[thread]);
            out.diverged = stop - start - out.count;
            out.mean = mean[thread];
            out.m2 = m2[thread];
            out.minimum = minimum[thread];
            out.maximum = maximum[thread];
        });
    }

    // Trajectories are alike: a bin may be that of most of them, and is added to in shared memory first.
    ASGD_KERNEL_MEMBER void count_values(std::int64_t cell, std::int64_t start, std::int64_t stop) {
        block.each([&](int thread) {
            for (int i = thread; i < int(exceedance_bins); i += block_threads) bins[i] = 0;
        });
        block.barrier();
        const Real* const values = static_cast<const Real*>(p.values) + cell * p.value_stride - p.first_replicate;
        block.each([&](int thread) {
            for (std::int64_t replicate = start + thread; replicate < stop; replicate += block_threads)
                block.add(bins + exceedance_bin(double(values[replicate])), std::uint32_t(1));
        });
        block.barrier();
        block.each([&](int thread) {
            for (int i = thread; i < int(exceedance_bins); i += block_threads)
                if (bins[i] > 0) block.add(p.counts + cell * exceedance_bins + i, std::int64_t(bins[i]));
        });
    }

    ASGD_KERNEL_MEMBER static double infinity() { return as_real(std::uint64_t(0x7FF0000000000000u)); }
};

ASGD_ISA_NAMESPACE_END
