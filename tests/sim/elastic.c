/* SPDX-License-Identifier: Apache-2.0
 * Elastic mode: the books about what was accepted, where a round may come in parts, late or not at
 * all. Each contribution is merged in each module at most once; what came in time is merged unless
 * more of the same round came in time as well, or a rollback discarded what it was learned from;
 * and an outer step takes what the ledger says, no more and no less. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "tests/sim/sim.h"

/* --- While it runs. */

void
sim_note_progress(struct sim *sim, uint32_t path, uint32_t rounds_done)
{
    if (rounds_done < sim->memory->rounds_done[path])
        sim_fail(sim, "path %u went back from round %u to %u", path, sim->memory->rounds_done[path],
                 rounds_done);
    if (dpc_core_path(sim->coordinator.core, path)->missed)
        sim_mark(sim, SIM_MARK_MISSED);
}

static const struct sim_part *find_begun(const struct sim *sim, const struct dpc_msg_lease *lease);

void
sim_note_accepted(struct sim *sim, const struct dpc_msg_submit *submit,
                  const struct sim_grant *grant)
{
    struct sim_memory *memory = sim->memory;
    const struct dpc_core *core = sim->coordinator.core;
    uint64_t place = dpc_core_round_place(core, submit->path, submit->round);
    const struct sim_part *before =
        grant->lease.step_first > place ? find_begun(sim, &grant->lease) : NULL;
    uint64_t serial_before = before ? before->serial : 0;
    if (memory->parts_count == memory->parts_capacity) {
        memory->parts_capacity = 2 * memory->parts_capacity + 16;
        memory->parts = dpc_grow(memory->parts, memory->parts_capacity, sizeof *memory->parts);
    }
    struct sim_part *part = &memory->parts[memory->parts_count++];
    *part = (struct sim_part){
        .path = submit->path,
        .round = submit->round,
        .steps = (uint32_t)(grant->lease.step_first - place) + submit->steps_count,
        .serial = submit->token.serial,
        .before = serial_before,
    };
    const struct dpc_topology *topology = dpc_core_topology(core);
    for (uint32_t i = 0; i < submit->parts_count; i++)
        part->deltas[dpc_topology_module_level(topology, submit->parts[i].module)] =
            submit->parts[i].delta.hash;
    uint32_t all = dpc_core_round_steps(core, part->path, part->round);
    if (part->steps < all)
        sim_mark(sim, SIM_MARK_PART);
    if (submit->steps_count == all)
        memory->rounds[part->path][part->round].serial = part->serial; /* may be audited */
}

static struct sim_part *
find_part(struct sim *sim, uint64_t serial)
{
    for (uint32_t i = 0; i < sim->memory->parts_count; i++) {
        if (sim->memory->parts[i].serial == serial)
            return &sim->memory->parts[i];
    }
    return NULL;
}

void
sim_note_acknowledged(struct sim *sim, uint64_t serial)
{
    struct sim_part *part = find_part(sim, serial);
    if (part)
        part->acknowledged = true;
    else
        sim_fail(sim, "lease %llu was told accepted, and nothing changed",
                 (unsigned long long)serial);
}

static bool
ends_there(const struct dpc_topology *topology, const struct sim_part *part,
           const struct dpc_msg_lease *lease, uint32_t steps)
{
    bool same = part->path == lease->path && part->round == lease->round && part->steps == steps;
    for (uint32_t i = 0; same && i < lease->levels_count; i++) {
        uint32_t level = dpc_topology_module_level(topology, lease->modules[i]);
        same = dpc_hash_equal(&part->deltas[level], &lease->begins[i].hash);
    }
    return same;
}

/* What the lease goes on from, as it ended; NULL: nothing ended there. The newest, since what was
 * revoked or rolled back may have been handed in once more, with the same deltas. */
static const struct sim_part *
find_begun(const struct sim *sim, const struct dpc_msg_lease *lease)
{
    const struct dpc_core *core = sim->coordinator.core;
    uint32_t steps =
        (uint32_t)(lease->step_first - dpc_core_round_place(core, lease->path, lease->round));
    for (uint32_t i = sim->memory->parts_count; i > 0; i--) {
        if (ends_there(dpc_core_topology(core), &sim->memory->parts[i - 1], lease, steps))
            return &sim->memory->parts[i - 1];
    }
    return NULL;
}

