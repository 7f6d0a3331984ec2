/* SPDX-License-Identifier: Apache-2.0
 * Contents are hashes of what they were made from, as the core never looks into a blob. */
#include "tests/fuzz/core_rig.h"

#include <math.h>

#include "base/alloc.h"
#include "tests/fuzz/fuzz.h"

/* --- Experiments. */

#define HEAD                                                                                       \
    "experiment: x\ndata: {corpus: c}\nmodel: {dim: 16, heads: 2, ffn: 32, context: 32}\n"         \
    "inner: {steps: 4, batch: 2}\nwarm_start: {steps: 6"
#define GRID                                                                                       \
    "levels:\n  - {name: a, parts: [embedding, {blocks: 1}], modules: 2}\n"                        \
    "  - {name: b, parts: [{blocks: 1}, head], modules: 2}\n"

static const char *const yamls[RIG_EXPERIMENTS] = {
    HEAD "}\n" GRID "routing: {prefix: 8}\nouter: {rounds: 3}\naudit: 1\nkeep_rounds: 3\n",
    HEAD "}\n" GRID "routing: {prefix: 8}\nmode: elastic\n"
         "outer: {rounds: 4, quorum: 0.5, grace: 0.5, late: discount}\n",
    HEAD "}\n" GRID "routing: {prefix: 8}\ntrust: open\nouter: {rounds: 3}\naudit: 0.5\n",
    "early_stopping: true\n" HEAD "}\n" GRID "routing: {prefix: 8, phases: 1}\nmode: elastic\n"
    "outer: {rounds: 4, late: discount}\ntransfer: {path_state: local}\nkeep_rounds: 2\n",
    HEAD ", replicas: 2}\n" GRID "routing: {prefix: 8, features: ngrams}\n"
         "reroute: {every: [16, 32]}\nouter: {rounds: 2}\nnumeric_class: any\n",
    HEAD "}\nlevels:\n  - {name: a, parts: [embedding, {blocks: 1}], modules: 2}\n"
         "  - {name: b, parts: [{blocks: 1}], modules: 2, identity: true}\n"
         "  - {name: c, parts: [{blocks: 1}, head], modules: 1}\n"
         "routing: {prefix: 8}\nmode: elastic\nouter: {rounds: 4, sample: 0.6}\n",
};

static const struct dpc_experiment *
find_experiment(uint8_t which)
{
    static struct dpc_experiment *parsed[RIG_EXPERIMENTS];
    struct dpc_error err;
    if (!parsed[which]) {
        const char *yaml = yamls[which];
        parsed[which] = dpc_alloc(1, sizeof **parsed);
        int code = dpc_experiment_parse("rig", yaml, strlen(yaml), parsed[which], &err);
        fuzz_require(code == DPC_OK, code == DPC_OK ? "" : err.text);
    }
    return parsed[which];
}

const struct dpc_topology *
rig_topology(const struct rig *rig)
{
    return dpc_core_topology(rig->core);
}

void
rig_key(uint8_t worker, uint8_t ret_key[static DPC_WORKER_KEY_BYTES])
{
    memset(ret_key, worker + 1, DPC_WORKER_KEY_BYTES);
}

static struct dpc_hash
hash_of(const char *what, uint32_t a, uint32_t b, const struct dpc_hash *with)
{
    struct dpc_buf bytes;
    struct dpc_hash hash;
    dpc_buf_init(&bytes, 0);
    dpc_buf_printf(&bytes, "%s %u %u ", what, a, b);
    if (with)
        dpc_buf_put(&bytes, with->bytes, sizeof with->bytes);
    dpc_hash_of(bytes.data, bytes.len, &hash);
    dpc_buf_done(&bytes);
    return hash;
}

static struct dpc_blob_ref
blob_of(const char *what, uint32_t number)
{
    return (struct dpc_blob_ref){hash_of(what, number, 0, NULL), 64};
}

/* --- What must hold. */

/* Before the write: history only grows. */
static void
check_operation(void *context, enum dpc_kv_family family, const uint8_t *key, size_t key_len,
                const uint8_t *value, size_t value_len)
{
    struct dpc_kv *kv = context;
    struct dpc_error err;
    uint8_t *old;
    size_t old_len;
    if (family != DPC_KV_HISTORY || kv->ops->get(kv, family, key, key_len, &old, &old_len, &err))
        return;
    fuzz_require(value && value_len == old_len && memcmp(value, old, old_len) == 0,
                 "no record of history is written over");
    dpc_free(old);
}

