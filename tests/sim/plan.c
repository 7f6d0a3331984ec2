/* SPDX-License-Identifier: Apache-2.0
 * What a seed means. Three streams; only that of faults is left out of the reference without any.
 */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "tests/sim/sim.h"

/* 3 is the run's. */
enum {
    STREAM_EXPERIMENT = 1,
    STREAM_FAULTS = 2,
    STREAM_FORMS = 4,
    STREAM_EARLY_STOPPING = 5,
    STREAM_PATHS = 6,
    STREAM_IDENTITY = 7,
    STREAM_WEAK = 8,
    STREAM_REROUTE = 9,
    STREAM_IMPORTED = 10,
    STREAM_ASKED = 11,
    STREAM_TRANSFER = 12,
    STREAM_TRUST = 13,
    STREAM_KNOWN = 14,
};
enum { LISTED_MAX = 12, LEVELS_MAX = 3 };
/* As many as an audit asks, and one that is too weak for a path. */
enum { KNOWN_MIN = 4 };

/* The modules of levels that paths share, in the order of a path's name. */
struct shape {
    uint32_t digits, modules[LEVELS_MAX];
    bool identity[LEVELS_MAX];
    bool own; /* beside a level of modules: path */
};

static uint32_t
between(struct dpc_rng *rng, uint32_t least, uint32_t most)
{
    return least + (uint32_t)dpc_rng_below(rng, most - least + 1);
}

/* Half of the levels that can be skipped. */
static bool
draw_identity(uint64_t seed, bool may)
{
    struct dpc_rng rng;
    dpc_rng_init(&rng, seed, DPC_RNG_TEST, STREAM_IDENTITY, 0, 0);
    return may && dpc_rng_below(&rng, 2);
}

static void
draw_levels(uint64_t seed, struct dpc_rng *rng, struct shape *shared, struct dpc_buf *yaml)
{
    static const uint32_t shapes[][3] = {
        {1, 1, 0}, {2, 1, 0}, {2, 2, 0}, {2, 2, 0}, {2, 3, 0}, {3, 2, 0},
        {3, 3, 0}, {2, 2, 2}, {3, 1, 2}, {1, 4, 0}, {4, 1, 0},
    };
    static const uint32_t large[3] = {8, 8, 0};
    const uint32_t *shape = dpc_rng_below(rng, 100) == 0
                                ? large
                                : shapes[dpc_rng_below(rng, sizeof shapes / sizeof *shapes)];
    uint32_t count = shape[2] ? 3 : 2;
    uint32_t own = dpc_rng_below(rng, 4) ? count : (uint32_t)dpc_rng_below(rng, count);
    dpc_buf_printf(yaml, "levels:\n");
    for (uint32_t i = 0; i < count; i++) {
        const char *parts = i == 0           ? "embedding, {blocks: 1}"
                            : i == count - 1 ? "{blocks: 1}, head"
                                             : "{blocks: 1}";
        if (i == own) {
            dpc_buf_printf(yaml, "  - {name: l%u, parts: [%s], modules: path}\n", i, parts);
            shared->own = true;
            continue;
        }
        bool identity = draw_identity(seed, i > 0 && i < count - 1);
        dpc_buf_printf(yaml, "  - {name: l%u, parts: [%s], modules: %u, identity: %s}\n", i, parts,
                       shape[i], identity ? "true" : "false");
        shared->identity[shared->digits] = identity;
        shared->modules[shared->digits++] = shape[i];
    }
}

/* The first entries take one module after the other, so that none is left out. */
static void
draw_entry(struct dpc_rng *rng, const struct shape *shape, uint32_t index, uint32_t *ret_choices)
{
    for (uint32_t i = 0; i < shape->digits; i++) {
        uint32_t choices = shape->modules[i] + shape->identity[i];
        ret_choices[i] = index < shape->modules[i] ? index : (uint32_t)dpc_rng_below(rng, choices);
    }
}

static void
print_entry(const struct shape *shape, const uint32_t *choices, struct dpc_buf *yaml)
{
    for (uint32_t i = 0; i < shape->digits; i++) {
        if (choices[i] == shape->modules[i])
            dpc_buf_printf(yaml, "%sx", i ? "-" : "");
        else
            dpc_buf_printf(yaml, "%s%u", i ? "-" : "", choices[i]);
    }
}

