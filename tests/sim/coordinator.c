/* SPDX-License-Identifier: Apache-2.0
 * What the server does around the core: commit, reply, effects, in this order; here the process may
 * end between any two of them. The kv alone outlives it. A write of the kv is kept or lost whole.
 */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/experiment.h"
#include "base/tensor_blob.h"
#include "tests/sim/sim.h"

enum { TICK_MS = 5000, CHECK_MS = 5 };

/* Every blob of the simulator is small enough for the kv: there are no files. */
static int
no_file(const struct dpc_vfs *vfs, const char *path, int flags, struct dpc_vfs_file **ret_file)
{
    (void)vfs;
    (void)path;
    (void)flags;
    (void)ret_file;
    return DPC_ENOTFOUND;
}
static const struct dpc_vfs_ops empty_ops = {.open = no_file};
static const struct dpc_vfs empty_disk = {.ops = &empty_ops};

void
sim_coordinator_init(struct sim *sim)
{
    struct sim_coordinator *coordinator = &sim->coordinator;
    struct dpc_error err = {0};
    struct dpc_buf yaml;
    dpc_actions_init(&coordinator->actions);
    int code = dpc_experiment_parse("sim", sim->plan.yaml, strlen(sim->plan.yaml),
                                    &coordinator->experiment, &err);
    if (code == DPC_OK)
        code = dpc_kv_open_memory(&coordinator->kv);
    if (code == DPC_OK)
        code = dpc_blobs_open_read(&empty_disk, "blobs", &coordinator->blobs, &err);
    if (code == DPC_OK)
        code = dpc_store_open_on(coordinator->kv, coordinator->blobs, &coordinator->store, &err);
    if (code != DPC_OK) {
        sim_fail(sim, "the coordinator could not be set up: %s", err.text);
        return;
    }
    dpc_buf_init(&yaml, 0);
    dpc_experiment_print(&coordinator->experiment, &yaml);
    coordinator->yaml = dpc_strdup(dpc_buf_text(&yaml));
    dpc_buf_done(&yaml);
}

void
sim_coordinator_done(struct sim *sim)
{
    struct sim_coordinator *coordinator = &sim->coordinator;
    dpc_core_destroy(coordinator->core);
    dpc_store_close(coordinator->store);
    dpc_blobs_close(coordinator->blobs);
    dpc_kv_close(coordinator->kv);
    dpc_actions_done(&coordinator->actions);
    dpc_free(coordinator->yaml);
}

/* --- A step. */

static bool
crashes_here(struct sim *sim, enum sim_marker marker)
{
    if (sim_healed(sim) || !sim_chance(sim, sim->plan.crash_point / 3))
        return false;
    sim_mark(sim, marker);
    sim_coordinator_crash(sim, sim_draw_ms(sim, 5000));
    return true;
}

static void
commit(struct sim *sim)
{
    struct sim_coordinator *coordinator = &sim->coordinator;
    struct dpc_error err;
    sim_check_batch(sim, &coordinator->actions.batch);
    if (dpc_store_commit(coordinator->store, &coordinator->actions.batch, &err) != DPC_OK)
        sim_fail(sim, "a batch was not written: %s", err.text);
    coordinator->state = sim_state_hash(coordinator->core);
    sim_trace(sim, &coordinator->state, sizeof coordinator->state);
    sim_trace(sim, coordinator->actions.batch.operations.data,
              coordinator->actions.batch.operations.len);
    sim_note(sim, "commit operations=%u state=%016llx", coordinator->actions.batch.count,
             (unsigned long long)coordinator->state);
}

static void
reply(struct sim *sim, const struct dpc_event *event, const struct sim_event *from)
{
    struct dpc_actions *actions = &sim->coordinator.actions;
    if (!actions->has_reply || !from || sim->failure[0])
        return;
    sim_check_reply(sim, event);
    actions->reply.request = from->request;
    sim_note(
        sim, "reply worker=%u type=%s verdict=%s lease=%llu", from->worker,
        dpc_msg_name(actions->reply.type),
        actions->reply.type == DPC_MSG_SUBMITTED || actions->reply.type == DPC_MSG_HEARTBEAT_ACK
            ? dpc_verdict_name(actions->reply.verdict.verdict)
            : "-",
        actions->reply.type == DPC_MSG_LEASE ? (unsigned long long)actions->reply.lease.token.serial
                                             : 0);
    sim_send_down(sim, from->worker, from->life, &actions->reply);
}

