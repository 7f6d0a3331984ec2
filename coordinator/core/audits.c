/* SPDX-License-Identifier: Apache-2.0
 * Audits. Training is a pure function of what a lease names, so a machine of the same numeric class
 * brings the same bits. A drawn share of accepted tasks is given out once more; what differs is
 * decided by a third worker, two against one.
 *
 * The draw takes the head of the ledger beside seed, path and round: workers know the experiment,
 * and must not know which of their tasks will be repeated.
 *
 * Audits never hold anything up: they are for workers that nothing else waits for, until the
 * audited path is two rounds on; then they come first. They are not on disk: a restart forgets
 * those under way, and the worker that has one is told that its lease is gone. */
#include "coordinator/core/state.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/planted.h"
#include "base/rng.h"

enum { OVERDUE_ROUNDS = 2, SILENT_BEATS = 4 };

/* --- Which. */

static bool
is_drawn(const struct dpc_core *core, uint32_t path, uint32_t round)
{
    struct dpc_rng rng;
    uint32_t head;
    memcpy(&head, core->phase.ledger_head.bytes, sizeof head);
    dpc_rng_init(&rng, core->experiment->seed, DPC_RNG_AUDIT, path, round, head);
    return dpc_rng_unit(&rng) < core->experiment->audit;
}

/* A whole round from the present versions and path state, which are those that the lease named, and
 * which others can have. */
static bool
can_be_repeated(const struct dpc_core *core, const struct core_lease *lease,
                const struct dpc_msg_submit *submit)
{
    const struct dpc_path_record *path = &core->paths[submit->path].record;
    if (core->experiment->transfer.path_state == DPC_STATE_LOCAL || lease->record.from > 0 ||
        !dpc_hash_equal(&lease->record.state, &path->state) ||
        submit->steps_count != dpc_core_round_steps(core, submit->path, submit->round))
        return false;
    uint32_t length = dpc_topology_path_length(&core->topology, submit->path);
    for (uint32_t i = 0; i < length; i++) {
        const struct dpc_module_record *module =
            &core->modules[dpc_topology_path_module(&core->topology, submit->path, i)].record;
        if (dpc_module_round(module) != submit->round ||
            lease->record.serial < module->serial_first)
            return false;
    }
    return true;
}

static void
drop(struct dpc_core *core, struct core_audit *audit)
{
    uint32_t index = (uint32_t)(audit - core->audits);
    core->audits_count--;
    memmove(audit, audit + 1, (core->audits_count - index) * sizeof *audit);
}

/* Room for one more: the oldest one that nobody is at work on gives way, for there may be nobody
 * who could take it. */
static bool
make_room(struct dpc_core *core)
{
    for (uint32_t i = 0; i < core->audits_count && core->audits_count == CORE_AUDITS_MAX; i++) {
        if (!core->audits[i].serial)
            drop(core, &core->audits[i]);
    }
    return core->audits_count < CORE_AUDITS_MAX;
}

static void
take_answer(struct core_audit *audit, const uint8_t *worker, uint64_t serial,
            const struct dpc_msg_submit *submit)
{
    struct core_answer *answer = &audit->answers[audit->answers_count++];
    answer->serial = serial;
    answer->state = submit->state.hash;
    memcpy(answer->worker, worker, sizeof answer->worker);
    for (uint32_t i = 0; i < submit->parts_count; i++)
        answer->deltas[i] = submit->parts[i].delta.hash;
}

void
core_consider_audit(struct dpc_core *core, const struct core_lease *lease,
                    const struct dpc_msg_submit *submit, const struct core_worker *worker)
{
    const struct dpc_path_record *path = &core->paths[submit->path].record;
    if (core->experiment->audit <= 0 || !worker->numeric_class[0] ||
        !can_be_repeated(core, lease, submit) || !is_drawn(core, submit->path, submit->round) ||
        !make_room(core))
        return;
    struct core_audit *audit = &core->audits[core->audits_count++];
    *audit = (struct core_audit){
        .path = submit->path,
        .round = submit->round,
        .step_first = dpc_core_round_place(core, submit->path, submit->round),
        .data = {path->shard, path->shard_bytes},
        .state = {lease->record.state, path->state_bytes},
    };
    for (uint32_t i = 0; i < submit->parts_count; i++) {
        const struct core_module *module = &core->modules[submit->parts[i].module];
        audit->versions[i] = (struct dpc_blob_ref){module->record.published, module->bytes};
    }
    memcpy(audit->numeric_class, worker->numeric_class, sizeof audit->numeric_class);
    take_answer(audit, worker->record.key, lease->record.serial, submit);
}

/* --- Who. */

/* Place of the one that the worker is at work on; behind the last: none. */
static uint32_t
find_held(const struct dpc_core *core, const struct core_worker *worker)
{
    uint32_t i = 0;
    while (i < core->audits_count &&
           (!core->audits[i].serial ||
            memcmp(core->audits[i].worker, worker->record.key, DPC_WORKER_KEY_BYTES) != 0))
        i++;
    return i;
}

