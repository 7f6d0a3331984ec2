/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/coordinator/core_driver.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/layout.h"
#include "base/rng.h"
#include "base/tensor_blob.h"
#include "coordinator/versions/beginnings.h"
#include "coordinator/versions/outer.h"
#include "tests/unit/harness.h"

static struct dpc_hash
hash_of(const void *bytes, size_t len)
{
    struct dpc_hash hash;
    dpc_hash_of(bytes, len, &hash);
    return hash;
}

static struct dpc_hash
hash_of_numbers(uint32_t a, uint32_t b, uint32_t c, const struct dpc_hash *with)
{
    uint8_t bytes[12 + DPC_HASH_BYTES];
    memcpy(bytes, &a, 4);
    memcpy(bytes + 4, &b, 4);
    memcpy(bytes + 8, &c, 4);
    memcpy(bytes + 12, with->bytes, DPC_HASH_BYTES);
    return hash_of(bytes, sizeof bytes);
}

static void
make_core(struct driver *driver)
{
    struct dpc_error err;
    struct dpc_core_options options = {.incarnation = 77,
                                       .heartbeat_ms = 1000,
                                       .workers_max = driver->workers_max ? driver->workers_max
                                                                          : DPC_WORKERS_MAX,
                                       .experiment_yaml = "yaml",
                                       .bulk_endpoint = "tcp://*:1"};
    CU_ASSERT_EQUAL_FATAL(dpc_core_create(&driver->experiment, &options, driver->kv, driver->now_ms,
                                          &driver->core, &err),
                          DPC_OK);
}

/* A tensor of small random values, the same for the same numbers, put into the store. */
static struct dpc_hash
put_tensor(struct driver *driver, size_t count, uint32_t a, uint32_t b, uint32_t c)
{
    struct dpc_rng rng;
    struct dpc_buf blob;
    struct dpc_hash hash;
    struct dpc_error err;
    float *values = dpc_alloc(count, sizeof *values);
    dpc_rng_init(&rng, 5, DPC_RNG_TEST, a, b, c);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(0.02 * dpc_rng_normal(&rng));
    dpc_buf_init(&blob, 0);
    dpc_tensor_blob_write(&blob, values, count);
    CU_ASSERT_EQUAL_FATAL(dpc_store_blob_put(driver->store, blob.data, blob.len, &hash, &err),
                          DPC_OK);
    dpc_buf_done(&blob);
    dpc_free(values);
    return hash;
}

/* --- Effects, as pure functions of their inputs. */

static struct dpc_event
answer_prepare(struct driver *driver)
{
    struct dpc_event event = {.type = DPC_EVENT_PREPARED};
    struct dpc_prepared *prepared = &event.prepared;
    prepared->corpus = hash_of("corpus", 6);
    prepared->tokenizer = hash_of("tokenizer", 9);
    for (uint32_t level = 0; level < driver->experiment.levels_count; level++)
        prepared->modules[level] =
            driver->store ? put_tensor(driver, dpc_layout_module_floats(&driver->experiment, level),
                                       level, 1000, 0)
                          : hash_of_numbers(level, 0, 0, &prepared->corpus);
    prepared->prefixes = (struct dpc_blob_ref){hash_of("prefixes", 8), 8};
    prepared->documents = 700;
    prepared->train = (struct dpc_blob_ref){hash_of("train", 5), 5};
    prepared->train_documents = 600;
    prepared->test = (struct dpc_blob_ref){hash_of("test", 4), 4};
    prepared->test_documents = 70;
    prepared->early_stop = (struct dpc_blob_ref){hash_of("early stop", 10), 10};
    prepared->early_stop_documents = 600;
    return event;
}

/* What routed modules begin with where they are no copies. */
static void
begin_modules(struct driver *driver)
{
    const struct dpc_topology *topology = dpc_core_topology(driver->core);
    struct dpc_lineage_source records = {driver->kv, &driver->experiment, topology, 0};
    struct dpc_error err;
    driver->beginnings = dpc_free(driver->beginnings);
    if (driver->store) {
        CU_ASSERT_EQUAL_FATAL(
            dpc_beginnings_make(driver->store, &records, &driver->beginnings, &err), DPC_OK);
    } else if (driver->experiment.warm_start.init != DPC_BEGIN_COPY) {
        driver->beginnings = dpc_alloc(topology->routed_modules, sizeof *driver->beginnings);
        for (uint32_t i = 0; i < topology->routed_modules; i++)
            driver->beginnings[i] = hash_of_numbers(i, 3, 0, &dpc_hash_none);
    }
}

