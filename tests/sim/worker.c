/* SPDX-License-Identifier: Apache-2.0
 * What the worker's daemon does around its session and its cache. The process may end, sleep or
 * stop at any event, and inside any operation of its disk; its memory is gone with it, its key
 * stays, and of its disk what the vfs says. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "tests/sim/sim.h"
#include "worker/compute/versions.h"

enum { PATIENCE_MS = 1000, LONG_CUT_MS = 60000 };

static int64_t
clock_of(const struct sim *sim, const struct sim_worker *worker)
{
    return sim->now_ms + worker->clock_ms;
}

static uint32_t
index_of(const struct sim *sim, const struct sim_worker *worker)
{
    return (uint32_t)(worker - sim->workers);
}

static struct sim_event
event_for(const struct sim *sim, const struct sim_worker *worker, enum sim_event_type type,
          uint32_t number)
{
    return (struct sim_event){
        .type = type, .worker = index_of(sim, worker), .life = worker->life, .number = number};
}

/* --- What the session asks for. */

static void
begin_transfer(struct sim *sim, struct sim_worker *worker, const struct dpc_session_blobs *blobs,
               bool uploads)
{
    struct sim_moves *moves = uploads ? &worker->up : &worker->down;
    moves->blobs = *blobs;
    dpc_cache_pin(worker->cache, uploads ? DPC_CACHE_HANDING_IN : DPC_CACHE_LEASE, blobs->refs,
                  blobs->count);
    sim_add(sim, sim_draw_ms(sim, sim->plan.transfer_ms),
            event_for(sim, worker, uploads ? SIM_UPLOADED : SIM_FETCHED, ++moves->number));
}

/* Differences in place of versions, where that will do. A line that breaks then may be whole again
 * only when a difference is gone. */
static void
begin_fetch(struct sim *sim, struct sim_worker *worker, const struct dpc_session_blobs *asked)
{
    struct dpc_session_blobs blobs = *asked;
    dpc_versions_choose(worker->cache, dpc_session_lease(worker->session), &blobs);
    bool chosen = memcmp(blobs.refs, asked->refs, sizeof blobs.refs) != 0;
    worker->change_gone &= blobs.whole;
    begin_transfer(sim, worker, &blobs, false);
    if (chosen && !sim_healed(sim) && sim_chance(sim, 0.3))
        sim_cut(sim, index_of(sim, worker), true, true, LONG_CUT_MS);
}

static void
begin_job(struct sim *sim, struct sim_worker *worker, const struct dpc_msg_lease *lease)
{
    if (dpc_token_equal(worker->begun, lease->token))
        sim_fail(sim, "%s trains lease %llu twice", worker->name,
                 (unsigned long long)lease->token.serial);
    worker->begun = lease->token;
    worker->lease = *lease;
    worker->cut_steps = 0;
    worker->job_before = lease->kind == DPC_TASK_TRAIN ? sim_spill_take_up(sim, worker) : 0;
    uint32_t pieces = lease->kind == DPC_TASK_TRAIN ? lease->steps_count - worker->job_before : 1;
    worker->job_begin_ms = sim->now_ms;
    worker->job_ms = 1 + (int64_t)((double)sim->plan.step_ms * pieces * worker->slowness);
    worker->job_steps =
        lease->kind == DPC_TASK_TRAIN ? lease->steps_count : lease->to - lease->from;
    sim_add(sim, worker->job_ms, event_for(sim, worker, SIM_JOB_DONE, ++worker->job));
    if (sim_chance(sim, 0.5))
        sim_add(sim, (int64_t)((double)worker->job_ms * dpc_rng_unit(&sim->rng)),
                event_for(sim, worker, SIM_SPILL, worker->job));
}

static void
cut_job(struct sim *sim, struct sim_worker *worker)
{
    uint32_t done = sim_job_steps_done(sim, worker) + 1;
    if (done >= worker->lease.steps_count)
        return;
    sim_mark(sim, SIM_MARK_CUT);
    worker->cut_steps = done;
    sim_add(sim, 1 + worker->job_ms / worker->job_steps,
            event_for(sim, worker, SIM_JOB_DONE, ++worker->job));
}

