/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/compute/featurize.h"

#include "base/alloc.h"
#include "tests/unit/worker/compute/task_rig.h"

static void
every_document_as_if_alone(void)
{
    struct task_rig rig;
    struct dpc_msg_submit submit;
    struct dpc_tokens *tokens;
    const float *features;
    rig_begin(&rig, DPC_TASK_FEATURIZE);
    rig.lease.from = 2;
    rig.lease.to = RIG_DOCUMENTS - 1;
    uint32_t count = rig.lease.to - rig.lease.from, dim = rig.experiment.model.dim;
    CU_ASSERT_EQUAL_FATAL(
        dpc_tokens_open_bytes("test", rig.tokens.data, rig.tokens.len, &tokens, NULL), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_featurize_run(rig.engine, &rig.task, &submit, &rig.err), DPC_OK);
    CU_ASSERT_EQUAL(submit.steps_count, count);
    CU_ASSERT_EQUAL(rig.progress.steps_done, count);
    uint8_t *bytes = rig_load(&rig, &submit.result);
    CU_ASSERT_EQUAL_FATAL(
        dpc_tensor_blob_read(bytes, submit.result.bytes, (size_t)count * dim, &features, &rig.err),
        DPC_OK);
    for (uint32_t i = 0; i < count; i++) {
        int32_t prefix[RIG_PREFIX];
        float alone[16];
        uint32_t length = dpc_tokens_copy(tokens, rig.lease.from + i, 0, RIG_PREFIX, prefix);
        CU_ASSERT_EQUAL_FATAL(length, RIG_PREFIX);
        CU_ASSERT_EQUAL(dpc_path_features(rig.engine->path, prefix, &length, 1, RIG_PREFIX, alone),
                        DPC_OK);
        for (uint32_t c = 0; c < dim; c++)
            CU_ASSERT_DOUBLE_EQUAL(features[i * dim + c], alone[c], 1e-5);
    }
    dpc_free(bytes);
    dpc_tokens_close(tokens);
    rig_end(&rig);
}

static void
bad_ranges_are_refused(void)
{
    struct task_rig rig;
    struct dpc_msg_submit submit;
    rig_begin(&rig, DPC_TASK_FEATURIZE);
    rig.lease.to = RIG_DOCUMENTS + 1;
    CU_ASSERT_EQUAL(dpc_featurize_run(rig.engine, &rig.task, &submit, &rig.err), DPC_EPROTO);
    rig.lease.from = rig.lease.to = 3;
    CU_ASSERT_EQUAL(dpc_featurize_run(rig.engine, &rig.task, &submit, &rig.err), DPC_EPROTO);
    rig.lease.to = 4;
    rig.progress.cancelled = true;
    CU_ASSERT_EQUAL(dpc_featurize_run(rig.engine, &rig.task, &submit, &rig.err), DPC_ECANCELLED);
    rig_end(&rig);
}

static uint64_t bytes_read;

static int
count_read(struct dpc_vfs_file *file, void *ret_bytes, size_t len, uint64_t offset)
{
    bytes_read += len;
    return dpc_vfs_posix.ops->read(file, ret_bytes, len, offset);
}

static uint64_t
bytes_of_a_lease(struct task_rig *rig)
{
    struct dpc_msg_submit submit;
    bytes_read = 0;
    CU_ASSERT_EQUAL(dpc_featurize_run(rig->engine, &rig->task, &submit, &rig->err), DPC_OK);
    return bytes_read;
}

/* There is a lease for each 512 documents of the corpus: all of them would look at all documents.
 */
static void
the_next_lease_does_not_look_through_all_documents_again(void)
{
    struct task_rig rig;
    struct dpc_vfs_ops ops = *dpc_vfs_posix.ops;
    const struct dpc_vfs vfs = {&ops, dpc_vfs_posix.context};
    char folder[SCRATCH_PATH_MAX + 8];
    ops.read = count_read;
    rig_begin(&rig, DPC_TASK_FEATURIZE);
    (void)snprintf(folder, sizeof folder, "%s/cache", rig.folder);
    dpc_cache_close(rig.cache);
    CU_ASSERT_EQUAL_FATAL(dpc_cache_open(&vfs, folder, RIG_CACHE_BYTES, &rig.cache, &rig.err),
                          DPC_OK);
    rig.task.cache = rig.cache;
    rig.lease.to = 3;
    uint64_t first = bytes_of_a_lease(&rig);
    rig.lease.from = 3;
    rig.lease.to = 6;
    CU_ASSERT_EQUAL(first - bytes_of_a_lease(&rig), rig.lease.data.bytes);
    struct dpc_msg_submit submit;
    rig.lease.data = rig.lease.versions[0]; /* which are no documents */
    CU_ASSERT_EQUAL(dpc_featurize_run(rig.engine, &rig.task, &submit, &rig.err), DPC_EPROTO);
    rig_end(&rig);
}

static const struct dpc_test tests[] = {
    {"every document as if alone", every_document_as_if_alone},
    {"bad ranges are refused", bad_ranges_are_refused},
    {"the next lease does not look through all documents again",
     the_next_lease_does_not_look_through_all_documents_again},
};
DPC_TEST_MAIN("worker/featurize", tests)
