/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/db/promise.h"

#include <string.h>

#include "tests/unit/harness.h"
#include "tests/unit/storage/fault_vfs.h"

static const char path[] = "/disk/ledger.head";
static struct dpc_error err;

static struct dpc_promise
make(uint64_t sequence)
{
    struct dpc_promise promise = {.sequence = sequence};
    dpc_hash_of(&sequence, sizeof sequence, &promise.hash);
    return promise;
}

static bool
is(const struct dpc_promise *promise, uint64_t sequence)
{
    struct dpc_promise expected = make(sequence);
    return promise->sequence == sequence && dpc_hash_equal(&promise->hash, &expected.hash);
}

/* Promises 0 to `count` - 1, in runs of three; gives how many were kept. */
static uint64_t
promise_up_to(const struct dpc_vfs *vfs, uint64_t count)
{
    struct dpc_promises *promises = NULL;
    uint64_t kept = 0;
    for (int code = DPC_OK; kept < count && code == DPC_OK; kept += code == DPC_OK) {
        struct dpc_promise next = make(kept);
        if (kept % 3 == 0) {
            dpc_promises_close(promises);
            promises = NULL;
            code = dpc_promises_open(vfs, path, &promises, &err);
        }
        if (code == DPC_OK)
            code = dpc_promises_write(promises, &next, &err);
    }
    dpc_promises_close(promises);
    return kept;
}

static void
the_last_promise_is_read(void)
{
    struct fault_disk *disk = fault_disk_create();
    struct dpc_promise promise;
    CU_ASSERT_EQUAL(dpc_promise_read(fault_disk_vfs(disk), path, &promise, &err), DPC_ENOTFOUND);
    for (uint64_t count = 1; count < 10; count++) {
        CU_ASSERT_EQUAL(promise_up_to(fault_disk_vfs(disk), count), count);
        CU_ASSERT_EQUAL(dpc_promise_read(fault_disk_vfs(disk), path, &promise, &err), DPC_OK);
        CU_ASSERT(is(&promise, count - 1));
        fault_disk_destroy(disk);
        disk = fault_disk_create();
    }
    CU_ASSERT_PTR_NULL(dpc_promises_close(NULL));
    fault_disk_destroy(disk);
}

static void
clear(struct fault_disk *disk, uint64_t from)
{
    static const uint8_t zeros[73];
    const struct dpc_vfs *vfs = fault_disk_vfs(disk);
    struct dpc_vfs_file *file;
    CU_ASSERT_EQUAL_FATAL(vfs->ops->open(vfs, path, DPC_VFS_READ | DPC_VFS_WRITE, &file), DPC_OK);
    CU_ASSERT_EQUAL(vfs->ops->write(file, zeros, sizeof zeros, from), DPC_OK);
    vfs->ops->close(file);
}

/* However it ends, the promise that is read is the last that was kept, or the one that was under
 * way. */
static void
a_failure_at_any_operation_keeps_what_was_kept(void)
{
    enum { COUNT = 7, STATES = FAULT_DATA_KINDS * FAULT_NAMES_KINDS };
    unsigned fired = 0;
    for (unsigned n = 1; n < 40; n++) {
        for (int how = 0; how < 3 * STATES; how++) {
            static const enum fault_kind kinds[] = {FAULT_NO_SPACE, FAULT_SYNC, FAULT_DEAD};
            struct fault_disk *disk = fault_disk_create();
            struct dpc_promise promise;
            fault_disk_fail_at(disk, n, kinds[how / STATES]);
            uint64_t kept = promise_up_to(fault_disk_vfs(disk), COUNT);
            CU_ASSERT_EQUAL(kept < COUNT, fault_disk_fired(disk));
            fired += fault_disk_fired(disk);
            fault_disk_crash(disk, how % FAULT_DATA_KINDS, how / FAULT_DATA_KINDS % 2);
            int code = dpc_promise_read(fault_disk_vfs(disk), path, &promise, &err);
            if (kept == 0)
                CU_ASSERT(code == DPC_ENOTFOUND || (code == DPC_OK && is(&promise, 0)));
            if (kept > 0)
                CU_ASSERT(code == DPC_OK && (is(&promise, kept - 1) || is(&promise, kept)));
            fault_disk_destroy(disk);
        }
    }
    CU_ASSERT(fired > 200);
}

/* One flipped byte costs nothing, wherever it is; both copies gone cost the newest promise; all
 * four are damage. */
static void
a_flip_costs_no_promise(void)
{
    static const size_t copies[] = {0, 2048, 4096, 4096 + 2048};
    struct fault_disk *disk = fault_disk_create();
    struct dpc_promise promise;
    CU_ASSERT_EQUAL(promise_up_to(fault_disk_vfs(disk), 4), 4);
    for (size_t at = 0; at < 73; at++) {
        for (int copy = 0; copy < 4; copy++) {
            CU_ASSERT(fault_disk_flip(disk, path, copies[copy] + at));
            CU_ASSERT_EQUAL(dpc_promise_read(fault_disk_vfs(disk), path, &promise, &err), DPC_OK);
            CU_ASSERT(is(&promise, 3));
            CU_ASSERT(fault_disk_flip(disk, path, copies[copy] + at));
        }
        uint64_t read = 0;
        for (int copy = 0; copy < 4; copy++) {
            CU_ASSERT(fault_disk_flip(disk, path, copies[copy] + at));
            int code = dpc_promise_read(fault_disk_vfs(disk), path, &promise, &err);
            CU_ASSERT_EQUAL(code, copy < 3 ? DPC_OK : DPC_ECORRUPT);
            if (copy == 1)
                read = promise.sequence;
        }
        CU_ASSERT(read == 2 || read == 3);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "backup"));
        for (int copy = 0; copy < 4; copy++)
            CU_ASSERT(fault_disk_flip(disk, path, copies[copy] + at));
    }
    fault_disk_destroy(disk);
}

/* As older programs left it: the first copies alone. */
static void
a_file_without_copies_is_read(void)
{
    struct fault_disk *disk = fault_disk_create();
    struct dpc_promise promise;
    CU_ASSERT_EQUAL(promise_up_to(fault_disk_vfs(disk), 4), 4);
    for (int slot = 0; slot < 2; slot++)
        clear(disk, (uint64_t)slot * 4096 + 2048);
    CU_ASSERT_EQUAL(dpc_promise_read(fault_disk_vfs(disk), path, &promise, &err), DPC_OK);
    CU_ASSERT(is(&promise, 3));
    fault_disk_destroy(disk);
}

static const struct dpc_test tests[] = {
    {"the last promise is read", the_last_promise_is_read},
    {"a failure at any operation", a_failure_at_any_operation_keeps_what_was_kept},
    {"a flip costs no promise", a_flip_costs_no_promise},
    {"a file without copies is read", a_file_without_copies_is_read},
};
DPC_TEST_MAIN("storage/db promise", tests)
