/* SPDX-License-Identifier: Apache-2.0
 *
 * Whatever workers say to the coordinator's core, in any order, between whatever the operator wants
 * and as late as the coordinator's own results like to come: the core neither crashes nor breaks a
 * promise (core_rig.c says which). What workers say is decodable, as the rest never gets there.
 *
 * The first byte of an input says which experiment it is, and whether it begins with training; then
 * steps follow of an operation, a worker and what it takes.
 */
#include <math.h>

#include "base/alloc.h"
#include "tests/fuzz/core_rig.h"
#include "tests/fuzz/fuzz.h"

enum { STEPS_MAX = 400, ARENA_BYTES = 65536, BEGINS = 64 };

struct steps {
    struct rig rig;
    struct dpc_reader in;
    uint8_t worker;
};

static uint32_t
below(struct steps *steps, uint32_t count)
{
    return dpc_reader_u8(&steps->in) % count;
}

/* --- What a worker may say. */

static const struct dpc_msg_lease *
kept_lease(struct steps *steps)
{
    const struct rig_worker *worker = &steps->rig.workers[steps->worker];
    uint32_t kept = worker->count < RIG_KEPT ? worker->count : RIG_KEPT;
    uint32_t chosen = below(steps, 16), back = chosen < RIG_KEPT ? chosen : 0;
    return back < kept ? &worker->leases[(worker->count - 1 - back) % RIG_KEPT] : NULL;
}

/* None, one of its own, or one that it makes up. */
static struct dpc_token
some_token(struct steps *steps)
{
    const struct dpc_msg_lease *lease = kept_lease(steps);
    uint32_t kind = below(steps, 16);
    if (kind == 3)
        return (struct dpc_token){0};
    if (kind == 1)
        return (struct dpc_token){RIG_INCARNATION, below(steps, 256)};
    if (kind == 2)
        return (struct dpc_token){RIG_INCARNATION + 1, lease ? lease->token.serial : 1};
    return lease ? lease->token : (struct dpc_token){0};
}

static double
some_number(struct steps *steps)
{
    static const double numbers[] = {0,     1,     0.5,  -1,       1e-300, 1e300, 1e6,
                                     1e308, 20000, -0.0, INFINITY, NAN,    3};
    return numbers[below(steps, sizeof numbers / sizeof *numbers)];
}

static uint32_t
some_count(struct steps *steps)
{
    static const uint32_t counts[] = {0, 1, 2, 3, 4, 5, 6, 40, 512, 65535, UINT32_MAX};
    return counts[below(steps, sizeof counts / sizeof *counts)];
}

/* One of the few contents that there are, so that some come twice. */
static struct dpc_blob_ref
some_blob(struct steps *steps)
{
    struct dpc_blob_ref blob = {.bytes = some_count(steps) & 0xFFFFF};
    memset(blob.hash.bytes, (int)below(steps, 4), sizeof blob.hash.bytes);
    if (dpc_hash_is_none(&blob.hash))
        blob.bytes = 0;
    return blob;
}

/* Through the wire and back; false when a coordinator would not take it. */
static bool
send(struct dpc_msg *msg)
{
    static struct dpc_msg_arena *arena;
    struct dpc_buf frame;
    struct dpc_error err;
    arena = arena ? arena : dpc_msg_arena_create(ARENA_BYTES);
    dpc_buf_init(&frame, 0);
    int code = dpc_msg_encode(msg, &frame, &err);
    if (code == DPC_OK)
        code = dpc_msg_decode(frame.data, frame.len, arena, msg, &err);
    dpc_buf_done(&frame);
    return code == DPC_OK;
}

/* --- Steps of workers. */

static void
say_hello(struct steps *steps)
{
    static const char *const classes[] = {"a", "a", "a", "a", "a", "a", "b", ""};
    struct dpc_msg msg = {.type = DPC_MSG_HELLO};
    struct dpc_event event = {.type = DPC_EVENT_HELLO, .hello.message = &msg.hello};
    msg.hello = (struct dpc_msg_hello){.protocol_min = DPC_PROTOCOL_MIN,
                                       .protocol_max = DPC_PROTOCOL_MAX,
                                       .name = "w",
                                       .build = "",
                                       .numeric_class = classes[below(steps, 8)]};
    if (below(steps, 16) == 15)
        msg.hello.protocol_min = msg.hello.protocol_max = some_count(steps);
    msg.hello.tokens_per_s = some_number(steps);
    msg.hello.token = some_token(steps);
    msg.hello.handing_in = some_token(steps);
    if (send(&msg))
        rig_step(&steps->rig, &event, steps->worker);
}

