/* SPDX-License-Identifier: Apache-2.0
 *
 * A folder of a target's own, for what is read by its name; gone with the program.
 *
 * Owns: the folder. Threads: one.
 */
#ifndef DPC_TESTS_FUZZ_FOLDER_H
#define DPC_TESTS_FUZZ_FOLDER_H

#include "base/limits.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/storage/scratch.h"

static char fuzz_folder[SCRATCH_PATH_MAX]; /* "" before fuzz_folder_make */

static inline void
fuzz_folder_remove(void)
{
    scratch_remove(fuzz_folder);
}

static inline void
fuzz_folder_make(void)
{
    if (*fuzz_folder)
        return;
    scratch_make(fuzz_folder);
    fuzz_require(atexit(fuzz_folder_remove) == 0, "a folder goes with the program");
}

/* The path of a name in the folder; good until the next call. */
static inline const char *
fuzz_folder_path(const char *name)
{
    static char path[DPC_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", fuzz_folder, name);
    return path;
}

static inline const char *
fuzz_folder_write(const char *name, const void *bytes, size_t len)
{
    const char *path = fuzz_folder_path(name);
    (void)remove(path); /* a file that is written over is flushed by some file systems */
    FILE *file = fopen(path, "wb");
    bool written = file && fwrite(bytes, 1, len, file) == len;
    fuzz_require(file && fclose(file) == 0 && written, path);
    return path;
}

#endif
