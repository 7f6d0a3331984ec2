/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/core/heap.h"

#include "base/rng.h"
#include "tests/unit/harness.h"

enum { ITEMS = 50 };

/* The slow way: which item is first? */
static bool
first_of(const bool *in, const int64_t *keys, uint32_t *ret_item)
{
    bool found = false;
    for (uint32_t i = 0; i < ITEMS; i++) {
        if (in[i] && (!found || keys[i] < keys[*ret_item])) {
            *ret_item = i;
            found = true;
        }
    }
    return found;
}

static void
the_first_is_the_least_after_any_change(void)
{
    struct core_heap heap = {0};
    struct dpc_rng rng;
    bool in[ITEMS] = {false};
    int64_t keys[ITEMS] = {0};
    dpc_rng_init(&rng, 1, DPC_RNG_TEST, 0, 0, 0);
    core_heap_init(&heap, ITEMS);
    for (int i = 0; i < 20000; i++) {
        uint32_t item = (uint32_t)dpc_rng_below(&rng, ITEMS), first = 0, expected = 0;
        int64_t key;
        if (dpc_rng_below(&rng, 3)) {
            keys[item] = (int64_t)dpc_rng_below(&rng, 20) - 10;
            core_heap_set(&heap, item, keys[item]);
            in[item] = true;
        } else {
            core_heap_remove(&heap, item);
            in[item] = false;
        }
        CU_ASSERT_EQUAL(core_heap_has(&heap, item), in[item]);
        bool any = first_of(in, keys, &expected);
        CU_ASSERT_EQUAL_FATAL(core_heap_first(&heap, &first, &key), any);
        if (any) {
            CU_ASSERT_EQUAL_FATAL(first, expected);
            CU_ASSERT_EQUAL(key, keys[expected]);
        }
    }
    core_heap_done(&heap);
}

static void
making_it_again_empties_it(void)
{
    struct core_heap heap = {0};
    uint32_t item;
    int64_t key;
    core_heap_init(&heap, 4);
    core_heap_set(&heap, 3, 7);
    core_heap_init(&heap, 2);
    CU_ASSERT_FALSE(core_heap_first(&heap, &item, &key));
    CU_ASSERT_FALSE(core_heap_has(&heap, 3));
    core_heap_set(&heap, 1, 5);
    CU_ASSERT(core_heap_first(&heap, &item, &key));
    CU_ASSERT_EQUAL(item, 1);
    core_heap_done(&heap);
}

static const struct dpc_test tests[] = {
    {"the first is the least after any change", the_first_is_the_least_after_any_change},
    {"making it again empties it", making_it_again_empties_it},
};
DPC_TEST_MAIN("coordinator/core heap", tests)
