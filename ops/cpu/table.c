/* SPDX-License-Identifier: Apache-2.0
 * The op table of one instruction set: its own kernels and the plain ones. Who multiplies matrices
 * is chosen in ops/cpu.c. */
#include "ops/cpu/kernels.h"

#include "ops/cpu/act.h"
#include "ops/tables.h"

#define TEXT2(x) #x
#define TEXT(x)  TEXT2(x)

const struct dpc_ops KERNEL(table) = {
    .name = TEXT(DPC_ISA),
    .dtype = DPC_ACT_DTYPE,
    .embedding_forward = dpc_plain_embedding_forward,
    .embedding_backward = dpc_plain_embedding_backward,
    .rmsnorm_forward = KERNEL(rmsnorm_forward),
    .rmsnorm_backward = KERNEL(rmsnorm_backward),
    .attention_forward = KERNEL(attention_forward),
    .attention_backward = KERNEL(attention_backward),
    .swiglu_forward = KERNEL(swiglu_forward),
    .swiglu_backward = KERNEL(swiglu_backward),
    .cross_entropy_forward = KERNEL(cross_entropy_forward),
    .cross_entropy_backward = KERNEL(cross_entropy_backward),
    .squared_norm = KERNEL(squared_norm),
    .adamw = KERNEL(adamw),
    .outer_accumulate = dpc_plain_outer_accumulate,
    .outer_nesterov = dpc_plain_outer_nesterov,
};