static void
close_all(struct sim_worker *worker)
{
    worker->session = dpc_session_destroy(worker->session);
    sim_transfer_close(worker);
    worker->spill = dpc_spill_destroy(worker->spill);
    worker->cache = dpc_cache_close(worker->cache);
}

static void
end_process(struct sim *sim, struct sim_worker *worker, int64_t down_ms)
{
    if (sim_disk_is_dead(worker->disk))
        sim_mark(sim, SIM_MARK_WORKER_END_IN_OPERATION);
    close_all(worker);
    if (sim_disk_end(worker->disk, !sim_healed(sim) && sim_chance(sim, 0.5)))
        sim_mark(sim, SIM_MARK_WORKER_TORN);
    worker->asleep = false;
    worker->begun = (struct dpc_token){0};
    worker->life++;
    sim_add(sim, down_ms, event_for(sim, worker, SIM_WORKER_START, 0));
}

static void
act(struct sim *sim, struct sim_worker *worker, const struct dpc_session_action *action)
{
    switch (action->type) {
    case DPC_SESSION_SEND:
        sim_note(sim, "worker %u says type=%s request=%llu", index_of(sim, worker),
                 dpc_msg_name(action->msg.type), (unsigned long long)action->msg.request);
        sim_send_up(sim, index_of(sim, worker), &action->msg);
        if (action->msg.type == DPC_MSG_GIVE_BACK) /* it may not be heard, and the lease hold on */
            worker->begun = (struct dpc_token){0};
        break;
    case DPC_SESSION_FETCH:
        begin_fetch(sim, worker, &action->blobs);
        break;
    case DPC_SESSION_PASS:
        dpc_cache_pin(worker->cache, DPC_CACHE_HANDING_IN, action->blobs.refs, action->blobs.count);
        dpc_cache_unpin(worker->cache, DPC_CACHE_LEASE);
        dpc_spill_pass(worker->spill);
        break;
    case DPC_SESSION_UPLOAD:
        begin_transfer(sim, worker, &action->blobs, true);
        break;
    case DPC_SESSION_START:
        begin_job(sim, worker, &action->lease);
        break;
    case DPC_SESSION_CUT: /* at the end of the step that is under way */
        cut_job(sim, worker);
        break;
    case DPC_SESSION_DROP: /* what was under way has another number from now on */
        worker->down.number++;
        worker->job++;
        dpc_spill_remove(worker->spill);
        dpc_cache_unpin(worker->cache, DPC_CACHE_LEASE);
        break;
    case DPC_SESSION_DROP_PASSED:
        worker->up.number++;
        dpc_spill_remove_passed(worker->spill);
        dpc_cache_unpin(worker->cache, DPC_CACHE_HANDING_IN);
        break;
    case DPC_SESSION_LOG:
        sim_note(sim, "worker %u: %s", index_of(sim, worker), action->log.text);
        break;
    case DPC_SESSION_REFUSED: /* the simulator's workers are of one class and stay so */
        sim_note(sim, "worker %u is refused", index_of(sim, worker));
        end_process(sim, worker, sim_draw_ms(sim, 10000));
        break;
    case DPC_SESSION_EXIT:
        sim_note(sim, "worker %u ends status=%d", index_of(sim, worker), action->status);
        if (dpc_session_work(worker->session) == DPC_WORK_RUNNING) {
            sim_mark(sim, SIM_MARK_LEASE_KEPT);
            sim_spill_steps(sim, worker);
        }
        end_process(sim, worker, sim_draw_ms(sim, 10000));
        break;
    case DPC_SESSION_JOIN:
        break;
    }
}

