// Which rows a block's trajectories take as their samples: worked out by all threads together, into shared memory, for
// as many samples ahead as there is room for. Included by step_kernel.hpp.
#pragma once

#include "teams.hpp"
//
#include "../core/sampling.hpp"

ASGD_ISA_NAMESPACE_BEGIN

// With common random numbers the block's configs share a sequence of samples for each replicate; otherwise every team
// has its own.
struct RowNumbers {
    typename Block::template Shared<std::uint32_t, cuda::most_row_numbers> number;  // [sequence, sample]
};

struct SampleSequences {
    const cuda::DataLaunch& p;
    Block& block;
    const Teams& teams;
    RowNumbers& shared;
    std::int64_t begin = 0, end = 0;  // samples that are in shared memory

    ASGD_KERNEL_MEMBER int log2_sequences() const {
        return p.ensemble.common_random_numbers ? p.layout.log2_replicates : 4;
    }
    ASGD_KERNEL_MEMBER int samples_ahead() const { return cuda::most_row_numbers >> log2_sequences(); }
    ASGD_KERNEL_MEMBER std::uint32_t row(int thread, std::int64_t sample) {
        const int sequence = thread / team_threads & ((1 << log2_sequences()) - 1);
        return shared.number.get(thread, sequence * samples_ahead() + int(sample - begin));
    }

    // Samples first .. first + count - 1, and more ahead but not past `last`, are worked out unless they are there.
    ASGD_KERNEL_MEMBER void have(std::int64_t first, int count, std::int64_t last) {
        if (begin <= first && first + count <= end) return;
        begin = first / 4 * 4;
        end = smaller(begin + samples_ahead(), last);
        block.barrier();
        if (p.network.sampling == Sampling::with_replacement)
            draw();
        else
            reshuffle();
        block.barrier();
    }

private:
    ASGD_KERNEL_MEMBER PhiloxLanes<std::uint32_t> lanes(int sequence, std::uint32_t block_number) const {
        return philox_lanes(std::uint32_t(teams.replicate_of_team(sequence)), block_number, keys_of(p));
    }

    ASGD_KERNEL_MEMBER void draw() {
        const int sequences = 1 << log2_sequences(), calls = int(end - begin + 3) / 4;
        const std::uint32_t rows = std::uint32_t(teams.problem().train.rows);
        block.each([&](int thread) {
            for (int item = thread; item < sequences * calls; item += block_threads) {
                const int sequence = item & (sequences - 1), i = item >> log2_sequences();
                const std::int64_t call = begin / 4 + i;
                std::uint32_t words[4];
                philox_words(lanes(sequence, block_of_samples + std::uint32_t(call >> 32)),
                             philox_call(teams.stream_of_team(sequence), std::uint32_t(call), keys_of(p)), keys_of(p),
                             words);
                ASGD_UNROLL
                for (int k = 0; k < 4; ++k) {
                    std::uint32_t high, low;
                    mul_high_low(rows, words[k], high, low);
                    shared.number.set(thread, sequence * samples_ahead() + 4 * i + k, high);
                }
            }
        });
    }

    // Every thread takes a run of samples of one sequence, so that it works out the keys of an epoch once.
    ASGD_KERNEL_MEMBER void reshuffle() {
        const int sequences = 1 << log2_sequences(), length = int(end - begin);
        const int run = (length * sequences + block_threads - 1) / block_threads, runs = (length + run - 1) / run;
        const std::uint32_t rows = std::uint32_t(teams.problem().train.rows);
        const ShuffleGrid grid = shuffle_grid(rows);
        block.each([&](int thread) {
            const int sequence = thread & (sequences - 1), number = thread >> log2_sequences();
            if (number >= runs) return;
            const int first = number * run, stop = first + run < length ? first + run : length;
            std::int64_t epoch = (begin + first) / rows;
            std::uint32_t position = std::uint32_t(begin + first - epoch * rows);
            std::uint32_t keys[shuffle_rounds];
            epoch_keys(sequence, epoch, keys);
            for (int i = first; i < stop; ++i) {
                std::uint32_t high = position / grid.columns, low = position % grid.columns;
                do shuffle_pass(grid, keys, 1, high, low);
                while (high * grid.columns + low >= rows);  // cells beyond the last row lead on to others
                shared.number.set(thread, sequence * samples_ahead() + i, high * grid.columns + low);
                if (++position == rows) {
                    position = 0;
                    epoch_keys(sequence, ++epoch, keys);
                }
            }
        });
    }

    ASGD_KERNEL_MEMBER void epoch_keys(int sequence, std::int64_t epoch, std::uint32_t keys[shuffle_rounds]) const {
        const std::int64_t first = epoch * calls_per_epoch;
        const auto own = lanes(sequence, block_of_epochs + std::uint32_t(first >> 32));
        ASGD_UNROLL
        for (int call = 0; call < calls_per_epoch; ++call)
            philox_words(own, philox_call(teams.stream_of_team(sequence), std::uint32_t(first + call), keys_of(p)),
                         keys_of(p), keys + 4 * call);
    }
};

ASGD_ISA_NAMESPACE_END