/* The last path has no early-stop documents. */
static struct dpc_event
answer_shard(struct driver *driver, struct dpc_shard *shards)
{
    struct dpc_event event = {.type = DPC_EVENT_SHARDED};
    event.sharded.router = hash_of("router", 6);
    event.sharded.paths_count = dpc_core_topology(driver->core)->routed_paths;
    event.sharded.paths = shards;
    if (driver_phase(driver) == DPC_PHASE_SHARD)
        begin_modules(driver);
    event.sharded.modules = driver->beginnings;
    if (driver->experiment.routing.phases) {
        event.sharded.scored = (struct dpc_blob_ref){hash_of("scored", 6), 6};
        event.sharded.scored_documents = 50;
    }
    if (driver->experiment.reroute.every_count) {
        event.sharded.traced = (struct dpc_blob_ref){hash_of("traced", 6), 6};
        event.sharded.routes = (struct dpc_blob_ref){hash_of("routes", 6), 6};
        event.sharded.traced_train = 30;
        event.sharded.traced_learned = 80;
        event.sharded.traced_router = 100;
        event.sharded.traced_documents = 150;
    }
    for (uint32_t i = 0; i < event.sharded.paths_count; i++) {
        shards[i] = (struct dpc_shard){
            .train = {hash_of_numbers(i, 1, 0, &event.sharded.router), 10},
            .test = {hash_of_numbers(i, 2, 0, &event.sharded.router), 10},
            .train_documents = 100 + i,
            .window_tokens = 10 + i,
            .test_documents = 40,
        };
        if (i + 1 < event.sharded.paths_count) {
            shards[i].early_stop =
                (struct dpc_blob_ref){hash_of_numbers(i, 3, 0, &event.sharded.router), 10};
            shards[i].early_stop_documents = 40;
        }
    }
    return event;
}

/* Gates that leave the first contribution out and clip the last. */
static void
judge(const struct dpc_fold *fold, struct dpc_folded *folded)
{
    folded->judged_count = fold->inputs_count;
    folded->judged = dpc_alloc(fold->inputs_count, sizeof *folded->judged);
    for (uint32_t i = 0; i < fold->inputs_count; i++)
        folded->judged[i] = (struct dpc_judged){.path = fold->inputs[i].path, .scale = 1};
    folded->judged[fold->inputs_count - 1].scale = 0.25;
    folded->judged[fold->inputs_count - 1].marks = DPC_MARK_CLIPPED | DPC_MARK_OWNER;
    folded->judged[0].scale = 0;
    folded->judged[0].marks = DPC_MARK_OPPOSED;
}

static struct dpc_folded
answer_fold(struct driver *driver, const struct dpc_fold *fold)
{
    struct dpc_error err;
    struct dpc_folded folded = {.module = fold->module, .version = fold->version};
    if (driver->store) {
        CU_ASSERT_EQUAL_FATAL(
            dpc_outer_fold(driver->store, dpc_ops_cpu(DPC_FP32), fold, &folded, &err), DPC_OK);
        return folded;
    }
    struct dpc_hash sum = fold->master;
    double weights = 0;
    for (uint32_t i = 0; i < fold->inputs_count; i++) {
        weights += fold->inputs[i].weight;
        sum = hash_of_numbers(fold->inputs[i].path, i, fold->version, &sum);
        for (int k = 0; k < DPC_HASH_BYTES; k++)
            sum.bytes[k] ^= fold->inputs[i].delta.bytes[k];
    }
    CU_ASSERT_DOUBLE_EQUAL(weights, 1.0, 1e-12);
    folded.master = folded.published = hash_of(sum.bytes, DPC_HASH_BYTES);
    if (fold->download != DPC_CODEC_FP32) {
        folded.published = hash_of(folded.published.bytes, DPC_HASH_BYTES);
        folded.change = hash_of(folded.published.bytes, DPC_HASH_BYTES);
    }
    folded.momentum = hash_of(folded.master.bytes, DPC_HASH_BYTES);
    if (fold->gated)
        judge(fold, &folded);
    return folded;
}

static void
commit(struct driver *driver)
{
    struct dpc_error err;
    if (driver->actions.batch.count)
        CU_ASSERT_EQUAL_FATAL(driver->kv->ops->write(driver->kv, &driver->actions.batch, &err),
                              DPC_OK);
}

