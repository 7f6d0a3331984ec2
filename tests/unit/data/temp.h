/* SPDX-License-Identifier: Apache-2.0
 *
 * A folder below TMPDIR that a test may fill, gone when the test is over, and files in it: plain or
 * packed.
 *
 * Owns: the folder. Threads: one.
 */
#ifndef DPC_TESTS_DATA_TEMP_H
#define DPC_TESTS_DATA_TEMP_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>
#include <zstd.h>

#include "base/alloc.h"
#include "base/limits.h"
#include "base/vfs.h"
#include "tests/unit/harness.h"

struct temp {
    char folder[512];
    char path[DPC_PATH_MAX]; /* of the last temp_path */
};

static inline void
temp_make(struct temp *temp)
{
    const char *base = getenv("TMPDIR");
    (void)snprintf(temp->folder, sizeof temp->folder, "%s/dipaco-test.XXXXXX",
                   base ? base : "/tmp");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(temp->folder));
}

static inline int
temp_remove_entry(const char *path, const struct stat *facts, int kind, struct FTW *where)
{
    (void)facts, (void)kind, (void)where;
    return remove(path);
}

static inline void
temp_remove(struct temp *temp)
{
    CU_ASSERT_EQUAL(nftw(temp->folder, temp_remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}

/* The path of a name in the folder; valid until the next call. */
static inline const char *
temp_path(struct temp *temp, const char *name)
{
    CU_ASSERT_EQUAL_FATAL(dpc_path_join(temp->folder, name, temp->path, sizeof temp->path), DPC_OK);
    return temp->path;
}

/* And those above it. */
static inline void
temp_make_folder(struct temp *temp, const char *name)
{
    CU_ASSERT_EQUAL_FATAL(dpc_vfs_posix.ops->make_folder(&dpc_vfs_posix, temp_path(temp, name)),
                          DPC_OK);
}

static inline void
temp_write(struct temp *temp, const char *name, const void *bytes, size_t len)
{
    char folder[DPC_PATH_MAX];
    const char *path = temp_path(temp, name);
    dpc_path_folder(path, folder, sizeof folder);
    CU_ASSERT_EQUAL_FATAL(dpc_vfs_posix.ops->make_folder(&dpc_vfs_posix, folder), DPC_OK);
    CU_ASSERT_EQUAL_FATAL(dpc_vfs_write_file(&dpc_vfs_posix, path, bytes, len, NULL), DPC_OK);
}

static inline void
temp_write_text(struct temp *temp, const char *name, const char *text)
{
    temp_write(temp, name, text, strlen(text));
}

static inline void
temp_write_gz(struct temp *temp, const char *name, const char *text)
{
    gzFile file = gzopen(temp_path(temp, name), "wb");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(gzwrite(file, text, (unsigned)strlen(text)), (int)strlen(text));
    CU_ASSERT_EQUAL(gzclose(file), Z_OK);
}

static inline void
temp_write_zst(struct temp *temp, const char *name, const char *text)
{
    size_t capacity = ZSTD_compressBound(strlen(text));
    void *packed = dpc_alloc(capacity, 1);
    size_t len = ZSTD_compress(packed, capacity, text, strlen(text), 3);
    CU_ASSERT_FALSE_FATAL(ZSTD_isError(len));
    temp_write(temp, name, packed, len);
    dpc_free(packed);
}

#endif