static void
ask(struct steps *steps)
{
    struct dpc_event event = {.type = DPC_EVENT_ASK};
    if (below(steps, 2))
        event.ask.handing_in = some_token(steps);
    rig_step(&steps->rig, &event, steps->worker);
}

static void
beat(struct steps *steps)
{
    struct dpc_msg msg = {.type = DPC_MSG_HEARTBEAT};
    struct dpc_event event = {.type = DPC_EVENT_HEARTBEAT, .heartbeat.message = &msg.heartbeat};
    msg.heartbeat = (struct dpc_msg_heartbeat){.token = some_token(steps),
                                               .steps_done = some_count(steps),
                                               .tokens_per_s = some_number(steps)};
    if (send(&msg))
        rig_step(&steps->rig, &event, steps->worker);
}

static void
give_back(struct steps *steps)
{
    uint32_t why = below(steps, 4);
    struct dpc_msg msg = {.type = DPC_MSG_GIVE_BACK};
    struct dpc_event event = {.type = DPC_EVENT_GIVE_BACK, .give_back.message = &msg.give_back};
    msg.give_back = (struct dpc_msg_give_back){.token = some_token(steps),
                                               .reason = "it does not work",
                                               .not_finite = why & 1,
                                               .too_large = why & 2};
    if (send(&msg))
        rig_step(&steps->rig, &event, steps->worker);
}

static void
leave(struct steps *steps)
{
    struct dpc_event event = {.type = DPC_EVENT_LEAVE};
    rig_step(&steps->rig, &event, steps->worker);
}

static void
spoil_part(struct steps *steps, struct dpc_msg_submit *submit)
{
    struct dpc_part *part = &submit->parts[below(steps, DPC_LEVELS_MAX)];
    switch (below(steps, 4)) {
    case 0:
        part->module = some_count(steps);
        break;
    case 1:
        part->delta = some_blob(steps);
        break;
    case 2:
        part->norm = some_number(steps);
        break;
    default:
        *part = submit->parts[below(steps, DPC_LEVELS_MAX)];
        break;
    }
}

static void
spoil(struct steps *steps, struct dpc_msg_submit *submit)
{
    switch (below(steps, 12)) {
    case 0:
        submit->token = some_token(steps);
        break;
    case 1:
        submit->kind = (enum dpc_task_kind)(1 + below(steps, DPC_TASK_REROUTE));
        break;
    case 2:
        submit->path = some_count(steps);
        break;
    case 3:
        submit->round = some_count(steps);
        break;
    case 4:
        submit->steps_count = some_count(steps);
        break;
    case 5:
        submit->loss = some_number(steps);
        break;
    case 6:
        submit->loss_last = some_number(steps);
        break;
    case 7:
        submit->seconds = some_number(steps);
        break;
    case 8:
        submit->parts_count = below(steps, DPC_LEVELS_MAX + 1);
        break;
    case 9:
        submit->state = some_blob(steps);
        break;
    case 10:
        submit->kept = some_blob(steps);
        submit->began = some_blob(steps).hash;
        break;
    default:
        spoil_part(steps, submit);
        break;
    }
}

/* What the server may find out about what was handed in (coordinator/check.c). */
static void
spoil_check(struct steps *steps, struct dpc_submission_check *check)
{
    switch (below(steps, 8)) {
    case 0:
        check->missing_count = 1 + below(steps, DPC_LEVELS_MAX + 2);
        for (uint32_t i = 0; i < check->missing_count; i++)
            memset(check->missing[i].bytes, 1, sizeof check->missing[i].bytes);
        break;
    case 1:
        check->damaged = true;
        check->not_finite = below(steps, 2);
        (void)snprintf(check->text, sizeof check->text, "it is damaged");
        break;
    case 2:
        check->rows = some_count(steps);
        break;
    case 3:
        check->targets = (uint64_t)some_count(steps) * some_count(steps);
        check->nats = (double)check->targets * DPC_LOSS_MAX;
        break;
    case 4:
        check->targets = 0;
        check->nats = 0;
        break;
    default:
        break;
    }
}

