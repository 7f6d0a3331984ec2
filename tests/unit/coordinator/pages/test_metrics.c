/* SPDX-License-Identifier: Apache-2.0
 * The whole text for a small core; what workers call themselves; and that the number of series does
 * not grow with that of workers, paths and modules. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/limits.h"
#include "coordinator/pages/metrics.h"
#include "tests/unit/coordinator/core_driver.h"
#include "tests/unit/coordinator/pages/metrics_text.h"
#include "tests/unit/coordinator/small_2x2.h"
#include "tests/unit/harness.h"

static const char yaml[] = SMALL_2X2 "routing: {prefix: 8}\n"
                                     "inner: {steps: 4, batch: 2}\n"
                                     "outer: {rounds: 3}\n"
                                     "warm_start: {steps: 10}\n";

static const struct dpc_metrics_server server = {
    .version = "1.2.3",
    .incarnation = "000000000000004d",
    .started_s = 1795968767,
    .cpu_s = 0.25,
    .resident_bytes = NAN,
    .open_fds = 40,
    .disk_free_bytes = 26733789184,
    .sweeps = 4,
    .backup_s = NAN,
    .peer_faults = 2,
    .machines_pending = 3,
};

static const char *
scrape(const struct driver *driver, struct dpc_buf *out)
{
    dpc_buf_init(out, DPC_HTTP_PAGE_BYTES_MAX);
    dpc_metrics_write(driver->core, &driver->experiment, &server, driver->now_ms, out);
    CU_ASSERT_FALSE(out->failed);
    return dpc_buf_text(out);
}

static bool
has(const char *text, const char *line)
{
    return strstr(text, line) != NULL;
}

static void
hello(struct driver *driver, uint32_t worker, const char *name)
{
    struct dpc_msg_hello message = {.protocol_min = DPC_PROTOCOL_MIN,
                                    .protocol_max = DPC_PROTOCOL_MAX,
                                    .name = name,
                                    .build = "",
                                    .numeric_class = driver->numeric_class};
    struct dpc_event event = {.type = DPC_EVENT_HELLO};
    memcpy(event.worker, &worker, sizeof worker);
    event.hello.message = &message;
    driver_step(driver, &event);
}

static void
test_the_whole_text(void)
{
    struct driver driver;
    struct dpc_buf out;
    static const struct dpc_token none;
    driver_start_training(&driver, yaml);
    driver_hello(&driver, 1, none);
    struct dpc_msg_lease first = driver_lease(&driver, 0);
    driver_submit(&driver, 0, &first);
    driver_lease(&driver, 1);
    const char *text = scrape(&driver, &out);
    CU_ASSERT_STRING_EQUAL(text, metrics_text);
    if (strcmp(text, metrics_text) != 0)
        printf("%s", text);
    dpc_buf_done(&out);
    driver_stop(&driver);
}

static double
value_of(const char *text, const char *series)
{
    const char *at = strstr(text, series);
    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    return strtod(at + strlen(series), NULL);
}

/* A counter that is lower than before began anew, says Prometheus, and adds all that it shows. */
static void
test_a_killed_coordinator_takes_no_counter_back(void)
{
    static const char *const series[] = {
        "\ndipaco_experiment_seconds_total ",
        "\ndipaco_worker_traffic_bytes_total{direction=\"up\"} ",
        "\ndipaco_worker_traffic_bytes_total{direction=\"down\"} ",
    };
    struct driver driver;
    struct dpc_event tick = {.type = DPC_EVENT_TICK,
                             .tick = {.bytes_up = 5000, .bytes_down = 7000, .elapsed_ms = 9000}};
    driver_start_training(&driver, yaml);
    for (int kill = 0; kill < 2; kill++) {
        double before[3];
        struct dpc_buf out;
        driver_step(&driver, &tick);
        driver_hello(&driver, 0, (struct dpc_token){0});
        driver_lease(&driver, 0); /* which is on disk, as is the tick before it */
        driver_step(&driver, &tick);
        const char *text = scrape(&driver, &out);
        for (int i = 0; i < 3; i++)
            before[i] = value_of(text, series[i]);
        dpc_buf_done(&out);
        CU_ASSERT(before[0] >= 9 && before[1] >= 5000 && before[2] >= 7000);
        driver_crash(&driver);
        text = scrape(&driver, &out);
        for (int i = 0; i < 3; i++)
            CU_ASSERT(value_of(text, series[i]) >= before[i]);
        dpc_buf_done(&out);
    }
    driver_stop(&driver);
}

