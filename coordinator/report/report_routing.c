/* SPDX-License-Identifier: Apache-2.0
 * Records come by (phase, path), so they are gathered as a table that grows by rows. */
#include "coordinator/report/report_routing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/svg.h"

struct dpc_report_routing {
    uint32_t phases; /* shardings, the first one included */
    uint32_t paths;
    struct dpc_shard_record *shards; /* [phases, paths] */
};

/* One sharding, in figures. */
struct facts {
    double entropy;   /* of the train documents' shares, bits */
    double agreement; /* share of documents that stay; NaN for the first sharding */
    uint64_t least, most;
};

static bool
gather(void *context, const struct dpc_shard_record *record)
{
    struct dpc_report_routing *routing = context;
    if (record->path >= routing->paths || record->phase > DPC_ROUNDS_MAX)
        return true;
    if (record->phase >= routing->phases) {
        routing->phases = record->phase + 1;
        routing->shards = dpc_grow(routing->shards, (size_t)routing->phases * routing->paths,
                                   sizeof *routing->shards);
    }
    routing->shards[(size_t)record->phase * routing->paths + record->path] = *record;
    return true;
}

int
dpc_report_routing_load(struct dpc_kv *kv, const struct dpc_topology *topology,
                        struct dpc_report_routing **ret_routing, struct dpc_error *err)
{
    struct dpc_report_routing *routing = dpc_alloc(1, sizeof *routing);
    routing->paths = topology->routed_paths;
    int code = dpc_scan_shards(kv, gather, routing, err);
    if (code != DPC_OK) {
        dpc_report_routing_destroy(routing);
        return code;
    }
    *ret_routing = routing;
    return DPC_OK;
}

struct dpc_report_routing *
dpc_report_routing_destroy(struct dpc_report_routing *routing)
{
    if (!routing)
        return NULL;
    dpc_free(routing->shards);
    return dpc_free(routing);
}

bool
dpc_report_routing_has_choice(const struct dpc_report_routing *routing)
{
    return routing->phases > 0 && routing->paths > 1;
}

static const struct dpc_shard_record *
shards_of(const struct dpc_report_routing *routing, uint32_t phase)
{
    return routing->shards + (size_t)phase * routing->paths;
}

static uint64_t
count_documents(const struct dpc_report_routing *routing, uint32_t phase)
{
    uint64_t sum = 0;
    for (uint32_t path = 0; path < routing->paths; path++)
        sum += shards_of(routing, phase)[path].train_documents;
    return sum;
}

static struct facts
describe(const struct dpc_report_routing *routing, uint32_t phase)
{
    const struct dpc_shard_record *shards = shards_of(routing, phase);
    double documents = (double)count_documents(routing, phase), routed = 0, stayed = 0;
    struct facts facts = {.least = UINT64_MAX};
    for (uint32_t path = 0; path < routing->paths; path++) {
        uint64_t count = shards[path].train_documents;
        double share = (double)count / documents;
        facts.entropy -= count ? share * log2(share) : 0;
        facts.least = count < facts.least ? count : facts.least;
        facts.most = count > facts.most ? count : facts.most;
        routed += (double)shards[path].routed;
        stayed += (double)shards[path].stayed;
    }
    facts.agreement = phase ? stayed / routed : NAN;
    return facts;
}

struct dpc_json *
dpc_report_routing_json(const struct dpc_report_routing *routing)
{
    struct dpc_json *list = dpc_json_array();
    for (uint32_t phase = 0; phase < routing->phases; phase++) {
        struct facts facts = describe(routing, phase);
        struct dpc_json *object = dpc_json_object(), *shards = dpc_json_array();
        dpc_json_set_integer(object, "phase", phase);
        for (uint32_t path = 0; path < routing->paths; path++)
            dpc_json_append_number(shards, (double)shards_of(routing, phase)[path].train_documents);
        dpc_json_set(object, "train_documents", shards);
        dpc_json_set_number(object, "entropy_bits", facts.entropy);
        dpc_json_set_number(object, "entropy_bits_max", log2(routing->paths));
        dpc_json_set_number(object, "agreement", facts.agreement);
        dpc_json_append(list, object);
    }
    return list;
}

