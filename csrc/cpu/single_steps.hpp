// Steps of linear models with one output and one sample in a step: the pass over the weights that takes one step
// multiplies them with the next row. Included by data_runner.hpp.
#pragma once

#include "data_pass.hpp"

ASGD_ISA_NAMESPACE_BEGIN

template <class R>
class SingleSteps {
    using Real = typename Lane<R>::Real;
    using Member = typename DataState<R>::Member;
    static constexpr int width = Lane<R>::width;

    DataState<R>& state;
    DataPass<R>& pass;
    const EnsembleSpec& e;
    DataBuffers<R>& b;
    const NetworkLayout& layout;

public:
    SingleSteps(DataState<R>& data_state, DataPass<R>& data_pass)
        : state(data_state), pass(data_pass), e(state.e), b(state.b), layout(state.layout) {}

    // Linear models with one output and one sample in a step: gangs take the whole tile, one after another.
    void advance(std::int64_t begin, std::int64_t end, std::int64_t first, std::int64_t replicates, int n) {
        Member members[most_members];
        const bool sharing = end - begin > 1;
        for (std::int64_t l = 0; l < replicates && !state.stopped(); l += sharing ? 1 : most_members)
            for (std::int64_t c = begin; c < end && !state.stopped_after(0); c += most_members) {
                const std::int64_t members_left = sharing ? end - c : replicates - l;
                const int count = int(members_left < most_members ? members_left : most_members);
                for (int m = 0; m < count; ++m)
                    members[m] = sharing ? state.member(c + m, first + l) : state.member(c, first + l + m);
                if (e.momentum > 0)
                    advance_gang<Terms::momentum>(members, count, sharing, n);
                else if (b.decay[members[0].config] > 0)
                    advance_gang<Terms::rows_and_decay>(members, count, sharing, n);
                else
                    advance_gang<Terms::rows>(members, count, sharing, n);
            }
    }

private:
    // Rows lie anywhere: the core does not guess which is next, and asks for one line after another when it is there.
    static void fetch(const Real* row, std::int64_t length) {
        for (std::int64_t i = 0; i < length; i += 64 / std::int64_t(sizeof(Real))) ASGD_PREFETCH(row + i);
    }

    template <Terms terms>
    void advance_gang(const Member* members, int count, bool sharing, int n) {
        const DataView& data = state.problem(members[0].config).train;
        const Real* const features = static_cast<const Real*>(data.features);
        const Real* const targets = static_cast<const Real*>(data.targets);
        const Real* const row_weights = static_cast<const Real*>(data.row_weights);
        const std::int64_t length = layout.row[0];
        const bool fused = e.problems.projection == ProjectionKind::none && e.iterate == Iterate::last;
        struct Samples {
            const Real* row[most_members];
            alignas(64) Real target[most_members];
            alignas(64) Real row_weight[most_members];
        } samples[2] = {};
        const auto take = [&](int j) {
            const uint32_t* const index =
                b.index + (j + state.tile_sample % 4) * index_replicates + members[0].replicate % index_replicates;
            Samples& into = samples[j % 2];
            for (int m = 0; m < count; ++m) {
                const std::int64_t i = index[sharing ? 0 : m];
                into.row[m] = features + i * length;
                into.target[m] = targets[i];
                if (row_weights != nullptr) into.row_weight[m] = row_weights[i];
            }
        };
        alignas(64) Real factor[most_members] = {};
        bool multiplied = false;  // b.panel holds the products of this step
        take(0);
        for (int j = 0; j < n && !state.stopped_after(0); ++j) {
            const Samples& now = samples[j % 2];
            const bool more = j + 1 < n;
            if (more) take(j + 1);
            if (!multiplied)
                for (int m = 0; m < count; ++m) {
                    const Real* const x = members[m].w.x;
                    product_patch<R, 1, 1>(now.row + m, &x, length, 1, b.panel + m * width);
                }
            for (int m = 0; m < most_members; m += width) store(factor + m, folded<R>(b.panel + m * width));
            if (layout.has_intercept)
                for (int m = 0; m < count; ++m) factor[m] = factor[m] + members[m].w.x[layout.intercept[0]];
            pass.differentiate(factor, now.target, row_weights != nullptr ? now.row_weight : nullptr, most_members);
            for (int m = 0; m < (sharing ? count : 1); ++m) state.set_rule(members[m].config, j);
            multiplied = fused && more;
            const Real* const* const next = multiplied ? samples[(j + 1) % 2].row : now.row;
            for (int m = 0; m < count; ++m) {
                const Member& member = members[m];
                const Rule<Real>& rule = b.rule[member.config];
                if (m + 2 < count) fetch(next[m + 2], length);
                factor[m] = (terms == Terms::momentum ? state.share : rule.minus_lr * state.share) * factor[m];
                add_row_and_multiply<R, terms>(rule, now.row[m], next[m], factor[m], member.w, length,
                                               b.panel + m * width);
                if (layout.has_intercept) pass.template update_intercepts<terms>(rule, {factor + m, 1, 1}, member, 0);
                if (!fused) state.finish_step(member);
            }
        }
    }
};

ASGD_ISA_NAMESPACE_END
