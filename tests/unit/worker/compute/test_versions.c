/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/compute/versions.h"

#include <string.h>

#include "base/alloc.h"
#include "base/tensor_blob.h"
#include "tests/unit/harness.h"
#include "tests/unit/storage/fault_vfs.h"

enum { COUNT = 300, BUDGET = 1 << 20 };

struct bench {
    struct fault_disk *disk;
    struct dpc_cache *cache;
    struct dpc_msg_lease lease;
    struct dpc_session_blobs blobs;
    float base[COUNT], version[COUNT], difference[COUNT];
    struct dpc_error err;
};

/* The cache need not have it. */
static struct dpc_blob_ref
ref_of(enum dpc_codec codec, const float *values, struct bench *puts)
{
    struct dpc_buf blob;
    struct dpc_blob_ref ref;
    dpc_buf_init(&blob, 0);
    dpc_tensor_blob_write_as(&blob, codec, values, COUNT);
    ref.bytes = blob.len;
    dpc_hash_of(blob.data, blob.len, &ref.hash);
    if (puts)
        CU_ASSERT_EQUAL_FATAL(dpc_cache_put(puts->cache, blob.data, blob.len, &ref, &puts->err),
                              DPC_OK);
    dpc_buf_done(&blob);
    return ref;
}

/* A lease with two modules: the version of the first is its base plus a difference. */
static void
begin(struct bench *bench)
{
    uint8_t bytes[4 * COUNT];
    *bench = (struct bench){.disk = fault_disk_create()};
    CU_ASSERT_EQUAL_FATAL(dpc_cache_open(fault_disk_vfs(bench->disk), "/disk/cache", BUDGET,
                                         &bench->cache, &bench->err),
                          DPC_OK);
    for (int i = 0; i < COUNT; i++) {
        bench->base[i] = 0.01f * (float)i;
        bench->difference[i] = 0.001f * (float)(i % 7 - 3);
    }
    dpc_codec_encode(DPC_CODEC_INT8, bench->difference, COUNT, bytes);
    dpc_codec_decode(DPC_CODEC_INT8, bytes, COUNT, bench->version);
    for (int i = 0; i < COUNT; i++)
        bench->version[i] += bench->base[i];
    struct dpc_msg_lease *lease = &bench->lease;
    lease->levels_count = 2;
    lease->versions[0] = ref_of(DPC_CODEC_FP32, bench->version, NULL);
    lease->versions[1] = ref_of(DPC_CODEC_FP32, bench->difference, NULL);
    lease->changes[0] = ref_of(DPC_CODEC_INT8, bench->difference, NULL);
    lease->bases[0] = ref_of(DPC_CODEC_FP32, bench->base, NULL);
    bench->blobs.count = 2;
    memcpy(bench->blobs.refs, lease->versions, 2 * sizeof *lease->versions);
}

static void
end(struct bench *bench)
{
    dpc_cache_close(bench->cache);
    fault_disk_destroy(bench->disk);
}

static bool
fetches(const struct bench *bench, uint32_t place, const struct dpc_blob_ref *ref)
{
    return dpc_hash_equal(&bench->blobs.refs[place].hash, &ref->hash) &&
           bench->blobs.refs[place].bytes == ref->bytes;
}

static void
who_has_the_base_fetches_the_difference(void)
{
    struct bench bench;
    begin(&bench);
    dpc_versions_choose(bench.cache, &bench.lease, &bench.blobs);
    CU_ASSERT_TRUE(fetches(&bench, 0, &bench.lease.versions[0])); /* no base */
    ref_of(DPC_CODEC_FP32, bench.base, &bench);
    bench.blobs.whole = true;
    dpc_versions_choose(bench.cache, &bench.lease, &bench.blobs);
    CU_ASSERT_TRUE(fetches(&bench, 0, &bench.lease.versions[0]));
    bench.blobs.whole = false;
    dpc_versions_choose(bench.cache, &bench.lease, &bench.blobs);
    CU_ASSERT_TRUE(fetches(&bench, 0, &bench.lease.changes[0]));
    CU_ASSERT_TRUE(fetches(&bench, 1, &bench.lease.versions[1])); /* no difference */
    end(&bench);
}

static void
who_has_the_version_fetches_nothing_else(void)
{
    struct bench bench;
    float values[COUNT];
    begin(&bench);
    ref_of(DPC_CODEC_FP32, bench.base, &bench);
    ref_of(DPC_CODEC_FP32, bench.version, &bench);
    dpc_versions_choose(bench.cache, &bench.lease, &bench.blobs);
    CU_ASSERT_TRUE(fetches(&bench, 0, &bench.lease.versions[0]));
    CU_ASSERT_EQUAL(dpc_versions_load(bench.cache, &bench.lease, 0, COUNT, values, &bench.err),
                    DPC_OK);
    CU_ASSERT(memcmp(values, bench.version, sizeof values) == 0);
    end(&bench);
}

