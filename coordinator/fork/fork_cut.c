/* SPDX-License-Identifier: Apache-2.0
 * Where a store stood at a round, from its records. A module's version at a round is the last that
 * begins it. The state of a path is what the first contribution of that round, or of the path's
 * next one, began with; a path that has handed in nothing since has it in its record, and one that
 * was reset at that round has none. Where the warm start ended is on record by itself. */
#include "coordinator/fork/fork_parts.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/layout.h"
#include "base/path_state.h"

bool
fork_cut_has(const struct fork_cut *cut, const struct dpc_hash *hash)
{
    uint64_t bytes;
    return dpc_hash_is_none(hash) ||
           cut->source->size(cut->source->context, hash, &bytes) == DPC_OK;
}

bool
fork_cut_is_dense(const struct fork_cut *cut, uint32_t path)
{
    return dpc_topology_path_is_dense(&cut->topology, path);
}

/* Of the dense path: what was over with the warm start. */
static bool
is_replica(const struct fork_cut *cut, uint32_t path)
{
    return path > dpc_topology_dense_path(&cut->topology);
}

bool
fork_cut_takes_module(const struct fork_cut *cut, uint32_t module)
{
    return !cut->warm || dpc_topology_module_is_dense(&cut->topology, module);
}

bool
fork_cut_takes_path(const struct fork_cut *cut, uint32_t path)
{
    return !cut->warm || fork_cut_is_dense(cut, path);
}

uint32_t
fork_cut_module_round(const struct fork_cut *cut, uint32_t module)
{
    return dpc_topology_module_is_dense(&cut->topology, module) ? cut->dense_round : cut->round;
}

uint32_t
fork_cut_path_round(const struct fork_cut *cut, uint32_t path)
{
    return fork_cut_is_dense(cut, path) ? cut->dense_round : cut->round;
}

/* --- What the source is. */

static int
load_experiment(struct fork_cut *cut, struct dpc_error *err)
{
    char *yaml;
    size_t len;
    int code = dpc_load_experiment(cut->source->kv, &yaml, &len, err);
    if (code != DPC_OK)
        return code;
    cut->old = dpc_alloc(1, sizeof *cut->old);
    code = dpc_experiment_parse_stored("the source's experiment", yaml, len, cut->old, err);
    dpc_free(yaml);
    if (code == DPC_OK)
        code = dpc_topology_init(&cut->topology, cut->old, err);
    if (code == DPC_OK)
        cut->warm_rounds = dpc_experiment_warm_rounds(cut->old);
    return code;
}

static int
load_phase(struct fork_cut *cut, struct dpc_error *err)
{
    struct dpc_store_record store;
    int code = dpc_load_store(cut->source->kv, &store, err);
    if (code == DPC_OK)
        code = dpc_load_phase(cut->source->kv, &cut->phase, err);
    if (code != DPC_OK && code != DPC_ENOTFOUND)
        return code;
    const char *phase = code == DPC_OK ? dpc_phase_name(cut->phase.phase) : "prepare";
    if (cut->warm && (code == DPC_ENOTFOUND || cut->phase.phase <= DPC_PHASE_WARM_START))
        return dpc_error_set(err, DPC_ENOTFOUND,
                             "its warm start is not over (phase %s): run it until it is", phase);
    if (!cut->warm && (code == DPC_ENOTFOUND || cut->phase.phase < DPC_PHASE_TRAIN))
        return dpc_error_set(err, DPC_ENOTFOUND,
                             "its paths have not begun to train (phase %s): run it until phase "
                             "train",
                             phase);
    cut->incarnation = store.incarnation;
    return DPC_OK;
}

static bool
note_module(void *context, const struct dpc_module_record *module)
{
    struct fork_cut *cut = context;
    if (module->module < cut->topology.modules_count)
        cut->newest[module->module] = dpc_module_round(module);
    cut->rolled_back |= module->rollbacks > 0;
    return true;
}

static bool
note_path(void *context, const struct dpc_path_record *path)
{
    struct fork_cut *cut = context;
    if (path->path < cut->topology.paths_count) {
        cut->paths[path->path].record = *path;
        cut->paths[path->path].exists = true;
    }
    return true;
}