/* A failed disk is the process's end, and its service manager starts it again. */
static bool
ended_by_disk(struct sim *sim, struct sim_worker *worker)
{
    bool broken = worker->session &&
                  (dpc_cache_is_broken(worker->cache) || dpc_spill_is_broken(worker->spill));
    if (!worker->session || (!broken && !sim_disk_is_dead(worker->disk)))
        return false;
    if (broken && sim_disk_met(worker->disk) & SIM_MET_SYNC)
        sim_mark(sim, SIM_MARK_WORKER_SYNC_FAILED);
    sim_note(sim, "worker %u ends by its disk", index_of(sim, worker));
    end_process(sim, worker, sim_draw_ms(sim, 10000));
    return true;
}

/* Carries the actions out and asks for the next wake-up. */
static void
act_all(struct sim *sim, struct sim_worker *worker)
{
    if (ended_by_disk(sim, worker))
        return;
    for (uint32_t i = 0; i < sim->actions.count && worker->session; i++)
        act(sim, worker, &sim->actions.items[i]);
    if (!worker->session || ended_by_disk(sim, worker))
        return;
    int64_t wait_ms = dpc_session_wait_ms(worker->session, clock_of(sim, worker));
    sim_add(sim, wait_ms > 0 ? wait_ms : 1, event_for(sim, worker, SIM_WAKE, ++worker->wake));
}

/* --- Life. */

void
sim_worker_excuse(struct sim *sim, const struct sim_worker *worker, int code, const char *text)
{
    unsigned met = sim_disk_met(worker->disk);
    if (code == DPC_ENOSPACE)
        sim_mark(sim, SIM_MARK_WORKER_FULL);
    if (code == DPC_ECORRUPT && met & SIM_MET_FLIP)
        sim_mark(sim, SIM_MARK_WORKER_FLIP_FOUND);
    /* A result of its own that cannot be read counts as damaged (worker/blobs/cache.c). */
    if (code == DPC_ECORRUPT && met & SIM_MET_READ)
        return;
    if (code == DPC_OK || sim_disk_excuses(worker->disk, code))
        return;
    /* What it hands in beside takes room in the cache, too. */
    if (code == DPC_ENOSPACE && worker->session && dpc_session_handing_in(worker->session))
        return;
    sim_fail(sim, "worker %s failed and no fault of its disk explains why: %s", worker->name, text);
}

static bool
open_disk(struct sim *sim, struct sim_worker *worker)
{
    struct dpc_error err = {0};
    bool healed = sim_healed(sim);
    if (!worker->disk)
        worker->disk = sim_disk_create(&sim->rng);
    sim_disk_begin(worker->disk, healed ? 0 : sim->plan.worker_operations_mean,
                   healed ? 0 : sim->plan.read_failure);
    int code = dpc_cache_open(sim_disk_vfs(worker->disk), "/d/cache", sim->plan.cache_bytes,
                              &worker->cache, &err);
    if (code == DPC_OK)
        code = dpc_spill_create(sim_disk_vfs(worker->disk), "/d", &worker->spill, &err);
    if (code == DPC_OK)
        return true;
    sim_worker_excuse(sim, worker, code, err.text);
    end_process(sim, worker, sim_draw_ms(sim, 10000));
    return false;
}

void
sim_worker_start(struct sim *sim, uint32_t index)
{
    struct sim_worker *worker = &sim->workers[index];
    if (worker->session || !open_disk(sim, worker))
        return;
    sim_transfer_open(sim, worker);
    (void)snprintf(worker->name, sizeof worker->name, "w%u", index);
    memset(worker->key, (int)index + 1, sizeof worker->key);
    struct dpc_session_options options = {
        .name = worker->name,
        .build = "sim",
        .numeric_class = "sim",
        .seed = dpc_rng_u64(&sim->rng),
    };
    sim_note(sim, "worker %u starts life=%u", index, worker->life);
    worker->clock_ms = 1 + (int64_t)dpc_rng_below(&sim->rng, 100000000);
    worker->session = dpc_session_create(&options);
    dpc_session_allow_parts(worker->session,
                            &(struct dpc_session_parts){.allowed = sim->plan.elastic,
                                                        .ship_state = true,
                                                        .dense_path = UINT32_MAX});
    sim_spill_restore(sim, worker);
    dpc_session_start(worker->session, clock_of(sim, worker), &sim->actions);
    act_all(sim, worker);
}

