/* SPDX-License-Identifier: Apache-2.0 */
#include "storage/blob/blob.h"

#include <pthread.h>
#include <string.h>

#include "base/alloc.h"
#include "tests/unit/harness.h"
#include "tests/unit/storage/fault_vfs.h"
#include "tests/unit/storage/scratch.h"

enum { PIECE = 1000 };

/* A disk, a folder of blobs on it, and some bytes. */
static struct fault_disk *disk;
static struct dpc_blobs *blobs;
static struct dpc_error err;
static uint8_t bytes[3 * PIECE];
static struct dpc_hash name_of_bytes;

static void
set_up(void)
{
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 251);
    dpc_hash_of(bytes, sizeof bytes, &name_of_bytes);
    disk = fault_disk_create();
    CU_ASSERT_EQUAL_FATAL(dpc_blobs_open(fault_disk_vfs(disk), "/disk/blobs", &blobs, &err),
                          DPC_OK);
}

static void
tear_down(void)
{
    blobs = dpc_blobs_close(blobs);
    disk = fault_disk_destroy(disk);
}

static void
open_again(void)
{
    blobs = dpc_blobs_close(blobs);
    CU_ASSERT_EQUAL_FATAL(dpc_blobs_open(fault_disk_vfs(disk), "/disk/blobs", &blobs, &err),
                          DPC_OK);
}

static bool
is_whole(const struct dpc_hash *hash, const void *expected, size_t expected_len)
{
    uint8_t *loaded;
    size_t len;
    if (dpc_blobs_load(blobs, hash, &loaded, &len, &err) != DPC_OK)
        return false;
    bool same = len == expected_len && (len == 0 || memcmp(loaded, expected, len) == 0);
    dpc_free(loaded);
    return same;
}

static void
append_pieces(unsigned first, unsigned count)
{
    for (unsigned i = first; i < first + count; i++)
        CU_ASSERT_EQUAL(
            dpc_blobs_append(blobs, &name_of_bytes, i * PIECE, bytes + i * PIECE, PIECE, &err),
            DPC_OK);
}

static void
what_is_put_can_be_read(void)
{
    struct dpc_hash hash;
    uint8_t part[10];
    uint64_t size;
    set_up();
    CU_ASSERT_EQUAL(dpc_blobs_size(blobs, &name_of_bytes, &size), DPC_ENOTFOUND);
    CU_ASSERT_EQUAL(dpc_blobs_put(blobs, bytes, sizeof bytes, &hash, &err), DPC_OK);
    CU_ASSERT(dpc_hash_equal(&hash, &name_of_bytes));
    CU_ASSERT_EQUAL(dpc_blobs_size(blobs, &hash, &size), DPC_OK);
    CU_ASSERT_EQUAL(size, sizeof bytes);
    CU_ASSERT(is_whole(&hash, bytes, sizeof bytes));
    CU_ASSERT_EQUAL(dpc_blobs_read(blobs, &hash, 2990, part, 10), DPC_OK);
    CU_ASSERT_EQUAL(memcmp(part, bytes + 2990, 10), 0);
    CU_ASSERT_EQUAL(dpc_blobs_read(blobs, &hash, 2991, part, 10), DPC_ERANGE);
    CU_ASSERT_EQUAL(dpc_blobs_read(blobs, &hash, UINT64_MAX, part, 10), DPC_ERANGE);
    CU_ASSERT_EQUAL(fault_disk_files(disk, "partial"), 0);
    tear_down();
}

static void
the_file_is_named_by_its_hash(void)
{
    struct dpc_hash hash;
    char path[DPC_PATH_MAX], expected[DPC_PATH_MAX], hex[DPC_HASH_HEX_MAX];
    set_up();
    CU_ASSERT_EQUAL(dpc_blobs_path(blobs, &name_of_bytes, path, sizeof path), DPC_ENOTFOUND);
    CU_ASSERT_EQUAL(dpc_blobs_put(blobs, bytes, sizeof bytes, &hash, &err), DPC_OK);
    dpc_hash_hex(&hash, hex, sizeof hex);
    (void)snprintf(expected, sizeof expected, "/disk/blobs/%.2s/%s", hex, hex);
    CU_ASSERT_EQUAL(dpc_blobs_path(blobs, &hash, path, sizeof path), DPC_OK);
    CU_ASSERT_STRING_EQUAL(path, expected);
    CU_ASSERT_EQUAL(dpc_blobs_path(blobs, &hash, path, strlen(expected)), DPC_ELIMIT);
    tear_down();
}

