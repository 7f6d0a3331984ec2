/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/compute/train.h"

#include <math.h>

#include "base/alloc.h"
#include "data/batch.h"
#include "modules/compute.h"
#include "tests/unit/worker/compute/task_rig.h"

static int
run(struct task_rig *rig, struct dpc_msg_submit *ret_submit)
{
    return dpc_train_run(rig->engine, &rig->task, ret_submit, &rig->err);
}

static void
must_run(struct task_rig *rig, struct dpc_msg_submit *ret_submit)
{
    int code = run(rig, ret_submit);
    if (code != DPC_OK)
        CU_FAIL(rig->err.text);
    CU_ASSERT_EQUAL_FATAL(code, DPC_OK);
}

/* The same steps in a plain loop of the test's own, on a path and state of its own; the last one's
 * loss too, which is the last tenth of so few. */
static void
train_plainly(struct task_rig *rig, struct dpc_path *path, struct dpc_adamw *adamw,
              double *ret_loss, double *ret_last)
{
    const struct dpc_experiment *experiment = &rig->experiment;
    struct dpc_batch_sampler *sampler;
    struct dpc_tokens *tokens;
    int32_t inputs[4 * 12], targets[4 * 12];
    double sum = 0, norm;
    uint64_t count = 0;
    CU_ASSERT_EQUAL_FATAL(
        dpc_tokens_open_bytes("test", rig->tokens.data, rig->tokens.len, &tokens, NULL), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_batch_sampler_create(tokens, 4, 12, RIG_PREFIX, &sampler, NULL),
                          DPC_OK);
    for (uint32_t step = 0; step < rig->lease.steps_count; step++) {
        double loss;
        uint64_t seen;
        uint32_t place = (uint32_t)rig->lease.step_first + step;
        dpc_batch_fill(sampler, experiment->seed, rig->lease.path, rig->lease.round, place, inputs,
                       targets);
        CU_ASSERT_EQUAL(dpc_path_backward(path, inputs, targets, 4, 12, &loss, &seen), DPC_OK);
        CU_ASSERT_EQUAL(dpc_adamw_step(adamw, path, dpc_schedule_lr(experiment, place), &norm),
                        DPC_OK);
        sum += loss;
        count += seen;
        *ret_last = loss / (double)seen;
    }
    *ret_loss = sum / (double)count;
    dpc_batch_sampler_destroy(sampler);
    dpc_tokens_close(tokens);
}

