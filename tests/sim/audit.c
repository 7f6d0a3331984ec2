/* SPDX-License-Identifier: Apache-2.0
 * The core's state as one number, and what the disk must hold: both as a process that has just
 * started would find them. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "coordinator/core/state.h"
#include "tests/sim/sim.h"

static uint64_t
fnv(uint64_t hash, const void *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3ULL;
    return hash;
}

/* Order-free, for a rebuilt core lists its workers by key. */
static uint64_t
workers_hash(const struct dpc_core *core)
{
    uint64_t sum = 0;
    struct dpc_kv_batch batch;
    dpc_kv_batch_init(&batch);
    dpc_put_worker(&batch, &core->forgotten);
    dpc_put_conduct(&batch, &core->forgotten_conduct);
    sum += fnv(1, batch.operations.data, batch.operations.len);
    for (uint32_t i = 0; i < core->workers_count; i++) {
        dpc_kv_batch_reset(&batch);
        dpc_put_worker(&batch, &core->workers[i].record);
        sum += fnv(1, batch.operations.data, batch.operations.len);
    }
    dpc_kv_batch_done(&batch);
    return sum;
}

static void
put_tables(const struct dpc_core *core, struct dpc_kv_batch *batch)
{
    struct dpc_phase_record phase = core->phase;
    phase.seconds = phase.bytes_up = phase.bytes_down = 0; /* for people: may be a little behind */
    dpc_put_phase(batch, &phase);
    for (uint32_t i = 0; i < core->topology.modules_count; i++) {
        if (core->modules[i].exists)
            dpc_put_module(batch, &core->modules[i].record);
    }
    for (uint32_t i = 0; i < core->leases_count; i++)
        dpc_put_lease(batch, &core->leases[i]->record);
    for (uint32_t i = 0; i < core->voids_count; i++)
        dpc_put_void(batch, &core->voids[i]);
    for (uint32_t i = 0; core->bests && i < core->topology.paths_count; i++)
        dpc_put_best(batch, &core->bests[i].record);
}

/* Member by member: what lies between them is anything. */
static uint64_t
delta_hash(uint64_t hash, const struct core_delta *delta)
{
    hash = fnv(hash, &delta->hash, sizeof delta->hash);
    hash = fnv(hash, &delta->serial, sizeof delta->serial);
    hash = fnv(hash, &delta->round, sizeof delta->round);
    hash = fnv(hash, &delta->steps, sizeof delta->steps);
    return fnv(hash, delta->worker, sizeof delta->worker);
}

/* In whatever order they came. */
static uint64_t
late_hash(const struct dpc_core *core)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < core->topology.modules_count; i++) {
        for (uint32_t k = 0; k < core->modules[i].late_count; k++)
            sum +=
                delta_hash(1 + i + 1000 * core->modules[i].late[k].path, &core->modules[i].late[k]);
    }
    return sum;
}

static uint64_t
paths_hash(const struct dpc_core *core, uint64_t hash, struct dpc_kv_batch *batch)
{
    for (uint32_t i = 0; i < core->topology.paths_count; i++) {
        const struct core_path *path = &core->paths[i];
        /* A path that has no record yet is all defaults in a new process, too. */
        dpc_put_path(batch, &path->record);
        for (uint32_t level = 0; level < core->topology.levels_count; level++) {
            hash = delta_hash(hash, &path->deltas[level]);
            hash = fnv(hash, &path->latest[level], sizeof path->latest[level]);
        }
        hash = fnv(hash, &path->accepted_serial, sizeof path->accepted_serial);
        hash = fnv(hash, path->accepted_worker, sizeof path->accepted_worker);
    }
    return hash;
}

uint64_t
sim_state_hash(const struct dpc_core *core)
{
    struct dpc_kv_batch batch;
    dpc_kv_batch_init(&batch);
    uint64_t hash = workers_hash(core) + late_hash(core);
    put_tables(core, &batch);
    hash = paths_hash(core, hash, &batch);
    hash = fnv(hash, batch.operations.data, batch.operations.len);
    dpc_kv_batch_done(&batch);
    for (uint32_t i = 0; i < core->chunks_count; i++)
        hash = fnv(hash, &core->chunks[i].done, sizeof core->chunks[i].done);
    for (uint32_t i = 0; i < core->topology.paths_count; i++) {
        const struct dpc_hash *best = core_best_versions(core, i);
        hash = best ? fnv(hash, best, core->topology.levels_count * sizeof *best) : hash;
    }
    for (uint32_t level = 0; level < core->topology.levels_count; level++)
        hash = fnv(hash, core->warm[level].published.bytes, DPC_HASH_BYTES);
    return hash;
}

