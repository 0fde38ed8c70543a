#include "engine.hpp"

#include <immintrin.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <vector>

namespace ptxrun {
namespace {

constexpr u32 most_threads = 1024, warp_size = 32, most_warps = most_threads / warp_size;
constexpr u64 stack_bytes = 512 << 10, most_shared = 228 << 10;
constexpr u64 gap = 512, alignment = 256;  // of allocations, in bytes

Config config;
Env env;

// --- the running launch

const KernelEntry* kernel;
const u8* parameters;
std::string wrong;
// What lies between two barriers of a block is a phase, what lies between two barriers of a warp a turn of the warp.
// Both are numbered through all blocks and launches.
u32 phase = 0, launch_phase, block_phase;
u32 turns[most_warps];

enum State : u8 { ready, at_shuffle, at_warp_barrier, at_barrier, done };
struct Fiber {
    void* stack_pointer;
    State state;
    int line;
    int mode;  // of a shuffle, and its operands
    u32 value, b, c, mask, result;
    bool in_range;
};
Fiber fibers[most_threads];
u8 *stacks, *shared_memory;
void* scheduler_stack;
u32 current;

extern "C" void ptxrun_switch(void** save, void* to);
asm(R"(
.text
.globl ptxrun_switch
.hidden ptxrun_switch
.type ptxrun_switch, @function
ptxrun_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size ptxrun_switch, .-ptxrun_switch
)");

void to_scheduler() { ptxrun_switch(&fibers[current].stack_pointer, scheduler_stack); }

std::string place(int line, u32 thread) {
    return std::string(kernel->name) + " line " + std::to_string(line) + ", block " + std::to_string(env.ctaid) +
           " thread " + std::to_string(thread);
}

// Does not return.
void fail(const char* what, int line) {
    if (wrong.empty()) wrong = std::string(what) + " at " + place(line, env.tid);
    for (;;) to_scheduler();
}

// --- races

// Who read or wrote last: a thread, several of one warp in the same turn, or several warps; `added`: threads whose
// atomic sums need no order among themselves.
constexpr u16 several_of_warp = 0x8000, added = 0xfffe, several = 0xffff;
u16 warp_of(u16 who) { return who < most_threads ? u16(who / warp_size) : u16(who & ~several_of_warp); }

struct Touched {  // a word of memory; phase 0: never
    u32 write_phase, write_turn, read_phase, read_turn;
    u16 writer, reader;
};

// Whether what `who` did in this phase is known to come before what the thread does now.
bool ordered(u16 who, u32 turn, u32 thread) {
    return who == thread || (who < added && warp_of(who) == thread / warp_size && turn < turns[thread / warp_size]);
}

void touch(Touched& t, int how, bool global, int line) {
    const u32 thread = env.tid, turn = turns[thread / warp_size];
    const bool sums = how == adds && t.writer == added;
    const bool written = !sums && t.write_phase == phase && !ordered(t.writer, t.write_turn, thread);
    const bool read = t.read_phase == phase && !ordered(t.reader, t.read_turn, thread);
    const auto by_another_block = [&](u32 p) { return global && p >= launch_phase && p < block_phase; };
    if (how != reads) {
        if (written) fail(global ? "RACE: global write after write" : "RACE: shared write after write", line);
        if (read) fail(global ? "RACE: global write after read" : "RACE: shared write after read", line);
        if (!sums && by_another_block(t.write_phase)) fail("RACE: global writes of two blocks", line);
        if (by_another_block(t.read_phase)) fail("RACE: global write after another block's read", line);
        t.writer = how == adds && (sums || t.write_phase != phase) ? added : u16(thread);
        t.write_phase = phase, t.write_turn = turn;
        return;
    }
    if (written) fail(global ? "RACE: global read after write" : "RACE: shared read after write", line);
    if (by_another_block(t.write_phase)) fail("RACE: global read after another block's write", line);
    if (!read)
        t.reader = u16(thread);
    else
        t.reader = t.reader != several && warp_of(t.reader) == thread / warp_size
                       ? u16(several_of_warp | thread / warp_size)
                       : several;
    t.read_phase = phase, t.read_turn = turn;
}

// --- memory

u8 *arena, *initialised;  // one byte of `initialised` for 4 of the arena
Touched* touched;
Touched shared_touched[most_shared / 4];
std::map<u64, u64> allocations;  // offset -> bytes; the devices' memories follow one another
u64 in_use[most_devices];        // bytes
u64 arena_bytes;
u64 memory_begin;                  // of the device that runs the launch
u64 last_begin = 1, last_end = 0;  // of the allocation that was used last

u8* reserve(u64 bytes) {
    void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        std::perror("ptxrun: mmap");
        std::abort();
    }
    return static_cast<u8*>(p);
}

// Whether [offset, offset + size) lies in one allocation.
bool find(u64 offset, u64 size) {
    if (offset >= last_begin && offset + size <= last_end) return true;
    auto after = allocations.upper_bound(offset);
    if (after == allocations.begin()) return false;
    --after;
    if (offset + size > after->first + after->second) return false;
    last_begin = after->first;
    last_end = after->first + after->second;
    return true;
}

u64 offset_of(const void* address) { return u64(static_cast<const u8*>(address) - arena); }

bool within(u64 address, u32 size, const void* begin, u64 bytes) {
    return address >= u64(begin) && address + size <= u64(begin) + bytes;
}

u8* access_shared(u64 offset, u32 size, int how, int line) {
    for (u64 i = offset / 4; i <= (offset + size - 1) / 4; ++i) {
        if (how != writes && shared_touched[i].write_phase < block_phase) fail("UNINITIALISED shared read", line);
        touch(shared_touched[i], how, false, line);
    }
    return env.shared + offset;
}

u8* access_global(u64 offset, u32 size, int how, int line) {
    if (offset < memory_begin || offset >= memory_begin + config.memory) fail("ANOTHER DEVICE's memory", line);
    if (!find(offset, size)) fail(how != reads ? "OUT OF BOUNDS global write" : "OUT OF BOUNDS global read", line);
    for (u64 i = offset / 4; i <= (offset + size - 1) / 4; ++i) {
        if (how != writes && !initialised[i]) fail("UNINITIALISED global read", line);
        if (how == writes) initialised[i] = 1;
        touch(touched[i], how, true, line);
    }
    return arena + offset;
}

u8* access(u64 address, u32 size, int space, int how, int line) {
    const bool write = how != reads;
    if (address % size != 0) fail("MISALIGNED access", line);
    if (space == in_shared) {
        if (address < shared_window || address + size > shared_window + env.shared_size)
            fail(write ? "OUT OF BOUNDS shared write" : "OUT OF BOUNDS shared read", line);
        return access_shared(address - shared_window, size, how, line);
    }
    if (space == in_generic && within(address, size, env.shared, env.shared_size))
        return access_shared(address - u64(env.shared), size, how, line);
    const u64 offset = address - u64(arena);
    if (space != in_param && offset < arena_bytes) return access_global(offset, size, how, line);
    u8* const at = reinterpret_cast<u8*>(address);
    if (space != in_global && !write && within(address, size, parameters, kernel->parameter_bytes)) return at;
    // What a function's caller passes.
    if (space != in_global && within(address, size, stacks + current * stack_bytes, stack_bytes)) return at;
    fail(write ? "OUT OF BOUNDS write" : "OUT OF BOUNDS read", line);
    return nullptr;
}

// --- threads wait for each other

void wait_as(State state, int line) {
    fibers[current].state = state;
    fibers[current].line = line;
    to_scheduler();
}

u32 shuffle(int mode, u32 value, u32 b, u32 c, u32 mask, bool* in_range, int line) {
    Fiber& me = fibers[current];
    me.mode = mode, me.value = value, me.b = b, me.c = c, me.mask = mask;
    if (!(mask >> (current % warp_size) & 1)) fail("SHUFFLE by a thread outside its mask", line);
    wait_as(at_shuffle, line);
    if (in_range != nullptr) *in_range = me.in_range;
    return me.result;
}

void barrier(u32 number, int line) {
    if (number != 0) fail("BARRIER other than 0 is not implemented", line);
    wait_as(at_barrier, line);
}

void warp_barrier(u32 mask, int line) {
    if (mask != ~u32(0)) fail("BARRIER of a part of a warp is not implemented", line);
    wait_as(at_warp_barrier, line);
}

// The lane that a lane reads from, as PTX defines it, and whether that is within its segment.
u32 source_lane(const Fiber& x, u32 lane, bool& inside) {
    const u32 segments = x.c >> 8 & 31, clamp = x.c & 31, b = x.b & 31;
    const u32 most = (lane & segments) | (clamp & ~segments), least = lane & segments;
    u32 j = lane;
    inside = false;
    switch (x.mode) {
        case shuffle_up:
            j = lane - b;
            inside = s32(j) >= s32(most);
            break;
        case shuffle_down:
            j = lane + b;
            inside = j <= most;
            break;
        case shuffle_bfly:
            j = lane ^ b;
            inside = j <= most;
            break;
        case shuffle_idx:
            j = least | (b & ~segments);
            inside = j <= most;
            break;
    }
    return inside ? j : lane;
}

// Whether all threads of the mask are at the shuffle that x is at.
bool complete(const Fiber& x, const Fiber* lanes, u32 count) {
    for (u32 k = 0; k < warp_size; ++k) {
        if (!(x.mask >> k & 1)) continue;
        if (k >= count || lanes[k].state != at_shuffle || lanes[k].line != x.line || lanes[k].mask != x.mask)
            return false;
    }
    return true;
}

bool shuffle_warp(u32 first, u32 count) {
    bool any = false;
    Fiber* const lanes = fibers + first;
    for (u32 l = 0; l < count; ++l) {
        if (lanes[l].state != at_shuffle || !complete(lanes[l], lanes, count)) continue;
        const u32 mask = lanes[l].mask;
        for (u32 k = 0; k < count; ++k) {
            if (!(mask >> k & 1)) continue;
            const u32 j = source_lane(lanes[k], k, lanes[k].in_range);
            if (j >= count || !(mask >> j & 1)) {
                wrong = "SHUFFLE from a thread that takes no part, at " + place(lanes[k].line, first + k);
                return true;
            }
            lanes[k].result = lanes[j].value;
        }
        for (u32 k = 0; k < count; ++k)
            if (mask >> k & 1) lanes[k].state = ready;
        any = true;
    }
    return any;
}

// All threads of the warp, at one place.
bool pass_warp_barrier(u32 first, u32 count) {
    for (u32 l = 0; l < count; ++l)
        if (fibers[first + l].state != at_warp_barrier || fibers[first + l].line != fibers[first].line) return false;
    for (u32 l = 0; l < count; ++l) fibers[first + l].state = ready;
    ++turns[first / warp_size];
    return true;
}

// All threads of the block, those of a warp at one place.
void pass_barrier(u32 threads) {
    for (u32 t = 0; t < threads; ++t) {
        const int line = fibers[t / warp_size * warp_size].line;
        if (fibers[t].line != line) {
            wrong = "BARRIER reached at different places by threads of a warp: line " + std::to_string(line) + " and " +
                    place(fibers[t].line, t);
            return;
        }
        fibers[t].state = ready;
    }
    ++phase;
}

void tell_deadlock(u32 threads) {
    const char* const names[] = {"ready", "at a shuffle", "at a barrier of the warp", "at a barrier", "done"};
    wrong = std::string("DEADLOCK in ") + kernel->name + ", block " + std::to_string(env.ctaid) + ":";
    for (u32 t = 0; t < threads; ++t)
        if (t == 0 || fibers[t].state != fibers[t - 1].state || fibers[t].line != fibers[t - 1].line)
            wrong += " thread " + std::to_string(t) + " " + names[fibers[t].state] + ", line " +
                     std::to_string(fibers[t].line) + ";";
}

// --- the order of threads and blocks

u64 random_state = 1;
u32 random_below(u32 n) {
    random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
    return u32((random_state >> 33) % n);
}

void put_in_order(std::vector<u32>& order, u32 n) {
    order.resize(n);
    for (u32 i = 0; i < n; ++i) order[i] = config.order == 1 ? n - 1 - i : i;
    if (config.order == 2)
        for (u32 i = n; i > 1; --i) std::swap(order[i - 1], order[random_below(i)]);
}

// --- running

[[noreturn]] void fiber_main() {
    kernel->run(const_cast<u8*>(parameters));
    fibers[current].state = done;
    for (;;) to_scheduler();
}

void run_thread(u32 t) {
    current = t;
    env.tid = t;
    ptxrun_switch(&scheduler_stack, fibers[t].stack_pointer);
}

void make_fiber(u32 t) {
    // As ptxrun_switch leaves a stack: six registers, and where to go; aligned as after a call.
    u64* top = reinterpret_cast<u64*>(stacks + (t + 1) * stack_bytes - 64);
    *--top = 0;
    *--top = u64(&fiber_main);
    for (int i = 0; i < 6; ++i) *--top = 0;
    fibers[t] = {};
    fibers[t].stack_pointer = top;
}

// Until none of its threads can go on alone. Whether any did.
bool run_warp(u32 first, u32 count) {
    static std::vector<u32> lanes;
    for (bool any = false;;) {
        bool ran = false;
        put_in_order(lanes, count);
        for (const u32 l : lanes) {
            if (fibers[first + l].state != ready) continue;
            run_thread(first + l);
            if (!wrong.empty()) return true;
            ran = true;
        }
        ran = shuffle_warp(first, count) || ran;
        if (!wrong.empty()) return true;
        ran = pass_warp_barrier(first, count) || ran;
        if (!ran) return any;
        any = true;
    }
}

void run_block(u32 threads) {
    block_phase = ++phase;
    std::memset(env.shared, 0xff, env.shared_size);
    for (u32 t = 0; t < threads; ++t) make_fiber(t);
    static std::vector<u32> warps;
    put_in_order(warps, (threads + warp_size - 1) / warp_size);
    for (;;) {
        bool any = false;
        for (const u32 w : warps) {
            any = run_warp(w * warp_size, std::min(warp_size, threads - w * warp_size)) || any;
            if (!wrong.empty()) return;
        }
        const auto all = [&](State state) {
            return std::all_of(fibers, fibers + threads, [&](const Fiber& x) { return x.state == state; });
        };
        if (all(done)) return;
        if (all(at_barrier))
            pass_barrier(threads);
        else if (!any)
            tell_deadlock(threads);
        if (!wrong.empty()) return;
    }
}

}  // namespace

