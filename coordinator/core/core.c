/* SPDX-License-Identifier: Apache-2.0
 * Creation from the store, dispatch of events, and looking in. The parts that decide stand in
 * leases.c, rounds.c and phases.c. */
#include "coordinator/core/core.h"
#include "coordinator/core/state.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/layout.h"
#include "base/tensor_blob.h"
#include "base/planted.h"

static const char *const phase_names[] = {
    [DPC_PHASE_PREPARE] = "prepare",     [DPC_PHASE_WARM_START] = "warm_start",
    [DPC_PHASE_FEATURIZE] = "featurize", [DPC_PHASE_SHARD] = "shard",
    [DPC_PHASE_TRAIN] = "train",         [DPC_PHASE_EVALUATE] = "evaluate",
    [DPC_PHASE_REPORT] = "report",       [DPC_PHASE_FINISHED] = "finished",
    [DPC_PHASE_SCORE] = "score",         [DPC_PHASE_FIT] = "fit",
    [DPC_PHASE_TRACE] = "trace",         [DPC_PHASE_LABEL] = "label",
    [DPC_PHASE_REROUTE] = "reroute",
};

const char *
dpc_phase_name(enum dpc_phase phase)
{
    size_t count = sizeof phase_names / sizeof *phase_names;
    return (size_t)phase < count && phase_names[phase] ? phase_names[phase] : "?";
}

bool
dpc_phase_is_late(enum dpc_phase phase)
{
    return (phase >= DPC_PHASE_EVALUATE && phase <= DPC_PHASE_FINISHED) ||
           (phase >= DPC_PHASE_TRACE && phase <= DPC_PHASE_REROUTE);
}

void
dpc_actions_init(struct dpc_actions *actions)
{
    memset(actions, 0, sizeof *actions);
    dpc_kv_batch_init(&actions->batch);
}

void
dpc_actions_reset(struct dpc_actions *actions)
{
    dpc_kv_batch_reset(&actions->batch);
    actions->has_reply = false;
    actions->alarm[0] = 0;
    for (uint32_t i = 0; i < actions->effects_count; i++)
        actions->effects[i].fold.inputs = dpc_free(actions->effects[i].fold.inputs);
    actions->effects_count = 0;
}

void
dpc_actions_done(struct dpc_actions *actions)
{
    dpc_actions_reset(actions);
    dpc_kv_batch_done(&actions->batch);
    actions->effects = dpc_free(actions->effects);
    actions->effects_capacity = 0;
}

struct dpc_effect *
core_add_effect(struct dpc_actions *actions, enum dpc_effect_type type)
{
    if (actions->effects_count == actions->effects_capacity) {
        actions->effects_capacity = actions->effects_capacity ? 2 * actions->effects_capacity : 8;
        actions->effects =
            dpc_grow(actions->effects, actions->effects_capacity, sizeof *actions->effects);
    }
    struct dpc_effect *effect = &actions->effects[actions->effects_count++];
    *effect = (struct dpc_effect){.type = type};
    return effect;
}

struct dpc_msg *
core_reply(struct dpc_actions *actions, enum dpc_msg_type type)
{
    actions->has_reply = true;
    actions->reply = (struct dpc_msg){.type = type};
    actions->reply_text[0] = 0;
    return &actions->reply;
}

void
core_reply_error(struct dpc_actions *actions, int code, const char *format, ...)
{
    struct dpc_msg *reply = core_reply(actions, DPC_MSG_ERROR);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(actions->reply_text, sizeof actions->reply_text, format, args);
    va_end(args);
    reply->error.code = code;
    reply->error.text = actions->reply_text;
}

void
core_put_phase(struct dpc_core *core, struct dpc_actions *actions)
{
    dpc_put_phase(&actions->batch, &core->phase);
}

void
core_put_ledger(struct dpc_core *core, struct dpc_ledger_record *record,
                struct dpc_actions *actions)
{
    record->sequence = core->phase.ledger_next++;
    record->previous = core->phase.ledger_head;
    dpc_put_ledger(&actions->batch, record, &core->phase.ledger_head);
}

uint64_t
core_tokens_of(const struct dpc_core *core, uint32_t steps)
{
    return (uint64_t)steps * core->experiment->inner.batch * core->experiment->model.context;
}

