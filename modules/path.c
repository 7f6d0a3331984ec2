/* SPDX-License-Identifier: Apache-2.0
 * Creation of a path: the same walk over all tensors and activations is done twice, first over no
 * memory to learn the size, then over the one arena to place them. */
#include "modules/path_parts.h"

#include <assert.h>

#include "base/alloc.h"

enum {
    SLICE_ROWS = 512,     /* rows of a slice: GEMMs are at full speed, a block fits L2/L3 */
    LOSS_ROWS_MAX = 1024, /* rows of a chunk of logits */
    LOSS_ROWS_MIN = 64,   /* below, the head's GEMM loses speed */
    LOSS_FLOATS = 8 * 1024 * 1024, /* of a chunk, between the two */
    VECTOR_FLOATS = 16,            /* everything begins on a cache line */
};

struct arena {
    float *base; /* NULL while measuring */
    size_t used; /* floats */
};

static float *
take(struct arena *arena, size_t floats)
{
    size_t at = arena->used;
    arena->used += (floats + VECTOR_FLOATS - 1) / VECTOR_FLOATS * VECTOR_FLOATS;
    return arena->base ? arena->base + at : NULL;
}

static size_t
max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t
min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void
take_block(struct arena *arena, const struct dpc_path *path, struct dpc_block_acts *acts)
{
    size_t N = path->slice_rows, C = path->C;
    acts->x = take(arena, N * C);
    acts->rstd1 = take(arena, N);
    acts->norm1 = take(arena, N * C);
    acts->qkv = take(arena, N * 3 * C);
    acts->lse = take(arena, N * path->H);
    acts->attended = take(arena, N * C);
    acts->x2 = take(arena, N * C);
    acts->rstd2 = take(arena, N);
    acts->norm2 = take(arena, N * C);
    acts->gate_up = take(arena, N * 2 * path->F);
    acts->activated = take(arena, N * path->F);
}

static void
take_loss(struct arena *arena, const struct dpc_path *path, struct dpc_loss_acts *loss)
{
    size_t rows = min_size(max_size(LOSS_FLOATS / path->V, LOSS_ROWS_MIN), LOSS_ROWS_MAX);
    loss->rows_max = min_size(rows, path->slice_rows);
    loss->rows = take(arena, loss->rows_max * path->C);
    loss->drows = take(arena, loss->rows_max * path->C);
    loss->logits = take(arena, loss->rows_max * path->V);
    loss->losses = take(arena, loss->rows_max);
    loss->targets = (int32_t *)take(arena, loss->rows_max);
    loss->places = (uint32_t *)take(arena, loss->rows_max);
}

static void
take_backward(struct arena *arena, const struct dpc_path *path, struct dpc_back_acts *back)
{
    size_t N = path->slice_rows;
    back->dx = take(arena, N * path->C);
    back->dnorm = take(arena, N * path->C);
    back->dwide = take(arena, N * max_size(3 * path->C, 2 * path->F));
    back->dnarrow = take(arena, N * max_size(path->C, path->F));
}

/* Places everything; with no memory yet it only counts. */
static void
take_all(struct arena *arena, struct dpc_path *path)
{
    size_t N = path->slice_rows;
    bool train = path->use == DPC_PATH_TRAIN;
    path->params = take(arena, path->floats);
    path->grads = train ? take(arena, path->floats) : NULL;
    for (size_t i = 0; i < path->blocks_count; i++) {
        if (train || i == 0)
            take_block(arena, path, &path->acts[i]);
        else
            path->acts[i] = path->acts[0];
    }
    path->final.x = take(arena, N * path->C);
    path->final.rstd = take(arena, N);
    path->final.norm = take(arena, N * path->C);
    path->delta = take(arena, N * path->C);
    path->cosines = take(arena, path->T_max * path->D / 2);
    path->sines = take(arena, path->T_max * path->D / 2);
    path->scratch = take(arena, dpc_attention_scratch_floats(path->T_max, path->D));
    take_loss(arena, path, &path->loss);
    if (train)
        take_backward(arena, path, &path->back);
}

