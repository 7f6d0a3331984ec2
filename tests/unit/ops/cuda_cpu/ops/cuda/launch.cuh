/* SPDX-License-Identifier: Apache-2.0
 *
 * In place of ops/cuda/launch.cuh: kernels run at once, as coroutines (README.md).
 */
#ifndef DPC_TESTS_UNIT_OPS_CUDA_CPU_LAUNCH_CUH
#define DPC_TESTS_UNIT_OPS_CUDA_CPU_LAUNCH_CUH

#include <cuda_bf16.h>

#include "ops/cuda/device.h"

#define DPC_LAUNCH(grid, block, bytes, kernel, ...)                                                \
    dpc_emulate((grid), (block), (bytes), [&] { kernel(__VA_ARGS__); })

#define DPC_SHARED(type, name) type *name = (type *)dpc_emulated_shared

#endif
