/* SPDX-License-Identifier: Apache-2.0
 *
 * What the vectorised kernels share: the vector type of the instruction set that is compiled for,
 * and an exponential that the compiler inlines into vector loops.
 *
 * Owns: nothing. Threads: any.
 */
#ifndef DPC_OPS_CPU_VEC_H
#define DPC_OPS_CPU_VEC_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

/* DPC_VEC_WIDE asks for the widest vectors whatever the instruction set: the compiler splits them.
 * So a test runs what AVX-512 runs on any machine. */
#if defined(__AVX512F__) || defined(DPC_VEC_WIDE)
#define DPC_VEC_LANES 16
#elif defined(__AVX__)
#define DPC_VEC_LANES 8
#else
#define DPC_VEC_LANES 4
#endif
enum { LANES = DPC_VEC_LANES };

typedef float vec __attribute__((vector_size(LANES * sizeof(float))));
typedef float vec_unaligned
    __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float)), may_alias));

/* The same bits as integers; also what comparisons give. */
typedef int32_t vec_bits __attribute__((vector_size(LANES * sizeof(float))));

#define INLINE static inline __attribute__((always_inline))

INLINE vec
vec_load(const float *from)
{
    return *(const vec_unaligned *)from;
}

INLINE void
vec_store(float *to, vec value)
{
    *(vec_unaligned *)to = value;
}

INLINE vec
vec_splat(float value)
{
    return value - (vec){0};
}

/* a0 b0 a1 b1 ... of the lower or the upper halves of two vectors. */
#if DPC_VEC_LANES == 16
#define VEC_LOW(a, b)                                                                              \
    __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define VEC_HIGH(a, b)                                                                             \
    __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#elif DPC_VEC_LANES == 8
#define VEC_LOW(a, b)  __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define VEC_HIGH(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#else
#define VEC_LOW(a, b)  __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define VEC_HIGH(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#endif

/* A square of LANES x LANES, transposed: each round interleaves row i with row i + LANES / 2, and
 * after log2(LANES) rounds rows are columns. */
INLINE void
vec_transpose(float *to, size_t to_stride, const float *from, size_t from_stride)
{
    vec rows[LANES], next[LANES];
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++)
        rows[i] = vec_load(from + (size_t)i * from_stride);
#pragma GCC unroll 4
    for (int round = 1; round < LANES; round *= 2) {
#pragma GCC unroll 8
        for (int i = 0; i < LANES / 2; i++) {
            next[2 * i] = VEC_LOW(rows[i], rows[i + LANES / 2]);
            next[2 * i + 1] = VEC_HIGH(rows[i], rows[i + LANES / 2]);
        }
#pragma GCC unroll 16
        for (int i = 0; i < LANES; i++)
            rows[i] = next[i];
    }
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++)
        vec_store(to + (size_t)i * to_stride, rows[i]);
}

/* The larger and the smaller of each pair; `b` where one of them is no number, so that a NaN in b
 * stays. */
INLINE vec
vec_max(vec a, vec b)
{
#if defined(__AVX512F__)
    return (vec)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX__) && DPC_VEC_LANES == 8
    return (vec)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__SSE2__) && DPC_VEC_LANES == 4
    return (vec)_mm_max_ps((__m128)a, (__m128)b);
#else
    vec_bits larger = a > b;
    return (vec)((larger & (vec_bits)a) | (~larger & (vec_bits)b));
#endif
}

INLINE vec
vec_min(vec a, vec b)
{
    return -vec_max(-a, -b);
}

/* The first `count` < LANES values, `fill` behind them, which is not read. */
INLINE vec
vec_load_part(const float *from, size_t count, float fill)
{
    vec value = vec_splat(fill);
#if defined(__AVX512F__)
    value = (vec)_mm512_mask_loadu_ps((__m512)value, (__mmask16)((1U << count) - 1), from);
#elif defined(__AVX__) && DPC_VEC_LANES == 8
    vec_bits mask = (vec_bits){0, 1, 2, 3, 4, 5, 6, 7} < (int32_t)count;
    vec_bits bits = (vec_bits)_mm256_maskload_ps(from, (__m256i)mask);
    value = (vec)((mask & bits) | (~mask & (vec_bits)value));
#else
    memcpy(&value, from, count * sizeof *from);
#endif
    return value;
}

INLINE void
vec_store_part(float *to, vec value, size_t count)
{
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(to, (__mmask16)((1U << count) - 1), (__m512)value);
#elif defined(__AVX__) && DPC_VEC_LANES == 8
    vec_bits mask = (vec_bits){0, 1, 2, 3, 4, 5, 6, 7} < (int32_t)count;
    _mm256_maskstore_ps(to, (__m256i)mask, (__m256)value);
#else
    memcpy(to, &value, count * sizeof *to);
#endif
}

/* Sum and largest of a vector's values, by halves: pairs first, always in the same order. */
INLINE float
vec_sum(vec value)
{
    float parts[LANES];
    memcpy(parts, &value, sizeof parts);
#pragma GCC unroll 4
    for (int half = LANES / 2; half > 0; half /= 2) {
#pragma GCC unroll 8
        for (int i = 0; i < half; i++)
            parts[i] += parts[i + half];
    }
    return parts[0];
}

INLINE float
vec_largest(vec value)
{
    float parts[LANES];
    memcpy(parts, &value, sizeof parts);
#pragma GCC unroll 4
    for (int half = LANES / 2; half > 0; half /= 2) {
#pragma GCC unroll 8
        for (int i = 0; i < half; i++)
            parts[i] = parts[i + half] > parts[i] ? parts[i + half] : parts[i];
    }
    return parts[0];
}

/* e^x to 2 ulp for x <= 88; below -87 it stays at e^-87, about 1e-38 (no denormals). Cephes' expf:
 * x = n ln 2 + r, the power of two goes straight into the exponent. The large constant rounds n to
 * an integer and leaves it in the low bits at once. */
INLINE vec
vec_exp(vec x)
{
    const vec magic = vec_splat(0x1.8p23f);
    x = vec_max(vec_splat(-87.0f), x);
    vec shifted = x * vec_splat(0x1.715476p+0f) + magic;
    vec n = shifted - magic;
    vec r = x - n * vec_splat(0.693359375f) + n * vec_splat(2.12194440e-4f);
    vec p = vec_splat(1.9875691500e-4f) * r + vec_splat(1.3981999507e-3f);
    p = p * r + vec_splat(8.3334519073e-3f);
    p = p * r + vec_splat(4.1665795894e-2f);
    p = p * r + vec_splat(1.6666665459e-1f);
    p = p * r + vec_splat(5.0000001201e-1f);
    p = p * (r * r) + (r + vec_splat(1.0f));
    return (vec)((vec_bits)p + ((vec_bits)shifted << 23));
}

#endif
