// Steps by gangs: trajectories whose outputs are differentiated together, in any network and batch. Included by
// data_runner.hpp.
#pragma once

#include "data_pass.hpp"

ASGD_ISA_NAMESPACE_BEGIN

template <class R>
class GangSteps {
    using Real = typename Lane<R>::Real;
    using Member = typename DataState<R>::Member;
    static constexpr int width = Lane<R>::width;

    DataState<R>& state;
    DataPass<R>& pass;
    const EnsembleSpec& e;
    DataBuffers<R>& b;
    const NetworkLayout& layout;
    const std::int64_t batch;

public:
    GangSteps(DataState<R>& data_state, DataPass<R>& data_pass)
        : state(data_state), pass(data_pass), e(state.e), b(state.b), layout(state.layout), batch(state.batch) {}

    // A gang of replicates of one config, each with its own rows.
    void advance_separate(std::int64_t c, std::int64_t first, std::int64_t n_members, int n) {
        const DataView& data = state.problem(c).train;
        Member members[most_members];
        for (std::int64_t m = 0; m < n_members; ++m) members[m] = state.member(c, first + m);
        for (int j = 0; j < n && !state.stopped_after(0); ++j) {
            state.set_rule(c, j);
            for (std::int64_t m = 0; m < n_members; ++m) state.take_batch(data, j, first + m, m * batch);
            take_step(members, int(n_members), false);
        }
    }

    // All configs begin .. end - 1 of one replicate, with the same rows, gang after gang.
    void advance_sharing(std::int64_t begin, std::int64_t end, std::int64_t replicate, int n) {
        const DataView& data = state.problem(begin).train;
        Member members[most_members];
        for (int j = 0; j < n && !state.stopped_after(0); ++j) {
            for (int m = 0; m < b.members; ++m) state.take_batch(data, j, replicate, m * batch);
            for (std::int64_t c = begin; c < end; c += b.members) {
                const int n_members = int(end - c < b.members ? end - c : b.members);
                for (int m = 0; m < n_members; ++m) {
                    members[m] = state.member(c + m, replicate);
                    state.set_rule(c + m, j);
                }
                take_step(members, n_members, true);
            }
        }
    }

private:
    // One step of every member; the rows of member m are b.row[m * batch ...], those of all are the same if `sharing`.
    void take_step(const Member* members, int n_members, bool sharing) {
        if (b.linear)
            pass.linear_outputs(members, n_members, sharing);
        else
            pass.network_outputs(members[0].w.x, b.row, batch);
        const std::int64_t n_samples = n_members * batch;
        const Real* const row_weight = state.has_row_weights(members[0].config) ? b.row_weight : nullptr;
        pass.differentiate(b.output, b.target, row_weight, n_samples);
        for (int m = 0; m < n_members; ++m) {
            const Real scale = e.momentum > 0 ? state.share : b.rule[members[m].config].minus_lr * state.share;
            for (std::int64_t k = 0; k < layout.units[layout.layers - 1]; ++k) {
                Real* const c = b.output + k * b.samples + m * batch;
                for (std::int64_t s = 0; s < batch; ++s) c[s] = scale * c[s];
            }
        }
        if (e.momentum > 0)
            update_members<Terms::momentum>(members, n_members);
        else if (b.decay[members[0].config] > 0)
            update_members<Terms::rows_and_decay>(members, n_members);
        else
            update_members<Terms::rows>(members, n_members);
    }

    template <Terms terms>
    void update_members(const Member* members, int n_members) {
        for (int m = 0; m < n_members; ++m) {
            pass.template update_layers<terms>(members[m], m * batch);
            state.finish_step(members[m]);
        }
    }
};

ASGD_ISA_NAMESPACE_END