void
dpc_report_routing_markdown(const struct dpc_report_routing *routing, struct dpc_buf *out)
{
    dpc_buf_printf(out, "| sharding | smallest shard | largest | entropy, bits | documents that "
                        "stay |\n|---|---|---|---|---|\n");
    for (uint32_t phase = 0; phase < routing->phases; phase++) {
        struct facts facts = describe(routing, phase);
        dpc_buf_printf(out, "| %u | %llu | %llu | %.3f of %.3f | ", phase,
                       (unsigned long long)facts.least, (unsigned long long)facts.most,
                       facts.entropy, log2(routing->paths));
        if (phase)
            dpc_buf_printf(out, "%.1f %% |\n", 100 * facts.agreement);
        else
            dpc_buf_printf(out, "- |\n");
    }
}

static int
larger_first(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left < right) - (left > right);
}

/* One sharding: how fast shares fall from the largest to the smallest, beside even ones. */
static void
draw_shares(const struct dpc_report_routing *routing, const char *title, struct dpc_buf *out)
{
    uint32_t paths = routing->paths;
    double *rank = dpc_alloc(3 * (size_t)paths, sizeof *rank);
    double *shares = rank + paths, *even = shares + paths;
    double documents = (double)count_documents(routing, 0);
    for (uint32_t path = 0; path < paths; path++) {
        rank[path] = path + 1;
        shares[path] = (double)shards_of(routing, 0)[path].train_documents / documents;
        even[path] = 1.0 / paths;
    }
    qsort(shares, paths, sizeof *shares, larger_first);
    struct dpc_series series[] = {{"a path's share", rank, shares, paths},
                                  {"even shares", rank, even, paths}};
    dpc_svg_chart(out, title, "paths, the largest first", "share of the train documents", series,
                  2);
    dpc_free(rank);
}

/* A line for each path would be a blot with more of them. */
enum { PATHS_DRAWN_MAX = 64, OWN_SERIES = 2 };

/* Several shardings: what becomes of shares, of how even they are, and how many documents move. */
static void
draw_phases(const struct dpc_report_routing *routing, const char *title, struct dpc_buf *out)
{
    uint32_t drawn = routing->paths <= PATHS_DRAWN_MAX ? routing->paths : 0, rows = routing->phases;
    size_t count = OWN_SERIES + drawn;
    struct dpc_series *series = dpc_alloc(count, sizeof *series);
    double *values = dpc_alloc((count + 1) * rows, sizeof *values), *x = values + count * rows;
    for (uint32_t phase = 0; phase < rows; phase++) {
        struct facts facts = describe(routing, phase);
        x[phase] = phase;
        values[phase] = facts.agreement;
        values[rows + phase] = facts.entropy / log2(routing->paths);
        double documents = (double)count_documents(routing, phase);
        for (uint32_t path = 0; path < drawn; path++)
            values[(size_t)(OWN_SERIES + path) * rows + phase] =
                (double)shards_of(routing, phase)[path].train_documents / documents;
    }
    series[0] = (struct dpc_series){"documents that stay", x, values, rows};
    series[1] = (struct dpc_series){"entropy of its most; shards", x, values + rows, rows};
    for (uint32_t path = 0; path < drawn; path++) {
        const double *y = values + (size_t)(OWN_SERIES + path) * rows;
        series[OWN_SERIES + path] = (struct dpc_series){NULL, x, y, rows};
    }
    dpc_svg_chart(out, title, "discriminative phases", "share", series, count);
    dpc_free(values);
    dpc_free(series);
}

void
dpc_report_routing_svg(const struct dpc_report_routing *routing, const char *title,
                       struct dpc_buf *out)
{
    if (routing->phases > 1)
        draw_phases(routing, title, out);
    else
        draw_shares(routing, title, out);
}