static float *
tensor_at(const struct dpc_path *path, float *vector, uint32_t level, enum dpc_tensor_kind kind,
          uint32_t block)
{
    const struct dpc_tensor *tensor = dpc_layout_find(&path->layouts[level], kind, block);
    assert(tensor);
    return vector + path->module_offsets[level] + tensor->offset;
}

static struct dpc_block_tensors
find_block(const struct dpc_path *path, float *vector, uint32_t level, uint32_t block)
{
    return (struct dpc_block_tensors){
        .norm_attention = tensor_at(path, vector, level, DPC_TENSOR_NORM_ATTENTION, block),
        .qkv = tensor_at(path, vector, level, DPC_TENSOR_QKV, block),
        .attention_out = tensor_at(path, vector, level, DPC_TENSOR_ATTENTION_OUT, block),
        .norm_ffn = tensor_at(path, vector, level, DPC_TENSOR_NORM_FFN, block),
        .gate_up = tensor_at(path, vector, level, DPC_TENSOR_GATE_UP, block),
        .down = tensor_at(path, vector, level, DPC_TENSOR_DOWN, block),
    };
}

/* Points at each tensor of `vector`, which is the parameters or the gradients. */
static void
find_tensors(const struct dpc_path *path, float *vector, struct dpc_block_tensors *blocks,
             struct dpc_edge_tensors *edge)
{
    uint32_t last = path->experiment.levels_count - 1;
    bool tied = path->experiment.model.tie_embeddings;
    for (uint32_t level = 0; level <= last; level++) {
        for (uint32_t block = 0; block < path->experiment.levels[level].blocks; block++)
            *blocks++ = find_block(path, vector, level, block);
    }
    edge->embedding = tensor_at(path, vector, 0, DPC_TENSOR_EMBEDDING, 0);
    edge->norm_final = tensor_at(path, vector, last, DPC_TENSOR_NORM_FINAL, 0);
    edge->head = tied ? edge->embedding : tensor_at(path, vector, last, DPC_TENSOR_HEAD, 0);
}

static bool
levels_are_whole(const struct dpc_experiment *experiment)
{
    uint32_t embeddings = 0, heads = 0, blocks = 0, count = experiment->levels_count;
    for (uint32_t level = 0; level < count; level++) {
        blocks += experiment->levels[level].blocks;
        embeddings += experiment->levels[level].embedding;
        heads += experiment->levels[level].head;
    }
    return count > 0 && blocks > 0 && embeddings == 1 && heads == 1 &&
           experiment->levels[0].embedding && experiment->levels[count - 1].head;
}

/* Rotary positions need pairs within a head. */
static bool
heads_divide(const struct dpc_experiment *experiment)
{
    uint32_t dim = experiment->model.dim, heads = experiment->model.heads;
    return heads > 0 && dim > 0 && dim % heads == 0 && dim / heads % 2 == 0;
}

static void
measure(struct dpc_path *path)
{
    const struct dpc_experiment *experiment = &path->experiment;
    path->C = experiment->model.dim;
    path->H = experiment->model.heads;
    path->D = path->C / path->H;
    path->F = experiment->model.ffn;
    path->V = experiment->model.vocab;
    path->T_max = experiment->model.context;
    path->epsilon = (float)experiment->model.norm_epsilon;
    size_t sequences = min_size(path->batch_max, max_size(1, SLICE_ROWS / path->T_max));
    path->slice_rows = sequences * path->T_max;
    for (uint32_t level = 0; level < experiment->levels_count; level++) {
        dpc_layout_init(&path->layouts[level], experiment, level);
        path->module_offsets[level] = path->floats;
        path->floats += path->layouts[level].floats_count;
        path->blocks_count += experiment->levels[level].blocks;
    }
}