/* --- The disk. */

struct audit {
    struct sim *sim;
    const struct dpc_topology *topology;
    uint32_t contributions, results;
    struct dpc_buf outcome;
};

static bool
audit_version(void *context, const struct dpc_version_record *record)
{
    struct audit *audit = context;
    struct sim_memory *memory = audit->sim->memory;
    if (record->module >= SIM_MODULES_MAX || record->version >= SIM_ROUNDS_MAX) {
        sim_fail(audit->sim, "the disk holds version %u of module %u", record->version,
                 record->module);
        return false;
    }
    const struct dpc_version_record *known = &memory->versions[record->module][record->version];
    if (memory->exists[record->module][record->version] &&
        (!dpc_hash_equal(&known->master, &record->master) ||
         !dpc_hash_equal(&known->published, &record->published) ||
         !dpc_hash_equal(&known->momentum, &record->momentum)))
        sim_fail(audit->sim, "version %u of module %u has another content now", record->version,
                 record->module);
    dpc_buf_put_u32(&audit->outcome, record->module);
    dpc_buf_put_u32(&audit->outcome, record->version);
    dpc_buf_put(&audit->outcome, record->master.bytes, DPC_HASH_BYTES);
    dpc_buf_put(&audit->outcome, record->published.bytes, DPC_HASH_BYTES);
    dpc_buf_put(&audit->outcome, record->momentum.bytes, DPC_HASH_BYTES);
    return true;
}

static bool
audit_contribution(void *context, const struct dpc_contribution_record *record)
{
    struct audit *audit = context;
    uint32_t level = dpc_topology_module_level(audit->topology, record->module);
    const struct sim_round *round = &audit->sim->memory->rounds[record->path][record->round];
    audit->contributions++;
    if (audit->sim->plan.elastic) {
        sim_audit_part(audit->sim, record);
        return true;
    }
    if (!round->accepted)
        sim_fail(audit->sim, "the disk holds round %u of path %u, which was not accepted",
                 record->round, record->path);
    else if (record->lease != round->serial ||
             !dpc_hash_equal(&record->delta, &round->parts[level]))
        sim_fail(audit->sim,
                 "the disk holds another contribution of path %u for round %u than was "
                 "accepted",
                 record->path, record->round);
    return true;
}

static bool
audit_result(void *context, const struct dpc_result_record *record)
{
    struct audit *audit = context;
    audit->results++;
    dpc_buf_put(&audit->outcome, record->result.bytes, DPC_HASH_BYTES);
    return true;
}

/* The path's round that ended with the version. */
static const struct sim_round *
round_behind(const struct sim *sim, uint32_t path, const struct dpc_version_record *version)
{
    return &sim->memory->rounds[path][dpc_version_round(version) - 1];
}

static bool
is_void(struct sim *sim, uint64_t serial, uint32_t module)
{
    bool found = sim_is_void(sim, serial, module);
    if (found)
        sim_mark(sim, SIM_MARK_VOIDED);
    return found;
}

/* All paths through the module, but for what was learned from discarded versions; none in a
 * rollback. */
static uint32_t
count_merged(const struct audit *audit, const struct dpc_version_record *version)
{
    uint32_t count = 0;
    uint64_t serial_first = audit->sim->memory->serial_first[version->module][version->version];
    for (uint32_t path = 0; path < audit->topology->paths_count; path++)
        count +=
            version->cause == DPC_CAUSE_OUTER_STEP &&
            dpc_topology_uses(audit->topology, path, version->module) &&
            dpc_core_plans(audit->sim->coordinator.core, path, dpc_version_round(version) - 1) &&
            round_behind(audit->sim, path, version)->serial >= serial_first &&
            !is_void(audit->sim, round_behind(audit->sim, path, version)->serial, version->module);
    return count;
}

/* What a revoke took out counts nothing. */
static bool
audit_left_out(struct sim *sim, const struct dpc_ledger_record *record)
{
    for (uint32_t i = 0; i < record->entries_count; i++) {
        if (record->entries[i].scale != 0)
            sim_fail(sim, "version %u of module %u still counts what it left out", record->version,
                     record->module);
    }
    return true;
}