static bool
is_among(uint32_t choices[LISTED_MAX][LEVELS_MAX], uint32_t count, const uint32_t *entry)
{
    for (uint32_t i = 0; i < count; i++) {
        if (memcmp(choices[i], entry, sizeof choices[i]) == 0)
            return true;
    }
    return false;
}

/* A list with holes, of which some entries may stand twice. Gives how many there are. */
static uint32_t
draw_list(struct dpc_rng *rng, const struct shape *shape, bool twice, struct dpc_buf *yaml)
{
    uint32_t choices[LISTED_MAX][LEVELS_MAX] = {0}, count = 0, least = 1;
    for (uint32_t i = 0; i < shape->digits; i++)
        least = shape->modules[i] > least ? shape->modules[i] : least;
    uint32_t tries = between(rng, least, LISTED_MAX);
    for (uint32_t i = 0; i < tries; i++) {
        uint32_t entry[LEVELS_MAX] = {0};
        draw_entry(rng, shape, i, entry);
        if (!twice && is_among(choices, count, entry))
            continue;
        memcpy(choices[count], entry, sizeof entry);
        dpc_buf_printf(yaml, count ? ", " : "paths: [");
        print_entry(shape, entry, yaml);
        count++;
    }
    dpc_buf_printf(yaml, "]\n");
    return count;
}

/* In a fifth of the seeds not all combinations, each once: a list, or replicas. Those score all
 * documents alike, so that documents cannot be routed anew where nothing else tells them apart.
 * Gives the number of paths. */
static uint32_t
draw_paths(struct sim_plan *plan, const struct shape *shape, uint32_t phases, struct dpc_buf *yaml)
{
    struct dpc_rng rng;
    bool twice = phases == 0 || shape->own;
    uint32_t combinations = 1;
    dpc_rng_init(&rng, plan->seed, DPC_RNG_TEST, STREAM_PATHS, 0, 0);
    plan->listed = dpc_rng_below(&rng, 5) == 0;
    for (uint32_t i = 0; i < shape->digits; i++)
        combinations *= shape->modules[i] + shape->identity[i];
    if (!plan->listed)
        return combinations;
    if (!twice || combinations > LISTED_MAX / 2 || dpc_rng_below(&rng, 3))
        return draw_list(&rng, shape, twice, yaml);
    uint32_t replicas = between(&rng, 2, LISTED_MAX / combinations);
    dpc_buf_printf(yaml, "replicas: %u\n", replicas);
    return combinations * replicas;
}

/* In a third of the seeds with discriminative phases some paths score a document, not all. */
static void
draw_routing(struct sim_plan *plan, uint32_t paths, uint32_t phases, struct dpc_buf *yaml)
{
    struct dpc_rng rng;
    dpc_rng_init(&rng, plan->seed, DPC_RNG_TEST, STREAM_ASKED, 0, 0);
    dpc_buf_printf(yaml, "routing: {prefix: 8, phases: %u", phases);
    if (phases && paths > 1 && dpc_rng_below(&rng, 3) == 0)
        dpc_buf_printf(yaml, ", score_paths: %u", between(&rng, 2, paths));
    if (dpc_rng_below(&rng, 6) == 0)
        dpc_buf_printf(yaml, ", features: ngrams");
    dpc_buf_printf(yaml, "}\n");
}

/* Modules that wait for a part of their paths, for a while. */
static void
draw_elastic(struct dpc_rng *rng, struct dpc_buf *yaml)
{
    dpc_buf_printf(yaml, ", quorum: %.2f, grace: %.2f, late: %s", 0.25 + 0.75 * dpc_rng_unit(rng),
                   2 * dpc_rng_unit(rng) * dpc_rng_unit(rng),
                   dpc_rng_below(rng, 3) ? "discount" : "refuse");
}

