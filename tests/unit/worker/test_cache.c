/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/cache.h"

#include <string.h>

#include "base/alloc.h"
#include "tests/unit/harness.h"
#include "tests/unit/storage/fault_vfs.h"

enum { BYTES = 100, BUDGET = 3 * BYTES };

static const char folder[] = "/disk/cache";

struct rig {
    struct fault_disk *disk;
    struct dpc_cache *cache;
    struct dpc_transfer_files files;
    struct dpc_error err;
};

static void
open_cache(struct rig *rig, uint64_t budget)
{
    CU_ASSERT_EQUAL_FATAL(
        dpc_cache_open(fault_disk_vfs(rig->disk), folder, budget, &rig->cache, &rig->err), DPC_OK);
    rig->files = dpc_cache_files(rig->cache);
}

static struct rig
begin(void)
{
    struct rig rig = {.disk = fault_disk_create()};
    open_cache(&rig, BUDGET);
    return rig;
}

static void
end(struct rig *rig)
{
    dpc_cache_close(rig->cache);
    fault_disk_destroy(rig->disk);
}

static struct dpc_blob_ref
put(struct rig *rig, uint8_t value)
{
    uint8_t bytes[BYTES];
    struct dpc_blob_ref ref;
    memset(bytes, value, sizeof bytes);
    CU_ASSERT_EQUAL_FATAL(dpc_cache_put(rig->cache, bytes, sizeof bytes, &ref, &rig->err), DPC_OK);
    return ref;
}

static struct dpc_blob_ref
ref_of(uint8_t value)
{
    uint8_t bytes[BYTES];
    struct dpc_blob_ref ref = {.bytes = BYTES};
    memset(bytes, value, sizeof bytes);
    dpc_hash_of(bytes, sizeof bytes, &ref.hash);
    return ref;
}

static bool
is_there(struct rig *rig, const struct dpc_blob_ref *ref)
{
    uint8_t *bytes;
    if (dpc_cache_load(rig->cache, ref, &bytes, &rig->err) != DPC_OK)
        return false;
    dpc_free(bytes);
    return true;
}

/* As a transfer brings it; the first error. */
static int
receive(struct rig *rig, uint8_t value, uint8_t wrong)
{
    struct dpc_blob_ref ref = ref_of(value);
    uint8_t bytes[BYTES];
    uint64_t at = 0;
    memset(bytes, value, sizeof bytes);
    bytes[BYTES - 1] ^= wrong;
    int code = rig->files.have(rig->files.context, &ref, &at);
    for (; code == DPC_OK && at < BYTES; at += BYTES / 2)
        code = rig->files.write(rig->files.context, &ref, at, bytes + at, BYTES / 2);
    return code == DPC_OK ? rig->files.finish(rig->files.context, &ref) : code;
}

static void
the_least_recently_used_goes_first(void)
{
    struct rig rig = begin();
    struct dpc_blob_ref a = put(&rig, 'a'), b = put(&rig, 'b'), c = put(&rig, 'c');
    dpc_cache_unpin_all(rig.cache);
    CU_ASSERT_EQUAL(dpc_cache_bytes(rig.cache), BUDGET);
    CU_ASSERT(is_there(&rig, &a)); /* so b is the oldest use now */
    put(&rig, 'd');
    CU_ASSERT(!is_there(&rig, &b));
    CU_ASSERT(is_there(&rig, &a));
    CU_ASSERT(is_there(&rig, &c));
    CU_ASSERT_EQUAL(dpc_cache_bytes(rig.cache), BUDGET);
    end(&rig);
}