static int
load_tables(struct fork_cut *cut, struct dpc_error *err)
{
    const struct dpc_topology *topology = &cut->topology;
    cut->newest = dpc_alloc(topology->modules_count, sizeof *cut->newest);
    cut->versions = dpc_alloc(topology->modules_count, sizeof *cut->versions);
    cut->found = dpc_alloc(topology->modules_count, sizeof *cut->found);
    cut->paths = dpc_alloc(topology->paths_count, sizeof *cut->paths);
    cut->bests = dpc_alloc(topology->paths_count, sizeof *cut->bests);
    cut->has_best = dpc_alloc(topology->paths_count, sizeof *cut->has_best);
    int code = dpc_scan_modules(cut->source->kv, note_module, cut, err);
    return code == DPC_OK ? dpc_scan_paths(cut->source->kv, note_path, cut, err) : code;
}

/* --- Which round. */

/* The last round that all of these modules have reached. */
static uint32_t
least_round(const struct fork_cut *cut, uint32_t first, uint32_t end)
{
    uint32_t least = UINT32_MAX;
    for (uint32_t i = first; i < end; i++)
        least = cut->newest[i] < least ? cut->newest[i] : least;
    return least;
}

static uint32_t
newest_round(const struct fork_cut *cut)
{
    return least_round(cut, 0, cut->topology.routed_modules);
}

static uint32_t
dense_newest(const struct fork_cut *cut)
{
    return least_round(cut, cut->topology.routed_modules, cut->topology.modules_count);
}

static void
set_round(struct fork_cut *cut, uint32_t round)
{
    uint32_t dense = dense_newest(cut);
    uint32_t wanted = cut->warm_rounds + (cut->experiment->baseline.dense ? round : 0);
    cut->round = round;
    cut->dense_round = dense < wanted ? dense : wanted;
}

static bool
note_origin(void *context, const struct dpc_origin_record *origin)
{
    struct fork_cut *cut = context;
    cut->origins_count = origin->number + 1;
    if (origin->round > cut->first_round)
        cut->first_round = origin->round;
    return true;
}

/* Rounds before this one are another store's, or were of other shards. */
static int
find_first_round(struct fork_cut *cut, struct dpc_error *err)
{
    cut->first_round = cut->phase.routing_phases * dpc_experiment_phase_rounds(cut->old);
    return dpc_scan_origins(cut->source->kv, note_origin, cut, err);
}

static int
refuse_first_round(const struct fork_cut *cut, uint32_t round, struct dpc_error *err)
{
    uint32_t routed = cut->phase.routing_phases * dpc_experiment_phase_rounds(cut->old);
    if (round < routed)
        return dpc_error_set(err, DPC_EPERM,
                             "round %u lies before round %u, at which documents were routed anew, "
                             "and the shards of before are not kept: the oldest possible is %u",
                             round, routed, cut->first_round);
    return dpc_error_set(err, DPC_EPERM,
                         "round %u lies before round %u, at which this run was itself made from "
                         "another: go back to that one for it",
                         round, cut->first_round);
}

static int
choose_round(struct fork_cut *cut, uint32_t round, struct dpc_error *err)
{
    if (cut->warm) {
        cut->dense_round = cut->warm_rounds;
        return DPC_OK;
    }
    uint32_t newest = newest_round(cut);
    int code = find_first_round(cut, err);
    if (code != DPC_OK)
        return code;
    if (round == DPC_FORK_NEWEST)
        round = newest;
    if (round > newest)
        return dpc_error_set(err, DPC_ENOTFOUND,
                             "it has not got to round %u: the newest that is over everywhere is %u",
                             round, newest);
    if (round < cut->first_round)
        return refuse_first_round(cut, round, err);
    if (round > cut->experiment->outer.rounds)
        return dpc_error_set(err, DPC_EPERM,
                             "outer.rounds is %u, and round %u is over already: raise it, or go "
                             "back further",
                             cut->experiment->outer.rounds, round);
    set_round(cut, round);
    return DPC_OK;
}

/* --- How everything stood then. */

static bool
note_version(void *context, const struct dpc_version_record *version)
{
    struct fork_cut *cut = context;
    uint32_t module = version->module;
    /* A warm start's is the one from which paths began: of later ones that go back to it none. */
    if (module < cut->topology.modules_count && fork_cut_takes_module(cut, module) &&
        dpc_version_round(version) == fork_cut_module_round(cut, module) &&
        !(cut->warm && version->rollbacks)) {
        cut->versions[module] = *version; /* the newest stays */
        cut->found[module] = true;
    }
    return true;
}