static void
an_empty_blob_is_a_blob(void)
{
    struct dpc_hash hash, name;
    set_up();
    dpc_hash_of("", 0, &name);
    CU_ASSERT_EQUAL(dpc_blobs_put(blobs, "", 0, &hash, &err), DPC_OK);
    CU_ASSERT(is_whole(&hash, "", 0));
    CU_ASSERT_EQUAL(dpc_blobs_remove(blobs, &hash), DPC_OK);
    CU_ASSERT_EQUAL(dpc_blobs_append(blobs, &name, 0, "", 0, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_blobs_finish(blobs, &name, &err), DPC_OK);
    CU_ASSERT(is_whole(&name, "", 0));
    tear_down();
}

static void
the_same_put_again_costs_no_write(void)
{
    struct dpc_hash hash;
    set_up();
    CU_ASSERT_EQUAL(dpc_blobs_put(blobs, bytes, sizeof bytes, &hash, &err), DPC_OK);
    fault_disk_fail_at(disk, 0, FAULT_NONE);
    CU_ASSERT_EQUAL(dpc_blobs_put(blobs, bytes, sizeof bytes, &hash, &err), DPC_OK);
    CU_ASSERT_EQUAL(fault_disk_operations(disk), 0);
    tear_down();
}

static void
pieces_make_a_blob_across_a_restart(void)
{
    set_up();
    CU_ASSERT_EQUAL(dpc_blobs_partial(blobs, &name_of_bytes), 0);
    append_pieces(0, 2);
    CU_ASSERT_EQUAL(dpc_blobs_partial(blobs, &name_of_bytes), 2 * PIECE);
    open_again();
    CU_ASSERT_EQUAL(dpc_blobs_partial(blobs, &name_of_bytes), 2 * PIECE);
    append_pieces(2, 1);
    CU_ASSERT_EQUAL(dpc_blobs_finish(blobs, &name_of_bytes, &err), DPC_OK);
    CU_ASSERT(is_whole(&name_of_bytes, bytes, sizeof bytes));
    CU_ASSERT_EQUAL(dpc_blobs_partial(blobs, &name_of_bytes), 0);
    tear_down();
}

static void
a_piece_in_the_wrong_place_is_stale(void)
{
    set_up();
    CU_ASSERT_EQUAL(dpc_blobs_append(blobs, &name_of_bytes, PIECE, bytes, PIECE, &err), DPC_ESTALE);
    CU_ASSERT_EQUAL(fault_disk_files(disk, "partial"), 0);
    append_pieces(0, 1);
    CU_ASSERT_EQUAL(dpc_blobs_append(blobs, &name_of_bytes, 0, bytes, PIECE, &err), DPC_ESTALE);
    CU_ASSERT_EQUAL(dpc_blobs_append(blobs, &name_of_bytes, 999, bytes, PIECE, &err), DPC_ESTALE);
    CU_ASSERT_EQUAL(dpc_blobs_append(blobs, &name_of_bytes, 1001, bytes, 0, &err), DPC_ESTALE);
    CU_ASSERT_EQUAL(dpc_blobs_partial(blobs, &name_of_bytes), PIECE);
    tear_down();
}

static void
other_bytes_than_the_name_says_are_dropped(void)
{
    uint64_t size;
    set_up();
    append_pieces(0, 2);
    CU_ASSERT_EQUAL(dpc_blobs_append(blobs, &name_of_bytes, 2 * PIECE, bytes, PIECE, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_blobs_finish(blobs, &name_of_bytes, &err), DPC_EHASH);
    CU_ASSERT_EQUAL(dpc_blobs_partial(blobs, &name_of_bytes), 0);
    CU_ASSERT_EQUAL(dpc_blobs_size(blobs, &name_of_bytes, &size), DPC_ENOTFOUND);
    append_pieces(0, 3);
    CU_ASSERT_EQUAL(dpc_blobs_finish(blobs, &name_of_bytes, &err), DPC_OK);
    tear_down();
}

static void
finish_may_come_twice_but_not_before_the_bytes(void)
{
    set_up();
    CU_ASSERT_EQUAL(dpc_blobs_finish(blobs, &name_of_bytes, &err), DPC_ENOTFOUND);
    append_pieces(0, 3);
    CU_ASSERT_EQUAL(dpc_blobs_finish(blobs, &name_of_bytes, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_blobs_finish(blobs, &name_of_bytes, &err), DPC_OK);
    append_pieces(0, 1);
    dpc_blobs_discard(blobs, &name_of_bytes);
    CU_ASSERT_EQUAL(dpc_blobs_partial(blobs, &name_of_bytes), 0);
    CU_ASSERT(is_whole(&name_of_bytes, bytes, sizeof bytes));
    tear_down();
}

/* Each bit of a file counts, and the message says which file and what to do. */
static void
a_flipped_bit_is_found_and_named(void)
{
    struct dpc_hash hash;
    char path[DPC_PATH_MAX];
    uint8_t *loaded;
    size_t len;
    set_up();
    CU_ASSERT_EQUAL(dpc_blobs_put(blobs, bytes, 64, &hash, &err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_blobs_path(blobs, &hash, path, sizeof path), DPC_OK);
    for (size_t i = 0; i < 64; i++) {
        CU_ASSERT(fault_disk_flip(disk, path, i));
        CU_ASSERT_EQUAL(dpc_blobs_load(blobs, &hash, &loaded, &len, &err), DPC_ECORRUPT);
        CU_ASSERT(fault_disk_flip(disk, path, i));
    }
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, path));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "is damaged (its content does not match its name)"));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "backup"));
    CU_ASSERT(is_whole(&hash, bytes, 64));
    tear_down();
}