void start(const Config& how, Env** env_of_library) {
    config = how;
    arena_bytes = config.memory * config.devices;
    arena = reserve(arena_bytes);
    initialised = reserve(arena_bytes / 4);
    touched = reinterpret_cast<Touched*>(reserve(arena_bytes / 4 * sizeof(Touched)));
    stacks = reserve(most_threads * stack_bytes);
    shared_memory = reserve(most_shared);
    env.access = access;
    env.shuffle = shuffle;
    env.barrier = barrier;
    env.warp_barrier = warp_barrier;
    env.fail = fail;
    env.shared = shared_memory;
    env.rsqrt = config.rsqrt;
    random_state = config.seed;
    *env_of_library = &env;
}

void join(Env** env_of_library) { *env_of_library = &env; }

void* allocate(u64 bytes, u32 device) {
    // First fit, with gaps, so that what runs past an end is seen.
    const u64 need = (bytes + alignment - 1) / alignment * alignment;
    const u64 first = device * config.memory, end = first + config.memory;
    u64 at = first + gap;
    for (auto next = allocations.lower_bound(first); next != allocations.end(); ++next) {
        const auto [begin, size] = *next;
        if (begin >= at + need + gap) break;
        at = (begin + size + alignment - 1) / alignment * alignment + gap;
    }
    if (need > config.memory || at + need + gap > end) return nullptr;
    allocations[at] = bytes;
    in_use[device] += bytes;
    std::memset(arena + at, 0xff, std::min<u64>(bytes, 64 << 20));
    std::memset(initialised + at / 4, 0, (bytes + 3) / 4);
    return arena + at;
}