bool
core_is_dense(const struct dpc_core *core, uint32_t path)
{
    return dpc_topology_path_is_dense(&core->topology, path);
}

bool
core_is_replica(const struct dpc_core *core, uint32_t path)
{
    return path > dpc_topology_dense_path(&core->topology);
}

/* --- From the store. */

struct restore {
    struct dpc_core *core;
    const char *contradiction;
};

static bool
restore_module(void *context, const struct dpc_module_record *record)
{
    struct restore *restore = context;
    if (record->module >= restore->core->topology.modules_count) {
        restore->contradiction = "a module that the experiment does not have";
        return false;
    }
    restore->core->modules[record->module].record = *record;
    restore->core->modules[record->module].exists = true;
    return true;
}

static bool
restore_path(void *context, const struct dpc_path_record *record)
{
    struct restore *restore = context;
    if (record->path >= restore->core->topology.paths_count) {
        restore->contradiction = "a path that the experiment does not have";
        return false;
    }
    restore->core->paths[record->path].record = *record;
    return true;
}

/* In the order in which they came, for each path: later ones take the place of those before. */
static bool
restore_contribution(void *context, const struct dpc_contribution_record *record)
{
    struct restore *restore = context;
    struct dpc_core *core = restore->core;
    if (record->path >= core->topology.paths_count ||
        record->module >= core->topology.modules_count ||
        !dpc_topology_uses(&core->topology, record->path, record->module)) {
        restore->contradiction = "a contribution to a module that its path does not use";
        return false;
    }
    core_note_delta(core, record);
    if (record->late == DPC_IN_TIME || !DPC_PLANTED(DPC_PLANTED_LATE_FORGOTTEN))
        core_take_contribution(core, record);
    return true;
}

/* Which task the lease is on. An evaluation is a chunk of the phase of that name, and before it one
 * for early stopping. */
static bool
find_task(struct dpc_core *core, const struct dpc_lease_record *record, enum core_sort *ret_sort,
          uint32_t *ret_task)
{
    bool path_exists = record->path < core->topology.paths_count;
    *ret_task = record->path;
    *ret_sort = CORE_TRAINING;
    if (record->kind == DPC_TASK_TRAIN)
        return path_exists;
    *ret_sort = CORE_RATING;
    if (record->kind == DPC_TASK_EVALUATE && core->phase.phase != DPC_PHASE_EVALUATE)
        return path_exists && core_rounds_unrated(core, record->path) > 0 &&
               record->round == core->bests[record->path].record.next_round;
    *ret_sort = CORE_CHUNKING;
    struct core_chunk *chunk = core_find_chunk(core, record->path, record->from, record->to);
    *ret_task = chunk ? (uint32_t)(chunk - core->chunks) : 0;
    return chunk && record->kind == core_chunk_kind(core);
}

static bool
restore_lease(void *context, const struct dpc_lease_record *record)
{
    struct restore *restore = context;
    enum core_sort sort;
    uint32_t task;
    if (!find_task(restore->core, record, &sort, &task)) {
        restore->contradiction = "a lease on a task that there is not";
        return false;
    }
    core_add_lease(restore->core, record, sort, task);
    return true;
}

/* Of a lease that goes on from a part which was outdone since, the table knows only who outdid it:
 * whoever brought as much as the lease begins with, last before it was granted, is told by what was
 * handed in. */
static bool
find_part_before(void *context, const struct dpc_contribution_record *record)
{
    const struct core_path *path = &((struct restore *)context)->core->paths[record->path];
    for (struct core_lease *lease = path->leases; lease; lease = lease->next) {
        if (lease->record.from > 0 && lease->record.from == record->steps &&
            lease->record.round == record->round && record->lease < lease->record.serial &&
            record->lease > lease->went_on_from)
            lease->went_on_from = record->lease;
    }
    return true;
}

/* Read again only where a lease needs it. */
static int
restore_parts_before(struct restore *restore, struct dpc_kv *kv, struct dpc_error *err)
{
    const struct dpc_core *core = restore->core;
    bool unknown = false;
    for (uint32_t i = 0; i < core->leases_count; i++) {
        const struct core_lease *lease = core->leases[i];
        unknown |= lease->sort == CORE_TRAINING && lease->record.from > 0 && !lease->went_on_from;
    }
    if (!unknown || restore->contradiction)
        return DPC_OK;
    return dpc_scan_contributions(kv, find_part_before, restore, err);
}

