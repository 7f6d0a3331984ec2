/* SPDX-License-Identifier: Apache-2.0
 * Records of early stopping: every member has a value of its own, so that a field that the table
 * forgets, or names twice, shows as a difference. */
#include <string.h>

#include "storage/db/records.h"
#include "tests/unit/harness.h"

enum { COUNT = 3 };

struct seen {
    const void *expected;
    uint32_t count, bad;
};

static struct dpc_hash
hash_of(uint32_t salt)
{
    struct dpc_hash hash;
    memset(hash.bytes, (int)(0x80 + salt), sizeof hash.bytes);
    return hash;
}

/* Padding is cleared, as it is in what is read. */
static void
fill_best(struct dpc_best_record *record, uint32_t salt)
{
    uint32_t next = 1000 * (salt + 1);
    memset(record, 0, sizeof *record);
    record->path = 300 * salt;
    record->documents = hash_of(salt);
    record->documents_bytes = (uint64_t)next++ << 33;
    record->documents_count = next++;
    record->next_round = next++;
    record->read = next++;
    record->targets = (uint64_t)next++ << 33;
    record->nats = 0.1 * next++;
    record->candidates_count = next++;
    record->first = next++;
    record->found = next++;
    record->round = next++;
    record->loss = 0.1 * next++;
    for (uint32_t level = 0; level < DPC_LEVELS_MAX; level++)
        record->versions[level] = next++;
}

static void
fill_candidate(struct dpc_candidate_record *record, uint32_t salt)
{
    uint32_t next = 1000 * (salt + 1);
    memset(record, 0, sizeof *record);
    record->path = salt / 2;
    record->number = 255 * salt;
    record->round = next++;
    record->phase = next++;
    record->documents = next++;
    record->targets = (uint64_t)next++ << 33;
    record->nats = 0.1 * next++;
}

static bool
compare_best(void *context, const struct dpc_best_record *record)
{
    struct seen *seen = context;
    const struct dpc_best_record *expected = seen->expected;
    seen->bad += memcmp(record, &expected[seen->count++], sizeof *record) != 0;
    return true;
}

static bool
compare_candidate(void *context, const struct dpc_candidate_record *record)
{
    struct seen *seen = context;
    const struct dpc_candidate_record *expected = seen->expected;
    seen->bad += memcmp(record, &expected[seen->count++], sizeof *record) != 0;
    return true;
}

/* Put last first. */
static void
both_come_back_in_order(void)
{
    struct dpc_best_record bests[COUNT];
    struct dpc_candidate_record candidates[COUNT];
    struct seen best = {.expected = bests}, candidate = {.expected = candidates};
    struct dpc_kv *kv;
    struct dpc_kv_batch batch;
    struct dpc_error err;
    CU_ASSERT_EQUAL_FATAL(dpc_kv_open_memory(&kv), DPC_OK);
    dpc_kv_batch_init(&batch);
    for (uint32_t i = COUNT; i-- > 0;) {
        fill_best(&bests[i], i);
        fill_candidate(&candidates[i], i);
        dpc_put_best(&batch, &bests[i]);
        dpc_put_candidate(&batch, &candidates[i]);
    }
    CU_ASSERT_EQUAL(kv->ops->write(kv, &batch, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_scan_bests(kv, compare_best, &best, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_scan_candidates(kv, compare_candidate, &candidate, &err), DPC_OK);
    CU_ASSERT(best.count == COUNT && best.bad == 0);
    CU_ASSERT(candidate.count == COUNT && candidate.bad == 0);
    dpc_kv_batch_done(&batch);
    dpc_kv_close(kv);
}

static const struct dpc_test tests[] = {
    {"both come back in order", both_come_back_in_order},
};

DPC_TEST_MAIN("storage/db/best records", tests)