void
sim_worker_crash(struct sim *sim, uint32_t index, int64_t down_ms)
{
    sim_note(sim, "worker %u crashes down_ms=%lld", index, (long long)down_ms);
    if (sim->workers[index].session)
        end_process(sim, &sim->workers[index], down_ms);
}

void
sim_worker_stop(struct sim *sim, uint32_t index)
{
    struct sim_worker *worker = &sim->workers[index];
    if (!worker->session || worker->asleep)
        return;
    sim_note(sim, "worker %u is told to stop", index);
    if (sim_chance(sim, 0.3))
        dpc_session_suspend(worker->session, 0, clock_of(sim, worker), &sim->actions);
    else
        dpc_session_stop(worker->session, 0, clock_of(sim, worker), &sim->actions);
    act_all(sim, worker);
}

void
sim_worker_preempt(struct sim *sim, uint32_t index, int64_t notice_ms)
{
    struct sim_worker *worker = &sim->workers[index];
    if (!worker->session || worker->asleep)
        return;
    sim_note(sim, "worker %u is preempted notice_ms=%lld", index, (long long)notice_ms);
    sim_add(sim, notice_ms, event_for(sim, worker, SIM_PREEMPTED, 0));
    sim_worker_stop(sim, index);
}

/* The life that got the notice is over either way; another may have begun meanwhile. */
static void
on_preempted(struct sim *sim, struct sim_worker *worker, const struct sim_event *event)
{
    if (event->life != worker->life) {
        sim_mark(sim, SIM_MARK_NOTICE_SUFFICED);
        return;
    }
    sim_mark(sim, SIM_MARK_NOTICE_TOO_SHORT);
    sim_worker_crash(sim, index_of(sim, worker), sim_draw_ms(sim, 30000));
}

void
sim_worker_jump(struct sim *sim, uint32_t index, int64_t by_ms)
{
    struct sim_worker *worker = &sim->workers[index];
    if (!worker->session || worker->asleep)
        return;
    sim_note(sim, "worker %u: its clock jumps by_ms=%lld", index, (long long)by_ms);
    if (dpc_session_work(worker->session) != DPC_WORK_NONE)
        sim_mark(sim, SIM_MARK_WORKER_CLOCK_JUMPED);
    worker->clock_ms += by_ms;
    sim_add(sim, 1, event_for(sim, worker, SIM_WAKE, ++worker->wake));
}

void
sim_worker_done(struct sim_worker *worker)
{
    close_all(worker);
    worker->disk = sim_disk_destroy(worker->disk);
}

/* --- What happens to it. */

/* What fails must be this side's disk or the other's: what crosses the wire was drawn before. What
 * the coordinator does not have was judged there (transfer.c). */
static int
move(struct sim *sim, struct sim_worker *worker, bool uploads, struct dpc_error *err)
{
    int code = sim_transfer(sim, worker, uploads, err);
    if (code == DPC_EHASH)
        sim_mark(sim, SIM_MARK_FLIP_STOPPED);
    if (code != DPC_OK && code != DPC_EAGAIN && code != DPC_ENOTFOUND &&
        !sim_disk_excuses(sim->coordinator.disk, code))
        sim_worker_excuse(sim, worker, code, err->text);
    return code;
}

/* What had no room would have gone back otherwise. */
static void
mark_waiting(struct sim *sim, const struct sim_worker *worker, int code)
{
    if (code == DPC_ENOSPACE && dpc_session_work(worker->session) == DPC_WORK_FETCHING)
        sim_mark(sim, SIM_MARK_WAITED_FOR_ROOM);
}

