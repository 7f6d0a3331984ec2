/* SPDX-License-Identifier: Apache-2.0
 * Invariants of each step. The checker keeps its own books of what was promised and to whom, and
 * holds the core's tables and replies against them. */
#include <string.h>

#include "base/alloc.h"
#include "tests/sim/sim.h"

uint32_t
sim_worker_of(const struct sim *sim, const uint8_t *key)
{
    for (uint32_t i = 0; i < sim->plan.workers; i++) {
        if (memcmp(sim->workers[i].key, key, DPC_WORKER_KEY_BYTES) == 0)
            return i;
    }
    return SIM_NOBODY;
}

/* --- Before the write: history only grows. */

static void
check_operation(void *context, enum dpc_kv_family family, const uint8_t *key, size_t key_len,
                const uint8_t *value, size_t value_len)
{
    struct sim *sim = context;
    struct dpc_kv *kv = sim->coordinator.kv;
    uint8_t *old;
    size_t old_len;
    struct dpc_error err;
    if (family != DPC_KV_HISTORY ||
        kv->ops->get(kv, family, key, key_len, &old, &old_len, &err) != DPC_OK)
        return;
    if (!value || old_len != value_len || memcmp(old, value, value_len) != 0)
        sim_fail(sim, "a record of history, \"%c\", is written over", key_len ? key[0] : '?');
    dpc_free(old);
}

void
sim_check_batch(struct sim *sim, const struct dpc_kv_batch *batch)
{
    if (dpc_kv_batch_each(batch, check_operation, sim) != DPC_OK)
        sim_fail(sim, "a batch makes no sense");
}

/* --- Behind the commit. */

static struct sim_grant *
grant_of(struct sim *sim, uint64_t serial)
{
    struct sim_memory *memory = sim->memory;
    if (serial >= memory->grants_count) {
        uint64_t count = 2 * serial + 64;
        memory->grants = dpc_grow(memory->grants, count, sizeof *memory->grants);
        memset(memory->grants + memory->grants_count, 0,
               (count - memory->grants_count) * sizeof *memory->grants);
        memory->grants_count = count;
    }
    return &memory->grants[serial];
}

/* Leases on the path below this one were voided by rollbacks. */
static uint64_t
first_serial_of(const struct sim *sim, uint32_t path)
{
    const struct dpc_core *core = sim->coordinator.core;
    const struct dpc_topology *topology = dpc_core_topology(core);
    uint64_t first = 0;
    uint32_t length = dpc_topology_path_length(topology, path);
    for (uint32_t i = 0; i < length; i++) {
        uint32_t module = dpc_topology_path_module(topology, path, i);
        uint32_t version = dpc_core_module(core, module)->version;
        uint64_t serial = sim->memory->serial_first[module][version];
        first = serial > first ? serial : first;
    }
    return first;
}

static void
record_round(struct sim *sim, uint32_t path, const struct dpc_event *event)
{
    struct sim_memory *memory = sim->memory;
    const struct dpc_msg_submit *submit = event->submit.message;
    uint32_t round_number = memory->rounds_done[path];
    struct sim_round *round = &memory->rounds[path][round_number];
    if (event->type != DPC_EVENT_SUBMIT || submit->path != path || submit->round != round_number ||
        submit->kind != DPC_TASK_TRAIN) {
        sim_fail(sim, "path %u went on to round %u without a submission of round %u", path,
                 round_number + 1, round_number);
        return;
    }
    if (submit->token.serial < first_serial_of(sim, path))
        sim_fail(sim, "a voided lease on path %u was accepted", path);
    if (round->accepted)
        sim_fail(sim, "round %u of path %u was accepted twice", round_number, path);
    if (round_number > 0 && memcmp(round[-1].worker, event->worker, sizeof round->worker) != 0)
        sim_mark(sim, SIM_MARK_PATH_MOVED);
    if (path > dpc_topology_dense_path(dpc_core_topology(sim->coordinator.core)))
        sim_mark(sim, SIM_MARK_REPLICA);
    if (round->first_serial && round->first_serial != submit->token.serial)
        sim_mark(sim, SIM_MARK_BACKUP_WON);
    round->accepted = true;
    round->serial = submit->token.serial;
    memcpy(round->worker, event->worker, sizeof round->worker);
    const struct dpc_topology *topology = dpc_core_topology(sim->coordinator.core);
    for (uint32_t i = 0; i < submit->parts_count; i++)
        round->parts[dpc_topology_module_level(topology, submit->parts[i].module)] =
            submit->parts[i].delta.hash;
}

