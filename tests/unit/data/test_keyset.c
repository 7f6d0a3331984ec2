/* SPDX-License-Identifier: Apache-2.0 */
#include "data/keyset.h"

#include <string.h>

#include "base/hash.h"
#include "tests/unit/harness.h"

static void
key_of(unsigned number, uint8_t *ret_key)
{
    struct dpc_hash hash;
    dpc_hash_of(&number, sizeof number, &hash);
    memcpy(ret_key, hash.bytes, DPC_CONTENT_KEY_BYTES);
}

static void
holds_what_was_added_and_nothing_else(void)
{
    enum { COUNT = 5000 }; /* grows several times */
    struct dpc_keyset set;
    uint8_t key[DPC_CONTENT_KEY_BYTES];
    dpc_keyset_init(&set);
    key_of(0, key);
    CU_ASSERT_FALSE(dpc_keyset_has(&set, key));
    for (unsigned i = 0; i < COUNT; i++) {
        key_of(i, key);
        CU_ASSERT_TRUE(dpc_keyset_add(&set, key));
    }
    CU_ASSERT_TRUE(dpc_keyset_add(&set, key));
    CU_ASSERT_EQUAL(set.count, COUNT);
    for (unsigned i = 0; i < 2 * COUNT; i++) {
        key_of(i, key);
        CU_ASSERT_EQUAL(dpc_keyset_has(&set, key), i < COUNT);
    }
    dpc_keyset_done(&set);
}

/* Keys that begin alike meet in one slot and must still be told apart. */
static void
equal_starts_stay_apart(void)
{
    struct dpc_keyset set;
    uint8_t a[DPC_CONTENT_KEY_BYTES] = {1}, b[DPC_CONTENT_KEY_BYTES] = {1};
    b[DPC_CONTENT_KEY_BYTES - 1] = 1;
    dpc_keyset_init(&set);
    CU_ASSERT_TRUE(dpc_keyset_add(&set, a));
    CU_ASSERT_FALSE(dpc_keyset_has(&set, b));
    CU_ASSERT_TRUE(dpc_keyset_add(&set, b));
    CU_ASSERT_TRUE(dpc_keyset_has(&set, a));
    CU_ASSERT_EQUAL(set.count, 2);
    dpc_keyset_done(&set);
}

static const struct dpc_test tests[] = {
    {"holds what was added and nothing else", holds_what_was_added_and_nothing_else},
    {"equal starts stay apart", equal_starts_stay_apart},
};
DPC_TEST_MAIN("data/keyset", tests)