static void
a_file_of_the_wrong_length_is_damage_that_a_put_mends(void)
{
    struct dpc_hash hash;
    struct dpc_vfs_file *file;
    char path[DPC_PATH_MAX];
    set_up();
    const struct dpc_vfs *vfs = fault_disk_vfs(disk);
    CU_ASSERT_EQUAL(dpc_blobs_put(blobs, bytes, sizeof bytes, &hash, &err), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_blobs_path(blobs, &hash, path, sizeof path), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(vfs->ops->open(vfs, path, DPC_VFS_WRITE, &file), DPC_OK);
    CU_ASSERT_EQUAL(vfs->ops->truncate(file, 100), DPC_OK);
    vfs->ops->close(file);
    CU_ASSERT_FALSE(is_whole(&hash, bytes, sizeof bytes));
    CU_ASSERT_EQUAL(err.code, DPC_ECORRUPT);
    CU_ASSERT_EQUAL(dpc_blobs_put(blobs, bytes, sizeof bytes, &hash, &err), DPC_OK);
    CU_ASSERT(is_whole(&hash, bytes, sizeof bytes));
    tear_down();
}

/* --- Drafts. */

/* All bytes, the first ones last. */
static struct dpc_blob_draft *
begin_draft(void)
{
    uint8_t blank[PIECE] = {0};
    struct dpc_blob_draft *draft;
    CU_ASSERT_EQUAL_FATAL(dpc_blob_draft_open(blobs, &draft, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_blob_draft_write(draft, blank, PIECE, 0, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_blob_draft_write(draft, bytes + PIECE, 2 * PIECE, PIECE, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_blob_draft_write(draft, bytes, PIECE, 0, &err), DPC_OK);
    return draft;
}

static void
publish_draft(struct dpc_blob_draft *draft)
{
    struct dpc_hash hash;
    uint64_t size;
    CU_ASSERT_EQUAL(dpc_blob_draft_hash(draft, &hash, &size, &err), DPC_OK);
    CU_ASSERT(dpc_hash_equal(&hash, &name_of_bytes));
    CU_ASSERT_EQUAL(size, sizeof bytes);
    CU_ASSERT_EQUAL(dpc_blob_draft_publish(draft, &hash, &err), DPC_OK);
    dpc_blob_draft_close(draft);
}

static void
note_partial(void *context, const struct dpc_hash *hash)
{
    (void)hash;
    (*(unsigned *)context)++;
}

static void
a_draft_is_a_blob_once_it_is_published(void)
{
    uint64_t size;
    unsigned partials = 0;
    set_up();
    struct dpc_blob_draft *draft = begin_draft(), *other = begin_draft();
    CU_ASSERT_EQUAL(dpc_blobs_size(blobs, &name_of_bytes, &size), DPC_ENOTFOUND);
    CU_ASSERT_EQUAL(dpc_blobs_list_partials(blobs, note_partial, &partials, &err), DPC_OK);
    CU_ASSERT_EQUAL(partials, 0);
    publish_draft(draft);
    CU_ASSERT(is_whole(&name_of_bytes, bytes, sizeof bytes));
    publish_draft(other); /* is there already */
    CU_ASSERT(is_whole(&name_of_bytes, bytes, sizeof bytes));
    CU_ASSERT_EQUAL(fault_disk_files(disk, "partial/"), 0);
    CU_ASSERT_PTR_NULL(dpc_blob_draft_close(NULL));
    tear_down();
}

static void
a_draft_that_is_not_published_leaves_nothing(void)
{
    struct dpc_blob_draft *draft;
    uint64_t size;
    set_up();
    dpc_blob_draft_close(begin_draft());
    CU_ASSERT_EQUAL(fault_disk_files(disk, "partial/"), 0);
    CU_ASSERT_EQUAL_FATAL(dpc_blob_draft_open(blobs, &draft, &err), DPC_OK);
    fault_disk_fail_at(disk, 1, FAULT_NO_SPACE);
    CU_ASSERT_EQUAL(dpc_blob_draft_write(draft, bytes, PIECE, 0, &err), DPC_ENOSPACE);
    CU_ASSERT_STRING_EQUAL(err.text,
                           "could not write a new blob to \"/disk/blobs\": no space left; "
                           "make room on that disk and start again");
    dpc_blob_draft_close(draft);
    CU_ASSERT_EQUAL(fault_disk_files(disk, "partial/"), 0);
    CU_ASSERT_EQUAL(dpc_blobs_size(blobs, &name_of_bytes, &size), DPC_ENOTFOUND);
    publish_draft(begin_draft());
    tear_down();
}

struct listing {
    unsigned count;
    uint64_t bytes;
    bool remove;
};

static void
note(void *context, const struct dpc_hash *hash, uint64_t size)
{
    struct listing *listing = context;
    listing->count++;
    listing->bytes += size;
    if (listing->remove)
        CU_ASSERT_EQUAL(dpc_blobs_remove(blobs, hash), DPC_OK);
}

static void
the_list_has_complete_blobs_only_and_may_remove_them(void)
{
    struct dpc_hash hash;
    struct listing listing = {0};
    set_up();
    for (size_t i = 1; i <= 300; i++)
        CU_ASSERT_EQUAL(dpc_blobs_put(blobs, bytes, i, &hash, &err), DPC_OK);
    append_pieces(0, 1);
    CU_ASSERT_EQUAL(dpc_blobs_list(blobs, note, &listing, &err), DPC_OK);
    CU_ASSERT_EQUAL(listing.count, 300);
    CU_ASSERT_EQUAL(listing.bytes, 300 * 301 / 2);
    listing = (struct listing){.remove = true};
    CU_ASSERT_EQUAL(dpc_blobs_list(blobs, note, &listing, &err), DPC_OK);
    CU_ASSERT_EQUAL(listing.count, 300);
    listing = (struct listing){0};
    CU_ASSERT_EQUAL(dpc_blobs_list(blobs, note, &listing, &err), DPC_OK);
    CU_ASSERT_EQUAL(listing.count, 0);
    CU_ASSERT_EQUAL(dpc_blobs_remove(blobs, &hash), DPC_OK);
    CU_ASSERT_EQUAL(dpc_blobs_partial(blobs, &name_of_bytes), PIECE);
    tear_down();
}

/* What was not written for want of room is written later by the same process; what could not be
 * synced is not. */
static void
a_put_on_a_full_disk_is_tried_again_unless_a_sync_failed(void)
{
    unsigned short_count = 0, broken_count = 0;
    for (unsigned n = 1;; n++) {
        struct dpc_hash hash;
        set_up();
        fault_disk_fail_at(disk, n, n % 2 ? FAULT_NO_SPACE : FAULT_SYNC);
        int code = dpc_blobs_put(blobs, bytes, sizeof bytes, &hash, &err);
        bool fired = fault_disk_fired(disk), broken = dpc_blobs_are_broken(blobs);
        unsigned operations = fault_disk_operations(disk);
        fault_disk_fail_at(disk, 0, FAULT_NONE);
        if (fired) {
            CU_ASSERT_EQUAL(code, n % 2 ? DPC_ENOSPACE : DPC_EIO);
            short_count += !broken;
            broken_count += broken;
        }
        CU_ASSERT_EQUAL(dpc_blobs_put(blobs, bytes, sizeof bytes, &hash, &err),
                        broken ? DPC_EIO : DPC_OK);
        tear_down();
        if (n > operations)
            break;
    }
    CU_ASSERT(short_count > 0);
    CU_ASSERT(broken_count > 0);
}

static void
a_full_disk_leaves_a_partial_blob_as_it_was(void)
{
    set_up();
    append_pieces(0, 1);
    fault_disk_fail_at(disk, 1, FAULT_NO_SPACE);
    CU_ASSERT_EQUAL(dpc_blobs_append(blobs, &name_of_bytes, PIECE, bytes + PIECE, PIECE, &err),
                    DPC_ENOSPACE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "no space left; make room"));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "\"/disk/blobs\""));
    CU_ASSERT_EQUAL(dpc_blobs_partial(blobs, &name_of_bytes), PIECE);
    append_pieces(1, 2);
    CU_ASSERT_EQUAL(dpc_blobs_finish(blobs, &name_of_bytes, &err), DPC_OK);
    CU_ASSERT(is_whole(&name_of_bytes, bytes, sizeof bytes));
    tear_down();
}

/* The kernel may call a second sync of lost pages a success: nobody gets to try. */
static void
a_failed_sync_is_final(void)
{
    struct dpc_hash hash;
    set_up();
    append_pieces(0, 3);
    CU_ASSERT_EQUAL(dpc_blobs_put(blobs, bytes, 10, &hash, &err), DPC_OK);
    fault_disk_fail_at(disk, 4, FAULT_SYNC); /* behind the folder and its two syncs */
    CU_ASSERT_EQUAL(dpc_blobs_finish(blobs, &name_of_bytes, &err), DPC_EIO);
    CU_ASSERT(fault_disk_fired(disk));
    CU_ASSERT_EQUAL(dpc_blobs_partial(blobs, &name_of_bytes), 0);
    CU_ASSERT_EQUAL(dpc_blobs_put(blobs, bytes, 20, &hash, &err), DPC_EIO);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "check it and start again"));
    CU_ASSERT_EQUAL(dpc_blobs_append(blobs, &hash, 0, bytes, 20, &err), DPC_EIO);
    CU_ASSERT_EQUAL(dpc_blobs_finish(blobs, &name_of_bytes, &err), DPC_EIO);
    dpc_hash_of(bytes, 10, &hash);
    CU_ASSERT(is_whole(&hash, bytes, 10));
    open_again();
    CU_ASSERT_EQUAL(dpc_blobs_put(blobs, bytes, 20, &hash, &err), DPC_OK);
    tear_down();
}

