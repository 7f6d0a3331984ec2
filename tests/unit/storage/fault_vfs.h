/* SPDX-License-Identifier: Apache-2.0
 *
 * A disk in memory below the vfs seam that fails when it is told to, and that forgets in a crash
 * what was not synced: file contents and names apart, as a file system may.
 *
 * Owns: all files. Threads: one at a time.
 */
#ifndef DPC_TESTS_FAULT_VFS_H
#define DPC_TESTS_FAULT_VFS_H

#include "base/vfs.h"

struct fault_disk;

enum fault_kind {
    FAULT_NONE,
    FAULT_NO_SPACE, /* a write puts half of its bytes and answers DPC_ENOSPACE */
    FAULT_SYNC,     /* a sync answers DPC_EIO, and what it should have kept is never kept */
    FAULT_NO_FILES, /* an opening, of a folder to sync it, too, answers DPC_EFILES */
    FAULT_DEAD,     /* the operation is half done, and so ends the process: all later ones fail */
    FAULT_KINDS
};

/* What a crash leaves of what was not synced. */
enum fault_data { FAULT_DATA_LOST, FAULT_DATA_TORN, FAULT_DATA_KEPT, FAULT_DATA_KINDS };
enum fault_names { FAULT_NAMES_LOST, FAULT_NAMES_KEPT, FAULT_NAMES_KINDS };

/* An empty disk with one folder, "/disk". */
struct fault_disk *fault_disk_create(void);
struct fault_disk *fault_disk_destroy(struct fault_disk *disk);
const struct dpc_vfs *fault_disk_vfs(struct fault_disk *disk);

/* The `n`-th changing operation from now on (from 1) fails; FAULT_NONE: none does. */
void fault_disk_fail_at(struct fault_disk *disk, unsigned n, enum fault_kind kind);
/* Changing operations since the last fault_disk_fail_at. */
unsigned fault_disk_operations(const struct fault_disk *disk);
/* The planned fault has happened. */
bool fault_disk_fired(const struct fault_disk *disk);

/* The machine starts again: no fault is planned any more. */
void fault_disk_crash(struct fault_disk *disk, enum fault_data data, enum fault_names names);

/* Flips one bit of a file; false when there is no such byte. */
bool fault_disk_flip(struct fault_disk *disk, const char *path, size_t byte);
/* Files whose name contains `part`. */
unsigned fault_disk_files(const struct fault_disk *disk, const char *part);

#endif
