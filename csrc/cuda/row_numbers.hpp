// Which rows a block's trajectories take as their samples: worked out by all threads together, into shared memory, for
// as many samples ahead as there is room for. Included by step_kernel.hpp.
#pragma once

#include "teams.hpp"
//
#include "../core/sampling.hpp"

ASGD_ISA_NAMESPACE_BEGIN

// [sequence, sample]. With common random numbers the block's configs share a sequence of samples for each replicate;
// otherwise every team has its own.
struct RowNumbers {
    typename Block::template Shared<std::uint32_t, cuda::most_row_numbers> number;
};

// Which samples of which sequences are worked out: first .. first + length - 1, first a multiple of 4.
struct SampleWindow {
    std::int64_t first;
    int length;
    int log2_sequences;
    std::uint32_t rows;             // of the data
    std::uint32_t first_replicate;  // of the block
    std::uint32_t first_config;     // of the block
    int configs;                    // of the block

    ASGD_KERNEL_MEMBER int samples_ahead() const { return cuda::most_row_numbers >> log2_sequences; }
};

// One sequence's share of the counters of Philox.
struct SequenceCounters {
    std::uint32_t replicate, stream;

    ASGD_KERNEL_MEMBER static SequenceCounters of(const cuda::DataLaunch& p, const SampleWindow& w, int sequence) {
        const int log2_replicates = p.layout.log2_replicates, c = lesser(sequence >> log2_replicates, w.configs - 1);
        return {w.first_replicate + std::uint32_t(sequence & ((1 << log2_replicates) - 1)),
                p.ensemble.common_random_numbers ? 0 : w.first_config + std::uint32_t(c)};
    }
    ASGD_KERNEL_MEMBER void words(const cuda::DataLaunch& p, std::uint32_t substream, std::int64_t call,
                                  std::uint32_t out[4]) const {
        const PhiloxKeys keys = keys_of(p);
        philox_words(philox_lanes(replicate, substream + std::uint32_t(call >> 32), keys),
                     philox_call(stream, std::uint32_t(call), keys), keys, out);
    }
};

// Calls of their own: what they need in registers must not push out what the steps need.
ASGD_KERNEL_CALL void draw_rows(const cuda::DataLaunch& p, Block& block, SampleWindow w, RowNumbers& shared) {
    block.each([&](int thread) {
        const int calls = (w.length + 3) / 4;
        for (int item = thread; item < calls << w.log2_sequences; item += block_threads) {
            const int sequence = item & ((1 << w.log2_sequences) - 1), i = item >> w.log2_sequences;
            std::uint32_t words[4];
            SequenceCounters::of(p, w, sequence).words(p, substream_of_samples, w.first / 4 + i, words);
            ASGD_UNROLL
            for (int k = 0; k < 4; ++k) {
                std::uint32_t high, low;
                mul_high_low(w.rows, words[k], high, low);
                shared.number.set(thread, sequence * w.samples_ahead() + 4 * i + k, high);
            }
        }
    });
}

ASGD_KERNEL_FN void epoch_keys(const cuda::DataLaunch& p, const SequenceCounters& counters, std::int64_t epoch,
                               std::uint32_t keys[shuffle_rounds]) {
    ASGD_UNROLL
    for (int call = 0; call < calls_per_epoch; ++call)
        counters.words(p, substream_of_epochs, epoch * calls_per_epoch + call, keys + 4 * call);
}

// Every thread takes a run of samples of one sequence, so that it works out the keys of an epoch once.
ASGD_KERNEL_CALL void reshuffle_rows(const cuda::DataLaunch& p, Block& block, SampleWindow w, RowNumbers& shared) {
    block.each([&](int thread) {
        const int run = ((w.length << w.log2_sequences) + block_threads - 1) / block_threads;
        const int sequence = thread & ((1 << w.log2_sequences) - 1);
        const int first = (thread >> w.log2_sequences) * run, stop = lesser(first + run, w.length);
        if (first >= stop) return;
        const SequenceCounters counters = SequenceCounters::of(p, w, sequence);
        const ShuffleGrid grid = shuffle_grid(w.rows);
        std::int64_t epoch = (w.first + first) / w.rows;
        std::uint32_t position = std::uint32_t(w.first + first - epoch * w.rows);
        std::uint32_t keys[shuffle_rounds];
        epoch_keys(p, counters, epoch, keys);
        for (int i = first; i < stop; ++i, ++position) {
            if (position == w.rows) {
                position = 0;
                epoch_keys(p, counters, ++epoch, keys);
            }
            std::uint32_t high = position / grid.columns, low = position % grid.columns;
            do shuffle_pass(grid, keys, 1, high, low);
            while (high * grid.columns + low >= w.rows);  // cells beyond the last row lead on to others
            shared.number.set(thread, sequence * w.samples_ahead() + i, high * grid.columns + low);
        }
    });
}

ASGD_KERNEL_CALL void count_rows(Block& block, SampleWindow w, RowNumbers& shared) {
    block.each([&](int thread) {
        for (int item = thread; item < w.length << w.log2_sequences; item += block_threads) {
            const int sequence = item & ((1 << w.log2_sequences) - 1), i = item >> w.log2_sequences;
            shared.number.set(thread, sequence * w.samples_ahead() + i, std::uint32_t((w.first + i) % w.rows));
        }
    });
}

// A block's samples.
struct SampleSequences {
    const cuda::DataLaunch& p;
    Block& block;
    RowNumbers& shared;
    std::int64_t first = 0;  // of those that are in shared memory,
    int length = 0;          // and how many

    ASGD_KERNEL_MEMBER int log2_sequences() const {
        return p.ensemble.common_random_numbers ? p.layout.log2_replicates : cuda::log2_teams;
    }
    // Of the sample that lies `offset` after the first.
    ASGD_KERNEL_MEMBER std::uint32_t row(int thread, int offset) {
        const int sequence = thread / team_threads & ((1 << log2_sequences()) - 1);
        return shared.number.get(thread, sequence * (cuda::most_row_numbers >> log2_sequences()) + offset);
    }

    // Samples begin .. begin + count - 1, and more ahead but not past `last`, are worked out unless they are there.
    ASGD_KERNEL_MEMBER void have(const Teams& teams, std::int64_t begin, int count, std::int64_t last) {
        if (first <= begin && begin + count <= first + length) return;
        SampleWindow window{begin / 4 * 4,
                            0,
                            log2_sequences(),
                            std::uint32_t(teams.problem->train.rows),
                            std::uint32_t(teams.first_replicate()),
                            std::uint32_t(teams.first_config),
                            teams.config_count};
        window.length = int(smaller(window.samples_ahead(), last - window.first));
        first = window.first;
        length = window.length;
        block.barrier();
        switch (p.network.sampling) {
            case Sampling::with_replacement: draw_rows(p, block, window, shared); break;
            case Sampling::reshuffling: reshuffle_rows(p, block, window, shared); break;
            case Sampling::sequential: count_rows(block, window, shared); break;
        }
        block.barrier();
    }
};

ASGD_ISA_NAMESPACE_END
