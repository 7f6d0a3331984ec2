/* SPDX-License-Identifier: Apache-2.0
 * A queue of what workers do next, in virtual time; only dpc_core_step is timed. One worker in a
 * hundred falls silent with its lease and comes back much later, so that backups are granted, too.
 */
#include "tests/sim/scale.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "coordinator/core/state.h"
#include "tests/sim/sim.h"

enum {
    HEARTBEAT_MS = 10000,
    LEASE_MS = 30000,
    WAIT_MS = 5000,
    EFFECT_MS = 1000,
    VANISHED_MS = 300000,
    DOCUMENTS = 2000000,
    TEST_DOCUMENTS = 32, /* of a path: one lease evaluates it */
    STEP_P99_US = 100,
    RESTART_S = 30,
    MEMORY_MIB = 1024,
    COPY_BATCH = 1000,
};

enum kind { KIND_ASK, KIND_HEARTBEAT, KIND_SUBMIT, KIND_EFFECT, KINDS };
static const char *const kind_names[] = {"ask", "heartbeat", "submit", "effect"};

struct crew {
    uint8_t key[DPC_WORKER_KEY_BYTES];
    bool holds;
    struct dpc_msg_lease lease;
    int64_t done_ms;
};

struct times {
    uint64_t count, capacity;
    uint32_t *ns;
};

struct scale {
    struct sim_scale_options options;
    struct dpc_experiment experiment;
    struct dpc_kv *kv;
    struct dpc_core *core;
    struct dpc_core_options core_options;
    struct dpc_actions actions;
    struct dpc_rng rng;
    struct sim_queue queue;
    int64_t now_ms;
    struct crew *crew;
    struct dpc_shard *shards;
    struct times times[KINDS], all;
    double restart_s;
    uint64_t leases, backups;
    bool restarted;
    const char *failure;
};

static void
fail(struct scale *scale, const char *why)
{
    if (!scale->failure)
        scale->failure = why;
}

static double
seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static struct dpc_hash
hash_of(uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t words[3] = {a, b, c};
    struct dpc_hash hash;
    dpc_hash_of(words, sizeof words, &hash);
    return hash;
}

/* --- Figures. */

static void
add_time(struct times *times, double s)
{
    if (times->count == times->capacity) {
        times->capacity = times->capacity ? 2 * times->capacity : 4096;
        times->ns = dpc_grow(times->ns, times->capacity, sizeof *times->ns);
    }
    times->ns[times->count++] = s < 4 ? (uint32_t)(1e9 * s) : UINT32_MAX;
}

