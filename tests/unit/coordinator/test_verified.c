/* SPDX-License-Identifier: Apache-2.0
 * Which names of verified blobs are there, and which goes when there is no place. */
#include "coordinator/verified.h"

#include <string.h>

#include "tests/unit/harness.h"

enum { CAPACITY = 64, NAMES = 1000 };

static struct dpc_hash
name_of(uint32_t number)
{
    struct dpc_hash hash;
    dpc_hash_of(&number, sizeof number, &hash);
    return hash;
}

static bool
has(struct dpc_verified *verified, uint32_t number)
{
    struct dpc_hash hash = name_of(number);
    return dpc_verified_has(verified, &hash);
}

static void
add(struct dpc_verified *verified, uint32_t number)
{
    struct dpc_hash hash = name_of(number);
    dpc_verified_add(verified, &hash);
}

static void
only_what_was_added_is_there(void)
{
    struct dpc_verified *verified = dpc_verified_create(CAPACITY);
    CU_ASSERT_FALSE(dpc_verified_has(verified, &dpc_hash_none));
    for (uint32_t i = 0; i < CAPACITY; i++) {
        CU_ASSERT_FALSE(has(verified, i));
        add(verified, i);
        CU_ASSERT_TRUE(has(verified, i));
    }
    dpc_verified_destroy(verified);
}

static void
a_name_that_comes_again_takes_no_place(void)
{
    struct dpc_verified *verified = dpc_verified_create(2);
    add(verified, 0);
    for (int i = 0; i < 3; i++)
        add(verified, 1);
    CU_ASSERT(has(verified, 0) && has(verified, 1));
    dpc_verified_destroy(verified);
}

/* However many others come by between two of its pieces. */
static void
what_is_being_sent_stays(void)
{
    enum { SENT = CAPACITY / 2 };
    uint32_t lost = 0;
    struct dpc_verified *verified = dpc_verified_create(CAPACITY);
    for (uint32_t i = 0; i < SENT; i++)
        add(verified, i);
    for (uint32_t i = SENT; i < NAMES; i++) {
        lost += !has(verified, i % SENT);
        add(verified, i);
    }
    for (uint32_t i = 0; i < SENT; i++)
        lost += !has(verified, i);
    CU_ASSERT_EQUAL(lost, 0);
    dpc_verified_destroy(verified);
}

/* Also where all are asked for, and where chains have lost names from their middle. */
static void
a_full_one_holds_its_capacity_and_the_newest(void)
{
    uint32_t held = 0;
    struct dpc_verified *verified = dpc_verified_create(CAPACITY);
    for (uint32_t i = 0; i < NAMES; i++) {
        add(verified, i);
        CU_ASSERT_TRUE(has(verified, i));
    }
    for (uint32_t i = 0; i < NAMES; i++)
        held += has(verified, i);
    CU_ASSERT_EQUAL(held, CAPACITY);
    CU_ASSERT_TRUE(has(verified, NAMES - 1));
    dpc_verified_destroy(verified);
}

static const struct dpc_test tests[] = {
    {"only what was added is there", only_what_was_added_is_there},
    {"a name that comes again takes no place", a_name_that_comes_again_takes_no_place},
    {"what is being sent stays", what_is_being_sent_stays},
    {"a full one holds its capacity and the newest", a_full_one_holds_its_capacity_and_the_newest},
};

DPC_TEST_MAIN("coordinator/verified", tests)
