/* SPDX-License-Identifier: Apache-2.0
 * A batch is drawn for its place in the schedule, not for its place in the lease: that is what
 * makes leases of different length draw the same ones. */
#include "worker/compute/train.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/tensor_blob.h"
#include "data/batch.h"
#include "worker/compute/keep.h"

/* A lease under way. */
struct training {
    struct dpc_engine *engine;
    const struct dpc_task *task;
    uint32_t done; /* steps of it */
    struct dpc_tally tally;
    int64_t start_ns;
};

/* The path state that the lease names, if any. One that only this worker had, and has no more, is
 * done without: nobody else can bring it. */
static int
load_state(struct training *training, struct dpc_error *err)
{
    struct dpc_adamw *adamw = training->engine->adamw;
    const struct dpc_msg_lease *lease = training->task->lease;
    bool kept = !dpc_hash_is_none(&lease->kept.hash);
    const struct dpc_blob_ref *ref = kept ? &lease->kept : &lease->state;
    uint8_t *bytes;
    dpc_adamw_reset(adamw);
    if (dpc_hash_is_none(&ref->hash))
        return DPC_OK;
    int code = dpc_cache_load(training->task->cache, ref, &bytes, err);
    if (kept && (code == DPC_ENOTFOUND || code == DPC_ECORRUPT)) {
        dpc_log_warning("the path state that was kept is gone, moments begin at zero path=%u",
                        lease->path);
        return DPC_OK;
    }
    if (code != DPC_OK)
        return code;
    code = dpc_engine_read_state(training->engine, bytes, ref->bytes, err);
    dpc_free(bytes);
    training->tally.began = ref->hash;
    return code == DPC_ECORRUPT ? DPC_EPROTO : code;
}

static void
keep(struct training *training)
{
    struct dpc_tally tally = training->tally;
    tally.seconds += dpc_progress_seconds(training->task->progress, training->start_ns);
    training->task->progress->keep = false;
    dpc_keep_write(training->engine, training->task, training->done, &tally);
}

static void
keep_before_waiting(void *context)
{
    keep(context);
}

static void
keep_when_due(struct training *training)
{
    const struct dpc_task *task = training->task;
    if (task->spill && training->done < task->lease->steps_count &&
        (task->progress->keep || dpc_spill_is_due(task->spill, DPC_SPILL_TRAINING)))
        keep(training);
}

static void
count_losses(struct training *training, double loss_sum, uint64_t targets)
{
    uint32_t steps = training->task->lease->steps_count;
    struct dpc_tally *tally = &training->tally;
    tally->loss_sum += loss_sum;
    tally->targets += targets;
    if (training->done >= steps - (steps + 9) / 10) {
        tally->last_sum += loss_sum;
        tally->last_targets += targets;
    }
}

static int
train_step(struct training *training, const struct dpc_batch_sampler *sampler,
           struct dpc_error *err)
{
    struct dpc_engine *engine = training->engine;
    const struct dpc_experiment *experiment = &engine->experiment;
    const struct dpc_msg_lease *lease = training->task->lease;
    uint64_t place = lease->step_first + training->done, targets;
    double loss_sum, norm;
    dpc_batch_fill(sampler, experiment->seed, lease->path, lease->round, (uint32_t)place,
                   engine->tokens, engine->targets);
    int code =
        dpc_path_backward(engine->path, engine->tokens, engine->targets, experiment->inner.batch,
                          experiment->model.context, &loss_sum, &targets);
    if (code == DPC_OK && !isfinite(loss_sum))
        code = DPC_ENOTFINITE;
    if (code == DPC_OK)
        code =
            dpc_adamw_step(engine->adamw, engine->path, dpc_schedule_lr(experiment, place), &norm);
    if (code == DPC_EDEVICE)
        return dpc_error_set(err, code, "step %u of the lease: %s", training->done,
                             dpc_error_words(code));
    if (code != DPC_OK)
        return dpc_error_set(err, code, "step %u of the lease (%llu of the schedule): %s is %s",
                             training->done, (unsigned long long)place,
                             code == DPC_ENOTFINITE ? "loss or gradient" : "the batch",
                             dpc_error_words(code));
    count_losses(training, loss_sum, targets);
    training->done++;
    return DPC_OK;
}