/* As the loop looks before a lease is computed. */
static bool
has_room_beside(const struct sim_worker *worker)
{
    const struct dpc_session *session = worker->session;
    return !dpc_session_handing_in(session) ||
           dpc_cache_has_room(worker->cache, dpc_session_results_bytes(session) +
                                                 dpc_versions_to_make_bytes(
                                                     worker->cache, dpc_session_lease(session)));
}

static void
on_transferred(struct sim *sim, struct sim_worker *worker, const struct sim_event *event)
{
    struct dpc_error err = {.text = "simulated"};
    bool uploads = event->type == SIM_UPLOADED;
    int code = DPC_OK;
    if (event->number != (uploads ? worker->up.number : worker->down.number))
        return;
    if (!sim->coordinator.core || worker->cut_up || worker->cut_down) {
        sim_add(sim, PATIENCE_MS, *event);
        return;
    }
    if (!sim_healed(sim) && sim_chance(sim, sim->plan.transfer_failure))
        code = sim_chance(sim, 0.5) ? DPC_ETIMEDOUT : DPC_EIO;
    else
        code = move(sim, worker, uploads, &err);
    if (code == DPC_OK && !uploads && !has_room_beside(worker))
        code = DPC_ENOSPACE;
    if (sim_coordinator_end_if_broken(sim)) {
        if (!ended_by_disk(sim, worker))
            sim_add(sim, PATIENCE_MS, *event);
        return;
    }
    if (code == DPC_EAGAIN) {
        sim_add(sim, PATIENCE_MS, *event);
        return;
    }
    if (code == DPC_OK && !uploads && worker->change_gone)
        sim_mark(sim, SIM_MARK_CHANGE_GONE);
    if (code == DPC_OK && uploads && dpc_session_work(worker->session) == DPC_WORK_RUNNING)
        sim_mark(sim, SIM_MARK_HANDED_IN_BESIDE);
    if (uploads)
        dpc_session_uploaded(worker->session, code, err.text, clock_of(sim, worker), &sim->actions);
    else
        dpc_session_fetched(worker->session, code, err.text, clock_of(sim, worker), &sim->actions);
    if (!uploads)
        mark_waiting(sim, worker, code);
    act_all(sim, worker);
}

static bool
is_too_large(const struct sim *sim, const struct sim_worker *worker,
             const struct dpc_msg_lease *lease)
{
    return sim->plan.weak && worker == &sim->workers[0] && !sim_healed(sim) &&
           lease->levels_count == sim->coordinator.experiment.levels_count;
}

static void
on_job_done(struct sim *sim, struct sim_worker *worker, const struct sim_event *event)
{
    struct dpc_error err = {.text = "simulated"};
    if (event->number != worker->job)
        return;
    struct dpc_msg_lease lease = worker->lease;
    bool cut = sim->plan.elastic && lease.kind == DPC_TASK_TRAIN && lease.steps_count > 1 &&
               !sim_healed(sim) && sim_chance(sim, 0.2);
    if (worker->cut_steps)
        lease.steps_count = worker->cut_steps;
    else if (cut)
        lease.steps_count = 1 + (uint32_t)dpc_rng_below(&sim->rng, lease.steps_count - 1);
    int code = sim_train(sim, &lease, worker, &err);
    if (cut && sim_chance(sim, 0.3)) /* no time for the state */
        worker->result.state = worker->result.kept = (struct dpc_blob_ref){.hash = dpc_hash_none};
    if (code == DPC_OK && !sim_healed(sim) && sim_chance(sim, 0.02))
        code = sim_chance(sim, 0.5) ? DPC_ECORRUPT : DPC_EIO;
    else if (code == DPC_OK && !sim_healed(sim) && sim_chance(sim, sim->plan.not_finite))
        code = DPC_ENOTFINITE;
    else if (code != DPC_ENOTFOUND)
        sim_worker_excuse(sim, worker, code, err.text);
    if (is_too_large(sim, worker, &lease)) {
        sim_mark(sim, SIM_MARK_TOO_LARGE);
        code = DPC_ELIMIT;
    }
    if (code != DPC_OK) {
        worker->begun = (struct dpc_token){0};
        dpc_session_failed(worker->session, worker->lease.token, code, err.text,
                           clock_of(sim, worker), &sim->actions);
        mark_waiting(sim, worker, code);
    } else {
        if (sim_chance(sim, 0.5))
            sim_spill_result(sim, worker);
        dpc_session_finished(worker->session, &worker->result, 1000.0 / worker->slowness,
                             clock_of(sim, worker), &sim->actions);
    }
    act_all(sim, worker);
}