/* What the executor would bring back. */
static void
answer_effects(struct driver *driver, struct dpc_actions *actions)
{
    for (uint32_t i = 0; i < actions->effects_count; i++) {
        struct dpc_shard *shards = NULL;
        struct dpc_event event;
        const struct dpc_effect *effect = &actions->effects[i];
        if (effect->type == DPC_EFFECT_FOLD) {
            event = (struct dpc_event){.type = DPC_EVENT_FOLDED,
                                       .folded = answer_fold(driver, &effect->fold)};
            if (driver->hold_folds) {
                driver->folds[driver->folds_count++] = event.folded;
                continue;
            }
        } else if (effect->type == DPC_EFFECT_PREPARE) {
            event = answer_prepare(driver);
        } else if (effect->type == DPC_EFFECT_SHARD) {
            shards = dpc_alloc(dpc_core_topology(driver->core)->routed_paths, sizeof *shards);
            event = answer_shard(driver, shards);
        } else if (effect->type == DPC_EFFECT_LABEL) {
            event = (struct dpc_event){.type = DPC_EVENT_LABELLED,
                                       .labelled = {hash_of("labelled", 8), 8}};
        } else {
            event = (struct dpc_event){.type = DPC_EVENT_REPORTED};
        }
        struct dpc_actions outer = driver->actions;
        dpc_actions_init(&driver->actions);
        driver_step(driver, &event);
        dpc_actions_done(&driver->actions);
        driver->actions = outer;
        dpc_free(shards);
        if (effect->type == DPC_EFFECT_FOLD)
            dpc_free(event.folded.judged);
    }
}

void
driver_crash(struct driver *driver)
{
    dpc_core_destroy(driver->core);
    while (driver->folds_count)
        dpc_free(driver->folds[--driver->folds_count].judged);
    make_core(driver);
    struct dpc_actions resumed;
    dpc_actions_init(&resumed);
    dpc_core_resume(driver->core, &resumed);
    struct dpc_actions outer = driver->actions;
    driver->actions = resumed;
    commit(driver);
    resumed = driver->actions;
    driver->actions = outer;
    bool crash = driver->crash_after_each;
    driver->crash_after_each = false;
    answer_effects(driver, &resumed);
    driver->crash_after_each = crash;
    dpc_actions_done(&resumed);
}

void
driver_step(struct driver *driver, const struct dpc_event *event)
{
    dpc_actions_reset(&driver->actions);
    dpc_core_step(driver->core, event, driver->now_ms, &driver->actions);
    commit(driver);
    if (driver->crash_after_each)
        driver_crash(driver); /* the effects are lost; the new core asks for them again */
    else
        answer_effects(driver, &driver->actions);
}

void
driver_release_folds(struct driver *driver)
{
    uint32_t count = driver->folds_count;
    struct dpc_folded folds[64];
    memcpy(folds, driver->folds, sizeof folds);
    driver->folds_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct dpc_event event = {.type = DPC_EVENT_FOLDED, .folded = folds[i]};
        driver_step(driver, &event);
        dpc_free(folds[i].judged);
    }
}

void
driver_start(struct driver *driver, const char *yaml)
{
    driver_start_with_store(driver, yaml, NULL);
}

void
driver_start_with_store(struct driver *driver, const char *yaml, const char *folder)
{
    struct dpc_error err = {0};
    memset(driver, 0, sizeof *driver);
    dpc_actions_init(&driver->actions);
    int code = dpc_experiment_parse("test", yaml, strlen(yaml), &driver->experiment, &err);
    if (code != DPC_OK)
        fprintf(stderr, "%s\n", err.text);
    CU_ASSERT_EQUAL_FATAL(code, DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_kv_open_memory(&driver->kv), DPC_OK);
    if (folder) {
        CU_ASSERT_EQUAL_FATAL(dpc_blobs_open(&dpc_vfs_posix, folder, &driver->blobs, &err), DPC_OK);
        CU_ASSERT_EQUAL_FATAL(dpc_store_open_on(driver->kv, driver->blobs, &driver->store, &err),
                              DPC_OK);
    }
    driver->now_ms = 1000;
    driver->numeric_class = "test";
    make_core(driver);
    struct dpc_actions resumed;
    dpc_actions_init(&resumed);
    dpc_core_resume(driver->core, &resumed);
    answer_effects(driver, &resumed);
    dpc_actions_done(&resumed);
}

