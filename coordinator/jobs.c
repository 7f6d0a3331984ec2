/* SPDX-License-Identifier: Apache-2.0
 * From a job's type to the function that does it. */
#include "coordinator/jobs.h"

#include "base/alloc.h"
#include "coordinator/versions/beginnings.h"
#include "coordinator/check.h"
#include "coordinator/corpus/corpus.h"
#include "coordinator/versions/outer.h"
#include "coordinator/report/report.h"
#include "coordinator/corpus/reroute.h"

struct dpc_job *
dpc_job_create(enum dpc_job_type type, const struct dpc_world *world)
{
    struct dpc_job *job = dpc_alloc(1, sizeof *job);
    job->type = type;
    job->world = world;
    return job;
}

static bool
is_kept(void *context, const struct dpc_hash *hash)
{
    return dpc_keep_holds(context, hash);
}

static int
sweep(struct dpc_job *job)
{
    struct dpc_store *store = job->world->store;
    int code = dpc_keep_history(job->keep, dpc_store_kv(store), &job->error);
    if (code == DPC_OK)
        code = dpc_store_sweep(store, job->horizon, is_kept, job->keep, &job->swept, &job->error);
    return code;
}

static struct dpc_replay_source
source_of(const struct dpc_world *world)
{
    return (struct dpc_replay_source){
        .records = {dpc_store_kv(world->store), world->experiment, world->topology, 0},
        .store = world->store,
        .ops = world->ops,
    };
}

/* Routed modules begin with the first sharding. */
static int
shard(struct dpc_job *job)
{
    struct dpc_replay_source source = source_of(job->world);
    int code = dpc_corpus_shard(job->world, &job->phase, &job->sharded, &job->shards, &job->error);
    if (code == DPC_OK && job->phase.phase == DPC_PHASE_SHARD)
        code = dpc_beginnings_make(source.store, &source.records, &job->beginnings, &job->error);
    job->sharded.modules = job->beginnings;
    return code;
}

static int
back_up(struct dpc_job *job)
{
    const struct dpc_world *world = job->world;
    struct dpc_backup_source source = {.store = world->store,
                                       .store_folder = world->store_folder,
                                       .key_file = world->key_file,
                                       .workers_folder = world->workers_folder};
    return dpc_backup_make(&source, job->folder, &job->backed_up, &job->error);
}

void
dpc_job_run(void *context)
{
    struct dpc_job *job = context;
    const struct dpc_world *world = job->world;
    struct dpc_replay_source source;
    switch (job->type) {
    case DPC_JOB_PREPARE:
        job->code = dpc_corpus_prepare(world, &job->prepared, &job->error);
        break;
    case DPC_JOB_SHARD:
        job->code = shard(job);
        break;
    case DPC_JOB_FOLD:
        job->code = dpc_outer_fold(world->store, world->ops, &job->fold, &job->folded, &job->error);
        break;
    case DPC_JOB_REPORT:
        job->code = dpc_report_write(world, &job->phase, &job->error);
        break;
    case DPC_JOB_LABEL:
        job->code = dpc_reroute_label(world, &job->phase, &job->labelled, &job->error);
        break;
    case DPC_JOB_CHECK:
        job->code = dpc_check_submission(world->store, world->experiment, world->topology,
                                         &job->submit, &job->check, &job->error);
        break;
    case DPC_JOB_BACKUP:
        job->code = back_up(job);
        break;
    case DPC_JOB_SCRUB:
        if (job->keep)
            job->code = dpc_keep_history(job->keep, dpc_store_kv(world->store), &job->error);
        else
            dpc_scrub_run(world->store, &job->scrub, &job->error);
        break;
    case DPC_JOB_SWEEP:
        job->code = sweep(job);
        break;
    case DPC_JOB_REPLAY:
        source = source_of(world);
        dpc_replay_version(&source, &job->replay);
        break;
    case DPC_JOB_REFOLD:
        source = source_of(world);
        job->code = dpc_refold_run(&source, &job->refold, &job->error);
        break;
    case DPC_JOB_ARRIVAL:
        job->code = dpc_store_blob_finish(world->store, &job->blob, &job->error);
        break;
    case DPC_JOB_VERIFY:
        job->code = dpc_store_blob_verify(world->store, &job->blob, &(uint64_t){0}, &job->error);
        break;
    }
}

void
dpc_job_drop(void *context)
{
    struct dpc_job *job = context;
    if (!job)
        return;
    dpc_free(job->fold.inputs);
    dpc_free(job->folded.judged);
    dpc_free(job->shards);
    dpc_free(job->beginnings);
    dpc_keep_destroy(job->keep);
    dpc_refold_done(&job->refold);
    dpc_free(job);
}

void
dpc_job_renew(struct dpc_job *job)
{
    job->shards = dpc_free(job->shards);
    job->beginnings = dpc_free(job->beginnings);
    job->folded.judged = dpc_free(job->folded.judged);
    job->code = DPC_OK;
    job->error = (struct dpc_error){0};
}

const char *
dpc_job_name(enum dpc_job_type type)
{
    static const char *const names[] = {
        [DPC_JOB_PREPARE] = "preparing the corpus",
        [DPC_JOB_SHARD] = "sharding",
        [DPC_JOB_FOLD] = "outer step",
        [DPC_JOB_REPORT] = "writing the report",
        [DPC_JOB_LABEL] = "finding the best routes",
        [DPC_JOB_CHECK] = "checking a submission",
        [DPC_JOB_BACKUP] = "backup",
        [DPC_JOB_SCRUB] = "scrubbing",
        [DPC_JOB_SWEEP] = "sweeping",
        [DPC_JOB_REPLAY] = "replay",
        [DPC_JOB_REFOLD] = "folding again",
        [DPC_JOB_ARRIVAL] = "completing an upload",
        [DPC_JOB_VERIFY] = "reading a blob",
    };
    return names[type];
}
