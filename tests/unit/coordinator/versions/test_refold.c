/* SPDX-License-Identifier: Apache-2.0
 * Modules without what a worker handed in, against a computation in double from what the store
 * holds; rollbacks and former revokes in between; what is not kept any more. */
#include "coordinator/versions/refold.h"

#include <math.h>
#include <string.h>
#include <sys/resource.h>

#include "base/alloc.h"
#include "base/layout.h"
#include "base/tensor_blob.h"
#include "storage/db/store_parts.h"
#include "tests/unit/coordinator/core_driver.h"
#include "tests/unit/gap.h"
#include "tests/unit/harness.h"
#include "tests/unit/storage/scratch.h"

#define YAML(rescale) YAML_DENSE(rescale, "false")
#define YAML_DENSE(rescale, dense)                                                                 \
    "experiment: test\n"                                                                           \
    "data: {corpus: corpus}\n"                                                                     \
    "model: {dim: 8, heads: 2, ffn: 16, context: 16}\n"                                            \
    "levels:\n"                                                                                    \
    "  - {name: lower, parts: [embedding, {blocks: 1}], modules: 1}\n"                             \
    "  - {name: upper, parts: [{blocks: 1}, head], modules: 3}\n"                                  \
    "routing: {prefix: 4}\n"                                                                       \
    "inner: {steps: 4, batch: 2}\n"                                                                \
    "outer: {rounds: 5, lr: 0.7, momentum: 0.9, rescale: " rescale "}\n"                           \
    "baseline: {dense: " dense "}\n"                                                               \
    "warm_start: {steps: 4}\n"

/* Path 0 is worker 0's, path 1 worker 1's, path 2 worker 2's; all modules of `lower` are one, 0. */
enum { WORKERS = 3, ROUNDS = 3 };

struct bench {
    struct driver driver;
    struct dpc_replay_source source;
    char folder[SCRATCH_PATH_MAX];
};

static void
train_round(struct driver *driver)
{
    struct dpc_msg_lease leases[WORKERS];
    uint8_t owners[WORKERS];
    uint32_t round = dpc_module_round(dpc_core_module(driver->core, 0));
    for (uint8_t worker = 0; worker < WORKERS; worker++) {
        const struct dpc_msg *reply = driver_ask(driver, worker);
        if (reply->type != DPC_MSG_LEASE)
            continue;
        leases[reply->lease.path] = reply->lease;
        owners[reply->lease.path] = worker;
    }
    for (uint32_t path = 0; path < WORKERS; path++) {
        if (dpc_core_path(driver->core, path)->rounds_done == round)
            driver_submit(driver, owners[path], &leases[path]);
    }
}

/* At the beginning of training. */
static void
bench_begin(struct bench *bench, const char *yaml)
{
    struct driver *driver = &bench->driver;
    driver_start_with_store(driver, yaml, scratch_make(bench->folder));
    driver->store->inline_bytes_max = 0; /* each blob is a file, which takes a descriptor */
    for (uint8_t worker = 0; worker < WORKERS; worker++)
        driver_hello(driver, worker, (struct dpc_token){0, 0});
    while (driver_phase(driver) != DPC_PHASE_TRAIN) {
        struct dpc_msg_lease lease = driver_ask(driver, 0)->lease;
        driver_submit(driver, 0, &lease);
    }
    bench->source = (struct dpc_replay_source){
        .records = {driver->kv, &driver->experiment, dpc_core_topology(driver->core), 0},
        .store = driver->store,
        .ops = dpc_ops_cpu(DPC_FP32),
    };
}

static void
bench_init_with(struct bench *bench, const char *yaml)
{
    bench_begin(bench, yaml);
    for (int round = 0; round < ROUNDS; round++)
        train_round(&bench->driver);
    CU_ASSERT_EQUAL_FATAL(dpc_module_round(dpc_core_module(bench->driver.core, 0)), ROUNDS);
}

static void
bench_init(struct bench *bench)
{
    bench_init_with(bench, YAML("sqrt"));
}

