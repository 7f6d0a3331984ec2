/* SPDX-License-Identifier: Apache-2.0
 * Creation of a path: the same walk over all tensors and activations is done twice, first over no
 * memory to learn the size, then over the one arena to place them. */
#include "modules/path_parts.h"

#include <assert.h>

#include "base/alloc.h"
#include "base/pool.h"

/* Sizes that memory and speed ask for, on the CPU and with a whole table. */
struct sizes {
    size_t slice_rows_min;  /* fewer, and weight gradients lose speed */
    size_t slice_rows_max;  /* more gain nothing */
    size_t slice_bytes;     /* of kept activations in fp32, between the two */
    size_t loss_rows_max;   /* rows of a chunk of logits */
    size_t loss_rows_least; /* down to these */
    size_t loss_floats;     /* of a chunk */
    size_t align;           /* everything begins on such a line, in bytes */
    struct dpc_cut cut;
};

static const size_t everything = (size_t)1 << 40; /* more than any matrix has rows */

static const struct sizes cpu_sizes = {
    .slice_rows_min = 512,
    .slice_rows_max = 2048,
    .slice_bytes = (size_t)256 << 20,
    .loss_rows_max = 1024,
    .loss_rows_least = 256,
    .loss_floats = (size_t)32 << 20,
    .align = 64,
    /* Products are at full speed, and a tile's rows fit L2 or nearly. */
    .cut = {.tile_rows = 256, .weight_rows = 256, .columns = 64},
};

static const struct sizes whole_sizes = {
    .slice_rows_min = 2048,
    .slice_rows_max = 65536,
    .slice_bytes = (size_t)8 << 30,
    .loss_rows_max = 16384,
    .loss_rows_least = 256,
    .loss_floats = (size_t)256 << 20,
    .align = 256,
    .cut = {.tile_rows = everything, .weight_rows = everything, .columns = everything},
};

static const struct sizes *
sizes_of(const struct dpc_path *path)
{
    return path->ops->whole ? &whole_sizes : &cpu_sizes;
}

struct arena {
    char *base;  /* NULL while measuring */
    size_t used; /* bytes */
    size_t align;
};

static void *
take(struct arena *arena, size_t count, size_t size)
{
    size_t at = arena->used;
    arena->used += (count * size + arena->align - 1) / arena->align * arena->align;
    return arena->base ? arena->base + at : NULL;
}

static float *
take_floats(struct arena *arena, size_t count)
{
    return take(arena, count, sizeof(float));
}

