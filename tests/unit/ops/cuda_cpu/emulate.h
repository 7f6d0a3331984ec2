/* SPDX-License-Identifier: Apache-2.0
 *
 * A card's threads on the CPU. A block's threads are coroutines; blocks run one after another.
 *
 * Owns: stacks and shared memory, which stay. Threads: one. Limits: 1024 threads a block, 227 KiB
 * of shared memory. Not here: CUDA's runtime (runtime.cc).
 */
#ifndef DPC_TESTS_UNIT_OPS_CUDA_CPU_EMULATE_H
#define DPC_TESTS_UNIT_OPS_CUDA_CPU_EMULATE_H

#include <stddef.h>
#include <stdint.h>

#include <functional>

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z)
    {
    }
};

/* Of the thread that runs. */
extern dim3 threadIdx, blockIdx, blockDim, gridDim;

enum {
    DPC_EMULATED_SHARED_MAX = 227 * 1024,
    DPC_EMULATED_SHARED_BEHIND = 1024, /* which nobody may write */
    DPC_EMULATED_THREADS_MAX = 1024,
    DPC_EMULATED_WARP = 32,
    DPC_EMULATED_WARPGROUP = 128
};
extern unsigned char dpc_emulated_shared[DPC_EMULATED_SHARED_MAX + DPC_EMULATED_SHARED_BEHIND];

/* Of the launch that runs: what of it a kernel may touch. */
size_t dpc_emulated_shared_bytes();

/* 90 for 9.0: what the environment variable DPC_EMULATED_CAPABILITY says, or else that. */
int dpc_emulated_capability();

/* Of shared memory, that a block may have on such a card. */
size_t dpc_emulated_shared_most();

/* Says what a kernel did that a card would not do, or that nobody means, and aborts. */
[[noreturn]] void dpc_emulated_fail(const char *what);

/* Runs `thread` once for each thread of each block. */
void dpc_emulate(dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()> &thread);

/* Until all threads of the block that have not ended are here. */
void dpc_emulated_block_barrier();

/* The number of the thread that runs, within its block. */
unsigned dpc_emulated_thread();

/* One instruction of all threads of a warp, or of a warpgroup: each hands in `operand`, and when
 * all have, `run` gets these by their numbers within it, once. */
void dpc_emulated_together(void (*run)(void **operands), void *operand,
                           unsigned size = DPC_EMULATED_WARP);

/* What is to be done when this thread waits for its copies into shared memory, and the waiting. */
void dpc_emulated_copy_later(void *to, const void *from, size_t bytes, bool valid);
void dpc_emulated_copy_now();

#endif