/* It may be asked for again, unless its room is needed. */
static void
half_of_a_blob_counts_and_goes_first(void)
{
    struct rig rig = begin();
    struct dpc_blob_ref half = ref_of('h');
    uint8_t bytes[BYTES];
    uint64_t kept;
    memset(bytes, 'h', sizeof bytes);
    dpc_cache_pin(rig.cache, &half, 1);
    CU_ASSERT_EQUAL(rig.files.write(rig.files.context, &half, 0, bytes, BYTES / 2), DPC_OK);
    dpc_cache_unpin_all(rig.cache);
    struct dpc_blob_ref a = put(&rig, 'a');
    put(&rig, 'b');
    CU_ASSERT_EQUAL(rig.files.have(rig.files.context, &half, &kept), DPC_OK);
    CU_ASSERT_EQUAL(kept, BYTES / 2);
    put(&rig, 'c');
    CU_ASSERT_EQUAL(rig.files.have(rig.files.context, &half, &kept), DPC_OK);
    CU_ASSERT_EQUAL(kept, 0);
    CU_ASSERT(is_there(&rig, &a));
    end(&rig);
}

static void
pinned_blobs_stay(void)
{
    struct rig rig = begin();
    struct dpc_blob_ref a = put(&rig, 'a'), b = put(&rig, 'b'), c = put(&rig, 'c'), d;
    uint8_t bytes[BYTES] = {'d'};
    /* What a job put is pinned: there is no room for a fourth. */
    CU_ASSERT_EQUAL(dpc_cache_put(rig.cache, bytes, BYTES, &d, &rig.err), DPC_ENOSPACE);
    CU_ASSERT_PTR_NOT_NULL(strstr(rig.err.text, "--cache-mib"));
    CU_ASSERT_EQUAL(receive(&rig, 'd', 0), DPC_ENOSPACE);
    dpc_cache_unpin_all(rig.cache);
    dpc_cache_pin(rig.cache, (struct dpc_blob_ref[]){a, b}, 2);
    d = put(&rig, 'd');
    CU_ASSERT(!is_there(&rig, &c));
    CU_ASSERT(is_there(&rig, &a) && is_there(&rig, &b) && is_there(&rig, &d));
    end(&rig);
}

static void
a_blob_larger_than_the_budget_is_refused(void)
{
    struct rig rig = begin();
    struct dpc_blob_ref a = put(&rig, 'a'), ref;
    uint8_t bytes[BUDGET + 1] = {0};
    dpc_cache_unpin_all(rig.cache);
    CU_ASSERT_EQUAL(dpc_cache_put(rig.cache, bytes, sizeof bytes, &ref, &rig.err), DPC_ENOSPACE);
    CU_ASSERT(is_there(&rig, &a)); /* nothing was thrown out in vain */
    end(&rig);
}

static void
a_received_blob_counts_and_is_taken_up_after_a_break(void)
{
    struct rig rig = begin();
    struct dpc_blob_ref x = ref_of('x');
    uint8_t bytes[BYTES], back[10];
    uint64_t at = 99;
    memset(bytes, 'x', sizeof bytes);
    CU_ASSERT_EQUAL(rig.files.have(rig.files.context, &x, &at), DPC_OK);
    CU_ASSERT_EQUAL(at, 0);
    CU_ASSERT_EQUAL(rig.files.write(rig.files.context, &x, 0, bytes, BYTES / 2), DPC_OK);
    dpc_cache_close(rig.cache);
    open_cache(&rig, BUDGET);
    CU_ASSERT_EQUAL(rig.files.have(rig.files.context, &x, &at), DPC_OK);
    CU_ASSERT_EQUAL(at, BYTES / 2);
    CU_ASSERT_EQUAL(receive(&rig, 'x', 0), DPC_OK);
    CU_ASSERT_EQUAL(rig.files.have(rig.files.context, &x, &at), DPC_EEXIST);
    CU_ASSERT_EQUAL(rig.files.read(rig.files.context, &x, 7, back, sizeof back), DPC_OK);
    CU_ASSERT_EQUAL(memcmp(back, bytes, sizeof back), 0);
    CU_ASSERT_EQUAL(dpc_cache_bytes(rig.cache), BYTES);
    end(&rig);
}

