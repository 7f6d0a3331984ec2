/* SPDX-License-Identifier: Apache-2.0 */
#include "data/split.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "tests/unit/harness.h"

enum { COUNT = 20000 };

static void
key_of(unsigned number, uint8_t *ret_key)
{
    char text[32];
    struct dpc_hash hash;
    int len = snprintf(text, sizeof text, "document %u", number);
    dpc_hash_of(text, (size_t)len, &hash);
    memcpy(ret_key, hash.bytes, DPC_CONTENT_KEY_BYTES);
}

static struct dpc_experiment
shares(double test, double early_stop, double router)
{
    struct dpc_experiment experiment = {0};
    experiment.data.test = test;
    experiment.data.early_stop = early_stop;
    experiment.data.router = router;
    return experiment;
}

static void
shares_are_kept(void)
{
    struct dpc_experiment experiment = shares(0.1, 0.02, 0.04);
    unsigned counts[DPC_SPLITS_COUNT] = {0};
    uint8_t key[DPC_CONTENT_KEY_BYTES];
    for (unsigned i = 0; i < COUNT; i++) {
        key_of(i, key);
        counts[dpc_split_of_key(key, &experiment)]++;
    }
    CU_ASSERT_DOUBLE_EQUAL(counts[DPC_SPLIT_TEST] / (double)COUNT, 0.1, 0.01);
    CU_ASSERT_DOUBLE_EQUAL(counts[DPC_SPLIT_EARLY_STOP] / (double)COUNT, 0.02, 0.005);
    CU_ASSERT_DOUBLE_EQUAL(counts[DPC_SPLIT_ROUTER] / (double)COUNT, 0.04, 0.006);
    CU_ASSERT_DOUBLE_EQUAL(counts[DPC_SPLIT_TRAIN] / (double)COUNT, 0.84, 0.01);
}

/* Splits stand in experiments that people compare: these must never move. */
static void
known_answers(void)
{
    static const enum dpc_split want[] = {DPC_SPLIT_EARLY_STOP, DPC_SPLIT_TRAIN, DPC_SPLIT_ROUTER,
                                          DPC_SPLIT_ROUTER,     DPC_SPLIT_TRAIN, DPC_SPLIT_TEST,
                                          DPC_SPLIT_TEST,       DPC_SPLIT_TRAIN, DPC_SPLIT_TEST,
                                          DPC_SPLIT_TEST,       DPC_SPLIT_TEST,  DPC_SPLIT_TEST};
    struct dpc_experiment experiment = shares(0.25, 0.25, 0.25);
    uint8_t key[DPC_CONTENT_KEY_BYTES];
    for (unsigned i = 0; i < sizeof want / sizeof *want; i++) {
        key_of(i, key);
        CU_ASSERT_EQUAL(dpc_split_of_key(key, &experiment), want[i]);
    }
}

/* Test documents stay test documents when only another share changes. */
static void
a_changed_share_leaves_the_others(void)
{
    struct dpc_experiment old = shares(0.1, 0.02, 0.04), now = shares(0.1, 0.02, 0.2);
    uint8_t key[DPC_CONTENT_KEY_BYTES];
    for (unsigned i = 0; i < COUNT; i++) {
        key_of(i, key);
        enum dpc_split before = dpc_split_of_key(key, &old), after = dpc_split_of_key(key, &now);
        CU_ASSERT(before == after || (before == DPC_SPLIT_TRAIN && after == DPC_SPLIT_ROUTER));
    }
}

static void
all_or_nothing(void)
{
    struct dpc_experiment none = shares(0, 0, 0), all = shares(1, 0, 0);
    uint8_t key[DPC_CONTENT_KEY_BYTES];
    for (unsigned i = 0; i < 1000; i++) {
        key_of(i, key);
        CU_ASSERT_EQUAL(dpc_split_of_key(key, &none), DPC_SPLIT_TRAIN);
        CU_ASSERT_EQUAL(dpc_split_of_key(key, &all), DPC_SPLIT_TEST);
    }
}

/* A larger share of train has all of a smaller one, and none of the other splits. */
static void
the_dense_path_has_its_share_of_train(void)
{
    static const double parts[] = {1, 0.5, 0.25, 0.01};
    unsigned counts[sizeof parts / sizeof *parts] = {0}, train = 0;
    uint8_t key[DPC_CONTENT_KEY_BYTES];
    struct dpc_experiment experiment = shares(0.1, 0.2, 0.3);
    for (unsigned i = 0; i < COUNT; i++) {
        bool before = true;
        key_of(i, key);
        bool trains = dpc_split_of_key(key, &experiment) == DPC_SPLIT_TRAIN;
        train += trains;
        for (size_t part = 0; part < sizeof parts / sizeof *parts; part++) {
            experiment.data.dense = parts[part];
            bool is = dpc_split_is_dense(key, &experiment);
            CU_ASSERT(!is || (trains && before));
            counts[part] += is;
            before = is;
        }
    }
    for (size_t part = 0; part < sizeof parts / sizeof *parts; part++)
        CU_ASSERT_DOUBLE_EQUAL(counts[part] / (double)train, parts[part], 0.01);
}

static void
names(void)
{
    CU_ASSERT_STRING_EQUAL(dpc_split_name(DPC_SPLIT_TRAIN), "train");
    CU_ASSERT_STRING_EQUAL(dpc_split_name(DPC_SPLIT_TEST), "test");
    CU_ASSERT_STRING_EQUAL(dpc_split_name((enum dpc_split)9), "?");
}

static const struct dpc_test tests[] = {
    {"shares are kept", shares_are_kept},
    {"known answers", known_answers},
    {"a changed share leaves the others", a_changed_share_leaves_the_others},
    {"all or nothing", all_or_nothing},
    {"the dense path has its share of train", the_dense_path_has_its_share_of_train},
    {"names", names},
};
DPC_TEST_MAIN("data/split", tests)
