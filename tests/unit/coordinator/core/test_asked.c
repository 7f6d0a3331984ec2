/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/core/asked.h"

#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "tests/unit/coordinator/core_driver.h"
#include "tests/unit/coordinator/small_2x2.h"
#include "tests/unit/harness.h"

enum { PATHS_MAX = 40, BLOCKS_MAX = 60 };

/* How often each path is asked for `blocks` blocks, `ret_times` [paths]; in each of them by
 * different ones. */
static void
count_asked(uint64_t seed, uint32_t paths, uint32_t count, uint32_t blocks, uint32_t *ret_times)
{
    struct dpc_asked asked;
    dpc_asked_init(&asked, seed, 1, paths, count);
    memset(ret_times, 0, paths * sizeof *ret_times);
    for (uint32_t block = 0; block < blocks; block++) {
        const uint32_t *chosen = dpc_asked_next(&asked);
        for (uint32_t i = 0; i < count; i++) {
            CU_ASSERT_FATAL(chosen[i] < paths);
            ret_times[chosen[i]]++;
            for (uint32_t before = 0; before < i; before++)
                CU_ASSERT_NOT_EQUAL(chosen[before], chosen[i]);
        }
    }
    dpc_asked_done(&asked);
}

static void
paths_are_asked_equally_often_up_to_one(void)
{
    struct dpc_rng rng;
    dpc_rng_init(&rng, 1, DPC_RNG_TEST, 0, 0, 0);
    for (uint64_t trial = 0; trial < 500; trial++) {
        uint32_t times[PATHS_MAX], paths = 2 + (uint32_t)dpc_rng_below(&rng, PATHS_MAX - 1);
        uint32_t count = 1 + (uint32_t)dpc_rng_below(&rng, paths);
        uint32_t blocks = (uint32_t)dpc_rng_below(&rng, BLOCKS_MAX);
        count_asked(trial, paths, count, blocks, times);
        for (uint32_t i = 0; i < paths; i++) {
            uint32_t even = blocks * count / paths;
            CU_ASSERT(times[i] == even || (blocks * count % paths && times[i] == even + 1));
        }
    }
}

/* Else two paths would never be compared, and nothing would say how good the one is where the other
 * is asked. */
static void
each_two_paths_meet(void)
{
    enum { PATHS = 16, ASKED = 4, BLOCKS = 400 };
    struct dpc_asked asked;
    uint32_t meetings[PATHS][PATHS] = {{0}};
    dpc_asked_init(&asked, 1, 1, PATHS, ASKED);
    for (uint32_t block = 0; block < BLOCKS; block++) {
        const uint32_t *chosen = dpc_asked_next(&asked);
        for (uint32_t i = 0; i < ASKED * ASKED; i++)
            meetings[chosen[i / ASKED]][chosen[i % ASKED]]++;
    }
    dpc_asked_done(&asked);
    for (uint32_t i = 0; i < PATHS * PATHS; i++) /* 20 are expected of each two */
        CU_ASSERT(i / PATHS == i % PATHS ||
                  (meetings[i / PATHS][i % PATHS] >= 5 && meetings[i / PATHS][i % PATHS] <= 45));
}

/* Whether the first twenty blocks are the same. */
static bool
are_alike(uint64_t seed, uint32_t phase)
{
    struct dpc_asked one, other;
    bool alike = true;
    dpc_asked_init(&one, 1, 1, 12, 5);
    dpc_asked_init(&other, seed, phase, 12, 5);
    for (uint32_t block = 0; block < 20; block++)
        alike &= memcmp(dpc_asked_next(&one), dpc_asked_next(&other), 5 * sizeof(uint32_t)) == 0;
    dpc_asked_done(&one);
    dpc_asked_done(&other);
    return alike;
}

static void
seed_and_phase_say_it_all(void)
{
    CU_ASSERT_TRUE(are_alike(1, 1));
    CU_ASSERT_FALSE(are_alike(2, 1));
    CU_ASSERT_FALSE(are_alike(1, 2));
}

/* --- In the core. */

enum { PHASES = 2, SCORED = 50, PATHS = 4, BLOCKS = 2 };