void
driver_stop(struct driver *driver)
{
    dpc_core_destroy(driver->core);
    dpc_free(driver->beginnings);
    while (driver->folds_count)
        dpc_free(driver->folds[--driver->folds_count].judged);
    dpc_store_close(driver->store);
    dpc_blobs_close(driver->blobs);
    dpc_kv_close(driver->kv);
    dpc_actions_done(&driver->actions);
}

/* --- Workers. */

static struct dpc_event
event_of(enum dpc_event_type type, uint8_t worker)
{
    struct dpc_event event = {.type = type};
    memset(event.worker, worker + 1, sizeof event.worker);
    return event;
}

const struct dpc_msg *
driver_hello(struct driver *driver, uint8_t worker, struct dpc_token held)
{
    struct dpc_msg_hello hello = {.protocol_min = DPC_PROTOCOL_MIN,
                                  .protocol_max = DPC_PROTOCOL_MAX,
                                  .name = "w",
                                  .build = "",
                                  .numeric_class = driver->numeric_class,
                                  .token = held};
    struct dpc_event event = event_of(DPC_EVENT_HELLO, worker);
    event.hello.message = &hello;
    driver_step(driver, &event);
    return &driver->actions.reply;
}

const struct dpc_msg *
driver_ask_handing_in(struct driver *driver, uint8_t worker, struct dpc_token handing_in)
{
    struct dpc_event event = event_of(DPC_EVENT_ASK, worker);
    event.ask.handing_in = handing_in;
    driver_step(driver, &event);
    return &driver->actions.reply;
}

const struct dpc_msg *
driver_ask(struct driver *driver, uint8_t worker)
{
    return driver_ask_handing_in(driver, worker, (struct dpc_token){0});
}

struct dpc_msg_lease
driver_lease(struct driver *driver, uint8_t worker)
{
    const struct dpc_msg *reply = driver_ask(driver, worker);
    CU_ASSERT_EQUAL_FATAL(reply->type, DPC_MSG_LEASE);
    return reply->lease;
}

const struct dpc_msg *
driver_heartbeat(struct driver *driver, uint8_t worker, struct dpc_token token)
{
    struct dpc_msg_heartbeat heartbeat = {.token = token, .steps_done = 1};
    struct dpc_event event = event_of(DPC_EVENT_HEARTBEAT, worker);
    event.heartbeat.message = &heartbeat;
    driver_step(driver, &event);
    return &driver->actions.reply;
}

void
driver_fill_submission(struct driver *driver, const struct dpc_msg_lease *lease,
                       struct dpc_msg_submit *ret_submit)
{
    *ret_submit = (struct dpc_msg_submit){
        .token = lease->token,
        .kind = lease->kind,
        .path = lease->path,
        .round = lease->round,
        .steps_count = lease->steps_count,
        .loss = 1,
        .loss_last = 1,
        .seconds = 0.1,
    };
    if (lease->kind == DPC_TASK_TRAIN) {
        ret_submit->parts_count = lease->levels_count;
        for (uint32_t level = 0; level < lease->levels_count; level++)
            ret_submit->parts[level] = (struct dpc_part){
                .module = lease->modules[level],
                .delta = {driver->store ? put_tensor(driver,
                                                     dpc_layout_module_floats(
                                                         &driver->experiment,
                                                         dpc_topology_module_level(
                                                             dpc_core_topology(driver->core),
                                                             lease->modules[level])),
                                                     lease->path, lease->round, level)
                                        : hash_of_numbers(lease->path, lease->round, level,
                                                          &lease->versions[level].hash),
                          lease->versions[level].bytes},
            };
        bool kept = !dpc_hash_is_none(&lease->kept.hash);
        ret_submit->began = kept ? lease->kept.hash : lease->state.hash;
        struct dpc_blob_ref state = {
            hash_of_numbers(lease->path, lease->round, 99, &lease->state.hash), 64};
        if (driver->experiment.transfer.path_state == DPC_STATE_SHIP)
            ret_submit->state = state;
        else if (driver->experiment.transfer.path_state == DPC_STATE_LOCAL)
            ret_submit->kept = state;
        return;
    }
    ret_submit->result.hash =
        hash_of_numbers(lease->path, lease->from, lease->kind, &lease->versions[0].hash);
    ret_submit->result.bytes = 64;
}

