// A block of threads as a kernel sees it: on a GPU, or emulated on a CPU, so that the kernels' own code (indices,
// tiles, folds, partial blocks) runs in every test. Included by the kernels.
//
// A kernel is written as work that every thread does, `block.each([&](int thread) {...})`, with barriers, folds and
// shuffles between. What a thread keeps from one piece of work to the next is PerThread; what threads share is Shared.
// On a GPU `each` runs the work once with the thread's own number; the emulation runs it for all threads, in turn
// forwards and backwards, and throws where two threads touch a shared element without a barrier between them and one
// writes.
#pragma once

#include "../core/lanes_plain.hpp"
#include "../core/spec.hpp"
#if !ASGD_CUDA_COMPILER
#include <stdexcept>
#include <string>
#endif

ASGD_ISA_NAMESPACE_BEGIN

inline constexpr int block_threads = 256;
inline constexpr int abreast = 4;  // replicates that a thread advances together, so that their operations overlap
inline constexpr int team_threads = row_multiple;  // of a trajectory on data: one for each accumulator of its products
inline constexpr int teams_of_block = block_threads / team_threads;

// One value for each replicate of a thread.
template <class T>
struct PerReplicate {
    T v[abreast];
    ASGD_MEMBER T& operator[](int k) { return v[k]; }
    ASGD_MEMBER const T& operator[](int k) const { return v[k]; }
};

template <class T, int n>
struct Values {
    T v[n];
    ASGD_MEMBER T& operator[](int i) { return v[i]; }
    ASGD_MEMBER const T& operator[](int i) const { return v[i]; }
};

// The thread of a team that holds product i of n after fold_products; n divides team_threads. The others of its
// team_threads / n neighbours hold it too.
ASGD_CONSTEXPR int thread_of_product(int i, int n) { return i * (team_threads / n); }

struct Added {
    template <class T>
    ASGD_MEMBER T operator()(T a, T b) const {
        return a + b;
    }
};

#if ASGD_CUDA_COMPILER

struct Block {
    template <class T>
    struct PerThread {
        T value;
        __device__ __forceinline__ T& operator[](int) { return value; }
    };

    template <class T, int n>
    struct Shared {
        T data[n];
        __device__ __forceinline__ T get(int, int i) const { return data[i]; }
        __device__ __forceinline__ void set(int, int i, T x) { data[i] = x; }
    };

    __device__ __forceinline__ static std::int64_t index() { return blockIdx.x; }
    __device__ __forceinline__ static int log2_ceil(int n) { return 32 - __clz(n - 1); }
    // Sums of whole numbers that any threads add to, in no order.
    __device__ __forceinline__ static void add(std::uint32_t* sum, std::uint32_t n) { atomicAdd(sum, n); }
    __device__ __forceinline__ static void add(std::int64_t* sum, std::int64_t n) {
        atomicAdd(reinterpret_cast<unsigned long long*>(sum), static_cast<unsigned long long>(n));
    }
    __device__ __forceinline__ static void barrier() { __syncthreads(); }
    template <class Work>
    __device__ __forceinline__ static void each(Work work) {
        work(int(threadIdx.x));
    }

    // Stores of a team's threads before it are seen by all of the team after it.
    __device__ __forceinline__ static void team_barrier() { __syncwarp(); }

    // Over teams of `team` neighbouring threads, v[k] = combine(v[k], v[k + w]) for w = team / 2 .. 1; every thread of
    // a team gets the result.
    template <class T, class Combine>
    __device__ __forceinline__ static void fold(PerThread<PerReplicate<T>>& values, int team, Combine combine) {
        for (int w = team / 2; w > 0; w /= 2) {
            ASGD_UNROLL
            for (int k = 0; k < abreast; ++k) {
                T& v = values.value.v[k];
                v = combine(v, __shfl_down_sync(~0u, v, unsigned(w), team));
            }
        }
        ASGD_UNROLL
        for (int k = 0; k < abreast; ++k) values.value.v[k] = __shfl_sync(~0u, values.value.v[k], 0, team);
    }

    // Every thread of a team holds accumulators of n products, its own share of each. They are folded, v[k] += v[k + w]
    // for w = 8 .. 1, and the threads get the sums as thread_of_product says, in element 0. While there are several
    // products a thread gives half of them away for the other half of its partner's: n - 1 shuffles and a few more,
    // where folding one by one takes 4 n. Sums are the same on either side of a pair: a + b = b + a.
    template <class T, int n>
    __device__ __forceinline__ static void fold_products(PerThread<Values<T, n>>& products) {
        T* const v = products.value.v;
        int left = n;
        ASGD_UNROLL
        for (int w = team_threads / 2; w > 0; w /= 2) {
            if (left > 1) {
                left /= 2;
                const bool upper = (threadIdx.x & unsigned(w)) != 0;
                ASGD_UNROLL
                for (int i = 0; i < n / 2; ++i) {
                    if (i >= left) break;
                    const T kept = upper ? v[i + left] : v[i], given = upper ? v[i] : v[i + left];
                    v[i] = kept + __shfl_xor_sync(~0u, given, w, team_threads);
                }
            } else {
                v[0] = v[0] + __shfl_xor_sync(~0u, v[0], w, team_threads);
            }
        }
    }