static void
bench_done(struct bench *bench)
{
    driver_stop(&bench->driver);
    scratch_remove(bench->folder);
}

static void
task_init(const struct bench *bench, struct dpc_refold_task *task, uint8_t worker, uint32_t since)
{
    const struct dpc_core *core = bench->driver.core;
    uint32_t modules = dpc_core_topology(core)->modules_count;
    *task = (struct dpc_refold_task){.kind = DPC_REFOLD_CHECK, .since = since};
    memset(task->worker, worker + 1, sizeof task->worker);
    task->versions = dpc_alloc(modules, sizeof *task->versions);
    for (uint32_t i = 0; i < modules; i++)
        task->versions[i] = dpc_core_module(core, i)->version;
}

/* Of module 0, whose new version is appended. */
static struct dpc_version_record
revoke(struct bench *bench, uint8_t worker, uint32_t since, uint32_t *ret_left_out)
{
    struct dpc_refold_task task;
    struct dpc_version_record now;
    struct dpc_error err;
    struct dpc_event event = {.type = DPC_EVENT_REVOKE};
    task_init(bench, &task, worker, since);
    CU_ASSERT_EQUAL_FATAL(dpc_refold_run(&bench->source, &task, &err), DPC_OK);
    CU_ASSERT_TRUE(task.touched);
    task.kind = DPC_REFOLD_MODULE;
    CU_ASSERT_EQUAL_FATAL(dpc_refold_run(&bench->source, &task, &err), DPC_OK);
    *ret_left_out = task.refolded.entries_count;
    memset(event.worker, worker + 1, sizeof event.worker);
    event.revoke.refolded_count = 1;
    event.revoke.refolded = &task.refolded;
    driver_step(&bench->driver, &event);
    dpc_refold_done(&task);
    CU_ASSERT_EQUAL_FATAL(dpc_load_version(bench->driver.kv, 0,
                                           dpc_core_module(bench->driver.core, 0)->version, &now,
                                           &err),
                          DPC_OK);
    CU_ASSERT_EQUAL(now.cause, DPC_CAUSE_REVOKE);
    return now;
}

/* --- In double. */

static void
add(struct bench *bench, const struct dpc_hash *hash, double weight, size_t count, double *sum)
{
    uint8_t *blob;
    size_t len;
    const float *values;
    struct dpc_error err;
    CU_ASSERT_EQUAL_FATAL(dpc_store_blob_load(bench->driver.store, hash, &blob, &len, &err),
                          DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_tensor_blob_read(blob, len, count, &values, &err), DPC_OK);
    for (size_t i = 0; i < count; i++)
        sum[i] += weight * (double)values[i];
    dpc_free(blob);
}

struct reference {
    struct bench *bench;
    uint32_t round;
    const bool *merged; /* by path */
    size_t count;
    double *sum, weights, squares;
};

static bool
add_contribution(void *context, const struct dpc_contribution_record *record)
{
    struct reference *reference = context;
    if (record->module != 0 || record->round != reference->round ||
        !reference->merged[record->path])
        return true;
    double weight = 100.0 + record->path; /* documents of its shard */
    add(reference->bench, &record->delta, weight, reference->count, reference->sum);
    reference->weights += weight;
    reference->squares += weight * weight;
    return true;
}