/* How deltas are merged, and how routed modules begin: other arithmetic on the same way. */
static void
draw_forms(uint64_t seed, struct dpc_buf *outer, struct dpc_buf *warm_start)
{
    static const char *const rescales[] = {"sqrt", "sqrt", "rda", "none"};
    static const char *const begins[] = {"copy", "copy", "noise", "drop"};
    struct dpc_rng rng;
    dpc_rng_init(&rng, seed, DPC_RNG_TEST, STREAM_FORMS, 0, 0);
    dpc_buf_printf(outer, ", rescale: %s", rescales[dpc_rng_below(&rng, 4)]);
    dpc_buf_printf(warm_start, ", init: %s", begins[dpc_rng_below(&rng, 4)]);
}

/* By a stream of its own: what the others draw stays what it is. */
static void
draw_early_stopping(struct sim_plan *plan, struct dpc_buf *yaml)
{
    struct dpc_rng rng;
    dpc_rng_init(&rng, plan->seed, DPC_RNG_TEST, STREAM_EARLY_STOPPING, 0, 0);
    plan->early_stopping = dpc_rng_below(&rng, 4) == 0;
    dpc_buf_printf(yaml, "early_stopping: %s\n", plan->early_stopping ? "true" : "false");
}

/* New routes at evaluation need several paths. */
static void
draw_reroute(const struct sim_plan *plan, struct dpc_buf *yaml)
{
    struct dpc_rng rng;
    struct dpc_error err;
    struct dpc_experiment *experiment = dpc_alloc(1, sizeof *experiment);
    dpc_rng_init(&rng, plan->seed, DPC_RNG_TEST, STREAM_REROUTE, 0, 0);
    if (dpc_rng_below(&rng, 3) == 0 &&
        dpc_experiment_parse("plan", dpc_buf_text(yaml), yaml->len, experiment, &err) == DPC_OK &&
        dpc_experiment_paths(experiment) > 1)
        dpc_buf_printf(yaml, "reroute: {every: [16, 64]}\n");
    dpc_free(experiment);
}

/* Some have no warm start, since the model came trained; some have it on several paths. */
static void
put_warm_start(uint64_t seed, uint32_t steps, const char *forms, struct dpc_buf *yaml)
{
    struct dpc_rng rng;
    dpc_rng_init(&rng, seed, DPC_RNG_TEST, STREAM_IMPORTED, 0, 0);
    bool imported = dpc_rng_below(&rng, 8) == 0;
    uint32_t replicas = dpc_rng_below(&rng, 2) ? between(&rng, 2, 4) : 1;
    dpc_buf_printf(yaml, "warm_start: {steps: %u, replicas: %u, from: %s%s}\n",
                   imported ? 0 : steps, replicas, imported ? "model" : "none", forms);
}

/* In half of the seeds deltas and versions may travel in a form that loses something. */
static void
put_transfer(uint64_t seed, const char *path_state, struct dpc_buf *yaml)
{
    static const char *const codecs[] = {"fp32", "bf16", "int8", "nf4"};
    struct dpc_rng rng;
    dpc_rng_init(&rng, seed, DPC_RNG_TEST, STREAM_TRANSFER, 0, 0);
    uint32_t choices = dpc_rng_below(&rng, 2) ? 4 : 1;
    const char *upload = codecs[dpc_rng_below(&rng, choices)];
    const char *download = codecs[dpc_rng_below(&rng, choices)];
    dpc_buf_printf(yaml, "transfer: {path_state: %s, upload: %s, download: %s}\n", path_state,
                   upload, download);
}

/* Workers that belong to anybody. */
static void
put_trust(struct sim_plan *plan, struct dpc_buf *yaml)
{
    struct dpc_rng rng;
    dpc_rng_init(&rng, plan->seed, DPC_RNG_TEST, STREAM_TRUST, 0, 0);
    plan->open = dpc_rng_below(&rng, 4) == 0;
    dpc_buf_printf(yaml, "trust: %s\n", plan->open ? "open" : "closed");
    if (plan->elastic)
        plan->audits = dpc_rng_below(&rng, 2);
}