static void
check_paths(struct rig *rig)
{
    for (uint32_t i = 0; i < rig_topology(rig)->paths_count; i++) {
        const struct dpc_path_record *path = dpc_core_path(rig->core, i);
        struct dpc_why_path why;
        fuzz_require(path->rounds_done >= rig->rounds_done[i] &&
                         path->rounds_done <= dpc_core_path_rounds(rig->core, i),
                     "a path goes on, and not past its end");
        fuzz_require(path->rounds_done == dpc_core_path_rounds(rig->core, i) ||
                         path->part_steps < dpc_core_round_steps(rig->core, i, path->rounds_done),
                     "a part is less than its round");
        rig->rounds_done[i] = path->rounds_done;
        dpc_core_why_path(rig->core, i, rig->now_ms, &why);
    }
}

static void
check_modules(struct rig *rig)
{
    for (uint32_t i = 0; i < rig_topology(rig)->modules_count; i++) {
        const struct dpc_module_record *module = dpc_core_module(rig->core, i);
        struct dpc_why_module why;
        dpc_core_why_module(rig->core, i, rig->now_ms, &why);
        if (!module)
            continue;
        fuzz_require(module->version >= rig->versions[i], "versions grow");
        fuzz_require(!dpc_hash_is_none(&module->published) && why.round <= why.rounds,
                     "a module has content, and goes not past its end");
        fuzz_require(module->version > rig->versions[i] || dpc_hash_is_none(&rig->published[i]) ||
                         dpc_hash_equal(&rig->published[i], &module->published),
                     "a version's content stays");
        rig->versions[i] = module->version;
        rig->published[i] = module->published;
    }
}

/* Whose path was not rolled back meanwhile, and whose worker is not barred. */
static bool
may_stand(const struct rig *rig, const struct dpc_lease_view *view)
{
    const struct dpc_topology *topology = rig_topology(rig);
    bool may = true;
    for (uint32_t i = 0; i < dpc_core_workers_count(rig->core); i++) {
        int64_t silent_ms;
        bool connected;
        const struct dpc_worker_record *worker =
            dpc_core_worker_at(rig->core, i, rig->now_ms, &silent_ms, &connected);
        may &= worker->standing == DPC_STANDING_GOOD ||
               memcmp(worker->key, view->worker, sizeof worker->key) != 0;
    }
    uint32_t length = dpc_topology_path_length(topology, view->path);
    for (uint32_t i = 0; view->kind == DPC_TASK_TRAIN && i < length; i++) {
        uint32_t module = dpc_topology_path_module(topology, view->path, i);
        may &= view->serial >= dpc_core_module(rig->core, module)->serial_first;
    }
    return may;
}

static void
check_leases(const struct rig *rig)
{
    uint32_t count = dpc_core_leases_count(rig->core);
    fuzz_require(count <= DPC_LEASES_MAX * RIG_WORKERS &&
                     dpc_core_workers_count(rig->core) <= RIG_WORKERS,
                 "leases and workers are as many as may be");
    for (uint32_t i = 0; i < count; i++) {
        struct dpc_lease_view view;
        dpc_core_lease_at(rig->core, i, rig->now_ms, &view);
        (void)dpc_core_backup_in(rig->core, i, rig->now_ms);
        fuzz_require(may_stand(rig, &view), "a lease is void with its worker and its versions");
        if (view.serial >= RIG_SERIALS_MAX)
            continue;
        const struct rig_grant *grant = &rig->grants[view.serial];
        fuzz_require(grant->left && view.worker[0] == grant->worker + 1 &&
                         view.path == grant->path && view.kind == grant->kind,
                     "a lease is one that was granted");
        fuzz_require(view.steps_done <= view.steps_count, "nobody does more than is asked for");
    }
}

static void
check_looks(struct rig *rig)
{
    uint64_t done, total;
    struct dpc_why_worker why;
    check_paths(rig);
    check_modules(rig);
    check_leases(rig);
    dpc_core_progress(rig->core, &done, &total);
    fuzz_require(done <= total, "no more is done than there is to do");
    for (uint8_t i = 0; i <= RIG_WORKERS; i++) { /* the last is unknown */
        uint8_t key[DPC_WORKER_KEY_BYTES];
        rig_key(i, key);
        dpc_core_why_worker(rig->core, key, rig->now_ms, &why);
        fuzz_require(why.tasks.chunks_left <= why.tasks.chunks, "no more is left than there is");
    }
}

