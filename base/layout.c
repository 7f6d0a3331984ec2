/* SPDX-License-Identifier: Apache-2.0
 * A layout is made by appending tensors in the order in which a path computes them. */
#include "base/layout.h"

#include <assert.h>
#include <math.h>

#include "base/alloc.h"
#include "base/rng.h"

enum { TENSORS_PER_BLOCK = 6, TENSORS_OUTSIDE_BLOCKS = 3 };

static void
add(struct dpc_layout *layout, enum dpc_tensor_kind kind, uint32_t block, uint32_t rows,
    uint32_t cols)
{
    layout->tensors[layout->tensors_count++] = (struct dpc_tensor){
        .kind = kind,
        .block = block,
        .rows = rows,
        .cols = cols,
        .offset = layout->floats_count,
        .decay = kind != DPC_TENSOR_NORM_ATTENTION && kind != DPC_TENSOR_NORM_FFN &&
                 kind != DPC_TENSOR_NORM_FINAL,
    };
    layout->floats_count += (size_t)rows * cols;
}

static void
add_block(struct dpc_layout *layout, const struct dpc_experiment *experiment, uint32_t block)
{
    uint32_t dim = experiment->model.dim, ffn = experiment->model.ffn;
    add(layout, DPC_TENSOR_NORM_ATTENTION, block, 1, dim);
    uint32_t kv_dim = dim / experiment->model.heads * dpc_experiment_kv_heads(experiment);
    add(layout, DPC_TENSOR_QKV, block, dim + 2 * kv_dim, dim);
    add(layout, DPC_TENSOR_ATTENTION_OUT, block, dim, dim);
    add(layout, DPC_TENSOR_NORM_FFN, block, 1, dim);
    add(layout, DPC_TENSOR_GATE_UP, block, 2 * ffn, dim);
    add(layout, DPC_TENSOR_DOWN, block, dim, ffn);
}

void
dpc_layout_init(struct dpc_layout *layout, const struct dpc_experiment *experiment, uint32_t level)
{
    assert(level < experiment->levels_count);
    const struct dpc_level *parts = &experiment->levels[level];
    uint32_t dim = experiment->model.dim, vocab = experiment->model.vocab;
    size_t tensors_max = (size_t)parts->blocks * TENSORS_PER_BLOCK + TENSORS_OUTSIDE_BLOCKS;
    *layout = (struct dpc_layout){.tensors = dpc_alloc(tensors_max, sizeof(struct dpc_tensor))};
    if (parts->embedding)
        add(layout, DPC_TENSOR_EMBEDDING, 0, vocab, dim);
    for (uint32_t block = 0; block < parts->blocks; block++)
        add_block(layout, experiment, block);
    if (parts->head) {
        add(layout, DPC_TENSOR_NORM_FINAL, 0, 1, dim);
        if (!experiment->model.tie_embeddings)
            add(layout, DPC_TENSOR_HEAD, 0, vocab, dim);
    }
}

void
dpc_layout_done(struct dpc_layout *layout)
{
    dpc_free(layout->tensors);
    *layout = (struct dpc_layout){0};
}

size_t
dpc_layout_module_floats(const struct dpc_experiment *experiment, uint32_t level)
{
    struct dpc_layout layout;
    dpc_layout_init(&layout, experiment, level);
    size_t floats = layout.floats_count;
    dpc_layout_done(&layout);
    return floats;
}

size_t
dpc_layout_path_floats(const struct dpc_experiment *experiment)
{
    return dpc_layout_levels_floats(experiment, UINT32_MAX);
}

size_t
dpc_layout_levels_floats(const struct dpc_experiment *experiment, uint32_t levels)
{
    size_t floats = 0;
    for (uint32_t level = 0; level < experiment->levels_count; level++)
        floats += levels >> level & 1 ? dpc_layout_module_floats(experiment, level) : 0;
    return floats;
}

double
dpc_layout_forward_flops(const struct dpc_experiment *experiment)
{
    return dpc_layout_levels_forward_flops(experiment, UINT32_MAX);
}

double
dpc_layout_levels_forward_flops(const struct dpc_experiment *experiment, uint32_t levels)
{
    double dim = experiment->model.dim, blocks = 0;
    double kv_dim = dim / experiment->model.heads * dpc_experiment_kv_heads(experiment);
    double block = dim * (2 * dim + 2 * kv_dim) + 3 * dim * experiment->model.ffn;
    for (uint32_t level = 0; level < experiment->levels_count; level++)
        blocks += levels >> level & 1 ? experiment->levels[level].blocks : 0;
    return 2 * (blocks * block + dim * experiment->model.vocab) +
           2 * blocks * dim * experiment->model.context;
}

double
dpc_layout_train_flops(const struct dpc_experiment *experiment)
{
    return 3 * dpc_layout_forward_flops(experiment);
}

const struct dpc_tensor *
dpc_layout_find(const struct dpc_layout *layout, enum dpc_tensor_kind kind, uint32_t block)
{
    for (uint32_t i = 0; i < layout->tensors_count; i++) {
        const struct dpc_tensor *tensor = &layout->tensors[i];
        if (tensor->kind == kind && tensor->block == block)
            return tensor;
    }
    return NULL;
}

const char *
dpc_tensor_name(enum dpc_tensor_kind kind)
{
    static const char *const names[] = {
        [DPC_TENSOR_EMBEDDING] = "embedding",
        [DPC_TENSOR_NORM_ATTENTION] = "norm_attention",
        [DPC_TENSOR_QKV] = "qkv",
        [DPC_TENSOR_ATTENTION_OUT] = "attention_out",
        [DPC_TENSOR_NORM_FFN] = "norm_ffn",
        [DPC_TENSOR_GATE_UP] = "gate_up",
        [DPC_TENSOR_DOWN] = "down",
        [DPC_TENSOR_NORM_FINAL] = "norm_final",
        [DPC_TENSOR_HEAD] = "head",
    };
    return names[kind];
}

/* Standard deviation of a tensor's initial weights; `depth` is the number of blocks of all levels.
 */
static double
initial_std(const struct dpc_experiment *experiment, enum dpc_tensor_kind kind, uint32_t depth)
{
    double std = experiment->model.init_std;
    if (kind == DPC_TENSOR_ATTENTION_OUT || kind == DPC_TENSOR_DOWN)
        std /= sqrt(2.0 * depth);
    return std;
}

void
dpc_layout_fill_initial(const struct dpc_experiment *experiment, uint32_t level, float *ret_floats)
{
    struct dpc_layout layout;
    uint32_t depth = 0;
    for (uint32_t i = 0; i < experiment->levels_count; i++)
        depth += experiment->levels[i].blocks;
    dpc_layout_init(&layout, experiment, level);
    for (uint32_t i = 0; i < layout.tensors_count; i++) {
        const struct dpc_tensor *tensor = &layout.tensors[i];
        size_t count = (size_t)tensor->rows * tensor->cols;
        double std = initial_std(experiment, tensor->kind, depth);
        struct dpc_rng rng;
        dpc_rng_init(&rng, experiment->seed, DPC_RNG_INIT, level, 0, i);
        for (size_t k = 0; k < count; k++)
            ret_floats[tensor->offset + k] =
                tensor->decay ? (float)(std * dpc_rng_normal(&rng)) : 1.0f;
    }
    dpc_layout_done(&layout);
}
