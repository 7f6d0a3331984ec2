/* SPDX-License-Identifier: Apache-2.0
 * Figures are kept as sums, and divided where they are shown. */
#include "coordinator/report/report_reroute.h"

#include <math.h>
#include <stdio.h>

#include "base/alloc.h"
#include "coordinator/corpus/reroute.h"

struct dpc_report_reroute {
    uint32_t count;
    struct dpc_rerouted rows[DPC_REROUTES_MAX + 1];
    struct dpc_buf tsv;
};

int
dpc_report_reroute_load(const struct dpc_world *world, const struct dpc_phase_record *phase,
                        struct dpc_report_reroute **ret_reroute, struct dpc_error *err)
{
    struct dpc_report_reroute *reroute = dpc_alloc(1, sizeof *reroute);
    dpc_buf_init(&reroute->tsv, 0);
    int code =
        dpc_reroute_evaluate(world, phase, reroute->rows, &reroute->count, &reroute->tsv, err);
    if (code != DPC_OK) {
        dpc_report_reroute_destroy(reroute);
        return code;
    }
    *ret_reroute = reroute;
    return DPC_OK;
}

struct dpc_report_reroute *
dpc_report_reroute_destroy(struct dpc_report_reroute *reroute)
{
    if (!reroute)
        return NULL;
    dpc_buf_done(&reroute->tsv);
    return dpc_free(reroute);
}

bool
dpc_report_reroute_has_rows(const struct dpc_report_reroute *reroute)
{
    return reroute->count > 0;
}

const struct dpc_buf *
dpc_report_reroute_tsv(const struct dpc_report_reroute *reroute)
{
    return &reroute->tsv;
}

static double
per_target(const struct dpc_rerouted *row, double value)
{
    return row->targets ? value / (double)row->targets : NAN;
}

static double
perplexity(const struct dpc_rerouted *row)
{
    return exp(per_target(row, row->nats));
}

static double
bits_per_byte(const struct dpc_rerouted *row)
{
    return row->bytes ? row->nats / M_LN2 / (double)row->bytes : NAN;
}

struct dpc_json *
dpc_report_reroute_json(const struct dpc_report_reroute *reroute)
{
    struct dpc_json *list = dpc_json_array();
    for (uint32_t i = 0; i < reroute->count; i++) {
        const struct dpc_rerouted *row = &reroute->rows[i];
        struct dpc_json *object = dpc_json_object();
        dpc_json_set_integer(object, "every", row->every);
        dpc_json_set_number(object, "margin", row->margin);
        dpc_json_set_number(object, "ppl", perplexity(row));
        dpc_json_set_number(object, "bits_per_byte", bits_per_byte(row));
        dpc_json_set_integer(object, "documents", row->documents);
        dpc_json_set_integer(object, "targets", (int64_t)row->targets);
        dpc_json_set_integer(object, "switches", (int64_t)row->switches);
        dpc_json_set_integer(object, "recomputed", (int64_t)row->recomputed);
        dpc_json_append(list, object);
    }
    return list;
}

void
dpc_report_reroute_markdown(const struct dpc_report_reroute *reroute, struct dpc_buf *out)
{
    char every[16] = "never";
    double never = perplexity(&reroute->rows[0]);
    dpc_buf_printf(out, "| new route after | perplexity | against never | bits per byte | margin | "
                        "switches in 1,000 tokens | tokens read again for them, per token |\n"
                        "|---|---|---|---|---|---|---|\n");
    for (uint32_t i = 0; i < reroute->count; i++) {
        const struct dpc_rerouted *row = &reroute->rows[i];
        if (row->every)
            (void)snprintf(every, sizeof every, "%u tokens", row->every);
        dpc_buf_printf(out, "| %s | %.3f | %+.1f %% | %.3f | %g | %.2f | %.3f |\n", every,
                       perplexity(row), 100 * (perplexity(row) / never - 1), bits_per_byte(row),
                       row->margin, 1000 * per_target(row, (double)row->switches),
                       per_target(row, (double)row->recomputed));
    }
}
