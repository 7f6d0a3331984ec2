/* SPDX-License-Identifier: Apache-2.0
 * An operator who revokes what a worker handed in, as the server does it (coordinator/revokes.c),
 * from tick to tick: what is computed at one is told to the core at the next, when modules may have
 * moved on. A coordinator that ended in between is asked again. At the end nothing of it may stand
 * in any module, and what was folded again must come out again. */
#include <string.h>

#include "base/alloc.h"
#include "coordinator/core/state.h"
#include "tests/sim/sim.h"

/* Of a tick, the second that folding again takes longer; turns after which the operator gives up.
 */
static const double begin_chance = 0.15, busy_chance = 0.5;
enum { TURNS_MAX = 200 };

static struct dpc_replay_source
source_of(const struct sim *sim)
{
    const struct sim_coordinator *coordinator = &sim->coordinator;
    return (struct dpc_replay_source){
        .records = {coordinator->kv, &coordinator->experiment, dpc_core_topology(coordinator->core),
                    SIM_FLOATS},
        .store = coordinator->store,
        .ops = dpc_ops_cpu(DPC_FP32),
    };
}

static void
drop_tasks(struct sim_revoke *revoke)
{
    for (uint32_t i = 0; i < revoke->tasks_count; i++)
        dpc_refold_done(&revoke->tasks[i]);
    revoke->tasks_count = revoke->told = 0;
}

static void
end(struct sim *sim, const char *words)
{
    struct sim_revoke *revoke = &sim->coordinator.revoke;
    sim_note(sim, "the revoke ends: %s", words);
    drop_tasks(revoke);
    revoke->active = false;
}

void
sim_revoke_done(struct sim *sim)
{
    drop_tasks(&sim->coordinator.revoke);
    dpc_free(sim->coordinator.revoke.tainted);
    sim->coordinator.revoke.tainted = NULL;
}

/* --- Invariants. */

void
sim_check_refolded(struct sim *sim, const struct dpc_version_record *version)
{
    struct dpc_replay_source source = source_of(sim);
    struct dpc_replay_row row = {.module = version->module, .version = version->version};
    dpc_replay_version(&source, &row);
    sim_mark(sim, SIM_MARK_REFOLDED);
    if (row.verdict == DPC_REPLAY_DIFFERS)
        sim_fail(sim, "version %u of module %u does not come out again: %s", version->version,
                 version->module, row.text);
}

/* Those whose contributions are still kept; what begins a module is drawn for its true size. */
void
sim_check_replays(struct sim *sim)
{
    struct dpc_replay_source source = source_of(sim);
    const struct dpc_topology *topology = dpc_core_topology(sim->coordinator.core);
    for (uint32_t module = 0; module < topology->modules_count; module++) {
        uint32_t newest = dpc_core_module(sim->coordinator.core, module)->version;
        for (uint32_t version = 1; version <= newest; version++) {
            struct dpc_replay_row row = {.module = module, .version = version};
            dpc_replay_version(&source, &row);
            if (row.verdict == DPC_REPLAY_OK && row.contributions)
                sim_mark(sim, SIM_MARK_REPLAYED);
            if (row.verdict == DPC_REPLAY_DIFFERS)
                sim_fail(sim, "version %u of module %u does not come out again: %s", version,
                         module, row.text);
        }
    }
}

bool
sim_is_void(const struct sim *sim, uint64_t lease, uint32_t module)
{
    return core_is_void(sim->coordinator.core, lease, module);
}

/* Rollbacks behind the revoke may have brought older versions back. */
void
sim_check_revoked(struct sim *sim)
{
    const struct sim_coordinator *coordinator = &sim->coordinator;
    const struct sim_revoke *revoke = &coordinator->revoke;
    struct dpc_replay_source source = source_of(sim);
    struct dpc_serials serials = {0};
    struct dpc_error err;
    if (!revoke->complete || revoke->rollbacks != coordinator->rollbacks)
        return;
    for (uint32_t i = 0; i < revoke->tainted_count; i++)
        dpc_serials_add(&serials, revoke->tainted[i].lease);
    sim_add_behind(sim, &serials);
    for (uint32_t i = 0; i < dpc_core_topology(coordinator->core)->modules_count; i++) {
        struct dpc_lineage lineage;
        uint32_t version = dpc_core_module(coordinator->core, i)->version;
        int code = dpc_lineage_trace(&source.records, i, version, &serials, &lineage, &err);
        if (code != DPC_OK)
            sim_fail(sim, "the lineage of module %u cannot be told: %s", i, err.text);
        else if (lineage.removed_count)
            sim_fail(sim, "module %u still holds %u contributions that were revoked", i,
                     lineage.removed_count);
        if (code == DPC_OK)
            dpc_lineage_done(&lineage);
    }
    dpc_serials_done(&serials);
}

/* --- Computing. */

