/* SPDX-License-Identifier: Apache-2.0
 *
 * A folder of a test's own below TMPDIR, and its removal with all that is in it.
 *
 * Owns: nothing. Threads: any.
 */
#ifndef DPC_TESTS_SCRATCH_H
#define DPC_TESTS_SCRATCH_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

enum { SCRATCH_PATH_MAX = 512 };

static inline const char *
scratch_make(char path[static SCRATCH_PATH_MAX])
{
    const char *base = getenv("TMPDIR");
    (void)snprintf(path, SCRATCH_PATH_MAX, "%s/dipaco-test.XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(path)) {
        perror(path);
        exit(1);
    }
    return path;
}

static inline int
scratch_remove_one(const char *path, const struct stat *facts, int type, struct FTW *where)
{
    (void)facts, (void)type, (void)where;
    return remove(path);
}

static inline void
scratch_remove(const char *path)
{
    (void)nftw(path, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