static void
check_fold(const struct rig *rig, const struct dpc_fold *fold)
{
    const struct dpc_topology *topology = rig_topology(rig);
    double weights = 0;
    fuzz_require(fold->module < topology->modules_count && fold->inputs_count > 0,
                 "an outer step merges something");
    fuzz_require(fold->version == dpc_core_module(rig->core, fold->module)->version + 1,
                 "an outer step makes the next version");
    fuzz_require(isfinite(fold->rescale) && isfinite(fold->lr) && isfinite(fold->mu),
                 "an outer step has rates");
    for (uint32_t i = 0; i < fold->inputs_count; i++) {
        const struct dpc_fold_input *input = &fold->inputs[i];
        weights += input->weight;
        fuzz_require(input->path < topology->paths_count &&
                         dpc_topology_uses(topology, input->path, fold->module),
                     "an input is of a path through the module");
        fuzz_require(input->weight > 0 && input->weight <= 1 && input->steps > 0 &&
                         !dpc_hash_is_none(&input->delta),
                     "an input has weight and content");
        const struct dpc_fold_input *before = i ? input - 1 : NULL;
        bool known = input->lease < RIG_SERIALS_MAX;
        fuzz_require(!before || before->path < input->path ||
                         (before->path == input->path && before->late > input->late),
                     "inputs stand in path order, what is late first");
        fuzz_require(!known || rig->grants[input->lease].accepted, "an input was accepted");
        fuzz_require(!known || !rig->grants[input->lease].revoked, "an input was not revoked");
        fuzz_require(input->lease >= dpc_core_module(rig->core, fold->module)->serial_first,
                     "an input was learned from no version that was discarded");
    }
    fuzz_require(fabs(weights - 1) < 1e-9, "weights sum to 1");
}

/* --- Replies. */

static bool
is_answer(enum dpc_event_type event, enum dpc_msg_type reply)
{
    static const enum dpc_msg_type answers[][3] = {
        [DPC_EVENT_HELLO] = {DPC_MSG_WELCOME},
        [DPC_EVENT_ASK] = {DPC_MSG_LEASE, DPC_MSG_WAIT},
        [DPC_EVENT_HEARTBEAT] = {DPC_MSG_HEARTBEAT_ACK},
        [DPC_EVENT_SUBMIT] = {DPC_MSG_SUBMITTED},
        [DPC_EVENT_GIVE_BACK] = {DPC_MSG_ACK},
        [DPC_EVENT_LEAVE] = {DPC_MSG_ACK},
    };
    return reply == DPC_MSG_ERROR || reply == answers[event][0] || reply == answers[event][1];
}

/* A worker can read it. */
static void
check_wire(const struct dpc_msg *reply)
{
    static struct dpc_msg_arena *arena;
    struct dpc_msg again;
    struct dpc_error err;
    struct dpc_buf frame;
    arena = arena ? arena : dpc_msg_arena_create(DPC_CONTROL_BYTES_MAX * 4);
    dpc_buf_init(&frame, 0);
    int code = dpc_msg_encode(reply, &frame, &err);
    if (code == DPC_OK)
        code = dpc_msg_decode(frame.data, frame.len, arena, &again, &err);
    fuzz_require(code == DPC_OK, code == DPC_OK ? "" : err.text);
    fuzz_require(again.type == reply->type, "a reply is read as what it is");
    dpc_buf_done(&frame);
}

static void
check_training(const struct rig *rig, const struct dpc_msg_lease *lease, bool audit)
{
    const struct dpc_topology *topology = rig_topology(rig);
    fuzz_require(lease->steps_count >= 1 &&
                     lease->steps_count <=
                         dpc_core_round_steps(rig->core, lease->path, lease->round),
                 "a lease is of a round's steps");
    fuzz_require(audit || lease->round == dpc_core_path(rig->core, lease->path)->rounds_done,
                 "a lease is of the path's round");
    uint64_t place = dpc_core_round_place(rig->core, lease->path, lease->round);
    for (uint32_t i = 0; i < lease->levels_count; i++) {
        uint32_t module = dpc_topology_path_module(topology, lease->path, i);
        fuzz_require((lease->step_first > place) == !dpc_hash_is_none(&lease->begins[i].hash),
                     "what goes on names what it goes on from");
        fuzz_require(audit || dpc_hash_equal(&lease->versions[i].hash,
                                             &dpc_core_module(rig->core, module)->published),
                     "a lease names the present versions");
    }
}

