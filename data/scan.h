/* SPDX-License-Identifier: Apache-2.0
 *
 * The files of an import, in an order that does not depend on the disk: sorted by their path below
 * the source. Hidden files and folders are left out; symbolic links are counted, not followed.
 *
 * Owns: the list of paths. Threads: one. Limits: DPC_SCAN_DEPTH_MAX folders deep, DPC_PATH_MAX.
 */
#ifndef DPC_DATA_SCAN_H
#define DPC_DATA_SCAN_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

enum { DPC_SCAN_DEPTH_MAX = 64, DPC_SCAN_EXCEPT_MAX = 10 };

struct dpc_scan {
    char **paths; /* each below its source: "source/folder/file" */
    size_t count;
    size_t capacity;
    uint64_t links;
    struct {
        dev_t device;
        ino_t inode;
    } except[DPC_SCAN_EXCEPT_MAX];
    size_t except_count;
};

void dpc_scan_init(struct dpc_scan *scan);
void dpc_scan_done(struct dpc_scan *scan);

/* Leaves this file out, under whatever path: what belongs to a corpus, which nobody means as a
 * text. Nothing happens where it does not exist. At most DPC_SCAN_EXCEPT_MAX calls. */
void dpc_scan_except(struct dpc_scan *scan, const char *path);

/* Adds a file, or all files below a folder, behind those that are there. DPC_ENOTFOUND, DPC_EPERM.
 */
int dpc_scan_add(struct dpc_scan *scan, const char *source, struct dpc_error *err) DPC_MUST_CHECK;

#endif
