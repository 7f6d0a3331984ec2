/* SPDX-License-Identifier: Apache-2.0
 * Virtual training: every byte of the result depends on every input that the lease names, so work
 * from a wrong version, state or shard shows in the outcome. */
#include <string.h>

#include "base/alloc.h"
#include "base/layout.h"
#include "base/tensor_blob.h"
#include "tests/sim/sim.h"
#include "worker/compute/versions.h"

/* --- Sizes. */

static void
set_bytes(struct dpc_blob_ref *ref, enum dpc_codec codec)
{
    if (!dpc_hash_is_none(&ref->hash))
        ref->bytes = dpc_tensor_blob_bytes_as(codec, SIM_FLOATS);
}

void
sim_shrink_lease(const struct sim *sim, struct dpc_msg_lease *lease)
{
    const struct dpc_topology *topology = &sim->coordinator.topology;
    for (uint32_t i = 0; i < lease->levels_count; i++) {
        set_bytes(&lease->versions[i], DPC_CODEC_FP32);
        set_bytes(&lease->bases[i], DPC_CODEC_FP32);
        set_bytes(&lease->changes[i], dpc_topology_download(topology, lease->modules[i]));
        set_bytes(&lease->begins[i], dpc_topology_upload(topology, lease->modules[i]));
    }
}

/* What has another size than its form has here keeps it, and is refused. */
void
sim_grow_submission(const struct sim *sim, struct dpc_msg_submit *submit)
{
    const struct sim_coordinator *coordinator = &sim->coordinator;
    const struct dpc_topology *topology = &coordinator->topology;
    for (uint32_t i = 0; i < submit->parts_count; i++) {
        struct dpc_part *part = &submit->parts[i];
        uint32_t level = dpc_topology_module_level(topology, part->module);
        enum dpc_codec codec = dpc_topology_upload(topology, part->module);
        if (part->delta.bytes == dpc_tensor_blob_bytes_as(codec, SIM_FLOATS))
            part->delta.bytes = dpc_tensor_blob_bytes_as(
                codec, dpc_layout_module_floats(&coordinator->experiment, level));
    }
}

/* --- Training. */

struct dpc_hash
sim_job_inputs(const struct dpc_msg_lease *lease)
{
    struct dpc_buf bytes;
    struct dpc_hash hash;
    dpc_buf_init(&bytes, 0);
    dpc_buf_put_u32(&bytes, lease->kind);
    dpc_buf_put_u32(&bytes, lease->path);
    dpc_buf_put_u32(&bytes, lease->round);
    dpc_buf_put_u32(&bytes, lease->from);
    dpc_buf_put_u32(&bytes, lease->to);
    dpc_buf_put_u64(&bytes, lease->step_first);
    dpc_buf_put_u32(&bytes, lease->steps_count);
    for (uint32_t level = 0; level < lease->levels_count; level++)
        dpc_buf_put(&bytes, lease->versions[level].hash.bytes, DPC_HASH_BYTES);
    for (uint32_t level = 0; level < lease->levels_count; level++)
        dpc_buf_put(&bytes, lease->begins[level].hash.bytes, DPC_HASH_BYTES);
    dpc_buf_put(&bytes, lease->data.hash.bytes, DPC_HASH_BYTES);
    dpc_buf_put(&bytes, lease->state.hash.bytes, DPC_HASH_BYTES);
    dpc_buf_put(&bytes, lease->kept.hash.bytes, DPC_HASH_BYTES);
    dpc_hash_of(bytes.data, bytes.len, &hash);
    dpc_buf_done(&bytes);
    return hash;
}

/* As the engine does for each job. A sum that is not the version that was meant is told as damage,
 * which no fault of the disk excuses then. */
static int
load_version(struct sim *sim, struct sim_worker *worker, const struct dpc_msg_lease *lease,
             uint32_t level, float ret_theta[SIM_FLOATS], struct dpc_error *err)
{
    bool lacks = !dpc_hash_is_none(&lease->changes[level].hash) &&
                 !dpc_cache_has(worker->cache, &lease->versions[level]);
    int code = dpc_versions_load(worker->cache, lease, level, SIM_FLOATS, ret_theta, err);
    if (code == DPC_OK && lacks)
        sim_mark(sim, SIM_MARK_VERSION_MADE);
    return code;
}

/* delta = a share of the module itself and some noise, whose sizes differ widely, so that sums in
 * another order have other bits. */
static int
train_module(const float theta[SIM_FLOATS], const struct dpc_hash *inputs, uint32_t level,
             enum dpc_codec codec, struct dpc_cache *cache, struct dpc_blob_ref *ret_delta,
             struct dpc_error *err)
{
    float delta[SIM_FLOATS];
    struct dpc_rng rng;
    struct dpc_buf blob;
    uint64_t key;
    memcpy(&key, inputs->bytes, sizeof key);
    dpc_rng_init(&rng, key, DPC_RNG_BATCH, level, 0, 0);
    for (uint32_t i = 0; i < SIM_FLOATS; i++) {
        double noise = dpc_rng_unit(&rng) - 0.5;
        delta[i] = (float)(0.05 * (double)theta[i] + noise * noise * noise);
    }
    dpc_buf_init(&blob, 0);
    dpc_tensor_blob_write_as(&blob, codec, delta, SIM_FLOATS);
    int code = dpc_cache_put(cache, blob.data, blob.len, ret_delta, err);
    dpc_buf_done(&blob);
    return code;
}

