/* SPDX-License-Identifier: Apache-2.0
 * The values are {parameters, path state blob}, one after the other through the buffer of results,
 * which is made for the second. */
#include "worker/compute/keep.h"

#include <string.h>

#include "base/alloc.h"
#include "base/log.h"

static void
note_failure(struct dpc_engine *engine, int code, const struct dpc_error *err)
{
    if (code != DPC_OK && code != DPC_ECANCELLED && !engine->keep_failed)
        dpc_log_warning("a restart would lose what this lease has done: %s", err->text);
    engine->keep_failed = code != DPC_OK && code != DPC_ECANCELLED;
}

static size_t
params_bytes(const struct dpc_engine *engine)
{
    return dpc_path_floats(engine->path) * sizeof(float);
}

static int
add_blob(struct dpc_engine *engine, struct dpc_spill *spill, int code, struct dpc_error *err)
{
    if (code == DPC_OK && engine->blob.failed)
        code = DPC_ENOMEM;
    if (code != DPC_OK)
        return dpc_error_set(err, code, "could not read the path back: %s", dpc_error_words(code));
    return dpc_spill_add(spill, engine->blob.data, engine->blob.len, err);
}

static int
add_values(struct dpc_engine *engine, struct dpc_spill *spill, struct dpc_error *err)
{
    dpc_buf_reset(&engine->blob);
    float *values = dpc_buf_extend(&engine->blob, params_bytes(engine));
    int code =
        add_blob(engine, spill, values ? dpc_path_read_params(engine->path, values) : DPC_OK, err);
    if (code != DPC_OK)
        return code;
    dpc_buf_reset(&engine->blob);
    return add_blob(engine, spill, dpc_adamw_write(engine->adamw, &engine->blob), err);
}

/* Whoever suspends the process cancels the lease, and wants it kept all the same. */
static const atomic_bool *
who_forbids(const struct dpc_progress *progress)
{
    return progress->suspended ? NULL : &progress->cancelled;
}

void
dpc_keep_write(struct dpc_engine *engine, const struct dpc_task *task, uint32_t steps_done,
               const struct dpc_tally *tally)
{
    struct dpc_error err = {0};
    if (!task->spill)
        return;
    struct dpc_spill_record record = {
        .stage = DPC_SPILL_TRAINING,
        .lease = *task->lease,
        .experiment = dpc_spill_name_experiment(&engine->experiment),
        .steps_done = steps_done,
        .tally = *tally,
        .values_bytes = params_bytes(engine) + dpc_adamw_state_bytes(engine->adamw),
    };
    int code = dpc_spill_begin(task->spill, &record, &err);
    if (code == DPC_OK)
        code = add_values(engine, task->spill, &err);
    if (code == DPC_OK)
        code = dpc_spill_commit(task->spill, who_forbids(task->progress), &err);
    note_failure(engine, code, &err);
    dpc_log_debug("spilled path=%u round=%u steps_done=%u code=%d", task->lease->path,
                  task->lease->round, steps_done, code);
}

void
dpc_keep_result(const struct dpc_engine *engine, const struct dpc_task *task,
                const struct dpc_msg_submit *submit)
{
    struct dpc_error err = {0};
    if (!task->spill || !dpc_spill_is_due(task->spill, DPC_SPILL_FINISHED))
        return;
    struct dpc_spill_record record = {
        .stage = DPC_SPILL_FINISHED,
        .lease = *task->lease,
        .experiment = dpc_spill_name_experiment(&engine->experiment),
        .submit = *submit,
    };
    record.submit.kind = task->lease->kind; /* a submission without one does not decode */
    int code = dpc_spill_begin(task->spill, &record, &err);
    if (code == DPC_OK)
        code = dpc_spill_commit(task->spill, who_forbids(task->progress), &err);
    if (code != DPC_OK && code != DPC_ECANCELLED)
        dpc_log_warning("a restart would compute this lease again: %s", err.text);
}

/* --- Out of it. */

static bool
is_of_this_lease(const struct dpc_engine *engine, const struct dpc_task *task,
                 const struct dpc_spill_record *record)
{
    struct dpc_hash experiment = dpc_spill_name_experiment(&engine->experiment);
    return record->stage == DPC_SPILL_TRAINING &&
           dpc_token_equal(record->lease.token, task->lease->token) &&
           dpc_hash_equal(&record->experiment, &experiment) &&
           record->steps_done <= task->lease->steps_count &&
           record->values_bytes == params_bytes(engine) + dpc_adamw_state_bytes(engine->adamw);
}

/* One piece of the values, to be released by dpc_free. */
static int
read_piece(const struct dpc_task *task, size_t len, uint64_t offset, void **ret_bytes,
           struct dpc_error *err)
{
    void *bytes = dpc_try_alloc(len, 1);
    if (!bytes)
        return dpc_error_set(err, DPC_ENOMEM, "could not go on with the lease: %s",
                             dpc_error_words(DPC_ENOMEM));
    int code = dpc_spill_read(task->spill, bytes, len, offset, err);
    if (code == DPC_OK)
        *ret_bytes = bytes;
    else
        dpc_free(bytes);
    return code;
}

static int
read_values(struct dpc_engine *engine, const struct dpc_task *task, struct dpc_error *err)
{
    size_t params = params_bytes(engine), state = dpc_adamw_state_bytes(engine->adamw);
    void *bytes;
    int code = read_piece(task, params, 0, &bytes, err);
    if (code != DPC_OK)
        return code;
    dpc_path_write_params(engine->path, bytes);
    dpc_free(bytes);
    code = read_piece(task, state, params, &bytes, err);
    if (code != DPC_OK)
        return code;
    code = dpc_adamw_read(engine->adamw, bytes, state, err);
    dpc_free(bytes);
    return code;
}

int
dpc_keep_read(struct dpc_engine *engine, const struct dpc_task *task, uint32_t *ret_steps,
              struct dpc_tally *ret_tally, struct dpc_error *err)
{
    struct dpc_spill_record record;
    struct dpc_error why = {0};
    *ret_steps = 0;
    if (!task->spill)
        return DPC_OK;
    int code = dpc_spill_load(task->spill, &record, &why);
    if (code != DPC_OK && code != DPC_ENOTFOUND)
        dpc_log_warning("the lease begins anew, for what was kept of it is gone: %s", why.text);
    if (code != DPC_OK || !is_of_this_lease(engine, task, &record))
        return DPC_OK;
    code = read_values(engine, task, err);
    if (code != DPC_OK)
        return code;
    *ret_steps = record.steps_done;
    *ret_tally = record.tally;
    dpc_log_info("lease goes on where it was left path=%u round=%u step=%u of=%u",
                 task->lease->path, task->lease->round, record.steps_done,
                 task->lease->steps_count);
    return DPC_OK;
}