static bool
audit_ledger(void *context, const struct dpc_ledger_record *record)
{
    struct audit *audit = context;
    struct sim *sim = audit->sim;
    double sum = 0;
    uint32_t level = dpc_topology_module_level(audit->topology, record->module);
    const struct dpc_version_record *version =
        &sim->memory->versions[record->module][record->version];
    if (!sim->memory->exists[record->module][record->version]) {
        sim_fail(sim, "the ledger names version %u of module %u, which nobody has seen",
                 record->version, record->module);
        return false;
    }
    if (version->cause == DPC_CAUSE_REVOKE)
        return audit_left_out(sim, record);
    if (sim->plan.elastic) {
        sim_audit_merged(sim, record, version);
        return true;
    }
    uint32_t expected = count_merged(audit, version);
    if (record->entries_count != expected)
        sim_fail(sim, "version %u of module %u was made of %u contributions instead of %u",
                 record->version, record->module, record->entries_count, expected);
    if (expected && expected < dpc_topology_paths_through(audit->topology, record->module))
        sim_mark(sim, SIM_MARK_PARTLY_MERGED);
    for (uint32_t i = 0; i < record->entries_count; i++) {
        const struct dpc_ledger_entry *entry = &record->entries[i];
        const struct sim_round *round = round_behind(sim, entry->path, version);
        sum += entry->weight;
        if (i > 0 && entry->path <= record->entries[i - 1].path)
            sim_fail(sim, "the ledger names paths twice or out of order");
        if (!round->accepted || entry->lease != round->serial ||
            !dpc_hash_equal(&entry->delta, &round->parts[level]))
            sim_fail(sim, "version %u of module %u merged what path %u had not handed in",
                     record->version, record->module, entry->path);
    }
    if (record->entries_count && fabs(sum - 1) > 1e-9)
        sim_fail(sim, "the weights of version %u of module %u sum to %g", record->version,
                 record->module, sum);
    return true;
}

/* As many as were acknowledged must be there. */
static void
count_promises(struct audit *audit)
{
    const struct sim_memory *memory = audit->sim->memory;
    uint32_t rounds = 0, contributions = 0, results = 0;
    for (uint32_t path = 0; path < audit->topology->paths_count; path++) {
        uint32_t length = dpc_topology_path_length(audit->topology, path);
        for (uint32_t round = 0; round < SIM_ROUNDS_MAX; round++) {
            rounds += memory->rounds[path][round].acknowledged;
            contributions += memory->rounds[path][round].acknowledged ? length : 0;
        }
    }
    for (uint64_t i = 0; i < memory->grants_count; i++)
        results += memory->grants[i].acknowledged && !memory->grants[i].rating &&
                   memory->grants[i].lease.kind != DPC_TASK_TRAIN;
    if (audit->contributions < contributions)
        sim_fail(audit->sim, "%u rounds were acknowledged; the disk holds %u contributions", rounds,
                 audit->contributions);
    if (audit->results < results)
        sim_fail(audit->sim, "%u results were acknowledged; the disk holds %u", results,
                 audit->results);
}

static struct dpc_hash
audit_disk(struct sim *sim)
{
    struct dpc_error err = {0};
    struct dpc_hash hash;
    struct dpc_kv *kv = sim->coordinator.kv;
    struct audit audit = {.sim = sim, .topology = dpc_core_topology(sim->coordinator.core)};
    dpc_buf_init(&audit.outcome, 0);
    int code = dpc_scan_versions(kv, audit_version, &audit, &err);
    if (code == DPC_OK)
        code = dpc_scan_contributions(kv, audit_contribution, &audit, &err);
    if (code == DPC_OK)
        code = dpc_scan_results(kv, audit_result, &audit, &err);
    if (code == DPC_OK)
        code = dpc_scan_ledger(kv, 0, audit_ledger, &audit, &err);
    if (code != DPC_OK)
        sim_fail(sim, "the disk could not be read: %s", err.text);
    count_promises(&audit);
    sim_audit_bests(sim, &audit.outcome);
    if (sim->plan.elastic)
        sim_audit_parts(sim, audit.contributions);
    dpc_hash_of(audit.outcome.data, audit.outcome.len, &hash);
    dpc_buf_done(&audit.outcome);
    return hash;
}

void
sim_check_disk(struct sim *sim)
{
    (void)audit_disk(sim);
}

struct dpc_hash
sim_outcome(struct sim *sim)
{
    if (sim->coordinator.core) {
        sim_check_revoked(sim);
        sim_check_replays(sim);
    }
    return sim->coordinator.core ? audit_disk(sim) : dpc_hash_none;
}
