/* SPDX-License-Identifier: Apache-2.0
 * A line is an array of bins over the whole schedule, each with the sums of what fell into it. */
#include "coordinator/pages/curve.h"

#include <math.h>

#include "base/alloc.h"
#include "base/svg.h"

enum { DENSE, ROUTED, LINES };

struct bin {
    double steps, loss;
    uint32_t count;
};

struct dpc_curve {
    const struct dpc_core *core;
    const char *title;
    uint64_t steps_total; /* of a path, warm start included */
    uint64_t *ends;       /* of each path, up to which step it was told */
    struct bin bins[LINES][DPC_CURVE_POINTS];
};

void
dpc_curve_add(struct dpc_curve *curve, uint32_t path, uint32_t round, uint32_t steps, double loss)
{
    const struct dpc_topology *topology = dpc_core_topology(curve->core);
    if (path > dpc_topology_dense_path(topology) || !isfinite(loss))
        return; /* replicas of the dense path are no model */
    uint64_t end = dpc_core_round_place(curve->core, path, round) + steps;
    if (end <= curve->ends[path])
        return;
    curve->ends[path] = end;
    uint64_t place = end * (DPC_CURVE_POINTS - 1) / curve->steps_total;
    if (place >= DPC_CURVE_POINTS)
        return;
    struct bin *bin =
        &curve->bins[path == dpc_topology_dense_path(topology) ? DENSE : ROUTED][place];
    bin->steps += (double)end;
    bin->loss += loss;
    bin->count++;
}

/* A path's round, or a part of it, stands once per level. */
static bool
add_contribution(void *context, const struct dpc_contribution_record *record)
{
    dpc_curve_add(context, record->path, record->round, record->steps, record->loss_last);
    return true;
}

int
dpc_curve_create(const struct dpc_core *core, const struct dpc_experiment *experiment,
                 struct dpc_kv *kv, struct dpc_curve **ret_curve, struct dpc_error *err)
{
    struct dpc_curve *curve = dpc_alloc(1, sizeof *curve);
    curve->core = core;
    curve->title = experiment->name;
    curve->steps_total =
        experiment->warm_start.steps + (uint64_t)experiment->inner.steps * experiment->outer.rounds;
    curve->ends = dpc_alloc(dpc_core_topology(core)->paths_count, sizeof *curve->ends);
    int code = dpc_scan_contributions(kv, add_contribution, curve, err);
    if (code != DPC_OK)
        dpc_curve_destroy(curve);
    else
        *ret_curve = curve;
    return code;
}

struct dpc_curve *
dpc_curve_destroy(struct dpc_curve *curve)
{
    if (curve)
        dpc_free(curve->ends);
    return dpc_free(curve);
}

void
dpc_curve_draw(const struct dpc_curve *curve, struct dpc_buf *out)
{
    static const char *const names[LINES] = {"dense", "mean of paths"};
    double x[LINES][DPC_CURVE_POINTS], y[LINES][DPC_CURVE_POINTS];
    struct dpc_series series[LINES];
    size_t count = 0;
    for (int line = 0; line < LINES; line++) {
        size_t points = 0;
        for (int i = 0; i < DPC_CURVE_POINTS; i++) {
            const struct bin *bin = &curve->bins[line][i];
            if (!bin->count)
                continue;
            x[line][points] = bin->steps / bin->count;
            y[line][points++] = bin->loss / bin->count;
        }
        if (points)
            series[count++] = (struct dpc_series){names[line], x[line], y[line], points};
    }
    if (count)
        dpc_svg_chart(out, curve->title, "inner steps of a path", "train loss, nats per token",
                      series, count);
}