static void
check_lease(const struct rig *rig, const struct dpc_msg_lease *lease, uint8_t worker)
{
    const struct dpc_topology *topology = rig_topology(rig);
    fuzz_require(lease->token.incarnation == RIG_INCARNATION && lease->token.serial > 0 &&
                     lease->path < topology->paths_count,
                 "a lease is of a path, under a token");
    fuzz_require(lease->levels_count == dpc_topology_path_length(topology, lease->path) &&
                     !dpc_hash_is_none(&lease->data.hash),
                 "a lease names modules and data");
    for (uint32_t i = 0; i < lease->levels_count; i++)
        fuzz_require(lease->modules[i] == dpc_topology_path_module(topology, lease->path, i) &&
                         !dpc_hash_is_none(&lease->versions[i].hash),
                     "a lease's modules are the path's");
    fuzz_require(lease->kind == DPC_TASK_TRAIN || lease->from < lease->to,
                 "a lease is of some documents");
    if (lease->token.serial >= RIG_SERIALS_MAX)
        return;
    const struct rig_grant *grant = &rig->grants[lease->token.serial];
    fuzz_require(!grant->left || (grant->worker == worker && grant->path == lease->path &&
                                  grant->kind == lease->kind && grant->round == lease->round),
                 "a serial names one lease for ever");
    fuzz_require(!grant->accepted, "a lease that is done is not granted again");
    if (lease->kind == DPC_TASK_TRAIN)
        check_training(rig, lease,
                       lease->round < dpc_core_path(rig->core, lease->path)->rounds_done);
}

static void
note_lease(struct rig *rig, const struct dpc_msg_lease *lease, uint8_t worker)
{
    struct rig_worker *own = &rig->workers[worker];
    check_lease(rig, lease, worker);
    if (own->count == 0 ||
        !dpc_token_equal(own->leases[(own->count - 1) % RIG_KEPT].token, lease->token))
        own->leases[own->count++ % RIG_KEPT] = *lease;
    if (lease->token.serial < RIG_SERIALS_MAX)
        rig->grants[lease->token.serial] = (struct rig_grant){.left = true,
                                                              .worker = worker,
                                                              .kind = lease->kind,
                                                              .path = lease->path,
                                                              .round = lease->round,
                                                              .steps_count = lease->steps_count};
}

/* Before the step: what is accepted now counts for the outer steps that follow from it. */
static void
note_accepted(struct rig *rig, const struct dpc_msg_submit *submit, uint8_t worker)
{
    if (submit->token.serial >= RIG_SERIALS_MAX)
        return;
    struct rig_grant *grant = &rig->grants[submit->token.serial];
    bool again = grant->accepted;
    fuzz_require(grant->left && grant->worker == worker &&
                     submit->token.incarnation == RIG_INCARNATION,
                 "what is accepted was leased to who brings it");
    grant->accepted = true;
    rig->accepted += !again;
    if (again || submit->kind != DPC_TASK_TRAIN)
        return;
    fuzz_require(submit->path == grant->path && submit->round == grant->round &&
                     submit->steps_count <= grant->steps_count,
                 "what is accepted is what was leased");
    bool strict = rig->experiment->mode == DPC_MODE_STRICT;
    uint64_t *first = &rig->merged[submit->path][submit->round % RIG_ROUNDS_MAX];
    bool audit = *first != 0 && *first != submit->token.serial;
    fuzz_require(!strict || !audit || rig->experiment->audit > 0, "a round is accepted once");
    *first = *first ? *first : submit->token.serial;
}