static void
submit_lease(struct steps *steps, const struct dpc_msg_lease *lease, uint8_t salt, uint32_t faults)
{
    static const struct dpc_submission_check nothing;
    struct rig *rig = &steps->rig;
    struct dpc_submission_check check;
    struct dpc_msg msg = {.type = DPC_MSG_SUBMIT};
    struct dpc_event event = {.type = DPC_EVENT_SUBMIT, .submit.message = &msg.submit};
    uint8_t key[DPC_WORKER_KEY_BYTES];
    rig_fill_submission(rig, lease, salt, &msg.submit, &check);
    for (uint32_t i = 0; i < faults; i++)
        spoil(steps, &msg.submit);
    if (faults)
        spoil_check(steps, &check);
    if (!send(&msg))
        return;
    rig_key(steps->worker, key);
    event.submit.check = dpc_core_expects(rig->core, key, msg.submit.token) ? &check : &nothing;
    rig_step(rig, &event, steps->worker);
}

static void
submit(struct steps *steps)
{
    const struct dpc_msg_lease *lease = kept_lease(steps);
    uint8_t how = dpc_reader_u8(&steps->in);
    if (lease)
        submit_lease(steps, lease, how >> 4 == 15 ? steps->worker : 0,
                     how % 8 == 7 ? 1 + how % 3 : 0);
}

/* --- Steps of the coordinator. */

static void
tick(struct steps *steps)
{
    static const int64_t pauses_ms[] = {10, 500, 2000, 10000, 60000, 3600000};
    struct dpc_event event = {.type = DPC_EVENT_TICK};
    int64_t pause_ms = pauses_ms[below(steps, sizeof pauses_ms / sizeof *pauses_ms)];
    event.tick.bytes_up = event.tick.bytes_down = some_count(steps);
    event.tick.elapsed_ms = (uint64_t)pause_ms;
    steps->rig.now_ms += pause_ms;
    rig_step(&steps->rig, &event, steps->worker);
}

static void
answer(struct steps *steps)
{
    uint8_t which = dpc_reader_u8(&steps->in);
    rig_answer(&steps->rig, which / 4, which % 4 == 3);
}

static void
crash(struct steps *steps)
{
    rig_crash(&steps->rig);
}

/* --- Steps of the operator. */

static void
set_standing(struct steps *steps)
{
    struct dpc_event event = {.type = DPC_EVENT_STANDING};
    event.standing = below(steps, 8) ? DPC_STANDING_GOOD : DPC_STANDING_QUARANTINED;
    rig_step(&steps->rig, &event, steps->worker);
}

static void
drain(struct steps *steps)
{
    uint32_t how = below(steps, 8);
    struct dpc_event event = {.type = DPC_EVENT_DRAIN,
                              .drain = {.drained = how == 1 || how == 3, .all = how & 2}};
    rig_step(&steps->rig, &event, steps->worker);
}

/* Older versions of one module, or of all; how many. */
static uint32_t
choose_versions(struct steps *steps, bool all, struct dpc_version_record *ret_versions)
{
    struct rig *rig = &steps->rig;
    uint32_t modules = rig_topology(rig)->modules_count;
    uint32_t only = all ? modules : below(steps, 2 * modules);
    uint32_t back = below(steps, 4), count = 0;
    for (uint32_t i = 0; i < modules; i++) {
        const struct dpc_module_record *module = dpc_core_module(rig->core, i);
        struct dpc_error err;
        if (!module || (only < modules && only != i))
            continue;
        uint32_t version = module->version > back ? module->version - back : 0;
        fuzz_require(dpc_load_version(rig->kv, i, version, &ret_versions[count++], &err) == DPC_OK,
                     "a version is on record");
    }
    return count;
}

static void
roll_back(struct steps *steps)
{
    struct dpc_version_record versions[RIG_MODULES_MAX];
    struct dpc_error err;
    struct dpc_event event = {.type = DPC_EVENT_ROLLBACK};
    if (dpc_core_check_rollback(steps->rig.core, &err) != DPC_OK)
        return;
    event.rollback.versions = versions;
    event.rollback.versions_count = choose_versions(steps, false, versions);
    rig_step(&steps->rig, &event, steps->worker);
}

/* With older versions of all modules, as by --retrain. */
static void
revoke(struct steps *steps)
{
    struct rig *rig = &steps->rig;
    struct dpc_version_record versions[RIG_MODULES_MAX];
    struct dpc_error err;
    struct dpc_event event = {.type = DPC_EVENT_REVOKE};
    if (dpc_core_check_rollback(rig->core, &err) != DPC_OK)
        return;
    struct dpc_tainted *tainted = dpc_alloc(RIG_SERIALS_MAX, sizeof *tainted);
    for (uint64_t serial = 0; serial < RIG_SERIALS_MAX; serial++) {
        struct rig_grant *grant = &rig->grants[serial];
        if (!grant->accepted || grant->worker != steps->worker || grant->kind != DPC_TASK_TRAIN)
            continue;
        grant->revoked = true;
        tainted[event.revoke.tainted_count++] =
            (struct dpc_tainted){serial, grant->path, grant->round};
    }
    event.revoke.tainted = tainted;
    event.revoke.rollback.versions = versions;
    event.revoke.rollback.versions_count = choose_versions(steps, true, versions);
    rig_step(rig, &event, steps->worker);
    dpc_free(tainted);
}

