/* SPDX-License-Identifier: Apache-2.0
 * Early stopping, by books of its own: every evaluation that was accepted, which of them still
 * compete, and the least loss among these, looked for anew each time. */
#include <string.h>

#include "base/alloc.h"
#include "tests/sim/sim.h"

/* The number of the last version with which the module began the round. */
static uint32_t
version_of(struct sim *sim, uint32_t module, uint32_t round)
{
    const struct sim_memory *memory = sim->memory;
    uint32_t found = SIM_NOBODY;
    for (uint32_t i = 0; i < SIM_ROUNDS_MAX && memory->exists[module][i]; i++) {
        if (dpc_version_round(&memory->versions[module][i]) == round)
            found = i;
    }
    if (found == SIM_NOBODY)
        sim_fail(sim, "module %u is evaluated at round %u and was never there", module, round);
    return found == SIM_NOBODY ? 0 : found;
}

bool
sim_is_rating(const struct sim *sim, const struct dpc_msg_lease *lease)
{
    return lease->kind == DPC_TASK_EVALUATE &&
           dpc_core_phase(sim->coordinator.core)->phase != DPC_PHASE_EVALUATE;
}

void
sim_check_rating_lease(struct sim *sim, const struct dpc_msg_lease *lease)
{
    const struct dpc_best_record *best = dpc_core_best(sim->coordinator.core, lease->path);
    if (!best || lease->round != best->next_round ||
        lease->from != sim->memory->ratings[lease->path].read)
        sim_fail(sim, "path %u is evaluated at round %u from document %u, out of turn", lease->path,
                 lease->round, lease->from);
    for (uint32_t level = 0; level < lease->levels_count; level++) {
        uint32_t module = lease->modules[level];
        uint32_t version = version_of(sim, module, lease->round);
        if (!dpc_hash_equal(&sim->memory->versions[module][version].published,
                            &lease->versions[level].hash))
            sim_fail(sim, "path %u is evaluated at round %u with another version of module %u",
                     lease->path, lease->round, module);
        if (dpc_module_round(dpc_core_module(sim->coordinator.core, module)) > lease->round)
            sim_mark(sim, SIM_MARK_RATED_BEHIND);
    }
}

/* --- What was measured. */

static void
add_candidate(struct sim *sim, const struct sim_candidate *candidate)
{
    struct sim_memory *memory = sim->memory;
    if (memory->candidates_count == memory->candidates_capacity) {
        memory->candidates_capacity = 2 * memory->candidates_capacity + 64;
        memory->candidates =
            dpc_grow(memory->candidates, memory->candidates_capacity, sizeof *memory->candidates);
    }
    memory->candidates[memory->candidates_count++] = *candidate;
    sim_mark(sim, SIM_MARK_RATED);
}

void
sim_note_rated(struct sim *sim, const struct dpc_event *event, const struct sim_grant *grant)
{
    const struct dpc_msg_lease *lease = &grant->lease;
    const struct dpc_best_record *best = dpc_core_best(sim->coordinator.core, lease->path);
    struct sim_rating *rating = &sim->memory->ratings[lease->path];
    rating->nats += event->submit.check->nats;
    rating->targets += event->submit.check->targets;
    rating->read = lease->to;
    if (!best || rating->read < best->documents_count)
        return;
    struct sim_candidate candidate = {
        .path = lease->path, .round = lease->round, .loss = rating->nats / (double)rating->targets};
    for (uint32_t level = 0; level < lease->levels_count; level++)
        candidate.versions[level] = version_of(sim, lease->modules[level], lease->round);
    add_candidate(sim, &candidate);
    *rating = (struct sim_rating){0};
}

/* --- Which of it competes. */

/* Of each path, NULL: none. They stand in the order in which they came, so of equals the first is
 * the oldest. */
static void
find_bests(const struct sim *sim, const struct sim_candidate *ret_bests[SIM_PATHS_MAX])
{
    const struct sim_memory *memory = sim->memory;
    memset(ret_bests, 0, SIM_PATHS_MAX * sizeof *ret_bests);
    for (uint32_t i = 0; i < memory->candidates_count; i++) {
        const struct sim_candidate *candidate = &memory->candidates[i];
        const struct sim_candidate **best = &ret_bests[candidate->path];
        if (!candidate->out && (!*best || candidate->loss < (*best)->loss))
            *best = candidate;
    }
}

static void
put_out(struct sim *sim, uint32_t path)
{
    for (uint32_t i = 0; i < sim->memory->candidates_count; i++)
        sim->memory->candidates[i].out |= sim->memory->candidates[i].path == path;
}

