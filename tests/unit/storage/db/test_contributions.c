/* SPDX-License-Identifier: Apache-2.0
 * Contributions of some rounds alone: where a scan begins and ends. */
#include "storage/db/records.h"

#include "tests/unit/harness.h"
#include "tests/unit/storage/scratch.h"

static bool
list_contribution(void *context, const struct dpc_contribution_record *record)
{
    struct dpc_buf *list = context;
    dpc_buf_printf(list, "%u.%u.%u.%u ", record->round, record->module, record->path, record->part);
    return true;
}

/* Rounds whose bytes differ in more than the last one among them. */
static void
check_scans(struct dpc_kv *kv)
{
    static const uint32_t rounds[] = {0, 254, 255, 256, 70000};
    struct dpc_kv_batch batch;
    struct dpc_buf list;
    struct dpc_error err;
    dpc_kv_batch_init(&batch);
    for (uint32_t i = 0; i < 5 * 8; i++)
        dpc_put_contribution(&batch, &(struct dpc_contribution_record){.round = rounds[i / 8],
                                                                       .module = i / 4 % 2,
                                                                       .path = i / 2 % 2,
                                                                       .part = i % 2});
    CU_ASSERT_EQUAL(kv->ops->write(kv, &batch, &err), DPC_OK);
    dpc_buf_init(&list, 0);
    CU_ASSERT_EQUAL(dpc_scan_contributions_from(kv, 256, list_contribution, &list, &err), DPC_OK);
    CU_ASSERT_STRING_EQUAL(dpc_buf_text(&list),
                           "256.0.0.0 256.0.0.1 256.0.1.0 256.0.1.1 256.1.0.0 256.1.0.1 256.1.1.0 "
                           "256.1.1.1 70000.0.0.0 70000.0.0.1 70000.0.1.0 70000.0.1.1 70000.1.0.0 "
                           "70000.1.0.1 70000.1.1.0 70000.1.1.1 ");
    dpc_buf_reset(&list);
    CU_ASSERT_EQUAL(dpc_scan_contributions_from(kv, 70001, list_contribution, &list, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_scan_contributions_of(kv, 257, 0, list_contribution, &list, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_scan_contributions_of(kv, 255, 1, list_contribution, &list, &err), DPC_OK);
    CU_ASSERT_STRING_EQUAL(dpc_buf_text(&list), "255.1.0.0 255.1.0.1 255.1.1.0 255.1.1.1 ");
    dpc_buf_done(&list);
    dpc_kv_batch_done(&batch);
}

static void
contributions_are_read_from_a_round_on(void)
{
    struct dpc_kv *kv;
    struct dpc_error err;
    char folder[SCRATCH_PATH_MAX];
    CU_ASSERT_EQUAL_FATAL(dpc_kv_open_memory(&kv), DPC_OK);
    check_scans(kv);
    dpc_kv_close(kv);
    scratch_make(folder);
    CU_ASSERT_EQUAL_FATAL(dpc_kv_open_rocks(folder, DPC_KV_READ_WRITE, &kv, &err), DPC_OK);
    check_scans(kv);
    dpc_kv_close(kv);
    scratch_remove(folder);
}

static const struct dpc_test tests[] = {
    {"contributions are read from a round on", contributions_are_read_from_a_round_on},
};

DPC_TEST_MAIN("storage/db/contributions", tests)
