/* SPDX-License-Identifier: Apache-2.0
 * How the dense model and the routed modules begin, as the experiment file says it. */
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/experiment.h"
#include "tests/unit/base/experiment_text.h"
#include "tests/unit/harness.h"

static void
the_dense_model_begins_by_chance_unless_told(void)
{
    struct dpc_experiment e;
    struct dpc_error err;
    CU_ASSERT_EQUAL_FATAL(parse_with("", &e, &err), DPC_OK);
    CU_ASSERT_FALSE(dpc_experiment_imports(&e));
    CU_ASSERT_EQUAL_FATAL(parse_with("warm_start: {steps: 1, from: none}", &e, &err), DPC_OK);
    CU_ASSERT_FALSE(dpc_experiment_imports(&e));
    CU_ASSERT_EQUAL_FATAL(parse_with("warm_start: {steps: 0, from: ./none}", &e, &err), DPC_OK);
    CU_ASSERT_TRUE(dpc_experiment_imports(&e));
    CU_ASSERT_EQUAL(dpc_experiment_warm_rounds(&e), 0);
    CU_ASSERT_EQUAL_FATAL(parse_with("warm_start: {steps: 1000000, from: /m}", &e, &err), DPC_OK);
    CU_ASSERT_STRING_EQUAL(e.warm_start.from, "/m");
}

/* A route that asks no model needs none. */
static void
routes_without_a_model_need_no_warm_start(void)
{
    struct dpc_experiment e;
    struct dpc_error err;
    CU_ASSERT_EQUAL_FATAL(
        parse_with("warm_start: {steps: 0}\nrouting: {features: ngrams}", &e, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_experiment_warm_rounds(&e), 0);
    CU_ASSERT_EQUAL(parse_with("warm_start: {steps: 0}\nrouting: {init: hash}", &e, &err), DPC_OK);
    CU_ASSERT_EQUAL(parse_with("warm_start: {steps: 0}\nrouting: {features: whitened}", &e, &err),
                    DPC_EINVAL);
    CU_ASSERT_EQUAL(parse_with("warm_start: {steps: 0}\nrouting: {init: metadata}", &e, &err),
                    DPC_EINVAL);
}

static void
routed_modules_begin_as_copies_unless_told(void)
{
    struct dpc_experiment e;
    struct dpc_error err;
    CU_ASSERT_EQUAL_FATAL(parse_with("", &e, &err), DPC_OK);
    CU_ASSERT_EQUAL(e.warm_start.init, DPC_BEGIN_COPY);
    CU_ASSERT(e.warm_start.noise == 0.01 && e.warm_start.drop == 0.5);
    CU_ASSERT_EQUAL_FATAL(parse_with("warm_start: {init: noise, noise: 10, drop: 1}", &e, &err),
                          DPC_OK);
    CU_ASSERT_EQUAL(e.warm_start.init, DPC_BEGIN_NOISE);
    CU_ASSERT(e.warm_start.noise == 10 && e.warm_start.drop == 1);
    CU_ASSERT_EQUAL_FATAL(parse_with("warm_start: {init: drop, noise: 1e-9, drop: 1e-9}", &e, &err),
                          DPC_OK);
    CU_ASSERT_EQUAL(e.warm_start.init, DPC_BEGIN_DROP);
}

static void
the_warm_start_is_one_path_unless_told(void)
{
    struct dpc_experiment e;
    struct dpc_error err;
    CU_ASSERT_EQUAL_FATAL(parse_with("", &e, &err), DPC_OK);
    CU_ASSERT_EQUAL(e.warm_start.replicas, 1);
    CU_ASSERT_EQUAL(dpc_experiment_warm_steps(&e), 200);
    CU_ASSERT_EQUAL_FATAL(parse_with("warm_start: {replicas: 64}", &e, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_experiment_warm_steps(&e), 64 * 200);
}

/* The key stands in line 3 of the file. */
static const struct {
    const char *warm_start;
    int code;
    const char *text;
} bad_values[] = {
    {"warm_start: {init: random}", DPC_EINVAL,
     "\"warm_start.init\" is random: needed is one of copy, noise, drop"},
    {"warm_start: {replicas: 0}", DPC_ERANGE, "\"warm_start.replicas\" is 0"},
    {"warm_start: {replicas: 65}", DPC_ERANGE, "\"warm_start.replicas\" is 65"},
    {"warm_start: {noise: 0}", DPC_ERANGE, "\"warm_start.noise\" is 0"},
    {"warm_start: {noise: 10.1}", DPC_ERANGE, "\"warm_start.noise\" is 10.1"},
    {"warm_start: {drop: 0}", DPC_ERANGE, "\"warm_start.drop\" is 0"},
    {"warm_start: {drop: 1.01}", DPC_ERANGE, "\"warm_start.drop\" is 1.01"},
    {"warm_start: {steps: 0}", DPC_EINVAL,
     "f.yaml:3: \"warm_start.steps\" is 0, and features of random weights route nothing"},
    {"warm_start: {steps: 1000001}", DPC_ERANGE, "\"warm_start.steps\" is 1000001"},
    {"warm_start: {from: \"\"}", DPC_EINVAL, "\"warm_start.from\" is"},
};

static void
bad_values_are_named(void)
{
    for (size_t i = 0; i < sizeof bad_values / sizeof *bad_values; i++) {
        struct dpc_experiment e = {.seed = 4711};
        struct dpc_error err;
        int code = parse_with(bad_values[i].warm_start, &e, &err);
        if (code != bad_values[i].code || !strstr(err.text, bad_values[i].text))
            fprintf(stderr, "\n%s\n  gives %d: %s\n", bad_values[i].warm_start, code, err.text);
        CU_ASSERT_EQUAL(code, bad_values[i].code);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, bad_values[i].text));
        CU_ASSERT_EQUAL(e.seed, 4711);
    }
}

static const struct dpc_test tests[] = {
    {"the dense model begins by chance unless told", the_dense_model_begins_by_chance_unless_told},
    {"routes without a model need no warm start", routes_without_a_model_need_no_warm_start},
    {"routed modules begin as copies unless told", routed_modules_begin_as_copies_unless_told},
    {"the warm start is one path unless told", the_warm_start_is_one_path_unless_told},
    {"bad values are named", bad_values_are_named},
};
DPC_TEST_MAIN("base/experiment, warm_start", tests)
