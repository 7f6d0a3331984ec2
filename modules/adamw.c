/* SPDX-License-Identifier: Apache-2.0
 * One pass for the norm, then one fused pass over parameters, gradients and moments. Both go by
 * pieces of tensors, which depend on the model alone; the pieces' norms are added in their order.
 */
#include "modules/adamw.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/path_state.h"
#include "base/pool.h"
#include "modules/path_parts.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "blobs hold floats as memory does");

/* A whole table takes all pieces at once, and spreads them over its card. */
enum { PIECE_FLOATS = 256 * 1024, PIECE_FLOATS_WHOLE = 16 * 1024 };

struct dpc_adamw {
    const struct dpc_ops *ops;
    size_t floats;
    uint64_t steps;
    float *m, *v;             /* one memory of the table, m first */
    struct dpc_piece *pieces; /* each of one tensor */
    size_t pieces_count;
    double *squares; /* [pieces_count] of the gradients, the table's */
    double *sums;    /* the same, as they came back */
};

static void
cut_tensor(struct dpc_adamw *adamw, size_t from, size_t count, bool decay)
{
    size_t most = adamw->ops->whole ? PIECE_FLOATS_WHOLE : PIECE_FLOATS;
    size_t pieces = dpc_units(count, most);
    adamw->pieces = dpc_grow(adamw->pieces, adamw->pieces_count + pieces, sizeof *adamw->pieces);
    for (size_t done = 0; done < count; done += most)
        adamw->pieces[adamw->pieces_count++] = (struct dpc_piece){
            .from = from + done,
            .count = count - done < most ? count - done : most,
            .decay = decay,
        };
}

static void
cut_path(struct dpc_adamw *adamw, const struct dpc_path *path)
{
    for (uint32_t level = 0; level < path->experiment.levels_count; level++) {
        const struct dpc_layout *layout = &path->layouts[level];
        for (uint32_t i = 0; i < layout->tensors_count; i++)
            cut_tensor(adamw, path->module_offsets[level] + layout->tensors[i].offset,
                       (size_t)layout->tensors[i].rows * layout->tensors[i].cols,
                       layout->tensors[i].decay);
    }
}

int
dpc_adamw_create(const struct dpc_path *path, struct dpc_adamw **ret_adamw, struct dpc_error *err)
{
    const struct dpc_memory *memory = path->ops->memory;
    struct dpc_adamw *adamw = dpc_alloc(1, sizeof *adamw);
    adamw->ops = path->ops;
    adamw->floats = dpc_path_floats(path);
    cut_path(adamw, path);
    adamw->m = memory->allocate(2 * adamw->floats * sizeof *adamw->m);
    adamw->squares = memory->allocate(adamw->pieces_count * sizeof *adamw->squares);
    adamw->sums = dpc_try_alloc(adamw->pieces_count, sizeof *adamw->sums);
    if (!adamw->m || !adamw->squares || !adamw->sums) {
        (void)dpc_error_set(err, DPC_ENOMEM,
                            "could not create an optimizer: %zu MiB of memory are not to be had",
                            2 * adamw->floats * sizeof *adamw->m >> 20);
        dpc_adamw_destroy(adamw);
        return DPC_ENOMEM;
    }
    adamw->v = adamw->m + adamw->floats;
    *ret_adamw = adamw;
    return DPC_OK;
}

struct dpc_adamw *
dpc_adamw_destroy(struct dpc_adamw *adamw)
{
    if (!adamw)
        return NULL;
    adamw->ops->memory->release(adamw->m);
    adamw->ops->memory->release(adamw->squares);
    dpc_free(adamw->sums);
    dpc_free(adamw->pieces);
    return dpc_free(adamw);
}

void
dpc_adamw_reset(struct dpc_adamw *adamw)
{
    adamw->steps = 0;
    adamw->ops->memory->clear(adamw->m, 2 * adamw->floats * sizeof *adamw->m);
}

uint64_t
dpc_adamw_steps(const struct dpc_adamw *adamw)
{
    return adamw->steps;
}

/* As PyTorch's clip_grad_norm_. */
static double
clip_scale(double norm, double clip)
{
    double scale = clip / (norm + 1e-6);
    return clip <= 0.0 || scale > 1.0 ? 1.0 : scale;
}

struct update {
    struct dpc_adamw *adamw;
    struct dpc_path *path;
    struct dpc_adamw_rates rates;
};

/* Pieces that are one unit of work, and units in all. */
static size_t
unit_pieces(const struct dpc_adamw *adamw)
{
    return adamw->ops->whole ? adamw->pieces_count : 1;
}

static size_t
units(const struct dpc_adamw *adamw)
{
    return adamw->pieces_count / unit_pieces(adamw);
}

static void
square_unit(void *context, size_t unit, uint32_t thread)
{
    const struct update *update = context;
    const struct dpc_adamw *adamw = update->adamw;
    (void)thread;
    adamw->ops->squared_norms(adamw->squares + unit, update->path->grads, &adamw->pieces[unit],
                              unit_pieces(adamw));
}