static bool
restore_worker(void *context, const struct dpc_worker_record *record)
{
    struct dpc_core *core = ((struct restore *)context)->core;
    core_add_worker(core, record);
    return true;
}

static bool
restore_void(void *context, const struct dpc_void_record *record)
{
    core_add_void(((struct restore *)context)->core, record);
    return true;
}

static bool
restore_conduct(void *context, const struct dpc_conduct_record *record)
{
    struct core_worker *worker = core_find_worker(((struct restore *)context)->core, record->key);
    if (worker)
        worker->conduct = *record;
    return true;
}

static bool
restore_result(void *context, const struct dpc_result_record *record)
{
    struct dpc_core *core = ((struct restore *)context)->core;
    struct core_chunk *chunk = core_find_chunk(core, record->path, record->from, record->to);
    bool present = record->phase == core_chunk_phase(core) || DPC_PLANTED(DPC_PLANTED_SCORES_AGAIN);
    if (record->kind == core_chunk_kind(core) && present && chunk)
        core_finish_chunk(core, chunk);
    return true;
}

/* The versions that the warm start ended with, once it has. */
static int
restore_warm(struct dpc_core *core, struct dpc_kv *kv, struct dpc_error *err)
{
    for (uint32_t level = 0; level < core->topology.levels_count; level++) {
        uint32_t module =
            dpc_topology_module(&core->topology, dpc_topology_dense_path(&core->topology), level);
        if (!core->modules[module].exists ||
            core->modules[module].record.version < core->warm_rounds)
            continue;
        uint32_t version = DPC_PLANTED(DPC_PLANTED_WARM_FORGOTTEN)
                               ? core->modules[module].record.version
                               : core->warm_rounds;
        int code = dpc_load_version(kv, module, version, &core->warm[level], err);
        if (code != DPC_OK)
            return code;
    }
    return DPC_OK;
}

/* What a round has taken so far, on average; at least some heartbeats, in which workers find
 * contact again. */
static int64_t
usual_round_ms(const struct dpc_core *core)
{
    uint64_t done, total;
    dpc_core_progress(core, &done, &total);
    bool warm = core->phase.phase <= DPC_PHASE_WARM_START;
    double steps = (double)core->experiment->inner.steps *
                   (warm ? core->topology.dense_paths : core->topology.routed_paths);
    double round_s = done ? (double)core->phase.seconds * steps / (double)done : 0;
    return (int64_t)fmax(1000 * round_s, 10.0 * core->heartbeat_ms);
}

/* What follows from the tables. Silence counts from now: nobody could be heard while the
 * coordinator was down. A round under way counts as one of the usual length, so that its grace is
 * not over before anybody can come back. */
static void
rebuild_indices(struct dpc_core *core, int64_t now_ms)
{
    int64_t begun_ms = now_ms - usual_round_ms(core);
    for (uint32_t i = 0; i < core->topology.modules_count; i++) {
        core_count_delivered(core, i);
        core->modules[i].begun_ms = begun_ms;
    }
    for (uint32_t i = 0; i < core->topology.paths_count; i++) {
        const struct core_path *path = &core->paths[i];
        struct core_worker *worker = core_find_worker(core, path->accepted_worker);
        if (path->accepted_serial && worker)
            core_note_trained(core, i, worker);
        core_refresh_path(core, i);
        core_refresh_rating(core, i);
    }
    for (uint32_t i = 0; i < core->leases_count; i++) {
        core->leases[i]->granted_ms = core->leases[i]->progressed_ms = now_ms;
        core->leases[i]->restored = true;
        core_hear_of(core, core->leases[i], now_ms);
    }
    core->now_ms = now_ms;
    for (uint32_t i = 0; i < core->topology.modules_count; i++)
        core_refresh_closing(core, i);
}

