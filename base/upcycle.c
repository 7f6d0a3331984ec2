/* SPDX-License-Identifier: Apache-2.0
 * Each draw has a stream of its own, keyed by the module, the tensor and the part of it, so that
 * nothing depends on the order in which modules are made. */
#include "base/upcycle.h"

#include <math.h>

#include "base/alloc.h"
#include "base/layout.h"
#include "base/rng.h"

bool
dpc_upcycle_changes(const struct dpc_experiment *experiment, uint32_t level)
{
    return experiment->warm_start.init != DPC_BEGIN_COPY && experiment->levels[level].modules > 1;
}

/* What is drawn of a tensor; the last coordinate of its stream. */
enum part { PART_NOISE, PART_UNITS, PART_GATE, PART_UP, PART_DOWN };

struct draw {
    const struct dpc_experiment *experiment;
    const struct dpc_layout *layout;
    uint32_t module;
    float *floats;
};

static void
seed(const struct draw *draw, const struct dpc_tensor *tensor, enum part part, struct dpc_rng *rng)
{
    dpc_rng_init(rng, draw->experiment->seed, DPC_RNG_UPCYCLE, draw->module,
                 (uint32_t)(tensor - draw->layout->tensors), part);
}

/* Some rows or columns of a matrix: those of the `units`, each of `count` values. */
struct slice {
    float *first;               /* value 0 of unit 0 */
    size_t unit_stride, stride; /* from a unit to the next; from a value to the next */
    size_t count;
    const uint32_t *units;
    uint32_t units_count;
};

static float *
value_at(const struct slice *slice, uint32_t unit, size_t i)
{
    return slice->first + slice->units[unit] * slice->unit_stride + i * slice->stride;
}

/* Mean, and standard deviation around it. */
static void
measure(const struct slice *slice, double *ret_mean, double *ret_std)
{
    double sum = 0, squares = 0, count = (double)slice->units_count * (double)slice->count;
    for (uint32_t unit = 0; unit < slice->units_count; unit++) {
        for (size_t i = 0; i < slice->count; i++)
            sum += (double)*value_at(slice, unit, i);
    }
    *ret_mean = sum / count;
    for (uint32_t unit = 0; unit < slice->units_count; unit++) {
        for (size_t i = 0; i < slice->count; i++) {
            double off = (double)*value_at(slice, unit, i) - *ret_mean;
            squares += off * off;
        }
    }
    *ret_std = sqrt(squares / count);
}

/* --- noise */

static void
add_noise(const struct draw *draw, const struct dpc_tensor *tensor)
{
    static const uint32_t whole[] = {0};
    struct slice slice = {.first = draw->floats + tensor->offset,
                          .stride = 1,
                          .count = (size_t)tensor->rows * tensor->cols,
                          .units = whole,
                          .units_count = 1};
    struct dpc_rng rng;
    double mean, std;
    measure(&slice, &mean, &std);
    std *= draw->experiment->warm_start.noise;
    seed(draw, tensor, PART_NOISE, &rng);
    for (size_t i = 0; i < slice.count; i++)
        slice.first[i] = (float)((double)slice.first[i] + std * dpc_rng_normal(&rng));
}

/* --- drop */

/* The first `count` of the numbers below `all` in an order drawn at random. */
static void
draw_units(struct dpc_rng *rng, uint32_t *units, uint32_t all, uint32_t count)
{
    for (uint32_t i = 0; i < all; i++)
        units[i] = i;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t k = i + (uint32_t)dpc_rng_below(rng, all - i), kept = units[i];
        units[i] = units[k];
        units[k] = kept;
    }
}

static void
draw_anew(const struct draw *draw, const struct dpc_tensor *tensor, enum part part,
          const struct slice *slice)
{
    struct dpc_rng rng;
    double mean, std;
    measure(slice, &mean, &std);
    seed(draw, tensor, part, &rng);
    for (uint32_t unit = 0; unit < slice->units_count; unit++) {
        for (size_t i = 0; i < slice->count; i++)
            *value_at(slice, unit, i) = (float)(mean + std * dpc_rng_normal(&rng));
    }
}

/* Of one feed-forward: the gate's rows stand before those of the up matrix. */
static void
drop_units(const struct draw *draw, const struct dpc_tensor *gate_up)
{
    const struct dpc_tensor *down = dpc_layout_find(draw->layout, DPC_TENSOR_DOWN, gate_up->block);
    uint32_t ffn = draw->experiment->model.ffn, dim = gate_up->cols;
    uint32_t count = (uint32_t)lround(draw->experiment->warm_start.drop * ffn);
    uint32_t *units = dpc_alloc(ffn, sizeof *units);
    float *gate = draw->floats + gate_up->offset;
    struct dpc_rng rng;
    count = count ? count : 1;
    seed(draw, gate_up, PART_UNITS, &rng);
    draw_units(&rng, units, ffn, count);
    struct slice rows = {gate, dim, 1, dim, units, count};
    draw_anew(draw, gate_up, PART_GATE, &rows);
    rows.first = gate + (size_t)ffn * dim;
    draw_anew(draw, gate_up, PART_UP, &rows);
    struct slice columns = {draw->floats + down->offset, 1, ffn, dim, units, count};
    draw_anew(draw, down, PART_DOWN, &columns);
    dpc_free(units);
}

/* --- By what the experiment says. */

void
dpc_upcycle_module(const struct dpc_experiment *experiment, uint32_t level, uint32_t module,
                   float *floats)
{
    struct dpc_layout layout;
    struct draw draw = {experiment, &layout, module, floats};
    if (!dpc_upcycle_changes(experiment, level))
        return;
    dpc_layout_init(&layout, experiment, level);
    for (uint32_t i = 0; i < layout.tensors_count; i++) {
        const struct dpc_tensor *tensor = &layout.tensors[i];
        if (experiment->warm_start.init == DPC_BEGIN_NOISE && tensor->decay)
            add_noise(&draw, tensor);
        else if (experiment->warm_start.init == DPC_BEGIN_DROP &&
                 tensor->kind == DPC_TENSOR_GATE_UP)
            drop_units(&draw, tensor);
    }
    dpc_layout_done(&layout);
}