    // Element i becomes that of the thread source(rank, i) of the team; rank: the thread's own number in the team.
    template <class T, int n, class Source>
    __device__ __forceinline__ static void shuffle(PerThread<Values<T, n>>& values, Source source) {
        ASGD_UNROLL
        for (int i = 0; i < n; ++i)
            values.value.v[i] =
                __shfl_sync(~0u, values.value.v[i], source(int(threadIdx.x) % team_threads, i), team_threads);
    }
};

#else

class Block {
public:
    explicit Block(std::int64_t index) : index_(index) { barrier(); }

    template <class T>
    struct PerThread {
        T values[block_threads];
        T& operator[](int thread) { return values[thread]; }
    };

    template <class T, int n>
    class Shared {
    public:
        T get(int thread, int i) {
            Cell& cell = at(i);
            if (cell.written == epoch_ && cell.writer != thread) conflict("read", i);
            cell.reader = cell.read == epoch_ && cell.reader != thread ? many : thread;
            cell.read = epoch_;
            return cell.value;
        }
        void set(int thread, int i, T x) {
            Cell& cell = at(i);
            if (cell.written == epoch_ && cell.writer != thread) conflict("written", i);
            if (cell.read == epoch_ && cell.reader != thread) conflict("written", i);
            cell.writer = thread;
            cell.written = epoch_;
            cell.value = x;
        }

    private:
        static constexpr int many = -2;
        struct Cell {
            T value{};
            std::int64_t read = -1, written = -1;  // the last epochs
            int reader = -1, writer = -1;
        };
        Cell& at(int i) {
            if (i < 0 || i >= n) throw std::out_of_range("emulated block: shared index " + std::to_string(i));
            return cells_[i];
        }
        static void conflict(const char* how, int i) {
            throw std::logic_error("emulated block: shared element " + std::to_string(i) + " is " + how +
                                   " by a second thread without a barrier");
        }
        Cell cells_[n];
    };

    std::int64_t index() const { return index_; }
    static int log2_ceil(int n) { return n > 1 ? 32 - __builtin_clz(unsigned(n - 1)) : 0; }
    template <class T>
    static void add(T* sum, T n) {
        *sum += n;
    }
    static void barrier() { ++epoch_; }
    template <class Work>
    void each(Work work) {
        forwards_ = !forwards_;
        for (int i = 0; i < block_threads; ++i) work(forwards_ ? i : block_threads - 1 - i);
    }
    static void team_barrier() {}
    template <class T, class Combine>
    static void fold(PerThread<PerReplicate<T>>& values, int team, Combine combine) {
        for (int first = 0; first < block_threads; first += team)
            for (int k = 0; k < abreast; ++k) {
                for (int w = team / 2; w > 0; w /= 2)
                    for (int a = 0; a < w; ++a)
                        values[first + a][k] = combine(values[first + a][k], values[first + a + w][k]);
                for (int a = 1; a < team; ++a) values[first + a][k] = values[first][k];
            }
    }
    template <class T, int n>
    static void fold_products(PerThread<Values<T, n>>& products) {
        for (int first = 0; first < block_threads; first += team_threads) {
            T sums[n];
            for (int i = 0; i < n; ++i) {
                T acc[team_threads];
                for (int a = 0; a < team_threads; ++a) acc[a] = products[first + a][i];
                for (int w = team_threads / 2; w > 0; w /= 2)
                    for (int a = 0; a < w; ++a) acc[a] = acc[a] + acc[a + w];
                sums[i] = acc[0];
            }
            for (int a = 0; a < team_threads; ++a) products[first + a][0] = sums[a * n / team_threads];
        }
    }
    template <class T, int n, class Source>
    static void shuffle(PerThread<Values<T, n>>& values, Source source) {
        for (int first = 0; first < block_threads; first += team_threads) {
            Values<T, n> before[team_threads];
            for (int a = 0; a < team_threads; ++a) before[a] = values[first + a];
            for (int a = 0; a < team_threads; ++a)
                for (int i = 0; i < n; ++i) values[first + a][i] = before[team_thread(source(a, i))][i];
        }
    }

private:
    static int team_thread(int number) {
        if (number < 0 || number >= team_threads)
            throw std::out_of_range("emulated block: shuffle from outside a team");
        return number;
    }

    // Of the block that this host thread emulates; it grows from block to block, so that no element looks touched.
    static inline thread_local std::int64_t epoch_ = 0;
    std::int64_t index_;
    bool forwards_ = false;
};

#endif

ASGD_ISA_NAMESPACE_END