static void
for_reading_nothing_is_made_or_changed(void)
{
    struct dpc_blobs *reader;
    struct dpc_hash hash;
    struct listing listing = {0};
    set_up();
    CU_ASSERT_EQUAL(dpc_blobs_put(blobs, bytes, 10, &hash, &err), DPC_OK);
    fault_disk_fail_at(disk, 0, FAULT_NONE);
    CU_ASSERT_EQUAL(dpc_blobs_open_read(fault_disk_vfs(disk), "/disk/none", &reader, &err), DPC_OK);
    CU_ASSERT_EQUAL(dpc_blobs_list(reader, note, &listing, &err), DPC_OK);
    CU_ASSERT_EQUAL(listing.count, 0);
    reader = dpc_blobs_close(reader);
    CU_ASSERT_EQUAL(dpc_blobs_open_read(fault_disk_vfs(disk), "/disk/blobs", &reader, &err),
                    DPC_OK);
    CU_ASSERT_EQUAL(dpc_blobs_list(reader, note, &listing, &err), DPC_OK);
    CU_ASSERT_EQUAL(listing.count, 1);
    CU_ASSERT_EQUAL(dpc_blobs_put(reader, bytes, 20, &hash, &err), DPC_EPERM);
    CU_ASSERT_EQUAL(dpc_blobs_append(reader, &hash, 0, bytes, 20, &err), DPC_EPERM);
    CU_ASSERT_EQUAL(dpc_blobs_finish(reader, &hash, &err), DPC_EPERM);
    CU_ASSERT_EQUAL(dpc_blobs_remove(reader, &hash), DPC_EPERM);
    dpc_blobs_discard(reader, &hash);
    CU_ASSERT_EQUAL(fault_disk_operations(disk), 0);
    dpc_blobs_close(reader);
    tear_down();
}

