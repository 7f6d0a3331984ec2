/* SPDX-License-Identifier: Apache-2.0
 *
 * A folder in memory that can only be read: files that a test makes up.
 */
#ifndef DPC_TESTS_MEMORY_VFS_H
#define DPC_TESTS_MEMORY_VFS_H

#include <string.h>

#include "base/alloc.h"
#include "base/vfs.h"

enum { MEMORY_FILES_MAX = 8 };

struct memory_files {
    struct {
        const char *path;
        const void *bytes;
        size_t len;
    } files[MEMORY_FILES_MAX];
    uint32_t count;
};

struct dpc_vfs_file {
    const uint8_t *bytes;
    size_t len;
};

static inline int
memory_open(const struct dpc_vfs *vfs, const char *path, int flags, struct dpc_vfs_file **ret_file)
{
    const struct memory_files *files = vfs->context;
    (void)flags;
    for (uint32_t i = 0; i < files->count; i++) {
        if (strcmp(files->files[i].path, path) != 0)
            continue;
        *ret_file = dpc_alloc(1, sizeof **ret_file);
        **ret_file = (struct dpc_vfs_file){files->files[i].bytes, files->files[i].len};
        return DPC_OK;
    }
    return DPC_ENOTFOUND;
}

static inline void
memory_close(struct dpc_vfs_file *file)
{
    dpc_free(file);
}

static inline int
memory_read(struct dpc_vfs_file *file, void *ret_bytes, size_t len, uint64_t offset)
{
    if (offset > file->len || len > file->len - offset)
        return DPC_EIO;
    if (len)
        memcpy(ret_bytes, file->bytes + offset, len);
    return DPC_OK;
}

static inline int
memory_size(struct dpc_vfs_file *file, uint64_t *ret_bytes)
{
    *ret_bytes = file->len;
    return DPC_OK;
}

static const struct dpc_vfs_ops memory_ops = {
    .open = memory_open, .close = memory_close, .read = memory_read, .size = memory_size};

/* The files as `files` lists them at each opening. */
static inline struct dpc_vfs
memory_vfs(struct memory_files *files)
{
    return (struct dpc_vfs){.ops = &memory_ops, .context = files};
}

static inline void
memory_add(struct memory_files *files, const char *path, const void *bytes, size_t len)
{
    files->files[files->count].path = path;
    files->files[files->count].bytes = bytes;
    files->files[files->count++].len = len;
}

#endif