/* --- All. */

static const struct {
    void (*run)(struct steps *steps);
    uint32_t weight;
} operations[] = {
    {say_hello, 10},   {ask, 60},      {submit, 60}, {answer, 30},   {tick, 20},
    {beat, 8},         {crash, 5},     {leave, 2},   {give_back, 4}, {drain, 1},
    {set_standing, 6}, {roll_back, 1}, {revoke, 1},
};
enum { OPERATIONS = sizeof operations / sizeof *operations };

static void
run_operation(struct steps *steps)
{
    uint32_t all = 0, chosen, i = 0;
    for (uint32_t k = 0; k < OPERATIONS; k++)
        all += operations[k].weight;
    for (chosen = below(steps, all); chosen >= operations[i].weight; i++)
        chosen -= operations[i].weight;
    steps->worker = (uint8_t)below(steps, RIG_WORKERS);
    operations[i].run(steps);
}

/* One honest worker brings it to where all may train. */
static void
reach_training(struct steps *steps)
{
    struct rig *rig = &steps->rig;
    struct dpc_msg_hello hello = {.protocol_min = DPC_PROTOCOL_MIN,
                                  .protocol_max = DPC_PROTOCOL_MAX,
                                  .name = "w",
                                  .build = "",
                                  .numeric_class = "a"};
    for (uint8_t i = 0; i < RIG_WORKERS; i++) {
        struct dpc_event event = {.type = DPC_EVENT_HELLO, .hello.message = &hello};
        rig_step(rig, &event, i);
    }
    steps->worker = 0;
    for (int i = 0; i < BEGINS && dpc_core_phase(rig->core)->phase != DPC_PHASE_TRAIN; i++) {
        struct dpc_event event = {.type = DPC_EVENT_ASK};
        rig_answer(rig, 0, false);
        rig_step(rig, &event, 0);
        if (rig->actions.reply.type == DPC_MSG_LEASE) {
            struct dpc_msg_lease lease = rig->actions.reply.lease;
            submit_lease(steps, &lease, 0, 0);
        }
    }
    fuzz_require(dpc_core_phase(rig->core)->phase == DPC_PHASE_TRAIN, "it comes to training");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct steps steps;
    if (size == 0)
        return 0;
    dpc_reader_init(&steps.in, data + 1, size - 1);
    rig_start(&steps.rig, data[0] % 8);
    if (data[0] & 8)
        reach_training(&steps);
    for (int i = 0; i < STEPS_MAX && steps.in.at < steps.in.end; i++)
        run_operation(&steps);
    fuzz_accepted += steps.rig.accepted;
    rig_stop(&steps.rig);
    return 0;
}

#ifndef DPC_LIBFUZZER

enum { INPUTS = 2 * RIG_EXPERIMENTS, INPUT_BYTES = 1200 };

static void
put_hello(struct dpc_buf *out, uint8_t worker)
{
    static const uint8_t honest[] = {0, 0, 0, 0, 0, 0, 0};
    dpc_buf_put_u8(out, 0); /* the first operation */
    dpc_buf_put_u8(out, worker);
    dpc_buf_put(out, honest, sizeof honest);
}

/* Any bytes are a history; with hellos before it, much comes of it. */
static void
add_inputs(struct fuzz *fuzz)
{
    for (uint8_t i = 0; i < INPUTS; i++) {
        struct dpc_buf input;
        struct dpc_rng rng;
        dpc_buf_init(&input, 0);
        dpc_rng_init(&rng, 1, DPC_RNG_TEST, i, 2, 0);
        dpc_buf_put_u8(&input, (uint8_t)(i % RIG_EXPERIMENTS | (i / RIG_EXPERIMENTS) << 3));
        for (uint8_t worker = 0; worker < RIG_WORKERS; worker++)
            put_hello(&input, worker);
        while (input.len < INPUT_BYTES)
            dpc_buf_put_u8(&input, (uint8_t)dpc_rng_u32(&rng));
        fuzz_valid(fuzz, input.data, input.len, 0);
        dpc_buf_done(&input);
    }
}

int
main(int argc, char **argv)
{
    return fuzz_main(argc, argv, 50, add_inputs);
}

#endif