/* The next in which the path trains, by the experiment's own draw. */
static uint32_t
next_round(const struct sim *sim, uint32_t path, uint32_t round)
{
    const struct dpc_core *core = sim->coordinator.core;
    while (round < dpc_core_path_rounds(core, path) && !dpc_core_plans(core, path, round))
        round++;
    return round;
}

static void
check_paths(struct sim *sim, const struct dpc_event *event)
{
    const struct dpc_core *core = sim->coordinator.core;
    struct sim_memory *memory = sim->memory;
    for (uint32_t path = 0; path < dpc_core_topology(core)->paths_count; path++) {
        uint32_t done = dpc_core_path(core, path)->rounds_done;
        if (done == memory->rounds_done[path])
            continue;
        if (sim->plan.elastic)
            sim_note_progress(sim, path, done);
        else if (event->type == DPC_EVENT_SHARDED && done == next_round(sim, path, 0))
            sim_mark(sim, SIM_MARK_ROUND_SKIPPED);
        else if (event->type == DPC_EVENT_PREPARED && done == next_round(sim, path, 0))
            sim_mark(sim, SIM_MARK_REPLICA_IDLE);
        else if (done != next_round(sim, path, memory->rounds_done[path] + 1))
            sim_fail(sim, "path %u jumped from round %u to %u", path, memory->rounds_done[path],
                     done);
        else
            record_round(sim, path, event);
        memory->rounds_done[path] = done;
    }
}

/* The content of its parent, and from now on only leases that are younger. */
static void
record_rollback(struct sim *sim, const struct dpc_version_record *version)
{
    struct sim_memory *memory = sim->memory;
    const struct dpc_core *core = sim->coordinator.core;
    const struct dpc_version_record *parent = &memory->versions[version->module][version->parent];
    sim_mark(sim, SIM_MARK_ROLLED_BACK);
    if (dpc_core_leases_count(core) < memory->leases_count)
        sim_mark(sim, SIM_MARK_ROLLBACK_VOIDED);
    if (!dpc_hash_equal(&version->master, &parent->master) ||
        !dpc_hash_equal(&version->published, &parent->published) ||
        !dpc_hash_equal(&version->momentum, &parent->momentum))
        sim_fail(sim, "version %u of module %u is not what version %u was", version->version,
                 version->module, version->parent);
    memory->serial_first[version->module][version->version] = dpc_core_phase(core)->next_serial;
    sim_note_discarded(sim, version);
}

static void
record_refolded(struct sim *sim, const struct dpc_version_record *version)
{
    if (version->parent + 1 != version->version)
        sim_fail(sim, "version %u of module %u was made from version %u", version->version,
                 version->module, version->parent);
    sim->memory->serial_first[version->module][version->version] =
        dpc_core_phase(sim->coordinator.core)->next_serial;
    sim_check_refolded(sim, version);
    sim_note_discarded(sim, version);
}

