/* SPDX-License-Identifier: Apache-2.0
 *
 * A finished task's result, put into a store as a worker and the core would have.
 *
 * Owns: nothing. Threads: one.
 */
#ifndef DPC_TESTS_COORDINATOR_PUT_RESULT_H
#define DPC_TESTS_COORDINATOR_PUT_RESULT_H

#include "storage/db/store.h"
#include "tests/unit/harness.h"

/* Fills result->result; releases the blob. */
static inline void
put_result(struct dpc_store *store, struct dpc_result_record *result, struct dpc_buf *blob)
{
    struct dpc_kv_batch batch;
    struct dpc_error err;
    dpc_kv_batch_init(&batch);
    CU_ASSERT_EQUAL_FATAL(dpc_store_blob_put(store, blob->data, blob->len, &result->result, &err),
                          DPC_OK);
    dpc_put_result(&batch, result);
    CU_ASSERT_EQUAL_FATAL(dpc_store_commit(store, &batch, &err), DPC_OK);
    dpc_kv_batch_done(&batch);
    dpc_buf_done(blob);
}

#endif
