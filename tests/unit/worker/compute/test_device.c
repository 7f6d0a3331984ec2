/* SPDX-License-Identifier: Apache-2.0
 * Choosing, losing and finding a card, with the plug-in that plays one; jobs on it. */
#include "worker/compute/device.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "tests/unit/worker/compute/task_rig.h"
#include "worker/compute/runner.h"

enum { DEADLINE_MS = 60000 };

static const struct dpc_device_options automatic = {.kind = DPC_DEVICE_AUTO,
                                                    .plugin = "tests/unit/ops/fake-card.so"};
static const struct dpc_device_options demanded = {.kind = DPC_DEVICE_CARD,
                                                   .plugin = "tests/unit/ops/fake-card.so"};

static char text[DPC_ERROR_TEXT_MAX];

static bool
looks(struct dpc_device *device, int64_t now_ms, const char *words)
{
    bool news = dpc_device_look(device, now_ms, text);
    bool said = !words || strstr(text, words);
    if (news && !said)
        fprintf(stderr, "\"%s\" does not say \"%s\"\n", text, words);
    return news && said;
}

static void
words_choose_a_device(void)
{
    struct dpc_device_options options = {0};
    CU_ASSERT(dpc_device_parse("cuda:12", &options));
    CU_ASSERT_EQUAL(options.kind, DPC_DEVICE_CARD);
    CU_ASSERT_EQUAL(options.index, 12);
    CU_ASSERT(dpc_device_parse("auto", &options));
    CU_ASSERT_EQUAL(options.kind, DPC_DEVICE_AUTO);
    CU_ASSERT_EQUAL(options.index, 0);
    static const char *const wrong[] = {
        "", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "cuda:99999999999999999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CU_ASSERT_FALSE(dpc_device_parse(wrong[i], &options));
}

static void
auto_computes_on_the_processor_until_a_card_appears(void)
{
    struct dpc_card *card = NULL;
    struct dpc_error err = {0};
    setenv("FAKE_CARD", "none", 1);
    struct dpc_device *device = dpc_device_create(&automatic);
    CU_ASSERT(looks(device, 0, "on the processor reason=\"there is no card"));
    CU_ASSERT(dpc_device_is_ready(device));
    CU_ASSERT_PTR_NULL(dpc_device_info(device));
    CU_ASSERT_EQUAL(dpc_device_take(device, &card, &err), DPC_OK);
    CU_ASSERT_PTR_NULL(card);
    unsetenv("FAKE_CARD");
    CU_ASSERT_FALSE(looks(device, DPC_DEVICE_RETRY_MS - 1, NULL));
    CU_ASSERT(looks(device, DPC_DEVICE_RETRY_MS, "on a card name=\"fake card\""));
    CU_ASSERT_FALSE(looks(device, DPC_DEVICE_RETRY_MS, NULL));
    CU_ASSERT_EQUAL(dpc_device_info(device)->capability, 80);
    CU_ASSERT_EQUAL(dpc_device_take(device, &card, &err), DPC_OK);
    CU_ASSERT_PTR_NOT_NULL(card);
    dpc_device_destroy(device);
}

static void
a_card_that_is_demanded_is_waited_for(void)
{
    struct dpc_card *card = NULL;
    struct dpc_error err = {0};
    int64_t now_ms = 5, pause_ms = DPC_DEVICE_RETRY_MS;
    setenv("FAKE_CARD", "none", 1);
    struct dpc_device *device = dpc_device_create(&demanded);
    CU_ASSERT(looks(device, now_ms, "no work is asked for until there is a card"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "no fake driver is loaded"));
    CU_ASSERT_FALSE(dpc_device_is_ready(device));
    CU_ASSERT_EQUAL(dpc_device_take(device, &card, &err), DPC_EDEVICE);
    for (int i = 0; i < 8; i++) {
        now_ms += pause_ms;
        CU_ASSERT_FALSE(looks(device, now_ms, NULL));
        pause_ms = 2 * pause_ms < DPC_DEVICE_RETRY_MS_MAX ? 2 * pause_ms : DPC_DEVICE_RETRY_MS_MAX;
    }
    unsetenv("FAKE_CARD");
    CU_ASSERT_FALSE(looks(device, now_ms + DPC_DEVICE_RETRY_MS_MAX - 1, NULL));
    CU_ASSERT(looks(device, now_ms + DPC_DEVICE_RETRY_MS_MAX, "on a card"));
    CU_ASSERT(dpc_device_is_ready(device));
    CU_ASSERT_FALSE(dpc_device_refuse(device));
    dpc_device_destroy(device);
}

static void
a_card_that_does_not_open_is_looked_for_with_growing_pauses(void)
{
    struct dpc_card *card = NULL;
    struct dpc_error err = {0};
    int64_t now_ms = 0, pause_ms = DPC_DEVICE_RETRY_MS;
    struct dpc_device *device = dpc_device_create(&demanded);
    setenv("FAKE_CARD_CLOSED", "1", 1);
    CU_ASSERT(looks(device, now_ms, "on a card"));
    for (int i = 0; i < 3; i++, pause_ms *= 2) {
        CU_ASSERT_EQUAL(dpc_device_take(device, &card, &err), DPC_EDEVICE);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "does not open"));
        CU_ASSERT(looks(device, now_ms, "does not open"));
        CU_ASSERT_FALSE(looks(device, now_ms + pause_ms - 1, NULL));
        now_ms += pause_ms;
        CU_ASSERT(looks(device, now_ms, "on a card"));
    }
    unsetenv("FAKE_CARD_CLOSED");
    CU_ASSERT_EQUAL(dpc_device_take(device, &card, &err), DPC_OK);
    dpc_device_praise(device);
    dpc_device_lose(device);
    CU_ASSERT(looks(device, now_ms, "fake card failed"));
    CU_ASSERT(looks(device, now_ms + DPC_DEVICE_RETRY_MS, "on a card"));
    dpc_device_destroy(device);
}

