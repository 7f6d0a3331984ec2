/* SPDX-License-Identifier: Apache-2.0
 * Rounds that compete are those since the path's choice last began anew; the others were measured
 * on other documents, or are of versions that do not count any more. */
#include "coordinator/report/report_best.h"

#include <math.h>

#include "base/alloc.h"

struct dpc_report_best {
    const struct dpc_topology *topology;
    const struct dpc_experiment *experiment;
    struct dpc_best_record *records; /* [paths_count]; all zero: not measured */
    uint32_t count, capacity;
    struct dpc_candidate_record *candidates; /* by path, then in their order */
};

static bool
gather_best(void *context, const struct dpc_best_record *record)
{
    struct dpc_report_best *best = context;
    if (record->path < best->topology->paths_count)
        best->records[record->path] = *record;
    return true;
}

static bool
gather_candidate(void *context, const struct dpc_candidate_record *record)
{
    struct dpc_report_best *best = context;
    if (best->count == best->capacity) {
        best->capacity = best->capacity ? 2 * best->capacity : 64;
        best->candidates = dpc_grow(best->candidates, best->capacity, sizeof *best->candidates);
    }
    best->candidates[best->count++] = *record;
    return true;
}

int
dpc_report_best_load(struct dpc_kv *kv, const struct dpc_topology *topology,
                     const struct dpc_experiment *experiment, struct dpc_report_best **ret_best,
                     struct dpc_error *err)
{
    struct dpc_report_best *best = dpc_alloc(1, sizeof *best);
    best->topology = topology;
    best->experiment = experiment;
    best->records = dpc_alloc(topology->paths_count, sizeof *best->records);
    int code = dpc_scan_bests(kv, gather_best, best, err);
    if (code == DPC_OK)
        code = dpc_scan_candidates(kv, gather_candidate, best, err);
    if (code == DPC_OK)
        *ret_best = best;
    else
        dpc_report_best_destroy(best);
    return code;
}

struct dpc_report_best *
dpc_report_best_destroy(struct dpc_report_best *best)
{
    if (!best)
        return NULL;
    dpc_free(best->records);
    dpc_free(best->candidates);
    return dpc_free(best);
}

/* The dense path's rounds begin with those of the warm start. */
static uint32_t
round_of(const struct dpc_report_best *best, uint32_t path, uint32_t round)
{
    return dpc_topology_path_is_dense(best->topology, path)
               ? round - dpc_experiment_warm_rounds(best->experiment)
               : round;
}

/* The first candidate that is not one of a path before this one. */
static uint32_t
first_of(const struct dpc_report_best *best, uint32_t path)
{
    uint32_t low = 0, high = best->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (best->candidates[middle].path < path)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct dpc_json *
json_candidates(const struct dpc_report_best *best, uint32_t path)
{
    struct dpc_json *points = dpc_json_array();
    uint32_t first = best->records[path].first;
    for (uint32_t i = first_of(best, path); i < best->count && best->candidates[i].path == path;
         i++) {
        const struct dpc_candidate_record *candidate = &best->candidates[i];
        if (candidate->number < first)
            continue;
        struct dpc_json *point = dpc_json_array();
        dpc_json_append_number(point, round_of(best, path, candidate->round));
        dpc_json_append_number(point, candidate->nats / (double)candidate->targets / M_LN2);
        dpc_json_append(points, point);
    }
    return points;
}

void
dpc_report_best_set(const struct dpc_report_best *best, uint32_t path, struct dpc_json *object)
{
    const struct dpc_best_record *record = &best->records[path];
    if (record->found)
        dpc_json_set_integer(object, "best_round", round_of(best, path, record->round));
    else
        dpc_json_set_number(object, "best_round", NAN);
    dpc_json_set(object, "early_stop_bits_per_token", json_candidates(best, path));
}

void
dpc_report_best_head(const struct dpc_report_best *best, struct dpc_buf *out)
{
    if (best->experiment->early_stopping)
        dpc_buf_printf(out, " best round |");
}

void
dpc_report_best_rule(const struct dpc_report_best *best, struct dpc_buf *out)
{
    if (best->experiment->early_stopping)
        dpc_buf_printf(out, "---|");
}

void
dpc_report_best_cell(const struct dpc_report_best *best, uint32_t path, struct dpc_buf *out)
{
    const struct dpc_best_record *record = &best->records[path];
    if (!best->experiment->early_stopping)
        return;
    if (record->found)
        dpc_buf_printf(out, " %u of %u |", round_of(best, path, record->round),
                       best->experiment->outer.rounds);
    else
        dpc_buf_printf(out, " - |");
}