static void
wrong_bytes_do_not_become_a_blob(void)
{
    struct rig rig = begin();
    struct dpc_blob_ref x = ref_of('x');
    CU_ASSERT_EQUAL(receive(&rig, 'x', 1), DPC_EHASH);
    CU_ASSERT(!is_there(&rig, &x));
    CU_ASSERT_EQUAL(dpc_cache_bytes(rig.cache), 0);
    CU_ASSERT_EQUAL(receive(&rig, 'x', 0), DPC_OK);
    CU_ASSERT(is_there(&rig, &x));
    end(&rig);
}

static void
a_damaged_blob_is_dropped_and_fetched_again(void)
{
    struct rig rig = begin();
    struct dpc_blob_ref x = ref_of('x');
    char path[DPC_PATH_MAX];
    uint8_t *bytes;
    uint64_t at;
    CU_ASSERT_EQUAL(receive(&rig, 'x', 0), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_cache_path(rig.cache, &x, path, sizeof path, &rig.err), DPC_OK);
    CU_ASSERT(fault_disk_flip(rig.disk, path, 50));
    CU_ASSERT_EQUAL(dpc_cache_load(rig.cache, &x, &bytes, &rig.err), DPC_ECORRUPT);
    CU_ASSERT_EQUAL(dpc_cache_bytes(rig.cache), 0);
    CU_ASSERT_EQUAL(dpc_cache_load(rig.cache, &x, &bytes, &rig.err), DPC_ENOTFOUND);
    CU_ASSERT_EQUAL(rig.files.have(rig.files.context, &x, &at), DPC_OK);
    CU_ASSERT_EQUAL(receive(&rig, 'x', 0), DPC_OK);
    CU_ASSERT(is_there(&rig, &x));
    end(&rig);
}

static void
a_size_that_the_lease_has_wrong_is_said(void)
{
    struct rig rig = begin();
    struct dpc_blob_ref a = put(&rig, 'a');
    uint8_t *bytes;
    a.bytes++;
    CU_ASSERT_EQUAL(dpc_cache_load(rig.cache, &a, &bytes, &rig.err), DPC_EPROTO);
    end(&rig);
}

static void
blobs_of_earlier_runs_count(void)
{
    struct rig rig = begin();
    put(&rig, 'a');
    put(&rig, 'b');
    put(&rig, 'c');
    dpc_cache_close(rig.cache);
    open_cache(&rig, BUDGET);
    CU_ASSERT_EQUAL(dpc_cache_bytes(rig.cache), BUDGET);
    put(&rig, 'd');
    CU_ASSERT_EQUAL(dpc_cache_bytes(rig.cache), BUDGET);
    dpc_cache_close(rig.cache);
    open_cache(&rig, BYTES); /* the owner wants the disk back */
    CU_ASSERT_EQUAL(dpc_cache_bytes(rig.cache), BYTES);
    end(&rig);
}

/* Others have filled it: what nobody needs makes room. */
static void
a_full_disk_takes_what_is_not_needed(void)
{
    int gone = 0;
    for (unsigned n = 1; n <= 4; n++) {
        struct rig rig = begin();
        struct dpc_blob_ref a = put(&rig, 'a'), half = ref_of('h');
        uint8_t bytes[BYTES / 2] = {0};
        uint64_t kept;
        if (n > 2) /* what is half there goes before what is whole */
            CU_ASSERT_EQUAL(rig.files.write(rig.files.context, &half, 0, bytes, sizeof bytes),
                            DPC_OK);
        dpc_cache_unpin_all(rig.cache);
        fault_disk_fail_at(rig.disk, n, FAULT_NO_SPACE);
        int code = receive(&rig, 'c', 0);
        if (fault_disk_fired(rig.disk) && code == DPC_OK) {
            CU_ASSERT_EQUAL(is_there(&rig, &a), n > 2);
            CU_ASSERT_EQUAL(rig.files.have(rig.files.context, &half, &kept), DPC_OK);
            CU_ASSERT_EQUAL(kept, 0);
            gone++;
        }
        end(&rig);
    }
    CU_ASSERT(gone > 0);
}