/* The processor where the card's class is not wanted, and the card again where its class was. */
static void
a_class_that_is_refused_leaves_the_other_device(void)
{
    struct dpc_card *card = NULL;
    struct dpc_error err = {0};
    struct dpc_device *device = dpc_device_create(&automatic);
    CU_ASSERT(looks(device, 0, "on a card"));
    CU_ASSERT(dpc_device_refuse(device));
    CU_ASSERT(looks(device, 0, "another numeric class"));
    CU_ASSERT_PTR_NULL(dpc_device_info(device));
    CU_ASSERT_FALSE(dpc_device_refuse(device));
    CU_ASSERT_FALSE(looks(device, DPC_DEVICE_RETRY_MS_MAX, NULL));
    dpc_device_destroy(device);

    device = dpc_device_create(&automatic);
    CU_ASSERT(looks(device, 0, "on a card"));
    CU_ASSERT_EQUAL(dpc_device_take(device, &card, &err), DPC_OK);
    dpc_device_lose(device);
    CU_ASSERT(looks(device, 0, "on the processor"));
    CU_ASSERT(dpc_device_refuse(device));
    CU_ASSERT(looks(device, 1, "until there is a card"));
    CU_ASSERT_FALSE(dpc_device_is_ready(device));
    CU_ASSERT_FALSE(looks(device, 2, NULL));
    CU_ASSERT(looks(device, DPC_DEVICE_RETRY_MS, "on a card"));
    dpc_device_destroy(device);
}

/* --- Jobs. */