static int
restore_all(struct dpc_core *core, struct dpc_kv *kv, int64_t now_ms, struct dpc_error *err)
{
    struct restore restore = {.core = core};
    int code = dpc_load_phase(kv, &core->phase, err);
    if (code == DPC_ENOTFOUND) {
        core->phase = (struct dpc_phase_record){.phase = DPC_PHASE_PREPARE, .next_serial = 1};
        code = DPC_OK; /* workers may have been there before */
    }
    if (code == DPC_OK && strcmp(dpc_phase_name(core->phase.phase), "?") == 0)
        code = dpc_error_set(err, DPC_ECORRUPT,
                             "the store is in phase %u, which there is not: restore a backup",
                             core->phase.phase);
    if (code == DPC_OK)
        code = dpc_scan_modules(kv, restore_module, &restore, err);
    if (code == DPC_OK)
        code = restore_warm(core, kv, err);
    if (code == DPC_OK)
        code = dpc_scan_paths(kv, restore_path, &restore, err);
    if (code == DPC_OK)
        code = dpc_scan_contributions(kv, restore_contribution, &restore, err);
    if (code == DPC_OK)
        code = core_restore_bests(core, kv, err);
    if (code == DPC_OK) {
        core_plan_chunks(core);
        code = dpc_scan_results(kv, restore_result, &restore, err);
    }
    if (code == DPC_OK)
        code = dpc_scan_voids(kv, restore_void, &restore, err);
    if (code == DPC_OK)
        code = dpc_scan_workers(kv, restore_worker, &restore, err);
    if (code == DPC_OK)
        code = dpc_scan_conducts(kv, restore_conduct, &restore, err);
    if (code == DPC_OK)
        code = dpc_scan_leases(kv, restore_lease, &restore, err);
    if (code == DPC_OK)
        code = restore_parts_before(&restore, kv, err);
    if (code == DPC_OK && restore.contradiction)
        code = dpc_error_set(err, DPC_ECORRUPT, "the store names %s; restore a backup of it",
                             restore.contradiction);
    if (code == DPC_OK)
        rebuild_indices(core, now_ms);
    return code;
}

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
    core->warm_rounds = dpc_experiment_warm_rounds(experiment);
    create_tables(core);
    code = restore_all(core, kv, now_ms, err);
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

/* An idle worker asks every ten heartbeats or more often. */
enum { GONE_HEARTBEATS = 30 };

/* One that was killed says nothing of it. */
static void
forget_silent(struct dpc_core *core)
{
    if (core->now_ms - core->silent_looked_ms < core->heartbeat_ms)
        return;
    core->silent_looked_ms = core->now_ms;
    int64_t gone_ms = GONE_HEARTBEATS * (int64_t)core->heartbeat_ms;
    for (uint32_t i = 0; i < core->workers_count; i++) {
        struct core_worker *worker = &core->workers[i];
        if (worker->connected && core->now_ms - worker->heard_ms > gone_ms)
            core_set_connected(core, worker, false);
    }
}

