/* SPDX-License-Identifier: Apache-2.0
 * When the store is swept. A sweep begins when every module has made an outer step since the last
 * one, on average, when the experiment is finished, and when the disk is short; so the disk holds
 * about two rounds more than are kept.
 *
 * A job may hold blobs that no record names yet. What it touched stays, because a sweep leaves
 * alone what was touched since the one before it began, and does not begin while a job from before
 * that is still inside, nor beside a revoke, which has looked whether all is there. A blob that was
 * uploaded and is handed in later than that is uploaded again. */
#include "coordinator/state.h"

void
server_note_job(struct dpc_server *server, struct dpc_job *job)
{
    job->epoch = server->sweeps.epoch;
    server->sweeps.jobs_inside[job->epoch % 2]++;
}

void
server_forget_job(struct dpc_server *server, const struct dpc_job *job)
{
    server->sweeps.jobs_inside[job->epoch % 2]--;
}

static bool
is_due(const struct dpc_server *server)
{
    const struct dpc_sweeps *sweeps = &server->sweeps;
    bool finished = dpc_core_phase(server->core)->phase == DPC_PHASE_FINISHED;
    uint32_t round = dpc_core_topology(server->core)->modules_count;
    return sweeps->asked || sweeps->folds >= (finished ? 1 : round);
}

void
server_sweep(struct dpc_server *server)
{
    struct dpc_sweeps *sweeps = &server->sweeps;
    bool old_jobs = sweeps->jobs_inside[(sweeps->epoch + 1) % 2] > 0;
    bool backup = server->backups.wanted || server->backups.busy;
    if (sweeps->busy || backup || server->revokes.running || old_jobs || !is_due(server))
        return;
    struct dpc_job *job = dpc_job_create(DPC_JOB_SWEEP, &server->world);
    job->keep = dpc_keep_create(server->core);
    job->horizon = sweeps->horizon;
    job->paused = server->space.paused;
    sweeps->horizon = dpc_store_touches(server->store);
    sweeps->epoch++;
    sweeps->folds = 0;
    sweeps->asked = false;
    sweeps->busy = true;
    server_start_job(server, job);
}

/* The first sweep of a full disk spares what was touched since the one before it, the second does
 * not; and what one could remove, or could not note, may be followed by more. */
static bool
sweep_again(struct dpc_server *server, const struct dpc_job *sweep)
{
    struct dpc_space *space = &server->space;
    bool failed = sweep->code != DPC_OK;
    bool again = failed ? !space->sweep_failed : sweep->swept.removed > 0 || !space->swept;
    space->sweep_failed |= failed;
    space->swept |= !failed && sweep->paused; /* not one that was under way when it filled up */
    return again;
}

void
server_swept(struct dpc_server *server, const struct dpc_job *sweep)
{
    const struct dpc_swept *swept = &sweep->swept;
    server->sweeps.busy = false;
    if (server->space.paused)
        server->sweeps.asked |= sweep_again(server, sweep);
    /* The disk is too full to note what goes, and files went before that; or the next one will have
     * the descriptors and memory that this one lacked. */
    if (sweep->code == DPC_EFILES || sweep->code == DPC_ENOMEM)
        dpc_log_warning("not swept to the end: %s", sweep->error.text);
    if (sweep->code != DPC_OK)
        return;
    server->sweeps.known = true;
    server->sweeps.last = *swept;
    server->sweeps.removed_bytes += swept->removed_bytes;
    dpc_log_info("swept removed=%llu removed_bytes=%llu partials=%llu kept=%llu kept_bytes=%llu",
                 (unsigned long long)swept->removed, (unsigned long long)swept->removed_bytes,
                 (unsigned long long)swept->partials, (unsigned long long)swept->kept,
                 (unsigned long long)swept->kept_bytes);
}

bool
server_kept_bytes(const struct dpc_server *server, uint64_t *ret_bytes)
{
    if (server->sweeps.known)
        *ret_bytes = server->sweeps.last.kept_bytes;
    return server->sweeps.known;
}
