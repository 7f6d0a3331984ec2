/* SPDX-License-Identifier: Apache-2.0
 * What is asked of the documents' splits, and of the rounds between which they are read. */
#include <string.h>

#include "base/alloc.h"
#include "base/experiment.h"
#include "tests/unit/base/experiment_text.h"
#include "tests/unit/harness.h"

static void
shares_leave_something_to_train_on(void)
{
    struct dpc_experiment e;
    struct dpc_error err;
    char *text = dpc_format("experiment: x\ndata:\n  corpus: c\n  test: 0.5\n  router: 0.4\n"
                            "  early_stop: 0.1\n%s",
                            levels);
    CU_ASSERT_EQUAL(parse(text, &e, &err), DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "leaves nothing to train on"));
    dpc_free(text);
}

static void
early_stopping_needs_documents_to_choose_by(void)
{
    static const char head[] = "experiment: x\nearly_stopping: true\n";
    struct dpc_experiment e;
    struct dpc_error err;
    char *text = dpc_format("%sdata: {corpus: c, early_stop: 0}\n%s", head, levels);
    CU_ASSERT_EQUAL(parse(text, &e, &err), DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(err.text, "f.yaml:3: \"data.early_stop\" is 0, and early_stopping"));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "raise it, to 0.02 for example"));
    dpc_free(text);
    text = dpc_format("%sdata: {corpus: c}\n%s", head, levels);
    CU_ASSERT_EQUAL(parse(text, &e, &err), DPC_OK);
    CU_ASSERT_TRUE(e.early_stopping);
    dpc_free(text);
}

static void
new_routes_need_documents_to_learn_from(void)
{
    struct dpc_experiment e;
    struct dpc_error err;
    struct dpc_buf out;
    char *text = dpc_format("experiment: x\nreroute: {every: [16, 64, 1024], steps: 7}\n"
                            "data: {corpus: c, router: 0}\n%s",
                            levels);
    CU_ASSERT_EQUAL(parse(text, &e, &err), DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(err.text, "f.yaml:3: \"data.router\" is 0, and reroute.every learns from"));
    dpc_free(text);
    CU_ASSERT_EQUAL_FATAL(parse_with("reroute: {every: [16, 64, 1024], steps: 7}", &e, &err),
                          DPC_OK);
    CU_ASSERT(e.reroute.every_count == 3 && e.reroute.every[2] == 1024 && e.reroute.steps == 7);
    CU_ASSERT_EQUAL(dpc_experiment_pieces(&e), 8 * 256 / 16);
    dpc_buf_init(&out, 0);
    dpc_experiment_print(&e, &out);
    CU_ASSERT_PTR_NOT_NULL(strstr(dpc_buf_text(&out), "  every: [16, 64, 1024]\n"));
    dpc_buf_done(&out);
    CU_ASSERT_EQUAL_FATAL(parse_with("", &e, &err), DPC_OK);
    CU_ASSERT_EQUAL(e.reroute.every_count, 0);
}

static void
phases_need_a_router_split(void)
{
    struct dpc_experiment e;
    struct dpc_error err;
    char *text =
        dpc_format("experiment: x\ndata: {corpus: c, router: 0}\nrouting: {phases: 1}\n%s", levels);
    CU_ASSERT_EQUAL(parse(text, &e, &err), DPC_EINVAL);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(err.text, "f.yaml:2: \"data.router\" is 0, and routing.phases: 1 scores"));
    dpc_free(text);
}

static void
all_paths_score_or_some(void)
{
    struct dpc_experiment e;
    struct dpc_error err;
    CU_ASSERT_EQUAL_FATAL(parse_with("routing: {phases: 1}", &e, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_experiment_score_paths(&e), 4);
    for (uint32_t count = 2; count <= 4; count++) {
        char *keys = dpc_format("routing: {phases: 1, score_paths: %u}", count);
        CU_ASSERT_EQUAL_FATAL(parse_with(keys, &e, &err), DPC_OK);
        CU_ASSERT_EQUAL(dpc_experiment_score_paths(&e), count);
        dpc_free(keys);
    }
}

/* In even parts when nothing is said; the last part takes what is over. */
static void
phases_stand_between_rounds(void)
{
    struct dpc_experiment e;
    struct dpc_error err;
    CU_ASSERT_EQUAL_FATAL(parse_with("outer: {rounds: 11}\nrouting: {phases: 2}", &e, &err),
                          DPC_OK);
    CU_ASSERT_EQUAL(dpc_experiment_phase_rounds(&e), 3);
    CU_ASSERT_EQUAL_FATAL(
        parse_with("outer: {rounds: 11}\nrouting: {phases: 10, phase_rounds: 1}", &e, &err),
        DPC_OK);
    CU_ASSERT_EQUAL(dpc_experiment_phase_rounds(&e), 1);
    CU_ASSERT_EQUAL_FATAL(parse_with("outer: {rounds: 101}\nrouting: {phases: 100}", &e, &err),
                          DPC_OK);
    CU_ASSERT_EQUAL(parse_with("outer: {rounds: 100}\nrouting: {phases: 100}", &e, &err),
                    DPC_EINVAL);
}

static const struct dpc_test tests[] = {
    {"shares leave something to train on", shares_leave_something_to_train_on},
    {"early stopping needs documents to choose by", early_stopping_needs_documents_to_choose_by},
    {"new routes need documents to learn from", new_routes_need_documents_to_learn_from},
    {"phases need a router split", phases_need_a_router_split},
    {"all paths score or some", all_paths_score_or_some},
    {"phases stand between rounds", phases_stand_between_rounds},
};
DPC_TEST_MAIN("base/experiment splits", tests)
