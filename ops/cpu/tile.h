/* SPDX-License-Identifier: Apache-2.0
 *
 * A small GEMM for attention: c[M,N] = (or +=) a[M,K] b[K,N], where rows of b and c are contiguous
 * and `a` is read one value at a time through any two strides, so that a transposed operand costs
 * nothing. Tiles of 6 rows by 2 vectors live in registers. With `pairs` a value of a and of b is a
 * word of two bf16, which stand for two neighbours along K: one instruction multiplies both and
 * sums in fp32 (DPC_TILE_PAIRS says whether there is one). Nothing is packed: operands are heads of
 * at most some hundred KiB, which stay in L2.
 *
 * Owns: nothing. Threads: any. Not here: large matrices (BLAS has them).
 */
#ifndef DPC_OPS_CPU_TILE_H
#define DPC_OPS_CPU_TILE_H

#include <stdbool.h>

#include "ops/cpu/vec.h"
#include "ops/tables.h"

enum { TILE_ROWS = 6, TILE_VECTORS = 2 };

#if defined(DPC_ACT_BF16) && defined(__AVX512BF16__)
#define DPC_TILE_PAIRS 1
INLINE vec
tile_dot(vec sum, vec left, vec right)
{
    return (vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)left, (__m512bh)right);
}
#else
#define DPC_TILE_PAIRS 0
INLINE vec
tile_dot(vec sum, vec left, vec right)
{
    return sum + left * right; /* never reached: without the instruction nobody asks for pairs */
}
#endif

/* One value in all lanes, whatever its bits mean. */
INLINE vec
tile_splat(const float *value)
{
    int32_t bits;
    memcpy(&bits, value, sizeof bits);
    return (vec)(bits - (vec_bits){0});
}

/* Where a[i,k] stands: values + i * row + k * column. */
struct strided {
    const float *values;
    size_t row, column;
};

/* A vector of columns, or the `part` > 0 columns that fill none. */
INLINE vec
tile_load(const float *from, size_t part)
{
    return part ? vec_load_part(from, part, 0.0f) : vec_load(from);
}

INLINE void
tile_store(float *to, vec value, size_t part)
{
    if (part)
        vec_store_part(to, value, part);
    else
        vec_store(to, value);
}

INLINE void
tile_compute(float *c, size_t ldc, struct strided a, const float *b, size_t ldb, size_t K,
             const int rows, const int vectors, size_t part, bool add, const bool pairs)
{
    vec sum[TILE_ROWS][TILE_VECTORS];
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++) {
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            sum[i][j] = add ? tile_load(c + (size_t)i * ldc + (size_t)j * LANES, part) : (vec){0};
    }
    for (size_t k = 0; k < K; k++) {
        vec right[TILE_VECTORS];
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            right[j] = tile_load(b + k * ldb + (size_t)j * LANES, part);
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            vec left = tile_splat(&a.values[(size_t)i * a.row + k * a.column]);
#pragma GCC unroll 2
            for (int j = 0; j < vectors; j++)
                sum[i][j] =
                    pairs ? tile_dot(sum[i][j], left, right[j]) : sum[i][j] + left * right[j];
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++) {
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            tile_store(c + (size_t)i * ldc + (size_t)j * LANES, sum[i][j], part);
    }
}

/* All rows of one panel of `vectors` vectors of columns, or of one with the first `part` of its
 * columns. */
INLINE void
tile_panel(float *c, size_t ldc, struct strided a, const float *b, size_t ldb, size_t M, size_t K,
           const int vectors, size_t part, bool add, const bool pairs)
{
    size_t i = 0;
    for (; i + TILE_ROWS <= M; i += TILE_ROWS) {
        tile_compute(c + i * ldc, ldc, a, b, ldb, K, TILE_ROWS, vectors, part, add, pairs);
        a.values += TILE_ROWS * a.row;
    }
    for (; i + 2 <= M; i += 2) {
        tile_compute(c + i * ldc, ldc, a, b, ldb, K, 2, vectors, part, add, pairs);
        a.values += 2 * a.row;
    }
    if (i < M)
        tile_compute(c + i * ldc, ldc, a, b, ldb, K, 1, vectors, part, add, pairs);
}

/* With pairs K counts words, and N is a multiple of LANES. */
INLINE void
tile_gemm(float *c, size_t ldc, struct strided a, const float *b, size_t ldb, size_t M, size_t N,
          size_t K, bool add, const bool pairs)
{
    size_t j = 0;
    for (; j + TILE_VECTORS * LANES <= N; j += TILE_VECTORS * LANES)
        tile_panel(c + j, ldc, a, b + j, ldb, M, K, TILE_VECTORS, 0, add, pairs);
    for (; j + LANES <= N; j += LANES)
        tile_panel(c + j, ldc, a, b + j, ldb, M, K, 1, 0, add, pairs);
    if (j < N)
        tile_panel(c + j, ldc, a, b + j, ldb, M, K, 1, N - j, add, pairs);
}

#endif
