/* SPDX-License-Identifier: Apache-2.0
 *
 * Whatever a coordinator makes of a lease, and of the blobs that it names: a worker computes it or
 * says why not, and what it hands in is what it would take itself.
 *
 * An input is a lease as it travels behind its length (u16), and a blob behind that. No input could
 * name a blob by its hash, so that the first byte of each name chooses one of those that there are:
 * what a sound lease names, and the input's own.
 */
#include "base/layout.h"
#include "base/limits.h"
#include "base/path_state.h"
#include "base/tensor_blob.h"
#include "data/routes.h"
#include "data/scores.h"
#include "data/tokens_writer.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/data/memory_sink.h"
#include "tests/unit/storage/scratch.h"
#include "worker/compute/evaluate.h"
#include "worker/compute/featurize.h"
#include "worker/compute/reroute.h"
#include "worker/compute/train.h"

enum { LOWER, UPPER, TOKENS, STATE, ROUTES, OWN, BLOBS }; /* that a name may choose */
enum { PATHS = 4, DOCUMENTS = 6, STEPS = 2, CACHE_BYTES = 16 << 20, ARENA_BYTES = 65536 };

static const char yaml[] = "experiment: x\ndata: {corpus: c}\n"
                           "model: {dim: 16, heads: 2, kv_heads: 2, ffn: 16, context: 128}\n"
                           "routing: {prefix: 16}\nreroute: {every: [64], ahead: 64, steps: 2}\n"
                           "inner: {steps: 4, batch: 2}\nevaluation: {windows: 2}\nlevels:\n"
                           "  - {name: a, parts: [embedding, {blocks: 1}], modules: 2}\n"
                           "  - {name: b, parts: [{blocks: 1}, head], modules: 2}\n";

/* Made once, for all inputs. */
static struct {
    struct dpc_experiment experiment;
    struct dpc_engine *engine;
    struct dpc_cache *cache;
    struct dpc_msg_arena *arena;
    struct dpc_blob_ref blobs[BLOBS];
} rig;
static char folder[SCRATCH_PATH_MAX];

static void
put(int which, const void *bytes, size_t len)
{
    fuzz_require(dpc_cache_put(rig.cache, bytes, len, &rig.blobs[which], NULL) == DPC_OK,
                 "a blob is put");
}

static void
put_versions(void)
{
    struct dpc_buf blob;
    size_t floats = dpc_layout_path_floats(&rig.experiment);
    dpc_buf_init(&blob, 0);
    for (uint32_t level = 0; level < 2; level++) {
        size_t count = dpc_layout_module_floats(&rig.experiment, level);
        float *values = dpc_alloc(count, sizeof *values);
        dpc_layout_fill_initial(&rig.experiment, level, values);
        dpc_buf_reset(&blob);
        dpc_tensor_blob_write(&blob, values, count);
        put((int)level, blob.data, blob.len);
        dpc_free(values);
    }
    dpc_buf_reset(&blob);
    dpc_path_state_put_header(&blob, 3, floats);
    memset(dpc_buf_extend(&blob, 2 * floats * sizeof(float)), 0, 2 * floats * sizeof(float));
    put(STATE, blob.data, blob.len);
    dpc_buf_done(&blob);
}

static void
put_tables(void)
{
    static const uint8_t text[300] = "what a document says";
    struct dpc_tokens_writer writer;
    struct dpc_route routes[DOCUMENTS * 64] = {{0}};
    struct dpc_buf blob;
    dpc_buf_init(&blob, 0);
    dpc_tokens_writer_init(&writer, memory_sink(&blob), &DPC_VOCABULARY_BYTES);
    for (uint32_t doc = 0; doc < DOCUMENTS; doc++) {
        uint8_t key[DPC_CONTENT_KEY_BYTES] = {(uint8_t)doc};
        uint32_t count = 20 + 50 * doc;
        dpc_tokens_writer_document(&writer, doc, key, count);
        dpc_tokens_writer_tokens(&writer, text, count);
    }
    fuzz_require(dpc_tokens_writer_finish(&writer) == DPC_OK, "a token file is written");
    dpc_tokens_writer_done(&writer);
    put(TOKENS, blob.data, blob.len);
    dpc_buf_reset(&blob);
    size_t pieces = (size_t)dpc_experiment_pieces(&rig.experiment);
    for (size_t i = 0; i < DOCUMENTS * pieces; i++)
        routes[i] = (struct dpc_route){(uint16_t)(i % PATHS), 0};
    dpc_routes_write(&blob, routes, DOCUMENTS * pieces);
    put(ROUTES, blob.data, blob.len);
    dpc_buf_done(&blob);
}