const struct core_audit *
core_audit_held_by(const struct dpc_core *core, const struct core_worker *worker)
{
    uint32_t held = find_held(core, worker);
    return held < core->audits_count ? &core->audits[held] : NULL;
}

static bool
has_answered(const struct core_audit *audit, const struct core_worker *worker)
{
    for (uint32_t i = 0; i < audit->answers_count; i++) {
        if (memcmp(audit->answers[i].worker, worker->record.key, DPC_WORKER_KEY_BYTES) == 0)
            return true;
    }
    return false;
}

bool
core_is_audited(const struct dpc_core *core, const struct core_worker *worker)
{
    bool found = core_audit_held_by(core, worker) != NULL;
    for (uint32_t i = 0; i < core->audits_count && !found; i++)
        found = has_answered(&core->audits[i], worker);
    return found;
}

/* That of a core that is to be changed. */
static struct core_audit *
held_by(struct dpc_core *core, const struct core_worker *worker)
{
    return (struct core_audit *)core_audit_held_by(core, worker);
}

/* Somebody is at work on it, and was heard of. */
static bool
is_taken(const struct dpc_core *core, const struct core_audit *audit, int64_t now_ms)
{
    return audit->serial && now_ms - audit->heard_ms <= SILENT_BEATS * (int64_t)core->heartbeat_ms;
}

static bool
may_take(const struct core_audit *audit, const struct core_worker *worker)
{
    return !has_answered(audit, worker) && strcmp(audit->numeric_class, worker->numeric_class) == 0;
}

static void
fill_audit(const struct dpc_core *core, const struct core_audit *audit,
           struct dpc_msg_lease *ret_lease)
{
    struct dpc_lease_record task = {
        .kind = DPC_TASK_TRAIN, .path = audit->path, .round = audit->round};
    *ret_lease = (struct dpc_msg_lease){
        .token = {core->incarnation, audit->serial},
        .kind = DPC_TASK_TRAIN,
        .path = audit->path,
        .round = audit->round,
        .step_first = audit->step_first,
        .steps_count = dpc_core_round_steps(core, audit->path, audit->round),
        .levels_count = dpc_topology_path_length(&core->topology, audit->path),
        .data = audit->data,
        .state = audit->state,
        .time_left_ms = core_time_for(core, &task),
    };
    for (uint32_t i = 0; i < ret_lease->levels_count; i++) {
        ret_lease->modules[i] = dpc_topology_path_module(&core->topology, audit->path, i);
        ret_lease->versions[i] = audit->versions[i];
    }
}

static bool
is_overdue(const struct dpc_core *core, const struct core_audit *audit)
{
    return dpc_core_path_made(core, audit->path) > audit->round + OVERDUE_ROUNDS;
}

/* The one that the worker is at work on, or the oldest that it may take; behind the last: none, as
 * for one that hands in another. */
static uint32_t
choose(const struct dpc_core *core, const struct core_worker *worker, bool overdue, int64_t now_ms)
{
    uint32_t held = find_held(core, worker), count = core->audits_count;
    if (held < count && core->audits[held].handed_in)
        return count;
    for (uint32_t i = 0; held == count && !worker->record.drained && i < count; i++) {
        const struct core_audit *audit = &core->audits[i];
        if (!is_taken(core, audit, now_ms) && may_take(audit, worker) &&
            core_fits(core, worker, audit->path) && (!overdue || is_overdue(core, audit)))
            return i;
    }
    return held;
}

bool
core_has_audit_for(const struct dpc_core *core, const struct core_worker *worker, int64_t now_ms)
{
    return choose(core, worker, false, now_ms) < core->audits_count;
}

bool
core_grant_audit(struct dpc_core *core, struct core_worker *worker, bool overdue, int64_t now_ms,
                 struct dpc_actions *actions)
{
    uint32_t chosen = choose(core, worker, overdue, now_ms);
    if (chosen == core->audits_count || core->phase.phase == DPC_PHASE_FINISHED)
        return false;
    struct core_audit *audit = &core->audits[chosen];
    if (!held_by(core, worker)) {
        audit->serial = core->phase.next_serial++;
        audit->handed_in = false;
        memcpy(audit->worker, worker->record.key, sizeof audit->worker);
        worker->record.leases++;
        dpc_put_worker(&actions->batch, &worker->record);
        core_put_phase(core, actions);
    }
    audit->heard_ms = now_ms;
    fill_audit(core, audit, &core_reply(actions, DPC_MSG_LEASE)->lease);
    return true;
}

struct core_audit *
core_find_audit(struct dpc_core *core, const struct core_worker *worker, struct dpc_token token)
{
    struct core_audit *audit = held_by(core, worker);
    bool same = audit && token.incarnation == core->incarnation && token.serial == audit->serial;
    return same ? audit : NULL;
}

void
core_note_audit_handed_in(struct dpc_core *core, const struct core_worker *worker)
{
    held_by(core, worker)->handed_in = true;
}