static void
draw_experiment(struct sim_plan *plan, struct dpc_rng *rng)
{
    static const char *const states[] = {"ship", "ship", "reset", "local"};
    static const char *const weights[] = {"shard", "uniform", "tokens"};
    struct dpc_buf yaml, outer, warm_start;
    struct shape shape = {0};
    dpc_buf_init(&yaml, 0);
    dpc_buf_init(&outer, 0);
    dpc_buf_init(&warm_start, 0);
    draw_forms(plan->seed, &outer, &warm_start);
    plan->elastic = dpc_rng_below(rng, 3) == 0;
    if (plan->elastic)
        draw_elastic(rng, &outer);
    plan->sampled = dpc_rng_below(rng, 4) == 0;
    if (plan->sampled)
        dpc_buf_printf(&outer, ", sample: %.2f", 0.2 + 0.8 * dpc_rng_unit(rng));
    dpc_buf_printf(&yaml, "experiment: sim\n"
                          "data: {corpus: corpus}\n"
                          "model: {dim: 16, heads: 2, ffn: 32, context: 32}\n");
    draw_levels(plan->seed, rng, &shape, &yaml);
    plan->levels = shape.digits + shape.own;
    for (uint32_t i = 0; i < shape.digits; i++)
        plan->skips |= shape.identity[i];
    uint32_t steps = between(rng, 2, 6);
    dpc_buf_printf(&yaml, "inner: {steps: %u, batch: 2}\n", steps);
    uint32_t rounds = between(rng, 1, 4), phases = (uint32_t)dpc_rng_below(rng, rounds);
    dpc_buf_printf(&yaml, "outer: {rounds: %u, weight: %s%s}\n", rounds,
                   weights[dpc_rng_below(rng, 3)], dpc_buf_text(&outer));
    uint32_t paths = draw_paths(plan, &shape, phases, &yaml);
    draw_routing(plan, paths, phases, &yaml);
    dpc_buf_printf(&yaml, "baseline: {dense: %s}\n", dpc_rng_below(rng, 4) ? "true" : "false");
    put_warm_start(plan->seed, between(rng, 1, 3 * steps), dpc_buf_text(&warm_start), &yaml);
    put_transfer(plan->seed, states[dpc_rng_below(rng, plan->elastic ? 4 : 3)], &yaml);
    dpc_buf_printf(&yaml, "keep_rounds: 1\n"); /* a sweep then has most to remove */
    dpc_buf_printf(&yaml, "mode: %s\n", plan->elastic ? "elastic" : "strict");
    plan->audits = !plan->elastic && dpc_rng_below(rng, 2) == 0;
    put_trust(plan, &yaml);
    dpc_buf_printf(&yaml, "audit: %s\n", plan->audits ? "0.7" : "0");
    draw_early_stopping(plan, &yaml);
    draw_reroute(plan, &yaml);
    (void)snprintf(plan->yaml, sizeof plan->yaml, "%s", dpc_buf_text(&yaml));
    dpc_buf_done(&warm_start);
    dpc_buf_done(&outer);
    dpc_buf_done(&yaml);
    plan->documents = between(rng, 100, 1800);
    plan->test_documents = between(rng, 10, 80);
    plan->effect_ms = between(rng, 1, 2000);
}

static void
draw_faults(struct sim_plan *plan, struct dpc_rng *rng)
{
    plan->workers = between(rng, 2, 8);
    if (dpc_rng_below(rng, 50) == 0)
        plan->workers = SIM_WORKERS_MAX;
    plan->loss = 0.30 * dpc_rng_unit(rng) * dpc_rng_unit(rng);
    plan->duplication = 0.50 * dpc_rng_unit(rng);
    plan->delay_ms = between(rng, 1, dpc_rng_below(rng, 4) ? 100 : 3000);
    plan->crash_point = dpc_rng_below(rng, 3) ? 0.05 * dpc_rng_unit(rng) : 0;
    plan->chaos_ms = between(rng, 500, 30000);
    plan->heal_ms = between(rng, 10, dpc_rng_below(rng, 10) ? 300 : 3600) * 1000;
    plan->step_ms = between(rng, 20, 2000);
    plan->transfer_ms = between(rng, 5, 3000);
    plan->transfer_failure = 0.1 * dpc_rng_unit(rng);
    plan->blob_loss = 0.1 * dpc_rng_unit(rng);
    plan->not_finite = dpc_rng_below(rng, 4) ? 0 : 0.5 * dpc_rng_unit(rng);
}