/* The largest difference of `version` from all rounds folded with who is merged in each. */
static double
difference(struct bench *bench, const struct dpc_version_record *version,
           const bool merged[ROUNDS][WORKERS])
{
    struct dpc_error err;
    struct dpc_version_record first;
    size_t count = dpc_layout_module_floats(&bench->driver.experiment, 0);
    double *theta = dpc_alloc(count, sizeof *theta), *momentum = dpc_alloc(count, sizeof *theta);
    double *found = dpc_alloc(count, sizeof *theta), worst = 0;
    CU_ASSERT_EQUAL_FATAL(dpc_load_version(bench->driver.kv, 0, 0, &first, &err), DPC_OK);
    add(bench, &first.master, 1, count, theta);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct reference reference = {
            .bench = bench, .round = round, .merged = merged[round], .count = count};
        reference.sum = dpc_alloc(count, sizeof *theta);
        CU_ASSERT_EQUAL(
            dpc_scan_contributions(bench->driver.kv, add_contribution, &reference, &err), DPC_OK);
        double scale = sqrt(reference.weights * reference.weights / reference.squares);
        for (size_t i = 0; i < count && reference.weights > 0; i++) {
            double delta = scale * reference.sum[i] / reference.weights;
            momentum[i] = 0.9 * momentum[i] + delta;
            theta[i] -= 0.7 * (delta + 0.9 * momentum[i]);
        }
        dpc_free(reference.sum);
    }
    add(bench, &version->master, 1, count, found);
    for (size_t i = 0; i < count; i++)
        worst = larger_gap(worst, fabs(found[i] - theta[i]));
    dpc_free(theta);
    dpc_free(momentum);
    dpc_free(found);
    return worst;
}

static void
check_replay(const struct bench *bench, uint32_t version)
{
    struct dpc_replay_row row = {.module = 0, .version = version};
    dpc_replay_version(&bench->source, &row);
    CU_ASSERT_EQUAL(row.verdict, DPC_REPLAY_OK);
}

static void
a_refold_equals_the_computation_in_double(void)
{
    static const bool merged[ROUNDS][WORKERS] = {
        {true, true, true}, {true, false, true}, {true, false, true}};
    struct bench bench;
    uint32_t left_out;
    bench_init(&bench);
    struct dpc_version_record now = revoke(&bench, 1, 1, &left_out);
    CU_ASSERT_EQUAL(left_out, 2);
    CU_ASSERT(difference(&bench, &now, merged) < 1e-7);
    check_replay(&bench, now.version);
    bench_done(&bench);
}

/* Two are left of three, and of two one, whose own delta is then the step. */
static void
lengths_and_directions_are_folded_again(void)
{
    struct bench bench;
    uint32_t left_out;
    bench_init_with(&bench, YAML("rda"));
    check_replay(&bench, dpc_core_module(bench.driver.core, 0)->version);
    struct dpc_version_record now = revoke(&bench, 1, 1, &left_out);
    CU_ASSERT_EQUAL(left_out, 2);
    check_replay(&bench, now.version);
    now = revoke(&bench, 2, 2, &left_out);
    CU_ASSERT_EQUAL(left_out, 1);
    check_replay(&bench, now.version);
    bench_done(&bench);
}

/* Root mean square of the difference of two tensors of module 0. */
static double
distance(struct bench *bench, const struct dpc_hash *one, const struct dpc_hash *other)
{
    size_t count = dpc_layout_module_floats(&bench->driver.experiment, 0);
    double *gap = dpc_alloc(count, sizeof *gap), squares = 0;
    add(bench, one, 1, count, gap);
    add(bench, other, -1, count, gap);
    for (size_t i = 0; i < count; i++)
        squares += gap[i] * gap[i];
    dpc_free(gap);
    return sqrt(squares / (double)count);
}

/* What is published goes on from what was published where the refold begins: it is off by what the
 * form loses of the steps since then, not of the weights. */
static void
a_refold_goes_on_from_what_was_published(void)
{
    struct bench bench;
    struct dpc_version_record first, then;
    struct dpc_error err;
    uint32_t left_out;
    bench_init_with(&bench, YAML("sqrt") "transfer: {download: int8}\n");
    CU_ASSERT_EQUAL_FATAL(dpc_load_version(bench.driver.kv, 0, 1, &first, &err), DPC_OK);
    then = revoke(&bench, 1, 1, &left_out);
    double steps = distance(&bench, &first.master, &then.master);
    double off = distance(&bench, &then.master, &then.published);
    CU_ASSERT(off > 0 && off < steps / 100);
    check_replay(&bench, then.version);
    bench_done(&bench);
}

