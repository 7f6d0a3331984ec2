/* SPDX-License-Identifier: Apache-2.0
 *
 * A fork: a new store in which an experiment goes on from where another one stood when ROUND rounds
 * of its routed paths were over. It holds what that store held then: versions and momentum,
 * contributions, shards, router, path states, and the ledger, linked anew from the first entry on
 * that is left out; of later rounds nothing. The experiment may be another in all that only the
 * future depends on (column `may_change` of the table of keys).
 *
 * What ROUND is: every routed module has the last of its versions that begins round ROUND, the
 * dense ones that of as many rounds behind the warm start, or their newest, or, where they were far
 * ahead, the first behind it that is kept. Every path begins that round anew, with the path state
 * that it began it with: parts of it that were handed in, and what was to be merged late, are left
 * out (elastic mode, where modules may have been there at different times). Discriminative phases
 * up to ROUND are over.
 *
 * A fork of the warm start (DPC_FORK_WARM) holds the dense model as that ended, and nothing of the
 * routed paths: documents are routed by the fork itself, which in strict mode ends as if it had
 * trained the warm start, to the bit. Keys on which the warm start depends cannot be others in it.
 * Levels and paths are among them: the dense path's number, which is theirs, chooses its batches.
 *
 * Owns: nothing. Threads: any. The source is only read; nobody may write it meanwhile.
 * Errors: DPC_EPERM (a key that may not differ, a round that is not kept), DPC_ENOTFOUND (no store,
 * a round that is still to come), DPC_EBUSY (the source is open in another process), DPC_EEXIST.
 */
#ifndef DPC_COORDINATOR_FORK_FORK_H
#define DPC_COORDINATOR_FORK_FORK_H

#include "base/error.h"
#include "base/experiment.h"
#include "base/json.h"
#include "storage/db/store.h"

/* In place of a round. */
enum { DPC_FORK_NEWEST = UINT32_MAX, DPC_FORK_WARM = UINT32_MAX - 1 };

struct dpc_forked {
    uint32_t round;           /* 0 of a warm start */
    uint64_t blobs;           /* that the new store shares with its source, or has a copy of */
    uint32_t restarts;        /* paths whose best round is sought anew (early stopping) */
    uint32_t states_left_out; /* paths that begin from moments of zero: states were not shipped */
    uint32_t barred;          /* rounds of the warm start, path by path, of workers barred since */
    /* Rounds of paths that a revoke has taken out of the source since, and that the fork holds
     * again; by how many workers, and of that with the earliest of them its name and that round. */
    uint32_t again, again_workers, again_since;
    char again_name[DPC_NAME_MAX];
};

/* Makes the store `to`, missing or empty, from the store `from` for the experiment in
 * `experiment_file`, whose corpus must be the source's. It is filled under another name: a fork
 * that was broken off leaves no store. `to` NULL: nothing is made, but what would refuse it is
 * told. */
int dpc_fork_make(const char *from, uint32_t round, const char *experiment_file, const char *to,
                  struct dpc_forked *ret_forked, struct dpc_error *err) DPC_MUST_CHECK;

/* What the store was made from, as "from" in `root`: the incarnation of the store before it, the
 * round, and whether the warm start alone was taken. Nothing where it is no fork. */
int dpc_fork_tell_origin(struct dpc_kv *kv, struct dpc_json *root,
                         struct dpc_error *err) DPC_MUST_CHECK;

/* Tokens that the store's warm start read, all its replicas together: in a fork, whose batches may
 * be others, with those of its source. */
int dpc_fork_warm_tokens(struct dpc_kv *kv, const struct dpc_experiment *experiment,
                         uint64_t *ret_tokens, struct dpc_error *err) DPC_MUST_CHECK;

/* --- Its parts, over seams, for tests. */

/* What is forked: records, and which blobs are there. */
struct dpc_fork_source {
    struct dpc_kv *kv;
    /* DPC_ENOTFOUND when the blob is gone. */
    int (*size)(void *context, const struct dpc_hash *hash, uint64_t *ret_bytes);
    void *context;
};

/* The records of a fork of `source`, committed to the empty store `to`; gives its round, and what
 * there is to be told but `blobs`. */
int dpc_fork_records(const struct dpc_fork_source *source, uint32_t round,
                     const struct dpc_experiment *experiment, struct dpc_store *to,
                     struct dpc_forked *ret_forked, struct dpc_error *err) DPC_MUST_CHECK;

#endif