void
sim_check_begins(struct sim *sim, const struct dpc_msg_lease *lease)
{
    uint64_t place = dpc_core_round_place(sim->coordinator.core, lease->path, lease->round);
    uint32_t steps = (uint32_t)(lease->step_first - place);
    bool begins = steps == 0 && dpc_hash_is_none(&lease->begins[0].hash);
    if (!begins && !find_begun(sim, lease))
        sim_fail(sim, "path %u is leased from step %u of round %u on, where nothing ended",
                 lease->path, steps, lease->round);
    if (steps)
        sim_mark(sim, SIM_MARK_WENT_ON_FROM_PART);
}

/* What went on from a part came after it. */
void
sim_add_behind(const struct sim *sim, struct dpc_serials *serials)
{
    for (uint32_t i = 0; i < sim->memory->parts_count; i++) {
        const struct sim_part *part = &sim->memory->parts[i];
        if (!part->before || !dpc_serials_hold(serials, part->before))
            continue;
        dpc_serials_add(serials, part->serial);
        dpc_serials_sort(serials);
    }
}

/* --- The disk. */

void
sim_audit_part(struct sim *sim, const struct dpc_contribution_record *record)
{
    const struct dpc_topology *topology = dpc_core_topology(sim->coordinator.core);
    uint32_t level = dpc_topology_module_level(topology, record->module);
    struct sim_part *part = find_part(sim, record->lease);
    if (!part || part->path != record->path || part->round != record->round ||
        part->steps != record->steps || !dpc_hash_equal(&part->deltas[level], &record->delta)) {
        sim_fail(sim, "the disk holds a contribution of path %u for round %u that was not accepted",
                 record->path, record->round);
        return;
    }
    part->late[level] = record->late;
    part->merged[level] = 0;
}

uint64_t
sim_inputs_hash(uint64_t hash, uint32_t path, uint64_t lease, const struct dpc_hash *delta,
                double weight)
{
    uint64_t words[3];
    words[0] = path;
    words[1] = lease;
    memcpy(&words[2], &weight, sizeof weight);
    for (int i = 0; i < 3; i++)
        hash = (hash ^ words[i]) * 0x9e3779b97f4a7c15ULL;
    for (size_t i = 0; i < sizeof delta->bytes; i++)
        hash = (hash ^ delta->bytes[i]) * 0x100000001b3ULL;
    return hash;
}

static void
audit_entry(struct sim *sim, const struct dpc_ledger_record *record,
            const struct dpc_version_record *version, const struct dpc_ledger_entry *entry)
{
    const struct dpc_core *core = sim->coordinator.core;
    uint32_t level = dpc_topology_module_level(dpc_core_topology(core), record->module);
    struct sim_part *part = find_part(sim, entry->lease);
    if (!part || part->path != entry->path || part->steps != entry->steps ||
        !dpc_hash_equal(&part->deltas[level], &entry->delta)) {
        sim_fail(sim, "version %u of module %u merged what path %u had not handed in",
                 record->version, record->module, entry->path);
        return;
    }
    if (part->round + 1 + entry->late != dpc_version_round(version) || entry->late > 1 ||
        entry->late != (uint32_t)part->late[level])
        sim_fail(sim, "version %u of module %u merged round %u of path %u, %u rounds late",
                 record->version, record->module, part->round, entry->path, entry->late);
    if (part->serial < sim->memory->serial_first[record->module][record->version])
        sim_fail(sim, "version %u of module %u merged what a rollback had discarded",
                 record->version, record->module);
    if (sim_is_void(sim, part->serial, record->module))
        sim_fail(sim, "version %u of module %u merged what was revoked before", record->version,
                 record->module);
    part->merged[level]++;
    if (entry->late)
        sim_mark(sim, SIM_MARK_LATE_MERGED);
    if (part->steps < dpc_core_round_steps(core, part->path, part->round))
        sim_mark(sim, SIM_MARK_PART_MERGED);
}