/* A second one goes on from the first, and takes out no more than is still there. */
static void
revokes_add_up(void)
{
    static const bool merged[ROUNDS][WORKERS] = {
        {true, true, true}, {true, false, false}, {true, false, false}};
    static const bool alone[ROUNDS][WORKERS] = {
        {false, true, true}, {false, false, false}, {false, false, false}};
    struct bench bench;
    uint32_t left_out;
    bench_init(&bench);
    revoke(&bench, 1, 1, &left_out);
    struct dpc_version_record now = revoke(&bench, 2, 1, &left_out);
    CU_ASSERT_EQUAL(left_out, 2);
    CU_ASSERT(difference(&bench, &now, merged) < 1e-7);
    check_replay(&bench, now.version);
    now = revoke(&bench, 0, 0, &left_out);
    CU_ASSERT_EQUAL(left_out, 3);
    CU_ASSERT(difference(&bench, &now, alone) < 1e-7); /* two rounds merge nothing any more */
    check_replay(&bench, now.version);
    bench_done(&bench);
}

/* What a rollback went back over is not in the version, so it is not taken out either. */
static void
a_rollback_is_gone_back_over(void)
{
    static const bool merged[ROUNDS][WORKERS] = {
        {true, false, true}, {false, false, false}, {false, false, false}};
    struct bench bench;
    struct dpc_error err;
    struct dpc_version_record old;
    uint32_t left_out;
    struct dpc_event event = {.type = DPC_EVENT_ROLLBACK};
    bench_init(&bench);
    CU_ASSERT_EQUAL_FATAL(dpc_load_version(bench.driver.kv, 0, 1, &old, &err), DPC_OK);
    event.rollback = (struct dpc_rollback){1, &old};
    driver_step(&bench.driver, &event);
    struct dpc_version_record now = revoke(&bench, 1, 0, &left_out);
    CU_ASSERT_EQUAL(left_out, 1);
    CU_ASSERT(difference(&bench, &now, merged) < 1e-7);
    check_replay(&bench, now.version);
    bench_done(&bench);
}

/* Deltas that are not kept any more. */
struct lost {
    struct dpc_hash deltas[8];
    uint32_t count;
};

static bool
is_not_lost(void *context, const struct dpc_hash *hash)
{
    const struct lost *lost = context;
    for (uint32_t i = 0; i < lost->count; i++) {
        if (dpc_hash_equal(&lost->deltas[i], hash))
            return false;
    }
    return true;
}

static void
lose(struct bench *bench, struct lost *lost)
{
    struct dpc_store *store = bench->driver.store;
    struct dpc_swept swept;
    struct dpc_error err;
    CU_ASSERT_EQUAL(
        dpc_store_sweep(store, dpc_store_touches(store) + 1, is_not_lost, lost, &swept, &err),
        DPC_OK);
}

static bool
list_round_0(void *context, const struct dpc_contribution_record *record)
{
    struct lost *lost = context;
    if (record->round == 0 && record->path < WORKERS && record->module == 0)
        lost->deltas[lost->count++] = record->delta;
    return true;
}

static void
what_is_not_kept_is_refused_with_the_oldest_possible(void)
{
    struct bench bench;
    struct dpc_error err;
    struct dpc_refold_task task;
    struct lost first = {.count = 0};
    bench_init(&bench);
    CU_ASSERT_EQUAL(dpc_scan_contributions(bench.driver.kv, list_round_0, &first, &err), DPC_OK);
    lose(&bench, &first);
    task_init(&bench, &task, 1, 0);
    CU_ASSERT_EQUAL(dpc_refold_run(&bench.source, &task, &err), DPC_EPERM);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "oldest round possible is 1"));
    dpc_refold_done(&task);
    task_init(&bench, &task, 1, 1);
    CU_ASSERT_EQUAL(dpc_refold_run(&bench.source, &task, &err), DPC_OK);
    CU_ASSERT_EQUAL(task.tainted_count, 2);
    dpc_refold_done(&task);
    /* Whoever handed in nothing has nothing to take out. */
    task_init(&bench, &task, 7, 0);
    CU_ASSERT_EQUAL(dpc_refold_run(&bench.source, &task, &err), DPC_OK);
    CU_ASSERT_FALSE(task.touched);
    CU_ASSERT_EQUAL(task.tainted_count, 0);
    dpc_refold_done(&task);
    bench_done(&bench);
}