static void
a_full_disk_is_said_and_passes(void)
{
    struct rig rig = begin();
    struct dpc_blob_ref a = put(&rig, 'a'), ref;
    uint8_t bytes[BYTES] = {'z'};
    fault_disk_fail_at(rig.disk, 1, FAULT_NONE);
    int failures = 0;
    for (unsigned n = 1; n <= 4; n++) {
        fault_disk_fail_at(rig.disk, n, FAULT_NO_SPACE);
        int code = dpc_cache_put(rig.cache, bytes, BYTES, &ref, &rig.err);
        failures += code == DPC_ENOSPACE;
        if (code == DPC_OK)
            break;
    }
    CU_ASSERT(failures > 0);
    fault_disk_fail_at(rig.disk, 1, FAULT_NONE);
    CU_ASSERT(is_there(&rig, &a));
    CU_ASSERT_EQUAL(dpc_cache_put(rig.cache, bytes, BYTES, &ref, &rig.err), DPC_OK);
    CU_ASSERT(is_there(&rig, &ref));
    end(&rig);
}

/* The daemon ends itself then (loop.c): a cache that takes nothing lets every lease come to
 * nothing.
 */
static void
a_failed_sync_breaks_the_cache(void)
{
    struct rig rig = begin();
    uint8_t bytes[BYTES] = {0};
    struct dpc_blob_ref ref;
    CU_ASSERT_FALSE(dpc_cache_is_broken(rig.cache));
    fault_disk_fail_at(rig.disk, 1, FAULT_SYNC);
    CU_ASSERT_EQUAL(dpc_cache_put(rig.cache, bytes, sizeof bytes, &ref, &rig.err), DPC_EIO);
    CU_ASSERT(dpc_cache_is_broken(rig.cache));
    end(&rig);
}

/* A path state that nobody else has goes after what can be fetched again, but before a lease fails.
 */
static void
held_blobs_go_last(void)
{
    struct rig rig = begin();
    struct dpc_blob_ref old = put(&rig, 1);
    dpc_cache_hold(rig.cache, 7, &old.hash);
    struct dpc_blob_ref held = put(&rig, 2);
    dpc_cache_hold(rig.cache, 7, &held.hash); /* in the place of the old one */
    struct dpc_blob_ref other = put(&rig, 3);
    dpc_cache_unpin_all(rig.cache);
    put(&rig, 4);
    CU_ASSERT_FALSE(is_there(&rig, &old));
    put(&rig, 5);
    CU_ASSERT(is_there(&rig, &held));
    CU_ASSERT_FALSE(is_there(&rig, &other));
    put(&rig, 6); /* the others are pinned */
    CU_ASSERT_FALSE(is_there(&rig, &held));
    end(&rig);
}

static const struct dpc_test tests[] = {
    {"a failed sync breaks the cache", a_failed_sync_breaks_the_cache},
    {"the least recently used goes first", the_least_recently_used_goes_first},
    {"half of a blob counts and goes first", half_of_a_blob_counts_and_goes_first},
    {"pinned blobs stay", pinned_blobs_stay},
    {"a blob larger than the budget is refused", a_blob_larger_than_the_budget_is_refused},
    {"a received blob counts and is taken up after a break",
     a_received_blob_counts_and_is_taken_up_after_a_break},
    {"wrong bytes do not become a blob", wrong_bytes_do_not_become_a_blob},
    {"a damaged blob is dropped and fetched again", a_damaged_blob_is_dropped_and_fetched_again},
    {"a size that the lease has wrong is said", a_size_that_the_lease_has_wrong_is_said},
    {"blobs of earlier runs count", blobs_of_earlier_runs_count},
    {"a full disk takes what is not needed", a_full_disk_takes_what_is_not_needed},
    {"a full disk is said and passes", a_full_disk_is_said_and_passes},
    {"held blobs go last", held_blobs_go_last},
};
DPC_TEST_MAIN("worker/cache", tests)
