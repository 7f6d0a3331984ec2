/* SPDX-License-Identifier: Apache-2.0
 * The tables of a card. */
#include "ops/cuda/device.h"
#include "ops/cuda/kernels.h"
#include "ops/cuda/kernels_attention.h"

#define TABLE(format, act, product)                                                                \
    .name = "cuda", .products = (product), .dtype = (format), .whole = true,                       \
    .memory = &dpc_cuda_memory, .embedding_forward = dpc_cuda_embedding_forward,                   \
    .embedding_backward = dpc_cuda_embedding_backward,                                             \
    .gather_rows = dpc_cuda_gather_rows_##act, .scatter_rows = dpc_cuda_scatter_rows_##act,        \
    .sum_rows = dpc_cuda_sum_rows, .mean_rows = dpc_cuda_mean_rows,                                \
    .rmsnorm_forward = dpc_cuda_rmsnorm_forward_##act,                                             \
    .rmsnorm_backward = dpc_cuda_rmsnorm_backward_##act,                                           \
    .attention_scratch_bytes = dpc_cuda_attention_scratch_bytes_##act,                                  \
    .attention_forward = dpc_cuda_attention_forward_##act,                                         \
    .attention_backward = dpc_cuda_attention_backward_##act,                                       \
    .swiglu_forward = dpc_cuda_swiglu_forward_##act,                                               \
    .swiglu_backward = dpc_cuda_swiglu_backward_##act,                                             \
    .cross_entropy_forward = dpc_cuda_cross_entropy_forward,                                       \
    .cross_entropy_backward = dpc_cuda_cross_entropy_backward_##act,                               \
    .squared_norms = dpc_cuda_squared_norms, .adamw = dpc_cuda_adamw,                              \
    .outer_accumulate = dpc_cuda_outer_accumulate, .outer_nesterov = dpc_cuda_outer_nesterov,       \
    .encode_difference = dpc_cuda_encode_difference

#define LINEAR(suffix)                                                                             \
    .linear_forward = dpc_cuda_linear_forward_##suffix,                                            \
    .linear_forward_float = dpc_cuda_linear_forward_float_##suffix,                                \
    .linear_backward_input = dpc_cuda_linear_backward_input_##suffix,                              \
    .linear_backward_weight = dpc_cuda_linear_backward_weight_##suffix

static const struct dpc_ops bf16_table = {
    TABLE(DPC_BF16, bf16, "cublaslt"),
    LINEAR(bf16),
    .packed_bytes = dpc_cuda_packed_bytes,
    .packed_once = true,
    .pack = dpc_cuda_pack,
};

static const struct dpc_ops fp32_table = {TABLE(DPC_FP32, fp32, "cublaslt"), LINEAR(fp32)};

static const struct dpc_ops tf32_table = {TABLE(DPC_FP32, fp32, "cublaslt-tf32"), LINEAR(tf32)};

const struct dpc_ops *
dpc_cuda_table(enum dpc_dtype dtype, bool tf32, int capability)
{
    bool ampere = capability >= 80; /* the first to have matrix units for either */
    if (dtype == DPC_BF16)
        return ampere ? &bf16_table : NULL;
    return tf32 && ampere ? &tf32_table : &fp32_table;
}
