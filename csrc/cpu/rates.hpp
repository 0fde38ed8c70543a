// Loops of operations that hardly wait for each other, from which a benchmark learns how many of which sort a core
// begins per second. Included by isa_kernels.hpp only.
#pragma once

#include "../core/portable.hpp"
#include "kernels.hpp"

ASGD_ISA_NAMESPACE_BEGIN

// --- a chain of operations of one sort, `instructions` of them a turn; `one` is 1, which the compiler does not know

template <class R>
struct ProductChain {
    static constexpr int instructions = 1;
    R x;
    void start(R first, uint32_t) { x = first; }
    void advance(R one, const ProductChain&) { x = anneal_sgd::ASGD_ISA::fma(x, one, one); }
    R end() const { return x; }
};

// Those of Philox.
template <class R>
struct WordProductChain {
    using Word = typename Lane<R>::Word;
    static constexpr int instructions = int(sizeof(Word) > sizeof(R) ? sizeof(Word) / sizeof(R) : 1);
    Word x;
    void start(R, uint32_t number) { x = replicate_words<R>(64 * number); }  // no word of another chain
    void advance(R, const WordProductChain&) {
        Word high;
        mul_high_low(0xD2511F53, x, high, x);
    }
    R end() const { return as_real(word_bits(x, R())); }
};

template <class R>
struct AdditionChain {
    static constexpr int instructions = 1;
    R x;
    void start(R first, uint32_t) { x = first; }
    void advance(R one, const AdditionChain&) { x = x + one; }
    R end() const { return x; }
};

template <class R>
struct MaximumChain {
    static constexpr int instructions = 1;
    R x;
    void start(R first, uint32_t) { x = first; }
    void advance(R one, const MaximumChain&) { x = max_keep_nan(one, x); }
    R end() const { return x; }
};

template <class R>
struct ShiftChain {
    static constexpr int instructions = 1;
    R x;
    void start(R first, uint32_t) { x = first; }
    void advance(R, const ShiftChain&) { x = as_real(as_bits(x) << 1); }
    R end() const { return x; }
};

template <class R>
struct LogicChain {
    static constexpr int instructions = 1;
    R x;
    void start(R first, uint32_t) { x = first; }
    void advance(R, const LogicChain& next) { x = as_real(as_bits(x) ^ as_bits(next.x)); }
    R end() const { return x; }
};

template <class R>
struct SquareRootChain {
    static constexpr int instructions = 1;
    R x;
    void start(R first, uint32_t) { x = first; }
    void advance(R, const SquareRootChain&) { x = anneal_sgd::ASGD_ISA::sqrt(x); }
    R end() const { return x; }
};

// --- loops; they return the number of instructions

template <class R, class First, class Second>
ASGD_CALL std::int64_t work_side_by_side(std::int64_t turns, typename Lane<R>::Real* memory) {
    // Chains of each sort: more operations than are on their way at once, and no more than registers hold.
    constexpr int most = Lane<R>::registers / 4 + 3;
    constexpr int n = most / First::instructions, m = most / Second::instructions;
    const R one = set1<R>(memory[0]);
    First first[n];
    Second second[m];
    // Starts of their own, which the compiler does not know: it would follow one chain for all that are equal.
    ASGD_UNROLL
    for (int k = 0; k < n; ++k) first[k].start(load<R>(memory + k * Lane<R>::width), uint32_t(k));
    ASGD_UNROLL
    for (int k = 0; k < m; ++k) second[k].start(load<R>(memory + (n + k) * Lane<R>::width), uint32_t(n + k));
    for (std::int64_t t = 0; t < turns; ++t) {
        ASGD_UNROLL
        for (int k = 0; k < n; ++k) first[k].advance(one, first[(k + 1) % n]);
        ASGD_UNROLL
        for (int k = 0; k < m; ++k) second[k].advance(one, second[(k + 1) % m]);
    }
    R total = one;
    ASGD_UNROLL
    for (int k = 0; k < n; ++k) total = total + first[k].end();
    ASGD_UNROLL
    for (int k = 0; k < m; ++k) total = total + second[k].end();
    store(memory + Lane<R>::width, total);
    return turns * (n * First::instructions + m * Second::instructions);
}

// Passes over memory, so many vectors of it, a multiple of 8.
template <class R>
ASGD_CALL std::int64_t work_at_stores(std::int64_t turns, typename Lane<R>::Real* memory, std::int64_t vectors) {
    constexpr int width = Lane<R>::width;
    R value = set1<R>(memory[0]);
    for (std::int64_t t = 0; t < turns; ++t) {
        for (std::int64_t v = 0; v < vectors; v += 8) {
            ASGD_UNROLL
            for (int k = 0; k < 8; ++k) store(memory + (v + k) * width, value);
        }
        value = value * value;  // so that no pass is the one before
    }
    return turns * vectors;
}

template <class R>
ASGD_CALL std::int64_t work_at_loads(std::int64_t turns, typename Lane<R>::Real* memory, std::int64_t vectors) {
    constexpr int width = Lane<R>::width;
    typename Lane<R>::Bits found[8];
    ASGD_UNROLL
    for (int k = 0; k < 8; ++k) found[k] = as_bits(load<R>(memory));
    for (std::int64_t t = 0; t < turns; ++t)
        for (std::int64_t v = 0; v < vectors; v += 8) {
            ASGD_UNROLL
            for (int k = 0; k < 8; ++k) found[k] = found[k] ^ as_bits(load<R>(memory + (v + k) * width));
        }
    ASGD_UNROLL
    for (int k = 1; k < 8; ++k) found[0] = found[0] ^ found[k];
    store(memory, as_real(found[0]));
    return turns * vectors;
}

template <class Chain>
struct ChainType {
    using Type = Chain;
};

// f(ChainType<of a sort that goes side by side with others>()).
template <class R, class F>
ASGD_FN std::int64_t with_chain(CoreWork work, F f) {
    switch (work) {
        case CoreWork::product: return f(ChainType<ProductChain<R>>());
        case CoreWork::word_product: return f(ChainType<WordProductChain<R>>());
        case CoreWork::addition: return f(ChainType<AdditionChain<R>>());
        case CoreWork::maximum: return f(ChainType<MaximumChain<R>>());
        case CoreWork::shift: return f(ChainType<ShiftChain<R>>());
        case CoreWork::logic: return f(ChainType<LogicChain<R>>());
        case CoreWork::square_root: return f(ChainType<SquareRootChain<R>>());
        case CoreWork::store:
        case CoreWork::load: return 0;
    }
    __builtin_unreachable();
}

template <class R>
ASGD_FN std::int64_t work_of(CoreWork first, CoreWork second, std::int64_t turns, void* memory, std::int64_t bytes) {
    using Real = typename Lane<R>::Real;
    Real* const reals = static_cast<Real*>(memory);
    const std::int64_t vectors = bytes / std::int64_t(sizeof(Real) * Lane<R>::width) / 8 * 8;
    if (first == CoreWork::store) return work_at_stores<R>(turns, reals, vectors);
    if (first == CoreWork::load) return work_at_loads<R>(turns, reals, vectors);
    return with_chain<R>(first, [&](auto one) {
        return with_chain<R>(second, [&](auto other) {
            return work_side_by_side<R, typename decltype(one)::Type, typename decltype(other)::Type>(turns, reals);
        });
    });
}

ASGD_ISA_NAMESPACE_END