const struct dpc_msg *
driver_submit_message(struct driver *driver, uint8_t worker, const struct dpc_msg_submit *submit,
                      const struct dpc_submission_check *check)
{
    struct dpc_event event = event_of(DPC_EVENT_SUBMIT, worker);
    event.submit.message = submit;
    event.submit.check = check;
    driver_step(driver, &event);
    return &driver->actions.reply;
}

static double
loss_of(const struct dpc_msg_lease *lease)
{
    struct dpc_hash hash = lease->data.hash;
    for (uint32_t level = 0; level < lease->levels_count; level++) {
        hash = hash_of_numbers(lease->path, level, 0, &hash);
        for (int k = 0; k < DPC_HASH_BYTES; k++)
            hash.bytes[k] ^= lease->versions[level].hash.bytes[k];
    }
    hash = hash_of(hash.bytes, DPC_HASH_BYTES);
    return 1 + hash.bytes[0] / 256.0;
}

struct dpc_submission_check
driver_check(const struct driver *driver, const struct dpc_msg_lease *lease)
{
    bool pieces = lease->kind == DPC_TASK_TRACE || lease->kind == DPC_TASK_REROUTE;
    uint32_t each = pieces ? (uint32_t)dpc_experiment_pieces(&driver->experiment) : 1;
    struct dpc_submission_check check = {.rows = (lease->to - lease->from) * each};
    check.targets = 10 * (uint64_t)check.rows;
    check.nats =
        (double)check.targets * (driver->loss_of ? driver->loss_of(lease) : loss_of(lease));
    return check;
}

const struct dpc_msg *
driver_submit(struct driver *driver, uint8_t worker, const struct dpc_msg_lease *lease)
{
    struct dpc_msg_submit submit;
    struct dpc_submission_check fine = driver_check(driver, lease);
    driver_fill_submission(driver, lease, &submit);
    return driver_submit_message(driver, worker, &submit, &fine);
}

enum dpc_phase
driver_phase(const struct driver *driver)
{
    return dpc_core_phase(driver->core)->phase;
}

void
driver_reach_training(struct driver *driver, uint8_t worker)
{
    for (int i = 0; i < 100 && driver_phase(driver) != DPC_PHASE_TRAIN; i++) {
        const struct dpc_msg *reply = driver_ask(driver, worker);
        CU_ASSERT_EQUAL_FATAL(reply->type, DPC_MSG_LEASE);
        struct dpc_msg_lease lease = reply->lease;
        driver_submit(driver, worker, &lease);
    }
    CU_ASSERT_EQUAL_FATAL(driver_phase(driver), DPC_PHASE_TRAIN);
}

void
driver_start_training(struct driver *driver, const char *yaml)
{
    driver_start(driver, yaml);
    driver_hello(driver, 0, (struct dpc_token){0});
    driver_reach_training(driver, 0);
}

bool
driver_finish(struct driver *driver, uint8_t workers)
{
    for (uint8_t worker = 0; worker < workers; worker++)
        driver_hello(driver, worker, (struct dpc_token){0, 0});
    for (int turn = 0; turn < 10000; turn++) {
        if (driver_phase(driver) == DPC_PHASE_FINISHED)
            return true;
        uint8_t worker = (uint8_t)(turn % workers);
        driver->now_ms += 10;
        const struct dpc_msg *reply = driver_ask(driver, worker);
        if (reply->type == DPC_MSG_LEASE) {
            struct dpc_msg_lease lease = reply->lease;
            CU_ASSERT_EQUAL(driver_submit(driver, worker, &lease)->verdict.verdict,
                            DPC_VERDICT_ACCEPTED);
        }
    }
    return false;
}

static bool
add_version(void *context, const struct dpc_version_record *record)
{
    struct dpc_hash *outcome = context;
    *outcome = hash_of_numbers(record->module, record->version, record->parent, outcome);
    for (int k = 0; k < DPC_HASH_BYTES; k++)
        outcome->bytes[k] ^= record->master.bytes[k];
    return true;
}

struct dpc_hash
driver_outcome(struct driver *driver)
{
    struct dpc_error err;
    struct dpc_hash outcome = dpc_hash_none;
    CU_ASSERT_EQUAL(dpc_scan_versions(driver->kv, add_version, &outcome, &err), DPC_OK);
    return outcome;
}