void
core_leave_audit(struct dpc_core *core, const struct core_worker *worker, uint64_t held_serial,
                 uint64_t handed_in_serial)
{
    struct core_audit *audit = held_by(core, worker);
    if (audit && audit->serial != held_serial && audit->serial != handed_in_serial)
        audit->serial = 0;
}

void
core_drop_audits(struct dpc_core *core, uint32_t module)
{
    for (uint32_t i = core->audits_count; i-- > 0;) {
        if (dpc_topology_uses(&core->topology, core->audits[i].path, module))
            drop(core, &core->audits[i]);
    }
}

/* --- What came of it. */

static bool
is_same(const struct dpc_core *core, const struct core_answer *a, const struct core_answer *b)
{
    bool same = dpc_hash_equal(&a->state, &b->state);
    for (uint32_t i = 0; same && i < core->topology.levels_count; i++)
        same = dpc_hash_equal(&a->deltas[i], &b->deltas[i]);
    return same || DPC_PLANTED(DPC_PLANTED_AUDIT_BLIND);
}

static void
alarm(const struct core_audit *audit, const char *what, const char *who,
      struct dpc_actions *actions)
{
    (void)snprintf(actions->alarm, sizeof actions->alarm, "audit path=%u round=%u: %s%s",
                   audit->path, audit->round, what, who);
}

static void
note_audited(struct dpc_core *core, const struct core_answer *answer, bool failed,
             struct dpc_actions *actions)
{
    struct core_worker *worker = core_find_worker(core, answer->worker);
    if (!worker)
        return;
    worker->conduct.audited++;
    worker->conduct.failed += failed;
    core_put_conduct(worker, actions);
    if (failed)
        core_bar_worker(core, worker, DPC_STANDING_QUARANTINED, actions);
}

/* Two say the same and one another. */
static void
convict(struct dpc_core *core, const struct core_audit *audit, const struct core_answer *odd,
        struct dpc_actions *actions)
{
    const struct core_worker *worker = core_find_worker(core, odd->worker);
    alarm(
        audit,
        "two workers agree, and this one brought other bits and is barred; dipacoctl revoke takes "
        "out what it handed in before: ",
        worker ? worker->record.name : "?", actions);
    if (odd != &audit->answers[0])
        note_audited(core, &audit->answers[0], false, actions);
    note_audited(core, odd, true, actions);
}

/* The last answer is in. True: the audit is over. */
static bool
judge(struct dpc_core *core, const struct core_audit *audit, struct dpc_actions *actions)
{
    const struct core_answer *answers = audit->answers;
    const struct core_answer *last = &answers[audit->answers_count - 1];
    if (audit->answers_count == 2 && !is_same(core, &answers[0], last)) {
        alarm(audit, "two workers brought different bits; a third one will decide", "", actions);
        return false;
    }
    if (is_same(core, &answers[0], last) && audit->answers_count == 2)
        note_audited(core, &answers[0], false, actions);
    else if (is_same(core, &answers[0], last))
        convict(core, audit, &answers[1], actions);
    else if (is_same(core, &answers[1], last))
        convict(core, audit, &answers[0], actions);
    else
        alarm(
            audit,
            "three workers brought three different results: their machines or programs are not of "
            "one numeric class, or several compute wrong",
            "", actions);
    return true;
}

static bool
is_owed(const struct dpc_core *core, const struct core_audit *audit,
        const struct dpc_msg_submit *submit)
{
    return submit->kind == DPC_TASK_TRAIN && submit->path == audit->path &&
           submit->round == audit->round &&
           submit->parts_count == dpc_topology_path_length(&core->topology, audit->path) &&
           submit->steps_count == dpc_core_round_steps(core, audit->path, audit->round);
}

/* Names are all that is compared: whether the blobs arrived, and what is in them, does not matter.
 */
void
core_on_audited(struct dpc_core *core, struct core_audit *audit, struct core_worker *worker,
                const struct dpc_msg_submit *submit, struct dpc_actions *actions)
{
    uint64_t serial = audit->serial;
    audit->serial = 0;
    if (!is_owed(core, audit, submit)) {
        worker->record.refused++;
        dpc_put_worker(&actions->batch, &worker->record);
        core_reply_submitted(actions, submit->token, DPC_VERDICT_REFUSED);
        (void)snprintf(actions->reply_text, sizeof actions->reply_text,
                       "it is for another task than its lease");
        core_note_refusal(core, worker, submit, DPC_VERDICT_REFUSED, actions->reply_text);
        return;
    }
    take_answer(audit, worker->record.key, serial, submit);
    worker->record.accepted = serial;
    worker->fruitless = 0;
    worker->record.tokens += core_tokens_of(core, submit->steps_count);
    dpc_put_worker(&actions->batch, &worker->record);
    core_reply_submitted(actions, submit->token, DPC_VERDICT_ACCEPTED);
    if (judge(core, audit, actions))
        drop(core, audit);
}