/* A new version: every path through the module has delivered its round. */
static void
record_version(struct sim *sim, uint32_t module, uint32_t number)
{
    struct sim_memory *memory = sim->memory;
    const struct dpc_topology *topology = dpc_core_topology(sim->coordinator.core);
    struct dpc_version_record *version = &memory->versions[module][number];
    struct dpc_error err;
    if (dpc_load_version(sim->coordinator.kv, module, number, version, &err) != DPC_OK) {
        sim_fail(sim, "module %u has no record of version %u", module, number);
        return;
    }
    for (uint32_t path = 0; path < topology->paths_count; path++) {
        if (dpc_topology_uses(topology, path, module) && !sim->plan.elastic &&
            memory->rounds_done[path] < dpc_version_round(version))
            sim_fail(sim, "module %u has version %u without path %u", module, number, path);
    }
    if (number > 0)
        memory->serial_first[module][number] = memory->serial_first[module][number - 1];
    if (version->cause == DPC_CAUSE_ROLLBACK)
        record_rollback(sim, version);
    if (version->cause == DPC_CAUSE_REVOKE)
        record_refolded(sim, version);
    memory->exists[module][number] = true;
}

/* A rollback may end a round at once: two versions in one step. */
static void
record_versions(struct sim *sim, const struct dpc_module_record *module,
                const struct dpc_event *event)
{
    uint32_t number = 0, count = 0;
    while (sim->memory->exists[module->module][number])
        number++;
    for (; number <= module->version && !sim->failure[0]; number++, count++)
        record_version(sim, module->module, number);
    bool replaced = event->type == DPC_EVENT_ROLLBACK || event->type == DPC_EVENT_REVOKE;
    if (count > 1 && replaced)
        sim_mark(sim, SIM_MARK_ROLLBACK_CLOSED);
    else if (count > 1 && !sim->plan.elastic && !sim->plan.sampled)
        sim_fail(sim, "module %u got %u versions in one step", module->module, count);
}

static void
check_modules(struct sim *sim, const struct dpc_event *event)
{
    const struct dpc_core *core = sim->coordinator.core;
    struct sim_memory *memory = sim->memory;
    for (uint32_t i = 0; i < dpc_core_topology(core)->modules_count; i++) {
        const struct dpc_module_record *module = dpc_core_module(core, i);
        if (!module)
            continue;
        if (!memory->exists[i][module->version])
            record_versions(sim, module, event);
        const struct dpc_version_record *known = &memory->versions[i][module->version];
        if (!dpc_hash_equal(&known->master, &module->master) ||
            !dpc_hash_equal(&known->published, &module->published))
            sim_fail(sim, "version %u of module %u changed its content", module->version, i);
    }
}

static bool
holds_lease(const struct dpc_core *core, uint64_t serial)
{
    struct dpc_lease_view view;
    for (uint32_t i = 0; i < dpc_core_leases_count(core); i++) {
        dpc_core_lease_at(core, i, 0, &view);
        if (view.serial == serial)
            return true;
    }
    return false;
}

static void
mark_event(struct sim *sim, const struct dpc_event *event)
{
    const struct dpc_core *core = sim->coordinator.core;
    bool fewer = dpc_core_leases_count(core) < sim->memory->leases_count;
    if (event->type == DPC_EVENT_HELLO && event->hello.message->token.serial &&
        holds_lease(core, event->hello.message->token.serial))
        sim_mark(sim, SIM_MARK_LEASE_RECLAIMED);
    if (event->type == DPC_EVENT_HELLO && event->hello.message->token.serial == 0 && fewer)
        sim_mark(sim, SIM_MARK_HELLO_VOIDED);
    if (event->type == DPC_EVENT_GIVE_BACK && fewer)
        sim_mark(sim, SIM_MARK_GIVEN_BACK);
    if (event->type == DPC_EVENT_LEAVE)
        sim_mark(sim, SIM_MARK_LEFT);
}

/* The path has accepted this round, and none behind it. */
static bool
is_last_accepted(const struct sim *sim, const struct dpc_msg_submit *submit)
{
    const struct sim_round *rounds = sim->memory->rounds[submit->path];
    uint32_t round = SIM_ROUNDS_MAX;
    while (round > 0 && !rounds[round - 1].accepted)
        round--;
    return round == submit->round + 1;
}

/* The lease that was accepted and the one of this submission named the same path state; a reset may
 * lie between them otherwise. */
