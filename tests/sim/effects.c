/* SPDX-License-Identifier: Apache-2.0
 * The executor's work. What it makes is a pure function of what is in the store, so it is made at
 * once; the answer comes later, or never. Outer steps are the real ones. */
#include <string.h>

#include "base/alloc.h"
#include "base/tensor_blob.h"
#include "base/upcycle.h"
#include "coordinator/versions/outer.h"
#include "ops/ops.h"
#include "tests/sim/sim.h"

/* What was put off for want of room is tried again after. */
enum { ROOM_MS = 1000 };

struct dpc_hash
sim_put_blob(struct sim *sim, const void *bytes, size_t len)
{
    struct dpc_hash hash = dpc_hash_none;
    struct dpc_error err;
    int code = dpc_store_blob_put(sim->coordinator.store, bytes, len, &hash, &err);
    if (code != DPC_OK && !sim_ran_out(sim, code))
        sim_coordinator_broke(sim, code, err.text);
    return hash;
}

bool
sim_has_blob(struct sim *sim, const struct dpc_hash *hash)
{
    uint64_t bytes;
    return dpc_store_blob_size(sim->coordinator.store, hash, &bytes) == DPC_OK;
}

/* A token file is its name here. */
static struct dpc_blob_ref
put_data(struct sim *sim, const char *name, uint32_t path, const struct dpc_hash *with)
{
    uint8_t bytes[16 + sizeof path + DPC_HASH_BYTES] = {0};
    memcpy(bytes, name, strlen(name));
    memcpy(bytes + 16, &path, sizeof path);
    if (with)
        memcpy(bytes + 16 + sizeof path, with->bytes, DPC_HASH_BYTES);
    return (struct dpc_blob_ref){sim_put_blob(sim, bytes, sizeof bytes), sizeof bytes};
}

struct dpc_hash
sim_put_tensor(struct sim *sim, uint64_t key)
{
    float values[SIM_FLOATS];
    struct dpc_rng rng;
    struct dpc_buf blob;
    dpc_rng_init(&rng, sim->plan.seed, DPC_RNG_INIT, (uint32_t)key, 0, 0);
    for (uint32_t i = 0; i < SIM_FLOATS; i++)
        values[i] = (float)(dpc_rng_unit(&rng) - 0.5);
    dpc_buf_init(&blob, 0);
    dpc_tensor_blob_write(&blob, values, SIM_FLOATS);
    struct dpc_hash hash = sim_put_blob(sim, blob.data, blob.len);
    dpc_buf_done(&blob);
    return hash;
}

static void
prepare(struct sim *sim, struct dpc_event *event)
{
    struct dpc_prepared *prepared = &event->prepared;
    if (dpc_core_warm_rounds(sim->coordinator.core) == 0)
        sim_mark(sim, SIM_MARK_IMPORTED);
    event->type = DPC_EVENT_PREPARED;
    prepared->corpus = put_data(sim, "corpus", 0, NULL).hash;
    prepared->tokenizer = put_data(sim, "tokenizer", 0, NULL).hash;
    for (uint32_t level = 0; level < sim->coordinator.experiment.levels_count; level++)
        prepared->modules[level] = sim_put_tensor(sim, level);
    prepared->prefixes = put_data(sim, "prefixes", 0, NULL);
    prepared->documents = sim->plan.documents;
    prepared->train = put_data(sim, "train", 0, NULL);
    prepared->train_documents = sim->plan.documents;
    prepared->test = put_data(sim, "test", 0, NULL);
    prepared->test_documents = sim->plan.test_documents;
    if (!sim->plan.early_stopping)
        return;
    prepared->early_stop = put_data(sim, "early stop", 0, NULL);
    prepared->early_stop_documents = sim->plan.documents;
}

/* Results that a router is made of. */
struct gathered {
    struct dpc_buf hashes;
    uint32_t phase; /* the discriminative one that ends */
    uint64_t scores;
};

static bool
gather(void *context, const struct dpc_result_record *record)
{
    struct gathered *gathered = context;
    if (record->kind == DPC_TASK_FEATURIZE || record->kind == DPC_TASK_SCORE)
        dpc_buf_put(&gathered->hashes, record->result.bytes, DPC_HASH_BYTES);
    if (record->kind == DPC_TASK_SCORE && record->phase == gathered->phase)
        gathered->scores += record->to - record->from;
    return true;
}

