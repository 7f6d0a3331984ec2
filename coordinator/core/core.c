/* SPDX-License-Identifier: Apache-2.0
 * Creation, and which part an event goes to. */
#include "coordinator/core/core.h"
#include "coordinator/core/state.h"

#include <math.h>

#include "base/alloc.h"
#include "base/layout.h"
#include "base/planted.h"
#include "base/tensor_blob.h"

static void
create_tables(struct dpc_core *core)
{
    const struct dpc_topology *topology = &core->topology;
    core->modules = dpc_alloc(topology->modules_count, sizeof *core->modules);
    core->paths = dpc_alloc(topology->paths_count, sizeof *core->paths);
    core->deltas =
        dpc_alloc((size_t)topology->paths_count * topology->levels_count, sizeof *core->deltas);
    core_heap_init(&core->training.waiting, topology->paths_count);
    core_heap_init(&core->training.watched, topology->paths_count);
    if (core->experiment->early_stopping) {
        core->bests = dpc_alloc(topology->paths_count, sizeof *core->bests);
        core_heap_init(&core->rating.waiting, topology->paths_count);
        core_heap_init(&core->rating.watched, topology->paths_count);
    }
    for (uint32_t i = 0; i < topology->modules_count; i++) {
        uint32_t level = dpc_topology_module_level(topology, i);
        core->modules[i].record.module = i;
        core->modules[i].closes_ms = INT64_MAX;
        size_t floats = dpc_layout_module_floats(core->experiment, level);
        core->modules[i].bytes = dpc_tensor_blob_bytes(floats);
        core->modules[i].delta_bytes =
            dpc_tensor_blob_bytes_as(dpc_topology_upload(topology, i), floats);
        core->modules[i].change_bytes =
            dpc_tensor_blob_bytes_as(dpc_topology_download(topology, i), floats);
    }
    for (uint32_t i = 0; i < topology->paths_count; i++) {
        core->paths[i].record.path = i;
        if (core->bests)
            core->bests[i].record.path = i;
        core->paths[i].deltas = core->deltas + (size_t)i * topology->levels_count;
        core->paths[i].loss = NAN;
        core->paths[i].trained_by = CORE_NOBODY;
    }
}

int
dpc_core_create(const struct dpc_experiment *experiment, const struct dpc_core_options *options,
                struct dpc_kv *kv, int64_t now_ms, struct dpc_core **ret_core,
                struct dpc_error *err)
{
    struct dpc_core *core = dpc_alloc(1, sizeof *core);
    int code = dpc_topology_init(&core->topology, experiment, err);
    if (code != DPC_OK) {
        dpc_free(core);
        return code;
    }
    core->experiment = experiment;
    core->experiment_yaml = dpc_strdup(options->experiment_yaml);
    core->bulk_endpoint = dpc_strdup(options->bulk_endpoint);
    core->mirror = dpc_strdup(options->mirror ? options->mirror : "");
    core->incarnation = options->incarnation;
    core->heartbeat_ms = options->heartbeat_ms;
    core->workers_max = options->workers_max;
    core->warm_rounds = dpc_experiment_warm_rounds(experiment);
    create_tables(core);
    code = core_restore(core, kv, now_ms, err);
    if (code != DPC_OK) {
        dpc_core_destroy(core);
        return code;
    }
    *ret_core = core;
    return DPC_OK;
}

struct dpc_core *
dpc_core_destroy(struct dpc_core *core)
{
    if (!core)
        return NULL;
    dpc_free(core->experiment_yaml);
    dpc_free(core->bulk_endpoint);
    dpc_free(core->mirror);
    for (uint32_t i = 0; core->modules && i < core->topology.modules_count; i++) {
        dpc_free(core->modules[i].late);
        dpc_free(core->modules[i].past);
    }
    dpc_free(core->modules);
    dpc_free(core->deltas);
    core_forget_chunk_failures(core);
    for (uint32_t i = 0; i < core->topology.paths_count; i++) {
        core_forget_failure(core, CORE_TRAINING, i);
        if (core->bests)
            core_forget_failure(core, CORE_RATING, i);
    }
    dpc_free(core->paths);
    dpc_topology_done(&core->topology);
    dpc_free(core->chunks);
    dpc_free(core->bests);
    dpc_free(core->voids);
    core_free_tables(core);
    core_heap_done(&core->training.waiting);
    core_heap_done(&core->training.watched);
    core_heap_done(&core->chunking.waiting);
    core_heap_done(&core->chunking.watched);
    core_heap_done(&core->rating.waiting);
    core_heap_done(&core->rating.watched);
    return dpc_free(core);
}

void
dpc_core_resume(struct dpc_core *core, struct dpc_actions *actions)
{
    core_add_phase_effect(core, actions);
    if (!DPC_PLANTED(DPC_PLANTED_FOLD_FORGOTTEN))
        core_fold_what_is_complete(core, actions);
    core_advance(core, actions);
}

/* What ticks add up is written with whatever commits next, and at the end. */
static void
on_tick(struct dpc_core *core, const struct dpc_event *event, struct dpc_actions *actions)
{
    core->phase.bytes_up += event->tick.bytes_up;
    core->phase.bytes_down += event->tick.bytes_down;
    core_note_silent(core);
    if (core->experiment->mode == DPC_MODE_ELASTIC) {
        core_fold_what_is_complete(core, actions);
        core_advance(core, actions);
    }
    if (core->phase.phase != DPC_PHASE_FINISHED) {
        core->elapsed_ms += event->tick.elapsed_ms;
        core->phase.seconds += core->elapsed_ms / 1000;
        core->elapsed_ms %= 1000;
    }
    if (event->tick.last)
        core_put_phase(core, actions);
}

void
dpc_core_step(struct dpc_core *core, const struct dpc_event *event, int64_t now_ms,
              struct dpc_actions *actions)
{
    core->now_ms = now_ms;
    switch (event->type) {
    case DPC_EVENT_TICK:
        on_tick(core, event, actions);
        break;
    case DPC_EVENT_HELLO:
        core_on_hello(core, event, now_ms, actions);
        break;
    case DPC_EVENT_ASK:
        core_on_ask(core, event, now_ms, actions);
        break;
    case DPC_EVENT_HEARTBEAT:
        core_on_heartbeat(core, event, now_ms, actions);
        break;
    case DPC_EVENT_SUBMIT:
        core_on_submit(core, event, now_ms, actions);
        break;
    case DPC_EVENT_GIVE_BACK:
        core_on_give_back(core, event, now_ms, actions);
        break;
    case DPC_EVENT_LEAVE:
        core_on_leave(core, event, now_ms, actions);
        break;
    case DPC_EVENT_PREPARED:
        core_on_prepared(core, &event->prepared, actions);
        break;
    case DPC_EVENT_SHARDED:
        core_on_sharded(core, &event->sharded, actions);
        break;
    case DPC_EVENT_LABELLED:
        core_on_labelled(core, &event->labelled, actions);
        break;
    case DPC_EVENT_FOLDED:
        core_on_folded(core, &event->folded, actions);
        break;
    case DPC_EVENT_REPORTED:
        core_enter_phase(core, DPC_PHASE_FINISHED, actions);
        break;
    case DPC_EVENT_ROLLBACK:
        core_on_rollback(core, &event->rollback, actions);
        break;
    case DPC_EVENT_STANDING:
        core_on_standing(core, event, actions);
        break;
    case DPC_EVENT_REVOKE:
        core_on_revoke(core, event, actions);
        break;
    case DPC_EVENT_DRAIN:
        core_on_drain(core, event, actions);
        break;
    }
}