static bool
began_alike(const struct sim *sim, const struct dpc_msg_submit *submit)
{
    const struct sim_memory *memory = sim->memory;
    uint64_t accepted = memory->rounds[submit->path][submit->round].serial;
    uint64_t second = submit->token.serial;
    return accepted < memory->grants_count && second < memory->grants_count &&
           dpc_hash_equal(&memory->grants[accepted].lease.state.hash,
                          &memory->grants[second].lease.state.hash);
}

/* Two results of one task differ exactly where one was made to. */
static void
check_alarm(struct sim *sim, const struct dpc_event *event)
{
    const struct sim_coordinator *coordinator = &sim->coordinator;
    const struct dpc_msg_submit *submit = event->submit.message;
    bool second = !sim->plan.elastic &&
                  coordinator->actions.reply.verdict.verdict == DPC_VERDICT_SUPERSEDED &&
                  submit->kind == DPC_TASK_TRAIN && is_last_accepted(sim, submit);
    /* What was trained from a version that a rollback discarded may well differ. */
    if (submit->kind == DPC_TASK_TRAIN &&
        (submit->token.serial < first_serial_of(sim, submit->path) || !began_alike(sim, submit) ||
         dpc_hash_is_none(&dpc_core_path(coordinator->core, submit->path)->state)))
        second = false;
    if (coordinator->actions.reply.verdict.verdict == DPC_VERDICT_ACCEPTED &&
        sim_is_audit(sim, submit)) {
        sim_check_audited(sim, event);
        return;
    }
    bool alarm = coordinator->actions.alarm[0];
    if (alarm != (second && coordinator->tampered))
        sim_fail(sim, "a second submission of round %u of path %u raised %s alarm", submit->round,
                 submit->path, alarm ? "an" : "no");
    if (second)
        sim_mark(sim, alarm ? SIM_MARK_ALARM : SIM_MARK_COMPARED);
}

/* The same submission again gets the same answer; only the last one of a worker is asked about. */
static void
check_verdict(struct sim *sim, const struct dpc_event *event)
{
    const struct dpc_msg_verdict *verdict = &sim->coordinator.actions.reply.verdict;
    uint64_t serial = event->submit.message->token.serial;
    struct sim_grant *grant = grant_of(sim, serial);
    bool accepted = verdict->verdict == DPC_VERDICT_ACCEPTED;
    if (verdict->verdict == DPC_VERDICT_STALE)
        sim_mark(sim, SIM_MARK_STALE_TOKEN);
    if (verdict->verdict == DPC_VERDICT_SUPERSEDED)
        sim_mark(sim, SIM_MARK_SUPERSEDED);
    if (verdict->verdict == DPC_VERDICT_MISSING)
        sim_mark(sim, SIM_MARK_MISSING);
    if (grant->accepted && accepted)
        sim_mark(sim, grant->accepted_life < sim->coordinator.life ? SIM_MARK_ACCEPTED_AGAIN_LATER
                                                                   : SIM_MARK_ACCEPTED_AGAIN);
    if (grant->accepted && !accepted && sim->memory->latest[grant->worker] == serial)
        sim_fail(sim, "the accepted submission of lease %llu was told %s when it came again",
                 (unsigned long long)serial, dpc_verdict_name(verdict->verdict));
    if (accepted && !grant->accepted) {
        if (sim->plan.elastic && event->submit.message->kind == DPC_TASK_TRAIN && !grant->audit)
            sim_note_accepted(sim, event->submit.message, grant);
        if (grant->rating)
            sim_note_rated(sim, event, grant);
        if (grant->left && grant->life < sim->coordinator.life)
            sim_mark(sim, SIM_MARK_LATE_SUBMISSION);
        grant->accepted = true;
        grant->accepted_life = sim->coordinator.life;
    }
}