static void
agrees_with_a_plain_loop(void)
{
    struct task_rig rig;
    struct dpc_msg_submit submit;
    struct dpc_path *path;
    struct dpc_adamw *adamw;
    double loss, last = 0;
    rig_begin(&rig, DPC_TASK_TRAIN);
    struct dpc_path_options options = {
        .ops = dpc_ops_cpu(DPC_FP32), .batch_max = 8, .use = DPC_PATH_TRAIN};
    CU_ASSERT_EQUAL_FATAL(dpc_path_create(&rig.experiment, &options, &path, NULL), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_adamw_create(path, &adamw, NULL), DPC_OK);
    for (uint32_t level = 0; level < 2; level++)
        dpc_layout_fill_initial(&rig.experiment, level, dpc_path_module_params(path, level));
    train_plainly(&rig, path, adamw, &loss, &last);
    must_run(&rig, &submit);
    CU_ASSERT_DOUBLE_EQUAL(submit.loss, loss, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(submit.loss_last, last, 1e-12);
    CU_ASSERT(fabs(last - loss) > 1e-3);
    CU_ASSERT_EQUAL(submit.steps_count, RIG_STEPS);
    CU_ASSERT(submit.tokens > 0 && submit.tokens <= 4 * 12 * RIG_STEPS);
    CU_ASSERT_EQUAL(submit.parts_count, 2);
    CU_ASSERT_EQUAL(rig.progress.steps_done, RIG_STEPS);
    for (uint32_t level = 0; level < submit.parts_count; level++) {
        size_t count = dpc_path_module_floats(path, level), wrong = 0;
        const float *delta, *trained = dpc_path_module_params(path, level);
        float *initial = dpc_alloc(count, sizeof *initial);
        uint8_t *bytes = rig_load(&rig, &submit.parts[level].delta);
        double squares = 0;
        CU_ASSERT_EQUAL_FATAL(
            dpc_tensor_blob_read(bytes, submit.parts[level].delta.bytes, count, &delta, NULL),
            DPC_OK);
        dpc_layout_fill_initial(&rig.experiment, level, initial);
        for (size_t i = 0; i < count; i++) {
            wrong += delta[i] != initial[i] - trained[i];
            squares += (double)delta[i] * (double)delta[i];
        }
        CU_ASSERT_EQUAL(wrong, 0);
        CU_ASSERT(squares > 0);
        CU_ASSERT_DOUBLE_EQUAL(submit.parts[level].norm, sqrt(squares), 1e-9 * sqrt(squares));
        CU_ASSERT_EQUAL(submit.parts[level].module, rig.lease.modules[level]);
        dpc_free(bytes);
        dpc_free(initial);
    }
    struct dpc_buf state;
    struct dpc_hash hash;
    dpc_buf_init(&state, 0);
    CU_ASSERT_EQUAL(dpc_adamw_write(adamw, &state), DPC_OK);
    dpc_hash_of(state.data, state.len, &hash);
    CU_ASSERT(dpc_hash_equal(&hash, &submit.state.hash));
    dpc_buf_done(&state);
    dpc_adamw_destroy(adamw);
    dpc_path_destroy(path);
    rig_end(&rig);
}

static void
assert_same(const struct dpc_msg_submit *a, const struct dpc_msg_submit *b)
{
    CU_ASSERT(dpc_hash_equal(&a->state.hash, &b->state.hash));
    for (uint32_t level = 0; level < 2; level++)
        CU_ASSERT(dpc_hash_equal(&a->parts[level].delta.hash, &b->parts[level].delta.hash));
    CU_ASSERT_EQUAL(a->loss, b->loss);
}

static void
two_runs_give_the_same_bits(void)
{
    struct task_rig rig;
    struct dpc_msg_submit first, again, fresh;
    rig_begin(&rig, DPC_TASK_TRAIN);
    must_run(&rig, &first);
    must_run(&rig, &again); /* in an engine that is full of the first run's numbers */
    assert_same(&first, &again);
    dpc_engine_destroy(rig.engine);
    CU_ASSERT_EQUAL_FATAL(
        dpc_engine_create(&rig.experiment, &(struct dpc_engine_limits){0}, &rig.engine, NULL),
        DPC_OK);
    must_run(&rig, &fresh);
    assert_same(&first, &fresh);
    rig.lease.round++;
    must_run(&rig, &again);
    CU_ASSERT(!dpc_hash_equal(&first.state.hash, &again.state.hash));
    rig_end(&rig);
}

/* The path as the engine trained it, as the next lease's versions and state. */
static void
go_on_from(struct task_rig *rig, const struct dpc_msg_submit *submit)
{
    for (uint32_t level = 0; level < 2; level++)
        rig->lease.versions[level] =
            rig_put_tensor(rig, dpc_path_module_params(rig->engine->path, level),
                           dpc_path_module_floats(rig->engine->path, level));
    rig->lease.state = submit->state;
}

static void
two_halves_give_the_bits_of_the_whole(void)
{
    struct task_rig rig;
    struct dpc_msg_submit whole, half;
    struct dpc_blob_ref trained[2];
    rig_begin(&rig, DPC_TASK_TRAIN);
    must_run(&rig, &whole);
    for (uint32_t level = 0; level < 2; level++)
        trained[level] = rig_put_tensor(&rig, dpc_path_module_params(rig.engine->path, level),
                                        dpc_path_module_floats(rig.engine->path, level));
    rig.lease.steps_count = RIG_STEPS / 2;
    must_run(&rig, &half);
    go_on_from(&rig, &half);
    rig.lease.step_first += RIG_STEPS / 2;
    must_run(&rig, &half);
    CU_ASSERT(dpc_hash_equal(&half.state.hash, &whole.state.hash));
    go_on_from(&rig, &half);
    for (uint32_t level = 0; level < 2; level++)
        CU_ASSERT(dpc_hash_equal(&rig.lease.versions[level].hash, &trained[level].hash));
    rig_end(&rig);
}

/* Two halves of a round, the second from where the first one's delta says that it ended. */
static void
a_part_is_gone_on_from(void)
{
    struct task_rig rig;
    struct dpc_msg_submit part, rest;
    rig_begin(&rig, DPC_TASK_TRAIN);
    rig.lease.steps_count = RIG_STEPS / 2;
    must_run(&rig, &part);
    struct dpc_msg_lease first = rig.lease;
    rig.lease.step_first += RIG_STEPS / 2;
    rig.lease.state = part.state;
    for (uint32_t level = 0; level < 2; level++)
        rig.lease.begins[level] = part.parts[level].delta;
    must_run(&rig, &rest);
    CU_ASSERT(dpc_hash_equal(&rest.began, &part.state.hash));
    for (uint32_t level = 0; level < 2; level++) {
        size_t count = dpc_path_module_floats(rig.engine->path, level), wrong = 0;
        const float *theta = dpc_path_module_params(rig.engine->path, level);
        uint8_t *bytes = rig_load(&rig, &first.versions[level]);
        uint8_t *delta_bytes = rig_load(&rig, &rest.parts[level].delta);
        const float *version, *delta;
        CU_ASSERT_EQUAL_FATAL(
            dpc_tensor_blob_read(bytes, first.versions[level].bytes, count, &version, NULL),
            DPC_OK);
        CU_ASSERT_EQUAL_FATAL(
            dpc_tensor_blob_read(delta_bytes, rest.parts[level].delta.bytes, count, &delta, NULL),
            DPC_OK);
        for (size_t i = 0; i < count; i++) /* of the whole round, from the version */
            wrong += delta[i] != version[i] - theta[i];
        CU_ASSERT_EQUAL(wrong, 0);
        dpc_free(bytes);
        dpc_free(delta_bytes);
    }
    rig_end(&rig);
}

/* What the test reads of a delta, whatever its form. */
static float *
decoded(struct task_rig *rig, const struct dpc_blob_ref *delta, size_t count)
{
    float *values = dpc_alloc(count, sizeof *values);
    uint8_t *bytes = rig_load(rig, delta);
    CU_ASSERT_EQUAL_FATAL(dpc_tensor_blob_decode(bytes, delta->bytes, count, values, NULL), DPC_OK);
    dpc_free(bytes);
    return values;
}

/* The delta in fewer bytes, with the norm that it then has, and a lease that goes on from it. */
static void
check_form(enum dpc_codec codec)
{
    struct task_rig rig;
    struct dpc_msg_submit plain, coded, rest;
    rig_begin(&rig, DPC_TASK_TRAIN);
    rig.lease.steps_count = RIG_STEPS / 2;
    must_run(&rig, &plain);
    rig.engine->experiment.transfer.upload = codec;
    must_run(&rig, &coded);
    CU_ASSERT(dpc_hash_equal(&plain.state.hash, &coded.state.hash));
    for (uint32_t level = 0; level < 2; level++) {
        size_t count = dpc_path_module_floats(rig.engine->path, level), wrong = 0;
        uint8_t *bytes = dpc_alloc(dpc_codec_bytes(codec, count), 1);
        float *asked = decoded(&rig, &plain.parts[level].delta, count);
        float *came = decoded(&rig, &coded.parts[level].delta, count);
        double squares = 0;
        CU_ASSERT_EQUAL(coded.parts[level].delta.bytes, dpc_tensor_blob_bytes_as(codec, count));
        dpc_codec_encode(codec, asked, count, bytes);
        dpc_codec_decode(codec, bytes, count, asked);
        for (size_t i = 0; i < count; i++) {
            wrong += asked[i] != came[i];
            squares += (double)came[i] * (double)came[i];
        }
        CU_ASSERT_EQUAL(wrong, 0);
        CU_ASSERT_DOUBLE_EQUAL(coded.parts[level].norm, sqrt(squares), 1e-9 * sqrt(squares));
        dpc_free(bytes);
        dpc_free(asked);
        dpc_free(came);
        rig.lease.begins[level] = coded.parts[level].delta;
    }
    rig.lease.step_first += RIG_STEPS / 2;
    rig.lease.state = coded.state;
    must_run(&rig, &rest);
    CU_ASSERT(rest.loss < plain.loss);
    rig_end(&rig);
}

/* A state in fewer bytes is the plain one in that form, and the next lease goes on from it. */
static void
check_moments(enum dpc_moments form, double differs)
{
    struct task_rig rig;
    struct dpc_msg_submit plain, coded, again, rest;
    struct dpc_buf expected;
    struct dpc_hash hash;
    rig_begin(&rig, DPC_TASK_TRAIN);
    must_run(&rig, &plain);
    rig.engine->experiment.transfer.moments = form;
    must_run(&rig, &coded);
    size_t count = dpc_path_floats(rig.engine->path);
    uint8_t *bytes = rig_load(&rig, &plain.state);
    dpc_buf_init(&expected, 0);
    CU_ASSERT_EQUAL_FATAL(
        dpc_path_state_encode(bytes, plain.state.bytes, count, form, NULL, &expected, NULL),
        DPC_OK);
    dpc_hash_of(expected.data, expected.len, &hash);
    CU_ASSERT(dpc_hash_equal(&hash, &coded.state.hash));
    CU_ASSERT_EQUAL(coded.state.bytes, dpc_path_state_bytes_as(form, count));
    CU_ASSERT(dpc_hash_equal(&plain.parts[0].delta.hash, &coded.parts[0].delta.hash));
    rig.lease.state = coded.state;
    must_run(&rig, &rest);
    must_run(&rig, &again);
    assert_same(&rest, &again);
    CU_ASSERT(dpc_hash_equal(&rest.began, &coded.state.hash));
    rig.lease.state = plain.state;
    must_run(&rig, &again);
    CU_ASSERT_DOUBLE_EQUAL(again.loss, rest.loss, differs);
    CU_ASSERT_NOT_EQUAL(again.loss, rest.loss);
    dpc_free(bytes);
    dpc_buf_done(&expected);
    rig_end(&rig);
}

static void
states_travel_in_the_experiment_s_form(void)
{
    check_moments(DPC_MOMENTS_BF16, 0.01);
    check_moments(DPC_MOMENTS_FP8, 0.01);
    check_moments(DPC_MOMENTS_NF4, 0.05);
}

static void
deltas_travel_in_the_experiment_s_form(void)
{
    for (enum dpc_codec codec = DPC_CODEC_BF16; codec < DPC_CODECS_COUNT; codec++)
        check_form(codec);
}

/* The same from the values themselves, which the test subtracts. */
static void
a_part_is_gone_on_from_version_less_delta(void)
{
    struct task_rig rig;
    struct dpc_msg_submit part, rest, same;
    rig_begin(&rig, DPC_TASK_TRAIN);
    rig.lease.steps_count = RIG_STEPS / 2;
    must_run(&rig, &part);
    rig.lease.step_first += RIG_STEPS / 2;
    rig.lease.state = part.state;
    for (uint32_t level = 0; level < 2; level++)
        rig.lease.begins[level] = part.parts[level].delta;
    must_run(&rig, &rest);
    for (uint32_t level = 0; level < 2; level++) {
        size_t count = dpc_path_module_floats(rig.engine->path, level);
        float *values = dpc_alloc(count, sizeof *values);
        uint8_t *bytes = rig_load(&rig, &rig.lease.versions[level]);
        uint8_t *delta_bytes = rig_load(&rig, &part.parts[level].delta);
        const float *version = NULL, *delta = NULL;
        CU_ASSERT_EQUAL_FATAL(
            dpc_tensor_blob_read(bytes, rig.lease.versions[level].bytes, count, &version, NULL),
            DPC_OK);
        CU_ASSERT_EQUAL_FATAL(
            dpc_tensor_blob_read(delta_bytes, part.parts[level].delta.bytes, count, &delta, NULL),
            DPC_OK);
        for (size_t i = 0; i < count; i++)
            values[i] = version[i] - delta[i];
        rig.lease.versions[level] = rig_put_tensor(&rig, values, count);
        rig.lease.begins[level] = (struct dpc_blob_ref){.hash = dpc_hash_none};
        dpc_free(values);
        dpc_free(bytes);
        dpc_free(delta_bytes);
    }
    must_run(&rig, &same);
    CU_ASSERT(dpc_hash_equal(&same.state.hash, &rest.state.hash));
    CU_ASSERT_EQUAL(same.loss, rest.loss);
    rig_end(&rig);
}

static void
cut_after_two(void *context)
{
    struct dpc_progress *progress = context;
    progress->cut = progress->steps_done >= 2;
}

static void
a_cut_lease_is_a_shorter_one(void)
{
    struct task_rig rig;
    struct dpc_msg_submit cut, shorter, least;
    rig_begin(&rig, DPC_TASK_TRAIN);
    rig.progress.between = cut_after_two;
    rig.progress.context = &rig.progress;
    must_run(&rig, &cut);
    CU_ASSERT_EQUAL(cut.steps_count, 2);
    rig.progress.between = NULL;
    must_run(&rig, &least); /* still cut: one step */
    CU_ASSERT_EQUAL(least.steps_count, 1);
    rig.progress.cut = false;
    rig.lease.steps_count = 2;
    must_run(&rig, &shorter);
    assert_same(&cut, &shorter);
    CU_ASSERT_EQUAL(cut.tokens, shorter.tokens);
    rig_end(&rig);
}

/* Another experiment in the rig's place, which says what becomes of path states. */
static void
let_states(struct task_rig *rig, enum dpc_path_state becomes)
{
    rig->engine->experiment.transfer.path_state = becomes;
}

static void
a_state_that_is_reset_is_not_handed_in(void)
{
    struct task_rig rig;
    struct dpc_msg_submit shipped, reset;
    rig_begin(&rig, DPC_TASK_TRAIN);
    must_run(&rig, &shipped);
    let_states(&rig, DPC_STATE_RESET);
    must_run(&rig, &reset);
    CU_ASSERT(dpc_hash_is_none(&reset.state.hash));
    CU_ASSERT(dpc_hash_is_none(&reset.kept.hash));
    reset.state = shipped.state;
    assert_same(&shipped, &reset);
    rig_end(&rig);
}

static void
a_state_that_is_kept_is_gone_on_from(void)
{
    struct task_rig rig;
    struct dpc_msg_submit shipped, first, kept, lost;
    rig_begin(&rig, DPC_TASK_TRAIN);
    must_run(&rig, &first);
    struct dpc_blob_ref state = first.state;
    rig.lease.state = state;
    must_run(&rig, &shipped);
    let_states(&rig, DPC_STATE_LOCAL);
    rig.lease.state = (struct dpc_blob_ref){.hash = dpc_hash_none};
    must_run(&rig, &first);
    CU_ASSERT(dpc_hash_is_none(&first.state.hash));
    CU_ASSERT(dpc_hash_equal(&first.kept.hash, &state.hash));
    CU_ASSERT(dpc_hash_is_none(&first.began));
    rig.lease.kept = first.kept;
    must_run(&rig, &kept);
    CU_ASSERT(dpc_hash_equal(&kept.began, &first.kept.hash));
    CU_ASSERT(dpc_hash_equal(&kept.kept.hash, &shipped.state.hash));
    CU_ASSERT_EQUAL(kept.loss, shipped.loss);
    rig.lease.kept.hash.bytes[0] ^= 1; /* nobody has that one */
    must_run(&rig, &lost);
    CU_ASSERT(dpc_hash_is_none(&lost.began));
    CU_ASSERT(dpc_hash_equal(&lost.kept.hash, &first.kept.hash));
    rig_end(&rig);
}

static void
a_value_that_is_not_finite_names_the_step(void)
{
    struct task_rig rig;
    struct dpc_msg_submit submit;
    rig_begin(&rig, DPC_TASK_TRAIN);
    float *values = dpc_path_module_params(rig.engine->path, 1);
    values[0] = NAN;
    rig.lease.versions[1] =
        rig_put_tensor(&rig, values, dpc_path_module_floats(rig.engine->path, 1));
    CU_ASSERT_EQUAL(run(&rig, &submit), DPC_ENOTFINITE);
    CU_ASSERT_PTR_NOT_NULL(strstr(rig.err.text, "step 0 of the lease (10 of the schedule)"));
    rig_end(&rig);
}

static void
a_lease_that_does_not_fit_is_refused(void)
{
    struct task_rig rig;
    struct dpc_msg_submit submit;
    rig_begin(&rig, DPC_TASK_TRAIN);
    const struct dpc_msg_lease good = rig.lease;
    struct dpc_buf tokens;
    static const uint8_t lengths[300];
    rig_write_tokens(&tokens,
                     &(struct dpc_vocabulary){
                         .size = 300, .width = 2, .model = {.bytes = {1}}, .lengths = lengths});

    rig.lease.path = 5;
    CU_ASSERT_EQUAL(run(&rig, &submit), DPC_EPROTO);
    rig.lease = good;
    rig.lease.levels_count = 1;
    CU_ASSERT_EQUAL(run(&rig, &submit), DPC_EPROTO);
    rig.lease = good;
    rig.lease.modules[1] ^= 1;
    CU_ASSERT_EQUAL(run(&rig, &submit), DPC_EPROTO);
    rig.lease = good;
    rig.lease.steps_count = 0;
    CU_ASSERT_EQUAL(run(&rig, &submit), DPC_EPROTO);
    rig.lease = good;
    rig.lease.versions[0] = good.versions[1]; /* another level's size */
    CU_ASSERT_EQUAL(run(&rig, &submit), DPC_EPROTO);
    rig.lease = good;
    rig.lease.begins[1] = good.versions[0]; /* another level's size */
    CU_ASSERT_EQUAL(run(&rig, &submit), DPC_EPROTO);
    rig.lease = good;
    rig.lease.state = good.versions[0]; /* no path state */
    CU_ASSERT_EQUAL(run(&rig, &submit), DPC_EPROTO);
    rig.lease = good;
    rig.lease.data = good.versions[0]; /* no token file */
    CU_ASSERT_EQUAL(run(&rig, &submit), DPC_EPROTO);
    rig.lease.data = rig_put(&rig, tokens.data, tokens.len); /* another vocabulary */
    CU_ASSERT_EQUAL(run(&rig, &submit), DPC_EPROTO);
    rig.lease = good;
    rig.lease.versions[0].hash.bytes[0] ^= 1;
    CU_ASSERT_EQUAL(run(&rig, &submit), DPC_ENOTFOUND);
    rig.lease = good;
    must_run(&rig, &submit); /* and the engine is none the worse for it */
    dpc_buf_done(&tokens);
    rig_end(&rig);
}

static void
a_cancelled_lease_ends_between_two_steps(void)
{
    struct task_rig rig;
    struct dpc_msg_submit submit;
    rig_begin(&rig, DPC_TASK_TRAIN);
    rig.progress.cancelled = true;
    CU_ASSERT_EQUAL(run(&rig, &submit), DPC_ECANCELLED);
    CU_ASSERT_EQUAL(rig.progress.steps_done, 0);
    rig_end(&rig);
}

static size_t
engine_bytes(const struct dpc_experiment *experiment, uint64_t memory_bytes, int want)
{
    struct dpc_engine_limits limits = {.memory_bytes = memory_bytes};
    struct dpc_engine *engine = NULL;
    struct dpc_error err = {0};
    CU_ASSERT_EQUAL(dpc_engine_create(experiment, &limits, &engine, &err), want);
    if (want == DPC_ELIMIT)
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "--memory-mib"));
    size_t bytes = engine ? dpc_path_bytes(engine->path) : 0;
    dpc_engine_destroy(engine);
    return bytes;
}