static int
look_into(struct dpc_cache *cache, const struct dpc_blob_ref *ref, struct dpc_error *err)
{
    uint8_t *bytes;
    if (dpc_hash_is_none(&ref->hash))
        return DPC_OK;
    int code = dpc_cache_load(cache, ref, &bytes, err);
    if (code == DPC_OK)
        dpc_free(bytes);
    return code;
}

/* They only have to be there, whole: the lease's hashes stand for them, but for versions, which
 * training reads. */
static int
read_inputs(struct sim *sim, struct sim_worker *worker, const struct dpc_msg_lease *lease,
            float ret_thetas[][SIM_FLOATS], struct dpc_error *err)
{
    int code = look_into(worker->cache, &lease->data, err);
    if (code == DPC_OK)
        code = look_into(worker->cache, &lease->state, err);
    for (uint32_t level = 0; level < lease->levels_count && code == DPC_OK; level++) {
        code = load_version(sim, worker, lease, level, ret_thetas[level], err);
        if (code == DPC_OK)
            code = look_into(worker->cache, &lease->begins[level], err);
    }
    return code;
}

static int
make_rows(struct dpc_cache *cache, const struct dpc_msg_lease *lease, const struct dpc_hash *inputs,
          struct dpc_msg_submit *result, struct dpc_error *err)
{
    uint8_t rows[sizeof(uint32_t) + DPC_HASH_BYTES];
    bool pieces = lease->kind == DPC_TASK_TRACE || lease->kind == DPC_TASK_REROUTE;
    uint32_t count = (lease->to - lease->from) * (pieces ? SIM_PIECES : 1);
    memcpy(rows, &count, sizeof count);
    memcpy(rows + sizeof count, inputs->bytes, DPC_HASH_BYTES);
    return dpc_cache_put(cache, rows, sizeof rows, &result->result, err);
}

static int
make_deltas(const struct sim *sim, struct dpc_cache *cache, const struct dpc_msg_lease *lease,
            float thetas[][SIM_FLOATS], const struct dpc_hash *inputs,
            struct dpc_msg_submit *result, struct dpc_error *err)
{
    int code = DPC_OK;
    result->parts_count = lease->levels_count;
    for (uint32_t level = 0; level < lease->levels_count && code == DPC_OK; level++) {
        struct dpc_part *part = &result->parts[level];
        *part = (struct dpc_part){.module = lease->modules[level], .norm = 1};
        code = train_module(thetas[level], inputs, level,
                            dpc_topology_upload(&sim->coordinator.topology, part->module), cache,
                            &part->delta, err);
    }
    return code;
}

static int
make_state(const struct sim *sim, struct sim_worker *worker, const struct dpc_hash *inputs,
           struct dpc_error *err)
{
    enum dpc_path_state becomes = sim->coordinator.experiment.transfer.path_state;
    bool stays = becomes == DPC_STATE_LOCAL;
    if (becomes == DPC_STATE_RESET)
        return DPC_OK;
    struct dpc_blob_ref *state = stays ? &worker->result.kept : &worker->result.state;
    int code = dpc_cache_put(worker->cache, inputs->bytes, DPC_HASH_BYTES, state, err);
    if (code == DPC_OK && stays)
        dpc_cache_hold(worker->cache, worker->lease.path, &state->hash);
    return code;
}

/* What the worker kept may be gone; it then begins without. */
static void
look_for_kept(struct sim *sim, struct sim_worker *worker, struct dpc_msg_lease *lease)
{
    struct dpc_error err = {0};
    uint8_t *bytes;
    if (dpc_hash_is_none(&lease->kept.hash))
        return;
    int code = dpc_cache_load(worker->cache, &lease->kept, &bytes, &err);
    if (code == DPC_OK) {
        sim_mark(sim, SIM_MARK_STATE_KEPT);
        dpc_free(bytes);
        return;
    }
    if (code != DPC_ENOTFOUND)
        sim_worker_excuse(sim, worker, code, err.text);
    lease->kept = (struct dpc_blob_ref){.hash = dpc_hash_none};
}

int
sim_train(struct sim *sim, const struct dpc_msg_lease *of, struct sim_worker *worker,
          struct dpc_error *err)
{
    struct dpc_msg_lease copy = *of, *lease = &copy;
    struct dpc_msg_submit *result = &worker->result;
    look_for_kept(sim, worker, lease);
    bool kept = !dpc_hash_is_none(&lease->kept.hash);
    struct dpc_hash inputs = sim_job_inputs(lease);
    *result = (struct dpc_msg_submit){
        .token = lease->token,
        .steps_count = lease->steps_count,
        .loss = 1.0 + 0.001 * inputs.bytes[8],
        .loss_last = 1.0 + 0.001 * inputs.bytes[9],
        .began = kept ? lease->kept.hash : lease->state.hash,
        .seconds = 0.001 * (double)sim->plan.step_ms * lease->steps_count * worker->slowness,
    };
    float thetas[DPC_LEVELS_MAX][SIM_FLOATS];
    int code = read_inputs(sim, worker, lease, thetas, err);
    if (code == DPC_OK && lease->kind == DPC_TASK_TRAIN)
        code = make_deltas(sim, worker->cache, lease, thetas, &inputs, result, err);
    else if (code == DPC_OK)
        code = make_rows(worker->cache, lease, &inputs, result, err);
    if (code == DPC_OK && lease->kind == DPC_TASK_TRAIN)
        code = make_state(sim, worker, &inputs, err);
    return code;
}