void
sim_check_step(struct sim *sim, const struct dpc_event *event)
{
    const struct dpc_msg *reply = &sim->coordinator.actions.reply;
    bool has_reply = sim->coordinator.actions.has_reply;
    check_paths(sim, event);
    check_modules(sim, event);
    sim_check_index(sim);
    sim_check_standings(sim, event);
    mark_event(sim, event);
    if (has_reply && reply->type == DPC_MSG_SUBMITTED) {
        check_verdict(sim, event);
        check_alarm(sim, event);
    }
    if (has_reply && reply->type == DPC_MSG_HEARTBEAT_ACK &&
        reply->verdict.verdict == DPC_VERDICT_STALE)
        sim_mark(sim, SIM_MARK_STALE_HEARTBEAT);
    if (sim->plan.early_stopping)
        sim_check_bests(sim);
    sim->memory->leases_count = dpc_core_leases_count(sim->coordinator.core);
}

/* --- Before the reply leaves. */

static void
check_training_lease(struct sim *sim, const struct dpc_msg_lease *lease)
{
    const struct sim_memory *memory = sim->memory;
    const struct dpc_topology *topology = dpc_core_topology(sim->coordinator.core);
    if (lease->levels_count != dpc_topology_path_length(topology, lease->path))
        sim_fail(sim, "path %u is leased with %u modules", lease->path, lease->levels_count);
    if (lease->levels_count < topology->levels_count)
        sim_mark(sim, SIM_MARK_LEVEL_SKIPPED);
    if (lease->round != memory->rounds_done[lease->path])
        sim_fail(sim, "path %u is leased for round %u, it has done %u", lease->path, lease->round,
                 memory->rounds_done[lease->path]);
    for (uint32_t level = 0; level < lease->levels_count; level++) {
        uint32_t module = lease->modules[level];
        const struct dpc_module_record *present = dpc_core_module(sim->coordinator.core, module);
        if (!memory->exists[module][present->version] ||
            !dpc_hash_equal(&memory->versions[module][present->version].published,
                            &lease->versions[level].hash))
            sim_fail(sim, "path %u is leased for round %u with another version of module %u",
                     lease->path, lease->round, module);
        if (dpc_module_round(present) != lease->round)
            sim_fail(sim, "module %u closed round %u without path %u", module, lease->round,
                     lease->path);
    }
}

/* A difference is named wherever what is published came out of an outer step, and it is one to what
 * was published before. That it makes the newest one shows at the worker, which holds it against
 * its name. */
static void
check_changes(struct sim *sim, const struct dpc_msg_lease *lease)
{
    for (uint32_t i = 0; i < lease->levels_count; i++) {
        uint32_t module = lease->modules[i];
        uint32_t number = dpc_core_module(sim->coordinator.core, module)->version;
        const struct dpc_version_record *versions = sim->memory->versions[module];
        while (number > 0 &&
               dpc_hash_equal(&versions[number].published, &versions[number - 1].published))
            number--; /* nothing was merged */
        bool named = !dpc_hash_is_none(&lease->changes[i].hash);
        bool may = number > 0 && versions[number].cause == DPC_CAUSE_OUTER_STEP &&
                   dpc_topology_download(&sim->coordinator.topology, module) != DPC_CODEC_FP32;
        if (named && !may)
            sim_fail(sim, "version %u of module %u is leased as a difference", number, module);
        else if (named && !dpc_hash_equal(&lease->bases[i].hash, &versions[number - 1].published))
            sim_fail(sim, "a difference to version %u of module %u is not to the one before",
                     number, module);
        else if (may && !named)
            sim_fail(sim, "version %u of module %u is leased without a difference", number, module);
    }
}

static bool
same_task(const struct dpc_msg_lease *a, const struct dpc_lease_view *b)
{
    return a->kind == b->kind && a->path == b->path && a->round == b->round &&
           (a->kind == DPC_TASK_TRAIN || (a->from == b->from && a->to == b->to));
}