/* --- The dense path: a round of worker 1 behind one of worker 0 is not kept any more. */

struct dense_rounds {
    const struct dpc_topology *topology;
    uint32_t warm_rounds, own, other; /* counted with the warm start */
    struct lost lost;
};

/* By path, and so by round. */
static bool
list_dense_round(void *context, const struct dpc_contribution_record *record)
{
    struct dense_rounds *dense = context;
    if (!dpc_topology_path_is_dense(dense->topology, record->path) ||
        record->round < dense->warm_rounds || (dense->other && record->round != dense->other))
        return true;
    if (record->worker[0] == 1) {
        dense->own = record->round;
    } else if (dense->own) {
        dense->other = record->round;
        dense->lost.deltas[dense->lost.count++] = record->delta;
    }
    return true;
}

/* Worker 1 takes over in the dense path's last round. Returns worker 0's last round before that
 * one. */
static uint32_t
bench_init_far_ahead(struct bench *bench)
{
    struct driver *driver = &bench->driver;
    struct dense_rounds dense = {.own = 0};
    struct dpc_error err;
    bench_begin(bench, YAML_DENSE("sqrt", "true"));
    dense.topology = dpc_core_topology(driver->core);
    dense.warm_rounds = dpc_core_warm_rounds(driver->core);
    uint32_t dense_path = dpc_topology_dense_path(dense.topology);
    const struct dpc_path_record *path = dpc_core_path(driver->core, dense_path);
    while (dpc_module_round(dpc_core_module(driver->core, 0)) < ROUNDS ||
           path->rounds_done < 1 + ROUNDS) {
        uint8_t worker = path->rounds_done >= ROUNDS;
        struct dpc_msg_lease lease = driver_lease(driver, worker);
        driver_submit(driver, worker, &lease);
    }
    CU_ASSERT_EQUAL(dpc_scan_contributions(driver->kv, list_dense_round, &dense, &err), DPC_OK);
    CU_ASSERT_NOT_EQUAL_FATAL(dense.lost.count, 0);
    lose(bench, &dense.lost);
    return dense.own;
}

/* It waits for nobody, so that beside keep_rounds of its own nothing is left of the round that
 * routed paths are in: every revoke of a worker that had trained it was refused. */
static void
a_dense_path_that_is_far_ahead_is_no_reason_against_it(void)
{
    struct bench bench;
    struct dpc_error err;
    struct dpc_refold_task task;
    uint32_t left = bench_init_far_ahead(&bench);
    const struct dpc_topology *topology = dpc_core_topology(bench.driver.core);
    uint32_t modules = topology->modules_count, touched = 0;
    task_init(&bench, &task, 0, 0);
    CU_ASSERT_EQUAL_FATAL(dpc_refold_run(&bench.source, &task, &err), DPC_OK);
    CU_ASSERT_EQUAL(task.dense_since + dpc_core_warm_rounds(bench.driver.core), left + 1);
    for (uint32_t i = 0; i < task.tainted_count; i++)
        CU_ASSERT(!dpc_topology_path_is_dense(topology, task.tainted[i].path) ||
                  task.tainted[i].round > left);
    uint32_t found = task.tainted_count;
    task.kind = DPC_REFOLD_MODULE;
    for (task.module = 0; task.module < modules; task.module++) {
        CU_ASSERT_EQUAL(dpc_refold_run(&bench.source, &task, &err), DPC_OK);
        touched += task.touched && !dpc_topology_module_is_dense(topology, task.module);
        dpc_free((struct dpc_ledger_entry *)task.refolded.entries);
        task.refolded = (struct dpc_refolded){0};
    }
    CU_ASSERT(touched > 1);
    /* Looked for again with what was found, it is the same. */
    task.kind = DPC_REFOLD_FIND;
    CU_ASSERT_EQUAL(dpc_refold_run(&bench.source, &task, &err), DPC_OK);
    CU_ASSERT_EQUAL(task.tainted_count, found);
    dpc_refold_done(&task);
    bench_done(&bench);
}