static void
on_spill(struct sim *sim, struct sim_worker *worker, const struct sim_event *event)
{
    if (event->number != worker->job || dpc_session_work(worker->session) != DPC_WORK_RUNNING)
        return;
    sim_spill_steps(sim, worker);
    (void)ended_by_disk(sim, worker);
}

static void
on_wake(struct sim *sim, struct sim_worker *worker, const struct sim_event *event)
{
    if (event->number != worker->wake)
        return;
    if (dpc_session_work(worker->session) == DPC_WORK_RUNNING) {
        dpc_session_progress(worker->session, sim_job_steps_done(sim, worker),
                             1000.0 / worker->slowness);
    }
    dpc_session_tick(worker->session, clock_of(sim, worker), &sim->actions);
    act_all(sim, worker);
}

static void
on_message(struct sim *sim, struct sim_worker *worker, const struct sim_event *event)
{
    struct dpc_msg msg;
    if (!sim_decode(sim, event, &msg))
        return;
    sim_note(sim, "worker %u hears type=%s request=%llu", index_of(sim, worker),
             dpc_msg_name(msg.type), (unsigned long long)msg.request);
    if (msg.type == DPC_MSG_WELCOME && sim->plan.one_lease) /* as of an older release */
        msg.welcome.leases = 1;
    dpc_session_message(worker->session, &msg, clock_of(sim, worker), &sim->actions);
    act_all(sim, worker);
}

/* A machine that sleeps does nothing; what comes meanwhile waits in its sockets. */
static bool
waits_for_awakening(struct sim *sim, struct sim_worker *worker, struct sim_event *event)
{
    if (!worker->asleep || event->type == SIM_WORKER_AWAKE)
        return false;
    struct sim_event later = *event;
    if (event->payload) {
        later.payload = dpc_alloc(event->len, 1);
        memcpy(later.payload, event->payload, event->len);
    }
    sim_add(sim, PATIENCE_MS, later);
    return true;
}

void
sim_worker_event(struct sim *sim, const struct sim_event *event)
{
    struct sim_worker *worker = &sim->workers[event->worker];
    struct sim_event copy = *event;
    if (event->type == SIM_WORKER_START && event->life == worker->life)
        sim_worker_start(sim, event->worker);
    if (event->type == SIM_PREEMPTED)
        on_preempted(sim, worker, event);
    if (event->life != worker->life || !worker->session || waits_for_awakening(sim, worker, &copy))
        return;
    if (event->type == SIM_TO_WORKER) {
        on_message(sim, worker, event);
    } else if (event->type == SIM_WAKE) {
        on_wake(sim, worker, event);
    } else if (event->type == SIM_FETCHED || event->type == SIM_UPLOADED) {
        on_transferred(sim, worker, event);
    } else if (event->type == SIM_JOB_DONE) {
        on_job_done(sim, worker, event);
    } else if (event->type == SIM_SPILL) {
        on_spill(sim, worker, event);
    } else if (event->type == SIM_WORKER_AWAKE) {
        worker->asleep = false;
    } else if (event->type == SIM_CONNECTED && !worker->cut_up && !worker->cut_down) {
        dpc_session_connected(worker->session, clock_of(sim, worker), &sim->actions);
        act_all(sim, worker);
    }
}