static int
train_steps(struct training *training, const struct dpc_batch_sampler *sampler,
            struct dpc_error *err)
{
    const struct dpc_experiment *experiment = &training->engine->experiment;
    const struct dpc_task *task = training->task;
    uint64_t step_tokens = (uint64_t)experiment->inner.batch * experiment->model.context;
    uint32_t first = training->done;
    int64_t start_ns = dpc_clock_ns();
    while (training->done < task->lease->steps_count &&
           !(task->progress->cut && training->done > 0)) {
        if (task->progress->cancelled) {
            if (task->progress->suspended)
                keep(training);
            return dpc_error_set(err, DPC_ECANCELLED, "the lease was dropped");
        }
        int code = train_step(training, sampler, err);
        if (code != DPC_OK)
            return code;
        keep_when_due(training);
        dpc_progress_report(task->progress, training->done, (training->done - first) * step_tokens,
                            start_ns);
    }
    return DPC_OK;
}

static int
open_and_train(struct training *training, struct dpc_error *err)
{
    const struct dpc_experiment *experiment = &training->engine->experiment;
    struct dpc_progress *progress = training->task->progress;
    struct dpc_batch_sampler *sampler = NULL;
    const struct dpc_tokens *tokens;
    int code = dpc_engine_open_tokens(training->engine, training->task, &tokens, err);
    if (code != DPC_OK)
        return code;
    code = dpc_batch_sampler_create(tokens, experiment->inner.batch, experiment->model.context,
                                    experiment->routing.prefix, &sampler, err);
    progress->before_waiting = keep_before_waiting;
    progress->task_context = training;
    if (code == DPC_OK)
        code = train_steps(training, sampler, err);
    progress->before_waiting = NULL;
    dpc_batch_sampler_destroy(sampler);
    return code;
}

/* Appends the delta to the buffer of results in its form, and leaves in `received` what that says.
 */
static int
encode_delta(struct dpc_engine *engine, uint32_t level, enum dpc_codec codec, float *received)
{
    size_t count = dpc_path_module_floats(engine->path, level);
    int code = DPC_OK;
    if (codec == DPC_CODEC_FP32) {
        code = dpc_path_subtract_module(engine->path, level, received);
        if (code == DPC_OK)
            dpc_tensor_blob_write(&engine->blob, received, count);
        return code;
    }
    uint8_t *bytes = dpc_tensor_blob_begin(&engine->blob, codec, count);
    if (!bytes)
        return DPC_ENOMEM;
    code = dpc_path_encode_module(engine->path, level, received, codec, bytes);
    if (code == DPC_OK)
        code = dpc_tensor_blob_decode_by(engine->limits.pool, engine->blob.data, engine->blob.len,
                                         count, received, NULL);
    return code;
}

/* The delta of one level's module, computed where it stands in the vector of received values, and
 * its norm as it travels. */
static int
put_delta(struct dpc_engine *engine, const struct dpc_task *task, uint32_t level, float *received,
          struct dpc_part *ret_part, struct dpc_error *err)
{
    struct dpc_piece all = {.count = dpc_path_module_floats(engine->path, level)};
    uint32_t module = task->lease->modules[level];
    enum dpc_codec codec = dpc_topology_upload(&engine->topology, module);
    dpc_buf_reset(&engine->blob);
    int code = encode_delta(engine, level, codec, received);
    if (code != DPC_OK)
        return dpc_error_set(err, code, "could not read the trained path back: %s",
                             dpc_error_words(code));
    double squares;
    dpc_ops_cpu(DPC_FP32)->squared_norms(&squares, received, &all, 1);
    ret_part->module = module;
    ret_part->norm = sqrt(squares);
    if (!isfinite(ret_part->norm))
        return dpc_error_set(err, DPC_ENOTFINITE, "the trained module %u is %s", module,
                             dpc_error_words(DPC_ENOTFINITE));
    return dpc_engine_put(engine, task, &ret_part->delta, err);
}