bool release(void* memory) {
    const auto found = allocations.find(offset_of(memory));
    if (found == allocations.end()) return false;
    in_use[found->first / config.memory] -= found->second;
    last_begin = 1, last_end = 0;
    allocations.erase(found);
    return true;
}

u64 memory_size() { return config.memory; }
u64 allocated_bytes(u32 device) { return in_use[device]; }
int device_of(const void* address) {
    const u64 offset = offset_of(address);
    return offset < arena_bytes && find(offset, 1) ? int(offset / config.memory) : -1;
}

std::string host_writes(void* address, u64 bytes) {
    const u64 offset = offset_of(address);
    if (offset >= arena_bytes || (bytes > 0 && !find(offset, bytes))) return "OUT OF BOUNDS copy";
    std::memset(initialised + offset / 4, 1, (offset % 4 + bytes + 3) / 4);
    return "";
}

std::string host_reads(const void* address, u64 bytes) {
    const u64 offset = offset_of(address);
    if (offset >= arena_bytes || (bytes > 0 && !find(offset, bytes))) return "OUT OF BOUNDS copy";
    for (u64 i = offset / 4; i < (offset + bytes + 3) / 4; ++i)
        if (!initialised[i]) return "UNINITIALISED memory is copied to the host";
    return "";
}

std::string launch(const KernelEntry& which, u32 blocks, u32 threads, u32 dynamic_shared, const void* arguments,
                   u32 device) {
    alignas(64) static u8 copy[4096];
    kernel = &which;
    env.ntid = threads;
    env.nctaid = blocks;
    env.shared_size = dynamic_shared == 0 ? which.static_shared : (which.static_shared + 15) / 16 * 16 + dynamic_shared;
    if (which.parameter_bytes > sizeof copy) return "parameters of more than 4 KiB";
    if (env.shared_size > most_shared) return "shared memory of more than 228 KiB";
    if (phase > 0xf0000000u) return "the numbers of phases have run out";
    std::memcpy(copy, arguments, which.parameter_bytes);
    parameters = copy;
    memory_begin = device * config.memory;
    const unsigned mode = _mm_getcsr();
    _mm_setcsr(0x1f80);  // round to nearest, keep subnormals, no traps
    launch_phase = phase + 1;
    wrong.clear();
    static std::vector<u32> order;
    put_in_order(order, blocks);
    for (const u32 b : order) {
        env.ctaid = b;
        run_block(threads);
        if (!wrong.empty()) break;
    }
    _mm_setcsr(mode);
    return wrong;
}

}  // namespace ptxrun
