/* SPDX-License-Identifier: Apache-2.0
 * What the server does around the core: commit, reply, effects, in this order; here the process may
 * end between any two of them, and inside any operation of its disk. The disk and the kv's data
 * outlive it. A full disk pauses it (space.c). Damage and failures of the disk end it, as they end
 * the server; then the operator brings back from a backup what was damaged, and starts it again. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/experiment.h"
#include "base/tensor_blob.h"
#include "tests/sim/sim.h"

enum { TICK_MS = 5000, CHECK_MS = 5, FULL_DISK_RETRY_MS = 2000 };

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
        code = dpc_topology_init(&coordinator->topology, &coordinator->experiment, &err);
    if (code == DPC_OK)
        code = dpc_kv_open_memory(&coordinator->kv);
    coordinator->disk = sim_disk_create(&sim->rng);
    sim_history_init(&coordinator->history);
    coordinator->history.recording = sim->plan.lies;
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
    sim_revoke_done(sim);
    dpc_core_destroy(coordinator->core);
    dpc_store_close(coordinator->store);
    dpc_kv_close(coordinator->kv);
    sim_disk_destroy(coordinator->disk);
    sim_history_done(&coordinator->history);
    dpc_actions_done(&coordinator->actions);
    dpc_topology_done(&coordinator->topology);
    dpc_verified_destroy(coordinator->verified);
    dpc_free(coordinator->yaml);
}

/* --- When the disk fails it. */

void
sim_coordinator_broke(struct sim *sim, int code, const char *text)
{
    struct sim_coordinator *coordinator = &sim->coordinator;
    if (coordinator->broken)
        return;
    coordinator->broken = code;
    (void)snprintf(coordinator->broken_text, sizeof coordinator->broken_text, "%s", text);
}

static void
mark_end(struct sim *sim, int code)
{
    unsigned met = sim_disk_met(sim->coordinator.disk);
    if (met & SIM_MET_END)
        sim_mark(sim, SIM_MARK_END_IN_OPERATION);
    else if (code == DPC_EIO && met & SIM_MET_SYNC)
        sim_mark(sim, SIM_MARK_SYNC_FAILED);
    else if (code == DPC_EIO)
        sim_mark(sim, SIM_MARK_READ_FAILED);
    else if (code == DPC_ENOSPACE)
        sim_mark(sim, SIM_MARK_FULL);
    else if (code == DPC_ECORRUPT)
        sim_mark(sim, SIM_MARK_FLIP_FOUND);
}