static void
end_rig(void)
{
    dpc_engine_destroy(rig.engine);
    dpc_cache_close(rig.cache);
    dpc_msg_arena_destroy(rig.arena);
    scratch_remove(folder);
}

static void
begin_rig(void)
{
    struct dpc_error err = {0};
    if (rig.engine)
        return;
    scratch_make(folder);
    if (dpc_experiment_parse("x", yaml, strlen(yaml), &rig.experiment, &err) != DPC_OK ||
        dpc_engine_create(&rig.experiment, &(struct dpc_engine_limits){0}, &rig.engine, &err) !=
            DPC_OK ||
        dpc_cache_open(&dpc_vfs_posix, folder, CACHE_BYTES, &rig.cache, &err) != DPC_OK)
        fuzz_require(false, err.text);
    rig.arena = dpc_msg_arena_create(ARENA_BYTES);
    put_versions();
    put_tables();
    dpc_cache_pin(rig.cache, DPC_CACHE_LEASE, rig.blobs, OWN);
    (void)atexit(end_rig);
}

/* The blob that a name chooses; some names stand for none that there is. */
static void
resolve(struct dpc_blob_ref *ref)
{
    uint8_t choice = ref->hash.bytes[0];
    if (!dpc_hash_is_none(&ref->hash) && choice >= 1 && choice <= BLOBS)
        *ref = rig.blobs[choice - 1];
}

static void
resolve_all(struct dpc_msg_lease *lease)
{
    for (uint32_t i = 0; i < lease->levels_count; i++) {
        resolve(&lease->versions[i]);
        resolve(&lease->begins[i]);
        resolve(&lease->changes[i]);
        resolve(&lease->bases[i]);
    }
    resolve(&lease->data);
    resolve(&lease->state);
    resolve(&lease->kept);
}

static int
run(const struct dpc_msg_lease *lease, struct dpc_msg_submit *ret_submit, struct dpc_error *err)
{
    struct dpc_progress progress = {.cancelled = false};
    const struct dpc_task task = {lease, rig.cache, &progress, NULL};
    switch (lease->kind) {
    case DPC_TASK_TRAIN:
        return dpc_train_run(rig.engine, &task, ret_submit, err);
    case DPC_TASK_FEATURIZE:
        return dpc_featurize_run(rig.engine, &task, ret_submit, err);
    case DPC_TASK_REROUTE:
        return dpc_reroute_run(rig.engine, &task, ret_submit, err);
    default:
        return dpc_evaluate_run(rig.engine, &task, ret_submit, err);
    }
}

static void
require_sound(const struct dpc_msg_lease *lease, const struct dpc_msg_submit *submit)
{
    struct dpc_msg msg = {.type = DPC_MSG_SUBMIT, .submit = *submit};
    struct dpc_buf frame;
    struct dpc_error err;
    msg.submit.token = lease->token;
    msg.submit.kind = lease->kind;
    dpc_buf_init(&frame, DPC_CONTROL_BYTES_MAX);
    fuzz_require(dpc_msg_encode(&msg, &frame, &err) == DPC_OK, "a submission can be sent");
    dpc_buf_done(&frame);
    fuzz_require(submit->parts_count == 0 || dpc_cache_has(rig.cache, &submit->parts[0].delta),
                 "what is handed in is there");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dpc_msg msg;
    struct dpc_msg_submit submit = {0};
    struct dpc_error err = {0};
    struct dpc_reader reader;
    dpc_reader_init(&reader, data, size);
    size_t len = dpc_reader_u16(&reader);
    const uint8_t *frame = dpc_reader_bytes(&reader, len);
    begin_rig();
    if (!frame || dpc_msg_decode(frame, len, rig.arena, &msg, &err) != DPC_OK ||
        msg.type != DPC_MSG_LEASE)
        return 0;
    struct dpc_msg_lease *lease = &msg.lease;
    put(OWN, reader.at, (size_t)(reader.end - reader.at));
    resolve_all(lease);
    /* Many steps are slow and nothing else. */
    lease->steps_count = lease->steps_count > STEPS ? STEPS : lease->steps_count;
    if (run(lease, &submit, &err) == DPC_OK) {
        fuzz_accepted++;
        require_sound(lease, &submit);
    } else {
        fuzz_require(err.code != DPC_OK && *err.text, "a refusal says why");
    }
    return 0;
}