static void
a_folder_name_that_is_too_long_is_refused(void)
{
    char name[DPC_PATH_MAX];
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = 0;
    struct dpc_blobs *none;
    CU_ASSERT_EQUAL(dpc_blobs_open(&dpc_vfs_posix, name, &none, &err), DPC_ELIMIT);
    CU_ASSERT_EQUAL(dpc_blobs_open_read(&dpc_vfs_posix, name, &none, &err), DPC_ELIMIT);
}

/* --- On a real disk. */

static void *
put_many(void *context)
{
    struct dpc_blobs *shared = context;
    struct dpc_hash hash;
    struct dpc_error report;
    for (size_t i = 0; i < 100; i++) {
        if (dpc_blobs_put(shared, bytes + i, 2000, &hash, &report) != DPC_OK)
            return report.text[0] ? "failed" : "failed without a word";
    }
    return NULL;
}

static void
threads_may_put_the_same_bytes(void)
{
    char folder[SCRATCH_PATH_MAX];
    pthread_t threads[4];
    struct listing listing = {0};
    set_up();
    dpc_blobs_close(blobs);
    CU_ASSERT_EQUAL_FATAL(dpc_blobs_open(&dpc_vfs_posix, scratch_make(folder), &blobs, &err),
                          DPC_OK);
    for (size_t i = 0; i < 4; i++)
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, put_many, blobs), 0);
    for (size_t i = 0; i < 4; i++) {
        void *complaint;
        pthread_join(threads[i], &complaint);
        CU_ASSERT_PTR_NULL(complaint);
    }
    CU_ASSERT_EQUAL(dpc_blobs_list(blobs, note, &listing, &err), DPC_OK);
    CU_ASSERT_EQUAL(listing.count, 100);
    for (size_t i = 0; i < 100; i++) {
        struct dpc_hash hash;
        dpc_hash_of(bytes + i, 2000, &hash);
        CU_ASSERT(is_whole(&hash, bytes + i, 2000));
    }
    uint64_t room;
    CU_ASSERT_EQUAL(dpc_blobs_free_bytes(blobs, &room), DPC_OK);
    CU_ASSERT(room > 0);
    scratch_remove(folder);
    tear_down();
}