/* Each submission once: by the path's first module. They come by rounds, the first part first. */
static bool
note_contribution(void *context, const struct dpc_contribution_record *contribution)
{
    struct fork_cut *cut = context;
    uint32_t path_id = contribution->path;
    if (path_id >= cut->topology.paths_count ||
        contribution->module != dpc_topology_path_module(&cut->topology, path_id, 0))
        return true;
    struct fork_path *path = &cut->paths[path_id];
    path->says_began |= !dpc_hash_is_none(&contribution->began);
    if (contribution->round < fork_cut_path_round(cut, path_id))
        return true;
    path->steps_dropped += dpc_contribution_adds(contribution, path->round, path->part_end);
    path->round = contribution->round;
    path->part_end = contribution->steps;
    if (!path->went_on) {
        path->went_on = true;
        path->began = contribution->began;
    }
    return true;
}

/* A rollback or a revoke made a version of one of its modules, and reset the path. */
static bool
was_reset(const struct fork_cut *cut, uint32_t path)
{
    bool reset = false;
    uint32_t length = dpc_topology_path_length(&cut->topology, path);
    for (uint32_t i = 0; i < length; i++) {
        uint32_t module = dpc_topology_path_module(&cut->topology, path, i);
        reset |= cut->found[module] && (cut->versions[module].cause == DPC_CAUSE_ROLLBACK ||
                                        cut->versions[module].cause == DPC_CAUSE_REVOKE);
    }
    return reset;
}

static int
collect(struct fork_cut *cut, struct dpc_error *err)
{
    memset(cut->found, 0, cut->topology.modules_count * sizeof *cut->found);
    for (uint32_t i = 0; i < cut->topology.paths_count; i++) {
        cut->paths[i].went_on = false;
        cut->paths[i].steps_dropped = 0;
        cut->paths[i].began = dpc_hash_none;
    }
    int code = dpc_scan_versions(cut->source->kv, note_version, cut, err);
    if (code == DPC_OK)
        code = dpc_scan_contributions(cut->source->kv, note_contribution, cut, err);
    for (uint32_t i = 0; i < cut->topology.paths_count && code == DPC_OK; i++) {
        if (!is_replica(cut, i) && (cut->warm || was_reset(cut, i))) {
            cut->paths[i].went_on = true;
            cut->paths[i].began = cut->warm ? cut->phase.warm_state : dpc_hash_none;
        }
    }
    return code;
}

/* --- Is it all there? */

static bool
ships(const struct fork_cut *cut)
{
    return cut->old->transfer.path_state == DPC_STATE_SHIP;
}

static const struct dpc_hash *
state_of(const struct fork_path *path)
{
    return path->went_on ? &path->began : &path->record.state;
}

static bool
version_is_there(const struct fork_cut *cut, uint32_t module)
{
    const struct dpc_version_record *version = &cut->versions[module];
    return cut->found[module] && fork_cut_has(cut, &version->master) &&
           fork_cut_has(cut, &version->published) && fork_cut_has(cut, &version->momentum);
}

/* In whatever form it travelled (transfer.moments, which forks may change). */
static bool
is_state_of(const struct fork_cut *cut, uint32_t path, uint64_t bytes)
{
    size_t count =
        dpc_layout_levels_floats(cut->experiment, dpc_topology_path_levels(&cut->topology, path));
    bool is = false;
    for (enum dpc_moments form = DPC_MOMENTS_FP32; form < DPC_MOMENTS_COUNT; form++)
        is |= bytes == dpc_path_state_bytes_as(form, count);
    return is;
}

/* What a round began with is as its worker told it: a state of the path it must be at least. Round
 * 0 began with the warm start's, which is larger where the path skips a level. */
static bool
state_is_there(const struct fork_cut *cut, const struct fork_path *path)
{
    uint64_t bytes;
    const struct dpc_hash *state = state_of(path);
    if (dpc_hash_is_none(state))
        return true;
    if (cut->source->size(cut->source->context, state, &bytes) != DPC_OK)
        return false;
    return dpc_hash_is_none(&path->record.state) || bytes == path->record.state_bytes ||
           is_state_of(cut, path->record.path, bytes) ||
           (dpc_hash_equal(state, &cut->phase.warm_state) && bytes == cut->phase.warm_state_bytes);
}