/* Each document has been scored by as many paths as the experiment says. */
static void
check_scores(struct sim *sim, const struct gathered *gathered)
{
    const struct dpc_experiment *experiment = &sim->coordinator.experiment;
    uint32_t asked = dpc_experiment_score_paths(experiment);
    uint64_t owed = (uint64_t)dpc_core_phase(sim->coordinator.core)->scored_documents * asked;
    sim_mark(sim, SIM_MARK_ROUTED_ANEW);
    if (asked < dpc_core_topology(sim->coordinator.core)->routed_paths)
        sim_mark(sim, SIM_MARK_ROUTED_BY_SOME);
    if (gathered->scores != owed)
        sim_fail(sim, "%llu scores were gathered, not %llu", (unsigned long long)gathered->scores,
                 (unsigned long long)owed);
}

/* Each module with a content of its own, made of the dense one, where the experiment has it so. */
static void
begin_modules(struct sim *sim, struct sim_effect *effect)
{
    const struct dpc_topology *topology = dpc_core_topology(sim->coordinator.core);
    uint32_t path = dpc_topology_dense_path(topology);
    for (uint32_t module = 0; module < topology->routed_modules; module++) {
        uint32_t level = dpc_topology_module_level(topology, module);
        uint32_t dense = dpc_topology_module(topology, path, level);
        struct dpc_version_record warm;
        struct dpc_error err;
        uint64_t key;
        if (dpc_load_version(sim->coordinator.kv, dense,
                             dpc_core_warm_rounds(sim->coordinator.core), &warm, &err) != DPC_OK) {
            sim_fail(sim, "the warm start ended without its version: %s", err.text);
            return;
        }
        memcpy(&key, warm.master.bytes, sizeof key);
        effect->modules[module] = dpc_upcycle_changes(&sim->coordinator.experiment, level)
                                      ? sim_put_tensor(sim, key + module)
                                      : warm.master;
    }
    effect->event.sharded.modules = effect->modules;
}

/* Some paths have none. */
static void
put_early_stop(struct sim *sim, uint32_t path, const struct dpc_hash *router,
               struct dpc_shard *shard)
{
    if (!sim->plan.early_stopping || path % 4 == 2)
        return;
    shard->early_stop = put_data(sim, "early stop", 1 + path, router);
    shard->early_stop_documents = sim->plan.test_documents;
}

/* The router depends on all features and scores, the shards on the router: a wrong one shows at the
 * end. */
static void
shard(struct sim *sim, struct sim_effect *effect)
{
    const struct dpc_phase_record *phase = dpc_core_phase(sim->coordinator.core);
    struct gathered gathered = {.phase = phase->routing_phases + 1};
    struct dpc_error err;
    struct dpc_sharded *sharded = &effect->event.sharded;
    effect->event.type = DPC_EVENT_SHARDED;
    dpc_buf_init(&gathered.hashes, 0);
    if (dpc_scan_results(sim->coordinator.kv, gather, &gathered, &err) != DPC_OK)
        sim_fail(sim, "results could not be read: %s", err.text);
    sharded->router = sim_put_blob(sim, gathered.hashes.data, gathered.hashes.len);
    dpc_buf_done(&gathered.hashes);
    if (sim->coordinator.experiment.routing.phases) {
        sharded->scored = put_data(sim, "scored", 0, NULL);
        sharded->scored_documents = sim->plan.test_documents;
    }
    if (sim->coordinator.experiment.reroute.every_count) {
        sharded->traced = put_data(sim, "traced", 0, &sharded->router);
        sharded->routes = put_data(sim, "routes", 0, &sharded->router);
        sharded->traced_train = 5;
        sharded->traced_learned = 5 + sim->plan.test_documents / 3;
        sharded->traced_router = 5 + sim->plan.test_documents / 2;
        sharded->traced_documents = 5 + sim->plan.test_documents;
    }
    if (phase->phase == DPC_PHASE_FIT)
        check_scores(sim, &gathered);
    else if (sim->coordinator.experiment.warm_start.init != DPC_BEGIN_COPY)
        begin_modules(sim, effect);
    sharded->paths_count = dpc_core_topology(sim->coordinator.core)->routed_paths;
    for (uint32_t i = 0; i < sharded->paths_count; i++) {
        effect->shards[i] = (struct dpc_shard){
            .train = put_data(sim, "shard", i, &sharded->router),
            .test = i % 3 == 1 ? (struct dpc_blob_ref){.bytes = 0}
                               : put_data(sim, "held out", i, &sharded->router),
            .train_documents = 100 + 7 * i,
            .window_tokens = 10 + i % 5,
            .train_tokens = 10000,
            .test_documents = i % 3 == 1 ? 0 : sim->plan.test_documents,
        };
        put_early_stop(sim, i, &sharded->router, &effect->shards[i]);
    }
}

