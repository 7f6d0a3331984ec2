/* SPDX-License-Identifier: Apache-2.0
 * That the update is PyTorch's is shown by test_golden; here: refusals, the schedule, the state. */
#include "modules/adamw.h"

#include <string.h>

#include "base/alloc.h"
#include "tests/unit/modules/model.h"

enum { BATCH = 2, LENGTH = 8, COUNT = BATCH * LENGTH };

struct trainer {
    struct dpc_experiment experiment;
    struct dpc_path *path;
    struct dpc_adamw *adamw;
    int32_t tokens[COUNT], targets[COUNT];
};

static void
trainer_init(struct trainer *t)
{
    struct dpc_error err;
    t->experiment = small_experiment(true);
    t->path = small_path(&t->experiment, dpc_ops_cpu(DPC_FP32), BATCH, DPC_PATH_TRAIN);
    CU_ASSERT_EQUAL_FATAL(dpc_adamw_create(t->path, &t->adamw, &err), DPC_OK);
    small_batch(&t->experiment, BATCH, LENGTH, 2, t->tokens, t->targets);
}

static void
trainer_done(struct trainer *t)
{
    dpc_path_destroy(t->path);
    dpc_adamw_destroy(t->adamw);
}

/* One step; returns the mean loss before it. */
static double
train(struct trainer *t, double lr)
{
    double loss, norm;
    uint64_t targets;
    CU_ASSERT_EQUAL(
        dpc_path_backward(t->path, t->tokens, t->targets, BATCH, LENGTH, &loss, &targets), DPC_OK);
    CU_ASSERT_EQUAL(dpc_adamw_step(t->adamw, t->path, lr, &norm), DPC_OK);
    CU_ASSERT(norm > 0);
    return loss / (double)targets;
}

static void
training_learns(void)
{
    struct trainer t;
    trainer_init(&t);
    double first = train(&t, 1e-2), last = 0;
    for (int i = 0; i < 60; i++)
        last = train(&t, 1e-2);
    CU_ASSERT(last < 0.2 * first);
    CU_ASSERT_EQUAL(dpc_adamw_steps(t.adamw), 61);
    trainer_done(&t);
}

static void
a_gradient_that_is_not_finite_changes_nothing(void)
{
    struct trainer t;
    trainer_init(&t);
    train(&t, 1e-2);
    size_t floats = dpc_path_floats(t.path);
    float *before = dpc_alloc(floats, sizeof *before);
    memcpy(before, dpc_path_params(t.path), floats * sizeof *before);
    struct dpc_buf state, state_after;
    dpc_buf_init(&state, 0);
    dpc_buf_init(&state_after, 0);
    CU_ASSERT_EQUAL(dpc_adamw_write(t.adamw, &state), DPC_OK);
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        double norm;
        dpc_path_grads(t.path)[floats / 2] = bad[i];
        CU_ASSERT_EQUAL(dpc_adamw_step(t.adamw, t.path, 1e-2, &norm), DPC_ENOTFINITE);
        CU_ASSERT(!isfinite(norm));
    }
    CU_ASSERT_EQUAL(dpc_adamw_write(t.adamw, &state_after), DPC_OK);
    CU_ASSERT(memcmp(before, dpc_path_params(t.path), floats * sizeof *before) == 0);
    CU_ASSERT_EQUAL_FATAL(state.len, state_after.len);
    CU_ASSERT(memcmp(state.data, state_after.data, state.len) == 0);
    dpc_buf_done(&state);
    dpc_buf_done(&state_after);
    dpc_free(before);
    trainer_done(&t);
}