#define YAML(score_paths)                                                                          \
    SMALL_2X2                                                                                      \
    "routing: {prefix: 8, phases: 2, score_paths: " score_paths "}\n"                              \
    "inner: {steps: 4, batch: 2}\n"                                                                \
    "outer: {rounds: 5}\n"                                                                         \
    "warm_start: {steps: 10}\n"

struct scored {
    uint32_t paths[PHASES + 1][BLOCKS]; /* that scored a block */
    uint32_t blocks[PHASES + 1][PATHS]; /* that a path scored */
};

static bool
count_scored(void *context, const struct dpc_result_record *record)
{
    struct scored *scored = context;
    if (record->kind != DPC_TASK_SCORE)
        return true;
    CU_ASSERT_FATAL(record->phase <= PHASES && record->path < PATHS && record->from < SCORED);
    CU_ASSERT_EQUAL(record->to, record->from ? SCORED : DPC_ASKED_DOCUMENTS);
    scored->paths[record->phase][record->from / DPC_ASKED_DOCUMENTS]++;
    scored->blocks[record->phase][record->path]++;
    return true;
}

static void
only_asked_paths_score(void)
{
    struct driver driver;
    struct scored scored = {0};
    struct dpc_error err;
    driver_start(&driver, YAML("2"));
    CU_ASSERT_TRUE(driver_finish(&driver, 3));
    CU_ASSERT_EQUAL(dpc_scan_results(driver.kv, count_scored, &scored, &err), DPC_OK);
    for (uint32_t phase = 1; phase <= PHASES; phase++) {
        for (uint32_t block = 0; block < BLOCKS; block++)
            CU_ASSERT_EQUAL(scored.paths[phase][block], 2);
        for (uint32_t path = 0; path < PATHS; path++)
            CU_ASSERT_EQUAL(scored.blocks[phase][path], 1);
    }
    driver_stop(&driver);
}

static void
a_crash_after_every_event_asks_the_same_paths(void)
{
    struct driver driver;
    struct scored before = {0}, after = {0};
    struct dpc_error err;
    driver_start(&driver, YAML("3"));
    CU_ASSERT_TRUE(driver_finish(&driver, 1));
    struct dpc_hash undisturbed = driver_outcome(&driver);
    CU_ASSERT_EQUAL(dpc_scan_results(driver.kv, count_scored, &before, &err), DPC_OK);
    driver_stop(&driver);
    driver_start(&driver, YAML("3"));
    driver.crash_after_each = true;
    CU_ASSERT_TRUE(driver_finish(&driver, 3));
    struct dpc_hash outcome = driver_outcome(&driver);
    CU_ASSERT_EQUAL(dpc_scan_results(driver.kv, count_scored, &after, &err), DPC_OK);
    CU_ASSERT_TRUE(dpc_hash_equal(&outcome, &undisturbed));
    CU_ASSERT_EQUAL(memcmp(&before, &after, sizeof before), 0);
    driver_stop(&driver);
}

static void
asking_all_is_asking_everybody(void)
{
    struct driver driver;
    driver_start(&driver, YAML("0"));
    CU_ASSERT_TRUE(driver_finish(&driver, 2));
    struct dpc_hash all = driver_outcome(&driver);
    driver_stop(&driver);
    driver_start(&driver, YAML("4"));
    CU_ASSERT_TRUE(driver_finish(&driver, 2));
    struct dpc_hash four = driver_outcome(&driver);
    CU_ASSERT_TRUE(dpc_hash_equal(&all, &four));
    driver_stop(&driver);
}

static const struct dpc_test tests[] = {
    {"paths are asked equally often up to one", paths_are_asked_equally_often_up_to_one},
    {"each two paths meet", each_two_paths_meet},
    {"seed and phase say it all", seed_and_phase_say_it_all},
    {"only asked paths score", only_asked_paths_score},
    {"a crash after every event asks the same paths",
     a_crash_after_every_event_asks_the_same_paths},
    {"asking all is asking everybody", asking_all_is_asking_everybody},
};
DPC_TEST_MAIN("coordinator/asked", tests)
