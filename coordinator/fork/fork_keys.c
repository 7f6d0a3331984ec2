/* SPDX-License-Identifier: Apache-2.0
 * Which experiments go together. Most of it is a column of the table of keys; a few keys may change
 * only as long as what has happened stays what it is. */
#include "coordinator/fork/fork_parts.h"

#include <string.h>

#include "base/alloc.h"

struct changes {
    struct dpc_buf refused;
    const struct dpc_experiment *old, *now;
};

/* In strict mode all of a run is of one numeric class. */
static bool
may_change_here(const struct changes *changes, const char *key)
{
    return strcmp(key, "compute") != 0 || changes->now->mode == DPC_MODE_ELASTIC;
}

static void
note_change(void *context, const char *key, const char *old_value, const char *new_value,
            bool may_change)
{
    struct changes *changes = context;
    if (may_change && may_change_here(changes, key))
        return;
    dpc_buf_printf(&changes->refused, "%s%s (%.100s -> %.100s)", changes->refused.len ? ", " : "",
                   key, old_value, new_value);
}

/* Rounds of the warm start number the versions of the dense modules. */
static int
check_steps(const struct dpc_experiment *old, const struct dpc_experiment *now,
            struct dpc_error *err)
{
    uint32_t before = dpc_experiment_warm_rounds(old), after = dpc_experiment_warm_rounds(now);
    if (before == after)
        return DPC_OK;
    return dpc_error_set(err, DPC_EPERM,
                         "inner.steps (%u -> %u) would make the warm start, which is over, %u "
                         "rounds instead of %u: choose a number of steps that leaves it as it was",
                         old->inner.steps, now->inner.steps, after, before);
}

/* Where nothing else is written they follow from the number of rounds. */
static int
check_phases(const struct dpc_experiment *old, const struct dpc_experiment *now,
             struct dpc_error *err)
{
    uint32_t before = dpc_experiment_phase_rounds(old), after = dpc_experiment_phase_rounds(now);
    if (old->routing.phases == 0 || before == after)
        return DPC_OK;
    return dpc_error_set(
        err, DPC_EPERM,
        "documents would be routed anew every %u rounds instead of every %u: write "
        "routing.phase_rounds: %u",
        after, before, before);
}

/* Keys alone do not say all of it. */
static int
check_warm(const struct dpc_experiment *old, const struct dpc_experiment *now,
           struct dpc_error *err)
{
    if (now->warm_start.steps == 0)
        return dpc_error_set(
            err, DPC_EPERM, "warm_start.steps is 0, and there is nothing to take over: begin anew");
    if (!dpc_experiment_shares_warm_start(old, now))
        return dpc_error_set(err, DPC_EPERM,
                             "with early_stopping a dense model that goes on is measured from its "
                             "beginning: leave baseline.dense as it was (%s), or begin anew",
                             old->baseline.dense ? "true" : "false");
    return DPC_OK;
}

int
fork_check_keys(const struct dpc_experiment *old, const struct dpc_experiment *now, bool warm,
                struct dpc_error *err)
{
    struct changes changes = {.old = old, .now = now};
    int code = DPC_OK;
    dpc_buf_init(&changes.refused, DPC_ERROR_TEXT_MAX / 2);
    dpc_experiment_diff(old, now, warm ? DPC_CHANGE_WARM : DPC_CHANGE_FORK, note_change, &changes);
    if (changes.refused.len || changes.refused.failed)
        code = dpc_error_set(err, DPC_EPERM,
                             "%s depends on %s%s, which a fork cannot change: undo the change, or "
                             "begin anew",
                             warm ? "the warm start" : "what was trained so far",
                             dpc_buf_text(&changes.refused), changes.refused.failed ? " ..." : "");
    dpc_buf_done(&changes.refused);
    if (warm)
        return code == DPC_OK ? check_warm(old, now, err) : code;
    if (code == DPC_OK)
        code = check_steps(old, now, err);
    return code == DPC_OK ? check_phases(old, now, err) : code;
}
