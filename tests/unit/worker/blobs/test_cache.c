/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/blobs/cache.h"

#include <string.h>

#include "base/alloc.h"
#include "tests/unit/harness.h"
#include "tests/unit/storage/fault_vfs.h"
#include "tests/unit/storage/scratch.h"

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
    dpc_cache_unpin(rig.cache, DPC_CACHE_LEASE);
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
    dpc_cache_pin(rig.cache, DPC_CACHE_LEASE, &half, 1);
    CU_ASSERT_EQUAL(rig.files.write(rig.files.context, &half, 0, bytes, BYTES / 2), DPC_OK);
    dpc_cache_unpin(rig.cache, DPC_CACHE_LEASE);
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
    dpc_cache_unpin(rig.cache, DPC_CACHE_LEASE);
    dpc_cache_pin(rig.cache, DPC_CACHE_LEASE, (struct dpc_blob_ref[]){a, b}, 2);
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
    dpc_cache_unpin(rig.cache, DPC_CACHE_LEASE);
    CU_ASSERT_EQUAL(dpc_cache_put(rig.cache, bytes, sizeof bytes, &ref, &rig.err), DPC_ENOSPACE);
    CU_ASSERT(is_there(&rig, &a)); /* nothing was thrown out in vain */
    /* Nor for one that comes from elsewhere, or has no room beside what the lease needs. */
    ref = (struct dpc_blob_ref){.hash = ref_of('l').hash, .bytes = sizeof bytes};
    CU_ASSERT_EQUAL(rig.files.write(rig.files.context, &ref, 0, bytes, BYTES), DPC_ENOSPACE);
    CU_ASSERT(is_there(&rig, &a));
    put(&rig, 'b');
    ref.bytes = 2 * BYTES + 1;
    CU_ASSERT_EQUAL(rig.files.write(rig.files.context, &ref, 0, bytes, BYTES), DPC_ENOSPACE);
    CU_ASSERT(is_there(&rig, &a));
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

/* All but the last piece of each, as a coordinator could send them to fill a disk. */
static void
blobs_that_come_beside_each_other_keep_to_the_budget(void)
{
    static const uint8_t values[] = {'a', 'b', 'c', 'd'};
    struct rig rig = begin();
    uint8_t bytes[BYTES];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 4; i++) {
            struct dpc_blob_ref ref = ref_of(values[i]);
            memset(bytes, values[i], sizeof bytes);
            dpc_cache_pin(rig.cache, DPC_CACHE_LEASE, &ref, 1);
            CU_ASSERT_EQUAL(
                rig.files.write(rig.files.context, &ref, round ? BYTES / 2 : 0, bytes, BYTES / 4),
                i < 3 ? DPC_OK : DPC_ENOSPACE);
        }
        /* What is taken up again needs the room of the rest, too. */
        if (round == 0) {
            for (int i = 0; i < 3; i++) {
                struct dpc_blob_ref ref = ref_of(values[i]);
                memset(bytes, values[i], sizeof bytes);
                CU_ASSERT_EQUAL(
                    rig.files.write(rig.files.context, &ref, BYTES / 4, bytes, BYTES / 4), DPC_OK);
            }
            dpc_cache_unpin(rig.cache, DPC_CACHE_LEASE);
        }
    }
    dpc_cache_unpin(rig.cache, DPC_CACHE_LEASE);
    CU_ASSERT_EQUAL(receive(&rig, 'd', 0), DPC_OK);
    put(&rig, 'e');
    CU_ASSERT_EQUAL(dpc_cache_bytes(rig.cache), 2 * BYTES);
    end(&rig);
}

static size_t read_at_once;
static const struct dpc_vfs *watched;

static int
watch_read(struct dpc_vfs_file *file, void *ret_bytes, size_t len, uint64_t offset)
{
    read_at_once = len > read_at_once ? len : read_at_once;
    return watched->ops->read(file, ret_bytes, len, offset);
}