static struct dpc_act *
take_acts(struct arena *arena, const struct dpc_path *path, size_t count)
{
    return take(arena, count, dpc_act_bytes(path->ops));
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

static bool
trains(const struct dpc_path *path)
{
    return path->options.use == DPC_PATH_TRAIN;
}

/* All but x. Attention's rows may begin behind `first`, so that padding reaches beyond the slice.
 */
static void
take_block(struct arena *arena, const struct dpc_path *path, struct dpc_block_acts *acts)
{
    size_t N = path->slice_rows, C = path->C;
    acts->rstd1 = take_floats(arena, N);
    acts->qkv = take_acts(arena, path, (N + DPC_PAD_ROWS) * path->W);
    acts->lse = take_floats(arena, N * path->H);
    acts->attended = take_acts(arena, path, (N + DPC_PAD_ROWS) * C);
    acts->x2 = take_floats(arena, N * C);
    acts->rstd2 = take_floats(arena, N);
    acts->gate_up = take_acts(arena, path, N * 2 * path->F);
}

/* Training keeps every block's activations, or with recomputation only its input; inference keeps
 * none. */
static void
take_blocks(struct arena *arena, struct dpc_path *path)
{
    bool shared = !trains(path) || path->options.recompute;
    for (size_t i = 0; i < path->blocks_count; i++) {
        if (i == 0 || !shared)
            take_block(arena, path, &path->acts[i]);
        else
            path->acts[i] = path->acts[0];
    }
    for (size_t i = 0; i < path->blocks_count; i++)
        path->acts[i].x = i == 0 || trains(path) ? take_floats(arena, path->slice_rows * path->C)
                                                 : path->acts[0].x;
}

static void
take_loss(struct arena *arena, const struct dpc_path *path, struct dpc_loss_acts *loss)
{
    const struct sizes *sizes = sizes_of(path);
    size_t least = sizes->loss_rows_least, rows = sizes->loss_floats / path->V / least * least;
    rows = min_size(max_size(rows, least), sizes->loss_rows_max);
    loss->rows_max = min_size(rows, path->slice_rows);
    loss->rows = take_acts(arena, path, loss->rows_max * path->C);
    loss->drows = take_acts(arena, path, trains(path) ? loss->rows_max * path->C : 0);
    loss->logits = take_floats(arena, loss->rows_max * path->head.stride);
    if (path->ops->whole && trains(path))
        loss->dlogits = take_acts(arena, path, loss->rows_max * path->head.stride);
    loss->losses = take_floats(arena, path->slice_rows);
}

static void
take_backward(struct arena *arena, const struct dpc_path *path, struct dpc_back_acts *back)
{
    size_t N = path->slice_rows, C = path->C, tiles = dpc_path_tiles(path, N);
    for (int i = 0; i < 2; i++) {
        back->dx[i] = take_floats(arena, N * C);
        back->dx_act[i] = path->ops->dtype == DPC_FP32 ? (struct dpc_act *)back->dx[i]
                                                       : take_acts(arena, path, N * C);
        back->dqkv[i] = take_acts(arena, path, N * path->W);
    }
    back->dnorm = take_acts(arena, path, N * C);
    back->norm1 = take_acts(arena, path, N * C);
    back->norm2 = take_acts(arena, path, N * C);
    back->activated = take_acts(arena, path, N * path->F);
    back->dgate_up = take_acts(arena, path, N * 2 * path->F);
    back->dattended = take_acts(arena, path, N * C);
    back->dgains1 = take_floats(arena, tiles * C);
    back->dgains2 = take_floats(arena, tiles * C);
}

static void
take_scratch(struct arena *arena, const struct dpc_path *path)
{
    struct dpc_attention_shape shape = {path->slice_sequences, path->T_max, path->H, path->G,
                                        path->D};
    size_t rows = min_size(path->cut.tile_rows, path->slice_rows);
    size_t attention_bytes = path->ops->attention_scratch_bytes(&shape);
    for (uint32_t i = 0; i < dpc_pool_threads(path->options.pool); i++) {
        struct dpc_thread_scratch *scratch = &path->scratch[i];
        scratch->narrow = take_acts(arena, path, rows * path->C);
        scratch->wide = take_acts(arena, path, rows * path->F);
        scratch->delta = take_floats(arena, rows * path->C);
        scratch->attention = take(arena, attention_bytes, 1);
    }
}

static void
take_packed(struct arena *arena, const struct dpc_path *path, struct dpc_weights *weights)
{
    if (!path->ops->packed_bytes)
        return;
    size_t bytes = path->ops->packed_bytes(dpc_outputs(weights), weights->K);
    weights->forward = take(arena, bytes, 1);
    weights->backward = path->ops->packed_once ? weights->forward : take(arena, bytes, 1);
}

static void
take_all_packed(struct arena *arena, struct dpc_path *path)
{
    for (size_t i = 0; i < path->blocks_count; i++) {
        struct dpc_block_weights *weights = &path->weights[i];
        take_packed(arena, path, &weights->qkv);
        take_packed(arena, path, &weights->attention_out);
        take_packed(arena, path, &weights->gate_up);
        take_packed(arena, path, &weights->down);
    }
    take_packed(arena, path, &path->head);
}

/* Room for the gradients; however small the path, for two blocks, by which a delta is encoded. */
static size_t
grads_room(const struct dpc_path *path)
{
    return max_size(path->floats, 2 * DPC_CODEC_BLOCK);
}

/* Places everything; with no memory yet it only counts. */
static void
take_all(struct arena *arena, struct dpc_path *path)
{
    size_t N = path->slice_rows;
    path->params = take_floats(arena, path->floats);
    path->grads = trains(path) ? take_floats(arena, grads_room(path)) : NULL;
    take_all_packed(arena, path);
    take_blocks(arena, path);
    path->final.x = take_floats(arena, N * path->C);
    path->final.rstd = take_floats(arena, N);
    path->final.norm = take_acts(arena, path, N * path->C);
    path->cosines = take_floats(arena, path->T_max * path->D / 2);
    path->sines = take_floats(arena, path->T_max * path->D / 2);
    take_scratch(arena, path);
    take_loss(arena, path, &path->loss);
    if (trains(path))
        take_backward(arena, path, &path->back);
}

/* --- Tensors within the parameters and the gradients. */

static const struct dpc_tensor *
tensor_of(const struct dpc_path *path, uint32_t level, enum dpc_tensor_kind kind, uint32_t block)
{
    const struct dpc_tensor *tensor = dpc_layout_find(&path->layouts[level], kind, block);
    assert(tensor);
    return tensor;
}

/* NULL in a vector that does not exist. */
static float *
tensor_at(const struct dpc_path *path, float *vector, uint32_t level, enum dpc_tensor_kind kind,
          uint32_t block)
{
    const struct dpc_tensor *tensor = tensor_of(path, level, kind, block);
    return vector ? vector + path->module_offsets[level] + tensor->offset : NULL;
}

/* Sets all but the packed forms. */
static void
find_weights(const struct dpc_path *path, struct dpc_weights *weights, uint32_t level,
             enum dpc_tensor_kind kind, uint32_t block)
{
    const struct dpc_tensor *tensor = tensor_of(path, level, kind, block);
    weights->values = tensor_at(path, path->params, level, kind, block);
    weights->O = tensor->rows;
    weights->K = tensor->cols;
}

static void
find_block(const struct dpc_path *path, size_t index, uint32_t level, uint32_t block)
{
    struct dpc_block_weights *weights = &path->weights[index];
    weights->norm_attention =
        tensor_at(path, path->params, level, DPC_TENSOR_NORM_ATTENTION, block);
    weights->norm_ffn = tensor_at(path, path->params, level, DPC_TENSOR_NORM_FFN, block);
    find_weights(path, &weights->qkv, level, DPC_TENSOR_QKV, block);
    find_weights(path, &weights->attention_out, level, DPC_TENSOR_ATTENTION_OUT, block);
    find_weights(path, &weights->gate_up, level, DPC_TENSOR_GATE_UP, block);
    find_weights(path, &weights->down, level, DPC_TENSOR_DOWN, block);
    path->grads_blocks[index] = (struct dpc_block_grads){
        .norm_attention = tensor_at(path, path->grads, level, DPC_TENSOR_NORM_ATTENTION, block),
        .qkv = tensor_at(path, path->grads, level, DPC_TENSOR_QKV, block),
        .attention_out = tensor_at(path, path->grads, level, DPC_TENSOR_ATTENTION_OUT, block),
        .norm_ffn = tensor_at(path, path->grads, level, DPC_TENSOR_NORM_FFN, block),
        .gate_up = tensor_at(path, path->grads, level, DPC_TENSOR_GATE_UP, block),
        .down = tensor_at(path, path->grads, level, DPC_TENSOR_DOWN, block),
    };
}

static void
find_tensors(struct dpc_path *path)
{
    uint32_t last = path->experiment.levels_count - 1;
    bool tied = path->experiment.model.tie_embeddings;
    uint32_t head_level = tied ? 0 : last;
    enum dpc_tensor_kind head = tied ? DPC_TENSOR_EMBEDDING : DPC_TENSOR_HEAD;
    size_t index = 0;
    for (uint32_t level = 0; level <= last; level++) {
        for (uint32_t block = 0; block < path->experiment.levels[level].blocks; block++)
            find_block(path, index++, level, block);
    }
    path->embedding = tensor_at(path, path->params, 0, DPC_TENSOR_EMBEDDING, 0);
    path->dembedding = tensor_at(path, path->grads, 0, DPC_TENSOR_EMBEDDING, 0);
    path->norm_final = tensor_at(path, path->params, last, DPC_TENSOR_NORM_FINAL, 0);
    path->dnorm_final = tensor_at(path, path->grads, last, DPC_TENSOR_NORM_FINAL, 0);
    find_weights(path, &path->head, head_level, head, 0);
    path->head.stride = dpc_logits_stride(path->ops->whole, path->V);
    path->dhead = tensor_at(path, path->grads, head_level, head, 0);
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
    uint32_t kv_heads = dpc_experiment_kv_heads(experiment);
    return heads > 0 && dim > 0 && dim % heads == 0 && dim / heads % 2 == 0 &&
           heads % kv_heads == 0;
}

/* Rows of a slice follow from the model and the batch alone: bits do not depend on the machine, its
 * memory or on recomputation. */
static void
measure_slice(struct dpc_path *path)
{
    const struct sizes *sizes = sizes_of(path);
    size_t row_floats = path->blocks_count * (3 * path->C + path->W + 2 * path->F);
    size_t rows = sizes->slice_bytes / (row_floats * sizeof(float));
    rows = min_size(max_size(rows, sizes->slice_rows_min), sizes->slice_rows_max);
    path->slice_sequences = min_size(path->options.batch_max, max_size(1, rows / path->T_max));
    path->slice_rows = dpc_pad_rows(path->slice_sequences * path->T_max);
}

static void
measure(struct dpc_path *path)
{
    const struct dpc_experiment *experiment = &path->experiment;
    path->C = experiment->model.dim;
    path->H = experiment->model.heads;
    path->G = dpc_experiment_kv_heads(experiment);
    path->D = path->C / path->H;
    path->W = (path->H + 2 * path->G) * path->D;
    path->F = experiment->model.ffn;
    path->V = experiment->model.vocab;
    path->T_max = experiment->model.context;
    path->cut = sizes_of(path)->cut;
    path->epsilon = (float)experiment->model.norm_epsilon;
    for (uint32_t level = 0; level < experiment->levels_count; level++) {
        dpc_layout_init(&path->layouts[level], experiment, level);
        path->module_offsets[level] = path->floats;
        path->floats += path->layouts[level].floats_count;
        path->blocks_count += experiment->levels[level].blocks;
    }
    measure_slice(path);
}

/* Everything but the arena, whose size it finds. */
static struct dpc_path *
lay_out(const struct dpc_experiment *experiment, const struct dpc_path_options *options)
{
    struct dpc_path *path = dpc_alloc(1, sizeof *path);
    path->experiment = *experiment;
    path->options = *options;
    path->ops = options->ops;
    measure(path);
    path->acts = dpc_alloc(path->blocks_count, sizeof *path->acts);
    path->weights = dpc_alloc(path->blocks_count, sizeof *path->weights);
    path->grads_blocks = dpc_alloc(path->blocks_count, sizeof *path->grads_blocks);
    path->scratch = dpc_alloc(dpc_pool_threads(options->pool), sizeof *path->scratch);
    find_tensors(path); /* for the shapes */
    struct arena arena = {.align = sizes_of(path)->align};
    take_all(&arena, path);
    path->arena_bytes = arena.used;
    return path;
}

static int
place_rope(struct dpc_path *path)
{
    size_t count = path->T_max * path->D / 2;
    float *angles = dpc_try_alloc(2 * count, sizeof *angles);
    if (!angles)
        return DPC_ENOMEM;
    dpc_rope_fill(angles, angles + count, path->T_max, path->D, path->experiment.model.rope_base);
    path->ops->memory->upload(path->cosines, angles, count * sizeof *angles);
    path->ops->memory->upload(path->sines, angles + count, count * sizeof *angles);
    dpc_free(angles);
    return DPC_OK;
}

static int
place(struct dpc_path *path, struct dpc_error *err)
{
    struct dpc_loss_rows *rows = &path->unmasked;
    size_t count = path->slice_rows;
    path->arena = path->ops->memory->allocate(path->arena_bytes);
    rows->targets = dpc_try_alloc(count, sizeof *rows->targets);
    rows->places = dpc_try_alloc(count, sizeof *rows->places);
    rows->losses = dpc_try_alloc(count, sizeof *rows->losses);
    if (!path->arena || !rows->targets || !rows->places || !rows->losses)
        return dpc_error_set(err, DPC_ENOMEM,
                             "could not create a path: %zu MiB of memory are not to be had",
                             path->arena_bytes >> 20);
    struct arena arena = {.base = path->arena, .align = sizes_of(path)->align};
    take_all(&arena, path);
    find_tensors(path);
    int status = place_rope(path);
    return status == DPC_OK ? path->ops->memory->finish() : status;
}

static int
check_shape(const struct dpc_experiment *experiment, const struct dpc_path_options *options,
            struct dpc_error *err)
{
    if (options->batch_max == 0)
        return dpc_error_set(err, DPC_EINVAL, "could not create a path: its batch is empty");
    if (!levels_are_whole(experiment))
        return dpc_error_set(err, DPC_EINVAL,
                             "could not create a path: the first level holds the embedding and the "
                             "last one the head, and no other does, with a block at least");
    if (!heads_divide(experiment))
        return dpc_error_set(err, DPC_EINVAL,
                             "could not create a path: dim %u does not divide into %u heads of an "
                             "even width, or these into %u groups",
                             experiment->model.dim, experiment->model.heads,
                             dpc_experiment_kv_heads(experiment));
    return DPC_OK;
}

int
dpc_path_create(const struct dpc_experiment *experiment, const struct dpc_path_options *options,
                struct dpc_path **ret_path, struct dpc_error *err)
{
    int status = check_shape(experiment, options, err);
    if (status < 0)
        return status;
    struct dpc_path *path = lay_out(experiment, options);
    status = place(path, err);
    if (status < 0) {
        dpc_path_destroy(path);
        return status;
    }
    *ret_path = path;
    return DPC_OK;
}

int
dpc_path_plan(const struct dpc_experiment *experiment, const struct dpc_path_options *options,
              size_t *ret_bytes, struct dpc_error *err)
{
    int status = check_shape(experiment, options, err);
    if (status < 0)
        return status;
    struct dpc_path *path = lay_out(experiment, options);
    *ret_bytes = path->arena_bytes;
    dpc_path_destroy(path);
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
    dpc_free(path->weights);
    dpc_free(path->grads_blocks);
    dpc_free(path->scratch);
    dpc_free(path->unmasked.targets);
    dpc_free(path->unmasked.places);
    dpc_free(path->unmasked.losses);
    path->ops->memory->release(path->arena);
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

void
dpc_path_write_params(struct dpc_path *path, const float *values)
{
    path->ops->memory->upload(path->params, values, path->floats * sizeof *values);
}

void
dpc_path_write_module(struct dpc_path *path, uint32_t level, const float *values)
{
    path->ops->memory->upload(dpc_path_module_params(path, level), values,
                              dpc_path_module_floats(path, level) * sizeof *values);
}

void
dpc_path_write_initial(struct dpc_path *path)
{
    for (uint32_t level = 0; level < path->experiment.levels_count; level++) {
        float *values = dpc_alloc(dpc_path_module_floats(path, level), sizeof *values);
        dpc_layout_fill_initial(&path->experiment, level, values);
        dpc_path_write_module(path, level, values);
        dpc_free(values);
    }
}

int
dpc_path_read_params(struct dpc_path *path, float *ret_values)
{
    path->ops->memory->download(ret_values, path->params, path->floats * sizeof *ret_values);
    return path->ops->memory->finish();
}

int
dpc_path_read_grads(struct dpc_path *path, float *ret_values)
{
    assert(path->grads);
    path->ops->memory->download(ret_values, path->grads, path->floats * sizeof *ret_values);
    return path->ops->memory->finish();
}

int
dpc_path_subtract_module(struct dpc_path *path, uint32_t level, float *values)
{
    enum { PIECE_MAX = 1 << 20 }; /* so that no second vector is needed */
    const float *params = dpc_path_module_params(path, level);
    size_t count = dpc_path_module_floats(path, level), most = min_size(count, PIECE_MAX);
    float *piece = dpc_try_alloc(most, sizeof *piece);
    if (!piece)
        return DPC_ENOMEM;
    for (size_t at = 0; at < count; at += most) {
        size_t some = min_size(most, count - at);
        path->ops->memory->download(piece, params + at, some * sizeof *piece);
        for (size_t i = 0; i < some; i++)
            values[at + i] -= piece[i];
    }
    dpc_free(piece);
    return path->ops->memory->finish();
}

/* Piece by piece through the gradients, since a card may have no other memory left. */
static int
encode_by_pieces(const struct dpc_path *path, const float *params, const float *values,
                 size_t count, enum dpc_codec codec, uint8_t *ret_bytes)
{
    const struct dpc_memory *memory = path->ops->memory;
    size_t most = grads_room(path) / 2 / DPC_CODEC_BLOCK * DPC_CODEC_BLOCK;
    float *from = path->grads;
    uint8_t *bytes = (uint8_t *)(path->grads + most); /* as blocks no form is longer */
    assert(from && most > 0);
    for (size_t at = 0; at < count; at += most) {
        size_t some = min_size(most, count - at);
        memory->upload(from, values + at, some * sizeof *from);
        path->ops->encode_difference(bytes, from, params + at, some, codec);
        memory->download(ret_bytes + dpc_codec_bytes(codec, at), bytes,
                         dpc_codec_bytes(codec, some));
    }
    return memory->finish();
}

struct encoding {
    const struct dpc_ops *ops;
    enum dpc_codec codec;
    const float *values, *params;
    size_t count;
    uint8_t *bytes;
};

static void
encode_part(void *context, size_t unit, uint32_t thread)
{
    const struct encoding *of = context;
    size_t at = unit * DPC_CODEC_PART;
    (void)thread;
    of->ops->encode_difference(of->bytes + dpc_codec_bytes(of->codec, at), of->values + at,
                               of->params + at, min_size(of->count - at, DPC_CODEC_PART),
                               of->codec);
}

int
dpc_path_encode_module(struct dpc_path *path, uint32_t level, const float *values,
                       enum dpc_codec codec, uint8_t *ret_bytes)
{
    const float *params = dpc_path_module_params(path, level);
    size_t count = dpc_path_module_floats(path, level);
    if (path->ops->memory != &dpc_memory_host)
        return encode_by_pieces(path, params, values, count, codec, ret_bytes);
    struct encoding encoding = {path->ops, codec, values, params, count, ret_bytes};
    dpc_pool_run(path->options.pool, encode_part, &encoding,
                 (count + DPC_CODEC_PART - 1) / DPC_CODEC_PART);
    return DPC_OK;
}

size_t
dpc_path_bytes(const struct dpc_path *path)
{
    return path->arena_bytes;
}

size_t
dpc_path_slice_sequences(const struct dpc_path *path, size_t length)
{
    return path->slice_sequences * path->T_max / length;
}

/* --- Packing. */

static struct dpc_weights *
weights_at(struct dpc_path *path, size_t index)
{
    struct dpc_block_weights *block = &path->weights[index / 4];
    struct dpc_weights *all[] = {&block->gate_up, &block->down, &block->qkv, &block->attention_out};
    return all[index % 4];
}

/* The head comes first: it is the largest. */
static void
pack_unit(void *context, size_t unit, uint32_t thread)
{
    struct dpc_path *path = context;
    (void)thread;
    path->ops->pack(unit == 0 ? &path->head : weights_at(path, unit - 1));
}

void
dpc_path_pack(struct dpc_path *path)
{
    if (path->ops->pack)
        dpc_pool_run(path->options.pool, pack_unit, path, 4 * path->blocks_count + 1);
}

int
dpc_path_check(const struct dpc_path *path, const int32_t *tokens, const int32_t *targets,
               uint32_t batch, uint32_t length)
{
    if (batch == 0 || batch > path->options.batch_max || length == 0 || length > path->T_max)
        return DPC_EINVAL;
    int32_t vocab = (int32_t)path->V;
    for (size_t n = 0; n < (size_t)batch * length; n++) {
        if (tokens[n] < 0 || tokens[n] >= vocab || (targets && targets[n] >= vocab))
            return DPC_EINVAL;
    }
    return DPC_OK;
}