static void
carry_out(struct sim *sim, const struct dpc_event *event, const struct sim_event *from)
{
    struct dpc_actions *actions = &sim->coordinator.actions;
    bool writes = actions->batch.count > 0;
    if (DPC_PLANTED(DPC_PLANTED_REPLY_FIRST))
        reply(sim, event, from);
    if (writes && crashes_here(sim, SIM_MARK_CRASH_BEFORE_COMMIT))
        return;
    if (writes)
        commit(sim);
    sim_check_step(sim, event);
    if (writes && crashes_here(sim, SIM_MARK_CRASH_BEFORE_REPLY))
        return;
    if (!DPC_PLANTED(DPC_PLANTED_REPLY_FIRST))
        reply(sim, event, from);
    if (actions->effects_count && crashes_here(sim, SIM_MARK_CRASH_BEFORE_EFFECTS))
        return;
    sim_start_effects(sim);
}

static void
step(struct sim *sim, const struct dpc_event *event, const struct sim_event *from)
{
    struct sim_coordinator *coordinator = &sim->coordinator;
    uint32_t life = coordinator->life;
    dpc_core_step(coordinator->core, event, sim->now_ms + coordinator->clock_ms,
                  &coordinator->actions);
    carry_out(sim, event, from);
    if (coordinator->core && coordinator->life == life)
        dpc_actions_reset(&coordinator->actions);
}

/* --- Life. */

/* The new process may run on a machine that has just booted: its clock begins anew. */
static void
set_clock(struct sim *sim)
{
    struct sim_coordinator *coordinator = &sim->coordinator;
    int64_t old_ms = coordinator->clock_ms;
    coordinator->clock_ms = 1000000;
    if (sim_chance(sim, 0.5))
        coordinator->clock_ms = (int64_t)dpc_rng_below(&sim->rng, 5000000) - sim->now_ms;
    if (coordinator->life > 1 && coordinator->clock_ms < old_ms)
        sim_mark(sim, SIM_MARK_CLOCK_BACK);
}

void
sim_coordinator_start(struct sim *sim)
{
    struct sim_coordinator *coordinator = &sim->coordinator;
    struct dpc_error err;
    struct dpc_core_options options = {.incarnation = 77,
                                       .heartbeat_ms = SIM_HEARTBEAT_MS,
                                       .experiment_yaml = coordinator->yaml,
                                       .bulk_endpoint = "tcp://*:1"};
    coordinator->life++;
    set_clock(sim);
    sim_note(sim, "coordinator starts life=%u", coordinator->life);
    if (dpc_core_create(&coordinator->experiment, &options, coordinator->kv,
                        sim->now_ms + coordinator->clock_ms, &coordinator->core, &err) != DPC_OK) {
        sim_fail(sim, "the core could not be rebuilt: %s", err.text);
        return;
    }
    uint64_t state = sim_state_hash(coordinator->core);
    if (coordinator->life > 1 && state != coordinator->state)
        sim_fail(sim, "the rebuilt core differs from what was committed");
    coordinator->state = state;
    sim_check_disk(sim);
    coordinator->ticked_ms = sim->now_ms;
    sim_add(sim, TICK_MS, (struct sim_event){.type = SIM_TICK, .life = coordinator->life});
    dpc_core_resume(coordinator->core, &coordinator->actions);
    carry_out(sim, &(struct dpc_event){0}, NULL);
    if (coordinator->core)
        dpc_actions_reset(&coordinator->actions);
    for (uint32_t i = 0; i < sim->plan.workers; i++) {
        if (sim_healed(sim) || sim_chance(sim, 0.8))
            sim_add(sim, sim_draw_ms(sim, 300),
                    (struct sim_event){
                        .type = SIM_CONNECTED, .worker = i, .life = sim->workers[i].life});
    }
}

void
sim_coordinator_crash(struct sim *sim, int64_t down_ms)
{
    struct sim_coordinator *coordinator = &sim->coordinator;
    sim_note(sim, "coordinator ends down_ms=%lld", (long long)down_ms);
    coordinator->core = dpc_core_destroy(coordinator->core);
    dpc_actions_reset(&coordinator->actions);
    sim_add(sim, down_ms, (struct sim_event){.type = SIM_COORDINATOR_START});
}

/* --- What comes in. */

static uint32_t
rows_of(struct sim *sim, const struct dpc_hash *result)
{
    uint8_t *bytes;
    size_t len;
    uint32_t rows = 0;
    struct dpc_error err;
    if (dpc_store_blob_load(sim->coordinator.store, result, &bytes, &len, &err) != DPC_OK)
        return 0;
    if (len >= sizeof rows)
        memcpy(&rows, bytes, sizeof rows);
    dpc_free(bytes);
    return rows;
}

static void
note_if_missing(struct sim *sim, const struct dpc_hash *hash, struct dpc_submission_check *check)
{
    if (!dpc_hash_is_none(hash) && !sim_has_blob(sim, hash))
        check->missing[check->missing_count++] = *hash;
}