/* The first module whose version, or path whose state, is gone; false: nothing is. */
static bool
find_gap(const struct fork_cut *cut, char *ret_name, size_t size)
{
    char name[2 * DPC_NAME_MAX];
    for (uint32_t i = 0; i < cut->topology.modules_count; i++) {
        if (!fork_cut_takes_module(cut, i) || version_is_there(cut, i))
            continue;
        dpc_topology_module_name(&cut->topology, i, name, sizeof name);
        (void)snprintf(ret_name, size, "the version of module %s", name);
        return true;
    }
    for (uint32_t i = 0; ships(cut) && i < cut->topology.paths_count; i++) {
        if (!fork_cut_takes_path(cut, i) || state_is_there(cut, &cut->paths[i]))
            continue;
        dpc_topology_path_name(&cut->topology, i, name, sizeof name);
        (void)snprintf(ret_name, size, "the state of path %s", name);
        return true;
    }
    return false;
}

/* Of the baseline, as it stood at the cut. */
static bool
lacks_dense(const struct fork_cut *cut)
{
    bool lacks =
        ships(cut) && !state_is_there(cut, &cut->paths[dpc_topology_dense_path(&cut->topology)]);
    for (uint32_t i = cut->topology.routed_modules; i < cut->topology.modules_count; i++)
        lacks |= !version_is_there(cut, i);
    return lacks;
}

/* The dense path waits for nobody. Where it was so far ahead that what it was at the round is not
 * kept any more it is taken over as it was as soon after that as can be had: it learns from nobody,
 * and goes on from there as it did. */
static int
collect_kept(struct fork_cut *cut, struct dpc_error *err)
{
    uint32_t newest = dense_newest(cut), most = cut->warm_rounds + cut->experiment->outer.rounds;
    int code = collect(cut, err);
    bool goes_on = !cut->warm && cut->experiment->baseline.dense;
    while (code == DPC_OK && goes_on && cut->dense_round < newest && cut->dense_round < most &&
           lacks_dense(cut)) {
        cut->dense_round++;
        code = collect(cut, err);
    }
    return code;
}

static int
refuse_gap(struct fork_cut *cut, const char *gap, struct dpc_error *err)
{
    char name[DPC_TEXT_MAX];
    uint32_t asked = cut->round, newest = newest_round(cut);
    bool gone = true;
    int code = DPC_OK;
    while (code == DPC_OK && gone && cut->round < newest) {
        set_round(cut, cut->round + 1);
        code = collect_kept(cut, err);
        gone = code == DPC_OK && find_gap(cut, name, sizeof name);
    }
    if (code != DPC_OK)
        return code;
    if (gone)
        return dpc_error_set(err, DPC_ECORRUPT,
                             "round %u is gone: %s is not kept, and no later one is whole", asked,
                             gap);
    return dpc_error_set(err, DPC_EPERM,
                         "round %u is not kept any more (%s is gone): the oldest possible after it "
                         "is %u, the newest %u (keep_rounds says how many are kept)",
                         asked, gap, cut->round, newest);
}

/* Stores of an early release do not say what rounds began with. In others a path without a state
 * was reset: by a rollback, or by a revoke, which leaves no version where nothing was merged yet.
 */
static int
check_begun(const struct fork_cut *cut, struct dpc_error *err)
{
    if (cut->old->mode != DPC_MODE_STRICT || !ships(cut) || cut->rolled_back ||
        cut->warm_rounds == 0)
        return DPC_OK;
    for (uint32_t i = 0; i < cut->topology.paths_count; i++) {
        const struct fork_path *path = &cut->paths[i];
        if (path->exists && fork_cut_takes_path(cut, i) && !is_replica(cut, i) &&
            !path->says_began && dpc_hash_is_none(state_of(path)))
            return dpc_error_set(err, DPC_EVERSION,
                                 "an earlier release wrote it, without the states that rounds "
                                 "began with: only its newest round can be had");
    }
    return DPC_OK;
}

