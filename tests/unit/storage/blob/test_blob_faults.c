/* SPDX-License-Identifier: Apache-2.0
 * One story, told once for each place where the disk can fail, each way of failing and each state
 * in which a crash can leave the disk. However it ends: a blob is complete or it is not there, and
 * one that was promised is there. */
#include "storage/blob/blob.h"

#include <string.h>

#include "base/alloc.h"
#include "tests/unit/harness.h"
#include "tests/unit/storage/fault_vfs.h"

enum { BLOBS = 4, BYTES = 900 };

static uint8_t contents[BLOBS][BYTES];
static struct dpc_hash names[BLOBS];

static void
make_contents(void)
{
    for (size_t i = 0; i < BLOBS; i++) {
        for (size_t k = 0; k < BYTES; k++)
            contents[i][k] = (uint8_t)(k * 31 + k / 256 + i * 101 + 1);
        dpc_hash_of(contents[i], BYTES, &names[i]);
    }
}

/* What the story was told: blob `i` is on disk. */
struct told {
    bool stored[BLOBS];
    int code; /* of the first failure */
};

static int
receive(struct dpc_blobs *blobs, size_t i, struct dpc_error *err)
{
    int code = DPC_OK;
    for (uint64_t at = dpc_blobs_partial(blobs, &names[i]); at < BYTES && code == DPC_OK; at += 300)
        code = dpc_blobs_append(blobs, &names[i], at, contents[i] + at, 300, err);
    return code == DPC_OK ? dpc_blobs_finish(blobs, &names[i], err) : code;
}

/* Its head comes last. */
static int
draft(struct dpc_blobs *blobs, size_t i, struct dpc_error *err)
{
    uint8_t blank[300] = {0};
    struct dpc_blob_draft *draft = NULL;
    struct dpc_hash hash;
    uint64_t bytes;
    int code = dpc_blob_draft_open(blobs, &draft, err);
    if (code == DPC_OK)
        code = dpc_blob_draft_write(draft, blank, 300, 0, err);
    if (code == DPC_OK)
        code = dpc_blob_draft_write(draft, contents[i] + 300, BYTES - 300, 300, err);
    if (code == DPC_OK)
        code = dpc_blob_draft_write(draft, contents[i], 300, 0, err);
    if (code == DPC_OK)
        code = dpc_blob_draft_hash(draft, &hash, &bytes, err);
    if (code == DPC_OK)
        code = dpc_blob_draft_publish(draft, &hash, err);
    dpc_blob_draft_close(draft);
    return code;
}

static void
story(const struct dpc_vfs *vfs, struct told *ret_told)
{
    struct dpc_error err = {0};
    struct dpc_hash hash;
    struct dpc_blobs *blobs;
    *ret_told = (struct told){0};
    ret_told->code = dpc_blobs_open(vfs, "/disk/store/blobs", &blobs, &err);
    if (ret_told->code != DPC_OK)
        return;
    int code = dpc_blobs_put(blobs, contents[0], BYTES, &hash, &err);
    ret_told->stored[0] = code == DPC_OK;
    if (code == DPC_OK) {
        code = receive(blobs, 1, &err);
        ret_told->stored[1] = code == DPC_OK;
    }
    if (code == DPC_OK) {
        code = receive(blobs, 0, &err); /* is there already */
        if (code == DPC_OK)
            code = dpc_blobs_put(blobs, contents[2], BYTES, &hash, &err);
        ret_told->stored[2] = code == DPC_OK;
    }
    if (code == DPC_OK) {
        code = draft(blobs, 3, &err);
        ret_told->stored[3] = code == DPC_OK;
    }
    CU_ASSERT(code == DPC_OK || (err.code == code && err.text[0]));
    ret_told->code = code;
    dpc_blobs_close(blobs);
}

static void
check(struct fault_disk *disk, const struct told *told)
{
    struct dpc_error err;
    struct dpc_blobs *blobs;
    CU_ASSERT_EQUAL_FATAL(dpc_blobs_open(fault_disk_vfs(disk), "/disk/store/blobs", &blobs, &err),
                          DPC_OK);
    for (size_t i = 0; i < BLOBS; i++) {
        uint8_t *loaded;
        size_t len;
        int code = dpc_blobs_load(blobs, &names[i], &loaded, &len, &err);
        CU_ASSERT(code == DPC_OK || (code == DPC_ENOTFOUND && !told->stored[i]));
        if (code == DPC_OK) {
            CU_ASSERT(len == BYTES && memcmp(loaded, contents[i], BYTES) == 0);
            dpc_free(loaded);
        }
    }
    CU_ASSERT_EQUAL(fault_disk_files(disk, ".new"), 0);
    dpc_blobs_close(blobs);
}