/* What an engine needs besides its path. */
static size_t
engine_rest(const struct dpc_experiment *experiment, size_t path_bytes)
{
    struct dpc_path_options options = {
        .ops = dpc_ops_cpu(DPC_FP32), .batch_max = 8, .use = DPC_PATH_TRAIN};
    size_t bytes = 0;
    CU_ASSERT_EQUAL(dpc_compute_bytes(experiment, &options, &bytes, NULL), DPC_OK);
    CU_ASSERT(bytes > path_bytes + 12 * dpc_layout_path_floats(experiment));
    return bytes - path_bytes;
}

static void
what_does_not_fit_is_computed_again_or_refused(void)
{
    struct task_rig rig;
    rig_begin(&rig, DPC_TASK_TRAIN);
    rig.experiment.levels[0].blocks = 6;
    size_t kept = engine_bytes(&rig.experiment, 0, DPC_OK);
    size_t rest = engine_rest(&rig.experiment, kept);
    CU_ASSERT_EQUAL(engine_bytes(&rig.experiment, kept + rest, DPC_OK), kept);
    size_t again = engine_bytes(&rig.experiment, kept + rest - 1, DPC_OK);
    CU_ASSERT(again < kept);
    CU_ASSERT_EQUAL(engine_bytes(&rig.experiment, again + rest, DPC_OK), again);
    CU_ASSERT_EQUAL(engine_bytes(&rig.experiment, again + rest - 1, DPC_ELIMIT), 0);
    rig.experiment.recompute = DPC_RECOMPUTE_BLOCK;
    CU_ASSERT_EQUAL(engine_bytes(&rig.experiment, 0, DPC_OK), again);
    rig.experiment.recompute = DPC_RECOMPUTE_NONE;
    CU_ASSERT_EQUAL(engine_bytes(&rig.experiment, again + rest, DPC_ELIMIT), 0);
    rig_end(&rig);
}