static void
step_unit(void *context, size_t unit, uint32_t thread)
{
    const struct update *update = context;
    const struct dpc_adamw *adamw = update->adamw;
    (void)thread;
    adamw->ops->adamw(update->path->params, update->path->grads, adamw->m, adamw->v,
                      &adamw->pieces[unit], unit_pieces(adamw), &update->rates);
}

static double
gradient_norm(struct update *update)
{
    const struct dpc_adamw *adamw = update->adamw;
    double sum = 0;
    dpc_pool_run(update->path->options.pool, square_unit, update, units(adamw));
    adamw->ops->memory->download(adamw->sums, adamw->squares,
                                 adamw->pieces_count * sizeof *adamw->sums);
    for (size_t i = 0; i < adamw->pieces_count; i++)
        sum += adamw->sums[i];
    return sqrt(sum);
}

int
dpc_adamw_step(struct dpc_adamw *adamw, struct dpc_path *path, double lr, double *ret_norm)
{
    assert(path->grads && adamw->floats == path->floats);
    const struct dpc_experiment *experiment = &path->experiment;
    struct update update = {.adamw = adamw, .path = path};
    double norm = gradient_norm(&update);
    *ret_norm = norm;
    if (adamw->ops->memory->finish() != DPC_OK)
        return DPC_EDEVICE;
    if (!isfinite(norm))
        return DPC_ENOTFINITE;
    adamw->steps++;
    update.rates = (struct dpc_adamw_rates){
        .lr = lr,
        .beta1 = experiment->inner.beta1,
        .beta2 = experiment->inner.beta2,
        .epsilon = experiment->inner.epsilon,
        .weight_decay = experiment->inner.weight_decay,
        .gradient_scale = clip_scale(norm, experiment->inner.clip),
        .correction1 = 1.0 - pow(experiment->inner.beta1, (double)adamw->steps),
        .correction2 = 1.0 - pow(experiment->inner.beta2, (double)adamw->steps),
    };
    dpc_pool_run(path->options.pool, step_unit, &update, units(adamw));
    return DPC_OK;
}

double
dpc_schedule_lr(const struct dpc_experiment *experiment, uint64_t step)
{
    double peak = experiment->inner.lr, end = experiment->inner.lr_end;
    uint64_t warmup = experiment->inner.warmup;
    uint64_t total =
        experiment->warm_start.steps + (uint64_t)experiment->outer.rounds * experiment->inner.steps;
    if (step < warmup)
        return peak * (double)(step + 1) / (double)warmup;
    if (step >= total)
        return peak * end;
    double progress = (double)(step - warmup) / (double)(total - warmup);
    return peak * (end + (1.0 - end) * 0.5 * (1.0 + cos(M_PI * progress)));
}

size_t
dpc_adamw_state_bytes(const struct dpc_adamw *adamw)
{
    return dpc_path_state_bytes(adamw->floats);
}

int
dpc_adamw_write(const struct dpc_adamw *adamw, struct dpc_buf *out)
{
    dpc_path_state_put_header(out, adamw->steps, adamw->floats);
    size_t bytes = 2 * adamw->floats * sizeof *adamw->m;
    void *moments = dpc_buf_extend(out, bytes);
    if (moments)
        adamw->ops->memory->download(moments, adamw->m, bytes);
    return adamw->ops->memory->finish();
}

int
dpc_adamw_read(struct dpc_adamw *adamw, const void *bytes, size_t len, struct dpc_error *err)
{
    int code = dpc_path_state_read_header(bytes, len, adamw->floats, &adamw->steps, err);
    if (code != DPC_OK)
        return code;
    adamw->ops->memory->upload(adamw->m, (const uint8_t *)bytes + DPC_PATH_STATE_HEADER_BYTES,
                               2 * adamw->floats * sizeof *adamw->m);
    return DPC_OK;
}

int
dpc_adamw_narrow(const void *bytes, size_t len, size_t floats, const struct dpc_adamw_span *spans,
                 uint32_t spans_count, struct dpc_buf *out, struct dpc_error *err)
{
    const uint8_t *moments = (const uint8_t *)bytes + DPC_PATH_STATE_HEADER_BYTES;
    uint64_t steps;
    size_t taken = 0;
    int code = dpc_path_state_read_header(bytes, len, floats, &steps, err);
    if (code != DPC_OK)
        return code;
    for (uint32_t i = 0; i < spans_count; i++)
        taken += spans[i].count;
    dpc_path_state_put_header(out, steps, taken);
    for (size_t moment = 0; moment < 2; moment++) {
        for (uint32_t i = 0; i < spans_count; i++)
            dpc_buf_put(out, moments + (moment * floats + spans[i].from) * sizeof(float),
                        spans[i].count * sizeof(float));
    }
    return DPC_OK;
}