static void
check_reply(struct rig *rig, const struct dpc_event *event, uint8_t worker)
{
    const struct dpc_msg *reply = &rig->actions.reply;
    bool asked = event->type >= DPC_EVENT_HELLO && event->type <= DPC_EVENT_LEAVE;
    fuzz_require(rig->actions.has_reply == asked, "a message has one reply, and nothing else has");
    if (!asked)
        return;
    fuzz_require(is_answer(event->type, reply->type), "a reply is one to its message");
    check_wire(reply);
    if (reply->type == DPC_MSG_WAIT)
        fuzz_require(reply->wait.retry_ms > 0 && reply->wait.retry_ms <= 300 * RIG_HEARTBEAT_MS,
                     "who waits is told how long");
    if (reply->type == DPC_MSG_LEASE)
        note_lease(rig, &reply->lease, worker);
    if (reply->type == DPC_MSG_SUBMITTED && reply->verdict.verdict == DPC_VERDICT_ACCEPTED)
        note_accepted(rig, event->submit.message, worker);
}

/* What was foretold, as in tests/sim/why.c. */
static void
check_foretold(const struct rig *rig, const struct dpc_event *event,
               const struct dpc_why_worker *before)
{
    const struct dpc_msg *reply = &rig->actions.reply;
    bool leased = before->ask == DPC_ASK_LEASE || before->ask == DPC_ASK_AGAIN;
    bool passes = before->lease && before->lease == event->ask.handing_in.serial;
    if (!passes && (before->connected || before->tasks.failing == 0))
        fuzz_require(leased == (reply->type == DPC_MSG_LEASE), "why foretells what comes");
}

/* --- Life. */

static void
take_effects(struct rig *rig)
{
    for (uint32_t i = 0; i < rig->actions.effects_count; i++) {
        struct dpc_effect *effect = &rig->actions.effects[i];
        if (effect->type == DPC_EFFECT_FOLD)
            check_fold(rig, &effect->fold);
        if (rig->effects_count == RIG_EFFECTS_MAX) { /* made idle by rollbacks */
            dpc_free(rig->effects[0].fold.inputs);
            rig->effects_count--;
            memmove(rig->effects, rig->effects + 1, rig->effects_count * sizeof *rig->effects);
        }
        rig->effects[rig->effects_count++] = *effect;
        effect->fold.inputs = NULL;
    }
}

static void
commit(struct rig *rig)
{
    struct dpc_error err;
    if (rig->actions.batch.count == 0)
        return;
    fuzz_require(dpc_kv_batch_each(&rig->actions.batch, check_operation, rig->kv) == DPC_OK,
                 "a batch is walked");
    fuzz_require(rig->kv->ops->write(rig->kv, &rig->actions.batch, &err) == DPC_OK,
                 "a batch is written");
}

void
rig_step(struct rig *rig, struct dpc_event *event, uint8_t worker)
{
    struct dpc_why_worker before;
    rig_key(worker, event->worker);
    dpc_core_why_worker(rig->core, event->worker, rig->now_ms, &before);
    dpc_actions_reset(&rig->actions);
    dpc_core_step(rig->core, event, rig->now_ms, &rig->actions);
    commit(rig);
    check_reply(rig, event, worker);
    if (event->type == DPC_EVENT_ASK)
        check_foretold(rig, event, &before);
    take_effects(rig);
    check_looks(rig);
}

static void
make_core(struct rig *rig)
{
    struct dpc_error err;
    const struct dpc_core_options options = {.incarnation = RIG_INCARNATION,
                                             .heartbeat_ms = RIG_HEARTBEAT_MS,
                                             .workers_max = DPC_WORKERS_MAX,
                                             .experiment_yaml = "yaml",
                                             .bulk_endpoint = "tcp://*:1"};
    int code = dpc_core_create(rig->experiment, &options, rig->kv, rig->now_ms, &rig->core, &err);
    fuzz_require(code == DPC_OK, code == DPC_OK ? "" : err.text);
}

static void
resume(struct rig *rig)
{
    dpc_actions_reset(&rig->actions);
    dpc_core_resume(rig->core, &rig->actions);
    commit(rig);
    take_effects(rig);
    check_looks(rig);
}

static void
drop_effects(struct rig *rig)
{
    while (rig->effects_count)
        dpc_free(rig->effects[--rig->effects_count].fold.inputs);
}

void
rig_start(struct rig *rig, uint8_t experiment)
{
    memset(rig, 0, sizeof *rig);
    rig->experiment = find_experiment(experiment % RIG_EXPERIMENTS);
    rig->grants = dpc_alloc(RIG_SERIALS_MAX, sizeof *rig->grants);
    rig->now_ms = 1000;
    dpc_actions_init(&rig->actions);
    fuzz_require(dpc_kv_open_memory(&rig->kv) == DPC_OK, "a kv opens");
    make_core(rig);
    resume(rig);
}