static const struct dpc_test tests[] = {
    {"what is put can be read", what_is_put_can_be_read},
    {"the file is named by its hash", the_file_is_named_by_its_hash},
    {"an empty blob is a blob", an_empty_blob_is_a_blob},
    {"the same put again costs no write", the_same_put_again_costs_no_write},
    {"pieces make a blob, across a restart", pieces_make_a_blob_across_a_restart},
    {"a piece in the wrong place is stale", a_piece_in_the_wrong_place_is_stale},
    {"other bytes than the name says are dropped", other_bytes_than_the_name_says_are_dropped},
    {"finish may come twice", finish_may_come_twice_but_not_before_the_bytes},
    {"a flipped bit is found and named", a_flipped_bit_is_found_and_named},
    {"a wrong length is mended by a put", a_file_of_the_wrong_length_is_damage_that_a_put_mends},
    {"the list", the_list_has_complete_blobs_only_and_may_remove_them},
    {"a put on a full disk is tried again unless a sync failed",
     a_put_on_a_full_disk_is_tried_again_unless_a_sync_failed},
    {"a full disk leaves a partial blob as it was", a_full_disk_leaves_a_partial_blob_as_it_was},
    {"a failed sync is final", a_failed_sync_is_final},
    {"for reading, nothing is made or changed", for_reading_nothing_is_made_or_changed},
    {"a folder name that is too long is refused", a_folder_name_that_is_too_long_is_refused},
    {"threads may put the same bytes", threads_may_put_the_same_bytes},
    {"a draft is a blob once it is published", a_draft_is_a_blob_once_it_is_published},
    {"a draft that is not published leaves nothing", a_draft_that_is_not_published_leaves_nothing},
};
DPC_TEST_MAIN("storage/blob", tests)
