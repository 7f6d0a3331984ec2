/* SPDX-License-Identifier: Apache-2.0
 *
 * The jobs that the server gives its executor: one struct with the input, then the result.
 *
 * Owns: a job owns its inputs and results; `world` is shared and read-only but for the store, whose
 * blob calls may come from any thread. Threads: one thread runs a job, the loop has it otherwise.
 */
#ifndef DPC_COORDINATOR_JOBS_H
#define DPC_COORDINATOR_JOBS_H

#include "base/error.h"
#include "coordinator/backup.h"
#include "coordinator/core/core.h"
#include "coordinator/core/keep.h"
#include "coordinator/corpus/world.h"
#include "coordinator/versions/refold.h"
#include "proto/channel.h"

enum dpc_job_type {
    DPC_JOB_PREPARE = 1,
    DPC_JOB_SHARD,
    DPC_JOB_FOLD,
    DPC_JOB_REPORT,
    DPC_JOB_LABEL,
    DPC_JOB_CHECK, /* of a submission, before the core sees it */
    DPC_JOB_BACKUP,
    DPC_JOB_SCRUB,   /* hashes of a few blobs */
    DPC_JOB_SWEEP,   /* of the blobs that nothing needs any more */
    DPC_JOB_REPLAY,  /* of one version */
    DPC_JOB_REFOLD,  /* a step of a revoke */
    DPC_JOB_ARRIVAL, /* of a blob whose last byte has come (bulk.c) */
    DPC_JOB_VERIFY,  /* of a blob that is to go out */
};

/* Blobs to be held against their names, and what came of it. */
struct dpc_scrub_task {
    const struct dpc_keep *keep; /* of the server; NULL: the list is still to be made */
    size_t first, next;          /* places in it: from, and where to go on */
    uint64_t bytes;
    int64_t ms;
    struct dpc_hash blob; /* with `code`: that is not what it must be */
    int code;
    bool lacks; /* memory or descriptors, for the moment: `next` is still to be read */
};
void dpc_scrub_run(struct dpc_store *store, struct dpc_scrub_task *task, struct dpc_error *err);

struct dpc_job {
    enum dpc_job_type type;
    const struct dpc_world *world;
    uint64_t epoch; /* sweeps that had begun when it was made (sweeps.c) */
    /* input */
    struct dpc_phase_record phase; /* SHARD, LABEL, REPORT: as it was when the job began */
    struct dpc_fold fold;          /* FOLD */
    struct dpc_msg_submit submit;  /* CHECK */
    struct dpc_peer peer;
    uint64_t request;
    struct dpc_keep *keep; /* SWEEP */
    uint64_t horizon;
    bool paused;               /* the disk was full when it began */
    char folder[DPC_PATH_MAX]; /* BACKUP */
    struct dpc_scrub_task scrub;
    struct dpc_replay_row replay;  /* and result */
    struct dpc_refold_task refold; /* likewise */
    struct dpc_hash blob;          /* ARRIVAL, VERIFY */
    /* result */
    int code;
    struct dpc_error error;
    struct dpc_prepared prepared;
    struct dpc_sharded sharded;
    struct dpc_shard *shards;    /* what `sharded.paths` points at */
    struct dpc_hash *beginnings; /* what `sharded.modules` points at */
    struct dpc_blob_ref labelled;
    struct dpc_folded folded;
    struct dpc_submission_check check;
    struct dpc_swept swept;
    struct dpc_backup_counts backed_up;
};

struct dpc_job *dpc_job_create(enum dpc_job_type type, const struct dpc_world *world);
/* For dpc_executor_create: take a struct dpc_job. */
void dpc_job_run(void *job);
void dpc_job_drop(void *job);
/* Forgets its result: it runs again. */
void dpc_job_renew(struct dpc_job *job);
const char *dpc_job_name(enum dpc_job_type type);

#endif