void
rig_stop(struct rig *rig)
{
    drop_effects(rig);
    dpc_core_destroy(rig->core);
    dpc_kv_close(rig->kv);
    dpc_actions_done(&rig->actions);
    dpc_free(rig->grants);
}

/* Outer steps under way; in elastic mode a restart may wait anew. */
static uint32_t
count_folding(const struct rig *rig)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < rig_topology(rig)->modules_count; i++) {
        struct dpc_why_module why;
        dpc_core_why_module(rig->core, i, rig->now_ms, &why);
        count += why.standing == DPC_MODULE_FOLDING;
    }
    return rig->experiment->mode == DPC_MODE_STRICT ? count : 0;
}

void
rig_crash(struct rig *rig)
{
    uint32_t folding = count_folding(rig);
    uint32_t leases = dpc_core_leases_count(rig->core), phase = dpc_core_phase(rig->core)->phase;
    dpc_core_destroy(rig->core);
    drop_effects(rig);
    make_core(rig);
    fuzz_require(dpc_core_leases_count(rig->core) == leases &&
                     dpc_core_phase(rig->core)->phase == phase,
                 "a process goes on where the last one ended");
    check_looks(rig);
    resume(rig);
    fuzz_require(count_folding(rig) >= folding, "outer steps under way are asked for again");
}

/* --- Effects, as functions of their inputs. */

static void
answer_prepare(const struct rig *rig, struct dpc_prepared *ret_prepared)
{
    *ret_prepared = (struct dpc_prepared){
        .corpus = hash_of("corpus", 0, 0, NULL),
        .tokenizer = hash_of("tokenizer", 0, 0, NULL),
        .prefixes = blob_of("prefixes", 0),
        .documents = 600,
        .train = blob_of("train", 0),
        .train_documents = 500,
        .train_tokens = 50000,
        .test = blob_of("test", 0),
        .test_documents = 70,
        .early_stop = blob_of("early", 0),
        .early_stop_documents = 600,
    };
    for (uint32_t level = 0; level < rig_topology(rig)->levels_count; level++)
        ret_prepared->modules[level] = hash_of("module", level, 0, NULL);
}

/* The last path has no early-stop documents. */
static void
answer_shard(const struct rig *rig, struct dpc_shard *shards, struct dpc_sharded *ret_sharded)
{
    bool reroutes = rig->experiment->reroute.every_count > 0;
    *ret_sharded = (struct dpc_sharded){.router = hash_of("router", 0, 0, NULL),
                                        .paths_count = rig_topology(rig)->routed_paths,
                                        .paths = shards};
    if (rig->experiment->routing.phases) {
        ret_sharded->scored = blob_of("scored", 0);
        ret_sharded->scored_documents = 50;
    }
    if (reroutes) {
        ret_sharded->traced = blob_of("traced", 0);
        ret_sharded->routes = blob_of("routes", 0);
        ret_sharded->traced_train = 30;
        ret_sharded->traced_learned = 80;
        ret_sharded->traced_router = 100;
        ret_sharded->traced_documents = 150;
    }
    for (uint32_t i = 0; i < ret_sharded->paths_count; i++) {
        bool last = i + 1 == ret_sharded->paths_count;
        shards[i] = (struct dpc_shard){
            .train = blob_of("train", i + 1),
            .test = blob_of("test", i + 1),
            .train_documents = 100 + i,
            .window_tokens = 10 + i,
            .test_documents = 40,
            .early_stop = last ? (struct dpc_blob_ref){.bytes = 0} : blob_of("early", i + 1),
            .early_stop_documents = last ? 0 : 40,
        };
    }
}

