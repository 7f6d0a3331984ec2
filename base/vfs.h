/* SPDX-License-Identifier: Apache-2.0
 *
 * The file seam: what blob files, caches and ledger files ask of a disk. `dpc_vfs_posix` is the
 * real one; tests and the simulator put their own below the same code: torn, unsynced, flipped,
 * full.
 *
 * Owns: a file handle, until closed. Threads: a vfs may be used from any thread, a file from one at
 * a time. Errors: DPC_ENOTFOUND, DPC_ENOSPACE, DPC_EPERM, DPC_EEXIST, DPC_EIO. An error of `sync`
 * is final: the caller stops, it never tries the sync again (the kernel may have dropped the
 * pages).
 */
#ifndef DPC_BASE_VFS_H
#define DPC_BASE_VFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct dpc_vfs_file; /* of the implementation */

enum dpc_vfs_open {
    DPC_VFS_READ = 1,
    DPC_VFS_WRITE = 2,
    DPC_VFS_CREATE = 4, /* make it where it does not exist */
    DPC_VFS_FRESH = 8,  /* with CREATE: DPC_EEXIST where it exists */
};

struct dpc_vfs;

struct dpc_vfs_ops {
    int (*open)(const struct dpc_vfs *vfs, const char *path, int flags,
                struct dpc_vfs_file **ret_file);
    void (*close)(struct dpc_vfs_file *file);
    /* Whole reads and writes at an offset in bytes; a read past the end is DPC_EIO. */
    int (*read)(struct dpc_vfs_file *file, void *ret_bytes, size_t len, uint64_t offset);
    int (*write)(struct dpc_vfs_file *file, const void *bytes, size_t len, uint64_t offset);
    int (*size)(struct dpc_vfs_file *file, uint64_t *ret_bytes);
    int (*truncate)(struct dpc_vfs_file *file, uint64_t bytes);
    int (*sync)(struct dpc_vfs_file *file);
    int (*sync_folder)(const struct dpc_vfs *vfs, const char *path);
    int (*make_folder)(const struct dpc_vfs *vfs, const char *path); /* parents too; exists: fine */
    int (*rename)(const struct dpc_vfs *vfs, const char *from, const char *to); /* replaces */
    /* A second name for a file; DPC_EEXIST where `to` is there, DPC_EUNSUPPORTED where it cannot be
     * (another file system, or one without links). May be NULL: nowhere. */
    int (*link)(const struct dpc_vfs *vfs, const char *from, const char *to);
    int (*remove)(const struct dpc_vfs *vfs, const char *path);
    /* Calls `visit` once per plain name in the folder ("." and ".." left out), in any order. */
    int (*list)(const struct dpc_vfs *vfs, const char *path,
                void (*visit)(void *context, const char *name), void *context);
    /* Bytes that may still be written below `path`. */
    int (*free_bytes)(const struct dpc_vfs *vfs, const char *path, uint64_t *ret_bytes);
};

struct dpc_vfs {
    const struct dpc_vfs_ops *ops;
    void *context;
};

extern const struct dpc_vfs dpc_vfs_posix;

/* --- What every user of a vfs would write again. */

/* A whole file into fresh memory with a zero behind it (not counted); dpc_free it.
 * DPC_ELIMIT when it is larger than `bytes_max`. */
int dpc_vfs_read_file(const struct dpc_vfs *vfs, const char *path, size_t bytes_max,
                      uint8_t **ret_bytes, size_t *ret_len, struct dpc_error *err) DPC_MUST_CHECK;

/* Gives a file that is on disk the name `path`, which it has after a power loss, too. */
int dpc_vfs_put_in_place(const struct dpc_vfs *vfs, const char *from, const char *path,
                         struct dpc_error *err) DPC_MUST_CHECK;

/* Replaces a file as one whole: temp file beside it, sync, rename, folder sync. */
int dpc_vfs_write_file(const struct dpc_vfs *vfs, const char *path, const void *bytes, size_t len,
                       struct dpc_error *err) DPC_MUST_CHECK;
/* The same without the syncs, for what may be lost in a power cut: readers see the one file or the
 * other. */
int dpc_vfs_write_file_unsynced(const struct dpc_vfs *vfs, const char *path, const void *bytes,
                                size_t len, struct dpc_error *err) DPC_MUST_CHECK;

/* Makes a folder and those above it that are missing; one that is there is fine. */
int dpc_vfs_make_folder(const struct dpc_vfs *vfs, const char *path,
                        struct dpc_error *err) DPC_MUST_CHECK;

/* Removes a folder with all that is in it, or a file; nothing when there is none. On the machine's
 * own disk, and on the one file system that it is on; links are not followed. */
int dpc_vfs_remove_tree(const char *path, struct dpc_error *err);
/* Likewise all that is in a folder, which stays, also one that `path` is a link to. */
int dpc_vfs_empty_folder(const char *path, struct dpc_error *err);

/* Makes a folder and those above it that are missing, so that they are there after a power loss,
 * too: each is named in a folder that is synced, this one also when it exists already. */
int dpc_vfs_make_lasting_folder(const struct dpc_vfs *vfs, const char *path) DPC_MUST_CHECK;

/* Whether this process may open as many files and connections as a daemon must (`ulimit -n`). */
int dpc_vfs_check_descriptors(struct dpc_error *err) DPC_MUST_CHECK;

bool dpc_vfs_exists(const struct dpc_vfs *vfs, const char *path);

/* The folder part of `path` ("." when it has none) into `ret_folder`. */
void dpc_path_folder(const char *path, char *ret_folder, size_t size);

/* "a/b" from "a" and "b"; an absolute `name` stands alone. DPC_ELIMIT when it does not fit. */
int dpc_path_join(const char *folder, const char *name, char *ret_path, size_t size) DPC_MUST_CHECK;

#endif
