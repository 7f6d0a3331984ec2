/* SPDX-License-Identifier: Apache-2.0
 *
 * What the lease in hand has come to, in one file of the worker's folder: a process that was killed
 * or restarted goes on where the last one was, and hands in the same bits. While a lease trains the
 * file holds the steps done, the sums of losses, the parameters and the path state; once its result
 * is there, the submission that names it. That passes to a second file, so that the next lease has
 * the first.
 *
 * Nothing in it is trusted that is damaged, of another numeric class (so of another build, too) or
 * of another experiment: such a file is removed. Whether its lease still counts is the
 * coordinator's to say: the session shows it the token.
 *
 * Owns: both files, and a temporary one while it writes. Threads: one computes and calls _is_due to
 * _commit; the others' calls come from the event loop. Limits: about 12 bytes a parameter of disk,
 * beside the cache's budget; DPC_SPILL_SHARE of the time. Not here: when a lease is over
 * (worker/loop.c).
 */
#ifndef DPC_WORKER_COMPUTE_SPILL_H
#define DPC_WORKER_COMPUTE_SPILL_H

#include <stdatomic.h>

#include "base/experiment.h"
#include "base/vfs.h"
#include "proto/message.h"

enum {
    DPC_SPILL_SHARE = 100,          /* what is computed between two writes lasts so often a write */
    DPC_SPILL_PERIOD_MS_MIN = 1000, /* between two of a lease's steps, however quick the disk */
};

enum dpc_spill_stage {
    DPC_SPILL_TRAINING = 1,
    DPC_SPILL_FINISHED = 2,
    DPC_SPILL_STAGES,
};

/* What a lease's steps leave for its submission: sums, mostly. */
struct dpc_tally {
    double loss_sum, last_sum; /* of all steps, and of the last tenth */
    uint64_t targets, last_targets;
    double seconds;        /* of computing, in processes that are gone */
    struct dpc_hash began; /* the path state that the first step took */
};

struct dpc_spill_record {
    enum dpc_spill_stage stage;
    struct dpc_msg_lease lease;
    struct dpc_hash experiment;   /* dpc_spill_name_experiment */
    uint32_t steps_done;          /* training: of the lease */
    struct dpc_tally tally;       /* training */
    uint64_t values_bytes;        /* training: behind the record, dpc_spill_read */
    struct dpc_msg_submit submit; /* finished */
};

struct dpc_spill;

/* No file is touched yet. The vfs must outlive it. DPC_ELIMIT: the folder's name is too long. */
int dpc_spill_create(const struct dpc_vfs *vfs, const char *folder, struct dpc_spill **ret_spill,
                     struct dpc_error *err) DPC_MUST_CHECK;
/* Takes NULL and returns NULL. The file stays. */
struct dpc_spill *dpc_spill_destroy(struct dpc_spill *spill);

/* The name of an experiment as it was read: a spilled lease goes on under no other one. */
struct dpc_hash dpc_spill_name_experiment(const struct dpc_experiment *experiment);

/* --- The event loop's. */

/* The class of whatever is computed from now on; while nothing is. */
void dpc_spill_set_class(struct dpc_spill *spill, const char *numeric_class);
/* The lease is over. Whoever writes for it has been cancelled before. */
void dpc_spill_remove(struct dpc_spill *spill);
/* Its result is handed in from now on: if the file holds that, it passes to the second one. */
void dpc_spill_pass(struct dpc_spill *spill);
/* That is over, too, and so are steps of it that were left since its result could not be written.
 */
void dpc_spill_remove_passed(struct dpc_spill *spill);
/* A sync failed: nothing is written any more, and the process should end. */
bool dpc_spill_is_broken(struct dpc_spill *spill);

/* --- Any thread's, while nobody writes. */

/* What the file says, its hash checked from end to end. DPC_ENOTFOUND: there is none. DPC_ECORRUPT,
 * DPC_ESTALE (another class's): it is removed, and `err` says why. DPC_EFILES, DPC_ENOMEM, DPC_EIO:
 * it could not be read now, and stays. */
int dpc_spill_load(struct dpc_spill *spill, struct dpc_spill_record *ret_record,
                   struct dpc_error *err) DPC_MUST_CHECK;
/* The same of the second file; what is not finished counts as damaged. */
int dpc_spill_load_passed(struct dpc_spill *spill, struct dpc_spill_record *ret_record,
                          struct dpc_error *err) DPC_MUST_CHECK;
/* Bytes of the values of the record that dpc_spill_load loaded last. */
int dpc_spill_read(struct dpc_spill *spill, void *ret_bytes, size_t len, uint64_t offset,
                   struct dpc_error *err) DPC_MUST_CHECK;

/* --- The compute thread's. */

/* A lease begins: the first write is due as long after it as the next one after a write. */
void dpc_spill_begin_lease(struct dpc_spill *spill);
/* A write of this stage would now cost a DPC_SPILL_SHARE-th of the time since the last one at most,
 * as the last of its stage did; or steps were worth one, and this is their result. */
bool dpc_spill_is_due(struct dpc_spill *spill, enum dpc_spill_stage stage);

/* Writes anew: _begin, _add for values_bytes in all, _commit. What failed is as if it had not been
 * begun, and the next call may be _begin. _commit leaves the older file when `*cancelled`
 * (DPC_ECANCELLED; NULL: never). DPC_ENOSPACE, DPC_EIO. */
int dpc_spill_begin(struct dpc_spill *spill, const struct dpc_spill_record *record,
                    struct dpc_error *err) DPC_MUST_CHECK;
int dpc_spill_add(struct dpc_spill *spill, const void *bytes, size_t len,
                  struct dpc_error *err) DPC_MUST_CHECK;
int dpc_spill_commit(struct dpc_spill *spill, const atomic_bool *cancelled,
                     struct dpc_error *err) DPC_MUST_CHECK;

#endif
