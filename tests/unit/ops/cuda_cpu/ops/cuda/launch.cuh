/* SPDX-License-Identifier: Apache-2.0
 *
 * In place of ops/cuda/launch.cuh: kernels are queued, and run as coroutines (README.md).
 */
#ifndef DPC_TESTS_UNIT_OPS_CUDA_CPU_LAUNCH_CUH
#define DPC_TESTS_UNIT_OPS_CUDA_CPU_LAUNCH_CUH

#include <cuda_bf16.h>

#include "ops/cuda/device.h"

#define DPC_LAUNCH(grid, block, bytes, kernel, ...)                                                \
    dpc_emulated_launch((grid), (block), (bytes), [=](auto... given) { kernel(given...); },        \
                        __VA_ARGS__)

/* With copies of what the kernel is given, as a card's launch makes them. */
template <typename Kernel, typename... Given>
static inline void
dpc_emulated_launch(dim3 grid, dim3 block, size_t bytes, Kernel kernel, Given... given)
{
    dpc_emulated_queue(dpc_cuda.stream, [=] {
        dpc_emulate(grid, block, bytes, [&] { kernel(given...); });
    });
}

#define DPC_SHARED(type, name) type *name = (type *)dpc_emulated_shared

#endif
