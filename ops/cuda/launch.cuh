/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the plug-in: how a kernel is launched and finds its shared memory. What only a card's
 * compiler understands stands here and in instructions.cuh, so that the CPU can play the rest
 * (tests/unit/ops/cuda_cpu/).
 */
#ifndef DPC_OPS_CUDA_LAUNCH_CUH
#define DPC_OPS_CUDA_LAUNCH_CUH

#include <cuda_bf16.h>

#include "ops/cuda/device.h"

/* Queues the kernel (in parentheses when its name has a comma) on the card's stream, with `bytes` of
 * shared memory. */
#define DPC_LAUNCH(grid, block, bytes, kernel, ...)                                                \
    kernel<<<(grid), (block), (bytes), dpc_cuda.stream>>>(__VA_ARGS__)

/* Declares that memory, as seen from inside a kernel. A panel (warpgroup.cuh) may begin there. */
#define DPC_SHARED(type, name)                                                                     \
    extern __shared__ __align__(1024) unsigned char dpc_shared_memory[];                           \
    type *name = reinterpret_cast<type *>(dpc_shared_memory)

#endif