/* A dense path's documents are as large as the corpus, and a worker need not have that memory. */
static void
a_file_to_be_mapped_is_not_read_into_memory(void)
{
    enum { LARGE = 5 << 20 };
    struct fault_disk *disk = fault_disk_create();
    watched = fault_disk_vfs(disk);
    struct dpc_vfs_ops ops = *watched->ops;
    const struct dpc_vfs vfs = {&ops, watched->context};
    struct rig rig = {.disk = disk};
    struct dpc_blob_ref ref;
    char path[DPC_PATH_MAX];
    uint8_t *bytes = dpc_alloc(LARGE, 1);
    ops.read = watch_read;
    CU_ASSERT_EQUAL_FATAL(dpc_cache_open(&vfs, folder, 2 * LARGE, &rig.cache, &rig.err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_cache_put(rig.cache, bytes, LARGE, &ref, &rig.err), DPC_OK);
    read_at_once = 0;
    CU_ASSERT_EQUAL(dpc_cache_path(rig.cache, &ref, path, sizeof path, &rig.err), DPC_OK);
    CU_ASSERT(read_at_once > 0);
    CU_ASSERT(read_at_once < LARGE);
    ref.bytes++;
    CU_ASSERT_EQUAL(dpc_cache_path(rig.cache, &ref, path, sizeof path, &rig.err), DPC_EPROTO);
    ref.bytes--;
    CU_ASSERT(fault_disk_flip(disk, path, LARGE / 2));
    CU_ASSERT_EQUAL(dpc_cache_path(rig.cache, &ref, path, sizeof path, &rig.err), DPC_ECORRUPT);
    CU_ASSERT_EQUAL(dpc_cache_bytes(rig.cache), 0);
    dpc_free(bytes);
    end(&rig);
}

/* One of many; 4 bytes, so that more than all of them fit the budget. */
static struct dpc_blob_ref
small_blob(struct rig *rig, uint32_t number, bool puts)
{
    struct dpc_blob_ref ref = {.bytes = sizeof number};
    dpc_hash_of(&number, sizeof number, &ref.hash);
    if (puts)
        CU_ASSERT_EQUAL(dpc_cache_put(rig->cache, &number, sizeof number, &ref, &rig->err), DPC_OK);
    return ref;
}

/* Chains lead to each of them, whichever go in between. */
static void
many_blobs_are_found_among_each_other(void)
{
    enum { MANY = 1000, ROOM = 600 };
    struct rig rig = {.disk = fault_disk_create()};
    open_cache(&rig, ROOM * sizeof(uint32_t));
    for (uint32_t i = 0; i < MANY; i++) {
        (void)small_blob(&rig, i, true);
        dpc_cache_unpin(rig.cache, DPC_CACHE_LEASE);
        if (i % 3 == 0) { /* the oldest goes last */
            struct dpc_blob_ref first = small_blob(&rig, 0, false);
            CU_ASSERT(dpc_cache_has(rig.cache, &first));
        }
    }
    CU_ASSERT_EQUAL(dpc_cache_bytes(rig.cache), ROOM * sizeof(uint32_t));
    for (uint32_t i = 0; i < MANY; i++) {
        struct dpc_blob_ref ref = small_blob(&rig, i, false);
        CU_ASSERT_EQUAL(dpc_cache_has(rig.cache, &ref), i == 0 || i > MANY - ROOM);
    }
    dpc_cache_close(rig.cache);
    open_cache(&rig, ROOM * sizeof(uint32_t));
    CU_ASSERT_EQUAL(dpc_cache_bytes(rig.cache), ROOM * sizeof(uint32_t));
    end(&rig);
}

/* Computing it again gives the same name. */
static void
a_damaged_result_is_mended_by_the_next_one(void)
{
    struct rig rig = begin();
    struct dpc_blob_ref a = put(&rig, 'a');
    char path[DPC_PATH_MAX];
    CU_ASSERT_EQUAL_FATAL(dpc_cache_path(rig.cache, &a, path, sizeof path, &rig.err), DPC_OK);
    CU_ASSERT(fault_disk_flip(rig.disk, path, 50));
    put(&rig, 'a');
    CU_ASSERT(is_there(&rig, &a));
    CU_ASSERT_EQUAL(dpc_cache_bytes(rig.cache), BYTES);
    end(&rig);
}

static void
a_result_that_is_cut_short_is_no_result(void)
{
    struct rig rig = begin();
    const struct dpc_vfs *vfs = fault_disk_vfs(rig.disk);
    struct dpc_blob_ref a = put(&rig, 'a');
    struct dpc_vfs_file *file;
    char path[DPC_PATH_MAX];
    uint8_t bytes[BYTES];
    CU_ASSERT_EQUAL(rig.files.read(rig.files.context, &a, 0, bytes, BYTES), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_cache_path(rig.cache, &a, path, sizeof path, &rig.err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(vfs->ops->open(vfs, path, DPC_VFS_WRITE, &file), DPC_OK);
    CU_ASSERT_EQUAL(vfs->ops->truncate(file, BYTES / 2), DPC_OK);
    vfs->ops->close(file);
    CU_ASSERT_EQUAL(rig.files.read(rig.files.context, &a, 0, bytes, BYTES), DPC_ECORRUPT);
    CU_ASSERT_EQUAL(rig.files.read(rig.files.context, &a, 0, bytes, BYTES), DPC_ENOTFOUND);
    CU_ASSERT_EQUAL(dpc_cache_bytes(rig.cache), 0);
    end(&rig);
}

static int
read_nothing(struct dpc_vfs_file *file, void *ret_bytes, size_t len, uint64_t offset)
{
    (void)file, (void)ret_bytes, (void)len, (void)offset;
    return DPC_EIO;
}

/* A disk that cannot read it now will not later: the lease has to be given back, not kept. */
static void
a_result_on_a_bad_sector_is_no_result(void)
{
    struct rig rig = begin();
    struct dpc_vfs_ops ops = *fault_disk_vfs(rig.disk)->ops;
    struct dpc_vfs vfs = {.ops = &ops, .context = fault_disk_vfs(rig.disk)->context};
    uint8_t bytes[BYTES];
    dpc_cache_close(rig.cache);
    CU_ASSERT_EQUAL_FATAL(dpc_cache_open(&vfs, folder, BUDGET, &rig.cache, &rig.err), DPC_OK);
    rig.files = dpc_cache_files(rig.cache);
    struct dpc_blob_ref a = put(&rig, 'a');
    CU_ASSERT_EQUAL(rig.files.read(rig.files.context, &a, 0, bytes, BYTES), DPC_OK);
    ops.read = read_nothing;
    CU_ASSERT_EQUAL(rig.files.read(rig.files.context, &a, 0, bytes, BYTES), DPC_ECORRUPT);
    CU_ASSERT_EQUAL(dpc_cache_bytes(rig.cache), 0);
    end(&rig);
}

/* Deleting it costs traffic, and a start. */
static void
a_folder_that_is_taken_away_ends_the_process_that_has_it(void)
{
    struct rig rig = {0};
    char base[SCRATCH_PATH_MAX], name[SCRATCH_PATH_MAX + 8];
    scratch_make(base);
    (void)snprintf(name, sizeof name, "%s/cache", base);
    for (int puts = 0; puts < 2; puts++) {
        CU_ASSERT_EQUAL_FATAL(dpc_cache_open(&dpc_vfs_posix, name, BUDGET, &rig.cache, &rig.err),
                              DPC_OK);
        rig.files = dpc_cache_files(rig.cache);
        put(&rig, 'a');
        CU_ASSERT_FALSE(dpc_cache_is_broken(rig.cache));
        scratch_remove(name);
        struct dpc_blob_ref ref;
        CU_ASSERT_EQUAL(puts ? dpc_cache_put(rig.cache, "b", 1, &ref, &rig.err)
                             : receive(&rig, 'b', 0),
                        DPC_ENOTFOUND);
        CU_ASSERT(dpc_cache_is_broken(rig.cache));
        rig.cache = dpc_cache_close(rig.cache);
    }
    scratch_remove(base);
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
        dpc_cache_unpin(rig.cache, DPC_CACHE_LEASE);
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

/* The daemon ends itself then (worker/loop.c): a cache that takes nothing lets every lease come to
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
    dpc_cache_unpin(rig.cache, DPC_CACHE_LEASE);
    put(&rig, 4);
    CU_ASSERT_FALSE(is_there(&rig, &old));
    put(&rig, 5);
    CU_ASSERT(is_there(&rig, &held));
    CU_ASSERT_FALSE(is_there(&rig, &other));
    put(&rig, 6); /* the others are pinned */
    CU_ASSERT_FALSE(is_there(&rig, &held));
    end(&rig);
}

/* What is handed in stays beside what the next lease needs, and each goes with its own end. */
static void
a_blob_stays_as_long_as_either_use_needs_it(void)
{
    for (int first = 0; first < 2; first++) {
        static const enum dpc_cache_use uses[] = {DPC_CACHE_LEASE, DPC_CACHE_HANDING_IN};
        struct rig rig = begin();
        struct dpc_blob_ref both = put(&rig, 'b'), one = put(&rig, 'o');
        dpc_cache_unpin(rig.cache, DPC_CACHE_LEASE);
        dpc_cache_pin(rig.cache, uses[first], &both, 1);
        dpc_cache_pin(rig.cache, uses[first], &one, 1);
        dpc_cache_pin(rig.cache, uses[!first], &both, 1);
        dpc_cache_pin(rig.cache, uses[!first], &both, 1); /* twice is once */
        dpc_cache_unpin(rig.cache, uses[first]);
        CU_ASSERT_EQUAL(receive(&rig, 'x', 0), DPC_OK);
        CU_ASSERT_EQUAL(receive(&rig, 'y', 0), DPC_OK);
        CU_ASSERT(!is_there(&rig, &one));
        CU_ASSERT(is_there(&rig, &both));
        dpc_cache_unpin(rig.cache, uses[!first]);
        for (uint8_t value = '1'; value < '4'; value++)
            CU_ASSERT_EQUAL(receive(&rig, value, 0), DPC_OK);
        CU_ASSERT(!is_there(&rig, &both));
        end(&rig);
    }
}

/* Results of the lease that is handed in, which the next one must not push out, nor free. */
static void
what_is_handed_in_leaves_the_rest_to_the_next_lease(void)
{
    struct rig rig = begin();
    struct dpc_blob_ref input = put(&rig, 'i'), result = put(&rig, 'r'), ref;
    uint8_t bytes[BYTES] = {0};
    dpc_cache_pin(rig.cache, DPC_CACHE_HANDING_IN, &result, 1);
    dpc_cache_unpin(rig.cache, DPC_CACHE_LEASE);
    put(&rig, 'a'); /* the next one's */
    put(&rig, 'b');
    CU_ASSERT(!is_there(&rig, &input));
    CU_ASSERT_FALSE(dpc_cache_has_room(rig.cache, 1));
    CU_ASSERT_EQUAL(dpc_cache_put(rig.cache, bytes, BYTES, &ref, &rig.err), DPC_ENOSPACE);
    CU_ASSERT_EQUAL(receive(&rig, 'c', 0), DPC_ENOSPACE);
    CU_ASSERT(is_there(&rig, &result));
    dpc_cache_unpin(rig.cache, DPC_CACHE_HANDING_IN);
    CU_ASSERT(dpc_cache_has_room(rig.cache, BYTES));
    CU_ASSERT_FALSE(dpc_cache_has_room(rig.cache, BYTES + 1));
    CU_ASSERT_EQUAL(receive(&rig, 'c', 0), DPC_OK);
    CU_ASSERT(!is_there(&rig, &result));
    ref = ref_of('a');
    CU_ASSERT(is_there(&rig, &ref));
    end(&rig);
}

/* Room that is kept for what arrives is the next lease's, and stays so when the other is over. */
static void
what_arrives_keeps_its_room_when_the_other_is_over(void)
{
    struct rig rig = begin();
    struct dpc_blob_ref half = ref_of('h'), result = put(&rig, 'r'), ref;
    uint8_t bytes[BYTES];
    uint64_t kept;
    memset(bytes, 'h', sizeof bytes);
    dpc_cache_pin(rig.cache, DPC_CACHE_HANDING_IN, &result, 1);
    dpc_cache_unpin(rig.cache, DPC_CACHE_LEASE);
    dpc_cache_pin(rig.cache, DPC_CACHE_LEASE, &half, 1);
    CU_ASSERT_EQUAL(rig.files.write(rig.files.context, &half, 0, bytes, BYTES / 2), DPC_OK);
    dpc_cache_unpin(rig.cache, DPC_CACHE_HANDING_IN);
    put(&rig, 'a');
    put(&rig, 'b'); /* in the place of the result */
    CU_ASSERT(!is_there(&rig, &result));
    CU_ASSERT_EQUAL(dpc_cache_put(rig.cache, "c", 1, &ref, &rig.err), DPC_ENOSPACE);
    CU_ASSERT_EQUAL(rig.files.have(rig.files.context, &half, &kept), DPC_OK);
    CU_ASSERT_EQUAL(kept, BYTES / 2);
    CU_ASSERT_EQUAL(receive(&rig, 'h', 0), DPC_OK);
    CU_ASSERT_EQUAL(dpc_cache_bytes(rig.cache), BUDGET);
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
    {"blobs that come beside each other keep to the budget",
     blobs_that_come_beside_each_other_keep_to_the_budget},
    {"a file to be mapped is not read into memory", a_file_to_be_mapped_is_not_read_into_memory},
    {"many blobs are found among each other", many_blobs_are_found_among_each_other},
    {"a damaged result is mended by the next one", a_damaged_result_is_mended_by_the_next_one},
    {"a result that is cut short is no result", a_result_that_is_cut_short_is_no_result},
    {"a result on a bad sector is no result", a_result_on_a_bad_sector_is_no_result},
    {"a folder that is taken away ends the process that has it",
     a_folder_that_is_taken_away_ends_the_process_that_has_it},
    {"a size that the lease has wrong is said", a_size_that_the_lease_has_wrong_is_said},
    {"blobs of earlier runs count", blobs_of_earlier_runs_count},
    {"a full disk takes what is not needed", a_full_disk_takes_what_is_not_needed},
    {"a full disk is said and passes", a_full_disk_is_said_and_passes},
    {"held blobs go last", held_blobs_go_last},
    {"a blob stays as long as either use needs it", a_blob_stays_as_long_as_either_use_needs_it},
    {"what is handed in leaves the rest to the next lease",
     what_is_handed_in_leaves_the_rest_to_the_next_lease},
    {"what arrives keeps its room when the other is over",
     what_arrives_keeps_its_room_when_the_other_is_over},
};
DPC_TEST_MAIN("worker/cache", tests)