/* Two trainers, one of which is carried over by its state blob: the same bits afterwards. */
static void
training_goes_on_from_a_state(void)
{
    struct trainer here, there;
    struct dpc_buf state;
    struct dpc_error err;
    trainer_init(&here);
    trainer_init(&there);
    dpc_buf_init(&state, 0);
    for (int i = 0; i < 3; i++)
        train(&here, 1e-2);
    CU_ASSERT_EQUAL(dpc_adamw_write(here.adamw, &state), DPC_OK);
    CU_ASSERT_EQUAL(state.len, dpc_adamw_state_bytes(here.adamw));
    memcpy(dpc_path_params(there.path), dpc_path_params(here.path),
           dpc_path_floats(here.path) * sizeof(float));
    train(&there, 1e-3); /* something to overwrite */
    memcpy(dpc_path_params(there.path), dpc_path_params(here.path),
           dpc_path_floats(here.path) * sizeof(float));
    CU_ASSERT_EQUAL(dpc_adamw_read(there.adamw, state.data, state.len, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_adamw_steps(there.adamw), 3);
    for (int i = 0; i < 2; i++) {
        train(&here, 1e-2);
        train(&there, 1e-2);
    }
    CU_ASSERT(memcmp(dpc_path_params(here.path), dpc_path_params(there.path),
                     dpc_path_floats(here.path) * sizeof(float)) == 0);
    dpc_buf_done(&state);
    trainer_done(&here);
    trainer_done(&there);
}

/* The moments of some values, as the state of a path that has no others. */
static void
a_state_is_narrowed(void)
{
    enum { HEADER = 64 };
    struct trainer t;
    struct dpc_buf state, narrow;
    struct dpc_error err;
    trainer_init(&t);
    train(&t, 1e-2);
    train(&t, 1e-2);
    size_t floats = dpc_path_floats(t.path);
    const struct dpc_adamw_span spans[] = {{1, 3}, {10, 5}};
    static const size_t places[] = {1, 2, 3, 10, 11, 12, 13, 14};
    dpc_buf_init(&state, 0);
    dpc_buf_init(&narrow, 0);
    CU_ASSERT_EQUAL(dpc_adamw_write(t.adamw, &state), DPC_OK);
    CU_ASSERT_EQUAL(dpc_adamw_narrow(state.data, state.len, floats, spans, 2, &narrow, &err),
                    DPC_OK);
    CU_ASSERT_EQUAL_FATAL(narrow.len, HEADER + 2 * 8 * sizeof(float));
    CU_ASSERT_EQUAL(memcmp(narrow.data, state.data, 24), 0); /* the steps are the same */
    CU_ASSERT_EQUAL(narrow.data[24], 8);
    for (size_t i = 0; i < 16; i++) {
        size_t at = (i / 8 * floats + places[i % 8]) * sizeof(float);
        CU_ASSERT_EQUAL(memcmp(narrow.data + HEADER + i * sizeof(float), state.data + HEADER + at,
                               sizeof(float)),
                        0);
    }
    CU_ASSERT_EQUAL(dpc_adamw_narrow(state.data, state.len, floats - 1, spans, 2, &narrow, &err),
                    DPC_ECORRUPT);
    CU_ASSERT_EQUAL(dpc_adamw_narrow(state.data, 30, floats, spans, 2, &narrow, &err),
                    DPC_ECORRUPT);
    dpc_buf_done(&state);
    dpc_buf_done(&narrow);
    trainer_done(&t);
}

static void
a_reset_state_is_a_new_one(void)
{
    struct trainer t, fresh;
    struct dpc_buf a, b;
    trainer_init(&t);
    trainer_init(&fresh);
    dpc_buf_init(&a, 0);
    dpc_buf_init(&b, 0);
    train(&t, 1e-2);
    dpc_adamw_reset(t.adamw);
    CU_ASSERT_EQUAL(dpc_adamw_write(t.adamw, &a), DPC_OK);
    CU_ASSERT_EQUAL(dpc_adamw_write(fresh.adamw, &b), DPC_OK);
    CU_ASSERT(a.len == b.len && memcmp(a.data, b.data, a.len) == 0);
    dpc_buf_done(&a);
    dpc_buf_done(&b);
    trainer_done(&t);
    trainer_done(&fresh);
}

static void
damaged_states_are_refused(void)
{
    struct trainer t;
    struct dpc_buf state;
    struct dpc_error err;
    trainer_init(&t);
    dpc_buf_init(&state, 0);
    train(&t, 1e-2);
    CU_ASSERT_EQUAL(dpc_adamw_write(t.adamw, &state), DPC_OK);
    CU_ASSERT_EQUAL(dpc_adamw_read(t.adamw, state.data, state.len - 1, &err), DPC_ECORRUPT);
    CU_ASSERT_EQUAL(dpc_adamw_read(t.adamw, state.data, 20, &err), DPC_ECORRUPT);
    CU_ASSERT_EQUAL(dpc_adamw_read(t.adamw, "", 0, &err), DPC_ECORRUPT);
    state.data[0] ^= 1;
    CU_ASSERT_EQUAL(dpc_adamw_read(t.adamw, state.data, state.len, &err), DPC_ECORRUPT);
    state.data[0] ^= 1;
    state.data[24] ^= 1; /* the count */
    CU_ASSERT_EQUAL(dpc_adamw_read(t.adamw, state.data, state.len, &err), DPC_ECORRUPT);
    state.data[24] ^= 1;
    state.data[8] = 2; /* the format */
    CU_ASSERT_EQUAL(dpc_adamw_read(t.adamw, state.data, state.len, &err), DPC_EVERSION);
    CU_ASSERT(strstr(err.text, "format 2") != NULL);
    state.data[8] = 1;
    CU_ASSERT_EQUAL(dpc_adamw_read(t.adamw, state.data, state.len, &err), DPC_OK);
    dpc_buf_done(&state);
    trainer_done(&t);
}

/* 4 steps of warm start and 3 rounds of 5: 19 steps, of which 3 warm up. */
static void
the_schedule_warms_up_and_falls(void)
{
    struct dpc_experiment experiment = small_experiment(true);
    const double peak = experiment.inner.lr;
    CU_ASSERT_DOUBLE_EQUAL(dpc_schedule_lr(&experiment, 0), peak / 3, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(dpc_schedule_lr(&experiment, 2), peak, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(dpc_schedule_lr(&experiment, 3), peak, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(dpc_schedule_lr(&experiment, 11), peak * 0.55, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(dpc_schedule_lr(&experiment, 19), peak * 0.1, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(dpc_schedule_lr(&experiment, 1000), peak * 0.1, 1e-12);
    for (uint64_t t = 4; t < 19; t++)
        CU_ASSERT(dpc_schedule_lr(&experiment, t) < dpc_schedule_lr(&experiment, t - 1));
    experiment.inner.warmup = 0;
    CU_ASSERT_DOUBLE_EQUAL(dpc_schedule_lr(&experiment, 0), peak, 1e-12);
    experiment.inner.warmup = 50; /* longer than the run */
    CU_ASSERT_DOUBLE_EQUAL(dpc_schedule_lr(&experiment, 18), peak * 19 / 50, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(dpc_schedule_lr(&experiment, 50), peak * 0.1, 1e-12);
}

static const struct dpc_test tests[] = {
    {"training learns", training_learns},
    {"a gradient that is not finite changes nothing",
     a_gradient_that_is_not_finite_changes_nothing},
    {"training goes on from a state", training_goes_on_from_a_state},
    {"a state is narrowed", a_state_is_narrowed},
    {"a reset state is a new one", a_reset_state_is_a_new_one},
    {"damaged states are refused", damaged_states_are_refused},
    {"the schedule warms up and falls", the_schedule_warms_up_and_falls},
};
DPC_TEST_MAIN("modules/adamw", tests)