/* A cache that has room for the versions alone is enough, as without differences. */
static void
a_full_cache_keeps_no_base(void)
{
    struct bench bench;
    struct dpc_blob_ref ref;
    float values[COUNT];
    uint8_t *much = dpc_alloc(BUDGET, 1);
    begin(&bench);
    ref_of(DPC_CODEC_FP32, bench.base, &bench);
    ref_of(DPC_CODEC_INT8, bench.difference, &bench);
    CU_ASSERT_EQUAL_FATAL(dpc_cache_put(bench.cache, much, BUDGET - 1800, &ref, &bench.err),
                          DPC_OK);
    CU_ASSERT_EQUAL(dpc_versions_load(bench.cache, &bench.lease, 0, COUNT, values, &bench.err),
                    DPC_OK); /* all is pinned, and it is not kept */
    CU_ASSERT(memcmp(values, bench.version, sizeof values) == 0);
    CU_ASSERT_FALSE(dpc_cache_has(bench.cache, &bench.lease.versions[0]));
    dpc_cache_unpin(bench.cache, DPC_CACHE_LEASE);
    dpc_versions_choose(bench.cache, &bench.lease, &bench.blobs);
    dpc_cache_pin(bench.cache, DPC_CACHE_LEASE, bench.blobs.refs, bench.blobs.count);
    CU_ASSERT_EQUAL(dpc_cache_put(bench.cache, much, BUDGET - 1000, &ref, &bench.err), DPC_OK);
    CU_ASSERT_FALSE(dpc_cache_has(bench.cache, &bench.lease.bases[0]));
    CU_ASSERT_EQUAL(dpc_versions_load(bench.cache, &bench.lease, 0, COUNT, values, &bench.err),
                    DPC_ENOTFOUND);
    dpc_free(much);
    end(&bench);
}

static void
a_version_is_made_and_stays(void)
{
    struct bench bench;
    float values[COUNT];
    uint8_t *bytes = NULL;
    begin(&bench);
    ref_of(DPC_CODEC_FP32, bench.base, &bench);
    ref_of(DPC_CODEC_INT8, bench.difference, &bench);
    CU_ASSERT_FALSE(dpc_cache_has(bench.cache, &bench.lease.versions[0]));
    CU_ASSERT_EQUAL(dpc_versions_load(bench.cache, &bench.lease, 0, COUNT, values, &bench.err),
                    DPC_OK);
    CU_ASSERT(memcmp(values, bench.version, sizeof values) == 0);
    CU_ASSERT_EQUAL_FATAL(dpc_cache_load(bench.cache, &bench.lease.versions[0], &bytes, &bench.err),
                          DPC_OK);
    CU_ASSERT(memcmp(bytes + DPC_TENSOR_BLOB_HEADER_BYTES, bench.version, sizeof bench.version) ==
              0);
    dpc_free(bytes);
    end(&bench);
}

static int
load(struct bench *bench, uint32_t place, size_t count)
{
    float values[COUNT + 1];
    return dpc_versions_load(bench->cache, &bench->lease, place, count, values, &bench->err);
}

static void
what_is_gone_or_another_is_told(void)
{
    struct bench bench;
    float other[COUNT] = {1};
    begin(&bench);
    CU_ASSERT_EQUAL(load(&bench, 0, COUNT), DPC_ENOTFOUND);
    CU_ASSERT_EQUAL(load(&bench, 1, COUNT), DPC_ENOTFOUND);
    ref_of(DPC_CODEC_FP32, bench.base, &bench);
    CU_ASSERT_EQUAL(load(&bench, 0, COUNT), DPC_ENOTFOUND);
    ref_of(DPC_CODEC_INT8, bench.difference, &bench);
    bench.lease.bases[0] = ref_of(DPC_CODEC_FP32, other, &bench);
    CU_ASSERT_EQUAL(load(&bench, 0, COUNT), DPC_ECORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(bench.err.text, "not what its hash says"));
    CU_ASSERT_FALSE(dpc_cache_has(bench.cache, &bench.lease.versions[0]));
    /* A difference of another shape is done without; a version of one is the coordinator's fault.
     */
    CU_ASSERT_EQUAL(load(&bench, 0, COUNT + 1), DPC_ENOTFOUND);
    ref_of(DPC_CODEC_FP32, bench.version, &bench);
    CU_ASSERT_EQUAL(load(&bench, 0, COUNT + 1), DPC_EPROTO);
    end(&bench);
}

static const struct dpc_test tests[] = {
    {"who has the base fetches the difference", who_has_the_base_fetches_the_difference},
    {"who has the version fetches nothing else", who_has_the_version_fetches_nothing_else},
    {"a full cache keeps no base", a_full_cache_keeps_no_base},
    {"a version is made and stays", a_version_is_made_and_stays},
    {"what is gone or another is told", what_is_gone_or_another_is_told},
};
DPC_TEST_MAIN("worker/versions", tests)
