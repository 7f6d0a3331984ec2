/* SPDX-License-Identifier: Apache-2.0
 *
 * Inside the plug-in: how a panel is described to products of a warpgroup (warpgroup.cuh).
 */
#ifndef DPC_OPS_CUDA_PANEL_CUH
#define DPC_OPS_CUDA_PANEL_CUH

#include <cuda_bf16.h>
#include <stdint.h>

enum { PANEL_COLUMNS = 64, PANEL_GROUP_BYTES = 8 * PANEL_COLUMNS * 2 };

/* What a panel's rows are: b's columns (values along a row are the inner index), or the inner index
 * itself (values along a row are b's columns). */
enum panel_rows { ROWS_ARE_COLUMNS, ROWS_ARE_INNER };

/* Describes b that begins at `address`, in a panel ("Matrix descriptor format": start, strides of
 * groups of eight rows, exchange within 128 bytes). Sixteen further values of the inner index are
 * 32 bytes, or 16 rows, further. */
static __device__ inline uint64_t
panel_at(uint32_t address)
{
    const uint64_t stride = PANEL_GROUP_BYTES >> 4, exchange = 1;
    return (uint64_t)((address & 0x3ffff) >> 4) | stride << 16 | stride << 32 | exchange << 62;
}

/* The same panel `bytes` further. */
static __device__ inline uint64_t
panel_further(uint64_t panel, uint32_t bytes)
{
    return panel + (bytes >> 4);
}

#endif
