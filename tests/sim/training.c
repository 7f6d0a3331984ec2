/* SPDX-License-Identifier: Apache-2.0
 * Virtual training: every byte of the result depends on every input that the lease names, so work
 * from a wrong version, state or shard shows in the outcome. */
#include <string.h>

#include "base/alloc.h"
#include "base/tensor_blob.h"
#include "tests/sim/sim.h"

static void
clear_outputs(struct sim_worker *worker)
{
    for (uint32_t i = 0; i < worker->outputs_count; i++)
        dpc_free(worker->outputs[i].bytes);
    worker->outputs_count = 0;
}

static struct dpc_hash
keep_output(struct sim_worker *worker, const void *bytes, size_t len)
{
    struct sim_blob *blob = &worker->outputs[worker->outputs_count++];
    dpc_hash_of(bytes, len, &blob->hash);
    blob->bytes = dpc_alloc(len, 1);
    blob->len = len;
    memcpy(blob->bytes, bytes, len);
    return blob->hash;
}

/* A hash over all that the result may depend on. */
static struct dpc_hash
inputs_of(const struct dpc_msg_lease *lease)
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
    dpc_buf_put(&bytes, lease->data.hash.bytes, DPC_HASH_BYTES);
    dpc_buf_put(&bytes, lease->state.hash.bytes, DPC_HASH_BYTES);
    dpc_hash_of(bytes.data, bytes.len, &hash);
    dpc_buf_done(&bytes);
    return hash;
}

/* delta = a share of the module itself and some noise, whose sizes differ widely, so that sums in
 * another order have other bits. */
static struct dpc_hash
train_module(struct sim *sim, const struct dpc_hash *version, const struct dpc_hash *inputs,
             uint32_t level, struct sim_worker *worker)
{
    uint8_t *bytes;
    size_t len;
    const float *theta;
    float delta[SIM_FLOATS];
    struct dpc_error err;
    struct dpc_rng rng;
    struct dpc_buf blob;
    uint64_t key;
    memcpy(&key, inputs->bytes, sizeof key);
    int code = dpc_store_blob_load(sim->coordinator.store, version, &bytes, &len, &err);
    if (code == DPC_OK)
        code = dpc_tensor_blob_read(bytes, len, SIM_FLOATS, &theta, &err);
    if (code != DPC_OK) {
        sim_fail(sim, "a lease names a version that is no tensor: %s", err.text);
        return dpc_hash_none;
    }
    dpc_rng_init(&rng, key, DPC_RNG_BATCH, level, 0, 0);
    for (int i = 0; i < SIM_FLOATS; i++) {
        double noise = dpc_rng_unit(&rng) - 0.5;
        delta[i] = (float)(0.05 * (double)theta[i] + noise * noise * noise);
    }
    dpc_free(bytes);
    dpc_buf_init(&blob, 0);
    dpc_tensor_blob_write(&blob, delta, SIM_FLOATS);
    struct dpc_hash hash = keep_output(worker, blob.data, blob.len);
    dpc_buf_done(&blob);
    return hash;
}

void
sim_train(struct sim *sim, const struct dpc_msg_lease *lease, struct sim_worker *worker)
{
    struct dpc_hash inputs = inputs_of(lease);
    struct dpc_msg_submit *result = &worker->result;
    clear_outputs(worker);
    *result = (struct dpc_msg_submit){
        .token = lease->token,
        .steps_count = lease->steps_count,
        .loss = 1.0 + 0.001 * inputs.bytes[8],
        .loss_last = 1.0 + 0.001 * inputs.bytes[9],
        .seconds = 0.001 * (double)sim->plan.step_ms * lease->steps_count * worker->slowness,
    };
    if (lease->kind != DPC_TASK_TRAIN) {
        uint8_t rows[sizeof(uint32_t) + DPC_HASH_BYTES];
        uint32_t count = lease->to - lease->from;
        memcpy(rows, &count, sizeof count);
        memcpy(rows + sizeof count, inputs.bytes, DPC_HASH_BYTES);
        result->result = (struct dpc_blob_ref){keep_output(worker, rows, sizeof rows), sizeof rows};
        return;
    }
    result->parts_count = lease->levels_count;
    for (uint32_t level = 0; level < lease->levels_count; level++)
        result->parts[level] = (struct dpc_part){
            .module = lease->modules[level],
            .delta = {train_module(sim, &lease->versions[level].hash, &inputs, level, worker),
                      lease->versions[level].bytes},
            .norm = 1,
        };
    result->state =
        (struct dpc_blob_ref){keep_output(worker, inputs.bytes, DPC_HASH_BYTES), DPC_HASH_BYTES};
}
