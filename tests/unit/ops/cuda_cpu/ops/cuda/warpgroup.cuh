/* SPDX-License-Identifier: Apache-2.0
 *
 * In place of ops/cuda/warpgroup.cuh: its names over what those instructions do (warpgroup.cc).
 */
#ifndef DPC_TESTS_UNIT_OPS_CUDA_CPU_WARPGROUP_CUH
#define DPC_TESTS_UNIT_OPS_CUDA_CPU_WARPGROUP_CUH

#include "ops/cuda/panel.cuh"
#include "tests/unit/ops/cuda_cpu/warpgroup.h"

template <enum panel_rows ROWS>
static inline void
products_begin(float (&c)[8][4], const uint32_t (&a)[4], uint64_t b)
{
    dpc_emulated_products_begin(&c[0][0], a, 0, b, ROWS == ROWS_ARE_INNER, false);
}

template <enum panel_rows ROWS>
static inline void
products_add(float (&c)[8][4], const uint32_t (&a)[4], uint64_t b)
{
    dpc_emulated_products_begin(&c[0][0], a, 0, b, ROWS == ROWS_ARE_INNER, true);
}

template <enum panel_rows ROWS>
static inline void
products_begin(float (&c)[8][4], uint64_t a, uint64_t b)
{
    dpc_emulated_products_begin(&c[0][0], nullptr, a, b, ROWS == ROWS_ARE_INNER, false);
}

template <enum panel_rows ROWS>
static inline void
products_add(float (&c)[8][4], uint64_t a, uint64_t b)
{
    dpc_emulated_products_begin(&c[0][0], nullptr, a, b, ROWS == ROWS_ARE_INNER, true);
}

static inline void
products_fence()
{
    dpc_emulated_products_fence();
}

static inline void
products_commit()
{
    dpc_emulated_products_commit();
}

template <int LEFT>
static inline void
products_wait()
{
    static_assert(LEFT >= 0 && LEFT <= 7, "what an instruction has room for");
    dpc_emulated_products_wait(LEFT);
}

static inline void
products_have(float (&c)[8][4])
{
    dpc_emulated_products_have(&c[0][0]);
}

template <int N>
static inline void
products_have(uint32_t (&)[N][4])
{
}

static inline void
shared_to_products()
{
    dpc_emulated_products_show();
}

#endif
