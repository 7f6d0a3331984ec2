/* SPDX-License-Identifier: Apache-2.0
 * Where a run comes from, for whoever reads its report or asks for its status, and what it was
 * given on its way. */
#include "coordinator/fork/fork.h"

#include <inttypes.h>
#include <stdio.h>

struct last {
    bool any;
    struct dpc_origin_record origin;
};

static bool
keep_last(void *context, const struct dpc_origin_record *origin)
{
    *(struct last *)context = (struct last){true, *origin};
    return true;
}

int
dpc_fork_tell_origin(struct dpc_kv *kv, struct dpc_json *root, struct dpc_error *err)
{
    struct last last = {0};
    char incarnation[20];
    int code = dpc_scan_origins(kv, keep_last, &last, err);
    if (code != DPC_OK || !last.any)
        return code;
    struct dpc_json *origin = dpc_json_object();
    (void)snprintf(incarnation, sizeof incarnation, "%016" PRIx64, last.origin.incarnation);
    dpc_json_set_text(origin, "incarnation", incarnation);
    dpc_json_set_integer(origin, "round", last.origin.round);
    if (last.origin.warm_start)
        dpc_json_set_bool(origin, "warm_start", true);
    dpc_json_set(root, "from", origin);
    return DPC_OK;
}

int
dpc_fork_warm_tokens(struct dpc_kv *kv, const struct dpc_experiment *experiment,
                     uint64_t *ret_tokens, struct dpc_error *err)
{
    struct last last = {0};
    int code = dpc_scan_origins(kv, keep_last, &last, err);
    if (code != DPC_OK)
        return code;
    *ret_tokens = last.origin.warm_tokens;
    if (*ret_tokens == 0)
        *ret_tokens = dpc_experiment_warm_steps(experiment) * experiment->inner.batch *
                      experiment->model.context;
    return DPC_OK;
}