static int
put_deltas(struct dpc_engine *engine, const struct dpc_task *task, struct dpc_msg_submit *submit,
           struct dpc_error *err)
{
    int code = DPC_OK;
    float *received = engine->received;
    for (uint32_t level = 0; code == DPC_OK && level < task->lease->levels_count; level++) {
        code = put_delta(engine, task, level, received, &submit->parts[level], err);
        received += dpc_path_module_floats(engine->path, level);
    }
    submit->parts_count = task->lease->levels_count;
    return code;
}

/* The state is in the buffer of results. */
static int
ship_state(struct dpc_engine *engine, const struct dpc_task *task, struct dpc_msg_submit *submit,
           struct dpc_error *err)
{
    enum dpc_moments form = dpc_topology_moments(&engine->topology, task->lease->path);
    if (form == DPC_MOMENTS_FP32 || engine->blob.failed)
        return dpc_engine_put(engine, task, &submit->state, err);
    struct dpc_buf plain = engine->blob;
    dpc_buf_init(&engine->blob, plain.limit);
    int code = dpc_path_state_encode(plain.data, plain.len, dpc_path_floats(engine->path), form,
                                     engine->limits.pool, &engine->blob, err);
    dpc_buf_done(&plain);
    return code == DPC_OK ? dpc_engine_put(engine, task, &submit->state, err) : code;
}

static int
put_state(struct dpc_engine *engine, const struct dpc_task *task, struct dpc_msg_submit *submit,
          struct dpc_error *err)
{
    enum dpc_path_state becomes = engine->experiment.transfer.path_state;
    if (becomes == DPC_STATE_RESET)
        return DPC_OK;
    dpc_buf_reset(&engine->blob);
    int code = dpc_adamw_write(engine->adamw, &engine->blob);
    if (code != DPC_OK)
        return dpc_error_set(err, code, "could not read the path state back: %s",
                             dpc_error_words(code));
    if (becomes == DPC_STATE_SHIP)
        return ship_state(engine, task, submit, err);
    code = dpc_engine_put(engine, task, &submit->kept, err);
    if (code == DPC_OK)
        dpc_cache_hold(task->cache, task->lease->path, &submit->kept.hash);
    return code;
}

/* Received values and path state, then what an earlier process made of them. */
static int
prepare(struct training *training, struct dpc_error *err)
{
    const struct dpc_task *task = training->task;
    int code = dpc_engine_load(training->engine, task, err);
    if (code == DPC_OK)
        code = load_state(training, err);
    if (code == DPC_OK)
        code = dpc_keep_read(training->engine, task, &training->done, &training->tally, err);
    if (code == DPC_OK)
        task->progress->steps_before = training->done;
    return code;
}

int
dpc_train_run(struct dpc_engine *engine, const struct dpc_task *task,
              struct dpc_msg_submit *ret_submit, struct dpc_error *err)
{
    struct training training = {.engine = engine, .task = task, .start_ns = dpc_clock_ns()};
    struct dpc_msg_submit submit = {.parts_count = 0};
    const struct dpc_tally *tally = &training.tally;
    if (task->lease->steps_count == 0 || task->lease->steps_count > DPC_STEPS_MAX)
        return dpc_error_set(err, DPC_EPROTO, "the lease has %u steps", task->lease->steps_count);
    int code = prepare(&training, err);
    if (code == DPC_OK)
        code = open_and_train(&training, err);
    if (code == DPC_OK)
        code = put_deltas(engine, task, &submit, err);
    if (code == DPC_OK)
        code = put_state(engine, task, &submit, err);
    if (code != DPC_OK)
        return code;
    submit.began = tally->began;
    submit.steps_count = training.done;
    submit.tokens = tally->targets;
    submit.loss = tally->targets ? tally->loss_sum / (double)tally->targets : 0;
    submit.loss_last =
        tally->last_targets ? tally->last_sum / (double)tally->last_targets : submit.loss;
    submit.seconds = tally->seconds + dpc_progress_seconds(task->progress, training.start_ns);
    *ret_submit = submit;
    return DPC_OK;
}