#ifndef DPC_LIBFUZZER

static struct dpc_blob_ref
name(int which)
{
    return (struct dpc_blob_ref){.hash.bytes = {(uint8_t)(which + 1)}, .bytes = 1};
}

static void
add_lease(struct fuzz *fuzz, enum dpc_task_kind kind, const void *own, size_t own_len)
{
    struct dpc_msg msg = {.type = DPC_MSG_LEASE,
                          .lease = {.token = {1, 2},
                                    .kind = kind,
                                    .path = 1,
                                    .levels_count = 2,
                                    .data = name(TOKENS),
                                    .time_left_ms = 1000}};
    struct dpc_msg_lease *lease = &msg.lease;
    const struct dpc_topology *topology = &rig.engine->topology;
    struct dpc_buf frame, input;
    if (kind == DPC_TASK_REROUTE)
        lease->path = dpc_topology_dense_path(topology);
    for (uint32_t level = 0; level < 2; level++) {
        lease->modules[level] = dpc_topology_path_module(topology, lease->path, level);
        lease->versions[level] = name(level ? UPPER : LOWER);
    }
    lease->steps_count = kind == DPC_TASK_TRAIN ? STEPS : 0;
    lease->from = kind == DPC_TASK_REROUTE ? 3 : 0;
    lease->to = kind == DPC_TASK_TRAIN ? 0 : DOCUMENTS;
    lease->step_first = kind == DPC_TASK_REROUTE ? 1 : 0;
    if (kind == DPC_TASK_TRAIN || kind == DPC_TASK_REROUTE)
        lease->state = name(own_len ? OWN : kind == DPC_TASK_TRAIN ? STATE : ROUTES);
    dpc_buf_init(&frame, 0);
    dpc_buf_init(&input, 0);
    fuzz_require(dpc_msg_encode(&msg, &frame, NULL) == DPC_OK, "a lease is sent");
    dpc_buf_put_u16(&input, (uint16_t)frame.len);
    dpc_buf_put(&input, frame.data, frame.len);
    dpc_buf_put(&input, own, own_len);
    fuzz_valid(fuzz, input.data, input.len, 2 + frame.len + 64);
    dpc_buf_done(&input);
    dpc_buf_done(&frame);
}

static void
add_inputs(struct fuzz *fuzz)
{
    begin_rig();
    add_lease(fuzz, DPC_TASK_TRAIN, NULL, 0);
    add_lease(fuzz, DPC_TASK_FEATURIZE, NULL, 0);
    add_lease(fuzz, DPC_TASK_EVALUATE, NULL, 0);
    add_lease(fuzz, DPC_TASK_SCORE, NULL, 0);
    add_lease(fuzz, DPC_TASK_TRACE, NULL, 0);
    add_lease(fuzz, DPC_TASK_REROUTE, NULL, 0);
    uint8_t *routes;
    fuzz_require(dpc_cache_load(rig.cache, &rig.blobs[ROUTES], &routes, NULL) == DPC_OK, "routes");
    add_lease(fuzz, DPC_TASK_REROUTE, routes, rig.blobs[ROUTES].bytes);
    dpc_free(routes);
}

int
main(int argc, char **argv)
{
    return fuzz_main(argc, argv, 150, add_inputs);
}

#endif