/* Some runs have sound disks, so that other faults reach far. */
static void
draw_disk_faults(struct sim_plan *plan, struct dpc_rng *rng)
{
    uint32_t least = plan->levels < 3 ? 3 * 1024 : 5 * 1024; /* for one lease alone */
    plan->cache_bytes = between(rng, least, dpc_rng_below(rng, 4) ? least + 64 : 64 * 1024);
    if (dpc_rng_below(rng, 4) == 0)
        return;
    plan->disk_chance = 0.5 * dpc_rng_unit(rng);
    plan->operations_mean = dpc_rng_below(rng, 3) ? between(rng, 50, 2000) : 0;
    plan->worker_operations_mean = dpc_rng_below(rng, 3) ? between(rng, 50, 2000) : 0;
    plan->read_failure = dpc_rng_below(rng, 2) ? 0.002 * dpc_rng_unit(rng) : 0;
    plan->lies = dpc_rng_below(rng, 3) == 0;
}

/* Half of the runs in which it could train anything. */
static bool
draw_weak(const struct sim_plan *plan)
{
    struct dpc_rng rng;
    dpc_rng_init(&rng, plan->seed, DPC_RNG_TEST, STREAM_WEAK, 0, 0);
    return plan->skips && dpc_rng_below(&rng, 2);
}

/* In half of the runs that have more than an audit wants. */
static uint32_t
draw_known(const struct sim_plan *plan)
{
    struct dpc_rng rng;
    dpc_rng_init(&rng, plan->seed, DPC_RNG_TEST, STREAM_KNOWN, 0, 0);
    bool few = plan->workers > KNOWN_MIN && dpc_rng_below(&rng, 2) == 0;
    return few ? KNOWN_MIN : plan->workers;
}

void
sim_plan_draw(struct sim_plan *plan, uint64_t seed, bool faults)
{
    struct dpc_rng rng;
    memset(plan, 0, sizeof *plan);
    plan->seed = seed;
    plan->faults = faults;
    dpc_rng_init(&rng, seed, DPC_RNG_TEST, STREAM_EXPERIMENT, 0, 0);
    draw_experiment(plan, &rng);
    plan->workers = plan->known = 1;
    plan->delay_ms = plan->step_ms = plan->transfer_ms = 1;
    plan->limit_ms = 24 * 3600 * 1000;
    plan->cache_bytes = 64 * 1024;
    dpc_rng_init(&rng, seed, DPC_RNG_TEST, STREAM_FAULTS, 0, 0);
    if (!faults)
        return;
    draw_faults(plan, &rng);
    draw_disk_faults(plan, &rng);
    plan->rollbacks = dpc_rng_below(&rng, 2) ? between(&rng, 1, 3) : 0;
    plan->weak = draw_weak(plan);
    plan->known = draw_known(plan);
    plan->bars = dpc_rng_below(&rng, 3) == 0;
    plan->revokes = dpc_rng_below(&rng, 2) ? 0 : between(&rng, 1, 3);
    plan->drains = dpc_rng_below(&rng, 3) == 0;
    plan->one_lease = dpc_rng_below(&rng, 8) == 0;
    plan->limit_ms = plan->heal_ms + 48 * 3600 * 1000;
}

void
sim_plan_print(const struct sim_plan *plan)
{
    printf("%sworkers %u, known %u, loss %.2f, duplication %.2f, delay %lld ms, crash points %.3f, "
           "a fault "
           "every %lld ms, healed after %lld ms, step %lld ms, transfer %lld ms\n"
           "disk: faults %.2f, ends every %u operations (workers %u), reads fail %.4f, lies %d, "
           "caches of %u bytes\nrollbacks: %u, revokes: %u, bars %d, drains %d, one lease %d\n",
           plan->yaml, plan->workers, plan->known, plan->loss, plan->duplication,
           (long long)plan->delay_ms, plan->crash_point, (long long)plan->chaos_ms,
           (long long)plan->heal_ms, (long long)plan->step_ms, (long long)plan->transfer_ms,
           plan->disk_chance, plan->operations_mean, plan->worker_operations_mean,
           plan->read_failure, plan->lies, plan->cache_bytes, plan->rollbacks, plan->revokes,
           plan->bars, plan->drains, plan->one_lease);
}