static int
compare_ns(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double
quantile_us(const struct times *times, double share)
{
    if (times->count == 0)
        return 0;
    return 1e-3 * times->ns[(uint64_t)(share * (double)(times->count - 1))];
}

static void
print_times(const char *name, struct times *times)
{
    qsort(times->ns, times->count, sizeof *times->ns, compare_ns);
    printf("\"%s\": {\"count\": %" PRIu64 ", \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": "
           "%.1f}, ",
           name, times->count, quantile_us(times, 0.5), quantile_us(times, 0.99),
           quantile_us(times, 1));
}

static long
memory_mib(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? usage.ru_maxrss / 1024 : -1;
}

/* --- The coordinator. */

static void
add(struct scale *scale, int64_t delay_ms, enum sim_event_type type, uint32_t worker, void *payload)
{
    sim_queue_add(&scale->queue, (struct sim_event){.at_ms = scale->now_ms + delay_ms,
                                                    .type = type,
                                                    .worker = worker,
                                                    .payload = payload});
}

static int64_t
draw_ms(struct scale *scale, int64_t mean_ms)
{
    return 1 + (int64_t)(-(double)mean_ms * log(1 - dpc_rng_unit(&scale->rng)));
}

static void
answer_effect(struct scale *scale, const struct dpc_effect *effect, struct dpc_event *event)
{
    static const enum dpc_event_type event_of[] = {
        [DPC_EFFECT_PREPARE] = DPC_EVENT_PREPARED,
        [DPC_EFFECT_SHARD] = DPC_EVENT_SHARDED,
        [DPC_EFFECT_FOLD] = DPC_EVENT_FOLDED,
        [DPC_EFFECT_REPORT] = DPC_EVENT_REPORTED,
    };
    const struct dpc_fold *fold = &effect->fold;
    event->type = event_of[effect->type];
    if (event->type == DPC_EVENT_PREPARED) {
        event->prepared.documents = DOCUMENTS;
        event->prepared.modules[0] = hash_of(1, 0, 0);
        event->prepared.modules[1] = hash_of(1, 1, 0);
        event->prepared.train = (struct dpc_blob_ref){hash_of(2, 0, 0), 100};
        event->prepared.test_documents = TEST_DOCUMENTS;
    } else if (event->type == DPC_EVENT_SHARDED) {
        event->sharded.router = hash_of(3, 0, 0);
        event->sharded.paths_count = scale->options.side * scale->options.side;
        event->sharded.paths = scale->shards;
    } else if (event->type == DPC_EVENT_FOLDED) {
        struct dpc_hash made = hash_of(4, fold->module, fold->version);
        event->folded = (struct dpc_folded){
            .module = fold->module,
            .version = fold->version,
            .master = made,
            .published = made,
            .momentum = made,
        };
    }
}

static void
carry_out(struct scale *scale)
{
    struct dpc_error err;
    struct dpc_actions *actions = &scale->actions;
    if (actions->batch.count > 0 &&
        scale->kv->ops->write(scale->kv, &actions->batch, &err) != DPC_OK)
        fail(scale, "a batch was not written");
    for (uint32_t i = 0; i < actions->effects_count; i++) {
        struct dpc_event *event = dpc_alloc(1, sizeof *event);
        answer_effect(scale, &actions->effects[i], event);
        add(scale, draw_ms(scale, EFFECT_MS), SIM_EFFECT, 0, event);
    }
}

static void
step(struct scale *scale, enum kind kind, const struct dpc_event *event)
{
    dpc_actions_reset(&scale->actions);
    double begin = seconds();
    dpc_core_step(scale->core, event, scale->now_ms, &scale->actions);
    double took = seconds() - begin;
    add_time(&scale->times[kind], took);
    add_time(&scale->all, took);
    carry_out(scale);
}

/* --- Workers. */

static void
say(struct scale *scale, uint32_t worker, enum kind kind, struct dpc_event *event)
{
    memcpy(event->worker, scale->crew[worker].key, sizeof event->worker);
    step(scale, kind, event);
}

static void
hello(struct scale *scale, uint32_t worker)
{
    struct dpc_msg_hello message = {.protocol_min = DPC_PROTOCOL_MIN,
                                    .protocol_max = DPC_PROTOCOL_MAX,
                                    .name = "worker",
                                    .build = "scale",
                                    .numeric_class = "scale"};
    struct dpc_event event = {.type = DPC_EVENT_HELLO, .hello.message = &message};
    scale->crew[worker].holds = false;
    say(scale, worker, KIND_ASK, &event);
    add(scale, draw_ms(scale, 100), SIM_WAKE, worker, NULL);
}

static void
take_lease(struct scale *scale, uint32_t worker, const struct dpc_msg_lease *lease)
{
    struct crew *crew = &scale->crew[worker];
    crew->lease = *lease;
    crew->holds = true;
    crew->done_ms = scale->now_ms + draw_ms(scale, LEASE_MS);
    scale->leases++;
    if (dpc_rng_below(&scale->rng, 100) == 0)
        add(scale, draw_ms(scale, VANISHED_MS), SIM_WORKER_START, worker, NULL);
    else
        add(scale, HEARTBEAT_MS, SIM_WAKE, worker, NULL);
}

static void
ask(struct scale *scale, uint32_t worker)
{
    struct dpc_event event = {.type = DPC_EVENT_ASK};
    say(scale, worker, KIND_ASK, &event);
    if (scale->actions.has_reply && scale->actions.reply.type == DPC_MSG_LEASE)
        take_lease(scale, worker, &scale->actions.reply.lease);
    else
        add(scale, draw_ms(scale, WAIT_MS), SIM_WAKE, worker, NULL);
}

static void
submit(struct scale *scale, uint32_t worker)
{
    const struct dpc_msg_lease *lease = &scale->crew[worker].lease;
    struct dpc_submission_check check = {.rows = lease->to - lease->from};
    struct dpc_msg_submit message = {.token = lease->token,
                                     .kind = lease->kind,
                                     .path = lease->path,
                                     .round = lease->round,
                                     .steps_count = lease->steps_count,
                                     .seconds = 0.001 * LEASE_MS};
    struct dpc_event event = {.type = DPC_EVENT_SUBMIT};
    message.parts_count = lease->kind == DPC_TASK_TRAIN ? lease->levels_count : 0;
    for (uint32_t i = 0; i < message.parts_count; i++) {
        message.parts[i].module = lease->modules[i];
        message.parts[i].delta.hash = hash_of(5 + i, lease->path, lease->round);
        message.parts[i].delta.bytes = lease->versions[i].bytes;
    }
    message.state = (struct dpc_blob_ref){hash_of(9, lease->path, lease->round), 100};
    message.result = message.state;
    event.submit.message = &message;
    event.submit.check = &check;
    say(scale, worker, KIND_SUBMIT, &event);
    if (scale->actions.reply.verdict.verdict == DPC_VERDICT_SUPERSEDED)
        scale->backups++;
    scale->crew[worker].holds = false;
    add(scale, 1, SIM_WAKE, worker, NULL);
}

static void
beat(struct scale *scale, uint32_t worker)
{
    struct dpc_msg_heartbeat message = {.token = scale->crew[worker].lease.token, .steps_done = 1};
    struct dpc_event event = {.type = DPC_EVENT_HEARTBEAT, .heartbeat.message = &message};
    say(scale, worker, KIND_HEARTBEAT, &event);
    if (scale->actions.reply.verdict.verdict != DPC_VERDICT_CONTINUE)
        scale->crew[worker].holds = false;
    int64_t left_ms = scale->crew[worker].done_ms - scale->now_ms;
    add(scale, left_ms < HEARTBEAT_MS ? left_ms : HEARTBEAT_MS, SIM_WAKE, worker, NULL);
}

static void
wake(struct scale *scale, uint32_t worker)
{
    const struct crew *crew = &scale->crew[worker];
    if (!crew->holds)
        ask(scale, worker);
    else if (crew->done_ms <= scale->now_ms)
        submit(scale, worker);
    else
        beat(scale, worker);
}

/* A worker that was silent had lost its line, or its process. */
static void
come_back(struct scale *scale, uint32_t worker)
{
    if (scale->crew[worker].holds && dpc_rng_below(&scale->rng, 2))
        submit(scale, worker);
    else
        hello(scale, worker);
}

/* --- Restart. */

struct copying {
    struct dpc_kv *to;
    struct dpc_kv_batch batch;
    enum dpc_kv_family family;
    int code;
};

static void
flush(struct copying *copying)
{
    struct dpc_error err;
    if (copying->code == DPC_OK)
        copying->code = copying->to->ops->write(copying->to, &copying->batch, &err);
    dpc_kv_batch_reset(&copying->batch);
}

static bool
copy_record(void *context, const uint8_t *key, size_t key_len, const uint8_t *value,
            size_t value_len)
{
    struct copying *copying = context;
    dpc_kv_batch_put(&copying->batch, copying->family, key, key_len, value, value_len);
    if (copying->batch.count == COPY_BATCH)
        flush(copying);
    return copying->code == DPC_OK;
}

static int
copy_all(struct dpc_kv *from, struct dpc_kv *to)
{
    struct dpc_error err;
    struct copying copying = {.to = to};
    dpc_kv_batch_init(&copying.batch);
    for (int family = 0; family < DPC_KV_FAMILIES && copying.code == DPC_OK; family++) {
        copying.family = family;
        int code = from->ops->scan(from, family, "", 0, NULL, 0, copy_record, &copying, &err);
        if (copying.code == DPC_OK)
            copying.code = code;
    }
    flush(&copying);
    dpc_kv_batch_done(&copying.batch);
    return copying.code;
}

/* From opening the database to a core that goes on. */
static void
time_opening(struct scale *scale, const char *folder)
{
    struct dpc_error err = {0};
    struct dpc_kv *kv = NULL;
    struct dpc_core *core = NULL;
    double begin = seconds();
    int code = dpc_kv_open_rocks(folder, DPC_KV_READ_WRITE, &kv, &err);
    if (code == DPC_OK)
        code = dpc_core_create(&scale->experiment, &scale->core_options, kv, scale->now_ms, &core,
                               &err);
    if (code == DPC_OK) {
        dpc_actions_reset(&scale->actions);
        dpc_core_resume(core, &scale->actions);
        scale->restart_s = seconds() - begin;
        if (sim_state_hash(core) != sim_state_hash(scale->core))
            fail(scale, "the rebuilt core differs from what was committed");
        dpc_actions_reset(&scale->actions);
    } else {
        fail(scale, "the core could not be rebuilt");
    }
    dpc_core_destroy(core);
    dpc_kv_close(kv);
}

static void
remove_folder(const char *folder)
{
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (system(command) != 0)
        fprintf(stderr, "could not remove %s\n", folder);
}

static void
restart(struct scale *scale)
{
    char folder[] = "/tmp/sim-scale-XXXXXX";
    struct dpc_error err = {0};
    struct dpc_kv *kv = NULL;
    if (!mkdtemp(folder)) {
        fail(scale, "no folder for a database");
        return;
    }
    int code = dpc_kv_open_rocks(folder, DPC_KV_READ_WRITE, &kv, &err);
    if (code == DPC_OK)
        code = copy_all(scale->kv, kv);
    dpc_kv_close(kv);
    if (code == DPC_OK)
        time_opening(scale, folder);
    else
        fail(scale, "the records could not be copied");
    remove_folder(folder);
}

/* In the middle of the last round, when nearly everything is there that ever will be. */
static bool
restart_is_due(const struct scale *scale)
{
    uint32_t paths = scale->options.side * scale->options.side;
    return !scale->restarted && dpc_core_phase(scale->core)->phase == DPC_PHASE_TRAIN &&
           scale->times[KIND_SUBMIT].count >
               DOCUMENTS / DPC_DOCUMENTS_PER_LEASE_MAX + paths * (scale->options.rounds - 0.5);
}

/* --- A run. */

static int
begin(struct scale *scale)
{
    struct dpc_error err = {0};
    struct dpc_buf yaml;
    uint32_t paths = scale->options.side * scale->options.side;
    dpc_buf_init(&yaml, 0);
    dpc_buf_printf(&yaml,
                   "experiment: scale\ndata: {corpus: corpus}\n"
                   "model: {dim: 16, heads: 2, ffn: 32, context: 32}\nrouting: {prefix: 8}\n"
                   "levels:\n"
                   "  - {name: lower, parts: [embedding, {blocks: 1}], modules: %u}\n"
                   "  - {name: upper, parts: [{blocks: 1}, head], modules: %u}\n"
                   "inner: {steps: 4, batch: 2}\nouter: {rounds: %u}\n"
                   "warm_start: {steps: 4}\n",
                   scale->options.side, scale->options.side, scale->options.rounds);
    int code =
        dpc_experiment_parse("scale", dpc_buf_text(&yaml), yaml.len, &scale->experiment, &err);
    dpc_buf_done(&yaml);
    scale->shards = dpc_alloc(paths, sizeof *scale->shards);
    for (uint32_t i = 0; i < paths; i++)
        scale->shards[i] = (struct dpc_shard){.train = {hash_of(7, i, 0), 100},
                                              .test = {hash_of(8, i, 0), 100},
                                              .train_documents = 100 + i % 7,
                                              .train_tokens = 10000,
                                              .test_documents = TEST_DOCUMENTS};
    scale->crew = dpc_alloc(scale->options.workers, sizeof *scale->crew);
    for (uint32_t i = 0; i < scale->options.workers; i++)
        memcpy(scale->crew[i].key, hash_of(10, i, 0).bytes, DPC_WORKER_KEY_BYTES);
    dpc_rng_init(&scale->rng, 1, DPC_RNG_TEST, 9, 0, 0);
    dpc_actions_init(&scale->actions);
    if (code == DPC_OK)
        code = dpc_kv_open_memory(&scale->kv);
    scale->core_options = (struct dpc_core_options){.incarnation = 7,
                                                    .workers_max = DPC_WORKERS_MAX,
                                                    .heartbeat_ms = HEARTBEAT_MS,
                                                    .experiment_yaml = "yaml",
                                                    .bulk_endpoint = "tcp://*:1"};
    if (code == DPC_OK)
        code = dpc_core_create(&scale->experiment, &scale->core_options, scale->kv, 0, &scale->core,
                               &err);
    if (code != DPC_OK)
        fprintf(stderr, "%s\n", err.text);
    return code;
}

static void
run(struct scale *scale)
{
    struct sim_event event;
    dpc_core_resume(scale->core, &scale->actions);
    carry_out(scale);
    for (uint32_t i = 0; i < scale->options.workers; i++)
        add(scale, draw_ms(scale, WAIT_MS), SIM_WORKER_START, i, NULL);
    while (!scale->failure && dpc_core_phase(scale->core)->phase != DPC_PHASE_FINISHED &&
           sim_queue_take(&scale->queue, &event)) {
        scale->now_ms = event.at_ms;
        if (event.type == SIM_WORKER_START)
            come_back(scale, event.worker);
        else if (event.type == SIM_WAKE)
            wake(scale, event.worker);
        else
            step(scale, KIND_EFFECT, event.payload);
        dpc_free(event.payload);
        if (restart_is_due(scale)) {
            scale->restarted = true;
            restart(scale);
        }
        if (scale->now_ms > INT64_C(30) * 24 * 3600 * 1000)
            fail(scale, "the experiment does not end");
    }
    if (!scale->restarted)
        fail(scale, "there was no restart");
}

static void
end(struct scale *scale)
{
    dpc_core_destroy(scale->core);
    dpc_kv_close(scale->kv);
    dpc_actions_done(&scale->actions);
    sim_queue_done(&scale->queue);
    for (int i = 0; i < KINDS; i++)
        dpc_free(scale->times[i].ns);
    dpc_free(scale->all.ns);
    dpc_free(scale->crew);
    dpc_free(scale->shards);
}

static void
report(struct scale *scale, double took_s)
{
    printf("{\"paths\": %u, \"workers\": %u, \"rounds\": %u, \"leases\": %" PRIu64
           ", \"superseded\": %" PRIu64 ", ",
           scale->options.side * scale->options.side, scale->options.workers, scale->options.rounds,
           scale->leases, scale->backups);
    print_times("step", &scale->all);
    for (int i = 0; i < KINDS; i++)
        print_times(kind_names[i], &scale->times[i]);
    printf("\"restart_s\": %.2f, \"memory_mib\": %ld, \"virtual_hours\": %.1f, \"seconds\": %.1f, "
           "\"failure\": \"%s\"}\n",
           scale->restart_s, memory_mib(), (double)scale->now_ms / 3.6e6, took_s,
           scale->failure ? scale->failure : "");
}

/* What was promised is held against a run of that size only. */
static void
judge(struct scale *scale)
{
    if (scale->options.side < 256 || scale->options.workers < 10000)
        return;
    if (quantile_us(&scale->all, 0.99) >= STEP_P99_US)
        fail(scale, "one step in a hundred takes too long");
    if (scale->restart_s >= RESTART_S)
        fail(scale, "the restart takes too long");
    if (memory_mib() >= MEMORY_MIB)
        fail(scale, "it takes too much memory");
}

int
sim_scale(const struct sim_scale_options *options)
{
    struct scale *scale = dpc_alloc(1, sizeof *scale);
    scale->options = *options;
    double started = seconds();
    if (begin(scale) == DPC_OK) {
        run(scale);
        qsort(scale->all.ns, scale->all.count, sizeof *scale->all.ns, compare_ns);
        judge(scale);
        report(scale, seconds() - started);
    } else {
        fail(scale, "it could not be set up");
    }
    int status = scale->failure ? 1 : 0;
    end(scale);
    dpc_free(scale);
    return status;
}