static void
add_task(struct sim *sim, enum dpc_refold_kind kind, uint32_t module)
{
    struct sim_revoke *revoke = &sim->coordinator.revoke;
    const struct dpc_core *core = sim->coordinator.core;
    struct dpc_refold_task *task = &revoke->tasks[revoke->tasks_count++];
    uint32_t modules = dpc_core_topology(core)->modules_count;
    *task = (struct dpc_refold_task){
        .kind = kind, .since = revoke->since, .dense_since = revoke->dense_since, .module = module};
    memcpy(task->worker, revoke->worker, sizeof task->worker);
    task->versions = dpc_alloc(modules, sizeof *task->versions);
    for (uint32_t i = 0; i < modules; i++)
        task->versions[i] = dpc_core_module(core, i)->version;
    if (kind == DPC_REFOLD_MODULE) {
        task->tainted_count = revoke->tainted_count;
        task->tainted = dpc_alloc(revoke->tainted_count + 1u, sizeof *task->tainted);
        if (revoke->tainted_count) /* no list at all otherwise, which memcpy may not be given */
            memcpy(task->tainted, revoke->tainted, revoke->tainted_count * sizeof *task->tainted);
    }
}

/* False: the revoke has ended, or the coordinator must. */
static bool
run_last(struct sim *sim)
{
    struct sim_revoke *revoke = &sim->coordinator.revoke;
    struct dpc_replay_source source = source_of(sim);
    struct dpc_error err;
    int code = dpc_refold_run(&source, &revoke->tasks[revoke->tasks_count - 1], &err);
    if (code == DPC_OK)
        return true;
    if (code == DPC_EPERM)
        sim_mark(sim, SIM_MARK_REVOKE_REFUSED);
    else if (!sim_ran_out(sim, code))
        sim_coordinator_broke(sim, code, err.text);
    end(sim, err.text);
    return false;
}

static bool
is_folded_now(const struct sim *sim)
{
    const struct sim_revoke *revoke = &sim->coordinator.revoke;
    const struct dpc_core *core = sim->coordinator.core;
    for (uint32_t i = 0; i < dpc_core_topology(core)->modules_count; i++) {
        if (dpc_core_folds_tainted(core, i, revoke->tainted, revoke->tainted_count))
            return true;
    }
    return false;
}

static void
compute_modules(struct sim *sim)
{
    struct sim_revoke *revoke = &sim->coordinator.revoke;
    const struct dpc_core *core = sim->coordinator.core;
    for (uint32_t i = 0; i < dpc_core_topology(core)->modules_count; i++) {
        if (dpc_core_folds_tainted(core, i, revoke->tainted, revoke->tainted_count))
            continue;
        add_task(sim, DPC_REFOLD_MODULE, i);
        if (!run_last(sim))
            return;
        if (!revoke->tasks[revoke->tasks_count - 1].touched)
            dpc_refold_done(&revoke->tasks[--revoke->tasks_count]);
    }
    if (revoke->tasks_count || is_folded_now(sim))
        return;
    revoke->complete = true;
    revoke->rollbacks = sim->coordinator.rollbacks;
    sim_check_revoked(sim);
    sim_mark(sim, SIM_MARK_REVOKED);
    end(sim, "nothing of it is left");
}

static void
compute(struct sim *sim)
{
    struct sim_revoke *revoke = &sim->coordinator.revoke;
    if (++revoke->turns > TURNS_MAX) {
        end(sim, "modules move on too fast");
    } else if (revoke->settled) {
        compute_modules(sim);
    } else {
        bool checks = !revoke->barred && !revoke->retrain;
        add_task(sim, checks ? DPC_REFOLD_CHECK : DPC_REFOLD_FIND, 0);
        (void)run_last(sim);
    }
}

/* --- Telling the core. */

/* The newest versions that began the round. False: one of them is not kept any more. */
static bool
choose_round(struct sim *sim)
{
    struct sim_revoke *revoke = &sim->coordinator.revoke;
    const struct dpc_core *core = sim->coordinator.core;
    const struct dpc_topology *topology = dpc_core_topology(core);
    revoke->versions_count = 0;
    for (uint32_t i = 0; i < topology->modules_count; i++) {
        bool dense = dpc_topology_module_is_dense(topology, i);
        uint32_t round = revoke->since + (dense ? dpc_core_warm_rounds(core) : 0);
        uint32_t number = dpc_core_module(core, i)->version;
        const struct dpc_version_record *versions = sim->memory->versions[i];
        while (number > 0 && dpc_version_round(&versions[number]) > round)
            number--;
        if (dpc_version_round(&versions[number]) != round)
            continue;
        if (!sim_has_blob(sim, &versions[number].master) ||
            !sim_has_blob(sim, &versions[number].published) ||
            (!dpc_hash_is_none(&versions[number].momentum) &&
             !sim_has_blob(sim, &versions[number].momentum)))
            return false;
        revoke->versions[revoke->versions_count++] = versions[number];
    }
    return true;
}

/* What one looks for first, and again once the worker is barred. False: there is nothing to tell.
 */