bool
sim_coordinator_end_if_broken(struct sim *sim)
{
    struct sim_coordinator *coordinator = &sim->coordinator;
    int code = coordinator->broken;
    if (code == DPC_OK)
        return false;
    sim_note(sim, "coordinator: %s", coordinator->broken_text);
    if (!sim_disk_excuses(coordinator->disk, code))
        sim_fail(sim, "the coordinator failed and no fault of its disk explains why: %s",
                 coordinator->broken_text);
    mark_end(sim, code);
    if (code == DPC_ECORRUPT)
        sim_disk_repair(coordinator->disk);
    sim_coordinator_crash(sim, sim_draw_ms(sim, 5000));
    return true;
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

/* False when the process must end. A write that failed may be on disk all the same: then what it
 * says has happened. */
static bool
commit(struct sim *sim)
{
    struct sim_coordinator *coordinator = &sim->coordinator;
    struct dpc_error err;
    sim_check_batch(sim, &coordinator->actions.batch);
    coordinator->history.kept = false;
    int code = dpc_store_commit(coordinator->store, &coordinator->actions.batch, &err);
    if (code == DPC_OK)
        sim_history_promise(&coordinator->history);
    else
        sim_coordinator_broke(sim, code, err.text);
    if (!coordinator->history.kept)
        return false;
    if (code != DPC_OK)
        sim_mark(sim, SIM_MARK_UNKNOWN_COMMIT);
    coordinator->state = sim_state_hash(coordinator->core);
    sim_trace(sim, &coordinator->state, sizeof coordinator->state);
    sim_trace(sim, coordinator->actions.batch.operations.data,
              coordinator->actions.batch.operations.len);
    sim_note(sim, "commit operations=%u state=%016llx", coordinator->actions.batch.count,
             (unsigned long long)coordinator->state);
    return true;
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
    if (actions->reply.type == DPC_MSG_LEASE)
        sim_shrink_lease(sim, &actions->reply.lease);
    sim_send_down(sim, from->worker, from->life, &actions->reply);
}

static void
note_forgotten(struct sim *sim, const struct dpc_event *event)
{
    const struct dpc_actions *actions = &sim->coordinator.actions;
    bool *forgotten = sim->memory->forgotten;
    if (event->type == DPC_EVENT_HELLO && actions->reply.type == DPC_MSG_WELCOME &&
        forgotten[sim_worker_of(sim, event->worker)]) {
        forgotten[sim_worker_of(sim, event->worker)] = false;
        sim_mark(sim, SIM_MARK_KNOWN_AGAIN);
    }
    if (!actions->forgotten.name[0])
        return;
    forgotten[sim_worker_of(sim, actions->forgotten.key)] = true;
    sim_note(sim, "forgotten worker=%s", actions->forgotten.name);
    sim_mark(sim, SIM_MARK_FORGOTTEN);
}

static void
carry_out(struct sim *sim, const struct dpc_event *event, const struct sim_event *from)
{
    struct sim_coordinator *coordinator = &sim->coordinator;
    struct dpc_actions *actions = &coordinator->actions;
    bool writes = actions->batch.count > 0;
    if (DPC_PLANTED(DPC_PLANTED_REPLY_FIRST))
        reply(sim, event, from);
    if (writes && crashes_here(sim, SIM_MARK_CRASH_BEFORE_COMMIT))
        return;
    if (writes && !commit(sim))
        return;
    note_forgotten(sim, event);
    sim_check_step(sim, event);
    if (coordinator->broken)
        return;
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
    struct dpc_why_worker why;
    int64_t now_ms = sim->now_ms + coordinator->clock_ms;
    bool foreseen = event->type == DPC_EVENT_ASK;
    if (foreseen)
        dpc_core_why_worker(coordinator->core, event->worker, now_ms, &why);
    dpc_core_step(coordinator->core, event, now_ms, &coordinator->actions);
    if (foreseen)
        sim_check_why(sim, event, now_ms, &why);
    carry_out(sim, event, from);
    if (!sim_coordinator_end_if_broken(sim) && coordinator->core && coordinator->life == life)
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
sim_coordinator_jump(struct sim *sim, int64_t by_ms)
{
    struct sim_coordinator *coordinator = &sim->coordinator;
    if (!coordinator->core)
        return;
    sim_note(sim, "coordinator: its clock jumps by_ms=%lld", (long long)by_ms);
    if (dpc_core_leases_count(coordinator->core) > 0)
        sim_mark(sim, SIM_MARK_CLOCK_JUMPED);
    coordinator->clock_ms += by_ms;
    coordinator->ticked_ms -= by_ms;
}

/* A disk that lied must be found out here, and an honest one must not be taken for one. */
static bool
judge_opening(struct sim *sim, int code, const char *text)
{
    struct sim_coordinator *coordinator = &sim->coordinator;
    if (coordinator->lied && code == DPC_OK)
        sim_fail(sim, "a store that had lost acknowledged writes was opened");
    if (coordinator->lied && code == DPC_ECORRUPT) {
        sim_note(sim, "refused: %s", text);
        sim_mark(sim, SIM_MARK_LOST_WRITES_REFUSED);
        sim_history_restore(&coordinator->history, coordinator->kv);
        coordinator->lied = false;
        sim_coordinator_crash(sim, sim_draw_ms(sim, 5000));
        return false;
    }
    if (code == DPC_OK)
        return true;
    if (sim_disk_is_dead(coordinator->disk))
        sim_mark(sim, SIM_MARK_END_AT_OPENING);
    sim_coordinator_broke(sim, code, text);
    return !sim_coordinator_end_if_broken(sim);
}

static bool
open_store(struct sim *sim)
{
    struct sim_coordinator *coordinator = &sim->coordinator;
    struct dpc_error err = {0};
    bool healed = sim_healed(sim);
    sim_disk_begin(coordinator->disk, healed ? 0 : sim->plan.operations_mean,
                   healed ? 0 : sim->plan.read_failure);
    struct dpc_kv *kv = sim_kv_open(coordinator->disk, coordinator->kv, &coordinator->history);
    int code = dpc_store_open_over(kv, sim_disk_vfs(coordinator->disk), "/d/store",
                                   SIM_INLINE_BYTES_MAX, &coordinator->store, &err);
    if (code == DPC_OK)
        dpc_store_set_reserve(coordinator->store, DPC_STORE_RESERVE_BYTES / 2);
    return judge_opening(sim, code, err.text);
}

static bool
create_core(struct sim *sim)
{
    struct sim_coordinator *coordinator = &sim->coordinator;
    struct dpc_error err = {0};
    struct dpc_core_options options = {.incarnation = 77,
                                       .heartbeat_ms = SIM_HEARTBEAT_MS,
                                       .workers_max = sim->plan.known,
                                       .experiment_yaml = coordinator->yaml,
                                       .bulk_endpoint = "tcp://*:1"};
    int code = dpc_core_create(&coordinator->experiment, &options, dpc_store_kv(coordinator->store),
                               sim->now_ms + coordinator->clock_ms, &coordinator->core, &err);
    if (code == DPC_OK)
        return true;
    sim_coordinator_broke(sim, code, err.text);
    sim_coordinator_end_if_broken(sim);
    return false;
}

/* What the new process finds is what the old ones had put there. */
static void
check_rebuilt(struct sim *sim)
{
    struct sim_coordinator *coordinator = &sim->coordinator;
    uint64_t state = sim_state_hash(coordinator->core);
    if (coordinator->begun && state != coordinator->state)
        sim_fail(sim, "the rebuilt core differs from what was committed");
    coordinator->begun = true;
    coordinator->state = state;
    sim_check_disk(sim);
    sim_check_blobs(sim);
    sim_check_forks(sim);
}

static void
connect_workers(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->plan.workers; i++) {
        if (sim_healed(sim) || sim_chance(sim, 0.8))
            sim_add(sim, sim_draw_ms(sim, 300),
                    (struct sim_event){
                        .type = SIM_CONNECTED, .worker = i, .life = sim->workers[i].life});
    }
}

void
sim_coordinator_start(struct sim *sim)
{
    struct sim_coordinator *coordinator = &sim->coordinator;
    coordinator->life++;
    dpc_verified_destroy(coordinator->verified);
    coordinator->verified = dpc_verified_create(SIM_VERIFIED_MAX);
    set_clock(sim);
    sim_note(sim, "coordinator starts life=%u", coordinator->life);
    if (!open_store(sim) || !create_core(sim))
        return;
    check_rebuilt(sim);
    coordinator->horizon = dpc_store_touches(coordinator->store); /* a new one has touched none */
    coordinator->ticked_ms = sim->now_ms;
    sim_add(sim, TICK_MS, (struct sim_event){.type = SIM_TICK, .life = coordinator->life});
    dpc_core_resume(coordinator->core, &coordinator->actions);
    carry_out(sim, &(struct dpc_event){0}, NULL);
    if (sim_coordinator_end_if_broken(sim))
        return;
    if (coordinator->core)
        dpc_actions_reset(&coordinator->actions);
    connect_workers(sim);
}

/* The machine may go down with the process, and its disk may turn out to have lied. */
static void
end_disk(struct sim *sim)
{
    struct sim_coordinator *coordinator = &sim->coordinator;
    bool power_lost = !sim_healed(sim) && sim_chance(sim, 0.5);
    if (power_lost)
        sim_mark(sim, SIM_MARK_POWER_LOST);
    if (sim_disk_end(coordinator->disk, power_lost))
        sim_mark(sim, SIM_MARK_TORN);
    if (power_lost && sim->plan.lies && !coordinator->lied && sim_chance(sim, 0.2))
        coordinator->lied = sim_history_lose(&coordinator->history, coordinator->kv);
}

void
sim_coordinator_crash(struct sim *sim, int64_t down_ms)
{
    struct sim_coordinator *coordinator = &sim->coordinator;
    sim_note(sim, "coordinator ends down_ms=%lld", (long long)down_ms);
    coordinator->core = dpc_core_destroy(coordinator->core);
    coordinator->store = dpc_store_close(coordinator->store);
    coordinator->broken = DPC_OK;
    coordinator->paused = false;
    dpc_actions_reset(&coordinator->actions);
    end_disk(sim);
    sim_add(sim, down_ms, (struct sim_event){.type = SIM_COORDINATOR_START});
}

/* --- What comes in. */

/* One row a document. Losses are few and depend on all that the lease named, so that rounds differ
 * and some are equally good. */
static void
read_rows(struct sim *sim, const struct dpc_hash *result, struct dpc_submission_check *check)
{
    uint8_t *bytes;
    size_t len;
    struct dpc_error err;
    if (dpc_store_blob_load(sim->coordinator.store, result, &bytes, &len, &err) != DPC_OK)
        return;
    if (len > sizeof check->rows) {
        memcpy(&check->rows, bytes, sizeof check->rows);
        check->targets = 10 * (uint64_t)check->rows;
        check->nats = (double)check->targets * (1 + 0.125 * (bytes[sizeof check->rows] & 7));
    }
    dpc_free(bytes);
}

static void
note_if_missing(struct sim *sim, const struct dpc_hash *hash, struct dpc_submission_check *check)
{
    if (!dpc_hash_is_none(hash) && !sim_has_blob(sim, hash))
        check->missing[check->missing_count++] = *hash;
}

/* NULL: it is none, or damaged here, which is no fault of the worker's. */
static uint8_t *
look_into(struct sim *sim, const struct dpc_hash *hash, size_t *ret_len)
{
    uint8_t *bytes;
    struct dpc_error err;
    if (dpc_hash_is_none(hash) || sim->coordinator.broken)
        return NULL;
    int code = dpc_store_blob_load(sim->coordinator.store, hash, &bytes, ret_len, &err);
    if (code == DPC_OK)
        return bytes;
    sim_coordinator_broke(sim, code, err.text);
    return NULL;
}

/* In the form that the experiment asks for, as the server's check does. */
static void
check_delta(struct sim *sim, const struct dpc_part *part)
{
    struct dpc_error err;
    enum dpc_codec codec, asked = dpc_topology_upload(&sim->coordinator.topology, part->module);
    size_t len;
    uint8_t *bytes = look_into(sim, &part->delta.hash, &len);
    if (!bytes)
        return;
    if (dpc_tensor_blob_read_header(bytes, len, SIM_FLOATS, &codec, &err) != DPC_OK)
        sim_fail(sim, "a delta of module %u is none: %s", part->module, err.text);
    else if (codec != asked)
        sim_fail(sim, "a delta of module %u came in form %d instead of %d", part->module,
                 (int)codec, (int)asked);
    dpc_free(bytes);
}

/* A machine that computes wrong would change the outcome; one that does so only where its work
 * comes second, as this one, must be noticed and changes nothing. */
static bool
tamper(struct sim *sim, struct dpc_msg_submit *submit)
{
    const struct dpc_core *core = sim->coordinator.core;
    if (submit->kind != DPC_TASK_TRAIN || sim_healed(sim) ||
        dpc_core_path(core, submit->path)->rounds_done <= submit->round ||
        !sim_chance(sim, sim_is_audit(sim, submit) ? 0.6 : 0.3))
        return false;
    /* Each lie is another one: two that agree would convict the honest. */
    uint32_t lie = ++sim->memory->lies;
    for (uint32_t i = 0; i < sizeof lie; i++)
        submit->parts[0].delta.hash.bytes[5 + i] ^= (uint8_t)(lie >> 8 * i);
    return true;
}

/* --- Without room what would commit is asked for again later, as in coordinator/rpc.c. */

static void
send_down(struct sim *sim, const struct sim_event *from, struct dpc_msg *reply)
{
    reply->request = from->request;
    sim_send_down(sim, from->worker, from->life, reply);
}

static void
reply_again_with_room(struct sim *sim, const struct sim_event *from)
{
    struct dpc_msg reply = {.type = DPC_MSG_ERROR};
    reply.error.code = DPC_EAGAIN;
    reply.error.text = "the disk is full";
    send_down(sim, from, &reply);
}

static void
note_alive(struct sim *sim, const struct sim_event *from, const struct dpc_msg_submit *submit)
{
    struct dpc_msg_heartbeat beat = {.token = submit->token, .steps_done = submit->steps_count};
    struct dpc_event event = {.type = DPC_EVENT_HEARTBEAT};
    memcpy(event.worker, sim->workers[from->worker].key, sizeof event.worker);
    event.heartbeat.message = &beat;
    step(sim, &event, NULL);
}

static void
put_off(struct sim *sim, const struct sim_event *from, const struct dpc_msg *msg)
{
    struct dpc_msg wait = {.type = DPC_MSG_WAIT};
    if (msg->type == DPC_MSG_SUBMIT)
        note_alive(sim, from, &msg->submit);
    if (msg->type != DPC_MSG_ASK) {
        reply_again_with_room(sim, from);
        return;
    }
    wait.wait.retry_ms = FULL_DISK_RETRY_MS;
    wait.wait.reason = "the disk is full";
    send_down(sim, from, &wait);
}

static void
on_checked(struct sim *sim, const struct sim_event *from)
{
    struct dpc_submission_check check = {0};
    struct dpc_msg_submit *submit = from->payload;
    size_t len;
    sim->coordinator.tampered = tamper(sim, submit);
    struct dpc_event event = {.type = DPC_EVENT_SUBMIT};
    memcpy(event.worker, sim->workers[from->worker].key, sizeof event.worker);
    for (uint32_t i = 0; i < submit->parts_count; i++)
        note_if_missing(sim, &submit->parts[i].delta.hash, &check);
    note_if_missing(sim, &submit->state.hash, &check);
    note_if_missing(sim, &submit->result.hash, &check);
    for (uint32_t i = 0; i < submit->parts_count && !check.missing_count; i++)
        check_delta(sim, &submit->parts[i]);
    if (!check.missing_count)
        dpc_free(look_into(sim, &submit->state.hash, &len));
    if (sim_coordinator_end_if_broken(sim))
        return;
    if (!sim_has_room(sim)) {
        reply_again_with_room(sim, from);
        return;
    }
    if (!check.missing_count && submit->kind != DPC_TASK_TRAIN)
        read_rows(sim, &submit->result.hash, &check);
    event.submit.message = submit;
    event.submit.check = &check;
    step(sim, &event, from);
}

static void
hide_handing_in(struct dpc_msg *msg)
{
    if (msg->type == DPC_MSG_HELLO)
        msg->hello.handing_in = (struct dpc_token){0};
    else if (msg->type == DPC_MSG_ASK)
        msg->ask.handing_in = (struct dpc_token){0};
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
    if (msg.type != DPC_MSG_HEARTBEAT && !sim_has_room(sim)) {
        put_off(sim, &sender, &msg);
        return;
    }
    if (msg.type == DPC_MSG_SUBMIT) { /* its check runs beside the loop */
        sender.type = SIM_SUBMISSION;
        sender.number = sim->coordinator.life;
        sender.payload = dpc_alloc(1, sizeof msg.submit);
        sim_grow_submission(sim, &msg.submit);
        memcpy(sender.payload, &msg.submit, sizeof msg.submit);
        sim_add(sim, sim_draw_ms(sim, CHECK_MS), sender);
        return;
    }
    struct dpc_event event = {.type = event_of[msg.type]};
    memcpy(event.worker, sim->workers[from->worker].key, sizeof event.worker);
    if (sim->plan.one_lease) /* as of an older release, which reads neither */
        hide_handing_in(&msg);
    if (msg.type == DPC_MSG_HELLO)
        event.hello.message = &msg.hello;
    else if (msg.type == DPC_MSG_ASK)
        event.ask = msg.ask;
    else if (msg.type == DPC_MSG_HEARTBEAT)
        event.heartbeat.message = &msg.heartbeat;
    else if (msg.type == DPC_MSG_GIVE_BACK)
        event.give_back.message = &msg.give_back;
    step(sim, &event, &sender);
}

/* What fails wherever it is tried is let alone until a person looks, and starts the coordinator
 * again. True: it ends. */
static bool
operator_looks(struct sim *sim)
{
    const struct dpc_core *core = sim->coordinator.core;
    uint32_t path, tries;
    if (!dpc_core_failure(core, &path, &tries))
        return false;
    sim_mark(sim, SIM_MARK_LET_ALONE);
    if (!sim_healed(sim) && !sim_chance(sim, 0.1))
        return false;
    sim_note(sim, "the operator sees that path %u fails everywhere", path);
    sim_coordinator_crash(sim, sim_draw_ms(sim, 5000));
    return true;
}

/* Its blobs were there a moment ago, and the question has touched them: a sweep spares them. */
static void
operator_rolls_back(struct sim *sim)
{
    struct sim_coordinator *coordinator = &sim->coordinator;
    struct dpc_version_record versions[SIM_MODULES_MAX];
    struct dpc_event event = {.type = DPC_EVENT_ROLLBACK};
    if (!sim_draw_rollback(sim, versions, &event.rollback.versions_count))
        return;
    event.rollback.versions = versions;
    coordinator->rollbacks++;
    step(sim, &event, NULL);
}

static void
operator_revokes(struct sim *sim)
{
    struct sim_coordinator *coordinator = &sim->coordinator;
    struct dpc_event event;
    uint32_t life = coordinator->life;
    while (coordinator->core && coordinator->life == life && !sim->failure[0] &&
           sim_next_revoke(sim, &event))
        step(sim, &event, NULL);
    (void)sim_coordinator_end_if_broken(sim);
}

static void
operator_bars(struct sim *sim)
{
    struct dpc_event event = {0};
    if (sim_draw_standing(sim, &event))
        step(sim, &event, NULL);
}

static void
operator_drains(struct sim *sim)
{
    struct dpc_event event = {0};
    if (sim_draw_drain(sim, &event))
        step(sim, &event, NULL);
}

static void
on_tick(struct sim *sim)
{
    struct sim_coordinator *coordinator = &sim->coordinator;
    struct dpc_event event = {.type = DPC_EVENT_TICK};
    event.tick.elapsed_ms = (uint64_t)(sim->now_ms - coordinator->ticked_ms);
    coordinator->ticked_ms = sim->now_ms;
    sim_add(sim, TICK_MS, (struct sim_event){.type = SIM_TICK, .life = coordinator->life});
    /* In elastic mode it may commit. */
    if (!sim->plan.elastic || sim_has_room(sim))
        step(sim, &event, NULL);
    if (coordinator->core)
        operator_rolls_back(sim);
    if (coordinator->core)
        operator_revokes(sim);
    if (coordinator->core)
        operator_bars(sim);
    if (coordinator->core)
        operator_drains(sim);
    if (coordinator->core && !operator_looks(sim))
        sim_sweep(sim);
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
        if (!sim_effect_is_done(sim, event))
            return;
        sim_note(sim, "effect ends type=%d", ((struct sim_effect *)event->payload)->event.type);
        step(sim, &((struct sim_effect *)event->payload)->event, NULL);
    } else if (event->type == SIM_TICK) {
        on_tick(sim);
    }
}