static int
check_whole(struct fork_cut *cut, struct dpc_error *err)
{
    char gap[4 * DPC_NAME_MAX];
    if (!find_gap(cut, gap, sizeof gap))
        return check_begun(cut, err);
    return cut->warm
               ? dpc_error_set(err, DPC_ECORRUPT,
                               "%s with which its warm start ended is gone: restore a backup", gap)
               : refuse_gap(cut, gap, err);
}

/* --- Paths as the fork takes them up. */

static uint64_t
tokens_of(const struct dpc_experiment *experiment, uint64_t steps)
{
    return steps * experiment->inner.batch * experiment->model.context;
}

static uint32_t
next_round(const struct fork_cut *cut, uint32_t path, uint32_t round)
{
    if (is_replica(cut, path))
        return cut->warm_rounds +
               (cut->experiment->baseline.dense ? cut->experiment->outer.rounds : 0);
    if (fork_cut_is_dense(cut, path))
        return round;
    while (round < cut->experiment->outer.rounds &&
           !dpc_experiment_plans(cut->experiment, path, round))
        round++;
    return round;
}

/* States that only workers have, or that the fork does not ship, begin from moments of zero. */
static void
set_state(struct fork_cut *cut, struct fork_path *path)
{
    const struct dpc_hash state = *state_of(path);
    bool kept =
        cut->experiment->transfer.path_state == DPC_STATE_SHIP && !dpc_hash_is_none(&state) &&
        cut->source->size(cut->source->context, &state, &path->record.state_bytes) == DPC_OK;
    path->record.state = kept ? state : dpc_hash_none;
    path->record.state_bytes = kept ? path->record.state_bytes : 0;
    path->record.kept = dpc_hash_none;
    path->record.kept_bytes = 0;
    memset(path->record.keeper, 0, sizeof path->record.keeper);
    cut->forked.states_left_out += !kept && !is_replica(cut, path->record.path) &&
                                   cut->experiment->transfer.path_state == DPC_STATE_SHIP;
}

static void
take_path_up(struct fork_cut *cut, uint32_t path_id)
{
    struct fork_path *path = &cut->paths[path_id];
    struct dpc_path_record *record = &path->record;
    uint64_t tokens = tokens_of(cut->old, path->steps_dropped);
    if (!fork_cut_takes_path(cut, path_id)) {
        /* It began with the steps of the warm start. */
        uint64_t began = cut->old->warm_start.steps;
        cut->steps_before += record->steps_done > began ? record->steps_done - began : 0;
        path->exists = false;
        return;
    }
    cut->steps_before += record->steps_done;
    record->steps_done -=
        path->steps_dropped < record->steps_done ? path->steps_dropped : record->steps_done;
    record->tokens_done -= tokens < record->tokens_done ? tokens : record->tokens_done;
    cut->steps_kept += record->steps_done;
    record->rounds_done = next_round(cut, path_id, fork_cut_path_round(cut, path_id));
    record->part_steps = record->parts = record->missed = 0;
    set_state(cut, path);
}

int
fork_cut_find(struct fork_cut *cut, uint32_t round, struct dpc_error *err)
{
    cut->warm = round == DPC_FORK_WARM;
    int code = load_experiment(cut, err);
    if (code == DPC_OK)
        code = fork_check_keys(cut->old, cut->experiment, cut->warm, err);
    if (code == DPC_OK)
        code = load_phase(cut, err);
    if (code == DPC_OK)
        code = dpc_fork_warm_tokens(cut->source->kv, cut->old, &cut->warm_tokens, err);
    if (code == DPC_OK)
        code = load_tables(cut, err);
    if (code == DPC_OK)
        code = choose_round(cut, round, err);
    if (code == DPC_OK)
        code = collect_kept(cut, err);
    if (code == DPC_OK)
        code = check_whole(cut, err);
    if (code != DPC_OK)
        return code;
    cut->forked.round = cut->round;
    for (uint32_t i = 0; i < cut->topology.paths_count; i++)
        take_path_up(cut, i);
    return fork_find_bests(cut, err);
}

void
fork_cut_done(struct fork_cut *cut)
{
    dpc_topology_done(&cut->topology);
    dpc_free(cut->old);
    dpc_free(cut->newest);
    dpc_free(cut->versions);
    dpc_free(cut->found);
    dpc_free(cut->paths);
    dpc_free(cut->bests);
    dpc_free(cut->has_best);
}