/* After the fault the same story can be told to its end. A partial blob of before may hold bytes
 * that never arrived; then it is dropped once. */
static void
go_on(struct fault_disk *disk)
{
    struct told told;
    story(fault_disk_vfs(disk), &told);
    if (told.code == DPC_EHASH)
        story(fault_disk_vfs(disk), &told);
    CU_ASSERT_EQUAL(told.code, DPC_OK);
    check(disk, &told);
}

static unsigned
count_operations(void)
{
    struct fault_disk *disk = fault_disk_create();
    struct told told;
    fault_disk_fail_at(disk, 0, FAULT_NONE);
    story(fault_disk_vfs(disk), &told);
    CU_ASSERT_EQUAL(told.code, DPC_OK);
    unsigned operations = fault_disk_operations(disk);
    check(disk, &told);
    fault_disk_destroy(disk);
    return operations;
}

static void
fail_everywhere(enum fault_kind kind, int expected)
{
    make_contents();
    unsigned operations = count_operations(), fired = 0;
    CU_ASSERT(operations > 20);
    for (unsigned n = 1; n <= operations; n++) {
        for (int state = 0; state < FAULT_DATA_KINDS * FAULT_NAMES_KINDS; state++) {
            struct fault_disk *disk = fault_disk_create();
            struct told told;
            fault_disk_fail_at(disk, n, kind);
            story(fault_disk_vfs(disk), &told);
            if (fault_disk_fired(disk)) {
                fired++;
                CU_ASSERT_EQUAL(told.code, expected);
            }
            fault_disk_crash(disk, state % FAULT_DATA_KINDS, state / FAULT_DATA_KINDS);
            check(disk, &told);
            go_on(disk);
            fault_disk_destroy(disk);
        }
    }
    CU_ASSERT(fired > 6 * 10);
}

static void
no_space_anywhere(void)
{
    fail_everywhere(FAULT_NO_SPACE, DPC_ENOSPACE);
}

static void
failed_sync_anywhere(void)
{
    fail_everywhere(FAULT_SYNC, DPC_EIO);
}

static void
killed_anywhere(void)
{
    fail_everywhere(FAULT_DEAD, DPC_EIO);
}

/* Bits that flip on the disk while a blob is received. */
static void
a_flip_in_a_partial_file_is_found(void)
{
    struct fault_disk *disk = fault_disk_create();
    struct dpc_blobs *blobs;
    struct dpc_error err;
    char path[DPC_PATH_MAX], hex[DPC_HASH_HEX_MAX];
    make_contents();
    dpc_hash_hex(&names[0], hex, sizeof hex);
    (void)snprintf(path, sizeof path, "/disk/blobs/partial/%s", hex);
    CU_ASSERT_EQUAL_FATAL(dpc_blobs_open(fault_disk_vfs(disk), "/disk/blobs", &blobs, &err),
                          DPC_OK);
    for (size_t byte = 0; byte < BYTES; byte += 89) {
        CU_ASSERT_EQUAL(dpc_blobs_append(blobs, &names[0], 0, contents[0], BYTES, &err), DPC_OK);
        CU_ASSERT(fault_disk_flip(disk, path, byte));
        CU_ASSERT_EQUAL(dpc_blobs_finish(blobs, &names[0], &err), DPC_EHASH);
    }
    dpc_blobs_close(blobs);
    fault_disk_destroy(disk);
}

static bool
has_blob(struct fault_disk *disk, size_t i)
{
    struct dpc_blobs *blobs;
    struct dpc_error err;
    uint64_t bytes;
    CU_ASSERT_EQUAL_FATAL(dpc_blobs_open(fault_disk_vfs(disk), "/disk/blobs", &blobs, &err),
                          DPC_OK);
    bool there = dpc_blobs_size(blobs, &names[i], &bytes) == DPC_OK;
    dpc_blobs_close(blobs);
    return there;
}