static void
on_checked(struct sim *sim, const struct sim_event *from)
{
    struct dpc_submission_check check = {0};
    const struct dpc_msg_submit *submit = from->payload;
    struct dpc_event event = {.type = DPC_EVENT_SUBMIT};
    memcpy(event.worker, sim->workers[from->worker].key, sizeof event.worker);
    for (uint32_t i = 0; i < submit->parts_count; i++)
        note_if_missing(sim, &submit->parts[i].delta.hash, &check);
    note_if_missing(sim, &submit->state.hash, &check);
    note_if_missing(sim, &submit->result.hash, &check);
    if (!check.missing_count && submit->kind != DPC_TASK_TRAIN)
        check.rows = rows_of(sim, &submit->result.hash);
    event.submit.message = submit;
    event.submit.check = &check;
    step(sim, &event, from);
}

static void
on_message(struct sim *sim, const struct sim_event *from)
{
    static const enum dpc_event_type event_of[] = {
        [DPC_MSG_HELLO] = DPC_EVENT_HELLO,         [DPC_MSG_ASK] = DPC_EVENT_ASK,
        [DPC_MSG_HEARTBEAT] = DPC_EVENT_HEARTBEAT, [DPC_MSG_SUBMIT] = DPC_EVENT_SUBMIT,
        [DPC_MSG_GIVE_BACK] = DPC_EVENT_GIVE_BACK, [DPC_MSG_LEAVE] = DPC_EVENT_LEAVE,
    };
    struct dpc_msg msg;
    struct sim_event sender = *from;
    if (!sim_decode(sim, from, &msg))
        return;
    if (from->life != sim->workers[from->worker].life)
        sim_mark(sim, SIM_MARK_OLD_PROCESS);
    sim_note(sim, "coordinator hears worker=%u type=%s request=%llu", from->worker,
             dpc_msg_name(msg.type), (unsigned long long)msg.request);
    sender.request = msg.request;
    sender.payload = NULL;
    if (msg.type == DPC_MSG_SUBMIT) { /* its check runs beside the loop */
        sender.type = SIM_SUBMISSION;
        sender.number = sim->coordinator.life;
        sender.payload = dpc_alloc(1, sizeof msg.submit);
        memcpy(sender.payload, &msg.submit, sizeof msg.submit);
        sim_add(sim, sim_draw_ms(sim, CHECK_MS), sender);
        return;
    }
    struct dpc_event event = {.type = event_of[msg.type]};
    memcpy(event.worker, sim->workers[from->worker].key, sizeof event.worker);
    if (msg.type == DPC_MSG_HELLO)
        event.hello.message = &msg.hello;
    else if (msg.type == DPC_MSG_HEARTBEAT)
        event.heartbeat.message = &msg.heartbeat;
    else if (msg.type == DPC_MSG_GIVE_BACK)
        event.give_back.message = &msg.give_back;
    step(sim, &event, &sender);
}

static void
on_tick(struct sim *sim)
{
    struct sim_coordinator *coordinator = &sim->coordinator;
    struct dpc_event event = {.type = DPC_EVENT_TICK};
    event.tick.elapsed_ms = (uint64_t)(sim->now_ms - coordinator->ticked_ms);
    coordinator->ticked_ms = sim->now_ms;
    sim_add(sim, TICK_MS, (struct sim_event){.type = SIM_TICK, .life = coordinator->life});
    step(sim, &event, NULL);
}

void
sim_coordinator_event(struct sim *sim, const struct sim_event *event)
{
    struct sim_coordinator *coordinator = &sim->coordinator;
    if (event->type == SIM_COORDINATOR_START) {
        if (!coordinator->core)
            sim_coordinator_start(sim);
    } else if (!coordinator->core) {
        sim_mark(sim,
                 event->type == SIM_EFFECT ? SIM_MARK_EFFECT_LOST : SIM_MARK_COORDINATOR_SILENT);
    } else if (event->type == SIM_TO_COORDINATOR) {
        on_message(sim, event);
    } else if (event->type == SIM_SUBMISSION) {
        if (event->number == coordinator->life)
            on_checked(sim, event);
    } else if (event->life != coordinator->life) {
        if (event->type == SIM_EFFECT)
            sim_mark(sim, SIM_MARK_EFFECT_LOST);
    } else if (event->type == SIM_EFFECT) {
        sim_note(sim, "effect ends type=%d", ((struct sim_effect *)event->payload)->event.type);
        step(sim, &((struct sim_effect *)event->payload)->event, NULL);
    } else if (event->type == SIM_TICK) {
        on_tick(sim);
    }
}