static void
fold(struct sim *sim, const struct dpc_fold *asked, struct dpc_event *event)
{
    struct dpc_fold small = *asked;
    struct dpc_error err;
    bool *before = &sim->memory->asked[asked->module][asked->version];
    if (*before)
        sim_mark(sim, SIM_MARK_FOLD_AGAIN);
    *before = true;
    uint64_t *inputs = &sim->memory->inputs[asked->module][asked->version];
    *inputs = 0;
    for (uint32_t i = 0; i < asked->inputs_count; i++)
        *inputs = sim_inputs_hash(*inputs, asked->inputs[i].path, asked->inputs[i].lease,
                                  &asked->inputs[i].delta, asked->inputs[i].weight);
    small.count = SIM_FLOATS;
    event->type = DPC_EVENT_FOLDED;
    int code =
        dpc_outer_fold(sim->coordinator.store, dpc_ops_cpu(DPC_FP32), &small, &event->folded, &err);
    if (code != DPC_OK && !sim_ran_out(sim, code))
        sim_coordinator_broke(sim, code, err.text);
}

/* False: it found no room, or the coordinator broke over it. */
static bool
do_effect(struct sim *sim, struct sim_effect *effect)
{
    struct dpc_event *event = &effect->event;
    *event = (struct dpc_event){0};
    switch (effect->asked.type) {
    case DPC_EFFECT_PREPARE:
        prepare(sim, event);
        break;
    case DPC_EFFECT_SHARD:
        shard(sim, effect);
        event->sharded.paths = effect->shards;
        break;
    case DPC_EFFECT_FOLD:
        fold(sim, &effect->asked.fold, event);
        break;
    case DPC_EFFECT_LABEL:
        sim_label(sim, event);
        break;
    case DPC_EFFECT_REPORT:
        event->type = DPC_EVENT_REPORTED;
        break;
    }
    return !sim->coordinator.broken && !sim->coordinator.paused;
}

/* Takes the effect. */
static void
begin(struct sim *sim, struct sim_effect *effect)
{
    struct sim_event event = {.type = SIM_EFFECT,
                              .life = sim->coordinator.life,
                              .number = sim->coordinator.sweeps,
                              .payload = effect};
    effect->put_off = !sim_has_room(sim) || !do_effect(sim, effect);
    if (sim->coordinator.broken) {
        dpc_free(effect);
        return;
    }
    if (!sim_healed(sim) && sim_chance(sim, sim->plan.disk_chance / 20))
        sim_fill_disk(sim, SIM_NOBODY); /* while it is under way */
    sim_add(sim, effect->put_off ? ROOM_MS : sim_draw_ms(sim, sim->plan.effect_ms), event);
}

static struct sim_effect *
copy_asked(const struct dpc_effect *asked)
{
    struct sim_effect *effect = dpc_alloc(1, sizeof *effect);
    effect->asked = *asked;
    if (asked->type == DPC_EFFECT_FOLD) {
        memcpy(effect->inputs, asked->fold.inputs,
               asked->fold.inputs_count * sizeof *effect->inputs);
        effect->asked.fold.inputs = effect->inputs;
    }
    return effect;
}

void
sim_start_effects(struct sim *sim)
{
    struct dpc_actions *actions = &sim->coordinator.actions;
    for (uint32_t i = 0; i < actions->effects_count && !sim->failure[0] && !sim->coordinator.broken;
         i++) {
        sim_note(sim, "effect begins type=%d module=%u version=%u", actions->effects[i].type,
                 actions->effects[i].fold.module, actions->effects[i].fold.version);
        begin(sim, copy_asked(&actions->effects[i]));
    }
}

bool
sim_effect_is_done(struct sim *sim, const struct sim_event *event)
{
    struct sim_effect *effect = event->payload;
    if (!effect->put_off && sim_has_room(sim))
        return true;
    if (effect->asked.type == DPC_EFFECT_FOLD &&
        !dpc_core_wants(sim->coordinator.core, &effect->asked.fold))
        return false; /* as coordinator/space.c: what it would read may have been swept */
    struct sim_effect *again = copy_asked(&effect->asked);
    if (sim_has_room(sim))
        sim_mark(sim, SIM_MARK_JOB_AGAIN);
    begin(sim, again);
    sim_coordinator_end_if_broken(sim);
    return false;
}