/* Gates leave the first contribution out and clip the last. */
static void
answer_fold(const struct dpc_fold *fold, struct dpc_folded *ret_folded)
{
    struct dpc_hash sum = hash_of("fold", fold->module, fold->version, &fold->master);
    for (uint32_t i = 0; i < fold->inputs_count; i++)
        sum = hash_of("input", i, fold->inputs[i].path, &sum);
    *ret_folded = (struct dpc_folded){.module = fold->module,
                                      .version = fold->version,
                                      .master = sum,
                                      .published = sum,
                                      .momentum = hash_of("momentum", 0, 0, &sum),
                                      .rescale = 1};
    if (fold->download != DPC_CODEC_FP32)
        ret_folded->change = hash_of("change", 0, 0, &sum);
    if (!fold->gated)
        return;
    ret_folded->judged_count = fold->inputs_count;
    ret_folded->judged = dpc_alloc(fold->inputs_count, sizeof *ret_folded->judged);
    for (uint32_t i = 0; i < fold->inputs_count; i++)
        ret_folded->judged[i] = (struct dpc_judged){.path = fold->inputs[i].path, .scale = 1};
    ret_folded->judged[0].scale = 0;
    ret_folded->judged[0].marks = DPC_MARK_OPPOSED;
    ret_folded->judged[fold->inputs_count - 1].marks |= DPC_MARK_CLIPPED;
}

void
rig_answer(struct rig *rig, uint8_t which, bool again)
{
    if (rig->effects_count == 0)
        return;
    uint32_t index = which % rig->effects_count;
    struct dpc_effect effect = rig->effects[index];
    struct dpc_shard shards[RIG_PATHS_MAX];
    struct dpc_event event = {.type = DPC_EVENT_REPORTED};
    if (!again) {
        rig->effects_count--;
        memmove(rig->effects + index, rig->effects + index + 1,
                (rig->effects_count - index) * sizeof *rig->effects);
    }
    if (effect.type == DPC_EFFECT_FOLD) {
        event.type = DPC_EVENT_FOLDED;
        answer_fold(&effect.fold, &event.folded);
    } else if (effect.type == DPC_EFFECT_PREPARE) {
        event.type = DPC_EVENT_PREPARED;
        answer_prepare(rig, &event.prepared);
    } else if (effect.type == DPC_EFFECT_SHARD) {
        event.type = DPC_EVENT_SHARDED;
        answer_shard(rig, shards, &event.sharded);
    } else if (effect.type == DPC_EFFECT_LABEL) {
        event.type = DPC_EVENT_LABELLED;
        event.labelled = blob_of("labelled", 0);
    }
    bool folds = effect.type == DPC_EFFECT_FOLD;
    rig_step(rig, &event, 0);
    if (folds)
        dpc_free(event.folded.judged);
    if (!again)
        dpc_free(effect.fold.inputs);
}

/* --- Submissions. */

void
rig_fill_submission(const struct rig *rig, const struct dpc_msg_lease *lease, uint8_t salt,
                    struct dpc_msg_submit *ret_submit, struct dpc_submission_check *ret_check)
{
    bool pieces = lease->kind == DPC_TASK_TRACE || lease->kind == DPC_TASK_REROUTE;
    uint32_t each = pieces ? (uint32_t)dpc_experiment_pieces(rig->experiment) : 1;
    bool trains = lease->kind == DPC_TASK_TRAIN;
    struct dpc_blob_ref state = {hash_of("state", lease->path, lease->round, &lease->state.hash),
                                 64};
    *ret_submit = (struct dpc_msg_submit){.token = lease->token,
                                          .kind = lease->kind,
                                          .path = lease->path,
                                          .round = lease->round,
                                          .steps_count = lease->steps_count,
                                          .loss = 1,
                                          .loss_last = 1,
                                          .seconds = 0.1};
    *ret_check = (struct dpc_submission_check){.rows = (lease->to - lease->from) * each};
    ret_check->targets = 10 * (uint64_t)ret_check->rows;
    ret_check->nats = (double)ret_check->targets * (1 + salt % 8);
    if (!trains) {
        ret_submit->result = blob_of("result", (uint32_t)lease->token.serial);
        return;
    }
    ret_submit->parts_count = lease->levels_count;
    for (uint32_t i = 0; i < lease->levels_count; i++)
        ret_submit->parts[i] =
            (struct dpc_part){.module = lease->modules[i],
                              .delta = {hash_of("delta", 64 * lease->path + lease->round, salt,
                                                &lease->versions[i].hash),
                                        lease->versions[i].bytes}};
    ret_submit->began = dpc_hash_is_none(&lease->kept.hash) ? lease->state.hash : lease->kept.hash;
    if (rig->experiment->transfer.path_state == DPC_STATE_SHIP)
        ret_submit->state = state;
    else if (rig->experiment->transfer.path_state == DPC_STATE_LOCAL)
        ret_submit->kept = state;
}