/* One part of a round behind the other, steps [from, to) of it. */
struct part {
    uint32_t from, to;
    uint64_t lease;
    uint8_t worker;
};

static void
put_parts(struct bench *bench, const struct part *parts, uint32_t count)
{
    struct dpc_kv_batch batch;
    struct dpc_error err;
    dpc_kv_batch_init(&batch);
    for (uint32_t i = 0; i < count; i++) {
        struct dpc_contribution_record record = {.round = 9,
                                                 .part = i,
                                                 .from = parts[i].from,
                                                 .steps = parts[i].to,
                                                 .lease = parts[i].lease};
        memset(record.worker, parts[i].worker + 1, sizeof record.worker);
        dpc_put_contribution(&batch, &record);
    }
    CU_ASSERT_EQUAL_FATAL(bench->driver.kv->ops->write(bench->driver.kv, &batch, &err), DPC_OK);
    dpc_kv_batch_done(&batch);
}

/* A round that came in these parts, of which those of worker 7 are looked for, and what went on
 * from them. */
static void
find_in_parts(struct bench *bench, const struct part *parts, uint32_t count,
              struct dpc_refold_task *task)
{
    struct dpc_error err;
    bench_init(bench);
    put_parts(bench, parts, count);
    task_init(bench, task, 7, 0);
    CU_ASSERT_EQUAL(dpc_refold_run(&bench->source, task, &err), DPC_OK);
}

/* Elastic mode: a part of a round holds those that it went on from. */
static void
whoever_went_on_from_it_is_tainted(void)
{
    static const struct part parts[] = {
        {0, 2, 900, 7},
        {2, 4, 901, 0},
        {0, 2, 902, 0}, /* from its first step again */
        {2, 4, 903, 1},
    };
    struct bench bench;
    struct dpc_refold_task task;
    find_in_parts(&bench, parts, sizeof parts / sizeof *parts, &task);
    CU_ASSERT_EQUAL_FATAL(task.tainted_count, 2);
    CU_ASSERT_EQUAL(task.tainted[0].lease, 900);
    CU_ASSERT_EQUAL(task.tainted[1].lease, 901);
    CU_ASSERT_EQUAL(task.tainted[1].round, 9);
    dpc_refold_done(&task);
    bench_done(&bench);
}

/* Several are at work on a round: the rest of a part comes when others have handed in more of the
 * round, which they had begun themselves. */
static void
a_part_is_tainted_by_the_one_that_it_went_on_from(void)
{
    static const struct part parts[] = {
        {0, 2, 900, 7}, {0, 3, 901, 0}, {2, 4, 902, 1}, /* of 900's steps, before 901's */
        {0, 5, 903, 7}, {4, 6, 904, 0},                 /* of 902's */
    };
    static const struct part others[] = {
        {0, 2, 900, 0}, {0, 3, 901, 7}, {2, 4, 902, 1}, {4, 6, 903, 0}};
    struct bench bench;
    struct dpc_refold_task task;
    find_in_parts(&bench, parts, sizeof parts / sizeof *parts, &task);
    CU_ASSERT_EQUAL_FATAL(task.tainted_count, 4);
    CU_ASSERT_EQUAL(task.tainted[1].lease, 902);
    CU_ASSERT_EQUAL(task.tainted[3].lease, 904);
    dpc_refold_done(&task);
    bench_done(&bench);

    find_in_parts(&bench, others, sizeof others / sizeof *others, &task);
    CU_ASSERT_EQUAL_FATAL(task.tainted_count, 1);
    CU_ASSERT_EQUAL(task.tainted[0].lease, 901);
    dpc_refold_done(&task);
    bench_done(&bench);
}

/* A version of module 0 that merged `count` contributions, from this lease on, of a round that path
 * 0 has behind it. */