static void
test_names_of_workers_are_escaped(void)
{
    struct driver driver;
    struct dpc_buf out;
    driver_start(&driver, yaml);
    hello(&driver, 1, "a\"} 1\nevil{x=\"\\");
    const char *text = scrape(&driver, &out);
    CU_ASSERT_TRUE(
        has(text, "\ndipaco_worker_connected{worker=\"a\\\"} 1\\nevil{x=\\\"\\\\\",key="));
    CU_ASSERT_FALSE(has(text, "\nevil"));
    dpc_buf_done(&out);
    driver_stop(&driver);
}

static void
test_workers_of_one_name_are_told_apart(void)
{
    struct driver driver;
    struct dpc_buf out;
    driver_start(&driver, yaml);
    hello(&driver, 1, "twin");
    hello(&driver, 2, "twin");
    const char *first = strstr(scrape(&driver, &out), "\ndipaco_worker_connected{worker=\"twin\"");
    CU_ASSERT_PTR_NOT_NULL_FATAL(first);
    const char *second = strchr(first + 1, '\n');
    size_t len = (size_t)(second - first);
    CU_ASSERT_EQUAL(strncmp(second, "\ndipaco_worker_connected{worker=\"twin\"", 38), 0);
    CU_ASSERT_NOT_EQUAL(strncmp(first, second, len), 0);
    dpc_buf_done(&out);
    driver_stop(&driver);
}

static void
test_many_workers_are_sums_alone(void)
{
    struct driver driver;
    struct dpc_buf out;
    driver_start(&driver, yaml);
    for (uint32_t i = 0; i < DPC_SERIES_EACH_MAX; i++)
        hello(&driver, i + 1, "w");
    CU_ASSERT_TRUE(has(scrape(&driver, &out), "dipaco_worker_connected{"));
    dpc_buf_done(&out);
    hello(&driver, DPC_SERIES_EACH_MAX + 1, "w");
    const char *text = scrape(&driver, &out);
    CU_ASSERT_FALSE(has(text, "dipaco_worker_connected"));
    CU_ASSERT_TRUE(has(text, "dipaco_workers{state=\"connected\"} 257\n"));
    CU_ASSERT_TRUE(has(text, "dipaco_path_rounds_done{"));
    dpc_buf_done(&out);
    driver_stop(&driver);
}

#define LARGE                                                                                      \
    "experiment: large\n"                                                                          \
    "data: {corpus: corpus}\n"                                                                     \
    "model: {dim: 16, heads: 2, ffn: 32, context: 32}\n"                                           \
    "levels:\n"                                                                                    \
    "  - {name: lower, parts: [embedding, {blocks: 1}], modules: 64}\n"                            \
    "  - {name: upper, parts: [{blocks: 1}, head], modules: 64}\n"                                 \
    "routing: {prefix: 8}\n"

/* 4,096 paths and 1,000 workers: the loop stands still for as long as this takes. */
static void
test_the_cost_of_a_scrape(void)
{
    enum { WORKERS = 1000, TIMES = 20, MS_MAX = 50 };
    struct driver driver;
    struct dpc_buf out;
    int64_t least_ns = INT64_MAX;
    driver_start(&driver, LARGE);
    for (uint32_t i = 0; i < WORKERS; i++)
        hello(&driver, i + 1, "worker");
    for (int i = 0; i < TIMES; i++) {
        int64_t begun_ns = dpc_clock_ns();
        const char *text = scrape(&driver, &out);
        int64_t ns = dpc_clock_ns() - begun_ns;
        least_ns = ns < least_ns ? ns : least_ns;
        CU_ASSERT_TRUE(has(text, "dipaco_workers{state=\"connected\"} 1000\n"));
        CU_ASSERT_TRUE(has(text, "dipaco_paths{state=\"waiting\"} 4096\n"));
        CU_ASSERT_FALSE(has(text, "dipaco_path_rounds_done"));
        CU_ASSERT_TRUE(out.len < 32 * DPC_KIB);
        dpc_buf_done(&out);
    }
    printf("  a scrape takes %.3f ms ", (double)least_ns * 1e-6);
    CU_ASSERT_TRUE(least_ns < MS_MAX * INT64_C(1000000));
    driver_stop(&driver);
}

static const struct dpc_test tests[] = {
    {"the whole text", test_the_whole_text},
    {"a killed coordinator takes no counter back", test_a_killed_coordinator_takes_no_counter_back},
    {"names of workers are escaped", test_names_of_workers_are_escaped},
    {"workers of one name are told apart", test_workers_of_one_name_are_told_apart},
    {"many workers are sums alone", test_many_workers_are_sums_alone},
    {"the cost of a scrape", test_the_cost_of_a_scrape},
};

DPC_TEST_MAIN("coordinator/metrics", tests)
