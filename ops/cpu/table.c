/* SPDX-License-Identifier: Apache-2.0
 * The op table of one instruction set: its own kernels and the plain ones. Who multiplies matrices
 * is chosen in ops/cpu.c. */
#include "ops/cpu/kernels.h"

#include "ops/cpu/act.h"
#include "ops/tables.h"

#define TEXT2(x) #x
#define TEXT(x)  TEXT2(x)

#ifdef DPC_ACT_BF16
#define PLAIN_ROWS(verb) dpc_plain_##verb##_rows_bf16
#else
#define PLAIN_ROWS(verb) dpc_plain_##verb##_rows_fp32
#endif

const struct dpc_ops KERNEL(table) = {
    .name = TEXT(DPC_ISA),
    .dtype = DPC_ACT_DTYPE,
    .memory = &dpc_memory_host,
    .embedding_forward = dpc_plain_embedding_forward,
    .embedding_backward = dpc_plain_embedding_backward,
    .rmsnorm_forward = KERNEL(rmsnorm_forward),
    .rmsnorm_backward = KERNEL(rmsnorm_backward),
    .gather_rows = PLAIN_ROWS(gather),
    .scatter_rows = PLAIN_ROWS(scatter),
    .sum_rows = dpc_plain_sum_rows,
    .mean_rows = dpc_plain_mean_rows,
    .attention_scratch_bytes = dpc_attention_scratch_bytes,
    .attention_forward = KERNEL(attention_forward),
    .attention_backward = KERNEL(attention_backward),
    .swiglu_forward = KERNEL(swiglu_forward),
    .swiglu_backward = KERNEL(swiglu_backward),
    .cross_entropy_forward = KERNEL(cross_entropy_forward),
    .cross_entropy_backward = KERNEL(cross_entropy_backward),
    .squared_norms = KERNEL(squared_norms),
    .adamw = KERNEL(adamw),
    .outer_accumulate = dpc_plain_outer_accumulate,
    .outer_nesterov = dpc_plain_outer_nesterov,
    .encode_difference = dpc_plain_encode_difference,
};
