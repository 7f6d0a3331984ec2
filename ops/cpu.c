/* SPDX-License-Identifier: Apache-2.0
 * The choice among instruction sets and libraries, and what belongs to none of them. A table is the
 * kernels of one instruction set with the products of one library. */
#include "ops/ops.h"

#include <math.h>
#include <pthread.h>

#include "base/bf16.h"
#include "ops/tables.h"

extern const struct dpc_ops dpc_baseline_table, dpc_avx2_table, dpc_avx512_table;
extern const struct dpc_ops dpc_avx512_bf16_table;

static bool
runs_always(void)
{
    return true;
}

static bool
set_blas(struct dpc_ops *ops)
{
    dpc_blas_set_products(ops);
    return true;
}

#ifdef DPC_OPS_X86_64
static bool
runs_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

/* OpenBLAS takes kernels of 2004 on processors that are newer than it is: a fifth of the speed. */
static bool
runs_avx2_beside_old_blas(void)
{
    return runs_avx2() && !dpc_blas_has_avx2();
}

static bool
runs_avx2_beside_new_blas(void)
{
    return runs_avx2() && dpc_blas_has_avx2();
}

static bool
runs_avx512(void)
{
    return runs_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

static bool
runs_avx512_bf16(void)
{
    return runs_avx512() && __builtin_cpu_supports("avx512bf16");
}
#endif

/* Fastest first within a dtype. oneDNN's AVX-512 products are 7 to 15 % ahead of OpenBLAS's at the
 * shapes of a block (docs/performance.md); without AVX-512 they are not, where OpenBLAS knows the
 * processor. */
static const struct {
    const struct dpc_ops *kernels;
    bool (*runs)(void);
    bool (*set_products)(struct dpc_ops *ops);
} choices[] = {
#ifdef DPC_OPS_X86_64
    {&dpc_avx512_table, runs_avx512, dpc_onednn_set_products},
    {&dpc_avx512_table, runs_avx512, set_blas},
    {&dpc_avx2_table, runs_avx2_beside_old_blas, dpc_onednn_set_products},
    {&dpc_avx2_table, runs_avx2, set_blas},
    {&dpc_avx2_table, runs_avx2_beside_new_blas, dpc_onednn_set_products},
#endif
    {&dpc_baseline_table, runs_always, set_blas},
#ifdef DPC_OPS_X86_64
    {&dpc_avx512_bf16_table, runs_avx512_bf16, dpc_onednn_set_products},
#endif
};

enum { CHOICES = sizeof choices / sizeof *choices };

static struct dpc_ops tables[CHOICES];
static size_t tables_count;

static void
build_tables(void)
{
    dpc_blas_use_one_thread();
    for (size_t i = 0; i < CHOICES; i++) {
        if (!choices[i].runs())
            continue;
        tables[tables_count] = *choices[i].kernels;
#ifdef __aarch64__
        tables[tables_count].name = "neon"; /* of every such processor, so the baseline */
#endif
        if (choices[i].set_products(&tables[tables_count]))
            tables_count++;
    }
}

const struct dpc_ops *
dpc_ops_cpu_at(size_t index)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, build_tables);
    return index < tables_count ? &tables[index] : NULL;
}

const struct dpc_ops *
dpc_ops_cpu(enum dpc_dtype dtype)
{
    const struct dpc_ops *ops;
    for (size_t i = 0; (ops = dpc_ops_cpu_at(i)); i++) {
        if (ops->dtype == dtype)
            return ops;
    }
    return NULL;
}

const struct dpc_ops *
dpc_ops_reference(enum dpc_dtype dtype)
{
    return dtype == DPC_BF16 ? &dpc_reference_bf16_table : &dpc_reference_fp32_table;
}

float
dpc_act_read(const struct dpc_ops *ops, const struct dpc_act *acts, size_t index)
{
    return ops->dtype == DPC_BF16 ? dpc_bf16_to_float(((const uint16_t *)acts)[index])
                                  : ((const float *)acts)[index];
}

void
dpc_act_write(const struct dpc_ops *ops, struct dpc_act *acts, size_t index, float value)
{
    if (ops->dtype == DPC_BF16)
        ((uint16_t *)acts)[index] = dpc_bf16_from_float(value);
    else
        ((float *)acts)[index] = value;
}

size_t
dpc_attention_scratch_bytes(const struct dpc_attention_shape *shape)
{
    size_t T = shape->T, D = shape->D;
    size_t strip = (T + DPC_ATTENTION_ALIGN - 1) / DPC_ATTENTION_ALIGN * DPC_ATTENTION_ALIGN;
    return sizeof(float) * ((5 * D + 3 * DPC_ATTENTION_BLOCK) * (strip + DPC_ATTENTION_SKEW) +
                            5 * DPC_ATTENTION_BLOCK * D);
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
