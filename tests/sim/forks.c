/* SPDX-License-Identifier: Apache-2.0
 * Forks of what a coordinator left when it ended, of each round that may be kept
 * (coordinator/fork/fork.h): one that can be had opens, and all that it names is there. The source
 * is only read. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "coordinator/core/keep.h"
#include "coordinator/fork/fork.h"
#include "tests/sim/sim.h"

/* At one of so many starts of a coordinator. It is not drawn: what a seed means does not depend on
 * it. */
enum { STARTS = 4 };

/* A server puts it beside the records of its core. */
static void
put_experiment(struct sim *sim)
{
    struct dpc_kv *kv = sim->coordinator.kv;
    struct dpc_kv_batch batch;
    struct dpc_error err;
    dpc_kv_batch_init(&batch);
    dpc_put_experiment(&batch, sim->coordinator.yaml, strlen(sim->coordinator.yaml));
    if (kv->ops->write(kv, &batch, &err) != DPC_OK)
        sim_fail(sim, "the experiment could not be put: %s", err.text);
    dpc_kv_batch_done(&batch);
}

static int
size_of(void *context, const struct dpc_hash *hash, uint64_t *ret_bytes)
{
    return sim_find_blob(context, hash, ret_bytes) ? DPC_OK : DPC_ENOTFOUND;
}

/* As the folder of a fork is filled: what the core names must be there. */
static void
check_core(struct sim *sim, struct dpc_kv *kv, uint32_t round)
{
    struct dpc_core_options options = {.incarnation = 78,
                                       .heartbeat_ms = SIM_HEARTBEAT_MS,
                                       .workers_max = DPC_WORKERS_MAX,
                                       .experiment_yaml = "",
                                       .bulk_endpoint = ""};
    struct dpc_core *core;
    struct dpc_actions actions;
    struct dpc_error err;
    char hex[DPC_HASH_HEX_MAX];
    if (dpc_core_create(&sim->coordinator.experiment, &options, kv, 0, &core, &err) != DPC_OK) {
        sim_fail(sim, "a fork at round %u does not open: %s", round, err.text);
        return;
    }
    uint64_t bytes;
    struct dpc_keep *keep = dpc_keep_create(core);
    for (size_t i = 0; i < dpc_keep_count(keep); i++) {
        dpc_hash_hex(dpc_keep_at(keep, i), hex, sizeof hex);
        if (!sim_find_blob(sim, dpc_keep_at(keep, i), &bytes))
            sim_fail(sim, "a fork at round %u needs blob %s, which is gone", round, hex);
    }
    dpc_keep_destroy(keep);
    dpc_actions_init(&actions);
    dpc_core_resume(core, &actions);
    dpc_actions_done(&actions);
    dpc_core_destroy(core);
}

/* `must`: it can be had. */
static void
check_fork(struct sim *sim, uint32_t round, bool must)
{
    struct dpc_fork_source source = {sim->coordinator.kv, size_of, sim};
    struct dpc_forked forked;
    struct dpc_store *to;
    struct dpc_kv *kv;
    struct dpc_error err = {0};
    if (dpc_kv_open_memory(&kv) != DPC_OK || dpc_store_open_on(kv, NULL, &to, &err) != DPC_OK) {
        sim_fail(sim, "a store could not be made: %s", err.text);
        return;
    }
    int code = dpc_fork_records(&source, round, &sim->coordinator.experiment, to, &forked, &err);
    if (code == DPC_OK) {
        sim_mark(sim, SIM_MARK_FORKED);
        check_core(sim, kv, round);
    } else if (must) {
        sim_fail(sim, "there is no fork at round %u: %s", round, err.text);
    }
    dpc_store_close(to);
    dpc_kv_close(kv);
}

/* The newest round that is over everywhere. */
static uint32_t
newest_round(const struct dpc_core *core)
{
    uint32_t newest = UINT32_MAX;
    for (uint32_t i = 0; i < dpc_core_topology(core)->routed_modules; i++) {
        uint32_t round = dpc_module_round(dpc_core_module(core, i));
        newest = round < newest ? round : newest;
    }
    return newest;
}

void
sim_check_forks(struct sim *sim)
{
    const struct dpc_core *core = sim->coordinator.core;
    const struct dpc_experiment *experiment = &sim->coordinator.experiment;
    const struct dpc_phase_record *phase = dpc_core_phase(core);
    if (phase->phase < DPC_PHASE_TRAIN || (sim->plan.seed + sim->coordinator.life) % STARTS)
        return;
    put_experiment(sim);
    uint32_t newest = newest_round(core);
    uint32_t routed = phase->routing_phases * dpc_experiment_phase_rounds(experiment);
    for (uint32_t round = 0; round <= newest && !sim->failure[0]; round++)
        check_fork(sim, round, round >= routed && round + experiment->keep_rounds >= newest);
    if (!sim->failure[0])
        check_fork(sim, DPC_FORK_WARM, experiment->warm_start.steps > 0);
}
