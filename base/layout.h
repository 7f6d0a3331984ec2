/* SPDX-License-Identifier: Apache-2.0
 *
 * Where each tensor of a module stands in the module's one vector of fp32 parameters. All modules
 * of a level share a layout. Coordinator (validation, initial weights) and modules/ (compute) read
 * the same table, so a shape is decided in one place.
 *
 * Matrices are row-major [rows = outputs, cols = inputs], as PyTorch's nn.Linear: y = x W^T.
 * Order: embedding [vocab, dim]; for each block norm_attention [dim], qkv [(heads + 2 kv_heads)
 * size, dim] with size = dim / heads (3 dim rows unless heads of keys and values are fewer),
 * attention_out [dim, dim], norm_ffn [dim], gate_up [2 ffn, dim] (gate first), down [dim, ffn];
 * then norm_final [dim] and, when not tied, head [vocab, dim].
 *
 * Owns: the table. Threads: read-only after _init.
 */
#ifndef DPC_BASE_LAYOUT_H
#define DPC_BASE_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/experiment.h"

enum dpc_tensor_kind {
    DPC_TENSOR_EMBEDDING,
    DPC_TENSOR_NORM_ATTENTION,
    DPC_TENSOR_QKV,
    DPC_TENSOR_ATTENTION_OUT,
    DPC_TENSOR_NORM_FFN,
    DPC_TENSOR_GATE_UP,
    DPC_TENSOR_DOWN,
    DPC_TENSOR_NORM_FINAL,
    DPC_TENSOR_HEAD,
};

struct dpc_tensor {
    enum dpc_tensor_kind kind;
    uint32_t block;      /* within the level; 0 for what is in no block */
    uint32_t rows, cols; /* a vector has rows 1 */
    size_t offset;       /* floats from the module's start */
    bool decay;          /* weight decay applies: matrices, not norms */
};

struct dpc_layout {
    uint32_t tensors_count;
    struct dpc_tensor *tensors;
    size_t floats_count;
};

/* The layout of `level`'s modules. Release with _done. */
void dpc_layout_init(struct dpc_layout *layout, const struct dpc_experiment *experiment,
                     uint32_t level);
void dpc_layout_done(struct dpc_layout *layout);

/* Floats of one module of `level`, of a path that takes one at every level, and of one that takes
 * them at the levels whose bits are set (base/topology.h). */
size_t dpc_layout_module_floats(const struct dpc_experiment *experiment, uint32_t level);
size_t dpc_layout_path_floats(const struct dpc_experiment *experiment);
size_t dpc_layout_levels_floats(const struct dpc_experiment *experiment, uint32_t levels);

/* Floating-point operations of a token's way through a path: two for each weight of a product, and
 * causal attention over half the context at the mean; through one that takes modules at all levels,
 * or at those whose bits are set. Training does three times as many: gradients of inputs and of
 * weights cost a product each. */
double dpc_layout_forward_flops(const struct dpc_experiment *experiment);
double dpc_layout_levels_forward_flops(const struct dpc_experiment *experiment, uint32_t levels);
double dpc_layout_train_flops(const struct dpc_experiment *experiment);

/* The tensor of that kind and block, or NULL. */
const struct dpc_tensor *dpc_layout_find(const struct dpc_layout *layout, enum dpc_tensor_kind kind,
                                         uint32_t block);
const char *dpc_tensor_name(enum dpc_tensor_kind kind);

/* Initial weights of `level`'s dense module: normal(0, init_std), the two projections back to the
 * residual stream times 1/sqrt(2 x blocks of all levels) (GPT-2, section 2.3), norms 1. A pure
 * function of (experiment, level). `ret_floats` takes dpc_layout_module_floats values. */
void dpc_layout_fill_initial(const struct dpc_experiment *experiment, uint32_t level,
                             float *ret_floats);

#endif
