/* SPDX-License-Identifier: Apache-2.0
 *
 * The head of the ledger, in a file of its own beside the database. A database that lost its last
 * writes (a log whose end is missing looks like a torn tail) then does not pass for a whole one.
 *
 * Owns: the open file. Threads: one at a time. Not here: anything that another folder calls.
 */
#ifndef DPC_STORAGE_DB_PROMISE_H
#define DPC_STORAGE_DB_PROMISE_H

#include "base/error.h"
#include "base/hash.h"
#include "base/vfs.h"

struct dpc_promise {
    uint64_t sequence; /* of the last ledger entry that was committed */
    struct dpc_hash hash;
};

/* The file at `path`. DPC_ENOTFOUND when nothing was promised yet; DPC_ECORRUPT with the way out.
 */
int dpc_promise_read(const struct dpc_vfs *vfs, const char *path, struct dpc_promise *ret_promise,
                     struct dpc_error *err) DPC_MUST_CHECK;

struct dpc_promises;

/* Opens the file for writing, and makes it where it is missing. The vfs must outlive it. */
int dpc_promises_open(const struct dpc_vfs *vfs, const char *path,
                      struct dpc_promises **ret_promises, struct dpc_error *err) DPC_MUST_CHECK;
/* Takes NULL. */
struct dpc_promises *dpc_promises_close(struct dpc_promises *promises);
/* On disk when it returns; an error is final. */
int dpc_promises_write(struct dpc_promises *promises, const struct dpc_promise *promise,
                       struct dpc_error *err) DPC_MUST_CHECK;

#endif