void
sim_audit_merged(struct sim *sim, const struct dpc_ledger_record *record,
                 const struct dpc_version_record *version)
{
    double sum = 0;
    uint64_t inputs = 0;
    for (uint32_t i = 0; i < record->entries_count && !sim->failure[0]; i++) {
        const struct dpc_ledger_entry *entry = &record->entries[i];
        const struct dpc_ledger_entry *before = i > 0 ? entry - 1 : NULL;
        audit_entry(sim, record, version, entry);
        if (before && (entry->path < before->path ||
                       (entry->path == before->path && entry->late >= before->late)))
            sim_fail(sim, "the ledger names contributions out of order");
        sum += entry->weight;
        inputs = sim_inputs_hash(inputs, entry->path, entry->lease, &entry->delta, entry->weight);
    }
    if (record->entries_count && fabs(sum - 1) > 1e-9)
        sim_fail(sim, "the weights of version %u of module %u sum to %g", record->version,
                 record->module, sum);
    if (record->entries_count && inputs != sim->memory->inputs[record->module][record->version])
        sim_fail(sim,
                 "version %u of module %u was made of other contributions than the ledger says",
                 record->version, record->module);
}

/* The outer step of the module behind the one that took its `round`; 0: not yet. */
static uint32_t
version_behind(const struct sim *sim, uint32_t module, uint32_t round)
{
    for (uint32_t version = 1; version < SIM_ROUNDS_MAX; version++) {
        const struct dpc_version_record *record = &sim->memory->versions[module][version];
        if (sim->memory->exists[module][version] && record->cause == DPC_CAUSE_OUTER_STEP &&
            dpc_version_round(record) == round + 1)
            return version;
    }
    return 0;
}

/* Did more of the same round come, as late as this? */
static bool
is_outdone(const struct sim *sim, const struct sim_part *part, uint32_t level)
{
    for (uint32_t i = 0; i < sim->memory->parts_count; i++) {
        const struct sim_part *other = &sim->memory->parts[i];
        if (other > part && other->path == part->path && other->round == part->round &&
            other->late[level] == part->late[level])
            return true;
    }
    return false;
}

/* How often what was handed in of this round is in the module. */
static uint32_t
count_merges(const struct sim *sim, const struct sim_part *part, uint32_t level)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < sim->memory->parts_count; i++) {
        const struct sim_part *other = &sim->memory->parts[i];
        if (other->path == part->path && other->round == part->round)
            count += other->merged[level];
    }
    return count;
}

static void
audit_level(struct sim *sim, const struct sim_part *part, uint32_t module, uint32_t level)
{
    uint32_t version = version_behind(sim, module, part->round + part->late[level]);
    if (count_merges(sim, part, level) > 1)
        sim_fail(sim, "module %u has round %u of path %u twice", module, part->round, part->path);
    if (part->late[level] == DPC_TOO_LATE) {
        sim_mark(sim, SIM_MARK_TOO_LATE);
        return;
    }
    if (version && !part->merged[level] && !is_outdone(sim, part, level) &&
        part->serial >= sim->memory->serial_first[module][version] &&
        !sim_is_void(sim, part->serial, module))
        sim_fail(sim, "module %u has round %u behind it and lost what path %u handed in", module,
                 part->round, part->path);
}

void
sim_audit_parts(struct sim *sim, uint32_t contributions)
{
    const struct dpc_topology *topology = dpc_core_topology(sim->coordinator.core);
    uint32_t acknowledged = 0, owed = 0;
    for (uint32_t i = 0; i < sim->memory->parts_count && !sim->failure[0]; i++) {
        const struct sim_part *part = &sim->memory->parts[i];
        bool late = false, in_time = false;
        uint32_t length = dpc_topology_path_length(topology, part->path);
        acknowledged += part->acknowledged;
        owed += part->acknowledged ? length : 0;
        for (uint32_t k = 0; k < length; k++) {
            uint32_t module = dpc_topology_path_module(topology, part->path, k);
            uint32_t level = dpc_topology_module_level(topology, module);
            audit_level(sim, part, module, level);
            late |= part->late[level] != DPC_IN_TIME;
            in_time |= part->late[level] == DPC_IN_TIME;
        }
        if (late && in_time)
            sim_mark(sim, SIM_MARK_IN_TIME_ELSEWHERE);
    }
    if (contributions < owed)
        sim_fail(sim, "%u submissions were acknowledged; the disk holds %u contributions",
                 acknowledged, contributions);
}