static int
place(struct dpc_path *path, struct dpc_error *err)
{
    path->acts = dpc_alloc(path->blocks_count, sizeof *path->acts);
    path->params_blocks = dpc_alloc(path->blocks_count, sizeof *path->params_blocks);
    path->grads_blocks = dpc_alloc(path->blocks_count, sizeof *path->grads_blocks);
    struct arena arena = {0};
    take_all(&arena, path);
    path->arena_floats = arena.used;
    path->arena = dpc_try_alloc_vector(arena.used, sizeof *path->arena);
    if (!path->arena)
        return dpc_error_set(err, DPC_ENOMEM,
                             "could not create a path: %zu MiB of memory are not to be had",
                             arena.used * sizeof *path->arena >> 20);
    arena = (struct arena){.base = path->arena};
    take_all(&arena, path);
    find_tensors(path, path->params, path->params_blocks, &path->params_edge);
    if (path->grads)
        find_tensors(path, path->grads, path->grads_blocks, &path->grads_edge);
    dpc_rope_fill(path->cosines, path->sines, path->T_max, path->D,
                  path->experiment.model.rope_base);
    return DPC_OK;
}

int
dpc_path_create(const struct dpc_experiment *experiment, const struct dpc_ops *ops,
                uint32_t batch_max, enum dpc_path_use use, struct dpc_path **ret_path,
                struct dpc_error *err)
{
    if (batch_max == 0)
        return dpc_error_set(err, DPC_EINVAL, "could not create a path: its batch is empty");
    if (!levels_are_whole(experiment))
        return dpc_error_set(err, DPC_EINVAL,
                             "could not create a path: the first level holds the embedding and the "
                             "last one the head, and no other does, with a block at least");
    if (!heads_divide(experiment))
        return dpc_error_set(err, DPC_EINVAL,
                             "could not create a path: dim %u does not divide into %u heads of an "
                             "even width",
                             experiment->model.dim, experiment->model.heads);
    struct dpc_path *path = dpc_alloc(1, sizeof *path);
    path->experiment = *experiment;
    path->ops = ops;
    path->use = use;
    path->batch_max = batch_max;
    measure(path);
    int status = place(path, err);
    if (status < 0) {
        dpc_path_destroy(path);
        return status;
    }
    *ret_path = path;
    return DPC_OK;
}

struct dpc_path *
dpc_path_destroy(struct dpc_path *path)
{
    if (!path)
        return NULL;
    for (uint32_t level = 0; level < path->experiment.levels_count; level++)
        dpc_layout_done(&path->layouts[level]);
    dpc_free(path->acts);
    dpc_free(path->params_blocks);
    dpc_free(path->grads_blocks);
    dpc_free(path->arena);
    return dpc_free(path);
}

size_t
dpc_path_floats(const struct dpc_path *path)
{
    return path->floats;
}

size_t
dpc_path_module_floats(const struct dpc_path *path, uint32_t level)
{
    assert(level < path->experiment.levels_count);
    return path->layouts[level].floats_count;
}

float *
dpc_path_params(struct dpc_path *path)
{
    return path->params;
}

float *
dpc_path_grads(struct dpc_path *path)
{
    return path->grads;
}

float *
dpc_path_module_params(struct dpc_path *path, uint32_t level)
{
    assert(level < path->experiment.levels_count);
    return path->params + path->module_offsets[level];
}

size_t
dpc_path_bytes(const struct dpc_path *path)
{
    return path->arena_floats * sizeof *path->arena;
}

struct dpc_attention_shape
dpc_path_shape(const struct dpc_path *path, size_t B, size_t T)
{
    return (struct dpc_attention_shape){.B = B, .T = T, .H = path->H, .D = path->D};
}

size_t
dpc_path_slice_sequences(const struct dpc_path *path, size_t length)
{
    return path->slice_rows / length;
}

int
dpc_path_check(const struct dpc_path *path, const int32_t *tokens, const int32_t *targets,
               uint32_t batch, uint32_t length)
{
    if (batch == 0 || batch > path->batch_max || length == 0 || length > path->T_max)
        return DPC_EINVAL;
    int32_t vocab = (int32_t)path->V;
    for (size_t n = 0; n < (size_t)batch * length; n++) {
        if (tokens[n] < 0 || tokens[n] >= vocab || (targets && targets[n] >= vocab))
            return DPC_EINVAL;
    }
    return DPC_OK;
}
