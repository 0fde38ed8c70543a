// A block of threads as a kernel sees it: on a GPU, or emulated on a CPU, so that the kernels' own code (indices,
// tiles, folds, partial blocks) runs in every test. Included by ensemble_kernel.hpp and moments_kernel.hpp.
//
// A kernel is written as work that every thread does, `block.each([&](int thread) {...})`, with barriers and folds
// between. What a thread keeps from one piece of work to the next is PerThread; what threads share is Shared. On a GPU
// `each` runs the work once with the thread's own number; the emulation runs it for all threads, in turn forwards and
// backwards, and throws where two threads touch a shared element without a barrier between them and one writes.
#pragma once

#include "../core/lanes_plain.hpp"
#if !ASGD_CUDA_COMPILER
#include <stdexcept>
#include <string>
#endif

ASGD_ISA_NAMESPACE_BEGIN

inline constexpr int block_threads = 256;
inline constexpr int slots = 4;  // replicates that a thread advances together, so that their operations overlap

// One value per slot of a thread.
template <class T>
struct PerSlot {
    T v[slots];
    ASGD_MEMBER T& operator[](int k) { return v[k]; }
    ASGD_MEMBER const T& operator[](int k) const { return v[k]; }
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
    __device__ __forceinline__ static void barrier() { __syncthreads(); }
    template <class Work>
    __device__ __forceinline__ static void each(Work work) {
        work(int(threadIdx.x));
    }

    // Sums over groups of `lanes` neighbouring threads, v[k] += v[k + w] for w = lanes / 2 .. 1; every thread of a
    // group gets the sum.
    template <class T>
    __device__ __forceinline__ static void fold(PerThread<PerSlot<T>>& values, int lanes) {
        for (int w = lanes / 2; w > 0; w /= 2) {
            ASGD_UNROLL
            for (int k = 0; k < slots; ++k) {
                T& v = values.value.v[k];
                v = v + __shfl_down_sync(~0u, v, unsigned(w), lanes);
            }
        }
        ASGD_UNROLL
        for (int k = 0; k < slots; ++k) values.value.v[k] = __shfl_sync(~0u, values.value.v[k], 0, lanes);
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
    static void barrier() { ++epoch_; }
    template <class Work>
    void each(Work work) {
        forwards_ = !forwards_;
        for (int i = 0; i < block_threads; ++i) work(forwards_ ? i : block_threads - 1 - i);
    }
    template <class T>
    static void fold(PerThread<PerSlot<T>>& values, int lanes) {
        for (int first = 0; first < block_threads; first += lanes)
            for (int k = 0; k < slots; ++k) {
                for (int w = lanes / 2; w > 0; w /= 2)
                    for (int a = 0; a < w; ++a) values[first + a][k] = values[first + a][k] + values[first + a + w][k];
                for (int a = 1; a < lanes; ++a) values[first + a][k] = values[first][k];
            }
    }

private:
    // Of the block that this host thread emulates; it grows from block to block, so that no element looks touched.
    static inline thread_local std::int64_t epoch_ = 0;
    std::int64_t index_;
    bool forwards_ = false;
};

#endif

ASGD_ISA_NAMESPACE_END
