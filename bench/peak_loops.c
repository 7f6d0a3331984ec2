/* SPDX-License-Identifier: Apache-2.0
 * Twelve independent sums hide the latency of a fused multiply-add (4 to 6 cycles, two a cycle) and
 * still fit the 16 registers of AVX2 with both factors. Each sum starts elsewhere, or the compiler
 * would see twelve times the same. s = s / 2 + 1 nears 2: no overflow and no denormal number, which
 * some CPUs compute slowly. None starts at 2, where the compiler sees that nothing changes. The
 * target attribute lets one file hold functions for CPUs that the rest of the program does not ask
 * for. */
#include "bench/peak_loops.h"

#include <stdbool.h>
#include <stddef.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define TARGET(isa) __attribute__((target(isa)))
#else
#define TARGET(isa)
#endif

enum { SUMS = 12 };

#define ALL_SUMS(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)
#define START(i)     vec s##i = zero + (float)(i + 3);
#define ADD(i)       total += s##i;

/* A function `name` that applies STEP to all sums; `lanes` floats a vector. */
#define LOOP(name, isa, lanes, STEP)                                                               \
    TARGET(isa)                                                                                    \
    static float name(uint64_t iterations)                                                         \
    {                                                                                              \
        typedef float vec __attribute__((vector_size(4 * (lanes))));                               \
        vec zero = {0}, total = zero;                                                              \
        float sum = 0;                                                                             \
        ALL_SUMS(START)                                                                            \
        for (uint64_t i = 0; i < iterations; i++) {                                                \
            ALL_SUMS(STEP)                                                                         \
        }                                                                                          \
        ALL_SUMS(ADD)                                                                              \
        for (int lane = 0; lane < (lanes); lane++)                                                 \
            sum += total[lane];                                                                    \
        return sum;                                                                                \
    }

/* The compiler contracts it to one instruction where the set has one. */
#define MULTIPLY_ADD(i) s##i = s##i * 0.5f + 1.0f;
/* 32 bf16 products into 16 fp32 sums, 1 * 0.5 each; the sums grow until 0.5 is too small to count.
 */
#define PAIRS(bits) ((__m512bh)_mm512_set1_epi32((int)((bits) << 16 | (bits))))
#define DOT(i)      s##i = (vec)_mm512_dpbf16_ps((__m512)s##i, PAIRS(0x3f80u), PAIRS(0x3f00u));

LOOP(fp32_plain, "sse2", 4, MULTIPLY_ADD)
#if defined(__x86_64__)
LOOP(fp32_avx2, "avx2,fma", 8, MULTIPLY_ADD)
LOOP(fp32_avx512, "avx512f", 16, MULTIPLY_ADD)
LOOP(bf16_avx512, "avx512f,avx512bw,avx512bf16", 16, DOT)
#endif

struct dpc_peak_set
dpc_peak_widest(void)
{
    struct dpc_peak_set set = {.isa = "plain", .fp32 = {fp32_plain, SUMS * 4 * 2}};
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        set = (struct dpc_peak_set){.isa = "avx2", .fp32 = {fp32_avx2, SUMS * 8 * 2}};
    if (__builtin_cpu_supports("avx512f"))
        set = (struct dpc_peak_set){.isa = "avx512", .fp32 = {fp32_avx512, SUMS * 16 * 2}};
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bf16"))
        set.bf16 = (struct dpc_peak_loop){bf16_avx512, SUMS * 32 * 2};
#endif
    return set;
}