/* What ticks add up is written with whatever commits next, and at the end. */
static void
on_tick(struct dpc_core *core, const struct dpc_event *event, struct dpc_actions *actions)
{
    core->phase.bytes_up += event->tick.bytes_up;
    core->phase.bytes_down += event->tick.bytes_down;
    forget_silent(core);
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

/* --- Looking in. */

const struct dpc_phase_record *
dpc_core_phase(const struct dpc_core *core)
{
    return &core->phase;
}

const struct dpc_topology *
dpc_core_topology(const struct dpc_core *core)
{
    return &core->topology;
}

const struct dpc_module_record *
dpc_core_module(const struct dpc_core *core, uint32_t module)
{
    return core->modules[module].exists ? &core->modules[module].record : NULL;
}

const struct dpc_path_record *
dpc_core_path(const struct dpc_core *core, uint32_t path)
{
    return &core->paths[path].record;
}

uint32_t
dpc_core_warm_rounds(const struct dpc_core *core)
{
    return core->warm_rounds;
}

uint32_t
dpc_core_path_rounds(const struct dpc_core *core, uint32_t path)
{
    uint32_t rounds = core->experiment->outer.rounds;
    if (!core_is_dense(core, path))
        return rounds;
    return core->warm_rounds + (core->experiment->baseline.dense ? rounds : 0);
}

uint32_t
dpc_core_path_owes(const struct dpc_core *core, uint32_t path)
{
    return core_is_replica(core, path) ? core->warm_rounds : dpc_core_path_rounds(core, path);
}

uint32_t
dpc_core_path_made(const struct dpc_core *core, uint32_t path)
{
    uint32_t owes = dpc_core_path_owes(core, path), done = core->paths[path].record.rounds_done;
    return done < owes ? done : owes;
}

uint32_t
dpc_core_rounds_open(const struct dpc_core *core, uint32_t path)
{
    uint32_t over = core->phase.routing_phases;
    if (core_is_dense(core, path) || over >= core->experiment->routing.phases)
        return dpc_core_path_rounds(core, path);
    return (over + 1) * dpc_experiment_phase_rounds(core->experiment);
}

uint32_t
dpc_core_round_steps(const struct dpc_core *core, uint32_t path, uint32_t round)
{
    uint32_t steps = core->experiment->inner.steps;
    bool last_of_warm_start = core_is_dense(core, path) && round + 1 == core->warm_rounds;
    return last_of_warm_start ? core->experiment->warm_start.steps - round * steps : steps;
}

uint64_t
dpc_core_round_place(const struct dpc_core *core, uint32_t path, uint32_t round)
{
    uint32_t steps = core->experiment->inner.steps, warm_steps = core->experiment->warm_start.steps;
    if (!core_is_dense(core, path))
        return warm_steps + (uint64_t)round * steps;
    if (round < core->warm_rounds)
        return (uint64_t)round * steps;
    return warm_steps + (uint64_t)(round - core->warm_rounds) * steps;
}

enum { HELD_MAX = DPC_LEASES_MAX + 1 }; /* by one worker: one may be an audit */

/* Serials of what the worker holds; how many. */
static uint32_t
list_serials(const struct dpc_core *core, const uint8_t *key, uint64_t ret_serials[HELD_MAX])
{
    const struct core_worker *worker = core_find_worker(core, key);
    const struct core_audit *audit = worker ? core_audit_held_by(core, worker) : NULL;
    uint32_t count = 0;
    if (worker && worker->handing_in)
        ret_serials[count++] = worker->handing_in->record.serial;
    if (worker && worker->lease)
        ret_serials[count++] = worker->lease->record.serial;
    if (audit)
        ret_serials[count++] = audit->serial;
    return count;
}

uint64_t
dpc_core_held_by(const struct dpc_core *core, const uint8_t key[static DPC_WORKER_KEY_BYTES])
{
    uint64_t serials[HELD_MAX], oldest = 0;
    uint32_t count = list_serials(core, key, serials);
    for (uint32_t i = 0; i < count; i++)
        oldest = oldest && oldest < serials[i] ? oldest : serials[i];
    return oldest;
}

bool
dpc_core_expects(struct dpc_core *core, const uint8_t key[static DPC_WORKER_KEY_BYTES],
                 struct dpc_token token)
{
    uint64_t serials[HELD_MAX];
    uint32_t count = token.incarnation == core->incarnation ? list_serials(core, key, serials) : 0;
    bool found = false;
    for (uint32_t i = 0; i < count; i++)
        found |= serials[i] == token.serial;
    return found;
}

uint32_t
dpc_core_leases_count(const struct dpc_core *core)
{
    return core->leases_count;
}

static int64_t
left_of(const struct core_lease *lease, int64_t now_ms)
{
    int64_t left_ms = lease->granted_ms + lease->record.time_left_ms - now_ms;
    if (lease->record.time_left_ms == UINT32_MAX)
        return -1;
    return left_ms > 0 ? left_ms : 0;
}

static void
view_lease(const struct core_lease *lease, int64_t now_ms, struct dpc_lease_view *ret_view)
{
    *ret_view = (struct dpc_lease_view){
        .serial = lease->record.serial,
        .kind = lease->record.kind,
        .path = lease->record.path,
        .round = lease->record.round,
        .from = lease->record.from,
        .to = lease->record.to,
        .steps_done = lease->steps_done,
        .steps_count = lease->steps_count,
        .silent_ms = now_ms - lease->heard_ms,
        .age_ms = now_ms - lease->granted_ms,
        .left_ms = left_of(lease, now_ms),
        .tokens_per_s = lease->tokens_per_s,
        .handing_in = lease->handing_in,
    };
    memcpy(ret_view->worker, lease->record.worker, DPC_WORKER_KEY_BYTES);
}

void
dpc_core_lease_at(const struct dpc_core *core, uint32_t index, int64_t now_ms,
                  struct dpc_lease_view *ret_view)
{
    assert(index < core->leases_count);
    view_lease(core->leases[index], now_ms, ret_view);
}

uint32_t
dpc_core_leases_of(const struct dpc_core *core, const uint8_t key[static DPC_WORKER_KEY_BYTES],
                   int64_t now_ms, struct dpc_lease_view ret_views[static DPC_LEASES_MAX])
{
    const struct core_worker *worker = core_find_worker(core, key);
    uint32_t count = 0;
    if (worker && worker->lease)
        view_lease(worker->lease, now_ms, &ret_views[count++]);
    if (worker && worker->handing_in)
        view_lease(worker->handing_in, now_ms, &ret_views[count++]);
    return count;
}

bool
dpc_core_is_silent(const struct dpc_core *core, int64_t silent_ms)
{
    return silent_ms > 3 * (int64_t)core->heartbeat_ms;
}

uint32_t
dpc_core_workers_count(const struct dpc_core *core)
{
    return core->workers_count;
}

const struct dpc_conduct_record *
dpc_core_conduct_at(const struct dpc_core *core, uint32_t index)
{
    assert(index < core->workers_count);
    return &core->workers[index].conduct;
}

bool
core_is_there(const struct dpc_core *core, const struct core_worker *worker, int64_t now_ms)
{
    return worker->connected && !dpc_core_is_silent(core, now_ms - worker->heard_ms);
}

const struct dpc_worker_record *
dpc_core_worker_at(const struct dpc_core *core, uint32_t index, int64_t now_ms,
                   int64_t *ret_silent_ms, bool *ret_connected)
{
    assert(index < core->workers_count);
    const struct core_worker *worker = &core->workers[index];
    *ret_silent_ms = worker->heard ? now_ms - worker->heard_ms : -1;
    *ret_connected = core_is_there(core, worker, now_ms);
    return &worker->record;
}

void
dpc_core_progress(const struct dpc_core *core, uint64_t *ret_steps_done, uint64_t *ret_steps_total)
{
    uint64_t done = 0, total = 0,
             per_path = (uint64_t)core->experiment->inner.steps * core->experiment->outer.rounds;
    for (uint32_t i = 0; i < core->topology.paths_count; i++) {
        const struct core_path *path = &core->paths[i];
        bool dense = core_is_dense(core, i), replica = core_is_replica(core, i);
        uint64_t inherited = dense ? 0 : core->experiment->warm_start.steps;
        uint64_t place = dpc_core_round_place(core, i, path->record.rounds_done);
        if (replica && place > core->experiment->warm_start.steps)
            place = core->experiment->warm_start.steps;
        done += place + path->record.part_steps - inherited;
        if (dense)
            total += core->experiment->warm_start.steps;
        if (!dense || (core->experiment->baseline.dense && !replica))
            total += per_path;
    }
    for (uint32_t i = 0; i < core->leases_count; i++) {
        if (core->leases[i]->record.kind == DPC_TASK_TRAIN)
            done += core->leases[i]->steps_done;
    }
    *ret_steps_done = done < total ? done : total;
    *ret_steps_total = total;
}

double
dpc_core_seconds_left(const struct dpc_core *core)
{
    uint64_t done, total;
    dpc_core_progress(core, &done, &total);
    return done ? (double)core->phase.seconds * (double)(total - done) / (double)done : NAN;
}

uint64_t
dpc_core_contributions(const struct dpc_core *core, enum dpc_lateness lateness)
{
    return core->contributions[lateness];
}

double
dpc_core_path_loss(const struct dpc_core *core, uint32_t path)
{
    return core->paths[path].loss;
}

/* What was over with the warm start says nothing any more. */
static bool
trains_no_more(const struct dpc_core *core, uint32_t path)
{
    bool goes_on = core->experiment->baseline.dense && !core_is_replica(core, path);
    return core_is_dense(core, path) && !goes_on && core->phase.phase > DPC_PHASE_WARM_START;
}

double
dpc_core_loss(const struct dpc_core *core)
{
    double sum = 0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < core->topology.paths_count; i++) {
        if (isfinite(core->paths[i].loss) && !trains_no_more(core, i)) {
            sum += core->paths[i].loss;
            count++;
        }
    }
    return count ? sum / count : NAN;
}