static const struct dpc_test tests[] = {
    {"agrees with a plain loop", agrees_with_a_plain_loop},
    {"states travel in the experiment's form", states_travel_in_the_experiment_s_form},
    {"deltas travel in the experiment's form", deltas_travel_in_the_experiment_s_form},
    {"two runs give the same bits", two_runs_give_the_same_bits},
    {"two halves give the bits of the whole", two_halves_give_the_bits_of_the_whole},
    {"a part is gone on from", a_part_is_gone_on_from},
    {"a part is gone on from version less delta", a_part_is_gone_on_from_version_less_delta},
    {"a cut lease is a shorter one", a_cut_lease_is_a_shorter_one},
    {"a state that is reset is not handed in", a_state_that_is_reset_is_not_handed_in},
    {"a state that is kept is gone on from", a_state_that_is_kept_is_gone_on_from},
    {"a value that is not finite names the step", a_value_that_is_not_finite_names_the_step},
    {"a lease that does not fit is refused", a_lease_that_does_not_fit_is_refused},
    {"a cancelled lease ends between two steps", a_cancelled_lease_ends_between_two_steps},
    {"what does not fit is computed again or refused",
     what_does_not_fit_is_computed_again_or_refused},
};
DPC_TEST_MAIN("worker/train", tests)