static void
mark_lease(struct sim *sim, const struct dpc_msg_lease *lease)
{
    const struct dpc_core *core = sim->coordinator.core;
    struct dpc_lease_view view;
    for (uint32_t i = 0; i < dpc_core_leases_count(core); i++) {
        dpc_core_lease_at(core, i, 0, &view);
        if (view.serial < lease->token.serial && same_task(lease, &view))
            sim_mark(sim, SIM_MARK_BACKUP_GRANTED);
    }
    if (lease->kind == DPC_TASK_REROUTE)
        sim_check_reroute_lease(sim, lease);
    if (lease->kind == DPC_TASK_FEATURIZE &&
        dpc_core_module(core, lease->modules[0])->version > dpc_core_warm_rounds(core))
        sim_mark(sim, SIM_MARK_DENSE_AHEAD);
}

/* A serial that has left names one lease of one worker for ever. */
static void
check_lease(struct sim *sim, const struct dpc_event *event, const struct dpc_msg_lease *lease)
{
    uint32_t worker = sim_worker_of(sim, event->worker);
    struct sim_grant *grant = grant_of(sim, lease->token.serial);
    bool audit = false, rating = sim_is_rating(sim, lease);
    if (rating)
        sim_check_rating_lease(sim, lease);
    if (lease->kind == DPC_TASK_TRAIN) {
        struct sim_round *round = &sim->memory->rounds[lease->path][lease->round];
        audit = lease->round < sim->memory->rounds_done[lease->path];
        if (audit)
            sim_check_audit_lease(sim, lease);
        else
            check_training_lease(sim, lease);
        if (!audit)
            sim_check_begins(sim, lease);
        if (!round->first_serial)
            round->first_serial = lease->token.serial;
    }
    if ((lease->kind == DPC_TASK_TRAIN && !audit) || lease->kind == DPC_TASK_SCORE)
        check_changes(sim, lease);
    mark_lease(sim, lease);
    if (grant->left && (grant->worker != worker || grant->lease.kind != lease->kind ||
                        grant->lease.path != lease->path || grant->lease.round != lease->round ||
                        grant->lease.from != lease->from))
        sim_fail(sim, "lease %llu was granted twice, for different things",
                 (unsigned long long)lease->token.serial);
    if (grant->left)
        sim_mark(sim, SIM_MARK_LEASE_AGAIN);
    grant->left = true;
    grant->audit = audit;
    grant->rating = rating;
    grant->lease = *lease;
    grant->worker = worker;
    grant->life = sim->coordinator.life;
    sim->memory->latest[worker] = lease->token.serial;
}

void
sim_check_reply(struct sim *sim, const struct dpc_event *event)
{
    const struct dpc_msg *reply = &sim->coordinator.actions.reply;
    if (reply->type == DPC_MSG_LEASE)
        check_lease(sim, event, &reply->lease);
    if (reply->type != DPC_MSG_SUBMITTED || reply->verdict.verdict != DPC_VERDICT_ACCEPTED)
        return;
    const struct dpc_msg_submit *submit = event->submit.message;
    sim->accepted_ms = sim->now_ms;
    grant_of(sim, submit->token.serial)->acknowledged = true;
    if (submit->kind != DPC_TASK_TRAIN || sim_is_audit(sim, submit))
        return;
    if (sim->plan.elastic) {
        sim_note_acknowledged(sim, submit->token.serial);
        return;
    }
    struct sim_round *round = &sim->memory->rounds[submit->path][submit->round];
    if (round->acknowledged && round->serial != submit->token.serial)
        sim_fail(sim, "two submissions of round %u of path %u were told accepted", submit->round,
                 submit->path);
    round->acknowledged = true;
}

void
sim_check_bounds(struct sim *sim)
{
    const struct dpc_core *core = sim->coordinator.core;
    if (sim->queue.count > SIM_EVENTS_MAX)
        sim_fail(sim, "%u events wait: something runs away", sim->queue.count);
    if (core && dpc_core_leases_count(core) > DPC_LEASES_MAX * sim->plan.workers)
        sim_fail(sim, "%u leases for %u workers", dpc_core_leases_count(core), sim->plan.workers);
    if (core && dpc_core_workers_count(core) > sim->plan.known)
        sim_fail(sim, "%u workers are known of %u", dpc_core_workers_count(core), sim->plan.known);
}
