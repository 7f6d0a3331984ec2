/* SPDX-License-Identifier: Apache-2.0
 * The scrubber: every blob that is kept is read and held against its name, in the background, so
 * that a disk's damage is known while a backup can still mend it. What is damaged is told and never
 * used: whoever reads a blob whole checks it again.
 *
 * A job reads a few blobs; then the scrubber rests for many times as long as that took, so that its
 * pace follows from the disk's own and it takes a small share of it. */
#include "coordinator/state.h"

#include <stdio.h>

#include "base/clock.h"

/* A share of 2 % of one thread; a pass that has ended is begun anew after an hour. */
enum { REST_FACTOR = 50, BETWEEN_PASSES_MS = 3600 * 1000 };

/* Until it tries again for want of memory or descriptors. */
enum { LACK_MS = 1000 };

/* Blobs of one job: some milliseconds, unless a single one is larger. */
enum { BLOBS_MAX = 64 };
static const uint64_t job_bytes = 8 * DPC_MIB;

void
dpc_scrub_run(struct dpc_store *store, struct dpc_scrub_task *task, struct dpc_error *err)
{
    int64_t begin_ms = dpc_clock_now_ms(&dpc_clock_system);
    size_t last = task->first + BLOBS_MAX, count = dpc_keep_count(task->keep);
    task->next = task->first;
    while (task->code == DPC_OK && task->next < count && task->next < last &&
           task->bytes < job_bytes) {
        uint64_t bytes = 0;
        task->blob = *dpc_keep_at(task->keep, task->next++);
        task->code = dpc_store_blob_verify(store, &task->blob, &bytes, err);
        task->bytes += bytes;
    }
    task->lacks = task->code == DPC_EFILES || task->code == DPC_ENOMEM;
    if (task->lacks) { /* which says nothing of the blob */
        task->next--;
        task->code = DPC_OK;
    }
    task->ms = dpc_clock_now_ms(&dpc_clock_system) - begin_ms;
}

void
server_scrub(struct dpc_server *server)
{
    struct dpc_scrub *scrub = &server->scrub;
    if (scrub->busy || dpc_clock_now_ms(&dpc_clock_system) < scrub->due_ms)
        return;
    struct dpc_job *job = dpc_job_create(DPC_JOB_SCRUB, &server->world);
    if (!scrub->keep)
        job->keep = dpc_keep_create(server->core);
    job->scrub = (struct dpc_scrub_task){.keep = scrub->keep, .first = scrub->next};
    scrub->busy = true;
    server_start_job(server, job);
}

/* A blob that is gone may have been swept since the pass began, or before keep_rounds was raised.
 */
static bool
is_named_now(const struct dpc_server *server, const struct dpc_hash *blob)
{
    struct dpc_keep *keep = dpc_keep_create(server->core);
    bool named = false;
    for (size_t i = 0; i < dpc_keep_count(keep) && !named; i++)
        named = dpc_hash_equal(dpc_keep_at(keep, i), blob);
    dpc_keep_destroy(keep);
    return named;
}

static void
note_damage(struct dpc_server *server, const struct dpc_job *job)
{
    struct dpc_scrub *scrub = &server->scrub;
    char hex[DPC_HASH_HEX_MAX];
    if (job->scrub.code == DPC_ENOTFOUND && !is_named_now(server, &job->scrub.blob))
        return;
    dpc_hash_hex(&job->scrub.blob, hex, sizeof hex);
    if (job->scrub.code == DPC_ENOTFOUND)
        (void)snprintf(scrub->text, sizeof scrub->text,
                       "blob %s is needed and gone: put its file back from a backup", hex);
    else
        (void)snprintf(scrub->text, sizeof scrub->text, "%s", job->error.text);
    scrub->found++;
    dpc_log_error("damage found blob=%s reason=\"%s\"", hex, scrub->text);
    SERVER_NOTE(server, "damage", DPC_FIELD_TEXT("blob", hex),
                DPC_FIELD_TEXT("reason", scrub->text));
}

static void
end_pass(struct dpc_server *server, int64_t now_ms)
{
    struct dpc_scrub *scrub = &server->scrub;
    dpc_log_info("scrubbed blobs=%zu bytes=%llu damaged=%u", dpc_keep_count(scrub->keep),
                 (unsigned long long)scrub->bytes, scrub->found);
    scrub->keep = dpc_keep_destroy(scrub->keep);
    scrub->passes++;
    scrub->damaged = scrub->found;
    if (!scrub->damaged)
        scrub->text[0] = 0;
    scrub->found = 0;
    scrub->bytes = 0;
    scrub->next = 0;
    scrub->due_ms = now_ms + BETWEEN_PASSES_MS;
}

void
server_scrubbed(struct dpc_server *server, struct dpc_job *job)
{
    struct dpc_scrub *scrub = &server->scrub;
    int64_t now_ms = dpc_clock_now_ms(&dpc_clock_system);
    scrub->busy = false;
    scrub->due_ms = now_ms + (job->scrub.lacks ? LACK_MS : REST_FACTOR * job->scrub.ms);
    if (job->keep) { /* the list of a new pass */
        scrub->keep = job->keep;
        job->keep = NULL;
        return;
    }
    scrub->next = job->scrub.next;
    scrub->bytes += job->scrub.bytes;
    if (job->scrub.code != DPC_OK)
        note_damage(server, job);
    if (scrub->next == dpc_keep_count(scrub->keep))
        end_pass(server, now_ms);
}

uint32_t
server_damaged_blobs(const struct dpc_server *server)
{
    const struct dpc_scrub *scrub = &server->scrub;
    return scrub->found > scrub->damaged ? scrub->found : scrub->damaged;
}
