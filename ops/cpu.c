/* SPDX-License-Identifier: Apache-2.0
 * The choice among the instruction sets, and what belongs to no set. */
#include "ops/ops.h"

#include <math.h>
#include <pthread.h>
#include <stdbool.h>

#include "ops/tables.h"

extern const struct dpc_ops dpc_baseline_table, dpc_avx2_table, dpc_avx512_table;

static bool
runs_always(void)
{
    return true;
}

#ifdef DPC_OPS_X86_64
static bool
runs_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool
runs_avx512(void)
{
    return runs_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

/* Widest first. */
static const struct {
    const struct dpc_ops *ops;
    bool (*runs)(void);
} sets[] = {
#ifdef DPC_OPS_X86_64
    {&dpc_avx512_table, runs_avx512},
    {&dpc_avx2_table, runs_avx2},
#endif
    {&dpc_baseline_table, runs_always},
};

static pthread_once_t once = PTHREAD_ONCE_INIT;

const struct dpc_ops *
dpc_ops_cpu_at(size_t index)
{
    pthread_once(&once, dpc_blas_use_one_thread);
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        if (sets[i].runs() && index-- == 0)
            return sets[i].ops;
    }
    return NULL;
}

const struct dpc_ops *
dpc_ops_cpu(void)
{
    return dpc_ops_cpu_at(0);
}

size_t
dpc_attention_scratch_floats(size_t T, size_t D)
{
    size_t strip = (T + DPC_ATTENTION_ALIGN - 1) / DPC_ATTENTION_ALIGN * DPC_ATTENTION_ALIGN;
    return (3 * D + 2 * DPC_ATTENTION_BLOCK) * (strip + DPC_ATTENTION_SKEW);
}

void
dpc_rope_fill(float *cosines, float *sines, size_t T, size_t D, double base)
{
    size_t half = D / 2;
    for (size_t t = 0; t < T; t++) {
        for (size_t d = 0; d < half; d++) {
            double angle = (double)t * pow(base, -2.0 * (double)d / (double)D);
            cosines[t * half + d] = (float)cos(angle);
            sines[t * half + d] = (float)sin(angle);
        }
    }
}