/* Killed between the rename and the folder's sync; found and counted on; then the power goes. */
static void
a_blob_that_a_killed_run_renamed_is_on_disk_once_it_is_found(void)
{
    unsigned found = 0;
    make_contents();
    for (unsigned at = 1; at < 20; at++) {
        struct fault_disk *disk = fault_disk_create();
        struct dpc_blobs *blobs;
        struct dpc_error err;
        struct dpc_hash hash;
        CU_ASSERT_EQUAL_FATAL(dpc_blobs_open(fault_disk_vfs(disk), "/disk/blobs", &blobs, &err),
                              DPC_OK);
        fault_disk_fail_at(disk, at, FAULT_DEAD);
        int code = dpc_blobs_put(blobs, contents[0], BYTES, &hash, &err);
        dpc_blobs_close(blobs);
        fault_disk_crash(disk, FAULT_DATA_KEPT, FAULT_NAMES_KEPT);
        if (code != DPC_OK && has_blob(disk, 0)) {
            found++;
            fault_disk_crash(disk, FAULT_DATA_LOST, FAULT_NAMES_LOST);
            CU_ASSERT(has_blob(disk, 0));
        }
        fault_disk_destroy(disk);
    }
    CU_ASSERT(found > 0);
}

/* Want of descriptors is no failed sync: once there are some, what was begun is done again, or what
 * has its name already is made to last. */
static void
no_descriptor_anywhere(void)
{
    unsigned struck = 0, named = 0;
    make_contents();
    for (unsigned at = 1;; at++) {
        struct fault_disk *disk = fault_disk_create();
        struct dpc_blobs *blobs;
        struct dpc_error err;
        struct dpc_hash hash;
        uint64_t bytes;
        CU_ASSERT_EQUAL_FATAL(dpc_blobs_open(fault_disk_vfs(disk), "/disk/blobs", &blobs, &err),
                              DPC_OK);
        fault_disk_fail_at(disk, at, FAULT_NO_FILES);
        int put = dpc_blobs_put(blobs, contents[0], BYTES, &hash, &err);
        int received = receive(blobs, 1, &err), drafted = draft(blobs, 2, &err);
        bool fired = fault_disk_fired(disk);
        CU_ASSERT(!dpc_blobs_are_broken(blobs));
        CU_ASSERT(put == DPC_OK || put == DPC_EFILES);
        CU_ASSERT(received == DPC_OK || received == DPC_EFILES);
        CU_ASSERT(drafted == DPC_OK || drafted == DPC_EFILES);
        struck += (put != DPC_OK) + (received != DPC_OK) + (drafted != DPC_OK);
        for (size_t i = 0; i < 3; i++)
            named += dpc_blobs_size(blobs, &names[i], &bytes) == DPC_OK;
        if (at % 2) { /* what is there is relied on as it is */
            CU_ASSERT_EQUAL(dpc_blobs_settle(blobs), DPC_OK);
            bool there[3];
            for (size_t i = 0; i < 3; i++)
                there[i] = dpc_blobs_size(blobs, &names[i], &bytes) == DPC_OK;
            fault_disk_crash(disk, FAULT_DATA_LOST, FAULT_NAMES_LOST);
            for (size_t i = 0; i < 3; i++)
                CU_ASSERT_EQUAL(has_blob(disk, i), there[i]);
        } else {
            CU_ASSERT_EQUAL(dpc_blobs_put(blobs, contents[0], BYTES, &hash, &err), DPC_OK);
            CU_ASSERT_EQUAL(receive(blobs, 1, &err), DPC_OK);
            CU_ASSERT_EQUAL(draft(blobs, 2, &err), DPC_OK);
            fault_disk_crash(disk, FAULT_DATA_LOST, FAULT_NAMES_LOST);
            CU_ASSERT(has_blob(disk, 0) && has_blob(disk, 1) && has_blob(disk, 2));
        }
        dpc_blobs_close(blobs);
        fault_disk_destroy(disk);
        if (!fired)
            break;
    }
    CU_ASSERT(struck >= 6 && named > 0);
}

static const struct dpc_test tests[] = {
    {"no descriptor, at any operation", no_descriptor_anywhere},
    {"a blob that a killed run renamed is on disk once it is found",
     a_blob_that_a_killed_run_renamed_is_on_disk_once_it_is_found},
    {"no space, at any operation", no_space_anywhere},
    {"a failed sync, at any operation", failed_sync_anywhere},
    {"killed, at any operation", killed_anywhere},
    {"a flip in a partial file is found", a_flip_in_a_partial_file_is_found},
};
DPC_TEST_MAIN("storage/blob faults", tests)