void
sim_note_discarded(struct sim *sim, const struct dpc_version_record *version)
{
    const struct dpc_topology *topology = dpc_core_topology(sim->coordinator.core);
    uint32_t kept = version->cause == DPC_CAUSE_ROLLBACK ? version->parent : 0;
    const struct sim_candidate *bests[SIM_PATHS_MAX];
    find_bests(sim, bests);
    for (uint32_t path = 0; path < topology->paths_count && sim->plan.early_stopping; path++) {
        if (!dpc_topology_uses(topology, path, version->module))
            continue;
        const struct sim_candidate *best = bests[path];
        uint32_t index = 0; /* of the module among the path's */
        while (dpc_topology_path_module(topology, path, index) != version->module)
            index++;
        sim->memory->ratings[path] = (struct sim_rating){0};
        if (best && best->versions[index] > kept) {
            put_out(sim, path);
            sim_mark(sim, SIM_MARK_BEST_DISCARDED);
        }
    }
}

/* New documents, with which nothing that was measured before compares. */
static void
note_phase(struct sim *sim)
{
    const struct dpc_core *core = sim->coordinator.core;
    uint32_t phases = dpc_core_phase(core)->routing_phases;
    if (phases == sim->memory->phases)
        return;
    sim->memory->phases = phases;
    for (uint32_t path = 0; path < dpc_core_topology(core)->routed_paths; path++)
        put_out(sim, path);
}

static void
check_best(struct sim *sim, uint32_t path, const struct sim_candidate *best)
{
    const struct dpc_core *core = sim->coordinator.core;
    const struct dpc_best_record *record = dpc_core_best(core, path);
    bool found = record && record->found;
    if (found != (best != NULL)) {
        sim_fail(sim, "path %u has %s best round", path, found ? "a" : "no");
        return;
    }
    if (!found)
        return;
    if (record->round != best->round || record->loss != best->loss ||
        memcmp(record->versions, best->versions, sizeof best->versions) != 0)
        sim_fail(sim, "path %u takes round %u at a loss of %g, and round %u has %g", path,
                 record->round, record->loss, best->round, best->loss);
    if (dpc_core_phase(core)->phase == DPC_PHASE_FINISHED &&
        record->round < dpc_core_path_rounds(core, path))
        sim_mark(sim, SIM_MARK_BEST_OLDER);
}

void
sim_check_bests(struct sim *sim)
{
    const struct dpc_core *core = sim->coordinator.core;
    const struct sim_candidate *bests[SIM_PATHS_MAX];
    note_phase(sim);
    find_bests(sim, bests);
    for (uint32_t path = 0; path < dpc_core_topology(core)->paths_count; path++)
        check_best(sim, path, bests[path]);
}

/* --- The disk. */

struct counts {
    struct sim *sim;
    struct dpc_buf *outcome;
    uint64_t documents; /* that were read of rounds that still count, or did */
};

static bool
count_candidate(void *context, const struct dpc_candidate_record *record)
{
    struct counts *counts = context;
    counts->documents += record->documents;
    dpc_buf_put_u32(counts->outcome, record->path);
    dpc_buf_put_u32(counts->outcome, record->number);
    dpc_buf_put_u32(counts->outcome, record->round);
    dpc_buf_put_u32(counts->outcome, record->phase);
    dpc_buf_put_u64(counts->outcome, record->targets);
    dpc_buf_put(counts->outcome, &record->nats, sizeof record->nats);
    return true;
}

static bool
count_best(void *context, const struct dpc_best_record *record)
{
    struct counts *counts = context;
    counts->documents += record->read;
    dpc_buf_put_u32(counts->outcome, record->path);
    dpc_buf_put_u32(counts->outcome, record->found);
    dpc_buf_put_u32(counts->outcome, record->round);
    dpc_buf_put(counts->outcome, &record->loss, sizeof record->loss);
    return true;
}

/* A rollback throws away what was read of a round that was not read whole. */
static uint64_t
count_acknowledged(const struct sim *sim)
{
    const struct sim_memory *memory = sim->memory;
    uint64_t documents = 0;
    bool thrown_away = sim->coordinator.rollbacks || sim->coordinator.revokes;
    for (uint64_t i = 0; i < memory->grants_count && !thrown_away; i++) {
        const struct sim_grant *grant = &memory->grants[i];
        if (grant->rating && grant->acknowledged)
            documents += grant->lease.to - grant->lease.from;
    }
    return documents;
}

void
sim_audit_bests(struct sim *sim, struct dpc_buf *outcome)
{
    struct dpc_error err = {0};
    struct counts counts = {.sim = sim, .outcome = outcome};
    int code = dpc_scan_candidates(sim->coordinator.kv, count_candidate, &counts, &err);
    if (code == DPC_OK)
        code = dpc_scan_bests(sim->coordinator.kv, count_best, &counts, &err);
    if (code != DPC_OK)
        sim_fail(sim, "the disk could not be read: %s", err.text);
    if (counts.documents < count_acknowledged(sim))
        sim_fail(sim, "evaluations were acknowledged that the disk does not hold");
}
