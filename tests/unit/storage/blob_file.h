/* SPDX-License-Identifier: Apache-2.0
 *
 * The file of a blob in a store's folder, for tests that damage or remove it.
 *
 * Owns: nothing. Threads: any.
 */
#ifndef DPC_TESTS_BLOB_FILE_H
#define DPC_TESTS_BLOB_FILE_H

#include <stdio.h>

#include "base/hash.h"
#include "tests/unit/harness.h"

enum { BLOB_FILE_PATH_MAX = 1024 };

static inline void
blob_file(const char *folder, const struct dpc_hash *hash, char ret_path[static BLOB_FILE_PATH_MAX])
{
    char hex[DPC_HASH_HEX_MAX];
    dpc_hash_hex(hash, hex, sizeof hex);
    (void)snprintf(ret_path, BLOB_FILE_PATH_MAX, "%s/%.2s/%s", folder, hex, hex);
}

/* One bit of the byte at `at`. */
static inline void
blob_file_flip(const char *path, long at)
{
    FILE *file = fopen(path, "r+b");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(fseek(file, at, SEEK_SET), 0);
    int byte = fgetc(file);
    CU_ASSERT_EQUAL(fseek(file, at, SEEK_SET), 0);
    CU_ASSERT(fputc(byte ^ 4, file) != EOF);
    CU_ASSERT_EQUAL(fclose(file), 0);
}

#endif