static void
put_large_version(struct bench *bench, uint32_t number, uint64_t lease, uint32_t count)
{
    struct dpc_version_record version = {.module = 0,
                                         .version = number,
                                         .cause = DPC_CAUSE_OUTER_STEP,
                                         .parent = number - 1,
                                         .ledger = 1000 + number};
    struct dpc_ledger_record record = {
        .sequence = version.ledger, .version = number, .entries_count = count};
    struct dpc_kv_batch batch;
    struct dpc_hash hash;
    struct dpc_error err;
    record.entries = dpc_alloc(count, sizeof *record.entries);
    for (uint32_t i = 0; i < count; i++)
        record.entries[i] = (struct dpc_ledger_entry){.lease = lease + i, .scale = 1};
    dpc_kv_batch_init(&batch);
    dpc_put_version(&batch, &version);
    dpc_put_ledger(&batch, &record, &hash);
    CU_ASSERT_EQUAL_FATAL(bench->driver.kv->ops->write(bench->driver.kv, &batch, &err), DPC_OK);
    dpc_kv_batch_done(&batch);
    dpc_free(record.entries);
}

/* The ledger's entry says what was left out, and has its bounds: an assert stood there. */
static void
more_than_an_entry_holds_is_refused(void)
{
    enum { VERSIONS = 3, EACH = DPC_PATHS_MAX, FIRST = 1000000 };
    struct bench bench;
    struct dpc_error err;
    struct dpc_refold_task task;
    bench_init(&bench);
    task_init(&bench, &task, 1, 0);
    for (uint32_t i = 0; i < VERSIONS; i++)
        put_large_version(&bench, task.versions[0] + 1 + i, FIRST + i * EACH, EACH);
    task.kind = DPC_REFOLD_MODULE;
    task.versions[0] += VERSIONS;
    task.tainted_count = VERSIONS * EACH;
    task.tainted = dpc_alloc(task.tainted_count, sizeof *task.tainted);
    for (uint32_t i = 0; i < task.tainted_count; i++)
        task.tainted[i] = (struct dpc_tainted){.lease = FIRST + i, .round = ROUNDS};
    CU_ASSERT_EQUAL(dpc_refold_run(&bench.source, &task, &err), DPC_ELIMIT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "take a later round"));
    dpc_refold_done(&task);
    bench_done(&bench);
}

static void
want_of_descriptors_does_not_tell_an_oldest_round(void)
{
    struct bench bench;
    struct dpc_refold_task task;
    struct rlimit limit, none;
    struct dpc_error err;
    bench_init(&bench);
    task_init(&bench, &task, 1, 1);
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = limit.rlim_max};
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &none), 0);
    int code = dpc_refold_run(&bench.source, &task, &err);
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
    CU_ASSERT_EQUAL(code, DPC_EFILES);
    dpc_refold_done(&task);
    bench_done(&bench);
}

static const struct dpc_test tests[] = {
    {"want of descriptors does not tell an oldest round",
     want_of_descriptors_does_not_tell_an_oldest_round},
    {"a refold goes on from what was published", a_refold_goes_on_from_what_was_published},
    {"a part is tainted by the one that it went on from",
     a_part_is_tainted_by_the_one_that_it_went_on_from},
    {"whoever went on from it is tainted", whoever_went_on_from_it_is_tainted},
    {"a refold equals the computation in double", a_refold_equals_the_computation_in_double},
    {"lengths and directions are folded again", lengths_and_directions_are_folded_again},
    {"revokes add up", revokes_add_up},
    {"a rollback is gone back over", a_rollback_is_gone_back_over},
    {"what is not kept is refused with the oldest possible",
     what_is_not_kept_is_refused_with_the_oldest_possible},
    {"a dense path that is far ahead is no reason against it",
     a_dense_path_that_is_far_ahead_is_no_reason_against_it},
    {"more than an entry holds is refused", more_than_an_entry_holds_is_refused},
};
DPC_TEST_MAIN("coordinator/refold", tests)