static bool
tell_found(struct sim *sim, struct dpc_event *event)
{
    struct sim_revoke *revoke = &sim->coordinator.revoke;
    struct dpc_refold_task *task = &revoke->tasks[0];
    bool same = revoke->barred && task->tainted_count == revoke->tainted_count;
    dpc_free(revoke->tainted);
    revoke->tainted = task->tainted;
    revoke->tainted_count = task->tainted_count;
    revoke->dense_since = task->dense_since;
    task->tainted = NULL;
    bool touched = task->touched || is_folded_now(sim);
    bool goes_back = revoke->retrain && !revoke->barred && touched;
    drop_tasks(revoke);
    if (same) {
        revoke->settled = true; /* with --retrain nothing is left to fold, which is seen there */
        return false;
    }
    if (goes_back && !choose_round(sim)) {
        sim_mark(sim, SIM_MARK_REVOKE_REFUSED);
        end(sim, "the round is not kept any more");
        return false;
    }
    if (goes_back) {
        event->revoke.rollback = (struct dpc_rollback){revoke->versions_count, revoke->versions};
        sim_mark(sim, SIM_MARK_REVOKE_WENT_BACK);
    }
    revoke->barred = true;
    return true;
}

static bool
tell_refolded(struct sim *sim, struct dpc_event *event)
{
    struct sim_revoke *revoke = &sim->coordinator.revoke;
    if (revoke->told == revoke->tasks_count) {
        drop_tasks(revoke);
        return false;
    }
    const struct dpc_refolded *refolded = &revoke->tasks[revoke->told++].refolded;
    if (dpc_core_module(sim->coordinator.core, refolded->version.module)->version !=
        refolded->version.parent)
        sim_mark(sim, SIM_MARK_REFOLD_STALE);
    event->revoke.refolded_count = 1;
    event->revoke.refolded = refolded;
    return true;
}

static void
begin(struct sim *sim)
{
    struct sim_coordinator *coordinator = &sim->coordinator;
    struct sim_revoke *revoke = &coordinator->revoke;
    uint32_t workers = dpc_core_workers_count(coordinator->core), newest = 0;
    int64_t silent_ms;
    bool connected;
    if (coordinator->revokes == sim->plan.revokes || !workers || !sim_chance(sim, begin_chance))
        return;
    coordinator->revokes++;
    for (uint32_t i = 0; i < dpc_core_topology(coordinator->core)->routed_modules; i++) {
        uint32_t round = dpc_module_round(dpc_core_module(coordinator->core, i));
        newest = round > newest ? round : newest;
    }
    sim_revoke_done(sim);
    *revoke = (struct sim_revoke){.active = true, .life = coordinator->life};
    revoke->since = newest - (uint32_t)dpc_rng_below(&sim->rng, newest + 1);
    if (sim_chance(sim, 0.4))
        revoke->since = 0; /* which is the first that is not kept any more */
    revoke->retrain = sim_chance(sim, 0.3);
    const struct dpc_worker_record *worker = dpc_core_worker_at(
        coordinator->core, (uint32_t)dpc_rng_below(&sim->rng, workers), 0, &silent_ms, &connected);
    memcpy(revoke->worker, worker->key, sizeof revoke->worker);
    sim_note(sim, "the operator revokes worker=%s since=%u retrain=%d", worker->name, revoke->since,
             revoke->retrain);
}

/* The coordinator ended meanwhile: all is asked for again. */
static void
ask_again(struct sim *sim)
{
    struct sim_revoke *revoke = &sim->coordinator.revoke;
    drop_tasks(revoke);
    revoke->barred = revoke->settled = false;
    revoke->dense_since = 0;
    revoke->life = sim->coordinator.life;
    sim_mark(sim, SIM_MARK_REVOKE_AGAIN);
}

bool
sim_next_revoke(struct sim *sim, struct dpc_event *ret_event)
{
    struct sim_coordinator *coordinator = &sim->coordinator;
    struct sim_revoke *revoke = &coordinator->revoke;
    struct dpc_error err;
    bool told = false;
    if (dpc_core_check_rollback(coordinator->core, &err) != DPC_OK) {
        if (revoke->active)
            end(sim, err.text);
        return false;
    }
    if (!sim_has_room(sim))
        return false;
    if (!revoke->active) {
        begin(sim);
        return false;
    }
    if (revoke->life != coordinator->life)
        ask_again(sim);
    *ret_event = (struct dpc_event){.type = DPC_EVENT_REVOKE};
    memcpy(ret_event->worker, revoke->worker, sizeof ret_event->worker);
    if (revoke->tasks_count == 0)
        compute(sim);
    else if (revoke->settled && revoke->told == 0 && sim_chance(sim, busy_chance))
        return false;
    else
        told = revoke->settled ? tell_refolded(sim, ret_event) : tell_found(sim, ret_event);
    ret_event->revoke.tainted_count = revoke->tainted_count;
    ret_event->revoke.tainted = revoke->tainted;
    return told;
}
