/* SPDX-License-Identifier: Apache-2.0
 * One pass for the norm, then one fused pass over parameters, gradients and moments. Both go by
 * pieces of tensors, which depend on the model alone; the pieces' norms are added in their order.
 */
#include "modules/adamw.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/pool.h"
#include "modules/path_parts.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "blobs hold floats as memory does");

enum { PIECE_FLOATS = 256 * 1024 };

/* Some values of one tensor. */
struct piece {
    size_t from, count;
    bool decay;
    double squares; /* of its gradients */
};

struct dpc_adamw {
    size_t floats;
    uint64_t steps;
    float *m, *v; /* one memory, m first */
    struct piece *pieces;
    size_t pieces_count;
};

static void
cut_tensor(struct dpc_adamw *adamw, size_t from, size_t count, bool decay)
{
    size_t pieces = dpc_units(count, PIECE_FLOATS);
    adamw->pieces = dpc_grow(adamw->pieces, adamw->pieces_count + pieces, sizeof *adamw->pieces);
    for (size_t done = 0; done < count; done += PIECE_FLOATS)
        adamw->pieces[adamw->pieces_count++] = (struct piece){
            .from = from + done,
            .count = count - done < PIECE_FLOATS ? count - done : PIECE_FLOATS,
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
    size_t floats = dpc_path_floats(path);
    float *moments = dpc_try_alloc_vector(floats, 2 * sizeof *moments);
    if (!moments)
        return dpc_error_set(err, DPC_ENOMEM,
                             "could not create an optimizer: %zu MiB of memory are not to be had",
                             2 * floats * sizeof *moments >> 20);
    struct dpc_adamw *adamw = dpc_alloc(1, sizeof *adamw);
    *adamw = (struct dpc_adamw){.floats = floats, .m = moments, .v = moments + floats};
    cut_path(adamw, path);
    *ret_adamw = adamw;
    return DPC_OK;
}

struct dpc_adamw *
dpc_adamw_destroy(struct dpc_adamw *adamw)
{
    if (!adamw)
        return NULL;
    dpc_free(adamw->m);
    dpc_free(adamw->pieces);
    return dpc_free(adamw);
}

void
dpc_adamw_reset(struct dpc_adamw *adamw)
{
    adamw->steps = 0;
    memset(adamw->m, 0, 2 * adamw->floats * sizeof *adamw->m);
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

static void
square_piece(void *context, size_t unit, uint32_t thread)
{
    const struct update *update = context;
    struct piece *piece = &update->adamw->pieces[unit];
    (void)thread;
    piece->squares =
        update->path->ops->squared_norm(update->path->grads + piece->from, piece->count);
}

static void
step_piece(void *context, size_t unit, uint32_t thread)
{
    const struct update *update = context;
    struct dpc_adamw *adamw = update->adamw;
    const struct piece *piece = &adamw->pieces[unit];
    struct dpc_path *path = update->path;
    struct dpc_adamw_rates rates = update->rates;
    size_t at = piece->from;
    (void)thread;
    rates.weight_decay = piece->decay ? rates.weight_decay : 0.0;
    path->ops->adamw(path->params + at, path->grads + at, adamw->m + at, adamw->v + at,
                     piece->count, &rates);
}

static double
gradient_norm(struct update *update)
{
    struct dpc_adamw *adamw = update->adamw;
    double sum = 0;
    dpc_pool_run(update->path->options.pool, square_piece, update, adamw->pieces_count);
    for (size_t i = 0; i < adamw->pieces_count; i++)
        sum += adamw->pieces[i].squares;
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
    dpc_pool_run(path->options.pool, step_piece, &update, adamw->pieces_count);
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

enum { STATE_HEADER_BYTES = 64, STATE_FORMAT = 1 };
static const char state_magic[8] = "DPCSTAT1";

size_t
dpc_adamw_state_bytes(const struct dpc_adamw *adamw)
{
    return STATE_HEADER_BYTES + 2 * adamw->floats * sizeof *adamw->m;
}

void
dpc_adamw_write(const struct dpc_adamw *adamw, struct dpc_buf *out)
{
    static const uint8_t zeros[STATE_HEADER_BYTES - 32];
    dpc_buf_put(out, state_magic, sizeof state_magic);
    dpc_buf_put_u32(out, STATE_FORMAT);
    dpc_buf_put_u32(out, 0);
    dpc_buf_put_u64(out, adamw->steps);
    dpc_buf_put_u64(out, adamw->floats);
    dpc_buf_put(out, zeros, sizeof zeros);
    dpc_buf_put(out, adamw->m, 2 * adamw->floats * sizeof *adamw->m);
}

int
dpc_adamw_read(struct dpc_adamw *adamw, const void *bytes, size_t len, struct dpc_error *err)
{
    struct dpc_reader reader;
    dpc_reader_init(&reader, bytes, len);
    const uint8_t *magic = dpc_reader_bytes(&reader, sizeof state_magic);
    if (!magic || memcmp(magic, state_magic, sizeof state_magic) != 0)
        return dpc_error_set(err, DPC_ECORRUPT, "could not read a path state: it is none");
    uint32_t format = dpc_reader_u32(&reader);
    (void)dpc_reader_u32(&reader);
    uint64_t steps = dpc_reader_u64(&reader), count = dpc_reader_u64(&reader);
    if (!reader.failed && format != STATE_FORMAT)
        return dpc_error_set(err, DPC_EVERSION,
                             "could not read a path state: it has format %u, this program reads %u",
                             format, (unsigned)STATE_FORMAT);
    if (reader.failed || count != adamw->floats || len != dpc_adamw_state_bytes(adamw))
        return dpc_error_set(err, DPC_ECORRUPT,
                             "could not read a path state: %zu bytes for %llu values, but the path "
                             "has %zu values and needs %zu bytes",
                             len, (unsigned long long)count, adamw->floats,
                             dpc_adamw_state_bytes(adamw));
    adamw->steps = steps;
    memcpy(adamw->m, (const uint8_t *)bytes + STATE_HEADER_BYTES,
           2 * adamw->floats * sizeof *adamw->m);
    return DPC_OK;
}