static struct dpc_job_result *
run_one(struct dpc_runner *runner, const struct task_rig *rig)
{
    struct pollfd item = {.fd = dpc_runner_fd(runner), .events = POLLIN};
    CU_ASSERT_EQUAL_FATAL(dpc_runner_run(runner, &rig->experiment, &rig->lease), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(poll(&item, 1, DEADLINE_MS), 1);
    struct dpc_job_result *result = dpc_runner_result(runner);
    CU_ASSERT_PTR_NOT_NULL_FATAL(result);
    return result;
}

static void
a_job_on_a_failing_card_says_so_and_the_next_one_finds_it_again(void)
{
    struct task_rig rig;
    rig_begin(&rig, DPC_TASK_TRAIN);
    struct dpc_device *device = dpc_device_create(&demanded);
    CU_ASSERT(looks(device, 0, "on a card"));
    struct dpc_runner *runner = dpc_runner_start(rig.cache, NULL, device, 1, 0);
    struct dpc_job_result *result = run_one(runner, &rig);
    CU_ASSERT_EQUAL(result->code, DPC_OK);
    CU_ASSERT_STRING_EQUAL(result->text, "");
    CU_ASSERT_PTR_NULL(result->fallback);
    struct dpc_hash state = result->submit.state.hash;
    double loss = result->submit.loss;
    dpc_free(result);
    setenv("FAKE_CARD_FAIL_AFTER", "1", 1);
    result = run_one(runner, &rig);
    CU_ASSERT_EQUAL(result->code, DPC_EDEVICE);
    CU_ASSERT_PTR_NOT_NULL(strstr(result->text, "fake card failed"));
    dpc_free(result);
    unsetenv("FAKE_CARD_FAIL_AFTER");
    CU_ASSERT(looks(device, 0, "fake card failed"));
    result = run_one(runner, &rig);
    CU_ASSERT_EQUAL(result->code, DPC_EDEVICE);
    dpc_free(result);
    CU_ASSERT(looks(device, DPC_DEVICE_RETRY_MS, "on a card"));
    result = run_one(runner, &rig);
    CU_ASSERT_EQUAL(result->code, DPC_OK);
    CU_ASSERT(dpc_hash_equal(&state, &result->submit.state.hash));
    CU_ASSERT_DOUBLE_EQUAL(result->submit.loss, loss, 0);
    dpc_free(result);
    dpc_runner_stop(runner);
    dpc_device_destroy(device);
    rig_end(&rig);
}

/* It may be dead before there is an engine on it, and is given up for another one all the same. */
static void
a_card_that_fails_in_an_allocation_is_one_that_failed(void)
{
    struct task_rig rig;
    unsigned failures = 0;
    int code = DPC_EDEVICE;
    rig_begin(&rig, DPC_TASK_TRAIN);
    for (unsigned n = 1; code == DPC_EDEVICE && n < 1000; n++) {
        char number[16];
        (void)snprintf(number, sizeof number, "%u", n);
        setenv("FAKE_CARD_FAIL_ALLOCATION", number, 1);
        struct dpc_device *device = dpc_device_create(&demanded);
        CU_ASSERT(looks(device, 0, "on a card"));
        struct dpc_runner *runner = dpc_runner_start(rig.cache, NULL, device, 1, 0);
        struct dpc_job_result *result = run_one(runner, &rig);
        code = result->code;
        failures += code == DPC_EDEVICE;
        CU_ASSERT(code == DPC_OK || code == DPC_EDEVICE);
        dpc_free(result);
        dpc_runner_stop(runner);
        dpc_device_destroy(device);
    }
    unsetenv("FAKE_CARD_FAIL_ALLOCATION");
    CU_ASSERT_EQUAL(code, DPC_OK);
    CU_ASSERT(failures > 0);
    rig_end(&rig);
}

/* CUDA gives up a process after some failures, whatever becomes of the card. */
static void
a_card_that_does_not_come_back_wants_another_process(void)
{
    struct task_rig rig;
    rig_begin(&rig, DPC_TASK_TRAIN);
    struct dpc_device *device = dpc_device_create(&automatic);
    CU_ASSERT(looks(device, 0, "on a card"));
    struct dpc_runner *runner = dpc_runner_start(rig.cache, NULL, device, 1, 0);
    struct dpc_job_result *result = run_one(runner, &rig);
    CU_ASSERT_EQUAL(result->code, DPC_OK);
    dpc_free(result);
    setenv("FAKE_CARD_STICKY", "1", 1);
    setenv("FAKE_CARD_FAIL_AFTER", "1", 1);
    result = run_one(runner, &rig);
    CU_ASSERT_EQUAL(result->code, DPC_EDEVICE);
    dpc_free(result);
    CU_ASSERT(looks(device, 0, "on the processor"));
    CU_ASSERT_FALSE(dpc_device_is_worn(device));
    CU_ASSERT(looks(device, DPC_DEVICE_RETRY_MS, "on a card"));
    result = run_one(runner, &rig);
    CU_ASSERT_EQUAL(result->code, DPC_EDEVICE);
    CU_ASSERT_PTR_NOT_NULL(strstr(result->text, "context is spoiled"));
    CU_ASSERT(dpc_device_is_worn(device));
    dpc_free(result);
    dpc_runner_stop(runner);
    dpc_device_destroy(device);
    unsetenv("FAKE_CARD_FAIL_AFTER");
    unsetenv("FAKE_CARD_STICKY");
    rig_end(&rig);
}

/* It is tried when it is opened, and again when it is looked for. */
static void
a_card_that_computes_wrongly_is_not_used(void)
{
    struct task_rig rig;
    rig_begin(&rig, DPC_TASK_TRAIN);
    struct dpc_device *device = dpc_device_create(&automatic);
    setenv("FAKE_CARD_WRONG", "attention", 1);
    CU_ASSERT(looks(device, 0, "on a card"));
    struct dpc_runner *runner = dpc_runner_start(rig.cache, NULL, device, 1, 0);
    struct dpc_job_result *result = run_one(runner, &rig);
    CU_ASSERT_EQUAL(result->code, DPC_EDEVICE);
    CU_ASSERT_PTR_NOT_NULL(strstr(result->text, "fake card cannot be relied on"));
    dpc_free(result);
    CU_ASSERT(looks(device, 0, "on the processor reason=\"fake card cannot be relied on"));
    result = run_one(runner, &rig);
    CU_ASSERT_EQUAL(result->code, DPC_OK);
    dpc_free(result);
    CU_ASSERT_FALSE(looks(device, DPC_DEVICE_WRONG_MS - 1, NULL));
    CU_ASSERT(looks(device, DPC_DEVICE_WRONG_MS, "on a card"));
    unsetenv("FAKE_CARD_WRONG");
    result = run_one(runner, &rig);
    CU_ASSERT_EQUAL(result->code, DPC_OK);
    dpc_free(result);
    dpc_runner_stop(runner);
    dpc_device_destroy(device);
    rig_end(&rig);
}

static void
a_card_with_too_little_memory_is_named(void)
{
    struct task_rig rig;
    rig_begin(&rig, DPC_TASK_TRAIN);
    setenv("FAKE_CARD_MEMORY", "100000", 1);
    struct dpc_device *device = dpc_device_create(&demanded);
    CU_ASSERT(looks(device, 0, "on a card"));
    struct dpc_runner *runner = dpc_runner_start(rig.cache, NULL, device, 1, 0);
    struct dpc_job_result *result = run_one(runner, &rig);
    CU_ASSERT_EQUAL(result->code, DPC_ELIMIT);
    CU_ASSERT_PTR_NOT_NULL(strstr(result->text, "--device-memory"));
    dpc_free(result);
    CU_ASSERT_FALSE(looks(device, 0, NULL));
    unsetenv("FAKE_CARD_MEMORY");
    dpc_runner_stop(runner);
    dpc_device_destroy(device);
    rig_end(&rig);
}

/* The engine goes with the device. */
static void
a_job_moves_between_processor_and_card(void)
{
    struct task_rig rig;
    rig_begin(&rig, DPC_TASK_TRAIN);
    setenv("FAKE_CARD", "none", 1);
    setenv("FAKE_CARD_LACKS", "attention", 1);
    struct dpc_device *device = dpc_device_create(&automatic);
    CU_ASSERT(looks(device, 0, "on the processor"));
    struct dpc_runner *runner = dpc_runner_start(rig.cache, NULL, device, 1, 0);
    struct dpc_job_result *one = run_one(runner, &rig);
    unsetenv("FAKE_CARD");
    CU_ASSERT(looks(device, DPC_DEVICE_RETRY_MS, "on a card"));
    struct dpc_job_result *other = run_one(runner, &rig);
    CU_ASSERT_EQUAL(one->code, DPC_OK);
    CU_ASSERT_EQUAL(other->code, DPC_OK);
    CU_ASSERT_PTR_NULL(one->fallback);
    CU_ASSERT_PTR_NOT_NULL(other->fallback);
    CU_ASSERT_DOUBLE_EQUAL(one->submit.loss, other->submit.loss, 1e-3);
    CU_ASSERT(dpc_device_refuse(device));
    CU_ASSERT(looks(device, DPC_DEVICE_RETRY_MS, "on the processor"));
    struct dpc_job_result *back = run_one(runner, &rig);
    CU_ASSERT_EQUAL(back->code, DPC_OK);
    CU_ASSERT(dpc_hash_equal(&one->submit.state.hash, &back->submit.state.hash));
    unsetenv("FAKE_CARD_LACKS");
    dpc_free(one);
    dpc_free(other);
    dpc_free(back);
    dpc_runner_stop(runner);
    dpc_device_destroy(device);
    rig_end(&rig);
}

/* Waits until `condition` holds, which something else brings about. */
static bool
comes_true(bool (*condition)(void *context), void *context)
{
    int64_t until_ns = dpc_clock_ns() + DEADLINE_MS * (int64_t)1000000;
    while (!condition(context) && dpc_clock_ns() < until_ns)
        (void)poll(NULL, 0, 1);
    return condition(context);
}

static bool
is_yielding(void *device)
{
    return dpc_device_is_yielding(device);
}

static bool
is_spilled(void *folder)
{
    char path[SCRATCH_PATH_MAX + 8];
    (void)snprintf(path, sizeof path, "%s/spill", (const char *)folder);
    return dpc_vfs_exists(&dpc_vfs_posix, path);
}

/* It may wait for long, so what it has done is on disk first. */
static void
a_job_yields_to_others(void)
{
    struct task_rig rig;
    struct dpc_spill *spill;
    struct dpc_device_options options = demanded;
    options.yield_percent = 20;
    rig_begin(&rig, DPC_TASK_TRAIN);
    CU_ASSERT_EQUAL_FATAL(dpc_spill_create(&dpc_vfs_posix, rig.folder, &spill, &rig.err), DPC_OK);
    setenv("FAKE_CARD_BUSY", "21", 1);
    struct dpc_device *device = dpc_device_create(&options);
    CU_ASSERT(looks(device, 0, "on a card"));
    struct dpc_runner *runner = dpc_runner_start(rig.cache, spill, device, 1, 0);
    CU_ASSERT_EQUAL(dpc_runner_run(runner, &rig.experiment, &rig.lease), DPC_OK);
    CU_ASSERT(comes_true(is_yielding, device));
    CU_ASSERT(comes_true(is_spilled, rig.folder));
    CU_ASSERT_EQUAL(dpc_runner_steps_done(runner), 1);
    dpc_runner_cancel(runner);
    struct pollfd item = {.fd = dpc_runner_fd(runner), .events = POLLIN};
    CU_ASSERT_EQUAL(poll(&item, 1, DEADLINE_MS), 1);
    struct dpc_job_result *result = dpc_runner_result(runner);
    CU_ASSERT_EQUAL(result->code, DPC_ECANCELLED);
    CU_ASSERT_FALSE(dpc_device_is_yielding(device));
    dpc_free(result);
    setenv("FAKE_CARD_BUSY", "20", 1);
    result = run_one(runner, &rig); /* as after a restart: from the step that it had done */
    CU_ASSERT_EQUAL(result->code, DPC_OK);
    CU_ASSERT_EQUAL(dpc_runner_steps_before(runner), 1);
    dpc_free(result);
    unsetenv("FAKE_CARD_BUSY");
    dpc_runner_stop(runner);
    dpc_device_destroy(device);
    dpc_spill_destroy(spill);
    rig_end(&rig);
}

/* Whoever has to go hands in what there is, however busy the card. */
static void
a_cut_reaches_a_job_that_yields(void)
{
    struct task_rig rig;
    struct dpc_device_options options = demanded;
    options.yield_percent = 20;
    rig_begin(&rig, DPC_TASK_TRAIN);
    setenv("FAKE_CARD_BUSY", "21", 1);
    struct dpc_device *device = dpc_device_create(&options);
    CU_ASSERT(looks(device, 0, "on a card"));
    struct dpc_runner *runner = dpc_runner_start(rig.cache, NULL, device, 1, 0);
    CU_ASSERT_EQUAL(dpc_runner_run(runner, &rig.experiment, &rig.lease), DPC_OK);
    CU_ASSERT(comes_true(is_yielding, device));
    dpc_runner_cut(runner);
    struct pollfd item = {.fd = dpc_runner_fd(runner), .events = POLLIN};
    CU_ASSERT_EQUAL(poll(&item, 1, DEADLINE_MS), 1);
    struct dpc_job_result *result = dpc_runner_result(runner);
    CU_ASSERT_PTR_NOT_NULL_FATAL(result);
    CU_ASSERT_EQUAL(result->code, DPC_OK);
    CU_ASSERT_EQUAL(result->submit.steps_count, 1);
    dpc_free(result);
    unsetenv("FAKE_CARD_BUSY");
    dpc_runner_stop(runner);
    dpc_device_destroy(device);
    rig_end(&rig);
}

static const struct dpc_test tests[] = {
    {"words choose a device", words_choose_a_device},
    {"auto computes on the processor until a card appears",
     auto_computes_on_the_processor_until_a_card_appears},
    {"a card that is demanded is waited for", a_card_that_is_demanded_is_waited_for},
    {"a card that does not open is looked for with growing pauses",
     a_card_that_does_not_open_is_looked_for_with_growing_pauses},
    {"a class that is refused leaves the other device",
     a_class_that_is_refused_leaves_the_other_device},
    {"a job on a failing card says so and the next one finds it again",
     a_job_on_a_failing_card_says_so_and_the_next_one_finds_it_again},
    {"a card that computes wrongly is not used", a_card_that_computes_wrongly_is_not_used},
    {"a card with too little memory is named", a_card_with_too_little_memory_is_named},
    {"a job moves between processor and card", a_job_moves_between_processor_and_card},
    {"a card that fails in an allocation is one that failed",
     a_card_that_fails_in_an_allocation_is_one_that_failed},
    {"a card that does not come back wants another process",
     a_card_that_does_not_come_back_wants_another_process},
    {"a job yields to others", a_job_yields_to_others},
    {"a cut reaches a job that yields", a_cut_reaches_a_job_that_yields},
};
DPC_TEST_MAIN("worker/device", tests)
